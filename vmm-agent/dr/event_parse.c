/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event_parse.c - an OpenADR 3.1 event object to struct agent_dr_event, or a reason why not
 * Owner, thread, time, units: event.h.
 *
 * The object comes from a server somewhere: everything is checked here, once. Times are walked in
 * event_times.c. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dr/event_private.h"
#include "support/json.h"

#define VALUES_MAX   96
#define PAYLOADS_MAX 16
#define INT32_LOW    (-2147483648.0)
#define INT32_HIGH   2147483647.0

/* What each payload type asks for; all others ask for no power. */
struct payload_type {
    const char *name;
    enum agent_dr_kind kind;
    bool power; /* in units of power, which must be known */
    bool whole;
    double min;
    double max;
    double factor; /* value as received to value as kept */
};

static const struct payload_type payload_types[] = {
    {"DISPATCH_SETPOINT_RELATIVE", AGENT_DR_RELATIVE, true, false, -AGENT_DR_POWER_MAX_KW,
     AGENT_DR_POWER_MAX_KW, 1},
    {"DISPATCH_SETPOINT", AGENT_DR_ABSOLUTE, true, false, -AGENT_DR_POWER_MAX_KW,
     AGENT_DR_POWER_MAX_KW, 1},
    {"IMPORT_CAPACITY_LIMIT", AGENT_DR_LIMIT, true, false, 0, AGENT_DR_POWER_MAX_KW, 1},
    {"SIMPLE", AGENT_DR_LEVEL, false, true, 0, 3, 1},
    {"CONTROL_LEVEL_OFFSET", AGENT_DR_LEVEL, false, true, -10, 10, 0.1},
    {"CONTROL_LEVEL_OFFSET_PERCENT", AGENT_DR_LEVEL, false, false, -1, 1, -1},
    {"CHARGE_STATE_SETPOINT", AGENT_DR_CHARGE, false, false, 0, 1, 1},
};

int dr_text(const json_t *object, const char *where, const char *key, bool required, char *out,
            struct agent_error *error)
{
    const json_t *value = dr_member(object, key);
    size_t length = json_string_length(value);

    out[0] = '\0';
    if (value == NULL) {
        return required ? agent_error_set(error, ENOENT, "%s: key '%s' is missing", where, key) : 0;
    }
    if (!json_is_string(value) || length >= AGENT_DR_NAME_SIZE || (required && length == 0) ||
        strlen(json_string_value(value)) != length) {
        return agent_error_set(error, EINVAL, "%s.%s: expected text of %d to %d characters%s",
                               where, key, required ? 1 : 0, AGENT_DR_NAME_SIZE - 1,
                               json_is_string(value) ? "" : ", found none");
    }
    memcpy(out, json_string_value(value), length + 1);
    return 0;
}

/* OpenADR: letters, digits, '_' and '-'; it becomes part of a URL. */
static bool id_valid(const char *id)
{
    return id[0] != '\0' &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
               strlen(id);
}

static int id_of(const json_t *object, const char *key, char *out, struct agent_error *error)
{
    int status = dr_text(object, "event", key, true, out, error);

    if (status == 0 && !id_valid(out)) {
        return agent_error_set(error, EINVAL,
                               "event.%s: expected letters, digits, '_' and '-', found '%.60s'",
                               key, out);
    }
    return status;
}

const char *agent_dr_event_id(const json_t *object)
{
    const char *id = json_string_value(json_object_get(object, "id"));

    return id != NULL && strlen(id) < AGENT_DR_NAME_SIZE && id_valid(id) ? id : NULL;
}

/* Whole number in @range; absent or null leaves @out. */
static int whole_of(const json_t *object, const char *where, const char *key,
                    struct agent_range range, double *out, struct agent_error *error)
{
    const json_t *value = dr_member(object, key);

    if (value == NULL) {
        return 0;
    }
    double found = json_number_value(value);
    if (!json_is_number(value) || floor(found) != found || found < range.min || found > range.max) {
        return agent_error_set(error, EINVAL, "%s.%s: expected a whole number in %.0f..%.0f", where,
                               key, range.min, range.max);
    }
    *out = found;
    return 0;
}

