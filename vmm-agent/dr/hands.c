/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hands.c - what became of what was done, and copies held beforehand
 * Owner, thread, time, units: private.h. */
#include <math.h>

#include "dr/private.h"

#define REST_S       60 /* after a refusal a guest is left alone */
#define REARM_S      60 /* after a copy was lost, before the next one of this guest */
#define ARM_EVERY_S  5
#define SETTLE_MIN_S 2 /* a command takes so long to be seen in the world */

double dr_hands_held(const struct agent_dr *dr, uint64_t sites)
{
    double sum = 0;
    size_t guests = dr_guest_count(dr);

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

void dr_hands_adopt(struct agent_dr *dr)
{
    size_t guests = dr_guest_count(dr);

    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        dr_guest(dr, index, &guest);
        adopt(&dr->hands[index], &guest);
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
        dr_count_end(dr, hand->to, hand->kw);
        hand->from = hand->to;
        dr_undo(dr, index);
    } else {
        dr_count_end(dr, hand->from, hand->kw);
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
            dr_count_move(dr, hand, 1);
        }
        hand->action = DR_NONE;
        hand->arm_ns = 0;
        return true;
    }
    if (!guest->moving && age_s > SETTLE_MIN_S) { /* it stayed where it was */
        if (releasing) {
            dr_count_move(dr, hand, -1);
        }
        hand->action = DR_NONE;
        hand->rest_ns = dr_now_ns(dr) + REST_S * AGENT_NS_PER_S;
        return true;
    }
    return false;
}

void dr_hands_settle(struct agent_dr *dr)
{
    size_t guests = dr_guest_count(dr);
    bool changed = false;

    for (size_t index = 0; index < guests; index++) {
        struct dr_hand *hand = &dr->hands[index];
        struct agent_dr_guest guest;
        dr_guest(dr, index, &guest);
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
    size_t guests = dr_guest_count(dr);
    double best = -1;
    int found = -1;

    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        dr_guest(dr, index, &guest);
        uint64_t dests = guest.dest_sites & ~(UINT64_C(1) << reserve->site);
        dests &= reserve->to_site >= 0 ? UINT64_C(1) << reserve->to_site : ~UINT64_C(0);
        if (guest.site != (int)reserve->site || guest.fixed || guest.moving || dests == 0 ||
            guest.armed_site >= 0 || guest.arming_site >= 0 ||
            (guest.may & AGENT_DR_MAY_MOVE) == 0 || dr->hands[index].action != DR_NONE ||
            dr_now_ns(dr) < dr->hands[index].rest_ns || dr_now_ns(dr) < dr->hands[index].arm_ns) {
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
    size_t guests = dr_guest_count(dr);
    double sum = 0;

    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        dr_guest(dr, index, &guest);
        if (guest.site == (int)site && (guest.armed_site >= 0 || guest.arming_site >= 0)) {
            sum += guest.power_kw;
        }
    }
    return sum;
}

/* More is held than promised: the least useful copy is let go, if the rest is enough by a tenth. */
static void disarm_spare(struct agent_dr *dr, size_t site, double spare_kw)
{
    size_t guests = dr_guest_count(dr);

    for (size_t index = 0; index < guests; index++) {
        struct agent_dr_guest guest;
        dr_guest(dr, index, &guest);
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
    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        if (dr->sites[site].active) {
            return; /* making a copy draws power at both ends, now of all times */
        }
    }
    for (size_t index = 0; index < dr->settings->reserve_count; index++) {
        const struct agent_dr_reserve *reserve = &dr->settings->reserves[index];
        struct agent_dr_cell cell = {0};
        dr->world->cell(dr->world_opaque, reserve->site, &cell);
        double wanted_kw = reserve->down_kw - fmin(cell.give_kw, cell.held_kwh);
        double held_kw = armed_at(dr, reserve->site);
        if (held_kw > wanted_kw) {
            disarm_spare(dr, reserve->site, held_kw - fmax(wanted_kw, 0));
        }
        int dest = -1;
        int guest = held_kw < wanted_kw ? best_to_arm(dr, reserve, &dest) : -1;
        struct agent_error error = {0};
        if (guest >= 0) {
            dr->hands[guest].arm_ns = now_ns + REARM_S * AGENT_NS_PER_S;
        }
        if (guest >= 0 && dr->world->arm(dr->world_opaque, (size_t)guest, dest, &error) < 0) {
            dr_refused(dr, (size_t)guest, "arm", &error);
        }
    }
}
