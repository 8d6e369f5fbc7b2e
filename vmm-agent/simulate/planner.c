/* SPDX-License-Identifier: GPL-2.0-or-later */
/* planner.c - the day plan as a strategy: the view as an instance, the plan as a schedule
 * The instance goes through the same JSON an operator would write, so that a simulation exercises
 * exactly what runs in production. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan/plan.h"
#include "simulate/strategy.h"

#define NAME_SIZE 32

static const char *site_name(size_t site, char *out)
{
    snprintf(out, NAME_SIZE, "s%zu", site);
    return out;
}

static json_t *numbers(const double *value, double fallback)
{
    json_t *list = json_array();

    for (int slot = 0; slot < AGENT_SIM_SLOTS; slot++) {
        double number = value != NULL && isfinite(value[slot]) ? value[slot] : fallback;
        json_array_append_new(list, json_real(number));
    }
    return list;
}

static json_t *site_json(const struct agent_sim_view *view, size_t site)
{
    static const char *const names[SIM_QUANTILES] = {"p10", "p50", "p90"};
    json_t *surplus = json_object();
    char name[NAME_SIZE];

    for (int q = 0; q < SIM_QUANTILES; q++) {
        json_object_set_new(surplus, names[q], numbers(view->renewable[site][q], 0.0));
    }
    return json_pack("{s:s, s:i, s:f, s:o, s:o, s:o}", "id", site_name(site, name), "cpu",
                     agent_sim_capacity(view->world, site), "ram_gb", 1e9, "price_yen_per_kwh",
                     numbers(view->price[site], 0.0), "carbon_g_per_kwh",
                     numbers(view->carbon[site], 0.0), "surplus_kw", surplus);
}

/* VMs of a group that are running, by site and by how long they must still stay. */
static json_t *running_json(const struct agent_sim_view *view, const struct agent_sim_state *start,
                            size_t g)
{
    int dwell = view->world->groups[g].dwell_slots;
    json_t *running = json_array();
    char name[NAME_SIZE];

    for (size_t s = 0; s < view->world->site_count; s++) {
        int settled = start->place.count[g][s];
        for (int age = 0; age < dwell; age++) {
            int young = start->age[g][s][age];
            settled -= young;
            if (young > 0) {
                json_array_append_new(running,
                                      json_pack("{s:s, s:i, s:i}", "site", site_name(s, name),
                                                "count", young, "dwell_left", dwell - age));
            }
        }
        if (settled > 0) {
            json_array_append_new(
                running, json_pack("{s:s, s:i}", "site", site_name(s, name), "count", settled));
        }
    }
    return running;
}

static json_t *group_json(const struct agent_sim_view *view, const struct agent_sim_state *start,
                          size_t g)
{
    const struct agent_sim_group *group = &view->world->groups[g];
    char name[NAME_SIZE];

    snprintf(name, sizeof(name), "g%zu", g);
    return json_pack(
        "{s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:i, s:o}", "id", name, "count", group->count, "cpu",
        1, "ram_gb", 1, "power_w", group->power_kw * 1000.0, "move_gb", group->move_gb,
        "yen_per_move", group->move_gb * view->world->yen_per_gb, "min_dwell_slots",
        group->dwell_slots > 1 ? group->dwell_slots : 1, "running", running_json(view, start, g));
}

static json_t *links_json(const struct agent_sim_world *world)
{
    json_t *links = json_array();
    char from[NAME_SIZE];
    char to[NAME_SIZE];

    for (size_t a = 0; a < world->site_count; a++) {
        for (size_t b = 0; b < world->site_count; b++) {
            if (a != b) {
                json_array_append_new(links, json_pack("{s:s, s:s, s:f}", "from",
                                                       site_name(a, from), "to", site_name(b, to),
                                                       "rate_gbit_s", world->link_gbit_s));
            }
        }
    }
    return links;
}

static json_t *unknown_json(const struct agent_sim_view *view)
{
    json_t *unknown = json_array();
    char name[NAME_SIZE];

    for (size_t s = 0; s < view->world->site_count; s++) {
        if (view->frozen[s] != NULL) {
            json_array_append_new(unknown,
                                  json_pack("{s:s, s:s, s:s}", "signal", "surplus", "site",
                                            site_name(s, name), "reason", view->frozen[s]));
        }
    }
    return unknown;
}

static json_t *instance_json(const struct agent_sim_view *view, const struct agent_sim_state *start)
{
    json_t *sites = json_array();
    json_t *groups = json_array();

    for (size_t s = 0; s < view->world->site_count; s++) {
        json_array_append_new(sites, site_json(view, s));
    }
    for (size_t g = 0; g < view->world->group_count; g++) {
        json_array_append_new(groups, group_json(view, start, g));
    }
    return json_pack("{s:s, s:i, s:{s:f}, s:o, s:o, s:o, s:o}", "schema", AGENT_PLAN_SCHEMA,
                     "slots", AGENT_SIM_SLOTS, "weights", "carbon_yen_per_kg",
                     view->world->yen_per_ton / 1000.0, "sites", sites, "links",
                     links_json(view->world), "groups", groups, "unknown", unknown_json(view));
}

static void schedule_from(const struct agent_plan *plan, struct agent_sim_place *schedule)
{
    memset(schedule, 0, AGENT_SIM_SLOTS * sizeof(*schedule));
    for (int k = 0; k < plan->leg_count; k++) {
        const struct plan_leg *leg = &plan->legs[k];
        for (int slot = 0; slot < AGENT_SIM_SLOTS; slot++) {
            schedule[slot].count[leg->group][leg->sites[slot]] += leg->count;
        }
    }
}

static int decide(const struct agent_sim_view *view, const struct agent_sim_state *start,
                  struct agent_sim_place *schedule, struct agent_error *error)
{
    struct agent_plan_options options = {0};
    struct agent_plan_instance *instance = NULL;
    struct agent_plan *plan = NULL;
    json_t *root = instance_json(view, start);

    if (root == NULL) {
        return agent_error_set(error, ENOMEM, "simulation: out of memory for a plan");
    }
    int result = agent_plan_instance_parse(root, &instance, error);
    json_decref(root);
    if (result == 0) {
        result = agent_plan_solve(instance, &options, &plan, NULL, error);
    }
    if (result == 0) {
        schedule_from(plan, schedule);
    }
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    return result;
}

const struct agent_sim_strategy agent_sim_planner = {
    .name = "plan",
    .summary = "the day plan: price, carbon, surplus quantiles, dwell and migration costs",
    .decide = decide,
};
