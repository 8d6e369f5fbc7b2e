#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""compare.py - the same guest by stock QEMU's rdma: and by apn over rdma, at several round trips, in one run

usage: compare.py --out DIR --apn-rdma PROGRAM [--rtt MS,MS,...] [--repeats N]      inside the test bed; result lines and a table

Guests: a stopped one of 192 MiB moves, by stock QEMU and by ours. Memory: two processes and our library, without a guest: in runs
("bulk") and every other page by itself ("scattered"), on a line of 48 Mb/s, which this processor fills whatever else it does: there the round
trip is all that differs. Stock's scattered pages are those that a writing guest dirties while it migrates, after
its first pass. The order is shuffled, each repeat by itself. Ours is also run with a window of one extent, which must fail what the others are
asked for: a control of the measurement. Rates of soft-RoCE say nothing of adapters; how they change with the round trip does.
Writes DIR/comparison.json.
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
from harness import memory, migrate, process  # noqa: E402
from harness.path import ADDRESS  # noqa: E402
from harness.process import HarnessError, stop_all  # noqa: E402
from harness.vm import Vm  # noqa: E402
from migrations import WRITE_MIB  # noqa: E402

LIMIT_S = 240.0
LINE = "48mbit"
BULK_MIB = 16
PASSES = 4       # the first is not measured: the window is still being found
STOCK_TRIES = 3  # stock's rdma: ends with "send polling control error" now and then; that is its figure, not our failure
DIRTY_S = 15.0   # stock's dirty pages are counted for so long
SETUPS = {
    "apn": {"scheme": "apn", "parameters": {"apn-backend": "rdma", "apn-lanes": 2}},
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
        differing = setup["scheme"] == "apn" and memory.compare(source.qmp, dest.qmp, lab.the_guest.mib)
    if differing:
        raise HarnessError("memory differs at %s" % ", ".join("%#x" % page for page in differing))
    moving_s = (info["total-time"] - info.get("setup-time", 0)) / 1000.0
    figures = {"seconds": info["total-time"] / 1000.0, "setup_s": info.get("setup-time", 0) / 1000.0,
               "mb_per_s": round(lab.content / moving_s / 1e6, 2)}
    for key in ("requests", "requests-in-flight-max", "registrations-late", "registered", "copied"):
        if key in info.get("apn", {}):
            figures[key] = info["apn"][key]
    return figures


class Memory:
    """apn-rdma in the bed: no guest, no device state, long enough to be steady."""

    NAMES = {"memory bulk": [], "memory bulk, stop-and-wait": ["--window", "64", "--lanes", "1"], "memory scattered": ["--scattered"],
             "memory scattered, full speed": ["--scattered"]}

    def __init__(self, program, path, directory):
        self.program = program
        self.path = path
        self.directory = directory
        self.port = 5200

    def one(self, name, rtt_ms):
        self.port += 1
        self.path.delay(rtt_ms, "" if "full speed" in name else LINE)
        control = "stop" in name
        mib = ["--mib", "64" if "full speed" in name else "4" if control else "%d" % BULK_MIB]
        end = [ADDRESS["b"], "%d" % self.port]
        log = os.path.join(self.directory, "receive.log")
        receiver = process.start([*self.path.prefix("b"), self.program, "receive", *mib, *end], log)
        time.sleep(1.0)
        passes = ["--passes", "1" if control else "%d" % PASSES]
        done = self.path.run("a", self.program, "send", *mib, *passes, *self.NAMES[name], *end, seconds=LIMIT_S)
        code = receiver.wait(30) if done.returncode == 0 else process.stop(receiver)
        self.path.delay(0)
        if done.returncode or code:
            raise HarnessError("%s at %g ms: %s %s" % (name, rtt_ms, done.stderr[-300:], process.tail(log)))
        return json.loads(done.stdout)


LAST_ONLY = ("stock scattered", "memory scattered, full speed") # compared with each other, at the longest round trip


def stock_scattered(lab, rtt_ms):
    """What stock's rdma: moves of a writing guest's dirty pages once its first pass is over."""
    path = lab.path(rtt_ms=0)
    with lab.site() as site:
        source = Vm(lab.name("a"), lab.the_guest, lab.environment.qemu_stock, lab.directory, prefix=path.prefix("a"), incoming="defer")
        site._stack.callback(source.stop)
        migrate.load_snapshot(source, lab.snapshot(lab.the_guest))
        dest = Vm(lab.name("b"), lab.the_guest, lab.environment.qemu_stock, lab.directory, prefix=path.prefix("b"), incoming="defer",
                  paused=True)
        site._stack.callback(dest.stop)
        source.qmp.execute("migrate-set-parameters", **{"max-bandwidth": migrate.UNLIMITED, "downtime-limit": 1})
        path.delay(rtt_ms)
        uri = "rdma:%s:%d" % (ADDRESS["b"], migrate.PORT)
        dest.qmp.execute("migrate-incoming", uri=uri)
        source.qmp.execute("migrate", uri=uri)
        process.wait_until(lambda: source.qmp.execute("query-migrate").get("ram", {}).get("dirty-sync-count", 0) >= 2, LIMIT_S,
                           "stock's first pass")
        samples = []
        for _ in range(2):
            samples.append((time.monotonic(), source.qmp.execute("query-migrate")["ram"]["transferred"]))
            time.sleep(DIRTY_S)
        path.delay(0)
    (begin, first), (end, last) = samples
    return {"mb_per_s": round((last - first) / (end - begin) / 1e6, 3), "seconds": round(end - begin, 2)}


def save(out, lab, runs):
    """What there is so far: a run that is cut short has not been for nothing."""
    with open(os.path.join(out, "comparison.json"), "w", encoding="utf-8") as file:
        json.dump({"guest_mib": lab.the_guest.mib, "content_bytes": lab.content, "kernel": os.uname().release, "cpus": os.cpu_count(),
                   "runs": runs}, file, indent=1)


def median(runs, setup, rtt_ms, key="mb_per_s"):
    values = [run["figures"][key] for run in runs if run["setup"] == setup and run["rtt_ms"] == rtt_ms and "figures" in run]
    return statistics.median(values) if values else None


def table(runs, rtts):
    print("%-28s %s" % ("MB/s of guest memory", "".join("%14s" % ("RTT %g ms" % rtt) for rtt in rtts)))
    for setup in sorted({run["setup"] for run in runs}):
        cells = []
        for rtt in rtts:
            value = median(runs, setup, rtt)
            cells.append("%14s" % ("-" if value is None else "%.2f" % value))
        print("%-28s %s" % (setup, "".join(cells)))


def judge(name, good, words):
    print("%s %s: %s" % ("ok" if good else "not ok", name, words), flush=True)
    return good


def judgements(runs, rtts):
    """What was promised of these figures. Returns whether all of it holds."""
    good, last = True, rtts[-1]
    for rtt in rtts[1:]:
        for setup, word, keeps in (("memory bulk", "bulk", True), ("memory scattered", "scattered", True),
                                   ("memory bulk, stop-and-wait", "control", False)):
            base, there = median(runs, setup, rtts[0]), median(runs, setup, rtt)
            # a window of 64 KiB is enough for this line at 6 ms: the control must fail where it is not
            if base and there and (keeps or rtt == last):
                good &= judge("testbed-%s-%g" % (word, rtt), (there >= 0.9 * base) == keeps, "%s: %.2f MB/s, %.2f of RTT %g ms (must be %s 0.9)"
                              % (setup, there, there / base, rtts[0], "at least" if keeps else "less than"))
    for ours, stock, times in (("apn", "stock", 5), ("memory scattered, full speed", "stock scattered", 10)):
        one_value, other = median(runs, ours, last), median(runs, stock, last)
        if one_value and other:
            good &= judge("testbed-times-%s" % stock.replace(" ", "-"), one_value >= times * other,
                          "%s: %.1f times %s at %g ms (%d are asked for)" % (ours, one_value / other, stock, last, times))
    late = sum(run["figures"].get("registrations-late", 0) + run["figures"].get("registrations_late", 0) for run in runs if "figures" in run)
    return judge("testbed-registrations", late == 0, "%d after the first page moved" % late) and good


def attempt(lab, pages, repeat, name, rtt):
    """One job as a record: with its figures, or with what went wrong."""
    run = {"repeat": repeat, "setup": name, "rtt_ms": rtt, "at": time.time()}
    try:
        run["figures"] = (pages.one(name, rtt) if name in Memory.NAMES else stock_scattered(lab, rtt) if name == "stock scattered"
                          else one(lab, SETUPS[name], rtt))
    except (HarnessError, beds.fixture.Failed) as error:
        run["error"] = " | ".join(str(error).splitlines())[:600]
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--rtt", default="0,6,60")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--apn-rdma", required=True)
    parser.add_argument("--only", default="", help="setups whose name contains one of these, with commas between")
    args = parser.parse_args()
    rtts = [float(word) for word in args.rtt.split(",")]
    runs, failed = [], False
    names = [name for name in [*SETUPS, *Memory.NAMES, "stock scattered"] if any(word in name for word in args.only.split(","))]
    # guests once, memory three times as often: it is quick, and what is asked of it is closer to the noise
    jobs = [(repeat, name, rtt) for name in names for rtt in rtts
            for repeat in range(args.repeats * (3 if name in Memory.NAMES else 1)) if name not in LAST_ONLY or rtt == rtts[-1]]
    random.shuffle(jobs)
    jobs.sort(key=lambda job: job[0])
    with tempfile.TemporaryDirectory(prefix="bed-", dir="/dev/shm") as directory:
        lab = beds.BedLab(args.out, directory)
        lab.the_guest = lab.guest(rate=WRITE_MIB)
        pages = Memory(args.apn_rdma, lab.bed, directory)
        try:
            with Vm("count", lab.the_guest, lab.environment.qemu_apn, directory, incoming="defer", paused=True) as vm:
                migrate.load_snapshot(vm, lab.snapshot(lab.the_guest))
                lab.content = memory.nonzero_bytes(vm.qmp, lab.the_guest.mib)
            for repeat, name, rtt in jobs:
                for left in reversed(range(STOCK_TRIES if name.startswith("stock") else 1)):
                    run = attempt(lab, pages, repeat, name, rtt)
                    runs.append(run)
                    print("# %s" % json.dumps(run), flush=True)
                    save(args.out, lab, runs)
                    if "error" not in run:
                        break
                    if not left:
                        failed |= not name.startswith("stock")
                        print("%s testbed-compare-%s-%g: %s" % ("skip" if name.startswith("stock") else "not ok", name.replace(" ", "-"), rtt,
                                                                run["error"]), flush=True)
        finally:
            lab.close()
            stop_all()
    table(runs, rtts)
    return 0 if judgements(runs, rtts) and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
