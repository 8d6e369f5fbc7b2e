/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The made-up year must have the statistics it was made for, whatever the seed. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "forecast/backtest.h"
#include "simulate/kpi.h"
#include "simulate/synth.h"

#define SEEDS 3

static struct agent_synth years[SEEDS];

static int make(void **state)
{
    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        if (agent_synth_make(2025, 1 + 77u * (uint64_t)k, &years[k], NULL) != 0) {
            return -1;
        }
    }
    return 0;
}

static int done(void **state)
{
    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        agent_synth_done(&years[k]);
    }
    return 0;
}

static double mean(const double *value, size_t count)
{
    double sum = 0.0;

    for (size_t i = 0; i < count; i++) {
        sum += value[i];
    }
    return sum / (double)count;
}

static double floor_share(const double *price, size_t count)
{
    size_t floor = 0;

    for (size_t i = 0; i < count; i++) {
        floor += price[i] < 0.011 ? 1 : 0;
    }
    return (double)floor / (double)count;
}

static double equal_share(const double *a, const double *b, size_t count)
{
    size_t equal = 0;

    for (size_t i = 0; i < count; i++) {
        equal += fabs(a[i] - b[i]) < 1e-9 ? 1 : 0;
    }
    return (double)equal / (double)count;
}

static void near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance)) {
        fail_msg("%s is %g, expected %g within %g", what, found, expected, tolerance);
    }
}

static void prices_of_fiscal_2025(void **state)
{
    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        const struct agent_synth *s = &years[k];
        double *const *p = s->price;
        near(mean(p[AGENT_AREA_TOKYO], s->slots), 12.45, 0.02, "Tokyo mean");
        near(mean(p[AGENT_AREA_KANSAI], s->slots), 10.65, 0.02, "Kansai mean");
        near(mean(p[AGENT_AREA_KYUSHU], s->slots), 9.81, 0.02, "Kyushu mean");
        near(mean(p[AGENT_AREA_HOKKAIDO], s->slots), 11.70, 0.02, "Hokkaido mean");
        near(floor_share(p[AGENT_AREA_KYUSHU], s->slots), 0.056, 0.0005, "Kyushu floor");
        near(floor_share(p[AGENT_AREA_KANSAI], s->slots), 0.016, 0.0005, "Kansai floor");
        near(floor_share(p[AGENT_AREA_TOKYO], s->slots), 0.006, 0.0005, "Tokyo floor");
        near(floor_share(p[AGENT_AREA_HOKKAIDO], s->slots), 0.027, 0.0005, "Hokkaido floor");
        near(equal_share(p[AGENT_AREA_KANSAI], p[AGENT_AREA_KYUSHU], s->slots), 0.77, 0.002,
             "Kansai = Kyushu");
        near(equal_share(p[AGENT_AREA_TOKYO], p[AGENT_AREA_HOKKAIDO], s->slots), 0.51, 0.002,
             "Tokyo = Hokkaido");
        double most = 0.0;
        double least = 1.0;
        double change = 0.0;
        for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
            for (size_t i = 0; i < s->slots; i++) {
                most = fmax(most, p[area][i]);
                least = fmin(least, p[area][i]);
                change += i >= 48 ? fabs(p[area][i] - p[area][i - 48]) : 0.0;
            }
        }
        near(most, 80.0, 1e-9, "maximum");
        near(least, 0.01, 1e-9, "minimum");
        near(change / 9.0 / (double)(s->slots - 48), 1.9, 0.15, "change from day to day");
    }
}

static void kyushu_blocks(void **state)
{
    static const double expected[12] = {9.5, 9.0, 9.7,  10.3, 9.2,  7.0,
                                        5.1, 6.9, 10.6, 14.7, 13.6, 11.9};

    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        double sum[12] = {0};
        for (size_t i = 0; i < years[k].slots; i++) {
            sum[i % 48 / 4] += years[k].price[AGENT_AREA_KYUSHU][i];
        }
        for (int block = 0; block < 12; block++) {
            near(sum[block] / ((double)years[k].slots / 12.0), expected[block], 0.05, "block");
        }
    }
}

