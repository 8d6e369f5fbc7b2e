# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py - what the day was: moves, blackouts, guests, demand response, renewable use

Owner: day.  Thread: main.  Time: monotonic of the samples.  Units: ms, s, kW, shares of 1.
"""
import json
import statistics

from harness.process import HarnessError

from . import agent as agents
from . import use, world

SCHEMA = "apn-day/1"
ENDED_WELL = ("done",)
EXPLAINED = ("failed", "cancelled", "unknown")


def by_simulation(program, files, date):
    """The same files with thousands of guests and all 48 slots, by `vmm-agent simulate`: renewable use of each way to place them."""
    ratio = {"fukuoka": 1.0, "osaka": 0.15}
    try:
        text = agents.run(program, ["simulate", "--data", files, "--day", date, "--areas", "09,06", "--pv-ratio",
                                    "%g,%g" % (ratio["fukuoka"], ratio["osaka"]), "--json", "--quiet"])
        return json.loads(text)["renewable_use"]
    except (HarnessError, KeyError, ValueError) as error:
        return {"error": str(error)}


def answer_s(samples, call):
    """Seconds from a call to the first sample in which the site draws as much less as was asked; None: never."""
    target = call["power_before_kw"] - call["asked_kw"]
    for sample in samples:
        power = sample.get("power_kw", {}).get(call["site"])
        if sample["at"] > call["at"] and power is not None and power <= target:
            return round(sample["at"] - call["at"], 2)
    return None


def _calls(day):
    """Each call with its answer, and the slowest of those that wanted ten seconds and of those that wanted five minutes."""
    calls = [{**{key: call.get(key) for key in ("site", "asked_kw", "within_s", "error")},
              "answered_s": answer_s(day.samples, call)} for call in day.calls]

    def slowest(limit):
        found = [call["answered_s"] for call in calls if call["within_s"] == limit]
        return max(found) if found and None not in found else None
    return {"calls": calls, "ten_second_max_s": slowest(10), "five_minute_max_s": slowest(300)}


def of_day(day, errors, simulated):
    """The record of one day; .good says whether all of it is as it should be."""
    standby = [move for move in day.kept.values() if move["origin"] == "dr" and move["state"] in ("held", "cancelled")]
    moves = [move for move in day.kept.values() if move not in standby]
    done = [move for move in moves if move["state"] in ENDED_WELL]
    explained = [move for move in moves if move["state"] in EXPLAINED and move.get("error")]
    blackouts = sorted(move["blackout_ms"] for move in done if move.get("blackout_ms") is not None)
    last = day.state
    running = {vm["name"]: vm["state"] == "running" for vm in last["vms"]}
    paused = {vm["name"] for vm in last["vms"] if vm["state"] == "paused"}
    lost = [name for name, *_ in world.GUESTS if errors[name] is None and name not in paused]
    begin, end = day.samples[0]["at"], day.samples[-1]["at"]
    silence = {name: day.watch.silence_ms(name, begin, end) for name, *_ in world.GUESTS}
    record = {
        "date": day.options.date, "minutes": day.options.minutes, "seed": day.seed,
        "moves_planned": len(moves), "moves_done": len(done), "moves_explained": len(explained),
        "standby_copies": len(standby), "guests_lost": len(lost), "selfcheck_errors": sum(count or 0 for count in errors.values()),
        "blackout_ms": {"median": round(statistics.median(blackouts), 2) if blackouts else None,
                        "max": blackouts[-1] if blackouts else None},
        "heartbeat_gap_ms": {name: {"longest": gap, "p99": usual} for name, (gap, usual) in silence.items()},
        "dr": _calls(day),
        "renewable_use": {**use.shares(day.samples), "simulated": simulated},
        "bytes_moved": sum(move.get("bytes") or 0 for move in done),
        "harm": day.blows, "alerts": sorted({text for sample in day.samples for text in sample.get("alerts", [])}),
        "moves": sorted(({key: move.get(key) for key in (
            "vm", "from", "to", "state", "origin", "reason", "transport", "started_at", "ended_at", "real_s", "bytes",
            "blackout_ms", "predicted_blackout_ms", "error")} for move in moves), key=lambda move: move["started_at"] or ""),
        "running_at_end": running,
        "reasons": {name: [{"slot": slot, "reason": reason} for slot, reason in said[1:]] for name, said in day.reasons.items()},
    }
    record["good"] = (not lost and record["selfcheck_errors"] == 0 and len(done) + len(explained) == len(moves) and len(done) > 0 and
                      all(call["answered_s"] is not None and call["answered_s"] <= call["within_s"] for call in record["dr"]["calls"]))
    return record


def tell(record, say):
    """The day in a few lines."""
    say("")
    for move in record["moves"]:
        say("  %s  %s -> %s  %s  %s  %s" % (
            (move["started_at"] or "-")[11:16], move["from"], move["to"], move["vm"], move["state"],
            "%.1f s, dark %.1f ms; %s" % (move["real_s"] or 0, move["blackout_ms"] or 0, move["reason"])
            if move["state"] == "done" else move["error"] or move["reason"]))
    dark = record["blackout_ms"]
    say("copies held ready for demand response and given up again: %d" % record["standby_copies"])
    say("moves: %d planned, %d done, %d explained; blackout median %s ms, most %s ms; guests lost: %d, damaged pages: %d" % (
        record["moves_planned"], record["moves_done"], record["moves_explained"], dark["median"], dark["max"],
        record["guests_lost"], record["selfcheck_errors"]))
    for call in record["dr"]["calls"]:
        say("demand response: %g kW less at %s wanted within %g s, there after %s s%s" % (
            call["asked_kw"], call["site"], call["within_s"], call["answered_s"], "; " + call["error"] if call["error"] else ""))
    for words, found in (("these guests in these hours", {name: value for name, value in record["renewable_use"].items() if name != "simulated"}),
                         ("simulated, divisible load, whole day", record["renewable_use"]["simulated"])):
        say("renewable use, %s: " % words + ", ".join("%s %s" % (name, value if not isinstance(value, float) else "%.1f %%" % (100 * value))
                                                      for name, value in found.items()))
    for blow in record["harm"]:
        say("harmed: " + ", ".join("%s %s" % pair for pair in blow.items()))
    say("the day was %s" % ("good" if record["good"] else "NOT GOOD"))


def keep(document, place):
    """A JSON document beside the report."""
    with open(place, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")


def write(records, place):
    """One day: its record at the top level; several: the worst of each figure, and every day under `days`."""
    def most(values):
        values = [value for value in values if value is not None]
        return max(values) if values else None
    whole = {"schema": SCHEMA, **records[-1]}
    if len(records) > 1:
        for key in ("moves_planned", "moves_done", "moves_explained", "guests_lost", "selfcheck_errors"):
            whole[key] = sum(record[key] for record in records)
        whole["blackout_ms"] = {"median": most(record["blackout_ms"]["median"] for record in records),
                                "max": most(record["blackout_ms"]["max"] for record in records)}
        for key in ("ten_second_max_s", "five_minute_max_s"):
            whole["dr"][key] = most(record["dr"][key] for record in records)
        whole["days"] = records
        whole["good"] = all(record["good"] for record in records)
    keep(whole, place)
