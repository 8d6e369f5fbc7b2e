# SPDX-License-Identifier: GPL-2.0-or-later
"""matrix.py - read a matrix file, check every word of it, and say which cells it means

Owner: suite.  Thread: main.  Time: none.  Units: in the names of the keys.

A matrix is a JSON object: guests by name, and blocks, each of them paths x guests x transports. A cell that several blocks
mean is one cell. docs/bench.md describes every key.
"""
import hashlib
import json

from harness.process import HarnessError

from . import transports

SCHEMA = "apn-matrix/1"
CELLS_MAX = 5000
PATH_KEYS = {  # key: (default, lowest, highest)
    "rtt_ms": (None, 0, 1000), "rate_gbps": (None, 0.01, 400), "loss": (0, 0, 0.5), "mtu": (9000, 1280, 65535)}
GUEST_KEYS = {"mib": (None, 128, 1 << 20), "used_mib": (None, 16, 1 << 20), "hot_mib": (0, 0, 1 << 20),
              "rate_mib_s": (0, 0, 100000), "verify_mib_s": (16, 0, 100000), "kv_rate": (0, 0, 100000),
              "kv_mib": (32, 1, 1 << 20)}
REPEAT_KEYS = {"min": (3, 1, 1000), "max": (5, 1, 1000)}
LIMIT_KEYS = {"budget_s": (7200, 10, 10 ** 7), "downtime_limit_ms": (30, 1, 2000), "seed": (1, 0, 2 ** 31)}
ORDERS = ("random", "sequential", "zipf")
ENGINES = ("auto", "tun", "netem", "dpdk")
HALF_WIDTHS = {"throughput_gbps": 0.05, "blackout_ms": 0.15}
GUEST_SPARE_MIB = 160


class MatrixError(HarnessError):
    """The file says something that cannot be meant; the text names file, place, value and limit."""


def _number(where, key, given, limits):
    default, low, high = limits
    value = given.get(key, default)
    if value is None:
        raise MatrixError("%s: %s is missing" % (where, key))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise MatrixError("%s: %s is %r, must be a number within %g..%g" % (where, key, value, low, high))
    return value


def _only(where, given, known):
    if not isinstance(given, dict):
        raise MatrixError("%s: is %r, must be an object" % (where, given))
    for key in given:
        if key not in known:
            raise MatrixError("%s: unknown key '%s'; known: %s" % (where, key, ", ".join(sorted(known))))


def _cut(where, given):
    cut = given.get("cut")
    if cut is None:
        return None
    _only(where + " cut", cut, ("after_s", "for_ms"))
    return {"after_s": _number(where + " cut", "after_s", cut, (None, 0, 600)),
            "for_ms": _number(where + " cut", "for_ms", cut, (None, 1, 60000))}


def read_path(where, given):
    _only(where, given, (*PATH_KEYS, "queue", "congestion", "engine", "cut"))
    path = {key: _number(where, key, given, limits) for key, limits in PATH_KEYS.items()}
    for key, default in (("queue", "100ms"), ("congestion", "cubic")):
        path[key] = given.get(key, default)
        if not isinstance(path[key], str) or not path[key].replace(".", "").isalnum():
            raise MatrixError("%s: %s is %r, must be a word" % (where, key, path[key]))
    path["engine"] = given.get("engine", "auto")
    if path["engine"] not in ENGINES:
        raise MatrixError("%s: engine is %r, must be one of %s" % (where, path["engine"], ", ".join(ENGINES)))
    path["cut"] = _cut(where, given)
    return path


def read_guest(where, given):
    _only(where, given, (*GUEST_KEYS, "order"))
    guest = {key: _number(where, key, given, limits) for key, limits in GUEST_KEYS.items()}
    guest["order"] = given.get("order", "random")
    if guest["order"] not in ORDERS:
        raise MatrixError("%s: order is %r, must be one of %s" % (where, guest["order"], ", ".join(ORDERS)))
    needed = guest["used_mib"] + GUEST_SPARE_MIB + (2 * guest["kv_mib"] if guest["kv_rate"] else 0)
    if needed > guest["mib"]:
        raise MatrixError("%s: mib is %g, but used_mib, its values and the kernel need %g" % (where, guest["mib"], needed))
    if guest["hot_mib"] > guest["used_mib"] or (guest["rate_mib_s"] and not guest["hot_mib"]):
        raise MatrixError("%s: hot_mib is %g, must be within 1..used_mib %g to be rewritten" % (
            where, guest["hot_mib"], guest["used_mib"]))
    return guest


