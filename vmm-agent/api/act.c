/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/act.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "support/log.h"
#include "support/notify.h"

struct agent_api_run {
    struct agent_loop *loop;
    struct agent_act *act;
    struct agent_api *api;
    struct agent_watch *watch;
    struct agent_timer alive; /* systemd's watchdog */
    int64_t alive_ns;
};

static json_t *snapshot(void *opaque)
{
    return agent_act_snapshot(opaque);
}

static int command(void *opaque, const char *verb, json_t *args, json_t **reply,
                   struct agent_error *error)
{
    return agent_act_command(opaque, verb, args, reply, error);
}

static void turn(void *opaque, uint32_t events)
{
    struct agent_api_run *run = opaque;

    (void)events;
    agent_api_turn(run->api, agent_loop_now_ns(run->loop));
}

/* How loud an event is in the log. Progress comes many times a second and is for streams only. */
static enum agent_log_level level_of(const char *type, const json_t *event)
{
    const char *phase = json_string_value(json_object_get(event, "phase"));
    const char *state = json_string_value(json_object_get(event, "state"));

    if (strcmp(type, "migration.progress") == 0) {
        return AGENT_LOG_DEBUG;
    }
    if (strcmp(type, "alert") == 0 || strcmp(type, "plan.problem") == 0 ||
        (phase != NULL && strcmp(phase, "failed") == 0) ||
        (state != NULL && strcmp(state, "failed") == 0)) {
        return AGENT_LOG_WARNING;
    }
    if (strcmp(type, "migration.stage") == 0) {
        return AGENT_LOG_INFO;
    }
    return AGENT_LOG_NOTICE;
}

static void log_event(const char *type, const json_t *event)
{
    enum agent_log_level level = level_of(type, event);
    const char *keys[] = {"text", "reason", "error", "note"};
    const char *vm = json_string_value(json_object_get(event, "vm"));
    const char *words = NULL;

    if (!agent_log_wants(level)) {
        return;
    }
    for (size_t index = 0; index < sizeof(keys) / sizeof(keys[0]) && words == NULL; index++) {
        words = json_string_value(json_object_get(event, keys[index]));
        words = words != NULL && words[0] != '\0' ? words : NULL;
    }
    const char *stage = json_string_value(json_object_get(event, "stage"));
    agent_log(level, type, json_deep_copy(event), "%s%s%s%s%s%s%s", type, vm != NULL ? " " : "",
              vm != NULL ? vm : "", stage != NULL ? " " : "", stage != NULL ? stage : "",
              words != NULL ? ": " : "", words != NULL ? words : "");
}

static void tell(void *opaque, const json_t *event)
{
    struct agent_api_run *run = opaque;
    const char *type = json_string_value(json_object_get(event, "event"));

    if (type == NULL) {
        return;
    }
    log_event(type, event);
    agent_api_event(run->api, type, event);
    if (strcmp(type, "agent.ready") == 0) {
        agent_notify("READY=1\nSTATUS=ready");
    }
}

static void alive(void *opaque)
{
    struct agent_api_run *run = opaque;

    agent_notify("WATCHDOG=1");
    agent_timer_after(&run->alive, run->alive_ns);
}

int agent_api_start(struct agent_loop *loop, struct agent_act *act,
                    const struct agent_api_config *config, struct agent_api_run **out,
                    struct agent_error *error)
{
    struct agent_api_source source = {.opaque = act, .snapshot = snapshot, .command = command};
    struct agent_api_run *run = calloc(1, sizeof(*run));

    if (run == NULL) {
        return agent_error_set(error, ENOMEM, "api: no memory");
    }
    run->loop = loop;
    run->act = act;
    agent_timer_init(&run->alive, loop, alive, run);
    int status = agent_api_open(config, &source, agent_loop_now_ns(loop), &run->api, error);
    if (status == 0) {
        status = agent_loop_watch(loop, agent_api_fd(run->api), EPOLLIN, turn, run, &run->watch);
    }
    if (status == 0) {
        status = agent_act_listen(act, tell, run);
    }
    if (status < 0) {
        agent_api_stop(run);
        return agent_error_set(error, status, "api: %s", strerror(-status));
    }
    run->alive_ns = agent_notify_watchdog_ns() / 3;
    if (run->alive_ns > 0) {
        alive(run);
    }
    *out = run;
    return 0;
}

void agent_api_stop(struct agent_api_run *run)
{
    if (run == NULL) {
        return;
    }
    agent_notify("STOPPING=1");
    agent_act_unlisten(run->act, run);
    agent_timer_unset(&run->alive);
    agent_loop_unwatch(run->watch);
    agent_api_close(run->api);
    free(run);
}
