/* SPDX-License-Identifier: GPL-2.0-or-later */
/* respond.h - which measures answer what is asked: a pure decision
 * Owner: plain values of the caller.   Thread: any, no shared state, does not block.
 * Time:  none is read; durations in.   Units:  kW, yen, s.
 *
 * Every measure says what it changes where, how soon, and what it costs (lost benefit of the
 * guests, wear of a battery, price of the move). The decision is the cheapest set that covers the
 * needs of all sites at once, at most one measure per guest; what cannot be covered is covered as
 * far as it goes. The same input always gives the same answer: the search is bounded by a count of
 * steps, never by a clock. */
#ifndef AGENT_DR_RESPOND_H
#define AGENT_DR_RESPOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_DR_MEASURES_MAX   4096
#define AGENT_DR_DEMANDS_MAX    32
#define AGENT_DR_SEARCH_DEFAULT 20000
#define AGENT_DR_NO_GUEST       UINT32_MAX
#define AGENT_DR_NO_SITE        UINT32_MAX

/** enum agent_dr_measure_kind - in the order in which they are preferred at equal cost */
enum agent_dr_measure_kind {
    AGENT_DR_BATTERY, /* discharge or charge; divisible */
    AGENT_DR_RELEASE, /* a copy held converged elsewhere takes over */
    AGENT_DR_CAP,     /* fewer CPU seconds for the guest */
    AGENT_DR_RESTORE, /* end a cap or pause: up */
    AGENT_DR_PAUSE,   /* the guest stands still */
    AGENT_DR_MIGRATE  /* the guest moves: takes minutes */
};

/** struct agent_dr_measure
 * @guest:   number of the guest it concerns, AGENT_DR_NO_GUEST = none; one measure per guest is
 * taken
 * @site, @change_kw: where it changes the draw, and by how much (less is negative)
 * @other_site, @other_kw: the other end of a move; AGENT_DR_NO_SITE = none
 * @lead_s:  until the change is there
 * @cost_yen: for the whole of the event, >= 0
 * @divisible: any share of it can be taken, cost in proportion */
struct agent_dr_measure {
    enum agent_dr_measure_kind kind;
    uint32_t guest;
    uint32_t site;
    uint32_t other_site;
    double change_kw;
    double other_kw;
    double lead_s;
    double cost_yen;
    bool divisible;
};

/** struct agent_dr_demand - change of the draw of these sites in sum; negative = draw less
 * Once covered it may be exceeded: guests cannot be cut in pieces. */
struct agent_dr_demand {
    uint64_t sites;
    double change_kw;
};

/** struct agent_dr_question
 * @within_s:   measures that take longer are left out
 * @room_kw:    per site: how much all measures together may add to its draw (negative = 0; what
 *              others take away there at the same time is not counted on); NULL = no limit
 * @site_count: members of @room_kw
 * @missing_yen_per_kw: what a kW not delivered costs; above every cost per kW that is worth while
 * @search:     steps of the search after the first answer, 0 = AGENT_DR_SEARCH_DEFAULT */
struct agent_dr_question {
    const struct agent_dr_measure *measures;
    size_t measure_count;
    const struct agent_dr_demand *demands;
    size_t demand_count;
    const double *room_kw;
    size_t site_count;
    double within_s;
    double missing_yen_per_kw;
    unsigned search;
};

/** struct agent_dr_pick - measure number @measure, taken to @share (1 unless it is divisible) */
struct agent_dr_pick {
    size_t measure;
    double share;
};

/** struct agent_dr_answer
 * @cost_yen: of the measures alone. @missing_kw, @change_kw: per demand, missing >= 0
 * @optimal: no better set exists (the search came to its end) */
struct agent_dr_answer {
    size_t count;
    struct agent_dr_pick picks[AGENT_DR_MEASURES_MAX];
    double cost_yen;
    double missing_kw[AGENT_DR_DEMANDS_MAX];
    double change_kw[AGENT_DR_DEMANDS_MAX];
    bool optimal;
};

/** agent_dr_respond() - decide
 * @answer: filled in; picks in the order in which they should be carried out: kind, then measure
 * Return: 0, -EINVAL (a value out of range), -E2BIG (more than the limits above), -ENOMEM. */
int agent_dr_respond(const struct agent_dr_question *question, struct agent_dr_answer *answer,
                     struct agent_error *error);

/** agent_dr_measure_name() - "battery", "release", ... */
const char *agent_dr_measure_name(enum agent_dr_measure_kind kind);

#endif