static int list_of(const json_t *object, const char *where, const char *key, size_t max,
                   const json_t **out, struct agent_error *error)
{
    const json_t *value = dr_member(object, key);

    *out = NULL;
    if (value == NULL) {
        return 0;
    }
    if (!json_is_array(value) || json_array_size(value) > max) {
        return agent_error_set(error, EINVAL, "%s.%s: expected a list of at most %zu", where, key,
                               max);
    }
    *out = value;
    return 0;
}

static int read_time(const json_t *object, const char *key, int64_t clock_ms, int64_t *out,
                     struct agent_error *error)
{
    char text[AGENT_DR_NAME_SIZE];
    struct agent_error cause = {0};
    int status = dr_text(object, "event", key, true, text, error);

    if (status == 0 && (agent_dr_time_parse(text, out, &cause) < 0 || *out == AGENT_DR_NOW_MS)) {
        return agent_error_set(error, EINVAL, "event.%s: %.300s", key,
                               cause.text[0] != '\0' ? cause.text : "not an instant");
    }
    *out -= clock_ms;
    return status;
}

static int read_head(const json_t *object, struct agent_dr_event *event,
                     const struct agent_dr_reading *reading, struct agent_error *error)
{
    char type[AGENT_DR_NAME_SIZE];
    double priority = AGENT_DR_PRIORITY_NONE;
    int status = id_of(object, "id", event->id, error);

    status = status < 0 ? status : id_of(object, "programID", event->program, error);
    status = status < 0 ? status : dr_text(object, "event", "eventName", false, event->name, error);
    status = status < 0 ? status : dr_text(object, "event", "objectType", false, type, error);
    if (status == 0 && type[0] != '\0' && strcmp(type, "EVENT") != 0) {
        return agent_error_set(error, EINVAL, "event.objectType: expected EVENT, found '%.60s'",
                               type);
    }
    status = status < 0 ? status
                        : whole_of(object, "event", "priority",
                                   (struct agent_range){0, AGENT_DR_PRIORITY_NONE - 1.0}, &priority,
                                   error);
    event->priority = (uint32_t)priority;
    status = status < 0 ? status
                        : read_time(object, "createdDateTime", reading->clock_ms,
                                    &event->created_ms, error);
    return status < 0 ? status
                      : read_time(object, "modificationDateTime", reading->clock_ms,
                                  &event->modified_ms, error);
}

static int read_targets(const json_t *object, struct agent_dr_event *event,
                        struct agent_error *error)
{
    const json_t *list = NULL;
    int status = list_of(object, "event", "targets", AGENT_DR_TARGETS_MAX, &list, error);

    for (size_t index = 0; status == 0 && index < json_array_size(list); index++) {
        const char *text = json_string_value(json_array_get(list, index));
        if (text == NULL || text[0] == '\0' || strlen(text) >= AGENT_DR_NAME_SIZE) {
            return agent_error_set(
                error, EINVAL, "event.targets[%zu]: expected text of 1 to %d characters%s", index,
                AGENT_DR_NAME_SIZE - 1,
                json_is_object(json_array_get(list, index)) ? ", found an object (OpenADR 3.0?)"
                                                            : "");
        }
        memcpy(event->targets[event->target_count++], text, strlen(text) + 1);
    }
    return status;
}

static int read_report(const json_t *object, size_t index, struct agent_dr_report_request *request,
                       struct agent_error *error)
{
    static const char *const keys[] = {"startInterval", "numIntervals", "frequency", "repeat"};
    double numbers[4] = {-1, -1, -1, 1};
    char where[64];
    int status = 0;

    snprintf(where, sizeof(where), "event.reportDescriptors[%zu]", index);
    if (!json_is_object(object)) {
        return agent_error_set(error, EINVAL, "%s: expected an object", where);
    }
    status = dr_text(object, where, "payloadType", true, request->payload, error);
    status =
        status < 0 ? status : dr_text(object, where, "readingType", false, request->reading, error);
    status = status < 0 ? status : dr_text(object, where, "units", false, request->units, error);
    for (size_t key = 0; status == 0 && key < 4; key++) {
        status = whole_of(object, where, keys[key], (struct agent_range){INT32_LOW, INT32_HIGH},
                          &numbers[key], error);
    }
    const json_t *historical = dr_member(object, "historical");
    request->historical = historical == NULL || json_is_true(historical);
    request->aggregate = json_is_true(dr_member(object, "aggregate"));
    request->start_interval = (int32_t)numbers[0];
    request->num_intervals = (int32_t)numbers[1];
    request->frequency = (int32_t)numbers[2];
    request->repeat = (int32_t)numbers[3];
    return status;
}

