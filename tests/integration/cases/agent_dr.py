# SPDX-License-Identifier: GPL-2.0-or-later
"""agent_dr.py - from a call for demand response, and from a step of the frequency, to the power of the source; real guests

Power is what the case measures by itself: the declared model of the hosts (2 kW idle, 22 kW busy) on the processor time of their
QEMUs from /proc, over a window of 0.4 s, every 50 ms. Seconds count from before the call is made to the end of the first window in
which nine tenths of what was planned are gone.
"""
import http.client
import json
import os
import socket
import statistics
import threading

import agent_rig
from agent_rig import Rig, check, time, wait_until
from registry import case

IDLE_KW, BUSY_KW, CPUS = 2.0, 22.0, 2.0
WINDOW_S, STEP_S = 0.4, 0.05
TICK = os.sysconf("SC_CLK_TCK")


class Meter(threading.Thread):
    """Power of one site, by processor time of the QEMUs whose directory is the site's."""

    def __init__(self, rig, site):
        super().__init__(daemon=True)
        self.rig, self.directory = rig, rig.host_directory(site).encode()
        self.samples, self.end, self.lock = [], threading.Event(), threading.Lock()
        self.start()

    def _pids(self):
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open("/proc/%s/environ" % entry, "rb") as file:
                    if b"VMM_AGENT_DIRECTORY=" + self.directory in file.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                continue
        return found

    @staticmethod
    def _cpu(pid):
        try:
            with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
                words = file.read().rpartition(")")[2].split()
            return (int(words[11]) + int(words[12])) / TICK
        except (OSError, IndexError):
            return None

    def run(self):
        pids, looked = [], 0.0
        while not self.end.wait(STEP_S):
            now = time.monotonic()
            if now - looked > 0.5:
                pids, looked = self._pids(), now
            spent = {pid: cpu for pid in pids if (cpu := self._cpu(pid)) is not None}
            with self.lock:
                self.samples.append((time.monotonic(), spent))

    def power(self, begin, end):
        """kW between two instants."""
        with self.lock:
            before = [sample for sample in self.samples if sample[0] <= begin]
            within = [sample for sample in self.samples if begin < sample[0] <= end]
        if not before or not within:
            return None
        first, last = before[-1], within[-1]
        cores = sum(cpu - first[1].get(pid, cpu) for pid, cpu in last[1].items()) / (last[0] - first[0])
        return IDLE_KW + (BUSY_KW - IDLE_KW) * min(1.0, cores / CPUS)

    def now(self, window=2.0):
        end = time.monotonic()
        return self.power(end - window, end)

    def seconds_until(self, begin, good, limit=20.0):
        """Seconds from @begin until the power over one window is @good."""
        while time.monotonic() < begin + limit:
            with self.lock:
                last = self.samples[-1][0]
            if last - WINDOW_S >= begin:
                kw = self.power(last - WINDOW_S, last)
                if kw is not None and good(kw):
                    return last - begin
            time.sleep(STEP_S / 2)
        return None

    def close(self):
        self.end.set()
        self.join(2)


