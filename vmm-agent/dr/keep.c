/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keep.c - events made here outlive the agent: what is written before they are answered, and read
 * back Owner, thread, time, units: private.h. */
#include <stdio.h>
#include <string.h>

#include "dr/private.h"

static json_t *event_out(const struct agent_dr_event *event)
{
    const struct agent_dr_interval *interval = &event->intervals[0];
    json_t *targets = json_array();

    for (size_t index = 0; index < event->target_count; index++) {
        json_array_append_new(targets, json_string(event->targets[index]));
    }
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:i,s:f,s:f,s:b,s:o}", "id", event->id, "name",
                     event->name, "priority", (json_int_t)event->priority, "made_ms",
                     (json_int_t)event->created_ms, "start_ms", (json_int_t)event->start_ms,
                     "end_ms", (json_int_t)event->end_ms, "kind", (int)interval->kind, "value",
                     interval->value, "within_s", event->within_s, "opted_out",
                     (int)event->opted_out, "targets", targets);
}

json_t *dr_keep_json(const struct agent_dr *dr)
{
    json_t *list = json_array();
    int64_t now_ms = dr_now_ms(dr);

    for (size_t index = 0; index < dr->schedule.count; index++) {
        const struct agent_dr_event *event = dr->schedule.events[index];
        if (event->origin == AGENT_DR_LOCAL && !event->cancelled && event->end_ms > now_ms) {
            json_array_append_new(list, event_out(event));
        }
    }
    return list;
}

/* NULL when it is not what we write. */
static struct agent_dr_event *event_in(json_t *object)
{
    struct agent_dr_event *event = agent_dr_event_new(1);
    const char *id = "";
    const char *name = "";
    json_t *targets = NULL;
    json_int_t priority = 0;
    json_int_t times[3] = {0, 0, 0};
    int kind = -1;
    int opted_out = 0;
    double value = 0;
    double within_s = 0;

    if (event == NULL ||
        json_unpack(object, "{s:s,s:s,s:I,s:I,s:I,s:I,s:i,s:F,s:F,s:b,s:o}", "id", &id, "name",
                    &name, "priority", &priority, "made_ms", &times[0], "start_ms", &times[1],
                    "end_ms", &times[2], "kind", &kind, "value", &value, "within_s", &within_s,
                    "opted_out", &opted_out, "targets", &targets) < 0 ||
        kind < 0 || kind > AGENT_DR_CHARGE || times[1] >= times[2] || times[1] < 0 ||
        strlen(id) >= AGENT_DR_NAME_SIZE || strlen(name) >= AGENT_DR_NAME_SIZE ||
        json_array_size(targets) > AGENT_DR_TARGETS_MAX) {
        agent_dr_event_free(event);
        return NULL;
    }
    snprintf(event->id, sizeof(event->id), "%s", id);
    snprintf(event->name, sizeof(event->name), "%s", name);
    event->origin = AGENT_DR_LOCAL;
    event->priority = (uint32_t)priority;
    event->created_ms = event->modified_ms = event->received_ms = times[0];
    event->start_ms = times[1];
    event->end_ms = times[2];
    event->within_s = within_s;
    event->opted_out = opted_out != 0;
    event->interval_count = 1;
    event->intervals[0] =
        (struct agent_dr_interval){0, (enum agent_dr_kind)kind, times[1], times[2], value};
    for (size_t index = 0; index < json_array_size(targets); index++) {
        const char *target = json_string_value(json_array_get(targets, index));
        snprintf(event->targets[event->target_count++], AGENT_DR_NAME_SIZE, "%s",
                 target != NULL ? target : "");
    }
    return event;
}

int agent_dr_restore(struct agent_dr *dr, const json_t *kept)
{
    int taken = 0;

    for (size_t index = 0; index < json_array_size(kept); index++) {
        struct agent_dr_event *event = event_in(json_array_get(kept, index));
        struct agent_error error = {0};
        if (event != NULL && event->end_ms <= dr_now_ms(dr)) {
            agent_dr_event_free(event);
        } else if (event != NULL && dr_put(dr, event, 0, &error) >= 0) {
            taken++;
        } else {
            dr_tell(dr, "dr.refused",
                    json_pack("{s:s,s:s}", "event", "", "text",
                              "an event kept by an earlier run cannot be read"));
        }
    }
    return taken;
}

void dr_keep(struct agent_dr *dr)
{
    if (dr->hooks != NULL && dr->hooks->keep != NULL) {
        json_t *list = dr_keep_json(dr);
        dr->hooks->keep(dr->hooks_opaque, list);
        json_decref(list);
    }
}
