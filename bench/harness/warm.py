# SPDX-License-Identifier: GPL-2.0-or-later
"""warm.py - memory that the host has ready, for as long as something is measured

Owner: demo, suite.  Thread: main.  Time: none.  Units: MiB, ms, seconds of processor time.

On a virtual machine the first touch of memory that the host has not given yet costs seconds per GiB (2.6 s here, against 0.13 s
for large pages that it has), and with free page reporting the host takes free memory back within two seconds. A destination
would pay either price for its gigabyte, by luck, and the transport's own cost would be lost in it. So reporting
is put off while measuring, where the kernel lets us say how long memory must have been free (Kept), what the runs
will need is touched once, and the price is sampled before each run and stands in its record. Where the kernel has no
such setting, the samples show it. Tried and of no use: touching memory before each run, once or more, while
reporting goes on.
"""
import contextlib
import mmap
import os
import time

from harness.guard import Guard

_HUGEPAGE, _POPULATE_WRITE = 14, 23  # madvise(2); Linux 5.14
PIECE_MIB = 64
SAMPLE_MIB = 256
LEAVE_MIB = 2048
_REPORTING = "/sys/module/page_reporting/parameters"
_PUT_OFF = {"min_free_ms": "60000", "max_waiting_mib": "4294967295"}


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


def touch(mib):
    """Touch @mib MiB at once and give them back. Returns processor seconds per GiB, None for nothing."""
    pieces = []
    begin = time.process_time()
    try:
        while len(pieces) * PIECE_MIB < mib:
            pieces.append(_touched_piece())
        spent = time.process_time() - begin
        return round(spent * 1024 / (len(pieces) * PIECE_MIB), 3) if pieces else None
    finally:
        while pieces:
            pieces.pop().close()


class Kept:
    """Free memory stays with us: reporting to the host is put off, and put back at the end.

    @in_force: whether this kernel has the settings and took them.
    """

    def __init__(self, directory=_REPORTING):
        self._directory = directory
        self._before = {}
        self.in_force = False

    def _set(self, name, value):
        with open(os.path.join(self._directory, name), "r+", encoding="ascii") as file:
            before = file.read().strip()
            file.seek(0)
            file.write(value + "\n")
        return before

    def _as_they_are(self):
        found = {}
        for name in _PUT_OFF:
            with contextlib.suppress(OSError), open(os.path.join(self._directory, name), encoding="ascii") as file:
                found[os.path.join(self._directory, name)] = file.read().strip()
        return found

    def __enter__(self):
        self._guard = Guard(self._as_they_are())
        try:
            for name, value in _PUT_OFF.items():
                self._before[name] = self._set(name, value)
            self.in_force = True
        except OSError:
            self._put_back()
        return self

    def _put_back(self):
        while self._before:
            self._set(*self._before.popitem())
        self.in_force = False

    def __exit__(self, *exception):
        self._put_back()
        self._guard.release()
