/* SPDX-License-Identifier: GPL-2.0-or-later */
/* truth.h - who has the guest, judged from what every QEMU of one machine says; a pure function
 * Owner: none.   Thread: any.
 * Time:  none: facts of one moment.   Units: none.
 *
 * The rule behind every line: a guest is taken for gone, or is started, only on proof. What is
 * merely likely is "unclear", and a person is asked. docs/act.md has the table in words. */
#ifndef AGENT_ACT_TRUTH_H
#define AGENT_ACT_TRUTH_H

#include "act/qemu.h"

#define AGENT_TRUTH_FACTS_MAX 8

enum agent_truth_is {
    AGENT_TRUTH_WAIT,   /* something is on its way: look again soon */
    AGENT_TRUTH_ABSENT, /* proved: no QEMU has it */
    AGENT_TRUTH_HERE, /* @owner has it; other ones, if any, never had it or are silent leftovers */
    AGENT_TRUTH_MOVING,    /* @owner has it and is sending it to @dest */
    AGENT_TRUTH_HANDED,    /* @owner has it, @source has completed and may be released */
    AGENT_TRUTH_DEST_RUNS, /* @source does not know; @owner, its destination, has it */
    AGENT_TRUTH_DEST_GONE, /* @source does not know; every other one is proved gone */
    AGENT_TRUTH_DOUBLE,    /* two are running: stop and call a person */
    AGENT_TRUTH_UNCLEAR    /* cannot be known from here */
};

/** struct agent_truth - members not named for the case are NULL; @why is for people */
struct agent_truth {
    enum agent_truth_is is;
    struct agent_qemu *owner;
    struct agent_qemu *source;
    struct agent_qemu *dest;
    char why[200];
};

/** agent_truth_of() - judge the list that begins at @first (chained by next) */
struct agent_truth agent_truth_of(struct agent_qemu *first);

/** agent_truth_migrating() - is an outgoing migration of this one under way? */
bool agent_truth_migrating(const struct agent_qemu *qemu);

#endif
