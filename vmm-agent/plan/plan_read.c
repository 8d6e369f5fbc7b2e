/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan_read.c - plans from JSON: whole, or only their prices for a warm start
 * Owner: caller.   Thread: any.   Time: slots of the instance.   Units: as in plan.h.
 *
 * A whole plan must cover exactly the slots of the instance. Prices may come from a plan of another
 * part of the day or another day: each slot takes those of the same instant, else of the same time
 * of day before the end of what was planned, else of the nearest slot. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan/plan_json.h"
#include "support/slot.h"

struct plan_reader {
    const struct agent_plan_instance *instance;
    struct agent_plan *plan;
    struct agent_error *error;
    bool prices_only;
    int first; /* of the document, in slots of the instance; may be negative */
    int slots; /* of the document */
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

/* Member of the document's series that stands for @slot of the instance's planned ones. */
static int member_of(const struct plan_reader *reader, int slot)
{
    int at = reader->instance->first + slot - reader->first;

    while (at >= reader->slots && at >= AGENT_SLOTS_PER_DAY) {
        at -= AGENT_SLOTS_PER_DAY;
    }
    return at < 0 ? 0 : at < reader->slots ? at : reader->slots - 1;
}

static int read_series(struct plan_reader *reader, const json_t *list, const char *key, double *out)
{
    if (!json_is_array(list) || json_array_size(list) != (size_t)reader->slots) {
        return agent_error_set(reader->error, EINVAL, "%s: %s is not an array of %d numbers",
                               reader->where, key, reader->slots);
    }
    for (int slot = 0; slot < reader->plan->slots; slot++) {
        const json_t *value = json_array_get(list, (size_t)member_of(reader, slot));
        if (!json_is_number(value) || !isfinite(json_number_value(value))) {
            return agent_error_set(reader->error, EINVAL, "%s: %s: slot %d is not a number",
                                   reader->where, key, slot);
        }
        out[slot] = json_number_value(value);
    }
    return 0;
}

static int read_site(struct plan_reader *reader, const json_t *entry)
{
    struct agent_plan *plan = reader->plan;
    int site = find_site(reader->instance, json_string_value(json_object_get(entry, "id")));
    const json_t *prices = json_object_get(entry, "prices");
    const json_t *rise = json_object_get(entry, "battery_rise_kwh");
    int ret = 0;

    if (site < 0) {
        return reader->prices_only
                   ? 0
                   : agent_error_set(reader->error, EINVAL, "%s: unknown site", reader->where);
    }
    for (int kind = 0; ret == 0 && kind < PLAN_PRICE_KINDS; kind++) {
        const json_t *values = json_object_get(prices, plan_price_names[kind]);
        if (values != NULL) {
            double *out = plan_price_of(plan, kind, site);
            ret = read_series(reader, values, plan_price_names[kind], out);
            for (int slot = 0; ret == 0 && slot < plan->slots; slot++) {
                if (out[slot] < 0 || out[slot] > 1e12) {
                    ret = agent_error_set(reader->error, EINVAL, "%s: %s: slot %d is %g",
                                          reader->where, plan_price_names[kind], slot, out[slot]);
                }
            }
        }
    }
    if (ret == 0 && rise != NULL && !reader->prices_only) {
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
            return agent_error_set(
                reader->error, EINVAL, "%s: at: unknown site '%.64s'", reader->where,
                json_is_string(json_array_get(pair, 1)) ? json_string_value(json_array_get(pair, 1))
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

/* Slots from the start of the document's window to the start of the instance's, both whole days. */
static int shift_of(const struct plan_reader *reader, const json_t *root)
{
    const char *start = json_string_value(json_object_get(root, "start"));
    int64_t theirs = 0;
    int64_t mine = 0;

    if (start == NULL || agent_time_parse(start, &theirs, NULL) < 0 ||
        agent_time_parse(reader->instance->start, &mine, NULL) < 0 ||
        mine - theirs > AGENT_PLAN_SLOTS_MAX * AGENT_SLOT_SECONDS ||
        theirs - mine > AGENT_PLAN_SLOTS_MAX * AGENT_SLOT_SECONDS) {
        return 0;
    }
    return (int)((mine - theirs) / AGENT_SLOT_SECONDS);
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
    if (first < 0 || end <= first || end > AGENT_PLAN_SLOTS_MAX ||
        (!reader->prices_only && (first != instance->first || end != instance->end))) {
        return agent_error_set(
            reader->error, EINVAL, "plan: covers slots %lld..%lld, the instance %d..%d",
            (long long)first, (long long)end - 1, instance->first, instance->end - 1);
    }
    reader->first = (int)first - (reader->prices_only ? shift_of(reader, root) : 0);
    reader->slots = (int)(end - first);
    return 0;
}

static int read_all(struct plan_reader *reader, const json_t *root)
{
    const json_t *sites = json_object_get(root, "sites");
    const json_t *links = json_object_get(root, "links");
    int ret = read_frame(reader, root);

    for (size_t index = 0; ret == 0 && index < json_array_size(sites); index++) {
        snprintf(reader->where, sizeof(reader->where), "plan: sites[%zu]", index);
        ret = read_site(reader, json_array_get(sites, index));
    }
    for (size_t index = 0; ret == 0 && index < json_array_size(links); index++) {
        snprintf(reader->where, sizeof(reader->where), "plan: links[%zu]", index);
        ret = read_link(reader, json_array_get(links, index));
    }
    if (ret == 0 && !reader->prices_only) {
        ret = read_groups(reader, json_object_get(root, "groups"));
    }
    return ret;
}

int agent_plan_from_json(const json_t *root, const struct agent_plan_instance *instance,
                         bool prices_only, struct agent_plan **out, struct agent_error *error)
{
    struct plan_reader reader = {
        .instance = instance, .error = error, .prices_only = prices_only, .where = "plan"};
    int ret;

    reader.plan = agent_plan_new(instance);
    if (reader.plan == NULL) {
        return agent_error_set(error, ENOMEM, "plan: out of memory");
    }
    ret = read_all(&reader, root);
    if (ret < 0) {
        agent_plan_free(reader.plan);
        return ret;
    }
    const json_t *bound = json_object_get(root, "bound_yen");
    reader.plan->bound = json_is_number(bound) ? json_number_value(bound) : -INFINITY;
    *out = reader.plan;
    return 0;
}
