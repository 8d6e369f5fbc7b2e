/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.c - Theory of operation
 * First the formulas (kpi.c) on what was measured. Then, if VMs are asked for, every strategy lives
 * through the same days with a state of its own: at the hour of decision (17:00 the day before) it
 * gets a view - next-day prices, forecasts, the last measurements, which signals were refused - and
 * gives a schedule; the schedule is then charged with the truth. The oracle is the same planner
 * with the truth as its forecast. Static places are stays from other starts. The rolling plan is
 * the planner again, asked every half hour (roll.c). */
#include "simulate/run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate/run_parts.h"

const struct agent_sim_outcome *agent_sim_find(const struct agent_sim_result *result,
                                               const char *name)
{
    for (size_t i = 0; i < result->outcome_count; i++) {
        if (strcmp(result->outcomes[i].name, name) == 0) {
            return &result->outcomes[i];
        }
    }
    return NULL;
}

void agent_sim_result_done(struct agent_sim_result *result)
{
    for (size_t i = 0; i < result->outcome_count; i++) {
        free(result->outcomes[i].used_share);
        result->outcomes[i].used_share = NULL;
    }
    result->outcome_count = 0;
}

double agent_sim_run_scale(const struct run *run, size_t site)
{
    double peak = run->result->peak_mw[site];

    return peak > 0.0 ? run->request->sites[site].ratio * run->world.load_kw / peak : 0.0;
}

static void truth_of_day(struct run *run, size_t day)
{
    for (size_t s = 0; s < run->request->site_count; s++) {
        enum agent_area area = run->request->sites[s].area;
        for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
            int64_t slot = run->request->first_day + (int64_t)day * AGENT_SIM_SLOTS + i;
            double pv = agent_sim_data_at(run->data, area, SIM_PV, slot);
            double carbon = agent_sim_data_at(run->data, area, SIM_CARBON, slot);
            run->truth.renewable_kw[s][i] =
                run->request->sites[s].ratio > 0.0 ? agent_sim_run_scale(run, s) * pv : 0.0;
            run->truth.price[s][i] = run->result->priced
                                         ? agent_sim_data_at(run->data, area, SIM_PRICE, slot)
                                         : AGENT_SIM_FLAT_JPY;
            run->truth.carbon[s][i] = isfinite(carbon) ? carbon : 0.0;
        }
    }
}

static void freeze(struct run *run, size_t site)
{
    bool refused = run->signals.refused[site];

    run->view.frozen[site] = refused ? run->signals.reason[site] : NULL;
    run->view.signal[site] =
        refused && run->signals.signal[site] == SIM_PRICE ? "price" : "surplus";
}

/* What every strategy may know; forecasts are put in per actor. */
static void view_of_day(struct run *run, size_t day)
{
    struct agent_sim_view *view = &run->view;
    int64_t today = run->request->first_day + (int64_t)day * AGENT_SIM_SLOTS;

    view->world = &run->world;
    view->today = today;
    view->first = 0;
    view->end = AGENT_SIM_SLOTS;
    for (size_t s = 0; s < run->request->site_count; s++) {
        enum agent_area area = run->request->sites[s].area;
        bool refused = run->signals.refused[s];
        freeze(run, s);
        for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
            int64_t yesterday = today + i - AGENT_SIM_SLOTS;
            yesterday -= yesterday >= today - run->request->lead_slots ? AGENT_SIM_SLOTS : 0;
            double pv = agent_sim_data_at(run->data, area, SIM_PV, today + i - 1);
            double carbon = agent_sim_data_at(run->data, area, SIM_CARBON, yesterday);
            view->price[s][i] = refused ? (double)NAN : run->truth.price[s][i];
            view->carbon[s][i] = isfinite(carbon) ? carbon : 0.0;
            view->measured[s][i] = refused ? (double)NAN : agent_sim_run_scale(run, s) * pv;
        }
    }
}

/* The actor's own expectation of renewable power. A site that nobody can forecast is frozen. */
static void expect(struct run *run, const struct actor *actor, size_t day)
{
    for (size_t s = 0; s < run->request->site_count; s++) {
        bool known = true;
        for (int q = 0; q < SIM_QUANTILES; q++) {
            const float *mw = actor->kind == ACTOR_PLAN
                                  ? agent_sim_forecasts_day(&run->forecasts, actor->method, s, day,
                                                            (enum agent_sim_quantile)q)
                                  : NULL;
            for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
                double kw = mw != NULL ? agent_sim_run_scale(run, s) * (double)mw[i]
                                       : run->truth.renewable_kw[s][i];
                kw = run->request->sites[s].ratio > 0.0 ? kw : 0.0;
                known = known && isfinite(kw);
                run->view.renewable[s][q][i] = kw;
            }
        }
        freeze(run, s);
        if (!known && !run->signals.refused[s]) {
            run->view.frozen[s] = "no forecast of the renewable power";
        }
    }
}

