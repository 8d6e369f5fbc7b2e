/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event_private.h - parts of reading an event, shared by event_parse.c and event_times.c
 * Owner: the parse call's stack.   Thread: any, no shared state.
 * Time:  ms since 1970 UTC.        Units:  ms. */
#ifndef AGENT_DR_EVENT_PRIVATE_H
#define AGENT_DR_EVENT_PRIVATE_H

#include "dr/event.h"

/** struct dr_period - an intervalPeriod as written; absent members are marked */
struct dr_period {
    bool has_start;
    bool has_duration;
    bool has_random;
    int64_t start_ms; /* AGENT_DR_NOW_MS, or by our clock */
    int64_t duration_ms;
    int64_t random_ms; /* 0.. */
};

/** struct dr_walk - where the walk along the intervals is */
struct dr_walk {
    const struct agent_dr_reading *reading;
    struct dr_period whole; /* the event's own */
    uint64_t random;
    int64_t shift_ms;
    int64_t at_ms; /* where an interval without a start begins */
};

/** dr_period_parse() - member "intervalPeriod" of @object; absent or null gives a blank one */
int dr_period_parse(const json_t *object, const char *where, const struct agent_dr_reading *reading,
                    struct dr_period *out, struct agent_error *error);

/** dr_walk_start() - begin; @id mixes into the random shift */
void dr_walk_start(struct dr_walk *walk, const struct agent_dr_reading *reading,
                   const struct dr_period *whole, const char *id);

/** dr_walk_next() - begin and end of the next interval, whose own period is @own */
int dr_walk_next(struct dr_walk *walk, const struct dr_period *own, const char *where,
                 int64_t *start_ms, int64_t *end_ms, struct agent_error *error);

/** dr_event_close() - life, repetition and cutting short once all intervals are known
 * @duration_ms: the event's own duration, -1 = it has none */
void dr_event_close(struct agent_dr_event *event, int64_t duration_ms);

/** dr_text() - member @key as text of 1..128 characters into @out (AGENT_DR_NAME_SIZE bytes)
 * Absent or null: -ENOENT if @required, else an empty text. */
int dr_text(const json_t *object, const char *where, const char *key, bool required, char *out,
            struct agent_error *error);

/** dr_member() - member @key, NULL when absent or null */
const json_t *dr_member(const json_t *object, const char *key);

#endif
