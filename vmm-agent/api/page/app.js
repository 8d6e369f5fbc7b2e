/* SPDX-License-Identifier: GPL-2.0-or-later */
/* app.js - keeps one copy of the agent's state, shows it, and says when it is old */
import { anything, showAlerts, showHosts, showLinks, showMoves, showPlan, showSites, showVms, slotNow } from "./views.js";
import { byId, clock, day, fill, h, isNumber, num } from "./dom.js";
import { dropToken, follow, getJson, hasToken, setToken, takeToken } from "./client.js";
import { language, setLanguage, word } from "./words.js";
import { showDr } from "./dr.js";

const POLL_MS = 5000, AFTER_EVENT_MS = 250, SILENT_MS = 9000, RATES_KEPT = 120;
const themes = ["auto", "light", "dark"];

let state = null, heard = 0, live = false, fetching = null, again = false, follower = null, poller = null;
const stored = (name, fallback) => localStorage.getItem(`vmm-agent-${name}`) ?? fallback;
const store = (name, value) => localStorage.setItem(`vmm-agent-${name}`, value);

const view = {
  cursor: null /* ms since 1970: start of a half hour, or null = now */, rates: new Map(), allPast: false, filter: "", show: "all", rows: null, explained: new Map(),
  point(at) { if (at !== view.cursor) setCursor(at); },
  showAllPast() { view.allPast = true; show(); },
  moreRows(count) { view.rows = count; show(); },
  async explain(name) {
    if (view.explained.delete(name)) { show(); return; }
    try {
      const told = await getJson(`/v1/vms/${encodeURIComponent(name)}/explain`);
      delete told.ok;
      view.explained.set(name, anything(told));
    } catch (error) {
      view.explained.set(name, h("p", { class: "bad" }, word("explain_failed", error.message)));
    }
    show();
  },
};

function setCursor(at) {
  view.cursor = at;
  showCursor();
  if (state) { showSites(state, view); showPlan(state, view); }
}

/* Start of slot SLOT of the slider. */
const timeOf = (slot) => Date.parse(slotsShown()[0].start) + slot * 1800000;
const slotsShown = () => state?.sites?.find((site) => site.slots.length)?.slots ?? [];

/* The slot of the slider: the chosen one, or that of the agent's time. */
function showCursor() {
  const slots = slotsShown();
  const slider = byId("slot");
  byId("scrub").hidden = slots.length === 0;
  if (slots.length === 0) return;
  slider.max = slots.length - 1;
  const now = Math.min(slots.length - 1, Math.floor(slotNow(state, slots[0].start)));
  const chosen = view.cursor === null ? now : Math.max(0, Math.min(slots.length - 1, Math.floor((view.cursor - timeOf(0)) / 1800000)));
  const text = clock(slots[chosen].start);
  slider.value = chosen;
  slider.setAttribute("aria-valuetext", text);
  byId("slot-text").textContent = chosen === now ? word("slot_is_now", text) : text;
}

function showTop() {
  const agent = state?.agent ?? {}, silent = Math.round((Date.now() - heard) / 1000);
  byId("clock-time").textContent = state ? `${day(state.now)} ${clock(state.now)}` : "–";
  const scale = state?.clock?.scale;
  byId("clock-note").textContent = isNumber(scale) && scale !== 1 ? word("scale", num(scale, 0)) : "";
  const chips = [[live && silent * 1000 < SILENT_MS ? "good" : state ? "bad" : "", live ? (silent * 1000 < SILENT_MS ? word("live") : word("silent", silent)) : state ? word("silent", silent) : word("connecting")]];
  if (state) chips.push(agent.state === "ready" ? ["good", word("ready")] : ["warn", word("recovering")]);
  if (agent.paused) chips.push(["warn", word("paused")]);
  fill(byId("chips"), chips.map(([tone, text]) => h("span", { class: `chip ${tone}` }, text)), JSON.stringify(chips));
  byId("foot").textContent = state ? word("foot", agent.version ?? "", agent.run ?? "–", num(agent.memory_mib)) : "";
}

function show() {
  showTop();
  if (!state) return;
  byId("login").hidden = true;
  byId("board").hidden = false;
  showCursor();
  showAlerts(state);
  showSites(state, view);
  showPlan(state, view);
  showMoves(state, view);
  showDr(state);
  showLinks(state);
  showHosts(state);
  showVms(state, view);
}

function say(text) { byId("say").textContent = text; }

function rememberRate(id, rate) {
  if (!isNumber(rate)) return;
  const rates = view.rates.get(id) ?? [];
  rates.push(rate);
  view.rates.set(id, rates.slice(-RATES_KEPT));
}

