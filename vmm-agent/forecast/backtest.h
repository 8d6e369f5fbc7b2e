/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backtest.h - ask every method about past days, score it, choose by the score
 * Owner: plain structs of the caller.   Thread: any; one call is one pass, no shared state.
 * Time:  slots, passed in.              Units:  as forecast.h and score.h. */
#ifndef AGENT_FORECAST_BACKTEST_H
#define AGENT_FORECAST_BACKTEST_H

#include "forecast/forecast.h"
#include "forecast/score.h"

#define AGENT_FC_LEAD_DEFAULT 14 /* asked at 17:00 the day before, as the curtailment outlook is   \
                                  */
#define AGENT_FC_LEAD_MAX    48
#define AGENT_FC_CHOICE_DAYS 60 /* days of back-test behind a choice */
#define AGENT_FC_WARM_DAYS   30 /* days before it that only feed the quantiles */

/** struct agent_fc_trial - what to ask
 * @base:       kind, actual, outlook, place; day_slot and known_until are set per day
 * @first_day:  slot 00:00 JST of the first scored day
 * @days:       scored days, 1..AGENT_FC_HISTORY_DAYS_MAX
 * @warm_days:  unscored days before @first_day that give the first residuals
 * @lead_slots: the question is asked so many half hours before the day, 0..AGENT_FC_LEAD_MAX */
struct agent_fc_trial {
    struct agent_fc_case base;
    int64_t first_day;
    size_t days;
    size_t warm_days;
    int64_t lead_slots;
};

/** agent_fc_sink - called per scored day with what the method said beforehand; may be NULL */
typedef void (*agent_fc_sink)(void *sink_arg, int64_t day_slot, const double *forecast,
                              const struct agent_fc_bands *bands);

/** agent_fc_backtest() - roll @method over the days; a day it cannot do is persistence's
 * @score: out on success; @sink may be NULL
 * Return: days scored (> 0), -ENODATA (it could do fewer than half of them), -EINVAL. */
int agent_fc_backtest(const struct agent_fc_method *method, const struct agent_fc_trial *trial,
                      struct agent_fc_score *score, agent_fc_sink sink, void *sink_arg);

/** struct agent_fc_ranking - all methods that fit the kind, scored
 * @result: per method: days scored, or why not (-errno)
 * @best:   index of the least pinball loss (no quantiles: least error); ties: the earlier */
struct agent_fc_ranking {
    size_t count;
    const struct agent_fc_method *method[AGENT_FC_METHODS_MAX];
    struct agent_fc_score score[AGENT_FC_METHODS_MAX];
    int result[AGENT_FC_METHODS_MAX];
    size_t best;
};

/** agent_fc_rank() - back-test every method of the kind. Return: 0, -ENODATA (none could). */
int agent_fc_rank(const struct agent_fc_trial *trial, struct agent_fc_ranking *ranking,
                  struct agent_error *error);

/** struct agent_fc_answer - a day's forecast with its provenance */
struct agent_fc_answer {
    const struct agent_fc_method *method;
    struct agent_fc_score score; /* of the choice, over past days only */
    double mw[AGENT_FC_SLOTS];
    struct agent_fc_bands bands;
    size_t back_tested_days;
};

/** agent_fc_answer_day() - choose by back-test on the days before, then forecast @ask's day
 * Where too few days are known to score any method, it is persistence (or @method) without scores.
 * @method: NULL = choose. Return: 0, -ENODATA, -EINVAL with @error. */
int agent_fc_answer_day(const struct agent_fc_case *ask, const struct agent_fc_method *method,
                        struct agent_fc_answer *answer, struct agent_error *error);

#endif
