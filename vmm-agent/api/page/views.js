/* SPDX-License-Identifier: GPL-2.0-or-later */
/* views.js - one function per panel: state in, elements out */
import { byId, bytes, chip, clock, clockAfter, figure, fill, h, isNumber, ms, nameOf, num, power, quoted, seconds, yen } from "./dom.js";
import { dayChart, gantt, spark, step } from "./chart.js";
import { word } from "./words.js";

const STAGES = ["preflight", "start", "match", "disks", "listen", "transfer", "settle", "announce", "release"];
const PAST_SHOWN = 8, ROWS_SHOWN = 60, MOVES_SHOWN = 40, GANTT_SHOWN = 24;
const OPEN = new Set(["running", "held", "unknown"]);

export const siteColor = (state, name) => { const at = state.sites.findIndex((site) => site.name === name); return at < 0 ? "var(--site-5)" : `var(--site-${at % 6})`; };
const siteName = (state, name) => nameOf(state.sites.find((site) => site.name === name) ?? { name });
const path = (state, from, to) => h("span", { class: "path" }, h("span", {}, siteName(state, from)), " → ", h("span", {}, siteName(state, to)));
const key = (color, text) => h("li", {}, h("span", color.startsWith("var") ? { class: "key", style: { background: color } } : { class: `key ${color}` }), text);

/* Slot with its fraction at the agent's time, on the axis of @slots. */
export function slotNow(state, start) {
  const now = Date.parse(state.now), from = Date.parse(start);
  return Number.isNaN(now) || Number.isNaN(from) ? 0 : Math.max(0, Math.min(336, (now - from) / 1800000));
}

/* The slot of the cursor on an axis that begins at @start, or null when it is not on it. */
function cursorSlot(view, start, count) {
  if (view.cursor === null) return null;
  const slot = Math.floor((view.cursor - Date.parse(start)) / 1800000);
  return slot >= 0 && slot < count ? slot : null;
}

/* Moving over a picture that begins at @start points at a time, everywhere. */
const pointAt = (chart, view, start, slotAt) => chart.addEventListener("pointermove", (event) => view.point(Date.parse(start) + slotAt(event.offsetX) * 1800000));

export function showAlerts(state) {
  const alerts = state.alerts ?? [];
  byId("alerts").hidden = alerts.length === 0;
  fill(byId("alert-list"), alerts.map((alert) => h("li", { class: `alert ${alert.severity === "person" ? "person" : ""}` },
    h("p", {}, h("strong", {}, quoted(alert.text)), alert.since ? h("span", { class: "muted" }, ` · ${word("since", clock(alert.since))}`) : null),
    alert.check ? h("p", {}, word("check"), quoted(alert.check)) : null)), JSON.stringify(alerts) + word("check"));
}

function siteFigures(site) {
  const green = site.energy_kwh > 0 && isNumber(site.renewable_kwh) ? `${num(100 * site.renewable_kwh / site.energy_kwh, 0)} %` : null;
  const battery = site.battery && isNumber(site.battery.soc_kwh) ? `${num(site.battery.soc_kwh)} kWh` : null;
  return h("dl", { class: "figures" },
    figure(word("site_power"), power(site.power_kw), isNumber(site.limit_kw) ? word("site_limit", power(site.limit_kw, 1)) : null, true),
    figure(word("site_surplus"), isNumber(site.surplus_kw) ? power(site.surplus_kw) : word("unknown")),
    figure(word("site_price"), isNumber(site.price_yen_per_kwh) ? num(site.price_yen_per_kwh, 2) : word("unknown"), isNumber(site.price_yen_per_kwh) ? word("yen_kwh") : null),
    figure(word("site_vms"), num(site.vms, 0)),
    green ? figure(word("site_green"), green) : null, battery ? figure(word("site_battery"), battery) : null);
}

