# SPDX-License-Identifier: GPL-2.0-or-later
"""markdown.py - the report as Markdown, and its table for a terminal

Owner: suite.  Thread: any.  Time: none.  Units: in the headings.
"""
COLUMNS = (("guest", "guest"), ("transport", "transport"), ("throughput_gbps", "guest Gb/s"), ("blackout_ms", "blackout ms"),
           ("cpu_s_per_gib", "CPU s/GiB"), ("bytes_ratio", "bytes ÷ needed"), ("limit_share", "of limit"))
MISSING = "–"


def cell(value, digits=3):
    if value is None:
        return MISSING
    if isinstance(value, float):
        return "%.*g" % (digits, value) if abs(value) < 10 ** digits - 0.5 else "%.0f" % value
    return str(value)


def spread(row, name):
    """'12.3 (11–14)': the median and its interval."""
    if row[name] is None:
        return MISSING
    interval = row["intervals"].get(name)
    if not interval or row["repeats"] < 2:
        return cell(row[name])
    return "%s (%s–%s)" % (cell(row[name]), cell(interval["low"]), cell(interval["high"]))


def parts(row):
    """'0.1 / 1.3 / 8.3 / 1.2' of the switchover."""
    values = row["switchover_ms"].values()
    return MISSING if all(value is None for value in values) else " / ".join(cell(value, 2) for value in values)


def grouped(rows):
    """{path: rows}, in order."""
    found = {}
    for row in rows:
        found.setdefault(row["path"], []).append(row)
    return found


def state(row):
    """ok, or what else it is."""
    if row["status"] != "ok":
        return row["status"]
    return "ok" if row["clean"] else "not clean"


def table(rows):
    """Lines for a terminal."""
    width = max([len(row["path"]) for row in rows] + [len("path")])
    form = "%-" + str(width) + "s %-12s %-24s %9s %-22s %8s %7s %7s %5s %s"
    lines = [form % ("path", "guest", "transport", "Gb/s", "blackout ms", "CPU s/GiB", "bytes", "limit", "n", "state")]
    lines.append("-" * (110 + width))
    for row in rows:
        lines.append(form % (row["path"], row["guest"], row["transport"], cell(row["throughput_gbps"]), spread(row, "blackout_ms"),
                             cell(row["cpu_s_per_gib"]), cell(row["bytes_ratio"]), cell(row["limit_share"]), row["repeats"], state(row)))
    return lines


def _row_table(rows, columns):
    """A table. @columns: [(heading, function of row)]"""
    lines = ["| %s |" % " | ".join(heading for heading, _ in columns), "|%s" % ("---|" * len(columns))]
    return lines + ["| %s |" % " | ".join(str(get(row)).replace("|", "/") for _, get in columns) for row in rows]


MAIN = [("guest", lambda r: r["guest"]), ("transport", lambda r: r["transport"]),
        ("guest Gb/s", lambda r: spread(r, "throughput_gbps")), ("blackout ms", lambda r: spread(r, "blackout_ms")),
        ("floor ms", lambda r: cell(r.get("blackout_floor_ms"))), ("stop / residue / flight / load ms", parts), ("CPU s/GiB", lambda r: spread(r, "cpu_s_per_gib")),
        ("bytes ÷ needed", lambda r: cell(r["bytes_ratio"])), ("share of limit", lambda r: cell(r["limit_share"])),
        ("× stock: Gb/s, blackout, CPU", lambda r: " ".join(cell(v) for v in r["vs_best_stock"].values())),
        ("n", lambda r: r["repeats"]), ("state", state)]
DETAIL = [("guest", lambda r: r["guest"]), ("transport", lambda r: r["transport"]),
          ("heartbeat gap ms (idle p99)", lambda r: "%s (%s)" % (cell(r["heartbeat_gap_ms"]), cell(r["heartbeat_idle_p99_ms"]))),
          ("guest's speed meanwhile", lambda r: cell(r["guest_speed"])),
          ("application p50/p99/p99.9 µs before", lambda r: "/".join(cell(r["before_%s_us" % p]) for p in ("p50", "p99", "p999"))),
          ("meanwhile", lambda r: "/".join(cell(r["during_%s_us" % p]) for p in ("p50", "p99", "p999"))),
          ("up to speed after, round trips", lambda r: cell(r["startup_rtts"])), ("rounds", lambda r: cell(r["rounds"])), ("source + dest CPU s/GiB", lambda r: "%s + %s" % (
              cell(r["source_cpu_s_per_gib"]), cell(r["dest_cpu_s_per_gib"]))),
          ("retransmitted", lambda r: cell(r["retransmitted"])),
          ("peak MiB source/dest", lambda r: "%s/%s" % (cell(r["source_peak_mib"]), cell(r["dest_peak_mib"])))]


