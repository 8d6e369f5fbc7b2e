#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_page - the page in a headless Chromium: both widths, both languages, light and dark

Usage: test_page.py SERVE_DOCUMENT [TEST...].  Owner: meson test.  Thread: main.  Exit 77: no Chromium.
Pictures: $APN_OUT/test/page when APN_OUT is set. APN_TEST_FULL: every view, and a silent agent.
Time: every wait has a limit, seconds.  Units: CSS pixels.
"""
import json
import os
import shutil
import sys
import tempfile
import time
import unittest

from browser import Browser, program
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from elsewhere import npm_module, run_tests  # noqa: E402
from server import Server

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ""
AXE = ("axe-core", "4")
FULL = bool(os.environ.get("APN_TEST_FULL"))
# contrast differs with the theme, order and overlap with the width: each pair is looked at once, all of them with --full
VIEWS = [(width, language, dark) for width in (1280, 400) for language in ("en", "ja") for dark in (False, True)
         if FULL or (language == "ja") == (dark == (width == 1280))]
SHOWN = "document.querySelector('#chips .chip.good') !== null && !document.getElementById('board').hidden"
TEXT = "document.body.innerText"
# words that must be there however the page is shown
WANTED = {"en": ["Sites", "Plan of the day", "Migrations", "Demand response", "Blackout predicted", "In flight", "given up after 3 attempts"],
          "ja": ["拠点", "本日の計画", "ライブマイグレーション", "デマンドレスポンス", "停止時間(予測)", "伝送中", "given up after 3 attempts"]}


def pictures():
    """Folder for screenshots, or None."""
    if not os.environ.get("APN_OUT"):
        return None
    folder = os.path.join(os.environ["APN_OUT"], "test", "page")
    os.makedirs(folder, exist_ok=True)
    return folder


class Screen(unittest.TestCase):
    """One browser for a class of tests."""

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser().__enter__()
        cls.addClassCleanup(cls.browser.__exit__, None, None, None)

    def show(self, server, width=1280, language="en", dark=False, token=True):
        """Open the page and wait until it is live."""
        secret = "&token=" + server.token if token else ""
        self.browser.open("http://127.0.0.1:%d/#lang=%s%s" % (server.port, language, secret), width, 900, dark, language)
        if token:
            self.browser.wait_for("document.readyState === 'complete'")
            self.browser.wait_for(SHOWN)
            # the stream is open and the state was read once more behind it
            self.browser.wait_for("performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/v1/state')).length > 1")

    def silent(self):
        self.assertEqual(self.browser.complaints(), [])


class Axe(Screen):
    """What axe finds, with the tables open that stand behind the pictures."""

    def test_every_view(self):
        axe, why = npm_module(*AXE)
        if not axe:
            self.skipTest(why)
        with open(os.path.join(axe, "axe.min.js"), encoding="utf-8") as file:
            script = file.read()
        for document in ([], ["--empty"]):
            with Server(PROGRAM, document) as server:
                for width, language, dark in VIEWS[:1] if document else VIEWS:
                    with self.subTest(document=document, width=width, language=language, dark=dark):
                        self.show(server, width, language, dark)
                        self.browser.evaluate(script + ";0")
                        self.browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; }); 0")
                        found = self.browser.evaluate("axe.run(document, {resultTypes: ['violations']}).then((all) => JSON.stringify(all.violations.map((one) => "
                                                      "[one.impact, one.id, one.nodes.map((node) => node.target.join(' ')).slice(0, 4)])))")
                        self.assertEqual([one for one in json.loads(found) if one[0] in ("serious", "critical", "moderate")], [])

    def test_axe_sees_faults(self):
        axe, why = npm_module(*AXE)
        if not axe:
            self.skipTest(why)
        with Server(PROGRAM) as server, open(os.path.join(axe, "axe.min.js"), encoding="utf-8") as file:
            self.show(server)
            self.browser.evaluate(file.read() + ";0")
            self.browser.evaluate("document.getElementById('lang').textContent = ''; document.getElementById('lang').removeAttribute('aria-label'); 0")
            self.assertIn("button-name", self.browser.evaluate("axe.run().then((all) => all.violations.map((one) => one.id).join())"))


class Page(Screen):
    """What a person meets."""

    def test_every_view(self):
        for document in ([], ["--empty"]):
            with Server(PROGRAM, document) as server:
                for width, language, dark in VIEWS:
                    if document and width == 400:
                        continue
                    with self.subTest(document=document, width=width, language=language, dark=dark):
                        self.one_view(server, document, (width, language, dark))

    def one_view(self, server, document, view):
        width, language, dark = view
        self.show(server, width, language, dark)
        self.silent()
        text = self.browser.evaluate(TEXT)
        for word in WANTED[language] if not document else WANTED[language][:4]:
            self.assertIn(word, text)
        self.assertEqual(self.browser.evaluate("document.documentElement.lang"), language)
        self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
        self.assertNotIn("token", self.browser.evaluate("location.href"))
        self.assertEqual(self.cut_texts(), [])
        if pictures():
            self.browser.screenshot(os.path.join(pictures(), "%s%d-%s-%s.png" % ("empty-" if document else "", width, language, "dark" if dark else "light")))

    def cut_texts(self):
        """Elements whose text is wider than they are and that cannot be scrolled."""
        return self.browser.evaluate("""[...document.querySelectorAll('main *')].filter((one) => one.children.length === 0 && one.textContent.trim() && !one.closest('svg, .scroll, .unseen, .stages')
            && getComputedStyle(one).display !== 'inline' && one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1).map((one) => one.className + ': ' + one.textContent.slice(0, 40))""")

    def test_words_of_both_languages(self):
        with Server(PROGRAM) as server:
            self.show(server)
            english, japanese = self.browser.evaluate("import('/page/words.js').then((words) => words.keys())")
            self.assertEqual(sorted(english), sorted(japanese))

    def test_hostile_names_stay_text(self):
        with Server(PROGRAM, ["--hostile", "--vms", "40"]) as server:
            self.show(server, 400, "ja")
            self.assertIn("<img src=x onerror=alert(1)>", self.browser.evaluate(TEXT))
            self.assertEqual(self.browser.evaluate("document.querySelectorAll('img:not([alt=\"\"]), script:not([src])').length"), 0)
            self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), 400)
            self.silent()

    def test_secret(self):
        with Server(PROGRAM) as server:
            self.show(server, token=False)
            self.browser.wait_for("document.activeElement?.id === 'token'")
            self.browser.call("Input.insertText", text="w" * 40)
            self.browser.key("Enter", text="\r")
            self.browser.wait_for("document.getElementById('login-error').textContent !== ''")
            self.assertTrue(self.browser.evaluate("document.getElementById('board').hidden"))
            self.browser.call("Input.insertText", text=server.token)
            self.browser.key("Enter", text="\r")
            self.browser.wait_for(SHOWN)
            self.assertEqual(self.browser.evaluate("Object.keys(localStorage).filter((name) => localStorage[name].includes('%s')).length" % server.token), 0)
            self.assertEqual(len([one for one in self.browser.complaints() if "401" not in one]), 0)

    def test_live(self):
        with Server(PROGRAM) as server:
            self.show(server)
            for step in range(5):
                server.event("migration.progress", {"id": 41, "vm": "train-1", "progress": 0.7 + step / 100, "rate_gbit_s": 1.5 + step / 10, "in_flight_bytes": 3 << 20, "remaining_bytes": 5 << 20, "predicted_blackout_ms": 33.3})
            self.browser.wait_for("document.querySelector('.move').innerText.includes('33.3 ms')")
            self.assertIn("3.0 MiB", self.browser.evaluate("document.querySelector('.move').innerText"))
            self.assertEqual(self.browser.evaluate("document.querySelectorAll('.move .spark').length"), 1)
            state = server.ask_json("GET", "/v1/state")[1]
            state["alerts"].append({"key": "k", "severity": "person", "vm": "web-9", "text": "web-9 needs a look", "check": "c", "since": state["now"]})
            server.write_state(json.dumps(state))
            server.event("alert", state["alerts"][-1])
            self.browser.wait_for("document.getElementById('alert-list').innerText.includes('web-9 needs a look')", 3)
            self.assertIn("web-9 needs a look", self.browser.evaluate("document.getElementById('say').textContent"))
            self.silent()

    def test_keyboard(self):
        with Server(PROGRAM) as server:
            self.show(server)
            seen = []
            for _ in range(12):
                self.browser.key("Tab")
                seen.append(self.browser.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
            self.assertEqual(seen[:4], ["skip", "lang", "theme", "slot"])
            self.browser.evaluate("document.getElementById('slot').focus()")
            before = self.browser.evaluate("document.getElementById('slot').value")
            self.browser.key("ArrowRight")
            self.assertEqual(int(self.browser.evaluate("document.getElementById('slot').value")), int(before) + 1)
            self.assertIn("12:00", self.browser.evaluate("document.querySelector('.at-slot').innerText"))
            self.browser.evaluate("document.querySelector('[data-key=\"explain web-1\"]').focus()")
            self.browser.key("Enter", text="\r")
            self.browser.wait_for("document.querySelector('.explain') !== null")
            self.assertEqual(server.command_line(), 'explain {"vm":"web-1"}')
            self.assertEqual(self.browser.evaluate("document.activeElement.dataset.key"), "explain web-1")  # not lost by the redraw
            self.assertEqual(self.browser.evaluate("document.activeElement.getAttribute('aria-expanded')"), "true")
            self.silent()

    def test_many_machines(self):
        with Server(PROGRAM, ["--vms", "200"]) as server:
            self.show(server)
            self.assertEqual(self.browser.evaluate("document.querySelectorAll('#vms tbody tr').length"), 60)
            start = time.monotonic()
            self.browser.evaluate("{const box = document.getElementById('vm-filter'); box.value = 'web-12'; box.dispatchEvent(new Event('input'));} 0")
            self.assertEqual(self.browser.evaluate("document.querySelectorAll('#vms tbody tr').length"), 1)
            self.assertLess(time.monotonic() - start, 2)
            self.silent()

    def test_truth_soon_after_a_restart(self):
        with Server(PROGRAM) as first:
            self.show(first)
            port, token = first.port, first.token
            state = first.ask_json("GET", "/v1/state")[1]
        state["agent"]["run"] += 1
        state["alerts"] = [{"key": "k", "severity": "person", "vm": "web-2", "text": "what the restart found", "check": "c", "since": state["now"]}]
        place = tempfile.mkdtemp(prefix="api-restart-")
        self.addCleanup(shutil.rmtree, place)
        path = os.path.join(place, "token")
        with open(path, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(token)
        with Server(PROGRAM, api={"listen": "127.0.0.1:%d" % port, "token_file": path}, state=json.dumps(state)):
            self.browser.wait_for("document.getElementById('alert-list').innerText.includes('what the restart found')", 5)
            self.browser.wait_for("document.getElementById('foot').innerText.includes('13')", 1)

    @unittest.skipUnless(FULL, "waits for a silence of nine seconds: needs --full")
    def test_agent_goes_and_comes_back(self):
        with Server(PROGRAM) as server:
            self.show(server)
            os.kill(server.process.pid, 19)  # SIGSTOP: silence
            self.browser.wait_for("document.querySelector('#chips .chip').classList.contains('bad')", 30)
            os.kill(server.process.pid, 18)
            self.browser.wait_for("document.querySelector('#chips .chip').classList.contains('good')", 15)


if __name__ == "__main__":
    if not program():
        print("skipped: no Chromium (Debian package chromium)")
        sys.exit(77)
    run_tests(sys.argv[2:])
