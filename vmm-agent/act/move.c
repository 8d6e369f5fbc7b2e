/* SPDX-License-Identifier: GPL-2.0-or-later */
/* move.c - walking the stage table forward and back, whatever the stages do
 * Owner, thread, time, units: move.h. */
#include "act/move.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "act/private.h"

/* Seconds a stage may take; 0 = a setting, negative = none (the stage decides from facts). */
const struct stage move_stages[MOVE_STAGES] = {
    [MOVE_PREFLIGHT] = {"preflight", stage_preflight, NULL, NULL, 20},
    [MOVE_START] = {"start", stage_start, stage_start_look, stage_start_undo, 0},
    [MOVE_MATCH] = {"match", stage_match, NULL, NULL, 20},
    [MOVE_DISKS] = {"disks", stage_disks, stage_disks_look, stage_disks_undo, 3600},
    [MOVE_LISTEN] = {"listen", stage_listen, NULL, NULL, 20},
    [MOVE_TRANSFER] = {"transfer", stage_transfer, stage_transfer_look, stage_transfer_undo, 0},
    [MOVE_SETTLE] = {"settle", stage_settle, stage_settle, NULL, -1},
    [MOVE_ANNOUNCE] = {"announce", stage_announce, NULL, NULL, 30},
    [MOVE_RELEASE] = {"release", stage_release, stage_release_look, NULL, -1},
};

const char *move_stage_name(const struct move *move)
{
    return move->undoing ? "undo" : move_stages[move->stage].name;
}

const char *move_state_name(enum move_state state)
{
    static const char *const names[] = {"queued", "running",   "held",   "done",
                                        "failed", "cancelled", "unknown"};

    return names[state];
}

const char *move_origin_name(enum move_origin origin)
{
    static const char *const names[] = {"plan", "person", "drain", "dr"};

    return names[origin];
}

struct move *move_find(const struct agent_act *act, int64_t id)
{
    struct move *move = act->moves;

    while (move != NULL && move->id != id) {
        move = move->next;
    }
    return move;
}

/* ---- the journal -------------------------------------------------------------------------- */

static void fill_row(const struct move *move, struct agent_journal_move *row)
{
    const struct agent_inventory *inventory = move->act->inventory;

    memset(row, 0, sizeof(*row));
    row->id = move->id;
    snprintf(row->vm, sizeof(row->vm), "%s", inventory->vms[move->vm].name);
    snprintf(row->from_host, sizeof(row->from_host), "%s", inventory->hosts[move->from].name);
    snprintf(row->to_host, sizeof(row->to_host), "%s", inventory->hosts[move->to].name);
    snprintf(row->origin, sizeof(row->origin), "%s", move_origin_name(move->origin));
    /* that a copy is to be held must outlive the agent at every moment: it would leave otherwise */
    bool held = move->hold && move->ended_s <= 0;
    snprintf(row->state, sizeof(row->state), "%s", held ? "held" : move_state_name(move->state));
    snprintf(row->stage, sizeof(row->stage), "%s", move_stages[move->stage].name);
    snprintf(row->reason, sizeof(row->reason), "%s", move->reason);
    row->source_epoch = move->source_epoch;
    row->dest_epoch = move->dest_epoch;
    row->attempt = move->attempt;
    row->benefit_yen = move->benefit_yen;
    row->urgent = move->urgent;
    row->queued_s = (int64_t)move->queued_s;
    row->ended_s = (int64_t)move->ended_s;
}

int move_log(struct move *move, const char *phase, const char *text)
{
    struct agent_act *act = move->act;
    struct agent_journal_move row;
    struct agent_error error = {0};
    const char *vm = act->inventory->vms[move->vm].name;
    struct agent_journal_entry entry = {.vm = vm,
                                        .at_s = agent_clock_now_s(act->clock),
                                        .stage = move_stages[move->stage].name,
                                        .phase = phase,
                                        .text = text};
    json_t *figures = move->ended_s > 0 ? act_move_json(move) : NULL;

    fill_row(move, &row);
    int64_t id = agent_journal_step(act->journal, &row, figures, &entry, &error);
    json_decref(figures);
    if (id < 0) {
        act_journal_failed(act, &error);
    } else {
        move->id = move->id > 0 ? move->id : id;
    }
    agent_act_tell(act, "migration.stage",
                   json_pack("{s:I, s:s, s:s, s:s, s:s}", "id", (json_int_t)move->id, "vm", vm,
                             "stage", move_stages[move->stage].name, "phase", phase, "text", text));
    return id < 0 ? (int)id : 0;
}

/* ---- asking ------------------------------------------------------------------------------- */

struct ask {
    struct agent_act *act;
    int64_t move;
    uint64_t serial;
    move_then then;
    bool any;
    char command[48];
};

