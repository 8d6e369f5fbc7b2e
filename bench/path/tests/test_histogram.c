/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_histogram.c - quantiles against values counted by hand */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "histogram.h"

static void empty_says_zero(void **state)
{
    struct path_histogram histogram = {0};

    (void)state;
    assert_int_equal(path_histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(path_histogram_quantile(&histogram, 1), 0);
}

static void quantiles_are_within_a_sixteenth(void **state)
{
    struct path_histogram histogram = {0};

    (void)state;
    for (int64_t us = 1; us <= 10000; us++) {
        path_histogram_add(&histogram, us * 1000);
    }
    assert_in_range(path_histogram_quantile(&histogram, 0.5), 5000000, 5320000);
    assert_in_range(path_histogram_quantile(&histogram, 0.99), 9900000, 10000000);
    assert_int_equal(path_histogram_quantile(&histogram, 1), 10000000);
    assert_int_equal(histogram.max_ns, 10000000);
}

static void extremes_are_counted_not_lost(void **state)
{
    struct path_histogram histogram = {0};

    (void)state;
    path_histogram_add(&histogram, -5);
    path_histogram_add(&histogram, INT64_MAX);
    assert_int_equal(histogram.total, 2);
    assert_int_equal(path_histogram_quantile(&histogram, 0.5), 1000);
    assert_true(path_histogram_quantile(&histogram, 1) > INT64_C(200000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_says_zero),
        cmocka_unit_test(quantiles_are_within_a_sixteenth),
        cmocka_unit_test(extremes_are_counted_not_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
