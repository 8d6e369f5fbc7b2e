/* SPDX-License-Identifier: GPL-2.0-or-later */
/* answers.c - what holds now, as changes of power, and each from its call to its end
 * Owner, thread, time, units: private.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dr/private.h"

#define REFERENCE_MS 60000 /* a site's draw before an event: the mean of the last minute */
#define RECENT_MS    2000  /* its draw just now: single samples are rough */
#define LATE_S       30    /* a slow answer that is this close to its limit becomes a fast one */

double dr_sites_kw(const struct agent_dr *dr, uint64_t sites, bool reference)
{
    double sum = 0;

    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        if ((sites >> site & 1) != 0) {
            sum += reference ? dr->sites[site].reference_kw : dr->sites[site].now_kw;
        }
    }
    return sum;
}

/* Mean draw of @sites over the last @length_ms of real time, as far as it was measured. */
static double recent_kw(const struct agent_dr *dr, uint64_t sites, int64_t length_ms)
{
    int64_t now_ms = dr_now_ms(dr);
    int64_t from_ms = now_ms - (int64_t)((double)length_ms * agent_loop_clock(dr->loop)->scale);
    double sum = 0;

    for (size_t index = 0; index < dr->schedule.site_count; index++) {
        const struct dr_site *site = &dr->sites[index];
        double sigma = 0;
        double covered = 0;
        double mean = agent_dr_history_mean(&site->history, from_ms, now_ms, &sigma, &covered);
        mean = isnan(mean) ? site->now_kw : mean;
        sum += (sites >> index & 1) != 0 ? mean : 0;
    }
    return sum;
}

/* Sites that nobody asks anything of any more forget their reference; others get one. */
static void mark_sites(struct agent_dr *dr, uint64_t active)
{
    for (size_t index = 0; index < dr->schedule.site_count; index++) {
        struct dr_site *site = &dr->sites[index];
        bool now = (active >> index & 1) != 0;
        if (now && !site->active) {
            double before_kw = recent_kw(dr, UINT64_C(1) << index, REFERENCE_MS);
            site->reference_kw = isnan(before_kw) ? 0 : before_kw;
            /* an earlier run's hands lie on guests already: without them it would draw more */
            site->reference_kw -= dr_hands_held(dr, UINT64_C(1) << index);
            site->moved_kw = 0;
        } else if (!now && site->active) {
            site->reference_kw = NAN;
        }
        site->active = now;
    }
}

static struct dr_answer *find_answer(struct agent_dr *dr, const struct agent_dr_need *need)
{
    for (size_t index = 0; index < dr->answer_count; index++) {
        struct dr_answer *answer = &dr->answers[index];
        bool frequency = need->event->origin == AGENT_DR_FREQUENCY;
        if (answer->open && strcmp(answer->event, need->event->id) == 0 &&
            answer->kind == need->kind &&
            (frequency ||
             (answer->interval == need->interval && answer->from_ms == need->from_ms))) {
            return answer;
        }
    }
    return NULL;
}

/* A place for a new answer: a free one, or the oldest that is closed. */
static struct dr_answer *place_for_answer(struct agent_dr *dr)
{
    size_t oldest = AGENT_DR_ANSWERS_MAX;

    if (dr->answer_count < AGENT_DR_ANSWERS_MAX) {
        return &dr->answers[dr->answer_count++];
    }
    for (size_t index = 0; index < AGENT_DR_ANSWERS_MAX; index++) {
        const struct dr_answer *answer = &dr->answers[index];
        if (!answer->open &&
            (oldest == AGENT_DR_ANSWERS_MAX || answer->asked_ns < dr->answers[oldest].asked_ns)) {
            oldest = index;
        }
    }
    return oldest < AGENT_DR_ANSWERS_MAX ? &dr->answers[oldest] : NULL;
}

static double within_of(const struct agent_dr *dr, const struct agent_dr_need *need)
{
    bool urgent = need->event->origin == AGENT_DR_FREQUENCY || need->kind == AGENT_DR_EMERGENCY;

    return urgent                      ? AGENT_DR_FAST_S
           : need->event->within_s > 0 ? need->event->within_s
                                       : dr->settings->within_s;
}

static struct dr_answer *open_answer(struct agent_dr *dr, const struct agent_dr_need *need)
{
    struct dr_answer *answer = place_for_answer(dr);
    int64_t now_ns = dr_now_ns(dr);
    int64_t now_ms = dr_now_ms(dr);