function atSlot(slot) {
  if (!slot) return h("p", { class: "at-slot" });
  const part = (label, value, unit) => h("span", {}, `${label} `, h("b", {}, value), unit ? ` ${unit}` : "");
  return h("p", { class: "at-slot" }, part(word("at_slot", clock(slot.start)), ""),
    part(word("site_surplus"), isNumber(slot.surplus_kw) ? power(slot.surplus_kw) : word("unknown")),
    part(word(slot.measured ? "legend_load" : "legend_plan"), power(slot.load_kw)),
    part(word("site_price"), isNumber(slot.price_yen_per_kwh) ? num(slot.price_yen_per_kwh, 2) : word("unknown"), isNumber(slot.price_yen_per_kwh) ? word("yen_kwh") : ""));
}

/* The chart's figures for those who do not see it, and for those who want them exactly. */
function slotTable(site) {
  const figureOf = (value, text) => (isNumber(value) ? text(value) : word("unknown"));
  return h("details", { class: "table-view", "data-key": `slots ${site.name}` }, h("summary", { "data-key": `slots-of ${site.name}` }, word("as_table"), h("span", { class: "unseen" }, ` ${nameOf(site)}`)),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, word("slot")), ["site_surplus", "legend_load", "site_price"].map((name) => h("th", { scope: "col", class: "num" }, word(name))))),
      h("tbody", {}, site.slots.map((slot) => h("tr", {}, h("th", { scope: "row" }, clock(slot.start)), h("td", { class: "num" }, slot.measured && !isNumber(slot.surplus_kw) ? "–" : figureOf(slot.surplus_kw, power)),
        h("td", { class: "num" }, power(slot.load_kw), slot.measured ? null : h("span", { class: "muted" }, ` (${word("planned")})`)), h("td", { class: "num" }, slot.measured && !isNumber(slot.price_yen_per_kwh) ? "–" : figureOf(slot.price_yen_per_kwh, (yen) => num(yen, 2))))))));
}

const values = (site, name) => site.slots.map((slot) => (isNumber(slot[name]) ? slot[name] : null));

export function showSites(state, view) {
  const sites = state.sites ?? [];
  const width = Math.max(240, Math.floor(columnWidth(byId("sites"), sites.length)));
  const all = sites.flatMap((site) => site.slots.flatMap((slot) => [slot.surplus_kw ?? 0, slot.load_kw ?? 0]));
  const peak = Math.max(0.01, ...all), top = Math.ceil(peak / step(peak, 3) - 1e-9) * step(peak, 3);
  const priceTop = Math.max(1, ...sites.flatMap((site) => site.slots.map((slot) => slot.price_yen_per_kwh ?? 0)));
  const stamp = JSON.stringify([sites, state.now, view.cursor, width, word("site_power")]);
  if (byId("sites").dataset.stamp === stamp) return;
  fill(byId("site-legend"), [key("var(--surplus)", word("legend_surplus")), key("line", word("legend_load")), key("line dashed", word("legend_plan")), key("var(--price)", word("legend_price"))], word("legend_load"));
  fill(byId("sites"), sites.map((site) => {
    const surplus = values(site, "surplus_kw"), load = values(site, "load_kw");
    const start = site.slots[0]?.start, best = surplus.reduce((high, value, slot) => ((value ?? -1) > (surplus[high] ?? -1) ? slot : high), 0);
    const title = word("site_chart", nameOf(site), power(surplus[best]), clock(site.slots[best]?.start), power(site.power_kw), power(site.surplus_kw));
    const unknown = site.slots.map((slot) => !isNumber(slot.surplus_kw) && !slot.measured);
    const shown = { surplus, load, unknown, price: values(site, "price_yen_per_kwh"), measured: site.slots.filter((slot) => slot.measured).length, limit: isNumber(site.limit_kw) ? site.limit_kw : null };
    const { chart, slotAt } = dayChart(shown, { width, top, priceTop, now: slotNow(state, start), cursor: cursorSlot(view, start, load.length), label: (slot) => clockAfter(start, slot * 30), title });
    pointAt(chart, view, start, slotAt);
    return h("article", { class: "site" },
      h("h3", { class: "site-name" }, h("span", { class: "dot", style: { background: siteColor(state, site.name) } }), h("span", {}, nameOf(site)), h("span", { class: site.paper || (site.area && site.area !== site.name) ? "tag" : null }, site.paper ? word("paper") : site.area && site.area !== site.name ? site.area : null)),
      siteFigures(site), site.slots.length ? chart : h("p", { class: "empty" }, word("unknown")), atSlot(site.slots[cursorSlot(view, start, load.length) ?? -1]), site.slots.length ? slotTable(site) : h("p", {}));
  }), stamp);
}

