# SPDX-License-Identifier: GPL-2.0-or-later
"""console.py - the guest's serial port, for lines and commands, and its heartbeat

Owner: one Vm.  Thread: one reader thread for each; the lists are only appended to.
Time: monotonic, taken when the bytes arrive here.  Units: seconds.

bench/guest/README.md says what the guest prints and accepts.
"""
import socket
import threading
import time

from .process import HarnessError, wait_until

LINES_MAX = 20000


class _Port:
    """A unix socket that QEMU listens on, read by a thread until it ends."""

    def __init__(self, path, seconds, name):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wait_until(lambda: self._try_connect(path), seconds, "guest port %s" % path)
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    def _try_connect(self, path):
        try:
            self._socket.connect(path)
            return True
        except OSError:
            return False

    def _read(self):
        while True:
            try:
                piece = self._socket.recv(4096)
            except OSError:
                return
            if not piece:
                return
            self._take(piece, time.monotonic())

    def _take(self, piece, now):
        raise NotImplementedError

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(2)
        self._socket.close()


def fields(line):
    """'APN-X a=1 b=two' -> {'a': 1, 'b': 'two'}"""
    found = {}
    for word in line.split()[1:]:
        key, _, value = word.partition("=")
        found[key] = int(value) if value.isdigit() else value
    return found


class Console(_Port):
    """The serial port. .lines holds (monotonic, text) of every complete line."""

    def __init__(self, path, seconds=10.0):
        self.lines = []
        self._rest = b""
        super().__init__(path, seconds, "console")

    def _take(self, piece, now):
        self._rest += piece
        *whole, self._rest = self._rest.split(b"\n")
        for line in whole:
            if len(self.lines) < LINES_MAX:
                self.lines.append((now, line.decode("utf-8", "replace").rstrip("\r")))

    def say(self, command):
        """Send a command line to the guest."""
        self._socket.sendall(command.encode() + b"\n")

    def find(self, word, start=0):
        """(index, line) of the first line from index @start on that begins with @word, or None."""
        for index in range(start, len(self.lines)):
            if self.lines[index][1].startswith(word):
                return index, self.lines[index][1]
        return None

    def wait(self, word, seconds, start=0):
        """As find(), waiting. Fails at once when the guest reports an error in its parameters."""
        def look():
            bad = self.find("APN-ERROR", start)
            if bad and not word.startswith("APN-ERROR"):
                raise HarnessError("the guest says: " + bad[1])
            return self.find(word, start)
        return wait_until(look, seconds, "guest line %s" % word)

    def check(self, seconds=120.0):
        """Have the guest check every page. Returns its answer: pages, errors, writes."""
        start = len(self.lines)
        self.say("check")
        return fields(self.wait("APN-CHECK", seconds, start)[1])

    def set_rate(self, mib_s, seconds=20.0):
        """Have the guest rewrite @mib_s MiB/s of its hot memory."""
        start = len(self.lines)
        self.say("rate %d" % mib_s)
        self.wait("APN-RATE", seconds, start)

    def write_rate(self, seconds=10.0):
        """MiB/s that the guest really rewrites, from its next two status lines."""
        index, first = self.wait("APN-STAT", seconds, len(self.lines))
        _, second = self.wait("APN-STAT", seconds, index + 1)
        first, second = fields(first), fields(second)
        milliseconds = max(1, second["uptime_ms"] - first["uptime_ms"])
        return (second["writes"] - first["writes"]) / 256 * 1000 / milliseconds

    def corrupt_lines(self):
        """Every report of a damaged page."""
        return [line for _, line in self.lines if line.startswith("APN-CORRUPT")]


class Heartbeat(_Port):
    """The debug port, a byte per millisecond. .beats holds (monotonic, bytes in this piece, last byte value)."""

    def __init__(self, path, seconds=10.0):
        self.beats = []
        super().__init__(path, seconds, "heartbeat")

    def _take(self, piece, now):
        self.beats.append((now, len(piece), piece[-1]))


def gaps(arrivals, begin, end):
    """Gaps between successive times in @arrivals (sorted) that end within @begin..@end, largest last."""
    inside = [t for t in arrivals if begin <= t <= end]
    before = [t for t in arrivals if t < begin]
    if before:
        inside.insert(0, before[-1])
    return sorted(b - a for a, b in zip(inside, inside[1:]))


def quantile(values, share):
    """The value that @share of @values (sorted) do not exceed; None of an empty list."""
    if not values:
        return None
    return values[min(len(values) - 1, int(share * len(values)))]
