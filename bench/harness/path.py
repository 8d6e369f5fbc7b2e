# SPDX-License-Identifier: GPL-2.0-or-later
"""path.py - an emulated path, by the command apn-path (see apn-path(1))

Owner: the program that measures.  Thread: main.  Time: none.  Units: ms, Gb/s, as on its command line.
"""
import json
import select
import subprocess
import time

from . import process
from .process import HarnessError

ADDRESS = {"a": "10.86.0.1", "b": "10.86.0.2"}
DEVICE = "apn0"  # in both namespaces
ADDRESS6 = {"a": "fd86::1", "b": "fd86::2"}


class Path:
    """A path that is up from construction to close()."""

    emulated = True

    def __init__(self, command, name, log_path, options=()):
        """@command: the apn-path program; @options: more words for `apn-path up`."""
        self.command = command
        self.name = name
        self._log_path = log_path
        self._child = process.start([command, "up", name, *options], log_path, stdout=subprocess.PIPE)
        try:
            self._wait_ready(10.0)
        except BaseException:
            self.close()
            raise

    def _wait_ready(self, seconds):
        deadline = time.monotonic() + seconds
        line = b""
        while b"ready" not in line:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._child.stdout], [], [], left)[0]:
                raise HarnessError("apn-path up %s: not ready within %g s" % (self.name, seconds))
            line = self._child.stdout.readline()
            if not line:
                self._child.wait()
                raise HarnessError("apn-path up %s failed:\n%s" % (self.name, process.tail(self._log_path)))

    @property
    def pid(self):
        return self._child.pid

    def address(self, end):
        """Where end 'a' or 'b' is reached from the other one."""
        return ADDRESS[end]

    def namespace(self, end):
        """Name of the network namespace at end 'a' or 'b'."""
        return "%s-%s" % (self.name, end)

    def prefix(self, end):
        """Words to put in front of a command so that it runs at end 'a' or 'b'."""
        return [self.command, "exec", self.namespace(end), "--"]

    def run(self, end, *command, seconds=60.0):
        """Run a command at one end; returns the CompletedProcess with text output."""
        return subprocess.run(self.prefix(end) + list(command), capture_output=True, text=True, timeout=seconds)

    def ctl(self, *words):
        """Send a control request; returns its JSON answer."""
        done = subprocess.run([self.command, "ctl", self.name, *words], capture_output=True, text=True, timeout=10)
        if done.returncode:
            raise HarnessError("apn-path ctl %s: %s" % (" ".join(words), done.stderr.strip()))
        return json.loads(done.stdout)

    def stats(self, reset=False):
        """Counters of both directions; @reset: counting begins anew."""
        return self.ctl("reset" if reset else "stats")

    def cut(self, *way):
        """Nothing gets through; @way: 'ab' or 'ba', else both."""
        self.ctl("cut", *way)

    def restore(self, *way):
        """Undo cut()."""
        self.ctl("restore", *way)

    def set_loss(self, probability, *way):
        """Change the probability that a frame is lost."""
        self.ctl("set-loss", "%.9f" % probability, *way)

    def probe(self, count=200):
        """Measured one-way delays, in us."""
        done = subprocess.run([self.command, "probe", self.name, str(count)], capture_output=True, text=True,
                              timeout=30 + count * 0.02)
        if done.returncode:
            raise HarnessError("apn-path probe: %s" % done.stderr.strip())
        return json.loads(done.stdout)

    def close(self):
        """Take it down; its namespaces go too."""
        process.stop(self._child)
        self._child.stdout.close()
        subprocess.run([self.command, "down", self.name], capture_output=True, timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
