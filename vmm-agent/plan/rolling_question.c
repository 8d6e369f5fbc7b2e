/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rolling_question.c - sites, links, groups and what was committed, as an instance in JSON
 * Owner: caller.   Thread: any.   Time: slots of the window; those outside first..end are 0.
 * Units: as in rolling.h. */
#include "plan/rolling_question.h"

#include <math.h>
#include <string.h>

#define RATE_MAX_GBIT_S 1e5

static bool planned(const struct agent_roll *roll, int slot)
{
    return slot >= roll->first && slot < roll->end;
}

/* A series of the window: null where a planned slot is not known and the site is not frozen anyway,
 * which the reader takes for unknown; 0 elsewhere. */
static json_t *series(const struct agent_roll *roll, const double *values, bool frozen)
{
    json_t *list = json_array();

    for (int slot = 0; slot < AGENT_ROLL_SLOTS; slot++) {
        bool known = values != NULL && isfinite(values[slot]);
        bool needed = planned(roll, slot) && !frozen;
        json_array_append_new(list, known && planned(roll, slot) ? json_real(fmax(values[slot], 0))
                                    : needed && values != NULL   ? json_null()
                                                                 : json_real(0));
    }
    return list;
}

static json_t *battery(const struct plan_battery *from)
{
    json_t *object =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "charge_kw", from->charge_kw, "discharge_kw",
                  from->discharge_kw, "charge_efficiency", from->charge_efficiency,
                  "discharge_efficiency", from->discharge_efficiency, "soc_min_kwh",
                  from->soc_min_kwh, "soc_max_kwh", from->soc_max_kwh);

    if (isfinite(from->soc_kwh)) {
        double level = fmin(fmax(from->soc_kwh, from->soc_min_kwh), from->soc_max_kwh);
        json_object_set_new(object, "soc_kwh", json_real(level));
        json_object_set_new(object, "soc_final_kwh", json_real(fmin(from->soc_final_kwh, level)));
    }
    return object;
}

static json_t *site(const struct agent_roll *roll, const struct agent_roll_site *from)
{
    static const char *const names[PLAN_QUANTILES] = {"p10", "p50", "p90"};
    bool frozen = from->unknown_signal != NULL;
    json_t *surplus = json_object();

    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        json_object_set_new(surplus, names[quantile],
                            series(roll, from->surplus_kw[quantile], frozen));
    }
    json_t *object =
        json_pack("{s:s, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:f, s:f}", "id", from->id, "cpu",
                  from->cpu, "ram_gb", from->ram_gb, "idle_kw", from->idle_kw, "pue", from->pue,
                  "price_yen_per_kwh", series(roll, from->price, frozen), "carbon_g_per_kwh",
                  series(roll, from->carbon, frozen), "surplus_kw", surplus, "demand_yen_per_kw",
                  from->demand_yen_per_kw, "peak_so_far_kw", from->peak_so_far_kw);
    if (from->area != NULL) {
        json_object_set_new(object, "area", json_string(from->area));
    }
    if (isfinite(from->power_kw)) {
        json_object_set_new(object, "power_kw", json_real(from->power_kw));
    }
    if (isfinite(from->contract_kw)) {
        json_object_set_new(object, "contract_kw", json_real(from->contract_kw));
    }
    if (from->battery != NULL) {
        json_object_set_new(object, "battery", battery(from->battery));
    }
    return object;
}

/* Load that the document planned for @id in window slot @slot, kW; NAN = it does not say. */
static double load_before(const struct agent_roll *roll, const char *id, int slot)
{
    int64_t window = agent_roll_slot(roll->before);
    json_int_t first = json_integer_value(json_object_get(roll->before, "start_slot"));
    int64_t at = roll->day_slot + slot - window - first;
    const json_t *entry = NULL;
    size_t index = 0;

    json_array_foreach(json_object_get(roll->before, "sites"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "id"));
        if (name != NULL && strcmp(name, id) == 0 && window >= 0 && at >= 0) {
            const json_t *value = json_array_get(json_object_get(entry, "load_kw"), (size_t)at);
            return json_is_number(value) ? json_number_value(value) : (double)NAN;
        }
    }
    return NAN;
}

/* Import of a load at the renewable power that is expected now. Purchases follow the forecast of
 * the sun until delivery by themselves; only load that moves after gate closure departs from them.
 */
static double import_kw(const struct agent_roll *roll, const struct agent_roll_site *site, int slot)
{
    static const double usual[PLAN_QUANTILES] = AGENT_PLAN_RISK_USUAL;
    const double *risk = roll->risk[0] + roll->risk[1] + roll->risk[2] > 0 ? roll->risk : usual;
    double load = load_before(roll, site->id, slot);
    double kw = 0;

    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        double surplus = site->surplus_kw[quantile] != NULL ? site->surplus_kw[quantile][slot] : 0;
        kw += risk[quantile] * fmax(0, load - (isfinite(surplus) ? surplus : 0));
    }
    return isfinite(load) ? kw : (double)NAN;
}

/* kW that the sites of @area bought for @slot, NAN when that is not known of one of them. */
static double committed(const struct agent_roll *roll, const char *area, int slot)
{
    double kw = 0;

    for (size_t index = 0; index < roll->site_count; index++) {
        if (roll->sites[index].area != NULL && strcmp(roll->sites[index].area, area) == 0) {
            kw += import_kw(roll, &roll->sites[index], slot);
        }
    }
    return kw;
}

