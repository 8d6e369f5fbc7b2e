# SPDX-License-Identifier: GPL-2.0-or-later
"""compare.py - is NEW better or worse than OLD? Verdicts that noise cannot make

Owner: suite.  Thread: main.  Time: none.  Units: in the names.

A row gets a verdict only when chance would deal the two sets of clean runs that far apart in at most one case of a hundred
(exact rank sums) and the medians differ by more than the floor. With three repeats a side no such verdict is possible, and that
is what is said. All rows of a transport together can decide more (Wilcoxon's signed ranks over the rows' ratios).
"""
import math
import os

from harness.process import HarnessError

from . import book, schedule, stats
from .rows import FIGURES

P_MAX = 0.01
FLOOR = {"throughput_gbps": 0.03, "blackout_ms": 0.10, "cpu_s_per_gib": 0.05}


def _load(directory):
    place = os.path.join(directory, "runs.jsonl")
    if not os.path.isfile(place):
        raise HarnessError("%s: there is no lab book (runs.jsonl)" % directory)
    return book.Book(place).records


def verdict(name, old, new):
    """{'verdict': better|worse|same|undecided, 'ratio', 'p', 'why'} of two lists of values."""
    if not old or not new:
        return {"verdict": "undecided", "ratio": None, "p": None, "why": "no clean runs in %s" % ("OLD" if not old else "NEW")}
    before, after = stats.median(old), stats.median(new)
    if not before:
        return {"verdict": "undecided", "ratio": None, "p": None, "why": "the old median is 0"}
    ratio, p = after / before, stats.difference_p(old, new)
    found = {"ratio": round(ratio, 4), "p": round(p, 5), "why": None}
    if abs(ratio - 1) <= FLOOR[name]:
        return {**found, "verdict": "same", "why": "within the floor of %g %%" % (FLOOR[name] * 100)}
    if p <= P_MAX:
        return {**found, "verdict": "better" if (ratio > 1) == FIGURES[name] else "worse"}
    best = stats.smallest_p(len(old), len(new))
    why = "p %.3f is above %g" % (p, P_MAX)
    if best > P_MAX:
        why = "%d and %d clean repeats cannot decide at p %g" % (len(old), len(new), P_MAX)
    return {**found, "verdict": "undecided", "why": why}


def over_all(ratios, name):
    """The rows of one transport together."""
    differences = [math.log(ratio) for ratio in ratios if ratio]
    if not differences:
        return None
    middle, p = math.exp(stats.median(differences)), stats.signed_rank_p(differences)
    found = {"ratio": round(middle, 4), "p": round(p, 5), "rows": len(differences)}
    if p <= P_MAX and abs(middle - 1) > FLOOR[name] / 2:
        return {**found, "verdict": "better" if (middle > 1) == FIGURES[name] else "worse"}
    return {**found, "verdict": "undecided" if abs(middle - 1) > FLOOR[name] else "same"}


def compare(old_records, new_records):
    """{'rows': [...], 'all': [...], 'worse': count, 'better': count, 'warnings': [...]}"""
    sides = [book.runs_by_cell(records) for records in (old_records, new_records)]
    rows, ratios = [], {}
    for cell in sides[0]:
        if cell not in sides[1]:
            continue
        runs = [schedule.clean(side[cell]) for side in sides]
        transport = sides[0][cell][0]["transport"]
        for name in FIGURES:
            values = [[run[name] for run in side if run.get(name) is not None] for side in runs]
            found = verdict(name, *values)
            rows.append({"cell": cell, "transport": transport, "figure": name, "repeats": [len(v) for v in values], **found})
            if found["ratio"]:
                ratios.setdefault((transport, name), []).append(found["ratio"])
    together = [{"transport": transport, "figure": name, **over_all(values, name)}
                for (transport, name), values in ratios.items()]
    warnings = _warnings(old_records, new_records)
    for side, other, words in ((0, 1, "NEW"), (1, 0, "OLD")):
        lost = [cell for cell in sides[side] if cell not in sides[other]]
        if lost:
            warnings.append("%d cells have no runs in %s: %s%s" % (len(lost), words, ", ".join(lost[:3]), " …" if len(lost) > 3 else ""))
    return {"rows": rows, "all": together, "warnings": warnings,
            **{word: sum(entry["verdict"] == word for entry in rows + together) for word in ("better", "worse", "same", "undecided")}}


def _warnings(old_records, new_records):
    """What makes the two hard to compare: other host, kernel, QEMU, path."""
    about = []
    for records in (old_records, new_records):
        headers = [record for record in records if record["kind"] == "header"]
        about.append(headers[-1]["machine"] if headers else {})
    return ["%s differs: %s, then %s" % (key, about[0].get(key), about[1].get(key))
            for key in ("host", "cpu", "cpus", "kernel", "qemu_stock", "governor") if about[0].get(key) != about[1].get(key)]


def compare_directories(old, new):
    return compare(_load(old), _load(new))


def lines(result):
    """For a terminal: warnings, what changed, what is undecided, the whole."""
    found = ["warning: " + words for words in result["warnings"]]
    for entry in sorted(result["rows"], key=lambda e: ("worse", "better", "undecided", "same").index(e["verdict"])):
        if entry["verdict"] == "same":
            continue
        found.append("%-10s %-60s %-15s %s%s" % (
            entry["verdict"].upper(), entry["cell"], entry["figure"],
            "x%.3f p %.4f" % (entry["ratio"], entry["p"]) if entry["ratio"] else "", "  (%s)" % entry["why"] if entry["why"] else ""))
    for entry in result["all"]:
        found.append("%-10s %-60s %-15s x%.3f p %.4f over %d rows" % (
            entry["verdict"].upper(), "all rows of " + entry["transport"], entry["figure"], entry["ratio"], entry["p"], entry["rows"]))
    found.append("%d better, %d worse, %d the same, %d undecided" % tuple(
        result[word] for word in ("better", "worse", "same", "undecided")))
    return found
