/* SPDX-License-Identifier: GPL-2.0-or-later */
/* update.c - Theory of operation
 * A day that began darker than expected goes on darker, but less surely with every hour. So what is
 * left of the day is multiplied by 1 + (ratio - 1) x memory^h, h half hours ahead. Memory and the
 * narrowing of the band are set by the built-in years (docs/forecast.md has the figures). */
#include "forecast/update.h"

#include <math.h>

#define LOOK_BACK 4    /* half hours */
#define WORTH     0.10 /* of the day's largest expectation: less is dusk, and its ratio is noise */
#define RATIO_MAX 3.0
#define NARROWING 0.6 /* of the band, where the ratio is wholly believed */

/* Measured over expected of the last LOOK_BACK half hours worth measuring, NAN = too few. */
static double ratio_of(const struct agent_fc_case *ask, const double *p50)
{
    double most = 0.0;
    double measured = 0.0;
    double expected = 0.0;
    int found = 0;

    for (int slot = 0; slot < AGENT_FC_SLOTS; slot++) {
        most = isfinite(p50[slot]) ? fmax(most, p50[slot]) : most;
    }
    for (int slot = (int)(ask->known_until - ask->day_slot) - 1; slot >= 0 && found < LOOK_BACK;
         slot--) {
        double value = agent_fc_known(ask, ask->day_slot + slot);
        if (isfinite(value) && isfinite(p50[slot]) && p50[slot] >= WORTH * most && most > 0.0) {
            measured += fmax(value, 0.0);
            expected += p50[slot];
            found++;
        }
    }
    return found >= 2 ? fmin(measured / expected, RATIO_MAX) : (double)NAN;
}

double agent_fc_update(const struct agent_fc_case *ask, double *const band[3])
{
    double ratio = ratio_of(ask, band[1]);
    double belief = 1.0;

    if (!isfinite(ratio)) {
        return 1.0;
    }
    for (int slot = (int)(ask->known_until - ask->day_slot); slot < AGENT_FC_SLOTS; slot++) {
        belief *= AGENT_FC_MEMORY;
        double p50 = band[1][slot] * (1.0 + (ratio - 1.0) * belief);
        double width = 1.0 - NARROWING * belief;
        band[0][slot] = fmax(0.0, p50 - (band[1][slot] - band[0][slot]) * width);
        band[2][slot] = fmax(p50, p50 + (band[2][slot] - band[1][slot]) * width);
        band[1][slot] = p50;
    }
    return ratio;
}
