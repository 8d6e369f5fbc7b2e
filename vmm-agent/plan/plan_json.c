/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan_json.c - plans to and from JSON
 * Owner: caller.   Thread: any.   Time: slots of the instance.   Units: as in plan.h.
 *
 * Nothing in the document depends on the machine or the clock: same instance, same bytes. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan/plan.h"
#include "support/json.h"

static const char *const price_names[PLAN_PRICE_KINDS] = {
    "load",       "peak",         "power",          "cpu",          "ram",
    "primary_up", "secondary_up", "primary_down", "secondary_down"};

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *series(const double *values, int count)
{
    json_t *list = json_array();

    for (int at = 0; at < count; at++) {
        json_array_append_new(list, json_real(values[at] == 0 ? 0.0 : values[at]));
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
                     "carbon_kg", figures->carbon_kg, "moved_gb", figures->moved_gb,
                     "blackout_s", figures->blackout_s, "moves", (json_int_t)figures->moves);
}

static json_t *way_json(const struct agent_plan *plan, const struct plan_leg *leg)
{
    const struct agent_plan_instance *instance = plan->instance;
    const struct plan_group *group = &instance->groups[leg->group];
    json_t *at = json_array();
    int before = -1;

    for (int slot = 0; slot < plan->slots; slot++) {
        if (leg->sites[slot] != before) {
            before = leg->sites[slot];
            json_array_append_new(at, json_pack("[i, s]", instance->first + slot,
                                                instance->sites[before].id));
        }
    }
    json_t *way = json_pack("{s:i, s:o}", "count", leg->count, "at", at);
    if (leg->start >= 0) {
        json_object_set_new(way, "running", json_integer(leg->start));
        json_object_set_new(way, "from",
                            json_string(instance->sites[group->running[leg->start].site].id));
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
    json_t *list = json_array();

    for (int site = 0; site < instance->site_count; site++) {
        json_t *prices = json_object();
        for (int kind = 0; kind < PLAN_PRICE_KINDS; kind++) {
            const double *values = plan_price_of(plan, kind, site);
            if (any(values, plan->slots)) {
                json_object_set_new(prices, price_names[kind], series(values, plan->slots));
            }
        }
        json_t *entry = json_pack("{s:s, s:o}", "id", instance->sites[site].id, "prices", prices);
        if (instance->sites[site].battery.present) {
            json_object_set_new(entry, "battery_rise_kwh",
                                series(plan->rise_kwh + site * plan->slots, plan->slots));
        }
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *links_json(const struct agent_plan *plan)
{
    const struct agent_plan_instance *instance = plan->instance;
    json_t *list = json_array();

    for (int link = 0; link < instance->link_count; link++) {
        const double *values = plan->link_price + link * plan->slots;
        if (any(values, plan->slots)) {
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:o}", "from",
                                instance->sites[instance->links[link].from].id, "to",
                                instance->sites[instance->links[link].to].id, "yen_per_gb",
                                series(values, plan->slots)));
        }
    }
    return list;
}

static json_t *kept_json(const struct agent_plan_instance *instance)
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
    json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "schema", AGENT_PLAN_RESULT_SCHEMA,
                             "name", instance->name, "start", instance->start, "slots",
                             instance->slots, "start_slot", instance->first, "end_slot",
                             instance->end);

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
    json_object_set_new(root, "kept", kept_json(instance));
    json_object_set_new(root, "groups", groups_json(plan));
    json_object_set_new(root, "sites", sites_json(plan));
    json_object_set_new(root, "links", links_json(plan));
    return root;
}

struct plan_reader {
    const struct agent_plan_instance *instance;
    struct agent_plan *plan;
    struct agent_error *error;
    char where[128];
};

static int find_site(const struct agent_plan_instance *instance, const char *id)
{
    for (int site = 0; id != NULL && site < instance->site_count; site++) {
        if (strcmp(instance->sites[site].id, id) == 0) {
            return site;
        }
    }
    return -1;
}

static int read_series(struct plan_reader *reader, const json_t *list, const char *key,
                       double *out)
{
    int slots = reader->plan->slots;

    if (!json_is_array(list) || json_array_size(list) != (size_t)slots) {
        return agent_error_set(reader->error, EINVAL, "%s: %s is not an array of %d numbers",
                               reader->where, key, slots);
    }
    for (int slot = 0; slot < slots; slot++) {
        const json_t *value = json_array_get(list, (size_t)slot);
        if (!json_is_number(value) || !isfinite(json_number_value(value))) {
            return agent_error_set(reader->error, EINVAL, "%s: %s: slot %d is not a number",
                                   reader->where, key, slot);
        }
        out[slot] = json_number_value(value);
    }
    return 0;
}

