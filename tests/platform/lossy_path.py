#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""lossy_path.py - a lane over TCP on a path that loses: it must change its congestion control, and carry nearly what it carries without loss

usage: lossy_path.py APN_PATH LINK_THROUGHPUT

Makes network namespaces of its own (apn-path removes them). Exit: 0; 1 = failed; 77 = cannot run here, with the reason.
Owner: meson test platform-lossy.   Thread: main.   Units: s, Gb/s.
"""
import json
import os
import subprocess
import sys
import time

SKIPPED = 77
RATE_GBPS, RTT_MS, LOSS, MIB, PORT = 2.0, 6, 2e-3, 512, 5000
SHARE_MIN = 0.75  # of the rate without loss; cubic has 0.4 here, bbr 0.93
TRIES = 3         # a busy machine is slow in either run
CHANGED = "changed to bbr"


def transfer(path, program, name):
    """One transfer from end a to end b: the sender's figures."""
    words = [program, "--bytes", str(MIB)]
    receiver = subprocess.Popen([path, "exec", name + "-b", "--", *words, "receive", str(PORT)], stdout=subprocess.DEVNULL)
    try:
        time.sleep(1.5)
        done = subprocess.run([path, "exec", name + "-a", "--", *words, "send", "10.86.0.2", str(PORT)], capture_output=True,
                              text=True, timeout=60)
        receiver.wait(timeout=30)
    finally:
        receiver.kill()
        receiver.wait()
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout.splitlines()[-1])


def pair(path, program, name):
    """(without loss, with loss) over one path."""
    child = subprocess.Popen([path, "up", name, "--delay", "%g" % (RTT_MS / 2), "--rate", "%g" % RATE_GBPS, "--mtu", "9000"],
                             stdout=subprocess.PIPE, text=True)
    try:
        if "ready" not in child.stdout.readline():
            raise RuntimeError("apn-path did not start")
        clean = transfer(path, program, name)
        subprocess.run([path, "ctl", name, "set-loss", "%.6f" % LOSS, "ab"], check=True, timeout=10, stdout=subprocess.DEVNULL)
        return clean, transfer(path, program, name)
    finally:
        child.terminate()
        child.wait(timeout=20)
        subprocess.run([path, "down", name], capture_output=True, timeout=20)


def main():
    path, program = sys.argv[1:]
    if os.geteuid() or not os.path.exists("/dev/net/tun"):
        print("skipped: needs root and /dev/net/tun")
        return SKIPPED
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as file:
        if "bbr" not in file.read().split():
            print("skipped: this kernel has no bbr")
            return SKIPPED
    for attempt in range(TRIES):
        clean, lossy = pair(path, program, "apnloss%d" % os.getpid())
        share = lossy["gbps"] / clean["gbps"]
        print("try %d: %.2f Gb/s without loss (note %r), %.2f with %g (note %r): %.2f" % (
            attempt + 1, clean["gbps"], clean["note"], lossy["gbps"], LOSS, lossy["note"], share))
        if CHANGED in clean["note"]:
            print("not ok: changed on a path that loses nothing")
            return 1
        if CHANGED in lossy["note"] and share >= SHARE_MIN:
            print("ok")
            return 0
    print("not ok: never changed to bbr with %.2f of the rate" % SHARE_MIN)
    return 1


if __name__ == "__main__":
    sys.exit(main())
