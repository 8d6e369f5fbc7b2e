/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forecasts.h - every method's forecast of every site for every day of a run
 * Owner: struct agent_sim_forecasts, _make/_done.   Thread: one.
 * Time:  days of the run.                           Units: MW of solar potential of the area. */
#ifndef AGENT_SIMULATE_FORECASTS_H
#define AGENT_SIMULATE_FORECASTS_H

#include "simulate/run.h"

/** struct agent_sim_forecasts - @value is [method][site][day][quantile][slot]; NAN = none
 * The last of the @count methods is the choice: re-made every 30 days by back-test. */
struct agent_sim_forecasts {
    size_t count;
    char name[AGENT_FC_METHODS_MAX][24];
    size_t sites;
    size_t days;
    float *value;
};

/** agent_sim_forecasts_make() - run all methods (or request->method); methods that could do fewer
 * than half the days are left out. Fills result->chosen and ->ranking. Return: 0, -ENOMEM. */
int agent_sim_forecasts_make(const struct agent_sim_request *request,
                             const struct agent_sim_data *data,
                             struct agent_sim_forecasts *forecasts,
                             struct agent_sim_result *result);

/** agent_sim_forecasts_day() - 48 values of one quantile; borrowed */
const float *agent_sim_forecasts_day(const struct agent_sim_forecasts *forecasts, size_t method,
                                     size_t site, size_t day, enum agent_sim_quantile quantile);

void agent_sim_forecasts_done(struct agent_sim_forecasts *forecasts);

#endif
