/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dom.js - elements, figures and times. Text is always set as text: nothing from the agent is markup. */
import { language, word } from "./words.js";

const JAPAN_MS = 9 * 3600 * 1000;

export const byId = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") Object.entries(value).forEach(([type, fn]) => element.addEventListener(type, fn));
    else if (name === "style") Object.assign(element.style, value); /* as properties: the policy forbids style attributes */
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/* Replace the children of @element unless they would be the same; keeps focus and open details by data-key. */
export function fill(element, children, stamp) {
  if (stamp !== undefined && element.dataset.stamp === stamp) return;
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const open = new Set([...element.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  const scrolled = [...element.querySelectorAll(".scroll[data-key]")].map((one) => [one.dataset.key, one.scrollLeft]);
  element.replaceChildren(...[children].flat().filter((child) => child !== null && child !== undefined));
  if (stamp !== undefined) element.dataset.stamp = stamp;
  element.querySelectorAll("details[data-key]").forEach((one) => { one.open = open.has(one.dataset.key); });
  scrolled.forEach(([key, left]) => { const one = element.querySelector(`.scroll[data-key="${CSS.escape(key)}"]`); if (one) one.scrollLeft = left; });
  if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function num(value, digits = 1) {
  return isNumber(value) ? value.toLocaleString(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–";
}

export const yen = (value) => (isNumber(value) ? (language() === "ja" ? `${num(value, Math.abs(value) < 100 ? 1 : 0)}円` : `¥${num(value, Math.abs(value) < 100 ? 1 : 0)}`) : "–");

export function bytes(value) {
  if (!isNumber(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
  return `${num(value, unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/* kW as W below one: sites on a desk and sites of a company read equally well. */
export function power(kw, digits = 2) {
  if (!isNumber(kw)) return "–";
  return Math.abs(kw) < 0.9995 ? `${num(kw * 1000, 0)} W` : `${num(kw, digits)} kW`;
}

export const ms = (value) => (isNumber(value) ? `${num(value, value < 100 ? 1 : 0)} ms` : "–");
export const seconds = (value) => (isNumber(value) ? (value < 1 ? `${num(value * 1000, 0)} ms` : `${num(value, value < 100 ? 1 : 0)} s`) : "–");

const japan = (text) => { const at = Date.parse(text); return Number.isNaN(at) ? null : new Date(at + JAPAN_MS); };
const two = (value) => String(value).padStart(2, "0");

/* "14:30" in Japan, "–" for nothing. */
export function clock(text) {
  const at = japan(text);
  return at ? `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}` : "–";
}

export function day(text) {
  const at = japan(text);
  if (!at) return "";
  return language() === "ja" ? `${at.getUTCMonth() + 1}月${at.getUTCDate()}日` : `${at.getUTCDate()} ${["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][at.getUTCMonth()]}`;
}

export function clockAfter(text, minutes) {
  const at = Date.parse(text);
  return Number.isNaN(at) ? "–" : clock(new Date(at + minutes * 60000).toISOString());
}

const tones = { running: "good", done: "good", moving: "busy", queued: "warn", held: "busy", paused: "warn", failed: "bad", unknown: "bad", cancelled: "", absent: "", skipped: "" };

/* A state as a word in a shape and colour; never colour alone. */
export function chip(state, kind = "state") {
  const tone = kind === "move" && state === "running" ? "busy" : tones[state] ?? "";
  const words = kind === "move" && state === "running" ? word("state_moving") : word(`state_${state}`);
  return h("span", { class: `chip ${tone}${state === "skipped" || state === "cancelled" || state === "absent" ? " dash" : ""}` }, words);
}

/* The agent's own words; they are English whatever the page is. */
export const quoted = (text) => h("span", { lang: language() === "en" ? null : "en" }, text);

export const figure = (label, value, note, big) => h("div", { class: big ? "big" : null }, h("dt", {}, label), h("dd", {}, value, note ? h("small", {}, ` ${note}`) : null));

export function nameOf(site) {
  return language() === "ja" && site?.title ? site.title : site?.name ?? "–";
}
