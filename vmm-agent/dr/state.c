/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - demand response in the agent's state document (docs/demand-response.md)
 * Owner, thread, time, units: private.h. */
#include <math.h>
#include <string.h>

#include "dr/private.h"

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Seconds from the call to @at_ns; null until it happened. */
static json_t *seconds(const struct dr_answer *answer, int64_t at_ns)
{
    return at_ns == 0 ? json_null() : json_real((double)(at_ns - answer->asked_ns) / 1e9);
}

static json_t *site_names(const struct agent_dr *dr, uint64_t sites)
{
    json_t *names = json_array();

    for (size_t site = 0; site < dr->schedule.site_count; site++) {
        if ((sites >> site & 1) != 0) {
            json_array_append_new(names, json_string(dr->schedule.sites[site].name));
        }
    }
    return names;
}

static json_t *took_json(const struct dr_answer *answer)
{
    json_t *object = json_object();

    for (int kind = 0; kind <= AGENT_DR_MIGRATE; kind++) {
        if (answer->took[kind] > 0) {
            json_object_set_new(object, agent_dr_measure_name((enum agent_dr_measure_kind)kind),
                                json_integer(answer->took[kind]));
        }
    }
    return object;
}

static json_t *delivered_json(const struct agent_dr *dr, const struct dr_outcome_of *outcome)
{
    const struct agent_dr_delivered *delivered = &outcome->outcome.delivered;
    char from[AGENT_DR_TIME_TEXT_SIZE];
    char to[AGENT_DR_TIME_TEXT_SIZE];

    return json_pack(
        "{s:s,s:s,s:i,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:s,s:f}", "event", outcome->event, "site",
        dr->schedule.sites[outcome->site].name, "interval", (int)outcome->outcome.interval, "from",
        agent_dr_time_format(outcome->outcome.from_ms, from), "to",
        agent_dr_time_format(outcome->outcome.to_ms, to), "drawn_kw", number(delivered->drawn_kw),
        "baseline_kw", number(delivered->baseline.kw), "change_kw", number(delivered->change_kw),
        "sigma_kw", number(delivered->sigma_kw), "energy_kwh", number(delivered->energy_kwh),
        "method", agent_dr_method_name(delivered->baseline.method), "covered", delivered->covered);
}

json_t *dr_answer_json(const struct agent_dr *dr, const struct dr_answer *answer)
{
    char from[AGENT_DR_TIME_TEXT_SIZE];
    char to[AGENT_DR_TIME_TEXT_SIZE];
    json_t *object = json_pack(
        "{s:s,s:s,s:s,s:i,s:o,s:s,s:s,s:b,s:f,s:f}", "event", answer->event, "origin",
        agent_dr_origin_name(answer->origin), "kind", agent_dr_kind_name(answer->kind), "interval",
        (int)answer->interval, "sites", site_names(dr, answer->sites), "from",
        agent_dr_time_format(answer->from_ms, from), "to", agent_dr_time_format(answer->to_ms, to),
        "open", (int)answer->open, "value", answer->value, "within_s", answer->within_s);

    json_object_set_new(object, "target_kw", number(answer->target_kw));
    json_object_set_new(object, "planned_kw", number(answer->planned_kw));
    json_object_set_new(object, "reached_kw", number(answer->reached_kw));
    json_object_set_new(object, "missing_kw", number(answer->missing_kw));
    json_object_set_new(object, "cost_yen", number(answer->cost_yen));
    json_object_set_new(object, "best_possible", json_boolean(answer->optimal));
    json_object_set_new(object, "corrections", json_integer(answer->corrections));
    json_object_set_new(object, "decided_real_s", seconds(answer, answer->decided_ns));
    json_object_set_new(object, "commanded_real_s", seconds(answer, answer->done_ns));
    json_object_set_new(object, "changed_real_s", seconds(answer, answer->changed_ns));
    json_object_set_new(object, "measures", took_json(answer));
    return object;
}

