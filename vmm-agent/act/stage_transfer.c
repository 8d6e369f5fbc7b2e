/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stage_transfer.c - pages move: progress, holding back, giving up
 * Owner, thread, time, units: move.h. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "act/private.h"

#define ASK_AGAIN_NS  (1 * AGENT_NS_PER_S)
#define STUCK_NS      (30 * AGENT_NS_PER_S) /* undoing that gets nowhere: call a person */

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void read_apn(struct move *move, const json_t *apn)
{
    struct move_figures *figures = &move->figures;
    const json_t *prediction = json_object_get(apn, "prediction");
    const json_t *decided = json_object_get(apn, "predicted-blackout");

    figures->bytes = number_of(apn, "posted");
    figures->guest_bytes = number_of(apn, "guest-bytes");
    figures->in_flight_bytes = number_of(apn, "in-flight");
    figures->predicted_ms = number_of(decided != NULL ? decided : prediction, "total-us") / 1000;
    if (json_object_get(apn, "downtime-us") != NULL) {
        figures->blackout_ms = number_of(apn, "downtime-us") / 1000;
    }
}

static void read_progress(struct move *move, const json_t *answer)
{
    struct move_figures *figures = &move->figures;
    const json_t *ram = json_object_get(answer, "ram");
    const json_t *apn = json_object_get(answer, "apn");
    double total = number_of(ram, "total");
    double remaining = number_of(ram, "remaining");
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    figures->transfer_real_s = (double)(now_ns - move->wire_ns) / (double)AGENT_NS_PER_S;
    if (apn != NULL) {
        read_apn(move, apn);
    } else if (ram != NULL) {
        figures->bytes = number_of(ram, "transferred");
        figures->guest_bytes = figures->bytes;
        figures->blackout_ms = number_of(answer, "downtime");
    }
    if (isfinite(figures->bytes) && figures->transfer_real_s > 0.05) {
        figures->rate_gbit_s = figures->bytes * 8e-9 / figures->transfer_real_s;
    }
    if (total > 0 && isfinite(remaining)) {
        double share =
            1 - remaining / total; /* rewritten pages make it fall; people want it to rise */
        figures->remaining_bytes = remaining;
        figures->progress = share > figures->progress ? share : figures->progress;
    }
}

static void tell_progress(struct move *move)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (now_ns - move->told_ns >= MOVE_PROGRESS_NS) {
        move->told_ns = now_ns;
        agent_act_tell(move->act, "migration.progress", act_move_json(move));
    }
}

static void say_hold(struct move *move, bool hold)
{
    move_ask_any(move, move->source, "migrate-set-parameters", json_pack("{s:b}", "apn-hold", hold),
                 NULL);
}

static void on_holding(struct move *move)
{
    move->state = MOVE_HELD;
    move->was_held = true;
    if (move->on_wire) { /* what follows the guest's writes is little: the link is free again */
        move->on_wire = false;
        act_link_wire(move->act, move->link, -1);
    }
    move_log(move, "held", "converged; waits for the word");
    act_kick(move->act);
}

static void on_progress(struct move *move, const struct agent_qmp_result *result)
{
    move->asking = false;
    if (result->status < 0) {
        return; /* silence is dealt with by whoever looks after that QEMU */
    }
    const json_t *apn = json_object_get(result->value, "apn");
    const char *status = json_string_value(json_object_get(result->value, "status"));
    status = status != NULL ? status : "";
    read_progress(move, result->value);
    if (strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
        strcmp(status, "cancelled") == 0) {
        move_next(move);
        return;
    }
    tell_progress(move);
    if (strcmp(status, "pre-switchover") == 0) {
        stage_disks_finish(move);
    } else if (json_is_true(json_object_get(apn, "holding")) && !move->hold) {
        say_hold(move, false); /* it was let go after the source had been told to hold */
    } else if (json_is_true(json_object_get(apn, "holding")) && move->state == MOVE_RUNNING) {
        on_holding(move);
    }
}

