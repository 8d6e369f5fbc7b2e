# SPDX-License-Identifier: GPL-2.0-or-later
"""warm.py - how much memory there is, and whether the host has it ready

Owner: runner.Bench.  Thread: main.  Time: none.  Units: MiB.

On a virtual machine the first touch of memory that the host has not given yet costs seconds per GiB, and with free page
reporting the host takes free memory back within two seconds. Measured on the reference machine: 0.3 s/GiB
for large pages that were in use a moment ago, 2.9 s/GiB for others. A destination pays either price for its
gigabyte, by luck. Tried and of no use: touching 7 GiB once at the start; touching 2.5 or 7 GiB before each run
and freeing it (the host takes it back, and the kernel gives out other blocks first); a pool let go just ahead of the
destination's growth. So the price is sampled before each run and stands in the record beside the cost.
"""
import mmap
import time

_HUGEPAGE, _POPULATE_WRITE = 14, 23  # madvise(2); Linux 5.14
PIECE_MIB = 64
SAMPLE_MIB = 256
LEAVE_MIB = 2048


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