static void on_answer(void *opaque, const struct agent_qmp_result *result)
{
    struct ask ask = *(struct ask *)opaque;
    struct move *move = move_find(ask.act, ask.move);

    free(opaque);
    if (move == NULL || move->serial != ask.serial || result->status == -ECANCELED) {
        return;
    }
    if (result->status < 0 && !ask.any) {
        move_fail(move, result->status != -EREMOTEIO, "%s: %s", ask.command, result->text);
    } else if (ask.then != NULL) {
        ask.then(move, result);
    }
}

static void ask_one(struct move *move, struct agent_qemu *qemu, const char *command,
                    json_t *arguments, struct ask like)
{
    struct ask *ask = malloc(sizeof(*ask));
    int64_t limit_ns = (int64_t)(move->act->settings.qmp_timeout_s * (double)AGENT_NS_PER_S);
    int status = -ENOMEM;

    if (ask != NULL) {
        *ask = like;
        ask->act = move->act;
        ask->move = move->id;
        ask->serial = move->serial;
        snprintf(ask->command, sizeof(ask->command), "%s", command);
        status = agent_qemu_ask(qemu, command, arguments, limit_ns, on_answer, ask);
    } else {
        json_decref(arguments);
    }
    if (status < 0) {
        struct agent_qmp_result result = {status, NULL, "", "its monitor cannot be asked"};
        free(ask);
        if (!like.any) {
            move_fail(move, true, "%s: %s", command, result.text);
        } else if (like.then != NULL) {
            like.then(move, &result);
        }
    }
}

void move_ask(struct move *move, struct agent_qemu *qemu, const char *command, json_t *arguments,
              move_then then)
{
    ask_one(move, qemu, command, arguments, (struct ask){.then = then});
}

void move_ask_any(struct move *move, struct agent_qemu *qemu, const char *command,
                  json_t *arguments, move_then then)
{
    ask_one(move, qemu, command, arguments, (struct ask){.then = then, .any = true});
}

/* ---- walking ------------------------------------------------------------------------------ */

static int64_t limit_ns(const struct move *move)
{
    const struct agent_act_settings *settings = &move->act->settings;
    double limit_s = move_stages[move->stage].limit_s;

    if (limit_s < 0 || move->wire_wait || move->state == MOVE_HELD) {
        return AGENT_LOOP_NEVER_NS;
    }
    if (limit_s == 0) {
        limit_s =
            move->stage == MOVE_START ? settings->start_timeout_s : settings->migrate_timeout_s;
    }
    return move->stage_ns + (int64_t)(limit_s * (double)AGENT_NS_PER_S);
}

void move_set_timer(struct move *move)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);
    int64_t at_ns = limit_ns(move);

    if (move_stages[move->stage].look != NULL || move->undoing) {
        at_ns = at_ns < now_ns + MOVE_LOOK_NS ? at_ns : now_ns + MOVE_LOOK_NS;
    }
    if (at_ns == AGENT_LOOP_NEVER_NS) {
        agent_timer_unset(&move->timer);
    } else {
        agent_timer_set(&move->timer, at_ns < now_ns ? now_ns : at_ns);
    }
}

void move_leave_wire(struct move *move)
{
    if (move->on_wire) {
        move->on_wire = false;
        act_link_wire(move->act, move->link, -1);
    }
    if (move->admitted && move->link >= 0) {
        move->act->links[move->link].preparing--;
    }
    move->admitted = false;
}

void move_begin_stage(struct move *move, enum move_stage stage)
{
    move->stage = stage;
    move->serial++;
    move->stage_ns = agent_loop_now_ns(move->act->loop);
    move_set_timer(move);
    if (move_log(move, "begin", "") < 0 && stage < MOVE_SETTLE) {
        move_fail(move, true, "the journal cannot be written: nothing is done without it");
        return;
    }
    move_stages[stage].begin(move);
}

void move_go(struct move *move)
{
    move->wire_wait = false;
    move->waits_for[0] = '\0';
    if (move->admitted && move->link >= 0) {
        move->act->links[move->link].preparing--;
        move->admitted = false;
    }
    if (move->link >= 0) {
        move->on_wire = true;
        act_link_wire(move->act, move->link, 1);
    }
    move->wire_ns = agent_loop_now_ns(move->act->loop);
    move_begin_stage(move, MOVE_TRANSFER);
}

void move_next(struct move *move)
{
    int next = (int)move->stage + 1;

    if (move->stage == MOVE_TRANSFER) {
        move_leave_wire(move);
    }
    if (next == MOVE_STAGES) {
        move_end(move, MOVE_DONE);
        return;
    }
    if (next == MOVE_TRANSFER && move->link >= 0) {
        move->serial++;
        move->wire_wait = true;
        snprintf(move->waits_for, sizeof(move->waits_for), "its turn on the link");
        move_set_timer(move);
        act_queue_turn(move->act);
        return;
    }
    if (next == MOVE_TRANSFER) {
        move_go(move);
        return;
    }
    move_begin_stage(move, (enum move_stage)next);
}

