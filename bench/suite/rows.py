# SPDX-License-Identifier: GPL-2.0-or-later
"""rows.py - the lab book as rows: medians with intervals, ratios to the best of stock, and what was asked of us

Owner: suite, report.  Thread: any.  Time: none.  Units: in the names.

Only clean runs count. Where a cell has none, the others are shown with clean: false, and take no part in ratios of clean
rows. Best stock is taken figure by figure among stock's rows of the same path and guest: harsher than one variant for all.
"""
from . import matrix as matrices
from . import schedule, stats, transports

# figure: does a larger one win?
FIGURES = {"throughput_gbps": True, "blackout_ms": False, "cpu_s_per_gib": False}
MORE = ("bytes_ratio", "startup_rtts", "total_s", "wire_gbps", "heartbeat_gap_ms", "heartbeat_switch_gap_ms", "heartbeat_idle_p99_ms", "rounds",
        "source_cpu_s_per_gib", "dest_cpu_s_per_gib", "retransmitted", "source_peak_mib", "dest_peak_mib", "guest_speed",
        "write_rate_mib_s", "before_p50_us", "before_p99_us", "before_p999_us", "during_p50_us", "during_p99_us",
        "during_p999_us", "qemu_downtime_ms", "first_touch_s_per_gib", "foreign_share", "cut_ms", "guest_bytes")
PARTS = ("stop", "residue", "flight", "load")
THROUGHPUT_OF_STOCK_MIN = 1.0
BLACKOUT_OF_STOCK_MAX = 0.25
LIMIT_SHARE_MIN = 0.9
FAR_MS = 6
FLOOR_NEAR = 1.3         # a blackout within this of its floor has the floor as its cause
BUSY_SHARE = 0.6         # of one processor, by the transport: worth saying


def _round(value):
    return None if value is None else round(value, 4)


def _intervals(runs):
    found = {}
    for name in FIGURES:
        interval = stats.median_interval([run.get(name) for run in runs])
        width = stats.half_width([run.get(name) for run in runs])
        found[name] = None if interval is None else {
            "low": interval[0], "high": interval[1], "coverage": round(interval[2], 4), "half_width": _round(width)}
    return found


def _status(completed, runs):
    if not runs:
        return "not run"
    if len(completed) == len(runs):
        return "ok"
    return "failed" if not completed else "partly failed"


def _why(runs, completed, good, missing):
    """What a reader must know about a row that is not simply good."""
    if missing:
        return missing
    if not runs:
        return "no run was done (budget or interruption)"
    words = [run.get("error", run["status"]) for run in runs if run["status"] != "completed"][:1]
    if len(good) < len(completed):
        reasons = sorted({reason for run in completed if not run["clean"] for reason in run["unclean"]})
        words.append("%d of %d runs were not clean: %s" % (len(completed) - len(good), len(completed), "; ".join(reasons[:3])))
    return "; ".join(words) or None


def row_of(cell, runs, missing=None):
    """One row; every column filled, or null with the reason in `why`."""
    completed = [run for run in runs if run["status"] == "completed"]
    good = schedule.clean(runs)
    used = good or completed
    path = cell.path
    row = {"rtt_ms": path["rtt_ms"], "rate_gbps": path["rate_gbps"], "loss": path["loss"],
           "cut": path["cut"]["for_ms"] if path["cut"] else None, "path": cell.path_name, "guest": cell.guest_name,
           "transport": cell.transport, "family": transports.family(cell.transport),
           "status": "missing" if missing else _status(completed, runs), "clean": bool(good) and used is good,
           **{name: _round(stats.median([run.get(name) for run in used])) for name in (*FIGURES, *MORE)},
           "switchover_ms": {part: _round(stats.median([(run.get("switchover_ms") or {}).get(part) for run in used]))
                             for part in PARTS},
           "repeats": len(used), "runs": len(runs), "clean_runs": len(good), "failed_runs": len(runs) - len(completed),
           "intervals": _intervals(used), "limit_share": None, "why": _why(runs, completed, good, missing),
           "vs_best_stock": {"throughput": None, "blackout": None, "cpu": None}}
    if row["status"] == "missing":
        row["clean"] = False
    return row


def _best(rows, name, larger):
    values = [row[name] for row in rows if row[name] is not None]
    return (max(values) if larger else min(values)) if values else None


def compare_with_stock(rows):
    """Fill vs_best_stock: row / best stock of the same path, guest and cleanness."""
    short = {"throughput_gbps": "throughput", "blackout_ms": "blackout", "cpu_s_per_gib": "cpu"}
    for row in rows:
        stock = [other for other in rows if other["family"] == "stock" and other["path"] == row["path"] and
                 other["guest"] == row["guest"] and other["status"] != "missing"]
        clean = [other for other in stock if other["clean"]] if row["clean"] else stock
        for name, larger in FIGURES.items():
            best = _best(clean, name, larger)
            if best and row[name] is not None:
                row["vs_best_stock"][short[name]] = round(row[name] / best, 4)


def limits(rows, path_tests):
    """Fill limit_share: bits on the line / the best that plain TCP carried there, or the line's own rate."""
    for row in rows:
        tests = [test for test in path_tests if test["path"] == row["path"]]
        tcp = [test.get("iperf%d_gbps" % n) for test in tests for n in (1, 4) if test.get("iperf%d_gbps" % n)]
        row["plain_tcp_gbps"] = max(tcp) if tcp else None
        limit = row["rate_gbps"] if row["loss"] or not tcp else min(row["rate_gbps"], max(tcp))
        if row["wire_gbps"] is not None and limit:
            row["limit_share"] = round(row["wire_gbps"] / limit, 4)


