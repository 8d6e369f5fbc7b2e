/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "forecast/calendar.h"
#include "forecast/solar.h"

static int holidays(int year)
{
    struct agent_date first = {year, 1, 1};
    int count = 0;

    for (int k = 0; k < 366; k++) {
        struct agent_date date = agent_date_of(agent_date_start(first) + k * AGENT_DAY_SECONDS);
        count += date.year == year && agent_calendar_holiday(date) ? 1 : 0;
    }
    return count;
}

static void weekdays(void **state)
{
    (void)state;
    assert_int_equal(agent_calendar_weekday((struct agent_date){2026, 4, 2}), 4);
    assert_int_equal(agent_calendar_weekday((struct agent_date){2000, 2, 29}), 2);
    assert_int_equal(agent_calendar_weekday((struct agent_date){2025, 11, 2}), 0);
}

/* Official lists: 18 in 2026 (6 May substitutes, 22 September is bridged), 19 in 2025, 17 in 2027.
 */
static void official_years(void **state)
{
    (void)state;
    assert_int_equal(holidays(2025), 19);
    assert_int_equal(holidays(2026), 18);
    assert_true(agent_calendar_holiday((struct agent_date){2026, 5, 6}));
    assert_true(agent_calendar_holiday((struct agent_date){2026, 9, 22}));
    assert_true(agent_calendar_holiday((struct agent_date){2025, 11, 24}));
    assert_true(agent_calendar_holiday((struct agent_date){2025, 3, 20}));
    assert_true(agent_calendar_holiday((struct agent_date){2027, 3, 22}));
    assert_false(agent_calendar_holiday((struct agent_date){2026, 5, 7}));
    assert_false(agent_calendar_holiday((struct agent_date){2026, 4, 2}));
}

static void types(void **state)
{
    (void)state;
    assert_int_equal(agent_calendar_type((struct agent_date){2026, 4, 2}), AGENT_DAY_WORK);
    assert_int_equal(agent_calendar_type((struct agent_date){2026, 4, 4}), AGENT_DAY_SATURDAY);
    assert_int_equal(agent_calendar_type((struct agent_date){2026, 4, 5}), AGENT_DAY_REST);
    assert_int_equal(agent_calendar_type((struct agent_date){2025, 8, 14}), AGENT_DAY_REST);
    assert_int_equal(agent_calendar_type((struct agent_date){2025, 12, 31}), AGENT_DAY_REST);
}

static double noon_elevation_deg(int area, struct agent_date date)
{
    double most = -1.0;

    for (int k = 0; k < AGENT_SLOTS_PER_DAY; k++) {
        int64_t at = agent_slot_start(agent_slot_at(date, k));
        most = fmax(most, agent_solar_sine(agent_solar_area(area), at));
    }
    return asin(most) * 180.0 / 3.14159265358979;
}

/* At the solstices the sun culminates at 90 - latitude + or - 23.44 degrees. */
static void culmination(void **state)
{
    (void)state;
    for (int area = 1; area <= 10; area++) {
        double latitude = agent_solar_area(area).latitude_deg;
        double summer = noon_elevation_deg(area, (struct agent_date){2025, 6, 21});
        double winter = noon_elevation_deg(area, (struct agent_date){2025, 12, 22});
        assert_true(fabs(summer - (90.0 - latitude + 23.44)) < 0.7);
        assert_true(fabs(winter - (90.0 - latitude - 23.44)) < 0.7);
    }
}

/* Sunrise in Tokyo on 2 April 2026 is at 5:27, sunset at 18:03 (the almanac, sea level). */
static void sunrise(void **state)
{
    struct agent_place_on_earth tokyo = {35.68, 139.77};
    int64_t day = agent_date_start((struct agent_date){2026, 4, 2});

    (void)state;
    assert_true(agent_solar_sine(tokyo, day + (5 * 60 + 20) * 60) < 0.0);
    assert_true(agent_solar_sine(tokyo, day + (5 * 60 + 40) * 60) > 0.0);
    assert_true(agent_solar_sine(tokyo, day + (17 * 60 + 50) * 60) > 0.0);
    assert_true(agent_solar_sine(tokyo, day + (18 * 60 + 15) * 60) < 0.0);
    assert_true(agent_solar_clear(tokyo, agent_slot_of(day)) <= 0.0);
    assert_true(agent_solar_clear(tokyo, agent_slot_of(day) + 23) > 800.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weekdays),    cmocka_unit_test(official_years), cmocka_unit_test(types),
        cmocka_unit_test(culmination), cmocka_unit_test(sunrise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
