# SPDX-License-Identifier: GPL-2.0-or-later
"""schedule.py - what to run next: repeats interleaved, until they agree or a limit is reached

Owner: suite.  Thread: main.  Time: seconds given by the caller.  Units: in the names.

One round runs every cell that still needs a repeat once; within a path and guest the transports change places from round
to round, so that a slow minute of the machine hits everybody alike and nobody always runs after the same neighbour.
"""
import random

from . import stats

FAILURES_MAX = 2  # in a row, then a cell is left alone


def clean(runs):
    return [run for run in runs if run.get("clean")]


def failed_last(runs):
    """How many of the last runs in a row did not complete."""
    count = 0
    for run in reversed(runs):
        if run["status"] == "completed":
            break
        count += 1
    return count


def wants(runs, matrix):
    """Why this cell needs another run, or None.

    @runs: its records so far; unclean ones are repeated, but count towards twice the maximum
    """
    good = clean(runs)
    if failed_last(runs) >= FAILURES_MAX or len(runs) >= 2 * matrix.repeats["max"]:
        return None
    if len(good) < matrix.repeats["min"]:
        return "%d of %d repeats" % (len(good), matrix.repeats["min"])
    if len(good) >= matrix.repeats["max"]:
        return None
    for name, limit in matrix.half_widths.items():
        width = stats.half_width([run.get(name) for run in good])
        if width is None or width > limit:
            return "interval of %s" % name
    return None


def order(cells, round_number, seed):
    """Cells of one round: by path and guest as the matrix has them, transports shuffled."""
    groups = {}
    for cell in cells:
        groups.setdefault((cell.path_name, cell.guest_name), []).append(cell)
    dealer = random.Random(seed * 1000003 + round_number)
    found = []
    for group in groups.values():
        dealer.shuffle(group)
        found += group
    return found


def next_round(cells, runs, matrix, round_number):
    """Cells that need another run, in their order. First the minimum for all, then what makes intervals smaller."""
    needed = {cell.key: wants(runs.get(cell.key, []), matrix) for cell in cells}
    wanting = [cell for cell in cells if needed[cell.key]]
    behind = [cell for cell in wanting if needed[cell.key].endswith("repeats")]
    fewest = min((len(runs.get(cell.key, [])) for cell in behind), default=0)
    chosen = [cell for cell in behind if len(runs.get(cell.key, [])) == fewest] if behind else wanting
    return order(chosen, round_number, matrix.seed)
