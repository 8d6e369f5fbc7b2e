# SPDX-License-Identifier: GPL-2.0-or-later
"""registry.py - the list of cases

A case is a function that gets the Lab; it returns (a word on what it measured, or None), or raises. @full cases run only
with --full; @seconds is what it may take before it counts as hanging. Cases run two at a time, each with a path of its own,
except those that judge figures (@alone).
"""
import collections

CASES = []

Case = collections.namedtuple("Case", "name function seconds full alone")


def case(name, seconds=120, full=False, alone=False):
    def add(function):
        CASES.append(Case(name, function, seconds, full, alone))
        return function
    return add
