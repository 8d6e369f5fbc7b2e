# SPDX-License-Identifier: GPL-2.0-or-later
"""migrate.py - move a guest from one Vm to another and say what it took

Owner: the program that measures.  Thread: main.
Time: wall clock for what is compared with QEMU's trace, monotonic for limits and heartbeats.
Units: in the names; MB/s as QEMU counts bandwidth are bytes per second here.
"""
import os
import time

from . import trace
from .console import gaps, quantile
from .process import HarnessError
from .qmp import QmpClosed, event_seconds

UNLIMITED = 1 << 40  # bytes per second: no limit on any path of this century
PORT = 4460
END_STATES = ("completed", "failed", "cancelled")


POSTCOPY_ROUND = 2  # the first pass is over
LOOK_S = 0.1
FINE_S = 1.0         # so long after its begin ours is looked at ...
FINE_LOOK_S = 0.01   # ... so often: how it gets up to speed
FULL_SHARE = 0.9     # of its later rate: up to speed
SETUP_BYTES = 4096   # in flight while the lanes are being set up


class Setup:
    """How to migrate: addresses, capabilities and parameters for both ends.

    @transport: 'stock-tcp', 'stock-multifd', 'stock-rdma' or 'apn'; it decides the address's scheme
    @variant:   a word for reports, such as 'tuned'
    @objects:   {'source': [words for QEMU], 'dest': [...]}, such as TLS credentials
    @ends:      {'source': {parameter: value}, 'dest': {...}}: what only one end is told
    @helper:    'dpdk': each end has an apn-dpdk of its own
    """

    SCHEMES = {"stock-tcp": "tcp", "stock-multifd": "tcp", "stock-rdma": "rdma", "apn": "apn"}

    def __init__(self, transport, variant, parameters=None, capabilities=(), objects=None, ends=None, helper=None):
        self.transport = transport
        self.variant = variant
        self.objects = objects or {}
        self.ends = ends or {}
        self.helper = helper
        self.parameters = dict(parameters or {})
        self.capabilities = ["events", "return-path", *capabilities]
        if transport == "stock-multifd":
            self.capabilities.append("multifd")

    @property
    def name(self):
        return "%s/%s" % (self.transport, self.variant)

    @property
    def ours(self):
        """Does it need the patched QEMU?"""
        return self.transport == "apn"

    def words(self, end):
        """What QEMU's command line needs at 'source' or 'dest'."""
        return self.objects.get(end, [])

    def progress(self, source):
        """What to do at each look: nothing, or switch to postcopy once after the first pass."""
        if "postcopy-ram" not in self.capabilities:
            return None
        asked = []

        def look(answer, sample):
            if not asked and answer.get("status") == "active" and \
                    answer.get("ram", {}).get("dirty-sync-count", 0) >= POSTCOPY_ROUND:
                source.qmp.execute("migrate-start-postcopy")
                asked.append(sample["at_s"])
        return look

    def uri(self, address):
        return "%s:%s:%d" % (self.SCHEMES[self.transport], address, PORT)

    def apply(self, vm):
        """Set capabilities and parameters at one end."""
        wanted = [{"capability": name, "state": True} for name in self.capabilities]
        vm.qmp.execute("migrate-set-capabilities", capabilities=wanted)
        parameters = {**self.parameters, **self.ends.get(vm.name, {})}
        if parameters:
            vm.qmp.execute("migrate-set-parameters", **parameters)