    if (answer == NULL) {
        dr_alert(dr, "dr/answers", "%d events hold at once: '%.60s' is not answered",
                 AGENT_DR_ANSWERS_MAX, need->event->id);
        return NULL;
    }
    *answer = (struct dr_answer){.origin = need->event->origin,
                                 .kind = need->kind,
                                 .interval = need->interval,
                                 .sites = need->sites,
                                 .within_s = within_of(dr, need),
                                 .from_ms = need->from_ms,
                                 .asked_ms = now_ms,
                                 .asked_ns = now_ns,
                                 .open = true};
    dr_alert_clear(dr, "dr/answers");
    snprintf(answer->event, sizeof(answer->event), "%s", need->event->id);
    /* it counts from the call, not from when we got round to it */
    double scale = agent_loop_clock(dr->loop)->scale;
    int64_t called_ms =
        need->from_ms > need->event->received_ms ? need->from_ms : need->event->received_ms;
    int64_t late_ns = (int64_t)((double)(now_ms - called_ms) / scale * 1e6);
    answer->asked_ns -= late_ns > 0 && late_ns < 60 * AGENT_NS_PER_S ? late_ns : 0;
    answer->start_kw = recent_kw(dr, need->sites, RECENT_MS);
    return answer;
}

/* The change that an answer owes, against the reference of its sites. */
static double target_of(struct agent_dr *dr, const struct dr_answer *answer)
{
    double reference_kw = dr_sites_kw(dr, answer->sites, true);

    switch (answer->kind) {
    case AGENT_DR_RELATIVE:
        return answer->value;
    case AGENT_DR_ABSOLUTE:
        return answer->value - reference_kw;
    case AGENT_DR_LIMIT:
        return fmin(0, answer->value - reference_kw);
    case AGENT_DR_LEVEL:
    case AGENT_DR_EMERGENCY:
        return -answer->value * dr_flexible(dr, answer->sites, answer->value > 0);
    default:
        return 0; /* charge levels are for batteries alone */
    }
}

static void carry_on(struct agent_dr *dr, struct dr_answer *answer,
                     const struct agent_dr_need *need)
{
    bool changed = answer->value != need->value;

    answer->seen = true;
    answer->to_ms = need->to_ms;
    if (changed) {
        answer->value = need->value;
        answer->correction_kw = 0;
        answer->corrections = 0;
        answer->fixed = false;
        answer->changed_ns = 0;
    }
    if (changed && answer->decided_ns != 0) { /* a new call within the same event */
        answer->asked_ns = dr_now_ns(dr);
        answer->decided_ns = 0;
        answer->done_ns = 0;
        answer->start_kw = recent_kw(dr, answer->sites, RECENT_MS);
    }
    if (!answer->fixed) {
        answer->target_kw = target_of(dr, answer);
        answer->fixed = true;
    }
}

static void close_answer(struct agent_dr *dr, struct dr_answer *answer)
{
    int64_t now_ms = dr_now_ms(dr);

    answer->open = false;
    answer->to_ms = answer->to_ms < now_ms ? answer->to_ms : now_ms;
    dr_outcome_add(dr, answer);
    dr_tell(dr, "dr.end", dr_answer_json(dr, answer));
}

/* The plan must not undo what is asked of a site. Less goes before more: a limit is a limit. */
static void lean_sites(struct agent_dr *dr)
{
    for (size_t site = 0; site < dr->schedule.site_count && dr->world->lean != NULL; site++) {
        int lean = 0;
        for (size_t index = 0; index < dr->answer_count; index++) {
            const struct dr_answer *answer = &dr->answers[index];
            bool ours = answer->open && (answer->sites >> site & 1) != 0 &&
                        answer->kind != AGENT_DR_CHARGE;
            if (ours && (answer->target_kw < 0 || answer->kind == AGENT_DR_LIMIT)) {
                lean = -1;
            } else if (ours && answer->target_kw > 0 && lean == 0) {
                lean = 1;
            }
        }
        if (lean != dr->sites[site].lean) {
            dr->sites[site].lean = lean;
            dr->world->lean(dr->world_opaque, site, lean);
        }
    }
}