static int read_site(struct plan_reader *reader, const json_t *entry, bool prices_only)
{
    struct agent_plan *plan = reader->plan;
    int site = find_site(reader->instance, json_string_value(json_object_get(entry, "id")));
    const json_t *prices = json_object_get(entry, "prices");
    const json_t *rise = json_object_get(entry, "battery_rise_kwh");
    int ret = 0;

    if (site < 0) {
        return prices_only ? 0
                           : agent_error_set(reader->error, EINVAL, "%s: unknown site",
                                             reader->where);
    }
    for (int kind = 0; ret == 0 && kind < PLAN_PRICE_KINDS; kind++) {
        const json_t *values = json_object_get(prices, price_names[kind]);
        if (values != NULL) {
            double *out = plan_price_of(plan, kind, site);
            ret = read_series(reader, values, price_names[kind], out);
            for (int slot = 0; ret == 0 && slot < plan->slots; slot++) {
                if (out[slot] < 0 || out[slot] > 1e12) {
                    ret = agent_error_set(reader->error, EINVAL, "%s: %s: slot %d is %g",
                                          reader->where, price_names[kind], slot, out[slot]);
                }
            }
        }
    }
    if (ret == 0 && rise != NULL && !prices_only) {
        ret = read_series(reader, rise, "battery_rise_kwh", plan->rise_kwh + site * plan->slots);
    }
    return ret;
}

static int read_link(struct plan_reader *reader, const json_t *entry)
{
    const struct agent_plan_instance *instance = reader->instance;
    int from = find_site(instance, json_string_value(json_object_get(entry, "from")));
    int to = find_site(instance, json_string_value(json_object_get(entry, "to")));

    for (int link = 0; link < instance->link_count; link++) {
        if (instance->links[link].from == from && instance->links[link].to == to) {
            double *out = reader->plan->link_price + link * reader->plan->slots;
            int ret = read_series(reader, json_object_get(entry, "yen_per_gb"), "yen_per_gb", out);
            for (int slot = 0; ret == 0 && slot < reader->plan->slots; slot++) {
                out[slot] = fmin(fmax(out[slot], 0), 1e12);
            }
            return ret;
        }
    }
    return 0;
}

static int read_way(struct plan_reader *reader, const json_t *way, struct plan_leg *leg)
{
    const struct agent_plan_instance *instance = reader->instance;
    const json_t *at = json_object_get(way, "at");
    json_int_t count = json_integer_value(json_object_get(way, "count"));
    const json_t *start = json_object_get(way, "running");
    int slot = instance->first;
    int site = -1;

    leg->start = start != NULL ? (int)json_integer_value(start) : -1;
    leg->count = (int)count;
    if (count < 1 || count > AGENT_PLAN_COUNT_MAX || leg->start < -1 ||
        leg->start >= instance->groups[leg->group].running_count || json_array_size(at) == 0) {
        return agent_error_set(reader->error, EINVAL, "%s: a way needs count 1.., at and running",
                               reader->where);
    }
    for (size_t step = 0; step <= json_array_size(at); step++) {
        const json_t *pair = json_array_get(at, step);
        bool last = step == json_array_size(at);
        json_int_t next = last ? instance->end : json_integer_value(json_array_get(pair, 0));
        if ((step == 0 && next != instance->first) || next < slot || next > instance->end ||
            (step > 0 && !last && next == slot)) {
            return agent_error_set(reader->error, EINVAL,
                                   "%s: at: slot %lld is not in order within %d..%d", reader->where,
                                   (long long)next, instance->first, instance->end - 1);
        }
        for (; slot < (int)next; slot++) {
            leg->sites[slot - instance->first] = (uint8_t)site;
        }
        site = last ? site : find_site(instance, json_string_value(json_array_get(pair, 1)));
        if (site < 0) {
            return agent_error_set(reader->error, EINVAL, "%s: at: unknown site '%.64s'",
                                   reader->where,
                                   json_is_string(json_array_get(pair, 1))
                                       ? json_string_value(json_array_get(pair, 1))
                                       : "(not text)");
        }
    }
    return 0;
}

