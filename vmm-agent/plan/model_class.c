/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model_class.c - groups to classes of equal units; affinity makes several VMs one unit
 * Owner: struct plan_model.   Thread: one.   Time: planned slots.   Units: as in model.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/model.h"

struct builder {
    struct plan_model *model;
    struct agent_error *error;
    int *affinity_of; /* per group, -1 = none */
};

static uint64_t frozen_sites(const struct agent_plan_instance *instance)
{
    uint64_t mask = 0;

    for (int site = 0; site < instance->site_count; site++) {
        mask |= instance->sites[site].frozen != NULL ? UINT64_C(1) << site : 0;
    }
    return mask;
}

static int allocate_class(struct builder *builder, struct plan_class *class, int members)
{
    struct plan_arena *arena = &builder->model->arena;
    size_t slots = (size_t)builder->model->slots;

    class->members = plan_arena_get(arena, (size_t)members, sizeof(int));
    class->per_unit = plan_arena_get(arena, (size_t)members, sizeof(int));
    class->kw = plan_arena_get(arena, slots, sizeof(double));
    bool ok = class->members != NULL && class->per_unit != NULL && class->kw != NULL;
    for (int product = 0; product < PLAN_RESERVES; product++) {
        class->give[product] = plan_arena_get(arena, slots, sizeof(double));
        ok = ok && class->give[product] != NULL;
    }
    return ok ? 0 : agent_error_set(builder->error, ENOMEM, "plan: no memory for a class");
}

static void add_member(struct builder *builder, struct plan_class *class, int index, int per_unit)
{
    const struct agent_plan_instance *instance = builder->model->instance;
    const struct plan_group *group = &instance->groups[index];

    class->members[class->member_count] = index;
    class->per_unit[class->member_count++] = per_unit;
    class->cpu += group->cpu * per_unit;
    class->ram += group->ram_gb * per_unit;
    class->gb += group->move_gb * per_unit;
    class->yen_per_move += group->yen_per_move * per_unit;
    class->yen_per_blackout_s += group->yen_per_blackout_s * per_unit;
    class->dwell = group->dwell_slots > class->dwell ? group->dwell_slots : class->dwell;
    class->allowed &= group->allowed;
    for (int slot = 0; slot < builder->model->slots; slot++) {
        double kw = group->power_kw[instance->first + slot] * per_unit;
        class->kw[slot] += kw;
        for (int product = 0; product < PLAN_RESERVES; product++) {
            class->give[product][slot] += kw * group->flex[product];
            class->gives = class->gives || group->flex[product] > 0;
        }
    }
}

/* The start states of a class, from the group that is first in it. */
static int set_starts(struct builder *builder, struct plan_class *class,
                      const struct plan_group *group, int per_unit, bool frozen)
{
    const struct agent_plan_instance *instance = builder->model->instance;
    int placed = 0;

    class->starts = plan_arena_get(&builder->model->arena, (size_t)group->running_count + 1,
                                   sizeof(*class->starts));
    if (class->starts == NULL) {
        return agent_error_set(builder->error, ENOMEM, "plan: no memory for a class");
    }
    for (int index = 0; index < group->running_count; index++) {
        const struct plan_running *running = &group->running[index];
        struct plan_start *start = &class->starts[class->start_count++];
        bool stay = frozen || instance->sites[running->site].frozen != NULL;
        start->site = running->site;
        start->count = running->count / per_unit;
        start->hold = stay || running->dwell_left > builder->model->slots ? builder->model->slots
                                                                          : running->dwell_left;
        placed += start->count;
    }
    if (placed < class->count) {
        class->starts[class->start_count++] = (struct plan_start){-1, class->count - placed, 0};
    }
    return 0;
}

