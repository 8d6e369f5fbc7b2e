#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""namespaces.py - apn-path as a user meets it: real namespaces, real frames, real kills.

usage: namespaces.py APN-PATH ENGINE [unittest options]. Needs root and /dev/net/tun; else it is skipped (77).
Delay limits here are wide (the machine may be busy); bench/path/README.md has the figures.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

APN_PATH = ""
ENGINE = ""
NAME = "test-%d" % os.getpid()


def ctl(*words, check=True):
    done = subprocess.run([APN_PATH, "ctl", NAME, *words], capture_output=True, text=True, timeout=20)
    if check and done.returncode:
        raise AssertionError("ctl %s: %s" % (" ".join(words), done.stderr))
    return json.loads(done.stdout) if done.stdout else done.stderr


def in_end(end, *command, timeout=30):
    return subprocess.run([APN_PATH, "exec", NAME + "-" + end, "--", *command],
                          capture_output=True, text=True, timeout=timeout)


# stdin-free helpers that run inside a namespace: a sink that counts, a source that sends
SINK = """
import socket,time
s=socket.create_server(('',7777)); print('listening',flush=True)
c,_=s.accept(); n=0; buffer=bytearray(1<<20); start=None
while True:
    k=c.recv_into(buffer)
    if not k: break
    start=start or time.monotonic(); n+=k
print(n, time.monotonic()-start)
"""
SOURCE = """
import socket,sys
c=socket.create_connection(('10.86.0.2',7777)); block=bytes(1<<20)
for _ in range(int(sys.argv[1])): c.sendall(block)
c.shutdown(socket.SHUT_WR); c.recv(1)
"""


