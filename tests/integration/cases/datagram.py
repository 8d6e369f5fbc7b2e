# SPDX-License-Identifier: GPL-2.0-or-later
"""datagram.py - QEMU over backend udp: on a path that loses one frame in a thousand, and across a cut"""
import time

from fixture import check, wait_until
from registry import case

UDP = {"apn-backend": "udp"}


@case("datagram: backend udp at loss 1e-3: completed, memory equal, no lane lost", seconds=150)
def losses(lab):
    with lab.site() as site:
        source = site.source()
        dest = site.dest(source)
        site.path.set_loss(0.001)
        info = site.move(source, dest, UDP, UDP)
        frames = site.path.stats()
        site.path.set_loss(0)
        site.same_memory(source, dest)
        dest.qmp.execute("cont")
        wait_until(lambda: dest.status() == "running", 5, "destination to run")
        site.self_check(dest)
    lost = sum(way["dropped"]["loss"] for way in (frames["ab"], frames["ba"]))
    check(lost > 0, "the path lost nothing: this proves nothing")
    check(info["apn"]["backend"] == "udp", "moved by backend %s", info["apn"]["backend"])
    check(info["apn"]["lanes-lost"] == 0, "%d lanes lost: a loss is no reason", info["apn"]["lanes-lost"])
    return "%d frames lost, blackout predicted %.1f ms" % (lost, info["apn"]["predicted-blackout"]["total-us"] / 1000)


@case("datagram: a cut of 400 ms costs no lane, and the guest arrives whole", seconds=150)
def cut(lab):
    with lab.site(rate_gbps=0.3) as site:
        source = site.source()
        dest = site.dest(source)
        site.begin(source, dest, UDP, UDP)
        time.sleep(0.6)
        site.path.cut()
        time.sleep(0.4)
        site.path.restore()
        check(source.status() == "running", "guest is %s behind the cut", source.status())
        status = site.wait(source, 60)
        check(status == "completed", "ended as %s: %s", status, site.error_of(source))
        lost = source.qmp.execute("query-migrate")["apn"]["lanes-lost"]
        check(lost == 0, "%d lanes lost", lost)
        site.same_memory(source, dest)
