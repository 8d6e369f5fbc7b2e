# SPDX-License-Identifier: GPL-2.0-or-later
"""warm.py - touch the memory that the runs will use, before anything is timed

Owner: demo.  Thread: main.  Time: none.  Units: MiB.

On a virtual machine the first touch of memory that it never used costs the *host* seconds per GiB, and
would be charged to whoever comes first.
"""
import mmap

_HUGEPAGE, _POPULATE_WRITE = 14, 23  # madvise(2); Linux 5.14
PIECE_MIB = 256
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


def amount_mib(wanted_mib, available):
    """What can be warmed without pushing others out."""
    return max(0, min(wanted_mib, available - LEAVE_MIB))


def warm(mib, progress):
    """Touch @mib MiB, then give them back. Calls progress(done_mib)."""
    pieces = []
    try:
        for done in range(0, mib, PIECE_MIB):
            piece = mmap.mmap(-1, PIECE_MIB << 20)
            pieces.append(piece)
            try:
                piece.madvise(_HUGEPAGE)
                piece.madvise(_POPULATE_WRITE)
            except OSError:  # an older kernel, or one without large pages
                for offset in range(0, PIECE_MIB << 20, 4096):
                    piece[offset] = 1
            progress(min(mib, done + PIECE_MIB))
    finally:
        for piece in pieces:
            piece.close()
