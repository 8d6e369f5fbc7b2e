/* SPDX-License-Identifier: GPL-2.0-or-later */
/* strategy.h - ways to decide where VMs are during a day
 * Owner: views and schedules of the run.   Thread: one.
 * Time:  slots of a day or a window.        Units: kW, JPY/kWh, g/kWh. */
#ifndef AGENT_SIMULATE_STRATEGY_H
#define AGENT_SIMULATE_STRATEGY_H

#include <jansson.h>

#include "simulate/world.h"

enum agent_sim_quantile { SIM_P10, SIM_P50, SIM_P90, SIM_QUANTILES };

#define AGENT_SIM_WINDOW (2 * AGENT_SIM_SLOTS) /* today and tomorrow */

/** struct agent_sim_view - what may be known when it is decided, NAN = not to be relied on
 * @today:    slot of 00:00; @first, @end: half hours of the window to decide, 0..48 for a day plan
 * @price:    known the day before
 * @renewable: forecast quantiles
 * @measured: of the half hour before each one: all that a reactive rule sees
 * @signal, @frozen: why nothing may come to or leave the site, NULL = it may
 * @before:   the document of the last plan, or NULL; @document: where the planner leaves its own
 *            (a new reference), or NULL = it is not wanted */
struct agent_sim_view {
    const struct agent_sim_world *world;
    int64_t today;
    int first, end;
    double price[AGENT_SIM_SITES_MAX][AGENT_SIM_WINDOW];
    double carbon[AGENT_SIM_SITES_MAX][AGENT_SIM_WINDOW];
    double renewable[AGENT_SIM_SITES_MAX][SIM_QUANTILES][AGENT_SIM_WINDOW];
    double measured[AGENT_SIM_SITES_MAX][AGENT_SIM_SLOTS];
    const char *signal[AGENT_SIM_SITES_MAX];
    const char *frozen[AGENT_SIM_SITES_MAX];
    const json_t *before;
    json_t **document;
};

/** struct agent_sim_strategy - one way
 * @reactive: it sees each half hour's measurement only when that begins
 * @decide: fill places @first..@end - 1 of @schedule from where VMs are at @first; every place has
 *          the VMs of every group and respects capacities. Pure but for allocation.
 *          Return: 0, or -errno with @error. */
struct agent_sim_strategy {
    const char *name;
    const char *summary;
    bool reactive;
    int (*decide)(const struct agent_sim_view *view, const struct agent_sim_state *start,
                  struct agent_sim_place *schedule, struct agent_error *error);
};

extern const struct agent_sim_strategy agent_sim_stay;     /* where they are */
extern const struct agent_sim_strategy agent_sim_cheapest; /* cheapest-now */
extern const struct agent_sim_strategy agent_sim_greedy;   /* greedy max-surplus */
extern const struct agent_sim_strategy agent_sim_planner;  /* planner.c */

/** agent_sim_place_even() - every group spread evenly over the sites (uniform) */
void agent_sim_place_even(const struct agent_sim_world *world, struct agent_sim_place *place);

/** agent_sim_place_at() - as much as fits at @site, the rest at the others in order (static) */
void agent_sim_place_at(const struct agent_sim_world *world, size_t site,
                        struct agent_sim_place *place);

#endif
