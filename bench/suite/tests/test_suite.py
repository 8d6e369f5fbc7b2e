# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the suite: statistics, matrix, schedule, lab book, rows, compare, simulation, report.

run: python3 -m unittest discover -s bench/suite/tests -t bench
"""
import argparse
import copy
import html.parser
import json
import os
import random
import tempfile
import unittest

from harness import network
from harness.migrate import Setup
from harness.process import HarnessError
from report import markdown, page, svg
from suite import book, cells, compare, hosts, matrix, rows, schedule, simulate, stats, transports

HERE = os.path.dirname(os.path.abspath(__file__))
MATRICES = os.path.join(HERE, "..", "matrices")
SMALL = {
    "schema": "apn-matrix/1", "name": "small", "repeats": {"min": 2, "max": 4},
    "guests": {"idle": {"mib": 512, "used_mib": 64}, "writing": {"mib": 512, "used_mib": 64, "hot_mib": 8, "rate_mib_s": 10}},
    "blocks": [{"paths": [{"rtt_ms": 6, "rate_gbps": 2.5}, {"rtt_ms": 30, "rate_gbps": 2.5}], "guests": ["idle", "writing"],
                "transports": ["stock-tcp-tuned", "stock-multifd4-tuned", "apn-uring"]}]}


def small(**changes):
    return matrix.Matrix({**copy.deepcopy(SMALL), **changes}, "small.json")


def run(cell, throughput=2.0, blackout=10.0, cpu=1.0, **changes):
    record = {"kind": "run", "cell": cell.key, "path": cell.path_name, "guest": cell.guest_name, "transport": cell.transport,
              "status": "completed", "clean": True, "unclean": [], "verified": True, "throughput_gbps": throughput, "blackout_ms": blackout,
              "cpu_s_per_gib": cpu, "wire_gbps": throughput * 1.02, "bytes_ratio": 1.02, "total_s": 4.0, "repeat": 1, "guest_bytes": 1 << 30,
              "switchover_ms": {"stop": 0.1, "residue": 1.0, "flight": 6.0, "load": 2.0}, "took_s": 10,
              "samples": [{"at_s": i / 10, "ram_bytes": i << 20, "dirty_bytes": (40 - i) << 20, "queue_bytes": i} for i in range(40)],
              "commands": {"source": ["qemu", "-a<b>"], "dest": ["qemu"]}, "capabilities": ["events"], "parameters": {"x": 1}}
    return {**record, **changes}


class Statistics(unittest.TestCase):
    def test_coverage_of_the_range(self):
        self.assertAlmostEqual(stats.coverage(5, 1), 1 - 2 / 32)
        self.assertAlmostEqual(stats.coverage(6, 1), 1 - 2 / 64)
        self.assertEqual(stats.repeats_needed(), 6)

    def test_interval_is_the_narrowest_that_covers(self):
        self.assertEqual(stats.median_interval(range(1, 7)), (1, 6, 0.96875))
        low, high, covers = stats.median_interval(range(1, 31))
        self.assertEqual((low, high), (10, 21))  # the textbook's ranks for n = 30
        self.assertGreaterEqual(covers, 0.95)
        self.assertIsNone(stats.median_interval([]))

    def test_interval_really_covers(self):
        dealer, inside = random.Random(3), 0
        for _ in range(2000):
            low, high, _ = stats.median_interval([dealer.expovariate(1) for _ in range(10)])
            inside += low <= 0.6931471805599453 <= high
        self.assertGreater(inside / 2000, 0.95)

    def test_few_repeats_have_no_width(self):
        self.assertIsNone(stats.half_width([1, 1, 1, 1, 1]))
        self.assertAlmostEqual(stats.half_width([9, 10, 10, 10, 10, 11]), 0.1)

    def test_rank_sums_are_exact(self):
        self.assertAlmostEqual(stats.difference_p([1, 2, 3], [4, 5, 6]), 0.1)
        self.assertAlmostEqual(stats.difference_p([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 2 / 252)
        self.assertAlmostEqual(stats.smallest_p(5, 5), 2 / 252)
        self.assertEqual(stats.difference_p([1, 1, 1], [1, 1, 1]), 1)

    def test_large_sets_are_estimated_alike_each_time(self):
        one, two = list(range(20)), [value + 30 for value in range(20)]
        self.assertLess(stats.difference_p(one, two), 0.001)
        self.assertEqual(stats.difference_p(one, two), stats.difference_p(one, two))

    def test_signed_ranks(self):
        self.assertAlmostEqual(stats.signed_rank_p([1, 2, 3, 4, 5, 6]), 2 / 64)
        self.assertEqual(stats.signed_rank_p([0, 0]), 1)
        self.assertGreater(stats.signed_rank_p([1, -1, 2, -2]), 0.9)


class Expansion(unittest.TestCase):
    def test_product_without_doubles(self):
        found = small()
        self.assertEqual(len(found.cells), 12)
        doubled = small(blocks=SMALL["blocks"] * 2)
        self.assertEqual([cell.key for cell in doubled.cells], [cell.key for cell in found.cells])
        self.assertEqual(found.cells[0].key, "6 ms 2.5 Gb/s | idle | stock-tcp-tuned")

    def test_names_tell_paths_apart(self):
        paths = [{"rtt_ms": 6, "rate_gbps": 1}, {"rtt_ms": 6, "rate_gbps": 1, "loss": 1e-4}, {"rtt_ms": 6, "rate_gbps": 1, "mtu": 1500},
                 {"rtt_ms": 6, "rate_gbps": 1, "cut": {"after_s": 1, "for_ms": 200}}, {"rtt_ms": 6, "rate_gbps": 1, "queue": "20ms"}]
        block = {"paths": paths, "guests": ["idle"], "transports": ["apn-uring"]}
        self.assertEqual(len(small(blocks=[block]).cells), len(paths))

    def test_wrong_matrices_are_refused_in_words(self):
        block = SMALL["blocks"][0]
        for changes, words in (
                ({"schema": "x"}, "schema is 'x'"), ({"colour": 1}, "unknown key 'colour'"), ({"name": "a/b"}, "name is"),
                ({"repeats": {"min": 5, "max": 2}}, "min 5 is above max 2"), ({"repeats": {"min": 0}}, "within 1..1000"),
                ({"blocks": [{**block, "paths": [{"rtt_ms": 1, "rate_gbps": 1, "engine": "steam"}]}]}, "engine is 'steam'"),
                ({"budget_s": True}, "must be a number"), ({"blocks": [{**block, "guests": ["nobody"]}]}, "guest 'nobody'"),
                ({"blocks": [{**block, "transports": ["pigeon"]}]}, "transport 'pigeon'"), ({"blocks": [{**block, "paths": []}]}, "paths must be"),
                ({"blocks": [{**block, "paths": [{"rtt_ms": -1, "rate_gbps": 1}]}]}, "rtt_ms is -1"),
                ({"blocks": [{**block, "paths": [{"rtt_ms": 1}]}]}, "rate_gbps is missing"),
                ({"blocks": [{**block, "paths": [{"rtt_ms": 1, "rate_gbps": 1, "queue": "1;rm"}]}]}, "must be a word"),
                ({"guests": {**SMALL["guests"], "idle": {"mib": 128, "used_mib": 64}}}, "mib is 128"),
                ({"guests": {**SMALL["guests"], "idle": {"mib": 512, "used_mib": 64, "rate_mib_s": 5}}}, "hot_mib is 0"),
                ({"guests": {**SMALL["guests"], "idle": {"mib": 512, "used_mib": 64, "order": "odd"}}}, "order is 'odd'")):
            with self.assertRaises(matrix.MatrixError, msg=words) as caught:
                small(**changes)
            self.assertIn(words, str(caught.exception))

    def test_too_many_cells(self):
        paths = [{"rtt_ms": i, "rate_gbps": 1} for i in range(1000)]
        block = {"paths": paths, "guests": ["idle", "writing"], "transports": ["stock-tcp-tuned", "apn-uring", "apn-dpdk"]}
        with self.assertRaisesRegex(matrix.MatrixError, "more than 5000"):
            small(blocks=[block])

    def test_files_in_the_tree_are_good(self):
        for name in os.listdir(MATRICES):
            found = matrix.load(os.path.join(MATRICES, name))
            self.assertTrue(found.cells, name)
            self.assertEqual(found.name + ".json", name)
            for sweep in found.simulated:
                self.assertTrue(simulate.expand(sweep, name))
        quick = matrix.load(os.path.join(MATRICES, "quick.json"))
        self.assertLessEqual(quick.budget_s, 1800)
        self.assertIn("apn-uring", {cell.transport for cell in quick.cells})

    def test_missing_file_and_nonsense(self):
        with self.assertRaisesRegex(matrix.MatrixError, "No such file"):
            matrix.load("/nonexistent/matrix.json")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write("{")
            file.flush()
            with self.assertRaisesRegex(matrix.MatrixError, "not JSON"):
                matrix.load(file.name)


class Ways(unittest.TestCase):
    def context(self, engine="auto", **changes):
        environment = argparse.Namespace(qemu_apn="/bin/true", qemu_stock="/bin/true", apn_path="/nonexistent/bench/path/apn-path")
        values = {"environment": environment, "directory": tempfile.mkdtemp(), "downtime_ms": 30,
                  "backends": {"uring": None, "udp": "not in this kernel", "rdma": "no device"}}
        self.addCleanup(lambda: __import__("shutil").rmtree(values["directory"]))
        path = {"rtt_ms": 6, "rate_gbps": 10, "engine": engine}
        return transports.Context(**{**values, **changes}).of(argparse.Namespace(path=path, guest={"mib": 512}))

    def test_tuned_and_unlimited(self):
        setup = transports.KNOWN["stock-multifd8-tuned"](self.context())
        self.assertEqual(setup.parameters, {"max-bandwidth": 1187500000, "downtime-limit": 30, "multifd-channels": 8})
        self.assertIn("multifd", setup.capabilities)
        self.assertFalse(setup.ours)

    def test_missing_says_why(self):
        for name, words in (("apn-udp", "backend udp: not in this kernel"), ("apn-rdma", "backend rdma: no device")):
            with self.assertRaisesRegex(transports.Missing, words):
                transports.KNOWN[name](self.context())
        nothing = argparse.Namespace(qemu_apn=None, qemu_stock="/bin/true")
        with self.assertRaisesRegex(transports.Missing, "no patched QEMU"):
            transports.KNOWN["apn-uring"](self.context(environment=nothing))

    def test_dpdk_needs_its_program_and_ethernet(self):
        with self.assertRaisesRegex(transports.Missing, "not built"):
            transports.KNOWN["apn-dpdk"](self.context("dpdk"))
        with tempfile.TemporaryDirectory() as build:
            program = os.path.join(build, "transport", "dpdk", "apn-dpdk")
            os.makedirs(os.path.dirname(program))
            os.makedirs(os.path.join(build, "bench", "path"))
            with open(program, "w", encoding="ascii"):
                pass
            environment = argparse.Namespace(qemu_apn="/bin/true", apn_path=os.path.join(build, "bench", "path", "apn-path"))
            with self.assertRaisesRegex(transports.Missing, "needs Ethernet"):
                transports.KNOWN["apn-dpdk"](self.context(environment=environment))
            with self.assertRaisesRegex(transports.Missing, "between two machines"):
                transports.KNOWN["apn-dpdk"](self.context("dpdk", environment=environment, far=True))
            setup = transports.KNOWN["apn-dpdk"](self.context("dpdk", environment=environment))
        self.assertEqual(setup.helper, "dpdk")
        self.assertNotEqual(setup.ends["source"], setup.ends["dest"])
        self.assertIn("size=512M,share=on", setup.words("source")[1])

    def test_tls_makes_a_key_both_ends_share(self):
        context = self.context()
        setup = transports.KNOWN["stock-multifd4-tls"](context)
        self.assertIn("endpoint=client", setup.words("source")[1])
        self.assertIn("endpoint=server", setup.words("dest")[1])
        keys = os.path.join(context.directory, "psk", "keys.psk")
        with open(keys, encoding="ascii") as file:
            self.assertRegex(file.read(), "^bench:[0-9a-f]{64}\n$")
        self.assertEqual(os.stat(os.path.dirname(keys)).st_mode & 0o777, 0o700)

    def test_postcopy_is_asked_for_once_after_the_first_pass(self):
        asked = []
        source = argparse.Namespace(qmp=argparse.Namespace(execute=asked.append))
        look = transports.KNOWN["stock-postcopy"](self.context()).progress(source)
        for rounds in (1, 1, 2, 2, 3):
            look({"status": "active", "ram": {"dirty-sync-count": rounds}}, {"at_s": rounds})
        self.assertEqual(asked, ["migrate-start-postcopy"])
        self.assertIsNone(Setup("stock-tcp", "x").progress(source))


class Order(unittest.TestCase):
    def test_minimum_for_all_first(self):
        chosen = small()
        runs = {chosen.cells[0].key: [run(chosen.cells[0])]}
        first = schedule.next_round(chosen.cells, runs, chosen, 1)
        self.assertEqual(len(first), 11)
        self.assertNotIn(chosen.cells[0].key, [cell.key for cell in first])

    def test_rounds_keep_groups_and_change_places(self):
        chosen = small()
        rounds = [[cell.key for cell in schedule.order(chosen.cells, number, 1)] for number in range(8)]
        self.assertGreater(len({tuple(keys) for keys in rounds}), 4)
        for keys in rounds:
            self.assertEqual(sorted(keys), sorted(cell.key for cell in chosen.cells))
            paths = [key.split(" | ")[0] for key in keys]
            self.assertEqual(paths, sorted(paths, key=paths.index))  # a path is brought up once per round
        self.assertEqual(rounds[3], [cell.key for cell in schedule.order(chosen.cells, 3, 1)])

    def test_repeats_go_on_until_sure_or_the_limit(self):
        chosen = small(repeats={"min": 2, "max": 8})
        cell = chosen.cells[0]
        self.assertEqual(schedule.wants([run(cell)], chosen), "1 of 2 repeats")
        self.assertEqual(schedule.wants([run(cell)] * 5, chosen), "interval of throughput_gbps")
        self.assertIsNone(schedule.wants([run(cell)] * 6, chosen))
        noisy = [run(cell, blackout=value) for value in (10, 11, 30, 12, 9, 50)]
        self.assertEqual(schedule.wants(noisy, chosen), "interval of blackout_ms")
        self.assertIsNone(schedule.wants(noisy + noisy[:2], chosen))

    def test_unclean_runs_are_repeated_but_not_for_ever(self):
        chosen = small()
        dirty = run(chosen.cells[0], clean=False, unclean=["others used 50 %"])
        self.assertEqual(schedule.wants([dirty] * 7, chosen), "0 of 2 repeats")
        self.assertIsNone(schedule.wants([dirty] * 8, chosen))

    def test_what_fails_twice_is_left_alone(self):
        chosen = small()
        bad = run(chosen.cells[0], status="failed", clean=False)
        self.assertIsNotNone(schedule.wants([bad], chosen))
        self.assertIsNone(schedule.wants([bad, bad], chosen))


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


class Compare(unittest.TestCase):
    CHOSEN = small()

    def records(self, factor=1.0, repeats=6, spread=0.01, seed=1):
        dealer = random.Random(seed)
        return [run(cell, 2.0 * factor * (1 + dealer.uniform(-spread, spread)), 10 * (1 + dealer.uniform(-spread, spread)))
                for cell in self.CHOSEN.cells for _ in range(repeats)]

    def test_noise_makes_no_verdict(self):
        found = compare.compare(self.records(seed=1), self.records(seed=2))
        self.assertEqual((found["better"], found["worse"]), (0, 0))

    def test_a_real_loss_is_found(self):
        found = compare.compare(self.records(), self.records(0.9, seed=2))
        self.assertEqual({entry["figure"] for entry in found["rows"] if entry["verdict"] == "worse"}, {"throughput_gbps"})
        self.assertEqual(sum(entry["verdict"] == "worse" for entry in found["rows"]), 12)
        back = compare.compare(self.records(0.9, seed=2), self.records())
        self.assertEqual(back["worse"], 0)
        self.assertGreater(back["better"], 11)

    def test_three_repeats_cannot_decide_and_say_so(self):
        found = compare.compare(self.records(repeats=3), self.records(0.5, repeats=3, seed=2))
        losing = [entry for entry in found["rows"] if entry["figure"] == "throughput_gbps"]
        self.assertEqual({entry["verdict"] for entry in losing}, {"undecided"})
        self.assertIn("3 and 3 clean repeats cannot decide", losing[0]["why"])

    def test_rows_together_decide_more(self):
        block = {"paths": [{"rtt_ms": rtt, "rate_gbps": 1} for rtt in range(1, 11)], "guests": ["idle"], "transports": ["apn-uring"]}
        many = small(blocks=[block])
        old = [run(cell, 2.0) for cell in many.cells for _ in range(3)]
        new = [run(cell, 1.8 + i / 1000) for i, cell in enumerate(many.cells) for _ in range(3)]
        together = {entry["figure"]: entry["verdict"] for entry in compare.compare(old, new)["all"]}
        self.assertEqual(together["throughput_gbps"], "worse")
        self.assertEqual(together["blackout_ms"], "same")

    def test_lost_cells_and_other_machines_are_said(self):
        old = [{"kind": "header", "machine": {"kernel": "6.1"}}, *self.records()]
        new = [{"kind": "header", "machine": {"kernel": "6.2"}}, *self.records()[:6]]
        words = " ".join(compare.lines(compare.compare(old, new)))
        self.assertIn("kernel differs: 6.1, then 6.2", words)
        self.assertIn("11 cells have no runs in NEW", words)

    def test_no_book(self):
        with self.assertRaisesRegex(HarnessError, "no lab book"):
            compare.compare_directories("/nonexistent", "/nonexistent")


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


class Hosts(unittest.TestCase):
    """A worker over pipes: what two machines need of it, on this one."""

    def start(self, words="command:env"):
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        for key in ("QEMU_STOCK", "GUEST_KERNEL", "GUEST_INITRD", "APN_PATH"):
            os.environ[key] = "/bin/true"
        os.environ.pop("QEMU_APN", None)
        host = hosts.Host(words)
        self.addCleanup(host.close)
        return host

    def test_clocks_of_one_machine_agree(self):
        host = self.start()
        self.assertLess(abs(host.offset), 0.05)
        self.assertLessEqual(abs(host.offset), host.clock_error + 1e-3)
        self.assertGreater(host.clock_error, 0)

    def test_wrong_questions_are_answered_in_words_and_do_not_end_it(self):
        host = self.start()
        for what, arguments, words in (("dance", {}, "unknown request 'dance'"), ("read", {"path": "/etc/passwd"}, "not a counter"),
                                       ("read", {"path": "/proc/net/../version"}, "not a counter"),
                                       ("tool", {"words": ["sh", "-c", "true"]}, "not a tool"), ("call", {"name": "x", "what": "stop"}, "not among"),
                                       ("say", {"name": "nobody", "command": "x"}, "nobody"), ("touch", {"colour": 1}, "colour")):
            with self.assertRaisesRegex(HarnessError, words):
                host.ask(what, **arguments)
        self.assertIn("wall", host.ask("clock"))

    def test_counters_can_be_read(self):
        text = self.start().ask("read", path="/proc/net/dev")
        self.assertEqual(len(hosts.device_bytes(text, "lo")), 2)
        with self.assertRaisesRegex(HarnessError, "no device zz9"):
            hosts.device_bytes(text, "zz9")

    def test_a_worker_that_cannot_start_says_why(self):
        before = os.environ.pop("QEMU_STOCK", None)
        try:
            with self.assertRaisesRegex(HarnessError, "not set: QEMU_STOCK"):
                hosts.Host("command:env")
        finally:
            if before:
                os.environ["QEMU_STOCK"] = before

    def test_names_of_hosts(self):
        self.assertEqual(hosts.way_in("command:ip netns exec a")[0], ["ip", "netns", "exec", "a"])
        self.assertEqual(hosts.way_in("root@h-1.example")[0][-1], "root@h-1.example")
        for wrong in ("", "-oProxyCommand=x", "a b", "command:", "a;b"):
            with self.assertRaises(HarnessError):
                hosts.way_in(wrong)

    def test_the_worker_ends_with_its_connection(self):
        host = self.start()
        host.close()
        self.assertIsNotNone(host._child.returncode)
        with self.assertRaises((HarnessError, ValueError)):
            host.ask("clock")


class _Tags(html.parser.HTMLParser):
    VOID = {"meta", "line", "circle", "path", "i"}

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


class Report(unittest.TestCase):
    def records(self):
        chosen = small()
        found = [{"kind": "header", "machine": {"host": "h<1>", "commit": "c", "cpus": 2}},
                 {"kind": "calibration", "copy_gbps": 80, "loopback": {"gbps": None, "why": "not built"}, "first_touch_s_per_gib": 0.1,
                  "wake_up_ms": {"p50": 0.1, "p99": 0.2, "max": 0.3}, "load": [0.1, 0.2, 0.3]},
                 {"kind": "path", "path": chosen.cells[0].path_name, "iperf1_gbps": 2.4, "iperf4_gbps": None, "rtt_ms": 6.0, "wrong": []},
                 {"kind": "simulated", "what": "fleet", "rate_gbps": 100, "rtt_ms": 6, "guest_gib": 1, "dirty_gbps": 0, "count": 10, "total_s": 1,
                  "line_share": 0.9, "blackout_p50_ms": 10, "blackout_p99_ms": 20, "blackout_max_ms": 30, "fairness": 0.99},
                 {"kind": "simulated", "what": "fleet", "rate_gbps": 100, "rtt_ms": 6, "guest_gib": 1, "dirty_gbps": 0, "count": 100,
                  "why": "it does not converge"}]
        return chosen, found + [run(cell, repeat=i) for i, cell in enumerate(chosen.cells)]

    def test_page_is_whole_and_loads_nothing(self):
        chosen, records = self.records()
        text = page.render(rows.build(chosen, records), records)
        tags = _Tags()
        tags.feed(text)
        self.assertEqual((tags.wrong, tags.open, tags.links), ([], [], []))
        self.assertNotIn("<b>", text)  # from a command line
        self.assertIn("h&lt;1&gt;", text)
        self.assertIn("Simulated", text)
        self.assertIn("prefers-color-scheme:dark", text)

    def test_markdown_has_every_row(self):
        chosen, records = self.records()
        text = markdown.render(rows.build(chosen, records))
        for cell in chosen.cells:
            self.assertIn("| %s | %s |" % (cell.guest_name, cell.transport), text)
        self.assertIn("SIMULATED", text)
        self.assertIn("it does not converge", text)

    def test_numbers_are_short_and_never_in_powers_of_ten(self):
        self.assertEqual([markdown.cell(value) for value in (None, 12, 1.2345, 99.96, 999.7, 12345.6)],
                         ["–", "12", "1.23", "100", "1000", "12346"])
        self.assertEqual(markdown.cell(287.3, 2), "287")

    def test_report_of_nothing(self):
        chosen = small()
        report = rows.build(chosen, [])
        self.assertIn("not run", markdown.render(report))
        self.assertIn("no clean figures to draw", page.render(report, []))
        json.dumps(report)

    def test_axes(self):
        axis = svg.Axis([0, 87], 0, 100)
        self.assertEqual((axis.high, axis.ticks()), (100, [0, 20, 40, 60, 80, 100]))
        axis = svg.Axis([3, 400], 0, 300, "log")
        self.assertEqual((axis.low, axis.high, round(axis.at(10), 9)), (1, 1000, 100))
        self.assertEqual(svg.Axis([0, 0], 0, 1).high, 1)
        self.assertEqual(svg.nice_step(0), 1)

    def test_stairs(self):
        self.assertEqual(svg.cumulative([3, 1]), [(1, 0.0), (1, 0.5), (3, 1.0)])
        self.assertEqual(svg.cumulative([]), [])


if __name__ == "__main__":
    unittest.main()
