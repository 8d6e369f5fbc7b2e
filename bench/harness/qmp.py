# SPDX-License-Identifier: GPL-2.0-or-later
"""qmp.py - a client of QEMU's machine protocol over a unix socket

Owner: one Vm, or a test.  Thread: the one that made it; no locks.
Time: monotonic for limits; events carry QEMU's own wall clock.  Units: seconds.
"""
import json
import select
import socket
import time

from .process import HarnessError

LINE_BYTES_MAX = 64 << 20
EVENTS_MAX = 10000


class QmpError(HarnessError):
    """QEMU refused a command. .kind is its error class, .description its words."""

    def __init__(self, command, error):
        self.kind = error.get("class", "")
        self.description = error.get("desc", "")
        super().__init__("%s: %s" % (command, self.description))


class QmpClosed(HarnessError):
    """The connection ended: QEMU has gone."""


class Qmp:
    """One connection. Events that arrive meanwhile are kept in .events, oldest first."""

    def __init__(self, path, seconds=10.0, alive=lambda: True):
        """Connect to @path, trying for @seconds while @alive() holds."""
        self.path = path
        self.events = []
        self._buffer = b""
        self._socket = self._connect(seconds, alive)
        self._read_message(time.monotonic() + seconds)  # the greeting
        self.execute("qmp_capabilities", seconds=seconds)

    def _connect(self, seconds, alive):
        deadline = time.monotonic() + seconds
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(self.path)
                return connection
            except OSError as error:
                connection.close()
                if not alive():
                    raise QmpClosed("QEMU ended before its monitor %s could be used" % self.path) from error
                if time.monotonic() >= deadline:
                    raise HarnessError("monitor %s: %s after %g s" % (self.path, error.strerror, seconds)) from error
                time.sleep(0.01)

    def close(self):
        self._socket.close()

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if not select.select([self._socket], [], [], max(0.0, left))[0]:
            return False
        try:
            piece = self._socket.recv(1 << 16)
        except OSError as error:
            raise QmpClosed("monitor %s: %s" % (self.path, error.strerror)) from error
        if not piece:
            raise QmpClosed("monitor %s: QEMU closed it" % self.path)
        self._buffer += piece
        if len(self._buffer) > LINE_BYTES_MAX:
            raise HarnessError("monitor %s: a line longer than %d bytes" % (self.path, LINE_BYTES_MAX))
        return True

    def _read_message(self, deadline):
        """The next message, or None at @deadline."""
        while b"\n" not in self._buffer:
            if not self._fill(deadline):
                return None
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            raise HarnessError("monitor %s: not JSON: %r" % (self.path, line[:80])) from error

    def _keep(self, message):
        if "event" in message:
            self.events.append(message)
            del self.events[:-EVENTS_MAX]

    def execute(self, command, seconds=30.0, **arguments):
        """Run a command. Underscores in argument names become hyphens. Returns its result."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpClosed("monitor %s: %s" % (self.path, error.strerror)) from error
        deadline = time.monotonic() + seconds
        while True:
            message = self._read_message(deadline)
            if message is None:
                raise HarnessError("%s: no answer within %g s" % (command, seconds))
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise QmpError(command, message["error"])
            self._keep(message)

    def pump(self, seconds=0.0):
        """Take in events for up to @seconds (returns after the first that comes). Returns True if one came."""
        before = len(self.events)
        message = self._read_message(time.monotonic() + seconds)
        if message is not None:
            self._keep(message)
        return len(self.events) != before

    def find_event(self, name, match=lambda event: True):
        """The first kept event called @name for which @match holds, or None."""
        for event in self.events:
            if event["event"] == name and match(event):
                return event
        return None

    def wait_event(self, name, seconds, match=lambda event: True):
        """As find_event(), waiting for it."""
        deadline = time.monotonic() + seconds
        while True:
            event = self.find_event(name, match)
            if event:
                return event
            if time.monotonic() >= deadline:
                raise HarnessError("event %s: not within %g s" % (name, seconds))
            self.pump(min(0.5, max(0.0, deadline - time.monotonic())))


def event_seconds(event):
    """When QEMU sent it, wall clock."""
    stamp = event["timestamp"]
    return stamp["seconds"] + stamp["microseconds"] / 1e6
