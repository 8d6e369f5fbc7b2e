# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the suite: matrix, transports, and the order of runs.

run: python3 -m unittest discover -s bench/suite/tests -t bench
"""
import argparse
import os
import tempfile
import unittest

from harness.migrate import Setup
from suite import matrix, schedule, simulate, transports
from suite.tests.scene import small, run, SMALL, MATRICES


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


if __name__ == "__main__":
    unittest.main()
