# SPDX-License-Identifier: GPL-2.0-or-later
"""setups.py - the ways to migrate that are compared: parameters of stock QEMU and of ours

Owner: demo, suite.  Thread: main.  Time: none.  Units: Gb/s, ms in the names.

Stock QEMU gets every setting that we know to help it, and the best of them counts, figure by figure:
bandwidth unlimited with QEMU's own downtime limit, and bandwidth 0.95 of the path with ours; multifd with
several numbers of channels.
"""
from .migrate import UNLIMITED, Setup

CHANNELS = (2, 4)
TUNED_SHARE = 0.95
STOCK_DOWNTIME_MS = 300  # QEMU's default
WINDOW_NO_LIMIT = (1 << 64) - 1
WINDOW_STOP_AND_WAIT = 256 << 10  # one message in flight

CONTROLS = {"stop-and-wait": {"apn-window": WINDOW_STOP_AND_WAIT}, "barrier": {"x-apn-barrier": True},
            "no-prefault": {"apn-prefault": False}, "unlimited-in-flight": {"apn-window": WINDOW_NO_LIMIT}}


def unlimited():
    return {"max-bandwidth": UNLIMITED, "downtime-limit": STOCK_DOWNTIME_MS}


def tuned(rate_gbps, downtime_ms):
    return {"max-bandwidth": int(rate_gbps * 1e9 / 8 * TUNED_SHARE), "downtime-limit": downtime_ms}


def stock_setups(transport, rate_gbps, downtime_ms, channels=CHANNELS):
    """Every variant of one stock transport."""
    variants = {"unlimited": unlimited(), "tuned": tuned(rate_gbps, downtime_ms)}
    if transport == "stock-tcp":
        return [Setup(transport, name, parameters) for name, parameters in variants.items()]
    return [Setup(transport, "%d-%s" % (count, name), {**parameters, "multifd-channels": count})
            for count in channels for name, parameters in variants.items()]


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
