/* SPDX-License-Identifier: GPL-2.0-or-later */
/* naive.c - the last known day, or the same weekday, once more
 * Persistence is the yardstick: rMAE is a method's error divided by this one's. */
#include <errno.h>
#include <math.h>

#include "forecast/forecast.h"

#define ALL_KINDS ((1u << AGENT_FC_KINDS) - 1)

/* The newest known value at the same time of day, @step days apart, at most @tries times back. */
static void repeat(const struct agent_fc_case *ask, int step, int tries, double *out)
{
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        out[i] = NAN;
        for (int k = 1; k <= tries && !isfinite(out[i]); k++) {
            out[i] = agent_fc_known(ask, ask->day_slot + i - (int64_t)k * step * AGENT_FC_SLOTS);
        }
    }
}

static int known_slots(const double *out)
{
    int count = 0;

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        count += isfinite(out[i]) ? 1 : 0;
    }
    return count;
}

static int predict_persistence(const struct agent_fc_case *ask, double *out)
{
    repeat(ask, 1, 7, out);
    return known_slots(out) > 0 ? 0 : -ENODATA;
}

static int predict_week(const struct agent_fc_case *ask, double *out)
{
    repeat(ask, 7, 4, out);
    return known_slots(out) > 0 ? 0 : -ENODATA;
}

const struct agent_fc_method agent_fc_persistence = {
    .name = "persistence",
    .summary = "the last known day again (seasonal naive, one day)",
    .kinds = ALL_KINDS,
    .history_days = 1,
    .predict = predict_persistence,
};

const struct agent_fc_method agent_fc_week = {
    .name = "naive-week",
    .summary = "the same weekday again (seasonal naive, seven days)",
    .kinds = ALL_KINDS,
    .history_days = 7,
    .predict = predict_week,
};
