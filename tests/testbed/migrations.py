#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""migrations.py - real guests between real QEMUs over soft-RoCE; runs inside the test bed

usage: migrations.py [--full] SNAPSHOTS RTT_MS      prints `ok NAME`, `not ok NAME: why`, a case a line
"""
import argparse
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import beds  # noqa: E402
from fixture import check  # noqa: E402
from harness import migrate  # noqa: E402
from harness.process import HarnessError, stop_all  # noqa: E402
from harness.process import wait_until  # noqa: E402

LANES = 2
WRITE_MIB = 8  # a second, by the guest


def report(name, function, *arguments):
    """One result line. Returns whether it is good."""
    begin = time.monotonic()
    try:
        words = function(*arguments)
        print("ok %s: %s (%.1f s)" % (name, words, time.monotonic() - begin), flush=True)
        return True
    except (HarnessError, beds.fixture.Failed) as error:
        text = " | ".join(line.strip() for line in str(error).splitlines() if line.strip())
        print("not ok %s: %s (%.1f s)" % (name, text[:1500], time.monotonic() - begin), flush=True)
        return False


def hop(site, source, parameters, fault=""):
    """One migration to a paused destination, compared, then continued there. Returns (new source, query-migrate's apn)."""
    dest = site.dest(source)
    info = site.move(source, dest, {**parameters, "x-apn-filters": fault}, {**parameters, "x-apn-filters": ""}, seconds=120.0)
    site.same_memory(source, dest)
    dest.qmp.execute("cont")
    wait_until(lambda: dest.status() == "running", 20, "destination to run")
    source.stop()
    return dest, info["apn"]


def under_load(lab, runs):
    """@runs migrations of a writing guest, there and back; in every second one a queue pair is killed under way."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    lost = resent = late = copied = 0
    most = written = 0
    with lab.site(rtt_ms=lab.rtt_ms) as site:
        vm = site.source(lab.guest(rate=WRITE_MIB))
        for run in range(runs):
            fault = "fault=lane:%d:cut@after=%dKB" % (rng.randrange(LANES), rng.randrange(500, 16000)) if run % 2 else ""
            try:
                vm, apn = hop(site, vm, {"apn-backend": "rdma", "apn-lanes": LANES}, fault)
                check(not fault or apn["lanes-lost"] > 0, "the fault did not strike: lanes-lost is 0")
                check(apn["backend"] == "rdma" and apn["registered"] > 0, "nothing was registered: %s", apn)
                check(apn["registrations-late"] == 0, "%d registrations on the path", apn["registrations-late"])
            except (HarnessError, beds.fixture.Failed) as error:
                raise type(error)("run %d (seed %d, %s): %s" % (run, seed, fault or "no fault", error)) from error
            lost += apn["lanes-lost"]
            resent += apn["resent"]
            late += apn["registrations-late"]
            written += apn["zero-copy"]
            copied += apn["copied"]
            most = max(most, apn["requests-in-flight-max"])
        site.self_check(vm)
    return ("%d migrations under write load, memory equal each time; %d lanes lost, %d KiB sent again; %d MiB written one-sided, "
            "%d MiB copied; up to %d requests in flight, %d late registrations"
            % (runs, lost, resent >> 10, written >> 20, copied >> 20, most, late))


def postcopy(lab, fault=""):
    """The guest runs at the destination while its memory comes over queue pairs, and what it waits for by READ. Nothing is registered there
    (userfaultfd must see all), the source's memory is."""
    with lab.site(rtt_ms=lab.rtt_ms) as site:
        source = site.source(lab.guest(rate=WRITE_MIB))
        dest = site.dest(source, paused=False)
        for vm in (source, dest):
            vm.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": True}])
        # slowly, so that most of it is still to come when the guest is started
        site.begin(source, dest, {"apn-backend": "rdma", "apn-lanes": LANES, "max-bandwidth": 8 << 20, "x-apn-filters": fault},
                   {"apn-backend": "rdma", "x-apn-filters": ""})
        wait_until(lambda: source.qmp.execute("query-migrate").get("status") == "active", 30, "migration to begin")
        source.qmp.execute("migrate-start-postcopy")
        status = site.wait(source, 120)
        apn = source.qmp.execute("query-migrate")["apn"]
        check(status == "completed", "ended as %s: %s", status, site.error_of(source))
        wait_until(lambda: dest.status() == "running", 20, "destination to run")
        wait_until(lambda: dest.qmp.execute("query-migrate").get("status") == "completed", 20, "destination to have everything")
        there = dest.qmp.execute("query-migrate")["apn"]
        check(there["registered"] == 0, "%d bytes were registered under userfaultfd", there["registered"])
        check(apn["registered"] > 0, "the source's memory was not registered: %s", apn)
        check(there["postcopy-reads"] > 0, "%d requests, and no page was read", there["postcopy-requests"])
        check(not fault or apn["lanes-lost"] > 0, "the fault did not strike: lanes-lost is 0")
        # at the source: the destination's may be closed by the source's end before it has seen its own
        check(fault or apn["lanes-lost"] == 0, "%d lanes were lost on a path without faults", apn["lanes-lost"])
        site.self_check(dest)
    return ("completed; of %d pages that the guest waited for %d were read, %d sent ahead of their turn; %d KiB by frames, %d lanes lost; "
            "the guest found its memory whole"
            % (there["postcopy-requests"], there["postcopy-reads"], apn["postcopy-urgent"], apn["copied"] >> 10, apn["lanes-lost"]))


def recovered(lab):
    """A postcopy that is paused half-way goes on in another session, which reads again: rights end with the session that they were told in."""
    def paused(vm):
        return vm.qmp.execute("query-migrate").get("status") == "postcopy-paused"

    with lab.site(rtt_ms=lab.rtt_ms) as site:
        source = site.source(lab.guest(rate=WRITE_MIB))
        dest = site.dest(source, paused=False)
        for vm in (source, dest):
            vm.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": True}])
        site.begin(source, dest, {"apn-backend": "rdma", "apn-lanes": LANES, "max-bandwidth": 8 << 20, "max-postcopy-bandwidth": 16 << 20},
                   {"apn-backend": "rdma"})
        wait_until(lambda: source.qmp.execute("query-migrate").get("status") == "active", 30, "migration to begin")
        source.qmp.execute("migrate-start-postcopy")
        wait_until(lambda: dest.qmp.execute("query-migrate").get("apn", {}).get("postcopy-reads", 0) > 10, 30, "pages to be read")
        source.qmp.execute("migrate-pause")
        wait_until(lambda: paused(source) and paused(dest), 20, "both ends to pause")
        before = dest.qmp.execute("query-migrate")["apn"]["postcopy-reads"]
        dest.qmp.execute("migrate-recover", uri="apn:%s:%d" % (site.other(source), migrate.PORT + 1))
        source.qmp.execute("migrate", uri="apn:%s:%d" % (site.other(source), migrate.PORT + 1), resume=True)
        status = site.wait(source, 120)
        check(status == "completed", "ended as %s: %s", status, site.error_of(source))
        wait_until(lambda: dest.qmp.execute("query-migrate").get("status") == "completed", 20, "destination to have everything")
        after = dest.qmp.execute("query-migrate")["apn"]
        check(after["postcopy-reads"] > 0 and after["registered"] == 0, "after the recovery: %s", after)
        site.self_check(dest)
    return "%d pages read before the pause, %d after it; the guest found its memory whole" % (before, after["postcopy-reads"])


def automatic(lab):
    """auto takes rdma when both ends have it, and TCP when the destination listens for that only."""
    with lab.site(rtt_ms=lab.rtt_ms) as site:
        vm = site.source(lab.guest(rate=WRITE_MIB))
        vm, both = hop(site, vm, {"apn-backend": "auto"})
        dest = site.dest(vm)
        info = site.move(vm, dest, {"apn-backend": "auto"}, {"apn-backend": "uring"}, seconds=120.0)["apn"]
        site.same_memory(vm, dest)
    check(both["registered"] > 0 and both["zero-copy"] > 0, "both ends have RDMA, and it was not used: %s", both)
    check(info["requests"] == 0, "the destination has no RDMA, yet %d requests were posted", info["requests"])
    return "rdma between two that have it, TCP to one that has not"


def refused(lab):
    """rdma against a destination without it: a sentence at both ends, and the guest runs on."""
    with lab.site(rtt_ms=lab.rtt_ms) as site:
        vm = site.source(lab.guest(rate=WRITE_MIB))
        dest = site.dest(vm)
        site.begin(vm, dest, {"apn-backend": "rdma"}, {"apn-backend": "uring"})
        status = site.wait(vm, 30)
        words = site.error_of(vm)
        check(status == "failed" and "has no RDMA" in words, "ended as %s: %s", status, words)
        check(vm.status() == "running", "the guest is %s", vm.status())
    return words


def cases(full):
    yield "under-load", under_load, [10 if full else 2]
    yield "postcopy", postcopy, []
    # the urgent lane dies with reads out, in the middle of the faults
    yield "postcopy-lane-lost", postcopy, ["fault=rx:POSTCOPY_REQUEST:12:cut"]
    if full:
        yield "postcopy-recovered", recovered, []
        yield "auto", automatic, []
        yield "peer-without-rdma", refused, []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name contains it")
    parser.add_argument("snapshots")
    parser.add_argument("rtt_ms", type=float)
    args = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="bed-", dir="/dev/shm") as directory:
        lab = beds.BedLab(args.snapshots, directory, args.full)
        lab.rtt_ms = args.rtt_ms
        try:
            for name, function, arguments in cases(args.full):
                if args.only in name:
                    good &= report("testbed-migrate-" + name, function, lab, *arguments)
        finally:
            lab.close()
            stop_all()
            for entry in os.listdir(directory):
                if not good and entry.endswith(".log"):
                    with open(os.path.join(directory, entry), encoding="utf-8", errors="replace") as file:
                        sys.stderr.write("--- %s\n%s\n" % (entry, file.read()[-3000:]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
