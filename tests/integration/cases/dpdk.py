# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk.py - QEMU over backend dpdk: two apn-dpdk on a veth, guests that share their memory with them"""
import contextlib
import os
import subprocess
import time

from fixture import Skipped, check, wait_until
from harness import migrate
from registry import case

ENDS = {"a": "10.88.0.1", "b": "10.88.0.2"}
MEMFD = ("-object", "memory-backend-memfd,id=m,size=192M,share=on", "-machine", "pc,memory-backend=m")


class Wire(contextlib.ExitStack):
    """A veth between two namespaces, and an apn-dpdk at each end."""

    def __init__(self, lab):
        super().__init__()
        self.directory, self.name = lab.directory, lab.name("dpdk%d" % os.getpid())
        self.program = os.path.join(os.path.dirname(lab.environment.apn_path), "../../transport/dpdk/apn-dpdk")
        self.helpers = {}
        if not os.path.isfile(self.program):
            raise Skipped("apn-dpdk is not built (libdpdk-dev)")
        for end in ENDS:
            self.ip("netns", "add", self.name + end)
            self.callback(self.ip, "netns", "del", self.name + end)
        self.ip("link", "add", "va", "netns", self.name + "a", "mtu", "9000", "type", "veth", "peer", "name", "vb", "netns",
                self.name + "b", "mtu", "9000")
        for end in ENDS:
            self.ip("-n", self.name + end, "link", "set", "v" + end, "up")
            self.start(end)

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, timeout=20)

    def socket(self, end):
        return os.path.join(self.directory, self.name + end + ".sock")

    def start(self, end):
        log_name = os.path.join(self.directory, self.name + end + ".log")
        with open(log_name, "w", encoding="utf-8") as log:
            self.helpers[end] = subprocess.Popen(
                ["ip", "netns", "exec", self.name + end, self.program, "--port=net_af_packet0,iface=v" + end, "--ip=%s/24" % ENDS[end],
                 "--socket=" + self.socket(end)], stdout=log, stderr=log)
        self.callback(self.stop, self.helpers[end])

        def ready():
            with open(log_name, encoding="utf-8") as log:
                text = log.read()
            check(self.helpers[end].poll() is None, "apn-dpdk ended: %s", text)
            return "serving" in text
        wait_until(ready, 20, "apn-dpdk to serve")

    @staticmethod
    def stop(helper):
        if helper.poll() is None:
            helper.terminate()
        helper.wait(timeout=20)

    def kill(self, end):
        self.helpers[end].kill()
        self.helpers[end].wait(timeout=20)

    def parameters(self, end, rate=""):
        return {"apn-backend": "dpdk:socket=" + self.socket(end) + rate}


def begin(site, wire, source, dest, rate=""):
    site.listen(dest, wire.parameters("b"), address=ENDS["b"])
    source.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
    source.qmp.execute("migrate-set-parameters", **{"downtime-limit": 300, **wire.parameters("a", rate)})
    source.qmp.events.clear()
    source.qmp.execute("migrate", uri="apn:%s:%d" % (ENDS["b"], migrate.PORT))


def end_well(site, source, dest):
    status = site.wait(source, 90)
    check(status == "completed", "ended as %s: %s", status, site.error_of(source))
    wait_until(lambda: dest.status() != "inmigrate", 10, "destination to leave inmigrate")
    site.same_memory(source, dest)
    info = source.qmp.execute("query-migrate")["apn"]
    dest.qmp.execute("cont")
    wait_until(lambda: dest.status() == "running", 5, "destination to run")
    site.self_check(dest)
    return info


def libraries(vm):
    with open("/proc/%d/maps" % vm.pid, encoding="ascii", errors="replace") as file:
        return file.read()


@case("dpdk: a guest crosses, and QEMU holds nothing of DPDK", seconds=180)
def crosses(lab):
    with Wire(lab) as wire, lab.site(path=False) as site:
        source = site.source(lab.guest(extra=MEMFD))
        dest = site.dest(source)
        begin(site, wire, source, dest)
        info = end_well(site, source, dest)
        check("librte_" not in libraries(source) + libraries(dest), "QEMU has a DPDK library in its process")
    check(info["backend"] == "dpdk", "moved by backend %s", info["backend"])
    check(info["lanes-lost"] == 0, "%d lanes lost", info["lanes-lost"])
    return "%s, blackout predicted %.1f ms" % (info.get("send-mode", "?"), info["predicted-blackout"]["total-us"] / 1000)


@case("dpdk: the helper is killed and started again, and the migration goes on", seconds=180)
def helper_dies(lab):
    with Wire(lab) as wire, lab.site(path=False) as site:
        source = site.source(lab.guest(rate=2, extra=MEMFD))
        dest = site.dest(source)
        begin(site, wire, source, dest, ",ceiling=200Mbit")
        time.sleep(0.7)  # of two seconds
        wire.kill("a")
        time.sleep(0.5)
        check(source.status() == "running", "guest is %s without the helper", source.status())
        wire.start("a")
        info = end_well(site, source, dest)
    check(info["lanes-lost"] > 0, "no lane was lost: the helper was not in use")
    return "%d lanes lost" % info["lanes-lost"]
