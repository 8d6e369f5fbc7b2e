#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_agent - the interface of the real agent: its state fits the description, its events arrive, its commands answer

Usage: test_agent.py VMM_AGENT OPENAPI.json.  Owner: meson test.  Thread: main.
Time: every wait has a limit, seconds.  Units: none.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from test_openapi import faults

AGENT, PATH = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")
WAIT_S = 30
CONFIG = {
    "sites": [{"name": "fukuoka", "title": "福岡", "area": "kyushu", "pue": 1.2, "power_kw": 5, "renewable_kw": 3,
               "battery": {"name": "b1", "charge_kw": 1, "discharge_kw": 1, "soc_max_kwh": 4, "soc_kwh": 2}},
              {"name": "tokyo", "area": "tokyo"}, {"name": "osaka", "area": "kansai", "paper": True}],
    "hosts": [{"name": name, "site": site, "address": "127.0.0.1", "cpu": 4, "ram_mib": 4096, "idle_w": 60, "busy_w": 200} for name, site in (("f1", "fukuoka"), ("t1", "tokyo"))],
    "links": [{"a": "fukuoka", "b": "tokyo", "rate_gbit_s": 2.5, "rtt_ms": 6, "concurrent": 3}],
    "groups": [{"name": "web", "ram_mib": 192, "cpu": 1, "sites": ["fukuoka", "tokyo"], "start": ["/bin/false", "{qmp}", "{incoming}"]}],
    "vms": [{"name": "web1", "group": "web", "host": "f1"}, {"name": "web2", "group": "web", "host": "t1"}],
}


class Agent(unittest.TestCase):
    """vmm-agent run, without guests: none is proved to run, and it says so."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="api-agent-")
        self.addCleanup(shutil.rmtree, self.folder)
        config = json.loads(json.dumps(CONFIG))
        for host in config["hosts"]:
            host["directory"] = os.path.join(self.folder, host["name"])
            os.mkdir(host["directory"])
        config["store"] = {"path": os.path.join(self.folder, "agent.db")}
        config["api"] = {"listen": "127.0.0.1:0", "socket": os.path.join(self.folder, "s"), "token_file": os.path.join(self.folder, "token")}
        self.config = os.path.join(self.folder, "c.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.start()

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.addCleanup(self.log.close)
        self.agent = subprocess.Popen([AGENT, "run", "--config", self.config, "--log-form", "json", "--log-level", "info"], stdout=self.log, stderr=self.log)
        self.addCleanup(self.stop)
        end = time.monotonic() + WAIT_S
        while self.status("--json")[0] != 0:
            self.assertIsNone(self.agent.poll(), self.words())
            self.assertLess(time.monotonic(), end, self.words())
            time.sleep(0.1)

    def stop(self):
        if self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
        self.assertEqual(self.agent.wait(WAIT_S), 0, self.words())

    def words(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8") as file:
            return file.read()

    def status(self, *words):
        told = subprocess.run([AGENT, "status", "--config", self.config, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=WAIT_S, check=False)
        return told.returncode, told.stdout.decode()

    def local(self, method, path, body=None):
        """One request over the control socket."""
        connection = http.client.HTTPConnection("localhost", timeout=WAIT_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(WAIT_S)
        connection.sock.connect(os.path.join(self.folder, "s"))
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        return connection, connection.getresponse()

    def ask(self, method, path, body=None):
        connection, answer = self.local(method, path, body)
        result = answer.status, json.loads(answer.read())
        connection.close()
        return result

    def test_state_and_commands(self):
        with open(PATH, encoding="utf-8") as file:
            document = json.load(file)
        status, state = self.ask("GET", "/v1/state")
        self.assertEqual((status, faults(document["components"]["schemas"]["State"], state, document)), (200, []))
        self.assertEqual([vm["state"] for vm in state["vms"]], ["absent", "absent"])
        self.assertEqual(json.loads(self.status("--json")[1])["schema"], state["schema"])
        self.assertEqual(self.ask("GET", "/v1/vms/web1")[1]["name"], "web1")
        status, told = self.ask("GET", "/v1/vms/web1/explain")
        self.assertEqual((status, told["ok"]), (200, True))
        self.assertEqual(self.ask("GET", "/v1/vms/none/explain")[0], 404)
        # what the description lists is known to the agent, and what it does not list is not
        for path in document["paths"]:
            if path.startswith("/v1/command/") and "/dr-" not in path:
                status, told = self.ask("POST", path, "{}")
                self.assertIn(status, (200, 400, 404, 409), path)
                self.assertNotIn(told.get("error", {}).get("code"), ("ENOSYS",), path)
        self.assertEqual(self.ask("POST", "/v1/command/dance", "{}")[0], 404)
        self.assertEqual(self.ask("POST", "/v1/command/migrate", '{"vm":"web1","site":"mars"}')[0], 404)
        self.assertEqual(self.ask("POST", "/v1/command/migrate", '{"vm":"web1","site":"tokyo"}')[0], 409)  # it runs nowhere

    def test_events_and_log(self):
        connection, stream = self.local("GET", "/v1/events")
        self.assertEqual(stream.status, 200)
        self.assertEqual(self.ask("POST", "/v1/command/pause", "{}")[0], 200)
        got = b""
        while b"event: agent.paused" not in got:
            got += stream.readline()
        self.assertTrue(self.ask("GET", "/v1/state")[1]["agent"]["paused"])
        connection.close()
        lines = [json.loads(line) for line in self.words().splitlines() if line.startswith("{")]
        self.assertIn("agent.ready", [line["event"] for line in lines])
        self.assertTrue(any(line["event"] == "api.request" and line["level"] == "notice" and line["caller"].startswith("uid:") for line in lines))

    def test_service_manager(self):
        """Ready once every machine was asked, alive while the loop turns, stopping at the end."""
        self.stop()
        path = os.path.join(self.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(WAIT_S)
            self.agent = subprocess.Popen([AGENT, "run", "--config", self.config], stdout=self.log, stderr=self.log,
                                          env=dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="900000"))
            heard = []
            while not ("READY=1" in " ".join(heard) and heard.count("WATCHDOG=1") >= 3):
                heard.append(manager.recv(4096).decode())
            self.agent.send_signal(signal.SIGSTOP)  # a loop that does not turn is not alive
            manager.settimeout(0.1)
            with self.assertRaises(TimeoutError):
                while True:
                    manager.recv(4096)
            manager.settimeout(1)
            with self.assertRaises(TimeoutError):
                manager.recv(4096)
            self.agent.send_signal(signal.SIGCONT)
            manager.settimeout(WAIT_S)
            self.agent.send_signal(signal.SIGTERM)
            while manager.recv(4096) != b"STOPPING=1":
                pass
            self.assertEqual(self.agent.wait(WAIT_S), 0, self.words())

    def test_truth_after_a_kill(self):
        self.agent.kill()
        self.agent.wait()
        began = time.monotonic()
        self.agent = subprocess.Popen([AGENT, "run", "--config", self.config, "--log-form", "json"], stdout=self.log, stderr=self.log)
        while self.status("--json")[0] != 0:
            self.assertLess(time.monotonic() - began, 5, self.words())
            time.sleep(0.05)
        self.assertEqual(self.ask("GET", "/v1/state")[1]["agent"]["run"], 2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
