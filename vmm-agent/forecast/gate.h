/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gate.h - may a decision rest on this signal?
 * Owner: plain functions.   Thread: any, no state.
 * Time:  now_s from the caller.   Units: as the series.
 *
 * What fails here is not repaired or guessed: what depends on the signal stays where it is, and
 * the verdict's text says which signal and why. */
#ifndef AGENT_FORECAST_GATE_H
#define AGENT_FORECAST_GATE_H

#include "grid/series.h"

enum agent_gate_fault {
    AGENT_GATE_OK,
    AGENT_GATE_MISSING,     /* nothing, or too many holes in what is needed */
    AGENT_GATE_LATE,        /* it ends before what is needed begins, by less than a day */
    AGENT_GATE_STALE,       /* older than a day, or the same number over and over */
    AGENT_GATE_ZERO,        /* all zero where that cannot be */
    AGENT_GATE_FUTURE,      /* dated after the moment it was read */
    AGENT_GATE_REVISED,     /* published figures were replaced after they were planned with */
    AGENT_GATE_IMPLAUSIBLE, /* the self-checks of its source doubt it */
    AGENT_GATE_FAULTS
};

/** struct agent_gate_rule - what a decision needs of the signal
 * @from_s, @until_s: the needed time; day-ahead prices: the planned day; measurements: the days
 *                    a forecast leans on, ending at the newest that must be there
 * @now_s:            the moment of deciding
 * @zero_ok:          a whole window of zeros can be true (curtailment, solar in the dark)
 * @repeat_max:       so many equal non-zero values in a row mean a stuck meter; 0 = not judged */
struct agent_gate_rule {
    int64_t from_s;
    int64_t until_s;
    int64_t now_s;
    bool zero_ok;
    unsigned repeat_max;
};

struct agent_gate_verdict {
    enum agent_gate_fault fault;
    char text[256]; /* "kyushu pv actual: late: newest 2026-04-01T12:00:00+09:00, …" */
};

/** agent_gate_fault_name() - "ok", "missing", "late" … */
const char *agent_gate_fault_name(enum agent_gate_fault fault);

/** agent_gate_fault_parse() - the reverse. Return: the fault, AGENT_GATE_FAULTS = no such name. */
enum agent_gate_fault agent_gate_fault_parse(const char *name);

/** agent_gate_check() - judge @series by @rule
 * @series: may be NULL or empty (missing); @name: what to call it then ("kyushu pv actual")
 * Return: true when it may be used; @verdict is always filled. */
bool agent_gate_check(const struct agent_series *series, const char *name,
                      const struct agent_gate_rule *rule, struct agent_gate_verdict *verdict);

#endif
