# SPDX-License-Identifier: GPL-2.0-or-later
"""hosts.py - a bench between two real machines: a worker on each, their clocks, and the path that is really there

Owner: suite.  Thread: main.
Time: everything is turned into this machine's clocks; the error of that is measured and stands in the record.
Units: seconds, unless a name says otherwise.

A host is an ssh destination that can be reached without a password and has the tree and its build (./run build) at the same place as
here; or `command:WORDS`, words that run a command there (a network namespace, another way in). A worker is a process at the end of that
connection; when the connection ends, it stops everything it started.
"""
import json
import os
import select
import shlex
import subprocess
import sys
import time

from harness import console, qmp, rig
from harness.process import HarnessError

from . import cells

HERE = os.path.dirname(os.path.realpath(__file__))
VARIABLES = ("QEMU_STOCK", "QEMU_APN", "GUEST_KERNEL", "GUEST_INITRD", "GUEST_INITRD_KV", "QEMU_FIRMWARE", "APN_PATH")
CONNECT_S = 30
ANSWER_S = 60
CLOCK_ASKED = 40
REFRESH_S = 0.01
PINGS = 20
RTT_WRONG = 0.1
PATH_SHARE_MIN = 0.5


def way_in(host):
    """The words that run a command there."""
    if host.startswith("command:"):
        words = shlex.split(host[len("command:"):])
        if not words:
            raise HarnessError("host '%s': no words" % host)
        return words, False
    if not host or host.startswith("-") or not all(c.isalnum() or c in "@.-_:[]" for c in host):
        raise HarnessError("host '%s' is not an ssh destination" % host)
    return ["ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", host], True


class Host:
    """A worker at the end of a connection. .offset, .monotonic_offset: its clocks less ours; .clock_error: at most so wrong."""

    def __init__(self, name):
        self.name = name
        self._number = 0
        words, over_ssh = way_in(name)
        command = ["env", *["%s=%s" % (key, os.environ[key]) for key in VARIABLES if os.environ.get(key)],
                   "PYTHONDONTWRITEBYTECODE=1", "python3" if over_ssh else sys.executable, os.path.join(HERE, "worker")]
        command = [*words, " ".join(shlex.quote(word) for word in command)] if over_ssh else [*words, *command]
        try:
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                           start_new_session=True)
        except OSError as error:
            raise HarnessError("%s: %s: %s" % (name, words[0], error.strerror)) from error
        try:
            first = self._line(CONNECT_S)
            if "ready" not in first:
                raise HarnessError("%s: %s" % (name, first.get("error", first)))
            self.read_clocks()
        except BaseException:
            self.close()
            raise

    def _line(self, seconds):
        if not select.select([self._child.stdout], [], [], seconds)[0]:
            raise HarnessError("%s: no answer within %g s" % (self.name, seconds))
        line = self._child.stdout.readline()
        if not line:
            raise HarnessError("%s: the worker has ended (exit %s)" % (self.name, self._child.wait()))
        try:
            return json.loads(line)
        except ValueError as error:
            raise HarnessError("%s: not a worker: %r" % (self.name, line[:120])) from error

    def ask(self, what, limit=ANSWER_S, /, **arguments):
        """One question; returns the result. @limit: seconds."""
        self._number += 1
        try:
            self._child.stdin.write(json.dumps({"id": self._number, "do": what, "with": arguments}) + "\n")
        except OSError as error:
            raise HarnessError("%s: the connection is gone: %s" % (self.name, error.strerror)) from error
        found = self._line(limit)
        if found.get("id") != self._number:
            raise HarnessError("%s: answer %s to question %d" % (self.name, found.get("id"), self._number))
        if "description" in found:
            raise qmp.QmpError(what, {"class": "GenericError", "desc": found["description"]})
        if "error" in found:
            raise HarnessError("%s: %s" % (self.name, found["error"]))
        return found["result"]

    def read_clocks(self):
        """The quickest of many questions decides: its answer was given within half of what it took, either way."""
        best = None
        for _ in range(CLOCK_ASKED):
            wall, begin = time.time(), time.monotonic()
            there = self.ask("clock")
            took = time.monotonic() - begin
            if best is None or took < best[0]:
                best = took, there["wall"] - (wall + took / 2), there["monotonic"] - (begin + took / 2)
        self.clock_error, self.offset, self.monotonic_offset = best[0] / 2, best[1], best[2]

    def close(self):
        try:
            self._child.stdin.close()
        except OSError:
            pass
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()


class FarQmp(qmp.Qmp):
    """As Qmp, through the worker. Events carry our clock."""

    def __init__(self, host, name):
        self.host, self.name, self.path = host, name, "%s on %s" % (name, host.name)
        self.events = []

    def close(self):
        pass

    def execute(self, command, seconds=30.0, **arguments):
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.host.ask("execute", seconds + 10, name=self.name, command=command, seconds=seconds, arguments=named)

    def pump(self, seconds=0.0):
        new = self.host.ask("events", seconds + 10, name=self.name, seconds=seconds)
        for event in new:
            at = qmp.event_seconds(event) - self.host.offset
            event["timestamp"] = {"seconds": int(at), "microseconds": int(at % 1 * 1e6)}
        self.events += new
        return bool(new)


