/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dr.js - demand response: what is asked, what answers it, how soon, and what came of it
 * The document's section `dr` is described in docs/demand-response.md. */
import { byId, clock, figure, fill, h, isNumber, nameOf, num, power, quoted, seconds } from "./dom.js";
import { language, word } from "./words.js";

const ANSWERS_SHOWN = 6, DELIVERED_SHOWN = 8, EVENTS_SHOWN = 8;

const change = (value) => (isNumber(value) ? `${value > 0 ? "+" : ""}${power(value)}` : "–");
const plusMinus = (value) => (isNumber(value) && value > 0 ? `± ${power(value)}` : null);
const comma = () => (language() === "ja" ? "、" : ", ");
const names = (state, sites) => (sites ?? []).map((name) => nameOf(state.sites.find((site) => site.name === name) ?? { name })).join(comma());

/* One answer to one interval of an event: asked, reached, and within how many seconds of its limit. */
function answerCard(state, answer) {
  const late = isNumber(answer.changed_real_s) && answer.changed_real_s > answer.within_s;
  const measures = Object.entries(answer.measures ?? {}).map(([name, count]) => `${word(`measure_${name}`)} × ${count}`).join(comma());
  return h("li", { class: "move" },
    h("p", { class: "move-top" }, h("b", {}, names(state, answer.sites)), h("span", { class: "muted" }, `${word(`dr_origin_${answer.origin}`)} · ${clock(answer.from)}–${clock(answer.to)}`),
      h("span", { class: `chip ${answer.open ? "busy" : "dash"}` }, word(answer.open ? "dr_open" : "dr_ended"))),
    h("dl", { class: "figures" }, figure(word("dr_asked"), change(answer.target_kw)), figure(word("dr_done"), change(answer.reached_kw)), isNumber(answer.missing_kw) && answer.missing_kw > 0.0005 ? figure(word("dr_missing"), power(answer.missing_kw)) : null,
      figure(word("dr_response"), h("span", { class: late ? "bad" : null }, seconds(answer.changed_real_s)), word("dr_limit", num(answer.within_s, 0)))),
    measures ? h("p", { class: "muted" }, measures) : null);
}

function eventRow(event, now) {
  const over = Date.parse(event.end) <= now, early = Date.parse(event.start) > now;
  const state = event.cancelled ? ["dash", "dr_cancelled"] : event.opted_out ? ["dash", "dr_opted_out"] : over ? ["dash", "dr_ended"] : early ? ["warn", "dr_coming"] : ["busy", "dr_open"];
  return h("li", { class: "meter" }, h("p", { class: "meter-top" }, h("b", {}, quoted(event.name || event.id)), h("span", { class: `chip ${state[0]}` }, word(state[1]))),
    h("p", { class: "muted" }, [word(`dr_origin_${event.origin}`), `${clock(event.start)}–${clock(event.end)}`, event.program].filter(Boolean).join(" · ")), event.note ? h("p", { class: "muted" }, quoted(event.note)) : null);
}

function frequency(reading) {
  if (!reading) return null;
  return h("dl", { class: "figures sub" }, figure(word("dr_frequency"), reading.stale ? word("unknown") : `${num(reading.hz, 3)} Hz`, isNumber(reading.nominal_hz) ? `/ ${num(reading.nominal_hz, 0)} Hz` : null), figure(word("dr_droop"), change(reading.answer_kw)));
}

function siteRow(state, site) {
  return h("li", { class: "meter" }, h("p", { class: "meter-top" }, h("b", {}, names(state, [site.site])), h("span", { class: `chip ${site.answering ? "busy" : "good"}` }, word(site.answering ? "dr_answering" : "dr_ready"))),
    h("p", { class: "muted" }, [`${power(site.power_kw)} ${plusMinus(site.sigma_kw) ?? ""}`.trim(), isNumber(site.reference_kw) ? word("dr_reference", power(site.reference_kw)) : null, isNumber(site.battery) ? `${word("site_battery")} ${num(100 * site.battery, 0)} % ${site.battery_kw ? change(site.battery_kw) : ""}` : null].filter(Boolean).join(" · ")));
}

const guestRow = (state, guest) => h("li", {}, h("b", {}, guest.vm), " ", guest.copy_at ? h("span", { class: "muted" }, word(guest.armed ? "dr_copy" : "dr_copy_made", names(state, [guest.copy_at]))) : null, guest.measure !== "none" ? [" ", h("span", { class: "chip warn" }, word(`dr_hand_${guest.measure}`))] : null);

function deliveredTable(state, list) {
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": word("dr_delivered"), "data-key": "delivered" }, h("table", {}, h("thead", {}, h("tr", {}, [word("site"), word("when")].map((text) => h("th", { scope: "col" }, text)), [word("dr_change"), word("dr_energy")].map((text) => h("th", { scope: "col", class: "num" }, text)))),
    h("tbody", {}, list.map((one) => h("tr", {}, h("th", { scope: "row" }, names(state, [one.site])), h("td", { class: "unbroken" }, `${clock(one.from)}–${clock(one.to)}`), h("td", { class: "num" }, change(one.change_kw), one.sigma_kw ? h("span", { class: "muted" }, ` ${plusMinus(one.sigma_kw)}`) : null), h("td", { class: "num" }, isNumber(one.energy_kwh) && Math.abs(one.energy_kwh) < 1 ? `${num(one.energy_kwh * 1000, 0)} Wh` : `${num(one.energy_kwh, 2)} kWh`))))));
}

const part = (key, content) => [h("h3", { class: "sub" }, word(key)), content];

export function showDr(state) {
  const dr = state.dr ?? {}, now = Date.parse(state.now);
  const answers = (dr.answers ?? []).slice(-ANSWERS_SHOWN).reverse(), events = (dr.events ?? []).slice(-EVENTS_SHOWN).reverse(), delivered = (dr.delivered ?? []).slice(-DELIVERED_SHOWN).reverse();
  /* what demand response holds, and every other copy that is held */
  const held = dr.guests ?? [], known = new Set(held.map((guest) => guest.vm));
  const guests = held.concat((state.vms ?? []).filter((vm) => vm.armed && !known.has(vm.name)).map((vm) => ({ vm: vm.name, armed: vm.armed.converged, measure: "none", copy_at: vm.armed.host })));
  const quiet = answers.length + events.length + delivered.length + guests.length === 0;
  fill(byId("dr"), [
    dr.alert ? h("p", { class: "bad" }, quoted(dr.alert)) : null,
    quiet ? h("p", { class: "empty" }, word("dr_none")) : null,
    answers.length ? h("ul", { class: "moving" }, answers.map((answer) => answerCard(state, answer))) : null,
    frequency(dr.frequency),
    guests.length ? part("dr_guests", h("ul", {}, guests.slice(0, 20).map((guest) => guestRow(state, guest)))) : null,
    dr.sites?.length ? part("dr_sites", h("ul", {}, dr.sites.map((site) => siteRow(state, site)))) : null,
    events.length ? part("dr_events", h("ul", {}, events.map((event) => eventRow(event, now)))) : null,
    delivered.length ? part("dr_delivered", deliveredTable(state, delivered)) : null,
    dr.openadr ? h("p", { class: "muted sub" }, `OpenADR: ${dr.openadr.state ?? ""}`) : null,
  ].flat(), JSON.stringify([dr, guests, quiet, state.now.slice(0, 16), word("dr")]));
}
