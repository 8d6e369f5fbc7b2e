# SPDX-License-Identifier: GPL-2.0-or-later
"""cells.py - do one run of one cell, and say whether it was clean

Owner: suite.  Thread: main.
Time: monotonic for limits, wall clock in records.  Units: in the names.
"""
import os
import time

from harness import migrate, qmp, rig, vm, warm
from harness import process as children
from harness.console import fields
from harness.process import HarnessError

from . import machine, schedule, transports

OWN_DELAY_MS = 0.06          # what two wake-ups and the IP stack add to each way (bench/path/README.md)
FOREIGN_SHARE_MAX = 0.10     # of all processors, used by others while the guest moved
STOLEN_SHARE_MAX = 0.02
TOUCH_FACTOR_MAX = 3.0       # first touch of memory dearer than at calibration
WRITE_RATE_MIN = 0.9         # of what the guest was asked to rewrite
CONTROL_S_MAX = 20.0         # a control that is not over by then has shown what it had to
LATENCY_S = 1.2              # the guest's speed is watched so long before the migration
BOOT_S_MAX = 300.0


def path_words(path):
    """Options for apn-path."""
    one_way = max(0.0, path["rtt_ms"] / 2 - OWN_DELAY_MS)
    return ["--delay", "%.3f" % one_way, "--rate", "%g" % path["rate_gbps"], "--queue", path["queue"],
            "--congestion", path["congestion"], "--mtu", "%d" % path["mtu"], "--loss", "%.9f" % path["loss"],
            *(["--engine", path["engine"]] if path["engine"] != "auto" else [])]


def snapshot_key(guest):
    """Guests that differ only in what they can be told while they run share a snapshot."""
    kv = "-kv%d-%d" % (guest["kv_rate"], guest["kv_mib"]) if guest["kv_rate"] else ""
    return "%d-%d-%d%s" % (guest["mib"], guest["used_mib"], guest["verify_mib_s"], kv)


def make_guest(environment, guest):
    append = "apn.verify=%d" % guest["verify_mib_s"]
    if guest["kv_rate"]:
        append += " apn.kv=%d apn.kv_mib=%d" % (guest["kv_rate"], guest["kv_mib"])
    found = vm.Guest(environment, int(guest["mib"]), int(guest["used_mib"]), 0, append=append)
    if guest["kv_rate"]:
        found.initrd = environment.initrd_kv
    return found


class GuestSize:
    """As much of a Guest as a snapshot on another host needs."""

    def __init__(self, guest):
        self.mib = int(guest["mib"])


def guest_missing(environment, guest):
    """Why a guest cannot be had here, or None."""
    if guest["kv_rate"] and not environment.initrd_kv:
        return "the image with memcached is missing (GUEST_INITRD_KV; bench/guest/build-initrd says why)"
    return None


def path_missing(environment, path):
    """Why a path cannot be had here, or None."""
    if path["engine"] == "dpdk" and not os.path.isfile(environment.apn_path + "-dpdk"):
        return "the path's engine dpdk is not built (Debian's libdpdk-dev)"
    return None


def probe_backends(environment, directory):
    """{backend: None or why it cannot be used}, in the words of our QEMU."""
    if not environment.qemu_apn:
        return {}
    place = os.path.join(directory, "probe.qmp")
    child = children.start([environment.qemu_apn, "-machine", "none", "-nodefaults", "-display", "none", "-qmp",
                            "unix:%s,server=on,wait=off" % place], os.path.join(directory, "probe.log"))
    found = {}
    try:
        monitor = qmp.Qmp(place, 10, lambda: child.poll() is None)
        for backend in transports.BACKENDS:
            try:
                monitor.execute("migrate-set-parameters", apn_backend=backend)
                monitor.execute("migrate", uri="apn:127.0.0.1:9")  # nobody listens on discard
                found[backend] = None
                give_up(monitor)
            except qmp.QmpError as error:
                found[backend] = error.description
        found["postcopy"] = probe_postcopy(monitor)
        monitor.close()
    finally:
        children.stop(child)
    return found


def give_up(monitor):
    """End a migration to nobody, so that another can be begun."""
    monitor.execute("migrate_cancel")
    children.wait_until(lambda: monitor.execute("query-migrate").get("status") in migrate.END_STATES, 10, "end of a probe's migration")


def probe_postcopy(monitor):
    """Why our QEMU does not end in postcopy over apn, or None."""
    try:
        monitor.execute("migrate-set-parameters", apn_backend="uring")
        monitor.execute("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": True}])
        monitor.execute("migrate", uri="apn:127.0.0.1:9")
        return None
    except qmp.QmpError as error:
        return error.description


