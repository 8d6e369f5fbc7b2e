/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "forecast/backtest.h"

#define DAYS  160
#define COUNT (DAYS * AGENT_FC_SLOTS)

static double values[COUNT];

static double random_unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 33) / 2147483648.0;
}

static struct agent_fc_trial trial_of(void)
{
    int64_t first = agent_slot_at((struct agent_date){2025, 4, 1}, 0);

    return (struct agent_fc_trial){
        .base = {.kind = AGENT_FC_WIND, .actual = {values, first, COUNT}},
        .first_day = first + 100 * AGENT_FC_SLOTS,
        .days = 50,
        .warm_days = 40,
    };
}

/* By hand: half of the half hours are missed by 10 of a peak of 100. */
static void figures_by_hand(void **state)
{
    double day[AGENT_FC_SLOTS], forecast[AGENT_FC_SLOTS], yardstick[AGENT_FC_SLOTS];
    struct agent_fc_tally tally;
    struct agent_fc_bands bands;
    struct agent_fc_case ask = {.kind = AGENT_FC_WIND, .actual = {day, 0, AGENT_FC_SLOTS}};

    (void)state;
    memset(&tally, 0, sizeof(tally));
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        day[i] = i < 16 ? 100.0 : 50.0;
        forecast[i] = day[i] + (i % 2 == 0 ? 10.0 : 0.0);
        yardstick[i] = day[i] - 20.0;
        bands.p10[i] = day[i] + (i % 4 == 0 ? 4.0 : -4.0); /* a quarter above: outside */
        bands.p50[i] = day[i];
        bands.p90[i] = day[i] + 4.0;
    }
    agent_fc_tally_day(&tally, &ask, forecast, yardstick, &bands);
    struct agent_fc_score score = agent_fc_tally_score(&tally);
    assert_true(fabs(score.nmae - 0.05) < 1e-12);
    assert_true(fabs(score.nmae_daylight - 0.05) < 1e-12);
    assert_true(fabs(score.rmae - 0.25) < 1e-12);
    assert_true(fabs(score.coverage - 0.75) < 1e-12);
    /* P10 4 below: 0.1 * 4; 4 above: 0.9 * 4 for a quarter; P90 4 above: 0.1 * 4 */
    double pinball = (0.75 * 0.4 + 0.25 * 3.6 + 0.0 + 0.4) / 3.0 / 100.0;
    assert_true(fabs(score.pinball - pinball) < 1e-12);
    assert_true(score.regret <= 0.0);
    assert_int_equal(score.days, 1);
}

/* Choosing the wrong 16 half hours costs what they lack: 50 instead of 100. */
static void regret_by_hand(void **state)
{
    double day[AGENT_FC_SLOTS], wrong[AGENT_FC_SLOTS];
    struct agent_fc_tally tally;
    struct agent_fc_case ask = {.kind = AGENT_FC_WIND, .actual = {day, 0, AGENT_FC_SLOTS}};

    (void)state;
    memset(&tally, 0, sizeof(tally));
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        day[i] = i < 16 ? 100.0 : 50.0;
        wrong[i] = i < 16 ? 10.0 : 50.0;
    }
    agent_fc_tally_day(&tally, &ask, wrong, wrong, NULL);
    assert_true(fabs(agent_fc_tally_score(&tally).regret - 0.5) < 1e-12);
}

/* Independent noise around a level: P10..P90 must hold 80 % of new values. */
static void coverage_is_honest(void **state)
{
    struct agent_fc_score score;
    struct agent_fc_trial trial = trial_of();
    uint64_t seed = 11;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        values[i] = 100.0 + 50.0 * random_unit(&seed);
    }
    assert_int_equal(agent_fc_backtest(&agent_fc_decay, &trial, &score, NULL, NULL), 50);
    assert_true(score.coverage > 0.77 && score.coverage < 0.83);
    assert_true(score.rmae < 0.8); /* the mean beats repeating noise */
}

