/* SPDX-License-Identifier: GPL-2.0-or-later */
/* planner.c - the planner as a strategy: the view as a question, the plan as a schedule
 * What is asked here is what the live agent asks (plan/rolling.h): a day plan is the same question
 * put once at midnight. Where no plan exists everything stays. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/rolling.h"
#include "simulate/strategy.h"

#define NAME_SIZE 24

/* The question and what it borrows. */
struct question {
    struct agent_roll roll;
    char site_name[AGENT_SIM_SITES_MAX][NAME_SIZE];
    struct agent_roll_site sites[AGENT_SIM_SITES_MAX];
    struct agent_roll_link links[AGENT_SIM_SITES_MAX * AGENT_SIM_SITES_MAX];
    char group_name[AGENT_SIM_GROUPS_MAX][NAME_SIZE];
    struct agent_roll_group groups[AGENT_SIM_GROUPS_MAX];
    struct plan_running running[AGENT_SIM_GROUPS_MAX]
                               [AGENT_SIM_SITES_MAX * (AGENT_SIM_DWELL_MAX + 1)];
};

static void ask_site(struct question *question, const struct agent_sim_view *view, size_t s)
{
    snprintf(question->site_name[s], NAME_SIZE, "s%zu", s);
    question->sites[s] = (struct agent_roll_site){
        .id = question->site_name[s],
        .area = agent_area_name(view->world->sites[s].area),
        .cpu = agent_sim_capacity(view->world, s),
        .ram_gb = 1e9,
        .power_kw = (double)INFINITY,
        .contract_kw = (double)INFINITY,
        .pue = 1.0,
        .price = view->price[s],
        .carbon = view->carbon[s],
        .surplus_kw = {view->renewable[s][SIM_P10], view->renewable[s][SIM_P50],
                       view->renewable[s][SIM_P90]},
        .unknown_signal = view->frozen[s] == NULL   ? NULL
                          : view->signal[s] != NULL ? view->signal[s]
                                                    : "surplus",
        .unknown_reason = view->frozen[s],
    };
}

/* VMs of a group that are running, by site and by how long they must still stay. */
static size_t ask_running(struct plan_running *running, const struct agent_sim_view *view,
                          const struct agent_sim_state *start, size_t g)
{
    int dwell = view->world->groups[g].dwell_slots;
    size_t count = 0;

    for (size_t s = 0; s < view->world->site_count; s++) {
        int settled = start->place.count[g][s];
        for (int age = 0; age < dwell; age++) {
            int young = start->age[g][s][age];
            settled -= young;
            if (young > 0) {
                running[count++] = (struct plan_running){(int)s, young, dwell - age};
            }
        }
        if (settled > 0) {
            running[count++] = (struct plan_running){(int)s, settled, 0};
        }
    }
    return count;
}

static void ask_group(struct question *question, const struct agent_sim_view *view,
                      const struct agent_sim_state *start, size_t g)
{
    const struct agent_sim_group *group = &view->world->groups[g];

    snprintf(question->group_name[g], NAME_SIZE, "g%zu", g);
    question->groups[g] = (struct agent_roll_group){
        .id = question->group_name[g],
        .count = group->count,
        .cpu = 1,
        .ram_gb = 1,
        .power_w = group->power_kw * 1000.0,
        .move_gb = group->move_gb,
        .yen_per_move = group->move_gb * view->world->yen_per_gb,
        .dwell_slots = group->dwell_slots,
        .sites = (UINT64_C(1) << view->world->site_count) - 1,
        .running_count = ask_running(question->running[g], view, start, g),
        .running = question->running[g],
    };
}

static void ask(struct question *question, const struct agent_sim_view *view,
                const struct agent_sim_state *start)
{
    const struct agent_sim_world *world = view->world;
    size_t links = 0;

    for (size_t s = 0; s < world->site_count; s++) {
        ask_site(question, view, s);
        for (size_t to = 0; to < world->site_count; to++) {
            if (to != s) {
                question->links[links++] = (struct agent_roll_link){
                    .from = (int)s, .to = (int)to, .rate_gbit_s = world->link_gbit_s};
            }
        }
    }
    for (size_t g = 0; g < world->group_count; g++) {
        ask_group(question, view, start, g);
    }
    question->roll = (struct agent_roll){
        .name = "simulation",
        .day_slot = view->today,
        .first = view->first,
        .end = view->end,
        .weight_price = 1.0,
        .carbon_yen_per_kg = world->yen_per_ton / 1000.0,
        .gate_slots = view->before != NULL ? world->gate_slots : 0,
        .imbalance_yen_per_kwh = world->imbalance_yen_per_kwh,
        .site_count = world->site_count,
        .sites = question->sites,
        .link_count = links,
        .links = question->links,
        .group_count = world->group_count,
        .groups = question->groups,
        .before = view->before,
    };
}

static void schedule_from(const struct agent_plan *plan, struct agent_sim_place *schedule)
{
    int first = plan->instance->first;

    memset(schedule + first, 0, (size_t)plan->slots * sizeof(*schedule));
    for (int k = 0; k < plan->leg_count; k++) {
        const struct plan_leg *leg = &plan->legs[k];
        for (int slot = 0; slot < plan->slots; slot++) {
            schedule[first + slot].count[leg->group][leg->sites[slot]] += leg->count;
        }
    }
}

static int decide(const struct agent_sim_view *view, const struct agent_sim_state *start,
                  struct agent_sim_place *schedule, struct agent_error *error)
{
    struct question *question = calloc(1, sizeof(*question));
    struct agent_roll_answer answer = {0};

    if (question == NULL) {
        return agent_error_set(error, ENOMEM, "simulation: out of memory for a plan");
    }
    ask(question, view, start);
    int result = agent_roll_solve(&question->roll, &answer, error);
    if (result == 0 && answer.plan != NULL) {
        schedule_from(answer.plan, schedule);
    }
    if (result == 0 && view->document != NULL) {
        *view->document = json_incref(answer.document);
    }
    agent_roll_answer_done(&answer);
    free(question);
    return result;
}

const struct agent_sim_strategy agent_sim_planner = {
    .name = "plan",
    .summary = "the planner: price, carbon, surplus quantiles, dwell and migration costs",
    .decide = decide,
};
