/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outcome.c - what was delivered, and telling the VTN
 * Owner, thread, time, units: private.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dr/private.h"

/* The oldest outcome makes room; by then its event has long been reported. */
static struct dr_outcome_of *place(struct agent_dr *dr)
{
    if (dr->outcome_count == DR_OUTCOMES_MAX) {
        memmove(&dr->outcomes[0], &dr->outcomes[1],
                (DR_OUTCOMES_MAX - 1) * sizeof(dr->outcomes[0]));
        dr->outcome_count--;
    }
    return &dr->outcomes[dr->outcome_count++];
}

static struct agent_dr_outcome measure(struct agent_dr *dr, size_t site,
                                       const struct agent_dr_event *event, int64_t from_ms,
                                       int64_t to_ms)
{
    const struct agent_dr_history *history = &dr->sites[site].history;
    struct agent_dr_outcome outcome = {.from_ms = from_ms, .to_ms = to_ms};
    int64_t event_ms = event != NULL ? event->start_ms : from_ms;
    int64_t end_ms = event != NULL ? event->end_ms : to_ms;
    struct agent_dr_baseline baseline =
        agent_dr_baseline_at(history, event_ms, end_ms, from_ms, to_ms);

    outcome.delivered = agent_dr_delivered_over(history, &baseline, from_ms, to_ms);
    return outcome;
}

void dr_outcome_add(struct agent_dr *dr, const struct dr_answer *answer)
{
    const struct agent_dr_event *event = agent_dr_schedule_find(&dr->schedule, answer->event);
    int64_t from_ms = answer->from_ms > answer->asked_ms ? answer->from_ms : answer->asked_ms;

    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        if ((answer->sites >> site & 1) == 0 || answer->to_ms <= from_ms) {
            continue;
        }
        struct dr_outcome_of *outcome = place(dr);
        *outcome = (struct dr_outcome_of){.site = site};
        snprintf(outcome->event, sizeof(outcome->event), "%s", answer->event);
        outcome->outcome = measure(dr, site, event, from_ms, answer->to_ms);
        outcome->outcome.interval = answer->interval;
        outcome->outcome.followed = true;
    }
}

static bool has_outcome(const struct agent_dr *dr, const struct agent_dr_event *event, size_t site,
                        int32_t interval)
{
    for (size_t index = 0; index < dr->outcome_count; index++) {
        const struct dr_outcome_of *outcome = &dr->outcomes[index];
        if (outcome->site == site && outcome->outcome.interval == interval &&
            strcmp(outcome->event, event->id) == 0) {
            return true;
        }
    }
    return false;
}

/* Intervals that were not answered (opted out, shadowed, informational) are measured all the same.
 */
static void add_rest(struct agent_dr *dr, const struct agent_dr_event *event, size_t site)
{
    bool whole = event->interval_count == 0;
    size_t count = whole ? 1 : event->interval_count;

    for (size_t index = 0; index < count; index++) {
        int32_t id = whole ? 0 : event->intervals[index].id;
        int64_t from_ms = whole ? event->start_ms : event->intervals[index].start_ms;
        int64_t to_ms = whole ? event->end_ms : event->intervals[index].end_ms;
        int64_t now_ms = dr_now_ms(dr);
        to_ms = to_ms < event->end_ms ? to_ms : event->end_ms;
        to_ms = to_ms < now_ms || whole ? to_ms : now_ms;
        if (!has_outcome(dr, event, site, id) && to_ms > from_ms) {
            struct dr_outcome_of *outcome = place(dr);
            *outcome = (struct dr_outcome_of){.site = site};
            snprintf(outcome->event, sizeof(outcome->event), "%s", event->id);
            outcome->outcome = measure(dr, site, event, from_ms, to_ms);
            outcome->outcome.interval = id;
        }
    }
}

static size_t gather(const struct agent_dr *dr, const struct agent_dr_event *event, size_t site,
                     struct agent_dr_outcome *out, size_t max)
{
    size_t count = 0;

    for (size_t index = 0; index < dr->outcome_count && count < max; index++) {
        if (dr->outcomes[index].site == site && strcmp(dr->outcomes[index].event, event->id) == 0) {
            out[count] = dr->outcomes[index].outcome;
            out[count].followed = out[count].followed && !event->opted_out;
            count++;
        }
    }
    for (size_t index = 1; index < count; index++) { /* few, and nearly in order */
        struct agent_dr_outcome moved = out[index];
        size_t at = index;
        for (; at > 0 && out[at - 1].from_ms > moved.from_ms; at--) {
            out[at] = out[at - 1];
        }
        out[at] = moved;
    }
    return count;
}