function columnWidth(element, count) {
  const style = getComputedStyle(element);
  const columns = style.gridTemplateColumns.split(" ").map(parseFloat).filter((size) => size > 0);
  return columns.length && count ? columns[0] : element.clientWidth;
}

/* Bars of one way: at[] is [[slot, site], ...]. */
function bars(state, way, plan) {
  return way.at.map(([slot, site], place) => {
    const to = place + 1 < way.at.length ? way.at[place + 1][0] : plan.slots;
    return { from: slot, to, site: siteName(state, site), color: siteColor(state, site), text: word("from_until", siteName(state, site), clockAfter(plan.start, slot * 30), clockAfter(plan.start, to * 30)) };
  });
}

function planTable(rows) {
  return h("details", { class: "table-view", "data-key": "plan-table" }, h("summary", { "data-key": "plan-summary" }, word("as_table")),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": word("plan"), "data-key": "plan-scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, word("group")), h("th", { scope: "col", class: "num" }, word("count")), h("th", { scope: "col" }, word("stays")))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.group), h("td", { class: "num" }, num(row.count, 0)), h("td", {}, row.bars.map((bar) => bar.text).join(" → "))))))));
}

function decisions(state, plan) {
  const moves = plan.moves ?? [];
  if (moves.length === 0) return h("p", { class: "empty" }, plan.note ? [word("plan_note", ""), quoted(plan.note)] : word("decisions_none"));
  return [h("h3", { class: "sub" }, word("decisions")), h("ul", { class: "decisions" }, moves.slice(0, MOVES_SHOWN).map((move) => h("li", { class: "decision" },
    h("span", {}, chip(move.state, "move")), h("span", { class: "who" }, move.vm, " ", h("span", { class: "muted" }, path(state, move.from, move.to))), h("span", { class: "reason" }, quoted(move.reason ?? "")))))];
}

export function showPlan(state, view) {
  const plan = state.plan, width = Math.max(260, byId("gantt").clientWidth);
  const stamp = JSON.stringify([plan, state.plan_problem, state.now, view.cursor, width, word("plan")]);
  if (byId("gantt").dataset.stamp === stamp) return;
  fill(byId("plan-legend"), plan ? state.sites.map((site) => key(siteColor(state, site.name), nameOf(site))) : []);
  if (!plan) {
    fill(byId("plan-figures"), []);
    fill(byId("decisions"), []);
    fill(byId("gantt"), h("p", { class: "empty" }, state.plan_problem ? [word("plan_none_why", ""), quoted(state.plan_problem)] : word("plan_none")), stamp);
    return;
  }
  fill(byId("plan-figures"), [figure(word("plan_cost"), yen(plan.cost_yen)), figure(word("plan_stay"), yen(plan.stay_cost_yen)),
    figure(word("plan_saves"), isNumber(plan.stay_cost_yen) && isNumber(plan.cost_yen) ? yen(plan.stay_cost_yen - plan.cost_yen) : "–"),
    figure(word("plan_gap"), isNumber(plan.gap) ? `${num(100 * plan.gap, 1)} %` : "–"), figure(word("plan_made"), clock(plan.made_at)), figure(word("plan_solved"), seconds(plan.solve_real_s))]);
  const rows = (plan.groups ?? []).flatMap((group) => group.ways.map((way) => ({ group: group.id, count: way.count, label: `${way.count} × ${group.id}`, bars: bars(state, way, plan) })));
  const { chart, slotAt } = gantt(rows.slice(0, GANTT_SHOWN), { width, count: plan.slots || 48, now: slotNow(state, plan.start), cursor: cursorSlot(view, plan.start, plan.slots || 48), label: (slot) => clockAfter(plan.start, slot * 30), title: word("gantt_chart") });
  pointAt(chart, view, plan.start, slotAt);
  const rest = rows.length > GANTT_SHOWN ? h("p", { class: "muted" }, word("plan_more", rows.length - GANTT_SHOWN)) : null;
  fill(byId("gantt"), rows.length ? [chart, rest, planTable(rows)] : h("p", { class: "empty" }, word("plan_nothing", plan.note ?? "")), stamp);
  fill(byId("decisions"), decisions(state, plan));
}