def limit_rows(report):
    """[(what, figure)] of the calibration, newest."""
    found = []
    for calibration in report["calibrations"][-1:]:
        found += [("memory copy, one thread", "%s Gb/s" % cell(calibration["copy_gbps"])),
                  ("engine over loopback, one lane", "%s Gb/s %s" % (cell(calibration["loopback"]["gbps"]),
                                                                    calibration["loopback"].get("why", ""))),
                  ("a sleeper wakes late: p50, p99, max", "%s ms" % ", ".join(
                      cell(calibration["wake_up_ms"][name]) for name in ("p50", "p99", "max"))),
                  ("first touch of memory", "%s s/GiB" % cell(calibration["first_touch_s_per_gib"])),
                  ("load when it began", ", ".join("%.1f" % value for value in calibration["load"]))]
    latest = {test["path"]: test for test in report["paths"]}
    for name, test in latest.items():
        found.append(("path %s" % name, "round trip %s ms; plain TCP %s Gb/s, four connections %s%s" % (
            cell(test["rtt_ms"], 4), cell(test["iperf1_gbps"]), cell(test["iperf4_gbps"]), "".join(
                "; WRONG: " + wrong for wrong in test["wrong"]))))
    return found


def simulated_columns():
    return [("what", lambda r: r["what"]), ("Gb/s", lambda r: cell(r["rate_gbps"])), ("RTT ms", lambda r: cell(r["rtt_ms"])),
            ("guest GiB", lambda r: cell(r["guest_gib"])), ("dirty Gb/s", lambda r: cell(r["dirty_gbps"])),
            ("at once", lambda r: r["count"]), ("total s", lambda r: cell(r.get("total_s"))),
            ("share of line", lambda r: cell(r.get("line_share"))),
            ("blackout ms p50/p99/max", lambda r: "/".join(cell(r.get("blackout_%s_ms" % p)) for p in ("p50", "p99", "max"))),
            ("fairness", lambda r: cell(r.get("fairness"))), ("state", lambda r: r.get("why") or "ok")]


def validation_columns():
    return [("path", lambda r: r["path"]), ("guest", lambda r: r["guest"]),
            ("Gb/s measured", lambda r: cell(r["measured_gbps"])), ("simulated", lambda r: cell(r["simulated_gbps"])),
            ("ratio", lambda r: cell(r["throughput_ratio"])), ("blackout ms measured", lambda r: cell(r["measured_ms"])),
            ("simulated", lambda r: cell(r["simulated_ms"])), ("ratio", lambda r: cell(r["blackout_ratio"])),
            ("within 15 %", lambda r: "yes" if r["within"] else "NO")]


def _asked(report):
    lines = []
    for entry in report["asked"]:
        word = "not measured" if entry["met"] is None else "met" if entry["met"] else "MISSED"
        lines.append("- %s, %s, %s, %s: %s %s (limit %s)%s%s" % (
            entry["path"], entry["guest"], entry["transport"], entry["figure"], cell(entry["value"]), word, cell(entry["limit"]),
            "" if entry["clean"] else ", not from clean runs", "; " + entry["cause"] if entry.get("cause") else ""))
    for entry in report["controls"]:
        lines.append("- control %s on %s, %s: %s" % (entry["control"], entry["path"], entry["guest"], (
            "fails, as it must: " + ", ".join(entry["breaks"])) if entry["fails_as_it_must"] else "fails nothing: it proves nothing"))
    return lines


def render(report):
    """The whole page."""
    machine = report["machine"] or {}
    lines = ["# Bench: %s" % report["matrix"], "", "%s, %s, %s × %s, Linux %s; commit %s; %s" % (
        machine.get("host"), "virtual" if machine.get("hypervisor") else "bare metal", machine.get("cpus"), machine.get("cpu"),
        machine.get("kernel"), machine.get("commit"), "; ".join(report.get("ended", [])) or "not ended"), "",
        "Medians of clean runs with their 95 % intervals (the whole range where fewer than six repeats cannot give one). "
        "Throughput is guest memory that had to move over total time; blackout from trace points of both ends on one clock.", ""]
    for path, rows in grouped(report["rows"]).items():
        lines += ["## Path %s" % path, "", *_row_table(rows, MAIN), "", *_row_table(rows, DETAIL), ""]
        notes = ["- %s, %s: %s" % (row["guest"], row["transport"], row["why"]) for row in rows if row["why"]]
        lines += [*notes, ""] if notes else []
    lines += ["## What was asked", "", *(_asked(report) or ["- no row of ours over 6 ms or more"]), ""]
    lines += ["## Limits of this machine", "", "| | |", "|---|---|", *("| %s | %s |" % pair for pair in limit_rows(report)), ""]
    lines += simulated_part(report)
    lines += ["## Command lines", ""]
    for transport, words in report["command_lines"].items():
        lines += ["### %s" % transport, "", "    source: %s" % words["source"], "    dest:   %s" % words["dest"],
                  "    capabilities %s, parameters %s" % (", ".join(words["capabilities"]), words["parameters"]), ""]
    lines += ["## Machine", "", *("- %s: %s" % (key, value) for key, value in machine.items()), ""]
    return "\n".join(lines)


def simulated_part(report):
    """Tables of what the simulator says, or nothing."""
    from suite import simulate
    rows = [record for record in report["simulated"] if record.get("what") != "validation"]
    checks = simulate.validate(report)
    lines = []
    if checks:
        lines += ["## Simulation against measurement", "", *_row_table(checks, validation_columns()), ""]
    if rows:
        lines += ["## SIMULATED: the engine in virtual time, no network, no memory", "", *_row_table(rows, simulated_columns()), ""]
    return lines
