# SPDX-License-Identifier: GPL-2.0-or-later
"""book.py - the lab book: one JSON object per line, only ever appended to, and what is left to do after an interruption

Owner: suite.  Thread: main.  Time: wall clock in records.  Units: in the names.

Kinds of line: header (one per start: matrix, commit, host), calibration, run, missing, simulated. A line that a killed
program left half-written ends the book; it is cut off when the book is opened again.
"""
import json
import os

from harness.process import HarnessError

SCHEMA = "apn-bench/1"


class Book:
    """@file_name is made when it is not there. .records: what it holds, oldest first."""

    def __init__(self, file_name):
        self.file_name = file_name
        self.records = []
        if os.path.exists(file_name):
            self._read()

    def _read(self):
        good = 0
        with open(self.file_name, "rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n") or not isinstance(record, dict) or "kind" not in record:
                    break
                self.records.append(record)
                good += len(line)
        if good != os.path.getsize(self.file_name):
            rest = os.path.getsize(self.file_name) - good
            with open(self.file_name, "rb") as file:
                file.seek(good)
                if file.read().count(b"\n") > 1:
                    raise HarnessError("%s: not a lab book from byte %d on; move it away" % (self.file_name, good))
            os.truncate(self.file_name, good)
            self.records.append({"kind": "note", "text": "%d bytes of an unfinished line were cut off" % rest})

    def add(self, kind, record):
        """Append one record; it is on the disk when this returns."""
        whole = {"kind": kind, **record}
        line = json.dumps(whole) + "\n"
        with open(self.file_name, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.records.append(whole)
        return whole

    def of(self, kind):
        return [record for record in self.records if record["kind"] == kind]

    def check_resumable(self, fingerprint, measured):
        """Raise when the book belongs to another matrix or another state of the tree."""
        for header in self.of("header"):
            if header["fingerprint"] != fingerprint:
                raise HarnessError("%s belongs to another matrix (%s): use another --out, or remove it to begin anew" % (
                    self.file_name, header["matrix"]))
            if header["machine"]["measured"] != measured:
                raise HarnessError("%s was begun at commit %s, and what is measured has changed since: figures of both would be "
                                   "mixed; use --fresh or another --out" % (self.file_name, header["machine"]["commit"]))


def runs_by_cell(records):
    """{cell key: run records}"""
    found = {}
    for record in records:
        if record["kind"] == "run":
            found.setdefault(record["cell"], []).append(record)
    return found
