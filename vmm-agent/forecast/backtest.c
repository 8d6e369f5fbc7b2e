/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forecast/backtest.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static void actual_day(const struct agent_fc_case *ask, double *out)
{
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        int64_t index = ask->day_slot + i - ask->actual.first_slot;
        bool inside = index >= 0 && index < (int64_t)ask->actual.count;
        out[i] = inside ? ask->actual.value[index] : (double)NAN;
    }
}

/* Residuals of a day count only once the whole day is over when the next question is asked; with
 * a lead the day before the target is not: @behind holds it back by one day. */
struct roll {
    struct agent_fc_residuals residuals;
    struct agent_fc_case behind_ask;
    double behind_forecast[AGENT_FC_SLOTS];
    double behind_actual[AGENT_FC_SLOTS];
    bool behind;
};

static void roll_day(struct roll *roll, const struct agent_fc_case *ask, int64_t lead_slots,
                     const double *forecast)
{
    double actual[AGENT_FC_SLOTS];

    actual_day(ask, actual);
    if (lead_slots == 0) {
        agent_fc_residuals_add(&roll->residuals, ask, forecast, actual);
        return;
    }
    if (roll->behind) {
        agent_fc_residuals_add(&roll->residuals, &roll->behind_ask, roll->behind_forecast,
                               roll->behind_actual);
    }
    roll->behind_ask = *ask;
    memcpy(roll->behind_forecast, forecast, sizeof(roll->behind_forecast));
    memcpy(roll->behind_actual, actual, sizeof(roll->behind_actual));
    roll->behind = true;
}

static bool trial_valid(const struct agent_fc_trial *trial)
{
    return trial->days > 0 && trial->days <= AGENT_FC_HISTORY_DAYS_MAX &&
           trial->warm_days <= AGENT_FC_HISTORY_DAYS_MAX && trial->lead_slots >= 0 &&
           trial->lead_slots <= AGENT_FC_LEAD_MAX && agent_slot_in_day(trial->first_day) == 0;
}

struct pass {
    const struct agent_fc_method *method;
    const struct agent_fc_trial *trial;
    struct roll roll;
    struct agent_fc_tally tally;
    int scored;
    int own; /* scored days that the method itself could do */
};

static void pass_day(struct pass *pass, int64_t offset_days, agent_fc_sink sink, void *sink_arg)
{
    struct agent_fc_case ask = pass->trial->base;
    double forecast[AGENT_FC_SLOTS];
    double yardstick[AGENT_FC_SLOTS];
    struct agent_fc_bands bands;

    ask.day_slot = pass->trial->first_day + offset_days * AGENT_FC_SLOTS;
    ask.known_until = ask.day_slot - pass->trial->lead_slots;
    if (agent_fc_predict(&agent_fc_persistence, &ask, yardstick, NULL) != 0) {
        return;
    }
    bool own = agent_fc_predict(pass->method, &ask, forecast, NULL) == 0;
    if (!own) {
        memcpy(forecast, yardstick, sizeof(forecast));
    }
    if (offset_days >= 0) {
        agent_fc_bands_from(&pass->roll.residuals, &ask, forecast, &bands);
        agent_fc_tally_day(&pass->tally, &ask, forecast, yardstick, &bands);
        pass->scored++;
        pass->own += own ? 1 : 0;
        if (sink != NULL) {
            sink(sink_arg, ask.day_slot, forecast, &bands);
        }
    }
    roll_day(&pass->roll, &ask, pass->trial->lead_slots, forecast);
}

int agent_fc_backtest(const struct agent_fc_method *method, const struct agent_fc_trial *trial,
                      struct agent_fc_score *score, agent_fc_sink sink, void *sink_arg)
{
    struct pass pass;

    if (!trial_valid(trial) || trial->base.kind >= AGENT_FC_KINDS ||
        (method->kinds & (1u << trial->base.kind)) == 0) {
        return -EINVAL;
    }
    memset(&pass, 0, sizeof(pass));
    pass.method = method;
    pass.trial = trial;
    for (int64_t day = -(int64_t)trial->warm_days; day < (int64_t)trial->days; day++) {
        pass_day(&pass, day, sink, sink_arg);
    }
    if (pass.scored == 0 || pass.own * 2 < pass.scored || pass.tally.slots == 0) {
        return -ENODATA;
    }
    *score = agent_fc_tally_score(&pass.tally);
    return pass.scored;
}

static double merit(const struct agent_fc_score *score)
{
    return isfinite(score->pinball) ? score->pinball : score->nmae;
}

