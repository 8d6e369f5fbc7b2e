/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reconcile.c - from what the plan wants of this slot, and from drained hosts, to queued moves
 * Owner, thread: private.h.
 * Time:  agent time: slots, dwell.   Units: yen, s.
 *
 * A plan is asked for when a slot begins and followed when it comes. Of each machine it wants a site
 * in this slot. A move is queued unless something speaks against it, and then that is written down:
 * every machine the plan wants elsewhere has a line with its reason in plan.moves. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "act/private.h"
#include "support/slot.h"

#define DRAIN_AGAIN_NS (20 * AGENT_NS_PER_S)

/* ---- what a plan wants of this slot ------------------------------------------------------- */

/* Slot of the plan that runs now, or -1 when the plan has none. */
static int slot_of_plan(const struct agent_act *act)
{
    if (!act->have_plan) {
        return -1;
    }
    int64_t slot = agent_slot_of(agent_clock_now_s(act->clock)) -
                   agent_slot_of(act->plan.first_slot_s);
    return slot >= 0 && slot < act->plan.slots ? (int)slot : -1;
}

static void note_move(struct agent_act *act, int vm, int to, const struct move *move,
                      const char *why)
{
    const struct agent_inventory *inventory = act->inventory;
    int from = act_site_of(&act->machines[vm]);
    char slot[AGENT_TIME_TEXT_SIZE];

    json_array_append_new(
        act->plan_moves,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "vm", inventory->vms[vm].name, "from",
                  from >= 0 ? inventory->sites[from].name : "", "to", inventory->sites[to].name,
                  "slot", agent_time_format(agent_slot_start(act->slot), slot), "state",
                  move != NULL ? "queued" : "skipped", "reason", why, "migration",
                  (json_int_t)(move != NULL ? move->id : 0)));
}

/* Why this machine does not go although the plan wants it to; "" = nothing speaks against it. */
static void objection(struct agent_act *act, int vm, int site, int *host, char *out, size_t size)
{
    struct machine *machine = &act->machines[vm];
    const struct agent_inventory_group *group =
        &act->inventory->groups[act->inventory->vms[vm].group];
    const struct agent_replan_vm *wanted = &act->plan.vms[vm];
    double stays_until_s = (double)machine->noted.since_s +
                           group->min_dwell_slots * AGENT_SLOT_SECONDS;
    struct agent_error error = {0};
    char when[AGENT_TIME_TEXT_SIZE];

    act_fixed(machine, out, size);
    if (out[0] != '\0') {
        return;
    }
    if (act->paused) {
        snprintf(out, size, "a person has paused new moves");
    } else if (act->inventory->sites[site].paper) {
        snprintf(out, size, "site %s exists on paper only", act->inventory->sites[site].name);
    } else if (machine->noted.moves > 0 && agent_clock_now(act->clock) < stays_until_s) {
        snprintf(out, size, "came recently and stays until %s (min_dwell_slots %g)",
                 agent_time_format((int64_t)stays_until_s, when), group->min_dwell_slots);
    } else if (act_against_demand(act, act_site_of(machine), site, out, size)) {
        return;
    } else if (wanted->benefit_yen < act->settings.hysteresis_yen) {
        snprintf(out, size, "saves %.3f JPY, less than hysteresis_yen %.3f", wanted->benefit_yen,
                 act->settings.hysteresis_yen);
    } else {
        *host = agent_act_best_host(act, vm, site, &error);
        if (*host < 0) {
            snprintf(out, size, "%.190s", error.text);
        }
    }
}

bool act_against_demand(const struct agent_act *act, int from_site, int to_site, char *out, size_t size)
{
    bool less = to_site >= 0 && act->sites[to_site].lean < 0;
    bool more = from_site >= 0 && act->sites[from_site].lean > 0;

    if (less || more) {
        snprintf(out, size, "demand response asks site %s for %s power",
                 act->inventory->sites[less ? to_site : from_site].name, less ? "less" : "more");
    }
    return less || more;
}

/* A copy that is held for demand response lies in the plan's way, or on it: then it is let go, which takes
 * one blackout; else it is given up and the plan's move follows. Return: 0 = one of the two is under way. */
