#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk_net.py - apn-dpdk on real veths: the kernel as its peer, clients that lie and die, and the lanes themselves

usage: dpdk_net.py APN_DPDK CONFORMANCE LINK_THROUGHPUT [WORD ...]     a WORD selects the cases whose name contains it

Makes network namespaces of its own and removes them. Prints `ok NAME` or `not ok NAME: why`.
Exit: 0; 1 = a case failed; 77 = cannot run here (no root, no ip), with the reason.
Owner: meson test platform-dpdk.   Thread: main.   Time: s.
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import dpdk_wire as wire  # noqa: E402
import dpdk_host_cases  # noqa: E402,F401  pylint: disable=unused-import
import dpdk_lanes  # noqa: E402,F401  pylint: disable=unused-import
from dpdk_lab import CASES, Failed, Lab  # noqa: E402

SKIPPED = 77


def run_case(lab, function):
    try:
        lab.up()
        verdict, words = "ok", function(lab) or ""
    except (Failed, wire.Refused, OSError, EOFError, subprocess.SubprocessError) as why:
        verdict, words = "not ok", "%s: %s" % (type(why).__name__, why)
        for helper in lab.helpers:
            words += "\n" + helper.text()[-2000:]
    faults = lab.down()
    if faults and verdict == "ok":
        verdict, words = "not ok", "; ".join(faults)
    print("%s %s%s" % (verdict, function.__name__, ": " + words if words else ""), flush=True)
    return verdict == "ok"


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("ping"):
        print("skipped: needs root, ip and ping, for network namespaces of its own")
        sys.exit(SKIPPED)
    lab = Lab(*sys.argv[1:4])
    words = sys.argv[4:]
    try:
        lab.up()
        lab.down()
    except (OSError, subprocess.SubprocessError) as why:
        print("skipped: no network namespaces here: %s" % why)
        lab.down()
        sys.exit(SKIPPED)
    chosen = [function for function in CASES if not words or any(word in function.__name__ for word in words)]
    try:
        failed = sum(not run_case(lab, function) for function in chosen)
    finally:
        lab.down()
        shutil.rmtree(lab.directory, ignore_errors=True)
    print("dpdk_net: %d cases, %d failed" % (len(chosen), failed))
    sys.exit(1 if failed or not chosen else 0)


if __name__ == "__main__":
    main()
