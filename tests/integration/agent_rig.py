# SPDX-License-Identifier: GPL-2.0-or-later
"""agent_rig.py - vmm-agent between two sites joined by the emulated path, and an independent look at its guests

Owner: one case.  Thread: main.  Time: monotonic.  Units: seconds, MiB, ms.

The agent starts, moves and ends the guests; the rig only watches, through monitors of its own (`spy`), and kills things.
"""
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

from fixture import HOT_MIB, MIB, USED_MIB, Failed, Skipped, check
from harness import process
from harness.console import Console
from harness.path import ADDRESS
from harness.process import HarnessError, wait_until
from harness.qmp import Qmp, QmpError

SITES = {"fukuoka": "a", "tokyo": "b"}
AREAS = {"fukuoka": "kyushu", "tokyo": "tokyo"}


def find_agent():
    """The program: VMM_AGENT, else beside apn-path in the build, else installed."""
    places = [os.environ.get("VMM_AGENT", ""),
              os.path.join(os.path.dirname(os.environ.get("APN_PATH", "")), "..", "..", "vmm-agent", "cli", "vmm-agent")]
    for place in places:
        if place and os.path.isfile(place):
            return os.path.abspath(place)
    found = shutil.which("vmm-agent")
    if not found:
        raise Skipped("no vmm-agent: set VMM_AGENT to the program")
    return found


