/* SPDX-License-Identifier: GPL-2.0-or-later */
/* act.c - the object behind act.h: making it, telling, what machines are
 * Owner, thread, time, units: act.h. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "act/private.h"
#include "support/slot.h"

/* ---- telling ------------------------------------------------------------------------------ */

void agent_act_tell(struct agent_act *act, const char *type, json_t *event)
{
    event = event != NULL ? event : json_object();
    if (event == NULL) {
        return;
    }
    json_object_set_new(event, "event", json_string(type));
    json_object_set_new(event, "seq", json_integer((json_int_t)++act->seq));
    json_object_set_new(event, "at", act_time(agent_clock_now(act->clock)));
    for (int at = 0; at < act->listener_count; at++) {
        act->listeners[at].fn(act->listeners[at].opaque, event);
    }
    json_decref(event);
}

int agent_act_listen(struct agent_act *act, void (*fn)(void *opaque, const json_t *event),
                     void *opaque)
{
    if (act->listener_count >= AGENT_ACT_LISTENERS_MAX) {
        return -ENOSPC;
    }
    act->listeners[act->listener_count++] = (struct act_listener){fn, opaque};
    return 0;
}

void agent_act_unlisten(struct agent_act *act, void *opaque)
{
    int kept = 0;

    for (int at = 0; at < act->listener_count; at++) {
        if (act->listeners[at].opaque != opaque) {
            act->listeners[kept++] = act->listeners[at];
        }
    }
    act->listener_count = kept;
}

void agent_act_alert(struct agent_act *act, const char *key, const char *vm, const char *text,
                     const char *check)
{
    struct act_alert *alert = NULL;

    for (int at = 0; at < act->alert_count; at++) {
        if (strcmp(act->alerts[at].key, key) == 0) {
            return;
        }
    }
    if (act->alert_count == AGENT_ACT_ALERTS_MAX) {
        return; /* 256 open ones: nobody is reading them */
    }
    alert = &act->alerts[act->alert_count++];
    snprintf(alert->key, sizeof(alert->key), "%s", key);
    snprintf(alert->vm, sizeof(alert->vm), "%s", vm != NULL ? vm : "");
    snprintf(alert->text, sizeof(alert->text), "%s", text);
    snprintf(alert->check, sizeof(alert->check), "%s", check);
    alert->since_s = agent_clock_now(act->clock);
    agent_act_tell(act, "alert",
                   json_pack("{s:s, s:s, s:s, s:s}", "key", key, "vm", alert->vm, "text", text,
                             "check", check));
}

void agent_act_alert_clear(struct agent_act *act, const char *key)
{
    for (int at = 0; at < act->alert_count; at++) {
        if (strcmp(act->alerts[at].key, key) == 0) {
            act->alerts[at] = act->alerts[--act->alert_count];
            agent_act_tell(act, "alert.clear", json_pack("{s:s}", "key", key));
            return;
        }
    }
}

void act_journal_failed(struct agent_act *act, const struct agent_error *error)
{
    char text[AGENT_ERROR_TEXT_MAX + AGENT_ERROR_FILE_MAX + 32];

    agent_act_alert(act, "journal", "", agent_error_format(error, text, sizeof(text)),
                    "disk full, or the store's file damaged? Nothing is begun until it can be "
                    "written again");
}

int agent_act_add_section(struct agent_act *act, const char *name, json_t *(*fn)(void *opaque),
                          void *opaque)
{
    for (int at = 0; at < act->section_count; at++) {
        if (strcmp(act->sections[at].name, name) == 0) {
            return -EEXIST;
        }
    }
    if (act->section_count >= AGENT_ACT_SECTIONS_MAX) {
        return -ENOSPC;
    }
    act->sections[act->section_count++] = (struct act_section){name, fn, opaque};
    return 0;
}

int agent_act_add_verb(struct agent_act *act, const char *verb, agent_act_verb fn, void *opaque)
{
    for (int at = 0; at < act->verb_count; at++) {
        if (strcmp(act->verbs[at].name, verb) == 0) {
            return -EEXIST;
        }
    }
    if (act->verb_count >= AGENT_ACT_VERBS_MAX) {
        return -ENOSPC;
    }
    act->verbs[act->verb_count++] = (struct act_verb){verb, fn, opaque};
    return 0;
}

