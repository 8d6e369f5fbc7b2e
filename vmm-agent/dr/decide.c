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

#define KEEP_DISCOUNT 0.8
#define REST_S        60 /* after a refusal a guest is left alone */
#define ROUNDS_MAX    4  /* decisions in a row when commands are refused */
#define HOURS_MIN     0.05
#define LATE_S        30 /* a slow answer that is this close to its limit becomes a fast one */
#define GRACE_S       60 /* after a start nothing is undone before the events are known again */
#define ARM_EVERY_S   5
#define SETTLE_MIN_S  2 /* a command takes so long to be seen in the world */
#define DESTS_MAX     4
#define STOPPED_PRICE 1.2 /* moving one that stands still: only when no running one will do */

struct demands {
    size_t count;
    struct agent_dr_demand list[AGENT_DR_DEMANDS_MAX];
    struct dr_answer *answers[AGENT_DR_DEMANDS_MAX];
};

static void read_guest(const struct agent_dr *dr, size_t index, struct agent_dr_guest *out)
{
    dr->world->guest(dr->world_opaque, index, out);
}

static size_t guest_count(const struct agent_dr *dr)
{
    size_t count = dr->world->guests(dr->world_opaque);

    return count < AGENT_DR_GUESTS_MAX ? count : AGENT_DR_GUESTS_MAX;
}

/* Hours that what is done now at @site will last: the longest answer there. */
static double hours_at(const struct agent_dr *dr, size_t site)
{
    double hours = HOURS_MIN;

    for (size_t index = 0; index < dr->answer_count; index++) {
        const struct dr_answer *answer = &dr->answers[index];
        if (answer->open && (answer->sites >> site & 1) != 0) {
            hours = fmax(hours, dr_hours_left(dr, answer->to_ms));
        }
    }
    return hours;
}

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
        double waited_s = (double)(dr_now_ns(dr) - answer->asked_ns) / 1e9;
        bool quick = answer->within_s <= AGENT_DR_FAST_S || waited_s >= answer->within_s - LATE_S;
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

/* ---- measures ------------------------------------------------------------------------------- */

static void add(struct agent_dr *dr, size_t *count, const struct agent_dr_measure *measure,
                int dest)
{
    if (*count < AGENT_DR_MEASURES_MAX && measure->change_kw != 0) {
        dr->dest[*count] = dest;
        dr->measures[(*count)++] = *measure;
    }
}

/* A battery with a charge level to reach is not free for anything else. */
static bool cell_is_taken(const struct agent_dr *dr, size_t site)
{
    for (size_t index = 0; index < dr->answer_count; index++) {
        const struct dr_answer *answer = &dr->answers[index];
        if (answer->open && answer->kind == AGENT_DR_CHARGE && (answer->sites >> site & 1) != 0) {
            return true;
        }
    }
    return false;
}

static void add_cells(struct agent_dr *dr, size_t *count)
{
    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        struct agent_dr_cell cell = {0};
        double hours = hours_at(dr, site);
        dr->world->cell(dr->world_opaque, site, &cell);
        if (cell.full_kwh <= 0 || cell_is_taken(dr, site)) {
            continue;
        }
        double give_kw = fmin(cell.give_kw, cell.held_kwh / hours);
        double take_kw = fmin(cell.take_kw, (cell.full_kwh - cell.held_kwh) / hours);
        struct agent_dr_measure measure = {.kind = AGENT_DR_BATTERY,
                                           .guest = AGENT_DR_NO_GUEST,
                                           .site = (uint32_t)site,
                                           .other_site = AGENT_DR_NO_SITE,
                                           .lead_s = 1,
                                           .divisible = true};
        measure.change_kw = -fmax(0, give_kw);
        measure.cost_yen = -measure.change_kw * hours * cell.yen_per_kwh;
        add(dr, count, &measure, -1);
        measure.change_kw = fmax(0, take_kw);
        measure.cost_yen = measure.change_kw * hours * cell.yen_per_kwh;
        add(dr, count, &measure, -1);
    }
}