class Rig:
    """`with Rig(lab, vms=2) as rig:`; the path is the lab's."""

    def __init__(self, lab, vms=1, rate_gbps=0.5, rtt_ms=6.0, group=None, binaries=None, options=(), rate=16):
        self.lab = lab
        self.path = lab.path(rtt_ms=rtt_ms, rate_gbps=rate_gbps)
        self.program = find_agent()
        self.directory = tempfile.mkdtemp(prefix="apn-ag-", dir="/tmp")
        self.names = ["web%d" % (n + 1) for n in range(vms)]
        self.options = list(options)
        self.agent = None
        self.guest_rate = rate
        self.spies = {}
        self._configure(group or {}, binaries or {})

    # ---- configuration --------------------------------------------------------------------

    def host_directory(self, site):
        return os.path.join(self.directory, SITES[site])

    def _start_words(self, binary):
        environment = self.lab.environment
        line = "console=ttyS0 quiet tsc=unstable apn.mib=%d apn.hot=%d apn.rate=%d apn.verify=8" % (USED_MIB, HOT_MIB, self.guest_rate)
        return [binary, *environment.firmware, "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1",
                "-m", str(MIB), "-nodefaults", "-no-user-config", "-display", "none", "-kernel", environment.kernel,
                "-initrd", environment.initrd, "-append", line, "-name", "{vm},debug-threads=on",
                "-qmp", "unix:{qmp},server=on,wait=off", "-qmp", "unix:{dir}/{vm}.{epoch}.spy,server=on,wait=off",
                "-serial", "unix:{dir}/{vm}.{epoch}.tty,server=on,wait=off",
                "-chardev", "socket,id=beat,path={dir}/{vm}.{epoch}.beat,server=on,wait=off",
                "-device", "isa-debugcon,iobase=0xe9,chardev=beat", "{incoming}"]

    def _configure(self, group, binaries):
        hosts = []
        for site, end in SITES.items():
            os.makedirs(self.host_directory(site), exist_ok=True)
            stock = binaries.get(site, "apn") == "stock"
            os.symlink(self.lab.environment.qemu_stock if stock else self.lab.environment.qemu_apn,
                       os.path.join(self.host_directory(site), "qemu"))
            hosts.append({"name": site[0] + "1", "site": site, "address": ADDRESS[end], "directory": self.host_directory(site),
                          "cpu": 8, "ram_mib": 4096, "idle_w": 60, "busy_w": 200, "prefix": self.path.prefix(end)})
        start = self._start_words("{dir}/qemu")  # a link in each host's directory: hosts differ in their QEMU
        config = {
            "store": {"path": self.file("store.db")}, "api": {"listen": "none", "socket": self.file("ctl")},
            "act": {"backoff_s": 0.3, "backoff_max_s": 2, "attempts_max": 5},
            "sites": [{"name": site, "area": AREAS[site]} for site in SITES], "hosts": hosts,
            "links": [{"a": "fukuoka", "b": "tokyo", "rate_gbit_s": 0.5, "rtt_ms": 6, "concurrent": 2}],
            "groups": [{"name": "web", "ram_mib": MIB, "cpu": 1, "min_dwell_slots": 0, **group, "start": start + group.get("start", [])}],
            "vms": [{"name": name, "group": "web", "host": "f1", "boot": True}
                    for name in self.names]}
        with open(self.file("conf.yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)  # JSON is YAML

    def file(self, name):
        return os.path.join(self.directory, name)

    # ---- the agent ------------------------------------------------------------------------

    def start(self, ready=10.0):
        """Start the agent; returns the seconds until it had found out what is true."""
        begin = time.monotonic()
        self.agent = process.start([self.program, "run", "--config", self.file("conf.yaml"), "--no-plan", "--log-level", "info",
                                    "--log-form", "text", *self.options], self.file("agent.log"))
        wait_until(lambda: self._ready(), ready, "agent to be ready; its log ends: %s" % process.tail(self.file("agent.log")).strip())
        return time.monotonic() - begin

    def _ready(self):
        check(self.agent.poll() is None, "the agent ended: %s", process.tail(self.file("agent.log")))
        if not os.path.exists(self.file("ctl")):
            return False
        done = self.cli("status", "--json")
        return done.returncode in (0, 1) and json.loads(done.stdout)["agent"]["state"] == "ready"

    def kill(self):
        """SIGKILL to the agent."""
        self.agent.kill()
        self.agent.wait()

    def cli(self, *words, seconds=30):
        return subprocess.run([self.program, *words, "--config", self.file("conf.yaml")], capture_output=True, text=True, timeout=seconds)

    def state(self):
        done = self.cli("status", "--json")
        check(done.returncode in (0, 1), "status: %s", done.stderr)
        return json.loads(done.stdout)

    def vm(self, name):
        return next(vm for vm in self.state()["vms"] if vm["name"] == name)

    def open_moves(self):
        return [move for move in self.state()["migrations"] if move["ended_at"] is None]

    def settle(self, seconds=60):
        """Wait until nothing is open; returns the state."""
        wait_until(lambda: not self.open_moves(), seconds, "moves to end; open: %s" %
                   [(m["vm"], m["state"], m["stage"], m["error"]) for m in self.open_moves()], pause=0.1)
        return self.state()

    def migrate(self, name, site, wait=False):
        done = self.cli("migrate", name, site, *(["--wait"] if wait else []), seconds=120)
        check(done.returncode == 0, "migrate %s %s: %s%s", name, site, done.stdout, done.stderr)
        return done.stdout

    # ---- an independent look --------------------------------------------------------------

    def copies(self, name):
        """{(site, epoch): run state} of every QEMU of this machine that answers a monitor of ours."""
        found = {}
        for site in SITES:
            for path in glob.glob(os.path.join(self.host_directory(site), name + ".*.spy")):
                epoch = int(path.split(".")[-2])
                found[site, epoch] = self._ask(path)
        return {key: value for key, value in found.items() if value}

    def _ask(self, path):
        try:
            if path not in self.spies:
                self.spies[path] = Qmp(path, seconds=3.0, alive=lambda: False)
            return self.spies[path].execute("query-status", seconds=3.0)["status"]
        except (HarnessError, OSError):
            gone = self.spies.pop(path, None)
            if gone:
                gone.close()
            return None

    def running(self, name):
        """[(site, epoch)] of the copies that run."""
        return [key for key, status in self.copies(name).items() if status == "running"]

    def pids(self, name):
        """Process ids of this machine's QEMUs."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open("/proc/%s/environ" % entry, "rb") as file:
                        words = file.read().split(b"\0")
                except OSError:
                    continue
                if b"VMM_AGENT_VM=" + name.encode() in words and any(w.startswith(b"VMM_AGENT_DIRECTORY=" + self.directory.encode()) for w in words):
                    found.append(int(entry))
        return found

    def console(self, name):
        site, epoch = self.running(name)[0]
        return Console(os.path.join(self.host_directory(site), "%s.%d.tty" % (name, epoch)))

    def self_check(self, name):
        """The running guest looks at every page of its own; returns its answer."""
        console = self.console(name)
        try:
            answer = console.check(60)
            check(answer["errors"] == 0, "%s found %s damaged pages", name, answer["errors"])
            return answer
        finally:
            console.close()

    def booted(self, seconds=180):
        """Wait until every guest has filled its memory."""
        for name in self.names:
            wait_until(lambda n=name: self.running(n), seconds, "%s to run" % name, pause=0.2)
            console = self.console(name)
            try:
                console.wait("APN-STAT", seconds)  # a word said before that would reach half a driver
            finally:
                console.close()

    def one_runs(self, name, seconds=20):
        """Exactly one copy runs, and the agent says the same within 5 s (it asks, it is not told); returns its site."""
        def only():
            running = self.running(name)
            return running[0] if len(running) == 1 else None
        site, epoch = wait_until(only, seconds, "one copy of %s to run; there are %s" % (name, self.copies(name)), pause=0.1)
        end = time.monotonic() + 5.0
        said = self.vm(name)
        while (said["site"], said["epoch"]) != (site, epoch) and time.monotonic() < end:
            time.sleep(0.1)
            said = self.vm(name)
        check((said["site"], said["epoch"]) == (site, epoch), "%s runs at %s epoch %d, the agent says %s epoch %s (%s)", name, site,
              epoch, said["site"], said["epoch"], said["reason"])
        return site

    def runs_away_from(self, name, site):
        """Some copy runs, and not at @site."""
        running = self.running(name)
        return bool(running) and running[0][0] != site

    def never_two(self, name):
        copies = self.copies(name)
        check(sum(status == "running" for status in copies.values()) <= 1, "%s runs twice: %s", name, copies)

    # ---- the end --------------------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if self.agent and self.agent.poll() is None:
            self.agent.terminate()
            try:
                self.agent.wait(10)
            except subprocess.TimeoutExpired:
                self.agent.kill()
        for spy in self.spies.values():
            spy.close()
        for name in self.names:
            for pid in self.pids(name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.path.restore()
        if kind and os.environ.get("APN_KEEP"):
            print("kept: " + self.directory)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        return False


def other(site):
    return "tokyo" if site == "fukuoka" else "fukuoka"


def seeded(text):
    """A generator whose seed is told when something fails."""
    seed = int(os.environ.get("APN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
    print("# %s: APN_SEED=%d" % (text, seed), flush=True)
    return random.Random(seed)


__all__ = ["Rig", "other", "seeded", "Failed", "check", "wait_until", "QmpError", "signal", "time"]
