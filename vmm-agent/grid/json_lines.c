/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json_lines.c - the generic source: one JSON object a line, for meters, batteries and whatever
 * Owner: none.   Thread: the caller's.
 * Time:  ISO 8601 with zone in each line.   Units: each line names its unit, which must be ours.
 *
 *   {"area":"kyushu","quantity":"pv","stage":"actual","time":"2026-04-02T13:00+09:00",
 *    "seconds":1800,"value":5470,"unit":"MW"}
 * optional: "place" (host, battery, line), "issued_at", "quality". */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid/reader.h"
#include "support/json.h"

#define PLACE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define SECONDS_MAX      (7 * AGENT_DAY_SECONDS)

struct stream {
    struct grid_reader *reader;
    unsigned line;
    struct grid_table tables[AGENT_SERIES_MAX]; /* one per series of the batch, same index */
};

static bool match(const struct grid_reader *reader)
{
    return reader->head[0] == '{' && strstr(reader->head, "\"quantity\"") != NULL;
}

/* Moves an error text of the JSON helpers to its line in the file. */
static int at_line(struct stream *stream, const struct agent_error *why)
{
    struct agent_place place = {stream->reader->input->name, stream->line, 0};

    return agent_error_at(stream->reader->error, EBADMSG, place, "%s", why->text);
}

static int optional_text(const json_t *object, const char *key, const char **out,
                         struct agent_error *error)
{
    *out = NULL;
    return json_object_get(object, key) == NULL
               ? 0
               : agent_json_text(object, "record", key, out, error);
}

static int read_key(const json_t *object, struct agent_series *key, struct agent_error *error)
{
    const char *quantity = "";
    const char *unit = "";
    const char *area = NULL;
    const char *stage = NULL;
    const char *place = NULL;

    if (agent_json_text(object, "record", "quantity", &quantity, error) < 0 ||
        agent_json_text(object, "record", "unit", &unit, error) < 0 ||
        optional_text(object, "area", &area, error) < 0 ||
        optional_text(object, "stage", &stage, error) < 0 ||
        optional_text(object, "place", &place, error) < 0) {
        return -EINVAL;
    }
    agent_series_init(key, area != NULL ? agent_area_of(area) : AGENT_AREA_NONE,
                      agent_quantity_of(quantity),
                      stage != NULL ? agent_stage_of(stage) : AGENT_ACTUAL);
    if (key->quantity == AGENT_QUANTITY_INVALID) {
        return agent_error_set(error, EINVAL, "unknown quantity '%.40s'", quantity);
    }
    if (area != NULL && key->area == AGENT_AREA_NONE) {
        return agent_error_set(error, EINVAL, "unknown area '%.40s'", area);
    }
    if (key->stage == AGENT_STAGE_COUNT) {
        return agent_error_set(error, EINVAL,
                               "stage: expected actual, forecast or plan, found "
                               "'%.40s'",
                               stage);
    }
    const char *ours = agent_unit_name(agent_quantity_unit(key->quantity));
    if (strcmp(unit, ours) != 0) {
        return agent_error_set(error, EINVAL, "%s is kept in '%s', found the unit '%.20s'",
                               quantity, ours, unit);
    }
    if (place != NULL && strlen(place) >= AGENT_PLACE_MAX) {
        return agent_error_set(error, EINVAL, "place '%.40s' is longer than %d bytes", place,
                               AGENT_PLACE_MAX - 1);
    }
    if (place != NULL && strspn(place, PLACE_CHARACTERS) != strlen(place)) {
        return agent_error_set(error, EINVAL, "place '%.40s': expected letters, digits and ._-",
                               place);
    }
    snprintf(key->place, sizeof(key->place), "%s", place != NULL ? place : "");
    return 0;
}

static int read_point(const json_t *object, struct agent_point *point, int64_t *issued_s,
                      struct agent_error *error)
{
    static const struct agent_range any = {-1e12, 1e12};
    const char *time = "";
    const char *issued = NULL;
    const char *quality = NULL;
    int64_t seconds = 0;
    const json_t *value = json_object_get(object, "value");