/* Ways for a guest to stay where it is and draw less. */
static void add_stays(struct agent_dr *dr, size_t *count, size_t index,
                      const struct agent_dr_guest *guest)
{
    const struct dr_hand *hand = &dr->hands[index];
    double kw = hand->action == DR_CAPPED || hand->action == DR_PAUSED ? hand->kw : guest->power_kw;
    double worth = guest->yen_per_hour * hours_at(dr, (size_t)guest->site);
    double cap_share = dr->settings->cap_share;
    struct agent_dr_measure measure = {.guest = (uint32_t)index,
                                       .site = (uint32_t)guest->site,
                                       .other_site = AGENT_DR_NO_SITE,
                                       .lead_s = 1};

    if ((guest->may & AGENT_DR_MAY_PAUSE) != 0) {
        measure.kind = AGENT_DR_PAUSE;
        measure.change_kw = -kw;
        measure.cost_yen = worth * (hand->action == DR_PAUSED ? KEEP_DISCOUNT : 1);
        add(dr, count, &measure, -1);
    }
    if ((guest->may & AGENT_DR_MAY_CAP) != 0 && hand->action != DR_PAUSED) {
        measure.kind = AGENT_DR_CAP;
        measure.change_kw = -kw * (1 - cap_share);
        measure.cost_yen =
            worth * (1 - cap_share) * (hand->action == DR_CAPPED ? KEEP_DISCOUNT : 1);
        add(dr, count, &measure, -1);
    }
}

/* Ways for a guest to draw its power elsewhere. */
static void add_leaves(struct agent_dr *dr, size_t *count, size_t index,
                       const struct agent_dr_guest *guest, bool slow)
{
    struct agent_dr_measure measure = {.kind = AGENT_DR_RELEASE,
                                       .guest = (uint32_t)index,
                                       .site = (uint32_t)guest->site,
                                       .change_kw = -guest->power_kw,
                                       .other_kw = guest->power_kw,
                                       .lead_s = 1,
                                       .cost_yen = guest->yen_per_move};
    int added = 0;

    bool stopped = dr->hands[index].action == DR_PAUSED;
    if (stopped) {
        measure.change_kw = -dr->hands[index].kw;
        measure.other_kw = dr->hands[index].kw;
        measure.cost_yen *= STOPPED_PRICE;
    }
    int copy = guest->armed_site >= 0 ? guest->armed_site : guest->arming_site;
    if (copy >= 0 && copy != guest->site &&
        !stopped) { /* one that still converges takes as long as a move */
        measure.other_site = (uint32_t)copy;
        measure.lead_s = guest->armed_site >= 0 ? 1 : guest->move_s;
        add(dr, count, &measure, copy);
    }
    if (!slow || copy >= 0) {
        return;
    }
    measure.kind = AGENT_DR_MIGRATE;
    measure.lead_s = guest->move_s;
    for (int site = 0; site < (int)dr->schedule.site_count && added < DESTS_MAX; site++) {
        if ((guest->dest_sites >> site & 1) != 0 && site != guest->site) {
            measure.other_site = (uint32_t)site;
            /* where the plan wants it anyway, the move is not on our account */
            measure.cost_yen = guest->yen_per_move * (site == guest->wanted_site ? 0.5 : 1) *
                               (stopped ? STOPPED_PRICE : 1);
            add(dr, count, &measure, site);
            added++;
        }
    }
}

static size_t collect_measures(struct agent_dr *dr, bool slow)
{
    size_t count = 0;
    size_t guests = guest_count(dr);
    int64_t now_ns = dr_now_ns(dr);

    add_cells(dr, &count);
    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        const struct dr_hand *hand = &dr->hands[index];
        read_guest(dr, index, &guest);
        bool ours = hand->action == DR_PAUSED || hand->action == DR_CAPPED;
        if (guest.site < 0 || guest.site >= (int)dr->schedule.site_count ||
            hand->action == DR_RELEASING || (hand->action == DR_MOVING && !slow) ||
            (!ours && (guest.fixed || now_ns < hand->rest_ns))) {
            continue;
        }
        if (hand->action == DR_MOVING && hand->stopped) {
            continue; /* its end here is counted already */
        }
        if (hand->action == DR_MOVING) { /* under way: it counts, and costs no more */
            struct agent_dr_measure moving = {AGENT_DR_MIGRATE,
                                              (uint32_t)index,
                                              (uint32_t)hand->from,
                                              (uint32_t)hand->to,
                                              -hand->kw,
                                              hand->kw,
                                              0,
                                              0,
                                              false};
            add(dr, &count, &moving, hand->to);
            continue;
        }
        add_stays(dr, &count, index, &guest);
        bool leaves = hand->action == DR_NONE || (hand->action == DR_PAUSED && slow);
        if ((guest.may & AGENT_DR_MAY_MOVE) != 0 && leaves && !guest.moving &&
            now_ns >= hand->rest_ns) {
            add_leaves(dr, &count, index, &guest, slow);
        }
    }
    return count;
}

