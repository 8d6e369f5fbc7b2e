# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py - what the day was: moves, blackouts, guests, demand response, renewable use

Owner: day.  Thread: main.  Time: monotonic of the samples.  Units: ms, s, kW, shares of 1.
"""
import json
import statistics

from harness.process import HarnessError

from . import agent as agents
from . import world

SCHEMA = "apn-day/1"
ENDED_WELL = ("done",)
EXPLAINED = ("failed", "cancelled", "unknown")


def others(program, files, date):
    """Renewable use of uniform, best-static and oracle placement on the same files, from `vmm-agent simulate`."""
    ratio = {"fukuoka": 1.0, "osaka": 0.15}
    try:
        text = agents.run(program, ["simulate", "--data", files, "--day", date, "--areas", "09,06", "--pv-ratio",
                                    "%g,%g" % (ratio["fukuoka"], ratio["osaka"]), "--json", "--quiet"])
        return json.loads(text)["renewable_use"]
    except (HarnessError, KeyError, ValueError) as error:
        return {"error": str(error)}


def _fast_answer(day):
    """Seconds from the demand-response call to the first sample in which the site's power is down by what was asked."""
    if not day.dr or "error" in day.dr:
        return None
    target = day.dr["power_before_kw"] - day.dr["asked_kw"]
    for sample in day.samples:
        if sample["at"] > day.dr["at"] and sample.get("power_kw", {}).get(day.dr["site"]) is not None \
                and sample["power_kw"][day.dr["site"]] <= target:
            return round(sample["at"] - day.dr["at"], 2)
    return None


def _slow_answer(day):
    """Seconds until the last guest that demand response moved away was running elsewhere; None: it moved none."""
    ended = [move for move in day.kept.values() if move.get("origin") == "dr" and move["state"] == "done"]
    return round(max(move.get("real_s") or 0.0 for move in ended), 2) if ended else None


def of_day(day, errors, renewable_others):
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
    energy = sum(used for used, _ in day.energy.values())
    green = sum(renewable for _, renewable in day.energy.values())
    begin, end = day.samples[0]["at"], day.samples[-1]["at"]
    silence = {name: day.watch.silence_ms(name, begin, end) for name, *_ in world.GUESTS}
    record = {
        "date": day.options.date, "minutes": day.options.minutes, "seed": day.seed,
        "moves_planned": len(moves), "moves_done": len(done), "moves_explained": len(explained),
        "standby_copies": len(standby), "guests_lost": len(lost), "selfcheck_errors": sum(count or 0 for count in errors.values()),
        "blackout_ms": {"median": round(statistics.median(blackouts), 2) if blackouts else None,
                        "max": blackouts[-1] if blackouts else None},
        "heartbeat_gap_ms": {name: {"longest": gap, "p99": usual} for name, (gap, usual) in silence.items()},
        "dr": {"asked_kw": day.dr.get("asked_kw"), "site": day.dr.get("site"), "ten_second_max_s": _fast_answer(day),
               "five_minute_max_s": _slow_answer(day), "error": day.dr.get("error")},
        "renewable_use": {**renewable_others, "agent": round(green / energy, 4) if energy else None},
        "bytes_moved": sum(move.get("bytes") or 0 for move in done),
        "harm": day.events, "alerts": sorted({text for sample in day.samples for text in sample.get("alerts", [])}),
        "moves": sorted(({key: move.get(key) for key in (
            "vm", "from", "to", "state", "origin", "reason", "transport", "started_at", "ended_at", "real_s", "bytes",
            "blackout_ms", "predicted_blackout_ms", "error")} for move in moves), key=lambda move: move["started_at"] or ""),
        "running_at_end": running,
        "reasons": {name: [{"slot": slot, "reason": reason} for slot, reason in said[1:]] for name, said in day.reasons.items()},
    }
    record["good"] = (not lost and record["selfcheck_errors"] == 0 and len(done) + len(explained) == len(moves) and
                      record["dr"]["ten_second_max_s"] is not None and record["dr"]["ten_second_max_s"] <= 10 and len(done) > 0)
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
    dr = record["dr"]
    say("demand response at %s: %s kW within %s s%s" % (dr["site"], dr["asked_kw"], dr["ten_second_max_s"],
                                                   "; " + dr["error"] if dr["error"] else ""))
    use = record["renewable_use"]
    say("renewable use: " + ", ".join("%s %s" % (name, value if not isinstance(value, float) else "%.1f %%" % (100 * value))
                                      for name, value in use.items()))
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
