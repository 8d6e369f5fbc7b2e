# SPDX-License-Identifier: GPL-2.0-or-later
"""harm.py - what is killed on the way, and when

Owner: day.Day.  Thread: main.  Time: slots of the day.  Units: counts.
"""
import os
import signal
import time

from harness.process import HarnessError

from . import agent as agents

KINDS = ("agent", "qemu", "path")
CUT_S = 2.0
TRUTH_S_MAX = 5.0   # page and status show the truth this soon after a restart


def parse(text):
    """'agent=2,path=1' -> {'agent': 2, 'path': 1}. Raises ValueError."""
    wanted = {}
    for word in filter(None, text.split(",")):
        kind, _, count = word.partition("=")
        if kind not in KINDS or not count.isdigit() or int(count) > 100:
            raise ValueError("--harm %s: expected %s, each with a count" % (word, ", ".join(kind + "=N" for kind in KINDS)))
        wanted[kind] = int(count)
    return wanted


class Thing:
    """One blow. do() strikes and returns what is noted of it."""

    def __init__(self, kind, slot, dice):
        self.kind, self.slot, self._dice = kind, slot, dice

    def do(self, day):
        record = {"kind": self.kind, "slot": round(self.slot, 2)}
        try:
            getattr(self, "_" + self.kind)(day, record)
        except (HarnessError, OSError) as error:
            record["error"] = str(error)
        return record

    def _agent(self, day, record):
        day.agent.kill()
        begin = time.monotonic()
        day.start_agent(day.slot_now())
        while time.monotonic() - begin < TRUTH_S_MAX:
            state = day.agent.state()
            if state["agent"]["state"] == "ready" and all(vm["state"] != "unknown" for vm in state["vms"]):
                break
            time.sleep(0.05)
        record["true_after_s"] = round(time.monotonic() - begin, 2)

    def _qemu(self, day, record):
        pids = agents.left_behind(day.directory)
        if not pids:
            record["error"] = "no QEMU runs"
            return
        # a destination rather than the only copy of a guest: what is lost with its one QEMU is lost to everybody
        waiting = [pid for pid in pids if b"-incoming" in agents.words_of(pid)]
        fresh = [pid for pid in waiting if pid not in day.owners()]
        if fresh:
            record["pid"] = self._dice.choice(fresh)
            os.kill(record["pid"], signal.SIGKILL)
        else:
            record["skipped"] = "no copy was under way"

    def _path(self, day, record):
        day.path.cut()
        record["cut_s"] = CUT_S
        try:
            time.sleep(CUT_S)
        finally:
            day.path.restore()


class Plan:
    """Blows at random moments between two slots."""

    def __init__(self, wanted, dice, first, last):
        self._things = sorted((Thing(kind, dice.uniform(first, last), dice) for kind, count in wanted.items()
                               for _ in range(count)), key=lambda thing: thing.slot)

    def due(self, slot):
        """Those whose time has come; each once."""
        due = [thing for thing in self._things if thing.slot <= slot]
        self._things = self._things[len(due):]
        return due