class FarConsole(console.Console):
    """As Console; lines are fetched when somebody looks, at most every REFRESH_S."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self._lines, self._looked = [], 0.0

    @property
    def lines(self):
        now = time.monotonic()
        if now - self._looked >= REFRESH_S:
            self._lines += [(at - self.host.monotonic_offset, text) for at, text in
                            self.host.ask("lines", name=self.name, start=len(self._lines))]
            self._looked = now
        return self._lines

    def say(self, command):
        self.host.ask("say", name=self.name, command=command)
        self._looked = 0.0

    def close(self):
        pass


class FarBeats:
    """As Heartbeat."""

    def __init__(self, host, name):
        self.host, self.name = host, name

    @property
    def beats(self):
        return [(at - self.host.monotonic_offset, count, last) for at, count, last in
                self.host.ask("beats", name=self.name, start=0)]


class FarVm:
    """As much of a Vm as a measurement uses, on another host."""

    def __init__(self, host, name, guest, setup):
        self.host, self.name = host, name
        started = host.ask("start", 60, name=name, guest=guest, ours=setup.ours,
                           extra=[*(rig.APN_TRACE if setup.ours else []), *setup.words(name)])
        self.pid, self.command = started["pid"], started["command"]
        self.qmp, self.console, self.heartbeat = FarQmp(host, name), FarConsole(host, name), FarBeats(host, name)

    def _call(self, what, limit=ANSWER_S):
        return self.host.ask("call", limit, name=self.name, what=what)

    def status(self):
        return self._call("status")

    def cpu_seconds(self):
        return self._call("cpu_seconds")

    def reset_peak_memory(self):
        return self._call("reset_peak_memory")

    def peak_memory_mib(self):
        return self._call("peak_memory_mib")

    def nonzero_bytes(self):
        return self._call("nonzero_bytes", 300)

    def trace(self):
        return [(at - self.host.offset, name, rest) for at, name, rest in self._call("trace")]

    def stop(self):
        self.host.ask("stop", name=self.name)


def device_bytes(text, device):
    """[sent, received] of a device, from the text of /proc/net/dev."""
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and name.strip() == device:
            words = rest.split()
            return [int(words[8]), int(words[0])]
    raise HarnessError("/proc/net/dev has no device %s" % device)


class RealPath:
    """The path between two hosts, in the place of an emulated one. Bytes are those of A's device towards B."""

    emulated = False
    pid = None

    def __init__(self, ends, address):
        self.ends = dict(zip("ab", ends))
        self._address = address
        route = self.ends["a"].ask("tool", words=["ip", "-json", "route", "get", address])
        if route["status"]:
            raise HarnessError("%s: no way to %s: %s" % (self.ends["a"].name, address, route["err"].strip()))
        self.device = json.loads(route["out"])[0]["dev"]
        self._before = self._bytes()

    def address(self, end):
        if end != "b":
            raise HarnessError("only B's address is known")
        return self._address

    def namespace(self, end):
        return self.ends[end].name

    def _bytes(self):
        return device_bytes(self.ends["a"].ask("read", path="/proc/net/dev"), self.device)

    def stats(self, reset=False):
        """As Path.stats(), without what nobody knows of a real path."""
        now = self._bytes()
        passed = [after - before for after, before in zip(now, self._before)]
        if reset:
            self._before = now
        return {way: {"bytes_passed": count, "queue_bytes_peak": None, "dropped": None, "late_us": None}
                for way, count in zip(("ab", "ba"), passed)}

    def run(self, end, *command, seconds=60.0):
        """`cat` of a counter, for network.Counters."""
        if command[0] != "cat":
            raise HarnessError("%s is not run on real hosts" % command[0])
        return subprocess.CompletedProcess(command, 0, self.ends[end].ask("read", seconds, path=command[1]), "")

    def test(self, wanted):
        """What the path is, and what of it is not what the matrix says."""
        pinged = self.ends["a"].ask("tool", words=["ping", "-n", "-q", "-c", str(PINGS), "-i", "0.05", self._address])
        times = [word for line in pinged["out"].splitlines() if line.startswith("rtt") for word in line.split("=")[1].split("/")]
        rtt = float(times[1]) if len(times) > 2 else None
        found, wrong = {"rtt_ms": rtt, "device": self.device}, []
        if rtt is None or abs(rtt - wanted["rtt_ms"]) > max(0.5, RTT_WRONG * wanted["rtt_ms"]):
            wrong.append("ping takes %s ms, the matrix says %g" % (rtt, wanted["rtt_ms"]))
        for streams in (1, 4):
            found["iperf%d_gbps" % streams], why = self._iperf(streams)
            if why:
                found["iperf%d_why" % streams] = why
        best = max(found["iperf%d_gbps" % streams] or 0 for streams in (1, 4))
        if not PATH_SHARE_MIN * wanted["rate_gbps"] <= best <= 1.05 * wanted["rate_gbps"]:
            wrong.append("plain TCP carries %.2f Gb/s, the matrix says %g" % (best, wanted["rate_gbps"]))
        return {**found, "wrong": wrong}

    def _iperf(self, streams):
        self.ends["b"].ask("serve")
        time.sleep(0.5)
        done = self.ends["a"].ask("tool", words=["iperf3", "-c", self._address, "-t", "2", "-O", "1", "-P", str(streams), "-J"])
        try:
            answer = json.loads(done["out"])
            return (None, answer["error"]) if "error" in answer else (
                round(answer["end"]["sum_received"]["bits_per_second"] / 1e9, 3), None)
        except (ValueError, KeyError) as error:
            return None, "iperf3: %s" % error