static int read_reports(const json_t *object, struct agent_dr_event *event,
                        struct agent_error *error)
{
    const json_t *list = NULL;
    int status = list_of(object, "event", "reportDescriptors", AGENT_DR_REPORTS_MAX, &list, error);

    for (size_t index = 0; status == 0 && index < json_array_size(list); index++) {
        status = read_report(json_array_get(list, index), index,
                             &event->reports[event->report_count++], error);
    }
    return status;
}

/* Units that @object (event or program) names for @type, NULL when it does not. */
static const char *units_in(const json_t *object, const char *type)
{
    const json_t *list = dr_member(object, "payloadDescriptors");

    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *entry = json_array_get(list, index);
        const char *payload = json_string_value(json_object_get(entry, "payloadType"));
        const char *units = json_string_value(json_object_get(entry, "units"));
        if (payload != NULL && units != NULL && strcmp(payload, type) == 0) {
            return units;
        }
    }
    return NULL;
}

/* Factor from the units of @type to kW (or to a share); refused when nobody names them. */
static int factor_of(const json_t *event, const struct agent_dr_reading *reading,
                     const struct payload_type *type, double *factor, struct agent_error *error)
{
    static const struct {
        const char *name;
        double factor;
    } powers[] = {{"KW", 1}, {"W", 1e-3}, {"MW", 1e3}};
    const char *units = units_in(event, type->name);

    units = units != NULL ? units : units_in(reading->program, type->name);
    *factor = type->factor;
    if (type->kind == AGENT_DR_CHARGE && units != NULL && strcmp(units, "PERCENT") != 0) {
        return agent_error_set(error, EINVAL, "%s in '%.40s': only PERCENT (0..1) can be followed",
                               type->name, units);
    }
    if (!type->power) {
        return 0;
    }
    units = units != NULL ? units : reading->units;
    for (size_t index = 0; units != NULL && index < 3; index++) {
        if (strcmp(units, powers[index].name) == 0) {
            *factor = powers[index].factor;
            return 0;
        }
    }
    return agent_error_set(error, EINVAL, "%s: units are %s%.40s%s, expected KW, W or MW",
                           type->name, units != NULL ? "'" : "",
                           units != NULL ? units : "not named by event or program",
                           units != NULL ? "'" : "");
}

/* One payload being read: its type, its place in the event, and the time it stands for. */
struct payload {
    const struct payload_type *type;
    const char *where;
    double factor;
    int32_t id;
    int64_t start_ms;
    int64_t end_ms;
};

static int number_of(const json_t *value, const struct payload *payload, double *out,
                     struct agent_error *error)
{
    const struct payload_type *type = payload->type;
    double number = json_number_value(value);
    double scaled = type->power ? number * payload->factor : number;

    if (!json_is_number(value) || !isfinite(number) || scaled < type->min || scaled > type->max ||
        (type->whole && floor(number) != number)) {
        return agent_error_set(error, EINVAL,
                               "%s: %s wants a%s number in %.10g..%.10g, found %s%.10g",
                               payload->where, type->name, type->whole ? " whole" : "", type->min,
                               type->max, json_is_number(value) ? "" : "none, ", number);
    }
    *out = number * payload->factor;
    return 0;
}

/* Several values share the interval's time evenly (User Guide 7.3, multi-valued payloads). */
static int add_values(struct agent_dr_event *event, const json_t *values,
                      const struct payload *payload, const double *levels,
                      struct agent_error *error)
{
    int64_t count = (int64_t)json_array_size(values);
    bool endless = payload->end_ms >= AGENT_DR_FOREVER_MS;
    int64_t length_ms = endless ? 0 : payload->end_ms - payload->start_ms;

