/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands.c - what a person asks: an event made here, its end, taking part or not
 * Owner, thread, time, units: private.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dr/private.h"
#include "support/json.h"

/* The power or level that a trigger asks for; exactly one of them. */
static int read_value(const json_t *args, struct agent_dr_interval *interval,
                      struct agent_error *error)
{
    static const struct {
        const char *key;
        enum agent_dr_kind kind;
        double sign;
        struct agent_range range;
    } ways[] = {
        {"down_kw", AGENT_DR_RELATIVE, -1, {0, AGENT_DR_POWER_MAX_KW}},
        {"up_kw", AGENT_DR_RELATIVE, 1, {0, AGENT_DR_POWER_MAX_KW}},
        {"setpoint_kw", AGENT_DR_ABSOLUTE, 1, {-AGENT_DR_POWER_MAX_KW, AGENT_DR_POWER_MAX_KW}},
        {"limit_kw", AGENT_DR_LIMIT, 1, {0, AGENT_DR_POWER_MAX_KW}},
        {"level", AGENT_DR_LEVEL, 1, {-1, 1}},
        {"charge", AGENT_DR_CHARGE, 1, {0, 1}},
    };
    int found = 0;

    for (size_t index = 0; index < sizeof(ways) / sizeof(ways[0]); index++) {
        double value = 0;
        if (json_object_get(args, ways[index].key) == NULL) {
            continue;
        }
        int status = agent_json_number(args, "dr-trigger", ways[index].key, ways[index].range,
                                       &value, error);
        if (status < 0) {
            return -EINVAL;
        }
        interval->kind = ways[index].kind;
        interval->value = ways[index].sign * value;
        found++;
    }
    return found == 1 ? 0
                      : agent_error_set(error, EINVAL,
                                        "dr-trigger: %d of down_kw, up_kw, setpoint_kw, limit_kw, "
                                        "level, charge; expected one",
                                        found);
}

static int add_target(const struct agent_dr *dr, struct agent_dr_event *event, const json_t *name,
                      struct agent_error *error)
{
    const char *text = json_string_value(name);

    if (text == NULL || agent_dr_schedule_site(&dr->schedule, text) < 0) {
        return agent_error_set(error, ENOENT,
                               "dr-trigger: no site '%.60s' takes part in demand "
                               "response",
                               text != NULL ? text : "");
    }
    if (event->target_count == AGENT_DR_TARGETS_MAX) {
        return agent_error_set(error, EINVAL, "dr-trigger: more than %d sites",
                               AGENT_DR_TARGETS_MAX);
    }
    snprintf(event->targets[event->target_count++], AGENT_DR_NAME_SIZE, "%s", text);
    return 0;
}

/* "site": one name; "sites": several, answered together; neither: all. */
static int read_sites(const struct agent_dr *dr, const json_t *args, struct agent_dr_event *event,
                      struct agent_error *error)
{
    const json_t *one = json_object_get(args, "site");
    const json_t *several = json_object_get(args, "sites");
    int status = one != NULL ? add_target(dr, event, one, error) : 0;

    if (several != NULL && !json_is_array(several)) {
        return agent_error_set(error, EINVAL, "dr-trigger: sites: expected a list of names");
    }
    for (size_t index = 0; status == 0 && index < json_array_size(several); index++) {
        status = add_target(dr, event, json_array_get(several, index), error);
    }
    return status;
}

static int read_times(const struct agent_dr *dr, const json_t *args, struct agent_dr_event *event,
                      struct agent_error *error)
{
    struct agent_dr_interval *interval = &event->intervals[0];
    double minutes = 30;
    double in_s = 0;
    double priority = 0;
    int status = agent_json_number_or(args, "dr-trigger", "minutes",
                                      (struct agent_range){0.05, 10080}, 30, &minutes, error);

    status = status < 0 ? status
                        : agent_json_number_or(args, "dr-trigger", "in_s",
                                               (struct agent_range){0, 604800}, 0, &in_s, error);
    status = status < 0 ? status
                        : agent_json_number_or(args, "dr-trigger", "within_s",
                                               (struct agent_range){1, 3600}, AGENT_DR_FAST_S,
                                               &event->within_s, error);
    status = status < 0 ? status
                        : agent_json_number_or(args, "dr-trigger", "priority",
                                               (struct agent_range){0, 1e6}, 0, &priority, error);
    event->priority = (uint32_t)priority;
    event->received_ms = event->created_ms = event->modified_ms = dr_now_ms(dr);
    interval->start_ms = event->start_ms = event->received_ms + (int64_t)(in_s * 1000);
    interval->end_ms = event->end_ms = event->start_ms + (int64_t)(minutes * 60000);
    return status < 0 ? -EINVAL : 0;
}

