# SPDX-License-Identifier: GPL-2.0-or-later
"""screens.py - pictures of the agent's page while the day goes, by headless Chromium

Owner: day.Day.  Thread: main; a browser is a child that is waited for in passing.  Time: slots.  Units: pixels.
"""
import os
import shutil
import socket
import subprocess
import sys

MOMENTS = ((25.0, "noon", 1280, "ja"), (25.2, "noon-narrow", 400, "ja"), (38.0, "evening", 1280, "en"))
PICTURE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "vmm-agent", "tests", "api", "picture.py")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 60


def free_port():
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Screens:
    """take() at each look; .files holds the paths of what came out."""

    def __init__(self, world, out):
        self._world, self._out = world, out
        self._left = list(MOMENTS)
        self._browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
        self._running = []
        self.files = []

    def take(self, slot):
        """Start what is due."""
        while self._browser and self._left and slot >= self._left[0][0]:
            _, name, width, language = self._left.pop(0)
            place = os.path.join(self._out, "page-%s.png" % name)
            # waits until the page is live and drawn; a plain screenshot is often taken before
            child = subprocess.Popen(
                [sys.executable, PICTURE, str(self._world.port), self._world.token_file, place, str(width), language],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self._running.append((child, place))

    def close(self):
        """Wait for the last one."""
        for child, place in self._running:
            try:
                child.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                child.terminate()
                child.wait()
            if os.path.exists(place):
                self.files.append(place)
