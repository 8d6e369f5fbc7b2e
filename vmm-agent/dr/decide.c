/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decide.c - what could be done, what is best, and doing the difference to what has been done
 * Owner, thread, time, units: private.h.
 *
 * All changes count from the reference that a site had when the first event began to hold. A guest
 * that we paused is therefore a measure like any other, a little cheaper than a new one so that
 * hands do not change without need; when the best set no longer has it, it is resumed. Guests that
 * have moved stay where they went until the planner says otherwise: what they changed is
 * subtracted. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "dr/private.h"

#define REST_S     60 /* after a refusal a guest is left alone */
#define ROUNDS_MAX 4  /* decisions in a row when commands are refused */
#define HOURS_MIN  0.05
#define GRACE_S    60 /* after a start nothing is undone before the events are known again */

struct demands {
    size_t count;
    struct agent_dr_demand list[AGENT_DR_DEMANDS_MAX];
    struct dr_answer *answers[AGENT_DR_DEMANDS_MAX];
};

static double moved_at(const struct agent_dr *dr, uint64_t sites)
{
    double sum = 0;

    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        sum += (sites >> site & 1) != 0 ? dr->sites[site].moved_kw : 0;
    }
    return sum;
}

/* What open answers still want after all moves; @fast: only those that have to be quick. */
static void collect_demands(struct agent_dr *dr, bool fast, struct demands *demands)
{
    demands->count = 0;
    for (size_t index = 0; index < dr->answer_count; index++) {
        struct dr_answer *answer = &dr->answers[index];
        bool quick = answer->within_s <= AGENT_DR_FAST_S || dr_now_ns(dr) >= dr_late_ns(dr, answer);
        bool slow = answer->origin != AGENT_DR_FREQUENCY;
        if (!answer->open || answer->kind == AGENT_DR_CHARGE || !(fast ? quick : slow) ||
            demands->count == AGENT_DR_DEMANDS_MAX) {
            continue;
        }
        double wanted = answer->target_kw + answer->correction_kw;
        double left = wanted - moved_at(dr, answer->sites);
        left = left * wanted > 0 ? left : 0; /* never the other way because too much has moved */
        demands->list[demands->count] = (struct agent_dr_demand){answer->sites, left};
        demands->answers[demands->count++] = answer;
    }
}

/* ---- the question --------------------------------------------------------------------------- */

static int ask(struct agent_dr *dr, const struct demands *demands, bool slow)
{
    double room_kw[AGENT_DR_SITES_MAX];
    double hours = HOURS_MIN;
    struct agent_error error = {0};

    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        room_kw[site] = fmin(dr->world->room_kw(dr->world_opaque, site), 1e9);
        hours = fmax(hours, dr_hours_at(dr, site));
    }
    for (size_t index = 0; index < demands->count; index++) { /* a limit is also one for arrivals */
        const struct dr_answer *answer = demands->answers[index];
        for (size_t site = 0; site < dr->schedule.site_count; site++) {
            if (answer->kind == AGENT_DR_LIMIT && answer->sites == UINT64_C(1) << site) {
                room_kw[site] = fmin(room_kw[site], answer->value - dr->sites[site].now_kw);
            }
        }
    }
    struct agent_dr_question question = {
        .measures = dr->measures,
        .measure_count = dr_measures(dr, slow),
        .demands = demands->list,
        .demand_count = demands->count,
        .room_kw = room_kw,
        .site_count = dr->schedule.site_count,
        .within_s = slow ? AGENT_DR_SLOW_S : AGENT_DR_FAST_S,
        .missing_yen_per_kw = dr->settings->missing_yen_per_kw_h * hours,
    };
    int status = agent_dr_respond(&question, &dr->choice, &error);
    if (status < 0) {
        dr_alert(dr, "dr/decide", "no decision: %s", error.text);
    } else {
        dr_alert_clear(dr, "dr/decide");
    }
    return status;
}

