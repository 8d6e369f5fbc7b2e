# SPDX-License-Identifier: GPL-2.0-or-later
"""vm.py - one QEMU with the bench guest, at one end of a path or anywhere

Owner: the program that measures.  Thread: main (reader threads for the serial ports inside).
Time: monotonic for limits.  Units: MiB, seconds.

A Vm is started, then used through .qmp, .console and .heartbeat, then stopped. Source and destination
of a migration must be made with the same guest (Guest) or they will not fit.
"""
import os

from . import cpu, memory, process, trace
from .console import Console, Heartbeat
from .process import HarnessError
from .qmp import Qmp


class Guest:
    """What the virtual machine is: the same at both ends."""

    def __init__(self, environment, mib=2048, used_mib=1024, hot_mib=256, extra=(), append=""):
        """@extra: more words for QEMU at both ends; @append: more words for the guest's kernel."""
        self.environment = environment
        self.mib = mib
        self.used_mib = used_mib
        self.hot_mib = hot_mib
        self.extra = list(extra)
        self.append = append
        self.initrd = environment.initrd

    def words(self):
        """QEMU's words, without monitor, serial ports and migration."""
        line = "console=ttyS0 quiet tsc=unstable apn.mib=%d apn.hot=%d %s" % (self.used_mib, self.hot_mib, self.append)
        return [*self.environment.firmware, "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1",
                "-m", str(self.mib), "-nodefaults", "-no-user-config", "-display", "none", "-kernel",
                self.environment.kernel, "-initrd", self.initrd, "-append", line.strip(), *self.extra]


class Vm:
    """A running QEMU."""

    def __init__(self, name, guest, binary, directory, prefix=(), incoming=None, paused=False, extra=(), helper=None):
        """
        @directory: for sockets and logs; its path must be short (unix sockets)
        @prefix:    words in front of the command, such as Path.prefix('a')
        @incoming:  None to boot, else the word after -incoming, such as 'defer'
        @paused:    start with -S: after a migration the guest waits for `cont`
        @extra:     more words, of this end only
        @helper:    a process that works for this QEMU alone (dpdk.Helper): its time is counted, and it is stopped, with it
        """
        self.name = name
        self.guest = guest
        self.binary = binary
        self.paused = paused
        self.helper = helper
        base = os.path.join(directory, name)
        self.log_path, self.trace_path = base + ".log", base + ".trace"
        self._sockets = {port: "%s.%s" % (base, port) for port in ("qmp", "tty", "beat")}
        self.qmp = self.console = self.heartbeat = None
        for stale in (*self._sockets.values(), self.trace_path):
            if os.path.exists(stale):
                os.unlink(stale)
        command = [*prefix, binary, *guest.words(), *self._own_words(incoming), *extra]
        self.command = command
        self._child = process.start(command, self.log_path)
        try:
            self._connect()
        except BaseException:
            self.stop()
            raise

    def _own_words(self, incoming):
        words = ["-name", "%s,debug-threads=on" % self.name, "-msg", "timestamp=on", "-D", self.trace_path,
                 "-qmp", "unix:%s,server=on,wait=off" % self._sockets["qmp"]]
        words += ["-serial", "unix:%s,server=on,wait=off" % self._sockets["tty"],
                  "-chardev", "socket,id=beat,path=%s,server=on,wait=off" % self._sockets["beat"],
                  "-device", "isa-debugcon,iobase=0xe9,chardev=beat"]
        for event in trace.EVENTS:
            words += ["-trace", event]
        if incoming:
            words += ["-incoming", incoming]
        if self.paused:
            words.append("-S")
        return words

    def _connect(self):
        try:
            self.qmp = Qmp(self._sockets["qmp"], alive=self.alive)
        except HarnessError as error:
            raise HarnessError("%s: %s\n%s" % (self.name, error, process.tail(self.log_path))) from error
        self.console = Console(self._sockets["tty"])
        self.heartbeat = Heartbeat(self._sockets["beat"])

    @property
    def pid(self):
        return self._child.pid

    def pids(self):
        """Its processes."""
        return [self.pid, *([self.helper.pid] if self.helper else [])]

    def alive(self):
        return self._child.poll() is None

    def wait_ready(self, seconds=180.0):
        """Wait until the guest has filled its memory."""
        self.console.wait("APN-READY", seconds)

    def status(self):
        """QEMU's run state, such as 'running' or 'postmigrate'."""
        return self.qmp.execute("query-status")["status"]

    def cpu_seconds(self):
        """Processor time so far without the virtual processors; a helper's is in it."""
        own = cpu.without_vcpus(self.pid, cpu.vcpu_threads(self.qmp))
        return own + (self.helper.cpu_seconds() if self.helper else 0.0)

    def reset_peak_memory(self):
        """From now on peak_memory_mib() begins anew."""
        try:
            with open("/proc/%d/clear_refs" % self.pid, "w", encoding="ascii") as file:
                file.write("5\n")
        except OSError as error:
            raise HarnessError("%s: peak of memory cannot be reset: %s" % (self.name, error.strerror)) from error

    def peak_memory_mib(self):
        """Largest resident memory, the guest's own included."""
        with open("/proc/%d/status" % self.pid, encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) >> 10
        return None

    def nonzero_bytes(self):
        """Bytes of the stopped guest's pages that are not all zero."""
        return memory.nonzero_bytes(self.qmp, self.guest.mib)

    def trace(self):
        """Trace events so far."""
        return trace.read(self.trace_path)

    def signal(self, number):
        """Send this QEMU a signal, for tests that kill or stop it."""
        self._child.send_signal(number)

    def wait_end(self, seconds):
        """Wait until QEMU has ended; returns its exit status."""
        process.wait_until(lambda: not self.alive(), seconds, "end of %s" % self.name)
        return self._child.returncode

    def stop(self, patience=5.0):
        """End it, however it is. May be called twice."""
        for port in (self.qmp, self.console, self.heartbeat):
            if port:
                port.close()
        self.qmp = self.console = self.heartbeat = None
        process.stop(self._child, patience)
        if self.helper:
            self.helper.stop()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()
