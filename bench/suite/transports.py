# SPDX-License-Identifier: GPL-2.0-or-later
"""transports.py - every way to migrate that a matrix may name, and why one is missing here

Owner: suite.  Thread: main.  Time: none.  Units: in the names.

To add one: a line in KNOWN. Each takes a Context and gives a migrate.Setup, or raises Missing with the reason, which
becomes what the cell shows.
"""
import os

from harness import dpdk, setups
from harness.migrate import Setup

TLS_IDENTITY = "bench"


class Missing(Exception):
    """This way cannot be gone here; the text says why."""


class Context:
    """What a setup depends on."""

    def __init__(self, environment, directory, downtime_ms, backends=None, far=False):
        """@backends: {name: None or why it does not work}, of apn, and 'postcopy'; @far: between two machines"""
        self.environment = environment
        self.directory = directory
        self.downtime_ms = downtime_ms
        self.backends = backends or {}
        self.far = far
        self.rate_gbps = self.engine = self.guest_mib = None

    def of(self, cell):
        """The same for one cell; returns itself."""
        self.rate_gbps, self.engine, self.guest_mib = cell.path["rate_gbps"], cell.path["engine"], int(cell.guest["mib"])
        return self


def _stock(transport, channels, tuned):
    def make(context):
        parameters = setups.tuned(context.rate_gbps, context.downtime_ms) if tuned else setups.unlimited()
        if channels:
            parameters["multifd-channels"] = channels
        words = ["%d" % channels] if channels else []
        return Setup(transport, "-".join([*words, "tuned" if tuned else "unlimited"]), parameters)
    return make


def _zero_copy(context):
    return Setup("stock-multifd", "4-zerocopy", {**setups.unlimited(), "multifd-channels": 4}, ["zero-copy-send"])


def _tls(context):
    """Pre-shared keys: what TLS itself costs, without certificates to make."""
    place = os.path.join(context.directory, "psk")
    if not os.path.isdir(place):
        os.makedirs(place, mode=0o700)
        with open(os.path.join(place, "keys.psk"), "w", encoding="ascii") as file:
            file.write("%s:%s\n" % (TLS_IDENTITY, os.urandom(32).hex()))
    common = "tls-creds-psk,id=tls0,dir=%s" % place
    return Setup("stock-multifd", "4-tls", {**setups.unlimited(), "multifd-channels": 4, "tls-creds": "tls0"},
                 objects={"source": ["-object", "%s,endpoint=client,username=%s" % (common, TLS_IDENTITY)],
                          "dest": ["-object", "%s,endpoint=server" % common]})


def _postcopy(context):
    """Stock, one stream, turned into postcopy after the first pass; with preempt, its fastest form."""
    return Setup("stock-tcp", "postcopy", setups.unlimited(), ["postcopy-ram", "postcopy-preempt"])


def _stock_rdma(context):
    if not os.path.isdir("/sys/class/infiniband") or not os.listdir("/sys/class/infiniband"):
        raise Missing("this machine has no RDMA device; stock rdma is measured on the test bed (tests/testbed)")
    return Setup("stock-rdma", "pin-all", setups.unlimited(), ["rdma-pin-all"])


def _ours(backend, postcopy=False):
    def make(context):
        if not context.environment.qemu_apn:
            raise Missing("there is no patched QEMU (QEMU_APN is not set)")
        why = context.backends.get(backend, "not asked for") or (context.backends.get("postcopy") if postcopy else None)
        if why:
            raise Missing("backend %s: %s" % (backend, why))
        if backend == "rdma" and not (os.path.isdir("/sys/class/infiniband") and os.listdir("/sys/class/infiniband")):
            raise Missing("this machine has no RDMA device; rdma is measured on the test bed (tests/testbed)")
        parameters = {"apn-backend": backend} if backend != "uring" else {}
        return setups.apn_setup(context.downtime_ms, backend + ("-postcopy" if postcopy else ""), parameters) \
            if not postcopy else Setup("apn", backend + "-postcopy", {"downtime-limit": context.downtime_ms, **parameters},
                                       ["postcopy-ram"])
    return make


def _dpdk(context):
    """Each end with an apn-dpdk of its own, on the path's Ethernet; guest RAM is shared with it."""
    if not context.environment.qemu_apn:
        raise Missing("there is no patched QEMU (QEMU_APN is not set)")
    if context.far:
        raise Missing("between two machines apn-dpdk is started by their administrators; the bench starts it on its own paths only")
    if not dpdk.program(context.environment):
        raise Missing("apn-dpdk is not built (Debian's libdpdk-dev)")
    if context.engine != "dpdk":
        raise Missing("apn-dpdk needs Ethernet; a path with \"engine\": \"dpdk\" has it")
    memory = dpdk.shared_memory(context.guest_mib)
    return Setup("apn", "dpdk", {"downtime-limit": context.downtime_ms}, objects={"source": memory, "dest": memory}, helper="dpdk",
                 ends={name: {"apn-backend": "dpdk:socket=" + dpdk.socket_of(context.directory, end)}
                       for name, end in (("source", "a"), ("dest", "b"))})


def _control(name):
    def make(context):
        _ours("uring")(context)
        return setups.apn_setup(context.downtime_ms, "uring", setups.CONTROLS[name])
    return make


KNOWN = {"stock-tcp-unlimited": _stock("stock-tcp", 0, False), "stock-tcp-tuned": _stock("stock-tcp", 0, True),
         **{"stock-multifd%d-%s" % (channels, word): _stock("stock-multifd", channels, word == "tuned")
            for channels in (2, 4, 8) for word in ("unlimited", "tuned")},
         "stock-multifd4-zerocopy": _zero_copy, "stock-multifd4-tls": _tls, "stock-postcopy": _postcopy,
         "stock-rdma": _stock_rdma, "apn-uring": _ours("uring"), "apn-udp": _ours("udp"), "apn-dpdk": _dpdk,
         "apn-rdma": _ours("rdma"),
         "apn-uring-postcopy": _ours("uring", True),
         **{"control-" + name: _control(name) for name in setups.CONTROLS}}
BACKENDS = ("uring", "udp", "rdma")  # what QEMU is asked about


def family(name):
    """'stock', 'apn' or 'control'"""
    return name.split("-", 1)[0]