function stageList(stage) {
  const at = STAGES.indexOf(stage);
  return h("ol", { class: "stages", style: { margin: "0", padding: "0", listStyle: "none" } }, STAGES.map((name, index) => h("li", { class: index < at ? "past" : index === at ? "here" : null, "aria-current": index === at ? "step" : null, title: word(`stage_${name}`) }, word(`stage_${name}`))),
    at < 0 && stage ? h("li", { class: "here", "aria-current": "step" }, word(`stage_${stage}`)) : null);
}

function moveCard(state, move, history) {
  const rates = history.get(move.id) ?? [], share = Math.max(0, Math.min(1, move.progress ?? 0));
  return h("li", { class: "move" },
    h("p", { class: "move-top" }, h("b", {}, move.vm), path(state, move.from, move.to), h("span", { class: "muted" }, [move.transport, move.origin ? word(`origin_${move.origin}`) : null, move.attempt > 1 ? word("attempt", move.attempt) : null].filter(Boolean).join(" · ")), chip(move.state, "move")),
    stageList(move.stage),
    h("div", { class: "progress", role: "progressbar", "aria-label": word("progress_of", move.vm), "aria-valuenow": Math.round(share * 100), "aria-valuemin": 0, "aria-valuemax": 100 }, h("i", { style: { width: `${share * 100}%` } })),
    h("dl", { class: "figures" }, figure(word("rate"), isNumber(move.rate_gbit_s) ? `${num(move.rate_gbit_s, 2)} Gb/s` : "–"), figure(word("in_flight"), bytes(move.in_flight_bytes)), figure(word("left"), bytes(move.remaining_bytes)),
      figure(word("predicted"), ms(move.predicted_blackout_ms)), figure(word("actual"), ms(move.blackout_ms)), figure(word("took"), seconds(move.real_s))),
    rates.length > 2 ? spark(rates, word("spark")) : null,
    move.reason ? h("p", { class: "muted" }, quoted(move.reason)) : null, move.error ? h("p", { class: "bad" }, quoted(move.error)) : null);
}

/* @title: what the table is called; @shown: also as a heading */
function table(kind, heads, rows, title, shown = false) {
  return h("div", {}, shown ? h("h3", { class: "sub" }, title) : null, h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": title, "data-key": kind }, h("table", { class: "cards" },
    h("thead", {}, h("tr", {}, heads.map(([text, number]) => h("th", { scope: "col", class: number ? "num" : null }, text)))), h("tbody", {}, rows))));
}

const cell = (label, value, kind) => h("td", { class: kind ?? null, "data-label": label }, value);

