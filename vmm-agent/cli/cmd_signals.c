/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_signals.c - signals formats, parse, check: files without a store
 * Owner: none.   Thread: main.   Time: context->now_s.   Units: see grid/series.h. */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/signals.h"
#include "grid/adapter.h"
#include "support/json.h"
#include "support/slot.h"

static const struct agent_command signals_parse;
static const struct agent_command signals_check;

int signals_answer(struct agent_context *context, json_t *answer)
{
    struct agent_error error = {0};
    int status = answer != NULL ? agent_json_print(answer, context->out) : -ENOMEM;

    json_decref(answer);
    if (status == 0) {
        return AGENT_EXIT_OK;
    }
    agent_error_set(&error, status, "cannot write the answer");
    context->json = false;
    return agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
}

static int run_formats(struct agent_context *context)
{
    const char *const *names = agent_grid_formats();
    json_t *list = json_array();

    for (size_t index = 0; names[index] != NULL; index++) {
        json_array_append_new(list, json_string(names[index]));
        if (!context->json) {
            fprintf(context->out, "%s\n", names[index]);
        }
    }
    if (context->json) {
        return signals_answer(context, json_pack("{s:o}", "formats", list));
    }
    json_decref(list);
    return AGENT_EXIT_OK;
}

static int load(struct agent_context *context, const struct agent_command *command,
                const char *path, struct agent_batch *batch, struct agent_error *error)
{
    const char *area = agent_context_value(context, command, "area");

    return agent_grid_load(path, agent_context_value(context, command, "format"),
                           area != NULL ? agent_area_of(area) : AGENT_AREA_NONE, context->now_s,
                           batch, error);
}

static void print_points(FILE *out, const struct agent_series *series)
{
    for (size_t index = 0; index < series->count; index++) {
        const struct agent_point *point = &series->points[index];
        char start[AGENT_TIME_TEXT_SIZE];
        char quality[160];
        fprintf(out, "    %s %6d s %14.6g %s\n", agent_time_format(point->start_s, start),
                (int)point->length_s, point->value,
                agent_quality_format(point->quality, quality, sizeof(quality)));
    }
}

static int run_parse(struct agent_context *context)
{
    bool points = agent_context_value(context, &signals_parse, "points") != NULL;
    json_t *files = json_array();
    int code = AGENT_EXIT_OK;

    for (int index = 0; index < context->operand_count && code == AGENT_EXIT_OK; index++) {
        struct agent_batch batch;
        struct agent_error error = {0};
        if (load(context, &signals_parse, context->operands[index], &batch, &error) < 0) {
            code = agent_context_fail(context, AGENT_EXIT_INPUT, &error);
            break;
        }
        if (context->json) {
            json_array_append_new(files, signals_batch_json(&batch, true));
        } else {
            fprintf(context->out, "%s: %s\n", batch.source, batch.format);
        }
        for (size_t at = 0; !context->json && at < batch.count; at++) {
            signals_print_series(context->out, &batch.series[at]);
            if (points) {
                print_points(context->out, &batch.series[at]);
            }
        }
        agent_batch_done(&batch);
    }
    if (code == AGENT_EXIT_OK && context->json) {
        return signals_answer(context, json_pack("{s:o}", "files", files));
    }
    json_decref(files);
    return code;
}

/* Do all series carry the same doubts on the same number of points? Then one line is enough. */
static bool all_alike(const struct agent_batch *batch)
{
    struct signals_tally first = signals_tally(&batch->series[0]);

    for (size_t at = 1; at < batch->count; at++) {
        struct signals_tally tally = signals_tally(&batch->series[at]);
        if (tally.points != first.points || tally.usable != first.usable ||
            tally.flags != first.flags) {
            return false;
        }
    }
    return batch->count > 1;
}

static void print_doubts(FILE *out, const struct agent_batch *batch)
{
    struct signals_tally first = signals_tally(&batch->series[0]);
    char quality[160];

    if (all_alike(batch) && first.usable < first.points) {
        fprintf(out, "  every one of %zu series: %zu of %zu points usable, %s\n", batch->count,
                first.usable, first.points,
                agent_quality_format(first.flags, quality, sizeof(quality)));
        return;
    }
    for (size_t at = 0; at < batch->count; at++) {
        struct signals_tally tally = signals_tally(&batch->series[at]);
        if (tally.usable < tally.points) {
            signals_print_series(out, &batch->series[at]);
        }
    }
}