class Path(unittest.TestCase):
    process = None

    def up(self, *options):
        self.process = subprocess.Popen([APN_PATH, "up", NAME, "--engine", ENGINE, *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "ready" not in line:
            self.fail("no ready line but: " + line + self.process.stderr.read())

    def tearDown(self):
        subprocess.run([APN_PATH, "down", NAME], capture_output=True, timeout=20)
        if self.process:
            self.process.wait(timeout=10)
            self.process.stdout.close()
            self.process.stderr.close()
        for end in "ab":
            self.assertFalse(os.path.exists("/run/netns/%s-%s" % (NAME, end)))
        self.assertFalse(os.path.exists("/var/run/dpdk/apn-path-" + NAME))

    def transfer(self, mib):
        sink = subprocess.Popen([APN_PATH, "exec", NAME + "-b", "--", sys.executable, "-c", SINK],
                                stdout=subprocess.PIPE, text=True)
        self.assertEqual(sink.stdout.readline(), "listening\n")
        source = in_end("a", sys.executable, "-c", SOURCE, str(mib), timeout=60)
        self.assertEqual(source.returncode, 0, source.stderr)
        count, seconds = sink.communicate(timeout=30)[0].split()
        self.assertEqual(int(count), mib << 20)
        return int(count) * 8e-9 / float(seconds)

    def test_delay_both_ways(self):
        self.up("--delay", "3,9", "--rate", "0")
        probe = json.loads(subprocess.run([APN_PATH, "probe", NAME, "100"], capture_output=True,
                                          text=True, timeout=30).stdout)
        self.assertEqual(probe["ab"]["received"], 100)
        self.assertGreaterEqual(probe["ab"]["p50_us"], 2950)
        self.assertLess(probe["ab"]["p50_us"], 5000)
        self.assertGreaterEqual(probe["ba"]["p50_us"], 8950)
        self.assertLess(probe["ba"]["p50_us"], 11000)

    def test_rate_is_kept_and_counted(self):
        self.up("--rate", "0.5", "--congestion", "cubic")
        gbps = self.transfer(64)
        self.assertGreater(gbps, 0.35)
        self.assertLess(gbps, 0.52)
        way = ctl("stats")["ab"]
        self.assertGreater(way["bytes_passed"], 64 << 20)
        self.assertLess(way["bytes_passed"], 80 << 20)
        drops = way["dropped"]
        self.assertEqual(way["frames_in"], way["frames_passed"] + sum(drops.values()))

    def test_small_queue_drops_and_says_so(self):
        self.up("--rate", "0.2", "--queue", "64K", "--congestion", "cubic")
        self.transfer(16)
        self.assertGreater(ctl("stats")["ab"]["dropped"]["queue"], 0)

    def test_full_loss_one_way(self):
        self.up("--loss", "1,0")
        self.assertNotEqual(in_end("a", "ping", "-c", "2", "-W", "1", "-i", "0.2", "10.86.0.2").returncode, 0)
        self.assertGreater(ctl("stats")["ab"]["dropped"]["loss"], 0)
        ctl("set-loss", "0")
        self.assertEqual(in_end("a", "ping", "-c", "2", "-i", "0.2", "10.86.0.2").returncode, 0)

    def test_cut_and_restore(self):
        self.up()
        self.assertEqual(in_end("a", "ping", "-6", "-c", "1", "fd86::2").returncode, 0)
        ctl("cut", "ba")
        self.assertNotEqual(in_end("a", "ping", "-c", "1", "-W", "1", "10.86.0.2").returncode, 0)
        stats = ctl("stats")
        self.assertTrue(stats["ba"]["cut"])
        self.assertGreater(stats["ba"]["dropped"]["cut"], 0)
        self.assertEqual(stats["ab"]["dropped"]["cut"], 0)
        ctl("restore")
        self.assertEqual(in_end("a", "ping", "-c", "1", "10.86.0.2").returncode, 0)

    def test_a_cut_ends_by_itself(self):
        self.up("--cut", "300@200")
        pings = in_end("a", "ping", "-c", "100", "-i", "0.01", "-W", "1", "10.86.0.2").stdout
        self.assertIn("100 packets transmitted", pings)
        received = int(pings.split(" received")[0].split()[-1])
        self.assertIn(received, range(50, 90))  # 300 of 1000 ms, and what the machine makes of 10 ms
        self.assertFalse(ctl("stats")["ab"]["cut"])
        ctl("cut", "60000", "ba")
        stats = ctl("stats")
        self.assertTrue(stats["ba"]["cut"])
        self.assertFalse(stats["ab"]["cut"])

    def test_jitter_keeps_the_order(self):
        self.up("--delay", "5", "--jitter", "4", "--rate", "0")
        lines = in_end("a", "ping", "-c", "100", "-i", "0.004", "10.86.0.2").stdout.splitlines()
        numbers = [int(line.split("icmp_seq=")[1].split()[0]) for line in lines if "icmp_seq=" in line]
        times = sorted(float(line.split("time=")[1].split()[0]) for line in lines if "time=" in line)
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(len(numbers), 100)
        self.assertGreater(times[90] - times[10], 2)  # two directions, each with plus or minus 4 ms

    def test_delay_from_a_file(self):
        with tempfile.NamedTemporaryFile("w") as trace:
            trace.write("# seconds ms\n0 2\n1000 2\n")
            trace.flush()
            self.up("--delay-trace", trace.name, "--rate", "0")
            probe = json.loads(subprocess.run([APN_PATH, "probe", NAME, "50"], capture_output=True, text=True,
                                              timeout=30).stdout)
            self.assertGreaterEqual(probe["ab"]["p50_us"], 1950)
            self.assertLess(probe["ab"]["p50_us"], 2900)

    def test_losses_in_bursts(self):
        self.up("--delay", "0", "--loss", "0.3,0", "--loss-burst", "8")
        pings = in_end("a", "ping", "-f", "-c", "2000", "10.86.0.2").stdout
        received = int(pings.split(" received")[0].split()[-1])
        self.assertIn(received, range(1100, 1700))  # 1400 expected
        # the kernel says a few words of its own on a new device
        self.assertIn(ctl("stats")["ab"]["dropped"]["loss"] - (2000 - received), range(0, 10))

    def test_histogram_has_every_frame(self):
        self.up("--delay", "1")
        in_end("a", "ping", "-c", "20", "-i", "0.01", "10.86.0.2")
        way = ctl("histogram")["ab"]
        self.assertEqual(sum(count for _, count in way["late_us"]), way["frames"])
        self.assertGreaterEqual(way["frames"], 20)

    def test_watch_shows_both_directions(self):
        self.up()
        shown = subprocess.run([APN_PATH, "watch", NAME, "2"], capture_output=True, text=True, timeout=10)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertEqual([line[:3] for line in shown.stdout.splitlines()], ["a>b", "b>a"] * 2)

    def test_wrong_requests_are_refused(self):
        self.up()
        for words in (["set-loss", "2"], ["cut", "xy"], ["nonsense"], ["stats", "x", "y", "z"]):
            self.assertIn("error", ctl(*words, check=False))
        ctl("stats")

    def test_second_up_is_refused(self):
        self.up()
        second = subprocess.run([APN_PATH, "up", NAME, "--engine", ENGINE], capture_output=True, text=True, timeout=10)
        self.assertEqual(second.returncode, 1)
        self.assertIn("already up (process %d)" % self.process.pid, second.stderr)
        self.assertEqual(in_end("a", "ping", "-c", "1", "10.86.0.2").returncode, 0)

    def test_killed_path_is_cleaned_by_the_next(self):
        self.up()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)
        self.process.stdout.close()
        self.process.stderr.close()
        self.assertTrue(os.path.exists("/run/netns/%s-a" % NAME))
        self.up()
        self.assertEqual(in_end("a", "ping", "-c", "1", "10.86.0.2").returncode, 0)

    def test_down_while_it_comes_up(self):
        self.process = subprocess.Popen([APN_PATH, "up", NAME, "--engine", ENGINE], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        while not os.path.exists("/run/apn-path/%s.lock" % NAME) and self.process.poll() is None:
            time.sleep(0.001)
        done = subprocess.run([APN_PATH, "down", NAME], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.process.wait(timeout=10), 0)

    def test_signal_ends_it_with_counts(self):
        self.up()
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=10)
        self.assertEqual(self.process.returncode, 0)
        self.assertIn("dropped", json.loads(out)["ab"])

    def test_idle_path_takes_no_cpu(self):
        self.up()
        before = cpu_ticks(self.process.pid)
        time.sleep(2)
        self.assertLessEqual(cpu_ticks(self.process.pid) - before, 2)  # 2 of 200

    def test_namespace_deleted_by_hand(self):
        self.up()
        subprocess.run(["ip", "netns", "del", NAME + "-a"], capture_output=True)
        before = cpu_ticks(self.process.pid)
        time.sleep(0.5)
        self.assertLessEqual(cpu_ticks(self.process.pid) - before, 2)


class Dpdk(Path):
    """What only this engine has."""

    def refused(self, *options):
        done = subprocess.run([APN_PATH, "up", NAME, "--engine", "dpdk", *options], capture_output=True, text=True,
                              timeout=20)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_flows_are_spread_over_wavelengths(self):
        self.up("--wavelengths", "4", "--rate", "1")
        flows = ("import socket,sys\n"
                 "for port in range(40000, 40000 + int(sys.argv[1])):\n"
                 "    s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', port))\n"
                 "    for _ in range(int(sys.argv[2])): s.sendto(b'x', ('10.86.0.2', 9))\n")
        in_end("a", sys.executable, "-c", flows, "60", "2")
        time.sleep(0.1)
        counts = [w["frames_in"] for w in ctl("reset")["ab"]["wavelengths"]]
        self.assertEqual(len(counts), 4)
        self.assertGreaterEqual(sum(counts), 120)
        self.assertGreaterEqual(min(counts), 6, counts)
        in_end("a", sys.executable, "-c", flows, "1", "100")
        time.sleep(0.1)
        counts = sorted(w["frames_in"] for w in ctl("stats")["ab"]["wavelengths"])
        self.assertGreaterEqual(counts[3], 100)
        self.assertLess(sum(counts[:3]), 20, counts)

    def test_frames_overtake_where_they_may(self):
        self.up("--delay", "10", "--jitter", "10", "--reorder", "--rate", "0")
        lines = in_end("a", "ping", "-c", "100", "-i", "0.002", "10.86.0.2").stdout.splitlines()
        numbers = [int(line.split("icmp_seq=")[1].split()[0]) for line in lines if "icmp_seq=" in line]
        self.assertEqual(len(numbers), 100)
        self.assertNotEqual(numbers, sorted(numbers))

    def test_several_queues(self):
        self.up("--queues", "2", "--rate", "1")
        self.transfer(16)
        self.assertEqual(in_end("b", "ping", "-c", "2", "-i", "0.2", "10.86.0.1").returncode, 0)

    def test_a_port_of_the_users(self):
        there, ours, theirs = NAME + "-x", "u%d" % os.getpid(), "v%d" % os.getpid()
        inside = ["ip", "netns", "exec", there]
        try:
            for command in (["ip", "netns", "add", there],
                            ["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", there],
                            ["ip", "link", "set", ours, "up"],
                            [*inside, "ip", "addr", "add", "10.86.0.2/24", "dev", theirs],
                            [*inside, "ip", "link", "set", theirs, "up"]):
                subprocess.run(command, check=True)
            self.up("--port", "B=" + ours, "--mtu", "1500")
            self.assertFalse(os.path.exists("/run/netns/%s-b" % NAME))
            # the user's device has an address of its own: ours has to ask for it
            self.assertEqual(in_end("a", "ip", "link", "set", "apn0", "arp", "on").returncode, 0)
            self.assertEqual(in_end("a", "ping", "-c", "3", "-i", "0.2", "10.86.0.2").returncode, 0)
        finally:
            subprocess.run(["ip", "link", "del", ours], capture_output=True)
            subprocess.run(["ip", "netns", "del", there], capture_output=True)

    def test_wrong_ports_are_named(self):
        self.assertIn("port B: 'nonsense0' is neither", self.refused("--port", "B=nonsense0"))
        self.assertIn("no driver 'net_nonsense'", self.refused("--port", "A=net_nonsense0,x=1"))
        self.assertIn("port A: ", self.refused("--port", "A=net_af_packet7,iface=nonsense0"))
        self.assertIn("--mtu 65535 is more than", self.refused("--mtu", "65535"))


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("skipped: needs root and /dev/net/tun")
        sys.exit(77)
    APN_PATH = os.path.abspath(sys.argv.pop(1))
    ENGINE = sys.argv.pop(1)
    if ENGINE == "dpdk" and not os.path.exists(APN_PATH + "-dpdk"):
        print("skipped: built without DPDK (libdpdk-dev)")
        sys.exit(77)
    if len(sys.argv) == 1:
        sys.argv.append("Dpdk" if ENGINE == "dpdk" else "Path")
    unittest.main(verbosity=2)