export function showMoves(state, view) {
  const list = state.migrations ?? [], open = list.filter((move) => OPEN.has(move.state)), waiting = list.filter((move) => move.state === "queued");
  const past = list.filter((move) => !OPEN.has(move.state) && move.state !== "queued");
  byId("moves-note").textContent = word("moves_note", open.length, waiting.length);
  const shown = view.allPast ? past : past.slice(0, PAST_SHOWN);
  const waitRow = (move) => h("tr", {}, h("th", { scope: "row" }, move.vm), cell("", path(state, move.from, move.to), "whole"), cell(word("benefit"), yen(move.benefit_yen), "num"), h("td", { class: "why" }, quoted(move.waits_for ?? move.reason ?? "")));
  const pastRow = (move) => h("tr", { class: move.error ? `told ${move.state}` : null }, h("th", { scope: "row" }, move.vm), cell("", path(state, move.from, move.to), "whole"), cell("", chip(move.state), "state"), cell(word("actual"), ms(move.blackout_ms), "num"), cell(word("predicted"), ms(move.predicted_blackout_ms), "num"), cell(word("moved"), bytes(move.bytes), "num"), cell(word("took"), seconds(move.real_s), "num"), cell(word("when"), clock(move.ended_at), "num"));
  const reasonRow = (move) => (move.error ? h("tr", {}, h("td", { class: "why", colspan: 8 }, quoted(move.error))) : null);
  fill(byId("moves"), [
    open.length ? h("ul", { class: "moving" }, open.map((move) => moveCard(state, move, view.rates))) : h("p", { class: "empty" }, word("moves_none")),
    waiting.length ? table("waiting", [[word("vm")], [word("path")], [word("benefit"), true], [word("waits")]], waiting.slice(0, MOVES_SHOWN).map(waitRow), word("moves_queue"), true) : null,
    past.length ? table("past", [[word("vm")], [word("path")], [word("result")], [word("actual"), true], [word("predicted"), true], [word("moved"), true], [word("took"), true], [word("when"), true]], shown.flatMap((move) => [pastRow(move), reasonRow(move)]), word("moves_past"), true) : null,
    past.length > shown.length ? h("button", { type: "button", class: "plain", "data-key": "all-past", on: { click: () => view.showAllPast() } }, word("show_all_past", past.length)) : null,
  ], JSON.stringify([list, view.allPast, word("rate"), [...view.rates].map(([id, rates]) => [id, rates.length, rates.at(-1)])]));
}

export function showLinks(state) {
  const links = state.links ?? [];
  fill(byId("links"), links.length === 0 ? h("p", { class: "empty" }, word("links_none")) : links.map((link) => h("div", { class: "meter" },
    h("p", { class: "meter-top" }, h("b", {}, `${siteName(state, link.a)} – ${siteName(state, link.b)}`), h("span", {}, word("link_busy", isNumber(link.busy) ? num(100 * link.busy, 0) : "–"))),
    h("div", { class: "progress", role: "img", "aria-label": word("link_busy", isNumber(link.busy) ? num(100 * link.busy, 0) : "–") }, h("i", { style: { width: `${100 * Math.min(1, link.busy ?? 0)}%` } })),
    h("p", { class: "muted" }, isNumber(link.measured_gbit_s) ? word("link_rate", num(link.measured_gbit_s, 2), num(link.rate_gbit_s, 1)) : word("link_unmeasured", num(link.rate_gbit_s, 1)), " · ", word("link_moves", link.running ?? 0, link.queued ?? 0)))),
  JSON.stringify([links, word("links")]));
}

export function showHosts(state) {
  const hosts = state.hosts ?? [];
  const row = (host) => h("tr", {}, h("th", { scope: "row" }, host.name, h("span", { class: "muted" }, ` ${siteName(state, host.site)}`)),
    cell("", h("span", { class: `chip ${host.drained ? "warn" : host.up === false ? "bad" : "good"}`, title: host.reason || null }, host.drained ? word("host_drained") : host.up === false ? word("host_down") : word("host_up")), "state"),
    cell(word("host_cpu"), `${num(host.cpu_used)} / ${num(host.cpu, 0)}`, "num"), cell(word("host_ram"), isNumber(host.ram_mib) ? `${num(host.ram_used_mib / 1024, 0)} / ${num(host.ram_mib / 1024, 0)} GiB` : "–", "num"), cell(word("host_power"), isNumber(host.power_w) ? power(host.power_w / 1000) : "–", "num"));
  fill(byId("hosts"), hosts.length === 0 ? h("p", { class: "empty" }, word("hosts_none")) : table("hosts-table", [[word("host")], [word("state")], [word("host_cpu"), true], [word("host_ram"), true], [word("host_power"), true]], hosts.map(row), word("hosts")), JSON.stringify([hosts, word("hosts")]));
}

