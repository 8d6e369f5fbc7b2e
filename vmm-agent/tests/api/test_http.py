#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_http - the server of api/ as clients meet it: good ones, strangers, slow ones, greedy ones

Usage: test_http.py SERVE_DOCUMENT [TEST...].  Owner: meson test.  Thread: main, one server per case.
Time: every wait has a limit, seconds.  Units: bytes.
"""
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

from server import Server

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ""
JSON = {"Content-Type": "application/json"}
QUICK = {"limits": {"request_s": 1, "reply_s": 2, "idle_s": 1}}


def closed_within(one, seconds):
    """Seconds until the other end closed ONE, or None."""
    one.settimeout(seconds)
    start = time.monotonic()
    try:
        while one.recv(65536):
            if time.monotonic() - start > seconds:
                return None
    except (ConnectionResetError, BrokenPipeError):
        pass
    except (TimeoutError, socket.timeout):
        return None
    return time.monotonic() - start


def lines_until(stream, wanted, seconds=5):
    """What STREAM (an answer of http.client) says until WANTED is in it."""
    got, end = b"", time.monotonic() + seconds
    while wanted not in got:
        if time.monotonic() > end:
            raise AssertionError("no %r within %d s, only %r" % (wanted, seconds, got[-200:]))
        piece = stream.readline()
        if not piece:
            raise AssertionError("the stream ended after %r" % got[-200:])
        got += piece
    return got.decode()


class Looking(unittest.TestCase):
    """State, parts of it, files, metrics."""

    def test_whole_and_parts(self):
        with Server(PROGRAM) as server:
            status, state = server.ask_json("GET", "/v1/state")
            self.assertEqual((status, state["schema"]), (200, "apn-migrate/agent-state/1"))
            for section in ("sites", "hosts", "vms", "links", "migrations", "alerts"):
                status, part = server.ask_json("GET", "/v1/" + section)
                self.assertEqual((status, part["items"], part["next"]), (200, state[section], None))
            self.assertEqual(server.ask_json("GET", "/v1/plan")[1]["plan"], state["plan"])
            self.assertEqual(server.ask_json("GET", "/v1/dr")[1]["dr"], state["dr"])
            self.assertEqual(server.ask_json("GET", "/v1/vms/web-1")[1], next(vm for vm in state["vms"] if vm["name"] == "web-1"))
            self.assertEqual(server.ask_json("GET", "/v1/migrations/41")[1]["vm"], "train-1")
            self.assertEqual(server.ask_json("GET", "/v1/vms/web%2d1")[0], 200)
            self.assertEqual(server.ask_json("GET", "/v1/vms/nobody")[0], 404)
            self.assertEqual(server.ask_json("GET", "/v1/vms?after=nobody")[0], 404)
            self.assertEqual(server.ask("HEAD", "/v1/state")[2], b"")

    def test_pages_of_a_list(self):
        with Server(PROGRAM, ["--vms", "200"]) as server:
            names, after = [], ""
            for _ in range(20):
                part = server.ask_json("GET", "/v1/vms?limit=30" + after)[1]
                names += [vm["name"] for vm in part["items"]]
                if part["next"] is None:
                    break
                after = "&after=" + part["next"]
            self.assertEqual(len(names), len(set(names)))
            self.assertEqual(len(names), 200)
            part = server.ask_json("GET", "/v1/vms?site=tokyo&state=running")[1]["items"]
            self.assertTrue(part and all(vm["site"] == "tokyo" and vm["state"] == "running" for vm in part))

    def test_fresh(self):
        with Server(PROGRAM) as server:
            state = server.ask_json("GET", "/v1/state")[1]
            state["now"] = "2026-04-02T05:00:00Z"
            server.write_state(json.dumps(state))
            time.sleep(0.25)  # one snapshot serves everybody for 0.2 s
            self.assertEqual(server.ask_json("GET", "/v1/state")[1]["now"], state["now"])

    def test_state_that_cannot_be_had(self):
        with Server(PROGRAM, state="not a document") as server:
            self.assertEqual(server.ask_json("GET", "/v1/state")[0], 500)
            self.assertEqual(server.ask("GET", "/metrics")[0], 200)

    def test_files_need_no_secret_and_are_known_again(self):
        with Server(PROGRAM) as server:
            for name in ("/", "/page/app.css", "/page/app.js", "/page/words.js", "/page/icon.svg", "/v1/openapi.json"):
                status, headers, body = server.ask("GET", name, token=False)
                self.assertEqual(status, 200, name)
                self.assertTrue(body)
                self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
                self.assertEqual(server.ask("GET", name, headers={"If-None-Match": headers["ETag"]}, token=False)[0], 304)
            self.assertEqual(server.ask("GET", "/page/none.js", token=False)[0], 404)
            page = server.ask("GET", "/", token=False)[2].decode()
            self.assertNotIn("http://", page)  # nothing from elsewhere
            self.assertNotIn("https://", page)

    def test_metrics(self):
        with Server(PROGRAM, ["--hostile"]) as server:
            server.event("migration.end", {"vm": "a", "state": "done", "blackout_ms": 12.5, "bytes": 1000})
            time.sleep(0.1)
            status, headers, body = server.ask("GET", "/metrics")
            self.assertEqual(status, 200)
            self.assertTrue(headers["Content-Type"].startswith("text/plain; version=0.0.4"))
            text = body.decode()
            self.assertIn('vmm_agent_site_surplus_watts{site="fukuoka"} 5095', text)
            self.assertIn("vmm_agent_migration_blackout_seconds_sum 0.0125\n", text)
            names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
            self.assertEqual(len(names), len(set(names)))


class Strangers(unittest.TestCase):
    """Nobody sees or does anything without a secret."""

    def test_no_secret(self):
        with Server(PROGRAM, api={"limits": {"failures_per_minute": 1000}}) as server:
            paths = [path for path in json.loads(server.ask("GET", "/v1/openapi.json", token=False)[2])["paths"] if path not in ("/", "/page/{file}", "/v1/openapi.json")]
            for path in paths:
                method = "POST" if path.startswith("/v1/command/") else "GET"
                where = path.replace("{name}", "web-1").replace("{id}", "41")
                for token in (False, "x", "x" * 64, server.token[:-1], server.token + "x", server.token.upper() + " "):
                    status, headers, body = server.ask(method, where, headers=JSON, token=token)
                    self.assertEqual(status, 401, (where, token))
                    self.assertIn("Bearer", headers["WWW-Authenticate"])
                    self.assertNotIn(b"fukuoka", body)
            self.assertEqual(server.ask("GET", "/v1/state", headers={"Authorization": "Basic " + server.token}, token=False)[0], 401)

    def test_only_looking(self):
        folder = os.path.join("/tmp", "api-watch-%d" % os.getpid())
        with open(folder, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("watch-" + "w" * 40)
        try:
            with Server(PROGRAM, api={"watch_token_file": folder}) as server:
                token = "watch-" + "w" * 40
                self.assertEqual(server.ask("GET", "/v1/state", token=token)[0], 200)
                self.assertEqual(server.ask("GET", "/metrics", token=token)[0], 200)
                self.assertEqual(server.ask("GET", "/v1/vms/web-1/explain", token=token)[0], 200)
                server.command_line()
                status, body = server.ask_json("POST", "/v1/command/pause", body="{}", headers=JSON, token=token)
                self.assertEqual((status, body["error"]["code"]), (403, "EPERM"))
                self.assertEqual(server.ask("POST", "/v1/command/pause", body="{}", headers=JSON)[0], 200)
        finally:
            os.unlink(folder)

    def test_guessing_ends(self):
        with Server(PROGRAM, api={"limits": {"failures_per_minute": 5}}) as server:
            answers = [server.ask("GET", "/v1/state", token="g" * 40)[0] for _ in range(8)]
            self.assertEqual(answers, [401] * 5 + [429] * 3)
            status, headers, _ = server.ask("GET", "/v1/state")
            self.assertEqual(status, 429)  # the right one too: a guess must not be told by its answer
            self.assertTrue(1 <= int(headers["Retry-After"]) <= 12)
            self.assertEqual(server.ask("GET", "/", token=False)[0], 200)

    def test_new_secret_without_restart(self):
        with Server(PROGRAM) as server:
            old = server.token
            with open(server.token_file + ".new", "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write("n" * 50 + "\n")
            os.rename(server.token_file + ".new", server.token_file)
            self.assertEqual(server.ask("GET", "/v1/state", token="n" * 50)[0], 200)
            self.assertEqual(server.ask("GET", "/v1/state", token=old)[0], 401)

    def test_beyond_this_machine(self):
        for listen in ("0.0.0.0:0", "[::]:0"):
            with self.assertRaisesRegex(RuntimeError, "reaches beyond this machine and tls is not configured"):
                Server(PROGRAM, api={"listen": listen}).__enter__()

    def test_token_that_others_can_read(self):
        path = os.path.join("/tmp", "api-open-%d" % os.getpid())
        with open(path, "w", encoding="ascii") as file:
            file.write("o" * 40)
        os.chmod(path, 0o644)
        try:
            with self.assertRaisesRegex(RuntimeError, "has mode 0644: others can read the secret"):
                Server(PROGRAM, api={"token_file": path}).__enter__()
        finally:
            os.unlink(path)


class Commands(unittest.TestCase):
    """Orders: what they say, what they may be."""

    def test_orders(self):
        with Server(PROGRAM) as server:
            status, body = server.ask_json("POST", "/v1/command/migrate", body='{"vm":"web-1","site":"fukuoka"}', headers=JSON)
            self.assertEqual((status, body), (200, {"did": "migrate", "ok": True}))
            self.assertEqual(server.command_line(), 'migrate {"vm":"web-1","site":"fukuoka"}')
            self.assertEqual(server.ask("POST", "/v1/command/replan", headers=JSON)[0], 200)
            self.assertEqual(server.command_line(), "replan {}")
            for verb, wanted in (("refuse", 409), ("missing", 404), ("unknown", 404)):
                status, body = server.ask_json("POST", "/v1/command/" + verb, body="{}", headers=JSON)
                self.assertEqual(status, wanted)
                self.assertTrue(body["error"]["text"])
                server.command_line()
            self.assertEqual(server.ask_json("GET", "/v1/vms/w%20x/explain")[0], 200)
            self.assertEqual(server.command_line(), 'explain {"vm":"w x"}')

    def test_not_an_order(self):
        with Server(PROGRAM, api={"limits": {"body_bytes": 300}}) as server:
            for body in ("[]", "5", "{", '{"a":1}x', '{"a":1,"a":2}', '{"a":"\\ud800"}', "\xff", "[" * 290, "null"):
                status, answer = server.ask_json("POST", "/v1/command/pause", body=body.encode("latin-1"), headers=JSON)
                self.assertEqual((status, answer["error"]["code"]), (400, "EINVAL"), body)
            self.assertEqual(server.ask_json("POST", "/v1/command/pause", body="{}", headers={"Content-Type": "text/plain"})[0], 415)
            self.assertEqual(server.ask_json("POST", "/v1/command/pause", body=b"{}" + b" " * 300, headers=JSON)[0], 413)
            with server.raw() as one:
                one.send(("POST /v1/command/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" % server.token).encode())
                self.assertIn(b" 411 ", one.recv(200))
            status, headers, _ = server.ask("PUT", "/v1/command/pause", body="{}", headers=JSON)
            self.assertEqual((status, headers["Allow"]), (405, "POST"))
            self.assertEqual(server.ask_json("GET", "/v1/state", body="{}", headers=JSON)[0], 400)
            self.assertEqual(server.ask_json("GET", "/v1/" + "a" * 1100)[0], 414)


class Greedy(unittest.TestCase):
    """Slow, large and many: bounded, and others are served meanwhile."""

    def test_slow_head(self):
        with Server(PROGRAM, api=QUICK) as server:
            slow = server.raw()
            start = time.monotonic()
            try:
                for letter in "GET /v1/state HTTP/1.1\r\nHost: x\r\nX-Slow: " + "a" * 200:
                    slow.send(letter.encode())
                    time.sleep(0.05)  # never idle, never done
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertLess(time.monotonic() - start, 3)
            self.assertEqual(server.ask("GET", "/v1/state")[0], 200)
            self.assertIn("vmm_agent_http_overdue_total 1\n", server.ask("GET", "/metrics")[2].decode())

    def test_slow_body_and_second_request(self):
        with Server(PROGRAM, api=QUICK) as server:
            head = "POST /v1/command/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n" % server.token
            slow = server.raw()
            slow.send(head.encode())
            threading.Thread(target=self._dribble, args=(slow,), daemon=True).start()
            self.assertIsNotNone(closed_within(slow, 4))
            again = server.raw()
            again.send(("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /v1").encode())
            threading.Thread(target=self._dribble, args=(again,), daemon=True).start()
            self.assertIsNotNone(closed_within(again, 5))

    @staticmethod
    def _dribble(one):
        try:
            for _ in range(100):
                one.send(b"x")
                time.sleep(0.08)
        except OSError:
            pass

    def test_slow_reader(self):
        big = json.dumps({"schema": "x", "now": "n", "vms": [{"name": "v%d" % number, "reason": "r" * 400} for number in range(20000)]})
        with Server(PROGRAM, api=QUICK, state=big) as server:
            slow = server.raw(receive_bytes=4096)
            slow.send(("GET /v1/state HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % server.token).encode())
            time.sleep(4)
            took = 0
            slow.settimeout(3)
            try:
                while True:
                    piece = slow.recv(65536)
                    if not piece:
                        break
                    took += len(piece)
            except OSError:
                pass
            self.assertLess(took, len(big))  # cut off long before the end
            self.assertEqual(server.ask("GET", "/", token=False)[0], 200)

    def test_idle_connections_end(self):
        with Server(PROGRAM, api=QUICK) as server:
            idle = server.raw()
            self.assertIsNotNone(closed_within(idle, 4))

    def test_connections_of_one_address(self):
        with Server(PROGRAM, api={"limits": {"per_address": 5, "connections": 20}}) as server:
            held = [server.raw() for _ in range(5)]
            time.sleep(0.2)
            more = server.raw()
            self.assertIsNotNone(closed_within(more, 2))
            with server.raw(server.socket) as local:  # the control socket is a listener of its own
                local.send(b"GET /v1/state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertIn(b"200 OK", local.recv(100))
            for one in held:
                one.close()
            time.sleep(0.2)
            self.assertEqual(server.ask("GET", "/v1/state")[0], 200)

    def test_head_too_large(self):
        with Server(PROGRAM) as server:
            one = server.raw()
            one.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Large: " + b"a" * 100000 + b"\r\n\r\n")
            self.assertIn(b" 431 ", one.recv(100))
            self.assertLess(server.resident_kib(), 65536)

    def test_rate(self):
        with Server(PROGRAM, api={"limits": {"rate_per_s": 1, "rate_burst": 10}}) as server:
            answers = [server.ask("GET", "/", token=False)[0] for _ in range(12)]
            self.assertEqual(answers[:10], [200] * 10)
            self.assertIn(429, answers)
            with server.raw(server.socket) as local:
                local.send(b"GET /v1/state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertIn(b"200 OK", local.recv(100))


class Streams(unittest.TestCase):
    """Server-sent events."""

    @staticmethod
    def open(server, last=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        headers = {"Authorization": "Bearer " + server.token}
        if last:
            headers["Last-Event-ID"] = last
        connection.request("GET", "/v1/events", headers=headers)
        answer = connection.getresponse()
        return connection, answer

    def test_events_and_going_on(self):
        with Server(PROGRAM) as server:
            first, stream = self.open(server)
            self.assertEqual(stream.getheader("Content-Type"), "text/event-stream; charset=utf-8")
            lines_until(stream, b": here\n")
            server.event("migration.stage", {"vm": "web-1", "stage": "start"})
            text = lines_until(stream, b"data:")
            self.assertIn("event: migration.stage\n", text)
            last = next(line[4:] for line in text.splitlines() if line.startswith("id: "))
            first.close()
            for number in range(3):
                server.event("plan.new", {"n": number})
            second, stream = self.open(server, last)
            text = lines_until(stream, b'{"n":2}')
            self.assertEqual(text.count("event: plan.new"), 3)
            self.assertNotIn("gap", text)
            third, stream = self.open(server, "0-1")
            self.assertIn('{"missed":null}', lines_until(stream, b"missed"))
            second.close()
            third.close()

    def test_slow_listener_costs_no_memory(self):
        with Server(PROGRAM) as server:
            quick, good = self.open(server)
            slow = server.raw(receive_bytes=4096)
            slow.send(("GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % server.token).encode())
            lines_until(good, b": here\n")
            before = server.resident_kib()
            for number in range(6000):
                server.event("load", {"n": number, "text": "x" * 2000})
                if number % 200 == 199:
                    text = lines_until(good, b'"n":%d,' % number)
            self.assertNotIn("gap", text)
            self.assertLess(server.resident_kib() - before, 12 * 1024)
            server.event("load", {"n": "end"})
            slow.settimeout(5)
            got = b""
            while b'"n":"end"' not in got[-4000:]:
                got += slow.recv(65536)
            self.assertIn(b"event: gap", got)  # it learns that it missed something
            quick.close()
            slow.close()

    def test_number_of_streams(self):
        with Server(PROGRAM, api={"limits": {"streams": 2}}) as server:
            kept = [self.open(server) for _ in range(2)]
            self.assertEqual(server.ask_json("GET", "/v1/events")[0], 503)
            kept[0][0].close()
            for _ in range(50):  # a closed one is noticed with the next event
                server.event("x", {})
                time.sleep(0.05)
                last, answer = self.open(server)
                last.close()
                if answer.status == 200:
                    break
            self.assertEqual(answer.status, 200)
            kept[1][0].close()

    def test_end_while_streams_are_open(self):
        with Server(PROGRAM) as server:
            kept = [self.open(server) for _ in range(4)]
            server.event("x", {})
        for connection, _ in kept:
            connection.close()


class Local(unittest.TestCase):
    """The control socket: who is at the other end decides."""

    REQUEST = b"GET /v1/state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    def test_own_user(self):
        with Server(PROGRAM) as server:
            self.assertEqual(os.stat(server.socket).st_mode & 0o777, 0o600)
            with server.raw(server.socket) as one:
                one.send(self.REQUEST)
                self.assertIn(b"200 OK", one.recv(200))
            path = server.socket
        self.assertFalse(os.path.exists(path))

    @unittest.skipIf(os.geteuid() != 0, "needs root to become somebody else")
    def test_other_user(self):
        with Server(PROGRAM) as server:
            os.chmod(server.folder, 0o755)
            os.chmod(server.socket, 0o666)  # even if someone opened it up
            answer = self._as_nobody(server)
            self.assertIn(b"403 Forbidden", answer)
            self.assertNotIn(b"fukuoka", answer)

    def _as_nobody(self, server):
        """What the server says to a process of another user."""
        back, to = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                with server.raw(server.socket) as one:
                    one.send(self.REQUEST)
                    os.write(to, one.recv(4000))
            finally:
                os._exit(0)
        os.close(to)
        os.waitpid(child, 0)
        with os.fdopen(back, "rb") as file:
            return file.read()

    def test_two_agents_and_a_killed_one(self):
        with Server(PROGRAM) as server:
            with self.assertRaisesRegex(RuntimeError, "another agent is listening on"):
                Server(PROGRAM, api={"socket": server.socket}).__enter__()
            with server.raw(server.socket) as one:
                one.send(self.REQUEST)
                self.assertIn(b"200 OK", one.recv(200))
            path = "/tmp/api-killed-%d" % os.getpid()
            dead = Server(PROGRAM, api={"socket": path})
            dead.__enter__()
            dead.process.kill()
            dead.process.wait()
            dead.__exit__(RuntimeError)
            self.assertTrue(os.path.exists(path))
            with Server(PROGRAM, api={"socket": path}) as next_one, next_one.raw(path) as one:
                one.send(self.REQUEST)
                self.assertIn(b"200 OK", one.recv(200))
            os.unlink(path + ".lock")
            with open(path, "w", encoding="ascii"):
                with self.assertRaisesRegex(RuntimeError, "is there and is no socket"):
                    Server(PROGRAM, api={"socket": path}).__enter__()
            os.unlink(path)
            os.unlink(path + ".lock")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
