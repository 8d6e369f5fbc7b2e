# SPDX-License-Identifier: GPL-2.0-or-later
"""beds.py - the integration tests' laboratory, inside the test bed: its path is the bed's own

Owner: the programs that bed runs.  Thread: main.  Time: monotonic for limits.  Units: ms, MiB.

Everything that tests/integration does with guests and migrations works here too; only the path differs: two namespaces with
an RDMA device each, which are there already. Snapshots of guests are made outside, where booting takes 8 s instead of 36.
"""
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
sys.path.insert(0, os.path.join(TOP, "bench"))

import fixture  # noqa: E402
from harness.environment import Environment  # noqa: E402

DEVICE = {"a": "rxea", "b": "rxeb"}
# a user-mode kernel has no stable clock source for the guest's timer check
GUEST_WORDS = "no_timer_check"


class BedPath:
    """What harness.path.Path is outside."""

    def prefix(self, end):
        return ["ip", "netns", "exec", end]

    def run(self, end, *command, seconds=60.0):
        return subprocess.run(self.prefix(end) + list(command), capture_output=True, text=True, timeout=seconds)

    def delay(self, rtt_ms, rate=""):
        """@rate: as tc writes it; none unless told"""
        subprocess.run([os.path.join(TOP, "tests", "testbed", "network"), "delay", "%g" % rtt_ms, rate], check=True, timeout=60)

    def restore(self):
        pass

    def close(self):
        pass


class BedLab(fixture.Lab):
    """@snapshots: directory of the snapshots made outside; @directory: in memory, for sockets and logs"""

    def __init__(self, snapshots, directory, full=False):
        super().__init__(Environment(), directory, full)
        self.snapshots = snapshots
        self.bed = BedPath()

    def path(self, rtt_ms=6.0, rate_gbps=None):
        self.bed.delay(rtt_ms)
        return self.bed

    def guest(self, **shape):
        guest = super().guest(**shape)
        guest.append += " " + GUEST_WORDS
        return guest

    def snapshot(self, guest):
        return os.path.join(self.snapshots, snapshot_name(guest))


def snapshot_name(guest):
    return "guest-%d-%d-%d" % (guest.mib, guest.used_mib, guest.hot_mib)


class OutsideLab(fixture.Lab):
    """Makes the snapshots."""

    def guest(self, **shape):
        guest = super().guest(**shape)
        guest.append += " " + GUEST_WORDS
        return guest

    def make(self, guest, directory):
        file_name = os.path.join(directory, snapshot_name(guest))
        if not os.path.exists(file_name):
            os.rename(self.snapshot(guest), file_name)
        return file_name
