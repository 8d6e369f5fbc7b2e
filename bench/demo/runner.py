# SPDX-License-Identifier: GPL-2.0-or-later
"""runner.py - do the runs: one path, one snapshot of a booted guest, a fresh pair of QEMUs per run

Owner: demo.  Thread: main.
Time: monotonic for limits, wall clock against QEMU's trace.  Units: in the names.

The guest boots once and is written to a snapshot; each run starts its source from that, so that every
transport meets the same memory in the same state, laid out by the same code, without booting again.
"""
import os
import shutil
import time

from harness import memory, migrate, path, process, vm, warm
from harness.process import HarnessError

from .plan import WORKLOADS

DIRECTORY_PREFIX = "apn-demo-"
QUIET_S = 1.5           # guest and processors are watched this long before each migration
SETTLE_S = 0.5          # and after it, for what ends late
MIGRATION_S_MAX = 90.0
CHECK_S_MAX = 120.0


class Bench:
    """Everything that stays while runs come and go."""

    def __init__(self, environment, options, directory, say):
        self.environment = environment
        self.options = options
        self.directory = directory
        self.say = say
        self.path = None
        self.guest = vm.Guest(environment, options.guest_mib, options.used_mib, options.hot_mib)
        shared = memory.SCRATCH or directory
        self.snapshot = os.path.join(shared, os.path.basename(directory) + ".snapshot")
        self.guest_bytes = None

    def open_path(self):
        """Bring the path up as the options say."""
        one_way = self.options.rtt / 2 - self.options.own_delay_ms
        words = ["--delay", "%.3f" % max(0.0, one_way), "--rate", "%g" % self.options.rate,
                 "--queue", self.options.queue, "--congestion", self.options.congestion]
        self.path = path.Path(self.environment.apn_path, "apn-demo", os.path.join(self.directory, "path.log"), words)
        self._sweep()
        return self.path.probe(200)

    def _sweep(self):
        """Remove what a killed demo left. We hold the path, so no other one is alive."""
        for place in {os.path.dirname(self.directory), os.path.dirname(self.snapshot)}:
            for name in os.listdir(place):
                left = os.path.join(place, name)
                if name.startswith(DIRECTORY_PREFIX) and self.directory not in (left, left.removesuffix(".snapshot")):
                    shutil.rmtree(left) if os.path.isdir(left) else os.unlink(left)

    def boot(self):
        """Boot the guest once and keep it as a snapshot."""
        with vm.Vm("boot", self.guest, self.environment.qemu_stock, self.directory) as guest:
            guest.wait_ready()
            migrate.save_snapshot(guest, self.snapshot)

    def binary(self, setup):
        return self.environment.qemu_apn if setup.transport == "apn" else self.environment.qemu_stock

    def _start_pair(self, run):
        binary = self.binary(run.setup)
        source = vm.Vm("source", self.guest, binary, self.directory, self.path.prefix("a"), incoming="defer")
        try:
            migrate.load_snapshot(source, self.snapshot)
            if WORKLOADS[run.workload]:
                source.console.set_rate(WORKLOADS[run.workload])
            dest = vm.Vm("dest", self.guest, binary, self.directory, self.path.prefix("b"), incoming="defer",
                         paused=run.held)
        except BaseException:
            source.stop()
            raise
        return source, dest

    def do(self, run):
        """One run; returns its record. A run that fails is a record too."""
        record = {"transport": run.setup.transport, "workload": run.workload, "status": "failed", "verified": False,
                  "variant": run.setup.variant, "repeat": run.repeat, "held": run.held, "control": run.control,
                  "total_s": None, "throughput_gbps": None, "blackout_ms": None, "source_cpu_s": None,
                  "dest_cpu_s": None, "guest_bytes": self.guest_bytes, "wire_bytes": None, "rounds": None,
                  "parameters": run.setup.parameters, "started_at": round(time.time(), 3)}
        try:
            record["first_touch_s_per_gib"] = warm.touch(warm.SAMPLE_MIB)
            source, dest = self._start_pair(run)
            try:
                self._measure(run, source, dest, record)
            finally:
                source.stop()
                dest.stop()
        except HarnessError as error:
            record["error"] = str(error)
        if run.control is None and (record["status"] != "completed" or not record["verified"]):
            record["logs"] = self._keep_logs(run)
        return record

    def _measure(self, run, source, dest, record):
        if self.guest_bytes is None:
            source.qmp.execute("stop")
            self.guest_bytes = record["guest_bytes"] = memory.nonzero_bytes(source.qmp, self.guest.mib)
            source.qmp.execute("cont")
        quiet_from, cpu = time.monotonic(), migrate.Cpu(source, dest)
        if WORKLOADS[run.workload]:
            record["write_rate_mib_s"] = round(source.console.write_rate(), 1)
        time.sleep(max(0.0, QUIET_S - (time.monotonic() - quiet_from)))
        usual = cpu.spent()["source"] / (time.monotonic() - quiet_from)
        self.path.stats(reset=True)
        begin, cpu = time.monotonic(), migrate.Cpu(source, dest)
        observer = migrate.Observer(source, self.path)
        begin_wall = migrate.start(source, dest, run.setup, path.ADDRESS["b"])
        record["status"] = migrate.wait_end(observer, MIGRATION_S_MAX)
        if record["status"] != "completed":
            record["error"] = migrate.failure(source)
            return
        if not run.held:
            dest.qmp.wait_event("RESUME", 10)
        time.sleep(SETTLE_S)
        end = time.monotonic()
        spent, path_stats = cpu.spent(), self.path.stats()
        record.update(migrate.migration_figures(observer, source, dest, begin_wall, self.guest_bytes, path_stats))
        record.update(migrate.heartbeat_figures(source, dest, begin, end, quiet_from, record["total_s"]))
        record.update(cpu_figures(spent, usual, record, end - begin))
        record["samples"] = observer.samples
        self._verify(run, source, dest, record)

    def _verify(self, run, source, dest, record):
        """The guest's own check, and in a held run both memories byte for byte."""
        if run.held:
            record["differing_pages"] = memory.compare(source.qmp, dest.qmp, self.guest.mib)
            dest.qmp.execute("cont")
        answer = dest.console.check(CHECK_S_MAX)
        record["guest_check"] = answer
        record["verified"] = (answer["errors"] == 0 and not dest.console.corrupt_lines() and
                              not record.get("differing_pages"))

    def _keep_logs(self, run):
        """Copy this run's logs where they stay; returns the place."""
        words = "%s-%s-%d%s" % (run.setup.name.replace("/", "-"), run.workload, run.repeat, "-held" if run.held else "")
        place = os.path.join(self.options.out, "logs", words)
        os.makedirs(place, exist_ok=True)
        for name in os.listdir(self.directory):
            if name.endswith((".log", ".trace")):
                shutil.copy(os.path.join(self.directory, name), place)
        return place

    def close(self):
        """Leave nothing behind."""
        process.stop_all()
        if self.path:
            self.path.close()
            self.path = None
        migrate.remove(self.snapshot)


def cpu_figures(spent, usual_per_s, record, window_s):
    """Processor seconds of the migration.

    What QEMU's main thread needs for the running guest anyway (emulated timers; measured just before,
    @usual_per_s) is taken off where the guest ran; the raw seconds are kept beside it.
    """
    at_source = min(window_s, record["total_s"] or window_s)
    at_dest = 0.0 if record["held"] else window_s - at_source
    return {"source_cpu_raw_s": round(spent["source"], 3), "dest_cpu_raw_s": round(spent["dest"], 3),
            "usual_cpu_per_s": round(usual_per_s, 4),
            "source_cpu_s": round(max(0.0, spent["source"] - usual_per_s * at_source), 3),
            "dest_cpu_s": round(max(0.0, spent["dest"] - usual_per_s * at_dest), 3)}
