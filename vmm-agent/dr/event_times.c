/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event_times.c - when intervals begin and end (OpenADR 3.1 User Guide, 7.3 and 7.4)
 * Owner, thread, time, units: event_private.h. */
#include <errno.h>
#include <string.h>

#include "dr/event_private.h"
#include "support/file.h"

const json_t *dr_member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

/* Time or duration @key of the period. Return: 1 found, 0 absent, -EINVAL. */
static int text_of(const json_t *period, const char *where, const char *key, const char **text,
                   struct agent_error *error)
{
    const json_t *value = dr_member(period, key);

    if (value == NULL) {
        return 0;
    }
    if (!json_is_string(value)) {
        return agent_error_set(error, EINVAL, "%s.%s: expected text", where, key);
    }
    *text = json_string_value(value);
    return 1;
}

/* Puts @where in front of what the parser said. */
static int prefixed(struct agent_error *error, const char *where, const char *key,
                    const struct agent_error *cause)
{
    return agent_error_set(error, EINVAL, "%s.%s: %.300s", where, key, cause->text);
}

static int start_of(const json_t *period, const char *where, const struct agent_dr_reading *reading,
                    struct dr_period *out, struct agent_error *error)
{
    const char *text = NULL;
    struct agent_error cause = {0};
    int found = text_of(period, where, "start", &text, error);

    if (found <= 0) {
        return found;
    }
    if (agent_dr_time_parse(text, &out->start_ms, &cause) < 0) {
        return prefixed(error, where, "start", &cause);
    }
    if (out->start_ms != AGENT_DR_NOW_MS) {
        out->start_ms -= reading->clock_ms;
    }
    out->has_start = true;
    return 0;
}

static int duration_of(const json_t *period, const char *where, const char *key, bool negative_too,
                       int64_t *out, struct agent_error *error)
{
    const char *text = NULL;
    struct agent_error cause = {0};
    int found = text_of(period, where, key, &text, error);

    if (found > 0 && agent_dr_duration_parse(text, negative_too, out, &cause) < 0) {
        return prefixed(error, where, key, &cause);
    }
    return found;
}

int dr_period_parse(const json_t *object, const char *where, const struct agent_dr_reading *reading,
                    struct dr_period *out, struct agent_error *error)
{
    const json_t *period = dr_member(object, "intervalPeriod");
    char path[96];

    *out = (struct dr_period){0};
    if (period == NULL) {
        return 0;
    }
    snprintf(path, sizeof(path), "%sintervalPeriod", where);
    if (!json_is_object(period)) {
        return agent_error_set(error, EINVAL, "%s: expected an object", path);
    }
    int status = start_of(period, path, reading, out, error);
    if (status < 0) {
        return status;
    }
    status = duration_of(period, path, "duration", false, &out->duration_ms, error);
    out->has_duration = status > 0;
    if (status < 0) {
        return status;
    }
    status = duration_of(period, path, "randomizeStart", true, &out->random_ms, error);
    out->random_ms = out->random_ms < 0 ? -out->random_ms : out->random_ms;
    out->has_random = status > 0;
    if (status >= 0 && out->random_ms > INT64_C(86400000)) {
        return agent_error_set(error, EINVAL, "%s.randomizeStart: more than a day", path);
    }
    return status < 0 ? status : 0;
}

/* splitmix64: each step an independent 64-bit number. */
static uint64_t draw(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* Uniform in -range..range. */
static int64_t shift_by(struct dr_walk *walk, int64_t range_ms)
{
    return range_ms == 0 ? 0
                         : (int64_t)(draw(&walk->random) % (uint64_t)(2 * range_ms + 1)) - range_ms;
}

void dr_walk_start(struct dr_walk *walk, const struct agent_dr_reading *reading,
                   const struct dr_period *whole, const char *id)
{
    *walk = (struct dr_walk){.reading = reading, .whole = *whole};
    walk->random = reading->seed ^ agent_file_digest(id, strlen(id));
    walk->shift_ms = shift_by(walk, whole->random_ms);
    walk->at_ms = AGENT_DR_NOW_MS;
    if (whole->has_start) {
        walk->at_ms = whole->start_ms == AGENT_DR_NOW_MS ? reading->received_ms : whole->start_ms;
        walk->at_ms += walk->shift_ms;
    }
}

/* An absolute start of an interval, or where the one before it ended. */
static int start_here(struct dr_walk *walk, const struct dr_period *own, const char *where,
                      int64_t *start_ms, struct agent_error *error)
{
    bool absolute = own->has_start && own->start_ms != AGENT_DR_NOW_MS;

    if (own->has_random) {
        int64_t before_ms = walk->shift_ms;
        walk->shift_ms = shift_by(walk, own->random_ms);
        walk->at_ms += walk->at_ms == AGENT_DR_NOW_MS || walk->at_ms >= AGENT_DR_FOREVER_MS
                           ? 0
                           : walk->shift_ms - before_ms;
    }
    if (absolute) {
        *start_ms = own->start_ms + walk->shift_ms;
    } else if (walk->at_ms != AGENT_DR_NOW_MS) {
        *start_ms = walk->at_ms;
    } else if (own->has_start) {
        *start_ms = walk->reading->received_ms + walk->shift_ms;
    } else {
        return agent_error_set(error, ENOENT,
                               "%s: no start: neither the event nor the interval says when", where);
    }
    if (*start_ms >= AGENT_DR_FOREVER_MS) {
        return agent_error_set(error, EINVAL, "%s: begins after an interval that has no end",
                               where);
    }
    return 0;
}

int dr_walk_next(struct dr_walk *walk, const struct dr_period *own, const char *where,
                 int64_t *start_ms, int64_t *end_ms, struct agent_error *error)
{
    int status = start_here(walk, own, where, start_ms, error);

    if (status < 0) {
        return status;
    }
    if (!own->has_duration && !walk->whole.has_duration) {
        return agent_error_set(error, ENOENT,
                               "%s: no duration: neither the event nor the interval says how long",
                               where);
    }
    *end_ms =
        agent_dr_ends(*start_ms, own->has_duration ? own->duration_ms : walk->whole.duration_ms);
    walk->at_ms = *end_ms;
    return 0;
}

void dr_event_close(struct agent_dr_event *event, int64_t duration_ms)
{
    int64_t end_ms = event->start_ms;
    size_t kept = 0;

    for (size_t index = 0; index < event->interval_count; index++) {
        const struct agent_dr_interval *interval = &event->intervals[index];
        if (interval->end_ms > interval->start_ms) {
            end_ms = interval->end_ms > end_ms ? interval->end_ms : end_ms;
            event->intervals[kept++] = *interval;
        }
    }
    event->cancelled = event->interval_count > 0 && kept == 0;
    event->interval_count = kept;
    end_ms = end_ms > event->end_ms ? end_ms : event->end_ms;
    int64_t pattern_ms = end_ms - event->start_ms;
    event->end_ms = end_ms;
    if (duration_ms >= 0) {
        event->end_ms = agent_dr_ends(event->start_ms, duration_ms);
        event->period_ms = duration_ms > pattern_ms && pattern_ms > 0 ? pattern_ms : 0;
        event->cancelled = event->cancelled || duration_ms == 0;
    }
}