def floors(rows):
    """Fill blackout_floor_ms: half a round trip, and stop, save and load of the devices as they were measured without distance."""
    idle = [row for row in rows if row["transport"] == "apn-uring" and row["clean"] and row["blackout_ms"] is not None and
            not row["write_rate_mib_s"] and not row["loss"] and not row["cut"]]
    nearest = min(idle, key=lambda row: row["rtt_ms"], default=None)
    for row in rows:
        row["blackout_floor_ms"] = None
        if nearest and row["family"] == "apn" and row["rtt_ms"] >= nearest["rtt_ms"]:
            row["blackout_floor_ms"] = round(nearest["blackout_ms"] + (row["rtt_ms"] - nearest["rtt_ms"]) / 2, 2)


def cause(row, figure):
    """Why a row misses what was asked, as far as its own figures tell; else None."""
    if figure == "blackout":
        floor = row["blackout_floor_ms"]
        if floor and row["blackout_ms"] <= FLOOR_NEAR * floor:
            return "%.1f ms is the floor: half a round trip, and the devices (as measured on the shortest path)" % floor
        dirty = row["write_rate_mib_s"]
        return "the guest wrote %.0f MiB/s: what is in flight and left when it stops crosses while it is dark" % dirty if dirty else None
    if not row["total_s"] or not row["wire_gbps"]:
        return None
    line = min(row["rate_gbps"], row["plain_tcp_gbps"] or row["rate_gbps"])
    idle_s = row["total_s"] * (1 - row["wire_gbps"] / line)
    words = ["the line was idle for %.0f of %.0f ms: connecting, slow start, switchover" % (idle_s * 1000, row["total_s"] * 1000)]
    busy = row["cpu_s_per_gib"] * row["guest_bytes"] / (1 << 30) / row["total_s"] if row["guest_bytes"] else 0
    if busy > BUSY_SHARE:
        words.append("%.1f processors were busy with it" % busy)
    if row["cut"]:
        words.append("the cut is in it")
    return "; ".join(words)


def asked(rows):
    """What each row of ours over a far path has to show: [{path, guest, figure, value, limit, met, cause}]"""
    found = []
    for row in rows:
        if row["family"] != "apn" or row["status"] == "missing" or row["rtt_ms"] < FAR_MS:
            continue
        versus = row["vs_best_stock"]
        for figure, value, limit, met in (
                ("throughput / best stock", versus["throughput"], THROUGHPUT_OF_STOCK_MIN, lambda v, m: v >= m),
                ("blackout / best stock", versus["blackout"], BLACKOUT_OF_STOCK_MAX, lambda v, m: v <= m),
                ("on the line / limit", row["limit_share"], LIMIT_SHARE_MIN, lambda v, m: v >= m)):
            good = None if value is None else met(value, limit)
            found.append({"path": row["path"], "guest": row["guest"], "transport": row["transport"], "figure": figure,
                          "value": value, "limit": limit, "met": good, "clean": row["clean"],
                          "cause": cause(row, figure.split()[0]) if good is False else None})
    return found


def controls(rows):
    """Each negative control beside the transport it takes something from: a figure that it must miss."""
    found = []
    for row in rows:
        if row["family"] != "control" or row["status"] == "missing":
            continue
        ours = next((other for other in rows if other["transport"] == "apn-uring" and other["path"] == row["path"] and
                     other["guest"] == row["guest"]), None)
        worse = {}
        for name, larger in FIGURES.items():
            if ours and ours[name] and row[name]:
                ratio = row[name] / ours[name]
                worse[name] = round(ratio, 3)
        broken = [name for name, ratio in worse.items() if (ratio < 0.9 if FIGURES[name] else ratio > 1.1)]
        if row["status"] != "ok":
            broken = broken or [row["why"] or row["status"]]
        found.append({"path": row["path"], "guest": row["guest"], "control": row["transport"], "ratios": worse,
                      "breaks": broken, "fails_as_it_must": bool(broken)})
    return found


def build(matrix, records):
    """The report: rows and everything that they must be read with."""
    from . import book
    runs = book.runs_by_cell(records)
    missing = {record["cell"]: record["why"] for record in records if record["kind"] == "missing"}
    rows = [row_of(cell, runs.get(cell.key, []), None if runs.get(cell.key) else missing.get(cell.key)) for cell in matrix.cells]
    compare_with_stock(rows)
    path_tests = [record for record in records if record["kind"] == "path"]
    limits(rows, path_tests)
    floors(rows)
    headers = [record for record in records if record["kind"] == "header"]
    return {"schema": "apn-bench-report/1", "matrix": matrix.name, "rows": rows, "asked": asked(rows), "controls": controls(rows),
            "machine": headers[-1]["machine"] if headers else None,
            "calibrations": [record for record in records if record["kind"] == "calibration"], "paths": path_tests,
            "command_lines": command_lines(records), "guests": matrix.guests,
            "simulated": [record for record in records if record["kind"] == "simulated"],
            "limits": {"throughput_of_stock_min": THROUGHPUT_OF_STOCK_MIN, "blackout_of_stock_max": BLACKOUT_OF_STOCK_MAX,
                       "limit_share_min": LIMIT_SHARE_MIN}}


def command_lines(records):
    """{transport: the raw command lines and parameters of its first run}"""
    found = {}
    for record in records:
        if record["kind"] == "run" and "commands" in record:
            found.setdefault(record["transport"], {"source": " ".join(record["commands"]["source"]),
                                                   "dest": " ".join(record["commands"]["dest"]),
                                                   "capabilities": record["capabilities"], "parameters": record["parameters"]})
    return found


def load_matrix_of(report_dir):
    return matrices.load(report_dir + "/matrix.json")
