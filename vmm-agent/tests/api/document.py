#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""document - a state document with everything the page can show: document.py [--vms N] [--hostile] [--empty]

A spring day of three sites, one of them on paper; the same bytes at every call.

Owner: the tests of api/.  Thread: main.  Time: fixed, 2026-04-02.  Units: as in docs/agent-state.md.
"""
import argparse
import datetime
import json
import math
import sys

START = datetime.datetime(2026, 4, 1, 15, 0, tzinfo=datetime.timezone.utc)  # 00:00 in Japan
SLOT_NOW = 23
SITES = (
    # name, title, area, paper, limit, surplus peak kW, base price
    ("tokyo", "東京・大手町", "tokyo", False, 6.0, 1.2, 13.5),
    ("fukuoka", "福岡・北九州", "kyushu", False, 6.0, 5.4, 9.0),
    ("sapporo", "北海道・石狩", "hokkaido", True, 4.0, 2.6, 12.0),
)
GROUPS = ("batch", "train", "web", "db", "render")


def time_text(minutes):
    return (START + datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def sun(slot):
    return max(0.0, math.sin((slot / 2 - 5.5) / 13 * math.pi)) if 11 <= slot <= 37 else 0.0


def site(number, row):
    name, title, area, paper, limit, peak, price = row
    slots = []
    for slot in range(48):
        surplus = round(peak * sun(slot) ** 1.4 - 0.25, 3)
        dip = 0.01 if surplus > 2.2 else max(0.35, 1 - 0.75 * sun(slot))
        evening = 1.55 if 34 <= slot <= 40 else 1
        load = 1.2 + 0.5 * number + (2.2 if number == 1 and 18 <= slot < 32 else 0) - (0.6 if number == 0 and 18 <= slot < 32 else 0)
        one = {"start": time_text(30 * slot), "surplus_kw": max(surplus, 0) if slot != 44 else None,
               "price_yen_per_kwh": round(price * dip * evening, 2), "carbon_g_per_kwh": round(430 - 250 * sun(slot)),
               "load_kw": 0.0 if paper else round(load, 3)}
        if slot < SLOT_NOW:
            one["measured"] = True
            one["load_kw"] = 0.0 if paper else round(load * (1 + 0.05 * math.sin(slot * 1.7)), 3)
        slots.append(one)
    now = slots[SLOT_NOW]
    return {"name": name, "title": title, "area": area, "paper": paper, "vms": 0 if paper else 7,
            "power_kw": now["load_kw"], "limit_kw": limit, "surplus_kw": now["surplus_kw"],
            "price_yen_per_kwh": now["price_yen_per_kwh"], "carbon_g_per_kwh": now["carbon_g_per_kwh"],
            "battery": {"name": name + "-bess", "soc_kwh": 6.2, "soc_max_kwh": 10.0, "power_kw": -1.5} if number == 1 else None,
            "energy_kwh": round(14.2 + 9 * number, 2), "renewable_kwh": round(2.1 + 13.7 * number, 2) if not paper else 0, "slots": slots}


def machine(number, hostile):
    group = GROUPS[number % len(GROUPS)]
    home = ("fukuoka", "tokyo")[number % 2]
    name = "%s-%d" % (group, number // len(GROUPS) + 1)
    vm = {"name": name, "group": group, "state": "running", "site": home, "host": home[:3] + "-h%d" % (number % 3 % 2 + 1), "epoch": 3,
          "since": time_text(9 * 60 + 7 * (number % 30)), "power_w": 41.5 + number % 9 * 6, "cpu_used": round(0.4 + number % 7 * 0.22, 2), "ram_mib": (1024, 2048, 4096)[number % 3],
          "moves": number % 4, "migration": None, "wanted_site": home, "paused_by": [], "pinned": False, "cap": None, "armed": None, "fixed": "",
          "reason": "surplus of 4.2 kW at fukuoka until 15:30; staying costs 0.00 yen per half hour" if home == "fukuoka"
          else "no beneficial move: 0.8 yen saved is below the hysteresis of 2.0 yen"}
    if number == 1:
        vm.update(state="moving", wanted_site="fukuoka", migration=41, reason="plan: 3.4 kW of surplus at fukuoka in this slot, saves 18.2 yen until 15:30")
    if number == 5:
        vm.update(state="moving", wanted_site="fukuoka", migration=42, reason="plan: follows batch to the surplus at fukuoka, saves 11.9 yen")
    if number == 3:
        vm.update(state="paused", paused_by=["person"], fixed="paused by a person", reason="paused by a person at 11:02")
    if number == 7:
        vm.update(state="unknown", host=None, fixed="nobody knows where it runs", reason="the path was cut between grant and answer; both ends are silent")
    if number == 4:
        vm.update(armed={"host": "tok-h1", "converged": True}, reason="armed for demand response: a converged copy waits at tok-h1")
    if number == 9:
        vm.update(pinned="fukuoka only: licence", fixed="pinned to tokyo", reason="sovereignty: may not leave area tokyo")
    if hostile and number == 0:
        vm.update(name="<img src=x onerror=alert(1)>", reason="\"><script>alert('x')</script> ' & \\ 改行なしの長い理由" * 4)
    return vm


def migration(number, vm, state, **more):
    one = {"id": number, "vm": vm, "from": "tokyo", "to": "fukuoka", "from_host": "tok-h1", "to_host": "fuk-h1", "state": state, "stage": "release",
           "reason": "plan: 3.4 kW of surplus at fukuoka in this slot, saves 18.2 yen until 15:30", "origin": "plan", "benefit_yen": 18.2, "urgent": False, "attempt": 1,
           "transport": "apn", "queued_at": time_text(11 * 60 + 30), "started_at": time_text(11 * 60 + 31), "ended_at": None, "progress": 1.0, "rate_gbit_s": 2.31,
           "in_flight_bytes": 1875000, "remaining_bytes": 0, "bytes": 1151336448, "predicted_blackout_ms": 9.1, "blackout_ms": None, "cutover_ms": None,
           "real_s": 4.4, "energy_wh": 0.21, "retry_in_real_s": None, "error": None, "waits_for": None}
    one.update(more)
    return one


def migrations():
    yield migration(41, "train-1", "running", stage="transfer", progress=0.62, rate_gbit_s=2.34, in_flight_bytes=1802240, remaining_bytes=412090368, bytes=672137216,
                    predicted_blackout_ms=11.3, real_s=2.4)
    yield migration(42, "batch-2", "held", stage="transfer", origin="dr", progress=0.99, rate_gbit_s=0.11, in_flight_bytes=91000, remaining_bytes=2097152,
                    predicted_blackout_ms=8.2, reason="armed for demand response; copy is kept converged")
    yield migration(43, "web-2", "queued", stage="preflight", progress=0.0, rate_gbit_s=None, in_flight_bytes=None, remaining_bytes=None, bytes=0, predicted_blackout_ms=None,
                    started_at=None, real_s=None, energy_wh=None, benefit_yen=6.4, waits_for="the link tokyo–fukuoka carries 2 of 2 moves")
    for number, (vm, blackout, predicted) in enumerate((("render-1", 7.4, 8.0), ("db-1", 14.8, 12.5), ("batch-1", 9.9, 9.0), ("web-1", 31.0, 10.4))):
        yield migration(40 - number, vm, "done", ended_at=time_text(11 * 60 - 4 * number), blackout_ms=blackout, predicted_blackout_ms=predicted, cutover_ms=blackout + 1.5,
                        real_s=4.1 + number, bytes=1.1e9 + number * 2.4e8)
    yield migration(36, "render-2", "failed", stage="start", attempt=3, ended_at=time_text(10 * 60 + 12), progress=0, bytes=0, rate_gbit_s=None, predicted_blackout_ms=None,
                    error="destination fuk-h2: QEMU ended with status 1: cannot set up guest memory 'pc.ram'", reason="plan: surplus at fukuoka")
    yield migration(35, "db-2", "cancelled", stage="transfer", ended_at=time_text(9 * 60 + 40), progress=0.2, error="cancelled by a person", origin="person")


def plan():
    groups = [
        {"id": "batch", "ways": [{"count": 2, "from": "tokyo", "at": [[0, "tokyo"], [18, "fukuoka"], [32, "tokyo"]]}, {"count": 1, "from": "fukuoka", "at": [[0, "fukuoka"]]}]},
        {"id": "train", "ways": [{"count": 3, "from": "tokyo", "at": [[0, "tokyo"], [20, "fukuoka"], [33, "sapporo"], [38, "tokyo"]]}]},
        {"id": "web", "ways": [{"count": 3, "from": "tokyo", "at": [[0, "tokyo"]]}]},
        {"id": "db", "ways": [{"count": 2, "from": "fukuoka", "at": [[0, "fukuoka"]]}]},
        {"id": "render", "ways": [{"count": 3, "from": "tokyo", "at": [[0, "tokyo"], [22, "fukuoka"], [31, "tokyo"]]}]},
    ]
    moves = [
        {"vm": "train-1", "from": "tokyo", "to": "fukuoka", "slot": 23, "state": "running", "reason": "3.4 kW of surplus at fukuoka, saves 18.2 yen until 15:30"},
        {"vm": "web-2", "from": "tokyo", "to": "fukuoka", "slot": 23, "state": "queued", "reason": "saves 6.4 yen; waits for the link"},
        {"vm": "render-1", "from": "tokyo", "to": "fukuoka", "slot": 22, "state": "done", "reason": "surplus at fukuoka, saves 9.1 yen"},
        {"vm": "db-2", "from": "fukuoka", "to": "tokyo", "slot": 23, "state": "skipped", "reason": "dwell: it came 40 minutes ago, the minimum is 60"},
        {"vm": "render-2", "from": "tokyo", "to": "fukuoka", "slot": 22, "state": "failed", "reason": "given up after 3 attempts: destination would not start"},
    ]
    return {"made_at": time_text(11 * 60 + 30), "slots": 48, "start": time_text(0), "slot_now": SLOT_NOW, "cost_yen": 812.4, "stay_cost_yen": 1043.9, "bound_yen": 805.7, "gap": 0.0083,
            "solve_real_s": 1.42, "age_s": 612, "note": "", "kept": None, "groups": groups, "moves": moves}


def demand_response():
    """Section dr: two events, one answered from the frequency, one by the grid operator."""
    answers = [
        {"event": "freq-1", "origin": "frequency", "kind": "relative", "interval": 0, "sites": ["fukuoka"], "from": time_text(640), "to": time_text(655), "open": False, "value": -0.4,
         "within_s": 10.0, "target_kw": -0.4, "planned_kw": -0.42, "reached_kw": -0.41, "missing_kw": 0.0, "cost_yen": 0.7, "best_possible": True, "corrections": 0,
         "decided_real_s": 0.1, "commanded_real_s": 0.3, "changed_real_s": 1.42, "measures": {"battery": 1}},
        {"event": "evt-7", "origin": "vtn", "kind": "relative", "interval": 0, "sites": ["tokyo", "fukuoka"], "from": time_text(690), "to": time_text(750), "open": True, "value": -1.5,
         "within_s": 10.0, "target_kw": -1.5, "planned_kw": -1.55, "reached_kw": -1.31, "missing_kw": 0.19, "cost_yen": 12.9, "best_possible": True, "corrections": 1,
         "decided_real_s": 0.2, "commanded_real_s": 0.9, "changed_real_s": 3.8, "measures": {"release": 1, "pause": 2, "migrate": 1}},
    ]
    events = [{"id": answer["event"], "program": "prog-1" if answer["origin"] == "vtn" else "", "name": name, "origin": answer["origin"], "start": answer["from"], "end": answer["to"],
               "cancelled": False, "opted_out": False, "shifted_s": 0.0, "targets": [], "intervals": [], "note": note}
              for answer, name, note in zip(answers, ("frequency below 49.90 Hz", "下げDR 11:30"), ("", "report PULSE_COUNT is not made here"))]
    return {"sites": [{"site": "tokyo", "answering": True, "power_kw": 0.6, "sigma_kw": 0.03, "reference_kw": 1.31, "battery": None, "battery_kw": 0.0},
                      {"site": "fukuoka", "answering": True, "power_kw": 3.9, "sigma_kw": 0.08, "reference_kw": 4.5, "battery": 0.62, "battery_kw": -1.5}],
            "events": events, "answers": answers,
            "delivered": [{"event": "freq-1", "site": "fukuoka", "interval": 0, "from": time_text(640), "to": time_text(655), "drawn_kw": 3.5, "baseline_kw": 3.91, "change_kw": -0.41, "sigma_kw": 0.07,
                           "energy_kwh": -0.1, "method": "before", "covered": 1.0}],
            "guests": [{"vm": "render-1", "measure": "none", "armed": True, "copy_at": "tokyo"}, {"vm": "db-1", "measure": "paused", "armed": False, "copy_at": None},
                       {"vm": "batch-2", "measure": "releasing", "armed": True, "copy_at": "fukuoka"}],
            "frequency": {"hz": 49.973, "nominal_hz": 50.0, "stale": False, "answer_kw": 0.0},
            "openadr": {"url": "http://127.0.0.1:8080/openadr3/3.1.0", "state": "listed 14 s ago", "token": True, "enrolled": True, "subscribed": False, "programs": 1, "failures": 0,
                        "clock_off_s": 0.012, "events_read": 2, "reports_sent": 3, "reports_waiting": 0, "reports_dropped": 0, "listed_real_s": 14.0}}


def document(options):
    vms = [] if options.empty else [machine(number, options.hostile) for number in range(options.vms)]
    hosts = [{"name": name, "site": place, "up": name != "fuk-h2", "drained": name == "tok-h2", "cpu": 8, "cpu_used": 3.1 + index, "ram_mib": 32768, "ram_used_mib": 9216 + 2048 * index,
              "power_w": 212.0 + 31 * index, "vms": 3 + index, "reason": "QMP of 2 machines silent for 12 s" if name == "fuk-h2" else ""}
             for index, (name, place) in enumerate((("tok-h1", "tokyo"), ("tok-h2", "tokyo"), ("fuk-h1", "fukuoka"), ("fuk-h2", "fukuoka")))]
    state = {"schema": "apn-migrate/agent-state/1", "now": time_text(11 * 60 + 41),
             "agent": {"version": "0.1.0", "pid": 4711, "run": 12, "state": "recovering" if options.empty else "ready", "paused": False, "started_at": time_text(0), "memory_mib": 9.1},
             "clock": {"scale": 480.0, "slot": time_text(30 * SLOT_NOW), "slot_ends_in_real_s": 2.4},
             "sites": [site(number, row) for number, row in enumerate(SITES)], "hosts": [] if options.empty else hosts,
             "links": [{"a": "tokyo", "b": "fukuoka", "rate_gbit_s": 2.5, "measured_gbit_s": 2.36, "share": 0.9, "concurrent": 2, "busy": 0.91, "running": 2, "queued": 1}],
             "vms": vms, "migrations": [] if options.empty else list(migrations()), "plan": None if options.empty else plan(),
             "dr": {}, "alerts": []}
    if options.empty:
        state["plan_problem"] = "no price for area kyushu after 2026-04-02T06:00:00Z: fetched nothing for 26 h (limit 24 h)"
    else:
        state["alerts"] = [{"key": "vm/web-2/unknown", "severity": "person", "vm": "web-2", "text": "web-2: nobody knows which side runs it: the path was cut between grant and answer",
                            "check": "look at both hosts, then: vmm-agent resolve web-2 source|destination|absent", "since": time_text(11 * 60 + 12)},
                           {"key": "host/fuk-h2/down", "severity": "warning", "vm": None, "text": "fuk-h2: no answer for 12 s", "check": "is the host up? its machines are not touched",
                            "since": time_text(11 * 60 + 40)}]
        state["dr"] = demand_response()
    return state


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vms", type=int, default=14)
    parser.add_argument("--hostile", action="store_true", help="names and reasons that would break a careless page")
    parser.add_argument("--empty", action="store_true", help="an agent that has just started and has no plan")
    json.dump(document(parser.parse_args()), sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
