/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dr.js - demand response: what is armed, what is asked, what was delivered (docs/demand-response.md) */
import { byId, fill, h } from "./dom.js";
import { anything } from "./views.js";
import { word } from "./words.js";

export function showDr(state) {
  const dr = state.dr ?? {};
  const armed = (state.vms ?? []).filter((vm) => vm.armed);
  const nothing = armed.length === 0 && Object.keys(dr).length === 0;
  fill(byId("dr"), nothing ? h("p", { class: "empty" }, word("dr_none")) : [
    armed.length ? h("div", {}, h("p", { class: "muted" }, word("dr_armed")), h("ul", {}, armed.map((vm) => h("li", {}, word("dr_armed_item", vm.name, vm.armed.host ?? "–"), vm.armed.converged ? "" : h("span", { class: "muted" }, ` ${word("dr_converging")}`))))) : null,
    Object.keys(dr).length ? anything(dr) : null], JSON.stringify([dr, armed, word("dr")]));
}
