# SPDX-License-Identifier: GPL-2.0-or-later
"""limits.py - the machine's limits that would hold a transport back, raised while something is measured

Owner: demo, suite.  Thread: main.  Time: none.  Units: bytes.
"""
SOCKET_BYTES = 64 << 20


class SocketLimits:
    """Raised while something is measured, so that no transport is held back by them; put back afterwards."""

    FILES = ("/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max")

    def __enter__(self):
        self.before = {}
        for name in self.FILES:
            with open(name, "r+", encoding="ascii") as file:
                self.before[name] = int(file.read())
                if self.before[name] < SOCKET_BYTES:
                    file.seek(0)
                    file.write("%d\n" % SOCKET_BYTES)
        return self

    def __exit__(self, *exception):
        for name, value in self.before.items():
            with open(name, "w", encoding="ascii") as file:
                file.write("%d\n" % value)