/* Slots from the first on that are past gate closure and were bought by the plan before. */
static int gated(const struct agent_roll *roll, const char *area)
{
    int slots = 0;

    while (roll->before != NULL && slots < roll->gate_slots && roll->first + slots < roll->end &&
           isfinite(committed(roll, area, roll->first + slots))) {
        slots++;
    }
    return slots;
}

static json_t *area(const struct agent_roll *roll, const struct agent_roll_site *of)
{
    int gate = gated(roll, of->area);
    json_t *kw = json_array();
    json_t *up = json_array();
    json_t *down = json_array();

    for (int slot = 0; slot < AGENT_ROLL_SLOTS; slot++) {
        bool inside = planned(roll, slot) && slot < roll->first + gate;
        double price = of->price != NULL && isfinite(of->price[slot]) ? of->price[slot] : 0;
        double spread = roll->imbalance_yen_per_kwh;
        json_array_append_new(kw, json_real(inside ? fmax(committed(roll, of->area, slot), 0) : 0));
        json_array_append_new(up, json_real(price + spread));
        json_array_append_new(down, json_real(fmax(price - spread, 0)));
    }
    return json_pack("{s:s, s:i, s:o, s:o, s:o}", "id", of->area, "gate_slots", gate,
                     "committed_kw", kw, "imbalance_up_yen_per_kwh", up,
                     "imbalance_down_yen_per_kwh", down);
}

static json_t *areas(const struct agent_roll *roll)
{
    json_t *list = json_array();

    for (size_t index = 0; index < roll->site_count; index++) {
        bool seen = roll->sites[index].area == NULL;
        for (size_t other = 0; other < index && !seen; other++) {
            seen = roll->sites[other].area != NULL &&
                   strcmp(roll->sites[other].area, roll->sites[index].area) == 0;
        }
        if (!seen) {
            json_array_append_new(list, area(roll, &roll->sites[index]));
        }
    }
    return list;
}

static json_t *link_of(const struct agent_roll *roll, const struct agent_roll_link *from)
{
    json_t *rate = isfinite(from->rate_gbit_s)
                       ? json_real(fmin(fmax(from->rate_gbit_s, 0), RATE_MAX_GBIT_S))
                       : json_null();

    return json_pack("{s:s, s:s, s:o, s:f, s:f}", "from", roll->sites[from->from].id, "to",
                     roll->sites[from->to].id, "rate_gbit_s", rate, "yen_per_gb", from->yen_per_gb,
                     "blackout_ms", from->blackout_ms);
}

static json_t *group(const struct agent_roll *roll, const struct agent_roll_group *from)
{
    json_t *running = json_array();
    json_t *allowed = json_array();

    for (size_t index = 0; index < from->running_count; index++) {
        const struct plan_running *entry = &from->running[index];
        int hold = from->fixed != NULL ? roll->end - roll->first : entry->dwell_left;
        json_array_append_new(running,
                              json_pack("{s:s, s:i, s:i}", "site", roll->sites[entry->site].id,
                                        "count", entry->count, "dwell_left", hold));
    }
    for (size_t index = 0; index < roll->site_count; index++) {
        if (from->sites >> index & 1) {
            json_array_append_new(allowed, json_string(roll->sites[index].id));
        }
    }
    return json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:o, s:o}", "id", from->id,
                     "count", from->count, "cpu", from->cpu, "ram_gb", from->ram_gb, "power_w",
                     from->power_w, "move_gb", from->move_gb, "yen_per_move", from->yen_per_move,
                     "yen_per_blackout_s", from->yen_per_blackout_s, "min_dwell_slots",
                     from->dwell_slots > 1 ? from->dwell_slots : 1, "running", running, "sites",
                     allowed);
}

static json_t *unknown(const struct agent_roll *roll)
{
    json_t *list = json_array();

    for (size_t index = 0; index < roll->site_count; index++) {
        const struct agent_roll_site *from = &roll->sites[index];
        if (from->unknown_signal != NULL) {
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s}", "signal", from->unknown_signal,
                                            "site", from->id, "reason", from->unknown_reason));
        }
    }
    return list;
}

json_t *roll_question(const struct agent_roll *roll)
{
    char start[AGENT_TIME_TEXT_SIZE];
    json_t *sites = json_array();
    json_t *links = json_array();
    json_t *groups = json_array();

    for (size_t index = 0; index < roll->site_count; index++) {
        json_array_append_new(sites, site(roll, &roll->sites[index]));
    }
    for (size_t index = 0; index < roll->link_count; index++) {
        json_array_append_new(links, link_of(roll, &roll->links[index]));
    }
    for (size_t index = 0; index < roll->group_count; index++) {
        json_array_append_new(groups, group(roll, &roll->groups[index]));
    }
    agent_time_format(agent_slot_start(roll->day_slot), start);
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:{s:f, s:f, s:f}, s:o, s:o, s:o, s:o, s:o}",
                  "schema", AGENT_PLAN_SCHEMA, "name", roll->name, "start", start, "slots",
                  AGENT_ROLL_SLOTS, "start_slot", roll->first, "end_slot", roll->end, "weights",
                  "price", roll->weight_price, "carbon_yen_per_kg", roll->carbon_yen_per_kg,
                  "grid_yen_per_kwh", roll->grid_yen_per_kwh, "areas", areas(roll), "sites", sites,
                  "links", links, "groups", groups, "unknown", unknown(roll));
    const double *risk = roll->risk;
    if (root != NULL && risk[0] + risk[1] + risk[2] > 0) {
        json_object_set_new(
            root, "risk",
            json_pack("{s:f, s:f, s:f}", "p10", risk[0], "p50", risk[1], "p90", risk[2]));
    }
    return root;
}