def ask(rig, verb, **arguments):
    """One command over the control socket, without the time a command line takes to start."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(10)
    connection.sock.connect(rig.file("ctl"))
    try:
        connection.request("POST", "/v1/command/" + verb, json.dumps(arguments), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    check(answer.status == 200, "%s: %s", verb, body)
    return body


class DrRig(Rig):
    """A rig whose hosts are rated as the meter says, with section `dr`. @flex: of the guests; @big: MiB of a guest of 1 GiB used."""

    def __init__(self, lab, vms=2, flex=("pause", "migrate"), big=0, dr=None, **how):
        super().__init__(lab, vms=vms, rate_gbps=2.5, group={"flex": list(flex)}, **how)
        with open(self.file("conf.yaml"), encoding="utf-8") as file:
            config = json.load(file)
        for host in config["hosts"]:
            host.update({"cpu": CPUS, "idle_w": IDLE_KW * 1000, "busy_w": BUSY_KW * 1000})
        config["groups"][0]["cpu"] = 0.5
        config["links"][0]["rate_gbit_s"] = 2.5
        config["dr"] = {"sites": {"fukuoka": {}, "tokyo": {}}, **(dr or {})}
        if big:
            config["groups"][0]["ram_mib"] = big
            config["groups"][0]["start"] = [
                str(big) if word == str(agent_rig.MIB) else word.replace("apn.mib=%d" % agent_rig.USED_MIB, "apn.mib=1024")
                for word in config["groups"][0]["start"]]
        with open(self.file("conf.yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)

    def configure(self, **members):
        """More of section `dr`."""
        with open(self.file("conf.yaml"), encoding="utf-8") as file:
            config = json.load(file)
        config["dr"].update(members)
        with open(self.file("conf.yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)

    def dr(self):
        return self.state()["dr"]

    def guest_kw(self, meter):
        """What the guests draw at the source now."""
        return max(0.0, meter.now(3.0) - IDLE_KW)


def figures(name, seconds):
    return "%s: %d of %d within 10 s, median %.2f s, longest %.2f s" % (
        name, sum(one <= 10.0 for one in seconds), len(seconds), statistics.median(seconds), max(seconds))


def calm(rig, meter, guests_kw):
    """Wait until the guests draw what they did before: what was asked for is over, and the way back is a power change too."""
    begin = time.monotonic()
    back = meter.seconds_until(begin, lambda kw: kw - IDLE_KW >= 0.7 * guests_kw, 30.0)
    check(back is not None, "the power did not come back: %s kW of %.2f", meter.now(), guests_kw)
    wait_until(lambda: all(guest["measure"] == "none" for guest in rig.dr()["guests"]), 20, "guests to be let go")
    time.sleep(2.5)  # the next reference is the mean of what is drawn now
    return back


def rounds(meter, rig, count, begin_call, end_call):
    """So many calls, each until the power has come back. Returns (seconds down, seconds up)."""
    seconds, back = [], []
    for _ in range(count):
        guests_kw = rig.guest_kw(meter)
        begin = time.monotonic()
        begin_call()
        took = meter.seconds_until(begin, lambda kw, g=guests_kw: kw - IDLE_KW <= 0.1 * g)
        check(took is not None, "no power change: %.2f kW of %.2f", meter.now(), guests_kw)
        seconds.append(took)
        wait_until(lambda: rig.dr()["answers"][-1]["changed_real_s"] is not None, 5, "the agent to see the change")
        end_call()
        back.append(calm(rig, meter, guests_kw))
    return seconds, back


def kill_once(rig):
    """SIGKILL during an event; returns the seconds until the next run knew what is true."""
    ask(rig, "dr-trigger", site="fukuoka", level=1.0, minutes=0.25)
    wait_until(lambda: all("paused" in rig.copies(name).values() for name in rig.names), 10, "guests to be paused")
    rig.kill()
    time.sleep(0.5)
    took = rig.start()
    check(all("paused" in rig.copies(name).values() for name in rig.names), "guests run although the event goes on")
    wait_until(lambda: any(one["open"] for one in rig.dr()["answers"]), 5, "the event to be taken up again")
    check(all(guest["measure"] == "paused" for guest in rig.dr()["guests"]), "guests: %s", rig.dr()["guests"])
    wait_until(lambda: all(rig.running(name) for name in rig.names), 40, "guests to run after the event's end")
    return took


@case("demand response: a call and a step of the frequency to a power change at the source; SIGKILL in between", seconds=900, alone=True)
def called(lab):
    event = {}
    with DrRig(lab, vms=2, rate=32, flex=("pause",)) as rig:
        path = rig.file("hz")
        rig.configure(frequency={"meter": "unix:" + path, "nominal_hz": 50, "full_hz": 0.2, "down_kw": 40, "hold_s": 1,
                                 "sites": ["fukuoka"]})
        rig.start()
        rig.booted()
        grid, meter = Grid(path), Meter(rig, "fukuoka")
        try:
            time.sleep(4)
            calls, back = rounds(meter, rig, lab.count(2, 10),
                                 lambda: event.update(ask(rig, "dr-trigger", site="fukuoka", level=1.0, minutes=5)),
                                 lambda: ask(rig, "dr-cancel", event=event["event"]))
            steps, _ = rounds(meter, rig, lab.count(2, 10), lambda: setattr(grid, "hz", 49.75), lambda: setattr(grid, "hz", 50.002))
            known = max(kill_once(rig) for _ in range(lab.count(1, 10)))
            for name in rig.names:
                rig.self_check(name)
        finally:
            grid.close()
            meter.close()
    check(max(calls + steps) <= 10.0, "longest %.2f s", max(calls + steps))
    return "%s; back up after median %.2f s; %s; after SIGKILL known again within %.1f s" % (
        figures("call", calls), statistics.median(back), figures("frequency", steps), known)


@case("demand response: a held copy takes over within seconds", seconds=400, alone=True)
def held(lab):
    seconds = []
    with DrRig(lab, vms=1, rate=32, dr={"sites": {"fukuoka": {"reserve_kw": 0.5}, "tokyo": {"reserve_kw": 0.5}}}) as rig:
        rig.start()
        rig.booted()
        for turn in range(lab.count(1, 10)):
            here = rig.one_runs("web1")
            wait_until(lambda: any(guest["armed"] for guest in rig.dr()["guests"]), 60, "a copy to be held", pause=0.3)
            meter = Meter(rig, here)
            try:
                time.sleep(4)
                guests_kw = rig.guest_kw(meter)
                begin = time.monotonic()
                answer = ask(rig, "dr-trigger", site=here, level=1.0, minutes=0.5)
                check(answer["answers"][0]["measures"] == {"release": 1}, "measures: %s", answer["answers"][0])
                took = meter.seconds_until(begin, lambda kw, g=guests_kw: kw - IDLE_KW <= 0.1 * g)
                check(took is not None, "no power change: %.2f kW", meter.now())
                seconds.append(took)
                wait_until(lambda h=here: rig.runs_away_from("web1", h), 20, "the guest to run elsewhere")
                ask(rig, "dr-cancel", event=answer["event"])
                rig.settle()
            finally:
                meter.close()
        rig.self_check("web1")
    check(max(seconds) <= 10.0, "longest %.2f s", max(seconds))
    return figures("release", seconds)


class Grid(threading.Thread):
    """A meter of the frequency that tells it ten times a second."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.hz, self.end = path, 50.0, threading.Event()
        self.start()

    def run(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            while not self.end.wait(0.1):
                try:
                    sender.sendto(b"%.3f" % self.hz, self.path)
                except OSError:
                    continue

    def close(self):
        self.end.set()
        self.join(2)


@case("demand response: a guest of 1 GiB runs elsewhere within a minute of a five-minute call", seconds=400)
def five_minutes(lab):
    with DrRig(lab, vms=1, rate=16, big=1280) as rig:
        rig.start()
        rig.booted()
        time.sleep(3)
        seconds = []
        for _ in range(lab.count(1, 3)):
            here = rig.one_runs("web1")
            begin = time.monotonic()
            answer = ask(rig, "dr-trigger", site=here, level=1.0, minutes=30, within_s=300)
            wait_until(lambda h=here: rig.runs_away_from("web1", h), 60, "the guest to run elsewhere")
            seconds.append(time.monotonic() - begin)
            ask(rig, "dr-cancel", event=answer["event"])
            rig.settle()
            time.sleep(1)
        rig.self_check("web1")
    return "1 GiB moved %s s after the call" % ", ".join("%.1f" % one for one in seconds)
