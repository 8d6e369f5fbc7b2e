# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the suite: statistics and comparison of two lab books.

run: python3 -m unittest discover -s bench/suite/tests -t bench
"""
import random
import unittest

from harness.process import HarnessError
from suite import compare, stats
from suite.tests.scene import small, run


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


if __name__ == "__main__":
    unittest.main()
