/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forecast/calendar.h"

#include <stddef.h>

int agent_calendar_weekday(struct agent_date date)
{
    int64_t days = (agent_date_start(date) + AGENT_JST_OFFSET_S) / AGENT_DAY_SECONDS;

    return (int)((days + 4) % 7); /* 1970-01-01 was a Thursday */
}

int agent_calendar_day_of_year(struct agent_date date)
{
    struct agent_date first = {date.year, 1, 1};

    return (int)((agent_date_start(date) - agent_date_start(first)) / AGENT_DAY_SECONDS);
}

/* Day of the equinox in Japan, 1980..2099 (the usual approximation of the almanac). */
static int equinox(int year, double base)
{
    int since = year - 1980;

    return (int)(base + 0.242194 * since) - since / 4;
}

/* Holidays of their own right: fixed days, @monday-th Mondays, equinoxes. */
static bool proper_holiday(struct agent_date date)
{
    static const struct {
        int month;
        int day;
        int monday;
    } list[] = {
        {1, 1, 0}, {1, 0, 2}, {2, 11, 0}, {2, 23, 0}, {4, 29, 0}, {5, 3, 0},  {5, 4, 0},
        {5, 5, 0}, {7, 0, 3}, {8, 11, 0}, {9, 0, 3},  {10, 0, 2}, {11, 3, 0}, {11, 23, 0},
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (list[i].month != date.month) {
            continue;
        }
        if (list[i].monday == 0 && list[i].day == date.day) {
            return true;
        }
        if (list[i].monday > 0 && agent_calendar_weekday(date) == 1 &&
            (date.day - 1) / 7 + 1 == list[i].monday) {
            return true;
        }
    }
    return (date.month == 3 && date.day == equinox(date.year, 20.8431)) ||
           (date.month == 9 && date.day == equinox(date.year, 23.2488));
}

static struct agent_date shifted(struct agent_date date, int days)
{
    return agent_date_of(agent_date_start(date) + (int64_t)days * AGENT_DAY_SECONDS);
}

bool agent_calendar_holiday(struct agent_date date)
{
    if (proper_holiday(date)) {
        return true;
    }
    /* substitute: the first ordinary day after a run of holidays that holds a Sunday */
    struct agent_date back = shifted(date, -1);
    for (int i = 0; i < 4 && proper_holiday(back); i++) {
        if (agent_calendar_weekday(back) == 0) {
            return true;
        }
        back = shifted(back, -1);
    }
    return agent_calendar_weekday(date) != 0 && proper_holiday(shifted(date, -1)) &&
           proper_holiday(shifted(date, 1));
}

enum agent_day_type agent_calendar_type(struct agent_date date)
{
    int weekday = agent_calendar_weekday(date);
    bool obon = date.month == 8 && date.day >= 13 && date.day <= 15;
    bool turn = (date.month == 12 && date.day >= 30) || (date.month == 1 && date.day <= 3);

    if (weekday == 0 || obon || turn || agent_calendar_holiday(date)) {
        return AGENT_DAY_REST;
    }
    return weekday == 6 ? AGENT_DAY_SATURDAY : AGENT_DAY_WORK;
}
