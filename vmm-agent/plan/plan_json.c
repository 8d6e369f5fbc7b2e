/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan_json.c - plans to JSON
 * Owner: caller.   Thread: any.   Time: slots of the instance.   Units: as in plan.h.
 *
 * Nothing in the document depends on the machine or the clock: same instance, same bytes. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "plan/plan_json.h"

const char *const plan_price_names[PLAN_PRICE_KINDS] = {
    "load",       "peak",         "power",        "cpu",           "ram",
    "primary_up", "secondary_up", "primary_down", "secondary_down"};

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *plan_series_json(const double *values, int count)
{
    json_t *list = json_array();

    for (int at = 0; at < count; at++) {
        json_array_append_new(list, !isfinite(values[at])
                                        ? json_null()
                                        : json_real(values[at] == 0 ? 0.0 : values[at]));
    }
    return list;
}

static bool any(const double *values, int count)
{
    for (int at = 0; at < count; at++) {
        if (values[at] != 0) {
            return true;
        }
    }
    return false;
}

static json_t *cost_json(const struct plan_cost *cost)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "total", cost->total, "energy",
                     cost->energy, "carbon", cost->carbon, "grid", cost->grid, "imbalance",
                     cost->imbalance, "demand", cost->demand, "moves", cost->moves);
}

static json_t *figures_json(const struct plan_figures *figures)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "load_kwh", figures->load_kwh,
                     "import_kwh", figures->import_kwh, "renewable_kwh", figures->renewable_kwh,
                     "carbon_kg", figures->carbon_kg, "moved_gb", figures->moved_gb, "blackout_s",
                     figures->blackout_s, "moves", (json_int_t)figures->moves);
}

json_t *plan_way_json(const struct agent_plan *plan, const struct plan_leg *leg)
{
    const struct agent_plan_instance *instance = plan->instance;
    json_t *at = json_array();
    int before = -1;

    for (int slot = 0; slot < plan->slots; slot++) {
        if (leg->sites[slot] != before) {
            before = leg->sites[slot];
            json_array_append_new(
                at, json_pack("[i, s]", instance->first + slot, instance->sites[before].id));
        }
    }
    return at;
}

static json_t *way_json(const struct agent_plan *plan, const struct plan_leg *leg)
{
    const struct plan_group *group = &plan->instance->groups[leg->group];
    json_t *way = json_pack("{s:i, s:o}", "count", leg->count, "at", plan_way_json(plan, leg));

    if (leg->start >= 0) {
        const struct plan_site *from = &plan->instance->sites[group->running[leg->start].site];
        json_object_set_new(way, "running", json_integer(leg->start));
        json_object_set_new(way, "from", json_string(from->id));
    }
    return way;
}

static json_t *groups_json(const struct agent_plan *plan)
{
    json_t *list = json_array();
    json_t *ways = NULL;

    for (int leg = 0; leg < plan->leg_count; leg++) {
        const char *id = plan->instance->groups[plan->legs[leg].group].id;
        if (leg == 0 || plan->legs[leg].group != plan->legs[leg - 1].group) {
            ways = json_array();
            json_array_append_new(list, json_pack("{s:s, s:o}", "id", id, "ways", ways));
        }
        json_array_append_new(ways, way_json(plan, &plan->legs[leg]));
    }
    return list;
}

static json_t *sites_json(const struct agent_plan *plan)
{
    const struct agent_plan_instance *instance = plan->instance;
    int cells = instance->site_count * plan->slots;
    double *load_kw = calloc((size_t)cells * 2, sizeof(*load_kw));
    json_t *list = load_kw != NULL ? json_array() : NULL;

    if (load_kw != NULL) {
        agent_plan_loads(plan, load_kw, load_kw + cells);
    }

    for (int site = 0; load_kw != NULL && site < instance->site_count; site++) {
        json_t *prices = json_object();
        for (int kind = 0; kind < PLAN_PRICE_KINDS; kind++) {
            const double *values = plan_price_of(plan, kind, site);
            if (any(values, plan->slots)) {
                json_object_set_new(prices, plan_price_names[kind],
                                    plan_series_json(values, plan->slots));
            }
        }
        const double *kw = load_kw + site * plan->slots;
        json_t *entry = json_pack("{s:s, s:o, s:o, s:o}", "id", instance->sites[site].id, "prices",
                                  prices, "load_kw", plan_series_json(kw, plan->slots),
                                  "import_kwh", plan_series_json(kw + cells, plan->slots));
        if (instance->sites[site].battery.present) {
            json_object_set_new(entry, "battery_rise_kwh",
                                plan_series_json(plan->rise_kwh + site * plan->slots, plan->slots));
        }
        json_array_append_new(list, entry);
    }
    free(load_kw);
    return list;
}

static json_t *links_json(const struct agent_plan *plan)
{
    const struct agent_plan_instance *instance = plan->instance;
    json_t *list = json_array();

    for (int link = 0; link < instance->link_count; link++) {
        const double *values = plan->link_price + link * plan->slots;
        if (any(values, plan->slots)) {
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:o}", "from",
                                            instance->sites[instance->links[link].from].id, "to",
                                            instance->sites[instance->links[link].to].id,
                                            "yen_per_gb", plan_series_json(values, plan->slots)));
        }
    }
    return list;
}

json_t *plan_kept_json(const struct agent_plan_instance *instance)
{
    json_t *list = json_array();

    for (int index = 0; index < instance->unknown_count; index++) {
        const struct plan_unknown *unknown = &instance->unknowns[index];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "signal", unknown->signal,
                                              "where", unknown->where, "reason", unknown->reason,
                                              "effect", unknown->effect));
    }
    return list;
}

json_t *agent_plan_to_json(const struct agent_plan *plan)
{
    const struct agent_plan_instance *instance = plan->instance;
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "schema", AGENT_PLAN_RESULT_SCHEMA, "name",
                  instance->name, "start", instance->start, "slots", instance->slots, "start_slot",
                  instance->first, "end_slot", instance->end);

    if (root == NULL) {
        return NULL;
    }
    json_object_set_new(root, "cost_yen", cost_json(&plan->cost));
    json_object_set_new(root, "bound_yen", number_or_null(plan->bound));
    json_object_set_new(root, "bound_rounding_yen", json_real(plan->bound_error));
    json_object_set_new(root, "gap", number_or_null(plan->gap));
    json_object_set_new(root, "stay_cost_yen", number_or_null(plan->stay_cost));
    json_object_set_new(root, "figures", figures_json(&plan->figures));
    json_object_set_new(root, "sweeps", json_integer(plan->sweeps));
    json_object_set_new(root, "stopped",
                        json_string(plan->stop == PLAN_STOP_TIME ? "time-limit" : "converged"));
    json_object_set_new(root, "kept", plan_kept_json(instance));
    json_object_set_new(root, "groups", groups_json(plan));
    json_object_set_new(root, "sites", sites_json(plan));
    json_object_set_new(root, "links", links_json(plan));
    return root;
}
