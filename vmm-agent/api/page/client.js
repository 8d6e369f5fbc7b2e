/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client.js - talking to the agent: secret, state, events that survive a lost connection
 * The secret lives in sessionStorage; it may come once in the address behind '#' and is taken out of it. */
const KEY = "vmm-agent-token";
const RETRY_MS = [500, 1000, 2000, 5000];

export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("token")) {
    sessionStorage.setItem(KEY, given.get("token"));
    given.delete("token");
    history.replaceState(null, "", location.pathname + (given.size ? `#${given}` : ""));
  }
  return given;
}

export const setToken = (token) => sessionStorage.setItem(KEY, token);
export const dropToken = () => sessionStorage.removeItem(KEY);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

/* An answer that is not 200 becomes an Error with .status, .wait and the agent's own words. */
async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers), cache: "no-store" });
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    const error = new Error(told?.error?.text ?? `HTTP ${answer.status}`);
    error.status = answer.status;
    error.wait = Number(answer.headers.get("Retry-After") ?? 0);
    throw error;
  }
  return answer;
}

export const getJson = async (path, signal) => (await ask(path, { signal })).json();

/* Lines of text/event-stream to {id, type, text}. */
function* parse(buffer) {
  for (const block of buffer.split("\n\n")) {
    const one = { id: null, type: "message", text: "" };
    for (const line of block.split("\n")) {
      const at = line.indexOf(": ");
      const field = at < 0 ? line : line.slice(0, at), value = at < 0 ? "" : line.slice(at + 2);
      if (field === "id") one.id = value;
      else if (field === "event") one.type = value;
      else if (field === "data") one.text += value;
    }
    if (one.text) yield one;
  }
}

/* Follow /v1/events for ever. @on.event(type, content), @on.open(), @on.lost(error) */
export async function follow(on, signal) {
  let last = null, failures = 0;
  while (!signal.aborted) {
    try {
      const answer = await ask("/v1/events", { signal, headers: last ? { "Last-Event-ID": last } : {} });
      failures = 0;
      on.open();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        on.heard();
        rest += value;
        const end = rest.lastIndexOf("\n\n");
        if (end < 0) continue;
        for (const one of parse(rest.slice(0, end))) {
          last = one.id ?? last;
          on.event(one.type, JSON.parse(one.text));
        }
        rest = rest.slice(end + 2);
      }
      on.lost(null);
    } catch (error) {
      if (signal.aborted) return;
      on.lost(error);
      if (error.status === 401 || error.status === 403) return;
    }
    const wait = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
