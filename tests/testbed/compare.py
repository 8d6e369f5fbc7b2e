#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""compare.py - the same guest by stock QEMU's rdma: and by apn over rdma, at several round trips, in one run

usage: compare.py --out DIR [--rtt MS,MS,...] [--repeats N]      inside the test bed; prints result lines and a table

A stopped guest of 192 MiB moves: what counts is how the transport fills the path. The order is shuffled, each repeat by itself.
Ours is also run with a window of one extent, which must fail what the others are asked for: a control of the measurement.
Rates of soft-RoCE say nothing of adapters; how they change with the round trip does. Writes DIR/comparison.json.
"""
import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import beds  # noqa: E402
from harness import memory, migrate  # noqa: E402
from harness.path import ADDRESS  # noqa: E402
from harness.process import HarnessError, stop_all  # noqa: E402
from harness.vm import Vm  # noqa: E402
from migrations import WRITE_MIB  # noqa: E402

LIMIT_S = 240.0
SETUPS = {
    "apn": {"scheme": "apn", "parameters": {"apn-backend": "rdma", "apn-lanes": 2}},
    "apn stop-and-wait": {"scheme": "apn", "parameters": {"apn-backend": "rdma", "apn-lanes": 1, "apn-window": 65536}, "control": True},
    "stock": {"scheme": "rdma", "parameters": {}},
    "stock pin-all": {"scheme": "rdma", "parameters": {}, "capabilities": ["rdma-pin-all"]},
}


def one(lab, setup, rtt_ms):
    """One migration. Returns its figures."""
    binary = lab.environment.qemu_apn if setup["scheme"] == "apn" else lab.environment.qemu_stock
    path = lab.path(rtt_ms=0)
    with lab.site() as site:
        source = Vm(lab.name("a"), lab.the_guest, binary, lab.directory, prefix=path.prefix("a"), incoming="defer", paused=True)
        site._stack.callback(source.stop)
        migrate.load_snapshot(source, lab.snapshot(lab.the_guest))
        dest = Vm(lab.name("b"), lab.the_guest, binary, lab.directory, prefix=path.prefix("b"), incoming="defer", paused=True)
        site._stack.callback(dest.stop)
        for vm in (source, dest):
            wanted = [{"capability": word, "state": True} for word in ("events", "return-path", *setup.get("capabilities", ()))]
            vm.qmp.execute("migrate-set-capabilities", capabilities=wanted)
            vm.qmp.execute("migrate-set-parameters", **{"max-bandwidth": migrate.UNLIMITED, **setup["parameters"]})
        path.delay(rtt_ms)
        uri = "%s:%s:%d" % (setup["scheme"], ADDRESS["b"], migrate.PORT)
        dest.qmp.execute("migrate-incoming", uri=uri)
        source.qmp.events.clear()
        source.qmp.execute("migrate", uri=uri)
        status = migrate.wait_end(migrate.Observer(source, None), LIMIT_S, pause=0.05)
        if status != "completed":
            raise HarnessError("ended as %s: %s" % (status, migrate.failure(source)))
        info = source.qmp.execute("query-migrate")
        path.delay(0)
        differing = memory.compare(source.qmp, dest.qmp, lab.the_guest.mib)
    if differing:
        raise HarnessError("memory differs at %s" % ", ".join("%#x" % page for page in differing))
    moving_s = (info["total-time"] - info.get("setup-time", 0)) / 1000.0
    figures = {"seconds": info["total-time"] / 1000.0, "setup_s": info.get("setup-time", 0) / 1000.0,
               "mb_per_s": round(lab.content / moving_s / 1e6, 2)}
    for key in ("requests", "requests-in-flight-max", "registrations-late", "registered", "copied"):
        if key in info.get("apn", {}):
            figures[key] = info["apn"][key]
    return figures


def median(runs, setup, rtt_ms, key="mb_per_s"):
    values = [run["figures"][key] for run in runs if run["setup"] == setup and run["rtt_ms"] == rtt_ms and "figures" in run]
    return statistics.median(values) if values else None


def table(runs, rtts):
    print("%-20s %s" % ("MB/s of guest memory", "".join("%14s" % ("RTT %g ms" % rtt) for rtt in rtts)))
    for setup in SETUPS:
        cells = []
        for rtt in rtts:
            value = median(runs, setup, rtt)
            cells.append("%14s" % ("-" if value is None else "%.1f" % value))
        print("%-20s %s" % (setup, "".join(cells)))


def judge(name, good, words):
    print("%s %s: %s" % ("ok" if good else "not ok", name, words), flush=True)
    return good


def judgements(runs, rtts):
    """What was promised of these figures. Returns whether all of it holds."""
    base, good = median(runs, "apn", rtts[0]), True
    for rtt in rtts[1:]:
        ours, control = median(runs, "apn", rtt), median(runs, "apn stop-and-wait", rtt)
        control_base = median(runs, "apn stop-and-wait", rtts[0])
        if ours and base:
            good &= judge("testbed-rtt-%g" % rtt, ours >= 0.9 * base, "%.1f MB/s, %.2f of RTT %g ms" % (ours, ours / base, rtts[0]))
        if control and control_base:
            good &= judge("testbed-control-%g" % rtt, control < 0.9 * control_base, "stop-and-wait: %.2f of RTT %g ms (must be less than 0.9)"
                          % (control / control_base, rtts[0]))
    last = rtts[-1]
    ours, stock = median(runs, "apn", last), median(runs, "stock", last)
    if ours and stock:
        good &= judge("testbed-stock-%g" % last, ours >= 5 * stock, "%.1f times stock without pin-all (5 are asked for)" % (ours / stock))
    late = sum(run["figures"].get("registrations-late", 0) for run in runs if "figures" in run)
    return judge("testbed-registrations", late == 0, "%d after the first page moved" % late) and good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--rtt", default="0,6,60")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="", help="setups whose name contains it")
    args = parser.parse_args()
    rtts = [float(word) for word in args.rtt.split(",")]
    runs, failed = [], False
    jobs = [(repeat, setup, rtt) for repeat in range(args.repeats) for setup in SETUPS for rtt in rtts if args.only in setup]
    random.shuffle(jobs)
    jobs.sort(key=lambda job: job[0])
    with tempfile.TemporaryDirectory(prefix="bed-", dir="/dev/shm") as directory:
        lab = beds.BedLab(args.out, directory)
        lab.the_guest = lab.guest(rate=WRITE_MIB)
        try:
            with Vm("count", lab.the_guest, lab.environment.qemu_apn, directory, incoming="defer", paused=True) as vm:
                migrate.load_snapshot(vm, lab.snapshot(lab.the_guest))
                lab.content = memory.nonzero_bytes(vm.qmp, lab.the_guest.mib)
            for repeat, setup, rtt in jobs:
                run = {"repeat": repeat, "setup": setup, "rtt_ms": rtt, "at": time.time(), "load": os.getloadavg()[0]}
                try:
                    run["figures"] = one(lab, SETUPS[setup], rtt)
                except (HarnessError, beds.fixture.Failed) as error:
                    run["error"] = str(error)[:600]
                    failed = True
                    print("not ok testbed-compare: %s at %g ms: %s" % (setup, rtt, " | ".join(str(error).splitlines())[:600]), flush=True)
                runs.append(run)
                print("# %s" % json.dumps(run), flush=True)
        finally:
            lab.close()
            stop_all()
    with open(os.path.join(args.out, "comparison.json"), "w", encoding="utf-8") as file:
        json.dump({"guest_mib": lab.the_guest.mib, "content_bytes": lab.content, "kernel": os.uname().release, "cpus": os.cpu_count(),
                   "runs": runs}, file, indent=1)
    table(runs, rtts)
    return 0 if judgements(runs, rtts) and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