function onEvent(type, event) {
  if (type === "migration.progress") {
    const move = state?.migrations?.find((one) => one.id === event.id);
    rememberRate(event.id, event.rate_gbit_s);
    if (move) {
      Object.assign(move, { progress: event.progress, rate_gbit_s: event.rate_gbit_s, in_flight_bytes: event.in_flight_bytes, remaining_bytes: event.remaining_bytes, predicted_blackout_ms: event.predicted_blackout_ms });
      showMoves(state, view);
      return;
    }
  }
  if (type === "migration.end") {
    view.rates.delete(event.id);
    say(word("said_end", event.vm, word(`state_${event.state}`)));
  } else if (type === "migration.stage" && event.stage === "transfer" && event.phase === "begin") {
    const move = state?.migrations?.find((one) => one.id === event.id);
    say(word("said_begin", event.vm, move?.from ?? "", move?.to ?? ""));
  } else if (type === "alert") {
    say(word("said_alert", event.text ?? ""));
  }
  refreshSoon();
}

let soon = null;
function refreshSoon() { soon ??= setTimeout(() => { soon = null; refresh(); }, AFTER_EVENT_MS); }

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = getJson("/v1/state");
  try {
    state = await fetching;
    heard = Date.now();
    const open = new Set(state.migrations?.map((move) => move.id));
    [...view.rates.keys()].filter((id) => !open.has(id)).forEach((id) => view.rates.delete(id));
    show();
  } catch (error) {
    if (error.status === 401 || error.status === 429) askForToken(error);
    else showTop();
  }
  fetching = null;
  if (again) { again = false; refreshSoon(); }
}

function askForToken(error) {
  const waiting = error?.status === 429, given = hasToken();
  if (!waiting) dropToken();
  else if (state) return; /* the page itself asked too often: the next poll will do */
  stop();
  byId("board").hidden = true;
  byId("login").hidden = false;
  byId("login-error").textContent = error && (waiting || given) ? (waiting ? word("login_wait", error.wait) : word("login_wrong")) : "";
  byId("token").value = "";
  byId("token").focus();
}

function stop() {
  follower?.abort();
  clearInterval(poller);
  follower = poller = null;
  live = false;
  state = null;
}

function start() {
  stop();
  follower = new AbortController();
  poller = setInterval(() => { showTop(); refresh(); }, POLL_MS);
  refresh().then(() => {
    if (!follower) return;
    follow({
      open() { live = true; heard = Date.now(); showTop(); refreshSoon(); },
      heard() { heard = Date.now(); },
      event: onEvent,
      lost() { live = false; showTop(); },
    }, follower.signal);
  });
}

function showWords() {
  document.documentElement.lang = language();
  document.querySelectorAll("[data-word]").forEach((element) => { element.textContent = word(element.dataset.word); });
  byId("lang").textContent = word("other_lang");
  byId("lang").lang = language() === "ja" ? "en" : "ja";
  byId("lang").setAttribute("aria-label", word("other_lang_label"));
  byId("theme").textContent = word(`theme_${stored("theme", "auto")}`);
  const chosen = view.show;
  byId("vm-show").replaceChildren(...["all", "attention", "moving", "elsewhere"].map((name) => h("option", { value: name, selected: name === chosen }, word(`show_${name}`))));
}

const dark = matchMedia("(prefers-color-scheme: dark)");
function showTheme() {
  const wanted = stored("theme", "auto");
  document.documentElement.dataset.theme = wanted === "auto" ? (dark.matches ? "dark" : "light") : wanted;
}

function main() {
  const given = takeToken();
  setLanguage(given.get("lang") ?? stored("lang", navigator.language?.startsWith("ja") ? "ja" : "en"));
  if (themes.includes(given.get("theme"))) store("theme", given.get("theme"));
  showTheme();
  showWords();
  dark.addEventListener("change", showTheme);
  byId("lang").addEventListener("click", () => { store("lang", setLanguage(language() === "ja" ? "en" : "ja")); showWords(); view.explained.clear(); show(); });
  byId("theme").addEventListener("click", () => { store("theme", themes[(themes.indexOf(stored("theme", "auto")) + 1) % 3]); showTheme(); showWords(); });
  byId("login").addEventListener("submit", (event) => { event.preventDefault(); setToken(byId("token").value.trim()); start(); });
  byId("slot").addEventListener("input", (event) => setCursor(timeOf(Number(event.target.value))));
  byId("slot-now").addEventListener("click", () => setCursor(null));
  byId("vm-filter").addEventListener("input", (event) => { view.filter = event.target.value; view.rows = null; show(); });
  byId("vm-show").addEventListener("change", (event) => { view.show = event.target.value; view.rows = null; show(); });
  new ResizeObserver(() => { if (state) { showSites(state, view); showPlan(state, view); } }).observe(byId("main"));
  showTop();
  /* over TLS a client certificate may be all that is needed */
  if (hasToken() || location.protocol === "https:") start();
  else askForToken(null);
}

main();