static json_t *sites_json(const struct agent_dr *dr)
{
    json_t *list = json_array();

    for (size_t index = 0; index < dr->schedule.site_count; index++) {
        const struct dr_site *site = &dr->sites[index];
        struct agent_dr_cell cell = {0};
        dr->world->cell(dr->world_opaque, index, &cell);
        json_array_append_new(
            list, json_pack("{s:s,s:b,s:o,s:o,s:o,s:o,s:f}", "site", dr->schedule.sites[index].name,
                            "answering", (int)site->active, "power_kw", number(site->now_kw),
                            "sigma_kw", number(site->now_sigma_kw), "reference_kw",
                            site->active ? number(site->reference_kw) : json_null(), "battery",
                            cell.full_kwh > 0 ? number(cell.held_kwh / cell.full_kwh) : json_null(),
                            "battery_kw", site->set_kw));
    }
    return list;
}

/* Our hands, and copies that are held or being made. */
static json_t *guests_json(const struct agent_dr *dr)
{
    static const char *const names[] = {"none", "capped", "paused", "releasing", "moving"};
    size_t count = dr->world->guests(dr->world_opaque);
    json_t *list = json_array();

    for (size_t index = 0; index < count && index < AGENT_DR_GUESTS_MAX; index++) {
        const struct dr_hand *hand = &dr->hands[index];
        struct agent_dr_guest guest;
        dr->world->guest(dr->world_opaque, index, &guest);
        int held = guest.armed_site >= 0 ? guest.armed_site : guest.arming_site;
        if (hand->action == DR_NONE && held < 0) {
            continue;
        }
        json_t *entry = json_pack("{s:s,s:s,s:b}", "vm", guest.name, "measure", names[hand->action],
                                  "armed", (int)(guest.armed_site >= 0));
        json_object_set_new(entry, "copy_at",
                            held >= 0 && held < (int)dr->schedule.site_count
                                ? json_string(dr->schedule.sites[held].name)
                                : json_null());
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *frequency_json(const struct agent_dr *dr)
{
    if (dr->settings->frequency.meter == NULL) {
        return json_null();
    }
    return json_pack("{s:o,s:f,s:b,s:f}", "hz",
                     dr->droop.hz > 0 ? json_real(dr->droop.hz) : json_null(), "nominal_hz",
                     dr->settings->frequency.nominal_hz, "stale", (int)dr->droop.stale, "answer_kw",
                     dr->droop.answer_kw);
}

/* Oldest first, wherever they are kept. */
static void add_answers(const struct agent_dr *dr, json_t *list)
{
    int64_t last_ns = INT64_MIN;
    size_t last = 0;

    for (size_t turn = 0; turn < dr->answer_count; turn++) {
        size_t next = dr->answer_count;
        for (size_t index = 0; index < dr->answer_count; index++) {
            int64_t at_ns = dr->answers[index].asked_ns;
            bool later = at_ns > last_ns || (at_ns == last_ns && turn > 0 && index > last);
            if (later && (next == dr->answer_count || at_ns < dr->answers[next].asked_ns)) {
                next = index;
            }
        }
        if (next == dr->answer_count) {
            return;
        }
        json_array_append_new(list, dr_answer_json(dr, &dr->answers[next]));
        last_ns = dr->answers[next].asked_ns;
        last = next;
    }
}

json_t *agent_dr_state(const struct agent_dr *dr)
{
    json_t *events = json_array();
    json_t *answers = json_array();
    json_t *delivered = json_array();

    for (size_t index = 0; index < dr->schedule.count; index++) {
        json_array_append_new(events, agent_dr_event_json(dr->schedule.events[index]));
    }
    add_answers(dr, answers);
    for (size_t index = 0; index < dr->outcome_count; index++) {
        json_array_append_new(delivered, delivered_json(dr, &dr->outcomes[index]));
    }
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "sites", sites_json(dr), "events", events,
                     "answers", answers, "delivered", delivered, "guests", guests_json(dr),
                     "frequency", frequency_json(dr), "openadr",
                     dr->ven != NULL ? agent_dr_ven_json(dr->ven) : json_null());
}