/* Mean over the ten areas of |today - yesterday| of wind + solar, by each area's peak. */
static void day_ahead_persistence(void **state)
{
    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        const struct agent_synth *s = &years[k];
        double sum = 0.0;
        for (int area = 1; area < AGENT_AREA_COUNT; area++) {
            double peak = 0.0;
            double change = 0.0;
            double last[48] = {0};
            for (size_t i = 0; i < s->slots; i++) {
                double here = s->mw[area][AGENT_PV][i] + s->mw[area][AGENT_WIND][i];
                peak = fmax(peak, here);
                change += i >= 48 ? fabs(here - last[i % 48]) : 0.0;
                last[i % 48] = here;
            }
            sum += change / (double)(s->slots - 48) / peak;
        }
        near(sum / 10.0, 0.081, 0.004, "wind + solar persistence");
    }
}

static void balances_close(void **state)
{
    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        for (int area = 1; area < AGENT_AREA_COUNT; area++) {
            int32_t *const *mw = years[k].mw[area];
            for (size_t i = 0; i < years[k].slots; i++) {
                int64_t sum = 0;
                for (int q = AGENT_NUCLEAR; q < AGENT_TOTAL; q++) {
                    bool cut = q == AGENT_THERMAL_CURTAILED || q == AGENT_BIOMASS_CURTAILED ||
                               q == AGENT_PV_CURTAILED || q == AGENT_WIND_CURTAILED;
                    sum += cut ? 0 : mw[q][i];
                }
                assert_true(llabs(sum - mw[AGENT_TOTAL][i]) <= 2);
                assert_true(mw[AGENT_PV_CURTAILED][i] >= 0 && mw[AGENT_THERMAL_LNG][i] >= 0);
                assert_true(abs(mw[AGENT_DEMAND][i] - mw[AGENT_TOTAL][i]) <= 4);
            }
        }
    }
}

/* Net exports sum to nothing, lines stay within their capacities. */
static void trade_is_possible(void **state)
{
    static const int limit[AGENT_SYNTH_LINES] = {900, 5150, 4140, 2470};

    (void)state;
    for (size_t i = 0; i < years[0].slots; i++) {
        int sum = 0;
        for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
            sum += years[0].mw[area][AGENT_INTERCONNECTION][i];
        }
        assert_true(abs(sum) <= 10); /* nine roundings */
        assert_int_equal(years[0].mw[AGENT_AREA_OKINAWA][AGENT_INTERCONNECTION][i], 0);
        for (int line = 0; line < AGENT_SYNTH_LINES; line++) {
            assert_true(abs(years[0].line[line][i]) <= limit[line]);
        }
    }
}

/* Kyushu curtails on many days, most in spring, with days like 2 April 2026 (13 slots, 10 GWh). */
static void curtailment_is_like_kyushu(void **state)
{
    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        const int32_t *cut = years[k].mw[AGENT_AREA_KYUSHU][AGENT_PV_CURTAILED];
        int days = 0;
        int like = 0;
        int spring = 0;
        for (size_t day = 0; day < years[k].slots / 48; day++) {
            int slots = 0;
            double gwh = 0.0;
            for (size_t i = day * 48; i < (day + 1) * 48; i++) {
                slots += cut[i] > 0 ? 1 : 0;
                gwh += cut[i] / 2000.0;
            }
            days += slots > 0 ? 1 : 0;
            like += slots >= 9 && slots <= 16 && gwh > 5.0 && gwh < 20.0 ? 1 : 0;
            spring += slots > 0 && (day < 61 || day > 334) ? 1 : 0;
        }
        assert_true(days >= 60 && days <= 200);
        assert_true(like >= 10);
        assert_true(spring * 4 > days);
    }
}

static void same_seed_same_year(void **state)
{
    struct agent_synth again;

    (void)state;
    assert_int_equal(agent_synth_make(2025, 1, &again, NULL), 0);
    for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
        assert_memory_equal(again.price[area], years[0].price[area], again.slots * sizeof(double));
        assert_memory_equal(again.mw[area][AGENT_PV], years[0].mw[area][AGENT_PV],
                            again.slots * sizeof(int32_t));
    }
    agent_synth_done(&again);
    assert_true(memcmp(years[0].price[9], years[1].price[9], years[0].slots * sizeof(double)) != 0);
}

static void years_without_data_are_refused(void **state)
{
    struct agent_synth none;
    struct agent_error error = {0};

    (void)state;
    assert_int_equal(agent_synth_make(1999, 1, &none, &error), -EINVAL);
    assert_non_null(strstr(error.text, "1999"));
    agent_synth_done(&none);
}