/* The sum of several sites; uncertainties of different sites are independent. */
static void sum_up(struct agent_dr_outcome *sum, const struct agent_dr_outcome *more)
{
    struct agent_dr_delivered *total = &sum->delivered;
    const struct agent_dr_delivered *part = &more->delivered;

    total->drawn_kw += part->drawn_kw;
    total->change_kw += part->change_kw;
    total->energy_kwh += part->energy_kwh;
    total->baseline.kw += part->baseline.kw;
    total->sigma_kw = hypot(total->sigma_kw, part->sigma_kw);
    total->baseline.sigma_kw = hypot(total->baseline.sigma_kw, part->baseline.sigma_kw);
    total->covered = fmin(total->covered, part->covered);
    sum->followed = sum->followed || more->followed;
}

struct collected {
    size_t sites;
    struct agent_dr_reported reported[AGENT_DR_SITES_MAX];
    struct agent_dr_offer offers[AGENT_DR_SITES_MAX];
    struct agent_dr_outcome (*outcomes)[AGENT_DR_INTERVALS_MAX]; /* per site */
};

static void aggregate(struct collected *all)
{
    for (size_t site = 1; site < all->sites; site++) {
        size_t count = all->reported[0].count < all->reported[site].count
                           ? all->reported[0].count
                           : all->reported[site].count;
        for (size_t index = 0; index < count; index++) {
            sum_up(&all->outcomes[0][index], &all->reported[site].outcomes[index]);
        }
        all->offers[0].down_kw += all->offers[site].down_kw;
        all->offers[0].up_kw += all->offers[site].up_kw;
    }
    all->reported[0].resource = "AGGREGATED_REPORT";
    all->sites = all->sites > 1 ? 1 : all->sites;
}

static void collect(struct agent_dr *dr, const struct agent_dr_event *event, struct collected *all)
{
    all->sites = 0;
    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        struct agent_dr_cell cell = {0};
        if ((event->sites >> site & 1) == 0) {
            continue;
        }
        size_t at = all->sites++;
        dr->world->cell(dr->world_opaque, site, &cell);
        all->offers[at] = (struct agent_dr_offer){
            dr_flexible(dr, UINT64_C(1) << site, true), dr_flexible(dr, UINT64_C(1) << site, false),
            cell.full_kwh > 0 ? cell.held_kwh / cell.full_kwh : NAN};
        add_rest(dr, event, site);
        all->reported[at] = (struct agent_dr_reported){
            dr->schedule.sites[site].name, all->outcomes[at],
            gather(dr, event, site, all->outcomes[at], AGENT_DR_INTERVALS_MAX)};
    }
}

static void report(struct agent_dr *dr, const struct agent_dr_event *event)
{
    static struct agent_dr_outcome outcomes[AGENT_DR_SITES_MAX][AGENT_DR_INTERVALS_MAX];
    struct agent_dr_report_context context = {.client = dr->settings->openadr.ven_name,
                                              .clock_ms = agent_dr_ven_clock_ms(dr->ven)};

    for (size_t index = 0; index < event->report_count; index++) {
        const struct agent_dr_report_request *request = &event->reports[index];
        struct collected all = {.outcomes = outcomes};
        collect(dr, event, &all);
        if (request->aggregate) {
            aggregate(&all);
        }
        context.offers = all.offers;
        json_t *body = agent_dr_report_build(event, request, all.reported, all.sites, &context);
        if (body != NULL) {
            agent_dr_ven_report(dr->ven, body);
        } else {
            dr_tell(dr, "dr.refused",
                    json_pack("{s:s,s:s}", "event", event->id, "text",
                              "a report of a type that we cannot fill in"));
        }
    }
}

void dr_outcomes_send(struct agent_dr *dr)
{
    int64_t now_ms = dr_now_ms(dr);

    for (size_t index = 0; index < dr->schedule.count; index++) {
        struct agent_dr_event *event = dr->schedule.events[index];
        bool over = event->end_ms <= now_ms || event->cancelled;
        bool asks_only = event->interval_count == 0 && !event->cancelled &&
                         event->start_ms <= now_ms && event->report_count > 0;
        if (event->reported || event->origin != AGENT_DR_VTN || (!over && !asks_only)) {
            continue;
        }
        event->reported = true;
        if (event->start_ms < now_ms &&
            dr->ven != NULL) { /* withdrawn before it began: nothing to tell */
            report(dr, event);
        }
    }
}