int agent_fc_rank(const struct agent_fc_trial *trial, struct agent_fc_ranking *ranking,
                  struct agent_error *error)
{
    size_t count = 0;
    const struct agent_fc_method *const *all = agent_fc_methods(&count);
    bool found = false;

    memset(ranking, 0, sizeof(*ranking));
    for (size_t i = 0; i < count; i++) {
        if (trial->base.kind >= AGENT_FC_KINDS || !(all[i]->kinds & (1u << trial->base.kind))) {
            continue;
        }
        size_t at = ranking->count++;
        ranking->method[at] = all[i];
        ranking->result[at] = agent_fc_backtest(all[i], trial, &ranking->score[at], NULL, NULL);
        if (ranking->result[at] <= 0) {
            continue;
        }
        double here = merit(&ranking->score[at]);
        double best = merit(&ranking->score[ranking->best]);
        if (!found || here < best || (!isfinite(best) && isfinite(here))) {
            ranking->best = at;
            found = true;
        }
    }
    return found ? 0
                 : agent_error_set(error, ENODATA,
                                   "forecast: no method could be back-tested on %zu days of %s",
                                   trial->days, agent_fc_kind_name(trial->base.kind));
}

/* Days before @ask's that are whole when asked and measured at all. */
static size_t days_before(const struct agent_fc_case *ask)
{
    int64_t days = (ask->known_until - ask->actual.first_slot) / AGENT_FC_SLOTS;

    return days > 0 ? (size_t)days : 0;
}

static void keep_bands(void *sink_arg, int64_t day_slot, const double *forecast,
                       const struct agent_fc_bands *bands)
{
    struct agent_fc_bands *last = sink_arg;

    (void)day_slot;
    (void)forecast;
    *last = *bands;
}

static struct agent_fc_score unscored(void)
{
    return (struct agent_fc_score){.nmae = NAN,
                                   .nmae_daylight = NAN,
                                   .rmae = NAN,
                                   .pinball = NAN,
                                   .coverage = NAN,
                                   .regret = NAN,
                                   .peak = NAN};
}

/* The method and its score: @method's alone, else the best of all; too new for any judgement:
 * persistence, unscored. */
static void choose(const struct agent_fc_trial *trial, const struct agent_fc_method *method,
                   struct agent_fc_answer *answer)
{
    struct agent_fc_ranking ranking;
    struct agent_fc_score score = unscored();
    int days = 0;

    answer->method = method != NULL ? method : &agent_fc_persistence;
    answer->score = unscored();
    if (method != NULL) {
        days = agent_fc_backtest(method, trial, &score, NULL, NULL);
    } else if (agent_fc_rank(trial, &ranking, NULL) == 0) {
        answer->method = ranking.method[ranking.best];
        score = ranking.score[ranking.best];
        days = ranking.result[ranking.best];
    }
    if (days > 0) {
        answer->score = score;
        answer->back_tested_days = (size_t)days;
    }
}

int agent_fc_answer_day(const struct agent_fc_case *ask, const struct agent_fc_method *method,
                        struct agent_fc_answer *answer, struct agent_error *error)
{
    struct agent_fc_trial trial = {.base = *ask, .lead_slots = ask->day_slot - ask->known_until};
    size_t before = days_before(ask);
    size_t days = before > AGENT_FC_CHOICE_DAYS ? AGENT_FC_CHOICE_DAYS : before;
    struct agent_fc_score unused;

    if (trial.lead_slots < 0 || trial.lead_slots > AGENT_FC_LEAD_MAX || days < 2) {
        return agent_error_set(error, ENODATA,
                               "forecast: %zu days of %s are known before the day, at least 2 are "
                               "needed (and the question at most %d half hours before it)",
                               before, agent_fc_kind_name(ask->kind), AGENT_FC_LEAD_MAX);
    }
    memset(answer, 0, sizeof(*answer));
    trial.days = days - 1;
    trial.warm_days = before - days > AGENT_FC_WARM_DAYS ? AGENT_FC_WARM_DAYS : before - days;
    /* the day before is not over when asked with a lead: scoring ends one day earlier */
    trial.first_day = ask->day_slot - (int64_t)days * AGENT_FC_SLOTS;
    trial.base.actual.count = (size_t)(ask->known_until - ask->actual.first_slot);
    trial.base.actual.count =
        trial.base.actual.count > ask->actual.count ? ask->actual.count : trial.base.actual.count;
    choose(&trial, method, answer);
    int result = agent_fc_predict(answer->method, ask, answer->mw, error);
    if (result != 0) {
        return result;
    }
    trial.days = days + 1; /* the last "scored" day is the one asked about: its bands */
    agent_fc_backtest(answer->method, &trial, &unused, keep_bands, &answer->bands);
    return 0;
}
