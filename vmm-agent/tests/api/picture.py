#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""picture - the page of a running agent as PNG: picture.py PORT TOKEN_FILE OUT.png [WIDTH [LANGUAGE [light|dark]]]

Waits until the page is live and has drawn its state. Owner: the caller.  Thread: main.
Time: every wait has a limit, seconds.  Units: CSS pixels.  Exit: 0, 77 no Chromium, 1 with the reason.
"""
import signal
import sys

from browser import Browser, BrowserError, program

HEIGHT = 900
LIVE = "document.querySelector('#chips .chip.good') !== null && !document.getElementById('board').hidden"


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    port, token_file, out = sys.argv[1:4]
    width, language, theme = (sys.argv[4:7] + ["1280", "en", "light"][len(sys.argv[4:7]):])
    if not program():
        print("picture: no Chromium (Debian package chromium)", file=sys.stderr)
        sys.exit(77)
    with open(token_file, encoding="ascii") as file:
        token = file.read().strip()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("picture: told to end"))  # the browser ends with us
    try:
        with Browser() as browser:
            browser.open("http://127.0.0.1:%d/#lang=%s&token=%s" % (int(port), language, token), int(width), HEIGHT, theme == "dark", language)
            browser.wait_for("document.readyState === 'complete' && " + LIVE, 20)
            browser.screenshot(out)
    except (BrowserError, OSError, ValueError) as error:
        sys.exit("picture: %s" % error)


if __name__ == "__main__":
    main()
