# SPDX-License-Identifier: GPL-2.0-or-later
"""ven_scene.py - a VTN, and VEN_TALK processes that talk to it

Owner: test_ven.py, test_ven_faults.py.  Thread: main; the VTN has its own.  Time: real, bounded.  Units: seconds.
"""
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from vtn import Vtn, instant

RELATIVE = [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "DISPATCH_SETPOINT_RELATIVE", "units": "KW"}]


def program():
    """ven-talk, the first argument of the test."""
    return sys.argv[0]


def main():
    sys.argv.pop(0)
    unittest.main(module="__main__", verbosity=1)


def interval(kw, number=0, kind="DISPATCH_SETPOINT_RELATIVE"):
    return {"id": number, "payloads": [{"type": kind, "values": [kw]}]}


def down(kw, seconds=3600, start_s=0.0, **members):
    """Members of an event that asks for @kw less for @seconds."""
    return {"payloadDescriptors": RELATIVE, "intervals": [interval(-kw)],
            "intervalPeriod": {"start": instant(start_s), "duration": "PT%dS" % seconds}, **members}


def certificate(directory):
    """(certificate, key) for this machine, or None without openssl."""
    names = [os.path.join(directory, name) for name in ("hook.crt", "hook.key")]
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", names[1], "-out", names[0], "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return names


class Talk:
    """A ven-talk process and what it said."""

    def __init__(self, directory, vtn, webhook=True, more="", dr="", tls=None, given=None):
        self.config = os.path.join(directory, "dr.yaml")
        secret = os.path.join(directory, "secret")
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write((given or vtn.secret) + "\n")
        port = free_port()
        keys = ", certificate: %s, key: %s" % tuple(tls) if tls else ""
        hook = "    webhook: {listen: '127.0.0.1:%d', url: '%s://127.0.0.1:%d/dr'%s}\n" % (
            port, "https" if tls else "http", port, keys) if webhook else ""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("dr:\n  sites:\n    east: {targets: [group-1]}\n    west: {targets: [coast]}\n%s"
                       "  openadr:\n    url: %s\n    client_id: %s\n    client_secret_file: %s\n    ven_name: apn-1\n"
                       "    poll_s: 0.3\n%s%s" % (dr, vtn.url, vtn.client, secret, hook, more))
        self.child = subprocess.Popen([program(), self.config], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
        self.lines, self.said = queue.Queue(), []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            kind, _, body = line.partition(" ")
            self.lines.put((time.monotonic(), kind, json.loads(body)))
        self.lines.put((0, "end", {}))

    def wait(self, kind, words="", seconds=10.0):
        """(when, body) of the next line of @kind that holds @words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                when, found, body = self.lines.get(timeout=0.1)
            except queue.Empty:
                continue
            self.said.append((found, body))
            if found == kind and words in json.dumps(body):
                return when, body
            if found == "end":
                break
        raise AssertionError("no %s with %r within %g s; said: %s; stderr: %s" % (
            kind, words, seconds, self.said[-8:], self.child.stderr.read() if self.child.poll() is not None else ""))

    def ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return self.wait("reply")[1]

    def state(self):
        return self.ask("state")

    def stop(self):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        words = self.child.stderr.read()
        self.child.stdout.close()
        self.child.stderr.close()
        return self.child.returncode, words


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Conversation(unittest.TestCase):
    """A VTN of its own for each test, and as many VENs as it talks to."""

    def setUp(self):
        self.vtn = Vtn()
        self.addCleanup(self.vtn.close)
        self.folder = tempfile.TemporaryDirectory(prefix="apn-ven-")
        self.addCleanup(self.folder.cleanup)
        self.program = self.vtn.add_program("relief")

    def talk(self, **how):
        one = Talk(self.folder.name, self.vtn, **how)

        def end():
            code, words = one.stop()
            self.assertEqual(code, 0, words)
            self.assertNotIn("runtime error", words)
        self.addCleanup(end)
        return one

    def requests(self, method, path):
        with self.vtn.lock:
            return [seen for seen in self.vtn.seen if seen[0] == method and (seen[1] or "").startswith(path)]

    def until(self, condition, what, seconds=10.0):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.05)
        self.fail("not within %g s: %s" % (seconds, what))
