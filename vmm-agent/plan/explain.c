/* SPDX-License-Identifier: GPL-2.0-or-later */
/* explain.c - why a plan is as it is: signals that kept things in place, full resources and what
 * one more unit would be worth, and for each group what its way costs against other ways
 * Owner: caller.   Thread: any.   Time: slots of the instance.   Units: yen at shadow prices.
 *
 * At the plan's shadow prices a unit's way is the cheapest or, because units are whole, close to
 * it; the difference to staying is the reason to move. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan_json.h"
#include "plan/route.h"

#define WORTH_MIN 1e-6

struct explainer {
    const struct agent_plan *plan;
    struct plan_model *model;
    struct plan_route_desk desk;
    double *row;
    double *load;
};

static void set_prices(struct explainer *explainer)
{
    static const enum plan_kind kinds[PLAN_PRICE_KINDS] = {
        PLAN_ENERGY, PLAN_PEAK,     PLAN_POWER,    PLAN_CPU,     PLAN_RAM,
        PLAN_GIVE,   PLAN_GIVE + 1, PLAN_GIVE + 2, PLAN_GIVE + 3};
    const struct agent_plan *plan = explainer->plan;
    const struct plan_model *model = explainer->model;

    for (int slot = 0; slot < model->slots; slot++) {
        for (int site = 0; site < model->sites; site++) {
            int cell = slot * model->sites + site;
            for (int kind = 0; kind < PLAN_PRICE_KINDS; kind++) {
                explainer->row[plan_row_at(model, kinds[kind], slot, site)] =
                    plan_price_of(plan, kind, site)[slot];
            }
            for (int kind = PLAN_PRICE_LOAD; kind <= PLAN_PRICE_POWER; kind++) {
                explainer->load[cell] +=
                    model->kw_scale[cell] * plan_price_of(plan, kind, site)[slot];
            }
        }
        for (int link = 0; link < model->links; link++) {
            explainer->row[plan_row_link(model, slot, link)] =
                plan->link_price[link * model->slots + slot];
        }
    }
}

static void add_full(json_t *list, const char *where, const char *what, const double *values,
                     const struct agent_plan *plan)
{
    json_t *slots = json_array();
    double most = 0;

    for (int slot = 0; slot < plan->slots; slot++) {
        if (values[slot] > WORTH_MIN) {
            json_array_append_new(slots, json_integer(plan->instance->first + slot));
            most = fmax(most, values[slot]);
        }
    }
    if (most > 0) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:o}", "where", where, "what", what,
                                              "worth_yen_max", most, "slots", slots));
    } else {
        json_decref(slots);
    }
}

static json_t *full_json(const struct agent_plan *plan)
{
    static const char *const names[PLAN_PRICE_KINDS] = {NULL,
                                                        "contract demand, kW",
                                                        "power, kW",
                                                        "cpu, cores",
                                                        "ram, GB",
                                                        "primary reserve up, kW",
                                                        "reserve up, kW",
                                                        "primary reserve down, kW",
                                                        "reserve down, kW"};
    const struct agent_plan_instance *instance = plan->instance;
    json_t *list = json_array();
    char where[160];

    for (int site = 0; site < instance->site_count; site++) {
        for (int kind = PLAN_PRICE_PEAK; kind < PLAN_PRICE_KINDS; kind++) {
            add_full(list, instance->sites[site].id, names[kind], plan_price_of(plan, kind, site),
                     plan);
        }
    }
    for (int link = 0; link < instance->link_count; link++) {
        snprintf(where, sizeof(where), "%s to %s", instance->sites[instance->links[link].from].id,
                 instance->sites[instance->links[link].to].id);
        add_full(list, where, "migration, GB", plan->link_price + link * plan->slots, plan);
    }
    return list;
}

static int class_of(const struct plan_model *model, int group)
{
    for (int index = 0; index < model->class_count; index++) {
        for (int member = 0; member < model->classes[index].member_count; member++) {
            if (model->classes[index].members[member] == group) {
                return index;
            }
        }
    }
    return -1;
}

static void start_of(const struct explainer *explainer, const struct plan_leg *leg,
                     struct plan_start *start)
{
    const struct agent_plan_instance *instance = explainer->model->instance;

    *start = (struct plan_start){-1, leg->count, 0};
    if (leg->start >= 0) {
        const struct plan_running *running = &instance->groups[leg->group].running[leg->start];
        bool stay = instance->groups[leg->group].frozen != NULL ||
                    instance->sites[running->site].frozen != NULL;
        start->site = running->site;
        start->hold = stay || running->dwell_left > explainer->model->slots
                          ? explainer->model->slots
                          : running->dwell_left;
    }
}

static const char *reason_of(const struct explainer *explainer, const struct plan_leg *leg,
                             double stay, double way)
{
    const struct agent_plan_instance *instance = explainer->model->instance;
    const struct plan_group *group = &instance->groups[leg->group];
    int site = leg->start >= 0 ? group->running[leg->start].site : -1;
    bool moves = false;

    for (int slot = 0; slot < explainer->plan->slots; slot++) {
        moves = moves || (site >= 0 && leg->sites[slot] != site);
    }
    if (group->frozen != NULL) {
        return "kept in place: its power is unknown";
    }
    if (site >= 0 && instance->sites[site].frozen != NULL) {
        return "kept in place: a signal of its site is unknown";
    }
    if (site < 0) {
        return "newly placed";
    }
    if (!(group->allowed >> site & 1)) {
        return "must leave: the site is not allowed";
    }
    if (!moves) {
        return "stays: no way is cheaper by more than its moves cost";
    }
    return way < stay ? "moves: cheaper at the prices of energy and capacity"
                      : "moves: makes room for others, or rounds a share to whole VMs";
}

static json_t *leg_json(struct explainer *explainer, const struct plan_leg *leg)
{
    const struct plan_model *model = explainer->model;
    const struct plan_class *class = &model->classes[class_of(model, leg->group)];
    struct plan_prices prices = {explainer->row, explainer->load};
    struct plan_start start;
    uint8_t sites[AGENT_PLAN_SLOTS_MAX];
    double stay = NAN;

    start_of(explainer, leg, &start);
    plan_route_nodes(&explainer->desk, model, class, &prices);
    plan_route_solve(&explainer->desk, model, class, explainer->row);
    double best = plan_route_take(&explainer->desk, model, class, &start, sites);
    double way =
        plan_route_cost(&explainer->desk, model, class, &start, leg->sites, explainer->row);
    if (start.site >= 0 && (class->allowed >> start.site & 1)) {
        memset(sites, start.site, (size_t)model->slots);
        stay = plan_route_cost(&explainer->desk, model, class, &start, sites, explainer->row);
    }
    return json_pack("{s:i, s:o, s:s, s:f, s:o, s:f}", "count", leg->count, "at",
                     plan_way_json(explainer->plan, leg), "reason",
                     reason_of(explainer, leg, stay, way), "way_yen", way, "stay_yen",
                     isfinite(stay) ? json_real(stay) : json_null(), "cheapest_yen", best);
}

static json_t *groups_json(struct explainer *explainer, const char *only)
{
    const struct agent_plan *plan = explainer->plan;
    json_t *list = json_array();
    json_t *ways = NULL;

    for (int leg = 0; leg < plan->leg_count; leg++) {
        int group = plan->legs[leg].group;
        const char *id = plan->instance->groups[group].id;
        if (only != NULL && strcmp(only, id) != 0) {
            continue;
        }
        if (leg == 0 || ways == NULL || group != plan->legs[leg - 1].group) {
            ways = json_array();
            json_array_append_new(list, json_pack("{s:s, s:o}", "id", id, "ways", ways));
        }
        json_array_append_new(ways, leg_json(explainer, &plan->legs[leg]));
    }
    return list;
}

static json_t *explain(struct explainer *explainer, const char *group)
{
    const struct agent_plan *plan = explainer->plan;
    const struct plan_model *model = explainer->model;
    json_t *root = json_object();

    explainer->row = calloc((size_t)model->row_count + 1, sizeof(double));
    explainer->load = calloc((size_t)(model->slots * model->sites) + 1, sizeof(double));
    if (root == NULL || explainer->row == NULL || explainer->load == NULL ||
        plan_route_desk_init(&explainer->desk, model) < 0) {
        json_decref(root);
        return NULL;
    }
    set_prices(explainer);
    json_object_set_new(root, "schema", json_string("apn-migrate/plan-reasons/1"));
    json_object_set_new(root, "unknown", plan_kept_json(plan->instance));
    json_object_set_new(root, "full", full_json(plan));
    json_object_set_new(root, "groups", groups_json(explainer, group));
    return root;
}

json_t *agent_plan_explain(const struct agent_plan *plan, const char *group)
{
    struct explainer explainer = {.plan = plan};
    struct agent_error error = {0};
    json_t *root = NULL;

    if (plan_model_new(plan->instance, &explainer.model, &error) == 0) {
        root = explain(&explainer, group);
        plan_route_desk_done(&explainer.desk);
        plan_model_free(explainer.model);
    }
    free(explainer.row);
    free(explainer.load);
    return root;
}
