# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the suite: a worker on another machine.

run: python3 -m unittest discover -s bench/suite/tests -t bench
"""
import os
import unittest

from harness.process import HarnessError
from suite import hosts


class Hosts(unittest.TestCase):
    """A worker over pipes: what two machines need of it, on this one."""

    def start(self, words="command:env"):
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        for key in ("QEMU_STOCK", "GUEST_KERNEL", "GUEST_INITRD", "APN_PATH"):
            os.environ[key] = "/bin/true"
        os.environ.pop("QEMU_APN", None)
        host = hosts.Host(words)
        self.addCleanup(host.close)
        return host

    def test_clocks_of_one_machine_agree(self):
        host = self.start()
        self.assertLess(abs(host.offset), 0.05)
        self.assertLessEqual(abs(host.offset), host.clock_error + 1e-3)
        self.assertGreater(host.clock_error, 0)

    def test_wrong_questions_are_answered_in_words_and_do_not_end_it(self):
        host = self.start()
        for what, arguments, words in (("dance", {}, "unknown request 'dance'"), ("read", {"path": "/etc/passwd"}, "not a counter"),
                                       ("read", {"path": "/proc/net/../version"}, "not a counter"),
                                       ("tool", {"words": ["sh", "-c", "true"]}, "not a tool"), ("call", {"name": "x", "what": "stop"}, "not among"),
                                       ("say", {"name": "nobody", "command": "x"}, "nobody"), ("touch", {"colour": 1}, "colour")):
            with self.assertRaisesRegex(HarnessError, words):
                host.ask(what, **arguments)
        self.assertIn("wall", host.ask("clock"))

    def test_counters_can_be_read(self):
        text = self.start().ask("read", path="/proc/net/dev")
        self.assertEqual(len(hosts.device_bytes(text, "lo")), 2)
        with self.assertRaisesRegex(HarnessError, "no device zz9"):
            hosts.device_bytes(text, "zz9")

    def test_a_worker_that_cannot_start_says_why(self):
        before = os.environ.pop("QEMU_STOCK", None)
        try:
            with self.assertRaisesRegex(HarnessError, "not set: QEMU_STOCK"):
                hosts.Host("command:env")
        finally:
            if before:
                os.environ["QEMU_STOCK"] = before

    def test_names_of_hosts(self):
        self.assertEqual(hosts.way_in("command:ip netns exec a")[0], ["ip", "netns", "exec", "a"])
        self.assertEqual(hosts.way_in("root@h-1.example")[0][-1], "root@h-1.example")
        for wrong in ("", "-oProxyCommand=x", "a b", "command:", "a;b"):
            with self.assertRaises(HarnessError):
                hosts.way_in(wrong)

    def test_the_worker_ends_with_its_connection(self):
        host = self.start()
        host.close()
        self.assertIsNotNone(host._child.returncode)
        with self.assertRaises((HarnessError, ValueError)):
            host.ask("clock")


if __name__ == "__main__":
    unittest.main()
