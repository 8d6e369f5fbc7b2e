# SPDX-License-Identifier: GPL-2.0-or-later
"""calibrate.py - what this machine can do at this moment, before anything is compared on it

Owner: suite.  Thread: main.  Time: monotonic.  Units: in the names.

Limits stand beside figures in every table: memory copies, the engine alone over loopback, one and four plain TCP connections on
the same path, and the path itself. What cannot be measured is null with a reason beside it.
"""
import json
import os
import subprocess
import time

from harness import console, process, warm
from harness.path import ADDRESS
from harness.process import HarnessError

COPY_MIB = 256
COPIES = 4
SLEEPS = 200
SLEEP_S = 0.005
LOOPBACK_PORT = 5077
IPERF_S = 2
IPERF_PORT = 5201
OVER_RATE_MAX = 1.05  # iperf3 counts what was queued before its first second


def copy_gbps():
    """One memcpy thread over memory larger than the caches, bits of the copy per second."""
    view, dest = memoryview(bytearray(COPY_MIB << 20)), memoryview(bytearray(COPY_MIB << 20))
    dest[:] = view  # touch both
    begin = time.perf_counter()
    for _ in range(COPIES):
        dest[:] = view
    return round(COPIES * (COPY_MIB << 20) * 8e-9 / (time.perf_counter() - begin), 1)


def wake_up_ms():
    """How late a sleeper wakes: the noise floor of every time measured here."""
    late = []
    for _ in range(SLEEPS):
        begin = time.perf_counter()
        time.sleep(SLEEP_S)
        late.append((time.perf_counter() - begin - SLEEP_S) * 1000)
    late.sort()
    return {"p50": round(console.quantile(late, 0.5), 3), "p99": round(console.quantile(late, 0.99), 3),
            "max": round(late[-1], 3)}


def loopback(build):
    """The engine's backend between two processes over loopback, or why not."""
    program = os.path.join(build or "", "tests/platform/uring-throughput")
    if not os.path.isfile(program):
        return {"gbps": None, "why": "tests/platform/uring-throughput is not built (APN_BUILD)"}
    receiver = process.start([program, "receive", str(LOOPBACK_PORT)])
    try:
        time.sleep(0.3)
        done = subprocess.run([program, "send", "127.0.0.1", str(LOOPBACK_PORT)], capture_output=True, text=True, timeout=60)
        answer = json.loads(done.stdout.splitlines()[-1])
        return {"gbps": answer.get("gbps", answer.get("gbit_s", answer.get("rate_gbps"))), "whole": answer}
    except (IndexError, ValueError, subprocess.TimeoutExpired) as error:
        return {"gbps": None, "why": "uring-throughput: %s" % error}
    finally:
        process.stop(receiver)


def calibrate(build, say):
    """Of the machine, independent of a path."""
    say("calibrating: memory, wake-ups, loopback")
    try:
        result = {"copy_gbps": copy_gbps(), "wake_up_ms": wake_up_ms(), "loopback": loopback(build),
                  "first_touch_s_per_gib": warm.touch(warm.SAMPLE_MIB), "load": list(os.getloadavg()),
                  "at": round(time.time(), 3)}
    except OSError as error:
        raise HarnessError("calibration: %s" % error) from error
    return result


def iperf(path, streams):
    """Gb/s of plain TCP on that path with @streams connections, or None and why."""
    server = process.start([*path.prefix("b"), "iperf3", "-s", "-1", "-p", str(IPERF_PORT)])
    try:
        time.sleep(0.4)
        done = path.run("a", "iperf3", "-c", ADDRESS["b"], "-p", str(IPERF_PORT), "-t", str(IPERF_S), "-O", "1", "-P", str(streams),
                        "-J", seconds=IPERF_S + 20)
        answer = json.loads(done.stdout)
        if "error" in answer:
            return None, answer["error"]
        return round(answer["end"]["sum_received"]["bits_per_second"] / 1e9, 3), None
    except (ValueError, KeyError, subprocess.TimeoutExpired) as error:
        return None, "iperf3: %s" % error
    finally:
        process.stop(server)


def round_trip_ms(probe):
    return sum(probe[way]["p50_us"] for way in ("ab", "ba")) / 1000


def round_trip_wrong(probe, wanted):
    """[] or why the path's delays, just measured, are not what was asked for."""
    rtt = round_trip_ms(probe)
    if abs(rtt - wanted["rtt_ms"]) > max(0.5, 0.05 * wanted["rtt_ms"]):
        return ["round trip is %.2f ms, asked for %g" % (rtt, wanted["rtt_ms"])]
    return []


def path_test(path, wanted, probe):
    """Is the path what was asked for? @probe: its delays, just measured. Returns figures and 'wrong': reasons."""
    rtt, wrong = round_trip_ms(probe), round_trip_wrong(probe, wanted)
    found = {"rtt_ms": round(rtt, 3), "one_way_p99_ms": [round(probe[way]["p99_us"] / 1000, 3) for way in ("ab", "ba")]}
    for streams in (1, 4):
        gbps, why = iperf(path, streams)
        found["iperf%d_gbps" % streams] = gbps
        if why:
            found["iperf%d_why" % streams] = why
    best = max((found["iperf%d_gbps" % streams] or 0) for streams in (1, 4))
    if best > wanted["rate_gbps"] * OVER_RATE_MAX:
        wrong.append("plain TCP carried %.2f Gb/s over a line of %g" % (best, wanted["rate_gbps"]))
    found["wrong"] = wrong
    return found
