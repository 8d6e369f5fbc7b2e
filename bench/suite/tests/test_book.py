# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the suite: lab book, rows, what makes a run clean, simulation beside measurement.

run: python3 -m unittest discover -s bench/suite/tests -t bench
"""
import os
import tempfile
import unittest

from harness import network
from harness.process import HarnessError
from suite import book, cells, matrix, rows, simulate
from suite.tests.scene import small, run, SMALL, MATRICES


class LabBook(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.name = os.path.join(self.directory.name, "runs.jsonl")

    def test_what_was_added_is_there_again(self):
        first = book.Book(self.name)
        first.add("header", {"fingerprint": "f", "matrix": "m", "machine": {"commit": "c"}})
        first.add("run", {"cell": "x"})
        self.assertEqual(book.Book(self.name).records, first.records)
        self.assertEqual(list(book.runs_by_cell(first.records)), ["x"])

    def test_half_a_line_is_cut_off_and_work_goes_on(self):
        book.Book(self.name).add("run", {"cell": "x"})
        size = os.path.getsize(self.name)
        with open(self.name, "a", encoding="utf-8") as file:
            file.write('{"kind": "run", "cell": "y", "thr')
        again = book.Book(self.name)
        self.assertEqual([record["kind"] for record in again.records], ["run", "note"])
        self.assertEqual(os.path.getsize(self.name), size)
        again.add("run", {"cell": "z"})
        self.assertEqual([record["cell"] for record in book.Book(self.name).of("run")], ["x", "z"])

    def test_something_else_is_not_destroyed(self):
        with open(self.name, "w", encoding="utf-8") as file:
            file.write("dear diary\nsecond line\nthird\n")
        with self.assertRaisesRegex(HarnessError, "not a lab book"):
            book.Book(self.name)
        with open(self.name, encoding="utf-8") as file:
            self.assertIn("third", file.read())

    def test_other_matrix_or_tree_is_refused(self):
        found = book.Book(self.name)
        found.add("header", {"fingerprint": "f", "matrix": "m", "machine": {"commit": "abc", "measured": "t1"}})
        found.check_resumable("f", "t1")
        with self.assertRaisesRegex(HarnessError, "another matrix"):
            found.check_resumable("g", "t1")
        with self.assertRaisesRegex(HarnessError, "begun at commit abc"):
            found.check_resumable("f", "t2")


class Rows(unittest.TestCase):
    def build(self, records, chosen=None):
        return rows.build(chosen or small(), records)["rows"]

    def test_every_cell_is_a_row_and_says_what_it_lacks(self):
        chosen = small()
        found = self.build([{"kind": "missing", "cell": chosen.cells[2].key, "why": "no NIC"}])
        self.assertEqual(len(found), 12)
        self.assertEqual((found[2]["status"], found[2]["why"]), ("missing", "no NIC"))
        self.assertEqual(found[0]["status"], "not run")
        self.assertTrue(all(row["why"] for row in found))
        for key in ("rtt_ms", "rate_gbps", "loss", "guest", "transport", "status", "clean", "throughput_gbps", "blackout_ms",
                    "cpu_s_per_gib", "bytes_ratio", "repeats", "vs_best_stock"):
            self.assertIn(key, found[0])

    def test_unclean_runs_are_not_averaged(self):
        cell = small().cells[0]
        found = self.build([run(cell, 2.0), run(cell, 9.9, clean=False, unclean=["noise"])])[0]
        self.assertEqual((found["throughput_gbps"], found["repeats"], found["runs"], found["clean"]), (2.0, 1, 2, True))
        self.assertIn("1 of 2 runs were not clean: noise", found["why"])
        only = self.build([run(cell, 9.9, clean=False, unclean=["noise"])])[0]
        self.assertEqual((only["throughput_gbps"], only["clean"]), (9.9, False))

    def test_best_stock_is_taken_figure_by_figure(self):
        chosen = small()
        tcp, multifd, ours = chosen.cells[:3]
        found = self.build([run(tcp, 2.0, 100, 3.0), run(multifd, 2.2, 200, 1.0), run(ours, 2.42, 20, 0.5)])
        self.assertEqual(found[2]["vs_best_stock"], {"throughput": 1.1, "blackout": 0.2, "cpu": 0.5})

    def test_unclean_stock_does_not_judge_clean_rows(self):
        chosen = small()
        tcp, multifd, ours = chosen.cells[:3]
        found = self.build([run(tcp, 9.0, 1, 0.1, clean=False, unclean=["x"]), run(multifd, 2.0, 100, 1.0), run(ours, 2.0, 20, 0.5)])
        self.assertEqual(found[2]["vs_best_stock"]["blackout"], 0.2)

    def test_failures_count(self):
        cell = small().cells[0]
        found = self.build([run(cell), run(cell, status="failed", clean=False, error="boom")])[0]
        self.assertEqual((found["status"], found["failed_runs"]), ("partly failed", 1))
        self.assertIn("boom", found["why"])

    def test_limits_stand_beside_figures(self):
        chosen = small()
        test = {"kind": "path", "path": chosen.cells[0].path_name, "iperf1_gbps": 2.4, "iperf4_gbps": 2.0, "rtt_ms": 6, "wrong": []}
        found = self.build([test, run(chosen.cells[0], 2.0, wire_gbps=2.16)])[0]
        self.assertEqual((found["limit_share"], found["plain_tcp_gbps"]), (0.9, 2.4))

    def test_what_was_asked(self):
        chosen = small()
        tcp, _, ours = chosen.cells[:3]
        asked = rows.build(chosen, [run(tcp, 2.0, 100), run(ours, 1.9, 20, wire_gbps=2.4)])["asked"]
        mine = {entry["figure"]: entry["met"] for entry in asked if entry["guest"] == "idle" and entry["path"] == ours.path_name}
        self.assertEqual(mine, {"throughput / best stock": False, "blackout / best stock": True, "on the line / limit": True})

    def test_controls_must_break_something(self):
        block = {"paths": [{"rtt_ms": 6, "rate_gbps": 1}], "guests": ["idle"], "transports": ["apn-uring", "control-stop-and-wait"]}
        chosen = small(blocks=[block])
        ours, control = chosen.cells
        found = rows.build(chosen, [run(ours, 2.0), run(control, 0.3)])["controls"][0]
        self.assertEqual((found["breaks"], found["fails_as_it_must"]), (["throughput_gbps"], True))
        self.assertFalse(rows.build(chosen, [run(ours, 2.0), run(control, 2.0)])["controls"][0]["fails_as_it_must"])


class Clean(unittest.TestCase):
    def reasons(self, record, path_wrong=(), **cell_changes):
        chosen = small(**cell_changes)
        return cells.unclean({"verified": True, "blackout_ms": 1, "throughput_gbps": 1, **record}, chosen.cells[0],
                             {"first_touch_s_per_gib": 0.3}, list(path_wrong))

    def test_reasons(self):
        self.assertEqual(self.reasons({}), [])
        for record, words in (({"verified": False}, "not all right"), ({"foreign_share": 0.5}, "others used 50 %"),
                              ({"stolen_share": 0.1}, "host took 10.0 %"), ({"first_touch_s_per_gib": 2.9}, "first touch"),
                              ({"blackout_ms": None}, "no trace")):
            self.assertIn(words, " ".join(self.reasons(record)))
        self.assertEqual(self.reasons({}, ["round trip is 9 ms"]), ["round trip is 9 ms"])

    def test_guests_that_can_be_told_share_a_snapshot(self):
        quick = matrix.load(os.path.join(MATRICES, "quick.json")).guests
        self.assertEqual(cells.snapshot_key(quick["idle"]), cells.snapshot_key(quick["writing"]))
        self.assertNotEqual(cells.snapshot_key(quick["idle"]), cells.snapshot_key(quick["key-value"]))

    def test_tcp_counters(self):
        text = "Ip: a\nIp: 1\nTcp: OutSegs RetransSegs\nTcp: 100 7\nUdp: x\n"
        self.assertEqual(network.parse_snmp(text), {"OutSegs": 100, "RetransSegs": 7})
        with self.assertRaises(HarnessError):
            network.parse_snmp("Tcp: a b\n")


class Simulation(unittest.TestCase):
    def test_sweeps(self):
        found = simulate.expand({"what": "a", "rate_gbps": [10, 100], "rtt_ms": [6, 30], "guest_gib": 1}, "x")
        self.assertEqual(len(found), 4)
        self.assertEqual(simulate.words(found[0]), ["--rate-gbps", "10", "--rtt-ms", "6", "--guest-gib", "1"])
        for wrong in ({"rate_gbps": 1}, {"what": "a", "colour": 1}, {"what": "a", "rtt_ms": []}, {"what": "a", "rtt_ms": "6"}):
            with self.assertRaises(HarnessError):
                simulate.expand(wrong, "x")

    def test_validation_uses_device_times_of_the_shortest_idle_path(self):
        block = {**SMALL["blocks"][0], "paths": [{"rtt_ms": 0, "rate_gbps": 2.5}, {"rtt_ms": 6, "rate_gbps": 2.5}]}
        chosen = small(blocks=[block])
        records = [run(cell) for cell in chosen.cells]
        found = simulate.validation_fleets(chosen, records)
        self.assertEqual([fleet["cell"] for fleet in found], [
            "6 ms 2.5 Gb/s | idle | apn-uring", "6 ms 2.5 Gb/s | writing | apn-uring"])
        self.assertEqual((found[0]["save_ms"], found[0]["load_ms"]), (1.0, 8.0))

    def test_verdict_within_15_percent(self):
        chosen = small()
        ours = chosen.cells[2]
        record = {"kind": "simulated", "what": "validation", "cell": ours.key, "guest_gib": 1, "total_s": 8.589934592 / 2.2,
                  "blackout_p50_ms": 11.4}
        report = rows.build(chosen, [run(ours, 2.0, 10.0), record])
        found = simulate.validate(report)[0]
        self.assertEqual((found["throughput_ratio"], found["blackout_ratio"], found["within"]), (1.1, 1.14, True))
        record["blackout_p50_ms"] = 12
        self.assertFalse(simulate.validate(rows.build(chosen, [run(ours, 2.0, 10.0), record]))[0]["within"])


if __name__ == "__main__":
    unittest.main()
