#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""program.py - apn-guest run on the host: ready line, commands, heartbeat, damage found.

usage: program.py APN-GUEST [unittest options]
"""
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

PROGRAM = ""


class Guest(unittest.TestCase):
    def start(self, line):
        read_end, write_end = os.pipe()
        self.beat = read_end
        self.process = subprocess.Popen([PROGRAM, "--cmdline", line, "--heartbeat", "/dev/fd/%d" % write_end],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                        pass_fds=[write_end])
        os.close(write_end)
        self.addCleanup(self.stop)

    def stop(self):
        os.close(self.beat)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def until(self, word):
        for _ in range(200):
            line = self.process.stdout.readline()
            if word in line or not line:
                return line
        return ""

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def test_life(self):
        self.start("apn.mib=16 apn.hot=4 apn.rate=20 apn.seed=3")
        self.assertIn("pages=4096 hot_mib=4 rate_mib_s=20 seed=3", self.until("APN-READY"))
        self.say("check")
        self.assertIn("pages=4096 errors=0", self.until("APN-CHECK"))
        self.say("spoil 77")
        self.assertIn("page=77", self.until("APN-SPOILT"))
        self.say("check")
        self.assertIn("page=77 why=", self.until("APN-CORRUPT"))
        self.assertNotIn("errors=0", self.until("APN-CHECK"))

    def test_rate_can_change(self):
        self.start("apn.mib=8 apn.hot=4")
        self.until("APN-READY")
        self.say("rate 40")
        self.assertIn("mib_s=40", self.until("APN-RATE"))
        self.until("APN-STAT")
        first = dict(w.split("=") for w in self.until("APN-STAT").split()[1:])
        second = dict(w.split("=") for w in self.until("APN-STAT").split()[1:])
        ms = int(second["uptime_ms"]) - int(first["uptime_ms"])
        mib_s = (int(second["writes"]) - int(first["writes"])) / 256 / ms * 1000
        self.assertGreater(mib_s, 30)
        self.assertLess(mib_s, 42)

    def test_heartbeat_counts_up(self):
        self.start("apn.mib=1")
        self.until("APN-READY")
        beats = b""
        while len(beats) < 300:
            beats += os.read(self.beat, 400)
        for one, next_one in zip(beats, beats[1:]):
            self.assertEqual((one + 1) % 256, next_one)
        begin = time.monotonic()
        got = 0
        while time.monotonic() - begin < 1:
            got += len(os.read(self.beat, 400))
        self.assertGreater(got, 700)
        self.assertLess(got, 1100)

    def test_nonsense_is_refused(self):
        self.start("apn.mib=1")
        self.until("APN-READY")
        for command in ("rate 5", "rate x", "spoil 256", "dance", "check it", "x" * 500):
            self.say(command)
            if len(command) < 60:
                self.assertIn("APN-ERROR command", self.until("APN-"))
        self.say("check")
        self.assertIn("errors=0", self.until("APN-CHECK"))

    def test_wrong_parameters(self):
        for line in ("apn.mib=999999", "apn.mib=x"):
            done = subprocess.run([PROGRAM, "--cmdline", line], capture_output=True, text=True, timeout=10)
            self.assertEqual(done.returncode, 1)
            self.assertIn("APN-ERROR " + line, done.stdout)


    def test_key_value_client_checks_answers(self):
        store = Store()
        if not store.listening:
            self.skipTest("port %d is taken" % Store.PORT)
        self.addCleanup(store.close)
        self.start("apn.mib=1 apn.kv=200 apn.kv_mib=1")
        self.assertTrue(self.until("APN-READY"))
        self.assertEqual(len(store.values), 128)
        time.sleep(0.5)
        self.say("latency")
        answer = dict(w.split("=") for w in self.until("kind=kv").split()[1:])
        self.assertEqual(answer["errors"], "0")
        self.assertGreater(int(answer["operations"]), 20)
        self.assertGreaterEqual(int(answer["p999_ns"]), int(answer["p50_ns"]))
        for key in store.values:
            store.values[key] = bytes(8000)  # what a lost write would leave
        self.assertIn("wrong or missing", self.until("APN-CORRUPT kv"))


class Store:
    """As much of memcached as the client uses."""

    PORT = 11211

    def __init__(self):
        self.values = {}
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.listener.bind(("127.0.0.1", self.PORT))
            self.listener.listen(1)
            self.listening = True
        except OSError:
            self.listening = False
            self.listener.close()
            return
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            peer, _ = self.listener.accept()
            with peer, peer.makefile("rwb") as file:
                for line in file:
                    words = line.split()
                    if words[0] == b"set":
                        self.values[words[1]] = file.read(int(words[4]) + 2)[:-2]
                        file.write(b"STORED\r\n")
                    else:
                        value = self.values[words[1]]
                        file.write(b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (words[1], len(value), value))
                    file.flush()
        except OSError:
            pass

    def close(self):
        self.listener.close()


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
