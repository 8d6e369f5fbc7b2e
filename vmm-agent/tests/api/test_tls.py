#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_tls - the server as others reach it: TLS, client certificates, and what is refused (all on loopback)

Usage: test_tls.py SERVE_DOCUMENT.  Owner: meson test.  Thread: main.  Exit 77: no openssl to make certificates with.
Time: every wait has a limit, seconds.  Units: none.
"""
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

from server import Server

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ""
place = None


def openssl(*words):
    subprocess.run(["openssl", *words], cwd=place, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificate(name, ca="ca", usage="serverAuth,clientAuth", days="2"):
    """NAME.key and NAME.crt, signed by CA."""
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name)
    os.chmod(os.path.join(place, name + ".key"), 0o600)
    with open(os.path.join(place, name + ".ext"), "w", encoding="ascii") as file:
        file.write("subjectAltName=DNS:%s,IP:127.0.0.1\nextendedKeyUsage=%s\n" % (name, usage))
    openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".crt", "-CAkey", ca + ".key", "-CAcreateserial", "-days", days, "-extfile", name + ".ext", "-out", name + ".crt")


def setUpModule():
    global place
    place = tempfile.mkdtemp(prefix="api-tls-")
    for authority in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", authority + ".key", "-out", authority + ".crt", "-days", "2", "-subj", "/CN=" + authority)
    certificate("server")
    certificate("operator")
    certificate("watcher")
    certificate("stranger", "other")
    certificate("wrong-use", usage="serverAuth")


def tearDownModule():
    shutil.rmtree(place)


def path(name):
    return os.path.join(place, name)


def settings(**more):
    tls = {"certificate": path("server.crt"), "key": path("server.key")}
    tls.update(more)
    return {"listen": "127.0.0.1:0", "tls": tls}


def ask(server, method, where, client=None, token=None, version=None):
    """Status and JSON over TLS, as CLIENT if it has a certificate."""
    context = ssl.create_default_context(cafile=path("ca.crt"))
    if client:
        context.load_cert_chain(path(client + ".crt"), path(client + ".key"))
    if version:
        context.minimum_version = context.maximum_version = version
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
    headers = {"Content-Type": "application/json"} if method == "POST" else {}
    if token:
        headers["Authorization"] = "Bearer " + token
    try:
        connection.request(method, where, "{}" if method == "POST" else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class Tls(unittest.TestCase):
    """A server that others reach."""

    def test_token_over_tls(self):
        with Server(PROGRAM, api=settings()) as server:
            self.assertEqual(ask(server, "GET", "/v1/state")[0], 401)
            self.assertEqual(ask(server, "GET", "/v1/state", token=server.token)[0], 200)
            self.assertEqual(ask(server, "GET", "/v1/state", client="operator")[0], 401)  # nobody asked for certificates
            self.assertEqual(ask(server, "GET", "/v1/state", token=server.token, version=ssl.TLSVersion.TLSv1_2)[0], 200)

    def test_plain_http_gets_nothing(self):
        with Server(PROGRAM, api=settings()) as server, server.raw() as one:
            one.send(b"GET /v1/state HTTP/1.1\r\nHost: x\r\n\r\n")
            got = one.recv(1000)
            self.assertNotIn(b"HTTP/1.1 200", got)

    def test_certificates(self):
        with Server(PROGRAM, api=settings(client_ca=path("ca.crt"), control_names=["operator"])) as server:
            self.assertEqual(ask(server, "GET", "/v1/state", client="operator")[0], 200)
            self.assertEqual(ask(server, "POST", "/v1/command/pause", client="operator")[0], 200)
            self.assertEqual(ask(server, "GET", "/v1/state", client="watcher")[0], 200)
            status, body = ask(server, "POST", "/v1/command/pause", client="watcher")
            self.assertEqual(status, 403)
            self.assertIn("cert:watcher may look", body["error"]["text"])
            self.assertEqual(ask(server, "GET", "/v1/state")[0], 401)
            self.assertEqual(ask(server, "GET", "/v1/state", token=server.token)[0], 200)
            for client in ("stranger", "wrong-use"):
                try:
                    self.assertEqual(ask(server, "GET", "/v1/state", client=client)[0], 401, client)
                except (ssl.SSLError, ConnectionError):
                    pass  # refused in the handshake is as good

    def test_only_certificates(self):
        api = settings(client_ca=path("ca.crt"))
        api["token_file"] = "none"
        with Server(PROGRAM, api=api) as server:
            self.assertEqual(ask(server, "POST", "/v1/command/pause", client="watcher")[0], 200)
            self.assertEqual(ask(server, "GET", "/v1/state", token="x" * 40)[0], 401)

    def test_slow_handshake(self):
        api = settings()
        api["limits"] = {"request_s": 1, "idle_s": 1}
        with Server(PROGRAM, api=api) as server, server.raw() as one:
            start = time.monotonic()
            one.settimeout(5)
            try:
                for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200):
                    one.send(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass
            self.assertLess(time.monotonic() - start, 4)
            self.assertEqual(ask(server, "GET", "/v1/state", token=server.token)[0], 200)

    def test_refused_at_start(self):
        with self.assertRaisesRegex(RuntimeError, "do .*server.crt and .*operator.key belong together"):
            Server(PROGRAM, api=settings(key=path("operator.key"))).__enter__()
        os.chmod(path("watcher.key"), 0o644)
        with self.assertRaisesRegex(RuntimeError, "has mode 0644: everybody can use it"):
            Server(PROGRAM, api=settings(certificate=path("watcher.crt"), key=path("watcher.key"))).__enter__()
        with self.assertRaisesRegex(RuntimeError, "nowhere.crt"):
            Server(PROGRAM, api=settings(certificate="/nowhere.crt")).__enter__()


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("skipped: no openssl to make certificates with (Debian package openssl)")
        sys.exit(77)
    socket.setdefaulttimeout(10)
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])