static void trace(struct run *run, size_t day)
{
    struct agent_sim_result *result = run->result;
    size_t first = day * AGENT_SIM_SLOTS;

    if (day >= AGENT_SIM_TRACE_DAYS) {
        return;
    }
    result->trace_slots = first + AGENT_SIM_SLOTS;
    for (size_t s = 0; s < run->world.site_count; s++) {
        for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
            double kw = 0.0;
            for (size_t g = 0; g < run->world.group_count; g++) {
                kw += run->schedule[i].count[g][s] * run->world.groups[g].power_kw;
            }
            result->trace_share[s][first + (size_t)i] = (float)(kw / run->world.load_kw);
        }
    }
}

/* Live through a schedule that was made for the whole day. */
static int live_schedule(struct run *run, struct actor *actor)
{
    struct agent_sim_account *account = &actor->outcome->account;
    struct agent_sim_place *earlier = run->schedule + AGENT_SIM_SLOTS; /* free here */
    bool reactive = actor->strategy->reactive;
    int gate = run->world.gate_slots;

    if (actor->kind == ACTOR_PLAN || actor->kind == ACTOR_ORACLE) {
        expect(run, actor, run->day);
    }
    *earlier = actor->state.place;
    int result = actor->strategy->decide(&run->view, &actor->state, run->schedule, run->error);
    for (int slot = 0; slot < AGENT_SIM_SLOTS && result == 0; slot++) {
        if (reactive && gate > 0) { /* it bought for where things were when the gate closed */
            agent_sim_account_gate(&run->world, slot < gate ? earlier : &run->schedule[slot - gate],
                                   &run->schedule[slot], &run->truth, slot, account);
        }
        agent_sim_account_slot(&run->world, &actor->state, &run->schedule[slot], &run->truth, slot,
                               account);
    }
    return result;
}

static int live_day(struct run *run, struct actor *actor, size_t day)
{
    struct agent_sim_account *account = &actor->outcome->account;
    double used = account->used_kwh;
    double load = account->load_kwh;

    run->day = day;
    int result =
        actor->kind == ACTOR_ROLLING ? agent_sim_roll_day(run, actor) : live_schedule(run, actor);
    if (result != 0) {
        return result;
    }
    load = account->load_kwh - load;
    if (actor->outcome->used_share != NULL) {
        actor->outcome->used_share[day] =
            (float)(load > 0.0 ? (account->used_kwh - used) / load : (double)NAN);
    }
    if (actor->kind == ACTOR_PLAN || actor->kind == ACTOR_ROLLING) { /* the last one is shown */
        trace(run, day);
    }
    run->done++;
    if (run->request->progress != NULL) {
        run->request->progress(run->request->progress_arg, "simulate", run->done, run->total);
    }
    return 0;
}

static int add_actor(struct run *run, enum actor_kind kind,
                     const struct agent_sim_strategy *strategy, size_t method, const char *name)
{
    struct actor *actor = &run->actors[run->actor_count++];
    struct agent_sim_place *place = run->schedule; /* free to use before the first day */

    *actor = (struct actor){.kind = kind, .strategy = strategy, .method = method};
    if (kind == ACTOR_STATIC) {
        actor->outcome = &run->statics[method];
        agent_sim_place_at(&run->world, method, place);
    } else {
        actor->outcome = &run->result->outcomes[run->result->outcome_count++];
        snprintf(actor->outcome->name, sizeof(actor->outcome->name), "%s", name);
        actor->outcome->plan = kind == ACTOR_PLAN || kind == ACTOR_ROLLING;
        actor->outcome->used_share = calloc(run->request->days, sizeof(float));
        agent_sim_place_even(&run->world, place);
    }
    if (kind == ACTOR_ROLLING) {
        actor->bought = calloc(AGENT_SIM_WINDOW, sizeof(*actor->bought));
        if (actor->bought == NULL) {
            return -ENOMEM;
        }
    }
    agent_sim_state_start(&run->world, place, &actor->state);
    return kind == ACTOR_STATIC || actor->outcome->used_share != NULL ? 0 : -ENOMEM;
}

