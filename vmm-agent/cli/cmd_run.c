/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_run.c - "vmm-agent run": everything put together and left to run
 * Owner: the process.   Thread: main, with the loop; workers as act/loop.h says.
 * Time:  agent time is the wall clock, or --start and --scale.   Units: s. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "act/act.h"
#include "act/qmp.h"
#include "act/replan.h"
#include "api/act.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/run_signals.h"
#include "dr/run.h"
#include "support/log.h"
#include "support/slot.h"

struct run {
    struct agent_context *context;
    struct agent_config config;
    struct agent_clock clock;
    struct agent_loop *loop;
    struct agent_store *store;
    char store_path[512];
    struct agent_inventory *inventory;
    struct agent_act_settings act_settings;
    struct agent_replan_settings plan_settings;
    struct agent_api_config api_config;
    struct agent_act *act;
    struct agent_api_run *api;
    struct agent_dr_run *dr;
    struct run_signals *signals;
    struct agent_timer end;
    FILE *record;
    int64_t planned_slot; /* in which new signals have led to a plan already */
    int lock_fd;
};

static const char *option(const struct run *run, const char *name)
{
    return agent_context_value(run->context, &agent_cmd_run, name);
}

/* ---- signals and plans --------------------------------------------------------------------- */

static void on_signals(void *opaque, const struct run_signals_news *news)
{
    struct run *run = opaque;
    int64_t slot = agent_slot_of(agent_clock_now_s(&run->clock));
    json_t *reply = NULL;

    if (news->problem[0] != '\0') {
        agent_act_tell(run->act, "signals.problem",
                       json_pack("{s:s, s:s}", "source", news->source, "text", news->problem));
        return;
    }
    agent_act_tell(run->act, "signals.new",
                   json_pack("{s:s, s:s, s:i}", "source", news->source, "format", news->format,
                             "points", news->points_added));
    if (run->planned_slot != slot) { /* once per slot beside the plan of its beginning */
        run->planned_slot = slot;
        agent_act_command(run->act, "replan", NULL, &reply, NULL);
        json_decref(reply);
    }
}

static int make_plan(void *opaque, const struct agent_running *running, const json_t *before,
                     struct agent_replan_answer *out, struct agent_error *error)
{
    const struct run *run = opaque;
    struct agent_replan_ask ask = {.inventory = run->inventory,
                                   .running = running,
                                   .settings = &run->plan_settings,
                                   .store_path = run->store_path,
                                   .before = before,
                                   .instance_too = false};

    return agent_replan_run(&ask, out, error);
}

/* ---- options ------------------------------------------------------------------------------ */

static int read_number(const struct run *run, const char *name, double fallback, double *out,
                       struct agent_error *error)
{
    const char *text = option(run, name);
    char *rest = NULL;

    *out = fallback;
    if (text == NULL) {
        return 0;
    }
    *out = strtod(text, &rest);
    return rest != text && *rest == '\0' && isfinite(*out)
               ? 0
               : agent_error_set(error, EINVAL, "--%s: expected a number, found '%.40s'", name,
                                 text);
}

static int set_clock(struct run *run, struct agent_error *error)
{
    const char *start = option(run, "start");
    int64_t start_s = run->context->now_s;
    double scale = 1;
    int status = read_number(run, "scale", 1, &scale, error);

    if (status == 0 && start != NULL) {
        status = agent_time_parse(start, &start_s, error);
    }
    if (status < 0) {
        return status;
    }
    if (start == NULL && !(scale < 1 || scale > 1)) {
        agent_clock_real(&run->clock);
        return 0;
    }
    return agent_clock_scaled(&run->clock, (double)start_s, scale, error);
}

static int open_log(struct run *run, struct agent_error *error)
{
    const char *form_name = option(run, "log-form");
    const char *level_name = option(run, "log-level");
    enum agent_log_form form = AGENT_LOG_AUTO;
    enum agent_log_level level = run->context->quiet ? AGENT_LOG_WARNING : AGENT_LOG_NOTICE;
    int status = form_name != NULL ? agent_log_form_of(form_name, &form, error) : 0;

    if (status == 0 && level_name != NULL) {
        status = agent_log_level_of(level_name, &level, error);
    }
    return status < 0 ? status
                      : agent_log_open(form, level, STDERR_FILENO, AGENT_LOG_JOURNAL_SOCKET, error);
}

static int read_sections(struct run *run, struct agent_error *error)
{
    const struct agent_yaml *root = run->config.root;
    int status = root == NULL ? agent_error_set(error, EINVAL,
                                                "run: name the configuration with "
                                                "--config FILE (docs/act.md has an example)")
                              : 0;

    status = status < 0 ? status : agent_inventory_read(root, &run->inventory, error);
    status = status < 0 ? status : agent_act_settings_read(root, &run->act_settings, error);
    status = status < 0 ? status : agent_replan_settings_read(root, &run->plan_settings, error);
    agent_api_config_init(&run->api_config);
    return status < 0
               ? status
               : agent_api_config_read(agent_yaml_child(root, "api"), &run->api_config, error);
}

/* Two agents on one store would both move: the second one is turned away. */
static int take_lock(struct run *run, struct agent_error *error)
{
    char path[544];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    snprintf(path, sizeof(path), "%s.lock", run->store_path);
    run->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (run->lock_fd < 0) {
        return agent_error_set(error, errno, "%s: %s", path, strerror(errno));
    }
    if (fcntl(run->lock_fd, F_OFD_SETLK, &lock) < 0) {
        return agent_error_set(error, EBUSY, "another agent runs with the store %s",
                               run->store_path);
    }
    return 0;
}

