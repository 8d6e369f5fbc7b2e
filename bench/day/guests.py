# SPDX-License-Identifier: GPL-2.0-or-later
"""guests.py - look at the guests from outside, whoever started their QEMUs and wherever they are

Owner: day.Day.  Thread: its own (Watch), a reader per port.  Time: monotonic.  Units: ms, seconds.

The agent starts each QEMU with sockets DIR/VM.EPOCH.{tty,beat}; a new start of a guest (a destination) has a new epoch. The watch
finds them as they appear and listens to all of them, so a guest's heartbeat goes on over its moves.
"""
import os
import re
import threading

from harness.console import Console, Heartbeat, gaps, quantile
from harness.process import HarnessError

_PORT = re.compile(r"^(?P<vm>[^.]+)\.(?P<epoch>\d+)\.(?P<kind>tty|beat)$")
LOOK_S = 0.05


class Watch:
    """@directories: of the hosts."""

    def __init__(self, directories):
        self._directories = list(directories)
        self._ports = {}  # path -> Console or Heartbeat
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(LOOK_S):
            for directory in self._directories:
                self._look(directory)

    def _look(self, directory):
        try:
            names = os.listdir(directory)
        except OSError:
            return
        for name in names:
            path = os.path.join(directory, name)
            found = _PORT.match(name)
            if not found or path in self._ports:
                continue
            try:
                port = (Console if found["kind"] == "tty" else Heartbeat)(path, 0.2)
            except HarnessError:
                continue  # not listening yet, or not any more
            with self._lock:
                self._ports[path] = port

    def _of(self, vm, kind):
        with self._lock:
            ports = list(self._ports.items())
        found = []
        for path, port in ports:
            name = _PORT.match(os.path.basename(path))
            if name["vm"] == vm and name["kind"] == kind:
                found.append((int(name["epoch"]), port))
        return [port for _, port in sorted(found, key=lambda pair: pair[0])]

    def arrivals(self, vm):
        """Times of all heartbeats of @vm, sorted."""
        return sorted(when for beat in self._of(vm, "beat") for when, _, _ in list(beat.beats))

    def silence_ms(self, vm, begin, end):
        """Longest gap of the heartbeat within @begin..@end, and its usual p99, in ms; None: it never beat."""
        found = gaps(self.arrivals(vm), begin, end)
        return (round(found[-1] * 1e3, 1), round(quantile(found, 0.99) * 1e3, 1)) if found else (None, None)

    def ready(self, vm):
        """Has the guest filled its memory?"""
        return any(console.find("APN-READY") for console in self._of(vm, "tty"))

    def errors(self, vm):
        """Damaged pages that the guest reported by itself."""
        return sum(len(console.corrupt_lines()) for console in self._of(vm, "tty"))

    def check(self, vm, epoch, seconds):
        """Have the guest check all of its memory in its start @epoch. Returns the number of errors; None: no answer."""
        for path, port in list(self._ports.items()):
            name = _PORT.match(os.path.basename(path))
            if (name["vm"], name["epoch"], name["kind"]) == (vm, str(epoch), "tty"):
                try:
                    return port.check(seconds)["errors"] + self.errors(vm)
                except (HarnessError, OSError):
                    return None
        return None

    def close(self):
        self._stop.set()
        self._thread.join(2)
        for port in self._ports.values():
            port.close()