    if (count == 0 || count > VALUES_MAX || (endless && count > 1)) {
        return agent_error_set(error, EINVAL, "%s: %d values, expected 1..%d", payload->where,
                               (int)count, endless ? 1 : VALUES_MAX);
    }
    for (int64_t index = 0; index < count; index++) {
        struct agent_dr_interval *interval = &event->intervals[event->interval_count];
        if (event->interval_count == AGENT_DR_INTERVALS_MAX) {
            return agent_error_set(error, E2BIG, "event: more than %d intervals with values",
                                   AGENT_DR_INTERVALS_MAX);
        }
        interval->id = payload->id;
        interval->kind = payload->type->kind;
        interval->start_ms = payload->start_ms + length_ms * index / count;
        interval->end_ms =
            endless ? payload->end_ms : payload->start_ms + length_ms * (index + 1) / count;
        int status =
            number_of(json_array_get(values, (size_t)index), payload, &interval->value, error);
        if (status < 0) {
            return status;
        }
        if (payload->type->kind == AGENT_DR_LEVEL && payload->type->max == 3) {
            interval->value = levels[(int)interval->value];
        }
        event->interval_count++;
    }
    return 0;
}

static bool is_emergency(const char *type)
{
    return strcmp(type, "ALERT_GRID_EMERGENCY") == 0 || strcmp(type, "ALERT_BLACK_START") == 0;
}

static void note_ignored(struct agent_dr_event *event, const char *type)
{
    size_t used = strlen(event->note);

    if (strstr(event->note, type) == NULL && used + strlen(type) + 24 < sizeof(event->note)) {
        snprintf(event->note + used, sizeof(event->note) - used, "%s%.60s",
                 used > 0 ? ", " : "not followed: ", type);
    }
}

/* What the parse of one event has in hand. */
struct parse {
    const json_t *object;
    const struct agent_dr_reading *reading;
    struct agent_dr_event *event;
    struct dr_walk walk;
};

static const struct payload_type *find_type(const char *name)
{
    for (size_t index = 0; index < sizeof(payload_types) / sizeof(payload_types[0]); index++) {
        if (strcmp(name, payload_types[index].name) == 0) {
            return &payload_types[index];
        }
    }
    return NULL;
}

/* An alert's text is for people; what it asks for is 1. */
static int add_alert(struct parse *parse, struct payload *payload, struct agent_error *error)
{
    static const struct payload_type alert = {"ALERT", AGENT_DR_EMERGENCY, false, false, 1, 1, 1};
    json_t *one = json_pack("[i]", 1);
    int status = -ENOMEM;

    payload->type = &alert;
    payload->factor = 1;
    if (one != NULL) {
        status = add_values(parse->event, one, payload, parse->reading->levels, error);
    }
    json_decref(one);
    return status;
}

static int add_payload(struct parse *parse, const json_t *object, struct payload *payload,
                       struct agent_error *error)
{
    const json_t *values = dr_member(object, "values");
    char type[AGENT_DR_NAME_SIZE];
    int status = dr_text(object, payload->where, "type", true, type, error);

    if (status == 0 && !json_is_array(values)) {
        return agent_error_set(error, EINVAL, "%s.values: expected a list", payload->where);
    }
    if (status == 0 && is_emergency(type)) {
        return add_alert(parse, payload, error);
    }
    payload->type = status == 0 ? find_type(type) : NULL;
    if (payload->type == NULL) {
        note_ignored(parse->event, type);
        return status;
    }
    status = factor_of(parse->object, parse->reading, payload->type, &payload->factor, error);
    return status < 0 ? status
                      : add_values(parse->event, values, payload, parse->reading->levels, error);
}

static int interval_times(struct parse *parse, const json_t *object, struct payload *payload,
                          struct agent_error *error)
{
    struct agent_dr_event *event = parse->event;
    const char *where = payload->where;
    struct dr_period own;
    double id = NAN;
    char dotted[96];

