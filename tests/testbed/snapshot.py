#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""snapshot.py - boot the test bed's guest outside and keep it; usage: snapshot.py DIRECTORY"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import beds  # noqa: E402
from harness.process import stop_all  # noqa: E402
from migrations import WRITE_MIB  # noqa: E402


def main():
    with tempfile.TemporaryDirectory(prefix="bed-", dir=sys.argv[1]) as directory:
        lab = beds.OutsideLab(beds.Environment(), directory)
        try:
            print(lab.make(lab.guest(rate=WRITE_MIB), sys.argv[1]))
        finally:
            lab.close()
            stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