class Observer:
    """Looks at a running migration from time to time, for the picture and to know its end."""

    def __init__(self, source, path, progress=None):
        self.source = source
        self.path = path
        self.progress = progress
        self.samples = []
        self.last = {}
        self._path_next = 0.0

    def look(self, since):
        """One look; returns the status word."""
        self.last = self.source.qmp.execute("query-migrate")
        sample = {"at_s": round(time.monotonic() - since, 3),
                  "ram_bytes": self.last.get("ram", {}).get("transferred", 0),
                  "dirty_bytes": self.last.get("ram", {}).get("remaining", 0)}
        if "apn" in self.last:
            sample.update(in_flight_bytes=self.last["apn"].get("in-flight", 0), applied_bytes=self.last["apn"].get("applied", 0))
        if self.path and sample["at_s"] >= self._path_next:
            sample["queue_bytes"] = self.path.stats()["ab"]["queue_bytes"]
            self._path_next = sample["at_s"] + LOOK_S / 2
        self.samples.append(sample)
        if self.progress:
            self.progress(self.last, sample)
        return self.last.get("status", "none")


def startup_s(samples, span_s):
    """Seconds from the first page's posting to full speed, or None where it is not seen.

    Full speed is the beginning of the first @span_s (at least a round trip) in which the destination applied FULL_SHARE of what it
    applied per second in the second half. The answer is exact to a look (FINE_LOOK_S), and a path's one way is in it.
    """
    seen = [(s["at_s"], s["applied_bytes"]) for s in samples if "applied_bytes" in s]
    quiet = [s["at_s"] for s in samples if s.get("applied_bytes") == 0 and s.get("in_flight_bytes", 0) <= SETUP_BYTES]
    moving = [point for point in seen if point[1]]
    if not quiet or len(moving) < 4:
        return None
    last = next((point for point in moving if point[1] == moving[-1][1]), moving[-1])
    half = next(point for point in moving if point[1] >= moving[-1][1] / 2)
    if last[0] - half[0] < span_s:
        return None
    full = (last[1] - half[1]) / (last[0] - half[0])
    for at, done in moving:
        later = next((point for point in moving if point[0] >= at + span_s), None)
        if later and (later[1] - done) / (later[0] - at) >= FULL_SHARE * full:
            return round(at - quiet[-1], 3) if at > quiet[-1] else None
    return None


def wait_end(observer, seconds, pause=LOOK_S):
    """Watch until the source says how it ended, or @seconds are over. Returns the last status word."""
    begin = time.monotonic()
    while True:
        status = observer.look(begin)
        if status in END_STATES:
            return status
        if time.monotonic() - begin > seconds:
            return status
        fine = "apn" in observer.last and time.monotonic() - begin < FINE_S
        next_look = time.monotonic() + (min(pause, FINE_LOOK_S) if fine else pause)
        while time.monotonic() < next_look:
            observer.source.qmp.pump(next_look - time.monotonic())
            if observer.source.qmp.find_event("MIGRATION", lambda e: e["data"]["status"] in END_STATES):
                break


def start(source, dest, setup, address):
    """Set both ends up and begin. Returns the wall-clock second of the migrate command."""
    for vm in (dest, source):
        setup.apply(vm)
        vm.qmp.events.clear()
    dest.qmp.execute("migrate-incoming", uri=setup.uri(address))
    begin = time.time()
    source.qmp.execute("migrate", uri=setup.uri(address))
    return begin


def load_snapshot(vm, file_name, seconds=120.0):
    """Fill a Vm started with incoming='defer' from a snapshot file; the guest runs afterwards."""
    vm.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
    vm.qmp.execute("migrate-incoming", uri="file:" + file_name)
    deadline = time.monotonic() + seconds
    while vm.status() == "inmigrate":
        if time.monotonic() > deadline:
            raise HarnessError("%s: snapshot %s not loaded within %g s" % (vm.name, file_name, seconds))
        vm.qmp.pump(0.05)


def save_snapshot(vm, file_name, seconds=300.0):
    """Write a running guest to a file; the Vm is spent afterwards."""
    vm.qmp.execute("migrate-set-parameters", max_bandwidth=UNLIMITED, downtime_limit=2000)
    vm.qmp.execute("migrate", uri="file:" + file_name)
    status = wait_end(Observer(vm, None), seconds)
    if status != "completed":
        raise HarnessError("%s: snapshot ended as %s: %s" % (vm.name, status, failure(vm)))


