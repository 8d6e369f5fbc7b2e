# SPDX-License-Identifier: GPL-2.0-or-later
"""integrity.py - under write load, over every number of lanes, with lanes lost: the same memory at both ends, each time"""
import random

from fixture import check, wait_until
from harness.migrate import PORT
from harness.path import ADDRESS6
from registry import case


def hop(site, source, parameters, faults):
    """One migration to a paused destination, compared, then continued there. Returns the new source."""
    dest = site.dest(source)
    source_parameters = {**parameters, "x-apn-filters": faults}
    info = site.move(source, dest, source_parameters, {**parameters, "x-apn-filters": ""})
    site.same_memory(source, dest)
    if faults:
        check(info["apn"]["lanes-lost"] > 0, "the fault %s did not strike: lanes-lost is 0", faults)
    dest.qmp.execute("cont")
    wait_until(lambda: dest.status() == "running", 10, "destination to run")
    source.stop()
    return dest, info


@case("integrity: write load over 1, 2 and 4 lanes, a lane killed in half of the runs", seconds=1500)
def lanes_and_losses(lab):
    runs = lab.count(20, 40)
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    lost = resent = 0
    with lab.site() as site:
        vm = site.source(lab.guest(rate=100))
        for run in range(runs):
            lanes = (1, 2, 4)[run % 3]
            fault = "fault=lane:%d:cut@after=%dKB" % (rng.randrange(lanes), rng.randrange(200, 40000 // lanes)) if run % 2 else ""
            try:
                vm, info = hop(site, vm, {"apn-lanes": lanes}, fault)
            except Exception as error:
                raise type(error)("run %d (seed %d, %d lanes, %s): %s" % (run, seed, lanes, fault or "no fault", error)) from error
            lost += info["apn"]["lanes-lost"]
            resent += info["apn"]["resent"]
        site.self_check(vm)
    return "%d migrations, memory equal each time; %d lanes lost, %d KiB sent again" % (runs, lost, resent >> 10)


@case("integrity: safe commit, each send mode, small window, no prefault, IPv6", seconds=300)
def variants(lab):
    with lab.site() as site:
        vm = site.source(lab.guest(rate=100))
        for parameters in ({"apn-commit": "safe"}, {"apn-send-mode": "copy"}, {"apn-send-mode": "zero-copy"},
                           {"apn-window": 1 << 20}, {"apn-prefault": False}):
            vm, _ = hop(site, vm, parameters, "")
        dest = site.dest(vm)
        dest.qmp.execute("migrate-incoming", uri="apn:[%s]:%d" % (ADDRESS6[dest.end], PORT))
        vm.qmp.execute("migrate", uri="apn:[%s]:%d" % (ADDRESS6[dest.end], PORT))
        status = site.wait(vm)
        check(status == "completed", "over IPv6: ended as %s: %s", status, site.error_of(vm))
        site.same_memory(vm, dest)
        dest.qmp.execute("cont")
        wait_until(lambda: dest.status() == "running", 10, "destination to run")
        site.self_check(dest)
    return "5 variants, IPv6"
