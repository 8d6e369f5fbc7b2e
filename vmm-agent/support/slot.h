/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slot.h - half-hour slots, Japanese days and their UTC instants
 * Owner: plain values.                     Thread: any, no shared state, no TZ lookups.
 * Time:  always passed in, never read here. Units:  seconds since 1970 UTC; slots of 1,800 s.
 *
 * A time is int64_t seconds UTC (suffix _s). A slot is int64_t half hours since 1970 UTC. Japan
 * has no daylight saving, so JST = UTC + 9 h always and a Japanese day has exactly 48 slots. */
#ifndef AGENT_SUPPORT_SLOT_H
#define AGENT_SUPPORT_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_SLOT_SECONDS   1800
#define AGENT_SLOTS_PER_DAY  48
#define AGENT_DAY_SECONDS    86400
#define AGENT_JST_OFFSET_S   32400
#define AGENT_TIME_MIN_S     INT64_C(946684800)  /* 2000-01-01: nothing here is older */
#define AGENT_TIME_MAX_S     INT64_C(4102444800) /* 2100-01-01 */
#define AGENT_TIME_TEXT_SIZE 32

struct agent_date {
    int year;  /* 2000..2099 */
    int month; /* 1..12 */
    int day;   /* 1..31 */
};

/** agent_date_valid() - does the day exist, in 2000..2099? */
bool agent_date_valid(struct agent_date date);

/** agent_date_start() - UTC seconds of 00:00 JST on @date, which must be valid */
int64_t agent_date_start(struct agent_date date);

/** agent_date_of() - the Japanese day that holds @time_s */
struct agent_date agent_date_of(int64_t time_s);

/** agent_slot_of() - slot that holds @time_s, AGENT_TIME_MIN_S..AGENT_TIME_MAX_S */
int64_t agent_slot_of(int64_t time_s);

/** agent_slot_start() - UTC seconds at which @slot begins */
int64_t agent_slot_start(int64_t slot);

/** agent_slot_in_day() - 0..47, counted from 00:00 JST (コマ 1 is index 0) */
int agent_slot_in_day(int64_t slot);

/** agent_slot_at() - slot number @index (0..47) of the Japanese day @date */
int64_t agent_slot_at(struct agent_date date, int index);

/** agent_fiscal_year() - Japanese fiscal year (April to March) of @date */
int agent_fiscal_year(struct agent_date date);

/** agent_date_parse() - read exactly "2026-04-02", "2026/4/2" or "20260402"
 * Return: 0, or -EINVAL with @error saying what was found. */
int agent_date_parse(const char *text, struct agent_date *date, struct agent_error *error);

/** agent_time_parse() - ISO 8601 with seconds optional and zone Z, +09:00 or +0900 (required)
 * Return: 0, or -EINVAL with @error saying what was found. */
int agent_time_parse(const char *text, int64_t *time_s, struct agent_error *error);

/** agent_time_format() - "2026-04-02T13:00:00+09:00"
 * @out: at least AGENT_TIME_TEXT_SIZE bytes. Return: @out. */
const char *agent_time_format(int64_t time_s, char *out);

/** agent_date_format() - "2026-04-02"; @out as above. Return: @out. */
const char *agent_date_format(struct agent_date date, char *out);

#endif
