/* SPDX-License-Identifier: GPL-2.0-or-later */
/* queue.c - which move goes next: a stream per link, ordered by benefit, with ageing
 * Owner, thread: private.h.
 * Time:  monotonic: links and waiting are real.   Units: yen per second of the link, s.
 *
 * Two doors. Admission lets a move prepare (preflight, destination, disks); the wire lets it
 * transfer. As many may transfer as the link's `concurrent`, and as many more, plus one, may be
 * ready behind them, so that the link never waits for a destination to start. Nothing waits for the
 * others: whoever is ready goes.
 *
 * Order: urgent first; then benefit per second that the link is needed. A move that waits gains,
 * per queue_age_s, what the best one on its link is worth: whoever waits that long outranks every
 * later comer, so nobody starves. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "act/private.h"

#define WITHIN_SITE_MAX 4
#define OVERHEAD_S      0.5 /* of a transfer beside its bytes */

double act_queue_expected_s(const struct agent_act *act, const struct move *move)
{
    const struct agent_inventory *inventory = act->inventory;
    const struct machine *machine = &act->machines[move->vm];
    double bytes = isfinite(machine->move_bytes)
                       ? machine->move_bytes
                       : inventory->groups[inventory->vms[move->vm].group].ram_mib * 1048576;
    double gbit_s = 10;

    if (move->link >= 0) {
        const struct agent_inventory_link *link = &inventory->links[move->link];
        double measured = act->links[move->link].rate_gbit_s;
        gbit_s = isfinite(measured) ? measured : link->rate_gbit_s * link->share;
    }
    return bytes * 8e-9 / gbit_s + OVERHEAD_S;
}

/* What a move is worth per second of its link; one that gives nothing still goes before never. */
static double worth(const struct agent_act *act, const struct move *move)
{
    return fmax(move->benefit_yen, 1e-6) / act_queue_expected_s(act, move);
}

/* Moves wait at one of the two doors. */
static bool waits_at(const struct move *move, int link, bool wire)
{
    return move->link == link && (wire ? move->wire_wait : move->state == MOVE_QUEUED);
}

static bool ready(const struct agent_act *act, const struct move *move, int64_t now_ns)
{
    const struct machine *machine = &act->machines[move->vm];

    if (move->wire_wait) {
        return true;
    }
    return now_ns >= move->retry_ns && machine->owner != NULL &&
           machine->owner->state == AGENT_QEMU_UP && !machine->blocked &&
           (!act->paused || move->origin == MOVE_BY_DR || move->origin == MOVE_BY_PERSON);
}

static double age_s(const struct move *move, int64_t now_ns)
{
    return (double)(now_ns - move->queued_ns) / (double)AGENT_NS_PER_S;
}

/* The one whose turn it is, or NULL. */
static struct move *best_at(struct agent_act *act, int link, bool wire)
{
    int64_t now_ns = agent_loop_now_ns(act->loop);
    struct move *best = NULL;
    double best_score = -INFINITY;
    double top = 0;

    for (struct move *move = act->moves; move != NULL; move = move->next) {
        if (waits_at(move, link, wire)) {
            top = fmax(top, worth(act, move));
        }
    }
    for (struct move *move = act->moves; move != NULL; move = move->next) {
        if (!waits_at(move, link, wire) || !ready(act, move, now_ns) || move->passed) {
            continue;
        }
        double score = worth(act, move) + top * age_s(move, now_ns) / act->settings.queue_age_s +
                       (move->urgent ? 1e12 : 0);
        if (score > best_score) {
            best_score = score;
            best = move;
        }
    }
    return best;
}

static void open_wire(struct agent_act *act, int link)
{
    const struct agent_inventory_link *named = &act->inventory->links[link];
    struct move *move = NULL;

    while (act->links[link].on_wire < named->concurrent &&
           (move = best_at(act, link, true)) != NULL) {
        move_go(move);
    }
}

