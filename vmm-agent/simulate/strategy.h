/* SPDX-License-Identifier: GPL-2.0-or-later */
/* strategy.h - ways to decide where VMs are during a day
 * Owner: views and schedules of the run.   Thread: one.
 * Time:  slots 0..47 of a day.             Units: kW, JPY/kWh, g/kWh. */
#ifndef AGENT_SIMULATE_STRATEGY_H
#define AGENT_SIMULATE_STRATEGY_H

#include "simulate/world.h"

enum agent_sim_quantile { SIM_P10, SIM_P50, SIM_P90, SIM_QUANTILES };

/** struct agent_sim_view - what may be known when the day is decided, NAN = not to be relied on
 * @price:    known the day before
 * @renewable: forecast quantiles
 * @measured: of the half hour before each one: all that a reactive rule sees
 * @frozen:   why nothing may come to or leave the site, NULL = it may */
struct agent_sim_view {
    const struct agent_sim_world *world;
    double price[AGENT_SIM_SITES_MAX][AGENT_SIM_SLOTS];
    double carbon[AGENT_SIM_SITES_MAX][AGENT_SIM_SLOTS];
    double renewable[AGENT_SIM_SITES_MAX][SIM_QUANTILES][AGENT_SIM_SLOTS];
    double measured[AGENT_SIM_SITES_MAX][AGENT_SIM_SLOTS];
    const char *frozen[AGENT_SIM_SITES_MAX];
};

/** struct agent_sim_strategy - one way
 * @decide: fill @schedule (48 places) from where VMs are at the start; every place has the VMs of
 *          every group and respects capacities. Pure but for allocation.
 *          Return: 0, or -errno with @error. */
struct agent_sim_strategy {
    const char *name;
    const char *summary;
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
