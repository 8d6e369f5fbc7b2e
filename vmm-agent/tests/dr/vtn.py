# SPDX-License-Identifier: GPL-2.0-or-later
"""vtn.py - a virtual top node to talk to: the operations of OpenADR 3.1 that a VEN uses, on loopback

Owner: whoever made the Vtn.  Thread: a server thread per request.  Time: real.  Units: seconds.

Written from the published description of the interface: paths, parameters, required members, status codes, problem objects. It is
strict about what a VEN sends, remembers every request, and can be told to fail. No VTN of another hand could be had as a package,
so this one stands for it; docs/demand-response.md says what that does and does not prove.
"""
import email.utils
import http.client
import http.server
import json
import re
import secrets
import ssl
import threading
import time
import urllib.parse

ID = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
OBJECT_TYPES = {"PROGRAM", "EVENT", "REPORT", "SUBSCRIPTION", "VEN", "RESOURCE"}
OPERATIONS = {"READ", "CREATE", "UPDATE", "DELETE"}


def instant(offset_s=0.0):
    """RFC 3339 with milliseconds, so many seconds from now."""
    when = time.time() + offset_s
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + ".%03dZ" % (when % 1 * 1000)


class Problem(Exception):
    def __init__(self, status, detail, title="", headers=()):
        super().__init__(detail)
        self.status, self.detail, self.title, self.headers = status, detail, title, dict(headers)


def need(condition, detail):
    if not condition:
        raise Problem(400, detail, "Bad Request")


def text_member(body, key, required=True):
    value = body.get(key)
    if value is None and not required:
        return None
    need(isinstance(value, str) and 1 <= len(value) <= 128, "%s: text of 1 to 128 characters is required" % key)
    return value


