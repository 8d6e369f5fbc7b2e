# SPDX-License-Identifier: GPL-2.0-or-later
"""runner.py - do the demo's runs on the rig, one record each

Owner: demo.  Thread: main.  Time: wall clock in records.  Units: in the names.
"""
import time

from harness import rig, vm, warm
from harness.process import HarnessError
from harness.rig import cpu_figures  # noqa: F401 (for the tests)

from .plan import WORKLOADS

DIRECTORY_PREFIX = "apn-demo-"
CONTROL_S_MAX = 30.0  # a control that needs longer has failed: its rate on the line until then is its figure


class Bench(rig.Rig):
    """Everything that stays while runs come and go."""

    def __init__(self, environment, options, directory, say):
        super().__init__(environment, directory, DIRECTORY_PREFIX, options.out)
        self.options = options
        self.say = say
        self.guest = vm.Guest(environment, options.guest_mib, options.used_mib, options.hot_mib)

    def open_path(self):
        """Bring the path up as the options say."""
        one_way = self.options.rtt / 2 - self.options.own_delay_ms
        return super().open_path("apn-demo", [
            "--delay", "%.3f" % max(0.0, one_way), "--rate", "%g" % self.options.rate,
            "--queue", self.options.queue, "--congestion", self.options.congestion])

    def boot(self):
        """Boot the guest once and keep it as a snapshot."""
        return super().boot("guest", self.guest)

    def do(self, run):
        """One run; returns its record. A run that fails is a record too."""
        snapshot, rate = self.snapshots["guest"], WORKLOADS[run.workload]
        record = {"transport": run.setup.transport, "workload": run.workload, "status": "failed", "verified": False,
                  "variant": run.setup.variant, "repeat": run.repeat, "held": run.held, "control": run.control,
                  "total_s": None, "throughput_gbps": None, "blackout_ms": None, "source_cpu_s": None,
                  "dest_cpu_s": None, "guest_bytes": snapshot.guest_bytes, "wire_bytes": None, "rounds": None,
                  "parameters": run.setup.parameters, "started_at": round(time.time(), 3)}

        def write_rate(source):
            return {"write_rate_mib_s": round(source.console.write_rate(), 1)} if rate else {}
        job = rig.Run(run.setup, run.held, before=write_rate, seconds=CONTROL_S_MAX if run.control else rig.MIGRATION_S_MAX)
        try:
            record["first_touch_s_per_gib"] = warm.touch(warm.SAMPLE_MIB)
            source, dest = self.start_pair(snapshot, run.setup, lambda vm: rate and vm.console.set_rate(rate), run.held)
            try:
                self.measure(job, snapshot, source, dest, record)
                if record["status"] == "completed":
                    self.verify(job, snapshot, source, dest, record)
            finally:
                source.stop()
                dest.stop()
        except HarnessError as error:
            record["error"] = str(error)
        if run.control is None and (record["status"] != "completed" or not record["verified"]):
            record["logs"] = self.keep_logs("%s-%s-%d%s" % (
                run.setup.name.replace("/", "-"), run.workload, run.repeat, "-held" if run.held else ""))
        return record
