/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "forecast/forecast.h"
#include "forecast/spread.h"
#include "forecast/update.h"

#define DAYS  90
#define COUNT (DAYS * AGENT_FC_SLOTS)

static const struct agent_date first_date = {2025, 5, 1};

/* A small generator of its own: tests must not depend on what they test. */
static double random_unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 33) / 2147483648.0;
}

static void fill(enum agent_fc_kind kind, uint64_t seed, double *value)
{
    struct agent_place_on_earth place = agent_solar_area(9);
    int64_t first = agent_slot_at(first_date, 0);
    double cloud = 0.7;
    double slow = 0.5;

    for (int i = 0; i < COUNT; i++) {
        if (i % AGENT_FC_SLOTS == 0) {
            cloud = 0.2 + 0.8 * random_unit(&seed);
        }
        slow = 0.95 * slow + 0.05 * random_unit(&seed);
        double clear = agent_solar_clear(place, first + i);
        switch (kind) {
        case AGENT_FC_PV:
            value[i] = 10.0 * clear * cloud;
            break;
        case AGENT_FC_WIND:
            value[i] = 1000.0 * slow;
            break;
        case AGENT_FC_CURTAILMENT:
            value[i] = fmax(10.0 * clear * cloud - 5000.0, 0.0);
            break;
        default:
            value[i] = 8000.0 + 1000.0 * sin(i * 0.13) + 100.0 * random_unit(&seed);
            break;
        }
    }
}

static struct agent_fc_case ask_of(enum agent_fc_kind kind, const double *value, int day, int lead)
{
    int64_t first = agent_slot_at(first_date, 0);
    struct agent_fc_case ask = {.kind = kind,
                                .actual = {value, first, COUNT},
                                .outlook = {value, first, COUNT},
                                .day_slot = first + (int64_t)day * AGENT_FC_SLOTS,
                                .place = agent_solar_area(9)};

    ask.known_until = ask.day_slot - lead;
    return ask;
}

/* Seeded property: whatever happens after the question is put changes no forecast. */
static void never_looks_ahead(void **state)
{
    static double value[COUNT], spoiled[COUNT], outlook[COUNT];
    size_t count = 0;
    const struct agent_fc_method *const *methods = agent_fc_methods(&count);

    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        for (int kind = 0; kind < AGENT_FC_KINDS; kind++) {
            int day = 60 + (int)(seed % 20);
            int lead = (int)(seed * 7 % 40);
            double a[AGENT_FC_SLOTS], b[AGENT_FC_SLOTS];
            fill((enum agent_fc_kind)kind, seed, value);
            memcpy(outlook, value, sizeof(outlook));
            memcpy(spoiled, value, sizeof(spoiled));
            for (int i = day * AGENT_FC_SLOTS - lead; i < COUNT; i++) {
                spoiled[i] = i % 3 == 0 ? (double)NAN : 1e9;
            }
            for (size_t m = 0; m < count; m++) {
                if (!(methods[m]->kinds & (1u << kind))) {
                    continue;
                }
                struct agent_fc_case ask = ask_of((enum agent_fc_kind)kind, value, day, lead);
                ask.outlook.value = outlook;
                int first = agent_fc_predict(methods[m], &ask, a, NULL);
                ask.actual.value = spoiled;
                int second = agent_fc_predict(methods[m], &ask, b, NULL);
                if (first != second || (first == 0 && memcmp(a, b, sizeof(a)) != 0)) {
                    fail_msg("seed %llu: %s of %s looks ahead", (unsigned long long)seed,
                             methods[m]->name, agent_fc_kind_name((enum agent_fc_kind)kind));
                }
                assert_int_equal(first, 0);
            }
        }
    }
}

/* Seeded property: with holes anywhere the answer is finite, not negative, and dark at night. */
static void always_plausible(void **state)
{
    static double value[COUNT];
    size_t count = 0;
    const struct agent_fc_method *const *methods = agent_fc_methods(&count);

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t holes = seed;
        for (int kind = 0; kind < AGENT_FC_KINDS; kind++) {
            fill((enum agent_fc_kind)kind, seed, value);
            for (int i = 0; i < COUNT; i++) {
                value[i] = random_unit(&holes) < 0.25 ? (double)NAN : value[i];
            }
            struct agent_fc_case ask = ask_of((enum agent_fc_kind)kind, value, 70, 14);
            for (size_t m = 0; m < count; m++) {
                double out[AGENT_FC_SLOTS];
                if (!(methods[m]->kinds & (1u << kind)) ||
                    agent_fc_predict(methods[m], &ask, out, NULL) != 0) {
                    continue;
                }
                for (int i = 0; i < AGENT_FC_SLOTS; i++) {
                    assert_true(isfinite(out[i]) && out[i] >= 0.0);
                    if (agent_fc_dark(&ask, ask.day_slot + i)) {
                        assert_true(out[i] <= 0.0);
                    }
                }
            }
        }
    }
}

