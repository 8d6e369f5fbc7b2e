# SPDX-License-Identifier: GPL-2.0-or-later
"""agent.py - the agent as a process, and its control socket

Owner: day.Day.  Thread: main (ask() any).  Time: monotonic for limits.  Units: seconds.
"""
import http.client
import json
import os
import signal
import socket
import subprocess

from harness import process
from harness.process import HarnessError

READY_S_MAX = 60.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, seconds):
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path, method, where, body=None, seconds=5.0):
    """One request over the control socket @path; returns the JSON answer. Raises HarnessError with the agent's words."""
    connection = _UnixConnection(path, seconds)
    try:
        connection.request(method, where, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise HarnessError("agent: %s %s: %s" % (method, where, error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise HarnessError("agent: %s %s: %d %s" % (method, where, answer.status, text.decode("utf-8", "replace")[:300]))
    return json.loads(text)


class Agent:
    """A running `vmm-agent run`. @words: more of its command line."""

    def __init__(self, program, world, log_path, words=()):
        self.world = world
        self.log_path = log_path
        self._child = process.start([program, "run", "--config", world.config, *words], log_path)
        try:
            process.wait_until(self._up, READY_S_MAX, "vmm-agent's control socket")
        except HarnessError as error:
            self.stop()
            raise HarnessError("%s\n%s" % (error, process.tail(log_path, 12))) from error

    def _up(self):
        if self._child.poll() is not None:
            raise HarnessError("vmm-agent ended with status %d" % self._child.returncode)
        try:
            return ask(self.world.socket, "GET", "/v1/state")
        except HarnessError:
            return None

    @property
    def pid(self):
        return self._child.pid

    def state(self):
        """The snapshot, docs/agent-state.md."""
        return ask(self.world.socket, "GET", "/v1/state")

    def command(self, verb, **arguments):
        return ask(self.world.socket, "POST", "/v1/command/" + verb, arguments)

    def kill(self):
        """As a crash does."""
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()

    def stop(self):
        return process.stop(self._child, 10)


def words_of(pid):
    """The command line of a process; [] when it is gone."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def start_of(pid):
    """(guest, epoch) of a QEMU that the agent started, from the name of its QMP socket."""
    for word in words_of(pid):
        if word.startswith(b"unix:") and b".qmp" in word:
            name = os.path.basename(word[5:].decode().split(",")[0]).rsplit(".", 2)
            return (name[0], name[1])
    return None


def left_behind(directory):
    """Process ids of the QEMUs that the agent started for us: their command lines name our directory."""
    found = []
    for entry in os.listdir("/proc"):
        words = words_of(int(entry)) if entry.isdigit() else []
        if any(word.startswith(b"unix:" + directory.encode() + b"/") for word in words) and b"-qmp" in words:
            found.append(int(entry))
    return found


def run(program, words, seconds=300.0):
    """One short command of vmm-agent; returns its standard output. Raises HarnessError."""
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise HarnessError("vmm-agent %s: status %d: %s" % (" ".join(words), done.returncode, done.stderr.strip()[-500:]))
    return done.stdout
