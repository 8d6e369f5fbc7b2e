/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands.c - what people and programs ask: docs/agent-state.md
 * Owner, thread, time, units: private.h. */
#include <errno.h>
#include <string.h>

#include "act/private.h"
#include "support/json.h"

static int vm_of(const struct agent_act *act, const json_t *args, int *vm,
                 struct agent_error *error)
{
    const char *name = NULL;
    int status = agent_json_text(args, "arguments", "vm", &name, error);

    if (status < 0) {
        return -EINVAL;
    }
    *vm = agent_inventory_vm_of(act->inventory, name);
    return *vm >= 0 ? 0 : agent_error_set(error, ENOENT, "there is no vm '%.60s'", name);
}

static int host_of(const struct agent_act *act, const json_t *args, int *host,
                   struct agent_error *error)
{
    const char *name = NULL;
    int status = agent_json_text(args, "arguments", "host", &name, error);

    if (status < 0) {
        return -EINVAL;
    }
    *host = agent_inventory_host_of(act->inventory, name);
    return *host >= 0 ? 0 : agent_error_set(error, ENOENT, "there is no host '%.60s'", name);
}

static int destination(const struct agent_act *act, const json_t *args, int vm, int *host,
                       struct agent_error *error)
{
    const char *name = json_string_value(json_object_get(args, "site"));

    if (json_object_get(args, "host") != NULL) {
        return host_of(act, args, host, error);
    }
    if (name == NULL) {
        return agent_error_set(error, EINVAL, "migrate: name a site or a host");
    }
    int site = agent_inventory_site_of(act->inventory, name);
    if (site < 0) {
        return agent_error_set(error, ENOENT, "there is no site '%.60s'", name);
    }
    if (act->inventory->sites[site].paper) {
        return agent_error_set(error, EPERM, "site %s exists on paper only", name);
    }
    if (act->machines[vm].owner != NULL && act_site_of(&act->machines[vm]) == site) {
        return agent_error_set(error, EALREADY, "%s runs at site %s already",
                               act->inventory->vms[vm].name, name);
    }
    *host = agent_act_best_host(act, vm, site, error);
    return *host >= 0 ? 0 : -EPERM;
}

static int cmd_migrate(struct agent_act *act, const json_t *args, json_t **reply,
                       struct agent_error *error)
{
    static const char *const keys[] = {"vm", "site", "host", "urgent", NULL};
    int vm = -1;
    int host = -1;
    int status = agent_json_only(args, "arguments", keys, error);

    status = status < 0 ? status : vm_of(act, args, &vm, error);
    status = status < 0 ? status : destination(act, args, vm, &host, error);
    if (status == 0 && !act_room_at(act, vm, host, error)) {
        status = -EPERM;
    }
    status = status < 0 ? status
                        : agent_act_move(act, vm, host, "a person asked for it", 0, false, error);
    if (status == 0) {
        struct move *move = act->machines[vm].move;
        move->urgent = json_is_true(json_object_get(args, "urgent"));
        *reply = json_pack("{s:I}", "migration", (json_int_t)move->id);
    }
    return status;
}

static int cmd_cancel(struct agent_act *act, const json_t *args, json_t **reply,
                      struct agent_error *error)
{
    static const char *const keys[] = {"vm", "migration", NULL};
    const json_t *id = json_object_get(args, "migration");
    struct move *move = NULL;
    int vm = -1;
    int status = agent_json_only(args, "arguments", keys, error);

    if (status == 0 && json_is_integer(id)) {
        move = move_find(act, (int64_t)json_integer_value(id));
    } else if (status == 0 && (status = vm_of(act, args, &vm, error)) == 0) {
        move = act->machines[vm].move;
    }
    if (status == 0 && move == NULL) {
        status = agent_error_set(error, ENOENT, "no migration is open there");
    }
    status = status < 0 ? status : move_cancel(move, error);
    if (status == 0) {
        *reply = json_object();
    }
    return status;
}

static int set_drained(struct agent_act *act, const json_t *args, bool drained, int *host,
                       struct agent_error *error)
{
    static const char *const keys[] = {"host", NULL};
    char key[96];
    int status = agent_json_only(args, "arguments", keys, error);