class Vtn:
    """A running VTN. .url; .events and the like are dicts by id; .seen is the list of requests (method, path, query, body)."""

    def __init__(self, client="ven-1", secret="s3cret", token_life_s=3600, base="/openadr3/3.1.1"):
        self.client, self.secret, self.token_life_s, self.base = client, secret, token_life_s, base
        self.lock = threading.RLock()
        self.tokens = {}
        self.programs, self.events, self.reports, self.subscriptions, self.vens = {}, {}, {}, {}, {}
        self.seen, self.faults, self.notified = [], [], []
        self.clock_off_s = 0.0
        self.pages_max = 50
        self.trust = None        # certificate to trust at webhooks
        self.granted = None      # targets granted to the client, None = objects have none
        self.count = 0
        vtn = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def date_time_string(self, timestamp=None):
                return email.utils.formatdate((timestamp or time.time()) + vtn.clock_off_s, usegmt=True)

            def log_message(self, *words):
                pass

            def _serve(self):
                vtn.serve(self)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_where):
                pass  # a client that goes away is its own affair

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        self.url = "http://127.0.0.1:%d%s" % (self.server.server_address[1], base)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- what business logic does ------------------------------------------------------------

    def _new_id(self, kind):
        self.count += 1
        return "%s-%d" % (kind, self.count)

    def _stamp(self, kind, body, old=None):
        return {**body, "id": old["id"] if old else self._new_id(kind.lower()), "objectType": kind,
                "createdDateTime": old["createdDateTime"] if old else instant(self.clock_off_s),
                "modificationDateTime": instant(self.clock_off_s)}

    def add_program(self, name, **members):
        with self.lock:
            program = self._stamp("PROGRAM", {"programName": name, **members})
            self.programs[program["id"]] = program
            return program["id"]

    def add_event(self, program, notify=True, **members):
        with self.lock:
            event = self._stamp("EVENT", {"programID": program, **members})
            self.events[event["id"]] = event
        if notify:
            self.notify("EVENT", "CREATE", event)
        return event["id"]

    def change_event(self, event_id, notify=True, **members):
        with self.lock:
            old = self.events[event_id]
            time.sleep(0.002)  # a later modificationDateTime
            event = self._stamp("EVENT", {**old, **members}, old)
            self.events[event_id] = event
        if notify:
            self.notify("EVENT", "UPDATE", event)

    def delete_event(self, event_id, notify=True):
        with self.lock:
            event = self.events.pop(event_id)
        if notify:
            self.notify("EVENT", "DELETE", event)

    def notify(self, kind, operation, thing):
        """To every subscription that wants it; what came back is kept in .notified."""
        with self.lock:
            wanted = [entry for one in self.subscriptions.values() for entry in one["objectOperations"]
                      if kind in entry["objects"] and operation in entry["operations"]]
        for entry in wanted:
            body = json.dumps({"objectType": kind, "operation": operation, "object": thing})
            self.notified.append(self.call_back(entry, body))

    def connect(self, parts):
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=5,
                                               context=ssl.create_default_context(cafile=self.trust))
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)

    def call_back(self, entry, body, token=None):
        """POST to a webhook; returns (status, text)."""
        parts = urllib.parse.urlsplit(entry["callbackUrl"])
        connection = self.connect(parts)
        headers = {"Content-Type": "application/json"}
        token = entry.get("bearerToken") if token is None else token
        if token:
            headers["Authorization"] = "Bearer " + token
        try:
            connection.request("POST", parts.path or "/", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    # ---- faults ------------------------------------------------------------------------------

    def fail(self, method, path, times=1, status=500, **how):
        """The next @times requests to @path end badly. @how: headers={}, body=b"", cut=True (no answer), slow=seconds"""
        with self.lock:
            self.faults.append({"method": method, "path": path, "left": times, "status": status, **how})

    def _fault(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault["left"] > 0 and fault["method"] == method and path.startswith(fault["path"]):
                    fault["left"] -= 1
                    return fault
        return None

    # ---- serving -----------------------------------------------------------------------------

    def serve(self, request):
        parts = urllib.parse.urlsplit(request.path)
        query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        raw = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = parts.path[len(self.base):] if parts.path.startswith(self.base) else None
        with self.lock:
            self.seen.append((request.command, path, query, raw.decode("utf-8", "replace")))
        try:
            if path is None:
                raise Problem(404, "no such path", "Not Found")
            fault = self._fault(request.command, path)
            if fault and fault.get("slow"):
                time.sleep(fault["slow"])
            if fault and fault.get("cut"):
                request.close_connection = True
                request.connection.close()
                return
            if fault and "body" in fault:
                return self._answer(request, fault["status"], fault["body"], fault.get("headers", {}))
            if fault and not fault.get("slow"):
                raise Problem(fault["status"], "told to fail", "Told", fault.get("headers", {}))
            status, body = self.dispatch(request, path, query, raw)
            self._answer(request, status, json.dumps(body).encode())
        except Problem as problem:
            self._answer(request, problem.status, json.dumps({"type": "about:blank", "title": problem.title, "status": problem.status,
                                                              "detail": problem.detail}).encode(), problem.headers)
        except (BrokenPipeError, ConnectionResetError):
            pass

    @staticmethod
    def _answer(request, status, body, headers=()):
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        for key, value in dict(headers).items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(body)

    def dispatch(self, request, path, query, raw):
        if (request.command, path) == ("GET", "/auth/server"):
            return 200, {"tokenURL": self.url + "/auth/token"}
        if (request.command, path) == ("POST", "/auth/token"):
            return self._token(request, raw)
        self._authorize(request)
        with self.lock:
            handler = getattr(self, "_%s_%s" % (request.command.lower(), path.strip("/").split("/")[0]), None)
            if handler is None:
                raise Problem(404, "no such path", "Not Found")
            body = None
            if request.command in ("POST", "PUT"):
                need(request.headers.get("Content-Type", "").startswith("application/json"), "Content-Type: application/json")
                try:
                    body = json.loads(raw)
                except ValueError:
                    raise Problem(400, "the body is no JSON", "Bad Request") from None
            return handler(path.strip("/").split("/")[1:], query, body)

    def _token(self, request, raw):
        need(request.headers.get("Content-Type") == "application/x-www-form-urlencoded", "form expected")
        form = {key: values[0] for key, values in urllib.parse.parse_qs(raw.decode()).items()}
        if form.get("grant_type") != "client_credentials":
            raise Problem(400, "grant_type", "unsupported_grant_type")
        if (form.get("client_id"), form.get("client_secret")) != (self.client, self.secret):
            raise Problem(401, "client_id or client_secret is wrong", "invalid_client")
        token = secrets.token_urlsafe(24)
        with self.lock:
            self.tokens[token] = time.monotonic() + self.token_life_s
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.token_life_s}

    def _authorize(self, request):
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        with self.lock:
            if kind != "Bearer" or self.tokens.get(token, 0) < time.monotonic():
                raise Problem(401, "the token is missing or has expired", "Unauthorized")

    def _page(self, things, query):
        for key in ("skip", "limit"):
            need(all(value.isdigit() for value in query.get(key, [])), key)
        skip = int(query.get("skip", ["0"])[0])
        limit = int(query.get("limit", ["50"])[0])
        need(0 <= limit <= 50, "limit is at most 50")
        return 200, things[skip:skip + min(limit, self.pages_max)]

    def _visible(self, things, query):
        """Objects with targets only for those who name one that was granted to them."""
        asked = set(query.get("targets", [])) & set(self.granted or [])
        return [thing for thing in things if not thing.get("targets") or asked & set(thing["targets"])]

    def _get_programs(self, rest, query, _body):
        return self._page(self._visible(list(self.programs.values()), query), query)

    def _get_events(self, rest, query, _body):
        events = [event for event in self.events.values() if query.get("programID", [event["programID"]])[0] == event["programID"]]
        return self._page(self._visible(events, query), query)

    def _get_vens(self, rest, query, _body):
        names = query.get("venName")
        return self._page([ven for ven in self.vens.values() if not names or ven["venName"] == names[0]], query)

    def _post_vens(self, rest, _query, body):
        need(body.get("objectType") == "VEN_VEN_REQUEST", "objectType: VEN_VEN_REQUEST")
        name = text_member(body, "venName")
        if any(ven["venName"] == name for ven in self.vens.values()):
            raise Problem(409, "venName is taken", "Conflict")
        ven = self._stamp("VEN", {**body, "clientID": self.client})
        self.vens[ven["id"]] = ven
        return 201, ven

    def _get_subscriptions(self, rest, query, _body):
        return self._page(list(self.subscriptions.values()), query)

    def _post_subscriptions(self, rest, _query, body):
        text_member(body, "clientName")
        operations = body.get("objectOperations")
        need(isinstance(operations, list) and operations, "objectOperations")
        for entry in operations:
            need(set(entry.get("objects", [])) <= OBJECT_TYPES and entry.get("objects"), "objects")
            need(set(entry.get("operations", [])) <= OPERATIONS and entry.get("operations"), "operations")
            self._challenge(entry.get("callbackUrl"))
        one = self._stamp("SUBSCRIPTION", {**body, "clientID": self.client})
        self.subscriptions[one["id"]] = one
        return 201, one

    def _challenge(self, url):
        """The address must answer with the text it was sent (Definitions, Webhooks)."""
        parts = urllib.parse.urlsplit(url or "")
        word = secrets.token_urlsafe(16)
        connection = self.connect(parts)
        try:
            connection.request("GET", (parts.path or "/") + "?echo=" + word)
            answer = connection.getresponse()
            text = answer.read().decode()
        except OSError as error:
            raise Problem(400, "callbackUrl: %s" % error, "Bad Request") from None
        finally:
            connection.close()
        need(answer.status == 200 and text == word, "callbackUrl does not echo")

    def _delete_subscriptions(self, rest, _query, _body):
        if not rest or rest[0] not in self.subscriptions:
            raise Problem(404, "no such subscription", "Not Found")
        return 200, self.subscriptions.pop(rest[0])

    def _post_reports(self, rest, _query, body):
        need(isinstance(body.get("eventID"), str) and ID.match(body["eventID"]), "eventID")
        text_member(body, "clientName")
        need(isinstance(body.get("resources"), list), "resources")
        for resource in body["resources"]:
            text_member(resource, "resourceName")
            need(isinstance(resource.get("intervals"), list), "intervals")
            for interval in resource["intervals"]:
                need(isinstance(interval.get("id"), int), "interval id")
                need(isinstance(interval.get("payloads"), list) and interval["payloads"], "payloads")
                for payload in interval["payloads"]:
                    text_member(payload, "type")
                    need(isinstance(payload.get("values"), list), "values")
        for descriptor in body.get("payloadDescriptors") or []:
            need(descriptor.get("objectType") == "REPORT_PAYLOAD_DESCRIPTOR", "payloadDescriptors.objectType")
            text_member(descriptor, "payloadType")
            need(0 <= descriptor.get("confidence", 100) <= 100, "confidence")
        report = self._stamp("REPORT", {**body, "clientID": self.client})
        self.reports[report["id"]] = report
        return 201, report
