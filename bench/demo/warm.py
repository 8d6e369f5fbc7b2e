# SPDX-License-Identifier: GPL-2.0-or-later
"""warm.py - memory that the host has given already, for the destination of each run

Owner: runner.Bench.  Thread: main; while a migration runs, one of its own.  Time: monotonic.  Units: MiB.

On a virtual machine the first touch of memory that the host has not given yet costs seconds per GiB, and with free page
reporting the host takes free memory back within two seconds. Measured on the reference machine: 0.3 s/GiB
for large pages that were in use a moment ago, 2.9 s/GiB for others. So touching memory once at the start
does not help, and whoever runs when little is warm pays for it. The pool holds touched memory and lets go of it just
ahead of the destination's growth: what was freed last is used first.
"""
import mmap
import threading

_HUGEPAGE, _POPULATE_WRITE = 14, 23  # madvise(2); Linux 5.14
PIECE_MIB = 32
LEAVE_MIB = 2048
AHEAD_MIB = 256   # free and warm beyond what the destination has taken
LOOK_S = 0.01


def available_mib(text=None):
    """MemAvailable of /proc/meminfo."""
    if text is None:
        with open("/proc/meminfo", encoding="ascii") as file:
            text = file.read()
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return 0


def _touched_piece():
    piece = mmap.mmap(-1, PIECE_MIB << 20)
    try:
        piece.madvise(_HUGEPAGE)
        piece.madvise(_POPULATE_WRITE)
    except OSError:  # an older kernel, or one without large pages
        for offset in range(0, PIECE_MIB << 20, 4096):
            piece[offset] = 1
    return piece


class Pool:
    """Touched memory, @mib when full."""

    def __init__(self, mib):
        self.mib = mib
        self._pieces = []

    def held_mib(self):
        return len(self._pieces) * PIECE_MIB

    def fill(self):
        """Touch what is missing. For between two runs."""
        while self.held_mib() < self.mib:
            self._pieces.append(_touched_piece())

    def release(self, mib):
        """Let go of @mib, or of what there is."""
        for _ in range(min(len(self._pieces), -(-mib // PIECE_MIB))):
            self._pieces.pop().close()

    def close(self):
        self.release(self.held_mib())


def resident_mib(pid):
    """Resident size of a process, 0 when it has gone."""
    try:
        with open("/proc/%d/statm" % pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE >> 20
    except OSError:
        return 0


class Feeder:
    """While in force: as process @pid grows, let go of as much of @pool, AHEAD_MIB before it. A context."""

    def __init__(self, pool, pid):
        self._pool, self._pid = pool, pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def _run(self):
        begin, given = resident_mib(self._pid), 0
        while self._pool.held_mib() and not self._end.wait(LOOK_S):
            wanted = resident_mib(self._pid) - begin + AHEAD_MIB
            if wanted > given:
                self._pool.release(wanted - given)
                given += -(-(wanted - given) // PIECE_MIB) * PIECE_MIB

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._end.set()
        self._thread.join()
