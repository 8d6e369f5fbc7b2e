/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checks.c - what can be told about a series by looking at it alone
 * Owner: none.   Thread: the caller's.
 * Time:  now_s from the caller.   Units: as the series. */
#include <math.h>

#include "grid/reader.h"

#define ACTUAL_GRACE_S   600                      /* clocks of publisher and reader may differ */
#define AHEAD_MAX_S      (10 * AGENT_DAY_SECONDS) /* nobody publishes further ahead than this */
#define JUMP_SHARE       0.25                     /* of the largest plausible value */
#define NIGHT_FIRST_SLOT 41                       /* 20:30 JST: dark in all areas, all year */
#define NIGHT_LAST_SLOT  5                        /* until 03:00 */

static void check_range(struct agent_series *series, struct grid_limits limits)
{
    bool pv = series->quantity == AGENT_PV || series->quantity == AGENT_PV_CURTAILED;
    double dark = fmax(20, 0.01 * limits.max);

    for (size_t index = 0; index < series->count; index++) {
        struct agent_point *point = &series->points[index];
        int slot = agent_slot_in_day(agent_slot_of(point->start_s));
        bool night = slot >= NIGHT_FIRST_SLOT || slot <= NIGHT_LAST_SLOT;
        if (point->value < limits.min || point->value > limits.max ||
            (pv && night && point->value > dark)) {
            point->quality |= AGENT_QUALITY_RANGE;
        }
    }
}

/* One value far from two neighbours that agree with each other is a slip, not physics. */
static void check_jumps(struct agent_series *series, double largest)
{
    double step = JUMP_SHARE * largest;

    for (size_t index = 1; index + 1 < series->count; index++) {
        double before = series->points[index - 1].value;
        double after = series->points[index + 1].value;
        double value = series->points[index].value;
        if (fabs(before - after) < step / 2 && fabs(value - (before + after) / 2) > step) {
            series->points[index].quality |= AGENT_QUALITY_JUMP;
        }
    }
}

static bool jumps_checked(enum agent_quantity quantity)
{
    switch (quantity) {
    case AGENT_DEMAND:
    case AGENT_TOTAL:
    case AGENT_NUCLEAR:
    case AGENT_GEOTHERMAL:
    case AGENT_BIOMASS:
    case AGENT_HYDRO:
    case AGENT_PV:
    case AGENT_WIND:
    case AGENT_WIND_PV:
        return true;
    default:
        return false;
    }
}

/* Only whole files of slots promise 48 a day; readings of our own meters do not. */
static bool slots_checked(const struct agent_series *series)
{
    return series->quantity != AGENT_HOST_POWER && series->quantity != AGENT_BATTERY_CHARGE &&
           series->quantity != AGENT_BATTERY_POWER &&
           series->quantity != AGENT_CURTAILMENT_OUTLOOK && series->count > 0;
}

/* Flags the points [from, to), all of one Japanese day, when that day has holes. */
static void check_day(struct agent_series *series, size_t from, size_t to, int64_t now_s)
{
    int64_t day_s = agent_date_start(agent_date_of(series->points[from].start_s));
    int64_t reached_s = day_s;
    bool holes = false;

    for (size_t index = from; index < to; index++) {
        const struct agent_point *point = &series->points[index];
        holes = holes || point->start_s != reached_s || isnan(point->value);
        reached_s = point->start_s + point->length_s;
    }
    bool over = day_s + AGENT_DAY_SECONDS + ACTUAL_GRACE_S < now_s;
    bool promised = series->stage != AGENT_ACTUAL || over;
    holes = holes || (promised && reached_s < day_s + AGENT_DAY_SECONDS);
    for (size_t index = from; holes && index < to; index++) {
        series->points[index].quality |= AGENT_QUALITY_INCOMPLETE;
    }
}

static void check_slots(struct agent_series *series, int64_t now_s)
{
    size_t from = 0;

    for (size_t index = 1; index <= series->count; index++) {
        int64_t day_s = agent_date_start(agent_date_of(series->points[from].start_s));
        if (index == series->count || series->points[index].start_s >= day_s + AGENT_DAY_SECONDS) {
            check_day(series, from, index, now_s);
            from = index;
        }
    }
}

static void check_future(struct agent_series *series, int64_t now_s)
{
    bool known_ahead = series->stage != AGENT_ACTUAL || series->quantity == AGENT_PRICE_SPOT ||
                       series->quantity == AGENT_PRICE_SYSTEM ||
                       series->quantity == AGENT_VOLUME_SPOT;
    int64_t latest_s = now_s + (known_ahead ? AHEAD_MAX_S : ACTUAL_GRACE_S);

    for (size_t index = 0; index < series->count; index++) {
        struct agent_point *point = &series->points[index];
        if (point->start_s + point->length_s > latest_s) {
            point->quality |= AGENT_QUALITY_FUTURE;
        }
    }
    if (series->issued_s > now_s + ACTUAL_GRACE_S) {
        for (size_t index = 0; index < series->count; index++) {
            series->points[index].quality |= AGENT_QUALITY_FUTURE;
        }
    }
}

void grid_check_series(struct agent_series *series, int64_t now_s)
{
    struct grid_limits limits = grid_limits(series->area, series->quantity);

    if (!isnan(limits.max)) {
        check_range(series, limits);
        if (jumps_checked(series->quantity)) {
            check_jumps(series, limits.max);
        }
    }
    if (slots_checked(series)) {
        check_slots(series, now_s);
    }
    check_future(series, now_s);
}