static void choice_takes_the_best(void **state)
{
    struct agent_fc_ranking ranking;
    struct agent_fc_trial trial = trial_of();
    struct agent_error error = {0};

    (void)state;
    for (int i = 0; i < COUNT; i++) { /* a week that repeats exactly */
        values[i] = 100.0 + (i / AGENT_FC_SLOTS) % 7 * 10.0 + i % 48;
    }
    assert_int_equal(agent_fc_rank(&trial, &ranking, &error), 0);
    assert_string_equal(ranking.method[ranking.best]->name, "naive-week");
    assert_true(ranking.score[ranking.best].nmae < 1e-12);
    for (size_t m = 0; m < ranking.count; m++) {
        if (strcmp(ranking.method[m]->name, "operator") == 0) {
            assert_int_equal(ranking.result[m], -ENODATA);
        }
        if (strcmp(ranking.method[m]->name, "persistence") == 0) {
            assert_true(fabs(ranking.score[m].rmae - 1.0) < 1e-12);
        }
    }
}

static void answer_has_bands_and_provenance(void **state)
{
    struct agent_fc_answer answer;
    struct agent_error error = {0};
    struct agent_fc_trial trial = trial_of();
    struct agent_fc_case ask = trial.base;
    uint64_t seed = 5;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        values[i] = 100.0 + i % 48 + 20.0 * random_unit(&seed);
    }
    ask.day_slot = trial.first_day + 20 * AGENT_FC_SLOTS;
    ask.known_until = ask.day_slot - 14;
    assert_int_equal(agent_fc_answer_day(&ask, NULL, &answer, &error), 0);
    assert_non_null(answer.method);
    assert_true(answer.back_tested_days >= 50);
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        assert_true(answer.bands.p10[i] <= answer.bands.p50[i]);
        assert_true(answer.bands.p50[i] <= answer.bands.p90[i]);
        assert_true(answer.bands.p90[i] - answer.bands.p10[i] > 5.0);
        assert_true(fabs(answer.mw[i] - (110.0 + i)) < 12.0);
    }
    ask.known_until = ask.actual.first_slot + 40;
    ask.day_slot = ask.actual.first_slot + 48;
    assert_int_equal(agent_fc_answer_day(&ask, NULL, &answer, &error), -ENODATA);
    assert_non_null(strstr(error.text, "at least 2"));
}

/* Two days are known: no method can be judged, persistence answers, without scores or bands. */
static void a_young_series_is_answered(void **state)
{
    struct agent_fc_answer answer;
    struct agent_error error = {0};
    struct agent_fc_trial trial = trial_of();
    struct agent_fc_case ask = trial.base;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        values[i] = i < 50 * AGENT_FC_SLOTS ? (double)NAN : 100.0 + i % 48;
    }
    ask.day_slot = ask.actual.first_slot + 52 * AGENT_FC_SLOTS;
    ask.known_until = ask.day_slot - 14;
    assert_int_equal(agent_fc_answer_day(&ask, NULL, &answer, &error), 0);
    assert_ptr_equal(answer.method, &agent_fc_persistence);
    assert_int_equal(answer.back_tested_days, 0);
    assert_true(isnan(answer.score.nmae));
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        assert_true(fabs(answer.mw[i] - (100.0 + i)) < 1e-9);
        assert_true(isnan(answer.bands.p10[i]));
    }
}

static void wrong_trials_are_refused(void **state)
{
    struct agent_fc_score score;
    struct agent_fc_trial trial = trial_of();

    (void)state;
    trial.lead_slots = AGENT_FC_LEAD_MAX + 1;
    assert_int_equal(agent_fc_backtest(&agent_fc_decay, &trial, &score, NULL, NULL), -EINVAL);
    trial = trial_of();
    trial.days = 0;
    assert_int_equal(agent_fc_backtest(&agent_fc_decay, &trial, &score, NULL, NULL), -EINVAL);
    trial = trial_of();
    trial.base.kind = AGENT_FC_PV;
    assert_int_equal(agent_fc_backtest(&agent_fc_decay, &trial, &score, NULL, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_by_hand),
        cmocka_unit_test(regret_by_hand),
        cmocka_unit_test(coverage_is_honest),
        cmocka_unit_test(choice_takes_the_best),
        cmocka_unit_test(answer_has_bands_and_provenance),
        cmocka_unit_test(a_young_series_is_answered),
        cmocka_unit_test(wrong_trials_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
