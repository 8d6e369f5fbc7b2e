/* SPDX-License-Identifier: GPL-2.0-or-later */
/* measures.c - what could be done now, as a list for the decision
 * Owner, thread, time, units: private.h. */
#include <math.h>

#include "dr/private.h"

#define KEEP_DISCOUNT 0.8
#define HOURS_MIN     0.05
#define DESTS_MAX     4
#define STOPPED_PRICE 1.2 /* moving one that stands still: only when no running one will do */

void dr_guest(const struct agent_dr *dr, size_t index, struct agent_dr_guest *out)
{
    dr->world->guest(dr->world_opaque, index, out);
}

size_t dr_guest_count(const struct agent_dr *dr)
{
    size_t count = dr->world->guests(dr->world_opaque);

    return count < AGENT_DR_GUESTS_MAX ? count : AGENT_DR_GUESTS_MAX;
}

/* Hours that what is done now at @site will last: the longest answer there. */
double dr_hours_at(const struct agent_dr *dr, size_t site)
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

static void add(struct agent_dr *dr, size_t *count, const struct agent_dr_measure *measure,
                int dest)
{
    if (*count < AGENT_DR_MEASURES_MAX && measure->change_kw != 0) {
        dr->dest[*count] = dest;
        dr->measures[(*count)++] = *measure;
    }
}

/* A battery with a charge level to reach is not free for anything else. */
bool dr_cell_taken(const struct agent_dr *dr, size_t site)
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
        double hours = dr_hours_at(dr, site);
        dr->world->cell(dr->world_opaque, site, &cell);
        if (cell.full_kwh <= 0 || dr_cell_taken(dr, site)) {
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
    double worth = guest->yen_per_hour * dr_hours_at(dr, (size_t)guest->site);
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

/* Is a move that takes @lead_s worth beginning for the answers at its two ends? One that nobody can wait for must not be counted on. */
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
        if (measure.lead_s <= AGENT_DR_FAST_S || time_to_move(dr, &measure)) {
            add(dr, count, &measure, copy);
        }
    }
    if (!slow || copy >= 0) {
        return;
    }
    measure.kind = AGENT_DR_MIGRATE;
    measure.lead_s = guest->move_s;
    for (int site = 0; site < (int)dr->schedule.site_count && added < DESTS_MAX; site++) {
        if ((guest->dest_sites >> site & 1) != 0 && site != guest->site) {
            measure.other_site = (uint32_t)site;
            if (!time_to_move(dr, &measure)) {
                continue;
            }
            /* where the plan wants it anyway, the move is not on our account */
            measure.cost_yen = guest->yen_per_move * (site == guest->wanted_site ? 0.5 : 1) *
                               (stopped ? STOPPED_PRICE : 1);
            add(dr, count, &measure, site);
            added++;
        }
    }
}

size_t dr_measures(struct agent_dr *dr, bool slow)
{
    size_t count = 0;
    size_t guests = dr_guest_count(dr);
    int64_t now_ns = dr_now_ns(dr);

    add_cells(dr, &count);
    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        const struct dr_hand *hand = &dr->hands[index];
        dr_guest(dr, index, &guest);
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
    size_t count = dr_measures(dr, false);
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
