# SPDX-License-Identifier: GPL-2.0-or-later
"""cpu.py - processor time of a QEMU without its virtual processors

Owner: none.  Thread: any.  Time: none.  Units: seconds of processor time.

A process's total (/proc/PID/stat) includes threads that have ended, such as those of a migration; the
virtual processors' own time, by thread (schedstat, ns), is taken off.
"""
import os

from .process import HarnessError

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def parse_stat(text):
    """User + system seconds from the text of a /proc/.../stat file; the name may hold anything."""
    words = text.rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) * _TICK


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise HarnessError("%s: %s" % (path, error.strerror)) from error


def process_seconds(pid):
    """All threads, ended ones too."""
    return parse_stat(_read("/proc/%d/stat" % pid))


def thread_seconds(pid, thread):
    """One living thread."""
    try:
        return int(_read("/proc/%d/task/%d/schedstat" % (pid, thread)).split()[0]) / 1e9
    except HarnessError:
        return parse_stat(_read("/proc/%d/task/%d/stat" % (pid, thread)))


def vcpu_threads(qmp):
    """Thread ids of the virtual processors."""
    return [cpu["thread-id"] for cpu in qmp.execute("query-cpus-fast")]


def without_vcpus(pid, threads):
    """Processor seconds of @pid less those of @threads (living virtual processors)."""
    return process_seconds(pid) - sum(thread_seconds(pid, thread) for thread in threads)
