/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/instant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "support/slot.h"

#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    INT64_C(86400000)
#define TEXT_MAX  40

static bool beginning_of_time(const char *text)
{
    static const char *const forms[] = {"0001-01-01", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z",
                                        "0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00+00:00"};

    for (size_t index = 0; index < sizeof(forms) / sizeof(forms[0]); index++) {
        if (strcmp(text, forms[index]) == 0) {
            return true;
        }
    }
    return false;
}

/* ".250" at @at to milliseconds; digits beyond the third are dropped. Return: characters used. */
static size_t fraction(const char *at, int *ms)
{
    size_t used = 1;
    int unit = 100;

    *ms = 0;
    if (*at != '.' || at[1] < '0' || at[1] > '9') {
        return 0;
    }
    for (; at[used] >= '0' && at[used] <= '9' && used < 12; used++) {
        *ms += (at[used] - '0') * unit;
        unit /= 10;
    }
    return used;
}

int agent_dr_time_parse(const char *text, int64_t *time_ms, struct agent_error *error)
{
    char plain[TEXT_MAX + 1];
    int ms = 0;
    int64_t time_s = 0;
    const char *point = strchr(text, '.');
    size_t length = strlen(text);

    if (beginning_of_time(text)) {
        *time_ms = AGENT_DR_NOW_MS;
        return 0;
    }
    if (length > TEXT_MAX || length < 20 || text[4] != '-' || text[10] != 'T') {
        return agent_error_set(error, EINVAL,
                               "expected a time like 2026-04-02T04:00:00Z, found '%.40s'", text);
    }
    size_t used = point != NULL ? fraction(point, &ms) : 0;
    if (point != NULL && used == 0) {
        return agent_error_set(error, EINVAL, "expected digits after the point, found '%.40s'",
                               text);
    }
    size_t head = point != NULL ? (size_t)(point - text) : length;
    snprintf(plain, sizeof(plain), "%.*s%s", (int)head, text, point != NULL ? point + used : "");
    int status = agent_time_parse(plain, &time_s, error);
    if (status == 0) {
        *time_ms = time_s * SECOND_MS + ms;
    }
    return status;
}

/* One "4H" of a duration; units must descend, so each gives where the next may start. */
struct unit {
    char letter;
    bool clock; /* stands behind the T */
    int64_t ms;
};

static const struct unit units[] = {
    {'W', false, 7 * DAY_MS}, {'D', false, DAY_MS},   {'H', true, HOUR_MS},
    {'M', true, MINUTE_MS},   {'S', true, SECOND_MS},
};

static const struct unit *find_unit(char letter, bool clock, size_t *from)
{
    for (size_t index = *from; index < sizeof(units) / sizeof(units[0]); index++) {
        if (units[index].letter == letter && units[index].clock == clock) {
            *from = index + 1;
            return &units[index];
        }
    }
    return NULL;
}

/* Whole number at @at, at most 9 digits. Return: characters used. */
static size_t whole(const char *at, int64_t *value)
{
    size_t used = 0;

    for (*value = 0; at[used] >= '0' && at[used] <= '9' && used < 9; used++) {
        *value = *value * 10 + (at[used] - '0');
    }
    return used;
}

/* Everything behind the P. Return: milliseconds, or -1. */
static int64_t parts(const char *at)
{
    bool clock = false;
    size_t from = 0;
    int64_t sum_ms = 0;
    int found = 0;

    while (*at != '\0') {
        int64_t count = 0;
        int ms = 0;
        if (*at == 'T' && !clock && at[1] != '\0') {
            clock = true;
            at++;
            continue;
        }
        size_t used = whole(at, &count);
        size_t point = used > 0 ? fraction(at + used, &ms) : 0;
        const struct unit *unit = used > 0 ? find_unit(at[used + point], clock, &from) : NULL;
        if (unit == NULL || (point > 0 && unit->letter != 'S')) {
            return -1;
        }
        sum_ms += count * unit->ms + ms;
        if (sum_ms > AGENT_DR_DURATION_MAX_MS) {
            return AGENT_DR_FOREVER_MS;
        }
        at += used + point + 1;
        found++;
    }
    return found > 0 ? sum_ms : -1;
}

int agent_dr_duration_parse(const char *text, int negative_too, int64_t *duration_ms,
                            struct agent_error *error)
{
    bool negative = text[0] == '-';
    const char *at = text + (negative ? 1 : 0);

    if (strcmp(text, "P9999Y") == 0) {
        *duration_ms = AGENT_DR_FOREVER_MS;
        return 0;
    }
    int64_t found_ms = *at == 'P' && strlen(text) <= TEXT_MAX ? parts(at + 1) : -1;
    if (found_ms < 0 || (negative && !negative_too)) {
        return agent_error_set(error, EINVAL,
                               "expected a duration like PT4H or P1DT30M%s, found '%.40s'",
                               negative ? " that is not negative" : "", text);
    }
    *duration_ms = negative ? -found_ms : found_ms;
    return 0;
}

const char *agent_dr_time_format(int64_t time_ms, char *out)
{
    if (time_ms >= AGENT_TIME_MAX_S * SECOND_MS || time_ms < AGENT_TIME_MIN_S * SECOND_MS) {
        snprintf(out, AGENT_DR_TIME_TEXT_SIZE, "%s", time_ms > 0 ? "always" : "never");
        return out;
    }
    int64_t time_s = time_ms / SECOND_MS;
    /* agent_date_of() counts in Japanese days: shifted, it gives the UTC day */
    struct agent_date date = agent_date_of(time_s - AGENT_JST_OFFSET_S);
    int64_t in_day_s = (time_s % AGENT_DAY_SECONDS + AGENT_DAY_SECONDS) % AGENT_DAY_SECONDS;
    snprintf(out, AGENT_DR_TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", date.year % 10000,
             date.month % 100, date.day % 100, (int)(in_day_s / 3600), (int)(in_day_s / 60 % 60),
             (int)(in_day_s % 60), (int)(time_ms % SECOND_MS));
    return out;
}

const char *agent_dr_duration_format(int64_t duration_ms, char *out)
{
    int64_t left = duration_ms < 0 ? 0 : duration_ms;
    int used = 0;

    if (duration_ms >= AGENT_DR_FOREVER_MS) {
        snprintf(out, AGENT_DR_TIME_TEXT_SIZE, "P9999Y");
        return out;
    }
    used = snprintf(out, AGENT_DR_TIME_TEXT_SIZE, "PT");
    if (left >= HOUR_MS) {
        used += snprintf(out + used, 20, "%" PRId64 "H", left / HOUR_MS);
    }
    if (left % HOUR_MS >= MINUTE_MS) {
        used += snprintf(out + used, 4, "%dM", (int)(left % HOUR_MS / MINUTE_MS));
    }
    left %= MINUTE_MS;
    if (left % SECOND_MS != 0) {
        snprintf(out + used, 8, "%d.%03dS", (int)(left / SECOND_MS), (int)(left % SECOND_MS));
    } else if (left > 0 || used == 2) {
        snprintf(out + used, 4, "%dS", (int)(left / SECOND_MS));
    }
    return out;
}

int64_t agent_dr_ends(int64_t start_ms, int64_t duration_ms)
{
    if (duration_ms >= AGENT_DR_FOREVER_MS || start_ms >= AGENT_DR_FOREVER_MS) {
        return AGENT_DR_FOREVER_MS;
    }
    return start_ms + duration_ms;
}