static void persistence_skips_unknown_evening(void **state)
{
    static double value[COUNT];
    double out[AGENT_FC_SLOTS];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        value[i] = 1000.0 * (i / AGENT_FC_SLOTS) + i % AGENT_FC_SLOTS;
    }
    struct agent_fc_case ask = ask_of(AGENT_FC_LOAD, value, 70, 14);
    assert_int_equal(agent_fc_predict(&agent_fc_persistence, &ask, out, NULL), 0);
    assert_true(fabs(out[0] - 69000.0) < 1e-9);
    assert_true(fabs(out[33] - 69033.0) < 1e-9);
    assert_true(fabs(out[34] - 68034.0) < 1e-9); /* 17:00 on: the day before is not over */
    assert_int_equal(agent_fc_predict(&agent_fc_week, &ask, out, NULL), 0);
    assert_true(fabs(out[47] - 63047.0) < 1e-9);
}

/* A sky that is always equally clear is forecast exactly (but for the turn of the season). */
static void clear_sky_knows_the_sun(void **state)
{
    static double value[COUNT];
    double out[AGENT_FC_SLOTS];
    int64_t first = agent_slot_at(first_date, 0);

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        value[i] = 7.5 * agent_solar_clear(agent_solar_area(9), first + i);
    }
    struct agent_fc_case ask = ask_of(AGENT_FC_PV, value, 70, 14);
    ask.outlook.count = 0;
    assert_int_equal(agent_fc_predict(&agent_fc_clear_sky, &ask, out, NULL), 0);
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        assert_true(fabs(out[i] - value[70 * AGENT_FC_SLOTS + i]) < 1.0);
    }
}

/* An outlook that is always 20 % too high is corrected; none gives -ENODATA. */
static void operator_bias_is_removed(void **state)
{
    static double value[COUNT], outlook[COUNT];
    double out[AGENT_FC_SLOTS];
    struct agent_error error = {0};

    (void)state;
    fill(AGENT_FC_PV, 3, value);
    for (int i = 0; i < COUNT; i++) {
        outlook[i] = 1.2 * value[i];
    }
    struct agent_fc_case ask = ask_of(AGENT_FC_PV, value, 70, 14);
    ask.outlook.value = outlook;
    assert_int_equal(agent_fc_predict(&agent_fc_operator, &ask, out, &error), 0);
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        assert_true(fabs(out[i] - value[70 * AGENT_FC_SLOTS + i]) < 1e-6);
    }
    ask.outlook.count = 0;
    assert_int_equal(agent_fc_predict(&agent_fc_operator, &ask, out, &error), -ENODATA);
    assert_non_null(strstr(error.text, "operator"));
}

static void holt_winters_follows_a_season(void **state)
{
    static double value[COUNT];
    double out[AGENT_FC_SLOTS];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        value[i] = 500.0 + 200.0 * sin(2.0 * 3.14159265358979 * i / AGENT_FC_SLOTS);
    }
    struct agent_fc_case ask = ask_of(AGENT_FC_WIND, value, 70, 14);
    assert_int_equal(agent_fc_predict(&agent_fc_holt, &ask, out, NULL), 0);
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        assert_true(fabs(out[i] - value[70 * AGENT_FC_SLOTS + i]) < 1.0);
    }
}

