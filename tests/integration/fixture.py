# SPDX-License-Identifier: GPL-2.0-or-later
"""fixture.py - guests, paths and migrations for the cases: what they share

Owner: run-all makes one Lab; a case gets it and asks it for guests.  Thread: main.
Time: monotonic for limits.  Units: MiB, seconds, ms.

A guest is booted once per kind and kept as a snapshot file; every case starts from it in about a second.
Everything that a case started is stopped when the case ends, however it ends.
"""
import contextlib
import os
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "bench"))

from harness import memory, migrate  # noqa: E402
from harness.path import ADDRESS, Path  # noqa: E402
from harness.process import HarnessError, wait_until  # noqa: E402
from harness.vm import Guest, Vm  # noqa: E402

MIB = 192          # of the small guest: Debian's kernel takes about 130
USED_MIB = 48
HOT_MIB = 16
SESSION_TIMEOUT = 8.0
HANG_LIMIT = 10.0  # nothing may hang longer than this


class Failed(Exception):
    """The product did something wrong; the text says what was expected and what was seen."""


class Skipped(Exception):
    """The case cannot run here; the text says why."""


def check(condition, text, *values):
    if not condition:
        raise Failed(text % values if values else text)


class Lab:
    """The machine: programs, one path per shape, snapshots."""

    def __init__(self, environment, directory, full=False):
        self.environment = environment
        self.directory = directory
        self.full = full
        self._stack = contextlib.ExitStack()
        self._paths = {}
        self._count = 0

    def close(self):
        self._stack.close()

    def count(self, quick, full):
        """Repeats: @quick, or @full with --full."""
        return full if self.full else quick

    def path(self, rtt_ms=6.0, rate_gbps=2.5):
        """A path of that shape; made once, kept until the end."""
        key = (rtt_ms, rate_gbps)
        if key not in self._paths:
            for old in self._paths.values():
                old.close()  # both ends use the same addresses: one path at a time
            self._paths.clear()
            options = ["--delay", "%g" % (rtt_ms / 2), "--rate", "%g" % rate_gbps]
            log = os.path.join(self.directory, "path.log")
            self._paths[key] = self._stack.enter_context(Path(self.environment.apn_path, "it%d" % os.getpid(), log, options))
        path = self._paths[key]
        path.restore()
        return path

    def guest(self, mib=MIB, used=USED_MIB, hot=HOT_MIB, rate=16, extra=()):
        return Guest(self.environment, mib=mib, used_mib=used, hot_mib=hot, extra=extra,
                     append="apn.rate=%d apn.verify=8" % rate)

    def name(self, word):
        self._count += 1
        return "%s%d" % (word, self._count)

    def snapshot(self, guest):
        """File with a booted guest of that kind, made at its first use."""
        key = "%d-%d-%d-%s" % (guest.mib, guest.used_mib, guest.hot_mib,
                               "".join(c if c.isalnum() else "_" for c in "_".join(guest.extra) + guest.append))
        file_name = os.path.join(self.directory, "snap-" + key[:120])
        if not os.path.exists(file_name):
            with Vm(self.name("boot"), guest, self.environment.qemu_apn, self.directory) as vm:
                vm.wait_ready()
                migrate.save_snapshot(vm, file_name + ".new")
            os.rename(file_name + ".new", file_name)
        return file_name

    def site(self, **shape):
        return Site(self, self.path(**shape) if shape.pop("path", True) else None)


class Site:
    """What one case has running. `with lab.site() as site:`"""

    def __init__(self, lab, path):
        self.lab = lab
        self.path = path
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stack.close()
        if self.path:
            self.path.restore()
        return False

    def start(self, end, guest, incoming="defer", paused=False, extra=(), binary=None):
        """A QEMU at @end ('a' or 'b') that waits for a migration."""
        prefix = self.path.prefix(end) if self.path else ()
        vm = Vm(self.lab.name(end), guest, binary or self.lab.environment.qemu_apn, self.lab.directory, prefix=prefix,
                incoming=incoming, paused=paused, extra=extra)
        vm.end = end
        self._stack.callback(self._stop_any, vm)
        return vm

    @staticmethod
    def _stop_any(vm):
        with contextlib.suppress(ProcessLookupError, AttributeError):
            vm.signal(18)  # SIGCONT: a stopped QEMU cannot end
        vm.stop()

    def source(self, guest=None, end="a", extra=(), binary=None):
        """A running, writing guest, from its snapshot."""
        guest = guest or self.lab.guest()
        snapshot = self.lab.snapshot(guest)
        vm = self.start(end, guest, extra=extra, binary=binary)
        migrate.load_snapshot(vm, snapshot)
        wait_until(lambda: vm.status() == "running", 30, "snapshot to run")
        return vm

    def dest(self, like, paused=True, extra=(), binary=None):
        """A destination for @like, at the other end; held paused unless told otherwise."""
        return self.start("b" if like.end == "a" else "a", like.guest, paused=paused, extra=extra, binary=binary)

    def other(self, vm):
        return ADDRESS["b" if vm.end == "a" else "a"]

    # ---- migrations ---------------------------------------------------------------------

    def listen(self, dest, parameters=None, address=None, port=migrate.PORT):
        dest.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        if parameters:
            dest.qmp.execute("migrate-set-parameters", **parameters)
        dest.qmp.execute("migrate-incoming", uri="apn:%s:%d" % (address or ADDRESS[dest.end], port))

    def begin(self, source, dest=None, parameters=None, dest_parameters=None, port=migrate.PORT):
        """Start a migration over apn (@dest None: it listens already); returns at once."""
        if dest:
            self.listen(dest, dest_parameters if dest_parameters is not None else parameters)
        source.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        source.qmp.execute("migrate-set-parameters", **{"downtime-limit": 300, **(parameters or {})})
        source.qmp.events.clear()
        source.qmp.execute("migrate", uri="apn:%s:%d" % (self.other(source), port))

    def wait(self, source, seconds=60.0):
        """How it ended: the status word."""
        return migrate.wait_end(migrate.Observer(source, None), seconds, pause=0.05)

    def move(self, source, dest, parameters=None, dest_parameters=None, seconds=60.0):
        """A migration that must complete; returns query-migrate's answer."""
        self.begin(source, dest, parameters, dest_parameters)
        status = self.wait(source, seconds)
        check(status == "completed", "migration ended as %s: %s", status, migrate.failure(source))
        wait_until(lambda: dest.status() != "inmigrate", 10, "destination to leave inmigrate")
        return source.qmp.execute("query-migrate")

    # ---- judgements ---------------------------------------------------------------------

    def same_memory(self, source, dest):
        """Both are paused: their RAM is equal byte for byte."""
        differing = memory.compare(source.qmp, dest.qmp, source.guest.mib)
        check(not differing, "memory differs at %s", ", ".join("%#x" % page for page in differing))

    def self_check(self, vm):
        """The running guest looks at every page of its own."""
        answer = vm.console.check(60)
        check(answer["errors"] == 0, "guest found %s damaged pages: %s", answer["errors"], vm.console.corrupt_lines()[:2])

    def error_of(self, source):
        return source.qmp.execute("query-migrate").get("error-desc", "")


def state(vm):
    """Run state, or 'dead'."""
    if not vm.alive():
        return "dead"
    try:
        return vm.status()
    except HarnessError:
        return "dead"


def one_at_most(source, dest):
    """Never two running copies. Returns both states."""
    states = state(source), state(dest)
    check(states != ("running", "running"), "two copies of the guest are running")
    return states


def deadline(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end
