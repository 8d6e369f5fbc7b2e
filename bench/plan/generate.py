#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""generate.py - planning instances of any size, all constraints present and tight

Same arguments, same file. --tightness scales every capacity that can bind: 1.0 is the published
setting, below 1 is tighter. docs/planner.md ("Instances of the benchmark") explains the choices
and bench/plan/run measures how many rows of each kind bind in the plan that comes out.
"""
import argparse
import json
import math
import random
import sys

AREAS = ["kyushu", "kansai", "tokyo", "hokkaido", "chugoku", "tohoku", "chubu", "shikoku",
         "hokuriku", "okinawa"]
# Mean price and solar weight per area: solar-rich areas are cheap at noon and dear in the evening.
PRICE = [9.8, 10.7, 12.5, 11.7, 10.4, 11.6, 11.5, 9.9, 10.6, 13.0]
SOLAR = [1.0, 0.35, 0.30, 0.45, 0.6, 0.55, 0.35, 0.8, 0.25, 0.4]
CARBON = [245, 300, 450, 374, 385, 397, 410, 330, 420, 600]


def day_shape(slot, slots):
    """Hour of day 0..24 of the middle of a slot (a horizon is a whole number of days or less)."""
    return ((slot + 0.5) * 0.5) % 24


def solar(hour):
    return max(0.0, math.sin(math.pi * (hour - 6) / 12)) ** 1.3 if 6 < hour < 18 else 0.0


def evening(hour):
    return math.exp(-((hour - 18.5) / 2.2) ** 2)


def round_all(values, digits=3):
    return [round(value, digits) for value in values]


def make_groups(rng, args, sites):
    left = args.vms
    groups = []
    for index in range(args.groups):
        rest = args.groups - index
        count = left if rest == 1 else max(1, min(left - rest + 1,
                                                  round(rng.uniform(0.4, 1.6) * left / rest)))
        left -= count
        cpu = rng.choice([1, 2, 2, 4, 4, 4, 8, 8, 16, 32])
        ram = cpu * rng.choice([2, 4, 4, 8])
        watt = cpu * rng.uniform(6, 14)
        phase = rng.uniform(0, 24)
        swing = rng.uniform(0, 0.4)
        power = [watt * (1 + swing * math.cos(2 * math.pi * (day_shape(slot, args.slots) - phase)
                                              / 24)) for slot in range(args.slots)]
        group = {
            "id": f"g{index}", "count": count, "cpu": cpu, "ram_gb": ram,
            "power_w": round_all(power, 1),
            "move_gb": round(ram * rng.uniform(0.4, 1.3), 2),
            "yen_per_move": round(rng.uniform(0.05, 0.4), 3),
            "yen_per_blackout_s": round(rng.uniform(0, 5), 2),
            "min_dwell_slots": rng.choice([1, 2, 4, 4, 6, 8]),
        }
        if rng.random() < 0.2:  # sovereignty
            size = max(2, round(sites * rng.uniform(0.4, 0.8)))
            group["allowed"] = sorted(rng.sample(range(sites), min(size, sites)))
        if rng.random() < 0.15:
            flex = round(rng.uniform(0.1, 0.5), 2)
            group["flex"] = {"primary_up": round(flex / 2, 3), "secondary_up": flex}
        groups.append(group)
    return groups


def place(rng, groups, names, share):
    """Where everything runs at the start: first allowed site with room, from a random order."""
    load = [0.0] * len(names)
    ram = [0.0] * len(names)
    kw = [0.0] * len(names)
    kw_all = sum(g["count"] * max(g["power_w"]) for g in groups)
    cpu_all = sum(g["count"] * g["cpu"] for g in groups)
    ram_all = sum(g["count"] * g["ram_gb"] for g in groups)
    for group in groups:
        allowed = group.pop("allowed", list(range(len(names))))
        group["sites"] = [names[site] for site in allowed]
        if len(allowed) == len(names):
            del group["sites"]
        parts = min(len(allowed), rng.choice([1, 2]), group["count"])
        if "part" in group:
            parts = 1
        order = sorted(allowed, key=lambda s: (max(load[s] / cpu_all, ram[s] / ram_all,
                                                   kw[s] / kw_all) / share[s], rng.random()))
        running = []
        left = group["count"]
        for part in range(parts):
            count = left if part == parts - 1 else left // 2
            left -= count
            site = order[part % len(order)]
            load[site] += count * group["cpu"]
            ram[site] += count * group["ram_gb"]
            kw[site] += count * max(group["power_w"])
            if count:
                running.append({"site": names[site], "count": count,
                                "dwell_left": rng.choice([0, 0, 0, 1, 2])})
        group["running"] = running
    return load, ram


def make_rules(rng, groups):
    affinity = []
    limits = []
    for index in range(0, len(groups) - 1, 20):  # every 20th group has a twin that stays with it
        first, twin = groups[index], groups[index + 1]
        for key in ("count", "running", "sites"):
            if key in first:
                twin[key] = first[key]
            elif key in twin:
                del twin[key]
        affinity.append({"id": f"with{index}", "groups": [first["id"], twin["id"]],
                         "mode": "pair"})
    for index in range(10, len(groups), 20):
        group = groups[index]
        most = max([entry["count"] for entry in group["running"]])
        limits.append({"id": f"apart{index}", "groups": [group["id"]],
                       "max_per_site": max(most, math.ceil(group["count"] * 0.5))})
    return affinity, limits


def make_site(rng, args, index, share, totals):
    slots = args.slots
    area = index % len(AREAS)
    mean = PRICE[area] * rng.uniform(0.95, 1.05)
    shift = rng.uniform(-0.5, 0.5)
    price = []
    carbon = []
    p50 = []
    weather = rng.uniform(0.6, 1.1)
    for slot in range(slots):
        hour = day_shape(slot, slots) + shift
        price.append(max(0.01, mean * (1 - 0.75 * SOLAR[area] * weather * solar(hour)
                                       + 0.5 * evening(hour)) + rng.gauss(0, 0.4)))
        carbon.append(CARBON[area] * (1 - 0.5 * SOLAR[area] * weather * solar(hour)))
        p50.append(totals["kw"] * 0.55 * SOLAR[area] * weather * solar(hour)
                   * 3 / args.sites * share)
    tight = args.tightness
    kw = totals["kw"] * share
    pue = [round(1.15 + 0.1 * solar(day_shape(slot, slots)) + 0.03 * index % 0.1, 4)
           for slot in range(slots)]
    site = {
        "id": f"site{index}", "area": AREAS[area],
        "cpu": round(totals["cpu"] * share * 1.30 * tight + 64),
        "ram_gb": round(totals["ram"] * share * 1.30 * tight + 256),
        "power_kw": round(kw * 1.22 * 1.32 * tight + 3, 1),
        "idle_kw": round(kw * 0.05, 2), "pue": pue,
        "power_scale": round(rng.uniform(0.95, 1.1), 3),
        "price_yen_per_kwh": round_all(price, 2), "carbon_g_per_kwh": round_all(carbon, 1),
        "surplus_kw": {"p10": round_all([0.7 * value for value in p50]),
                       "p50": round_all(p50), "p90": round_all([1.2 * value for value in p50])},
        "contract_kw": round(kw * 1.22 * 1.45 * tight + 4, 1),
        "demand_yen_per_kw": round(rng.uniform(45, 60), 2),
        "peak_so_far_kw": round(kw * 1.22 * 0.95, 1),
    }
    if index % 2 == 0:
        size = kw * rng.uniform(0.3, 0.6)
        site["battery"] = {"charge_kw": round(size / 2, 2), "discharge_kw": round(size / 2, 2),
                           "charge_efficiency": 0.95, "discharge_efficiency": 0.95,
                           "soc_kwh": round(size * 0.4, 2), "soc_min_kwh": round(size * 0.1, 2),
                           "soc_max_kwh": round(size, 2), "soc_final_kwh": round(size * 0.4, 2)}
        site["reserve"] = {
            "primary_up_kw": [round(size * 0.10, 3) if slot % 48 in range(16, 40) else 0
                              for slot in range(slots)],
            "secondary_up_kw": [round(size * 0.25, 3) if slot % 48 in range(28, 44) else 0
                                for slot in range(slots)],
            "primary_down_kw": [round(size * 0.10, 3) if slot % 48 in range(16, 32) else 0
                                for slot in range(slots)]}
    return site


def make_links(rng, args, names, totals):
    links = []
    for a, source in enumerate(names):
        for b, dest in enumerate(names):
            if a == b:
                continue
            # In one slot about 3 % of one site's memory fits through, whatever the size.
            gb = max(totals["ram"] / args.sites * 0.03 * args.tightness * rng.uniform(0.7, 1.3),
                     260)
            links.append({"from": source, "to": dest, "rate_gbit_s": round(gb * 8 / 1800, 4),
                          "yen_per_gb": round(rng.uniform(0.001, 0.004), 5),
                          "blackout_ms": rng.choice([20, 25, 30, 40])})
    return links


def make_areas(rng, args, sites):
    """The first two slots are past gate closure: what was bought is what runs there now."""
    areas = []
    for name in sorted({site["area"] for site in sites}):
        mine = [site for site in sites if site["area"] == name]
        price = mine[0]["price_yen_per_kwh"]
        kw = sum(site["peak_so_far_kw"] for site in mine) * 0.8
        areas.append({"id": name, "gate_slots": 2,
                      "committed_kw": [round(kw, 1)] * args.slots,
                      "imbalance_up_yen_per_kwh": [round(value * 1.4 + 1, 2) for value in price],
                      "imbalance_down_yen_per_kwh": [round(value * 0.6, 2) for value in price]})
    return areas


def generate(args):
    rng = random.Random(f"{args.seed}/{args.sites}/{args.groups}/{args.vms}/{args.slots}")
    names = [f"site{index}" for index in range(args.sites)]
    groups = make_groups(rng, args, args.sites)
    for index in range(0, len(groups) - 1, 20):
        groups[index + 1]["count"] = groups[index]["count"]
        groups[index + 1].pop("allowed", None)
        if "allowed" in groups[index]:
            groups[index + 1]["allowed"] = list(groups[index]["allowed"])
    weights = [rng.uniform(0.85, 1.15) for _ in names]
    share = [weight / sum(weights) for weight in weights]
    place(rng, groups, names, share)
    affinity, limits = make_rules(rng, groups)
    totals = {"cpu": sum(g["count"] * g["cpu"] for g in groups),
              "ram": sum(g["count"] * g["ram_gb"] for g in groups),
              "kw": sum(g["count"] * max(g["power_w"]) for g in groups) / 1000}
    sites = [make_site(rng, args, index, share[index], totals) for index in range(args.sites)]
    return {
        "schema": "apn-migrate/plan-instance/1",
        "name": f"generated seed {args.seed}: {args.sites} sites, {args.slots} slots, "
                f"{args.groups} groups, {args.vms} VMs, tightness {args.tightness}",
        "slots": args.slots, "start": "2026-04-02T00:00:00+09:00",
        "weights": {"price": 1, "carbon_yen_per_kg": 3, "grid_yen_per_kwh": 0.5},
        "risk": {"p10": 0.35, "p50": 0.4, "p90": 0.25, "peak": "p10"},
        "areas": make_areas(rng, args, sites), "sites": sites,
        "links": make_links(rng, args, names, totals), "groups": groups, "affinity": affinity,
        "anti_affinity": limits,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--vms", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tightness", type=float, default=1.0)
    parser.add_argument("--output", default="-")
    args = parser.parse_args()
    if args.vms < args.groups or args.sites < 2 or args.slots % 12:
        parser.error("need vms >= groups, sites >= 2 and slots a multiple of 12")
    text = json.dumps(generate(args), separators=(",", ":"))
    if args.output == "-":
        sys.stdout.write(text + "\n")
    else:
        with open(args.output, "w", encoding="utf-8") as out:
            out.write(text + "\n")


if __name__ == "__main__":
    main()