static int make_event(struct agent_dr *dr, const json_t *args, struct agent_dr_event *event,
                      struct agent_error *error)
{
    static const char *const known[] = {"site",     "sites",    "down_kw", "up_kw",   "setpoint_kw",
                                        "limit_kw", "level",    "charge",  "minutes", "in_s",
                                        "within_s", "priority", "name",    NULL};
    const char *name = json_string_value(json_object_get(args, "name"));
    int status = agent_json_only(args, "dr-trigger", known, error);

    event->origin = AGENT_DR_LOCAL;
    event->interval_count = 1;
    snprintf(event->id, sizeof(event->id), "local-%lld-%u", (long long)(dr_now_ms(dr) / 1000),
             ++dr->local_count);
    if (status == 0 && name != NULL && strlen(name) >= AGENT_DR_NAME_SIZE) {
        return agent_error_set(error, EINVAL, "dr-trigger: name: at most %d bytes",
                               AGENT_DR_NAME_SIZE - 1);
    }
    snprintf(event->name, sizeof(event->name), "%s", name != NULL ? name : "");
    status = status < 0 ? status : read_value(args, &event->intervals[0], error);
    status = status < 0 ? status : read_sites(dr, args, event, error);
    return status < 0 ? status : read_times(dr, args, event, error);
}

int agent_dr_trigger(struct agent_dr *dr, const json_t *args, json_t **reply,
                     struct agent_error *error)
{
    struct agent_dr_event *event = agent_dr_event_new(1);
    char id[AGENT_DR_NAME_SIZE];
    json_t *answers = NULL;

    if (event == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for an event");
    }
    int status =
        json_is_object(args)
            ? make_event(dr, args, event, error)
            : agent_error_set(error, EINVAL, "dr-trigger: expected an object of arguments");
    if (status < 0) {
        agent_dr_event_free(event);
        return status;
    }
    memcpy(id, event->id, sizeof(id));
    status = dr_put(dr, event, 0, error);
    if (status < 0) {
        return status;
    }
    dr_keep(dr);
    dr_look(dr);
    answers = json_array();
    for (size_t index = 0; index < dr->answer_count; index++) {
        if (strcmp(dr->answers[index].event, id) == 0) {
            json_array_append_new(answers, dr_answer_json(dr, &dr->answers[index]));
        }
    }
    *reply = json_pack("{s:s,s:o}", "event", id, "answers", answers);
    return 0;
}

static struct agent_dr_event *named(struct agent_dr *dr, const json_t *args,
                                    struct agent_error *error)
{
    const char *id = json_string_value(json_object_get(args, "event"));
    struct agent_dr_event *event = id != NULL ? agent_dr_schedule_find(&dr->schedule, id) : NULL;

    if (event == NULL) {
        agent_error_set(error, ENOENT, "no event '%.60s'", id != NULL ? id : "");
    }
    return event;
}

int agent_dr_cancel(struct agent_dr *dr, const json_t *args, json_t **reply,
                    struct agent_error *error)
{
    struct agent_dr_event *event = named(dr, args, error);

    if (event == NULL) {
        return -ENOENT;
    }
    if (event->origin != AGENT_DR_LOCAL) {
        return agent_error_set(error, EPERM,
                               "event '%.60s' was not made here: opt out of it instead", event->id);
    }
    int done = agent_dr_schedule_cancel(&dr->schedule, event->id, dr_now_ms(dr), "cancelled here");
    dr_keep(dr);
    dr_tell(dr, "dr.event", agent_dr_event_json(event));
    dr_look(dr);
    *reply = json_pack("{s:s,s:b}", "event", event->id, "was_open", done);
    return 0;
}

int agent_dr_opt_out(struct agent_dr *dr, const json_t *args, json_t **reply,
                     struct agent_error *error)
{
    struct agent_dr_event *event = named(dr, args, error);
    const json_t *out = json_object_get(args, "out");

    if (event == NULL) {
        return -ENOENT;
    }
    if (out != NULL && !json_is_boolean(out)) {
        return agent_error_set(error, EINVAL, "dr-opt-out: out: expected true or false");
    }
    agent_dr_schedule_opt_out(&dr->schedule, event->id, out == NULL || json_is_true(out));
    dr_keep(dr);
    dr_tell(dr, "dr.event", agent_dr_event_json(event));
    dr_look(dr);
    *reply = json_pack("{s:s,s:b}", "event", event->id, "opted_out", (int)event->opted_out);
    return 0;
}
