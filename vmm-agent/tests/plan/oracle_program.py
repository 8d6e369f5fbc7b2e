# SPDX-License-Identifier: GPL-2.0-or-later
"""oracle_program.py - an instance as an integer program (time-indexed flows), straight from docs/planner.md

build(instance) gives a Program, which writes itself as an LP file. Owner: oracle.py.
"""
from oracle_instances import HOURS, SLOTS


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
