/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chart.js - pictures as SVG at the width they are shown in, so that text keeps its size
 * Pure functions: values in, elements out. Nothing here knows the network or the language. */
const SPACE = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const round = (value) => Math.round(value * 10) / 10;

/* A grid step of 1, 2 or 5 times a power of ten, about COUNT of them up to TOP. */
export function step(top, count) {
  const raw = top / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
}

/* Path along VALUES that changes at slot borders; null breaks it. FROM..TO are slots. */
function steps(values, x, y, from = 0, to = values.length) {
  let path = "", pen = false;
  for (let slot = from; slot < to; slot++) {
    if (values[slot] === null || values[slot] === undefined) { pen = false; continue; }
    path += `${pen ? "L" : "M"}${round(x(slot))} ${round(y(values[slot]))}H${round(x(slot + 1))}`;
    pen = true;
  }
  return path;
}

function area(values, x, y) {
  let path = "";
  values.forEach((value, slot) => {
    if (value > 0) path += `M${round(x(slot))} ${round(y(0))}V${round(y(value))}H${round(x(slot + 1))}V${round(y(0))}Z`;
  });
  return path;
}

const hatch = () => svg("defs", {}, svg("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
  svg("rect", { width: 1.4, height: 5, fill: "currentColor", "fill-opacity": .35 })));

/* Hours under a chart: a tick each three or six hours. */
function hours(x, count, top, bottom, width, label) {
  const every = width < 420 ? 12 : 6;
  const out = [];
  for (let slot = 0; slot <= count; slot += every) {
    out.push(svg("line", { class: "grid", x1: round(x(slot)), x2: round(x(slot)), y1: top, y2: bottom }));
    out.push(svg("text", { x: round(x(slot)), y: bottom + 13, "text-anchor": slot === 0 ? "start" : slot >= count ? "end" : "middle" }, label(slot)));
  }
  return out;
}

/* One site's day. @site: {surplus[], unknown[] (surplus is not known), load[], price[], measured (slots), limit}; @top: kW at the upper edge,
 * the same for every site so that they compare; @now: slot with fraction; @cursor: slot or null */
export function dayChart(site, { width, top, priceTop, now, cursor, label, title }) {
  const left = 30, right = 6, plotTop = 8, plotBottom = 112, priceTopY = 120, priceBottom = 142;
  const count = site.load.length || 48;
  const x = (slot) => left + (width - left - right) * slot / count;
  const y = (kw) => plotBottom - (plotBottom - plotTop) * Math.min(kw, top) / top;
  const chart = svg("svg", { class: "chart", width, height: 160, viewBox: `0 0 ${width} 160`, role: "img", "aria-label": title }, hatch());
  const size = step(top, 3), watts = top < 1;
  for (let kw = 0; kw <= top + 1e-9; kw += size) {
    chart.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: round(y(kw)), y2: round(y(kw)) }),
      svg("text", { x: left - 5, y: round(y(kw)) + 4, "text-anchor": "end" }, String(Math.round(kw * (watts ? 1000 : 1) * 100) / 100)));
  }
  chart.append(svg("text", { x: left - 5, y: plotTop + 17, "text-anchor": "end" }, watts ? "W" : "kW"));
  chart.append(...hours(x, count, plotTop, priceBottom, width, label));
  chart.append(svg("rect", { class: "past", x: left, y: plotTop, width: Math.max(0, x(now) - left), height: priceBottom - plotTop }));
  site.unknown.forEach((unknown, slot) => {
    if (unknown) chart.append(svg("rect", { class: "unknown", x: x(slot), y: plotTop, width: x(slot + 1) - x(slot), height: plotBottom - plotTop }));
  });
  chart.append(svg("path", { class: "surplus", d: area(site.surplus, x, y) }), svg("path", { class: "surplus-edge", d: steps(site.surplus, x, y) }));
  if (site.limit !== null && site.limit <= top) chart.append(svg("line", { class: "limit", x1: left, x2: width - right, y1: y(site.limit), y2: y(site.limit) }));
  chart.append(svg("path", { class: "load", d: steps(site.load, x, y, 0, site.measured) }), svg("path", { class: "load plan", d: steps(site.load, x, y, site.measured, count) }));
  site.price.forEach((value, slot) => {
    if (value === null) return;
    const height = Math.max(1, (priceBottom - priceTopY) * Math.max(0, value) / priceTop);
    chart.append(svg("rect", { class: "price", x: round(x(slot) + .6), y: round(priceBottom - height), width: round(Math.max(1, x(slot + 1) - x(slot) - 1.2)), height: round(height) }));
  });
  if (cursor !== null) chart.append(svg("line", { class: "cursor", x1: x(cursor + .5), x2: x(cursor + .5), y1: plotTop, y2: priceBottom }));
  chart.append(...nowLine(x(now), plotTop - 4, priceBottom));
  return { chart, slotAt: (px) => Math.max(0, Math.min(count - 1, Math.floor((px - left) / (width - left - right) * count))) };
}