void dr_answers_update(struct agent_dr *dr)
{
    size_t count =
        agent_dr_schedule_needs(&dr->schedule, dr_now_ms(dr), dr->needs, AGENT_DR_NEEDS_MAX);
    uint64_t active = 0;

    for (size_t index = 0; index < count; index++) {
        active |= dr->needs[index].shadowed == NULL ? dr->needs[index].sites : 0;
    }
    for (size_t index = 0; index < dr->answer_count; index++) {
        dr->answers[index].seen = false;
    }
    /* references first: an answer's target needs them, and an end still needs the old ones */
    for (size_t index = 0; index < count; index++) {
        struct dr_answer *answer =
            dr->needs[index].shadowed == NULL ? find_answer(dr, &dr->needs[index]) : NULL;
        if (answer != NULL) {
            answer->seen = true;
        }
    }
    for (size_t index = 0; index < dr->answer_count; index++) {
        if (dr->answers[index].open && !dr->answers[index].seen) {
            close_answer(dr, &dr->answers[index]);
        }
    }
    mark_sites(dr, active);
    for (size_t index = 0; index < count; index++) {
        const struct agent_dr_need *need = &dr->needs[index];
        struct dr_answer *answer = need->shadowed == NULL ? find_answer(dr, need) : NULL;
        if (need->shadowed == NULL && answer == NULL) {
            answer = open_answer(dr, need);
        }
        if (answer != NULL) {
            carry_on(dr, answer, need);
        }
    }
    lean_sites(dr);
}

/* When a slow answer becomes a fast one: just before its limit, when moves have had their time. What does not last twice as long as its
 * limit has half of itself. */
int64_t dr_late_ns(const struct agent_dr *dr, const struct dr_answer *answer)
{
    double lasts_s = (double)(answer->to_ms - answer->asked_ms) / 1e3 / agent_loop_clock(dr->loop)->scale;
    double limit_s = fmin(answer->within_s, fmax(lasts_s, 0) / 2);

    return answer->asked_ns + (int64_t)((limit_s - fmin(LATE_S, limit_s / 4)) * 1e9);
}

bool dr_answers_turned(const struct agent_dr *dr, int64_t since_ns)
{
    for (size_t index = 0; index < dr->answer_count; index++) {
        const struct dr_answer *answer = &dr->answers[index];
        int64_t late_ns = answer->open && answer->within_s > AGENT_DR_FAST_S ? dr_late_ns(dr, answer) : INT64_MAX;
        if (late_ns > since_ns && late_ns <= dr_now_ns(dr)) {
            return true;
        }
    }
    return false;
}

bool dr_answers_waiting(const struct agent_dr *dr)
{
    for (size_t index = 0; index < dr->answer_count; index++) {
        const struct dr_answer *answer = &dr->answers[index];
        if (answer->open && answer->done_ns != 0 && answer->changed_ns == 0 &&
            fabs(answer->planned_kw) > 0 &&
            dr_now_ns(dr) - answer->asked_ns < 60 * AGENT_NS_PER_S) {
            return true;
        }
    }
    return false;
}

/* Too little came although time to settle has passed: ask for the rest, a few times at most. */
static void correct(struct agent_dr *dr, struct dr_answer *answer)
{
    int64_t now_ns = dr_now_ns(dr);
    double sign = answer->target_kw < 0 ? -1 : 1;
    double change_kw = dr_sites_kw(dr, answer->sites, false) - dr_sites_kw(dr, answer->sites, true);
    double short_kw = sign * (answer->target_kw - change_kw);
    double slack_kw = dr->settings->tolerance * fabs(answer->target_kw);
    int64_t settle_ns = (int64_t)(dr->settings->settle_s * 1e9);

    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        slack_kw += (answer->sites >> site & 1) != 0 ? dr->sites[site].now_sigma_kw : 0;
    }
    if (now_ns - answer->settled_ns < settle_ns || answer->corrections >= DR_CORRECTIONS ||
        isnan(short_kw) || short_kw <= slack_kw || answer->missing_kw > 0) {
        return;
    }
    answer->corrections++;
    answer->correction_kw += sign * fmin(short_kw, fabs(answer->target_kw) / 2);
    answer->settled_ns = now_ns;
    dr_decide(dr);
}

void dr_answer_watch(struct agent_dr *dr)
{
    int64_t now_ns = dr_now_ns(dr);

    for (size_t index = 0; index < dr->answer_count; index++) {
        struct dr_answer *answer = &dr->answers[index];
        if (!answer->open || answer->done_ns == 0 || fabs(answer->planned_kw) <= 0) {
            continue;
        }
        double moved_kw = dr_sites_kw(dr, answer->sites, false) - answer->start_kw;
        double sign = answer->planned_kw < 0 ? -1 : 1;
        answer->reached_kw = moved_kw;
        if (answer->changed_ns == 0 && sign * moved_kw >= 0.9 * fabs(answer->planned_kw)) {
            answer->changed_ns = now_ns;
            dr_tell(dr, "dr.changed", dr_answer_json(dr, answer));
        }
        if (answer->within_s <= AGENT_DR_FAST_S && answer->kind != AGENT_DR_CHARGE) {
            correct(dr, answer);
        }
    }
}