void move_clear_unknown(struct move *move)
{
    char key[96];

    snprintf(key, sizeof(key), "vm/%s/unknown", move->act->inventory->vms[move->vm].name);
    agent_act_alert_clear(move->act, key);
}

static void after_undo(struct move *move)
{
    struct agent_act *act = move->act;
    double delay_s =
        fmin(act->settings.backoff_s * exp2(move->attempt - 1), act->settings.backoff_max_s);

    move->undoing = false;
    agent_timer_unset(&move->timer);
    move_clear_unknown(move);
    if (move->cancel_asked) {
        move_end(move, MOVE_CANCELLED);
    } else if (!move->redo || move->attempt >= act->settings.attempts_max) {
        move_end(move, MOVE_FAILED);
    } else {
        move->state = MOVE_QUEUED;
        move->stage = MOVE_PREFLIGHT;
        move->source = NULL;
        move->retry_ns = agent_loop_now_ns(act->loop) + (int64_t)(delay_s * (double)AGENT_NS_PER_S);
        snprintf(move->waits_for, sizeof(move->waits_for), "back-off after a failure: %.150s",
                 move->error);
        move_log(move, "queued", move->waits_for);
        act_judge(move_machine(move));
    }
}

static void undo_from(struct move *move, int stage)
{
    while (stage >= 0 && move_stages[stage].undo == NULL) {
        stage--;
    }
    move->serial++;
    if (stage < 0) {
        after_undo(move);
        return;
    }
    move->stage = (enum move_stage)stage;
    move_set_timer(move);
    move_log(move, "undo", "");
    move_stages[stage].undo(move);
}

void move_undone(struct move *move)
{
    undo_from(move, (int)move->stage - 1);
}

void move_fail(struct move *move, bool may_pass, const char *format, ...)
{
    va_list args;

    if (move->undoing) {
        return; /* undoing looks again at its next turn */
    }
    va_start(args, format);
    vsnprintf(move->error, sizeof(move->error), format, args);
    va_end(args);
    move->redo = may_pass;
    move->wire_wait = false;
    if (move->state == MOVE_HELD) {
        move->state = MOVE_RUNNING;
    }
    move_log(move, "failed", move->error);
    move_leave_wire(move);
    move->undoing = true;
    move->stage_ns = agent_loop_now_ns(move->act->loop);
    undo_from(move, (int)move->stage);
}

void move_unknown(struct move *move, const char *why, const char *check)
{
    const char *vm = move->act->inventory->vms[move->vm].name;
    char key[96];

    if (move->state == MOVE_UNKNOWN) {
        return;
    }
    move->state = MOVE_UNKNOWN;
    snprintf(move->error, sizeof(move->error), "%s", why);
    snprintf(key, sizeof(key), "vm/%s/unknown", vm);
    move_log(move, "failed", why);
    move_leave_wire(move);
    agent_act_alert(move->act, key, vm, why, check);
    act_machine_say(move_machine(move), "%s", why);
    act_machine_become(move_machine(move), AGENT_VM_UNKNOWN, NULL);
}

void move_on_timer(void *opaque)
{
    struct move *move = opaque;
    const struct stage *stage = &move_stages[move->stage];
    int64_t id = move->id;
    struct agent_act *act = move->act;

    if (!move->undoing && agent_loop_now_ns(act->loop) >= limit_ns(move)) {
        move_fail(move, true, "%s: not finished in time", stage->name);
    } else if (move->undoing && stage->undo != NULL) {
        stage->undo(move);
    } else if (stage->look != NULL) {
        stage->look(move);
    }
    move = move_find(act, id); /* it may have ended */
    if (move != NULL && move->state != MOVE_QUEUED && !agent_timer_is_set(&move->timer)) {
        move_set_timer(move);
    }
}

void move_news(struct move *move, struct agent_qemu *qemu, enum agent_qemu_news news,
               const struct agent_qemu_event *event)
{
    const struct stage *stage = &move_stages[move->stage];

    (void)event;
    if (news == AGENT_QEMU_NEWS_EVENT) {
        return; /* the facts that follow it count */
    }
    if (move->undoing) {
        if (stage->undo != NULL) {
            stage->undo(move);
        }
    } else if (stage->look != NULL && !move->wire_wait) {
        stage->look(move);
    } else if (qemu->state == AGENT_QEMU_GONE && move->state == MOVE_RUNNING) {
        move_fail(move, true, "the QEMU at the %s ended: %s",
                  qemu == move->source ? "source" : "destination", qemu->problem);
    }
}