def ask_latency(console, kind, seconds=20.0):
    """The guest's answer for 'page' or 'kv', counted since it was asked before."""
    start = len(console.lines)
    console.say("latency")
    return fields(console.wait("APN-LATENCY kind=%s" % kind, seconds, start)[1])


def application(answer, prefix):
    """Figures of one latency answer."""
    return {"%s_operations" % prefix: answer["operations"],
            **{"%s_%s_us" % (prefix, name): round(answer["%s_ns" % name] / 1000, 1) for name in ("p50", "p99", "p999", "max")},
            "%s_each_us" % prefix: round(answer["busy_us"] / answer["operations"], 3) if answer["operations"] else None}


class Load:
    """What one guest does, before, during and after the migration."""

    def __init__(self, guest):
        self.guest = guest
        self.kind = "kv" if guest["kv_rate"] else "page"

    def prepare(self, source):
        """Make a guest from a shared snapshot into this one."""
        for command, word, value in (("hot", "APN-HOT", self.guest["hot_mib"]), ("order", "APN-ORDER", self.guest["order"])):
            start = len(source.console.lines)
            source.console.say("%s %s" % (command, "%d" % value if command == "hot" else value))
            source.console.wait(word, 20, start)
        if self.guest["rate_mib_s"]:
            source.console.set_rate(self.guest["rate_mib_s"])

    def before(self, source):
        """Its speed while it is left alone."""
        ask_latency(source.console, self.kind)
        begin = time.monotonic()
        rate = {}
        if self.guest["rate_mib_s"]:
            rate["write_rate_mib_s"] = round(source.console.write_rate(), 1)
        time.sleep(max(0.0, LATENCY_S - (time.monotonic() - begin)))
        return {**rate, **application(ask_latency(source.console, self.kind), "before")}

    def begin(self, source):
        ask_latency(source.console, self.kind)

    def end(self, dest):
        return application(ask_latency(dest.console, self.kind), "during")


class Foreign:
    """Processor time that is neither ours nor the guests', as a share of all processors."""

    def __init__(self, pids):
        self.pids = pids
        self.begin = time.monotonic()
        self.before = self._now()

    def _now(self):
        ours = sum(sum(os.times()[:4]) if pid == 0 else self._of(pid) for pid in self.pids)
        busy, stolen = machine.processors()
        return busy, stolen, ours

    @staticmethod
    def _of(pid):
        from harness import cpu
        try:
            return cpu.process_seconds(pid)
        except HarnessError:
            return 0.0

    def shares(self):
        busy, stolen, ours = (now - before for now, before in zip(self._now(), self.before))
        total = max(1e-3, (time.monotonic() - self.begin) * (os.cpu_count() or 1))
        return {"foreign_share": round(max(0.0, busy - ours) / total, 3), "stolen_share": round(max(0.0, stolen) / total, 3)}


def unclean(record, cell, calibration, path_wrong):
    """Reasons why a completed run must not be averaged; empty = clean."""
    found = list(path_wrong)
    if not record.get("verified"):
        found.append("the guest's memory or answers were not all right")
    if record.get("foreign_share", 0) > FOREIGN_SHARE_MAX:
        found.append("others used %.0f %% of the processors (limit %.0f)" % (
            record["foreign_share"] * 100, FOREIGN_SHARE_MAX * 100))
    if record.get("stolen_share", 0) > STOLEN_SHARE_MAX:
        found.append("the host took %.1f %% of the processors (limit %.0f)" % (
            record["stolen_share"] * 100, STOLEN_SHARE_MAX * 100))
    touch, usual = record.get("first_touch_s_per_gib"), (calibration or {}).get("first_touch_s_per_gib")
    if touch and usual and touch > TOUCH_FACTOR_MAX * usual and touch > 0.5:
        found.append("first touch of memory cost %.2f s/GiB, %.2f at calibration" % (touch, usual))
    asked = cell.guest["rate_mib_s"]
    if asked and (record.get("write_rate_mib_s") or 0) < WRITE_RATE_MIN * asked:
        found.append("the guest rewrote %s MiB/s of %g before the migration" % (record.get("write_rate_mib_s"), asked))
    if cell.path["cut"] and record.get("cut_ms") is None:
        found.append("the migration was over before the path was cut")
    if record.get("blackout_ms") is None or record.get("throughput_gbps") is None:
        found.append("no trace of the switchover")
    return found


