#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""measured.py - what an engine of apn-path does to frames, by tools that are not ours: ping and iperf3

usage: measured.py APN-PATH ENGINE [SECONDS]
Needs root, /dev/net/tun, iperf3 and, for the engine dpdk, a build with DPDK; else it is skipped (77).
Judged: the median delay, the rate reached, and that nothing is lost below the path's rate. Printed beside
them: 99th percentiles, processor time, the same measured over a plain veth pair without any path, and a
negative control. A machine that is busy with other things gets up to ATTEMPTS tries, and if it cannot
do a plain transfer at PLAIN_GBPS_LEAST, the rate is not judged but said so.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

ATTEMPTS = 3
DELAY_MS = 2.94          # with the machine's own share 3.0, see apn-path(1)
MEDIAN_MS = (2.9, 3.1)   # one way
PINGS = 300
RATE_GBPS = 6.0          # of the path
OFFERED_GBPS = 5.3       # of the sender
REACHED_GBPS_LEAST = 5.0
PLAIN_GBPS_LEAST = 16.0
MTU = 32000
NAME = "meas-%d" % os.getpid()


def run(*words, seconds=60):
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise SystemExit("%s: exit %d: %s" % (" ".join(words), done.returncode, done.stderr.strip() or done.stdout[-400:]))
    return done.stdout


