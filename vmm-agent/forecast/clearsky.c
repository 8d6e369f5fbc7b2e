/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clearsky.c - how clear yesterday was, applied to today's sun
 * The clear-sky irradiance carries the season and the length of the day; what the plants make of
 * it per time of day is learned from 45 days; yesterday's clearness is pulled towards the usual one
 * by as much as clearness forgets from day to day (its own correlation). */
#include <errno.h>
#include <math.h>

#include "forecast/forecast.h"

#define LEARN_DAYS   45
#define DAYLIGHT_WM2 1.0
#define LEAST_SHARE  0.5 /* of a day's expected energy that must be measured to judge the day */

struct sky {
    double yield[AGENT_FC_SLOTS]; /* MW per W/m2 by time of day, 0 = dark */
    double clearness[LEARN_DAYS]; /* by days back, 1 = usual; NAN = not known */
};

static int64_t slot_back(const struct agent_fc_case *ask, int days_back, int index)
{
    return ask->day_slot - (int64_t)days_back * AGENT_FC_SLOTS + index;
}

static void learn_yield(const struct agent_fc_case *ask, struct sky *sky)
{
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        double power = 0.0;
        double light = 0.0;
        for (int back = 1; back <= LEARN_DAYS; back++) {
            int64_t slot = slot_back(ask, back, i);
            double value = agent_fc_known(ask, slot);
            double clear = isfinite(value) ? agent_solar_clear(ask->place, slot) : 0.0;
            if (clear > DAYLIGHT_WM2) {
                power += fmax(value, 0.0);
                light += clear;
            }
        }
        sky->yield[i] = light > 0.0 ? power / light : 0.0;
    }
}

static double day_clearness(const struct agent_fc_case *ask, const struct sky *sky, int back)
{
    double got = 0.0;
    double usual = 0.0;
    double whole = 0.0;

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        int64_t slot = slot_back(ask, back, i);
        double expected = sky->yield[i] * agent_solar_clear(ask->place, slot);
        double value = agent_fc_known(ask, slot);
        whole += expected;
        if (isfinite(value)) {
            got += fmax(value, 0.0);
            usual += expected;
        }
    }
    return usual > 0.0 && usual >= LEAST_SHARE * whole ? got / usual : (double)NAN;
}

/* Correlation of clearness between days @lag apart, 0..1. */
static double memory(const struct sky *sky, int lag)
{
    double mean = 0.0;
    double variance = 0.0;
    double together = 0.0;
    int count = 0;
    int pairs = 0;

    for (int i = 0; i < LEARN_DAYS; i++) {
        if (isfinite(sky->clearness[i])) {
            mean += sky->clearness[i];
            count++;
        }
    }
    mean /= count > 0 ? count : 1;
    for (int i = 0; i < LEARN_DAYS; i++) {
        double here = sky->clearness[i] - mean;
        if (isfinite(here)) {
            variance += here * here;
        }
        if (i + lag < LEARN_DAYS && isfinite(here) && isfinite(sky->clearness[i + lag])) {
            together += here * (sky->clearness[i + lag] - mean);
            pairs++;
        }
    }
    if (pairs < 7 || variance <= 0.0) {
        return 0.0;
    }
    return fmin(fmax(together / pairs / (variance / count), 0.0), 1.0);
}

static int predict(const struct agent_fc_case *ask, double *out)
{
    struct sky sky;
    int last = 0; /* index of the newest day that could be judged */

    learn_yield(ask, &sky);
    for (int back = 1; back <= LEARN_DAYS; back++) {
        sky.clearness[back - 1] = day_clearness(ask, &sky, back);
    }
    while (last < 7 && !isfinite(sky.clearness[last])) {
        last++;
    }
    if (last == 7) {
        return -ENODATA;
    }
    double clearness = 1.0 + memory(&sky, last + 1) * (sky.clearness[last] - 1.0);
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        out[i] = clearness * sky.yield[i] * agent_solar_clear(ask->place, ask->day_slot + i);
    }
    return 0;
}

const struct agent_fc_method agent_fc_clear_sky = {
    .name = "clear-sky",
    .summary = "yesterday's clearness on today's sun, pulled to the usual as far as it forgets",
    .kinds = 1u << AGENT_FC_PV,
    .history_days = 14,
    .predict = predict,
};
