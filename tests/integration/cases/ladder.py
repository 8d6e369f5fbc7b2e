# SPDX-License-Identifier: GPL-2.0-or-later
"""ladder.py - a message lost at every arrow of the switchover ladder, and ends that die or stop at every point of it

Judged each time: at most one copy runs, a definite end within the time that is promised, words that say what is known.
"""
import signal
import time

from fixture import HANG_LIMIT, SESSION_TIMEOUT, check, one_at_most, state, wait_until
from registry import case

FROM_SOURCE = ("STREAM", "REGIONS", "PREFAULT", "EXTENT", "FENCE", "GRANT", "BYE")
FROM_DEST = ("REGIONS_OK", "APPLIED", "READY", "STARTED", "STREAM", "BYE")
ENDS = ("completed", "failed", "cancelled")


def fresh_source(site, lab, old=None):
    """A running source: the old one if it still runs, else a new one from the snapshot."""
    if old and state(old) == "running":
        return old
    if old:
        old.stop()
    return site.source(lab.guest())


@case("ladder: each message lost once with its lane, the migration completes", seconds=600)
def lost_once(lab):
    with lab.site() as site:
        source = None
        for sender, types in (("source", FROM_SOURCE), ("dest", FROM_DEST)):
            for name in types:
                source = fresh_source(site, lab, source)
                dest = site.dest(source)
                fault = {"x-apn-filters": "fault=tx:%s:1:cut" % name}
                none = {"x-apn-filters": ""}
                common = {"apn-commit": "safe" if name == "READY" else "fast"}
                site.begin(source, dest, {**common, **(fault if sender == "source" else none)},
                           {**common, **(fault if sender == "dest" else none)})
                status = site.wait(source, 30)
                check(status == "completed", "%s of the %s lost: ended as %s: %s", name, sender, status, site.error_of(source))
                one_at_most(source, dest)
                site.same_memory(source, dest)
                dest.stop()
                source.stop()
    return "%d messages" % (len(FROM_SOURCE) + len(FROM_DEST))


def judge_loss(source, dest, name, began):
    """After a loss for good: who runs, and is it said?"""
    took = time.monotonic() - began
    check(took < HANG_LIMIT + 3, "%s: took %.1f s", name, took)
    states = one_at_most(source, dest)
    info = source.qmp.execute("query-migrate")
    words = info.get("error-desc", "")
    verdict = info.get("apn", {}).get("verdict", "")
    if info["status"] == "completed":
        check(states[0] != "running", "%s: completed, and the source runs", name)
    elif verdict == "unknown":
        check(states[0] != "running", "%s: unknown, and the source runs", name)
        check("may or may not" in words, "%s: unknown is not put in words: %s", name, words)
    else:
        check(states[0] == "running", "%s: failed before the grant, and the source is %s: %s", name, states[0], words)
        check(words, "%s: failed without a reason", name)
        wait_until(lambda: state(dest) != "running", 1, "never")
    return "%s=%s/%s" % (name, verdict or "-", states[1])


@case("ladder: the path goes for good at each message, one owner or none, in words", seconds=900)
def lost_for_good(lab):
    seen = []
    with lab.site() as site:
        source = None
        for sender, types in (("source", ("REGIONS", "EXTENT", "FENCE", "GRANT")), ("dest", ("REGIONS_OK", "READY", "STARTED"))):
            for name in types:
                source = fresh_source(site, lab, source)
                dest = site.dest(source, paused=False)
                fault = {"x-apn-filters": "fault=tx:%s:1:stall-forever" % name}
                common = {"apn-commit": "safe" if name == "READY" else "fast", "apn-timeout": 4000}
                began = time.monotonic()
                site.begin(source, dest, {**common, **(fault if sender == "source" else {"x-apn-filters": ""})},
                           {**common, **(fault if sender == "dest" else {"x-apn-filters": ""})})
                site.wait(source, 20)
                seen.append(judge_loss(source, dest, name, began))
                dest.stop()
    return ", ".join(seen)


# where a destination is killed or stopped: name, and what says that the moment has come
def posted(bytes_sent):
    def look(source, _dest):
        info = source.qmp.execute("query-migrate")
        return info.get("apn", {}).get("posted", 0) >= bytes_sent or info.get("status") in ENDS
    return look


def status_is(word):
    return lambda source, _dest: source.qmp.execute("query-migrate").get("status") in (word, *ENDS)


def stopped_for(seconds):
    """So long after the source's guest stopped (a slow path makes the ladder long enough to hit each rung)."""
    def look(source, _dest):
        if source.qmp.find_event("STOP"):
            time.sleep(seconds)
            return True
        source.qmp.pump(0.002)
        return bool(source.qmp.find_event("MIGRATION", lambda e: e["data"]["status"] in ENDS))
    return look


