/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forecast/gate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "support/slot.h"

#define HOLE_SHARE    0.10 /* of the needed half hours */
#define DOUBT_SHARE   0.10
#define REVISED_SHARE 0.10

static const char *const names[AGENT_GATE_FAULTS] = {
    "ok", "missing", "late", "stale", "zero", "future", "revised", "implausible",
};

const char *agent_gate_fault_name(enum agent_gate_fault fault)
{
    return fault < AGENT_GATE_FAULTS ? names[fault] : "unknown";
}

enum agent_gate_fault agent_gate_fault_parse(const char *name)
{
    int fault = 0;

    while (fault < AGENT_GATE_FAULTS && strcmp(names[fault], name) != 0) {
        fault++;
    }
    return (enum agent_gate_fault)fault;
}

/* Counts over the needed window. */
struct seen {
    size_t usable, doubtful, zero, revised, future;
    unsigned repeat;      /* longest run of one non-zero value */
    int64_t newest_end_s; /* of any usable point, INT64_MIN = none */
};

static struct seen look(const struct agent_series *series, const struct agent_gate_rule *rule)
{
    struct seen seen = {.newest_end_s = INT64_MIN};
    double last = NAN;
    unsigned run = 0;

    for (size_t i = 0; i < series->count; i++) {
        const struct agent_point *point = &series->points[i];
        bool known = isfinite(point->value) && agent_quality_usable(point->quality);
        bool future = (point->quality & AGENT_QUALITY_FUTURE) != 0 ||
                      (series->stage == AGENT_ACTUAL && isfinite(point->value) &&
                       series->quantity != AGENT_PRICE_SPOT && point->start_s >= rule->now_s);
        seen.future += future ? 1 : 0;
        if (known && point->start_s + point->length_s > seen.newest_end_s) {
            seen.newest_end_s = point->start_s + point->length_s;
        }
        if (point->start_s < rule->from_s || point->start_s >= rule->until_s) {
            continue;
        }
        seen.doubtful += !known && isfinite(point->value) ? 1 : 0;
        if (!known) {
            continue;
        }
        seen.usable++;
        seen.zero += point->value == 0.0 ? 1 : 0;
        seen.revised += (point->quality & AGENT_QUALITY_REVISED) != 0 ? 1 : 0;
        run = point->value != 0.0 && point->value == last ? run + 1 : 1;
        seen.repeat = run > seen.repeat ? run : seen.repeat;
        last = point->value;
    }
    return seen;
}

static bool verdict_set(struct agent_gate_verdict *verdict, enum agent_gate_fault fault,
                        const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool verdict_set(struct agent_gate_verdict *verdict, enum agent_gate_fault fault,
                        const char *name, const char *format, ...)
{
    va_list args;
    int used = snprintf(verdict->text, sizeof(verdict->text), "%s: %s: ", name,
                        agent_gate_fault_name(fault));

    verdict->fault = fault;
    va_start(args, format);
    if (used > 0 && (size_t)used < sizeof(verdict->text)) {
        vsnprintf(verdict->text + used, sizeof(verdict->text) - (size_t)used, format, args);
    }
    va_end(args);
    return fault == AGENT_GATE_OK;
}

/* The window is not filled: is that late, stale or missing? */
static bool holes(struct agent_gate_verdict *verdict, const char *name, const struct seen *seen,
                  const struct agent_gate_rule *rule, size_t needed)
{
    char newest[AGENT_TIME_TEXT_SIZE] = "nothing usable";
    char until[AGENT_TIME_TEXT_SIZE];
    enum agent_gate_fault fault = AGENT_GATE_MISSING;

    if (seen->newest_end_s != INT64_MIN) {
        agent_time_format(seen->newest_end_s, newest);
        if (seen->newest_end_s < rule->until_s) {
            bool old = seen->newest_end_s + AGENT_DAY_SECONDS < rule->until_s;
            fault = old ? AGENT_GATE_STALE : AGENT_GATE_LATE;
        }
    }
    return verdict_set(verdict, fault, name, "%zu of %zu half hours, newest until %s, needed %s",
                       seen->usable, needed, newest, agent_time_format(rule->until_s, until));
}

bool agent_gate_check(const struct agent_series *series, const char *name,
                      const struct agent_gate_rule *rule, struct agent_gate_verdict *verdict)
{
    char when[AGENT_TIME_TEXT_SIZE];
    size_t needed = rule->until_s > rule->from_s
                        ? (size_t)((rule->until_s - rule->from_s) / AGENT_SLOT_SECONDS)
                        : 0;

    if (series == NULL || series->count == 0) {
        return verdict_set(verdict, AGENT_GATE_MISSING, name, "no values at all");
    }
    struct seen seen = look(series, rule);
    if (series->issued_s > rule->now_s || seen.future > 0) {
        return verdict_set(
            verdict, AGENT_GATE_FUTURE, name, "%zu values dated after now, issued %s", seen.future,
            series->issued_s > 0 ? agent_time_format(series->issued_s, when) : "unknown");
    }
    double hole_limit = HOLE_SHARE * (double)needed;
    if ((double)seen.doubtful > DOUBT_SHARE * (double)needed) {
        return verdict_set(verdict, AGENT_GATE_IMPLAUSIBLE, name,
                           "%zu of %zu half hours fail the checks of their source", seen.doubtful,
                           needed);
    }
    if ((double)(needed - (seen.usable < needed ? seen.usable : needed)) > hole_limit) {
        return holes(verdict, name, &seen, rule, needed);
    }
    if (!rule->zero_ok && seen.usable > 0 && seen.zero == seen.usable) {
        return verdict_set(verdict, AGENT_GATE_ZERO, name, "all %zu half hours are 0", seen.zero);
    }
    if (rule->repeat_max > 0 && seen.repeat > rule->repeat_max) {
        return verdict_set(verdict, AGENT_GATE_STALE, name, "the same value %u times, limit %u",
                           seen.repeat, rule->repeat_max);
    }
    if ((double)seen.revised > REVISED_SHARE * (double)needed) {
        return verdict_set(verdict, AGENT_GATE_REVISED, name,
                           "%zu of %zu half hours were replaced after planning", seen.revised,
                           needed);
    }
    return verdict_set(verdict, AGENT_GATE_OK, name, "%zu of %zu half hours", seen.usable, needed);
}
