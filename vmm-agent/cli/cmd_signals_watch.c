/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_signals_watch.c - signals watch: the configured sources into the store until told to stop
 * Owner: none.   Thread: main.
 * Time:  the real clock, since it waits for it.   Units: seconds. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/signals.h"
#include "support/slot.h"

#define IDLE_MAX_S 3600

/* What is known of one source, to tell once when it has gone stale. */
struct follow {
    struct watch *watch;
    int64_t newest_s; /* end of the newest value it brought, 0 = none yet */
    bool told;
};

struct watch {
    struct agent_context *context;
    struct agent_config config;
    struct agent_store *store;
    struct agent_source *sources[AGENT_CONFIG_SOURCES_MAX];
    struct follow follows[AGENT_CONFIG_SOURCES_MAX];
    size_t count;
    uint64_t problems;
    bool broken; /* the store failed */
};

/* With --json one line per event, as they come: the answer of a long-running command. */
static void event(struct watch *watch, json_t *record)
{
    if (record != NULL && json_dumpf(record, watch->context->out, JSON_COMPACT) == 0) {
        fputc('\n', watch->context->out);
        fflush(watch->context->out);
    }
    json_decref(record);
}

static void note_newest(struct follow *follow, const struct agent_batch *batch)
{
    for (size_t at = 0; at < batch->count; at++) {
        const struct agent_series *series = &batch->series[at];
        const struct agent_point *last = &series->points[series->count - 1];
        int64_t end_s = last->start_s + last->length_s;
        follow->newest_s = end_s > follow->newest_s ? end_s : follow->newest_s;
    }
    follow->told = false;
}

static int keep(void *opaque, const struct agent_batch *batch)
{
    struct follow *follow = opaque;
    struct watch *watch = follow->watch;
    struct agent_error error = {0};
    int added = agent_store_put_batch(watch->store, batch, &error);

    if (added < 0) {
        watch->broken = true;
        watch->context->json = false;
        agent_context_fail(watch->context, AGENT_EXIT_SYSTEM, &error);
        return added;
    }
    note_newest(follow, batch);
    if (watch->context->json) {
        event(watch, json_pack("{s:s,s:s,s:i}", "source", batch->source, "format", batch->format,
                               "points_added", added));
    } else if (!watch->context->quiet) {
        fprintf(watch->context->out, "%s: %s, %d new or revised values\n", batch->source,
                batch->format, added);
        fflush(watch->context->out);
    }
    return 0;
}

static void problem(void *opaque, const struct agent_error *error)
{
    struct watch *watch = ((struct follow *)opaque)->watch;
    char text[AGENT_ERROR_TEXT_MAX + AGENT_ERROR_FILE_MAX + 32];

    watch->problems++;
    agent_error_format(error, text, sizeof(text));
    fprintf(watch->context->err, "vmm-agent: %s\n", text);
    if (watch->context->json) {
        event(watch,
              json_pack("{s:{s:s,s:i,s:i,s:s}}", "error", "file", error->file, "line",
                        (int)error->line, "column", (int)error->column, "text", error->text));
    }
}

static int open_sources(struct watch *watch, struct agent_error *error)
{
    for (size_t index = 0; index < watch->config.source_count; index++) {
        int status =
            agent_source_open(&watch->config.sources[index], &watch->sources[watch->count], error);
        if (status < 0) {
            return status;
        }
        watch->follows[watch->count].watch = watch;
        watch->count++;
    }
    return watch->count > 0 ? 0
                            : agent_error_set(error, EINVAL,
                                              "signals watch: no sources are "
                                              "configured; name a file with --config FILE");
}

static int64_t now(void)
{
    return (int64_t)time(NULL);
}

/* Tells once when the newest value is older than the source may be. */
static void check_stale(struct follow *follow, const struct agent_source_config *config,
                        int64_t now_s)
{
    struct agent_error error = {0};
    int64_t age_s = now_s - follow->newest_s;

    if (!(config->stale_s > 0) || follow->told || (double)age_s <= config->stale_s) {
        return;
    }
    follow->told = true;
    if (follow->newest_s == 0) {
        agent_error_set(&error, ESTALE, "source %s: has brought nothing yet", config->name);
    } else {
        agent_error_set(&error, ESTALE,
                        "source %s: its newest value is %lld s old, the limit is "
                        "%.0f s",
                        config->name, (long long)age_s, config->stale_s);
    }
    problem(follow, &error);
}