static int read_groups(struct plan_reader *reader, const json_t *list)
{
    const struct agent_plan_instance *instance = reader->instance;
    struct agent_plan *plan = reader->plan;
    size_t legs = 0;

    if (json_array_size(list) != (size_t)instance->group_count) {
        return agent_error_set(reader->error, EINVAL, "plan: groups has %zu members, instance %d",
                               json_array_size(list), instance->group_count);
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        legs += json_array_size(json_object_get(json_array_get(list, index), "ways"));
    }
    plan->legs = plan_arena_get(&plan->arena, legs, sizeof(*plan->legs));
    uint8_t *sites = plan_arena_get(&plan->arena, legs, (size_t)plan->slots);
    if (plan->legs == NULL || sites == NULL) {
        return agent_error_set(reader->error, ENOMEM, "plan: out of memory");
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *entry = json_array_get(list, index);
        const json_t *ways = json_object_get(entry, "ways");
        const char *id = json_string_value(json_object_get(entry, "id"));
        snprintf(reader->where, sizeof(reader->where), "plan: groups[%zu]", index);
        if (id == NULL || strcmp(id, instance->groups[index].id) != 0) {
            return agent_error_set(reader->error, EINVAL, "%s is not '%s'", reader->where,
                                   instance->groups[index].id);
        }
        for (size_t way = 0; way < json_array_size(ways); way++) {
            struct plan_leg *leg = &plan->legs[plan->leg_count];
            leg->group = (int)index;
            leg->sites = sites + (size_t)plan->leg_count * (size_t)plan->slots;
            int ret = read_way(reader, json_array_get(ways, way), leg);
            if (ret < 0) {
                return ret;
            }
            plan->leg_count++;
        }
    }
    return 0;
}

static int read_frame(struct plan_reader *reader, const json_t *root)
{
    const struct agent_plan_instance *instance = reader->instance;
    const char *schema = json_string_value(json_object_get(root, "schema"));
    json_int_t first = json_integer_value(json_object_get(root, "start_slot"));
    json_int_t end = json_integer_value(json_object_get(root, "end_slot"));

    if (schema == NULL || strcmp(schema, AGENT_PLAN_RESULT_SCHEMA) != 0) {
        return agent_error_set(reader->error, EINVAL, "plan: schema is not '%s'",
                               AGENT_PLAN_RESULT_SCHEMA);
    }
    if (first != instance->first || end != instance->end) {
        return agent_error_set(reader->error, EINVAL,
                               "plan: covers slots %lld..%lld, the instance %d..%d",
                               (long long)first, (long long)end - 1, instance->first,
                               instance->end - 1);
    }
    return 0;
}

static int read_all(struct plan_reader *reader, const json_t *root, bool prices_only)
{
    const json_t *sites = json_object_get(root, "sites");
    const json_t *links = json_object_get(root, "links");
    int ret = read_frame(reader, root);

    for (size_t index = 0; ret == 0 && index < json_array_size(sites); index++) {
        snprintf(reader->where, sizeof(reader->where), "plan: sites[%zu]", index);
        ret = read_site(reader, json_array_get(sites, index), prices_only);
    }
    for (size_t index = 0; ret == 0 && index < json_array_size(links); index++) {
        snprintf(reader->where, sizeof(reader->where), "plan: links[%zu]", index);
        ret = read_link(reader, json_array_get(links, index));
    }
    if (ret == 0 && !prices_only) {
        ret = read_groups(reader, json_object_get(root, "groups"));
    }
    return ret;
}

int agent_plan_from_json(const json_t *root, const struct agent_plan_instance *instance,
                         bool prices_only, struct agent_plan **out, struct agent_error *error)
{
    struct plan_reader reader = {.instance = instance, .error = error, .where = "plan"};
    int ret;

    reader.plan = agent_plan_new(instance);
    if (reader.plan == NULL) {
        return agent_error_set(error, ENOMEM, "plan: out of memory");
    }
    ret = read_all(&reader, root, prices_only);
    if (ret < 0) {
        agent_plan_free(reader.plan);
        return ret;
    }
    const json_t *bound = json_object_get(root, "bound_yen");
    reader.plan->bound = json_is_number(bound) ? json_number_value(bound) : -INFINITY;
    *out = reader.plan;
    return 0;
}