static void wrong_questions_are_refused(void **state)
{
    static double value[COUNT];
    double out[AGENT_FC_SLOTS];
    struct agent_error error = {0};

    (void)state;
    fill(AGENT_FC_WIND, 1, value);
    struct agent_fc_case ask = ask_of(AGENT_FC_WIND, value, 70, 0);
    assert_int_equal(agent_fc_predict(&agent_fc_clear_sky, &ask, out, &error), -EINVAL);
    assert_non_null(strstr(error.text, "clear-sky"));
    agent_error_clear(&error);
    ask.day_slot++;
    assert_int_equal(agent_fc_predict(&agent_fc_persistence, &ask, out, &error), -EINVAL);
    ask = ask_of(AGENT_FC_WIND, value, 3, 0);
    agent_error_clear(&error);
    assert_int_equal(agent_fc_predict(&agent_fc_holt, &ask, out, &error), -ENODATA);
    assert_non_null(strstr(error.text, "42 days"));
    assert_null(agent_fc_find("no-such-method"));
    assert_ptr_equal(agent_fc_find("decay"), &agent_fc_decay);
}

/* The largest half hour is the announced amount, where least is left to take it. */
static void an_announced_amount_is_spread(void **state)
{
    double residual[AGENT_FC_SLOTS];
    double out[AGENT_FC_SLOTS];

    (void)state;
    for (int slot = 0; slot < AGENT_FC_SLOTS; slot++) {
        residual[slot] = 3000.0 + 100.0 * abs(slot - 25);
    }
    residual[3] = NAN;
    agent_fc_spread(residual, 350.0, out);
    assert_true(fabs(out[25] - 350.0) < 1e-9);
    assert_true(fabs(out[24] - 250.0) < 1e-9);
    assert_true(fabs(out[22] - 50.0) < 1e-9);
    assert_true(fabs(out[21]) < 1e-9 && fabs(out[47]) < 1e-9);
    assert_true(isnan(out[3]));
    agent_fc_spread(residual, 0.0, out);
    assert_true(fabs(out[25]) < 1e-9 && fabs(out[3]) < 1e-9); /* none is none everywhere */
    agent_fc_spread(residual, NAN, out);
    assert_true(isnan(out[25]));
}

/* A day that is half as bright as expected is expected to go on darker, but less and less so. */
static void a_day_follows_what_it_measures(void **state)
{
    double expected[AGENT_FC_SLOTS];
    double measured[AGENT_FC_SLOTS];
    double band[3][AGENT_FC_SLOTS];
    double *const bands[3] = {band[0], band[1], band[2]};
    struct agent_fc_case ask = {.kind = AGENT_FC_PV,
                                .actual = {measured, 4800, AGENT_FC_SLOTS},
                                .day_slot = 4800,
                                .known_until = 4800 + 20};

    (void)state;
    for (int slot = 0; slot < AGENT_FC_SLOTS; slot++) {
        expected[slot] = slot > 12 && slot < 36 ? 1000.0 : 0.0;
        measured[slot] = slot < 20 ? expected[slot] / 2 : 9e9; /* what is ahead is not seen */
        for (int q = 0; q < 3; q++) {
            band[q][slot] = expected[slot] * (0.8 + 0.2 * q);
        }
    }
    assert_true(fabs(agent_fc_update(&ask, bands) - 0.5) < 1e-9);
    assert_true(fabs(band[1][19] - 1000.0) < 1e-9); /* the past is left alone */
    assert_true(fabs(band[1][20] - 1000.0 * (1 - 0.5 * AGENT_FC_MEMORY)) < 1e-6);
    for (int slot = 20; slot < 36; slot++) {
        assert_true(band[0][slot] <= band[1][slot] && band[1][slot] <= band[2][slot]);
        assert_true(slot == 20 || band[1][slot] > band[1][slot - 1]);
        assert_true(band[2][slot] - band[0][slot] < 400.0);
    }
    assert_true(fabs(band[1][40]) < 1e-9);
    ask.known_until = 4800 + 13; /* one bright half hour is too little to judge by */
    assert_true(fabs(agent_fc_update(&ask, bands) - 1.0) < 1e-9);
    ask.known_until = 4800 + 5;
    assert_true(fabs(agent_fc_update(&ask, bands) - 1.0) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_looks_ahead),
        cmocka_unit_test(always_plausible),
        cmocka_unit_test(persistence_skips_unknown_evening),
        cmocka_unit_test(clear_sky_knows_the_sun),
        cmocka_unit_test(operator_bias_is_removed),
        cmocka_unit_test(holt_winters_follows_a_season),
        cmocka_unit_test(wrong_questions_are_refused),
        cmocka_unit_test(an_announced_amount_is_spread),
        cmocka_unit_test(a_day_follows_what_it_measures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
