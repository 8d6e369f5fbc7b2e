/* SPDX-License-Identifier: GPL-2.0-or-later */
/* score.h - how good forecasts were: errors, quantiles, what deciding by them would have cost
 * Owner: struct agent_fc_tally, zeroed by the caller.   Thread: one at a time.
 * Time:  none.   Units: the case's own (MW or kW); n… are divided by the peak; shares 0..1. */
#ifndef AGENT_FORECAST_SCORE_H
#define AGENT_FORECAST_SCORE_H

#include "forecast/forecast.h"

#define AGENT_FC_RESIDUAL_DAYS 60 /* days of residuals kept */
#define AGENT_FC_LEAST_DAYS    7  /* below this there are no quantiles */
#define AGENT_FC_FLEX_SLOTS    16 /* half hours of movable work per day in the decision test */

/** struct agent_fc_bands - P10, P50 and P90 of one day; all NAN when residuals are too few */
struct agent_fc_bands {
    double p10[AGENT_FC_SLOTS];
    double p50[AGENT_FC_SLOTS];
    double p90[AGENT_FC_SLOTS];
};

/** struct agent_fc_residuals - measured minus forecast of the last days, by time of day
 * Of solar power per W/m2 of clear sky, so that the errors of March serve in May. */
struct agent_fc_residuals {
    double miss[AGENT_FC_RESIDUAL_DAYS][AGENT_FC_SLOTS]; /* NAN = not measured */
    size_t days; /* ever added; the newest AGENT_FC_RESIDUAL_DAYS are kept */
};

/** agent_fc_residuals_add() - the forecast for @ask's day and what was measured (NAN = not known)
 */
void agent_fc_residuals_add(struct agent_fc_residuals *residuals, const struct agent_fc_case *ask,
                            const double *forecast, const double *actual);

/** agent_fc_bands_from() - forecast plus residual quantiles of its half hour and the two beside
 * it, never below 0; where the sun is down all three are 0 */
void agent_fc_bands_from(const struct agent_fc_residuals *residuals,
                         const struct agent_fc_case *ask, const double *forecast,
                         struct agent_fc_bands *bands);

/** struct agent_fc_tally - sums over the days of a back-test */
struct agent_fc_tally {
    double absolute, absolute_daylight; /* of the forecast's error */
    double persistence;                 /* the same error of persistence, same half hours */
    double pinball, inside;
    double best, got; /* decision test */
    double peak;      /* largest measured */
    size_t slots, daylight_slots, band_slots, days;
};

/** agent_fc_tally_day() - add one day. @bands may be NULL. @persistence: its forecast */
void agent_fc_tally_day(struct agent_fc_tally *tally, const struct agent_fc_case *ask,
                        const double *forecast, const double *persistence,
                        const struct agent_fc_bands *bands);

/** struct agent_fc_score - NAN where nothing could be measured
 * @nmae:          mean absolute error / peak, all half hours
 * @nmae_daylight: the same by day (PV: sun up; others: as nmae)
 * @rmae:          mean absolute error / that of persistence; < 1 beats it
 * @pinball:       mean pinball loss of P10, P50, P90 / peak
 * @coverage:      share of measurements within P10..P90; 0.8 is right
 * @regret:        share of the best possible energy lost by choosing the day's best 16 half hours
 *                 by the forecast (loads: share of extra load met in the calmest 16) */
struct agent_fc_score {
    double nmae;
    double nmae_daylight;
    double rmae;
    double pinball;
    double coverage;
    double regret;
    double peak;
    size_t days;
};

/** agent_fc_tally_score() - the figures from the sums */
struct agent_fc_score agent_fc_tally_score(const struct agent_fc_tally *tally);

#endif
