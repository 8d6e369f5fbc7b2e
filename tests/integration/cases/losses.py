# SPDX-License-Identifier: GPL-2.0-or-later
"""losses.py - lanes and paths that go away, for a while or for good"""
import time

from fixture import HANG_LIMIT, SESSION_TIMEOUT, check, one_at_most, wait_until
from registry import case


def slow_guest(lab):
    """Enough memory that a migration at 0.2 Gb/s lasts some seconds."""
    return lab.guest(mib=288, used=128, hot=16, rate=4)


def transferred(source):
    return source.qmp.execute("query-migrate").get("apn", {}).get("posted", 0)


def underway(site, source, bytes_sent=8 << 20):
    wait_until(lambda: transferred(source) > bytes_sent, 20, "migration to be under way")


@case("losses: all lanes dead for 5 s, the migration completes")
def outage(lab):
    with lab.site(rate_gbps=0.3) as site:
        source = site.source(slow_guest(lab))
        dest = site.dest(source)
        site.begin(source, dest, {"apn-lanes": 2})
        underway(site, source)
        site.path.cut()
        time.sleep(5)
        check(source.status() == "running", "guest is %s during the outage", source.status())
        site.path.restore()
        status = site.wait(source, 60)
        check(status == "completed", "ended as %s: %s", status, site.error_of(source))
        site.same_memory(source, dest)
        return "lanes lost: %d" % source.qmp.execute("query-migrate")["apn"]["lanes-lost"]


@case("losses: path dead for good, a clear failure in time, guest runs, second migrate works")
def cut_for_good(lab):
    with lab.site(rate_gbps=0.3) as site:
        source = site.source(slow_guest(lab))
        dest = site.dest(source)
        site.begin(source, dest)
        underway(site, source)
        site.path.cut()
        begin = time.monotonic()
        status = site.wait(source, 20)
        took = time.monotonic() - begin
        check(status == "failed", "ended as %s", status)
        check(SESSION_TIMEOUT - 1 < took < HANG_LIMIT, "failed after %.1f s, expected about %.0f", took, SESSION_TIMEOUT)
        words = site.error_of(source)
        check("8000 ms" in words, "error does not name the limit: %s", words)
        check(source.status() == "running", "guest is %s after the failure", source.status())
        wait_until(lambda: one_at_most(source, dest)[1] != "inmigrate", HANG_LIMIT, "destination to give up")
        dest.stop()
        site.path.restore()
        dest = site.dest(source)
        site.move(source, dest)
        site.same_memory(source, dest)
        return "failed after %.1f s: %s" % (took, words)


@case("losses: configurable session timeout is kept")
def timeout_parameter(lab):
    with lab.site(rate_gbps=0.3) as site:
        source = site.source(slow_guest(lab))
        dest = site.dest(source)
        site.begin(source, dest, {"apn-timeout": 3000})
        underway(site, source)
        site.path.cut()
        begin = time.monotonic()
        check(site.wait(source, 20) == "failed", "did not fail")
        took = time.monotonic() - begin
        check(2 < took < 4.5, "failed after %.1f s with a timeout of 3 s", took)
        return "%.1f s" % took


@case("losses: one lane of two gone for good, its granules move to the other")
def lane_retired(lab):
    with lab.site(rate_gbps=0.1) as site:
        source = site.source(slow_guest(lab))
        dest = site.dest(source)
        site.begin(source, dest, {"apn-lanes": 2, "x-apn-filters": "fault=lane:1:cut-forever@after=4MB"}, {"x-apn-filters": ""})
        status = site.wait(source, 90)
        check(status == "completed", "ended as %s: %s", status, site.error_of(source))
        site.same_memory(source, dest)


@case("losses: random frame loss on the path", seconds=240)
def frame_loss(lab):
    with lab.site() as site:
        source = site.source(lab.guest(rate=32))
        dest = site.dest(source)
        site.path.set_loss(1e-3)
        try:
            site.move(source, dest, {"apn-lanes": 2}, seconds=120)
        finally:
            site.path.set_loss(0)
        site.same_memory(source, dest)