def path_name(path):
    """A short name, the same for the same path."""
    words = "%g ms %g Gb/s" % (path["rtt_ms"], path["rate_gbps"])
    if path["loss"]:
        words += " loss %g" % path["loss"]
    if path["cut"]:
        words += " cut %g ms" % path["cut"]["for_ms"]
    if path["mtu"] != 9000:
        words += " mtu %d" % path["mtu"]
    for key, usual in (("queue", "100ms"), ("congestion", "cubic"), ("engine", "auto")):
        if path[key] != usual:
            words += " %s" % path[key]
    return words


class Cell:
    """One place of the matrix."""

    def __init__(self, path, guest_name, guest, transport):
        self.path = path
        self.guest_name = guest_name
        self.guest = guest
        self.transport = transport
        self.path_name = path_name(path)
        self.key = "%s | %s | %s" % (self.path_name, guest_name, transport)


class Matrix:
    """.name, .cells in order, .repeats, .half_widths, .budget_s, .downtime_limit_ms, .seed, .simulated, .fingerprint"""

    def __init__(self, given, where):
        _only(where, given, ("schema", "name", "about", "repeats", "half_width", "guests", "blocks", "simulated", *LIMIT_KEYS))
        if given.get("schema") != SCHEMA:
            raise MatrixError("%s: schema is %r, must be %s" % (where, given.get("schema"), SCHEMA))
        self.name = given.get("name", "")
        if not isinstance(self.name, str) or not self.name.replace("-", "").isalnum():
            raise MatrixError("%s: name is %r, must be letters, digits and '-'" % (where, self.name))
        for key, limits in LIMIT_KEYS.items():
            setattr(self, key, _number(where, key, given, limits))
        _only(where + " repeats", given.get("repeats", {}), REPEAT_KEYS)
        self.repeats = {key: _number(where + " repeats", key, given.get("repeats", {}), limits)
                        for key, limits in REPEAT_KEYS.items()}
        if self.repeats["min"] > self.repeats["max"]:
            raise MatrixError("%s: repeats: min %d is above max %d" % (where, self.repeats["min"], self.repeats["max"]))
        _only(where + " half_width", given.get("half_width", {}), HALF_WIDTHS)
        self.half_widths = {key: _number(where + " half_width", key, given.get("half_width", {}), (default, 0.001, 10))
                            for key, default in HALF_WIDTHS.items()}
        self.guests = {name: read_guest("%s: guest %s" % (where, name), guest)
                       for name, guest in given.get("guests", {}).items()}
        self.simulated = given.get("simulated", [])
        self.cells = self._expand(given.get("blocks", []), where)
        self.fingerprint = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:16]

    def _expand(self, blocks, where):
        cells = {}
        for number, block in enumerate(blocks):
            place = "%s: block %d" % (where, number + 1)
            _only(place, block, ("paths", "guests", "transports"))
            for key in ("paths", "guests", "transports"):
                if not isinstance(block.get(key), list) or not block[key]:
                    raise MatrixError("%s: %s must be a list with something in it" % (place, key))
            for cell in self._block(block, place):
                cells.setdefault(cell.key, cell)
                if len(cells) > CELLS_MAX:
                    raise MatrixError("%s: more than %d cells" % (where, CELLS_MAX))
        return list(cells.values())

    def _block(self, block, place):
        for given in block["paths"]:
            path = read_path(place + ": path", given)
            for guest in block["guests"]:
                if guest not in self.guests:
                    raise MatrixError("%s: guest '%s' is not among %s" % (place, guest, ", ".join(self.guests)))
                for transport in block["transports"]:
                    if transport not in transports.KNOWN:
                        raise MatrixError("%s: transport '%s' is not among %s" % (
                            place, transport, ", ".join(transports.KNOWN)))
                    yield Cell(path, guest, self.guests[guest], transport)


def load(file_name):
    """A Matrix, or MatrixError."""
    try:
        with open(file_name, encoding="utf-8") as file:
            given = json.load(file)
    except OSError as error:
        raise MatrixError("%s: %s" % (file_name, error.strerror)) from error
    except ValueError as error:
        raise MatrixError("%s: not JSON: %s" % (file_name, error)) from error
    return Matrix(given, file_name)