static void on_begun(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    move->asked_ns = 0;
    stage_transfer_look(move);
}

static void measure_before(struct move *move)
{
    struct agent_act *act = move->act;

    move->cpu_before_s[0] = act->world->cpu_s(act->world->opaque, move->source->pid);
    move->cpu_before_s[1] = act->world->cpu_s(act->world->opaque, move->dest->pid);
    move->cpu_rate = move_machine(move)->cpu_used;
}

void stage_transfer(struct move *move)
{
    char uri[160];

    move_uri(move, uri, sizeof(uri));
    measure_before(move);
    move_machine(move)->state = AGENT_VM_MOVING;
    move_ask(move, move->source, "migrate", json_pack("{s:s}", "uri", uri), on_begun);
}

static bool is_gone(const struct agent_qemu *qemu)
{
    return qemu == NULL || qemu->state == AGENT_QEMU_GONE;
}

void stage_transfer_look(struct move *move)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (is_gone(move->source)) {
        move_next(move);
        return;
    }
    if (is_gone(move->dest) && strcmp(move->source->verdict, "granted") != 0 &&
        strcmp(move->source->verdict, "started") != 0) {
        move_fail(move, true, "the destination ended: %s",
                  move->dest != NULL ? move->dest->problem : "gone");
        return;
    }
    if (!move->asking && now_ns - move->asked_ns >= MOVE_LOOK_NS - AGENT_NS_PER_MS) {
        move->asking = true;
        move->asked_ns = now_ns;
        move_ask_any(move, move->source, "query-migrate", NULL, on_progress);
    }
}

static void leave_undo(struct move *move)
{
    move->undoing = false;
    move->stage = MOVE_SETTLE;
    move->serial++;
    move->stage_ns = agent_loop_now_ns(move->act->loop);
    stage_settle(move);
}

/* Taken back only when the source says, after we asked, that it has the guest and sends nothing. */
void stage_transfer_undo(struct move *move)
{
    struct agent_qemu *source = move->source;
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (move->lost) {
        move_undone(move); /* nobody has the guest: only what is left is removed */
        return;
    }
    if (is_gone(source) || agent_qemu_unsure(source) || agent_qemu_left(source)) {
        leave_undo(move);
        return;
    }
    if (now_ns - move->stage_ns > STUCK_NS) {
        move_unknown(move, "the source does not say that it has the guest",
                     "look at both QEMUs, then: vmm-agent resolve VM source|destination|absent");
    }
    if (source->state != AGENT_QEMU_UP || source->looked_ns < move->stage_ns) {
        agent_qemu_look(source);
        return;
    }
    if (agent_qemu_owns(source) && !agent_truth_migrating(source)) {
        move_undone(move);
        return;
    }
    if (agent_truth_migrating(source) && now_ns - move->asked_ns >= ASK_AGAIN_NS) {
        move->asked_ns = now_ns;
        move_ask_any(move, source, "migrate_cancel", NULL, NULL); /* refused after the grant */
    }
    agent_qemu_look(source);
}

/* ---- the end of a hold -------------------------------------------------------------------- */

static void on_let_go(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    move->asked_ns = 0;
    stage_transfer_look(move);
}

int move_release(struct move *move, struct agent_error *error)
{
    if (move->stage != MOVE_TRANSFER || move->undoing || !move->hold) {
        return agent_error_set(error, EPERM, "migration %lld is not armed", (long long)move->id);
    }
    move->hold = false;
    move->state = MOVE_RUNNING;
    move->stage_ns = agent_loop_now_ns(move->act->loop); /* its time limit counts from the word */
    if (move_log(move, "intent", "let go") < 0) {
        return agent_error_set(error, EIO, "the journal cannot be written");
    }
    move_ask(move, move->source, "migrate-set-parameters", json_pack("{s:b}", "apn-hold", 0),
             on_let_go);
    return 0;
}