/* ---- doing ---------------------------------------------------------------------------------- */

void dr_refused(struct agent_dr *dr, size_t guest, const char *what,
                const struct agent_error *error)
{
    struct agent_dr_guest now;
    struct dr_hand *hand = &dr->hands[guest];

    dr_guest(dr, guest, &now);
    hand->rest_ns = dr_now_ns(dr) + REST_S * AGENT_NS_PER_S;
    dr_tell(dr, "dr.refused",
            json_pack("{s:s,s:s,s:s}", "vm", now.name, "measure", what, "text", error->text));
}

static void lay_hand(struct agent_dr *dr, size_t guest, enum dr_action action, int to)
{
    struct agent_dr_guest now;
    struct dr_hand *hand = &dr->hands[guest];

    dr_guest(dr, guest, &now);
    if (hand->action == DR_NONE) {
        hand->kw = now.power_kw;
    }
    hand->action = action;
    hand->from = now.site;
    hand->to = to;
    hand->since_ns = dr_now_ns(dr);
}

void dr_count_end(struct agent_dr *dr, int site, double kw)
{
    if (site >= 0) {
        dr->sites[site].moved_kw += kw;
    }
}

/* What moved counts from the command on; taken back if the move fails. */
void dr_count_move(struct agent_dr *dr, const struct dr_hand *hand, double sign)
{
    dr_count_end(dr, hand->from, -sign * hand->kw);
    dr_count_end(dr, hand->to, sign * hand->kw);
}

/* One picked measure on a guest. Return: 1 done, 0 it is so already, -errno refused. */
static int take(struct agent_dr *dr, const struct agent_dr_measure *measure, int dest)
{
    size_t guest = measure->guest;
    struct dr_hand *hand = &dr->hands[guest];
    struct agent_error error = {0};
    int status = 0;

    if (measure->kind == AGENT_DR_RELEASE) {
        status = dr->world->release(dr->world_opaque, guest, &error);
    } else if (measure->kind == AGENT_DR_PAUSE && hand->action != DR_PAUSED) {
        status = dr->world->pause(dr->world_opaque, guest, true, &error);
    } else if (measure->kind == AGENT_DR_CAP && hand->action != DR_CAPPED) {
        status = dr->world->cap(dr->world_opaque, guest, dr->settings->cap_share, &error);
    } else {
        return 0;
    }
    if (status < 0) {
        dr_refused(dr, guest, agent_dr_measure_name(measure->kind), &error);
        return status;
    }
    if (measure->kind == AGENT_DR_PAUSE && hand->action == DR_CAPPED) {
        dr->world->cap(dr->world_opaque, guest, 1, NULL);
    }
    lay_hand(dr, guest,
             measure->kind == AGENT_DR_RELEASE ? DR_RELEASING
             : measure->kind == AGENT_DR_PAUSE ? DR_PAUSED
                                               : DR_CAPPED,
             dest);
    if (measure->kind == AGENT_DR_RELEASE) {
        dr_count_move(dr, hand, 1);
    }
    return 1;
}

void dr_undo(struct agent_dr *dr, size_t guest)
{
    struct dr_hand *hand = &dr->hands[guest];
    struct agent_error error = {0};
    bool paused = hand->action == DR_PAUSED;
    int status = paused ? dr->world->pause(dr->world_opaque, guest, false, &error)
                        : dr->world->cap(dr->world_opaque, guest, 1, &error);

    if (status < 0 && status != -EALREADY) {
        if (dr_now_ns(dr) >= hand->rest_ns) {
            dr_refused(dr, guest, paused ? "resume" : "uncap", &error);
            hand->rest_ns = dr_now_ns(dr) + 5 * AGENT_NS_PER_S; /* this one is tried again soon */
        }
        return;
    }
    hand->action = DR_NONE;
}

