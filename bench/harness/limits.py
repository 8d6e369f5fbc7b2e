# SPDX-License-Identifier: GPL-2.0-or-later
"""limits.py - the machine's limits that would hold a transport back, raised while something is measured

Owner: demo, suite.  Thread: main.  Time: none.  Units: bytes.
"""
from harness.guard import Guard

SOCKET_BYTES = 64 << 20


class SocketLimits:
    """Raised while something is measured, so that no transport is held back by them; put back afterwards."""

    FILES = ("/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max")

    def __enter__(self):
        self.before = {}
        for name in self.FILES:
            with open(name, encoding="ascii") as file:
                self.before[name] = int(file.read())
        self.guard = Guard({name: "%d" % value for name, value in self.before.items()})
        for name, value in self.before.items():
            with open(name, "w", encoding="ascii") as file:
                file.write("%d\n" % max(value, SOCKET_BYTES))
        return self

    def __exit__(self, *exception):
        for name, value in self.before.items():
            with open(name, "w", encoding="ascii") as file:
                file.write("%d\n" % value)
        self.guard.release()
