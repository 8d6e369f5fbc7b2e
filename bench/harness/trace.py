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


def started(dest_events):
    """When the destination's guest began to run, or None."""
    points = checkpoints(dest_events)
    return points.get("dst-precopy-bh-vm-started", points.get("dst-postcopy-bh-vm-started"))


def _first(events, name):
    return next((seconds for seconds, event, _ in events if event == name), None)


def switchover(source_events, dest_events):
    """{'stop', 'residue', 'flight', 'load': ms}, which add up to the blackout, or None when a point is missing.

    stop:    the source's first step towards stopping, until the guest stands
    residue: until the source has handed over its last page and its device state
    flight:  until the destination has read and applied all of it: queue, half a round trip, device state
    load:    until the guest runs there
    """
    source, dest = checkpoints(source_events), checkpoints(dest_events)
    saved = source.get("src-non-iterable-saved", _first(source_events, "apn_state_saved"))
    points = [source.get("src-downtime-start"), source.get("src-vm-stopped"), saved,
              dest.get("dst-precopy-loadvm-completed", dest.get("dst-postcopy-bh-enter")), started(dest_events)]
    if None in points:
        return None
    return {name: round((b - a) * 1000, 2) for name, a, b in
            zip(("stop", "residue", "flight", "load"), points, points[1:])}


def blackout(source_events, dest_events):
    """Milliseconds from the source's first step towards stopping to the destination's start, or None.

    The source's vm_stop is inside. With the log of a guest whose migration was tried before, the last
    attempt counts.
    """
    begin, end = checkpoints(source_events).get("src-downtime-start"), started(dest_events)
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