/* About how wide bold 11 px text is: a full-width letter is twice a Latin one. */
const textWidth = (text) => [...text].reduce((sum, letter) => sum + (letter.codePointAt(0) > 0x2e80 ? 11.5 : 7.4), 0);

/* TEXT cut to WIDTH with an ellipsis. */
function shorten(text, width) {
  const letters = [...text];
  while (letters.length > 1 && textWidth(letters.join("")) > width) letters.pop();
  return letters.length < [...text].length ? `${letters.slice(0, -1).join("")}…` : text;
}

/* The line of the present, with a rim so that it is seen on any colour. */
const nowLine = (x, y1, y2) => [svg("line", { class: "now-rim", x1: x, x2: x, y1, y2 }), svg("line", { class: "now", x1: x, x2: x, y1, y2 })];

/* Rows of bars. @rows: [{label, bars: [{from, to, site, text, color}]}] */
export function gantt(rows, { width, count, now, cursor, label, title }) {
  const left = Math.max(60, Math.min(width < 480 ? 104 : 160, 12 + Math.max(0, ...rows.map((row) => textWidth(row.label))))), right = 6, top = 18, pitch = 27, bar = 20;
  const bottom = top + rows.length * pitch;
  const x = (slot) => left + (width - left - right) * slot / count;
  const chart = svg("svg", { class: "chart", width, height: bottom + 20, viewBox: `0 0 ${width} ${bottom + 20}`, role: "img", "aria-label": title });
  chart.append(...hours(x, count, top - 4, bottom, width - left, label));
  const texts = [];
  rows.forEach((row, index) => {
    const y = top + index * pitch + 2;
    chart.append(svg("text", { class: "row-text", x: 0, y: y + 14 }, shorten(row.label, left - 10), svg("title", {}, row.label)));
    row.bars.forEach((one, place) => {
      const from = x(one.from), to = x(one.to), wide = to - from;
      chart.append(svg("rect", { x: round(from + .5), y, width: round(Math.max(1, wide - 1)), height: bar, rx: 3, fill: one.color }, svg("title", {}, one.text)));
      if (wide > textWidth(one.site) + 12) texts.push(svg("text", { class: "bar-text", x: round(from + 7), y: y + 14 }, one.site));
      if (place > 0) chart.append(svg("path", { class: "hop", d: `M${round(from - 4)} ${y + bar / 2 - 4}l4 4l-4 4` }));
    });
  });
  if (cursor !== null) chart.append(svg("line", { class: "cursor", x1: x(cursor + .5), x2: x(cursor + .5), y1: top - 4, y2: bottom }));
  chart.append(...nowLine(x(now), top - 4, bottom), ...texts);
  return { chart, slotAt: (px) => Math.max(0, Math.min(count - 1, Math.floor((px - left) / (width - left - right) * count))) };
}

/* A small line of recent values, newest at the right; drawn into 100 x 26 and stretched. */
export function spark(values, title) {
  const chart = svg("svg", { class: "spark", viewBox: "0 0 100 26", preserveAspectRatio: "none", role: "img", "aria-label": title });
  const top = Math.max(...values, 1e-9) * 1.1;
  const points = values.map((value, index) => `${round(100 * index / Math.max(1, values.length - 1))} ${round(25 - 23 * value / top)}`);
  if (points.length > 1) {
    chart.append(svg("path", { class: "under", d: `M0 26L${points.join("L")}L100 26Z` }), svg("path", { d: `M${points.join("L")}`, "vector-effect": "non-scaling-stroke" }));
  }
  return chart;
}
