#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_openapi - the description of the interface is valid, complete, and what the server does

Usage: test_openapi.py SERVE_DOCUMENT OPENAPI.json [TEST...].  Owner: meson test.  Thread: main.  Time: none.  Units: none.
"""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from elsewhere import npm_module, run_tests  # noqa: E402
from server import Server

PROGRAM, PATH = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")
VALIDATOR = ("@seriousme/openapi-schema-validator", "2")
JSON = {"Content-Type": "application/json"}
NAMES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, NAMES[name])


def faults(schema, value, document, where="$"):
    """Where VALUE is not what SCHEMA says; the part of JSON Schema that the description uses."""
    if "$ref" in schema:
        target = document
        for part in schema["$ref"].lstrip("#/").split("/"):
            target = target[part]
        return faults(target, value, document, where)
    found = []
    types = schema.get("type")
    if types and not any(is_type(value, name) for name in ([types] if isinstance(types, str) else types)):
        return ["%s: %r is no %s" % (where, value, types)]
    if "const" in schema and value != schema["const"]:
        found.append("%s: %r is not %r" % (where, value, schema["const"]))
    if "enum" in schema and value not in schema["enum"]:
        found.append("%s: %r is none of %s" % (where, value, schema["enum"]))
    if "anyOf" in schema and all(faults(one, value, document, where) for one in schema["anyOf"]):
        found.append("%s: fits nothing of anyOf: %s" % (where, faults(schema["anyOf"][0], value, document, where)[:3]))
    for one in schema.get("allOf", ()):
        found += faults(one, value, document, where)
    if isinstance(value, dict):
        found += ["%s: no %s" % (where, name) for name in schema.get("required", ()) if name not in value]
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += faults(inner, value[name], document, where + "." + name)
    if isinstance(value, list) and "items" in schema:
        for number, one in enumerate(value):
            found += faults(schema["items"], one, document, "%s[%d]" % (where, number))
    return found


class Valid(unittest.TestCase):
    """By a validator written elsewhere."""

    def test_valid(self):
        node = shutil.which("node") or shutil.which("nodejs")
        folder, why = npm_module(*VALIDATOR) if node else (None, "node is not installed (Debian package nodejs)")
        if not folder:
            self.skipTest(why)
        told = subprocess.run([node, os.path.join(folder, "bin/validate-api-cli.js"), PATH], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        self.assertEqual(json.loads(told.stdout), {"valid": True}, told.stdout.decode())


class Openapi(unittest.TestCase):
    """docs/openapi.json against the server."""

    @classmethod
    def setUpClass(cls):
        with open(PATH, encoding="utf-8") as file:
            cls.document = json.load(file)

    def test_checker_sees_faults(self):
        wrong = {"now": 5, "items": [{"name": "a", "state": "dancing"}, {}], "next": []}
        schema = self.document["paths"]["/v1/vms"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        self.assertEqual(len(faults(schema, wrong, self.document)), 5)

    def test_server_does_what_it_says(self):
        for kind in ([], ["--empty"], ["--hostile"]):
            with Server(PROGRAM, kind) as server:
                with open(PATH, "rb") as file:
                    self.assertEqual(server.ask("GET", "/v1/openapi.json", token=False)[2], file.read())
                for path, methods in self.document["paths"].items():
                    for method, operation in methods.items():
                        self.one(server, kind, path, method, operation)

    def one(self, server, kind, path, method, operation):
        """Ask what is described, and compare."""
        if path == "/v1/events" or (kind == ["--empty"] and "{" in path):
            return
        name = {"/v1/sites/{name}": "tokyo", "/v1/hosts/{name}": "tok-h1", "/page/{file}": "app.css"}.get(path, "web-1")
        where = path.replace("{name}", name).replace("{file}", name).replace("{id}", "41")
        status, headers, body = server.ask(method.upper(), where, body="{}" if method == "post" else None, headers=JSON if method == "post" else None)
        if method == "post" or path.endswith("/explain"):
            server.command_line()
        self.assertIn(str(status), operation["responses"], where)
        self.assertEqual(status, 200, where)
        kinds = operation["responses"]["200"]["content"]
        media = headers["Content-Type"].split(";")[0]
        self.assertTrue(media in kinds or "*/*" in kinds, (where, media))
        if media == "application/json" and media in kinds:
            self.assertEqual(faults(kinds[media]["schema"], json.loads(body), self.document), [], where)


if __name__ == "__main__":
    run_tests(sys.argv[3:])
