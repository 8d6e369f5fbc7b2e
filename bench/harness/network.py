# SPDX-License-Identifier: GPL-2.0-or-later
"""network.py - what TCP did in the two namespaces of a path

Owner: rig.  Thread: main.  Time: none.  Units: segments.
"""
from .process import HarnessError

WANTED = ("RetransSegs", "OutSegs")


def parse_snmp(text):
    """{name: value} of the Tcp lines of /proc/net/snmp."""
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:")]
    if len(lines) != 2 or len(lines[0]) != len(lines[1]):
        raise HarnessError("/proc/net/snmp has no pair of Tcp lines")
    return {name: int(value) for name, value in zip(*lines)}


class Counters:
    """TCP's counters at both ends since construction."""

    def __init__(self, path):
        self.path = path
        self.before = self._now()

    def _now(self):
        found = {}
        for end in ("a", "b"):
            done = self.path.run(end, "cat", "/proc/net/snmp", seconds=10)
            if done.returncode:
                raise HarnessError("counters of %s: %s" % (self.path.namespace(end), done.stderr.strip()))
            found[end] = parse_snmp(done.stdout)
        return found

    def since(self):
        """{'retransmitted': of both ends, 'segments_out': of both ends}"""
        now = self._now()
        sums = [sum(now[end][name] - self.before[end][name] for end in now) for name in WANTED]
        return {"retransmitted": sums[0], "segments_out": sums[1]}
