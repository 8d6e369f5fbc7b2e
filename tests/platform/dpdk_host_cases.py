# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk_host_cases.py - cases of apn-dpdk as a host of its network: the kernel as its peer, clients that lie and die

Owner: dpdk_net.py.   Thread: main.   Time: s.
"""
import errno
import os
import re
import signal
import socket
import struct
import subprocess
import time

import dpdk_wire as wire
from dpdk_lab import KERNEL4, KERNEL6, MTU, PATIENCE, US4, US6, Failed, case, check, run, sums_by_cpu


@case
def the_kernel_pings_it(lab):
    helper = lab.us()
    for host, size in ((US4, 56), (US6, 56), (US4, MTU - 28), (US6, MTU - 48)):
        # until three are answered: without -w ping gives the last ones two of the shortest round trips; on a machine that stands still it sends more
        out = run("ip", "netns", "exec", lab.network.far, "ping", "-c", "3", "-i", "0.2", "-w", "10", "-M", "do", "-s", str(size), host)
        check(re.search(r" packets transmitted, 3 received", out), out)
    states = {line["neighbour"]: line["state"] for line in helper.show(lab) if "neighbour" in line}
    check(KERNEL4 in states and KERNEL6 in states, "neighbours: %s" % states)
    check("conflict" in helper.show(lab)[0] and not helper.show(lab)[0]["conflict"], "address conflict")


@case
def datagrams_pass_to_and_from_the_kernel(lab):
    helper = lab.us()
    client = wire.Client(helper.socket)
    for far, near, most in ((KERNEL4, US4, MTU - 28), (KERNEL6, US6, MTU - 48)):
        kernel = lab.kernel(far)
        flow = client.open(remote=wire.address(far, kernel.getsockname()[1]))
        check(flow.datagram_max == most, "datagram_max %d" % flow.datagram_max)
        for size in (1, 2, 3, 17, 1000, 2047):
            data = os.urandom(size)
            flow.send(data)
            got, who = kernel.recvfrom(65536)
            check(got == data and who[0] == near and who[1] == flow.port, "%d bytes from us" % size)
            kernel.sendto(data[::-1], who[:2])
            answer = flow.receive()
            check(answer and answer[1] == data[::-1] and answer[2] == (far, kernel.getsockname()[1]), "%d bytes to us" % size)
        whole = os.urandom(most)  # head and payload, as large as the path
        flow.entry(whole, payload_bytes=most - 2048, head_bytes=2048)
        flow.publish()
        got, who = kernel.recvfrom(65536)
        check(got == whole, "the largest datagram from us")
        kernel.sendto(whole, who[:2])
        check(flow.receive()[1] == whole, "the largest datagram to us")
        listener = client.open(local=wire.address("", 4444))
        kernel.sendto(b"knock", (near, 4444))
        knock = listener.receive()
        check(knock and knock[1] == b"knock", "the listener heard %s" % (knock,))
        listener.send(b"who", remote=wire.address(*knock[2]))
        check(kernel.recvfrom(100)[0] == b"who", "the listener's answer")
        listener.close()
        flow.close()
    client.close()


@case
def nobody_there_is_told_both_ways(lab):
    helper = lab.us()
    client = wire.Client(helper.socket)
    for far, near in ((KERNEL4, US4), (KERNEL6, US6)):
        flow = client.open(remote=wire.address(far, 9))
        flow.send(b"x")
        answer = flow.receive()
        check(answer and answer[0] == wire.REFUSED, "told: %s" % (answer,))
        kernel = lab.kernel(far)
        kernel.connect((near, 9))
        kernel.send(b"x")
        try:
            kernel.recv(10)
            raise Failed("something came")
        except ConnectionRefusedError:
            pass
    try:
        client.open(remote=wire.address("198.51.100.1", 9))
        raise Failed("a way to nowhere")
    except wire.Refused as refused:
        check(refused.code == -errno.ENETUNREACH and "gateway" in str(refused), str(refused))
    try:
        client.open(local=wire.address("10.77.0.99", 9))
        raise Failed("somebody else's address")
    except wire.Refused as refused:
        check(refused.code == -errno.EADDRNOTAVAIL, str(refused))


@case
def what_is_damaged_is_dropped_and_counted(lab):
    helper = lab.us()
    client = wire.Client(helper.socket)
    listener = client.open(local=wire.address("", 4444))
    kernel = lab.kernel(KERNEL4)
    kernel.sendto(b"first", (US4, 4444))  # now neighbours know each other, and nothing waits in the kernel
    check(listener.receive()[1] == b"first", "the first datagram")
    kernel.sendto(bytes(20000), (US4, 4444))
    six = lab.kernel(KERNEL6)
    six.sendto(bytes(20000), (US6, 4444))
    sums_by_cpu(lab.network.far, "vb", False)
    kernel.sendto(b"not summed", (US4, 4444))
    sums_by_cpu(lab.network.far, "vb", True)
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("vb", 0))
    body = struct.pack(">HHHH", 1000, 4444, 12, 0x1234) + b"lies"
    ip = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 32, 0, 0x4000, 64, 17, 0, socket.inet_aton(KERNEL4), socket.inet_aton(US4)))
    total = sum(struct.unpack(">10H", ip))
    struct.pack_into(">H", ip, 10, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    mac = bytes.fromhex(open_text(lab.network.us, "va").replace(":", ""))
    raw.send(mac + bytes.fromhex("020000000009") + b"\x08\0" + bytes(ip) + body)
    raw.send(mac + bytes.fromhex("020000000009") + b"\x08\0" + bytes(ip)[:9])
    kernel.sendto(b"good", (US4, 4444))
    first = listener.receive()
    check(first and first[1] == b"good", "delivered: %s" % (first,))
    until = time.monotonic() + PATIENCE  # IPv6 asks for its neighbour first
    # af_packet's sockets let the kernel put IPv4 fragments together: one packet that no buffer holds
    for reason, least in (("fragment", 3), ("checksum_partial", 1), ("checksum", 1), ("short", 2)):
        while helper.dropped(lab, reason) < least:
            check(time.monotonic() < until, "%s: %d" % (reason, helper.dropped(lab, reason)))
            time.sleep(0.05)
    more = listener.receive(0.1)
    check(more is None, "delivered: %s" % (more,))


def open_text(namespace, device):
    return run("ip", "netns", "exec", namespace, "cat", "/sys/class/net/%s/address" % device).strip()


@case
def guest_memory_is_read_where_it_is(lab, *options):
    helper = lab.us(*options)
    client = wire.Client(helper.socket)
    length = 4 << 20
    fd = os.memfd_create("guest")
    os.ftruncate(fd, length)
    content = os.urandom(length)
    os.pwrite(fd, content, 0)
    client.region(5, fd, length - 8192, offset=8192)
    kernel = lab.kernel(KERNEL4)
    flow = client.open(remote=wire.address(KERNEL4, kernel.getsockname()[1]))
    for offset, size in ((0, 4096), (4096, 8000), (length - 8192 - 4096, 4096), (123, 777)):
        for _again in range(3):  # the first ones wait for the neighbour's address
            flow.send(b"head", payload_bytes=size, region=5, offset=offset)
            check(kernel.recv(65536) == b"head" + content[8192 + offset:8192 + offset + size], "%d bytes at %d" % (size, offset))
    queue = next(line for line in helper.show(lab) if "queue" in line)
    check(queue["view_bytes" if options else "copied_bytes"] > 3 * 4096, "%s" % queue)
    flow.close()
    client.close()


@case
def frames_are_made_of_guest_memory_itself(lab):
    guest_memory_is_read_where_it_is(lab, "--zero-copy=always")


@case
def clients_that_lie_harm_themselves_only(lab):
    helper = lab.us()
    honest = wire.Client(helper.socket)
    kernel = lab.kernel(KERNEL4)
    to_kernel = wire.address(KERNEL4, kernel.getsockname()[1])
    good = honest.open(remote=to_kernel)
    fd = os.memfd_create("guest")
    os.ftruncate(fd, 1 << 20)
    nonsense = [dict(head_bytes=0), dict(head_bytes=2049), dict(payload_bytes=0xFFFFFFFF), dict(payload_bytes=MTU, region=3),
                dict(payload_bytes=4096, region=3, offset=(1 << 20) - 4095), dict(payload_bytes=4096, region=3, offset=(1 << 64) - 1),
                dict(payload_bytes=4096, region=4), dict(payload_bytes=4096, region=64), dict(payload_bytes=4096, region=0xFFFFFFFE),
                dict(head_bytes=0xFFFFFFFF, payload_bytes=2)]
    liar = wire.Client(helper.socket)
    liar.region(3, fd, 1 << 20)
    flow = liar.open(remote=to_kernel)
    for words in nonsense:
        flow.send(b"liar", **words)
    flow.send(b"still here")
    check(kernel.recv(65536) == b"still here", "an entry that makes no sense was sent")
    for line, value in ((0, 0x80000000), (3, 0x7FFFFFFF)):  # indexes
        liar = wire.Client(helper.socket)
        flow = liar.open(remote=to_kernel)
        flow.put(line, value)
        flow.ring()
        if line == 3:
            flow.send(b"answer me")
            kernel.sendto(b"answer", kernel.recvfrom(100)[1])
        try:
            liar.hear()
            raise Failed("index %d was believed" % line)
        except (EOFError, ConnectionError):
            pass
    liar = wire.Client(helper.socket)  # memory that goes away
    liar.region(0, fd, 1 << 20)
    flow = liar.open(remote=to_kernel)
    os.ftruncate(fd, 0)
    flow.send(b"gone", payload_bytes=8192, region=0)
    try:
        liar.hear()
        raise Failed("memory that is gone was not noticed")
    except (EOFError, ConnectionError):
        pass
    for message in (b"", b"x" * 10, bytes(wire.MESSAGE.size), b"\xff" * wire.MESSAGE.size):
        stranger = wire.Client(helper.socket, greet=False)
        stranger.socket.send(message)
        try:
            stranger.hear()
            raise Failed("%d bytes of nonsense were answered" % len(message))
        except (EOFError, ConnectionError):
            pass
    flood = wire.Client(helper.socket)  # asks, and never listens
    try:
        for _ in range(100000):
            flood.socket.send(wire.MESSAGE.pack(wire.MAGIC, 1, wire.STATS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b"", b"", b"", b""), socket.MSG_DONTWAIT)
    except OSError:
        pass
    drain(kernel)
    good.send(b"unharmed")
    check(kernel.recv(100) == b"unharmed", "the honest one was harmed")
    check(helper.process.poll() is None, "apn-dpdk ended")


def drain(kernel):
    kernel.settimeout(0.1)
    try:
        while True:
            kernel.recv(65536)
    except TimeoutError:
        kernel.settimeout(3)


@case
def regions_and_channels_have_limits(lab):
    helper = lab.us()
    client = wire.Client(helper.socket)
    fd = os.memfd_create("guest")
    os.ftruncate(fd, 1 << 20)
    reader, writer = os.pipe()
    for what, words in (("too many", dict(number=64, fd=fd, length=4096)), ("too long", dict(number=0, fd=fd, length=2 << 20)),
                        ("odd", dict(number=0, fd=fd, length=100)), ("overflow", dict(number=0, fd=fd, length=4096, offset=(1 << 64) - 4096)),
                        ("no file", dict(number=0, fd=reader, length=4096)), ("nothing", dict(number=0, fd=fd, length=0))):
        try:
            client.region(**words)
            raise Failed("a region: " + what)
        except wire.Refused:
            pass
    os.close(reader)
    os.close(writer)
    channels = [client.open() for _ in range(128)]
    try:
        client.open()
        raise Failed("more than 128 channels")
    except wire.Refused as refused:
        check(refused.code == -errno.ENOSPC, str(refused))
    channels.pop().close()
    client.open()
    others = []
    try:
        for _ in range(20):
            others.append(wire.Client(helper.socket))
        raise Failed("more than 16 programs")
    except wire.Refused as refused:
        check(refused.code == -errno.EBUSY, str(refused))
    client.close()  # frees them all
    until = time.monotonic() + PATIENCE
    while any("channel" in line for line in helper.show(lab)):
        check(time.monotonic() < until, "channels outlive their program")
    others.append(wire.Client(helper.socket))


@case
def death_is_noticed_on_both_sides(lab):
    helper = lab.us()
    child = os.fork()
    if child == 0:
        try:
            client = wire.Client(helper.socket)
            client.open(remote=wire.address(KERNEL4, 1000))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    until = time.monotonic() + PATIENCE
    while any("channel" in line for line in helper.show(lab)):
        check(time.monotonic() < until, "a dead program's channel stays")
        time.sleep(0.01)
    client = wire.Client(helper.socket)
    flow = client.open(remote=wire.address(KERNEL4, 1000))
    helper.process.kill()
    start = time.monotonic()
    try:
        check(flow.receive(10) is None, "something came from a dead helper")
        raise Failed("the bell did not ring")
    except EOFError:
        check(time.monotonic() - start < 1, "told after %.1f s" % (time.monotonic() - start))


@case
def rights_are_given_up_and_asked_for(lab):
    helper = lab.us("--user=nobody", "--group=nogroup", "--allow-uid=65533")
    with open("/proc/%d/status" % helper.process.pid, encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    check(status["Uid"].split() == ["65534"] * 4, "Uid " + status["Uid"])
    check(int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, "CapEff " + status["CapEff"])
    check(status["NoNewPrivs"] == "1", "NoNewPrivs")
    mode = os.stat(helper.socket)
    check(mode.st_mode & 0o777 == 0o660 and mode.st_gid == 65534, "socket mode %o" % mode.st_mode)
    run("ip", "netns", "exec", lab.network.far, "ping", "-c", "1", "-W", "2", US4)
    for uid, gid, expected in ((65533, 65534, 0), (65532, 65534, errno.EACCES), (65533, 65533, errno.EPERM)):
        child = os.fork()
        if child == 0:
            answer = 99
            try:
                os.setgroups([])
                os.setgid(gid)
                os.setuid(uid)
                wire.Client(helper.socket)
                answer = 0
            except wire.Refused as refused:
                answer = -refused.code
            except PermissionError:
                answer = errno.EPERM
            finally:
                os._exit(answer)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        check(code == expected, "user %d, group %d: %d instead of %d" % (uid, gid, code, expected))


@case
def idle_it_sleeps(lab):
    helper = lab.us("--queues=2")
    client = wire.Client(helper.socket)
    client.open(local=wire.address("", 4444))
    time.sleep(3.2)  # announcements are over
    before, seconds = helper.cpu_s(), 2.0
    time.sleep(seconds)
    used = helper.cpu_s() - before
    check(used <= 0.02, "%.3f s of CPU in %.0f s" % (used, seconds))
    return "%.0f ms of CPU in %.0f s" % (used * 1000, seconds)


@case
def options_are_checked(lab):
    for options, words in ((["--port=net_af_packet0,iface=none", "--ip=10.0.0.1/24"], "no such network interface"),
                           (["--port=net_af_packet0,iface=va"], "--ip is missing"), (["--ip=10.0.0.1/24"], "--port is missing"),
                           (["--port=x", "--ip=10.0.0.1"], "ADDRESS/PREFIX"), (["--port=x", "--ip=10.0.0.1/33"], "1 to 32"),
                           (["--port=x", "--ip=224.0.0.1/24"], "one host"), (["--port=x", "--ip=10.0.0.1/24", "--mtu=100"], "1280"),
                           (["--port=net_af_packet0,iface=va", "--ip=10.0.0.1/24", "--mtu=9500"], "carries 9000"),
                           (["--port=x", "--ip=10.0.0.1/24", "--user=no-such-user"], "no such user"),
                           (["--port=x", "--ip=10.0.0.1/24", "--queues=2", "--cpus=1"], "must be the same"),
                           (["--port=net_nonsense0", "--ip=10.0.0.1/24"], "net_nonsense0"),
                           (["--show=/nowhere"], "no apn-dpdk runs there")):
        done = subprocess.run(["ip", "netns", "exec", lab.network.us, lab.program, *options, "--socket=" + lab.directory + "/x.sock"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
        check(done.returncode in (1, 2) and words in done.stdout, "%s: %d: %s" % (options, done.returncode, done.stdout))
    first = lab.us()
    done = subprocess.run(["ip", "netns", "exec", lab.network.us, lab.program, "--port=net_af_packet0,iface=va", "--ip=10.77.0.1/24",
                           "--socket=" + first.socket], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
    check(done.returncode == 1 and "another apn-dpdk serves it" in done.stdout, done.stdout)
    check(os.path.exists(first.socket), "it took the other's socket away")
