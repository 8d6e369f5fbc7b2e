/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event.c - what an event asks for at an instant
 * Owner, thread, time, units: event.h. */
#include "dr/event.h"

#include <stdlib.h>
#include <string.h>
#include <unistr.h>

struct agent_dr_event *agent_dr_event_new(size_t intervals)
{
    struct agent_dr_event *event = calloc(1, sizeof(*event));

    if (event != NULL) {
        event->intervals = calloc(intervals > 0 ? intervals : 1, sizeof(*event->intervals));
        event->priority = AGENT_DR_PRIORITY_NONE;
    }
    if (event != NULL && event->intervals == NULL) {
        free(event);
        return NULL;
    }
    return event;
}

void agent_dr_event_free(struct agent_dr_event *event)
{
    if (event != NULL) {
        free(event->intervals);
        free(event);
    }
}

/* Start of the round of a repeating event that holds @now_ms, relative to the first. */
static int64_t round_of(const struct agent_dr_event *event, int64_t now_ms)
{
    if (event->period_ms <= 0 || now_ms < event->start_ms) {
        return 0;
    }
    return (now_ms - event->start_ms) / event->period_ms * event->period_ms;
}

static int64_t least(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

const struct agent_dr_interval *agent_dr_event_at(const struct agent_dr_event *event,
                                                  unsigned kinds, int64_t now_ms, int64_t *from_ms,
                                                  int64_t *to_ms)
{
    int64_t round_ms = round_of(event, now_ms);

    if (now_ms < event->start_ms || now_ms >= event->end_ms) {
        return NULL;
    }
    for (size_t index = event->interval_count; index-- > 0;) {
        const struct agent_dr_interval *interval = &event->intervals[index];
        int64_t from = interval->start_ms + round_ms;
        int64_t to = least(agent_dr_ends(interval->end_ms, round_ms), event->end_ms);
        if ((kinds & (1u << interval->kind)) != 0 && now_ms >= from && now_ms < to) {
            *from_ms = from;
            *to_ms = to;
            return interval;
        }
    }
    return NULL;
}

int64_t agent_dr_event_next_ms(const struct agent_dr_event *event, int64_t now_ms)
{
    int64_t next_ms = AGENT_DR_FOREVER_MS;
    int64_t round_ms = round_of(event, now_ms);

    if (event->cancelled || now_ms >= event->end_ms) {
        return next_ms;
    }
    for (size_t index = 0; index < event->interval_count; index++) {
        const struct agent_dr_interval *interval = &event->intervals[index];
        /* this round and, for what already passed in it, the next */
        for (int turn = 0; turn < (event->period_ms > 0 ? 2 : 1); turn++) {
            int64_t shift_ms = round_ms + turn * event->period_ms;
            int64_t edges[2] = {interval->start_ms + shift_ms,
                                agent_dr_ends(interval->end_ms, shift_ms)};
            for (int edge = 0; edge < 2; edge++) {
                if (edges[edge] > now_ms && edges[edge] < event->end_ms) {
                    next_ms = least(next_ms, edges[edge]);
                }
            }
        }
    }
    return least(next_ms, event->end_ms);
}

char *agent_dr_clean(char *text)
{
    size_t length = strlen(text);
    const uint8_t *bad = u8_check((const uint8_t *)text, length);

    while (bad != NULL) { /* each turn one byte less is wrong */
        text[bad - (const uint8_t *)text] = '?';
        bad = u8_check((const uint8_t *)text, length);
    }
    for (char *at = text; *at != '\0'; at++) {
        *at = (unsigned char)*at < ' ' || *at == 127 ? '?' : *at;
    }
    return text;
}

const char *agent_dr_kind_name(enum agent_dr_kind kind)
{
    static const char *const names[] = {"relative", "absolute",  "limit",
                                        "level",    "emergency", "charge"};

    return names[kind];
}

const char *agent_dr_origin_name(enum agent_dr_origin origin)
{
    static const char *const names[] = {"vtn", "local", "frequency"};

    return names[origin];
}

static json_t *intervals_json(const struct agent_dr_event *event)
{
    json_t *list = json_array();
    char start[AGENT_DR_TIME_TEXT_SIZE];
    char end[AGENT_DR_TIME_TEXT_SIZE];

    for (size_t index = 0; list != NULL && index < event->interval_count; index++) {
        const struct agent_dr_interval *interval = &event->intervals[index];
        json_array_append_new(list, json_pack("{s:i,s:s,s:s,s:s,s:f}", "id", (int)interval->id,
                                              "kind", agent_dr_kind_name(interval->kind), "start",
                                              agent_dr_time_format(interval->start_ms, start),
                                              "end", agent_dr_time_format(interval->end_ms, end),
                                              "value", interval->value));
    }
    return list;
}

json_t *agent_dr_event_json(const struct agent_dr_event *event)
{
    char start[AGENT_DR_TIME_TEXT_SIZE];
    char end[AGENT_DR_TIME_TEXT_SIZE];
    json_t *targets = json_array();

    for (size_t index = 0; targets != NULL && index < event->target_count; index++) {
        json_array_append_new(targets, json_string(event->targets[index]));
    }
    json_t *object = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:f,s:o,s:o,s:s}", "id", event->id, "program",
        event->program, "name", event->name, "origin", agent_dr_origin_name(event->origin), "start",
        agent_dr_time_format(event->start_ms, start), "end",
        agent_dr_time_format(event->end_ms, end), "cancelled", (int)event->cancelled, "opted_out",
        (int)event->opted_out, "shifted_s", (double)event->shift_ms / 1000, "targets", targets,
        "intervals", intervals_json(event), "note", event->note);
    if (object != NULL && event->priority != AGENT_DR_PRIORITY_NONE) {
        json_object_set_new(object, "priority", json_integer(event->priority));
    }
    return object;
}
