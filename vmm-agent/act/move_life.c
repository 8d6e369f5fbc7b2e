/* SPDX-License-Identifier: GPL-2.0-or-later */
/* move_life.c - a move from its making to its end, and what the planner learns from it
 * Owner, thread, time, units: move.h. */
#include "act/move.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "act/private.h"

struct move *move_remake(struct agent_act *act, int vm, int from, int to)
{
    struct move *move = calloc(1, sizeof(*move));

    if (move == NULL) {
        return NULL;
    }
    move->act = act;
    move->vm = vm;
    move->from = from;
    move->to = to;
    move->link = agent_inventory_link_of(act->inventory, act->inventory->hosts[from].site,
                                         act->inventory->hosts[to].site);
    move->queued_s = agent_clock_now(act->clock);
    move->queued_ns = agent_loop_now_ns(act->loop);
    move->figures = (struct move_figures){0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    agent_timer_init(&move->timer, act->loop, move_on_timer, move);
    struct move **at = &act->moves;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = move;
    return move;
}

struct move *move_new(struct agent_act *act, int vm, int to, enum move_origin origin,
                      const char *reason, struct agent_error *error)
{
    struct machine *machine = &act->machines[vm];
    struct move *move = move_remake(act, vm, machine->owner->host, to);

    if (move == NULL) {
        agent_error_set(error, ENOMEM, "no memory for a migration");
        return NULL;
    }
    move->origin = origin;
    move->urgent = origin == MOVE_BY_DR;
    snprintf(move->reason, sizeof(move->reason), "%s", reason);
    machine->move = move;
    if (move_log(move, "queued", reason) < 0) {
        agent_error_set(error, EIO, "the journal cannot be written: nothing is done without it");
        machine->move = NULL;
        act->moves = act->moves == move ? move->next : act->moves;
        for (struct move *at = act->moves; at != NULL; at = at->next) {
            at->next = at->next == move ? NULL : at->next;
        }
        move_free(move);
        return NULL;
    }
    agent_act_tell(act, "migration.queued", act_move_json(move));
    act_kick(act);
    return move;
}

void move_begin(struct move *move)
{
    struct agent_act *act = move->act;
    struct machine *machine = move_machine(move);

    move->attempt++;
    move->state = MOVE_RUNNING;
    move->error[0] = '\0';
    move->waits_for[0] = '\0';
    move->port_tries = 0;
    move->asked_ns = 0;
    move->asking = false;
    move->cont_sent = false;
    move->lost = false;
    move->finishing = false;
    json_decref(move->kept);
    move->kept = NULL;
    move->resolved = false;
    move->redo = false;
    move->begun_ns = agent_loop_now_ns(act->loop);
    move->started_s = move->started_s > 0 ? move->started_s : agent_clock_now(act->clock);
    move->source = machine->owner;
    move->source_epoch = machine->owner->epoch;
    move->dest = NULL;
    move->dest_epoch = 0;
    if (move->link >= 0) {
        move->admitted = true;
        act->links[move->link].preparing++;
    }
    move_begin_stage(move, MOVE_PREFLIGHT);
}

void move_adopt(struct move *move, enum move_stage stage)
{
    move->state = MOVE_RUNNING;
    move->forced = true;
    move->stage = stage;
    move->serial++;
    move->begun_ns = agent_loop_now_ns(move->act->loop);
    move->stage_ns = move->begun_ns;
    move->wire_ns = move->begun_ns;
    if (stage == MOVE_TRANSFER && move->link >= 0) {
        move->on_wire = true;
        act_link_wire(move->act, move->link, 1);
    }
    move_set_timer(move);
    move_log(move, "begin", "taken up again after a restart of the agent");
    if (stage == MOVE_TRANSFER && move->source != NULL && move->source->apn) {
        /* the word may have been written down and not said */
        move_ask_any(move, move->source, "migrate-set-parameters",
                     json_pack("{s:b}", "apn-hold", move->hold), NULL);
    }
    if (move_stages[stage].look != NULL && stage != MOVE_RELEASE) {
        move_stages[stage].look(move);
    } else {
        move_stages[stage].begin(move);
    }
}

int move_cancel(struct move *move, struct agent_error *error)
{
    if (move->state == MOVE_QUEUED) {
        move->cancel_asked = true;
        move_end(move, MOVE_CANCELLED);
        return 0;
    }
    if (move->undoing) {
        move->cancel_asked = true; /* it is on its way back; it will not be tried again */
        return 0;
    }
    if (move->stage >= MOVE_SETTLE || move->state == MOVE_UNKNOWN) {
        return agent_error_set(
            error, EPERM,
            "migration %lld: the guest may be at the destination already; it can "
            "no longer be cancelled",
            (long long)move->id);
    }
    move->cancel_asked = true;
    move_fail(move, false, "cancelled on request");
    return 0;
}

static void feed_back_link(struct move *move)
{
    struct agent_act *act = move->act;
    double rate = move->figures.rate_gbit_s;
    char about[AGENT_INVENTORY_NAME_MAX * 2 + 16];

    if (move->link < 0 || !isfinite(move->figures.bytes) || !(move->figures.transfer_real_s > 0) ||
        move->forced || move->was_held) {
        return; /* its time was not spent on the link alone */
    }
    rate = move->figures.bytes * 8e-9 / move->figures.transfer_real_s;
    struct act_link *link = &act->links[move->link];
    link->rate_gbit_s = isfinite(link->rate_gbit_s) ? 0.7 * link->rate_gbit_s + 0.3 * rate : rate;
    const struct agent_inventory_link *named = &act->inventory->links[move->link];
    snprintf(about, sizeof(about), "link/%s/%s", act->inventory->sites[named->a].name,
             act->inventory->sites[named->b].name);
    json_t *document = json_pack("{s:f, s:f, s:I}", "rate_gbit_s", link->rate_gbit_s, "last_gbit_s",
                                 rate, "migration", (json_int_t)move->id);
    struct agent_error error = {0};
    if (agent_store_put_document(act->store, AGENT_DOCUMENT_ACTION, agent_clock_now_s(act->clock),
                                 about, document, NULL, &error) < 0) {
        act_journal_failed(act, &error);
    }
    json_decref(document);
}

/* What a finished move cost is what the next plan should reckon with. */
static void feed_back(struct move *move)
{
    struct agent_act *act = move->act;
    struct machine *machine = move_machine(move);
    struct agent_error error = {0};
    char about[AGENT_INVENTORY_NAME_MAX + 16];
    json_t *document = act_move_json(move);

    if (isfinite(move->figures.bytes)) {
        machine->move_bytes = move->figures.bytes;
    }
    if (isfinite(move->figures.blackout_ms)) {
        machine->blackout_ms = move->figures.blackout_ms;
    }
    snprintf(about, sizeof(about), "move/%s", act->inventory->vms[move->vm].name);
    if (agent_store_put_document(act->store, AGENT_DOCUMENT_ACTION, agent_clock_now_s(act->clock),
                                 about, document, NULL, &error) < 0) {
        act_journal_failed(act, &error);
    }
    json_decref(document);
    feed_back_link(move);
}

static void keep_ended(struct agent_act *act, struct move *move)
{
    struct move **at = &act->moves;

    while (*at != NULL && *at != move) {
        at = &(*at)->next;
    }
    if (*at == move) {
        *at = move->next;
    }
    move->next = act->ended;
    act->ended = move;
    if (++act->ended_count > ACT_ENDED_MAX) {
        for (at = &act->ended; (*at)->next != NULL;) {
            at = &(*at)->next;
        }
        move_free(*at);
        *at = NULL;
        act->ended_count--;
    }
}

void move_end(struct move *move, enum move_state state)
{
    struct agent_act *act = move->act;
    struct machine *machine = move_machine(move);
    const char *site = act->inventory->sites[act->inventory->hosts[move->to].site].name;

    agent_timer_unset(&move->timer);
    move_leave_wire(move);
    move->wire_wait = false;
    move->undoing = false;
    move->serial++;
    move->state = state;
    move->ended_s = agent_clock_now(act->clock);
    move->real_s = move->begun_ns == 0 ? NAN
                                       : (double)(agent_loop_now_ns(act->loop) - move->begun_ns) /
                                             (double)AGENT_NS_PER_S;
    machine->move = NULL;
    if (state == MOVE_DONE) {
        machine->noted.moves++;
        machine->boots = 0;
        act_machine_say(machine, "moved to %s: %s", site, move->reason);
        act_machine_note(machine);
        feed_back(move);
    } else if (state == MOVE_FAILED) {
        act_machine_say(machine, "did not move to %s: %s", site, move->error);
    } else if (state == MOVE_CANCELLED) {
        act_machine_say(machine, "move to %s cancelled", site);
    }
    move_log(move, state == MOVE_DONE ? "done" : "failed",
             state == MOVE_DONE ? "the guest runs there" : move->error);
    move_clear_unknown(move);
    agent_act_tell(act, "migration.end", act_move_json(move));
    void (*released)(void *opaque, int vm, int status) = move->released;
    void *opaque = move->released_opaque;
    int moved = move->vm;
    keep_ended(act, move);
    act_judge(machine);
    if (released != NULL) {
        released(opaque, moved, state == MOVE_DONE ? 0 : -ECANCELED);
    }
    if (machine->want_again) {
        act_want_again(machine);
    }
    act_kick(act);
}

void move_free(struct move *move)
{
    if (move != NULL) {
        agent_timer_unset(&move->timer);
        json_decref(move->kept);
        free(move);
    }
}