/* Polls what is due or readable. Return: when to look next. */
static int64_t poll_sources(struct watch *watch, const struct pollfd *fds)
{
    int64_t next_s = INT64_MAX;

    for (size_t index = 0; index < watch->count && !watch->broken; index++) {
        struct agent_source *source = watch->sources[index];
        int64_t now_s = now();
        if (agent_source_due_s(source) <= now_s || fds[index].revents != 0) {
            struct agent_sink sink = {keep, problem, &watch->follows[index]};
            agent_source_poll(source, now_s, &sink);
        }
        const struct agent_source_config *config = agent_source_config_of(source);
        check_stale(&watch->follows[index], config, now_s);
        int64_t due_s = agent_source_due_s(source);
        if (config->stale_s > 0 && !watch->follows[index].told) {
            int64_t stale_at_s = watch->follows[index].newest_s + (int64_t)config->stale_s + 1;
            due_s = stale_at_s < due_s ? stale_at_s : due_s;
        }
        next_s = due_s < next_s ? due_s : next_s;
    }
    return next_s;
}

static int watch_loop(struct watch *watch, int stop_fd, int64_t end_s, bool once)
{
    struct pollfd fds[AGENT_CONFIG_SOURCES_MAX + 1];
    bool stopped = false;

    for (size_t index = 0; index < watch->count; index++) {
        fds[index] = (struct pollfd){agent_source_fd(watch->sources[index]), POLLIN, 0};
    }
    fds[watch->count] = (struct pollfd){stop_fd, POLLIN, 0};
    while (!stopped && !watch->broken) {
        int64_t next_s = poll_sources(watch, fds);
        int64_t now_s = now();
        if (once || now_s >= end_s) {
            break;
        }
        next_s = next_s > end_s ? end_s : next_s;
        int64_t wait_s = next_s - now_s;
        wait_s = wait_s < 0 ? 0 : wait_s > IDLE_MAX_S ? IDLE_MAX_S : wait_s;
        int ready = poll(fds, watch->count + 1, (int)wait_s * 1000);
        stopped = ready > 0 && fds[watch->count].revents != 0;
    }
    return watch->broken ? AGENT_EXIT_SYSTEM : AGENT_EXIT_OK;
}

static int open_stop(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run_watch(struct agent_context *context)
{
    struct watch watch = {.context = context};
    struct agent_error error = {0};
    const char *limit = agent_context_value(context, &signals_watch, "for");
    bool once = agent_context_value(context, &signals_watch, "once") != NULL;
    char *rest = NULL;
    long seconds = limit != NULL ? strtol(limit, &rest, 10) : 0;

    if (limit != NULL && (*rest != '\0' || seconds < 1 || seconds > 31536000)) {
        agent_error_set(&error, EINVAL, "--for: expected seconds 1 to 31536000, found '%.30s'",
                        limit);
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    int code = signals_open_store(context, agent_context_value(context, &signals_watch, "store"),
                                  &watch.config, &watch.store);
    if (code != AGENT_EXIT_OK) {
        return code;
    }
    int stop_fd = open_stop();
    if (open_sources(&watch, &error) < 0) {
        code = agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    } else {
        code = watch_loop(&watch, stop_fd, limit != NULL ? now() + seconds : INT64_MAX, once);
    }
    for (size_t index = 0; index < watch.count; index++) {
        agent_source_close(watch.sources[index]);
    }
    if (stop_fd >= 0) {
        close(stop_fd);
    }
    agent_store_close(watch.store);
    agent_config_done(&watch.config);
    return code == AGENT_EXIT_OK && once && watch.problems > 0 ? AGENT_EXIT_INPUT : code;
}

static const struct agent_option watch_options[] = {
    {"store", "FILE", "@file", "store to use instead of the configured one"},
    {"once", NULL, NULL, "look at every source once and stop; exit code 3 when one failed"},
    {"for", "SECONDS", NULL, "stop after this time"},
    {NULL, NULL, NULL, NULL},
};

const struct agent_command signals_watch = {
    .name = "watch",
    .summary = "follow the configured sources and keep what they bring",
    .operands_max = 0,
    .detail = "Runs until SIGINT or SIGTERM. A source that fails is told and tried again later,\n"
              "less and less often; what it brought last stays. With --json every event is a line.",
    .options = watch_options,
    .run = run_watch,
};
