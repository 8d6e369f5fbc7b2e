# SPDX-License-Identifier: GPL-2.0-or-later
"""plan.py - what is run, in which order: transports, variants, workloads, repeats

Owner: demo.  Thread: main.  Time: none.  Units: Gb/s, ms, MiB/s in the names.
"""
from harness.setups import CONTROLS, apn_setup, setups, stock_setups  # noqa: F401 (stock_setups: for the tests)

WORKLOADS = {"idle": 0, "writing": 100}  # MiB/s over the hot set
TRANSPORTS = ("stock-tcp", "stock-multifd", "apn")


class Run:
    """One migration to do. @held: the destination waits, and both memories are compared."""

    def __init__(self, setup, workload, repeat, held=False, control=None):
        self.setup = setup
        self.workload = workload
        self.repeat = repeat
        self.held = held
        self.control = control

    def title(self):
        words = "%s %s" % (self.setup.name, self.workload)
        return words + (" (memory compared)" if self.held else " #%d" % self.repeat)


def build(options):
    """The runs in order: repeats outermost, so that a slow minute of the machine hits everybody alike.

    @options: transports, workloads, repeats, rate, downtime_limit, controls, verify
    """
    runs = []
    everything = setups(options.transports, options.rate, options.downtime_limit)
    for repeat in range(1, options.repeats + 1):
        for workload in options.workloads:
            runs += [Run(setup, workload, repeat) for setup in everything]
    if "apn" not in options.transports:
        return runs
    if options.controls:
        for repeat in range(1, options.repeats + 1):
            for name, parameters in CONTROLS.items():
                setup = apn_setup(options.downtime_limit, name, parameters)
                runs += [Run(setup, workload, repeat, control=name) for workload in options.workloads]
    if options.verify:
        runs += [Run(apn_setup(options.downtime_limit), workload, 1, held=True) for workload in options.workloads]
    return runs
