/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rolling.h - plan again from what runs now: typed question, instance, solution, document
 * Owner: the question borrows everything; struct agent_roll_answer owns what it holds.
 * Thread: any, no shared state.
 * Time:  slots since 1970 (agent_slot_of) in names with _slot, else slots of the window.
 * Units: kW, kWh, GB, yen, g CO2.
 *
 * The simulation and the live agent both plan through agent_roll_solve(). What is within gate closure
 * was bought by the plan before: departing from that costs the imbalance spread. A plan that cannot
 * be is answered by staying, never by bending a constraint. */
#ifndef AGENT_PLAN_ROLLING_H
#define AGENT_PLAN_ROLLING_H

#include "plan/plan.h"
#include "support/slot.h"

#define AGENT_ROLL_SLOTS 96 /* the window: today and tomorrow */

/** struct agent_roll_site - series have AGENT_ROLL_SLOTS members, NAN = not known
 * @unknown_signal: a signal that may not be relied on ("price"), or NULL; @unknown_reason: why
 * @battery: NULL = none; its soc_kwh NAN = unknown, it is left alone */
struct agent_roll_site {
    const char *id;
    const char *area;
    double cpu, ram_gb;
    double power_kw, contract_kw; /* INFINITY = no limit */
    double idle_kw, pue;
    double demand_yen_per_kw, peak_so_far_kw;
    const double *price;
    const double *carbon;
    const double *surplus_kw[PLAN_QUANTILES];
    const char *unknown_signal;
    const char *unknown_reason;
    const struct plan_battery *battery;
};

/** struct agent_roll_link - one direction; @rate_gbit_s NAN = unknown: nothing moves over it */
struct agent_roll_link {
    int from, to;
    double rate_gbit_s; /* for migrations, of agent time */
    double yen_per_gb;
    double blackout_ms;
};

/** struct agent_roll_group - @sites: bit per site where it may run
 * @fixed: why it is not to be moved, or NULL */
struct agent_roll_group {
    const char *id;
    int count;
    double cpu, ram_gb, power_w, move_gb;
    double yen_per_move, yen_per_blackout_s;
    int dwell_slots;
    uint64_t sites;
    size_t running_count;
    const struct plan_running *running;
    const char *fixed;
};

/** struct agent_roll - one question
 * @day_slot:  slot of 00:00 JST of today, member 0 of the series
 * @first, @end: the planned part of the window, 0 <= first < end <= AGENT_ROLL_SLOTS
 * @before:    the last document, or NULL; @options: of the solver, its warm start is set here */
struct agent_roll {
    const char *name;
    int64_t day_slot;
    int first, end;
    double weight_price, carbon_yen_per_kg, grid_yen_per_kwh;
    double risk[PLAN_QUANTILES]; /* all 0 = the planner's own */
    int gate_slots;
    double imbalance_yen_per_kwh;
    size_t site_count;
    const struct agent_roll_site *sites;
    size_t link_count;
    const struct agent_roll_link *links;
    size_t group_count;
    const struct agent_roll_group *groups;
    const json_t *before;
    struct agent_plan_options options;
};

/** struct agent_roll_answer - zeroed before, agent_roll_answer_done() after
 * @plan: NULL when nothing could be planned and staying is not a plan either
 * @stayed: no plan exists or none was found: @plan is to stay, @why names the constraint */
struct agent_roll_answer {
    json_t *question; /* the instance as JSON */
    struct agent_plan_instance *instance;
    struct agent_plan *plan;
    json_t *document;
    bool stayed;
    char why[AGENT_ERROR_TEXT_MAX];
};

/** agent_roll_solve() - Return: 0; -EINVAL (the question makes no instance: which key); -ENOMEM. */
int agent_roll_solve(const struct agent_roll *roll, struct agent_roll_answer *answer,
                     struct agent_error *error);

void agent_roll_answer_done(struct agent_roll_answer *answer);

/** agent_roll_slot() - slot since 1970 that slot 0 of @document's window is, or -1 */
int64_t agent_roll_slot(const json_t *document);

#endif
