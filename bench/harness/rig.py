# SPDX-License-Identifier: GPL-2.0-or-later
"""rig.py - what stays while migrations come and go: a path, snapshots of booted guests, a fresh pair per run

Owner: demo, suite.  Thread: main.
Time: monotonic for limits, wall clock against QEMU's trace.  Units: in the names.

A guest boots once and is written to a snapshot; each run starts its source from that, so that every
transport meets the same memory in the same state, laid out by the same code, without booting again.
"""
import os
import shutil
import threading
import time

from . import dpdk, memory, migrate, network, path, process, vm
from .process import HarnessError

QUIET_S = 1.5           # guest and processors are watched this long before each migration
SETTLE_S = 0.5          # and after it, for what ends late
MIGRATION_S_MAX = 90.0
CHECK_S_MAX = 120.0
# where our switchover is at the source; stock has the downtime checkpoints alone
APN_TRACE = ["-trace", "apn_residue_posted", "-trace", "apn_state_saved"]


class Snapshot:
    """A booted guest in a file. @guest_bytes: its pages that are not all zero; measured in the first run."""

    def __init__(self, guest, file_name):
        self.guest = guest
        self.file_name = file_name
        self.guest_bytes = None


class Run:
    """One migration to do.

    @setup:   migrate.Setup
    @held:    the destination waits, and both memories are compared
    @cut:     None, or (seconds after the begin, ms): the path is cut so long
    @before:  called with the source while it is quiet; what it returns goes into the record
    @begin:   called with the source just before the migration
    @end:     called with the destination once the guest runs there; what it returns goes into the record
    @seconds: how long it may take; one that is not over by then says what was on the line
    """

    def __init__(self, setup, held=False, cut=None, before=None, begin=None, end=None, seconds=MIGRATION_S_MAX):
        self.setup = setup
        self.held = held
        self.cut = cut
        self.before = before or (lambda source: {})
        self.begin = begin or (lambda source: None)
        self.end = end or (lambda dest: {})
        self.seconds = seconds