int agent_act_command(struct agent_act *act, const char *verb, const json_t *args, json_t **reply,
                      struct agent_error *error)
{
    if (args != NULL && !json_is_object(args)) {
        return agent_error_set(error, EINVAL, "%.40s: arguments must be an object", verb);
    }
    for (int at = 0; at < act->verb_count; at++) {
        if (strcmp(act->verbs[at].name, verb) == 0) {
            return act->verbs[at].fn(act->verbs[at].opaque, args, reply, error);
        }
    }
    return act_commands(act, verb, args, reply, error);
}

/* ---- machines ----------------------------------------------------------------------------- */

const char *agent_vm_state_name(enum agent_vm_state state)
{
    static const char *const names[AGENT_VM_STATES] = {"unknown", "absent", "running", "paused",
                                                       "moving"};

    return names[state];
}

void act_machine_say(struct machine *machine, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(machine->reason, sizeof(machine->reason), format, args);
    va_end(args);
}

void act_machine_become(struct machine *machine, enum agent_vm_state state,
                        struct agent_qemu *owner)
{
    struct agent_act *act = machine->act;
    const struct agent_inventory *inventory = act->inventory;
    bool same = machine->state == state && machine->owner == owner;

    machine->state = state;
    machine->owner = owner;
    if (same) {
        return;
    }
    json_t *event = json_pack("{s:s, s:s, s:s}", "vm", inventory->vms[machine->vm].name, "state",
                              agent_vm_state_name(state), "reason", machine->reason);
    if (owner != NULL && event != NULL) {
        const struct agent_inventory_host *host = &inventory->hosts[owner->host];
        json_object_set_new(event, "host", json_string(host->name));
        json_object_set_new(event, "site", json_string(inventory->sites[host->site].name));
    }
    agent_act_tell(act, "vm.state", event);
}

int act_machine_note(struct machine *machine)
{
    struct agent_act *act = machine->act;
    struct agent_error error = {0};

    snprintf(machine->noted.paused_by, sizeof(machine->noted.paused_by), "%s%s",
             (machine->paused_by & ACT_BY_PERSON) != 0 ? "person " : "",
             (machine->paused_by & ACT_BY_DR) != 0 ? "dr" : "");
    int status = agent_journal_put_vm(act->journal, act->inventory->vms[machine->vm].name,
                                      &machine->noted, &error);
    if (status < 0) {
        act_journal_failed(act, &error);
    }
    return status;
}

void act_machine_shut_down(struct machine *machine, bool down)
{
    struct agent_act *act = machine->act;
    struct agent_error error = {0};
    char key[96];

    machine->shut_down = down;
    snprintf(key, sizeof(key), "shut-down/%s", act->inventory->vms[machine->vm].name);
    if (agent_journal_set(act->journal, key, down ? "yes" : "no", &error) < 0) {
        act_journal_failed(act, &error);
    }
}

static void on_news(void *opaque, struct agent_qemu *qemu, enum agent_qemu_news news,
                    const struct agent_qemu_event *event)
{
    struct machine *machine = opaque;
    struct move *move = machine->move;

    if (qemu == machine->owner && qemu->shut_down && !machine->shut_down) {
        act_machine_shut_down(machine, true);
    }
    if (move != NULL && move->state != MOVE_QUEUED && !machine->act->recovering) {
        move_news(move, qemu, news, event);
    } else if (news != AGENT_QEMU_NEWS_EVENT) {
        act_judge(machine);
    }
}

struct agent_qemu *act_machine_find(struct machine *machine, long long epoch)
{
    struct agent_qemu *qemu = machine->qemus;

    while (qemu != NULL && qemu->epoch != epoch) {
        qemu = qemu->next;
    }
    return qemu;
}

struct agent_qemu *act_machine_add(struct machine *machine, int host, long long epoch,
                                   int64_t give_up_ns)
{
    struct agent_act *act = machine->act;
    struct agent_qemu_where where = {machine->vm, host, epoch};
    struct agent_qemu *qemu =
        agent_qemu_new(act->loop, act->world, act->inventory, where, give_up_ns);

    if (qemu != NULL) {
        qemu->news = on_news;
        qemu->opaque = machine;
        qemu->next = machine->qemus;
        machine->qemus = qemu;
        if (epoch > machine->noted.epoch) {
            machine->noted.epoch = epoch;
        }
    }
    return qemu;
}

int act_site_of(const struct machine *machine)
{
    const struct agent_inventory *inventory = machine->act->inventory;
    int host = machine->owner != NULL ? machine->owner->host
                                      : agent_inventory_host_of(inventory, machine->noted.host);

    return host < 0 ? -1 : inventory->hosts[host].site;
}