class Engine:
    """Two namespaces with an engine of apn-path between them."""

    def __init__(self, command, engine, *options):
        self.command = command
        self.process = subprocess.Popen([command, "up", NAME, "--engine", engine, "--congestion", "cubic", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if "ready" not in self.process.stdout.readline():
            raise SystemExit("apn-path: " + self.process.stderr.read())

    def at(self, end):
        return [self.command, "exec", NAME + "-" + end, "--"]

    def stats(self, verb="stats"):
        return json.loads(run(self.command, "ctl", NAME, verb))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        subprocess.run([self.command, "down", NAME], capture_output=True, timeout=20)
        self.process.communicate(timeout=10)


class Plain:
    """The same namespaces joined by nothing but a veth pair: what the machine itself takes."""

    def __init__(self):
        for end in "ab":
            run("ip", "netns", "add", NAME + "-" + end)
        run("ip", "-n", NAME + "-a", "link", "add", "apn0", "mtu", str(MTU), "type", "veth", "peer", "name", "apn0",
            "mtu", str(MTU), "netns", NAME + "-b")
        for number, end in enumerate("ab", 1):
            run("ip", "-n", NAME + "-" + end, "addr", "add", "10.86.0.%d/24" % number, "dev", "apn0")
            run("ip", "-n", NAME + "-" + end, "link", "set", "apn0", "up")

    def at(self, end):
        return ["ip", "netns", "exec", NAME + "-" + end]

    def close(self):
        for end in "ab":
            subprocess.run(["ip", "netns", "del", NAME + "-" + end], capture_output=True, timeout=20)


def ping_ms(path, count=PINGS):
    """Round trips, sorted; the first is left out: it may wait for an address to be resolved."""
    text = run(*path.at("a"), "ping", "-i", "0.005", "-c", str(count + 1), "10.86.0.2")
    times = [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line]
    if len(times) != count + 1:
        raise SystemExit("ping: %d answers to %d questions" % (len(times), count + 1))
    return sorted(times[1:])


def iperf(path, seconds, *options):
    """iperf3's JSON of one stream from a to b."""
    server = subprocess.Popen([*path.at("b"), "iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    try:
        while "listening" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("iperf3 -s ended")
        return json.loads(run(*path.at("a"), "iperf3", "-J", "-c", "10.86.0.2", "-t", str(seconds), *options,
                              seconds=seconds + 30))["end"]
    finally:
        if server.poll() is None:
            server.terminate()
        server.communicate()


def gbps(end):
    return end["sum_received"]["bits_per_second"] / 1e9


def judge(ok, text):
    print("%s %s" % ("ok    " if ok else "NOT OK", text), flush=True)
    return ok


def measure_delay(command, engine):
    path = Engine(command, engine, "--delay", str(DELAY_MS), "--rate", str(RATE_GBPS), "--mtu", str(MTU))
    try:
        for attempt in range(ATTEMPTS):
            times = ping_ms(path)
            one_way = statistics.median(times) / 2
            if MEDIAN_MS[0] <= one_way <= MEDIAN_MS[1]:
                break
        before = path.cpu_seconds()
        time.sleep(1)
        idle = path.cpu_seconds() - before
        p99 = times[int(0.99 * len(times))] / 2
        late = path.stats()["ab"]["late_us"]
        control = path.stats("reset") and ping_ms(path, 20)
        run(command, "ctl", NAME, "cut", "60000")
        lost = subprocess.run([*path.at("a"), "ping", "-i", "0.005", "-c", "15", "-W", "1", "10.86.0.2"],
                              capture_output=True, text=True, timeout=20).stdout
    finally:
        path.close()
    good = judge(MEDIAN_MS[0] <= one_way <= MEDIAN_MS[1],
                 "one way, half of ping's median: %.3f ms, wanted %.1f to %.1f (try %d)" % (one_way, *MEDIAN_MS, attempt + 1))
    print("       99th percentile %.3f ms (+%.3f); left late by p50 %.0f p99 %.0f us; idle for 1 s: %.2f s of processor"
          % (p99, p99 - one_way, late["p50"], late["p99"], idle))
    return judge("0 received" in lost and len(control) == 20, "control: nothing arrives while the path is cut") and good


def measure_plain(seconds):
    path = Plain()
    try:
        times = ping_ms(path, 100)
        reached = gbps(iperf(path, seconds))
    finally:
        path.close()
    print("       a plain veth pair on this machine now: half of ping's median %.3f ms, iperf3 %.1f Gb/s"
          % (statistics.median(times) / 2, reached))
    return reached


def measure_rate(command, engine, seconds, plain_gbps):
    """@plain_gbps: what the machine did before; it is asked again if the path is slow."""
    path = Engine(command, engine, "--delay", str(DELAY_MS), "--rate", str(RATE_GBPS), "--mtu", str(MTU))
    try:
        for attempt in range(ATTEMPTS):
            path.stats("reset")
            before = path.cpu_seconds()
            end = iperf(path, seconds, "-b", "%gG" % OFFERED_GBPS)
            cores = (path.cpu_seconds() - before) / end["sum_sent"]["seconds"]
            ways = path.stats()
            dropped = sum(sum(ways[way]["dropped"].values()) for way in ("ab", "ba"))
            fast = gbps(end) >= REACHED_GBPS_LEAST
            if fast and dropped == 0:
                break
    finally:
        path.close()
    print("       try %d: %.2f of a core; left late by p50 %.0f p99 %.0f us" %
          (attempt + 1, cores, ways["ab"]["late_us"]["p50"], ways["ab"]["late_us"]["p99"]))
    good = judge(dropped == 0 and end["sum_sent"]["retransmits"] == 0,
                 "below the path's rate: %d frames dropped, %d segments sent again by TCP" %
                 (dropped, end["sum_sent"]["retransmits"]))
    plain_gbps = min(plain_gbps, PLAIN_GBPS_LEAST if fast else measure_plain(2))
    if not fast and plain_gbps < PLAIN_GBPS_LEAST:
        print("       %.2f Gb/s of %.1f offered: not judged, the machine does %.1f without any path" %
              (gbps(end), OFFERED_GBPS, plain_gbps))
        return good
    return judge(fast, "iperf3, one way, MTU %d: %.2f Gb/s of %.1f offered, wanted %.1f" %
                 (MTU, gbps(end), OFFERED_GBPS, REACHED_GBPS_LEAST)) and good


def measure_limit(command, engine, seconds):
    """Control: a path of 1 Gb/s does not let more through, and its queue overflows."""
    path = Engine(command, engine, "--delay", str(DELAY_MS), "--rate", "1", "--queue", "256K", "--mtu", "9000")
    try:
        reached = gbps(iperf(path, seconds))
        dropped = path.stats()["ab"]["dropped"]["queue"]
    finally:
        path.close()
    return judge(reached < 1.01 and dropped > 0,
                 "control: a path of 1 Gb/s passes %.3f, and its queue of 256 KiB dropped %d frames" % (reached, dropped))


def main():
    command, engine = os.path.abspath(sys.argv[1]), sys.argv[2]
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("skipped: needs root and /dev/net/tun")
        return 77
    if engine == "dpdk" and not os.path.exists(command + "-dpdk"):
        print("skipped: built without DPDK (libdpdk-dev)")
        return 77
    for tool in ("iperf3", "ping", "ip"):
        if not shutil.which(tool):
            print("skipped: there is no %s" % tool)
            return 77
    plain = measure_plain(min(seconds, 2))
    good = measure_delay(command, engine)
    good = measure_rate(command, engine, seconds, plain) and good
    good = measure_limit(command, engine, min(seconds, 2)) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
