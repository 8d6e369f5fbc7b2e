#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""oracle.py - the planner against exact solvers on random small instances

Each instance has every kind of constraint with some probability. It is written a second time, as
an integer program (time-indexed flows, not routes), straight from docs/planner.md, and solved by
Cbc and, at full count where node and npm are there, every second one by HiGHS. Must hold:
  bound <= optimum <= cost, cost - optimum <= stated gap, a refusal said to be proved is one.
The quick run takes 40 of the 300 instances, other ones every day of a week, and says which;
APN_TEST_FULL=1 (./run test --full) takes them all.
Exit: 0 all held, 1 something did not, 77 no exact solver here.
"""
import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from elsewhere import npm_module  # noqa: E402

HIGHS = ("highs", "1.15.3")
HOURS = 0.5
SLOTS = 12
COUNT_FULL = 300
COUNT_QUICK = 40


def maybe(rng, chance):
    return rng.random() < chance


def curve(rng, low, high, slots=SLOTS):
    phase = rng.uniform(0, slots)
    return [round(low + (high - low) * (0.5 + 0.5 * math.sin(2 * math.pi * (t + phase) / slots))
                  * rng.uniform(0.8, 1.0), 3) for t in range(slots)]


def random_site(rng, name, area, need):
    loose = rng.uniform(0.5, 1.1)
    kw = need["kw"] * loose * 1.6
    site = {"id": name, "area": area, "cpu": round(need["cpu"] * loose + 4),
            "ram_gb": round(need["ram"] * loose + 8), "idle_kw": round(rng.uniform(0, 1), 2),
            "pue": curve(rng, 1.1, 1.4), "power_scale": round(rng.uniform(0.9, 1.1), 2),
            "price_yen_per_kwh": curve(rng, rng.uniform(0.01, 8), rng.uniform(8, 30))}
    if maybe(rng, 0.6):
        site["power_kw"] = round(kw * 1.2 + 2, 2)
    if maybe(rng, 0.6):
        site["carbon_g_per_kwh"] = curve(rng, 0, 500)
    if maybe(rng, 0.6):
        p50 = curve(rng, 0, kw)
        site["surplus_kw"] = {"p10": [round(v * 0.6, 3) for v in p50], "p50": p50,
                              "p90": [round(v * 1.3, 3) for v in p50]}
    if maybe(rng, 0.5):
        site["contract_kw"] = round(kw * 1.3 + 3, 2)
    if maybe(rng, 0.6):
        site["demand_yen_per_kw"] = round(rng.uniform(5, 60), 2)
        site["peak_so_far_kw"] = round(kw * rng.uniform(0, 0.8), 2)
    if maybe(rng, 0.5):
        size = rng.uniform(1, 4) * max(need["kw"], 0.5)
        site["battery"] = {"charge_kw": round(size / 2, 2), "discharge_kw": round(size / 2.5, 2),
                           "charge_efficiency": 0.95, "discharge_efficiency": 0.9,
                           "soc_kwh": round(size * 0.5, 2), "soc_min_kwh": round(size * 0.1, 2),
                           "soc_max_kwh": round(size, 2), "soc_final_kwh": round(size * 0.3, 2)}
        if maybe(rng, 0.6):
            site["reserve"] = {
                "primary_up_kw": [round(size * 0.1, 3) if t in range(3, 8) else 0
                                  for t in range(SLOTS)],
                "secondary_up_kw": [round(size * 0.2, 3) if t in range(5, 9) else 0
                                    for t in range(SLOTS)],
                "primary_down_kw": [round(size * 0.1, 3) if t in range(4, 7) else 0
                                    for t in range(SLOTS)]}
    return site


def random_group(rng, index, names):
    cpu = rng.choice([1, 2, 4, 8])
    ram = cpu * rng.choice([2, 4])
    group = {"id": f"g{index}", "count": rng.randint(1, 6), "cpu": cpu, "ram_gb": ram,
             "power_w": [round(v * cpu, 1) for v in curve(rng, 60, 140)],
             "move_gb": round(ram * rng.uniform(0.5, 1.2), 2),
             "yen_per_move": round(rng.uniform(0, 0.5), 2),
             "yen_per_blackout_s": round(rng.uniform(0, 3), 2),
             "min_dwell_slots": rng.choice([1, 1, 2, 3, 5])}
    allowed = list(names)
    if maybe(rng, 0.25) and len(names) > 2:
        allowed = sorted(rng.sample(names, 2))
        group["sites"] = allowed
    left = group["count"]
    if maybe(rng, 0.1):
        left -= 1  # one VM waits to be placed
    first = rng.randint(0, left)
    parts = [(rng.choice(allowed), first), (rng.choice(allowed), left - first)]
    group["running"] = [{"site": site, "count": count, "dwell_left": rng.choice([0, 0, 1, 3])}
                        for site, count in parts if count > 0]
    if maybe(rng, 0.3):
        group["flex"] = {"primary_up": 0.1, "secondary_up": 0.3, "primary_down": 0.05,
                         "secondary_down": 0.1}
    return group


def random_rules(rng, instance):
    groups = instance["groups"]
    if maybe(rng, 0.4) and len(groups) > 2:
        for key in ("count", "running"):
            groups[1][key] = json.loads(json.dumps(groups[0][key]))
        if "sites" in groups[0]:
            groups[1]["sites"] = groups[0]["sites"]
        else:
            groups[1].pop("sites", None)
        instance["affinity"] = [{"id": "pair", "groups": ["g0", "g1"], "mode": "pair"}]
    if maybe(rng, 0.2) and len(groups) > 3:
        last = groups[-1]
        site = (last.get("sites") or [s["id"] for s in instance["sites"]])[0]
        last["running"] = [{"site": site, "count": last["count"], "dwell_left": 0}]
        instance.setdefault("affinity", []).append(
            {"id": "all", "groups": [last["id"]], "mode": "all"})
    if maybe(rng, 0.4):
        group = groups[len(groups) // 2]
        most = max([r["count"] for r in group["running"]] + [1])
        instance["anti_affinity"] = [{"id": "apart", "groups": [group["id"]],
                                      "max_per_site": max(most, (group["count"] + 1) // 2)}]


def random_instance(seed):
    rng = random.Random(f"oracle/{seed}")
    names = [f"s{index}" for index in range(rng.choice([2, 2, 3, 3, 4]))]
    groups = [random_group(rng, index, names) for index in range(rng.randint(2, 7))]
    need = {"cpu": sum(g["count"] * g["cpu"] for g in groups),
            "ram": sum(g["count"] * g["ram_gb"] for g in groups),
            "kw": sum(g["count"] * max(g["power_w"]) for g in groups) / 1000}
    areas = [f"a{rng.randint(0, 1)}" for _ in names]
    instance = {
        "schema": "apn-migrate/plan-instance/1", "name": f"oracle {seed}", "slots": SLOTS,
        "weights": {"price": 1, "carbon_yen_per_kg": rng.choice([0, 5]),
                    "grid_yen_per_kwh": rng.choice([0, 1])},
        "risk": {"p10": 0.3, "p50": 0.4, "p90": 0.3, "peak": rng.choice(["p10", "p50"])},
        "sites": [random_site(rng, name, area, need) for name, area in zip(names, areas)],
        "links": [{"from": a, "to": b,
                   "rate_gbit_s": round(rng.uniform(4, 40) * 8 / 1800, 4),
                   "yen_per_gb": round(rng.uniform(0, 0.02), 4), "blackout_ms": 30}
                  for a in names for b in names if a != b and maybe(rng, 0.9)],
        "groups": groups}
    if maybe(rng, 0.15):
        instance["start_slot"] = rng.randint(1, 4)
    instance["areas"] = [
        {"id": area, "gate_slots": rng.choice([0, 2]),
         "committed_kw": [round(need["kw"] * rng.uniform(0.2, 1), 2)] * SLOTS,
         "imbalance_up_yen_per_kwh": curve(rng, 12, 30),
         "imbalance_down_yen_per_kwh": curve(rng, 2, 10)} for area in sorted(set(areas))]
    random_rules(rng, instance)
    return instance


def series(value, default=0.0, slots=SLOTS):
    if value is None:
        value = default
    return list(value) if isinstance(value, list) else [value] * slots


class Program:
    """A mixed-integer program in LP format."""

    def __init__(self):
        self.objective = []
        self.constant = 0.0
        self.rows = []
        self.bounds = []
        self.integers = []
        self.binaries = []

    def cost(self, coefficient, name):
        if coefficient:
            self.objective.append((coefficient, name))

    def row(self, terms, sense, right):
        merged = {}
        for coefficient, name in terms:
            merged[name] = merged.get(name, 0.0) + coefficient
        if not merged:
            merged = {"zero": 1.0}
        self.rows.append((merged, sense, right))

    def text(self):
        merged = {"one": self.constant}
        for coefficient, name in self.objective:
            merged[name] = merged.get(name, 0.0) + coefficient
        out = ["Minimize", " cost: " + self.sum([(c, n) for n, c in merged.items()]),
               "Subject To", " fix: one + zero = 1"]
        for index, (terms, sense, right) in enumerate(self.rows):
            out.append(f" r{index}: {self.sum(list((c, n) for n, c in terms.items()))} "
                       f"{sense} {right!r}")
        out.append("Bounds\n 0 <= zero <= 0")
        out += [f" {low!r} <= {name} <= {high!r}" for low, name, high in self.bounds]
        out.append("General")
        out += [" " + name for name in self.integers + self.binaries]
        out.append("End\n")
        return "\n".join(out)

    @staticmethod
    def sum(terms):
        lines, line = [], ""
        for coefficient, name in terms:
            line += f" {'-' if coefficient < 0 else '+'} {abs(coefficient)!r} {name}"
            if len(line) > 200:
                lines.append(line)
                line = ""
        return "\n".join(lines + [line]).strip() or "0 one"


def merged_groups(instance):
    """Groups as units: pairs become one group with summed needs, "all" one unit."""
    groups = {g["id"]: g for g in instance["groups"]}
    units = []
    taken = set()
    for rule in instance.get("affinity", []):
        taken |= set(rule["groups"])
        members = [groups[name] for name in rule["groups"]]
        pair = rule["mode"] == "pair"
        units.append({"count": members[0]["count"] if pair else 1,
                      "members": [(m, 1 if pair else m["count"]) for m in members],
                      "all": not pair})
    for name, group in groups.items():
        if name not in taken:
            units.append({"count": group["count"], "members": [(group, 1)], "all": False})
    return units


def unit_flows(program, instance, unit, tag, names):
    """Integer flows of one kind of unit. Returns terms of presence and moves."""
    first = instance.get("start_slot", 0)
    span = range(first, SLOTS)
    dwell = max(m["min_dwell_slots"] for m, _ in unit["members"])
    allowed = [n for n in names if all(n in m.get("sites", names) for m, _ in unit["members"])]
    starts = {}
    placed = 0
    lead = unit["members"][0][0]
    for index, entry in enumerate(lead.get("running", [])):
        count = 1 if unit["all"] else entry["count"]
        hold = max([m["running"][index]["dwell_left"] for m, _ in unit["members"]])
        starts.setdefault((entry["site"], min(hold, SLOTS - first)), 0)
        starts[(entry["site"], min(hold, SLOTS - first))] += count
        placed += count
    waiting = unit["count"] - placed
    links = {(l["from"], l["to"]): l for l in instance["links"]}
    gb = sum(m["move_gb"] * k for m, k in unit["members"])
    present = {(n, t): [] for n in names for t in span}
    constant = {(n, t): 0 for n in names for t in span}
    moves = {}
    free = {(n, t): ([], 0) for n in names for t in range(first, SLOTS + 1)}

    def integer(name):
        program.integers.append(name)
        program.bounds.append((0, name, unit["count"]))
        return name

    arrive = {(n, t): [] for n in names for t in span}
    for (a, b), link in links.items():
        for t in span:
            if b in allowed and series(link["rate_gbit_s"])[t] * 225 >= gb * (1 - 1e-9):
                name = integer(f"m_{tag}_{a}_{b}_{t}")
                moves[(a, b, t)] = name
                arrive[(b, t)].append(name)
    if waiting:
        news = []
        for n in allowed:
            name = integer(f"n_{tag}_{n}")
            news.append((1.0, name))
            arrive[(n, first)].append(name)
        program.row(news, "=", waiting)
    for (n, hold), count in starts.items():
        for t in range(first, first + hold):
            constant[(n, t)] += count
        terms, base = free[(n, first + hold)]
        free[(n, first + hold)] = (terms, base + count)
    for n in names:
        for t in span:
            stay = integer(f"f_{tag}_{n}_{t}")
            if n not in allowed:
                program.row([(1.0, stay)], "=", 0)
            terms, base = free[(n, t)]
            out = [(1.0, moves[key]) for key in moves if key[0] == n and key[2] == t]
            program.row([(1.0, stay)] + out + [(-1.0, name) for name in terms], "=", base)
            free[(n, t + 1)][0].append(stay)
            present[(n, t)].append(stay)
            for name in arrive[(n, t)]:
                for later in range(t, min(t + dwell, SLOTS)):
                    present[(n, later)].append(name)
                free[(n, min(t + dwell, SLOTS))][0].append(name)
    return present, constant, moves, gb


def build(instance):
    program = Program()
    names = [s["id"] for s in instance["sites"]]
    first = instance.get("start_slot", 0)
    span = range(first, SLOTS)
    use = {(kind, n, t): ([], 0.0) for kind in ("cpu", "ram", "kw", "pu", "su", "pd", "sd")
           for n in names for t in span}
    link_use = {}
    count_of = {}
    links = {(l["from"], l["to"]): l for l in instance["links"]}
    sites = {s["id"]: s for s in instance["sites"]}

    def add(kind, n, t, coefficient, terms, base):
        old, constant = use[(kind, n, t)]
        old += [(coefficient, name) for name in terms]
        use[(kind, n, t)] = (old, constant + coefficient * base)

    for index, unit in enumerate(merged_groups(instance)):
        present, constant, moves, gb = unit_flows(program, instance, unit, f"u{index}", names)
        for member, each in unit["members"]:
            watt = series(member["power_w"])
            flex = member.get("flex", {})
            for n in names:
                for t in span:
                    kw = (watt[t] / 1000 * each * sites[n]["power_scale"]
                          * series(sites[n]["pue"])[t])
                    terms, base = present[(n, t)], constant[(n, t)]
                    add("cpu", n, t, member["cpu"] * each, terms, base)
                    add("ram", n, t, member["ram_gb"] * each, terms, base)
                    add("kw", n, t, kw, terms, base)
                    for key, name in (("pu", "primary_up"), ("su", "secondary_up"),
                                      ("pd", "primary_down"), ("sd", "secondary_down")):
                        add(key, n, t, kw * flex.get(name, 0), terms, base)
                    old = count_of.setdefault((member["id"], n, t), [[], 0])
                    old[0] += [(each, name) for name in terms]
                    old[1] += each * base
        for (a, b, t), name in moves.items():
            link_use.setdefault((a, b, t), []).append((gb, name))
            add("ram", a, t, sum(m["ram_gb"] * k for m, k in unit["members"]), [name], 0)
            for member, each in unit["members"]:
                program.cost(each * (member["move_gb"] * links[(a, b)]["yen_per_gb"]
                                     + member["yen_per_move"] + member["yen_per_blackout_s"]
                                     * links[(a, b)]["blackout_ms"] / 1000), name)
    for (a, b, t), terms in link_use.items():
        program.row(terms, "<=", series(links[(a, b)]["rate_gbit_s"])[t] * 225)
    for rule in instance.get("anti_affinity", []):
        for n in names:
            for t in span:
                terms, base = [], 0
                for group in rule["groups"]:
                    terms += count_of[(group, n, t)][0]
                    base += count_of[(group, n, t)][1]
                program.row(terms, "<=", rule["max_per_site"] - base)
    imports = {}
    for site in instance["sites"]:
        build_site(program, instance, site, use, imports, span)
    build_gates(program, instance, imports, span)
    return program


def build_site(program, instance, site, use, imports, span):
    n = site["id"]
    weights = instance["weights"]
    risk = instance["risk"]
    surplus = site.get("surplus_kw", {"p10": 0, "p50": 0, "p90": 0})
    gate = next((a["gate_slots"] for a in instance["areas"] if a["id"] == site["area"]), 0)
    battery = site.get("battery")
    reserve = site.get("reserve", {})
    need = {key: series(reserve.get(key)) for key in
            ("primary_up_kw", "secondary_up_kw", "primary_down_kw", "secondary_down_kw")}
    program.bounds.append((site.get("peak_so_far_kw", 0), f"peak_{n}",
                           site.get("contract_kw", 1e7) if site.get("contract_kw", 1e7) >
                           site.get("peak_so_far_kw", 0) else site.get("peak_so_far_kw", 0)))
    program.cost(site.get("demand_yen_per_kw", 0), f"peak_{n}")
    for t in span:
        program.row(use[("cpu", n, t)][0], "<=", series(site["cpu"])[t] - use[("cpu", n, t)][1])
        program.row(use[("ram", n, t)][0], "<=",
                    series(site["ram_gb"])[t] - use[("ram", n, t)][1])
        load, base = use[("kw", n, t)]
        base += site["idle_kw"] * series(site["pue"])[t]
        if "power_kw" in site:
            program.row(load, "<=", series(site["power_kw"])[t] - base)
        meter = [(1.0, f"c_{n}_{t}"), (-1.0, f"d_{n}_{t}")] if battery else []
        program.row([(1.0, f"net_{n}_{t}")] + [(-c, v) for c, v in load]
                    + [(-c, v) for c, v in meter], "=", base)
        for quantile in ("p10", "p50", "p90"):
            name = f"g_{quantile}_{n}_{t}"
            program.row([(1.0, name), (-1.0, f"net_{n}_{t}")], ">=", -series(surplus[quantile])[t])
            yen = weights["carbon_yen_per_kg"] * series(site.get("carbon_g_per_kwh"))[t] / 1000 \
                + weights["grid_yen_per_kwh"]
            if t - span[0] >= gate:
                yen += weights["price"] * series(site["price_yen_per_kwh"])[t]
            program.cost(risk[quantile] * HOURS * yen, name)
            imports.setdefault((n, t), []).append((risk[quantile] * HOURS, name))
        peak = series(surplus[risk["peak"]])[t]
        program.row([(1.0, f"net_{n}_{t}"), (-1.0, f"peak_{n}")], "<=", peak)
        if "contract_kw" in site:
            program.row([(1.0, f"net_{n}_{t}")], "<=", site["contract_kw"] + peak
                        - need["primary_down_kw"][t] - need["secondary_down_kw"][t])
        for up, fast, slow, key in ((True, "primary_up_kw", "secondary_up_kw", ("pu", "su")),
                                    (False, "primary_down_kw", "secondary_down_kw", ("pd", "sd"))):
            kw = 0 if not battery else battery["discharge_kw" if up else "charge_kw"]
            sign = 1.0 if up else -1.0
            for kind, wanted in ((key[0], need[fast][t]), (key[1], need[fast][t] + need[slow][t])):
                if wanted > 0:
                    give, fixed = use[(kind, n, t)]
                    program.row(give + [(sign * c, v) for c, v in meter], ">=",
                                wanted - kw - fixed)
    if battery:
        build_battery(program, n, battery, need, span)


def build_battery(program, n, battery, need, span):
    def reserved(fast, slow, kw, t):
        return min(need[fast][t], kw) * 5 / 60 + min(need[slow][t], kw) * HOURS

    for t in span:
        program.bounds.append((0, f"c_{n}_{t}", battery["charge_kw"]))
        program.bounds.append((0, f"d_{n}_{t}", battery["discharge_kw"]))
        program.bounds.append((0, f"b_{n}_{t}", 1))
        program.binaries.append(f"b_{n}_{t}")
        program.row([(1.0, f"c_{n}_{t}"), (-battery["charge_kw"], f"b_{n}_{t}")], "<=", 0)
        program.row([(1.0, f"d_{n}_{t}"), (battery["discharge_kw"], f"b_{n}_{t}")], "<=",
                    battery["discharge_kw"])
        before = [] if t == span[0] else [(-1.0, f"e_{n}_{t - 1}")]
        program.row([(1.0, f"e_{n}_{t}"),
                     (-HOURS * battery["charge_efficiency"], f"c_{n}_{t}"),
                     (HOURS / battery["discharge_efficiency"], f"d_{n}_{t}")] + before, "=",
                    battery["soc_kwh"] if t == span[0] else 0)
        near = [t] if t == span[-1] else [t, t + 1]
        low = battery["soc_min_kwh"] + max(
            reserved("primary_up_kw", "secondary_up_kw", battery["discharge_kw"], u)
            for u in near)
        high = battery["soc_max_kwh"] - max(
            reserved("primary_down_kw", "secondary_down_kw", battery["charge_kw"], u)
            for u in near)
        if t == span[-1]:
            low = max(low, battery["soc_final_kwh"])
        program.row([(1.0, f"e_{n}_{t}")], ">=", low)
        program.row([(1.0, f"e_{n}_{t}")], "<=", high)


def build_gates(program, instance, imports, span):
    for area in instance["areas"]:
        for t in list(span)[:area["gate_slots"]]:
            terms = []
            for site in instance["sites"]:
                if site["area"] == area["id"]:
                    terms += imports[(site["id"], t)]
            over, under = f"over_{area['id']}_{t}", f"under_{area['id']}_{t}"
            program.row(terms + [(-1.0, over), (1.0, under)], "=",
                        series(area["committed_kw"])[t] * HOURS)
            program.cost(series(area["imbalance_up_yen_per_kwh"])[t], over)
            program.cost(-series(area["imbalance_down_yen_per_kwh"])[t], under)


def solve_cbc(path, seconds):
    answer = path + ".cbc"
    try:
        subprocess.run(["cbc", path, "-ratioGap", "0", "-allowableGap", "1e-7", "-seconds",
                        str(seconds), "-primalTolerance", "1e-9", "-solve", "-solution", answer],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                       timeout=seconds * 4 + 60)
    except subprocess.TimeoutExpired:  # its own limit counts processor time
        return "unknown", None
    with open(answer, encoding="utf-8") as file:
        head = file.readline()
    if head.startswith("Optimal"):
        return "optimal", float(head.split()[-1])
    if "nfeasible" in head:
        return "infeasible", None
    return "unknown", None


def solve_highs(path, modules, seconds):
    script = ("const fs=require('fs');require('highs')().then(h=>{const r=h.solve(fs.readFileSync("
              "process.argv[1],'utf8'),{mip_rel_gap:0,mip_abs_gap:1e-7,time_limit:%d});"
              "console.log(JSON.stringify([r.Status,r.ObjectiveValue]))})" % seconds)
    try:
        done = subprocess.run(["node", "-e", script, path], capture_output=True, text=True,
                              env=dict(os.environ, NODE_PATH=modules), check=False,
                              timeout=seconds * 4 + 60)
    except subprocess.TimeoutExpired:
        return "unknown", None
    if done.returncode != 0 or not done.stdout.strip():
        return "unknown", None
    status, value = json.loads(done.stdout.strip().splitlines()[-1])
    return {"Optimal": ("optimal", value), "Infeasible": ("infeasible", None)}.get(
        status, ("unknown", None))


def plan(agent, path):
    done = subprocess.run([agent, "plan", "--json", path], capture_output=True, text=True,
                          check=False, timeout=300)
    if done.returncode == 0:
        return json.loads(done.stdout), ""
    if done.returncode == 1:
        return None, done.stdout + done.stderr
    raise SystemExit(f"{path}: vmm-agent plan: exit {done.returncode}: {done.stderr}")


def compare(seed, answer, refusal, exact, who, record):
    status, optimum = exact
    record["exact"] = status
    if status == "unknown":
        return []
    if answer is None:
        if status == "infeasible":
            return []
        record["missed"] = True
        proved = "no plan found" not in refusal
        return [f"{seed}: {who} finds a plan at {optimum}, refused{' as proved' if proved else ''}: "
                f"{refusal.strip()[-200:]}"]
    if status == "infeasible":
        return [f"{seed}: {who} says infeasible, the planner has a checked plan"]
    slack = 1e-6 * abs(optimum) + 1e-4
    cost, bound = answer["cost_yen"]["total"], answer["bound_yen"]
    record.update(optimum=optimum, true_gap=(cost - optimum) / max(abs(cost), 1e-9))
    wrong = []
    if bound > optimum + slack:
        wrong.append(f"{seed}: bound {bound} is above the optimum {optimum} of {who}")
    if cost < optimum - slack:
        wrong.append(f"{seed}: cost {cost} is below the optimum {optimum} of {who}")
    if cost - optimum > answer["gap"] * abs(cost) + slack:
        wrong.append(f"{seed}: cost {cost} is further from {optimum} than the gap {answer['gap']}")
    return wrong


def full_count():
    return os.environ.get("APN_TEST_FULL", "") not in ("", "0")


def chosen_seeds(args):
    """All that were asked for, or every seventh of the 300: kinds of instances do not follow
    their numbers, so any such choice is as varied as the whole."""
    if args.count:
        return list(range(args.first, args.first + args.count))
    if full_count():
        return list(range(COUNT_FULL))
    day = int(time.time() // 86400) % 7
    return list(range(day, COUNT_FULL, 7))[:COUNT_QUICK]


def find_highs(given):
    """(node_modules folder with the package highs, why not): @given, or at full count what npm brings"""
    if not shutil.which("node"):
        return None, "node is not installed (Debian package nodejs)"
    if given:
        there = os.path.isdir(os.path.join(given, "highs"))
        return (given, "") if there else (None, "%s holds no package highs" % given)
    if not full_count():
        return None, "only at full count, or with --highs"
    folder, why = npm_module(*HIGHS)
    return (os.path.dirname(folder), "") if folder else (None, why)


def run(args):
    if shutil.which("cbc") is None:
        print("skipped: cbc is not installed (apt-get install coinor-cbc)")
        return 77
    modules, why = find_highs(args.highs)
    if not modules:
        print("note: second oracle left out: " + why)
    wrong, records = [], []
    seeds = chosen_seeds(args)
    args.seconds = args.seconds or (60 if len(seeds) > COUNT_QUICK else 10)
    print(f"instances {' '.join(str(seed) for seed in seeds)}"
          if len(seeds) <= COUNT_QUICK else f"instances {seeds[0]}..{seeds[-1]}")
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            instance = random_instance(seed)
            path = os.path.join(args.keep or folder, f"i{seed}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(instance, file)
            program = os.path.join(args.keep or folder, f"i{seed}.lp")
            with open(program, "w", encoding="utf-8") as file:
                file.write(build(instance).text())
            answer, refusal = plan(args.agent, path)
            record = {"seed": seed, "cost": answer and answer["cost_yen"]["total"],
                      "gap": answer and answer["gap"]}
            wrong += compare(seed, answer, refusal, solve_cbc(program, args.seconds), "Cbc", record)
            if modules and (args.highs or seed % 2 == 0):  # it takes three times as long as Cbc
                wrong += compare(seed, answer, refusal,
                                 solve_highs(program, modules, args.seconds), "HiGHS", record)
            records.append(record)
    gaps = sorted(r["true_gap"] for r in records if "true_gap" in r)
    stated = sorted(r["gap"] for r in records if "true_gap" in r)
    summary = {"instances": len(records), "solved": len(gaps),
               "infeasible": sum(r["exact"] == "infeasible" for r in records),
               "undecided": sum(r["exact"] == "unknown" for r in records),
               "at_optimum": sum(g <= 1e-6 for g in gaps),
               "true_gap_median": gaps[len(gaps) // 2] if gaps else None,
               "true_gap_max": gaps[-1] if gaps else None,
               "stated_gap_median": stated[len(stated) // 2] if stated else None,
               "stated_gap_max": stated[-1] if stated else None, "wrong": len(wrong)}
    print(json.dumps(summary))
    for line in wrong:
        print("WRONG", line)
    if args.records:
        with open(args.records, "w", encoding="utf-8") as file:
            json.dump({"summary": summary, "records": records}, file, indent=1)
    return 1 if wrong or not gaps else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("agent", help="the vmm-agent program")
    parser.add_argument("--count", type=int, default=0, help="so many from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0,
                        help="per exact solution (60, in the quick run 10)")
    parser.add_argument("--highs", default=os.environ.get("APN_NODE_MODULES", ""),
                        help="node_modules folder with the package highs")
    parser.add_argument("--keep", help="folder to keep instances and programs in")
    parser.add_argument("--records", help="write every comparison there")
    sys.exit(run(parser.parse_args()))


if __name__ == "__main__":
    main()
