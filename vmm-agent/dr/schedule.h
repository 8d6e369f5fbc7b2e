/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedule.h - all events at hand, and which of them holds at an instant
 * Owner: struct agent_dr_schedule, _init/_done; it owns the events in it.   Thread: the loop's.
 * Time:  now_ms from the caller.                                            Units:  ms, kW, share.
 *
 * Rules where OpenADR leaves them open (docs/demand-response.md): of two events that ask the same
 * site for power, the lower priority number wins, then the later modification, then the greater id.
 * Import limits never lose: all of them hold beside the winner, the lowest counts. Batteries'
 * charge is a question of its own. */
#ifndef AGENT_DR_SCHEDULE_H
#define AGENT_DR_SCHEDULE_H

#include "dr/event.h"

#define AGENT_DR_EVENTS_MAX 256
#define AGENT_DR_SITES_MAX  64
#define AGENT_DR_NEEDS_MAX  (3 * AGENT_DR_EVENTS_MAX) /* an event asks in three ways at most */
#define AGENT_DR_KEEP_MS    INT64_C(7200000)          /* past events stay this long for reports */

/** struct agent_dr_site - a site and the targets under which a VTN knows it; its name is one too */
struct agent_dr_site {
    char name[64];
    size_t target_count;
    char targets[8][AGENT_DR_NAME_SIZE];
};

/** struct agent_dr_schedule
 * @version: grows with every change; who looked at an older one looks again */
struct agent_dr_schedule {
    size_t site_count;
    struct agent_dr_site sites[AGENT_DR_SITES_MAX];
    size_t count;
    struct agent_dr_event *events[AGENT_DR_EVENTS_MAX];
    uint64_t version;
};

/** enum agent_dr_put - what became of an event that was offered */
enum agent_dr_put {
    AGENT_DR_PUT_NEW,
    AGENT_DR_PUT_CHANGED,
    AGENT_DR_PUT_KNOWN, /* the version at hand; kept as it was first read */
    AGENT_DR_PUT_OLDER  /* an older version than the one at hand; dropped */
};

/** struct agent_dr_need - what one event asks of which sites now
 * @event:    borrowed from the schedule until its next change
 * @shadowed: the event that won where both apply; NULL = this one holds
 * @from_ms, @to_ms: the interval, as far as it is unrolled */
struct agent_dr_need {
    const struct agent_dr_event *event;
    const struct agent_dr_event *shadowed;
    uint64_t sites;
    enum agent_dr_kind kind;
    int32_t interval;
    double value;
    int64_t from_ms;
    int64_t to_ms;
};

/** agent_dr_schedule_init() - @sites (1..AGENT_DR_SITES_MAX) are copied; names and targets must
 * differ. Return: 0 or -EINVAL naming what is used twice. */
int agent_dr_schedule_init(struct agent_dr_schedule *schedule, const struct agent_dr_site *sites,
                           size_t count, struct agent_error *error);

/** agent_dr_schedule_done() - frees all events; a zeroed struct is fine */
void agent_dr_schedule_done(struct agent_dr_schedule *schedule);

/** agent_dr_schedule_put() - offer @event; taken in every case
 * @listing: number of the listing it came with (agent_dr_schedule_sweep), 0 = none
 * Return: enum agent_dr_put; -ENOENT no site has any of its targets; -ENOSPC with
 * AGENT_DR_EVENTS_MAX events that are not over. An event that was opted out of stays so in its
 * later versions. */
int agent_dr_schedule_put(struct agent_dr_schedule *schedule, struct agent_dr_event *event,
                          unsigned listing, int64_t now_ms, struct agent_error *error);

/** agent_dr_schedule_find() - by id, borrowed; NULL = none */
struct agent_dr_event *agent_dr_schedule_find(const struct agent_dr_schedule *schedule,
                                              const char *id);

/** agent_dr_schedule_cancel() - the event is withdrawn. Return: 1, or 0 when it was over or
 * unknown. */
int agent_dr_schedule_cancel(struct agent_dr_schedule *schedule, const char *id, int64_t now_ms,
                             const char *why);

/** agent_dr_schedule_sweep() - a complete listing of the VTN's events has been put: those that no
 * listing from number @oldest on has named are withdrawn. Return: how many. */
int agent_dr_schedule_sweep(struct agent_dr_schedule *schedule, unsigned oldest, int64_t now_ms);

/** agent_dr_schedule_opt_out() - take no part in @id (or all over again, with @out false)
 * Return: 0, or -ENOENT. */
int agent_dr_schedule_opt_out(struct agent_dr_schedule *schedule, const char *id, bool out);

/** agent_dr_schedule_needs() - what holds at @now_ms, winners before the shadowed, then by rank
 * Return: count, at most @max. */
size_t agent_dr_schedule_needs(const struct agent_dr_schedule *schedule, int64_t now_ms,
                               struct agent_dr_need *needs, size_t max);

/** agent_dr_schedule_next_ms() - when needs change next by themselves; AGENT_DR_FOREVER_MS = never
 */
int64_t agent_dr_schedule_next_ms(const struct agent_dr_schedule *schedule, int64_t now_ms);

/** agent_dr_schedule_site() - index of the site called @name, or -ENOENT */
int agent_dr_schedule_site(const struct agent_dr_schedule *schedule, const char *name);

#endif
