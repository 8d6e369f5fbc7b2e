#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""meson-results.py - meson's testlog.json as lines: ok NAME / not ok NAME: why / skip NAME: reason

Owner: tools/run.d/test.sh.  Thread: main.  Time: none.  Units: none.
"""
import json
import re
import sys

PASSED = ("OK", "EXPECTEDFAIL")
REASON_MAX = 160
REASONS_MAX = 5  # of one test
TELLING = re.compile(r"^not ok |^\[\s+(?:LINE|ERROR)\s+\]|^==\d+==ERROR|^WARNING: ThreadSanitizer|: runtime error: ")


def failures(entry):
    """What the test itself called wrong: its own cases, cmocka's places, a sanitizer's first words; else its last line."""
    text = (entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")
    told = [line.strip()[:REASON_MAX] for line in text.splitlines() if TELLING.search(line.strip())]
    return "; ".join(told[:REASONS_MAX]) or last_line(entry)


def last_line(entry):
    """The last line of the test's own words, most telling first."""
    text = (entry.get("stderr") or "") + "\n" + (entry.get("stdout") or "")
    lines = [re.sub(r"^#?\s*", "", line).strip() for line in text.splitlines()]
    skips = [line for line in lines if re.search(r"skip", line, re.IGNORECASE)]
    lines = [line for line in lines if line]
    if entry["result"] == "SKIP" and skips:
        return skips[-1][:REASON_MAX]
    return lines[-1][:REASON_MAX] if lines else ""


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: meson-results.py TESTLOG PREFIX")
    log, prefix = sys.argv[1:]
    with open(log, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            name = prefix + entry["name"].split(" / ")[-1]
            if entry["result"] in PASSED:
                print("ok %s" % name)
            elif entry["result"] == "SKIP":
                print("skip %s: %s" % (name, last_line(entry) or "the test gave no reason"))
            else:
                print("not ok %s: %s, %s" % (name, entry["result"].lower(), failures(entry)))


if __name__ == "__main__":
    main()
