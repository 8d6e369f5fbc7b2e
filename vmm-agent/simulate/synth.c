/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/synth.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate/synth_parts.h"

const struct agent_synth_area agent_synth_areas[AGENT_AREA_COUNT] = {
    [AGENT_AREA_HOKKAIDO] = {3400, 0.02, 0.22, 2350, 1300, 0.0, 0, 420, 11, 290, 0, 1350, 500, 150,
                             0.28, 0.50, 0.16, true},
    [AGENT_AREA_TOHOKU] = {8900, 0.14, 0.16, 8300, 2500, 0.1, 820, 1300, 170, 900, 60, 2600, 460,
                           2400, 0.40, 0.50, 0.02, true},
    [AGENT_AREA_TOKYO] = {31000, 0.24, 0.12, 19500, 500, 0.9, 1319, 1250, 0, 450, 180, 8200, 6500,
                          -4000, 0.68, 0.26, 0.01, false},
    [AGENT_AREA_CHUBU] = {14300, 0.20, 0.10, 11400, 450, 0.8, 0, 1300, 0, 600, 120, 4200, 3200,
                          -200, 0.70, 0.27, 0.0, true},
    [AGENT_AREA_HOKURIKU] = {3200, 0.14, 0.20, 1400, 220, -0.8, 0, 1000, 0, 130, 10, 900, 110, 500,
                             0.18, 0.76, 0.02, true},
    [AGENT_AREA_KANSAI] = {15600, 0.22, 0.13, 7300, 180, 0.6, 5200, 1450, 0, 182, 80, 3000, 4200,
                           -1600, 0.66, 0.22, 0.01, false},
    [AGENT_AREA_CHUGOKU] = {6600, 0.18, 0.14, 6900, 400, 0.3, 800, 450, 0, 520, 30, 1900, 1900,
                            -300, 0.32, 0.58, 0.02, true},
    [AGENT_AREA_SHIKOKU] = {2900, 0.18, 0.12, 3300, 330, 0.6, 890, 420, 0, 330, 25, 800, 560, 700,
                            0.30, 0.62, 0.02, false},
    [AGENT_AREA_KYUSHU] = {9700, 0.18, 0.13, 12400, 720, 0.2, 3900, 380, 165, 780, 200, 1450, 2250,
                           1900, 0.34, 0.58, 0.02, false},
    [AGENT_AREA_OKINAWA] = {880, 0.32, -0.04, 420, 14, 0.0, 0, 0, 0, 45, 0, 330, 0, 0, 0.30, 0.62,
                            0.06, true},
};

static void *grow(size_t count, size_t size, bool *failed)
{
    void *memory = calloc(count, size);

    *failed = *failed || memory == NULL;
    return memory;
}

static int allocate(struct agent_synth *synth)
{
    bool failed = false;
    size_t n = synth->slots;

    for (int area = 1; area < AGENT_AREA_COUNT; area++) {
        for (int column = AGENT_DEMAND; column <= AGENT_TOTAL; column++) {
            synth->mw[area][column] = grow(n, sizeof(int32_t), &failed);
        }
        synth->potential[area] = grow(n, sizeof(float), &failed);
        synth->outlook_demand[area] = grow(n, sizeof(float), &failed);
        synth->outlook_wind_pv[area] = grow(n, sizeof(float), &failed);
        if (area != AGENT_AREA_OKINAWA) {
            synth->price[area] = grow(n, sizeof(double), &failed);
        }
        synth->imbalance[area] = grow(n, sizeof(double), &failed);
    }
    synth->system_price = grow(n, sizeof(double), &failed);
    for (int line = 0; line < AGENT_SYNTH_LINES; line++) {
        synth->line[line] = grow(n, sizeof(int32_t), &failed);
    }
    return failed ? -ENOMEM : 0;
}

void agent_synth_done(struct agent_synth *synth)
{
    for (int area = 0; area < AGENT_AREA_COUNT; area++) {
        for (int column = 0; column < AGENT_SYNTH_COLUMNS; column++) {
            free(synth->mw[area][column]);
        }
        free(synth->potential[area]);
        free(synth->outlook_demand[area]);
        free(synth->outlook_wind_pv[area]);
        free(synth->price[area]);
        free(synth->imbalance[area]);
    }
    free(synth->system_price);
    for (int line = 0; line < AGENT_SYNTH_LINES; line++) {
        free(synth->line[line]);
    }
    memset(synth, 0, sizeof(*synth));
}

