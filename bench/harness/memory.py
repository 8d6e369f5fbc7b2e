# SPDX-License-Identifier: GPL-2.0-or-later
"""memory.py - compare the memory of two stopped guests, by QEMU's own monitor

Owner: none.  Thread: main.  Time: none.  Units: bytes of guest physical memory.

pmemsave writes what the guest would read at physical addresses; it knows nothing of how the bytes got
there. Both guests must be stopped, or a difference means nothing.
"""
import os
import tempfile

from .process import HarnessError

WINDOW = 64 << 20
PAGE = 4096
SCRATCH = "/dev/shm" if os.path.isdir("/dev/shm") else None
STOPPED = ("postmigrate", "paused", "prelaunch", "finish-migrate")


def _save(qmp, address, size, path):
    qmp.execute("pmemsave", seconds=120.0, val=address, size=size, filename=path)
    with open(path, "rb") as file:
        image = file.read()
    if len(image) != size:
        raise HarnessError("pmemsave of %d bytes at %#x wrote %d" % (size, address, len(image)))
    return image


def ram_ranges(mib):
    """[(address, size)] of a guest's RAM on QEMU's pc machine (below 4 GiB it ends at 3 GiB)."""
    size, below = mib << 20, 3 << 30
    if size <= 3584 << 20:
        return [(0, size)]
    return [(0, below), (4 << 30, size - below)]


def windows(mib):
    """(address, size) pieces of at most WINDOW bytes."""
    for begin, size in ram_ranges(mib):
        for offset in range(0, size, WINDOW):
            yield begin + offset, min(WINDOW, size - offset)


def differing_pages(one, other, address, limit):
    """Page addresses at which two images differ, at most @limit."""
    if one == other:
        return []
    found = []
    for offset in range(0, len(one), PAGE):
        if one[offset:offset + PAGE] != other[offset:offset + PAGE]:
            found.append(address + offset)
            if len(found) >= limit:
                break
    return found


def compare(source, dest, mib, limit=16):
    """Addresses of differing pages, at most @limit; empty means equal byte for byte.

    @source, @dest: Qmp of two stopped guests of @mib MiB.
    """
    for qmp, name in ((source, "source"), (dest, "destination")):
        status = qmp.execute("query-status")
        if status["running"]:
            raise HarnessError("the %s runs (%s): its memory cannot be compared" % (name, status["status"]))
    found = []
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="apn-ram-") as scratch:
        path = os.path.join(scratch, "image")
        for address, size in windows(mib):
            one = _save(source, address, size, path)
            other = _save(dest, address, size, path)
            found += differing_pages(one, other, address, limit - len(found))
            if len(found) >= limit:
                break
    return found


def count_nonzero(image):
    """Pages that hold anything but zeros."""
    zero = bytes(PAGE)
    view = memoryview(image)
    return sum(view[offset:offset + PAGE] != zero for offset in range(0, len(image), PAGE))


def nonzero_bytes(qmp, mib):
    """Bytes of the guest's pages that are not all zero: what has to move at least."""
    pages = 0
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="apn-ram-") as scratch:
        path = os.path.join(scratch, "image")
        for address, size in windows(mib):
            pages += count_nonzero(_save(qmp, address, size, path))
    return pages * PAGE
