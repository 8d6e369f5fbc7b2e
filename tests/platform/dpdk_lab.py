# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk_lab.py - two namespaces joined by a veth, and apn-dpdk on one end or both

Owner: dpdk_net.py, which runs the cases that are registered here.   Thread: main; enter() moves it.   Time: s.
"""
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time

PATIENCE = 20.0
MTU = 9000
TAG = "apnd%d" % os.getpid()
KERNEL4, KERNEL6, US4, US6, PEER4, PEER6 = "10.77.0.2", "fd77::2", "10.77.0.1", "fd77::1", "10.77.0.3", "fd77::3"


class Failed(Exception):
    pass


def check(truth, why):
    if not truth:
        raise Failed(why)


def run(*command, **how):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **how).stdout


# ---- network -----------------------------------------------------------------


def enter(namespace):
    """This thread, and what it starts, moves there."""
    with open("/run/netns/" + namespace, encoding="ascii") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns " + namespace)


def sums_by_cpu(namespace, device, by_cpu):
    """Checksums of the kernel's datagrams: made by the CPU, or left to an adapter that a veth is not."""
    enter(namespace)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        value = ctypes.create_string_buffer(struct.pack("<II", 0x17, 0 if by_cpu else 1))  # ETHTOOL_STXCSUM
        fcntl.ioctl(control, 0x8946, struct.pack("16sQ16x", device.encode(), ctypes.addressof(value)))


class Network:
    """Two namespaces and a veth: `us` for apn-dpdk, `far` for the kernel or a second apn-dpdk."""

    def __init__(self, mtu=MTU):
        self.us, self.far = TAG + "a", TAG + "b"
        for name in (self.us, self.far):
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "va", "netns", self.us, "mtu", str(mtu), "type", "veth", "peer", "name", "vb", "netns", self.far, "mtu", str(mtu))
        for name, device in ((self.us, "va"), (self.far, "vb")):
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.%s.accept_dad=0" % device)
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "netns", "exec", self.us, "sysctl", "-qw", "net.ipv6.conf.va.disable_ipv6=1")
        run("ip", "-n", self.far, "addr", "add", KERNEL4 + "/24", "dev", "vb")
        run("ip", "-n", self.far, "addr", "add", KERNEL6 + "/64", "dev", "vb", "nodad")
        sums_by_cpu(self.far, "vb", True)

    def remove(self):
        for name in (self.us, self.far):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


# ---- apn-dpdk ------------------------------------------------------------------


class Helper:
    def __init__(self, lab, namespace, device, addresses, *options):
        self.socket = os.path.join(lab.directory, "%s.sock" % device)
        self.log = open(os.path.join(lab.directory, device + ".log"), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        command = ["ip", "netns", "exec", namespace, lab.program, "--port=net_af_packet0,iface=" + device, "--socket=" + self.socket]
        command += ["--ip=" + a for a in addresses] + list(options)
        # leaks at exit are DPDK's own, when this is a sanitized build
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))  # pylint: disable=consider-using-with
        lab.helpers.append(self)
        until = time.monotonic() + PATIENCE
        while "serving" not in self.text():
            check(self.process.poll() is None, "apn-dpdk ended: " + self.text())
            check(time.monotonic() < until, "apn-dpdk is not ready: " + self.text())
            time.sleep(0.02)

    def text(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8") as file:
            return file.read()

    def show(self, lab):
        return [json.loads(line) for line in run(lab.program, "--show=" + self.socket).splitlines()]

    def dropped(self, lab, reason):
        return next(line["frames"] for line in self.show(lab) if line.get("dropped") == reason)

    def cpu_s(self):
        with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout=PATIENCE)
        self.log.close()
        return code


class Lab:
    def __init__(self, program, conformance, throughput):
        self.program, self.conformance, self.throughput = program, conformance, throughput
        self.directory = tempfile.mkdtemp(prefix="apn-dpdk-")
        os.chmod(self.directory, 0o755)
        self.helpers = []
        self.network = None

    def up(self, mtu=MTU):
        self.network = Network(mtu)

    def us(self, *options):
        return Helper(self, self.network.us, "va", [US4 + "/24", US6 + "/64"], *options)

    def peer(self, *options):
        """A second apn-dpdk, where else the kernel is."""
        return Helper(self, self.network.far, "vb", [PEER4 + "/24", PEER6 + "/64"], *options)

    def down(self):
        """Return: what was wrong with how they ended"""
        faults = []
        for helper in self.helpers:
            code = helper.stop()
            if code not in (0, -signal.SIGKILL):  # killed by the case itself
                faults.append("apn-dpdk ended with %d: see its log" % code)
        self.helpers = []
        if self.network:
            self.network.remove()
            self.network = None
        return faults

    def kernel(self, host, port=0):
        enter(self.network.far)
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(3)
        s.bind((host, port))
        return s


# ---- cases -------------------------------------------------------------------

CASES = []


def case(function):
    CASES.append(function)
    return function
