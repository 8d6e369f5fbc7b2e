/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simulate/data.h"
#include "simulate/kpi.h"

static void near(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12)) {
        fail_msg("%.15g, expected %.15g", found, expected);
    }
}

/* Two sites, four half hours, by hand. R is 1.0, 0.8, 0, 0.4 and 0, 0.2, 0.2, 0. */
static void renewable_by_hand(void **state)
{
    const double a[4] = {500, 400, 0, 200};
    const double b[4] = {0, 30, 30, 0};
    struct agent_kpi_site sites[2] = {{a, 500, 1.0}, {b, 30, 0.2}};
    struct agent_kpi_use use;

    (void)state;
    assert_int_equal(agent_kpi_renewable(sites, 2, 4, &use), 0);
    near(use.load, 4.0);
    near(use.available, 2.6);
    near(use.uniform, 0.5 + (0.5 + 0.2) + 0.2 + 0.4);
    near(use.best_static, 1.0 + 0.8 + 0.0 + 0.4);
    near(use.dynamic, 1.0 + 1.0 + 0.2 + 0.4);
    near(use.oracle, use.dynamic);
    assert_int_equal(use.best_site, 0);
    assert_int_equal(use.unknown, 0);
}

static void unknown_half_hours_count_for_nobody(void **state)
{
    const double a[4] = {500, (double)NAN, 0, 200};
    const double b[4] = {0, 30, 30, 0};
    struct agent_kpi_site sites[2] = {{a, 500, 1.0}, {b, 30, 0.2}};
    struct agent_kpi_use use;

    (void)state;
    assert_int_equal(agent_kpi_renewable(sites, 2, 4, &use), 0);
    assert_int_equal(use.unknown, 1);
    near(use.load, 3.0);
    near(use.dynamic, 1.0 + 0.2 + 0.4);
}

static void nonsense_is_refused(void **state)
{
    const double a[2] = {(double)NAN, (double)NAN};
    struct agent_kpi_site site = {a, 1, 1.0};
    struct agent_kpi_use use;
    struct agent_kpi_price price;
    const double *prices[1] = {a};

    (void)state;
    assert_int_equal(agent_kpi_renewable(&site, 1, 2, &use), -ENODATA);
    site.peak = 0;
    assert_int_equal(agent_kpi_renewable(&site, 1, 2, &use), -EINVAL);
    site = (struct agent_kpi_site){a, 1, (double)NAN};
    assert_int_equal(agent_kpi_renewable(&site, 1, 2, &use), -EINVAL);
    assert_int_equal(agent_kpi_renewable(&site, 0, 2, &use), -EINVAL);
    assert_int_equal(agent_kpi_renewable(&site, 21, 2, &use), -EINVAL);
    assert_int_equal(agent_kpi_prices(prices, 1, 2, &price), -ENODATA);
    assert_int_equal(agent_kpi_prices(prices, 0, 2, &price), -EINVAL);
}

static void prices_by_hand(void **state)
{
    const double a[5] = {10, 10, 5, 20, (double)NAN};
    const double b[5] = {10, 8, 9, 10, 1};
    const double *price[2] = {a, b};
    struct agent_kpi_price found;

    (void)state;
    assert_int_equal(agent_kpi_prices(price, 2, 5, &found), 0);
    assert_int_equal(found.slots, 4);
    near(found.uniform, (45.0 + 37.0) / 8.0);
    near(found.best_static, 37.0 / 4.0);
    near(found.dynamic, (10.0 + 8.0 + 5.0 + 10.0) / 4.0);
    near(found.equal_share, 0.25);
    assert_int_equal(found.best_site, 1);
    assert_int_equal(found.switches, 3); /* a (tie stays), b, a, b */
}

/* Seeded property: uniform <= dynamic, best static <= dynamic <= min(load, available). */
static void order_of_the_formulas(void **state)
{
    uint64_t random = 99;
    double value[5][48];

    (void)state;
    for (int round = 0; round < 500; round++) {
        struct agent_kpi_site sites[5];
        struct agent_kpi_use use;
        size_t count = 2 + (size_t)(round % 4);
        for (size_t s = 0; s < count; s++) {
            double peak = 0.0;
            for (int i = 0; i < 48; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                value[s][i] = (double)(random >> 50);
                peak = fmax(peak, value[s][i]);
            }
            sites[s] = (struct agent_kpi_site){value[s], peak, (double)(random >> 60) / 5.0};
        }
        assert_int_equal(agent_kpi_renewable(sites, count, 48, &use), 0);
        assert_true(use.uniform <= use.dynamic + 1e-9);
        assert_true(use.best_static <= use.dynamic + 1e-9);
        assert_true(use.dynamic <= fmin(use.load, use.available) + 1e-9);
    }
}

/* Half coal, half sun: 380 g/kWh; pumping and curtailment do not count. */
static void carbon_of_a_mix(void **state)
{
    double mw[AGENT_TOTAL + 1] = {0};

    (void)state;
    mw[AGENT_THERMAL_COAL] = 100;
    mw[AGENT_PV] = 100;
    mw[AGENT_PUMPED] = -50;
    mw[AGENT_PV_CURTAILED] = 70;
    near(agent_sim_carbon(mw), 380.0);
    mw[AGENT_THERMAL_COAL] = (double)NAN;
    near(agent_sim_carbon(mw), 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renewable_by_hand),
        cmocka_unit_test(unknown_half_hours_count_for_nobody),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(prices_by_hand),
        cmocka_unit_test(order_of_the_formulas),
        cmocka_unit_test(carbon_of_a_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
