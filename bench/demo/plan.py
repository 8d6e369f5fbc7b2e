# SPDX-License-Identifier: GPL-2.0-or-later
"""plan.py - what is run, in which order: transports, variants, workloads, repeats

Owner: demo.  Thread: main.  Time: none.  Units: Gb/s, ms, MiB/s in the names.

Stock QEMU gets every setting that we know to help it, and the best of them counts, figure by figure:
bandwidth unlimited with QEMU's own downtime limit, and bandwidth 0.95 of the path with ours; multifd with 2
and with 4 channels.
"""
from harness.migrate import UNLIMITED, Setup

WORKLOADS = {"idle": 0, "writing": 100}  # MiB/s over the hot set
TRANSPORTS = ("stock-tcp", "stock-multifd", "apn")
CHANNELS = (2, 4)
TUNED_SHARE = 0.95
STOCK_DOWNTIME_MS = 300  # QEMU's default
WINDOW_NO_LIMIT = (1 << 64) - 1
WINDOW_STOP_AND_WAIT = 256 << 10  # one message in flight

CONTROLS = {"stop-and-wait": {"apn-window": WINDOW_STOP_AND_WAIT}, "barrier": {"x-apn-barrier": True},
            "no-prefault": {"apn-prefault": False}, "unlimited-in-flight": {"apn-window": WINDOW_NO_LIMIT}}


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


def _tuned(rate_gbps, downtime_ms):
    return {"max-bandwidth": int(rate_gbps * 1e9 / 8 * TUNED_SHARE), "downtime-limit": downtime_ms}


def stock_setups(transport, rate_gbps, downtime_ms):
    """Every variant of one stock transport."""
    variants = {"unlimited": {"max-bandwidth": UNLIMITED, "downtime-limit": STOCK_DOWNTIME_MS},
                "tuned": _tuned(rate_gbps, downtime_ms)}
    if transport == "stock-tcp":
        return [Setup(transport, name, parameters) for name, parameters in variants.items()]
    return [Setup(transport, "%d-%s" % (channels, name), {**parameters, "multifd-channels": channels})
            for channels in CHANNELS for name, parameters in variants.items()]


def apn_setup(downtime_ms, variant="auto", parameters=None):
    """Ours: everything automatic but the downtime limit."""
    return Setup("apn", variant, {"downtime-limit": downtime_ms, **(parameters or {})})


def setups(transports, rate_gbps, downtime_ms):
    found = []
    for transport in transports:
        if transport == "apn":
            found.append(apn_setup(downtime_ms))
        else:
            found += stock_setups(transport, rate_gbps, downtime_ms)
    return found


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