/* A move whose destination has no room lets others pass, this turn. */
static bool fits(struct agent_act *act, struct move *move)
{
    struct agent_error error = {0};

    if (act_room_at(act, move->vm, move->to, &error)) {
        return true;
    }
    snprintf(move->waits_for, sizeof(move->waits_for), "room: %.180s", error.text);
    move->passed = true;
    return false;
}

static int busy_at(const struct agent_act *act, int link)
{
    int count = 0;

    for (const struct move *move = act->moves; move != NULL; move = move->next) {
        count += move->link == link && move->state != MOVE_QUEUED ? 1 : 0;
    }
    return count;
}

static void admit(struct agent_act *act, int link)
{
    int most = link >= 0 ? act->inventory->links[link].concurrent + 1 : WITHIN_SITE_MAX;
    struct move *move = NULL;

    for (;;) {
        int now = link >= 0 ? act->links[link].preparing : busy_at(act, link);
        move = now < most ? best_at(act, link, false) : NULL;
        if (move == NULL) {
            break;
        }
        if (fits(act, move)) {
            move_begin(move);
        }
    }
}

void act_queue_turn(struct agent_act *act)
{
    if (act->turning || act->recovering || act->stopping) {
        return; /* a move that begins and fails at once comes back here: the loop below goes on */
    }
    act->turning = true;
    for (struct move *move = act->moves; move != NULL; move = move->next) {
        move->passed = false;
    }
    for (int link = -1; link < (int)act->inventory->link_count; link++) {
        if (link >= 0) {
            open_wire(act, link);
        }
        admit(act, link);
        if (link >= 0) {
            open_wire(act, link); /* what needed no preparation that takes time */
        }
    }
    act->turning = false;
}

/* ---- how busy a link was ------------------------------------------------------------------ */

static void account(struct act_link *link, int64_t now_ns)
{
    while (link->busy_from_ns > 0 && link->busy_from_ns < now_ns) {
        int64_t second = link->busy_from_ns / AGENT_NS_PER_S;
        int64_t until_ns = (second + 1) * AGENT_NS_PER_S;
        int bin = (int)(second % ACT_BUSY_BINS);
        until_ns = until_ns < now_ns ? until_ns : now_ns;
        if (now_ns - link->busy_from_ns > ACT_BUSY_BINS * AGENT_NS_PER_S) {
            link->busy_from_ns = now_ns - ACT_BUSY_BINS * AGENT_NS_PER_S; /* older is forgotten */
            continue;
        }
        if (link->busy_bin_s[bin] != second) {
            link->busy_bin_s[bin] = second;
            link->busy_ns[bin] = 0;
        }
        link->busy_ns[bin] += until_ns - link->busy_from_ns;
        link->busy_from_ns = until_ns;
    }
}

void act_link_wire(struct agent_act *act, int link, int change)
{
    struct act_link *state = &act->links[link];
    int64_t now_ns = agent_loop_now_ns(act->loop);

    account(state, now_ns);
    state->on_wire += change;
    if (state->on_wire > 0 && state->busy_from_ns == 0) {
        state->busy_from_ns = now_ns;
    } else if (state->on_wire == 0) {
        state->busy_from_ns = 0;
    }
}

double act_link_busy(const struct agent_act *act, int link)
{
    struct act_link *state = &act->links[link];
    int64_t now_ns = agent_loop_now_ns(act->loop);
    int64_t first = now_ns / AGENT_NS_PER_S - ACT_BUSY_BINS + 1;
    int64_t since_ns = now_ns - act->started_ns;
    int64_t busy_ns = 0;

    account(state, now_ns);
    for (int bin = 0; bin < ACT_BUSY_BINS; bin++) {
        busy_ns += state->busy_bin_s[bin] >= first ? state->busy_ns[bin] : 0;
    }
    since_ns =
        since_ns < ACT_BUSY_BINS * AGENT_NS_PER_S ? since_ns : ACT_BUSY_BINS * AGENT_NS_PER_S;
    return since_ns > 0 ? fmin(1.0, (double)busy_ns / (double)since_ns) : 0;
}