class Rig:
    """Path, snapshots, logs."""

    def __init__(self, environment, directory, prefix, out):
        """@prefix: of everything that is made in places shared with others; @out: where logs are kept."""
        self.environment = environment
        self.directory = directory
        self.prefix = prefix
        self.out = out
        self.path = None
        self.snapshots = {}

    def open_path(self, name, words):
        """Bring a path up (another one is taken down). Returns its measured delays."""
        self.close_path()
        self.path = path.Path(self.environment.apn_path, name, os.path.join(self.directory, "path.log"), words)
        self._sweep()
        return self.path.probe(200)

    def close_path(self):
        if self.path:
            self.path.close()
            self.path = None

    def _shared(self):
        return memory.SCRATCH or self.directory

    def _sweep(self):
        """Remove what a killed run left. We hold the path, so no other one is alive."""
        for place in {os.path.dirname(self.directory), self._shared()}:
            for name in os.listdir(place):
                left = os.path.join(place, name)
                if name.startswith(self.prefix) and not left.startswith(self.directory) and \
                        not name.startswith(os.path.basename(self.directory)):
                    shutil.rmtree(left) if os.path.isdir(left) else os.unlink(left)

    def boot(self, key, guest, seconds=180.0):
        """Boot @guest once and keep it as the snapshot @key."""
        file_name = os.path.join(self._shared(), "%s.%s.snapshot" % (os.path.basename(self.directory), key))
        with vm.Vm("boot", guest, self.environment.qemu_stock, self.directory) as booted:
            booted.wait_ready(seconds)
            migrate.save_snapshot(booted, file_name)
        self.snapshots[key] = Snapshot(guest, file_name)
        return self.snapshots[key]

    def forget(self, key):
        """Give the snapshot's memory back."""
        if key in self.snapshots:
            migrate.remove(self.snapshots.pop(key).file_name)

    def binary(self, setup):
        return self.environment.qemu_apn if setup.ours else self.environment.qemu_stock

    def _start(self, name, end, snapshot, setup, binary, extra, paused=False):
        """One QEMU that waits for a migration, with its helper where the setup has one."""
        helper = dpdk.Helper(self.environment, self.path, end, self.directory) if setup.helper else None
        try:
            return vm.Vm(name, snapshot.guest, binary, self.directory, self.path.prefix(end), incoming="defer", paused=paused,
                         extra=[*extra, *setup.words(name)], helper=helper)
        except BaseException:
            if helper:
                helper.stop()
            raise

    def start_pair(self, snapshot, setup, prepare=None, held=False):
        """A source that runs from the snapshot (@prepare(source) sets its workload), a destination that waits."""
        binary, extra = self.binary(setup), APN_TRACE if setup.ours else []
        source = self._start("source", "a", snapshot, setup, binary, extra)
        try:
            migrate.load_snapshot(source, snapshot.file_name)
            if prepare:
                prepare(source)
            dest = self._start("dest", "b", snapshot, setup, binary, extra, held)
        except BaseException:
            source.stop()
            raise
        return source, dest

    def measure(self, run, snapshot, source, dest, record):
        """One migration of a pair that runs; figures go into @record."""
        if snapshot.guest_bytes is None:
            source.qmp.execute("stop")
            snapshot.guest_bytes = source.nonzero_bytes()
            source.qmp.execute("cont")
        record["guest_bytes"] = snapshot.guest_bytes
        quiet_from, cpu = time.monotonic(), migrate.Cpu(source, dest)
        record.update(run.before(source))
        time.sleep(max(0.0, QUIET_S - (time.monotonic() - quiet_from)))
        usual = cpu.spent()["source"] / (time.monotonic() - quiet_from)
        run.begin(source)
        self.path.stats(reset=True)
        tcp = network.Counters(self.path)
        for end in (source, dest):
            end.reset_peak_memory()
        begin, cpu = time.monotonic(), migrate.Cpu(source, dest)
        observer = migrate.Observer(source, self.path if self.path.emulated else None, run.setup.progress(source))
        with _Cut(self.path, run.cut) as cut:
            begin_wall = migrate.start(source, dest, run.setup, dpdk.ADDRESS["b"] if run.setup.helper else self.path.address("b"))
            record["status"] = migrate.wait_end(observer, run.seconds)
        if record["status"] not in migrate.END_STATES:
            took, passed = time.monotonic() - begin, self.path.stats()
            record.update(error="not over after %.0f s" % took)
            if passed:
                record.update(wire_gbps=round(passed["ab"]["bytes_passed"] * 8e-9 / took, 3))
            return
        if record["status"] != "completed":
            record["error"] = migrate.failure(source)
            return
        if not run.held:
            dest.qmp.wait_event("RESUME", 10)
            record.update(run.end(dest))
        time.sleep(SETTLE_S)
        end = time.monotonic()
        spent, path_stats = cpu.spent(), self.path.stats()
        record.update(migrate.migration_figures(observer, source, dest, begin_wall, snapshot.guest_bytes, path_stats))
        record.update(migrate.heartbeat_figures(source, dest, begin, end, quiet_from, record["total_s"]))
        record.update(cpu_figures(spent, usual, record, end - begin, run.held))
        record.update(tcp.since())
        record.update(source_peak_mib=source.peak_memory_mib(), dest_peak_mib=dest.peak_memory_mib(),
                      cut_ms=cut.took_ms, samples=observer.samples)

    def verify(self, run, snapshot, source, dest, record):
        """The guest's own check, and in a held run both memories byte for byte."""
        if run.held:
            record["differing_pages"] = memory.compare(source.qmp, dest.qmp, snapshot.guest.mib)
            dest.qmp.execute("cont")
        answer = dest.console.check(CHECK_S_MAX)
        record["guest_check"] = answer
        record["verified"] = (answer["errors"] == 0 and not dest.console.corrupt_lines() and
                              not record.get("differing_pages"))

    def keep_logs(self, words):
        """Copy this run's logs where they stay; returns the place."""
        place = os.path.join(self.out, "logs", words)
        os.makedirs(place, exist_ok=True)
        for name in os.listdir(self.directory):
            if name.endswith((".log", ".trace")):
                shutil.copy(os.path.join(self.directory, name), place)
        return place

    def close(self):
        """Leave nothing behind."""
        process.stop_all()
        self.close_path()
        for key in list(self.snapshots):
            self.forget(key)


class _Cut:
    """Cuts the path once, while the caller does something else. .took_ms: how long it really was, or None."""

    def __init__(self, on, cut):
        self.path = on
        self.cut = cut
        self.took_ms = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True) if cut else None

    def _run(self):
        if self._over.wait(self.cut[0]):
            return
        try:
            self.path.cut()
            begin = time.monotonic()
            time.sleep(self.cut[1] / 1000)
            self.path.restore()
            self.took_ms = round((time.monotonic() - begin) * 1000, 1)
        except HarnessError:
            pass  # took_ms stays None, and the run says that it was not cut

    def __enter__(self):
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        if self._thread:
            self._thread.join(10)


def cpu_figures(spent, usual_per_s, record, window_s, held=False):
    """Processor seconds of the migration.

    What QEMU's main thread needs for the running guest anyway (emulated timers; measured just before,
    @usual_per_s) is taken off where the guest ran; the raw seconds are kept beside it.
    """
    at_source = min(window_s, record["total_s"] or window_s)
    at_dest = 0.0 if held else window_s - at_source
    return {"source_cpu_raw_s": round(spent["source"], 3), "dest_cpu_raw_s": round(spent["dest"], 3),
            "usual_cpu_per_s": round(usual_per_s, 4),
            "source_cpu_s": round(max(0.0, spent["source"] - usual_per_s * at_source), 3),
            "dest_cpu_s": round(max(0.0, spent["dest"] - usual_per_s * at_dest), 3)}