/* Price alone: dynamic adds little for Kansai - Kyushu, more for Tokyo - Hokkaido. */
static void price_alone(void **state)
{
    (void)state;
    for (int k = 0; k < SEEDS; k++) {
        const double *west[2] = {years[k].price[AGENT_AREA_KYUSHU],
                                 years[k].price[AGENT_AREA_KANSAI]};
        const double *east[2] = {years[k].price[AGENT_AREA_TOKYO],
                                 years[k].price[AGENT_AREA_HOKKAIDO]};
        struct agent_kpi_price price;
        assert_int_equal(agent_kpi_prices(west, 2, years[k].slots, &price), 0);
        assert_int_equal(price.best_site, 0);
        assert_true(1.0 - price.dynamic / price.best_static < 0.002);
        assert_int_equal(agent_kpi_prices(east, 2, years[k].slots, &price), 0);
        assert_true(1.0 - price.dynamic / price.best_static > 0.02);
    }
}

/* The chosen forecasts beat persistence on the built-in year, for every kind. */
static void forecasts_beat_persistence(void **state)
{
    static double value[AGENT_SYNTH_SLOTS], outlook[AGENT_SYNTH_SLOTS], guide[AGENT_SYNTH_SLOTS];
    const struct agent_synth *s = &years[0];
    int32_t *const *mw = s->mw[AGENT_AREA_KYUSHU];

    (void)state;
    for (int kind = 0; kind < AGENT_FC_KINDS; kind++) {
        struct agent_fc_ranking ranking;
        for (size_t i = 0; i < s->slots; i++) {
            const double by_kind[AGENT_FC_KINDS] = {
                mw[AGENT_PV][i] + mw[AGENT_PV_CURTAILED][i],
                mw[AGENT_WIND][i] + mw[AGENT_WIND_CURTAILED][i],
                mw[AGENT_PV_CURTAILED][i] + mw[AGENT_WIND_CURTAILED][i],
                mw[AGENT_DEMAND][i],
            };
            value[i] = by_kind[kind];
            outlook[i] = kind == AGENT_FC_LOAD ? s->outlook_demand[AGENT_AREA_KYUSHU][i]
                                               : s->outlook_wind_pv[AGENT_AREA_KYUSHU][i];
            guide[i] =
                s->outlook_demand[AGENT_AREA_KYUSHU][i] - s->outlook_wind_pv[AGENT_AREA_KYUSHU][i];
        }
        bool with_outlook = kind == AGENT_FC_PV || kind == AGENT_FC_LOAD;
        struct agent_fc_trial trial = {
            .base = {.kind = (enum agent_fc_kind)kind,
                     .actual = {value, s->first_slot, s->slots},
                     .outlook = {outlook, s->first_slot, with_outlook ? s->slots : 0},
                     .guide = {guide, s->first_slot, kind == AGENT_FC_CURTAILMENT ? s->slots : 0},
                     .place = agent_solar_area(AGENT_AREA_KYUSHU)},
            .first_day = s->first_slot + 80 * 48,
            .days = 280,
            .warm_days = 30,
            .lead_slots = AGENT_FC_LEAD_DEFAULT,
        };
        assert_int_equal(agent_fc_rank(&trial, &ranking, NULL), 0);
        assert_true(ranking.score[ranking.best].rmae < 0.9);
        assert_true(ranking.score[ranking.best].pinball < ranking.score[0].pinball);
        if (kind != AGENT_FC_CURTAILMENT) { /* mostly zero: P10 = P90 = 0 is right too often */
            assert_true(ranking.score[ranking.best].coverage > 0.7);
            assert_true(ranking.score[ranking.best].coverage < 0.9);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_of_fiscal_2025), cmocka_unit_test(kyushu_blocks),
        cmocka_unit_test(day_ahead_persistence), cmocka_unit_test(balances_close),
        cmocka_unit_test(trade_is_possible),     cmocka_unit_test(curtailment_is_like_kyushu),
        cmocka_unit_test(same_seed_same_year),   cmocka_unit_test(years_without_data_are_refused),
        cmocka_unit_test(price_alone),           cmocka_unit_test(forecasts_beat_persistence),
    };

    return cmocka_run_group_tests(tests, make, done);
}