/* One checked file. Return: AGENT_EXIT_OK, _NO (doubts) or _INPUT (cannot be read). */
static int check_file(struct agent_context *context, const char *path, json_t *files)
{
    struct agent_batch batch;
    struct agent_error error = {0};
    char text[AGENT_ERROR_TEXT_MAX + AGENT_ERROR_FILE_MAX + 32];
    size_t points = 0;
    size_t usable = 0;

    if (load(context, &signals_check, path, &batch, &error) < 0) {
        agent_error_format(&error, text, sizeof(text));
        fprintf(context->err, "vmm-agent: %s\n", text);
        json_array_append_new(
            files, json_pack("{s:s,s:b,s:s}", "source", path, "readable", 0, "error", text));
        return AGENT_EXIT_INPUT;
    }
    for (size_t at = 0; at < batch.count; at++) {
        struct signals_tally tally = signals_tally(&batch.series[at]);
        points += tally.points;
        usable += tally.usable;
    }
    if (!context->json) {
        print_doubts(context->out, &batch);
        fprintf(context->out, "%s: %s, %zu of %zu points usable\n", path, batch.format, usable,
                points);
    }
    json_t *json = signals_batch_json(&batch, false);
    json_object_set_new(json, "readable", json_true());
    json_object_set_new(json, "points_total", json_integer((json_int_t)points));
    json_object_set_new(json, "points_usable", json_integer((json_int_t)usable));
    json_array_append_new(files, json);
    agent_batch_done(&batch);
    return usable < points ? AGENT_EXIT_NO : AGENT_EXIT_OK;
}

static int run_check(struct agent_context *context)
{
    json_t *files = json_array();
    int worst = AGENT_EXIT_OK;

    for (int index = 0; index < context->operand_count; index++) {
        int code = check_file(context, context->operands[index], files);
        worst = code > worst ? code : worst;
    }
    if (context->json) {
        int code = signals_answer(context, json_pack("{s:o}", "files", files));
        return code != AGENT_EXIT_OK ? code : worst;
    }
    json_decref(files);
    return worst;
}

static const struct agent_command signals_formats = {
    .name = "formats",
    .summary = "list the file formats that are understood",
    .run = run_formats,
};

static const struct agent_option parse_options[] = {
    {"format", "NAME", NULL, "do not recognise the format, take this one (signals formats)"},
    {"area", "AREA", SIGNALS_AREAS, "area, when neither content nor file name tells it"},
    {"points", NULL, NULL, "print every value, not only a line per series"},
    {NULL, NULL, NULL, NULL},
};

static const struct agent_command signals_parse = {
    .name = "parse",
    .summary = "read files and print what they say",
    .operands = "FILE...",
    .operands_min = 1,
    .operands_max = -1,
    .detail =
        "Values are in the canonical unit of their quantity, times in Japanese time. FILE may\n"
        "be - for standard input. With --json every value is printed.",
    .options = parse_options,
    .run = run_parse,
};

static const struct agent_option check_options[] = {
    {"format", "NAME", NULL, "do not recognise the format, take this one (signals formats)"},
    {"area", "AREA", SIGNALS_AREAS, "area, when neither content nor file name tells it"},
    {NULL, NULL, NULL, NULL},
};

static const struct agent_command signals_check = {
    .name = "check",
    .summary = "read files and report everything doubtful",
    .operands = "FILE...",
    .operands_min = 1,
    .operands_max = -1,
    .detail = "Checks the balance of every row, 48 slots a day, plausible ranges, dates in the\n"
              "future, repeated slots and jumps. Exit code 1: some values are doubtful; 3: a file\n"
              "cannot be read or is not what its format promises.",
    .options = check_options,
    .run = run_check,
};

static const struct agent_command *const children[] = {
    &signals_parse, &signals_check,   &signals_import,    &signals_show,
    &signals_watch, &signals_formats, &signals_calibrate, NULL,
};

const struct agent_command agent_cmd_signals = {
    .name = "signals",
    .summary = "read, check, keep and watch grid signals",
    .children = children,
};
