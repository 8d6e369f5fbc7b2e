#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_ven_faults.py VEN_TALK - the VEN in conversation with a VTN over HTTP: everything that can go wrong

Owner: none.  Thread: main; the VTN has its own.  Time: real, bounded.  Units: seconds.
"""
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ven_scene  # noqa: E402
from ven_scene import Conversation, Talk, certificate, down, interval, program  # noqa: E402


class Faults(Conversation):
    def test_malformed_events_are_refused_with_reasons(self):
        one = self.talk()
        one.wait("dr.state", "connected")
        bad = [({"intervals": "soon"}, "event.intervals: expected a list"),
               ({"priority": -3}, "event.priority"),
               ({"intervalPeriod": {"start": "tomorrow", "duration": "PT1H"}}, "event.intervalPeriod.start"),
               ({"intervals": [interval("much")]}, "wants a number"),
               ({"payloadDescriptors": None}, "units are not named"),
               ({"targets": [{"type": "GROUP", "values": ["x"]}]}, "OpenADR 3.0")]
        for members, words in bad:
            self.vtn.notified.clear()
            event = self.vtn.add_event(self.program, **{**down(10), **members})
            status, text = self.vtn.notified[0]
            self.assertEqual(status, 400)
            self.assertIn(words, json.loads(text)["detail"])
            one.wait("dr.refused", words)
            self.vtn.delete_event(event, notify=False)
        good = self.vtn.add_event(self.program, **down(10))
        one.wait("dr.answer", good)

    def test_a_malformed_version_leaves_the_good_one(self):
        one = self.talk(webhook=False)
        one.wait("dr.state", "connected")
        event = self.vtn.add_event(self.program, **down(10))
        one.wait("dr.answer", event)
        self.vtn.change_event(event, notify=False, intervals=[interval(-1e9)])
        one.wait("dr.refused", "DISPATCH_SETPOINT_RELATIVE")
        time.sleep(1.0)
        self.assertTrue(one.state()["sites"][0]["answering"])

    def test_an_expired_or_revoked_token_is_renewed(self):
        self.vtn.token_life_s = 2
        one = self.talk()
        one.wait("dr.state", "connected")
        self.until(lambda: len(self.requests("POST", "/auth/token")) >= 3, "renewals")
        self.vtn.token_life_s = 3600
        with self.vtn.lock:
            self.vtn.tokens.clear()
        event = self.vtn.add_event(self.program, notify=False, **down(10))
        one.wait("dr.answer", event)

    def test_wrong_secret_backs_off(self):
        one = Talk(self.folder.name, self.vtn, given="another")
        self.addCleanup(one.stop)
        one.wait("dr.state", "HTTP 401 invalid_client")
        time.sleep(2.5)
        self.assertLessEqual(len(self.requests("POST", "/auth/token")), 4)
        self.assertNotIn("another", json.dumps(one.said))

    def test_errors_back_off_and_events_hold(self):
        one = self.talk(webhook=False)
        one.wait("dr.state", "connected")
        event = self.vtn.add_event(self.program, **down(10))
        one.wait("dr.answer", event)
        self.vtn.fail("GET", "/events", times=1, status=503, headers={"Retry-After": "3"})
        _, body = one.wait("dr.state", "HTTP 503")
        self.assertIn("tried again in 3 s", body["text"])
        before = len(self.requests("GET", "/events"))
        time.sleep(2.0)
        self.assertEqual(len(self.requests("GET", "/events")), before)
        self.assertTrue(one.state()["sites"][0]["answering"])
        one.wait("dr.state", "connected")

    def test_garbage_cuts_and_silence(self):
        one = self.talk(webhook=False)
        one.wait("dr.state", "connected")
        for fault in ({"status": 200, "body": b"<html>"}, {"status": 200, "body": b"{\"a\":1}"}, {"status": 200, "body": b"[1,{},null]"},
                      {"status": 200, "body": b"[" + b" " * 1500000 + b"]"}, {"cut": True}):
            self.vtn.fail("GET", "/events", times=1, **fault)
            begin = len(one.said)
            self.until(lambda: not [f for f in self.vtn.faults if f["left"]], "the fault to strike")
            event = self.vtn.add_event(self.program, notify=False, **down(10))
            one.wait("dr.answer", event, seconds=15)
            self.vtn.delete_event(event, notify=False)
            one.wait("dr.end", event, seconds=15)
            self.assertGreater(len(one.said), begin)

    def test_refused_wishes_do_not_stop_it(self):
        self.vtn.fail("GET", "/vens", times=9, status=403)
        self.vtn.fail("POST", "/subscriptions", times=9, status=501)
        self.vtn.fail("GET", "/subscriptions", times=9, status=404)
        one = self.talk()
        one.wait("dr.state", "enrolment: refused: HTTP 403")
        # 501 is no refusal of a wish but a failure: it is tried again, and events wait for nothing else
        one.wait("dr.state", "HTTP 501", seconds=15)

    def test_reports_survive_an_outage(self):
        one = self.talk()
        one.wait("dr.state", "connected")
        self.vtn.fail("POST", "/reports", times=2, status=500)
        event = self.vtn.add_event(self.program, **down(10, seconds=1, reportDescriptors=[{"payloadType": "USAGE"}]))
        one.wait("dr.end", event)
        self.until(lambda: len(self.vtn.reports) == 1, "the report", 20)
        self.vtn.fail("POST", "/reports", times=1, status=409)
        event = self.vtn.add_event(self.program, **down(10, seconds=1, reportDescriptors=[{"payloadType": "USAGE"}]))
        one.wait("dr.state", "refused and dropped", seconds=15)
        self.assertEqual(one.state()["openadr"]["reports_dropped"], 1)

    def test_a_clock_that_is_off(self):
        self.vtn.clock_off_s = 600
        one = self.talk()
        one.wait("dr.state", "connected")
        self.assertAlmostEqual(one.state()["openadr"]["clock_off_s"], 600, delta=1.5)
        event = self.vtn.add_event(self.program, **down(10, seconds=60, start_s=602))  # by its clock: in two seconds
        begin = time.monotonic()
        when, _ = one.wait("dr.answer", event)
        self.assertAlmostEqual(when - begin, 2.0, delta=1.6)

    def test_a_broken_clock_is_not_followed(self):
        self.vtn.clock_off_s = 86400
        one = self.talk()
        self.vtn.add_event(self.program, notify=False, **down(10))
        one.wait("dr.refused", "its times mean nothing")
        self.assertFalse(one.state()["sites"][0]["answering"])

    def test_webhook_turns_strangers_away(self):
        one = self.talk()
        one.wait("dr.state", "connected")
        entry = list(self.vtn.subscriptions.values())[0]["objectOperations"][0]
        event = json.dumps({"objectType": "EVENT", "operation": "CREATE", "object": {}})
        for token in ("", "x", entry["bearerToken"][:-1], entry["bearerToken"] + "0"):
            self.assertEqual(self.vtn.call_back(entry, event, token)[0], 401)
        self.assertEqual(self.vtn.call_back(entry, "{")[0], 400)
        self.assertEqual(self.vtn.call_back(entry, "[]")[0], 400)
        self.assertEqual(self.vtn.call_back(entry, "{}")[0], 400)
        self.assertIn(self.vtn.call_back(entry, "x" * 300000)[0], (413,))
        self.assertEqual(self.vtn.call_back(entry, json.dumps({"objectType": "PROGRAM", "operation": "UPDATE", "object": {"id": "a"}}))[0], 200)
        self.assertEqual(self.vtn.call_back(entry, event)[0], 400)
        codes = [self.vtn.call_back(entry, "{}")[0] for _ in range(60)]
        self.assertIn(429, codes)
        time.sleep(1.2)
        good = self.vtn.add_event(self.program, **down(10))
        one.wait("dr.answer", good)

    def test_webhook_over_tls(self):
        keys = certificate(self.folder.name)
        if not keys:
            self.skipTest("no openssl to make a certificate with")
        self.vtn.trust = keys[0]
        one = self.talk(tls=keys)
        one.wait("dr.state", "connected")
        self.assertTrue(one.state()["openadr"]["subscribed"])
        event = self.vtn.add_event(self.program, **down(10))
        one.wait("dr.answer", event, seconds=2)
        self.assertEqual(self.vtn.notified[0][0], 200)

    def test_texts_of_the_vtn_are_made_harmless(self):
        one = self.talk()
        one.wait("dr.state", "connected")
        self.vtn.fail("GET", "/events", status=503, body=json.dumps({"title": "止\n\u001b[31m" + "あ" * 60, "detail": "é" * 90}).encode())
        _, body = one.wait("dr.state", "HTTP 503")
        self.assertNotRegex(body["text"], "[\x00-\x1f]")
        self.assertIsNotNone(one.state()["openadr"])
        kinds = [{"type": "止" * 40, "values": [1]}, {"type": "é" * 64, "values": [1]}]
        event = self.vtn.add_event(self.program, **{**down(10), "eventName": "夕方", "intervals": [{"id": 0, "payloads": kinds}]})
        _, body = one.wait("dr.event", event)
        self.assertEqual(body["name"], "夕方")
        self.assertTrue(body["note"].startswith("not followed: 止"))

    def test_webhook_echo(self):
        import http.client
        one = self.talk()
        one.wait("dr.state", "connected")
        url = list(self.vtn.subscriptions.values())[0]["objectOperations"][0]["callbackUrl"]
        host = re.match("http://([^/]*)", url).group(1)
        for path, status in (("/dr?echo=abc", 200), ("/dr", 400), ("/dr?echo=", 400), ("/dr?echo=" + "x" * 257, 400)):
            connection = http.client.HTTPConnection(host, timeout=5)
            connection.request("GET", path)
            answer = connection.getresponse()
            self.assertEqual(answer.status, status, path)
            if status == 200:
                self.assertEqual(answer.read(), b"abc")
                self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
            connection.close()


class Settings(unittest.TestCase):
    """A configuration is refused in words."""

    def run_with(self, text, secret="x\n", mode=0o600):
        with tempfile.TemporaryDirectory(prefix="apn-ven-") as folder:
            path = os.path.join(folder, "secret")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
                file.write(secret)
            os.chmod(path, mode)
            config = os.path.join(folder, "dr.yaml")
            with open(config, "w", encoding="utf-8") as file:
                file.write(text.replace("SECRET", path))
            done = subprocess.run([program(), config], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
            return done.returncode, done.stderr

    def test_words(self):
        good = "dr:\n  sites: {east: {targets: [a]}}\n  openadr: {url: 'https://v/', client_id: c, client_secret_file: SECRET, ven_name: n%s}\n"
        cases = [("dr: {}", "sites: expected a map"), ("dr: {sites: {mars: }}", "no such site"),
                 ("dr: {sites: {east: {target: [a]}}}", "did you mean 'targets'"), ("dr: {sites: {east: }, within_s: 0}", "within_s"),
                 ("dr: {sites: {east: {reserve_kw: 5, reserve_to: east}}}", "reserve_to"),
                 ("dr: {sites: {east: {battery: {setpoint: /x}}}}", "declares none"),
                 ("dr: {sites: {east: }, frequency: {meter: /x, nominal_hz: 55, down_kw: 1}}", "expected 50 or 60"),
                 ("dr: {sites: {east: }, frequency: {meter: /x, nominal_hz: 50}}", "nothing is offered"),
                 ("dr: {sites: {east: }, frequency: {meter: /x, nominal_hz: 50, down_kw: 1, sites: [west]}}", "none of dr.sites"),
                 (good.replace("https://v/", "http://v/") % "", "expected https://"),
                 (good.replace("https://v/", "http://127.0.0.1.evil/") % "", "expected https://"),
                 (good % ", clock: mine", "clock is 'mine'"), (good % ", poll_s: 0", "poll_s"),
                 (good % ", simple_levels: [0.5, 0.2, 1]", "ascend"), (good % ", webhook: {listen: '127.0.0.1:1', url: 'http://x/'}", "expected https://"),
                 (good % ", webhook: {listen: 'x:1', url: 'https://x/', certificate: c, key: k}", "no IP address"),
                 (good % ", webhook: {listen: '0.0.0.0:1', url: 'https://x/'}", "plain HTTP only on this machine"),
                 (good % ", webhook: {listen: '127.0.0.1:1', url: 'https://x/', key: k}", "belong together")]
        for text, words in cases:
            code, stderr = self.run_with(text)
            self.assertEqual(code, 1, text)
            self.assertIn(words, stderr, text)
        code, stderr = self.run_with(good % "", mode=0o644)
        self.assertIn("others may read it", stderr)
        code, stderr = self.run_with(good % "", secret="a\nb\n")
        self.assertIn("expected one line", stderr)


if __name__ == "__main__":
    ven_scene.main()