static int use_held(struct agent_act *act, int vm, int site, struct agent_error *error)
{
    struct machine *machine = &act->machines[vm];
    struct move *held = machine->move;

    if (act->inventory->hosts[held->to].site != site) {
        machine->want_again = true;
        return agent_act_disarm(act, vm, error);
    }
    int status = agent_act_release(act, vm, NULL, NULL, error);
    if (status == 0) {
        held->origin = MOVE_BY_PLAN;
        held->benefit_yen = act->plan.vms[vm].benefit_yen;
        snprintf(held->reason, sizeof(held->reason), "%s", act->plan.vms[vm].reason);
        note_move(act, vm, site, held, held->reason);
    }
    return status;
}

static void want(struct agent_act *act, int vm, int site)
{
    struct machine *machine = &act->machines[vm];
    struct move *move = machine->move;
    char why[AGENT_ACT_REASON_MAX];
    int here = act_site_of(machine);
    int host = -1;

    machine->wanted_site = site;
    bool obsolete = move != NULL && move->origin == MOVE_BY_PLAN && move->state == MOVE_QUEUED &&
                    (site < 0 || act->inventory->hosts[move->to].site != site);
    if (obsolete) {
        snprintf(move->error, sizeof(move->error), "the plan was made again and does not want it");
        move_cancel(move, NULL);
    }
    if (site < 0 || here == site || (machine->move != NULL && machine->move->origin == MOVE_BY_PLAN)) {
        return;
    }
    objection(act, vm, site, &host, why, sizeof(why));
    if (why[0] == '\0') {
        struct agent_error error = {0};
        if (move != NULL && move->hold && move->origin == MOVE_BY_DR &&
            use_held(act, vm, site, &error) == 0) {
            return;
        }
        move = machine->move == NULL ? move_new(act, vm, host, MOVE_BY_PLAN,
                                                act->plan.vms[vm].reason, &error)
                                     : NULL;
        if (move != NULL) {
            move->benefit_yen = act->plan.vms[vm].benefit_yen;
            note_move(act, vm, site, move, act->plan.vms[vm].reason);
            return;
        }
        snprintf(why, sizeof(why), "%.190s", error.text[0] != '\0' ? error.text : "another move is open");
    }
    act_machine_say(machine, "the plan wants it at %s, it stays: %.140s",
                    act->inventory->sites[site].name, why);
    note_move(act, vm, site, NULL, why);
}

void act_want_again(struct machine *machine)
{
    struct agent_act *act = machine->act;
    int slot = slot_of_plan(act);

    machine->want_again = false;
    if (act->have_plan && slot >= 0 && act->plan.vms[machine->vm].site != NULL) {
        want(act, machine->vm, act->plan.vms[machine->vm].site[slot]);
    }
}

static void apply(struct agent_act *act)
{
    int slot = slot_of_plan(act);
    char text[160];

    json_array_clear(act->plan_moves);
    if (!act->have_plan) {
        return;
    }
    if (slot < 0) {
        snprintf(text, sizeof(text), "the plan in use does not reach this slot; nothing moves by it");
        agent_act_alert(act, "plan/old", "", text, "why is no new plan made? see plan_problem");
    } else {
        agent_act_alert_clear(act, "plan/old");
    }
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        const struct agent_replan_vm *wanted = &act->plan.vms[vm];
        want(act, (int)vm, slot < 0 || wanted->site == NULL ? -1 : wanted->site[slot]);
    }
    if (json_array_size(act->plan_moves) == 0 && act->plan_note[0] == '\0' && slot >= 0) {
        snprintf(act->plan_note, sizeof(act->plan_note),
                 "no beneficial move in this slot: every machine is where the plan wants it");
    }
    act_kick(act);
}

/* ---- asking the planner ------------------------------------------------------------------- */

struct planning {
    struct agent_act *act;
    struct act_planner planner;
    struct agent_running *running;
    json_t *before;
    struct agent_replan_answer answer;
    struct agent_error error;
    int status;
};

