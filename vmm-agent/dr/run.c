/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dr/world_act.h"

#define SETTLE_MS 1500 /* after the agent knows its guests, until their power is known, too */
#define KEPT_AS   "dr/events"

struct agent_dr_run {
    struct agent_act *act;
    struct agent_timer ready;
    struct agent_dr_config config;
    struct agent_dr_act world;
    struct agent_dr *dr;
    bool listening;
};

static void tell(void *opaque, const char *type, json_t *body)
{
    struct agent_dr_run *run = opaque;

    agent_act_tell(run->act, type, body);
}

static void alert(void *opaque, const char *key, const char *text)
{
    struct agent_dr_run *run = opaque;

    if (text != NULL) {
        agent_act_alert(run->act, key, NULL, text, "see demand response in the state document");
    } else {
        agent_act_alert_clear(run->act, key);
    }
}

static void keep(void *opaque, const json_t *events)
{
    struct agent_dr_run *run = opaque;
    struct agent_error error = {0};
    int64_t now_s = agent_clock_now_s(agent_loop_clock(agent_act_loop(run->act)));

    if (agent_store_put_document(agent_act_store(run->act), AGENT_DOCUMENT_ACTION, now_s, KEPT_AS,
                                 events, NULL, &error) < 0) {
        agent_act_alert(run->act, "dr/keep", NULL, error.text, "is the disk full?");
    }
}

static const struct agent_dr_hooks hooks = {.tell = tell, .alert = alert, .keep = keep};

/* Guests and their power are known: take up what an earlier run was asked, and answer. */
static void on_ready(void *opaque)
{
    struct agent_dr_run *run = opaque;
    json_t *kept = NULL;

    if (agent_store_latest_document(agent_act_store(run->act), AGENT_DOCUMENT_ACTION, KEPT_AS, 0,
                                    &kept, NULL) > 0) {
        agent_dr_restore(run->dr, kept);
        json_decref(kept);
    }
    agent_dr_go(run->dr);
}

static void on_event(void *opaque, const json_t *event)
{
    struct agent_dr_run *run = opaque;
    const char *type = json_string_value(json_object_get(event, "event"));

    if (type != NULL && strcmp(type, "agent.ready") == 0) {
        agent_timer_after(&run->ready, SETTLE_MS * AGENT_NS_PER_MS);
    }
    if (agent_dr_act_event(&run->world, event)) {
        agent_dr_changed(run->dr);
    }
}

static int trigger(void *opaque, const json_t *args, json_t **reply, struct agent_error *error)
{
    return agent_dr_trigger(((struct agent_dr_run *)opaque)->dr, args, reply, error);
}

static int cancel(void *opaque, const json_t *args, json_t **reply, struct agent_error *error)
{
    return agent_dr_cancel(((struct agent_dr_run *)opaque)->dr, args, reply, error);
}

static int opt_out(void *opaque, const json_t *args, json_t **reply, struct agent_error *error)
{
    return agent_dr_opt_out(((struct agent_dr_run *)opaque)->dr, args, reply, error);
}

static json_t *state(void *opaque)
{
    return agent_dr_state(((struct agent_dr_run *)opaque)->dr);
}

static int open_all(struct agent_dr_run *run, struct agent_loop *loop, struct agent_error *error)
{
    static const struct {
        const char *name;
        agent_act_verb fn;
    } verbs[] = {{"dr-trigger", trigger}, {"dr-cancel", cancel}, {"dr-opt-out", opt_out}};
    int status = agent_dr_act_open(&run->world, run->act, &run->config, error);

    status = status < 0 ? status
                        : agent_dr_new(loop, &run->config.settings, &agent_dr_act_world,
                                       &run->world, &run->dr, error);
    if (status < 0) {
        return status;
    }
    run->world.dr = run->dr;
    agent_dr_hook(run->dr, &hooks, run);
    agent_dr_wait(run->dr);
    agent_timer_init(&run->ready, loop, on_ready, run);
    for (size_t index = 0; status == 0 && index < sizeof(verbs) / sizeof(verbs[0]); index++) {
        status = agent_act_add_verb(run->act, verbs[index].name, verbs[index].fn, run);
    }
    status = status < 0 ? status : agent_act_add_section(run->act, "dr", state, run);
    status = status < 0 ? status : agent_act_listen(run->act, on_event, run);
    run->listening = status == 0;
    if (status < 0) {
        return agent_error_set(error, -status, "demand response: %s", strerror(-status));
    }
    return agent_dr_start(run->dr, error);
}

int agent_dr_run_start(struct agent_loop *loop, struct agent_act *act,
                       const struct agent_yaml *root, struct agent_dr_run **out,
                       struct agent_error *error)
{
    struct agent_dr_run *run = calloc(1, sizeof(*run));

    *out = NULL;
    if (run == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for demand response");
    }
    run->act = act;
    int status = agent_dr_config_read(root, agent_act_inventory(act), &run->config, error);
    if (status == 0 && run->config.settings.site_count > 0) {
        status = open_all(run, loop, error);
    }
    if (status < 0 || run->config.settings.site_count == 0) {
        agent_dr_run_stop(run);
        return status;
    }
    *out = run;
    return 0;
}

void agent_dr_run_stop(struct agent_dr_run *run)
{
    if (run != NULL) {
        if (run->listening) {
            agent_act_unlisten(run->act, run);
        }
        if (run->dr != NULL) {
            agent_timer_unset(&run->ready);
        }
        agent_dr_free(run->dr);
        agent_dr_act_close(&run->world);
        agent_dr_config_done(&run->config);
        free(run);
    }
}

struct agent_dr *agent_dr_run_dr(struct agent_dr_run *run)
{
    return run->dr;
}
