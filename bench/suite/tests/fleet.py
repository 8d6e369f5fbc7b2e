#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fleet.py - the simulated link: a figure known by arithmetic, sharing, and wrong arguments.

usage: fleet.py FLEET [unittest options]
"""
import json
import os
import subprocess
import sys
import unittest

PROGRAM = ""


def fleet(**words):
    arguments = [word for key, value in words.items() for word in ("--" + key.replace("_", "-"), str(value))]
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=200)


def answer(**words):
    done = fleet(**words)
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


class Fleet(unittest.TestCase):
    def test_one_fills_the_line(self):
        found = answer(rate_gbps=10, rtt_ms=6, guest_gib=2)
        ideal = 2 * 8 * 1.073741824 / 10
        self.assertGreater(found["total_s"], ideal)
        self.assertLess(found["total_s"], ideal * 1.1)
        self.assertGreater(found["blackout_p50_ms"], 3 + 4)  # half a round trip and the load
        self.assertLess(found["blackout_p50_ms"], 50)
        self.assertEqual(found["fairness"], 1)

    def test_many_share_fairly_and_lose_nothing(self):
        one, ten = answer(rate_gbps=10, rtt_ms=6, guest_gib=0.25), answer(rate_gbps=10, rtt_ms=6, guest_gib=0.25, count=10)
        self.assertGreater(ten["line_share"], 0.85)
        self.assertLess(ten["total_s"], 10 * one["total_s"] * 1.1)
        self.assertGreater(ten["fairness"], 0.9)

    def test_what_cannot_converge_says_so(self):
        done = fleet(rate_gbps=100, rtt_ms=150, guest_gib=1, dirty_gbps=1, hot_gib=0.1, downtime_ms=20)  # light alone takes 75 ms
        self.assertEqual(done.returncode, 1)
        self.assertIn("do not converge", done.stderr)

    def test_same_arguments_same_figures(self):
        one, two = (answer(rate_gbps=10, rtt_ms=6, guest_gib=0.25, dirty_gbps=1, hot_gib=0.05, count=3) for _ in range(2))
        for found in (one, two):
            del found["computing_s"]
        self.assertEqual(one, two)

    def test_wrong_arguments(self):
        for words in ({"rate_gbps": 0}, {"rate_gbps": "x"}, {"count": 1001}, {"guest_gib": 5000}, {"rtt_ms": "nan"}, {"colour": 1}):
            done = fleet(**words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("fleet", done.stderr)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
