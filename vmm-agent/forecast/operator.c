/* SPDX-License-Identifier: GPL-2.0-or-later */
/* operator.c - the operator's own forecast, corrected by what it has been wrong by
 * Bias by time of day over 28 days, pooled with the neighbouring half hours. It is a ratio, kept
 * within 0.5..2, where the forecasts are of some size; where they are near zero, an offset. */
#include <errno.h>
#include <math.h>

#include "forecast/forecast.h"

#define LEARN_DAYS  28
#define LEAST_PAIRS 7
#define RATIO_MIN   0.5
#define RATIO_MAX   2.0

struct pairs {
    double actual;
    double outlook;
    int count;
};

static struct pairs collect(const struct agent_fc_case *ask, int index)
{
    struct pairs pairs = {0.0, 0.0, 0};

    for (int back = 1; back <= LEARN_DAYS; back++) {
        for (int near = -1; near <= 1; near++) {
            int64_t slot = ask->day_slot + index + near - (int64_t)back * AGENT_FC_SLOTS;
            double actual = agent_fc_known(ask, slot);
            double outlook = agent_fc_outlook(ask, slot);
            if (isfinite(actual) && isfinite(outlook)) {
                pairs.actual += actual;
                pairs.outlook += outlook;
                pairs.count++;
            }
        }
    }
    return pairs;
}

static double corrected(double outlook, const struct pairs *pairs)
{
    if (pairs->count < LEAST_PAIRS) {
        return outlook;
    }
    double ratio = pairs->outlook > 0.0 ? pairs->actual / pairs->outlook : 0.0;
    if (ratio >= RATIO_MIN && ratio <= RATIO_MAX) {
        return outlook * ratio;
    }
    return outlook + (pairs->actual - pairs->outlook) / pairs->count;
}

static int predict(const struct agent_fc_case *ask, double *out)
{
    int known = 0;

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        double outlook = agent_fc_outlook(ask, ask->day_slot + i);
        struct pairs pairs = collect(ask, i);
        out[i] = isfinite(outlook) ? corrected(outlook, &pairs) : (double)NAN;
        known += isfinite(outlook) ? 1 : 0;
    }
    return known > 0 ? 0 : -ENODATA;
}

const struct agent_fc_method agent_fc_operator = {
    .name = "operator",
    .summary = "the operator's published forecast, bias removed by time of day",
    .kinds = (1u << AGENT_FC_KINDS) - 1,
    .history_days = 1,
    .predict = predict,
};