static int check_pair(struct builder *builder, const struct plan_affinity *affinity)
{
    const struct agent_plan_instance *instance = builder->model->instance;
    const struct plan_group *first = &instance->groups[affinity->groups[0]];

    for (int index = 1; index < affinity->group_count; index++) {
        const struct plan_group *group = &instance->groups[affinity->groups[index]];
        if (group->count != first->count) {
            return agent_error_set(builder->error, EDOM,
                                   "affinity '%s': pairs need equal counts: '%s' has %d VMs, '%s' "
                                   "has %d",
                                   affinity->id, first->id, first->count, group->id, group->count);
        }
        bool same = group->running_count == first->running_count;
        for (int at = 0; same && at < first->running_count; at++) {
            same = group->running[at].site == first->running[at].site &&
                   group->running[at].count == first->running[at].count;
        }
        if (!same) {
            return agent_error_set(builder->error, EDOM,
                                   "affinity '%s': '%s' and '%s' must stay together but do not run "
                                   "in the same places (list both in the same order)",
                                   affinity->id, first->id, group->id);
        }
    }
    return 0;
}

static int check_all(struct builder *builder, const struct plan_affinity *affinity)
{
    const struct agent_plan_instance *instance = builder->model->instance;
    int site = -2;

    for (int index = 0; index < affinity->group_count; index++) {
        const struct plan_group *group = &instance->groups[affinity->groups[index]];
        int here = -1;
        for (int at = 0; at < group->running_count; at++) {
            if (at > 0 && group->running[at].site != here) {
                return agent_error_set(builder->error, EDOM,
                                       "affinity '%s': all VMs must share one site, but '%s' runs "
                                       "at '%s' and '%s'",
                                       affinity->id, group->id, instance->sites[here].id,
                                       instance->sites[group->running[at].site].id);
            }
            here = group->running[at].site;
        }
        if (site != -2 && here != site) {
            return agent_error_set(builder->error, EDOM,
                                   "affinity '%s': all VMs must share one site, but '%s' does not "
                                   "run where '%s' runs",
                                   affinity->id, group->id,
                                   instance->groups[affinity->groups[0]].id);
        }
        site = here;
    }
    return 0;
}

/* A pair must stay as long as the member that must stay longest. */
static int pair_holds(struct builder *builder, struct plan_class *class,
                      const struct plan_affinity *affinity)
{
    const struct agent_plan_instance *instance = builder->model->instance;

    for (int index = 1; index < affinity->group_count; index++) {
        const struct plan_group *group = &instance->groups[affinity->groups[index]];
        for (int at = 0; at < group->running_count; at++) {
            int hold = group->running[at].dwell_left;
            hold = hold < builder->model->slots ? hold : builder->model->slots;
            if (hold > class->starts[at].hold) {
                class->starts[at].hold = hold;
            }
        }
    }
    return 0;
}

static int together_starts(struct builder *builder, struct plan_class *class,
                           const struct plan_affinity *affinity)
{
    const struct agent_plan_instance *instance = builder->model->instance;
    const struct plan_group *first = &instance->groups[affinity->groups[0]];
    int hold = 0;
    bool frozen = false;

    for (int index = 0; index < affinity->group_count; index++) {
        const struct plan_group *group = &instance->groups[affinity->groups[index]];
        frozen = frozen || group->frozen != NULL;
        for (int at = 0; at < group->running_count; at++) {
            hold = group->running[at].dwell_left > hold ? group->running[at].dwell_left : hold;
        }
    }
    if (affinity->pair) {
        int ret = set_starts(builder, class, first, 1, frozen);
        return ret < 0 ? ret : pair_holds(builder, class, affinity);
    }
    class->starts = plan_arena_get(&builder->model->arena, 1, sizeof(*class->starts));
    if (class->starts == NULL) {
        return agent_error_set(builder->error, ENOMEM, "plan: no memory for a class");
    }
    int site = first->running_count > 0 ? first->running[0].site : -1;
    bool stay = frozen || (site >= 0 && instance->sites[site].frozen != NULL);
    class->start_count = 1;
    class->starts[0] = (struct plan_start){site, 1, stay ? builder->model->slots : hold};
    if (class->starts[0].hold > builder->model->slots) {
        class->starts[0].hold = builder->model->slots;
    }
    return 0;
}

