/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stage_settle.c - the facts decide who has the guest
 * Owner, thread, time, units: move.h. */
#include <math.h>
#include <string.h>

#include "act/private.h"

#define ASK_AGAIN_NS  (1 * AGENT_NS_PER_S)
#define LATE_START_NS (12 * AGENT_NS_PER_S) /* a granted destination has started by then or never will */
#define UNCLEAR_NS    (15 * AGENT_NS_PER_S) /* silence of one end before a person is called */

static bool facts_are_fresh(struct move *move)
{
    bool fresh = true;

    for (struct agent_qemu *qemu = move_machine(move)->qemus; qemu != NULL; qemu = qemu->next) {
        if (qemu->state == AGENT_QEMU_UP && qemu->looked_ns < move->stage_ns) {
            agent_qemu_look(qemu);
            fresh = false;
        }
    }
    return fresh;
}

static void look_at_all(struct move *move)
{
    for (struct agent_qemu *qemu = move_machine(move)->qemus; qemu != NULL; qemu = qemu->next) {
        agent_qemu_look(qemu);
    }
}

static void on_resolved(struct move *move, const struct agent_qmp_result *result)
{
    if (result->status < 0) {
        move_log(move, "note", result->text);
    }
    look_at_all(move);
}

static void on_fence_told(struct move *move, const struct agent_qmp_result *result)
{
    if (result->status < 0) {
        move_log(move, "note", result->text);
        return;
    }
    move_ask_any(move, move->source, "cont", NULL, on_resolved);
}

static void resolve(struct move *move, struct agent_qemu *source, const char *outcome,
                    move_then then)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (now_ns - move->asked_ns < ASK_AGAIN_NS) {
        return;
    }
    move->asked_ns = now_ns;
    move->source = source;
    if (!move->resolved) {
        move->resolved = true;
        move_log(move, "intent", outcome);
    }
    move_ask_any(move, source, "migrate-apn-resolve", json_pack("{s:s}", "outcome", outcome), then);
}

static void note_cutover(struct move *move)
{
    struct agent_act *act = move->act;
    const struct agent_inventory_host *host = &act->inventory->hosts[move->to];
    double used = 0;

    if (move->source != NULL && move->source->stop_at_s > 0 && move->dest->resume_at_s > 0) {
        move->figures.cutover_ms = (move->dest->resume_at_s - move->source->stop_at_s) * 1000;
    }
    for (int end = 0; end < 2; end++) {
        const struct agent_qemu *qemu = end == 0 ? move->source : move->dest;
        double now_s = qemu != NULL ? act->world->cpu_s(act->world->opaque, qemu->pid) : -1;
        if (now_s < 0 || move->cpu_before_s[end] < 0 || move->forced) {
            return;
        }
        used += now_s - move->cpu_before_s[end];
    }
    used -= move->cpu_rate * move->figures.transfer_real_s;
    move->figures.energy_wh = fmax(0, used) * (host->busy_w - host->idle_w) / host->cpu / 3600;
}

/* The destination has the guest. */
static void arrived(struct move *move, struct agent_qemu *owner)
{
    struct machine *machine = move_machine(move);
    bool should_run = machine->paused_by == 0;

    move->dest = owner;
    if (should_run && strcmp(owner->status, "paused") == 0 && move->stock) {
        int64_t now_ns = agent_loop_now_ns(move->act->loop);
        if (now_ns - move->asked_ns >= ASK_AGAIN_NS) {
            move->asked_ns = now_ns;
            if (!move->cont_sent) {
                move_log(move, "intent", "cont at the destination");
            }
            move->cont_sent = true;
            move_ask_any(move, owner, "cont", NULL, on_resolved);
        }
        return;
    }
    note_cutover(move);
    machine->noted.owner = owner->epoch;
    machine->noted.since_s = agent_clock_now_s(move->act->clock);
    snprintf(machine->noted.host, sizeof(machine->noted.host), "%s",
             move->act->inventory->hosts[owner->host].name);
    act_machine_note(machine);
    act_machine_say(machine, "arrived at host %s: %s",
                    move->act->inventory->hosts[owner->host].name, move->reason);
    act_machine_become(
        machine, strcmp(owner->status, "running") == 0 ? AGENT_VM_RUNNING : AGENT_VM_PAUSED, owner);
    move->figures.progress = 1;
    move_next(move);
}

static void back_to_watching(struct move *move)
{
    move->stage = MOVE_TRANSFER;
    move->serial++;
    move->asking = false;
    stage_transfer_look(move);
}

static void nobody_has_it(struct move *move, const struct agent_truth *truth)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (now_ns - move->stage_ns < LATE_START_NS && truth->dest != NULL) {
        look_at_all(move); /* it may have been granted and be loading */
        return;
    }
    move->lost = true;
    move_fail(move, false, "no QEMU has the guest any more: %s", truth->why);
}

static void facts_came(struct move *move)
{
    char key[96];

    if (move->state == MOVE_UNKNOWN) {
        snprintf(key, sizeof(key), "vm/%s/unknown", move->act->inventory->vms[move->vm].name);
        move->state = MOVE_RUNNING;
        move_log(move, "note", "both ends can be asked again");
        agent_act_alert_clear(move->act, key);
    }
}

static void still_unclear(struct move *move, const struct agent_truth *truth)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    look_at_all(move);
    if (now_ns - move->stage_ns >= UNCLEAR_NS || truth->is == AGENT_TRUTH_DOUBLE) {
        move_unknown(move, truth->why,
                     truth->is == AGENT_TRUTH_DOUBLE
                         ? "two copies say that they run: stop one by hand at once"
                         : "find out which host runs the guest, then: vmm-agent resolve VM "
                           "source|destination|absent");
    }
}

void stage_settle(struct move *move)
{
    struct agent_qemu *source = move->source;

    if (!facts_are_fresh(move)) {
        return;
    }
    if (move->stock && !move->cont_sent && source != NULL && agent_qemu_owns(source) &&
        !agent_truth_migrating(source)) {
        move_fail(move, true, "the transfer failed: %s", source->migration_error);
        return; /* its destination was never told to run */
    }
    struct agent_truth truth = agent_truth_of(move_machine(move)->qemus);
    if (truth.is != AGENT_TRUTH_UNCLEAR && truth.is != AGENT_TRUTH_WAIT &&
        truth.is != AGENT_TRUTH_DOUBLE) {
        facts_came(move);
    }
    switch (truth.is) {
    case AGENT_TRUTH_HERE:
    case AGENT_TRUTH_HANDED:
        if (truth.owner->epoch == move->dest_epoch) {
            arrived(move, truth.owner);
        } else {
            move->source = truth.owner;
            move_fail(move, true, "the transfer failed: %.200s", truth.owner->migration_error);
        }
        break;
    case AGENT_TRUTH_MOVING:
        back_to_watching(move);
        break;
    case AGENT_TRUTH_DEST_RUNS:
        move->dest = truth.owner;
        resolve(move, truth.source, "destination-runs", on_resolved);
        break;
    case AGENT_TRUTH_DEST_GONE:
        resolve(move, truth.source, "destination-fenced", on_fence_told);
        break;
    case AGENT_TRUTH_ABSENT:
        nobody_has_it(move, &truth);
        break;
    default:
        still_unclear(move, &truth);
        break;
    }
}
