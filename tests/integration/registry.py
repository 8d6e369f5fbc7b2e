# SPDX-License-Identifier: GPL-2.0-or-later
"""registry.py - the list of cases

A case is a function that gets the Lab; it returns (a word on what it measured, or None), or raises. @full cases run only
with --full; @seconds is what it may take before it counts as hanging.
"""
CASES = []


def case(name, seconds=120, full=False):
    def add(function):
        CASES.append((name, function, seconds, full))
        return function
    return add
