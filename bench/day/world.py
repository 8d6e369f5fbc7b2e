# SPDX-License-Identifier: GPL-2.0-or-later
"""world.py - two sites joined by the 600 km path, a third on paper, a few guests: the agent's configuration

Owner: day.Day.  Thread: main.  Time: none.  Units: MiB, W, kW, Gb/s in the names.

A guest of the demo stands for a rack: the declared power model says 2 kW for an idle host and 22 kW for a busy one, so that
a slot's decision is about yen and not about their hundredths. What is measured is real: processor time of the QEMUs.
"""
import os

from harness.path import ADDRESS

SITES = (  # name, title, area, path end (None: on paper), renewable peak kW, PUE
    ("fukuoka", "福岡 Fukuoka", "kyushu", "a", 40.0, 1.35),
    ("osaka", "大阪 Osaka", "kansai", "b", 6.0, 1.1),
    ("sapporo", "札幌 Sapporo", "hokkaido", None, 10.0, 1.05),
)
AREA_NUMBERS = ("09", "06", "01")
HOST_OF = {"fukuoka": "f1", "osaka": "o1"}
GUESTS = (  # name, group, host, MiB used, hot MiB, MiB/s rewritten
    ("web1", "web", "o1", 96, 16, 4),
    ("web2", "web", "o1", 96, 16, 0),
    ("db1", "db", "o1", 1024, 64, 8),
)
RAM_MIB = {"web": 256, "db": 1280}
RATE_GBIT_S, RTT_MS = 2.5, 6.0
IDLE_W, BUSY_W, HOST_CPUS = 2000.0, 22000.0, 2.0


def quoted(word):
    """A YAML scalar, whatever is in it."""
    return "'" + word.replace("'", "''") + "'"


def flow(words):
    return "[" + ", ".join(quoted(word) for word in words) + "]"


def start_words(environment):
    """The command line of a guest; the agent fills what stands in braces."""
    line = "console=ttyS0 quiet tsc=unstable apn.mib={used} apn.hot={hot} apn.rate={rate} apn.verify=8"
    return [environment.qemu_apn, *environment.firmware, "-name", "{vm},debug-threads=on", "-machine", "pc",
            "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "{ram_mib}", "-nodefaults", "-no-user-config",
            "-display", "none", "-kernel", environment.kernel, "-initrd", environment.initrd, "-append", line,
            "-msg", "timestamp=on", "-D", "{dir}/{vm}.{epoch}.trace", "-trace", "vmstate_downtime_checkpoint",
            "-qmp", "unix:{qmp},server=on,wait=off", "-serial", "unix:{dir}/{vm}.{epoch}.tty,server=on,wait=off",
            "-chardev", "socket,id=beat,path={dir}/{vm}.{epoch}.beat,server=on,wait=off",
            "-device", "isa-debugcon,iobase=0xe9,chardev=beat", "{incoming}"]


class World:
    """Directories and the configuration file. @port: of the agent's HTTP on loopback."""

    def __init__(self, environment, path, directory, port):
        self.environment = environment
        self.path = path
        self.directory = directory
        self.port = port
        self.inbox = self._make("inbox")
        self.hosts = {host: self._make(host) for host in HOST_OF.values()}
        self.socket = os.path.join(directory, "control.sock")
        self.store = os.path.join(directory, "store.db")
        self.config = os.path.join(directory, "agent.yaml")
        self.token = os.urandom(24).hex()
        self.token_file = os.path.join(directory, "token")
        self.secret_file = os.path.join(directory, "secret")
        self._write(self.token_file, self.token + "\n")
        self._write(self.secret_file, os.urandom(24).hex())
        self._write(self.config, "\n".join(self._lines()) + "\n")

    def _make(self, name):
        place = os.path.join(self.directory, name)
        os.mkdir(place, 0o700)
        return place

    @staticmethod
    def _write(path, text):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)

    def _lines(self):
        out = ["store: {path: %s}" % quoted(self.store), "sources:",
               "  - {name: operators, directory: %s, stale_s: 10800}" % quoted(self.inbox),
               "api: {listen: '127.0.0.1:%d', socket: %s, token_file: %s}" % (self.port, quoted(self.socket),
                                                                           quoted(self.token_file)),
               "act: {hysteresis_yen: 1, backoff_s: 1, queue_age_s: 10}",
               "dr: {sites: {fukuoka: {reserve_kw: 3}, osaka: {reserve_kw: 3}}}", "sites:"]
        for name, title, area, end, renewable, pue in SITES:
            out.append("  - {name: %s, title: %s, area: %s, pue: %g, power_kw: 60, renewable_kw: %g%s}" % (
                name, quoted(title), area, pue, renewable, "" if end else ", paper: true"))
        out.append("hosts:")
        for name, _, _, end, _, _ in SITES:
            if end:
                out.append("  - {name: %s, site: %s, address: %s, directory: %s, cpu: %g, ram_mib: 8192, idle_w: %g, busy_w: %g, "
                           "secret: %s, prefix: %s}" % (HOST_OF[name], name, ADDRESS[end], quoted(self.hosts[HOST_OF[name]]),
                                                        HOST_CPUS, IDLE_W, BUSY_W, quoted(self.secret_file),
                                                        flow(self.path.prefix(end))))
        out += ["links:", "  - {a: fukuoka, b: osaka, rate_gbit_s: %g, rtt_ms: %g, share: 0.9, concurrent: 2}" % (RATE_GBIT_S, RTT_MS),
                "groups:"]
        for group, ram in RAM_MIB.items():
            out.append("  - {name: %s, ram_mib: %d, cpu: 0.5, power_w: 4000, min_dwell_slots: 2, yen_per_move: 0.5, "
                       "downtime_ms: 50, flex: [pause, migrate], start: %s}" % (group, ram, flow(start_words(self.environment))))
        out.append("vms:")
        for name, group, host, used, hot, rate in GUESTS:
            out.append("  - {name: %s, group: %s, host: %s, boot: true, set: {used: '%d', hot: '%d', rate: '%d'}}" % (
                name, group, host, used, hot, rate))
        return out
