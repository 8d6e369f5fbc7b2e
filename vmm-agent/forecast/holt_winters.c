/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holt_winters.c - additive Holt-Winters with a damped trend
 * Season: a day (generation) or a week (loads). The three gains are chosen from a small grid by
 * the squared day-ahead error over the last three weeks of what is known, never later.
 * Source: Gardner and McKenzie 1985; Hyndman, Forecasting: Principles and Practice, 8.3. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "forecast/forecast.h"

#define LEARN_DAYS 42
#define TUNE_DAYS  21
#define SEASON_MAX (7 * AGENT_FC_SLOTS)
#define DAMPING    0.98

struct gains {
    double level;
    double trend;
    double season;
};

struct state {
    int season_slots;
    double level;
    double trend;
    double season[SEASON_MAX]; /* by slot modulo the season */
};

static int season_at(const struct state *state, int64_t slot)
{
    return (int)(slot % state->season_slots);
}

/* Level = mean of the first season, season = its departures. Return: 0, -ENODATA. */
static int start(const struct agent_fc_case *ask, int64_t first, struct state *state)
{
    double sum = 0.0;
    int count = 0;

    memset(state, 0, sizeof(*state));
    state->season_slots = ask->kind == AGENT_FC_LOAD ? SEASON_MAX : AGENT_FC_SLOTS;
    for (int i = 0; i < state->season_slots; i++) {
        double value = agent_fc_known(ask, first + i);
        if (isfinite(value)) {
            sum += value;
            count++;
        }
    }
    if (count * 2 < state->season_slots) {
        return -ENODATA;
    }
    state->level = sum / count;
    for (int i = 0; i < state->season_slots; i++) {
        double value = agent_fc_known(ask, first + i);
        state->season[season_at(state, first + i)] = isfinite(value) ? value - state->level : 0.0;
    }
    return 0;
}

static double ahead(const struct state *state, int64_t slot, int64_t steps)
{
    double damped = DAMPING * (1.0 - pow(DAMPING, (double)steps)) / (1.0 - DAMPING);

    return state->level + damped * state->trend + state->season[season_at(state, slot)];
}

static void step(struct state *state, const struct gains *gains, int64_t slot, double value)
{
    double *season = &state->season[season_at(state, slot)];
    double carried = state->level + DAMPING * state->trend;

    if (!isfinite(value)) { /* a hole: go on as predicted */
        state->level = carried;
        state->trend *= DAMPING;
        return;
    }
    double level = gains->level * (value - *season) + (1.0 - gains->level) * carried;
    state->trend =
        gains->trend * (level - state->level) + (1.0 - gains->trend) * DAMPING * state->trend;
    *season = gains->season * (value - level) + (1.0 - gains->season) * *season;
    state->level = level;
}

/* Run from @first to what is known; @error: squared day-ahead error over the last TUNE_DAYS. */
static int run(const struct agent_fc_case *ask, const struct gains *gains, struct state *state,
               double *error)
{
    int64_t first = ask->day_slot - (int64_t)LEARN_DAYS * AGENT_FC_SLOTS;
    int64_t tune = ask->known_until - (int64_t)TUNE_DAYS * AGENT_FC_SLOTS;
    int result = start(ask, first, state);

    *error = 0.0;
    for (int64_t slot = first + state->season_slots; result == 0 && slot < ask->known_until;
         slot++) {
        if (slot >= tune && (slot - tune) % 12 == 0) {
            for (int64_t k = AGENT_FC_SLOTS / 2; k < AGENT_FC_SLOTS; k += 6) {
                double miss = agent_fc_known(ask, slot + k) - ahead(state, slot + k, k + 1);
                *error += isfinite(miss) ? miss * miss : 0.0;
            }
        }
        step(state, gains, slot, agent_fc_known(ask, slot));
    }
    return result;
}

static int predict(const struct agent_fc_case *ask, double *out)
{
    static const struct gains grid[] = {
        {0.002, 0.0, 0.05}, {0.002, 0.0, 0.15}, {0.01, 0.0, 0.05}, {0.01, 0.0, 0.15},
        {0.05, 0.0, 0.05},  {0.05, 0.01, 0.15}, {0.15, 0.0, 0.1},  {0.15, 0.05, 0.3},
    };
    struct state state;
    size_t best = 0;
    double least = INFINITY;

    for (size_t i = 0; i < sizeof(grid) / sizeof(grid[0]); i++) {
        double error = 0.0;
        int result = run(ask, &grid[i], &state, &error);
        if (result != 0) {
            return result;
        }
        if (error < least) {
            least = error;
            best = i;
        }
    }
    double unused;
    int result = run(ask, &grid[best], &state, &unused);
    for (int i = 0; result == 0 && i < AGENT_FC_SLOTS; i++) {
        int64_t slot = ask->day_slot + i;
        out[i] = ahead(&state, slot, slot - ask->known_until + 1);
    }
    return result;
}

const struct agent_fc_method agent_fc_holt = {
    .name = "holt-winters",
    .summary = "level, damped trend and season (a day; loads: a week), gains tuned on the past",
    .kinds = (1u << AGENT_FC_KINDS) - 1,
    .history_days = LEARN_DAYS,
    .predict = predict,
};
