/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forecast/spread.h"

#include <math.h>

#include "forecast/forecast.h"

void agent_fc_spread(const double *residual, double amount, double *out)
{
    double least = INFINITY;

    for (int slot = 0; slot < AGENT_FC_SLOTS; slot++) {
        least = isfinite(residual[slot]) && residual[slot] < least ? residual[slot] : least;
    }
    for (int slot = 0; slot < AGENT_FC_SLOTS; slot++) {
        if (!(amount > 0.0)) {
            out[slot] = amount; /* 0 or NAN */
        } else {
            out[slot] =
                isfinite(residual[slot]) ? fmax(0.0, least + amount - residual[slot]) : (double)NAN;
        }
    }
}