    snprintf(dotted, sizeof(dotted), "%.90s.", where);
    int status =
        whole_of(object, where, "id", (struct agent_range){INT32_LOW, INT32_HIGH}, &id, error);
    if (status == 0 && isnan(id)) {
        return agent_error_set(error, ENOENT, "%s: key 'id' is missing", where);
    }
    payload->id = status == 0 ? (int32_t)id : 0;
    status = status < 0 ? status : dr_period_parse(object, dotted, parse->reading, &own, error);
    status = status < 0 ? status
                        : dr_walk_next(&parse->walk, &own, where, &payload->start_ms,
                                       &payload->end_ms, error);
    if (status == 0) {
        bool first = event->end_ms == 0;
        event->start_ms =
            first || payload->start_ms < event->start_ms ? payload->start_ms : event->start_ms;
        event->end_ms = first || payload->end_ms > event->end_ms ? payload->end_ms : event->end_ms;
    }
    return status;
}

static int add_interval(struct parse *parse, const json_t *object, size_t index,
                        struct agent_error *error)
{
    struct payload payload = {0};
    const json_t *payloads = NULL;
    char where[96];

    snprintf(where, sizeof(where), "event.intervals[%zu]", index);
    payload.where = where;
    if (!json_is_object(object)) {
        return agent_error_set(error, EINVAL, "%s: expected an object", where);
    }
    int status = interval_times(parse, object, &payload, error);
    status =
        status < 0 ? status : list_of(object, where, "payloads", PAYLOADS_MAX, &payloads, error);
    if (status == 0 && payloads == NULL) {
        return agent_error_set(error, ENOENT, "%s: key 'payloads' is missing", where);
    }
    for (size_t each = 0; status == 0 && each < json_array_size(payloads); each++) {
        snprintf(where, sizeof(where), "event.intervals[%zu].payloads[%zu]", index, each);
        status = add_payload(parse, json_array_get(payloads, each), &payload, error);
    }
    return status;
}

/* Intervals, and from them the life of the event. */
static int read_intervals(struct parse *parse, struct agent_error *error)
{
    struct agent_dr_event *event = parse->event;
    const json_t *list = NULL;
    struct dr_period whole;
    int64_t duration_ms = -1;
    char text[AGENT_DR_NAME_SIZE];
    struct agent_error cause = {0};
    int status = dr_period_parse(parse->object, "event.", parse->reading, &whole, error);

    status = status < 0 ? status
                        : list_of(parse->object, "event", "intervals", AGENT_DR_INTERVALS_MAX,
                                  &list, error);
    status = status < 0 ? status : dr_text(parse->object, "event", "duration", false, text, error);
    if (status == 0 && text[0] != '\0' &&
        agent_dr_duration_parse(text, 0, &duration_ms, &cause) < 0) {
        return agent_error_set(error, EINVAL, "event.duration: %.300s", cause.text);
    }
    if (status < 0) {
        return status;
    }
    dr_walk_start(&parse->walk, parse->reading, &whole, event->id);
    for (size_t index = 0; status == 0 && index < json_array_size(list); index++) {
        status = add_interval(parse, json_array_get(list, index), index, error);
    }
    if (status == 0 && json_array_size(list) == 0 && parse->walk.at_ms != AGENT_DR_NOW_MS) {
        event->start_ms = parse->walk.at_ms; /* asks for reports only */
        event->end_ms = agent_dr_ends(event->start_ms, whole.duration_ms);
        event->cancelled = whole.has_duration && whole.duration_ms == 0;
    }
    event->shift_ms = parse->walk.shift_ms;
    if (status == 0) {
        dr_event_close(event, duration_ms);
    }
    return status;
}

int agent_dr_event_parse(const json_t *object, const struct agent_dr_reading *reading,
                         struct agent_dr_event **out, struct agent_error *error)
{
    struct parse parse = {object, reading, agent_dr_event_new(AGENT_DR_INTERVALS_MAX), {0}};

    if (parse.event == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for an event");
    }
    parse.event->received_ms = reading->received_ms;
    int status = json_is_object(object)
                     ? read_head(object, parse.event, reading, error)
                     : agent_error_set(error, EINVAL, "event: expected an object");
    status = status < 0 ? status : read_targets(object, parse.event, error);
    status = status < 0 ? status : read_reports(object, parse.event, error);
    status = status < 0 ? status : read_intervals(&parse, error);
    if (status < 0) {
        agent_dr_event_free(parse.event);
        return status;
    }
    *out = parse.event;
    return 0;
}