static int add_affinity(struct builder *builder, const struct plan_affinity *affinity, int index)
{
    struct plan_model *model = builder->model;
    const struct agent_plan_instance *instance = model->instance;
    struct plan_class *class = &model->classes[model->class_count];
    int ret = affinity->pair ? check_pair(builder, affinity) : check_all(builder, affinity);

    ret = ret < 0 ? ret : allocate_class(builder, class, affinity->group_count);
    if (ret < 0) {
        return ret;
    }
    class->allowed = UINT64_MAX;
    class->count = affinity->pair ? instance->groups[affinity->groups[0]].count : 1;
    for (int at = 0; at < affinity->group_count; at++) {
        int group = affinity->groups[at];
        if (builder->affinity_of[group] >= 0) {
            return agent_error_set(builder->error, EDOM,
                                   "affinity '%s': group '%s' is already in affinity '%s'",
                                   affinity->id, instance->groups[group].id,
                                   instance->affinities[builder->affinity_of[group]].id);
        }
        builder->affinity_of[group] = index;
        add_member(builder, class, group, affinity->pair ? 1 : instance->groups[group].count);
    }
    if (class->allowed == 0) {
        return agent_error_set(builder->error, EDOM,
                               "affinity '%s': its groups have no allowed site in common",
                               affinity->id);
    }
    model->class_count++;
    return together_starts(builder, class, affinity);
}

static int add_group(struct builder *builder, int index)
{
    struct plan_model *model = builder->model;
    const struct plan_group *group = &model->instance->groups[index];
    struct plan_class *class = &model->classes[model->class_count];
    int ret = allocate_class(builder, class, 1);

    if (ret < 0) {
        return ret;
    }
    class->allowed = UINT64_MAX;
    class->count = group->count;
    add_member(builder, class, index, 1);
    model->class_count++;
    return set_starts(builder, class, group, 1, group->frozen != NULL);
}

static int add_limits(struct builder *builder, struct plan_class *class)
{
    const struct agent_plan_instance *instance = builder->model->instance;

    for (int pass = 0; pass < 2; pass++) {
        int count = 0;
        for (int limit = 0; limit < instance->limit_count; limit++) {
            double units = 0;
            for (int member = 0; member < class->member_count; member++) {
                for (int at = 0; at < instance->limits[limit].group_count; at++) {
                    units += instance->limits[limit].groups[at] == class->members[member]
                                 ? class->per_unit[member]
                                 : 0;
                }
            }
            if (units > 0 && pass == 1) {
                class->limits[count] = limit;
                class->limit_units[count] = units;
            }
            count += units > 0;
        }
        if (pass == 0) {
            struct plan_arena *arena = &builder->model->arena;
            class->limits = plan_arena_get(arena, (size_t)count, sizeof(int));
            class->limit_units = plan_arena_get(arena, (size_t)count, sizeof(double));
            if (class->limits == NULL || class->limit_units == NULL) {
                return agent_error_set(builder->error, ENOMEM, "plan: no memory for a class");
            }
        }
        class->limit_count = count;
    }
    return 0;
}

static int build(struct builder *builder)
{
    struct plan_model *model = builder->model;
    const struct agent_plan_instance *instance = model->instance;
    uint64_t frozen = frozen_sites(instance);
    int ret = 0;

    for (int index = 0; ret == 0 && index < instance->affinity_count; index++) {
        ret = add_affinity(builder, &instance->affinities[index], index);
    }
    for (int group = 0; ret == 0 && group < instance->group_count; group++) {
        if (builder->affinity_of[group] < 0) {
            ret = add_group(builder, group);
        }
    }
    for (int index = 0; ret == 0 && index < model->class_count; index++) {
        struct plan_class *class = &model->classes[index];
        class->enterable = class->allowed & ~frozen;
        ret = add_limits(builder, class);
    }
    return ret;
}

int plan_model_classes(struct plan_model *model, struct agent_error *error)
{
    const struct agent_plan_instance *instance = model->instance;
    struct builder builder = {.model = model, .error = error};
    size_t most = (size_t)(instance->group_count + instance->affinity_count);
    int ret;

    model->classes = plan_arena_get(&model->arena, most, sizeof(*model->classes));
    builder.affinity_of = calloc((size_t)instance->group_count + 1, sizeof(int));
    if (model->classes == NULL || builder.affinity_of == NULL) {
        free(builder.affinity_of);
        return agent_error_set(error, ENOMEM, "plan: no memory for %zu classes", most);
    }
    for (int group = 0; group < instance->group_count; group++) {
        builder.affinity_of[group] = -1;
    }
    ret = build(&builder);
    free(builder.affinity_of);
    return ret;
}