static int add_actors(struct run *run)
{
    char name[40];
    int result = add_actor(run, ACTOR_RULE, &agent_sim_stay, 0, "uniform");

    result = result != 0 ? result : add_actor(run, ACTOR_RULE, &agent_sim_stay, 0, "best_static");
    result =
        result != 0 ? result : add_actor(run, ACTOR_RULE, &agent_sim_cheapest, 0, "cheapest-now");
    result =
        result != 0 ? result : add_actor(run, ACTOR_RULE, &agent_sim_greedy, 0, "greedy-surplus");
    for (size_t m = 0; m < run->forecasts.count && result == 0; m++) {
        snprintf(name, sizeof(name), "plan:%s", run->forecasts.name[m]);
        result = add_actor(run, ACTOR_PLAN, &agent_sim_planner, m, name);
    }
    if (result == 0 && run->request->replan_slots > 0) { /* with the last method: the choice */
        size_t last = run->forecasts.count - 1;
        snprintf(name, sizeof(name), "rolling:%s", run->forecasts.name[last]);
        result = add_actor(run, ACTOR_ROLLING, &agent_sim_planner, last, name);
    }
    result = result != 0 ? result : add_actor(run, ACTOR_ORACLE, &agent_sim_planner, 0, "oracle");
    for (size_t s = 0; s < run->world.site_count && result == 0; s++) {
        result = add_actor(run, ACTOR_STATIC, &agent_sim_stay, s, NULL);
    }
    return result;
}

/* The static place with the least objective is known only afterwards; it takes its outcome's slot.
 */
static void settle(struct run *run)
{
    struct agent_sim_result *result = run->result;
    struct agent_sim_outcome *best = &result->outcomes[1];
    const struct agent_sim_outcome *oracle = agent_sim_find(result, "oracle");

    for (size_t s = 1; s < run->world.site_count; s++) {
        if (run->statics[s].account.objective <
            run->statics[result->best_static_site].account.objective) {
            result->best_static_site = s;
        }
    }
    best->account = run->statics[result->best_static_site].account;
    for (size_t day = 0; day < run->request->days; day++) {
        best->used_share[day] = NAN; /* kept for the whole run only */
    }
    for (size_t i = 0; i < result->outcome_count; i++) {
        struct agent_sim_outcome *outcome = &result->outcomes[i];
        outcome->regret = outcome->account.objective - oracle->account.objective;
        outcome->regret_share = fabs(oracle->account.objective) > 0.0
                                    ? outcome->regret / fabs(oracle->account.objective)
                                    : (double)NAN;
    }
}

static int days(struct run *run)
{
    int result = 0;

    run->total = (uint64_t)run->request->days * run->actor_count;
    for (size_t day = 0; day < run->request->days && result == 0; day++) {
        truth_of_day(run, day);
        result = agent_sim_signals_judge(run->request, run->data, day, run->result->priced,
                                         &run->signals, run->result);
        if (result == 0) {
            view_of_day(run, day);
        }
        for (size_t a = 0; a < run->actor_count && result == 0; a++) {
            struct actor *actor = &run->actors[a];
            for (size_t s = 0; s < run->world.site_count; s++) {
                freeze(run, s);
            }
            result = live_day(run, actor, day);
        }
    }
    return result;
}

static int live(struct run *run)
{
    const struct agent_sim_request *request = run->request;
    struct agent_sim_world *world = &run->world;

    world->site_count = request->site_count;
    memcpy(world->sites, request->sites, sizeof(world->sites));
    world->yen_per_gb = request->yen_per_gb;
    world->yen_per_ton = request->yen_per_ton;
    world->link_gbit_s = request->link_gbit_s;
    world->gate_slots = request->gate_slots;
    world->imbalance_yen_per_kwh = request->imbalance_yen_per_kwh;
    if (agent_sim_world_groups(world, request->vms, request->groups, request->seed) != 0) {
        return agent_error_set(run->error, EINVAL,
                               "%d VMs in %d groups: expected 1..%d groups of at least one VM and "
                               "at most %d VMs",
                               request->vms, request->groups, AGENT_SIM_GROUPS_MAX,
                               AGENT_SIM_VMS_MAX);
    }
    run->result->load_kw = world->load_kw;
    int result = agent_sim_forecasts_make(request, run->data, &run->forecasts, run->result);
    result = result != 0 ? result : add_actors(run);
    result = result != 0 ? result : days(run);
    if (result == 0) {
        settle(run);
    }
    return result;
}

int agent_sim_run(const struct agent_sim_request *request, const struct agent_sim_data *data,
                  struct agent_sim_result *result, struct agent_error *error)
{
    struct run *run = NULL;

    memset(result, 0, sizeof(*result));
    int status = agent_sim_check(request, data, error);
    status = status != 0 ? status : agent_sim_formulas(request, data, result, error);
    if (status != 0) {
        return status;
    }
    if (request->vms > 0) {
        run = calloc(1, sizeof(*run));
        if (run != NULL) {
            run->request = request;
            run->data = data;
            run->result = result;
            run->error = error;
            status = live(run);
            for (size_t a = 0; a < run->actor_count; a++) {
                free(run->actors[a].bought);
                json_decref(run->actors[a].document);
            }
            agent_sim_forecasts_done(&run->forecasts);
        } else {
            status = -ENOMEM;
        }
        free(run);
    }
    if (status != 0) {
        agent_sim_result_done(result);
        return agent_error_set(error, status, "simulation: %s", strerror(-status));
    }
    agent_sim_findings(request, result);
    return 0;
}
