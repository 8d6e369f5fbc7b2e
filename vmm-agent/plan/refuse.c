/* SPDX-License-Identifier: GPL-2.0-or-later */
/* refuse.c - is there no plan, or was none found: a proof by the bound without money
 * Owner: caller.   Thread: caller's, with helpers.   Time: planned slots.   Units: as in plan.h.
 *
 * With all money set to nothing every plan costs 0, so a lower bound above 0 proves that no plan
 * exists. The multipliers grow by themselves where rows cannot be kept. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan/flow.h"
#include "plan/relax.h"
#include "plan/solve.h"
#include "plan/store.h"

#define PROOF_SWEEPS 400
#define PROOF_YEN    1e-3 /* far above any rounding; multipliers scale freely */

static bool proved(void *context)
{
    const struct plan_relax *relax = context;

    return relax->best_yen > PROOF_YEN;
}

/* A copy of the instance, sharing its series, in which nothing costs money. */
static int without_money(const struct agent_plan_instance *from, struct agent_plan_instance *to)
{
    struct plan_arena arena = {NULL};
    size_t sites = (size_t)from->site_count;
    size_t links = (size_t)from->link_count;
    size_t groups = (size_t)from->group_count;

    *to = *from;
    to->arena = arena;
    to->sites = plan_arena_get(&to->arena, sites, sizeof(*to->sites));
    to->links = plan_arena_get(&to->arena, links, sizeof(*to->links));
    to->groups = plan_arena_get(&to->arena, groups, sizeof(*to->groups));
    if (to->sites == NULL || to->links == NULL || to->groups == NULL) {
        plan_arena_done(&to->arena);
        return -ENOMEM;
    }
    to->area_count = 0;
    to->weight_price = 0;
    to->weight_carbon_yen_per_kg = 0;
    to->weight_grid_yen_per_kwh = 0;
    for (size_t site = 0; site < sites; site++) {
        to->sites[site] = from->sites[site];
        to->sites[site].area = -1;
        to->sites[site].demand_yen_per_kw = 0;
    }
    for (size_t link = 0; link < links; link++) {
        to->links[link] = from->links[link];
        to->links[link].yen_per_gb = 0;
    }
    for (size_t group = 0; group < groups; group++) {
        to->groups[group] = from->groups[group];
        to->groups[group].yen_per_move = 0;
        to->groups[group].yen_per_blackout_s = 0;
    }
    return 0;
}

static bool prove(struct plan_model *model, int threads)
{
    struct plan_relax_rule rule = {PROOF_SWEEPS, 5, PROOF_SWEEPS, 0, proved, NULL, false};
    struct plan_pool *pool = plan_pool_new(model, threads);
    struct plan_flow flow = {0};
    struct plan_relax relax = {0};
    struct agent_error ignored = {0};
    bool answer = false;

    if (pool != NULL && plan_flow_init(&flow, model) == 0 &&
        plan_relax_init(&relax, model, pool, &flow) == 0) {
        for (int site = 0; site < model->sites; site++) {
            plan_store_begin(model, site, &ignored);
        }
        rule.context = &relax;
        plan_relax_run(&relax, &rule);
        answer = relax.best_yen > PROOF_YEN;
    }
    plan_relax_done(&relax);
    plan_flow_done(&flow);
    plan_pool_free(pool);
    return answer;
}

static const struct plan_breach *worst_of(const struct plan_breaches *breaches)
{
    const struct plan_breach *worst = &breaches->worst[0];

    for (int index = 1; index < breaches->count && index < AGENT_PLAN_BREACHES_MAX; index++) {
        worst = breaches->worst[index].by > worst->by ? &breaches->worst[index] : worst;
    }
    return worst;
}

int plan_refuse(const struct agent_plan_instance *instance,
                const struct agent_plan_options *options, const struct plan_breaches *breaches,
                struct agent_error *error)
{
    struct agent_plan_instance copy;
    struct plan_model *model = NULL;
    struct agent_error ignored = {0};
    bool none = false;

    if (without_money(instance, &copy) == 0) {
        if (plan_model_new(&copy, &model, &ignored) == 0) {
            none = prove(model, options->threads > 0 ? options->threads : 2);
            plan_model_free(model);
        }
        plan_arena_done(&copy.arena);
    }
    return agent_error_set(error, EDOM, "%s: %s (in the best attempt, with %d other breach%s)",
                           none ? "no plan exists, proved" : "no plan found, none proved impossible",
                           worst_of(breaches)->text, breaches->count - 1,
                           breaches->count == 2 ? "" : "es");
}

int plan_refuse_stuck(const struct plan_model *model, struct plan_route_desk *desk,
                      struct agent_error *error)
{
    const struct agent_plan_instance *instance = model->instance;

    memset(desk->node, 0, sizeof(double) * (size_t)(model->slots * model->sites));
    memset(desk->row, 0, sizeof(double) * (size_t)model->row_count);
    for (int index = 0; index < model->class_count; index++) {
        const struct plan_class *class = &model->classes[index];
        const struct plan_group *group = &instance->groups[class->members[0]];
        plan_route_solve(desk, model, class, desk->row);
        for (int at = 0; at < class->start_count; at++) {
            const struct plan_start *start = &class->starts[at];
            if (plan_route_take(desk, model, class, start, NULL) < PLAN_FAR / 2) {
                continue;
            }
            if (start->site < 0) {
                return agent_error_set(error, EDOM,
                                       "no plan exists: group '%s': %d VMs wait to be placed and "
                                       "every allowed site has an unknown signal",
                                       group->id, start->count);
            }
            return agent_error_set(error, EDOM,
                                   "no plan exists: group '%s': %d VMs run at '%s', where they may "
                                   "not be, and in slot %d no link with room for %.6g GB leads from "
                                   "there to an allowed site",
                                   group->id, start->count, instance->sites[start->site].id,
                                   instance->first, class->gb);
        }
    }
    return 0;
}