static void set_cells(struct agent_dr *dr)
{
    double set_kw[AGENT_DR_SITES_MAX] = {0};

    for (size_t index = 0; index < dr->choice.count; index++) {
        const struct agent_dr_pick *pick = &dr->choice.picks[index];
        const struct agent_dr_measure *measure = &dr->measures[pick->measure];
        if (measure->kind == AGENT_DR_BATTERY) {
            set_kw[measure->site] += measure->change_kw * pick->share;
        }
    }
    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        struct agent_error error = {0};
        if (!dr_cell_taken(dr, site) && fabs(set_kw[site] - dr->sites[site].set_kw) > 1e-6) {
            if (dr->world->charge(dr->world_opaque, site, set_kw[site], &error) < 0) {
                dr_alert(dr, "dr/battery", "%s", error.text);
            } else {
                dr->sites[site].set_kw = set_kw[site];
                dr_alert_clear(dr, "dr/battery");
            }
        }
    }
}

/* Batteries that have a level to reach: towards it, evenly over the time that is left. */
static void charge_cells(struct agent_dr *dr)
{
    for (size_t index = 0; index < dr->answer_count; index++) {
        const struct dr_answer *answer = &dr->answers[index];
        for (size_t site = 0; site < dr->schedule.site_count; site++) {
            struct agent_dr_cell cell = {0};
            if (!answer->open || answer->kind != AGENT_DR_CHARGE ||
                (answer->sites >> site & 1) == 0) {
                continue;
            }
            dr->world->cell(dr->world_opaque, site, &cell);
            double hours = fmax(dr_hours_left(dr, answer->to_ms), HOURS_MIN);
            double kw = (answer->value * cell.full_kwh - cell.held_kwh) / hours;
            kw = fmin(fmax(kw, -cell.give_kw), cell.take_kw);
            if (cell.full_kwh > 0 && fabs(kw - dr->sites[site].set_kw) > 0.01 * cell.take_kw &&
                dr->world->charge(dr->world_opaque, site, kw, NULL) == 0) {
                dr->sites[site].set_kw = kw;
            }
        }
    }
}

/* Notes in the answers what was decided for them. */
static void note_decision(struct agent_dr *dr, const struct demands *demands)
{
    int64_t now_ns = dr_now_ns(dr);

    for (size_t index = 0; index < demands->count; index++) {
        struct dr_answer *answer = demands->answers[index];
        answer->missing_kw = dr->choice.missing_kw[index];
        answer->cost_yen = dr->choice.cost_yen;
        answer->optimal = dr->choice.optimal;
        memset(answer->took, 0, sizeof(answer->took));
        for (size_t pick = 0; pick < dr->choice.count; pick++) {
            const struct agent_dr_measure *measure = &dr->measures[dr->choice.picks[pick].measure];
            bool here = (answer->sites >> measure->site & 1) != 0 ||
                        (measure->other_site != AGENT_DR_NO_SITE &&
                         (answer->sites >> measure->other_site & 1) != 0);
            answer->took[measure->kind] += here ? 1 : 0;
        }
        if (answer->decided_ns == 0) {
            answer->decided_ns = now_ns;
            answer->planned_kw = dr->choice.change_kw[index] - dr_hands_held(dr, answer->sites);
        }
    }
}

static void note_done(struct agent_dr *dr, const struct demands *demands)
{
    int64_t now_ns = dr_now_ns(dr);

    for (size_t index = 0; index < demands->count; index++) {
        struct dr_answer *answer = demands->answers[index];
        if (answer->done_ns == 0) {
            answer->done_ns = now_ns;
            answer->settled_ns = now_ns;
            dr_tell(dr, "dr.answer", dr_answer_json(dr, answer));
        }
    }
}

/* Everything picked that is not so yet. Return: how many commands were refused. */
static int take_picks(struct agent_dr *dr, bool *wanted)
{
    int failures = 0;

    set_cells(dr);
    for (size_t index = 0; index < dr->choice.count; index++) {
        size_t number = dr->choice.picks[index].measure;
        const struct agent_dr_measure *measure = &dr->measures[number];
        if (measure->guest != AGENT_DR_NO_GUEST) {
            wanted[measure->guest] = true;
            failures += take(dr, measure, dr->dest[number]) < 0 ? 1 : 0;
        }
    }
    return failures;
}