    status = status < 0 ? status : host_of(act, args, host, error);
    if (status < 0) {
        return status;
    }
    snprintf(key, sizeof(key), "drained/%s", act->inventory->hosts[*host].name);
    status = agent_journal_set(act->journal, key, drained ? "yes" : "no", error);
    if (status == 0) {
        act->hosts[*host].drained = drained;
        agent_act_tell(act, drained ? "host.drained" : "host.undrained",
                       json_pack("{s:s}", "host", act->inventory->hosts[*host].name));
    }
    return status;
}

static int cmd_drain(struct agent_act *act, const json_t *args, json_t **reply,
                     struct agent_error *error)
{
    int host = -1;
    int moves = 0;
    int left = 0;
    int status = set_drained(act, args, true, &host, error);

    if (status == 0) {
        act_drain_host(act, host, &moves);
        for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
            const struct machine *machine = &act->machines[vm];
            left += machine->owner != NULL && machine->owner->host == host && machine->move == NULL
                        ? 1
                        : 0;
        }
        *reply = json_pack("{s:i, s:i}", "moves", moves, "staying", left);
    }
    return status;
}

static int cmd_undrain(struct agent_act *act, const json_t *args, json_t **reply,
                       struct agent_error *error)
{
    int host = -1;
    int status = set_drained(act, args, false, &host, error);

    for (struct move *move = act->moves, *next = NULL; status == 0 && move != NULL; move = next) {
        next = move->next;
        if (move->origin == MOVE_BY_DRAIN && move->from == host && move->state == MOVE_QUEUED) {
            snprintf(move->error, sizeof(move->error), "the host is not drained any more");
            move_cancel(move, NULL);
            next = act->moves; /* the list has changed */
        }
    }
    if (status == 0) {
        *reply = json_object();
    }
    return status;
}

static int set_paused(struct agent_act *act, bool paused, json_t **reply, struct agent_error *error)
{
    int status = agent_journal_set(act->journal, "paused", paused ? "yes" : "no", error);

    if (status == 0) {
        act->paused = paused;
        agent_act_tell(act, paused ? "agent.paused" : "agent.resumed", NULL);
        *reply = json_object();
        act_kick(act);
    }
    return status;
}

static int pause_or_resume(struct agent_act *act, const json_t *args, bool pause, json_t **reply,
                           struct agent_error *error)
{
    static const char *const keys[] = {"vm", NULL};
    int vm = -1;
    int status = args != NULL ? agent_json_only(args, "arguments", keys, error) : 0;

    if (status == 0 && json_object_get(args, "vm") == NULL) {
        return set_paused(act, pause, reply, error);
    }
    status = status < 0 ? status : vm_of(act, args, &vm, error);
    if (status == 0) {
        status = pause ? agent_act_pause_vm(act, vm, "person", error)
                       : agent_act_resume_vm(act, vm, "person", error);
    }
    if (status == 0) {
        *reply = json_object();
    }
    return status;
}

static int cmd_pause(struct agent_act *act, const json_t *args, json_t **reply,
                     struct agent_error *error)
{
    return pause_or_resume(act, args, true, reply, error);
}

static int cmd_resume(struct agent_act *act, const json_t *args, json_t **reply,
                      struct agent_error *error)
{
    return pause_or_resume(act, args, false, reply, error);
}

static int cmd_explain(struct agent_act *act, const json_t *args, json_t **reply,
                       struct agent_error *error)
{
    static const char *const keys[] = {"vm", NULL};
    int vm = -1;
    int status = agent_json_only(args, "arguments", keys, error);

    status = status < 0 ? status : vm_of(act, args, &vm, error);
    if (status == 0) {
        *reply = act_explain(act, vm);
    }
    return status;
}

static int cmd_replan(struct agent_act *act, const json_t *args, json_t **reply,
                      struct agent_error *error)
{
    (void)args;
    if (act->planner.fn == NULL) {
        return agent_error_set(error, EPERM, "this agent has no planner");
    }
    act_plan_now(act);
    *reply = json_object();
    return 0;
}

static int cmd_boot(struct agent_act *act, const json_t *args, json_t **reply,
                    struct agent_error *error)
{
    static const char *const keys[] = {"vm", NULL};
    int vm = -1;
    int status = agent_json_only(args, "arguments", keys, error);
    char key[96];

    status = status < 0 ? status : vm_of(act, args, &vm, error);
    if (status == 0 && act->recovering) {
        status = agent_error_set(error, EPERM, "still asking what is true after the start");
    }
    if (status == 0) {
        act->machines[vm].boots = 0;
        status = act_boot(&act->machines[vm], error);
    }
    if (status == 0) {
        snprintf(key, sizeof(key), "vm/%s/boot", act->inventory->vms[vm].name);
        agent_act_alert_clear(act, key);
        *reply = json_object();
    }
    return status;
}

