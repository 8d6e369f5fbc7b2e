/* SPDX-License-Identifier: GPL-2.0-or-later */
/* adapter.c - recognises a format, runs its adapter, then the self-checks on every series
 * Owner: the reader is on the stack.   Thread: the caller's.
 * Time:  input->now_s.                 Units: see series.h. */
#include "grid/adapter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "grid/reader.h"
#include "support/file.h"
#include "support/text.h"

static const struct grid_adapter *const adapters[] = {
    &grid_area_actual, &grid_area_forecast, &grid_area_plan, &grid_area_result, &grid_usage,
    &grid_spot,        &grid_imbalance,     &grid_outlook,   &grid_lines,       &grid_json_lines,
};
#define ADAPTER_COUNT (sizeof(adapters) / sizeof(adapters[0]))

const char *const *agent_grid_formats(void)
{
    static const char *names[ADAPTER_COUNT + 1];

    for (size_t index = 0; index < ADAPTER_COUNT; index++) {
        names[index] = adapters[index]->name;
    }
    return names;
}

/* The beginning of the text as one key: what the match hooks search in. */
static void make_head(const struct grid_reader *reader, char *head)
{
    char cut[GRID_HEAD_MAX / 2];
    size_t length = reader->size < sizeof(cut) - 1 ? reader->size : sizeof(cut) - 1;

    memcpy(cut, reader->text, length);
    while (length > 0 && length < reader->size && (cut[length - 1] & 0x80) != 0) {
        length--; /* not in the middle of a character */
    }
    cut[length] = '\0';
    if (agent_text_key(cut, head, GRID_HEAD_MAX) < 0) {
        head[0] = '\0';
    }
}

static const struct grid_adapter *choose(const struct grid_reader *reader)
{
    for (size_t index = 0; index < ADAPTER_COUNT; index++) {
        if (reader->input->format != NULL
                ? strcmp(adapters[index]->name, reader->input->format) == 0
                : adapters[index]->match(reader)) {
            return adapters[index];
        }
    }
    return NULL;
}

static int unknown(const struct grid_reader *reader)
{
    struct agent_place place = {reader->input->name, 1, 0};
    const char *asked = reader->input->format;

    if (asked != NULL) {
        const char *near = agent_text_nearest(asked, agent_grid_formats());
        return agent_error_set(reader->error, EINVAL, "unknown format '%.40s'%s%s%s", asked,
                               near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                               near != NULL ? "'?" : "");
    }
    if (reader->head[0] == '\0') {
        return agent_error_at(reader->error, EBADMSG, place, "the file is empty");
    }
    char begin[64];
    size_t length = strlen(reader->head) < 60 ? strlen(reader->head) : 60;
    while (length > 0 && (reader->head[length] & 0xc0) == 0x80) {
        length--;
    }
    memcpy(begin, reader->head, length);
    begin[length] = '\0';
    return agent_error_at(reader->error, EBADMSG, place,
                          "expected the beginning of a known format, found '%s'", begin);
}

static void finish(struct agent_batch *batch, int64_t now_s)
{
    size_t kept = 0;

    for (size_t index = 0; index < batch->count; index++) {
        if (batch->series[index].count == 0) {
            agent_series_done(&batch->series[index]);
            continue;
        }
        batch->series[kept] = batch->series[index];
        grid_check_series(&batch->series[kept], now_s);
        kept++;
    }
    batch->count = kept;
}

static int run(struct grid_reader *reader, struct agent_batch *batch)
{
    char head[GRID_HEAD_MAX];

    reader->head = head;
    make_head(reader, head);
    const struct grid_adapter *adapter = choose(reader);
    if (adapter == NULL) {
        return unknown(reader);
    }
    agent_batch_init(batch, reader->input->name, adapter->name);
    batch->digest = agent_file_digest(reader->input->bytes, reader->input->size);
    batch->fetched_s = reader->input->now_s;
    reader->batch = batch;
    agent_csv_init(&reader->csv, reader->text, reader->size, reader->input->name);
    int status = adapter->parse(reader);
    if (status == 0) {
        finish(batch, reader->input->now_s);
        if (batch->count == 0) {
            status = agent_error_at(reader->error, EBADMSG,
                                    (struct agent_place){reader->input->name, 0, 0},
                                    "%s: no values at all in the file", adapter->name);
        }
    }
    if (status < 0) {
        agent_error_at(reader->error, status, (struct agent_place){reader->input->name, 0, 0},
                       "%s: %s", adapter->name, strerror(-status));
        agent_batch_done(batch);
    }
    return status;
}

int agent_grid_parse(const struct agent_input *input, struct agent_batch *batch,
                     struct agent_error *error)
{
    struct grid_reader *reader = calloc(1, sizeof(*reader));
    struct agent_batch *parsed = malloc(sizeof(*parsed));
    int status = 0;

    if (reader == NULL || parsed == NULL) {
        status = agent_error_set(error, ENOMEM, "no memory to read %.100s", input->name);
    } else if (input->size > AGENT_INPUT_MAX_BYTES) {
        status = agent_error_at(error, E2BIG, (struct agent_place){input->name, 0, 0},
                                "%zu bytes, the limit is %u", input->size, AGENT_INPUT_MAX_BYTES);
    } else {
        reader->input = input;
        reader->area = input->area;
        reader->error = error;
        status = agent_text_decode(input->bytes, input->size, input->name, &reader->text,
                                   &reader->size, error);
    }
    if (status == 0) {
        status = run(reader, parsed);
    }
    if (status == 0) {
        *batch = *parsed;
    }
    if (reader != NULL) {
        free(reader->text);
    }
    free(reader);
    free(parsed);
    return status;
}

int agent_grid_load(const char *path, const char *format, enum agent_area area, int64_t now_s,
                    struct agent_batch *batch, struct agent_error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    int status = agent_file_read(path, AGENT_INPUT_MAX_BYTES, &bytes, &size, error);

    if (status == 0) {
        struct agent_input input = {bytes, size, path, format, area, now_s};
        status = agent_grid_parse(&input, batch, error);
    }
    free(bytes);
    return status;
}