POINTS = [("migrate just said", lambda source, dest: True), ("setup", status_is("setup")), ("active", status_is("active")),
          ("first pages", posted(200 << 10)), ("2 MB", posted(2 << 20)), ("10 MB", posted(10 << 20)), ("30 MB", posted(30 << 20)),
          ("guest stopped", stopped_for(0)), ("stopped + 40 ms", stopped_for(0.04)), ("stopped + 80 ms", stopped_for(0.08)),
          ("stopped + 120 ms", stopped_for(0.12)), ("stopped + 160 ms", stopped_for(0.16)), ("stopped + 200 ms", stopped_for(0.2)),
          ("stopped + 280 ms", stopped_for(0.28))]


def strike(lab, number, commit):
    """The destination gets signal @number at each point. Returns what became of the guest, per point."""
    seen = []
    points, timeout = POINTS, int(SESSION_TIMEOUT * 1000)
    if number == signal.SIGSTOP and not lab.full:  # each waits a session timeout out
        points, timeout = POINTS[::2], 3000
    with lab.site(rtt_ms=100.0, rate_gbps=1.0) as site:  # half a round trip = 50 ms: every rung can be hit
        source = None
        for name, come in points:
            source = fresh_source(site, lab, source)
            dest = site.dest(source, paused=False)
            site.begin(source, dest, {"apn-commit": commit, "downtime-limit": 1000, "apn-timeout": timeout})
            wait_until(lambda: come(source, dest), 30, "point " + name, pause=0.001)
            dest.signal(number)
            began = time.monotonic()
            site.wait(source, 20)
            if number == signal.SIGSTOP:
                check(time.monotonic() - began < HANG_LIMIT, "%s: the source hung %.1f s", name, time.monotonic() - began)
                dest.signal(signal.SIGCONT)
                time.sleep(1.0)  # whatever it would do now, it does
            seen.append(judge_strike(source, dest, name, began))
            dest.stop()
    return ", ".join(seen)


def judge_strike(source, dest, name, began):
    info = source.qmp.execute("query-migrate")
    states = one_at_most(source, dest)
    verdict = info.get("apn", {}).get("verdict", "-")
    check(info["status"] in ENDS, "%s: still %s after %.1f s", name, info["status"], time.monotonic() - began)
    if verdict in ("unknown", "started") or info["status"] == "completed":
        check(states[0] != "running", "%s: granted (%s), and the source runs", name, verdict)
        if verdict == "unknown":
            check("may or may not" in info.get("error-desc", ""), "%s: %s", name, info.get("error-desc"))
    else:
        check(states[0] == "running", "%s: not granted, and the source is %s: %s", name, states[0], info.get("error-desc"))
    return "%s: %s" % (name, "destination's" if info["status"] == "completed" else "unknown" if verdict == "unknown" else "source's")


@case("ladder: destination killed at 14 points, fast commit", seconds=900)
def killed(lab):
    return strike(lab, signal.SIGKILL, "fast")


@case("ladder: destination stopped at 7 points (14 in full) and continued later", seconds=900)
def stopped(lab):
    return strike(lab, signal.SIGSTOP, "fast")


@case("ladder: destination killed at 14 points, safe commit", seconds=900, full=True)
def killed_safe(lab):
    return strike(lab, signal.SIGKILL, "safe")


@case("ladder: unknown stays paused until a person has fenced the destination", seconds=120)
def resolve(lab):
    with lab.site() as site:
        source = site.source(lab.guest())
        dest = site.dest(source, paused=False)
        site.begin(source, dest, {"apn-timeout": 3000, "x-apn-filters": "fault=tx:GRANT:1:stall-forever"}, {"apn-timeout": 3000, "x-apn-filters": ""})
        check(site.wait(source, 20) == "failed", "did not fail")
        info = source.qmp.execute("query-migrate")
        check(info["apn"]["verdict"] == "unknown", "verdict is %s", info["apn"]["verdict"])
        refused = None
        try:
            source.qmp.execute("cont")
        except Exception as error:
            refused = str(error)
        check(refused, "cont was not refused")
        check(source.status() != "running", "source runs")
        source.qmp.execute("migrate-apn-resolve", outcome="destination-fenced")
        source.qmp.execute("cont")
        wait_until(lambda: source.status() == "running", 5, "source to run after the fence")
        site.self_check(source)
        return refused


@case("ladder: a destination that was not granted cannot be continued", seconds=120)
def ungranted_cont(lab):
    with lab.site() as site:
        source = site.source(lab.guest())
        dest = site.dest(source, paused=True)
        site.begin(source, dest, {"apn-timeout": 3000, "x-apn-filters": "fault=tx:GRANT:1:stall-forever"},
                   {"apn-timeout": 6000, "x-apn-filters": ""})
        time.sleep(2)
        words = ""
        try:
            dest.qmp.execute("cont")
        except Exception as error:
            words = str(error)
        site.wait(source, 20)
        one_at_most(source, dest)
        check(state(dest) != "running", "destination runs without a grant")
        return words
