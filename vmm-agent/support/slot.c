/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/slot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && leap(year) ? 1 : 0);
}

bool agent_date_valid(struct agent_date date)
{
    return date.year >= 2000 && date.year <= 2099 && date.month >= 1 && date.month <= 12 &&
           date.day >= 1 && date.day <= month_days(date.year, date.month);
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar; the year starts in March so that the
 * leap day is the last one (Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(struct agent_date date)
{
    int64_t year = date.year - (date.month <= 2 ? 1 : 0);
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month = date.month + (date.month > 2 ? -3 : 9);
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0 ? 1 : 0);
}

int64_t agent_date_start(struct agent_date date)
{
    return days_from_civil(date) * AGENT_DAY_SECONDS - AGENT_JST_OFFSET_S;
}

struct agent_date agent_date_of(int64_t time_s)
{
    int64_t days = floor_div(time_s + AGENT_JST_OFFSET_S, AGENT_DAY_SECONDS) + 719468;
    int64_t era = floor_div(days, 146097);
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t month = (5 * doy + 2) / 153;
    struct agent_date date;

    date.day = (int)(doy - (153 * month + 2) / 5 + 1);
    date.month = (int)(month + (month < 10 ? 3 : -9));
    date.year = (int)(yoe + era * 400 + (date.month <= 2 ? 1 : 0));
    return date;
}

int64_t agent_slot_of(int64_t time_s)
{
    return floor_div(time_s, AGENT_SLOT_SECONDS);
}

int64_t agent_slot_start(int64_t slot)
{
    return slot * AGENT_SLOT_SECONDS;
}

int agent_slot_in_day(int64_t slot)
{
    int64_t shifted = slot + AGENT_JST_OFFSET_S / AGENT_SLOT_SECONDS;

    return (int)(shifted - floor_div(shifted, AGENT_SLOTS_PER_DAY) * AGENT_SLOTS_PER_DAY);
}

int64_t agent_slot_at(struct agent_date date, int index)
{
    return agent_slot_of(agent_date_start(date)) + index;
}

int agent_fiscal_year(struct agent_date date)
{
    return date.month >= 4 ? date.year : date.year - 1;
}

/* Reads @min..@max digits; Return: characters used, 0 = no number there. */
static size_t digits(const char *text, size_t min, size_t max, int *out)
{
    size_t used = 0;
    int value = 0;

    while (used < max && text[used] >= '0' && text[used] <= '9') {
        value = value * 10 + (text[used] - '0');
        used++;
    }
    if (used < min) {
        return 0;
    }
    *out = value;
    return used;
}

/* "2026-04-02", "2026/4/2" or "20260402"; Return: characters used, 0 = not a date. */
static size_t scan_date(const char *text, struct agent_date *date)
{
    size_t at = digits(text, 4, 4, &date->year);
    char mark = at > 0 ? text[at] : '\0';
    bool packed = mark >= '0' && mark <= '9';
    size_t min = packed ? 2 : 1;

    if (at == 0 || (!packed && mark != '-' && mark != '/')) {
        return 0;
    }
    at += packed ? 0 : 1;
    size_t used = digits(text + at, min, 2, &date->month);
    if (used == 0 || (!packed && text[at + used] != mark)) {
        return 0;
    }
    at += used + (packed ? 0 : 1);
    used = digits(text + at, min, 2, &date->day);
    return used == 0 || !agent_date_valid(*date) ? 0 : at + used;
}

int agent_date_parse(const char *text, struct agent_date *date, struct agent_error *error)
{
    struct agent_date found = {0, 0, 0};
    size_t used = scan_date(text, &found);

    if (used == 0 || text[used] != '\0') {
        return agent_error_set(
            error, EINVAL, "expected a date like 2026-04-02 in 2000..2099, found '%.40s'", text);
    }
    *date = found;
    return 0;
}

/* "Z", "+09:00" or "+0900"; Return: characters used, 0 = no zone there. */
static size_t scan_zone(const char *text, int *offset_s)
{
    int hours = 0;
    int minutes = 0;

    if (text[0] == 'Z') {
        *offset_s = 0;
        return 1;
    }
    if ((text[0] != '+' && text[0] != '-') || digits(text + 1, 2, 2, &hours) == 0) {
        return 0;
    }
    size_t at = text[3] == ':' ? 4 : 3;
    if (digits(text + at, 2, 2, &minutes) == 0 || hours > 14 || minutes > 59) {
        return 0;
    }
    *offset_s = (hours * 3600 + minutes * 60) * (text[0] == '-' ? -1 : 1);
    return at + 2;
}

/* "13:00" or "13:00:59"; Return: characters used, 0 = not a time of day. */
static size_t scan_clock(const char *text, int *seconds)
{
    int hour = 0;
    int minute = 0;
    int second = 0;
    size_t used = 5;

    if (digits(text, 2, 2, &hour) == 0 || text[2] != ':' || digits(text + 3, 2, 2, &minute) == 0) {
        return 0;
    }
    if (text[5] == ':') {
        if (digits(text + 6, 2, 2, &second) == 0) {
            return 0;
        }
        used = 8;
    }
    *seconds = hour * 3600 + minute * 60 + second;
    return hour > 23 || minute > 59 || second > 59 ? 0 : used;
}

int agent_time_parse(const char *text, int64_t *time_s, struct agent_error *error)
{
    struct agent_date date = {0, 0, 0};
    int clock_s = 0;
    int offset_s = 0;
    size_t at = scan_date(text, &date);

    if (at > 0 && (text[at] == 'T' || text[at] == ' ')) {
        size_t used = scan_clock(text + at + 1, &clock_s);
        size_t zone = used > 0 ? scan_zone(text + at + 1 + used, &offset_s) : 0;
        if (zone > 0 && text[at + 1 + used + zone] == '\0') {
            *time_s = agent_date_start(date) + AGENT_JST_OFFSET_S + clock_s - offset_s;
            return 0;
        }
    }
    return agent_error_set(error, EINVAL,
                           "expected a time like 2026-04-02T13:00+09:00, found '%.40s'", text);
}

const char *agent_date_format(struct agent_date date, char *out)
{
    snprintf(out, AGENT_TIME_TEXT_SIZE, "%04d-%02d-%02d", date.year, date.month, date.day);
    return out;
}

const char *agent_time_format(int64_t time_s, char *out)
{
    struct agent_date date = agent_date_of(time_s);
    int64_t clock_s = time_s - agent_date_start(date);

    snprintf(out, AGENT_TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d+09:00", date.year,
             date.month, date.day, (int)(clock_s / 3600), (int)(clock_s / 60 % 60),
             (int)(clock_s % 60));
    return out;
}
