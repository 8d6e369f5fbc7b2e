# SPDX-License-Identifier: GPL-2.0-or-later
"""guard.py - settings of the machine that are put back even if we are killed

Owner: whoever changes them.  Thread: main.  Time: none.  Units: none.
"""
import os
import signal


class Guard:
    """A child that writes @values ({path: text}) when this process is gone without having called release()."""

    def __init__(self, values):
        there, self._end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._end)
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            if not os.read(there, 1):
                self._put_back(values)
            os._exit(0)
        os.close(there)

    @staticmethod
    def _put_back(values):
        for path, text in values.items():
            try:
                with open(path, "w", encoding="ascii") as file:
                    file.write(text + "\n")
            except OSError:
                continue

    def release(self):
        """They have been put back already."""
        os.write(self._end, b".")
        os.close(self._end)
        os.waitpid(self._pid, 0)