/* ---- a person has found out ----------------------------------------------------------------- */

/* The QEMUs that a person's word is about; those that answer speak for themselves. */
static int contradicts(const struct machine *machine, const char *outcome,
                       struct agent_error *error)
{
    for (const struct agent_qemu *qemu = machine->qemus; qemu != NULL; qemu = qemu->next) {
        bool is_dest = machine->move != NULL && qemu == machine->move->dest;
        bool named =
            strcmp(outcome, "absent") != 0 && (strcmp(outcome, "destination") == 0) == is_dest;
        if (agent_qemu_owns(qemu) && strcmp(qemu->status, "running") == 0 && !named) {
            return agent_error_set(error, EPERM,
                                   "epoch %lld at host %s says that it runs the guest", qemu->epoch,
                                   machine->act->inventory->hosts[qemu->host].name);
        }
    }
    return 0;
}

/* Every silent one that the word says is not running counts as fenced by the person. */
static void believe(struct machine *machine, const char *outcome)
{
    for (struct agent_qemu *qemu = machine->qemus, *next = NULL; qemu != NULL; qemu = next) {
        next = qemu->next;
        bool is_dest = machine->move != NULL && qemu == machine->move->dest;
        bool named =
            strcmp(outcome, "absent") != 0 && (strcmp(outcome, "destination") == 0) == is_dest;
        if (qemu->state == AGENT_QEMU_SILENT && !named) {
            agent_qemu_fenced(qemu, "a person");
            return; /* the list may have changed: what is still silent is told at the next call */
        }
    }
}

static int cmd_resolve(struct agent_act *act, const json_t *args, json_t **reply,
                       struct agent_error *error)
{
    static const char *const keys[] = {"vm", "outcome", NULL};
    const char *outcome = NULL;
    int vm = -1;
    int status = agent_json_only(args, "arguments", keys, error);

    status = status < 0 ? status : vm_of(act, args, &vm, error);
    status = status < 0 ? status : agent_json_text(args, "arguments", "outcome", &outcome, error);
    if (status == 0 && strcmp(outcome, "source") != 0 && strcmp(outcome, "destination") != 0 &&
        strcmp(outcome, "absent") != 0) {
        return agent_error_set(error, EINVAL,
                               "outcome: expected source, destination or absent, "
                               "found '%.40s'",
                               outcome);
    }
    status = status < 0 ? status : contradicts(&act->machines[vm], outcome, error);
    if (status < 0) {
        return status;
    }
    struct machine *machine = &act->machines[vm];
    struct agent_journal_entry entry = {machine->move != NULL ? machine->move->id : 0,
                                        act->inventory->vms[vm].name,
                                        agent_clock_now_s(act->clock),
                                        "resolve",
                                        "person",
                                        outcome};
    status = agent_journal_note(act->journal, &entry, error);
    for (int at = 0; at < AGENT_TRUTH_FACTS_MAX && status == 0; at++) {
        believe(machine, outcome);
    }
    if (status == 0) {
        act_judge(machine);
        *reply = json_object();
    }
    return status;
}

int act_commands(struct agent_act *act, const char *verb, const json_t *args, json_t **reply,
                 struct agent_error *error)
{
    static const struct {
        const char *verb;
        int (*fn)(struct agent_act *act, const json_t *args, json_t **reply,
                  struct agent_error *error);
    } verbs[] = {
        {"migrate", cmd_migrate}, {"cancel", cmd_cancel}, {"drain", cmd_drain},
        {"undrain", cmd_undrain}, {"pause", cmd_pause},   {"resume", cmd_resume},
        {"explain", cmd_explain}, {"replan", cmd_replan}, {"boot", cmd_boot},
        {"resolve", cmd_resolve},
    };
    json_t *none = args == NULL ? json_object() : NULL;
    int status = -ENOSYS;

    *reply = NULL;
    for (size_t at = 0; at < sizeof(verbs) / sizeof(verbs[0]); at++) {
        if (strcmp(verbs[at].verb, verb) == 0) {
            status = verbs[at].fn(act, args != NULL ? args : none, reply, error);
            json_decref(none);
            return status;
        }
    }
    json_decref(none);
    return agent_error_set(error, ENOSYS, "unknown verb '%.40s'", verb);
}
