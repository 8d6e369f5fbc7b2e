/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_store.c - store check, export, import, retain
 * Owner: none.   Thread: main.   Time: context->now_s.   Units: days, records. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/signals.h"
#include "support/file.h"

static const struct agent_command store_check;
static const struct agent_command store_export;
static const struct agent_command store_import;
static const struct agent_command store_retain;

static int open_of(struct agent_context *context, const struct agent_command *command,
                   struct agent_config *config, struct agent_store **store)
{
    return signals_open_store(context, agent_context_value(context, command, "store"), config,
                              store);
}

/* Closes, and tells how it went: @count things of @what, or the error. */
static int finish(struct agent_context *context, struct agent_config *config,
                  struct agent_store *store, int64_t count, const char *what,
                  const struct agent_error *error)
{
    agent_store_close(store);
    agent_config_done(config);
    if (count < 0) {
        int code = count == -EBADMSG ? AGENT_EXIT_INPUT : AGENT_EXIT_SYSTEM;
        return agent_context_fail(context, code, error);
    }
    if (context->json) {
        return signals_answer(context, json_pack("{s:I}", what, (json_int_t)count));
    }
    fprintf(context->err, "%s: %lld\n", what, (long long)count);
    return AGENT_EXIT_OK;
}

static int run_check(struct agent_context *context)
{
    struct agent_config config;
    struct agent_store *store = NULL;
    struct agent_error error = {0};
    int code = open_of(context, &store_check, &config, &store);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    int status = agent_store_check(store, &error);
    agent_store_close(store);
    agent_config_done(&config);
    if (status < 0) {
        return agent_context_fail(context, AGENT_EXIT_NO, &error);
    }
    if (context->json) {
        return signals_answer(context, json_pack("{s:b}", "sound", 1));
    }
    fprintf(context->out, "the store is sound\n");
    return AGENT_EXIT_OK;
}

/* To a file beside the wanted one first: a broken export never replaces a good one. */
static int64_t export_to(struct agent_store *store, const char *path, struct agent_error *error)
{
    char beside[4096];

    if (snprintf(beside, sizeof(beside), "%s.part", path) >= (int)sizeof(beside)) {
        return agent_error_set(error, ENAMETOOLONG, "%.100s...: the name is too long", path);
    }
    FILE *out = fopen(beside, "we");
    if (out == NULL) {
        return agent_error_at(error, errno, (struct agent_place){path, 0, 0}, "cannot write: %s",
                              strerror(errno));
    }
    int64_t records = agent_store_export(store, out, error);
    if (records >= 0 && fsync(fileno(out)) < 0) {
        records = agent_error_at(error, errno, (struct agent_place){path, 0, 0}, "cannot write: %s",
                                 strerror(errno));
    }
    fclose(out);
    if (records >= 0 && rename(beside, path) < 0) {
        records = agent_error_at(error, errno, (struct agent_place){path, 0, 0}, "cannot write: %s",
                                 strerror(errno));
    }
    if (records < 0) {
        unlink(beside);
    }
    return records;
}

static int run_export(struct agent_context *context)
{
    struct agent_config config;
    struct agent_store *store = NULL;
    struct agent_error error = {0};
    int code = open_of(context, &store_export, &config, &store);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    const char *path = context->operand_count > 0 ? context->operands[0] : "-";
    bool standard = strcmp(path, "-") == 0;
    int64_t records =
        standard ? agent_store_export(store, context->out, &error) : export_to(store, path, &error);
    context->json = context->json && !standard; /* the export itself is the answer */
    return finish(context, &config, store, records, "records", &error);
}

static int run_import(struct agent_context *context)
{
    struct agent_config config;
    struct agent_store *store = NULL;
    struct agent_error error = {0};
    const char *path = context->operands[0];
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "re");

    if (in == NULL) {
        agent_error_at(&error, errno, (struct agent_place){path, 0, 0}, "cannot open: %s",
                       strerror(errno));
        return agent_context_fail(context, AGENT_EXIT_INPUT, &error);
    }
    int code = open_of(context, &store_import, &config, &store);
    if (code == AGENT_EXIT_OK) {
        int64_t added = agent_store_import(store, in, standard ? "standard input" : path, &error);
        code = finish(context, &config, store, added, "records_added", &error);
    }
    if (!standard) {
        fclose(in);
    }
    return code;
}

static int run_retain(struct agent_context *context)
{
    struct agent_config config;
    struct agent_store *store = NULL;
    struct agent_error error = {0};
    int code = open_of(context, &store_retain, &config, &store);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    int64_t deleted = agent_store_retain(store, &config.retention, context->now_s, &error);
    return finish(context, &config, store, deleted, "rows_deleted", &error);
}

static const struct agent_option options[] = {
    {"store", "FILE", "@file", "store to use instead of the configured one"},
    {NULL, NULL, NULL, NULL},
};

static const struct agent_command store_check = {
    .name = "check",
    .summary = "is the store sound, and is every batch whole?",
    .options = options,
    .run = run_check,
};

static const struct agent_command store_export = {
    .name = "export",
    .summary = "write everything as JSON lines",
    .operands = "[FILE]",
    .operands_max = 1,
    .detail = "Without FILE, or with -, to standard output.",
    .options = options,
    .run = run_export,
};

static const struct agent_command store_import = {
    .name = "import",
    .summary = "add what an export holds, all or nothing",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "FILE may be - for standard input. What is there already is skipped.",
    .options = options,
    .run = run_import,
};

static const struct agent_command store_retain = {
    .name = "retention",
    .summary = "delete what is older than the configured rules",
    .detail = "The rules are store.retention in the configuration: signals_days, revisions_days,\n"
              "forecasts_days, plans_days; 0 or absent keeps for ever.",
    .options = options,
    .run = run_retain,
};

static const struct agent_command *const children[] = {
    &store_check, &store_export, &store_import, &store_retain, NULL,
};

const struct agent_command agent_cmd_store = {
    .name = "store",
    .summary = "check, export, import and prune what is kept",
    .children = children,
};