def failure(vm):
    """Why a migration failed, in QEMU's words."""
    try:
        return vm.qmp.execute("query-migrate").get("error-desc", "no reason given")
    except QmpClosed as error:
        return str(error)


def heartbeat_figures(source, dest, begin, end, quiet_from, total_s=None):
    """Longest gap seen from outside around the migration, and what is usual without one, in ms.

    @begin, @end, @quiet_from: monotonic; before @begin the guest was left alone since @quiet_from.
    @total_s: when the destination started, after @begin; then `heartbeat_switch_gap_ms` is the longest gap that
              ends between 0.1 s before and 0.2 s after it: a long gap elsewhere is a stall, not the blackout.
    """
    before = [at for at, _, _ in source.heartbeat.beats]
    after = [at for at, _, _ in dest.heartbeat.beats]
    idle = gaps(before, quiet_from, begin)
    during = gaps(sorted(before + after), begin, end)
    usual = quantile(idle, 0.99)
    switch = gaps(sorted(before + after), begin + total_s - 0.1, begin + total_s + 0.2) if total_s else []
    return {"heartbeat_switch_gap_ms": round(switch[-1] * 1000, 1) if switch else None,
            "heartbeat_gap_ms": round(during[-1] * 1000, 1) if during else None,
            "heartbeat_idle_p99_ms": round(usual * 1000, 1) if usual is not None else None,
            "heartbeat_idle_max_ms": round(idle[-1] * 1000, 1) if idle else None}


class Cpu:
    """Processor seconds of both ends between two moments."""

    def __init__(self, source, dest):
        self.vms = {"source": source, "dest": dest}
        self.before = self._now()

    def _now(self):
        return {end: vm.cpu_seconds() for end, vm in self.vms.items()}

    def spent(self):
        now = self._now()
        return {end: now[end] - self.before[end] for end in now}


def migration_figures(observer, source, dest, begin_wall, guest_bytes, path_stats):
    """What QEMU, its trace and the path say about a completed migration."""
    source_events, dest_events = source.trace(), dest.trace()
    dest_started = trace.started(dest_events)
    resumed = dest.qmp.find_event("RESUME")
    if dest_started is None and resumed:
        dest_started = event_seconds(resumed)
    blackout = trace.blackout(source_events, dest_events)
    if blackout is None and resumed:
        stopped = source.qmp.find_event("STOP")
        blackout = (event_seconds(resumed) - event_seconds(stopped)) * 1000 if stopped else None
    total = dest_started - begin_wall if dest_started else None
    figures = {"total_s": round(total, 3) if total else None,
               "throughput_gbps": round(guest_bytes * 8e-9 / total, 3) if total else None,
               "blackout_ms": round(blackout, 2) if blackout is not None else None,
               "guest_bytes": guest_bytes, "rounds": observer.last.get("ram", {}).get("dirty-sync-count"),
               "qemu_downtime_ms": observer.last.get("downtime"), "qemu_total_ms": observer.last.get("total-time"),
               "switchover_ms": trace.switchover(source_events, dest_events),
               "ladder_ms": [(name, round(ms, 2)) for name, ms in trace.ladder(source_events, dest_events)]}
    if path_stats:
        forward = path_stats["ab"]
        figures.update(wire_bytes=forward["bytes_passed"], wire_bytes_back=path_stats["ba"]["bytes_passed"],
                       wire_gbps=round(forward["bytes_passed"] * 8e-9 / total, 3) if total else None,
                       queue_bytes_peak=forward["queue_bytes_peak"], path_dropped=forward["dropped"],
                       path_late_us=forward["late_us"])
    if "apn" in observer.last:
        figures["apn"] = observer.last["apn"]
    return figures


def remove(file_name):
    """Delete a file that may not exist."""
    if os.path.exists(file_name):
        os.unlink(file_name)
