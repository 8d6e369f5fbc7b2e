#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_promtool - what Prometheus' own tool says about /metrics

Usage: test_promtool.py SERVE_DOCUMENT.  Owner: meson test.  Thread: main.  Exit 77: no promtool.
Time: every wait has a limit, seconds.  Units: none.
"""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from elsewhere import find_promtool, run_tests  # noqa: E402
from server import Server

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ""


class Metrics(unittest.TestCase):
    """promtool's opinion of /metrics; APN_PROMTOOL or what is installed, else what Debian's package holds."""

    def test_promtool(self):
        tool = find_promtool()
        if not os.path.exists(tool or ""):
            self.skipTest("no promtool: not installed, and Debian's package prometheus cannot be had")
        wrong = subprocess.run([tool, "check", "metrics"], input=b"# TYPE Bad_count counter\nBad_count 1\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        self.assertNotEqual(wrong.returncode, 0)  # it does find what is wrong
        for document in ([], ["--hostile"], ["--empty"], ["--vms", "200"]):
            with Server(PROGRAM, document) as server:
                server.event("migration.end", {"vm": "a", "state": "done", "blackout_ms": 12.5, "bytes": 1000})
                server.ask("GET", "/nothing")
                status, _, text = server.ask("GET", "/metrics")
                self.assertEqual(status, 200)
                told = subprocess.run([tool, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
                self.assertEqual((told.returncode, told.stdout.decode().strip()), (0, ""), document)


if __name__ == "__main__":
    run_tests(sys.argv[2:])
