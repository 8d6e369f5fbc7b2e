#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""namespaces.py - apn-path as a user meets it: real namespaces, real frames, real kills.

usage: namespaces.py APN-PATH [unittest options]. Needs root and /dev/net/tun; else it is skipped (77).
Delay limits here are wide (the machine may be busy); bench/path/README.md has the figures.
"""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

APN_PATH = ""
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
        self.process = subprocess.Popen([APN_PATH, "up", NAME, *options], stdout=subprocess.PIPE,
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

    def test_wrong_requests_are_refused(self):
        self.up()
        for words in (["set-loss", "2"], ["cut", "xy"], ["nonsense"], ["stats", "x", "y", "z"]):
            self.assertIn("error", ctl(*words, check=False))
        ctl("stats")

    def test_second_up_is_refused(self):
        self.up()
        second = subprocess.run([APN_PATH, "up", NAME], capture_output=True, text=True, timeout=10)
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


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("skipped: needs root and /dev/net/tun")
        sys.exit(77)
    APN_PATH = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