/* Any value as a list of terms, for what the page knows no better form. */
export function anything(value, depth = 0) {
  if (value === null || value === undefined || value === "") return document.createTextNode("–");
  if (Array.isArray(value)) return value.length === 0 ? document.createTextNode("–") : value.every((one) => typeof one !== "object") ? document.createTextNode(value.join(", ")) : h("div", {}, value.slice(0, 50).map((one) => h("div", { class: "meter" }, anything(one, depth + 1))));
  if (typeof value === "object" && depth < 5) return h("dl", { class: "kv" }, Object.entries(value).filter(([, one]) => one !== null && one !== "").flatMap(([name, one]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, anything(one, depth + 1))]));
  return typeof value === "string" ? (/^\d{4}-\d\d-\d\dT/.test(value) ? document.createTextNode(clock(value)) : quoted(value)) : document.createTextNode(isNumber(value) ? num(value, Number.isInteger(value) ? 0 : 2) : String(value));
}

export function showVms(state, view) {
  const vms = state.vms ?? [], needle = view.filter.toLowerCase();
  const fits = (vm) => (!needle || [vm.name, vm.group, vm.site, vm.host, vm.state, vm.reason].some((text) => String(text ?? "").toLowerCase().includes(needle))) &&
    (view.show === "all" || (view.show === "attention" && (vm.state === "unknown" || vm.fixed)) || (view.show === "moving" && (vm.migration !== null || vm.state === "moving")) || (view.show === "elsewhere" && vm.wanted_site && vm.wanted_site !== vm.site));
  const found = vms.filter(fits), shown = found.slice(0, view.rows ?? ROWS_SHOWN);
  const row = (vm) => {
    const told = view.explained.get(vm.name);
    return h("tr", {}, h("th", { scope: "row" }, vm.name, vm.group ? h("span", { class: "muted" }, ` ${vm.group}`) : null), cell("", chip(vm.state), "state"),
      cell(word("site"), [siteName(state, vm.site), vm.host ? h("span", { class: "muted" }, ` ${vm.host}`) : null, vm.wanted_site && vm.wanted_site !== vm.site ? h("div", { class: "warn" }, word("wanted_note", siteName(state, vm.wanted_site))) : null], "whole"),
      cell(word("power"), isNumber(vm.power_w) ? power(vm.power_w / 1000) : "–", "num"), cell(word("moves"), num(vm.moves, 0), "num"),
      h("td", { class: "why" }, quoted(vm.reason ?? ""), vm.plan_reason && vm.plan_reason !== vm.fixed ? h("div", { class: "muted" }, quoted(vm.plan_reason)) : null, vm.fixed && vm.fixed !== vm.reason ? h("div", { class: "muted" }, quoted(vm.fixed)) : null,
        told ? h("div", { class: "explain" }, told) : null),
      h("td", { class: "act" }, h("button", { type: "button", class: "link-button", "data-key": `explain ${vm.name}`, "aria-expanded": told ? "true" : "false", "aria-label": `${word(told ? "explain_hide" : "explain")} ${vm.name}`, on: { click: () => view.explain(vm.name) } }, word(told ? "explain_hide" : "explain"))));
  };
  fill(byId("vms"), [found.length ? table("vms-table", [[word("vm")], [word("state")], [word("site")], [word("power"), true], [word("moves"), true], [word("why")], [h("span", { class: "unseen" }, word("explain"))]], shown.map(row), word("vms")) : h("p", { class: "empty" }, word(vms.length ? "vms_none" : "vms_empty")),
    found.length > shown.length ? h("button", { type: "button", class: "plain", "data-key": "more", on: { click: () => view.moreRows(shown.length + ROWS_SHOWN) } }, word("more", Math.min(ROWS_SHOWN, found.length - shown.length))) : null],
  JSON.stringify([vms, view.filter, view.show, view.rows, [...view.explained.keys()], word("vms")]));
}