const char *act_fixed(const struct machine *machine, char *out, size_t size)
{
    const struct agent_inventory_vm *vm = &machine->act->inventory->vms[machine->vm];

    out[0] = '\0';
    if (machine->state == AGENT_VM_UNKNOWN || machine->blocked) {
        snprintf(out, size, "it is not known for certain who runs it: %.120s", machine->reason);
    } else if (machine->owner == NULL) {
        snprintf(out, size, "it runs nowhere: %.140s", machine->reason);
    } else if (vm->pinned) {
        snprintf(out, size, "pinned in the inventory");
    } else if (machine->paused_by != 0) {
        snprintf(out, size, "paused by %s",
                 machine->paused_by == ACT_BY_PERSON ? "a person" : "demand response");
    } else if (machine->move != NULL && machine->move->origin != MOVE_BY_PLAN &&
               !machine->move->hold) { /* a copy that is only held is in nobody's way */
        snprintf(out, size, "being moved by %s", move_origin_name(machine->move->origin));
    }
    return out;
}

/* ---- a copy for others -------------------------------------------------------------------- */

static void copy_machine(const struct machine *machine, struct agent_running_vm *out)
{
    /* a copy that is only held does not take its guest anywhere: the plan is free to use it or not
     */
    bool held = machine->move != NULL && machine->move->hold;
    bool leaves = machine->move != NULL && machine->move->state != MOVE_QUEUED && !held;

    out->state = held && machine->state == AGENT_VM_MOVING ? AGENT_VM_RUNNING : machine->state;
    out->host = machine->owner != NULL ? machine->owner->host : -1;
    out->dest = leaves ? machine->move->to : -1;
    out->held = machine->move != NULL && machine->move->state == MOVE_HELD;
    out->since_s = (double)machine->noted.since_s;
    out->power_w = act_machine_power_w(machine);
    out->cpu_share = machine->cpu_used;
    out->move_bytes = machine->move_bytes;
    out->blackout_ms = machine->blackout_ms;
    act_fixed(machine, out->fixed, sizeof(out->fixed));
}

int agent_act_running(const struct agent_act *act, struct agent_running **out)
{
    const struct agent_inventory *inventory = act->inventory;
    struct agent_running *running = calloc(1, sizeof(*running));

    if (running == NULL) {
        return -ENOMEM;
    }
    running->now_s = agent_clock_now_s(act->clock);
    running->scale = act->clock->scale;
    running->vms = calloc(inventory->vm_count + 1, sizeof(*running->vms));
    running->links = calloc(inventory->link_count + 1, sizeof(*running->links));
    running->hosts = calloc(inventory->host_count + 1, sizeof(*running->hosts));
    if (running->vms == NULL || running->links == NULL || running->hosts == NULL) {
        agent_running_free(running);
        return -ENOMEM;
    }
    for (size_t vm = 0; vm < inventory->vm_count; vm++) {
        copy_machine(&act->machines[vm], &running->vms[vm]);
    }
    for (const struct move *move = act->moves; move != NULL; move = move->next) {
        if (move->link >= 0) {
            running->links[move->link].running += move->on_wire ? 1 : 0;
            running->links[move->link].queued += move->on_wire || move->state == MOVE_HELD ? 0 : 1;
        }
    }
    for (size_t link = 0; link < inventory->link_count; link++) {
        running->links[link].rate_gbit_s = act->links[link].rate_gbit_s;
        running->links[link].busy_share = act_link_busy(act, (int)link);
    }
    for (size_t host = 0; host < inventory->host_count; host++) {
        running->hosts[host].up = true;
        running->hosts[host].drained = act->hosts[host].drained;
        running->hosts[host].power_w = act->hosts[host].power_w;
    }
    *out = running;
    return 0;
}

void agent_running_free(struct agent_running *running)
{
    if (running != NULL) {
        free(running->vms);
        free(running->links);
        free(running->hosts);
        free(running);
    }
}

/* ---- making, starting, ending ------------------------------------------------------------- */

static void start_what_waits(struct agent_act *act)
{
    if (!act->recovering) {
        act_queue_turn(act);
    }
}

static void kicked(void *opaque)
{
    struct agent_act *act = opaque;

    act->kicked = false;
    start_what_waits(act);
}

void act_kick(struct agent_act *act)
{
    if (!act->kicked) {
        act->kicked = agent_loop_post(act->loop, kicked, act) == 0;
    }
}

