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
    """One blow. do() strikes and returns what is noted of it; None: nothing to strike yet, ask again."""

    def __init__(self, kind, slot, dice):
        self.kind, self.slot, self._dice = kind, slot, dice
        self.done = False

    def do(self, day):
        record = {"kind": self.kind, "slot": round(day.slot_now(), 2)}
        try:
            self.done = getattr(self, "_" + self.kind)(day, record) is not False
        except (HarnessError, OSError) as error:
            record["error"] = str(error)
        return record if self.done else None

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
        # the copy that is being made: with the only QEMU of a guest that guest is lost to everybody
        if not any(move["state"] == "running" and move["stage"] == "transfer" for move in day.state["migrations"]):
            return False
        fresh = [pid for pid in agents.left_behind(day.directory)
                 if b"-incoming" in agents.words_of(pid) and pid not in day.owners()]
        if not fresh:
            return False
        record["pid"] = self._dice.choice(fresh)
        os.kill(record["pid"], signal.SIGKILL)
        return True

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
        """Those whose time has come and that have not struck."""
        return [thing for thing in self._things if thing.slot <= slot and not thing.done]
