# SPDX-License-Identifier: GPL-2.0-or-later
"""process.py - child processes that cannot outlive us

Owner: whoever starts one.  Thread: start them from the main thread (the kernel's parent-death signal
belongs to the starting thread).  Time: monotonic.  Units: seconds.

Each child leads its own session, so Ctrl-C at the terminal reaches only us and the end is orderly; if
we are killed, the kernel sends the child SIGTERM. A child is ended by its process id, never by name.
"""
import ctypes
import os
import signal
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_alive = []


class HarnessError(Exception):
    """Something outside this program did not do what it should; the text says what."""


def tie_to(parent):
    """A function for a child to call first: it ends when process @parent does."""
    def setup():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # died in between
            os._exit(1)
        # a child inherits ignored signals; QEMU and the path must be able to end
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
    return setup


def start(command, log_path=None, stdout=None):
    """Start @command (a list); returns the Popen. Output goes to @log_path, or @stdout and stderr away."""
    log = open(log_path, "ab") if log_path else subprocess.DEVNULL
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log,
                                 start_new_session=True, preexec_fn=tie_to(os.getpid()))
    except OSError as error:
        raise HarnessError("cannot start %s: %s" % (command[0], error.strerror)) from error
    finally:
        if log_path:
            log.close()
    _alive.append(child)
    return child


def stop(child, patience=5.0):
    """End @child: SIGTERM, then SIGKILL after @patience seconds. Returns its exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child in _alive:
        _alive.remove(child)
    return child.returncode


def stop_all():
    """End whatever was started and not stopped: for the last `finally` of a program."""
    for child in list(reversed(_alive)):
        stop(child)


def wait_until(condition, seconds, what, pause=0.01):
    """Call @condition until it returns something true; returns that. Raises after @seconds."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise HarnessError("%s: not within %g s" % (what, seconds))
        time.sleep(pause)


def tail(path, lines=5):
    """The last lines of a log, for an error message."""
    try:
        with open(path, "rb") as log:
            log.seek(max(0, os.path.getsize(path) - 4096))
            return b"\n".join(log.read().splitlines()[-lines:]).decode("utf-8", "replace")
    except OSError:
        return "(no log at %s)" % path
