# SPDX-License-Identifier: GPL-2.0-or-later
"""simulate.py - the simulated part of a matrix: the engine in virtual time at rates that this machine does not have

Owner: suite.  Thread: main.  Time: none.  Units: in the names.

The program bench/suite/fleet (fleet.c) does one fleet of migrations on one link and prints one line of JSON. A sweep of the
matrix names lists; every combination is one fleet. Each measured row of ours is simulated too, with the device times that were
measured, and both are set beside each other.
"""
import itertools
import json
import os
import subprocess

from harness.process import HarnessError

from . import book

KEYS = ("rate_gbps", "rtt_ms", "guest_gib", "dirty_gbps", "hot_gib", "count", "downtime_ms", "lanes", "stop_ms", "save_ms", "load_ms")
SECONDS_MAX = 180
FLEETS_MAX = 500
WITHIN = 0.15
DEVICE_KIB = 110  # of the bench guest's device state, as query-migrate's stream shows it


def program():
    """The built program, or None."""
    found = os.path.join(os.environ.get("APN_BUILD", ""), "bench/suite/fleet")
    return found if os.path.isfile(found) else None


def expand(sweep, where):
    """[{key: value}] of one sweep; every key is a number or a list of numbers."""
    if not isinstance(sweep, dict) or not isinstance(sweep.get("what"), str):
        raise HarnessError("%s: a simulated sweep needs 'what'" % where)
    names, lists = [], []
    for key, value in sweep.items():
        if key == "what":
            continue
        if key not in KEYS:
            raise HarnessError("%s: simulated '%s': unknown key '%s'; known: %s" % (where, sweep["what"], key, ", ".join(KEYS)))
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
            raise HarnessError("%s: simulated '%s': %s must be a number or a list of numbers" % (where, sweep["what"], key))
        names.append(key)
        lists.append(values)
    return [{"what": sweep["what"], **dict(zip(names, values))} for values in itertools.product(*lists)]


def words(fleet):
    """Arguments for the program."""
    return [word for key in KEYS if key in fleet for word in ("--" + key.replace("_", "-"), "%.12g" % fleet[key])]


def one(found, fleet):
    """A record: what was asked and what came of it, or why nothing did."""
    record = {"dirty_gbps": 0, "count": 1, **fleet}
    try:
        done = subprocess.run([found, *words(fleet)], capture_output=True, text=True, timeout=SECONDS_MAX)
        if done.returncode:
            return {**record, "why": (done.stderr or done.stdout).strip()[-300:] or "exit %d" % done.returncode}
        return {**record, **json.loads(done.stdout)}
    except subprocess.TimeoutExpired:
        return {**record, "why": "not over after %d s of computing" % SECONDS_MAX}
    except ValueError as error:
        return {**record, "why": "no JSON: %s" % error}


def measured_fleets(records):
    """Each measured row of ours on a clean path as a fleet of one, with the device times that were measured."""
    headers = [record for record in records if record["kind"] == "run" and record["transport"] == "apn-uring" and
               record["status"] == "completed" and record.get("switchover_ms")]
    cells = {}
    for run in headers:
        cells.setdefault(run["cell"], []).append(run)
    return cells


def device_times(matrix, measured):
    """{'stop_ms', 'save_ms', 'load_ms'} of the bench guest: idle runs over the shortest path, where nothing else is in them."""
    from . import schedule, stats
    idle = [cell for cell in matrix.cells if measured.get(cell.key) and not cell.guest["rate_mib_s"] and
            not cell.guest["kv_rate"] and not cell.path["loss"] and not cell.path["cut"]]
    if not idle:
        return {"stop_ms": 0.1, "save_ms": 1.5, "load_ms": 1.5}
    nearest = min(idle, key=lambda cell: cell.path["rtt_ms"])
    runs = schedule.clean(measured[nearest.key]) or measured[nearest.key]

    def middle(*names):
        return max(0.05, stats.median([sum(run["switchover_ms"][name] for name in names) for run in runs]))
    away = nearest.path["rtt_ms"] / 2
    return {"stop_ms": middle("stop"), "save_ms": middle("residue"), "load_ms": max(0.05, middle("flight", "load") - away)}


def validation_fleets(matrix, records):
    """[fleet] with 'cell': what a measured cell would be in the simulator."""
    found = []
    measured = measured_fleets(records)
    devices = device_times(matrix, measured)
    for cell in matrix.cells:
        runs = measured.get(cell.key)
        if not runs or cell.path["loss"] or cell.path["cut"] or cell.guest["kv_rate"] or cell.path["rtt_ms"] < 1:
            continue
        found.append({"what": "validation", "cell": cell.key, "path": cell.path_name, "guest": cell.guest_name,
                      "rate_gbps": cell.path["rate_gbps"], "rtt_ms": cell.path["rtt_ms"],
                      "guest_gib": runs[0]["guest_bytes"] / (1 << 30), "dirty_gbps": cell.guest["rate_mib_s"] * 8 * 1.048576e-3,
                      "hot_gib": cell.guest["hot_mib"] / 1024, "lanes": 1, "downtime_ms": matrix.downtime_limit_ms, **devices})
    return found


def run(matrix, book_name, say):
    """Do every sweep of the matrix and the validation; results go into the lab book."""
    found = program()
    if not found:
        say("simulated part left out: bench/suite/fleet is not built (APN_BUILD)")
        return
    lab = book.Book(book_name)
    done = {json.dumps({key: record.get(key) for key in ("what", "cell", *KEYS)}, sort_keys=True)
            for record in lab.of("simulated") if not record.get("why")}
    fleets = validation_fleets(matrix, lab.records)
    for sweep in matrix.simulated:
        fleets += expand(sweep, matrix.name)
    if len(fleets) > FLEETS_MAX:
        raise HarnessError("%s: %d fleets to simulate, at most %d" % (matrix.name, len(fleets), FLEETS_MAX))
    for number, fleet in enumerate(fleets):
        named = {"dirty_gbps": 0, "count": 1, **fleet}
        if json.dumps({key: named.get(key) for key in ("what", "cell", *KEYS)}, sort_keys=True) in done:
            continue
        record = lab.add("simulated", one(found, fleet))
        say("simulated %d/%d: %s: %s" % (number + 1, len(fleets), " ".join(
            "%s=%g" % (key, fleet[key]) for key in KEYS if key in fleet), record.get("why") or "%.3g s, blackout %.3g ms" % (
                record["total_s"], record["blackout_p50_ms"])))


def validate(report):
    """Measured beside simulated: [{path, guest, …, within}]"""
    found = []
    latest = {record["cell"]: record for record in report["simulated"] if record.get("what") == "validation"}
    for row in report["rows"]:
        record = latest.get("%s | %s | %s" % (row["path"], row["guest"], row["transport"]))
        if not record or record.get("why") or not row["throughput_gbps"] or not row["blackout_ms"]:
            continue
        simulated = record["guest_gib"] * (1 << 30) * 8e-9 / record["total_s"]
        ratios = simulated / row["throughput_gbps"], record["blackout_p50_ms"] / row["blackout_ms"]
        found.append({"path": row["path"], "guest": row["guest"], "measured_gbps": row["throughput_gbps"],
                      "simulated_gbps": round(simulated, 3), "throughput_ratio": round(ratios[0], 3),
                      "measured_ms": row["blackout_ms"], "simulated_ms": round(record["blackout_p50_ms"], 2),
                      "blackout_ratio": round(ratios[1], 3), "within": all(abs(r - 1) <= WITHIN for r in ratios)})
    return found