static int open_record(struct run *run, struct agent_error *error)
{
    const char *path = option(run, "record-qmp");

    if (path == NULL) {
        return 0;
    }
    run->record = fopen(path, "ae");
    if (run->record == NULL) {
        return agent_error_set(error, errno, "%s: %s", path, strerror(errno));
    }
    agent_qmp_record(run->record);
    return 0;
}

/* ---- putting together --------------------------------------------------------------------- */

static int build(struct run *run, struct agent_error *error)
{
    const char *path = option(run, "store");

    snprintf(run->store_path, sizeof(run->store_path), "%s",
             path != NULL ? path : run->config.store_path);
    int status = take_lock(run, error);
    status = status < 0 ? status : agent_loop_new(&run->clock, &run->loop, error);
    status = status < 0 ? status : agent_loop_stop_on_signals(run->loop, error);
    status = status < 0 ? status : agent_store_open(run->store_path, &run->store, error);
    status = status < 0 ? status
                        : agent_act_new(run->loop, run->store, run->inventory, &run->act_settings,
                                        &run->act, error);
    if (status < 0) {
        return status;
    }
    if (option(run, "no-plan") == NULL) {
        agent_act_set_planner(run->act, make_plan, run);
    }
    status = agent_dr_run_start(run->loop, run->act, run->config.root, &run->dr, error);
    status = status < 0 ? status
                        : agent_api_start(run->loop, run->act, &run->api_config, &run->api, error);
    status = status < 0 ? status
                        : run_signals_start(run->loop, &run->config, run->store_path, on_signals,
                                            run, &run->signals, error);
    return status < 0 ? status : agent_act_start(run->act, error);
}

static void take_apart(struct run *run)
{
    run_signals_stop(run->signals);
    agent_api_stop(run->api);
    agent_dr_run_stop(run->dr);
    if (run->loop != NULL) {
        agent_timer_unset(&run->end);
        agent_loop_drain(run->loop); /* a plan under way ends, its answer is taken */
    }
    agent_act_free(run->act);
    agent_loop_free(run->loop);
    agent_inventory_free(run->inventory);
    agent_store_close(run->store);
    agent_config_done(&run->config);
    agent_qmp_record(NULL);
    if (run->record != NULL) {
        fclose(run->record);
    }
    if (run->lock_fd >= 0) {
        close(run->lock_fd);
    }
    agent_log_close();
}

static void time_is_up(void *opaque)
{
    agent_loop_stop(((struct run *)opaque)->loop);
}

static int serve(struct run *run, struct agent_error *error)
{
    double for_s = 0;
    int status = read_number(run, "for", 0, &for_s, error);

    status = status < 0 ? status : build(run, error);
    if (status < 0) {
        return status;
    }
    agent_timer_init(&run->end, run->loop, time_is_up, run);
    if (for_s > 0) {
        agent_timer_after(&run->end, (int64_t)(for_s * (double)AGENT_NS_PER_S));
    }
    status = agent_loop_run(run->loop);
    return status < 0 ? agent_error_set(error, status, "event loop: %s", strerror(-status)) : 0;
}

static int run_agent(struct agent_context *context)
{
    struct run *run = calloc(1, sizeof(*run));
    struct agent_error error = {0};
    int code = AGENT_EXIT_OK;

    if (run == NULL) {
        agent_error_set(&error, ENOMEM, "no memory");
        return agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    }
    run->context = context;
    run->lock_fd = -1;
    run->planned_slot = -1;
    int status = agent_config_load(context->config_path, &run->config, &error);
    status = status < 0 ? status : read_sections(run, &error);
    status = status < 0 ? status : set_clock(run, &error);
    status = status < 0 ? status : open_log(run, &error);
    status = status < 0 ? status : open_record(run, &error);
    if (status < 0) {
        code = agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    } else if (serve(run, &error) < 0) {
        code = agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    }
    take_apart(run);
    free(run);
    return code;
}

static const struct agent_option options[] = {
    {"store", "FILE", "@file", "store to use instead of the configured one"},
    {"start", "TIME", NULL, "agent time to begin at, such as 2026-04-02T00:00:00+09:00"},
    {"scale", "NUMBER", NULL, "seconds of agent time per second: 480 makes a day of three minutes"},
    {"for", "SECONDS", NULL, "stop after this (real) time; guests go on"},
    {"no-plan", NULL, NULL, "make no plans: only commands, drains and demand response move"},
    {"log-level", "LEVEL", "error warning notice info debug", "what is worth a line"},
    {"log-form", "FORM", "auto text json journal", "how lines look"},
    {"record-qmp", "FILE", "@file", "append every QMP message to this file, as JSON lines"},
    {NULL, NULL, NULL, NULL},
};

const struct agent_command agent_cmd_run = {
    .name = "run",
    .summary = "run the agent: read signals, plan every slot, move guests by itself",
    .operands_max = 0,
    .detail =
        "Follows the sources, plans at the beginning of every half-hour slot, and makes the "
        "moves that the plan wants. Ends on SIGINT or SIGTERM; guests and migrations under way "
        "go on, and the next start finds them. It may be killed at any moment: what was meant "
        "is in the store before it is done, what is true is asked of QEMU. docs/act.md tells "
        "the rest.",
    .options = options,
    .run = run_agent,
};