static void planning_free(struct planning *planning)
{
    agent_replan_answer_done(&planning->answer);
    agent_running_free(planning->running);
    json_decref(planning->before);
    free(planning);
}

static void plan_work(void *opaque)
{
    struct planning *planning = opaque;

    planning->status = planning->planner.fn(planning->planner.opaque, planning->running,
                                            planning->before, &planning->answer, &planning->error);
}

static void plan_failed(struct agent_act *act, const struct agent_error *error)
{
    char text[AGENT_ERROR_TEXT_MAX + AGENT_ERROR_FILE_MAX + 32];

    agent_error_format(error, text, sizeof(text));
    snprintf(act->plan_problem, sizeof(act->plan_problem), "%.*s", AGENT_ERROR_TEXT_MAX - 1, text);
    agent_act_tell(act, "plan.problem", json_pack("{s:s}", "text", text));
    apply(act); /* what the last plan wanted of this slot still holds */
}

static void plan_done(void *opaque)
{
    struct planning *planning = opaque;
    struct agent_act *act = planning->act;

    act->planner.busy = false;
    if (agent_loop_stopped(act->loop)) {
        planning_free(planning); /* the agent is ending: the next one makes its own */
        return;
    }
    if (planning->status < 0) {
        plan_failed(act, &planning->error);
    } else if (agent_act_set_plan(act, &planning->answer, &planning->error) < 0) {
        plan_failed(act, &planning->error);
    }
    planning_free(planning);
    if (act->planner.again) {
        act->planner.again = false;
        act_plan_now(act);
    }
}

void act_plan_now(struct agent_act *act)
{
    struct planning *planning = NULL;

    if (act->planner.fn == NULL) {
        return;
    }
    if (act->planner.busy) {
        act->planner.again = true;
        return;
    }
    planning = calloc(1, sizeof(*planning));
    if (planning == NULL || agent_act_running(act, &planning->running) < 0) {
        free(planning);
        return;
    }
    planning->act = act;
    planning->planner = act->planner;
    planning->before = act->have_plan ? json_deep_copy(act->plan.document) : NULL;
    act->planner.busy = true;
    if (agent_loop_work(act->loop, plan_work, plan_done, planning) < 0) {
        act->planner.busy = false;
        planning_free(planning);
    }
}

void agent_act_set_planner(struct agent_act *act,
                           int (*fn)(void *opaque, const struct agent_running *running,
                                     const json_t *before, struct agent_replan_answer *out,
                                     struct agent_error *error),
                           void *opaque)
{
    act->planner.fn = fn;
    act->planner.opaque = opaque;
}

int agent_act_set_plan(struct agent_act *act, struct agent_replan_answer *answer,
                       struct agent_error *error)
{
    if (answer->vm_count != act->inventory->vm_count || answer->document == NULL ||
        answer->slots < 1) {
        return agent_error_set(error, EINVAL, "a plan of %zu machines and %d slots does not fit an "
                               "inventory of %zu machines", answer->vm_count, answer->slots,
                               act->inventory->vm_count);
    }
    for (size_t vm = 0; vm < answer->vm_count; vm++) {
        for (int slot = 0; answer->vms[vm].site != NULL && slot < answer->slots; slot++) {
            if (answer->vms[vm].site[slot] >= act->inventory->site_count) {
                return agent_error_set(error, EINVAL, "the plan wants %s at site %d of %zu",
                                       act->inventory->vms[vm].name, answer->vms[vm].site[slot],
                                       act->inventory->site_count);
            }
        }
    }
    agent_replan_answer_done(&act->plan);
    act->plan = *answer;
    memset(answer, 0, sizeof(*answer));
    act->have_plan = true;
    act->plan_problem[0] = '\0';
    snprintf(act->plan_note, sizeof(act->plan_note), "%s", act->plan.note);
    apply(act);
    const json_t *cost = json_object_get(json_object_get(act->plan.document, "cost_yen"), "total");
    agent_act_tell(act, "plan.new",
                   json_pack("{s:O?, s:O?, s:O?, s:i, s:s}", "made_at",
                             json_object_get(act->plan.document, "made_at"), "cost_yen", cost,
                             "gap", json_object_get(act->plan.document, "gap"), "moves",
                             (int)json_array_size(act->plan_moves), "note", act->plan_note));
    return 0;
}

