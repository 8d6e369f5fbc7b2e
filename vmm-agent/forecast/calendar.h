/* SPDX-License-Identifier: GPL-2.0-or-later */
/* calendar.h - which Japanese days are working days
 * Owner: plain functions.   Thread: any, no state.
 * Time:  the day is passed in.   Units: none. */
#ifndef AGENT_FORECAST_CALENDAR_H
#define AGENT_FORECAST_CALENDAR_H

#include <stdbool.h>

#include "support/slot.h"

enum agent_day_type { AGENT_DAY_WORK, AGENT_DAY_SATURDAY, AGENT_DAY_REST };

/** agent_calendar_weekday() - 0 = Sunday … 6 = Saturday; @date must be valid */
int agent_calendar_weekday(struct agent_date date);

/** agent_calendar_holiday() - national holiday by the law as it stands since 2022 (fixed days,
 * happy Mondays, equinoxes, substitute and bridged days); one-off holidays are not known */
bool agent_calendar_holiday(struct agent_date date);

/** agent_calendar_type() - Sundays, holidays, Obon (13 to 15 August) and the turn of the year
 * (30 December to 3 January) rest; Saturdays are their own kind */
enum agent_day_type agent_calendar_type(struct agent_date date);

/** agent_calendar_day_of_year() - 0 on 1 January */
int agent_calendar_day_of_year(struct agent_date date);

#endif