class Runner:
    """Does runs on a rig, one record each."""

    def __init__(self, on, matrix, context, calibration, far=None):
        """@far: (foreign(), touch(mib)) of two hosts, instead of this machine's"""
        self.rig = on
        self.far = far
        self.matrix = matrix
        self.context = context
        self.calibration = calibration
        self.path_wrong = []

    def setup(self, cell):
        return transports.KNOWN[cell.transport](self.context.of(cell))

    def snapshot(self, cell):
        key = snapshot_key(cell.guest)
        if key not in self.rig.snapshots:
            if self.far:
                return self.rig.boot_cell(key, cell.guest, BOOT_S_MAX)
            self.rig.boot(key, make_guest(self.rig.environment, cell.guest), BOOT_S_MAX)
        return self.rig.snapshots[key]

    def do(self, cell, repeat):
        """One run. A run that fails is a record too."""
        setup, load = self.setup(cell), Load(cell.guest)
        cut = cell.path["cut"]
        limit = CONTROL_S_MAX if transports.family(cell.transport) == "control" else rig.MIGRATION_S_MAX
        job = rig.Run(setup, cut=(cut["after_s"], cut["for_ms"]) if cut else None, before=load.before, begin=load.begin, end=load.end,
                      seconds=limit)
        record = {"cell": cell.key, "path": cell.path_name, "guest": cell.guest_name, "transport": cell.transport,
                  "repeat": repeat, "seed": self.matrix.seed, "status": "failed", "verified": False, "clean": False,
                  "started_at": round(time.time(), 3), "parameters": setup.parameters, "capabilities": setup.capabilities}
        try:
            snapshot = self.snapshot(cell)
            record["first_touch_s_per_gib"] = (self.far[1] if self.far else warm.touch)(warm.SAMPLE_MIB)
            source, dest = self.rig.start_pair(snapshot, setup, load.prepare)
            try:
                record["commands"] = {"source": source.command, "dest": dest.command}
                foreign = self.far[0]() if self.far else Foreign([0, *source.pids(), *dest.pids(), self.rig.path.pid])
                self.rig.measure(job, snapshot, source, dest, record)
                record.update(foreign.shares())
                if record["status"] == "completed":
                    self.rig.verify(job, snapshot, source, dest, record)
            finally:
                source.stop()
                dest.stop()
        except HarnessError as error:
            record.setdefault("error", str(error))
            if record["status"] == "completed":
                record["status"] = "failed"
        return self.judge(cell, record)

    def judge(self, cell, record):
        """Derived figures, and the verdict clean or not."""
        if record["status"] == "completed":
            gib = record["guest_bytes"] / (1 << 30)
            record["cpu_s_per_gib"] = round((record["source_cpu_s"] + record["dest_cpu_s"]) / gib, 3)
            record["source_cpu_s_per_gib"] = round(record["source_cpu_s"] / gib, 3)
            record["dest_cpu_s_per_gib"] = round(record["dest_cpu_s"] / gib, 3)
            record["bytes_ratio"] = round(record["wire_bytes"] / record["guest_bytes"], 4) if record.get("wire_bytes") else None
            rtt_s = cell.path["rtt_ms"] / 1000
            startup = migrate.startup_s(record.get("samples", []), max(rtt_s, 2 * migrate.FINE_LOOK_S)) if rtt_s else None
            record["startup_rtts"] = round(startup / rtt_s, 1) if startup else None
            before, during = record.get("before_each_us"), record.get("during_each_us")
            record["guest_speed"] = round(before / during, 3) if before and during else None
            record["unclean"] = unclean(record, cell, self.calibration, self.path_wrong)
            record["clean"] = not record["unclean"]
        if record["status"] != "completed" or not record["verified"]:
            words = "".join(c if c.isalnum() or c in "-." else "-" for c in cell.key)
            record["logs"] = self.rig.keep_logs("%s-%d" % (words, record["repeat"]))
        return record


def line_of(record):
    """One line for the terminal."""
    if record["status"] != "completed":
        return "%s: %s" % (record["status"].upper(), record.get("error", ""))
    dark = record["blackout_ms"]
    words = "%.2f s, %.2f Gb/s, blackout %s ms, CPU %.2f s/GiB" % (
        record["total_s"] or 0, record["throughput_gbps"] or 0, "-" if dark is None else "%.1f" % dark, record["cpu_s_per_gib"])
    return words + ("" if record["clean"] else "  NOT CLEAN: " + "; ".join(record["unclean"]))


def left_s(runs, cells, matrix):
    """A guess of what the remaining minimum costs, from what runs took so far."""
    took = [record["took_s"] for records in runs.values() for record in records if record.get("took_s")]
    each = sum(took) / len(took) if took else 14.0
    missing = sum(max(0, matrix.repeats["min"] - len(schedule.clean(runs.get(cell.key, [])))) for cell in cells)
    return each * missing
