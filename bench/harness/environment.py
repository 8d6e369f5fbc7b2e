# SPDX-License-Identifier: GPL-2.0-or-later
"""environment.py - where the programs are: what `./run env` printed, from the environment

Owner: none.  Thread: main.  Time: none.  Units: none.
"""
import os
import platform
import subprocess

from .process import HarnessError

REQUIRED = ("QEMU_STOCK", "GUEST_KERNEL", "GUEST_INITRD", "APN_PATH")


class Environment:
    """.qemu_stock, .qemu_apn (or None), .kernel, .initrd, .initrd_kv (or None), .apn_path, .firmware (list of words)"""

    def __init__(self, variables=None):
        variables = os.environ if variables is None else variables
        missing = [key for key in REQUIRED if not variables.get(key)]
        if missing:
            raise HarnessError("not set: %s; `./run env` prints them, `./run demo` sets them" % ", ".join(missing))
        self.qemu_stock = self._file(variables, "QEMU_STOCK")
        self.qemu_apn = self._file(variables, "QEMU_APN") if variables.get("QEMU_APN") else None
        self.kernel = self._file(variables, "GUEST_KERNEL")
        self.initrd = self._file(variables, "GUEST_INITRD")
        self.initrd_kv = self._file(variables, "GUEST_INITRD_KV") if variables.get("GUEST_INITRD_KV") else None
        self.apn_path = self._file(variables, "APN_PATH")
        self.firmware = variables.get("QEMU_FIRMWARE", "").split()

    @staticmethod
    def _file(variables, key):
        path = variables[key]
        if not os.path.isfile(path):
            raise HarnessError("%s=%s: no such file" % (key, path))
        return path


def describe(environment):
    """What a figure must be read with: host, kernel, QEMU versions."""
    def version(binary):
        if not binary:
            return None
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20)
        return done.stdout.splitlines()[0] if done.stdout else None
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {"kernel": platform.release(), "cpu": model, "cpus": os.cpu_count(),
            "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
            "qemu_stock": version(environment.qemu_stock), "qemu_apn": version(environment.qemu_apn)}