class HostsRig(rig.Rig):
    """A rig whose ends are two hosts. One guest at a time has a snapshot, on A."""

    def __init__(self, environment, directory, out, names, address):
        super().__init__(environment, directory, "apn-bench-", out)
        self.ends = []
        try:
            for name in names:
                self.ends.append(Host(name))
            self.path = RealPath(self.ends, address)
        except BaseException:
            self.close()
            raise
        self._guest = None

    def clock_error_s(self):
        """At most so wrong is a time of A against one of B."""
        for end in self.ends:
            end.read_clocks()
        return sum(end.clock_error for end in self.ends)

    def boot_cell(self, key, guest, seconds):
        self.ends[0].ask("boot", seconds + 120, guest=guest, seconds=seconds)
        self.snapshots.clear()
        self.snapshots[key] = rig.Snapshot(cells.GuestSize(guest), None)
        self._guest = guest
        return self.snapshots[key]

    def start_pair(self, snapshot, setup, prepare=None, held=False):
        source = FarVm(self.ends[0], "source", self._guest, setup)
        self.ends[0].ask("load", 180, name="source")
        if prepare:
            prepare(source)
        return source, FarVm(self.ends[1], "dest", self._guest, setup)

    def keep_logs(self, words):
        place = os.path.join(self.out, "logs", words)
        os.makedirs(place, exist_ok=True)
        for end, name in zip(self.ends, ("source", "dest")):
            with open(os.path.join(place, name + ".log"), "w", encoding="utf-8") as file:
                file.write(end.ask("log", name=name))
        return place

    def close_path(self):
        self.path = None

    def close(self):
        for end in self.ends:
            end.close()
        self.ends = []


class FarForeign:
    """As cells.Foreign, the worse of both hosts."""

    def __init__(self, ends):
        self.ends = ends
        self.before = [end.ask("used") for end in ends]

    def shares(self):
        worst = {"foreign_share": 0.0, "stolen_share": 0.0}
        for end, before in zip(self.ends, self.before):
            now = end.ask("used")
            spent = {key: now[key] - before[key] for key in ("busy", "stolen", "ours", "monotonic")}
            total = max(1e-3, spent["monotonic"] * now["cpus"])
            for key, value in (("foreign_share", spent["busy"] - spent["ours"]), ("stolen_share", spent["stolen"])):
                worst[key] = max(worst[key], round(max(0.0, value) / total, 3))
        return worst


def check(names, address, say):
    """`bench hosts A B`: what a report must state of two machines. Returns it; raises when they do not fit each other."""
    ends = []
    try:
        for name in names:
            ends.append(Host(name))
        about = [end.ask("hello") for end in ends]
        for key in ("commit", "qemu_stock", "qemu_apn"):
            if about[0][key] != about[1][key]:
                raise HarnessError("%s differs: %s has %s, %s has %s" % (key, names[0], about[0][key], names[1], about[1][key]))
        for end, machine in zip(ends, about):
            say("%s: %s, %s × %s, Linux %s, governor: %s, NUMA %s" % (
                end.name, machine["host"], machine["cpus"], machine["cpu"], machine["kernel"], machine["governor"], machine["numa"]))
            say("  interrupts of network devices: %s" % (machine["interrupts"] or "none to be seen"))
            say("  clock: %+.3f ms against ours, wrong by at most %.3f ms" % (end.offset * 1e3, end.clock_error * 1e3))
        found = {"machines": about, "clock_error_us": round(sum(end.clock_error for end in ends) * 1e6, 1)}
        if address:
            found["path"] = RealPath(ends, address).test({"rtt_ms": 0, "rate_gbps": 1e6})
            say("path over %s: ping %s ms, plain TCP %s (1) and %s (4 connections) Gb/s" % (
                found["path"]["device"], found["path"]["rtt_ms"], found["path"]["iperf1_gbps"], found["path"]["iperf4_gbps"]))
        return found
    finally:
        for end in ends:
            end.close()
