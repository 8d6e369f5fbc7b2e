#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""faults.py - how long a guest waits for a page in postcopy over soft-RoCE, when it is read and when it is asked for

usage: faults.py --out DIR [--repeats N] SNAPSHOTS RTT_MS      inside the test bed; result lines and a table

From the fault thread's request to the placed page, as the destination's QEMU traces them. To be asked for, pages are kept from being
read by a filter around the destination's backend, which does nothing else. In the second row the source's process stands still for 30 of
every 50 ms, as on a host where others have the processor. The two ways take turns. Writes DIR/faults.json.
"""
import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import beds  # noqa: E402
from fixture import check  # noqa: E402
from harness import trace  # noqa: E402
from harness.process import stop_all, wait_until  # noqa: E402
from migrations import LANES, WRITE_MIB, report  # noqa: E402

NO_READS = "fault=tx:GRANT:1000000:cut"
BULK = 16 << 20  # bytes a second: the bed's one processor is not busy with it
ROWS = {"source undisturbed": 0.0, "source held 3/5 of the time": 0.03}
EVENTS = ("postcopy_ram_fault_thread_request", "postcopy_place_page")
PAGE = 4096


def latencies(events):
    """Seconds from each request to the first placing of its page."""
    asked, found = {}, []
    for seconds, name, rest in events:
        if name == EVENTS[0]:
            asked.setdefault(int(re.search(r"HVA=0x([0-9a-f]+)", rest)[1], 16) // PAGE, seconds)
        elif name == EVENTS[1]:
            since = asked.pop(int(re.search(r"host=0x([0-9a-f]+)", rest)[1], 16) // PAGE, None)
            if since is not None:
                found.append(seconds - since)
    return found


@contextlib.contextmanager
def slowed(vm, stands):
    """@vm stands still for @stands of every 0.05 s."""
    over = threading.Event()

    def toggle():
        while not over.wait(0.05 - stands):
            vm.signal(signal.SIGSTOP)
            over.wait(stands)
            vm.signal(signal.SIGCONT)

    thread = threading.Thread(target=toggle)
    if stands:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if stands:
            thread.join()


def migrate(lab, reads, stands):
    """One migration in postcopy. Returns the latencies of its faults in ms."""
    with lab.site(rtt_ms=lab.rtt_ms) as site:
        source = site.source(lab.guest(rate=WRITE_MIB))
        dest = site.dest(source, paused=False, extra=[word for event in EVENTS for word in ("-trace", event)])
        for vm in (source, dest):
            vm.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": True}])
        site.begin(source, dest, {"apn-backend": "rdma", "apn-lanes": LANES, "max-bandwidth": 8 << 20, "max-postcopy-bandwidth": BULK},
                   {"apn-backend": "rdma", "x-apn-filters": "" if reads else NO_READS})
        wait_until(lambda: source.qmp.execute("query-migrate").get("status") == "active", 30, "migration to begin")
        source.qmp.execute("migrate-start-postcopy")
        wait_until(lambda: source.qmp.execute("query-migrate").get("status") == "postcopy-active", 30, "postcopy to begin")
        with slowed(source, stands):
            status = site.wait(source, 120)
        check(status == "completed", "ended as %s: %s", status, site.error_of(source))
        wait_until(lambda: dest.qmp.execute("query-migrate").get("status") == "completed", 20, "destination to have everything")
        apn = dest.qmp.execute("query-migrate")["apn"]
        check(bool(apn["postcopy-reads"]) == reads, "%d of %d pages were read", apn["postcopy-reads"], apn["postcopy-requests"])
        site.self_check(dest)
        found = latencies(trace.read(dest.trace_path))
        check(len(found) >= 20, "only %d faults", len(found))
        return [1000 * seconds for seconds in found]


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(lab, stands, repeats, runs):
    """Both ways in turn. Returns a line of the table."""
    figures = {"read": [], "asked for": []}
    for _ in range(repeats):
        for way, found in figures.items():
            found.append(migrate(lab, way == "read", stands))
            runs.append({"source_stands_s": stands, "way": way, "ms": [round(ms, 3) for ms in found[-1]]})
    return "; ".join("%s: %d faults, median %.1f ms, p90 %.1f ms (middle of %d runs)"
                     % (way, sum(len(run) for run in found), statistics.median(statistics.median(run) for run in found),
                        statistics.median(quantile(run, 0.9) for run in found), repeats)
                     for way, found in figures.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name contains it")
    parser.add_argument("snapshots")
    parser.add_argument("rtt_ms", type=float)
    args = parser.parse_args()
    good, runs = True, []
    with tempfile.TemporaryDirectory(prefix="bed-", dir="/dev/shm") as directory:
        lab = beds.BedLab(args.snapshots, directory)
        lab.rtt_ms = args.rtt_ms
        try:
            for words, stands in ROWS.items():
                if args.only in words:
                    good &= report("testbed-faults, %s" % words, measure, lab, stands, args.repeats, runs)
        finally:
            lab.close()
            stop_all()
    with open(os.path.join(args.out, "faults.json"), "w", encoding="ascii") as file:
        json.dump(runs, file, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
