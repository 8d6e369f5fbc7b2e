# SPDX-License-Identifier: GPL-2.0-or-later
"""machine.py - what a figure must be read with: commit, host, kernel, NUMA, interrupts, governor, sysctls

Owner: suite.  Thread: main.  Time: none.  Units: none.
"""
import glob
import hashlib
import os
import platform
import subprocess

from harness import environment

SYSCTLS = ("net/core/rmem_max", "net/core/wmem_max", "net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem", "net/ipv4/tcp_congestion_control",
           "net/ipv4/tcp_slow_start_after_idle", "kernel/sched_autogroup_enabled", "vm/overcommit_memory")


def read(path, default=None):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return default


MEASURED = ("transport", "qemu-patches", "bench/path", "bench/guest", "bench/harness")


def _git(top, *words):
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", top, *words], capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else None


def commit(top):
    """The tree's commit; '+' when the parts that are measured differ from it."""
    found = _git(top, "rev-parse", "--short=12", "HEAD")
    if found is None:
        return "unknown"
    return found + ("+" if _git(top, "status", "--porcelain", "--", *MEASURED) else "")


def measured(top):
    """A word that changes when what is measured changes, and not with a commit elsewhere."""
    trees = _git(top, "rev-parse", *("HEAD:" + part for part in MEASURED))
    if trees is None:
        return "unknown"
    changed = _git(top, "diff", "HEAD", "--", *MEASURED) or ""
    return hashlib.sha256((trees + changed).encode()).hexdigest()[:12]


def interrupts():
    """Which processors each network device's interrupts may use; empty where devices are virtual."""
    found = {}
    for device in glob.glob("/sys/class/net/*/device/msi_irqs"):
        name = device.split("/")[4]
        found[name] = {number: read("/proc/irq/%s/smp_affinity_list" % number) for number in sorted(os.listdir(device))}
    return found


def numa():
    return {os.path.basename(node): read(node + "/cpulist") for node in sorted(glob.glob("/sys/devices/system/node/node[0-9]*"))}


def describe(env, top):
    """All of it, as it is now."""
    cpu0 = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    return {"commit": commit(top), "measured": measured(top), "host": platform.node(), **environment.describe(env),
            "kernel_command_line": read("/proc/cmdline"), "numa": numa(), "interrupts": interrupts(),
            "governor": read(cpu0, "none: the processor's frequency is not ours to govern"),
            "clock": read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            "large_pages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
            "hypervisor": "hypervisor" in (read("/proc/cpuinfo") or ""),
            "sysctls": {name.replace("/", "."): read("/proc/sys/" + name) for name in SYSCTLS},
            "clock_error_us": 0.0, "clock_error_why": "both ends share one machine and one clock"}


def processors():
    """(busy, stolen) seconds of all processors since boot. Interrupts' work, which nobody's process is charged for, is not in it."""
    words = read("/proc/stat").split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, _, _, stolen = (int(word) for word in words[:8])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system) / tick, stolen / tick