    if (agent_json_text(object, "record", "time", &time, error) < 0 ||
        agent_time_parse(time, &point->start_s, error) < 0 ||
        agent_json_integer(object, "record", "seconds", 1, SECONDS_MAX, &seconds, error) < 0 ||
        optional_text(object, "issued_at", &issued, error) < 0 ||
        optional_text(object, "quality", &quality, error) < 0 ||
        (issued != NULL && agent_time_parse(issued, issued_s, error) < 0)) {
        return -EINVAL;
    }
    point->length_s = (int32_t)seconds;
    point->quality = 0;
    if (quality != NULL && agent_quality_parse(quality, &point->quality) < 0) {
        return agent_error_set(error, EINVAL, "unknown quality '%.60s'", quality);
    }
    if (json_is_null(value)) {
        point->value = NAN;
        return 0;
    }
    return agent_json_number(object, "record", "value", any, &point->value, error);
}

static int keep(struct stream *stream, const struct agent_series *key,
                const struct agent_point *point, int64_t issued_s)
{
    struct agent_batch *batch = stream->reader->batch;
    struct agent_series *series =
        agent_batch_series(batch, key->area, key->quantity, key->stage, key->place);

    if (series == NULL) {
        struct agent_error why = {0};
        agent_error_set(&why, E2BIG, "more than %d different series in one file", AGENT_SERIES_MAX);
        return at_line(stream, &why);
    }
    struct grid_table *table = &stream->tables[series - batch->series];
    if (table->width == 0) {
        grid_table_init(table, 1);
    }
    series->issued_s = issued_s > series->issued_s ? issued_s : series->issued_s;
    struct grid_record *record =
        grid_table_add(table, point->start_s, point->length_s, stream->line);
    if (record == NULL) {
        return -ENOMEM;
    }
    record->values[0] = point->value;
    record->quality = point->quality & ~(uint32_t)AGENT_QUALITY_MISSING;
    return 0;
}

static int read_line(struct stream *stream, const char *text, size_t size)
{
    static const char *const known[] = {"area",      "quantity", "stage", "place",
                                        "time",      "seconds",  "value", "unit",
                                        "issued_at", "quality",  NULL};
    struct agent_error why = {0};
    json_error_t problem;
    struct agent_series key;
    struct agent_point point = {0};
    int64_t issued_s = 0;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);

    if (object == NULL) {
        agent_error_set(&why, EBADMSG, "not valid JSON: %s", problem.text);
        return at_line(stream, &why);
    }
    int status = agent_json_only(object, "record", known, &why);
    status = status < 0 ? status : read_key(object, &key, &why);
    status = status < 0 ? status : read_point(object, &point, &issued_s, &why);
    json_decref(object);
    return status < 0 ? at_line(stream, &why) : keep(stream, &key, &point, issued_s);
}

static bool blank(const char *text, size_t size)
{
    return strspn(text, " \t\r") >= size;
}

static int emit(struct stream *stream)
{
    struct agent_batch *batch = stream->reader->batch;
    int status = 0;

    for (size_t index = 0; index < batch->count && status == 0; index++) {
        status = grid_table_sort(&stream->tables[index], stream->reader);
        status = status < 0 ? status
                            : grid_table_emit(&stream->tables[index], 0, 1, &batch->series[index]);
    }
    return status;
}

static int parse(struct grid_reader *reader)
{
    struct stream stream = {.reader = reader};
    const char *at = reader->text;
    int status = 0;

    while (*at != '\0' && status == 0) {
        size_t size = strcspn(at, "\n");
        stream.line++;
        status = blank(at, size) ? 0 : read_line(&stream, at, size);
        at += size + (at[size] == '\n' ? 1 : 0);
    }
    status = status < 0 ? status : emit(&stream);
    for (size_t index = 0; index < AGENT_SERIES_MAX; index++) {
        grid_table_done(&stream.tables[index]);
    }
    return status;
}

const struct grid_adapter grid_json_lines = {"json-lines", match, parse};
