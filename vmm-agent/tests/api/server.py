# SPDX-License-Identifier: GPL-2.0-or-later
"""server - the real server of api/ on a document, and raw HTTP against it

Owner: with Server(...) as server, the process ends with the block.   Thread: the caller's.
Time:  every wait has a limit, seconds.   Units: bytes.
"""
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
WAIT_S = 10


class Server:
    """serve-document with a configuration of its own in a folder of its own."""

    def __init__(self, program, document=(), api=None, state=None):
        self.program, self.document, self.api, self.given = program, document, api or {}, state
        self.sockets = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="api-")
        self.state = os.path.join(self.folder, "state.json")
        self.token_file = os.path.join(self.folder, "token")
        self.socket = os.path.join(self.folder, "s")
        self.write_state(self.given if self.given is not None else subprocess.run(
            ["python3", os.path.join(HERE, "document.py"), *self.document], stdout=subprocess.PIPE, check=True).stdout.decode())
        settings = {"listen": "127.0.0.1:0", "socket": self.socket, "token_file": self.token_file}
        settings.update(self.api)
        with open(os.path.join(self.folder, "c.yaml"), "w", encoding="utf-8") as file:
            json.dump({"api": settings}, file)  # JSON is YAML
        self.log = open(os.path.join(self.folder, "log"), "w+b")
        # under AddressSanitizer freed memory stays for a while, which must not be taken for growth
        environment = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=2:thread_local_quarantine_size_kb=64")
        self.process = subprocess.Popen([self.program, self.state, os.path.join(self.folder, "c.yaml")], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        if not line.startswith("port "):
            self.process.wait(WAIT_S)
            words = self.words()
            self._let_go()
            raise RuntimeError(words.strip() or "the server said nothing")
        self.port = int(line.split()[1])
        self.token = ""
        if os.path.exists(self.token_file):
            with open(self.token_file, encoding="ascii") as file:
                self.token = file.read().strip()
        return self

    def _let_go(self):
        for one in self.sockets:
            one.close()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        try:
            code = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        words = self.words()
        self._let_go()
        if kind is None and code != 0:
            raise AssertionError("the server ended with %d:\n%s" % (code, words[-4000:]))

    def words(self):
        """What it logged so far."""
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def write_state(self, text):
        """Another document from now on; whole or not at all."""
        with open(self.state + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.state + ".new", self.state)

    def event(self, kind, content):
        """Tell an event to all streams."""
        self.process.stdin.write(("event %s %s\n" % (kind, json.dumps(content))).encode())
        self.process.stdin.flush()

    def command_line(self):
        """The next command that arrived, as "VERB JSON"."""
        return self.process.stdout.readline().decode().strip().partition("command ")[2]

    def resident_kib(self):
        """Memory of the server now."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def ask(self, method, path, body=None, headers=None, token=True):
        """One request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = "Bearer " + (token if isinstance(token, str) else self.token)
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return result

    def ask_json(self, method, path, **more):
        """The same, with the body as JSON."""
        status, _, body = self.ask(method, path, **more)
        return status, json.loads(body)

    def raw(self, path=None, receive_bytes=None):
        """A socket to TCP, or to the unix socket at PATH; closed with the server at the latest."""
        one = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.sockets.append(one)
        if receive_bytes:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        one.settimeout(WAIT_S)
        one.connect(path or ("127.0.0.1", self.port))
        return one