double dr_flexible(struct agent_dr *dr, uint64_t sites, bool down)
{
    size_t count = collect_measures(dr, false);
    double sum = 0;
    uint32_t last = AGENT_DR_NO_GUEST;
    double best = 0;

    for (size_t index = 0; index < count; index++) {
        const struct agent_dr_measure *measure = &dr->measures[index];
        bool moved = measure->other_site != AGENT_DR_NO_SITE;
        double kw = (sites >> measure->site & 1) != 0 ? measure->change_kw : 0;
        kw += moved && (sites >> measure->other_site & 1) != 0 ? measure->other_kw : 0;
        kw = fmax(0, down ? -kw : kw);
        if (measure->guest == AGENT_DR_NO_GUEST || measure->guest != last) {
            sum += best;
            best = 0;
        }
        best = fmax(best, kw);
        last = measure->guest;
    }
    return sum + best;
}

/* ---- the question --------------------------------------------------------------------------- */

static int ask(struct agent_dr *dr, const struct demands *demands, bool slow)
{
    double room_kw[AGENT_DR_SITES_MAX];
    double hours = HOURS_MIN;
    struct agent_error error = {0};

    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        room_kw[site] = fmin(dr->world->room_kw(dr->world_opaque, site), 1e9);
        hours = fmax(hours, hours_at(dr, site));
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
        .measure_count = collect_measures(dr, slow),
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
    }
    return status;
}

/* ---- doing ---------------------------------------------------------------------------------- */

static void refused(struct agent_dr *dr, size_t guest, const char *what,
                    const struct agent_error *error)
{
    struct agent_dr_guest now;
    struct dr_hand *hand = &dr->hands[guest];

    read_guest(dr, guest, &now);
    hand->rest_ns = dr_now_ns(dr) + REST_S * AGENT_NS_PER_S;
    dr_tell(dr, "dr.refused",
            json_pack("{s:s,s:s,s:s}", "vm", now.name, "measure", what, "text", error->text));
}

static void lay_hand(struct agent_dr *dr, size_t guest, enum dr_action action, int to)
{
    struct agent_dr_guest now;
    struct dr_hand *hand = &dr->hands[guest];

    read_guest(dr, guest, &now);
    if (hand->action == DR_NONE) {
        hand->kw = now.power_kw;
    }
    hand->action = action;
    hand->from = now.site;
    hand->to = to;
    hand->since_ns = dr_now_ns(dr);
}

static void count_end(struct agent_dr *dr, int site, double kw)
{
    if (site >= 0) {
        dr->sites[site].moved_kw += kw;
    }
}

/* What moved counts from the command on; taken back if the move fails. */
static void count_move(struct agent_dr *dr, const struct dr_hand *hand, double sign)
{
    count_end(dr, hand->from, -sign * hand->kw);
    count_end(dr, hand->to, sign * hand->kw);
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
        refused(dr, guest, agent_dr_measure_name(measure->kind), &error);
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
        count_move(dr, hand, 1);
    }
    return 1;
}

