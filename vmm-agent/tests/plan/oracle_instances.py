# SPDX-License-Identifier: GPL-2.0-or-later
"""oracle_instances.py - small random planning instances, every kind of constraint with some probability

random_instance(seed) gives one in the form that `vmm-agent plan` reads (docs/planner.md). Owner: oracle.py.
"""
import json
import math
import random

HOURS = 0.5  # of a slot
SLOTS = 12


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
