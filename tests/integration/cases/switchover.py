# SPDX-License-Identifier: GPL-2.0-or-later
"""switchover.py - downtime limits kept, predictions that come true; negative controls that must fail

Downtime here is by trace checkpoints of both QEMUs on one clock.
"""
import statistics

from fixture import check
from harness import trace
from harness.migrate import Setup  # noqa: F401
from registry import case


def one_run(site, source, parameters):
    dest = site.dest(source, paused=False)
    site.begin(source, dest, parameters)
    status = site.wait(source, 60)
    check(status == "completed", "ended as %s: %s", status, site.error_of(source))
    info = source.qmp.execute("query-migrate")
    dark = trace.blackout(source.trace(), dest.trace())
    check(dark is not None, "the traces show no blackout")
    predicted = info["apn"]["predicted-blackout"]["total-us"] / 1000
    source.stop()
    return dest, dark, predicted


@case("switchover: downtime-limit of 300, 100 and 50 ms kept, blackout as predicted", seconds=900, alone=True)
def limits(lab):
    runs = lab.count(6, 10)
    words = []
    with lab.site() as site:
        vm = site.source(lab.guest(mib=512, used=256, hot=64, rate=100))
        good = total = 0
        for limit in (300, 100, 50):
            darks = []
            for _ in range(runs):
                vm, dark, predicted = one_run(site, vm, {"downtime-limit": limit})
                darks.append(dark)
                total += 1
                good += abs(dark - predicted) <= max(10.0, 0.3 * predicted)
            kept = sum(dark <= limit for dark in darks)
            check(kept >= 0.9 * runs - 0.6, "limit %d ms kept in %d of %d runs: %s", limit, kept, runs, ", ".join("%.0f" % d for d in darks))
            words.append("%d ms: %d of %d, median %.1f, most %.1f" % (limit, kept, runs, statistics.median(darks), max(darks)))
        share = 0.9 if lab.full else 0.75  # the short run is for regressions, the full one for the figure
        check(good >= share * total - 0.6, "prediction within 30 %% or 10 ms in only %d of %d runs", good, total)
        words.append("predicted within 30 %% or 10 ms: %d of %d" % (good, total))
    return "; ".join(words)


@case("switchover: a stop-and-wait window does not fill the path", seconds=120)
def stop_and_wait(lab):
    rates = {}
    used = lab.count(48, 256)  # at a tenth of the rate it takes long
    with lab.site() as site:
        for name, window in (("auto", 0), ("stop-and-wait", 65536)):
            source = site.source(lab.guest(mib=512, used=used, hot=0, rate=0))
            dest = site.dest(source)
            info = site.move(source, dest, {"apn-window": window}, seconds=90)
            rates[name] = info["apn"]["rate"] * 8e-9
    check(rates["stop-and-wait"] < 0.5 * rates["auto"], "stop-and-wait reached %.2f Gb/s, auto %.2f: the control does not fail", rates["stop-and-wait"], rates["auto"])
    return ", ".join("%s %.2f Gb/s" % item for item in rates.items())


@case("switchover: an unlimited window builds a queue in front of the path", seconds=120, alone=True)
def unlimited(lab):
    queues = {}
    with lab.site() as site:
        for name, window in (("auto", 0), ("unlimited", (1 << 64) - 1)):
            source = site.source(lab.guest(mib=512, used=256, hot=0, rate=0))
            dest = site.dest(source)
            site.path.stats(reset=True)
            site.move(source, dest, {"apn-window": window}, seconds=90)
            queues[name] = site.path.stats()["ab"]["queue_bytes_peak"] / 312500.0
    check(queues["unlimited"] > 2 * queues["auto"], "queue of %.1f ms unlimited, %.1f auto: the control does not fail", queues["unlimited"], queues["auto"])
    return ", ".join("%s: queue up to %.1f ms" % item for item in queues.items())
