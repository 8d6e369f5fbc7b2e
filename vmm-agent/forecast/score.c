/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forecast/score.h"

#include <math.h>
#include <stdlib.h>

#define POOL_MAX  (3 * AGENT_FC_RESIDUAL_DAYS)
#define LEAST_WM2 30.0

/* What residuals are measured in: near the horizon the sky gives little, but not nothing. */
static double unit_at(const struct agent_fc_case *ask, int64_t slot)
{
    return ask->kind == AGENT_FC_PV ? fmax(agent_solar_clear(ask->place, slot), LEAST_WM2) : 1.0;
}

void agent_fc_residuals_add(struct agent_fc_residuals *residuals, const struct agent_fc_case *ask,
                            const double *forecast, const double *actual)
{
    double *row = residuals->miss[residuals->days % AGENT_FC_RESIDUAL_DAYS];

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        row[i] = (actual[i] - forecast[i]) / unit_at(ask, ask->day_slot + i);
    }
    residuals->days++;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return left < right ? -1 : left > right;
}

/* Quantile of @count sorted values, linear between ranks (Hyndman and Fan, type 6: unbiased for
 * coverage, since a new value falls below rank r with chance r / (n + 1)). */
static double quantile(const double *sorted, size_t count, double share)
{
    double rank = share * (double)(count + 1) - 1.0;
    double low = floor(fmin(fmax(rank, 0.0), (double)(count - 1)));
    size_t at = (size_t)low;

    if (at + 1 >= count || rank <= 0.0) {
        return sorted[at];
    }
    return sorted[at] + (rank - low) * (sorted[at + 1] - sorted[at]);
}

static size_t pool(const struct agent_fc_residuals *residuals, int index, double *out)
{
    size_t rows =
        residuals->days < AGENT_FC_RESIDUAL_DAYS ? residuals->days : (size_t)AGENT_FC_RESIDUAL_DAYS;
    size_t count = 0;

    for (size_t day = 0; day < rows; day++) {
        for (int near = -1; near <= 1; near++) {
            int at = index + near;
            if (at >= 0 && at < AGENT_FC_SLOTS && isfinite(residuals->miss[day][at])) {
                out[count++] = residuals->miss[day][at];
            }
        }
    }
    qsort(out, count, sizeof(*out), by_value);
    return count;
}

void agent_fc_bands_from(const struct agent_fc_residuals *residuals,
                         const struct agent_fc_case *ask, const double *forecast,
                         struct agent_fc_bands *bands)
{
    double sorted[POOL_MAX];

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        if (agent_fc_dark(ask, ask->day_slot + i)) {
            bands->p10[i] = bands->p50[i] = bands->p90[i] = 0.0;
            continue;
        }
        size_t count = pool(residuals, i, sorted);
        if (count < AGENT_FC_LEAST_DAYS) {
            bands->p10[i] = bands->p50[i] = bands->p90[i] = NAN;
            continue;
        }
        double unit = unit_at(ask, ask->day_slot + i);
        bands->p10[i] = fmax(forecast[i] + unit * quantile(sorted, count, 0.1), 0.0);
        bands->p50[i] = fmax(forecast[i] + unit * quantile(sorted, count, 0.5), 0.0);
        bands->p90[i] = fmax(forecast[i] + unit * quantile(sorted, count, 0.9), 0.0);
    }
}

static double pinball(double actual, double quantile_value, double share)
{
    double miss = actual - quantile_value;

    return miss >= 0.0 ? share * miss : (share - 1.0) * miss;
}

static void tally_bands(struct agent_fc_tally *tally, const struct agent_fc_bands *bands, int i,
                        double actual)
{
    if (!isfinite(bands->p10[i])) {
        return;
    }
    tally->pinball += (pinball(actual, bands->p10[i], 0.1) + pinball(actual, bands->p50[i], 0.5) +
                       pinball(actual, bands->p90[i], 0.9)) /
                      3.0;
    tally->inside += actual >= bands->p10[i] && actual <= bands->p90[i] ? 1.0 : 0.0;
    tally->band_slots++;
}

struct ranked {
    double by;    /* ranked by this, largest first */
    double worth; /* what taking it really gives */
    int index;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;

    if (left->by != right->by) {
        return left->by > right->by ? -1 : 1;
    }
    return left->index - right->index;
}

static double top(struct ranked *list, int count)
{
    double sum = 0.0;

    qsort(list, (size_t)count, sizeof(*list), by_rank);
    for (int i = 0; i < AGENT_FC_FLEX_SLOTS && i < count; i++) {
        sum += list[i].worth;
    }
    return sum;
}

/* Movable work goes where the forecast is best; compare with where the measurement was best. */
static void tally_decision(struct agent_fc_tally *tally, const struct agent_fc_case *ask,
                           const double *forecast, const double *actual)
{
    struct ranked list[AGENT_FC_SLOTS];
    double sign = ask->kind == AGENT_FC_LOAD ? -1.0 : 1.0;
    int count = 0;

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        if (isfinite(actual[i])) {
            list[count++] = (struct ranked){sign * forecast[i], actual[i], i};
        }
    }
    if (count < AGENT_FC_SLOTS) {
        return;
    }
    tally->got += top(list, count);
    for (int i = 0; i < count; i++) {
        list[i].by = sign * list[i].worth;
    }
    tally->best += top(list, count);
}

void agent_fc_tally_day(struct agent_fc_tally *tally, const struct agent_fc_case *ask,
                        const double *forecast, const double *persistence,
                        const struct agent_fc_bands *bands)
{
    double actual[AGENT_FC_SLOTS];
    bool any = false;

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        int64_t index = ask->day_slot + i - ask->actual.first_slot;
        bool inside = index >= 0 && index < (int64_t)ask->actual.count;
        actual[i] = inside ? ask->actual.value[index] : (double)NAN;
        if (!isfinite(actual[i])) {
            continue;
        }
        any = true;
        tally->peak = fmax(tally->peak, actual[i]);
        tally->absolute += fabs(actual[i] - forecast[i]);
        tally->persistence += fabs(actual[i] - persistence[i]);
        tally->slots++;
        bool dark = agent_fc_dark(ask, ask->day_slot + i);
        if (!dark) {
            tally->absolute_daylight += fabs(actual[i] - forecast[i]);
            tally->daylight_slots++;
        }
        if (bands != NULL && !dark) {
            tally_bands(tally, bands, i, actual[i]);
        }
    }
    tally_decision(tally, ask, forecast, actual);
    tally->days += any ? 1 : 0;
}

static double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : (double)NAN;
}

struct agent_fc_score agent_fc_tally_score(const struct agent_fc_tally *tally)
{
    struct agent_fc_score score = {.peak = tally->peak, .days = tally->days};

    score.nmae = ratio(ratio(tally->absolute, (double)tally->slots), tally->peak);
    score.nmae_daylight =
        ratio(ratio(tally->absolute_daylight, (double)tally->daylight_slots), tally->peak);
    score.rmae = ratio(tally->absolute, tally->persistence);
    score.pinball = ratio(ratio(tally->pinball, (double)tally->band_slots), tally->peak);
    score.coverage = ratio(tally->inside, (double)tally->band_slots);
    score.regret = ratio(fabs(tally->best - tally->got), tally->best);
    return score;
}
