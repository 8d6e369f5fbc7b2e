/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan.c - plans as objects
 * Owner: struct agent_plan.   Thread: one.   Time: planned slots.   Units: as in plan.h. */
#include "plan/plan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct agent_plan *agent_plan_new(const struct agent_plan_instance *instance)
{
    struct agent_plan *plan = calloc(1, sizeof(*plan));

    if (plan == NULL) {
        return NULL;
    }
    plan->instance = instance;
    plan->slots = instance->end - instance->first;
    size_t cells = (size_t)(instance->site_count * plan->slots);
    plan->rise_kwh = plan_arena_get(&plan->arena, cells, sizeof(double));
    plan->price = plan_arena_get(&plan->arena, cells * PLAN_PRICE_KINDS, sizeof(double));
    plan->link_price = plan_arena_get(
        &plan->arena, (size_t)(instance->link_count * plan->slots), sizeof(double));
    plan->bound = -INFINITY;
    plan->stay_cost = NAN;
    if (plan->rise_kwh == NULL || plan->price == NULL || plan->link_price == NULL) {
        agent_plan_free(plan);
        return NULL;
    }
    return plan;
}

void agent_plan_free(struct agent_plan *plan)
{
    if (plan != NULL) {
        plan_arena_done(&plan->arena);
        free(plan);
    }
}

int agent_plan_stay(const struct agent_plan_instance *instance, struct agent_plan **out)
{
    struct agent_plan *plan = agent_plan_new(instance);
    size_t legs = 0;

    if (plan == NULL) {
        return -ENOMEM;
    }
    for (int group = 0; group < instance->group_count; group++) {
        legs += (size_t)instance->groups[group].running_count;
    }
    plan->legs = plan_arena_get(&plan->arena, legs, sizeof(*plan->legs));
    uint8_t *sites = plan_arena_get(&plan->arena, legs, (size_t)plan->slots);
    if (plan->legs == NULL || sites == NULL) {
        agent_plan_free(plan);
        return -ENOMEM;
    }
    for (int index = 0; index < instance->group_count; index++) {
        const struct plan_group *group = &instance->groups[index];
        int placed = 0;
        for (int start = 0; start < group->running_count; start++) {
            struct plan_leg *leg = &plan->legs[plan->leg_count];
            *leg = (struct plan_leg){index, start, group->running[start].count,
                                     sites + (size_t)plan->leg_count * (size_t)plan->slots};
            memset(leg->sites, group->running[start].site, (size_t)plan->slots);
            placed += leg->count;
            plan->leg_count++;
        }
        if (placed < group->count) {
            agent_plan_free(plan);
            return -ENOENT;
        }
    }
    *out = plan;
    return 0;
}
