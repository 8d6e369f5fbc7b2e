# SPDX-License-Identifier: GPL-2.0-or-later
"""trace.py - read QEMU's trace log

Owner: none.  Thread: any.  Time: wall clock of the machine, one for both QEMUs.  Units: seconds.

Lines look like `1234@1763795184.123456:vmstate_downtime_checkpoint src-vm-stopped` (trace backend `log`
with -msg timestamp=on). Where a guest was dark is decided by these, not by a heartbeat.
"""
import re

_LINE = re.compile(r"^(?:\d+@)?(\d+)\.(\d{6}):(\w+) ?(.*)$")

# as few as decide something: each costs a write while the guest is dark
EVENTS = ["vmstate_downtime_checkpoint", "migrate_set_state", "migration_bitmap_sync_start",
          "migration_bitmap_sync_end"]


def parse(text):
    """List of (seconds, event, rest) in the order of the log; other lines are left out."""
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            found.append((int(match[1]) + int(match[2]) / 1e6, match[3], match[4].strip()))
    return found


def read(path):
    """As parse(), of a file; empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return parse(log.read())
    except OSError:
        return []


def checkpoints(events):
    """{name: seconds} of the downtime checkpoints; of a repeated one the last."""
    return {rest: seconds for seconds, name, rest in events if name == "vmstate_downtime_checkpoint"}


def blackout(source_events, dest_events):
    """Milliseconds from the source's first step towards stopping to the destination's start, or None.

    The source's vm_stop is inside. With the log of a guest whose migration was tried before, the last
    attempt counts.
    """
    source, dest = checkpoints(source_events), checkpoints(dest_events)
    begin, end = source.get("src-downtime-start"), dest.get("dst-precopy-bh-vm-started")
    if begin is None or end is None or end < begin:
        return None
    return (end - begin) * 1000


def ladder(source_events, dest_events):
    """[(name, ms after the source's first step)] in order of time: where the blackout goes."""
    both = {**checkpoints(source_events), **checkpoints(dest_events)}
    begin = both.get("src-downtime-start")
    if begin is None:
        return []
    return sorted(((name, (seconds - begin) * 1000) for name, seconds in both.items()), key=lambda item: item[1])
