# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the demo's plan, arithmetic and report; figures are counted by hand.

run: python3 -m unittest discover -s bench/demo/tests -t bench
"""
import argparse
import json
import os
import shutil
import tempfile
import unittest

from demo import plan, plot, report, runner

GIB = 1 << 30


def options(**changes):
    values = {"transports": list(plan.TRANSPORTS), "workloads": ["idle", "writing"], "repeats": 3, "rate": 2.5, "rtt": 6.0,
              "downtime_limit": 30, "controls": False, "verify": True, "queue": "100ms", "congestion": "cubic"}
    return argparse.Namespace(**{**values, **changes})


def run(transport, variant, blackout, **changes):
    values = {"transport": transport, "variant": variant, "workload": "idle", "status": "completed", "verified": True,
              "held": False, "control": None, "total_s": 4.0, "throughput_gbps": 2.0, "wire_gbps": 2.3, "blackout_ms": blackout,
              "source_cpu_s": 0.5, "dest_cpu_s": 1.5, "guest_bytes": GIB, "wire_bytes": GIB, "rounds": 3,
              "heartbeat_gap_ms": blackout + 5, "heartbeat_idle_p99_ms": 2.0, "samples": [{"at_s": 0, "queue_bytes": 5}]}
    return {**values, **changes}


class Plan(unittest.TestCase):
    def test_repeats_are_interleaved(self):
        runs = plan.build(options(repeats=2, verify=False))
        first = [r.setup.name for r in runs if r.repeat == 1]
        self.assertEqual([r.repeat for r in runs], [1] * len(first) + [2] * len(first))
        self.assertEqual(len(runs), 2 * 2 * 7)

    def test_stock_gets_every_variant(self):
        names = {r.setup.name for r in plan.build(options())}
        self.assertEqual(names, {"stock-tcp/unlimited", "stock-tcp/tuned", "stock-multifd/2-unlimited", "stock-multifd/2-tuned",
                                 "stock-multifd/4-unlimited", "stock-multifd/4-tuned", "apn/auto"})
        tuned = plan.stock_setups("stock-tcp", 2.5, 30)[1].parameters
        self.assertEqual(tuned, {"max-bandwidth": 296875000, "downtime-limit": 30})

    def test_controls_and_comparison(self):
        runs = plan.build(options(controls=True, repeats=1))
        self.assertEqual({r.control for r in runs}, {None, *plan.CONTROLS})
        self.assertEqual(sum(r.held for r in runs), 2)
        self.assertFalse(any(r.held or r.control for r in plan.build(options(transports=["stock-tcp"], controls=True))))


class Figures(unittest.TestCase):
    RUNS = [run("stock-tcp", "tuned", 200), run("stock-tcp", "tuned", 100), run("stock-tcp", "tuned", 120),
            run("stock-multifd", "2-tuned", 150, throughput_gbps=2.2, source_cpu_s=1.0, dest_cpu_s=4.0),
            run("apn", "auto", 20, throughput_gbps=2.42, source_cpu_s=0.2, dest_cpu_s=0.6),
            run("apn", "auto", 9999, held=True),
            run("apn", "no-prefault", 25, control="no-prefault")]

    def test_ratios_are_of_medians_against_the_best(self):
        summary = report.summarise(report.table_rows(self.RUNS))
        self.assertEqual(summary["idle"], {"throughput_ratio": 1.1, "blackout_ratio": round(20 / 120, 4),
                                           "cpu_ratio": 0.4, "cpu_ratio_multifd": 0.16})

    def test_held_runs_are_not_timed(self):
        row = [r for r in report.table_rows(self.RUNS) if r["variant"] == "auto"][0]
        self.assertEqual((row["blackout_ms"], row["runs"]), (20, 1))

    def test_failed_runs_count_but_are_not_timed(self):
        failed = {**run("apn", "auto", 10), "status": "failed", "verified": False, "blackout_ms": None}
        rows = report.table_rows([run("apn", "auto", 10), failed])
        self.assertEqual((rows[0]["runs"], rows[0]["completed"], rows[0]["verified"], rows[0]["blackout_ms"]), (2, 1, 1, 10))

    def test_what_is_not_over_has_its_rate_on_the_line(self):
        slow = {**run("apn", "stop-and-wait", 0), "control": "stop-and-wait", "status": "active", "wire_gbps": 0.07,
                "throughput_gbps": None, "total_s": None}
        rows = report.table_rows(self.RUNS[:5] + [slow])
        self.assertEqual((rows[-1]["completed"], rows[-1]["wire_gbps"], rows[-1]["throughput_gbps"]), (0, 0.07, None))
        lines = report.figure_lines(report.figures(rows, 2.5))
        self.assertIn("control stop-and-wait, idle: fails, as it must: throughput, Gb/s on the line", "\n".join(lines))

    def test_figures_are_met_and_missed(self):
        entries = report.figures(report.table_rows(self.RUNS), 2.5)
        apn, control = entries
        self.assertTrue(all(figure["met"] for figure in apn["figures"]))
        self.assertEqual(len(apn["figures"]), 5)
        missed = [figure["figure"] for figure in control["figures"] if not figure["met"]]
        self.assertEqual(missed, ["throughput, Gb/s of guest memory, at least best stock",
                                  "CPU s/GiB, at most 0.35 of stock multifd"])
        lines = "\n".join(report.figure_lines(entries))
        self.assertIn("control no-prefault, idle: fails, as it must", lines)

    def test_a_control_that_meets_all_is_denounced(self):
        runs = self.RUNS[:5] + [dict(self.RUNS[4], control="barrier", variant="barrier")]
        self.assertIn("fails NOTHING", "\n".join(report.figure_lines(report.figures(report.table_rows(runs), 2.5))))

    def test_missing_values_are_not_met(self):
        entry = report.figures_of({"wire_gbps": None, "blackout_ms": None, "throughput_gbps": None, "cpu_s_per_gib": None,
                                   "workload": "idle"}, report.table_rows(self.RUNS[:4]), 2.5)
        self.assertFalse(any(figure["met"] for figure in entry))

    def test_no_stock_no_ratio(self):
        self.assertEqual(report.summarise(report.table_rows(self.RUNS[4:5])), {})


class Report(unittest.TestCase):
    def test_schema_and_keys(self):
        whole = report.build(Figures.RUNS, options(), {"environment": {}})
        self.assertEqual(whole["schema"], "apn-demo/1")
        self.assertEqual((whole["path"]["rtt_ms"], whole["path"]["rate_gbps"]), (6.0, 2.5))
        wanted = {"transport", "workload", "status", "verified", "total_s", "throughput_gbps", "blackout_ms", "source_cpu_s",
                  "dest_cpu_s", "guest_bytes", "wire_bytes", "rounds"}
        self.assertTrue(all(wanted <= set(r) for r in whole["runs"]))
        with tempfile.TemporaryDirectory() as place:
            report.write(whole, os.path.join(place, "report.json"))
            with open(os.path.join(place, "report.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file)["schema"], "apn-demo/1")
            self.assertEqual(os.listdir(place), ["report.json"])

    def test_table_has_a_line_per_group(self):
        lines = report.table(report.table_rows(Figures.RUNS))
        self.assertTrue(all(len(line) <= 120 for line in lines))
        self.assertEqual(sum("stock-tcp tuned" in line for line in lines), 1)
        self.assertIn("120.0 (100-200)", "\n".join(lines))

    @unittest.skipUnless(shutil.which("gnuplot"), "no gnuplot")
    def test_picture_is_a_picture(self):
        whole = report.build(Figures.RUNS, options(), {})
        with tempfile.TemporaryDirectory() as place:
            image = plot.draw(whole, os.path.join(place, "demo.png"))
            with open(image, "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
            self.assertIsNone(plot.draw({**whole, "medians": []}, image))


class Cpu(unittest.TestCase):
    def test_the_guests_usual_share_is_taken_off_where_it_ran(self):
        figures = runner.cpu_figures({"source": 1.0, "dest": 2.0}, 0.1, {"total_s": 4.0, "held": False}, 5.0)
        self.assertEqual((figures["source_cpu_s"], figures["dest_cpu_s"]), (0.6, 1.9))
        self.assertEqual((figures["source_cpu_raw_s"], figures["dest_cpu_raw_s"]), (1.0, 2.0))
        held = runner.cpu_figures({"source": 0.1, "dest": 2.0}, 0.1, {"total_s": 4.0, "held": True}, 5.0, True)
        self.assertEqual((held["source_cpu_s"], held["dest_cpu_s"]), (0.0, 2.0))


if __name__ == "__main__":
    unittest.main()
