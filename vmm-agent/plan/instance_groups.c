/* SPDX-License-Identifier: GPL-2.0-or-later */
/* instance_groups.c - groups of VMs, affinity, anti-affinity and unknown signals from JSON
 * Owner: reader.   Thread: any.   Time: slots.   Units: as in instance.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/instance_read.h"

static int no_memory(struct plan_reader *reader)
{
    return agent_error_set(reader->error, ENOMEM, "%s: out of memory", reader->where);
}

int plan_note_unknown(struct plan_reader *reader, const struct plan_unknown *unknown)
{
    struct agent_plan_instance *instance = reader->instance;
    struct plan_arena *arena = &instance->arena;
    size_t count = (size_t)instance->unknown_count;
    struct plan_unknown *list = plan_arena_get(arena, count + 1, sizeof(*list));

    if (list == NULL) {
        return no_memory(reader);
    }
    if (count > 0) {
        memcpy(list, instance->unknowns, count * sizeof(*list));
    }
    list[count] = (struct plan_unknown){
        plan_arena_text(arena, unknown->signal), plan_arena_text(arena, unknown->where),
        plan_arena_text(arena, unknown->reason), plan_arena_text(arena, unknown->effect)};
    if (list[count].signal == NULL || list[count].where == NULL || list[count].reason == NULL ||
        list[count].effect == NULL) {
        return no_memory(reader);
    }
    instance->unknowns = list;
    instance->unknown_count++;
    return 0;
}

static int read_allowed(struct plan_reader *reader, const json_t *object, struct plan_group *group)
{
    const struct agent_plan_instance *instance = reader->instance;
    json_t *list;

    if (json_object_get(object, "sites") == NULL) {
        group->allowed = instance->site_count == 64 ? UINT64_MAX
                                                    : (UINT64_C(1) << instance->site_count) - 1;
        return 0;
    }
    if (agent_json_array(object, reader->where, "sites", 0, AGENT_PLAN_SITES_MAX, &list,
                         reader->error) < 0) {
        return -EINVAL;
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        const char *id = json_string_value(json_array_get(list, index));
        int site = id != NULL ? plan_find_site(instance, id) : -ENOENT;
        if (site < 0) {
            return agent_error_set(reader->error, EINVAL, "%s: sites[%zu]: unknown site '%.64s'",
                                   reader->where, index, id != NULL ? id : "(not text)");
        }
        group->allowed |= UINT64_C(1) << site;
    }
    if (group->allowed == 0) {
        return agent_error_set(reader->error, EINVAL,
                               "%s: sites is empty: its %d VMs may run nowhere, 1 site is needed",
                               reader->where, group->count);
    }
    return 0;
}

static int read_running(struct plan_reader *reader, const json_t *object, struct plan_group *group)
{
    static const char *const known[] = {"site", "count", "dwell_left", NULL};
    struct agent_plan_instance *instance = reader->instance;
    char saved[PLAN_WHERE_MAX];
    json_t *list;
    int64_t total = 0;

    if (json_object_get(object, "running") == NULL) {
        return 0;
    }
    if (agent_json_array(object, reader->where, "running", 0, 4096, &list, reader->error) < 0) {
        return -EINVAL;
    }
    group->running =
        plan_arena_get(&instance->arena, json_array_size(list), sizeof(*group->running));
    if (group->running == NULL) {
        return no_memory(reader);
    }
    memcpy(saved, reader->where, sizeof(saved));
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *entry = json_array_get(list, index);
        struct plan_running *running = &group->running[group->running_count];
        int64_t count;
        int64_t dwell = 0;
        snprintf(reader->where, sizeof(reader->where), "%.120s: running[%zu]", saved, index);
        if (!json_is_object(entry)) {
            return agent_error_set(reader->error, EINVAL, "%s is not an object", reader->where);
        }
        if (agent_json_only(entry, reader->where, known, reader->error) < 0 ||
            plan_need_site(reader, entry, "site", &running->site) < 0 ||
            agent_json_integer(entry, reader->where, "count", 0, AGENT_PLAN_COUNT_MAX, &count,
                               reader->error) < 0 ||
            (json_object_get(entry, "dwell_left") != NULL &&
             agent_json_integer(entry, reader->where, "dwell_left", 0, AGENT_PLAN_SLOTS_MAX,
                                &dwell, reader->error) < 0)) {
            return -EINVAL;
        }
        running->count = (int)count;
        running->dwell_left = (int)dwell;
        total += count;
        group->running_count += count > 0;
    }
    memcpy(reader->where, saved, sizeof(saved));
    if (total > group->count) {
        return agent_error_set(reader->error, EINVAL, "%s: %lld VMs are running, count is %d",
                               reader->where, (long long)total, group->count);
    }
    return 0;
}

static int read_flex(struct plan_reader *reader, const json_t *object, struct plan_group *group)
{
    static const char *const known[] = {"primary_up", "secondary_up", "primary_down",
                                        "secondary_down", NULL};
    const json_t *flex = json_object_get(object, "flex");

    if (flex == NULL) {
        return 0;
    }
    if (agent_json_only(flex, reader->where, known, reader->error) < 0) {
        return -EINVAL;
    }
    for (int product = 0; product < PLAN_RESERVES; product++) {
        if (agent_json_number_or(flex, reader->where, known[product], (struct agent_range){0, 1},
                                 0, &group->flex[product], reader->error) < 0) {
            return -EINVAL;
        }
    }
    for (int product = PLAN_PRIMARY_UP; product < PLAN_RESERVES; product += 2) {
        if (group->flex[product] > group->flex[product + 1]) {
            return agent_error_set(reader->error, EINVAL,
                                   "%s: flex: %s %g is above %s %g; what answers in 10 s also "
                                   "answers in 5 min",
                                   reader->where, known[product], group->flex[product],
                                   known[product + 1], group->flex[product + 1]);
        }
    }
    return 0;
}

static int read_group(struct plan_reader *reader, const json_t *object, struct plan_group *group)
{
    static const char *const known[] = {
        "id",       "count",   "cpu",     "ram_gb", "power_w", "move_gb", "yen_per_move",
        "yen_per_blackout_s", "min_dwell_slots", "sites", "running", "flex", "comment", NULL};
    const struct plan_series_rule power = {"power_w", {0, 1e6}, true, 0, "power"};
    const struct agent_range size = {0, 1e6};
    struct agent_plan_instance *instance = reader->instance;
    struct agent_error *error = reader->error;
    int64_t count;
    int64_t dwell = 1;
    int null_slot;
    int ret;

    if (agent_json_only(object, reader->where, known, error) < 0 ||
        agent_json_integer(object, reader->where, "count", 1, AGENT_PLAN_COUNT_MAX, &count,
                           error) < 0 ||
        agent_json_number(object, reader->where, "cpu", size, &group->cpu, error) < 0 ||
        agent_json_number(object, reader->where, "ram_gb", size, &group->ram_gb, error) < 0 ||
        agent_json_number_or(object, reader->where, "move_gb", size, group->ram_gb,
                             &group->move_gb, error) < 0 ||
        agent_json_number_or(object, reader->where, "yen_per_move", size, 0, &group->yen_per_move,
                             error) < 0 ||
        agent_json_number_or(object, reader->where, "yen_per_blackout_s", size, 0,
                             &group->yen_per_blackout_s, error) < 0 ||
        (json_object_get(object, "min_dwell_slots") != NULL &&
         agent_json_integer(object, reader->where, "min_dwell_slots", 1, AGENT_PLAN_SLOTS_MAX,
                            &dwell, error) < 0)) {
        return -EINVAL;
    }
    group->count = (int)count;
    group->dwell_slots = (int)dwell;
    ret = plan_read_series(reader, object, &power, &group->power_kw, &null_slot);
    for (int slot = 0; ret == 0 && slot < instance->slots; slot++) {
        group->power_kw[slot] /= 1000;
    }
    if (ret == 0 && null_slot >= 0) {
        struct plan_unknown unknown = {"power", group->id, "power_w is null",
                                       "the group stays where it is"};
        group->frozen = "power";
        ret = plan_note_unknown(reader, &unknown);
    }
    ret = ret < 0 ? ret : read_allowed(reader, object, group);
    ret = ret < 0 ? ret : read_running(reader, object, group);
    return ret < 0 ? ret : read_flex(reader, object, group);
}

static int compare_ids(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int refuse_twins(struct plan_reader *reader)
{
    const struct agent_plan_instance *instance = reader->instance;
    size_t count = (size_t)instance->group_count;
    const char **ids = calloc(count + 1, sizeof(*ids));
    int ret = 0;

    if (ids == NULL) {
        return no_memory(reader);
    }
    for (size_t index = 0; index < count; index++) {
        ids[index] = instance->groups[index].id;
    }
    qsort(ids, count, sizeof(*ids), compare_ids);
    for (size_t index = 1; index < count && ret == 0; index++) {
        if (strcmp(ids[index - 1], ids[index]) == 0) {
            ret = agent_error_set(reader->error, EINVAL, "groups: the id '%s' is used twice",
                                  ids[index]);
        }
    }
    free(ids);
    return ret;
}

int plan_read_groups(struct plan_reader *reader, const json_t *root)
{
    struct agent_plan_instance *instance = reader->instance;
    json_t *list;
    int ret = agent_json_array(root, "instance", "groups", 0, AGENT_PLAN_GROUPS_MAX, &list,
                               reader->error);

    if (ret < 0) {
        return ret;
    }
    instance->groups =
        plan_arena_get(&instance->arena, json_array_size(list), sizeof(*instance->groups));
    if (instance->groups == NULL) {
        return no_memory(reader);
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *object = json_array_get(list, index);
        struct plan_group *group = &instance->groups[index];
        ret = plan_read_id(reader, object, "groups", index, &group->id);
        ret = ret < 0 ? ret : read_group(reader, object, group);
        if (ret < 0) {
            return ret;
        }
        instance->group_count = (int)index + 1;
    }
    return refuse_twins(reader);
}

static int find_group(const struct agent_plan_instance *instance, const char *id)
{
    for (int group = 0; group < instance->group_count; group++) {
        if (strcmp(instance->groups[group].id, id) == 0) {
            return group;
        }
    }
    return -ENOENT;
}

static int read_members(struct plan_reader *reader, const json_t *object, int **out, int *count)
{
    struct agent_plan_instance *instance = reader->instance;
    json_t *list;

    if (agent_json_array(object, reader->where, "groups", 1, AGENT_PLAN_GROUPS_MAX, &list,
                         reader->error) < 0) {
        return -EINVAL;
    }
    *out = plan_arena_get(&instance->arena, json_array_size(list), sizeof(**out));
    if (*out == NULL) {
        return no_memory(reader);
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        const char *id = json_string_value(json_array_get(list, index));
        int group = id != NULL ? find_group(instance, id) : -ENOENT;
        if (group < 0) {
            return agent_error_set(reader->error, EINVAL, "%s: groups[%zu]: unknown group '%.64s'",
                                   reader->where, index, id != NULL ? id : "(not text)");
        }
        for (size_t other = 0; other < index; other++) {
            if ((*out)[other] == group) {
                return agent_error_set(reader->error, EINVAL, "%s: group '%s' is named twice",
                                       reader->where, id);
            }
        }
        (*out)[index] = group;
        *count = (int)index + 1;
    }
    return 0;
}

static int read_affinity(struct plan_reader *reader, const json_t *object, size_t index)
{
    static const char *const known[] = {"id", "groups", "mode", "comment", NULL};
    struct plan_affinity *affinity = &reader->instance->affinities[index];
    const char *mode = "pair";

    if (plan_read_id(reader, object, "affinity", index, &affinity->id) < 0 ||
        agent_json_only(object, reader->where, known, reader->error) < 0 ||
        (json_object_get(object, "mode") != NULL &&
         agent_json_text(object, reader->where, "mode", &mode, reader->error) < 0)) {
        return -EINVAL;
    }
    affinity->pair = strcmp(mode, "pair") == 0;
    if (!affinity->pair && strcmp(mode, "all") != 0) {
        return agent_error_set(reader->error, EINVAL, "%s: mode is '%.20s', not pair or all",
                               reader->where, mode);
    }
    return read_members(reader, object, &affinity->groups, &affinity->group_count);
}

static int read_limit(struct plan_reader *reader, const json_t *object, size_t index)
{
    static const char *const known[] = {"id", "groups", "max_per_site", "comment", NULL};
    struct plan_limit *limit = &reader->instance->limits[index];
    int64_t max;

    if (plan_read_id(reader, object, "anti_affinity", index, &limit->id) < 0 ||
        agent_json_only(object, reader->where, known, reader->error) < 0 ||
        agent_json_integer(object, reader->where, "max_per_site", 0, AGENT_PLAN_COUNT_MAX, &max,
                           reader->error) < 0) {
        return -EINVAL;
    }
    limit->max = (int)max;
    return read_members(reader, object, &limit->groups, &limit->group_count);
}

int plan_read_rules(struct plan_reader *reader, const json_t *root)
{
    struct agent_plan_instance *instance = reader->instance;
    json_t *list;

    snprintf(reader->where, sizeof(reader->where), "affinity");
    if (json_object_get(root, "affinity") != NULL) {
        if (agent_json_array(root, "instance", "affinity", 0, AGENT_PLAN_GROUPS_MAX, &list,
                             reader->error) < 0) {
            return -EINVAL;
        }
        instance->affinities =
            plan_arena_get(&instance->arena, json_array_size(list), sizeof(*instance->affinities));
        for (size_t index = 0; instance->affinities != NULL && index < json_array_size(list);
             index++) {
            int ret = read_affinity(reader, json_array_get(list, index), index);
            if (ret < 0) {
                return ret;
            }
            instance->affinity_count = (int)index + 1;
        }
    }
    if (json_object_get(root, "anti_affinity") != NULL) {
        if (agent_json_array(root, "instance", "anti_affinity", 0, AGENT_PLAN_LIMITS_MAX, &list,
                             reader->error) < 0) {
            return -EINVAL;
        }
        instance->limits =
            plan_arena_get(&instance->arena, json_array_size(list), sizeof(*instance->limits));
        for (size_t index = 0; instance->limits != NULL && index < json_array_size(list);
             index++) {
            int ret = read_limit(reader, json_array_get(list, index), index);
            if (ret < 0) {
                return ret;
            }
            instance->limit_count = (int)index + 1;
        }
    }
    return 0;
}

static int unknown_site(struct plan_reader *reader, const json_t *object,
                        struct plan_unknown *unknown)
{
    struct plan_site *site;
    int index;

    if (plan_need_site(reader, object, "site", &index) < 0) {
        return -EINVAL;
    }
    site = &reader->instance->sites[index];
    unknown->where = site->id;
    site->battery.idle = true;
    if (strcmp(unknown->signal, "battery") == 0) {
        unknown->effect = "the battery is left alone";
        return site->battery.present
                   ? plan_note_unknown(reader, unknown)
                   : agent_error_set(reader->error, EINVAL, "%s: site '%s' has no battery",
                                     reader->where, site->id);
    }
    site->frozen = plan_arena_text(&reader->instance->arena, unknown->signal);
    unknown->effect = "the site is left as it is";
    return plan_note_unknown(reader, unknown);
}

static int unknown_link(struct plan_reader *reader, const json_t *object,
                        struct plan_unknown *unknown)
{
    struct agent_plan_instance *instance = reader->instance;
    char where[PLAN_WHERE_MAX];
    int from;
    int to;

    if (plan_need_site(reader, object, "from", &from) < 0 ||
        plan_need_site(reader, object, "to", &to) < 0) {
        return -EINVAL;
    }
    for (int link = 0; link < instance->link_count; link++) {
        if (instance->links[link].from == from && instance->links[link].to == to) {
            memset(instance->links[link].gb, 0, sizeof(double) * (size_t)instance->slots);
            snprintf(where, sizeof(where), "%s to %s", instance->sites[from].id,
                     instance->sites[to].id);
            unknown->where = where;
            unknown->effect = "nothing moves over the link";
            return plan_note_unknown(reader, unknown);
        }
    }
    return agent_error_set(reader->error, EINVAL, "%s: there is no link %s to %s", reader->where,
                           instance->sites[from].id, instance->sites[to].id);
}

static int unknown_group(struct plan_reader *reader, const json_t *object,
                         struct plan_unknown *unknown)
{
    struct agent_plan_instance *instance = reader->instance;
    const char *id;

    if (agent_json_text(object, reader->where, "group", &id, reader->error) < 0) {
        return -EINVAL;
    }
    int group = find_group(instance, id);
    if (group < 0) {
        return agent_error_set(reader->error, EINVAL, "%s: unknown group '%.64s'", reader->where,
                               id);
    }
    instance->groups[group].frozen = "power";
    unknown->where = instance->groups[group].id;
    unknown->effect = "the group stays where it is";
    return plan_note_unknown(reader, unknown);
}

static int read_unknown(struct plan_reader *reader, const json_t *object)
{
    static const char *const known[] = {"signal", "site", "from", "to", "group", "reason", NULL};
    static const char *const site_signals[] = {"price", "carbon", "surplus", "imbalance", "reserve",
                                               "battery", NULL};
    struct plan_unknown unknown = {0};

    if (!json_is_object(object)) {
        return agent_error_set(reader->error, EINVAL, "%s is not an object", reader->where);
    }
    if (agent_json_only(object, reader->where, known, reader->error) < 0 ||
        agent_json_text(object, reader->where, "signal", &unknown.signal, reader->error) < 0 ||
        agent_json_text(object, reader->where, "reason", &unknown.reason, reader->error) < 0) {
        return -EINVAL;
    }
    if (strcmp(unknown.signal, "link") == 0) {
        return unknown_link(reader, object, &unknown);
    }
    if (strcmp(unknown.signal, "power") == 0) {
        return unknown_group(reader, object, &unknown);
    }
    for (size_t index = 0; site_signals[index] != NULL; index++) {
        if (strcmp(unknown.signal, site_signals[index]) == 0) {
            return unknown_site(reader, object, &unknown);
        }
    }
    return agent_error_set(reader->error, EINVAL,
                           "%s: signal is '%.30s', not price, carbon, surplus, imbalance, reserve, "
                           "battery, link or power",
                           reader->where, unknown.signal);
}

int plan_read_unknown(struct plan_reader *reader, const json_t *root)
{
    json_t *list;

    if (json_object_get(root, "unknown") == NULL) {
        return 0;
    }
    if (agent_json_array(root, "instance", "unknown", 0, 10000, &list, reader->error) < 0) {
        return -EINVAL;
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        snprintf(reader->where, sizeof(reader->where), "unknown[%zu]", index);
        int ret = read_unknown(reader, json_array_get(list, index));
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}
