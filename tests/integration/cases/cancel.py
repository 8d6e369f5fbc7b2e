# SPDX-License-Identifier: GPL-2.0-or-later
"""cancel.py - cancel at every state; hold before switchover; -S"""
import time

from fixture import check, one_at_most, state, wait_until
from harness.qmp import QmpError
from registry import case

SLOW = {"rate_gbps": 0.3}


def cancelled(site, source, dest, name, early=False):
    status = site.wait(source, 12)
    check(status in ("cancelled", "completed"), "%s: ended as %s: %s", name, status, site.error_of(source))
    if status == "cancelled":
        check(source.status() == "running", "%s: cancelled, and the guest is %s", name, source.status())
        if not early:
            wait_until(lambda: one_at_most(source, dest)[1] != "inmigrate", 10, name + ": destination to give up")
    return status


def serves(site, source):
    """The listener takes another migration; within 5 s it has noticed that the one before is over."""
    for _ in range(5):
        site.begin(source, None)
        if site.wait(source, 30) == "completed":
            return True
        if "is taken" not in site.error_of(source):
            return False
        time.sleep(1)
    return False


@case("cancel: while connecting, in setup, in rounds, held, and before the switchover", seconds=400)
def at_every_state(lab):
    seen = []
    with lab.site(rtt_ms=100.0, rate_gbps=0.3) as site:
        source = site.source(lab.guest())
        for name, wait in (("at once", 0), ("connecting", 0.05), ("handshake", 0.15), ("setup", 0.35), ("early", 0.6), ("rounds", 1.2)):
            dest = site.dest(source)
            site.begin(source, dest)
            time.sleep(wait)
            source.qmp.execute("migrate_cancel")
            status = cancelled(site, source, dest, name, early=True)
            seen.append("%s: %s" % (name, status))
            if status == "cancelled" and state(dest) == "inmigrate":
                time.sleep(1)  # nothing of the guest had arrived: the destination listens on, or is about to end
                if state(dest) == "inmigrate":
                    check(serves(site, source), "%s: the listener that went on does not serve: %s", name, site.error_of(source))
                    seen[-1] += ", listener goes on"
            dest.stop()
            if state(source) != "running":
                source.stop()
                source = site.source(lab.guest())
    return ", ".join(seen)


@case("cancel: of an address where nobody listens, and where nobody answers", seconds=60)
def nobody_there(lab):
    with lab.site() as site:
        source = site.source(lab.guest())
        site.begin(source, None, port=4999)
        check(site.wait(source, 10) == "failed", "nobody listens: did not fail")
        refused = site.error_of(source)
        check("refused" in refused.lower(), "words: %s", refused)
        site.path.cut()
        site.begin(source, None, port=4999)
        time.sleep(0.5)
        source.qmp.execute("migrate_cancel")
        status = site.wait(source, 5)
        check(status == "cancelled", "nobody answers: ended as %s", status)
        check(source.status() == "running", "guest is %s", source.status())
        return refused


@case("cancel: while paused before the switchover, the guest comes back", seconds=60)
def before_switchover(lab):
    with lab.site() as site:
        source = site.source(lab.guest())
        dest = site.dest(source)
        for vm in (source, dest):
            vm.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "pause-before-switchover", "state": True}])
        site.begin(source, dest)
        wait_until(lambda: source.qmp.execute("query-migrate").get("status") == "pre-switchover", 30, "pre-switchover")
        source.qmp.execute("migrate_cancel")
        check(cancelled(site, source, dest, "pre-switchover") == "cancelled", "was not cancelled")


@case("cancel: refused after the grant, in words", seconds=60)
def after_grant(lab):
    with lab.site(rtt_ms=200.0) as site:
        source = site.source(lab.guest())
        dest = site.dest(source)
        site.begin(source, dest, {"downtime-limit": 1000})
        wait_until(lambda: source.qmp.execute("query-migrate").get("apn", {}).get("verdict") in ("granted", "started"), 40, "grant", pause=0.002)
        words = None
        try:
            source.qmp.execute("migrate_cancel")
        except QmpError as error:
            words = error.description
        status = site.wait(source, 10)
        check(status == "completed", "ended as %s", status)
        check(words or source.qmp.execute("query-migrate")["apn"]["verdict"] == "started", "cancel after the grant was accepted")
        return words or "the answer was there already"


@case("hold: a converged copy waits, follows the guest, and leaves within a second of the word", seconds=90, alone=True)
def hold(lab):
    with lab.site() as site:
        source = site.source(lab.guest(rate=20))
        dest = site.dest(source)
        site.begin(source, dest, {"apn-hold": True})
        wait_until(lambda: source.qmp.execute("query-migrate").get("apn", {}).get("holding"), 30, "holding")
        time.sleep(3)
        check(source.status() == "running", "guest is %s while held", source.status())
        before = source.qmp.execute("query-migrate")["apn"]["guest-bytes"]
        time.sleep(1)
        check(source.qmp.execute("query-migrate")["apn"]["guest-bytes"] > before, "the copy does not follow the guest")
        begin = time.monotonic()
        source.qmp.execute("migrate-set-parameters", **{"apn-hold": False})
        status = site.wait(source, 10)
        took = time.monotonic() - begin
        check(status == "completed", "ended as %s", status)
        check(took < 2.0, "took %.2f s from the word", took)
        site.same_memory(source, dest)
        return "%.0f ms from the word to completed" % (took * 1000)


@case("-S: the destination owns the guest, and waits", seconds=60)
def paused_destination(lab):
    with lab.site() as site:
        source = site.source(lab.guest())
        dest = site.dest(source, paused=True)
        site.move(source, dest)
        check(dest.status() == "paused", "destination is %s", dest.status())
        check(source.status() == "postmigrate", "source is %s", source.status())
        dest.qmp.execute("cont")
        wait_until(lambda: dest.status() == "running", 5, "destination to run")
        site.self_check(dest)
