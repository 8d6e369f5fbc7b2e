# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py - medians, ratios, the figures to be met, the table, report.json

Owner: demo.  Thread: main.  Time: none.  Units: in the names; CPU is per GiB of guest memory moved.

Ratios are apn / best stock, of medians, figure by figure: the fastest stock variant for throughput,
the darkest-least for blackout, the cheapest for CPU. That is harsher than one stock variant for all.
"""
import json
import os
import statistics

SCHEMA = "apn-demo/1"
GIB = 1 << 30
BLACKOUT_MS_MAX = {"idle": 30, "writing": 50}
BLACKOUT_RATIO_MAX = 0.25
THROUGHPUT_SHARE_MIN = 0.9
CPU_RATIO_MAX = 0.35
DOWNTIME_KEPT_MIN = 0.9


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def cpu_per_gib(run):
    """Source + destination seconds per GiB moved, or None."""
    if run.get("source_cpu_s") is None or run.get("dest_cpu_s") is None or not run["guest_bytes"]:
        return None
    return (run["source_cpu_s"] + run["dest_cpu_s"]) / (run["guest_bytes"] / GIB)


def timed(runs):
    """Runs whose times count: completed, not held for a comparison."""
    return [run for run in runs if run["status"] == "completed" and not run.get("held")]


def groups(runs):
    """{(workload, transport, variant): runs} in order of appearance; all but the held ones."""
    found = {}
    for run in runs:
        if not run.get("held"):
            found.setdefault((run["workload"], run["transport"], run["variant"]), []).append(run)
    return found


def medians(runs):
    """The medians of one group."""
    good = timed(runs)
    result = {name: median([run.get(name) for run in good])
              for name in ("total_s", "throughput_gbps", "wire_gbps", "blackout_ms", "wire_bytes", "rounds",
                           "source_cpu_s", "dest_cpu_s", "heartbeat_gap_ms", "heartbeat_idle_p99_ms")}
    if not good:  # none was over in time: what was on the line meanwhile
        result["wire_gbps"] = median([run.get("wire_gbps") for run in runs])
    result["cpu_s_per_gib"] = median([cpu_per_gib(run) for run in good])
    blackouts = [run["blackout_ms"] for run in good if run["blackout_ms"] is not None]
    result["blackout_ms_range"] = [min(blackouts), max(blackouts)] if blackouts else None
    result.update(runs=len(runs), completed=len(good), verified=sum(bool(run["verified"]) for run in runs))
    return result


def table_rows(runs):
    return [{"workload": key[0], "transport": key[1], "variant": key[2],
             "control": members[0].get("control"), **medians(members)} for key, members in groups(runs).items()]


def _best(rows, name, choose):
    values = [row[name] for row in rows if row[name] is not None]
    return choose(values) if values else None


def _ratio(ours, theirs):
    return round(ours / theirs, 4) if ours is not None and theirs else None


def summarise(rows):
    """{workload: ratios}, of the workloads that have both sides."""
    summary = {}
    for workload in dict.fromkeys(row["workload"] for row in rows):
        mine = [row for row in rows if row["workload"] == workload]
        stock = [row for row in mine if row["transport"] != "apn"]
        multifd = [row for row in stock if row["transport"] == "stock-multifd"]
        ours = [row for row in mine if row["transport"] == "apn" and not row["control"]]
        if not ours or not stock:
            continue
        summary[workload] = {
            "throughput_ratio": _ratio(ours[0]["throughput_gbps"], _best(stock, "throughput_gbps", max)),
            "blackout_ratio": _ratio(ours[0]["blackout_ms"], _best(stock, "blackout_ms", min)),
            "cpu_ratio": _ratio(ours[0]["cpu_s_per_gib"], _best(stock, "cpu_s_per_gib", min)),
            "cpu_ratio_multifd": _ratio(ours[0]["cpu_s_per_gib"], _best(multifd, "cpu_s_per_gib", min))}
    return summary


def figures_of(row, stock, rate_gbps):
    """What a row of apn has to show: [(words, value, limit, met)]; values that are missing are not met."""
    def entry(words, value, limit, met):
        return {"figure": words, "value": value, "limit": limit, "met": bool(value is not None and limit is not None
                                                                          and met(value, limit))}
    best_stock = _best(stock, "throughput_gbps", max)
    best_dark = _best(stock, "blackout_ms", min)
    best_cpu = _best([r for r in stock if r["transport"] == "stock-multifd"], "cpu_s_per_gib", min)
    at_most, at_least = (lambda a, b: a <= b), (lambda a, b: a >= b)
    found = [entry("throughput, Gb/s on the line, at least 0.9 of the path", row["wire_gbps"],
                   round(THROUGHPUT_SHARE_MIN * rate_gbps, 3), at_least),
             entry("blackout, ms", row["blackout_ms"], BLACKOUT_MS_MAX.get(row["workload"]), at_most)]
    if best_stock is not None:
        found.append(entry("throughput, Gb/s of guest memory, at least best stock", row["throughput_gbps"], best_stock,
                           at_least))
        found.append(entry("blackout, ms, at most 0.25 of best stock", row["blackout_ms"],
                           round(BLACKOUT_RATIO_MAX * best_dark, 2) if best_dark else None, at_most))
    if best_cpu is not None:
        found.append(entry("CPU s/GiB, at most 0.35 of stock multifd", row["cpu_s_per_gib"],
                           round(CPU_RATIO_MAX * best_cpu, 3), at_most))
    return found


def figures(rows, rate_gbps):
    """[{workload, variant, control, figures}] of every row of apn, controls too."""
    result = []
    for row in rows:
        if row["transport"] == "apn":
            stock = [r for r in rows if r["transport"] != "apn" and r["workload"] == row["workload"]]
            result.append({"workload": row["workload"], "variant": row["variant"], "control": row["control"],
                           "figures": figures_of(row, stock, rate_gbps)})
    return result


def build(runs, options, extra):
    """The whole report."""
    rows = table_rows(runs)
    return {"schema": SCHEMA, "path": {"rtt_ms": options.rtt, "rate_gbps": options.rate, "queue": options.queue,
                                       "congestion": options.congestion},
            "runs": runs, "summary": summarise(rows), "medians": rows, "figures": figures(rows, options.rate), **extra}


def write(report, path):
    """Appears whole or not at all."""
    part = path + ".part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    os.replace(part, path)


def _cell(value, form):
    return "-" if value is None else form % value


def table(rows):
    """Lines for a terminal, at most 118 columns."""
    form = "%-8s %-28s %6s %6s %6s  %-20s %7s %8s %6s %5s %8s"
    lines = [form % ("guest", "transport", "total", "guest", "line", "blackout ms", "beat", "CPU s", "rounds", "done", "verified"),
             form % ("", "", "s", "Gb/s", "Gb/s", "median (min-max)", "gap ms", "per GiB", "", "", "")]
    lines.append("-" * len(lines[0]))
    previous = None
    for row in sorted(rows, key=lambda r: (r["workload"], bool(r["control"]), r["transport"] == "apn")):
        if previous not in (None, row["workload"]):
            lines.append("")
        previous = row["workload"]
        span = row["blackout_ms_range"]
        dark = "-" if span is None else "%.1f (%.0f-%.0f)" % (row["blackout_ms"], span[0], span[1])
        lines.append(form % (
            row["workload"], "%s %s" % (row["transport"], row["variant"]), _cell(row["total_s"], "%.2f"),
            _cell(row["throughput_gbps"], "%.2f"), _cell(row["wire_gbps"], "%.2f"), dark,
            _cell(row["heartbeat_gap_ms"], "%.0f"), _cell(row["cpu_s_per_gib"], "%.2f"), _cell(row["rounds"], "%.0f"),
            "%d/%d" % (row["completed"], row["runs"]), "%d/%d" % (row["verified"], row["runs"])))
    return lines


def figure_lines(entries):
    """What was to be shown, and whether it was; a control has to miss something that apn itself meets."""
    lines = []
    met = {(entry["workload"], figure["figure"]) for entry in entries if not entry["control"]
           for figure in entry["figures"] if figure["met"]}
    for entry in entries:
        name = "control %s" % entry["control"] if entry["control"] else "apn"
        missed = [figure for figure in entry["figures"] if not figure["met"] and
                  (entry["workload"], figure["figure"]) in met]
        if entry["control"]:
            lines.append("%s, %s: %s" % (name, entry["workload"], "fails, as it must: " + "; ".join(
                figure["figure"] for figure in missed) if missed else "fails NOTHING that apn meets: it proves nothing"))
            continue
        for figure in entry["figures"]:
            lines.append("%s, %-8s %-6s %s: %s (limit %s)" % (
                name, entry["workload"] + ":", "met" if figure["met"] else "MISSED", figure["figure"],
                _cell(figure["value"], "%.3g"), _cell(figure["limit"], "%.3g")))
    return lines
