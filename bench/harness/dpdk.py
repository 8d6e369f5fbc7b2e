# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk.py - an apn-dpdk at one end of a path that carries Ethernet frames (apn-path's engine dpdk)

Owner: the Vm that it works for.  Thread: main.  Time: monotonic.  Units: none.

It is on the namespace's own interface, through a packet socket, beside the kernel: with an address of its own, which the kernel
takes for nobody's. So every transport meets the same path.
"""
import os
import time

from . import cpu, process
from .path import DEVICE
from .process import HarnessError

ADDRESS = {"a": "10.86.0.11", "b": "10.86.0.12"}
MAC = {"a": "02:61:70:6e:01:01", "b": "02:61:70:6e:01:02"}  # the interfaces themselves have one and the same
START_S_MAX = 20.0


def program(environment):
    """The helper that was built with the path, or None."""
    found = os.path.join(os.path.dirname(environment.apn_path), "../../transport/dpdk/apn-dpdk")
    return os.path.realpath(found) if os.path.isfile(found) else None


def socket_of(directory, end):
    """Where the helper of that end is found by its QEMU."""
    return os.path.join(directory, "dpdk-%s.sock" % end)


def shared_memory(mib):
    """Words for a QEMU whose guest RAM a helper may map; the RAM block has the name that it has without them."""
    return ["-object", "memory-backend-memfd,id=pc.ram,size=%dM,share=on,x-use-canonical-path-for-ramblock-id=off" % mib,
            "-machine", "pc,memory-backend=pc.ram"]


class Helper:
    """A running apn-dpdk, ready from construction to stop()."""

    def __init__(self, environment, path, end, directory):
        found = program(environment)
        if not found:
            raise HarnessError("apn-dpdk is not built (libdpdk-dev)")
        self.log_path = os.path.join(directory, "dpdk-%s.log" % end)
        if os.path.exists(self.log_path):
            os.unlink(self.log_path)
        self._child = process.start([*path.prefix(end), found, "--port=net_af_packet0,iface=" + DEVICE, "--ip=%s/24" % ADDRESS[end],
                                     "--mac=" + MAC[end],
                                     "--socket=" + socket_of(directory, end)], self.log_path)
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_ready(self):
        deadline = time.monotonic() + START_S_MAX
        while "serving" not in process.tail(self.log_path):
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise HarnessError("apn-dpdk did not start:\n%s" % process.tail(self.log_path))
            time.sleep(0.05)

    @property
    def pid(self):
        return self._child.pid

    def cpu_seconds(self):
        """Processor time so far; none once it has ended."""
        return cpu.process_seconds(self.pid) if self._child.poll() is None else 0.0

    def stop(self):
        process.stop(self._child)