static void undo(struct agent_dr *dr, size_t guest)
{
    struct dr_hand *hand = &dr->hands[guest];
    struct agent_error error = {0};
    bool paused = hand->action == DR_PAUSED;
    int status = paused ? dr->world->pause(dr->world_opaque, guest, false, &error)
                        : dr->world->cap(dr->world_opaque, guest, 1, &error);

    if (status < 0 && status != -EALREADY) {
        if (dr_now_ns(dr) >= hand->rest_ns) {
            refused(dr, guest, paused ? "resume" : "uncap", &error);
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
        if (!cell_is_taken(dr, site) && fabs(set_kw[site] - dr->sites[site].set_kw) > 1e-6) {
            if (dr->world->charge(dr->world_opaque, site, set_kw[site], &error) < 0) {
                dr_alert(dr, "dr/battery", "%s", error.text);
            } else {
                dr->sites[site].set_kw = set_kw[site];
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

/* What our hands change at @sites now, moves not counted. */
static double held_at(const struct agent_dr *dr, uint64_t sites)
{
    double sum = 0;
    size_t guests = guest_count(dr);

    for (size_t index = 0; index < guests; index++) {
        const struct dr_hand *hand = &dr->hands[index];
        double share = hand->action == DR_PAUSED   ? 1
                       : hand->action == DR_CAPPED ? 1 - dr->settings->cap_share
                                                   : 0;
        sum -= share > 0 && (sites >> hand->from & 1) != 0 ? share * hand->kw : 0;
    }
    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        sum += (sites >> site & 1) != 0 ? dr->sites[site].set_kw : 0;
    }
    return sum;
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
            answer->planned_kw = dr->choice.change_kw[index] - held_at(dr, answer->sites);
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
    size_t guests = guest_count(dr);
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
            undo(dr, index);
        }
    }
    note_done(dr, &demands);
    charge_cells(dr);
}

/* Is a move worth beginning for the answers that touch @site? */
static bool time_to_move(const struct agent_dr *dr, const struct agent_dr_measure *measure)
{
    for (size_t index = 0; index < dr->answer_count; index++) {
        const struct dr_answer *answer = &dr->answers[index];
        bool here = (answer->sites >> measure->site & 1) != 0 ||
                    (answer->sites >> measure->other_site & 1) != 0;
        double real_s = dr_hours_left(dr, answer->to_ms) * 3600 / agent_loop_clock(dr->loop)->scale;
        if (answer->open && here && answer->origin != AGENT_DR_FREQUENCY &&
            real_s > 2 * measure->lead_s) {
            return true;
        }
    }
    return false;
}

/* Moves that the slow decision wants; together they must fit into the five minutes. */
static void begin_moves(struct agent_dr *dr)
{
    double budget_s = AGENT_DR_SLOW_S;

    for (size_t index = 0; index < dr->choice.count; index++) {
        size_t number = dr->choice.picks[index].measure;
        const struct agent_dr_measure *measure = &dr->measures[number];
        struct agent_error error = {0};
        if (measure->kind == AGENT_DR_RELEASE && measure->lead_s > AGENT_DR_FAST_S &&
            time_to_move(dr, measure)) {
            take(dr, measure, dr->dest[number]);
            continue;
        }
        enum dr_action action =
            measure->kind == AGENT_DR_MIGRATE ? dr->hands[measure->guest].action : DR_NONE;
        if (measure->kind != AGENT_DR_MIGRATE || (action != DR_NONE && action != DR_PAUSED) ||
            measure->lead_s > budget_s || !time_to_move(dr, measure)) {
            continue;
        }
        budget_s -= measure->lead_s;
        double benefit_yen = dr->settings->missing_yen_per_kw_h * -measure->change_kw;
        int status = dr->world->move(dr->world_opaque, measure->guest, (size_t)dr->dest[number],
                                     benefit_yen, &error);
        if (status < 0) {
            refused(dr, measure->guest, "migrate", &error);
            continue;
        }
        lay_hand(dr, measure->guest, DR_MOVING, dr->dest[number]);
        dr->hands[measure->guest].stopped = action == DR_PAUSED;
        if (action == DR_PAUSED) {
            count_end(dr, dr->hands[measure->guest].from, -dr->hands[measure->guest].kw);
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

/* ---- what became of it ---------------------------------------------------------------------- */

/* After a restart the world knows better than we do whom we paused or capped. */
static void adopt(struct dr_hand *hand, const struct agent_dr_guest *guest)
{
    if (hand->action == DR_NONE && (guest->paused || guest->capped)) {
        *hand = (struct dr_hand){.action = guest->paused ? DR_PAUSED : DR_CAPPED,
                                 .from = guest->site,
                                 .to = -1,
                                 .kw = guest->power_kw};
    }
}

/* A guest that moved paused: it arrived and is to run again, or it is where it was. */
static bool settle_stopped(struct agent_dr *dr, size_t index, const struct agent_dr_guest *guest)
{
    struct dr_hand *hand = &dr->hands[index];
    double age_s = (double)(dr_now_ns(dr) - hand->since_ns) / 1e9;

    if (guest->moving || (guest->site != hand->to && age_s <= SETTLE_MIN_S)) {
        return false;
    }
    hand->stopped = false;
    hand->action = DR_PAUSED; /* if it has to be asked again, as any other that is paused */
    if (guest->site == hand->to) {
        count_end(dr, hand->to, hand->kw);
        hand->from = hand->to;
        undo(dr, index);
    } else {
        count_end(dr, hand->from, hand->kw);
        hand->rest_ns = dr_now_ns(dr) + REST_S * AGENT_NS_PER_S;
    }
    return true;
}

static bool settle(struct agent_dr *dr, struct dr_hand *hand, const struct agent_dr_guest *guest)
{
    bool releasing = hand->action == DR_RELEASING;
    double age_s = (double)(dr_now_ns(dr) - hand->since_ns) / 1e9;

    if (guest->site == hand->to && !guest->moving) {
        if (!releasing) {
            count_move(dr, hand, 1);
        }
        hand->action = DR_NONE;
        return true;
    }
    if (!guest->moving && age_s > SETTLE_MIN_S) { /* it stayed where it was */
        if (releasing) {
            count_move(dr, hand, -1);
        }
        hand->action = DR_NONE;
        hand->rest_ns = dr_now_ns(dr) + REST_S * AGENT_NS_PER_S;
        return true;
    }
    return false;
}

void dr_hands_settle(struct agent_dr *dr)
{
    size_t guests = guest_count(dr);
    bool changed = false;

    for (size_t index = 0; index < guests; index++) {
        struct dr_hand *hand = &dr->hands[index];
        struct agent_dr_guest guest;
        read_guest(dr, index, &guest);
        adopt(hand, &guest);
        if (hand->action == DR_MOVING && hand->stopped) {
            changed = settle_stopped(dr, index, &guest) || changed;
        } else if (hand->action == DR_RELEASING || hand->action == DR_MOVING) {
            changed = settle(dr, hand, &guest) || changed;
        } else if ((hand->action == DR_PAUSED && !guest.paused) ||
                   (hand->action == DR_CAPPED && !guest.capped)) {
            /* a person undid it; not at once again */
            if (dr_now_ns(dr) - hand->since_ns > SETTLE_MIN_S * AGENT_NS_PER_S) {
                hand->action = DR_NONE;
                hand->rest_ns = dr_now_ns(dr) + REST_S * AGENT_NS_PER_S;
                changed = true;
            }
        }
    }
    if (changed) {
        dr_decide(dr);
    }
}

/* ---- beforehand ----------------------------------------------------------------------------- */

/* The guest whose copy is to be held next: the plan's own moves first, then most power per yen. */
static int best_to_arm(struct agent_dr *dr, const struct agent_dr_reserve *reserve, int *dest)
{
    size_t guests = guest_count(dr);
    double best = -1;
    int found = -1;

    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        read_guest(dr, index, &guest);
        uint64_t dests = guest.dest_sites & ~(UINT64_C(1) << reserve->site);
        dests &= reserve->to_site >= 0 ? UINT64_C(1) << reserve->to_site : ~UINT64_C(0);
        if (guest.site != (int)reserve->site || guest.fixed || guest.moving || dests == 0 ||
            guest.armed_site >= 0 || guest.arming_site >= 0 ||
            (guest.may & AGENT_DR_MAY_MOVE) == 0 || dr->hands[index].action != DR_NONE ||
            dr_now_ns(dr) < dr->hands[index].rest_ns) {
            continue;
        }
        bool planned = guest.wanted_site >= 0 && (dests >> guest.wanted_site & 1) != 0;
        double score = guest.power_kw / (1 + guest.yen_per_move) + (planned ? 1e6 : 0);
        if (score > best) {
            best = score;
            found = (int)index;
            *dest = planned ? guest.wanted_site : __builtin_ctzll(dests);
        }
    }
    return found;
}

static double armed_at(struct agent_dr *dr, size_t site)
{
    size_t guests = guest_count(dr);
    double sum = 0;

    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        read_guest(dr, index, &guest);
        if (guest.site == (int)site && (guest.armed_site >= 0 || guest.arming_site >= 0)) {
            sum += guest.power_kw;
        }
    }
    return sum;
}

/* More is held than promised: the least useful copy is let go, if the rest is enough by a tenth. */
static void disarm_spare(struct agent_dr *dr, size_t site, double spare_kw)
{
    size_t guests = guest_count(dr);

    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        read_guest(dr, index, &guest);
        if (guest.site == (int)site && guest.armed_site >= 0 && guest.power_kw * 1.1 < spare_kw) {
            dr->world->arm(dr->world_opaque, index, -1, NULL);
            return;
        }
    }
}

void dr_arm(struct agent_dr *dr)
{
    int64_t now_ns = dr_now_ns(dr);

    if (now_ns < dr->arm_ns) {
        return;
    }
    dr->arm_ns = now_ns + ARM_EVERY_S * AGENT_NS_PER_S;
    for (size_t index = 0; index < dr->settings->reserve_count; index++) {
        const struct agent_dr_reserve *reserve = &dr->settings->reserves[index];
        struct agent_dr_cell cell = {0};
        if (dr->sites[reserve->site].active) {
            continue; /* it is being used */
        }
        dr->world->cell(dr->world_opaque, reserve->site, &cell);
        double wanted_kw = reserve->down_kw - fmin(cell.give_kw, cell.held_kwh);
        double held_kw = armed_at(dr, reserve->site);
        if (held_kw > wanted_kw) {
            disarm_spare(dr, reserve->site, held_kw - fmax(wanted_kw, 0));
        }
        int dest = -1;
        int guest = held_kw < wanted_kw ? best_to_arm(dr, reserve, &dest) : -1;
        struct agent_error error = {0};
        if (guest >= 0 && dr->world->arm(dr->world_opaque, (size_t)guest, dest, &error) < 0) {
            refused(dr, (size_t)guest, "arm", &error);
        }
    }
}
