# SPDX-License-Identifier: GPL-2.0-or-later
"""browser - a headless Chromium driven over a pipe (Chrome DevTools Protocol), no packages needed

Owner: with Browser() as browser, the process ends with the block.   Thread: the caller's.
Time:  every wait has a limit, seconds.   Units: CSS pixels.
"""
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ANSWER_S = 30
# the browser reads commands from descriptor 3 and answers on 4
LAUNCH = """import os, sys
a, b = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2]))
while a in (3, 4): a = os.dup(a)
while b in (3, 4): b = os.dup(b)
os.dup2(a, 3), os.dup2(b, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
NAMES = ("chromium", "chromium-browser", "google-chrome")


def program():
    """Path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class BrowserError(Exception):
    """The browser said no, or nothing."""


class Browser:
    """One browser with one page at a time."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="api-browser-")
        to_child, self.to = os.pipe()
        self.back, from_child = os.pipe()
        arguments = [program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--hide-scrollbars",
                     "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--user-data-dir=" + self.folder, "--remote-debugging-pipe", "about:blank"]
        command = [sys.executable, "-c", LAUNCH, str(to_child), str(from_child)] + arguments
        self.process = subprocess.Popen(command, pass_fds=(to_child, from_child), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_child)
        os.close(from_child)
        self.number, self.rest, self.answers, self.events, self.session, self.context = 0, b"", {}, [], None, None
        return self

    def __exit__(self, *_):
        os.close(self.to)
        os.close(self.back)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:  # its helpers are in the session that we made for it
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pump(self, seconds):
        """Take what the browser says for at most SECONDS; False when it said nothing."""
        if not select.select([self.back], [], [], seconds)[0]:
            return False
        got = os.read(self.back, 1 << 20)
        if not got:
            raise BrowserError("the browser ended")
        self.rest += got
        *whole, self.rest = self.rest.split(b"\0")
        for text in whole:
            message = json.loads(text)
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.events.append(message)
        return True

    def call(self, method, own=True, **parameters):
        """One command and its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if own and self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        end = time.monotonic() + ANSWER_S
        while self.number not in self.answers:
            if time.monotonic() > end:
                raise BrowserError("%s: no answer for %d s" % (method, ANSWER_S))
            self._pump(0.5)
        answer = self.answers.pop(self.number)
        if "error" in answer:
            raise BrowserError("%s: %s" % (method, answer["error"].get("message")))
        return answer["result"]

    def open(self, address, width, height=900, dark=False, language="en"):
        """A fresh page in a context of its own (no storage from before)."""
        if self.context:
            self.call("Target.disposeBrowserContext", own=False, browserContextId=self.context)
        self.context = self.call("Target.createBrowserContext", own=False)["browserContextId"]
        target = self.call("Target.createTarget", own=False, url="about:blank", browserContextId=self.context)["targetId"]
        self.session = self.call("Target.attachToTarget", own=False, targetId=target, flatten=True)["sessionId"]
        self.events = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setLocaleOverride", locale=language)
        self.call("Page.navigate", url=address)

    def evaluate(self, script):
        """Value of a JavaScript expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"].get("exception", {}).get("description", answer["exceptionDetails"]))[:400])
        return answer["result"].get("value")

    def wait_for(self, script, seconds=15):
        """Until the expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(script):
            if time.monotonic() > end:
                raise BrowserError("not true within %d s: %s" % (seconds, script))
            self._pump(0.05)

    def key(self, name, code=None, text=None, modifiers=0):
        """Press and let go of one key, as a person does."""
        common = {"key": name, "code": code or name, "modifiers": modifiers, "windowsVirtualKeyCode": {"Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowLeft": 37, " ": 32}.get(name, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path, whole=True):
        """The page as PNG, all of it or what fits."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}} if whole else {}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def complaints(self):
        """Everything that a person would see red in the console."""
        found = []
        for event in self.events:
            if event.get("sessionId") != self.session:
                continue
            kind, told = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                found.append(told["exceptionDetails"].get("exception", {}).get("description", told["exceptionDetails"]["text"]))
            elif kind == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert", "warning"):
                found.append("console: " + " ".join(str(one.get("value", one.get("description", ""))) for one in told["args"]))
            elif kind == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append("log: %s %s" % (told["entry"]["text"], told["entry"].get("url", "")))
        return found