static bool may_undo(const struct agent_dr *dr)
{
    return dr->listed || dr_now_ns(dr) - dr->start_ns > GRACE_S * AGENT_NS_PER_S;
}

static void decide_fast(struct agent_dr *dr)
{
    static bool wanted[AGENT_DR_GUESTS_MAX]; /* one loop, one thread */
    struct demands demands;
    size_t guests = dr_guest_count(dr);
    int failures = 1;

    for (int turn = 0; turn < ROUNDS_MAX && failures > 0; turn++) {
        memset(wanted, 0, sizeof(wanted));
        collect_demands(dr, true, &demands);
        if (ask(dr, &demands, false) < 0) {
            return;
        }
        note_decision(dr, &demands);
        failures = take_picks(dr, wanted);
    }
    for (size_t index = 0; index < guests && may_undo(dr); index++) {
        enum dr_action action = dr->hands[index].action;
        if (!wanted[index] && (action == DR_PAUSED || action == DR_CAPPED)) {
            dr_undo(dr, index);
        }
    }
    note_done(dr, &demands);
    charge_cells(dr);
}

/* Moves that the slow decision wants; together they must fit into the five minutes. */
static void begin_moves(struct agent_dr *dr)
{
    double budget_s = AGENT_DR_SLOW_S;

    for (size_t index = 0; index < dr->choice.count; index++) {
        size_t number = dr->choice.picks[index].measure;
        const struct agent_dr_measure *measure = &dr->measures[number];
        struct agent_error error = {0};
        if (measure->kind == AGENT_DR_RELEASE && measure->lead_s > AGENT_DR_FAST_S) {
            take(dr, measure, dr->dest[number]);
            continue;
        }
        enum dr_action action =
            measure->kind == AGENT_DR_MIGRATE ? dr->hands[measure->guest].action : DR_NONE;
        if (measure->kind != AGENT_DR_MIGRATE || (action != DR_NONE && action != DR_PAUSED) ||
            measure->lead_s > budget_s) {
            continue;
        }
        budget_s -= measure->lead_s;
        double benefit_yen = dr->settings->missing_yen_per_kw_h * -measure->change_kw;
        int status = dr->world->move(dr->world_opaque, measure->guest, (size_t)dr->dest[number],
                                     benefit_yen, &error);
        if (status < 0) {
            dr_refused(dr, measure->guest, "migrate", &error);
            continue;
        }
        lay_hand(dr, measure->guest, DR_MOVING, dr->dest[number]);
        dr->hands[measure->guest].stopped = action == DR_PAUSED;
        if (action == DR_PAUSED) {
            dr_count_end(dr, dr->hands[measure->guest].from, -dr->hands[measure->guest].kw);
        }
    }
}

static void decide_slow(struct agent_dr *dr)
{
    struct demands demands;

    collect_demands(dr, false, &demands);
    if (demands.count == 0 || ask(dr, &demands, true) < 0) {
        return;
    }
    struct demands slow_only = {0};
    for (size_t index = 0; index < demands.count; index++) {
        struct dr_answer *answer = demands.answers[index];
        if (answer->within_s > AGENT_DR_FAST_S && answer->done_ns == 0) {
            slow_only.answers[slow_only.count++] = answer;
            answer->decided_ns = dr_now_ns(dr);
            answer->planned_kw = dr->choice.change_kw[index];
            answer->missing_kw = dr->choice.missing_kw[index];
            answer->cost_yen = dr->choice.cost_yen;
            answer->optimal = dr->choice.optimal;
        }
    }
    begin_moves(dr);
    note_done(dr, &slow_only);
}

void dr_decide(struct agent_dr *dr)
{
    decide_fast(dr);
    decide_slow(dr);
}
