# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk_lanes.py - cases of the lanes themselves: between two apn-dpdk, between one and a kernel's udp

Owner: dpdk_net.py.   Thread: main.   Time: s.
"""
import os
import subprocess
import time

from dpdk_lab import KERNEL4, KERNEL6, PATIENCE, PEER4, PEER6, US4, US6, case, check


def conform(lab, part, host, ends, namespaces=None):
    """@ends: the backend at the source and at the destination"""
    environment = dict(os.environ, CONFORMANCE_HOST=host, CONFORMANCE_SHARED="1", CONFORMANCE_BACKENDS=" ".join(ends),
                       APN_DPDK_SOCKET=lab.helpers[0].socket, CONFORMANCE_SLOW="2" if part == "peers" else "5")
    if namespaces:
        environment["CONFORMANCE_NETNS"] = " ".join(namespaces)
    done = subprocess.run([lab.conformance, "dpdk", part], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120, check=False)
    check(done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if "OK ]" not in line and "RUN  " not in line))


@case
def lanes_conform_between_two_of_them(lab):
    ends = ["dpdk:socket=" + lab.us().socket, "dpdk:socket=" + lab.peer().socket]
    for part in ("traffic", "faults"):
        conform(lab, part, PEER4, ends)
    conform(lab, "traffic", PEER6, ends)


@case
def lanes_conform_on_two_queues_made_of_guest_memory(lab):
    ends = ["dpdk:socket=" + lab.us("--queues=2", "--zero-copy=always").socket, "dpdk:socket=" + lab.peer("--queues=2", "--zero-copy=always").socket]
    conform(lab, "traffic", PEER4, ends)
    handed = sum(line["handed_over"] for helper in lab.helpers for line in helper.show(lab) if "queue" in line)
    check(handed > 0, "no datagram ever came to another lane's queue: software steering was not exercised")


@case
def lanes_conform_at_mtu_1500_and_64900(lab):
    for mtu in (1500, 64900):
        lab.down()
        lab.up(mtu)
        conform(lab, "traffic", PEER4, ["dpdk:socket=" + lab.us().socket, "dpdk:socket=" + lab.peer().socket])


@case
def lanes_conform_with_a_kernel_peer(lab):
    own = "dpdk:socket=" + lab.us().socket
    there = [lab.network.us, lab.network.far]
    for far, near in ((KERNEL4, US4), (KERNEL6, US6)):
        conform(lab, "traffic", far, [own, "udp"], there)
        conform(lab, "traffic", near, ["udp", own], there[::-1])
    conform(lab, "peers", US4, ["udp", own], there[::-1])


@case
def a_lane_says_why_it_went_down(lab):
    source, dest = lab.us(), lab.peer()
    receiver = subprocess.Popen([lab.throughput, "--shared", "--memory", "64", "--backend", "dpdk:socket=" + dest.socket, "--bytes", "1000000", "receive", "4777"],  # pylint: disable=consider-using-with
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sender = None
    try:
        until = time.monotonic() + PATIENCE
        while not any("channel" in line for line in dest.show(lab)):
            check(time.monotonic() < until, "nobody listens")
            time.sleep(0.05)
        sender = subprocess.Popen([lab.throughput, "--shared", "--memory", "64", "--backend", "dpdk:socket=" + source.socket, "--bytes", "1000000", "send",  # pylint: disable=consider-using-with
                                   PEER4, "4777"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while sum(line["sent"] for line in source.show(lab) if "queue" in line) < 1000:
            check(time.monotonic() < until and sender.poll() is None, "nothing is sent")
        source.process.kill()
        start = time.monotonic()
        words = sender.communicate(timeout=PATIENCE)[1]
        check(time.monotonic() - start < 1, "noticed after %.1f s" % (time.monotonic() - start))
        check(source.socket in words and "has ended" in words, "it said: " + words)
        return words.strip()
    finally:
        for process in (sender, receiver):
            if process:
                process.kill()
                process.wait()
