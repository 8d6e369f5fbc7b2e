/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_parts.h - the parts of a run (private to simulate/)
 * Owner: the run.   Thread: one.   Time: slots.   Units: as run.h. */
#ifndef AGENT_SIMULATE_RUN_PARTS_H
#define AGENT_SIMULATE_RUN_PARTS_H

#include "simulate/forecasts.h"
#include "simulate/run.h"
#include "simulate/signals.h"

enum actor_kind { ACTOR_STATIC, ACTOR_RULE, ACTOR_PLAN, ACTOR_ROLLING, ACTOR_ORACLE };

/** struct actor - one strategy and the life it has had
 * @method: of the forecasts, plans only
 * @bought, @document: rolling plan only: where VMs were to be in each half hour of the window when
 *                     its gate closed, and the last plan */
struct actor {
    enum actor_kind kind;
    const struct agent_sim_strategy *strategy;
    size_t method;
    struct agent_sim_state state;
    struct agent_sim_outcome *outcome;
    struct agent_sim_place *bought;
    int bought_end; /* one after the last half hour of @bought that is filled */
    json_t *document;
};

struct run {
    const struct agent_sim_request *request;
    const struct agent_sim_data *data;
    struct agent_sim_result *result;
    struct agent_error *error;
    struct agent_sim_world world;
    struct agent_sim_forecasts forecasts;
    struct agent_sim_truth truth;
    struct agent_sim_signals signals;
    struct agent_sim_signals tomorrow;
    struct agent_sim_view view;
    struct agent_sim_place schedule[AGENT_SIM_WINDOW];
    size_t day;
    size_t actor_count;
    struct actor actors[AGENT_SIM_OUTCOMES_MAX + AGENT_SIM_SITES_MAX];
    struct agent_sim_outcome statics[AGENT_SIM_SITES_MAX];
    uint64_t done, total;
};

/** agent_sim_run_scale() - kW of renewable power at @site per MW of its area's solar potential */
double agent_sim_run_scale(const struct run *run, size_t site);

/** agent_sim_roll_day() - live run->day with a plan made again every replan_slots half hours
 * Return: 0, or -errno with run->error. */
int agent_sim_roll_day(struct run *run, struct actor *actor);

/** agent_sim_check() - limits of the request and whether @data span its days. Return: 0, -EINVAL.
 */
int agent_sim_check(const struct agent_sim_request *request, const struct agent_sim_data *data,
                    struct agent_error *error);

/** agent_sim_formulas() - fill use, price, peaks and the traces of what was measured
 * Return: 0, -ENODATA naming what is not known. */
int agent_sim_formulas(const struct agent_sim_request *request, const struct agent_sim_data *data,
                       struct agent_sim_result *result, struct agent_error *error);

#endif