/* ---- drained hosts ------------------------------------------------------------------------ */

/* Within the site first, then where the plan wants it, then anywhere that is joined and has room. */
static int refuge(struct agent_act *act, int vm, struct agent_error *error)
{
    struct machine *machine = &act->machines[vm];
    int here = act_site_of(machine);
    int host = agent_act_best_host(act, vm, here, error);

    if (host < 0 && machine->wanted_site >= 0 && machine->wanted_site != here) {
        host = agent_act_best_host(act, vm, machine->wanted_site, NULL);
    }
    for (int site = 0; host < 0 && site < (int)act->inventory->site_count; site++) {
        if (site != here && !act->inventory->sites[site].paper &&
            agent_inventory_link_of(act->inventory, here, site) >= 0) {
            host = agent_act_best_host(act, vm, site, NULL);
        }
    }
    return host;
}

void act_drain_host(struct agent_act *act, int host, int *moves)
{
    int64_t now_ns = agent_loop_now_ns(act->loop);
    char reason[AGENT_ACT_REASON_MAX];

    *moves = 0;
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        struct machine *machine = &act->machines[vm];
        struct agent_error error = {0};
        if (machine->owner == NULL || machine->owner->host != host || machine->move != NULL ||
            machine->blocked || now_ns < machine->drain_ns) {
            continue;
        }
        machine->drain_ns = now_ns + DRAIN_AGAIN_NS;
        int to = refuge(act, (int)vm, &error);
        snprintf(reason, sizeof(reason), "host %s is drained", act->inventory->hosts[host].name);
        struct move *move =
            to < 0 ? NULL : move_new(act, (int)vm, to, MOVE_BY_DRAIN, reason, &error);
        if (move == NULL) {
            act_machine_say(machine, "host %s is drained, but: %.130s",
                            act->inventory->hosts[host].name, error.text);
            continue;
        }
        (*moves)++;
    }
}

/* ---- every second or so ------------------------------------------------------------------- */

/* A slot is over: what was really used in it is kept for the picture of the day, with what was
 * then thought of surplus and prices. */
static void close_slot(struct agent_act *act)
{
    static const char *const keys[] = {"surplus_kw", "price_yen_per_kwh", "carbon_g_per_kwh"};
    char start[AGENT_TIME_TEXT_SIZE];

    agent_time_format(agent_slot_start(act->slot), start);
    for (size_t site = 0; site < act->inventory->site_count; site++) {
        const char *name = act->inventory->sites[site].name;
        json_t *list = json_object_get(act->measured_slots, name);
        if (list == NULL) {
            list = json_array();
            json_object_set_new(act->measured_slots, name, list);
        }
        if (json_array_size(list) >= AGENT_SLOTS_PER_DAY) {
            json_array_remove(list, 0);
        }
        json_t *past = json_pack("{s:s, s:f, s:b}", "start", start, "load_kw",
                                 act->sites[site].slot_kwh * 2, "measured", 1);
        for (size_t key = 0; key < sizeof(keys) / sizeof(keys[0]); key++) {
            double value = act_outlook_at(act, (int)site, keys[key], act->slot);
            json_object_set_new(past, keys[key], isfinite(value) ? json_real(value) : json_null());
        }
        json_array_append_new(list, past);
        act->sites[site].slot_kwh = 0;
    }
}

void act_reconcile(struct agent_act *act)
{
    int64_t slot = agent_slot_of(agent_clock_now_s(act->clock));

    if (slot != act->slot) {
        if (act->slot >= 0) {
            close_slot(act);
        }
        act->slot = slot;
        if (act->planner.fn != NULL && act->settings.plan_every_slot) {
            act_plan_now(act);
        } else {
            apply(act);
        }
    }
    for (size_t host = 0; host < act->inventory->host_count; host++) {
        int moves;
        if (act->hosts[host].drained) {
            act_drain_host(act, (int)host, &moves);
        }
    }
}
