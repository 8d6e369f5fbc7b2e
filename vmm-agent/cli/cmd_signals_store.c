/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_signals_store.c - signals import and show: files into the store, series out of it
 * Owner: none.   Thread: main.   Time: context->now_s.   Units: see grid/series.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/signals.h"
#include "grid/adapter.h"
#include "support/slot.h"
#include "support/text.h"

int signals_open_store(struct agent_context *context, const char *path, struct agent_config *config,
                       struct agent_store **store)
{
    struct agent_error error = {0};

    if (agent_config_load(context->config_path, config, &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    if (agent_store_open(path != NULL ? path : config->store_path, store, &error) < 0) {
        agent_config_done(config);
        return agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    }
    return AGENT_EXIT_OK;
}

static int import_file(struct agent_context *context, struct agent_store *store, const char *path,
                       json_t *files)
{
    const char *area = agent_context_value(context, &signals_import, "area");
    struct agent_batch batch;
    struct agent_error error = {0};
    int status = agent_grid_load(path, agent_context_value(context, &signals_import, "format"),
                                 area != NULL ? agent_area_of(area) : AGENT_AREA_NONE,
                                 context->now_s, &batch, &error);

    if (status < 0) {
        return agent_context_fail(context, AGENT_EXIT_INPUT, &error);
    }
    int added = agent_store_put_batch(store, &batch, &error);
    if (added >= 0 && !context->json) {
        fprintf(context->out, "%s: %s, %d new or revised values\n", path, batch.format, added);
    }
    if (added >= 0) {
        json_array_append_new(files, json_pack("{s:s,s:s,s:i}", "source", path, "format",
                                               batch.format, "points_added", added));
    }
    agent_batch_done(&batch);
    return added < 0 ? agent_context_fail(context, AGENT_EXIT_SYSTEM, &error) : AGENT_EXIT_OK;
}

static int run_import(struct agent_context *context)
{
    struct agent_config config;
    struct agent_store *store = NULL;
    int code = signals_open_store(context, agent_context_value(context, &signals_import, "store"),
                                  &config, &store);
    json_t *files = json_array();

    for (int index = 0; index < context->operand_count && code == AGENT_EXIT_OK; index++) {
        code = import_file(context, store, context->operands[index], files);
        agent_progress(context, "files", (uint64_t)index + 1, (uint64_t)context->operand_count);
    }
    if (store != NULL) {
        agent_store_close(store);
        agent_config_done(&config);
    }
    if (context->json && code == AGENT_EXIT_OK) {
        return signals_answer(context, json_pack("{s:o}", "files", files));
    }
    json_decref(files);
    return code;
}

/* "2026-04-02" (00:00 JST) or a time with a zone. */
static int read_moment(const char *text, const char *option, int64_t *time_s,
                       struct agent_error *error)
{
    struct agent_date date;

    if (text == NULL || agent_time_parse(text, time_s, NULL) == 0) {
        return 0;
    }
    if (agent_date_parse(text, &date, NULL) == 0) {
        *time_s = agent_date_start(date);
        return 0;
    }
    return agent_error_set(error, EINVAL,
                           "--%s: expected a day like 2026-04-02 or a time like "
                           "2026-04-02T13:00+09:00, found '%.40s'",
                           option, text);
}

static int read_query(struct agent_context *context, struct agent_query *query, double *stale_s,
                      struct agent_error *error)
{
    const struct agent_command *command = &signals_show;
    const char *area = agent_context_value(context, command, "area");
    const char *stage = agent_context_value(context, command, "stage");
    const char *stale = agent_context_value(context, command, "stale");
    const char *quantity = context->operands[0];

    *query = (struct agent_query){area != NULL ? agent_area_of(area) : AGENT_AREA_NONE,
                                  agent_quantity_of(quantity),
                                  stage != NULL ? agent_stage_of(stage) : AGENT_ACTUAL,
                                  agent_context_value(context, command, "place"),
                                  AGENT_TIME_MIN_S,
                                  AGENT_TIME_MAX_S,
                                  0};
    if (query->quantity == AGENT_QUANTITY_INVALID) {
        const char *names[AGENT_QUANTITY_COUNT];
        for (int index = 1; index < AGENT_QUANTITY_COUNT; index++) {
            names[index - 1] = agent_quantity_name((enum agent_quantity)index);
        }
        names[AGENT_QUANTITY_COUNT - 1] = NULL;
        const char *near = agent_text_nearest(quantity, names);
        return agent_error_set(error, EINVAL,
                               "unknown quantity '%.40s'%s%s%s "
                               "(vmm-agent-formats(7) lists them)",
                               quantity, near != NULL ? "; did you mean '" : "",
                               near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    if (stale != NULL) {
        char *end = NULL;
        *stale_s = strtod(stale, &end);
        if (*end != '\0' || !(*stale_s > 0 && *stale_s < 1e9)) {
            return agent_error_set(error, EINVAL, "--stale: expected seconds, found '%.30s'",
                                   stale);
        }
    }
    const char *from = agent_context_value(context, command, "from");
    const char *to = agent_context_value(context, command, "to");
    const char *as_of = agent_context_value(context, command, "as-of");
    if (read_moment(from, "from", &query->from_s, error) < 0 ||
        read_moment(to, "to", &query->to_s, error) < 0 ||
        read_moment(as_of, "as-of", &query->as_of_s, error) < 0) {
        return -EINVAL;
    }
    if (query->from_s >= query->to_s) {
        return agent_error_set(error, EINVAL, "--from is not before --to");
    }
    return 0;
}

static int show(struct agent_context *context, struct agent_store *store,
                const struct agent_query *query, double stale_s)
{
    struct agent_series series;
    struct agent_error error = {0};
    json_t *batches = NULL;

    if (agent_store_series(store, query, &series, &error) < 0 ||
        agent_store_provenance(store, query, &batches, &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    }
    agent_series_mark_stale(&series, context->now_s, stale_s);
    struct signals_tally tally = signals_tally(&series);
    int code = tally.points == 0 || tally.usable < tally.points ? AGENT_EXIT_NO : AGENT_EXIT_OK;
    if (context->json) {
        json_t *json = signals_series_json(&series, true);
        json_object_set(json, "provenance", batches);
        int printed = signals_answer(context, json);
        code = printed != AGENT_EXIT_OK ? printed : code;
    } else if (tally.points == 0) {
        fprintf(context->err, "vmm-agent: the store has no %s of %s for this time\n",
                agent_quantity_name(query->quantity), agent_area_name(query->area));
    } else {
        signals_print_series(context->out, &series);
        for (size_t index = 0; index < series.count; index++) {
            char start[AGENT_TIME_TEXT_SIZE];
            char quality[160];
            const struct agent_point *point = &series.points[index];
            fprintf(context->out, "    %s %6d s %14.6g %s\n",
                    agent_time_format(point->start_s, start), (int)point->length_s, point->value,
                    agent_quality_format(point->quality, quality, sizeof(quality)));
        }
    }
    json_decref(batches);
    agent_series_done(&series);
    return code;
}

static int run_show(struct agent_context *context)
{
    struct agent_config config;
    struct agent_store *store = NULL;
    struct agent_query query;
    struct agent_error error = {0};
    double stale_s = 0;

    if (read_query(context, &query, &stale_s, &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    int code = signals_open_store(context, agent_context_value(context, &signals_show, "store"),
                                  &config, &store);
    if (code == AGENT_EXIT_OK) {
        code = show(context, store, &query, stale_s);
        agent_store_close(store);
        agent_config_done(&config);
    }
    return code;
}

static const struct agent_option import_options[] = {
    {"store", "FILE", "@file", "store to use instead of the configured one"},
    {"format", "NAME", NULL, "do not recognise the format, take this one (signals formats)"},
    {"area", "AREA", SIGNALS_AREAS, "area, when neither content nor file name tells it"},
    {NULL, NULL, NULL, NULL},
};

const struct agent_command signals_import = {
    .name = "import",
    .summary = "read files and keep their values in the store",
    .operands = "FILE...",
    .operands_min = 1,
    .operands_max = -1,
    .detail = "Each file is kept as a whole or not at all. A value that differs from the one kept\n"
              "before stands beside it as a revision; a file imported twice adds nothing.",
    .options = import_options,
    .run = run_import,
};

static const struct agent_option show_options[] = {
    {"store", "FILE", "@file", "store to use instead of the configured one"},
    {"area", "AREA", SIGNALS_AREAS, "area; without it values of no area"},
    {"stage", "STAGE", "actual forecast plan", "actual when not given"},
    {"place", "NAME", NULL, "line, host or battery; hourly or 5min for the usage forecast"},
    {"from", "TIME", NULL, "first day or time"},
    {"to", "TIME", NULL, "day or time to stop before"},
    {"as-of", "TIME", NULL, "only what had been read by then"},
    {"stale", "SECONDS", NULL, "mark all values stale when the newest is older than this"},
    {NULL, NULL, NULL, NULL},
};

const struct agent_command signals_show = {
    .name = "show",
    .summary = "print a series from the store",
    .operands = "QUANTITY",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "Exit code 1: there are no values, or some of them are doubtful.",
    .options = show_options,
    .run = run_show,
};
