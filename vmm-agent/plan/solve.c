/* SPDX-License-Identifier: GPL-2.0-or-later */
/* solve.c - from an instance to a checked plan with a bound
 * Owner: struct solver on the stack of agent_plan_solve().
 * Thread: caller's, with helpers of the pool.   Time: planned slots; clock passed in.
 * Units: yen, s. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plan/finish.h"
#include "plan/plan.h"
#include "plan/solve.h"
#include "plan/store.h"

#define SWEEPS_MAX  600
#define BOUND_EVERY 10
#define PATIENCE_MIN  3  /* bounds without progress before a very large instance stops ... */
#define PATIENCE_MORE 5 /* ... and how many more smaller ones may have */
#define PATIENCE_EFFORT 1e7
#define PROGRESS    1e-5
#define GOAL        3e-4  /* relative gap at which no further rounding is tried */
#define EFFORT      5e5   /* cells searched in further roundings: fixes their number */
#define PASSES_MAX  300

struct solver {
    const struct agent_plan_instance *instance;
    const struct agent_plan_options *options;
    struct agent_error *error;
    struct plan_model *model;
    struct plan_pool *pool;
    struct plan_flow flow;
    struct plan_relax relax;
    struct plan_finish finish;
    double begun;
};

static double monotonic(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds(const struct solver *solver)
{
    double (*clock)(void *) = solver->options->clock != NULL ? solver->options->clock : monotonic;

    return clock(solver->options->clock_context) - solver->begun;
}

/* The relaxation may use two thirds of the time, so that some is left for whole units. */
static bool relax_late(void *context)
{
    const struct solver *solver = context;
    double limit = solver->options->time_limit_s;

    return limit > 0 && seconds(solver) > limit * 2 / 3;
}

static bool finish_late(void *context)
{
    const struct solver *solver = context;
    double limit = solver->options->time_limit_s;

    return limit > 0 && seconds(solver) > limit * 0.92;
}

static int find_site(const struct agent_plan_instance *instance, const char *id)
{
    for (int site = 0; site < instance->site_count; site++) {
        if (strcmp(instance->sites[site].id, id) == 0) {
            return site;
        }
    }
    return -1;
}

/* Kinds of rows whose multipliers a plan keeps, in the order of enum plan_price_kind. */
static const enum plan_kind kept_kinds[PLAN_PRICE_KINDS] = {
    PLAN_ENERGY,   PLAN_PEAK,         PLAN_POWER,        PLAN_CPU, PLAN_RAM,
    PLAN_GIVE,     PLAN_GIVE + 1,     PLAN_GIVE + 2,     PLAN_GIVE + 3};

static void warm_links(struct plan_model *model, const struct agent_plan *warm, int slot, int old)
{
    const struct agent_plan_instance *instance = model->instance;
    const struct agent_plan_instance *before = warm->instance;

    for (int link = 0; link < model->links; link++) {
        for (int from = 0; from < before->link_count; from++) {
            const struct plan_link *mine = &instance->links[link];
            const struct plan_link *theirs = &before->links[from];
            if (strcmp(instance->sites[mine->from].id, before->sites[theirs->from].id) == 0 &&
                strcmp(instance->sites[mine->to].id, before->sites[theirs->to].id) == 0) {
                model->rows[plan_row_link(model, slot, link)].lambda =
                    warm->link_price[from * warm->slots + old];
            }
        }
    }
}

static void warm_start(struct solver *solver)
{
    struct plan_model *model = solver->model;
    const struct agent_plan *warm = solver->options->warm;

    for (int slot = 0; slot < model->slots; slot++) {
        int old = solver->instance->first + slot - warm->instance->first;
        old = old < 0 ? 0 : old >= warm->slots ? warm->slots - 1 : old;
        for (int site = 0; site < model->sites; site++) {
            int from = find_site(warm->instance, solver->instance->sites[site].id);
            for (int kind = 0; from >= 0 && kind < PLAN_PRICE_KINDS; kind++) {
                model->rows[plan_row_at(model, kept_kinds[kind], slot, site)].lambda =
                    plan_price_of(warm, kind, from)[old];
            }
        }
        warm_links(model, warm, slot, old);
    }
}

static int prepare(struct solver *solver)
{
    int threads = solver->options->threads > 0 ? solver->options->threads : 2;
    int ret = plan_model_new(solver->instance, &solver->model, solver->error);

    if (ret < 0) {
        return ret;
    }
    for (int site = 0; site < solver->model->sites; site++) {
        ret = plan_store_begin(solver->model, site, solver->error);
        if (ret < 0) {
            return ret;
        }
    }
    solver->pool = plan_pool_new(solver->model, threads);
    if (solver->pool == NULL || plan_flow_init(&solver->flow, solver->model) < 0 ||
        plan_relax_init(&solver->relax, solver->model, solver->pool, &solver->flow) < 0 ||
        plan_finish_init(&solver->finish, solver->model, solver->pool, &solver->flow) < 0) {
        return agent_error_set(solver->error, ENOMEM, "plan: out of memory for %d classes",
                               solver->model->class_count);
    }
    return plan_refuse_stuck(solver->model, plan_pool_desk(solver->pool), solver->error);
}

static void search(struct solver *solver)
{
    struct plan_model *model = solver->model;
    double work = (double)(model->class_count + 1) * model->slots * model->sites * model->sites;
    double passes = fmin(1 + floor(EFFORT / work), PASSES_MAX);
    int patience = PATIENCE_MIN + (int)fmin(floor(PATIENCE_EFFORT / work), PATIENCE_MORE);
    struct plan_relax_rule rule = {SWEEPS_MAX, BOUND_EVERY, patience, PROGRESS, relax_late,
                                   solver, solver->options->warm != NULL};

    if (rule.warm) {
        warm_start(solver);
    }
    plan_relax_run(&solver->relax, &rule);
    solver->finish.stop = finish_late;
    solver->finish.context = solver;
    plan_finish_run(&solver->finish, &solver->relax, (int)passes, GOAL);
}

static void take_prices(const struct solver *solver, struct agent_plan *plan)
{
    const struct plan_model *model = solver->model;

    for (int kind = 0; kind < PLAN_PRICE_KINDS; kind++) {
        for (int site = 0; site < model->sites; site++) {
            for (int slot = 0; slot < model->slots; slot++) {
                plan_price_of(plan, kind, site)[slot] =
                    solver->relax.best_row[plan_row_at(model, kept_kinds[kind], slot, site)];
            }
        }
    }
    for (int link = 0; link < model->links; link++) {
        for (int slot = 0; slot < model->slots; slot++) {
            plan->link_price[link * model->slots + slot] =
                solver->relax.best_row[plan_row_link(model, slot, link)];
        }
    }
}

/* Legs in the order of their groups; qsort would not keep the order within a group, which pairs
 * rely on, so the place in the list breaks ties. */
static int compare_legs(const void *left, const void *right)
{
    const struct plan_leg *a = left;
    const struct plan_leg *b = right;

    if (a->group != b->group) {
        return a->group < b->group ? -1 : 1;
    }
    return a->sites < b->sites ? -1 : a->sites > b->sites;
}

static int start_of(const struct plan_model *model, const struct plan_bundle *bundle, int group)
{
    const struct plan_class *class = &model->classes[bundle->class];
    long start = bundle->start - class->starts;
    const struct plan_group *from = &model->instance->groups[group];

    return bundle->start->site < 0 || start >= from->running_count ? -1 : (int)start;
}

/* Legs of one group on one route: one, or for affinity "all" one per place it ran in. */
static void add_legs(const struct solver *solver, struct agent_plan *plan,
                     const struct plan_bundle *bundle, int route, int member)
{
    const struct plan_model *model = solver->model;
    const struct plan_class *class = &model->classes[bundle->class];
    int group = class->members[member];
    const struct plan_group *from = &model->instance->groups[group];
    uint8_t *sites = plan_bundle_route(bundle, route, model->slots);
    bool all = class->count == 1 && (class->per_unit[member] > 1 || class->member_count > 1);
    int placed = 0;

    if (!all || from->running_count == 0) {
        plan->legs[plan->leg_count++] =
            (struct plan_leg){group, start_of(model, bundle, group),
                              bundle->units[route] * class->per_unit[member], sites};
        return;
    }
    for (int start = 0; start < from->running_count; start++) {
        plan->legs[plan->leg_count++] =
            (struct plan_leg){group, start, from->running[start].count, sites};
        placed += from->running[start].count;
    }
    if (placed < from->count) {
        plan->legs[plan->leg_count++] = (struct plan_leg){group, -1, from->count - placed, sites};
    }
}

static int take_legs(const struct solver *solver, struct agent_plan *plan)
{
    const struct plan_model *model = solver->model;
    const struct plan_flow *flow = &solver->finish.best;
    size_t most = 0;

    for (int index = 0; index < flow->bundle_count; index++) {
        const struct plan_class *class = &model->classes[flow->bundles[index].class];
        for (int member = 0; member < class->member_count; member++) {
            most += (size_t)flow->bundles[index].count +
                    (size_t)model->instance->groups[class->members[member]].running_count + 1;
        }
    }
    plan->legs = plan_arena_get(&plan->arena, most, sizeof(*plan->legs));
    uint8_t *sites = plan_arena_get(&plan->arena, most, (size_t)model->slots);
    if (plan->legs == NULL || sites == NULL) {
        return -ENOMEM;
    }
    for (int index = 0; index < flow->bundle_count; index++) {
        const struct plan_bundle *bundle = &flow->bundles[index];
        const struct plan_class *class = &model->classes[bundle->class];
        for (int route = 0; route < bundle->count; route++) {
            for (int member = 0; bundle->units[route] > 0 && member < class->member_count;
                 member++) {
                add_legs(solver, plan, bundle, route, member);
            }
        }
    }
    for (int leg = 0; leg < plan->leg_count; leg++) { /* the solver's memory goes away */
        memcpy(sites + (size_t)leg * (size_t)model->slots, plan->legs[leg].sites,
               (size_t)model->slots);
        plan->legs[leg].sites = sites + (size_t)leg * (size_t)model->slots;
    }
    qsort(plan->legs, (size_t)plan->leg_count, sizeof(*plan->legs), compare_legs);
    return 0;
}

static void stay_cost(struct agent_plan *plan)
{
    struct agent_plan *stay = NULL;
    struct plan_breaches breaches;
    struct plan_figures figures;

    if (agent_plan_stay(plan->instance, &stay) == 0) {
        if (agent_plan_check(stay, &breaches, &stay->cost, &figures) == 0) {
            plan->stay_cost = stay->cost.total;
        }
        agent_plan_free(stay);
    }
}

static int take_plan(struct solver *solver, struct agent_plan **out,
                     struct plan_breaches *breaches)
{
    struct agent_plan *plan = agent_plan_new(solver->instance);
    int broken;

    if (plan == NULL || take_legs(solver, plan) < 0) {
        agent_plan_free(plan);
        return agent_error_set(solver->error, ENOMEM, "plan: out of memory for the answer");
    }
    memcpy(plan->rise_kwh, solver->finish.best_rise,
           sizeof(double) * (size_t)(solver->model->sites * solver->model->slots));
    take_prices(solver, plan);
    broken = agent_plan_check(plan, breaches, &plan->cost, &plan->figures);
    plan->bound = fmin(solver->relax.best_yen, plan->cost.total);
    plan->bound_error = solver->relax.bound.safety;
    plan->gap = plan->cost.total != 0 ? (plan->cost.total - plan->bound) / fabs(plan->cost.total)
                                      : plan->cost.total - plan->bound;
    plan->sweeps = solver->relax.sweeps;
    plan->stop = solver->relax.stopped || finish_late(solver) ? PLAN_STOP_TIME
                                                              : PLAN_STOP_CONVERGED;
    if (broken > 0) {
        agent_plan_free(plan);
        return -EDOM;
    }
    stay_cost(plan);
    plan->seconds = seconds(solver);
    *out = plan;
    return 0;
}

static void release(struct solver *solver)
{
    if (solver->model != NULL) {
        plan_finish_done(&solver->finish);
        plan_relax_done(&solver->relax);
        plan_flow_done(&solver->flow);
        plan_pool_free(solver->pool);
        plan_model_free(solver->model);
    }
}

int agent_plan_solve(const struct agent_plan_instance *instance,
                     const struct agent_plan_options *options, struct agent_plan **out,
                     struct plan_breaches *breaches, struct agent_error *error)
{
    static const struct agent_plan_options usual;
    struct plan_breaches own;
    struct solver solver = {.instance = instance, .error = error};
    int ret = agent_plan_instance_validate(instance, error);

    breaches = breaches != NULL ? breaches : &own;
    memset(breaches, 0, sizeof(*breaches));
    if (ret < 0) {
        return ret;
    }
    solver.options = options != NULL ? options : &usual;
    solver.begun = seconds(&solver);
    ret = prepare(&solver);
    if (ret == 0) {
        search(&solver);
        ret = take_plan(&solver, out, breaches);
    }
    release(&solver);
    if (ret == -EDOM && breaches->count > 0) {
        ret = plan_refuse(instance, solver.options, breaches, error);
    }
    return ret;
}