static void on_tick(void *opaque)
{
    struct agent_act *act = opaque;

    act_measure(act);
    if (!act->recovering) {
        act_reconcile(act);
        start_what_waits(act);
    }
    double slot_s = agent_clock_slot_share(act->clock);
    double tick_s =
        fmin(1.0, slot_s / 8); /* a slot's beginning is noticed within an eighth of it */
    agent_timer_after(&act->tick, (int64_t)(tick_s * (double)AGENT_NS_PER_S));
}

struct agent_loop *agent_act_loop(const struct agent_act *act)
{
    return act->loop;
}

struct agent_store *agent_act_store(const struct agent_act *act)
{
    return act->store;
}

const struct agent_inventory *agent_act_inventory(const struct agent_act *act)
{
    return act->inventory;
}

static void set_machines_up(struct agent_act *act)
{
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        struct machine *machine = &act->machines[vm];
        machine->act = act;
        machine->vm = (int)vm;
        machine->cap = 1;
        machine->move_bytes = NAN;
        machine->blackout_ms = NAN;
        machine->wanted_site = -1;
        snprintf(machine->reason, sizeof(machine->reason), "not asked yet");
    }
    for (size_t link = 0; link < act->inventory->link_count; link++) {
        act->links[link].rate_gbit_s = NAN;
    }
}

int agent_act_new_in(struct agent_loop *loop, struct agent_store *store,
                     const struct agent_inventory *inventory,
                     const struct agent_act_settings *settings, const struct agent_world *world,
                     struct agent_act **out, struct agent_error *error)
{
    struct agent_act *act = calloc(1, sizeof(*act));

    if (act == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the agent");
    }
    act->loop = loop;
    act->clock = agent_loop_clock(loop);
    act->store = store;
    act->inventory = inventory;
    act->world = world;
    act->settings = *settings;
    act->slot = -1;
    act->machines = calloc(inventory->vm_count + 1, sizeof(*act->machines));
    act->hosts = calloc(inventory->host_count + 1, sizeof(*act->hosts));
    act->links = calloc(inventory->link_count + 1, sizeof(*act->links));
    act->sites = calloc(inventory->site_count + 1, sizeof(*act->sites));
    act->plan_moves = json_array();
    act->measured_slots = json_object();
    agent_timer_init(&act->tick, loop, on_tick, act);
    int status =
        act->machines == NULL || act->hosts == NULL || act->links == NULL || act->sites == NULL
            ? agent_error_set(error, ENOMEM, "no memory for the agent")
            : agent_journal_open(store, &act->journal, error);
    if (status == 0) {
        set_machines_up(act);
        act->run = agent_journal_run(act->journal, error);
        status = act->run < 0 ? (int)act->run : 0;
    }
    if (status < 0) {
        agent_act_free(act);
        return status;
    }
    *out = act;
    return 0;
}

int agent_act_new(struct agent_loop *loop, struct agent_store *store,
                  const struct agent_inventory *inventory,
                  const struct agent_act_settings *settings, struct agent_act **out,
                  struct agent_error *error)
{
    return agent_act_new_in(loop, store, inventory, settings, &agent_world_real, out, error);
}

int agent_act_start(struct agent_act *act, struct agent_error *error)
{
    act->started_s = agent_clock_now(act->clock);
    act->started_ns = agent_loop_now_ns(act->loop);
    act->measured_ns = act->started_ns;
    act->recovering = true;
    agent_timer_after(&act->tick, 0);
    return act_recover(act, error);
}

static void free_moves(struct move *move)
{
    while (move != NULL) {
        struct move *next = move->next;
        move_free(move);
        move = next;
    }
}

void agent_act_free(struct agent_act *act)
{
    if (act == NULL) {
        return;
    }
    act->stopping = true;
    agent_timer_unset(&act->tick);
    agent_timer_unset(&act->recovery);
    free(act->rows);
    free_moves(act->moves);
    free_moves(act->ended);
    act->moves = NULL;
    for (size_t vm = 0; act->machines != NULL && vm < act->inventory->vm_count; vm++) {
        struct machine *machine = &act->machines[vm];
        if (machine->act != NULL) {
            agent_timer_unset(&machine->timer);
        }
        while (machine->qemus != NULL) {
            struct agent_qemu *next = machine->qemus->next;
            agent_qemu_free(machine->qemus);
            machine->qemus = next;
        }
    }
    agent_replan_answer_done(&act->plan);
    json_decref(act->past);
    json_decref(act->plan_moves);
    json_decref(act->measured_slots);
    agent_journal_close(act->journal);
    free(act->machines);
    free(act->hosts);
    free(act->links);
    free(act->sites);
    free(act);
}
