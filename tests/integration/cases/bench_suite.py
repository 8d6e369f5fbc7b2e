# SPDX-License-Identifier: GPL-2.0-or-later
"""bench_suite.py - the bench suite itself: two small cells measured, resumed, reported"""
import json
import os
import subprocess
import sys
import tempfile

from fixture import TOP, check
from registry import case

ROW_KEYS = ("rtt_ms", "rate_gbps", "loss", "guest", "transport", "status", "clean", "throughput_gbps", "blackout_ms", "cpu_s_per_gib",
            "bytes_ratio", "repeats", "vs_best_stock")


def run_suite(out):
    return subprocess.run([sys.executable, os.path.join(TOP, "bench", "suite", "suite"), "run", "smoke", "--out", out, "--no-simulation"],
                          capture_output=True, text=True, timeout=180)


@case("bench: the suite measures two cells, goes on where it was, and reports", seconds=240, alone=True)
def smoke(lab):
    with tempfile.TemporaryDirectory(prefix="apn-it-bench-") as out:
        return measure(out)


def measure(out):
    first = run_suite(out)
    check(first.returncode == 0, "the suite exited %d: %s", first.returncode, (first.stderr or first.stdout)[-400:])
    with open(os.path.join(out, "report.json"), encoding="utf-8") as file:
        report = json.load(file)
    check(len(report["rows"]) == 2, "%d rows, 2 are in the matrix", len(report["rows"]))
    for row in report["rows"]:
        check(not [key for key in ROW_KEYS if key not in row], "a row lacks keys: %s", row)
        if row["repeats"]:  # on a busy machine the budget may end before the second cell; then the row says so
            check(row["throughput_gbps"] > 0 and row["blackout_ms"] > 0 and row["failed_runs"] == 0, "row: %s", row)
        else:
            check(row["why"], "an empty row does not say why: %s", row)
    check(report["rows"][0]["runs"] + report["rows"][1]["runs"] > 0, "nothing was measured: %s", first.stdout[-400:])
    with open(os.path.join(out, "runs.jsonl"), encoding="utf-8") as file:
        kinds = [json.loads(line)["kind"] for line in file]
    check({"header", "calibration", "path", "run", "end"} <= set(kinds), "the lab book holds %s", sorted(set(kinds)))
    if all(row["clean_runs"] for row in report["rows"]):
        again = run_suite(out)
        check("resuming" in again.stdout and again.returncode == 0, "no resumption: %s", again.stdout[-400:])
        with open(os.path.join(out, "runs.jsonl"), encoding="utf-8") as file:
            more = [json.loads(line)["kind"] for line in file].count("run")
        check(more == kinds.count("run"), "%d runs after resuming a finished book of %d", more, kinds.count("run"))
    return ", ".join("%s %s Gb/s %s ms" % (row["transport"], row["throughput_gbps"], row["blackout_ms"]) for row in report["rows"])