/* Arrays that only the making needs. */
struct scratch {
    struct agent_synth_weather weather;
    float *demand[AGENT_AREA_COUNT];
    float *import[AGENT_AREA_COUNT];
};

static int scratch_make(struct scratch *scratch, size_t slots)
{
    bool failed = false;

    memset(scratch, 0, sizeof(*scratch));
    for (int area = 1; area < AGENT_AREA_COUNT; area++) {
        scratch->weather.pv[area] = grow(slots, sizeof(float), &failed);
        scratch->weather.wind[area] = grow(slots, sizeof(float), &failed);
        scratch->weather.outlook[area] = grow(slots, sizeof(float), &failed);
        scratch->weather.heat[area] = grow(slots / AGENT_SLOTS_PER_DAY, sizeof(float), &failed);
        scratch->demand[area] = grow(slots, sizeof(float), &failed);
        scratch->import[area] = grow(slots, sizeof(float), &failed);
    }
    return failed ? -ENOMEM : 0;
}

static void scratch_done(struct scratch *scratch)
{
    for (int area = 1; area < AGENT_AREA_COUNT; area++) {
        free(scratch->weather.pv[area]);
        free(scratch->weather.wind[area]);
        free(scratch->weather.outlook[area]);
        free(scratch->weather.heat[area]);
        free(scratch->demand[area]);
        free(scratch->import[area]);
    }
}

/* What the operator publishes the day before: wind + solar before curtailment, and demand with an
 * error of about 1.5 % that lasts for hours. */
static void outlooks(struct agent_synth *synth, const struct scratch *scratch, int area)
{
    struct agent_random random = agent_random_start(synth->seed, SYNTH_OUTLOOK, (uint32_t)area);
    double error = 0.0;

    for (size_t i = 0; i < synth->slots; i++) {
        error = 0.93 * error + 0.0055 * agent_random_normal(&random);
        synth->outlook_demand[area][i] = (float)(scratch->demand[area][i] * (1.0 + error));
        synth->outlook_wind_pv[area][i] = scratch->weather.outlook[area][i];
        synth->potential[area][i] = scratch->weather.pv[area][i] + scratch->weather.wind[area][i];
    }
}

static int fill(struct agent_synth *synth)
{
    struct scratch scratch;
    int result = scratch_make(&scratch, synth->slots);

    if (result == 0) {
        agent_synth_weather_make(synth, &scratch.weather);
        for (int area = 1; area < AGENT_AREA_COUNT; area++) {
            agent_synth_demand(synth, &scratch.weather, area, scratch.demand[area]);
            outlooks(synth, &scratch, area);
        }
        agent_synth_exchange(synth, &scratch.weather, scratch.demand, scratch.import);
        for (int area = 1; area < AGENT_AREA_COUNT; area++) {
            agent_synth_balance(synth, &scratch.weather, area, scratch.demand[area],
                                scratch.import[area]);
        }
        result = agent_synth_prices(synth);
    }
    scratch_done(&scratch);
    return result;
}

int agent_synth_make(int fiscal_year, uint64_t seed, struct agent_synth *synth,
                     struct agent_error *error)
{
    struct agent_date first = {fiscal_year, 4, 1};
    struct agent_date next = {fiscal_year + 1, 4, 1};

    memset(synth, 0, sizeof(*synth));
    if (fiscal_year < 2000 || fiscal_year > 2098) {
        return agent_error_set(error, EINVAL, "synthetic year %d: expected 2000..2098",
                               fiscal_year);
    }
    synth->fiscal_year = fiscal_year;
    synth->seed = seed;
    synth->first_slot = agent_slot_at(first, 0);
    synth->slots = (size_t)(agent_slot_at(next, 0) - synth->first_slot);
    int result = allocate(synth);
    if (result == 0) {
        result = fill(synth);
    }
    if (result != 0) {
        agent_synth_done(synth);
        agent_error_set(error, result, "synthetic year %d: out of memory", fiscal_year);
    }
    return result;
}
