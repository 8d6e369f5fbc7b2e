# SPDX-License-Identifier: GPL-2.0-or-later
"""elsewhere - tools of others that the tests use when they can be had; kept outside the tree

Owner: the tests of api/ and plan/.  Thread: any.  Time: limits in seconds.  Units: none.
Everything comes through the machine's own clients (apt, npm) and stays in $APN_CACHE/tests.
"""
import os
import shutil
import subprocess
import sys
import unittest

FETCH_S = 120


def run_tests(names):
    """unittest on NAMES of the main module; exit 77 with the reason when every one of them was skipped."""
    ran = unittest.main(argv=[sys.argv[0]] + names, exit=False).result
    if ran.wasSuccessful() and ran.skipped and len(ran.skipped) == ran.testsRun:
        print("skipped: " + ran.skipped[0][1])
        sys.exit(77)
    sys.exit(0 if ran.wasSuccessful() else 1)


def cache():
    """Where things taken from elsewhere are kept, outside the tree."""
    place = os.path.join(os.environ.get("APN_CACHE") or os.path.expanduser("~/.cache/apn-migrate"), "tests")
    os.makedirs(place, exist_ok=True)
    return place


def find_promtool():
    """promtool without installing Debian's package, which would start a service."""
    given = os.environ.get("APN_PROMTOOL") or shutil.which("promtool")
    if given:
        return given
    place = os.path.join(cache(), "prometheus")
    tool = os.path.join(place, "usr/bin/promtool")
    if os.path.exists(tool):
        return tool
    os.makedirs(place + ".deb", exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", "-q", "prometheus"], cwd=place + ".deb", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=FETCH_S, check=False)
    found = [name for name in os.listdir(place + ".deb") if name.endswith(".deb")]
    if fetched.returncode != 0 or not found:
        return None
    subprocess.run(["dpkg", "-x", os.path.join(place + ".deb", found[0]), place + ".new"], check=True)
    shutil.rmtree(place + ".deb")
    if not os.path.exists(place):
        os.rename(place + ".new", place)
    return tool


def npm_module(name, version):
    """Folder of npm package NAME, or None and why not."""
    place = os.path.join(cache(), "npm-" + name.replace("/", "-").strip("@") + "-" + version)
    folder = os.path.join(place, "node_modules", name)
    if os.path.isdir(folder):
        return folder, ""
    if not shutil.which("npm"):
        return None, "npm is not installed (Debian package npm)"
    os.makedirs(place, exist_ok=True)
    try:
        told = subprocess.run(["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--fetch-timeout=30000", "%s@%s" % (name, version)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=FETCH_S, check=False)
    except subprocess.TimeoutExpired:
        return None, "npm did not answer within %d s" % FETCH_S
    if told.returncode != 0 or not os.path.isdir(folder):
        shutil.rmtree(place, ignore_errors=True)
        words = [line for line in told.stdout.decode(errors="replace").splitlines() if line.startswith("npm error")]
        return None, "npm could not fetch %s %s: %s" % (name, version, " ".join(words[:2])[:120])
    return folder, ""
