/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bound.c - the Lagrangian value at given multipliers, exact but for rounding, which is bounded
 * Owner: struct plan_bound.   Thread: see bound.h.   Time: planned slots.   Units: yen.
 *
 * Theory of operation. Every row is dualised, so the problem falls apart: each unit takes its
 * cheapest route (exact, route.c), each energy row its cheapest net load (at 0 or a knee), each
 * site its peak, each battery its own linear problem. For a battery the dual over the value of
 * stored energy is solved instead (a maximum over paths of values): whatever path is found, its
 * value is a valid bound, so nothing rests on convergence anywhere.
 *
 * Rounding. Every number that is added is also added by its absolute value into a size. A sum or
 * minimum of n floating point terms differs from the exact one by at most n * 2^-53 * size * (1 +
 * small), so the bound is lowered by twice the longest chain of operations times 2^-53 times the
 * size. docs/planner.md has the chain lengths. */
#include "plan/bound.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/row.h"

struct total {
    double yen;
    double size;
};

static void add(struct total *total, double yen)
{
    total->yen += yen;
    total->size += fabs(yen);
}

static int gate_count(const struct plan_model *model)
{
    return model->gates != NULL ? model->instance->area_count * model->slots : 0;
}

int plan_bound_init(struct plan_bound *bound, const struct plan_model *model)
{
    memset(bound, 0, sizeof(*bound));
    bound->row = calloc((size_t)model->row_count + 1, sizeof(double));
    bound->load = calloc((size_t)(model->slots * model->sites) + 1, sizeof(double));
    bound->class_yen = calloc((size_t)model->class_count + 1, sizeof(double));
    bound->class_size = calloc((size_t)model->class_count + 1, sizeof(double));
    bound->mu = calloc((size_t)gate_count(model) + 1, sizeof(double));
    if (bound->row == NULL || bound->load == NULL || bound->class_yen == NULL ||
        bound->class_size == NULL || bound->mu == NULL) {
        plan_bound_done(bound);
        return -ENOMEM;
    }
    return 0;
}

void plan_bound_done(struct plan_bound *bound)
{
    free(bound->row);
    free(bound->load);
    free(bound->class_yen);
    free(bound->class_size);
    free(bound->mu);
    memset(bound, 0, sizeof(*bound));
}

void plan_bound_take(struct plan_bound *bound, const struct plan_model *model)
{
    for (int row = 0; row < model->row_count; row++) {
        bound->row[row] = model->used[row] ? model->rows[row].lambda : 0;
    }
    for (int gate = 0; gate < gate_count(model); gate++) {
        bound->mu[gate] = model->gates[gate].mu;
    }
}

struct work {
    struct plan_bound *bound;
    const struct plan_model *model;
    double ram_most;
    double link_most;
};

static void solve_class(void *context, struct plan_route_desk *desk, int item)
{
    const struct work *work = context;
    const struct plan_model *model = work->model;
    const struct plan_class *class = &model->classes[item];
    struct plan_prices prices = {work->bound->row, work->bound->load};
    double yen = 0;

    plan_route_nodes(desk, model, class, &prices);
    plan_route_solve(desk, model, class, work->bound->row);
    for (int start = 0; start < class->start_count; start++) {
        yen += class->starts[start].count *
               plan_route_take(desk, model, class, &class->starts[start], NULL);
    }
    work->bound->class_yen[item] = yen;
    work->bound->class_size[item] =
        class->count * (desk->size + model->slots * (class->gb * work->link_most +
                                                     class->ram * work->ram_most));
}

/* min over 0 <= n (<= import limit) of charge(n) - lambda n: at 0 or at a knee. */
static double energy_least(const struct plan_row *row, double lambda, double *size)
{
    double slope = 0;
    double at = 0;
    double value = 0;
    double least = 0;

    for (int index = 0; index < row->knees; index++) {
        value += (slope - lambda) * (row->knee[index] - at);
        *size += (slope + lambda) * fabs(row->knee[index] - at);
        at = row->knee[index];
        slope = row->slope[index];
        least = fmin(least, value);
    }
    return isfinite(slope) && lambda > slope ? -INFINITY : least;
}

static void add_cell(const struct plan_bound *bound, const struct plan_model *model, int cell,
                     struct total *total)
{
    const struct plan_site *site = &model->instance->sites[cell % model->sites];
    int at = model->instance->first + cell / model->sites;
    double idle = site->pue[at] * site->idle_kw;
    double energy = bound->row[model->base[PLAN_ENERGY] + cell];
    double peak = bound->row[model->base[PLAN_PEAK] + cell];
    double power = bound->row[model->base[PLAN_POWER] + cell];

    add(total, energy * idle);
    add(total, energy_least(&model->rows[model->base[PLAN_ENERGY] + cell], energy,
                            &total->size));
    add(total, peak * (idle - model->surplus_peak[cell]));
    add(total, power * idle);
}

static void add_capacities(const struct plan_bound *bound, const struct plan_model *model,
                           struct total *total)
{
    for (int row = model->base[PLAN_POWER]; row < model->row_count; row++) {
        if (bound->row[row] > 0) {
            add(total, -bound->row[row] * model->rows[row].knee[0]);
        }
    }
}

static void add_peak(const struct plan_bound *bound, const struct plan_model *model, int site,
                     struct total *total)
{
    double rest = model->instance->sites[site].demand_yen_per_kw;

    for (int slot = 0; slot < model->slots; slot++) {
        rest -= bound->row[plan_row_at(model, PLAN_PEAK, slot, site)];
    }
    add(total, rest * (rest > 0 ? model->peak_min[site] : model->peak_max[site]));
    total->size += model->slots * fabs(rest) * model->peak_max[site];
}

static double meter_price(const struct plan_bound *bound, const struct plan_model *model, int cell)
{
    double price =
        bound->row[model->base[PLAN_ENERGY] + cell] + bound->row[model->base[PLAN_PEAK] + cell];

    for (int product = 0; product < PLAN_RESERVES; product++) {
        double give = bound->row[model->base[PLAN_GIVE + product] + cell];
        price += product <= PLAN_SECONDARY_UP ? -give : give;
    }
    return price;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

#define VALUES_MAX (2 * AGENT_PLAN_SLOTS_MAX + 1)

/* One slot of the dual of a battery: value[] holds the best total for each worth of a stored kWh
 * after the slot before; on return for the worth after this slot. */
static void battery_slot(const struct plan_store *store, int slot, double price,
                         const double *worth, double *value, int count)
{
    double best[VALUES_MAX];

    if (slot > 0) { /* level[slot] costs (worth before - worth now) per kWh */
        double low = store->level_min[slot - 1];
        double high = store->level_max[slot - 1];
        double run = -INFINITY;
        for (int at = 0; at < count; at++) { /* worth before <= now: the level is high */
            run = fmax(run, value[at] + high * worth[at]);
            best[at] = run - high * worth[at];
        }
        run = -INFINITY;
        for (int at = count - 1; at >= 0; at--) { /* worth before >= now: the level is low */
            run = fmax(run, value[at] + low * worth[at]);
            best[at] = fmax(best[at], run - low * worth[at]);
        }
        memcpy(value, best, sizeof(*value) * (size_t)count);
    }
    for (int at = 0; at < count; at++) {
        double up = store->rise_max * (price * store->up_per_kwh - worth[at]);
        double down = store->fall_max * (worth[at] - price * store->down_per_kwh);
        value[at] += fmin(0, up) + fmin(0, down);
    }
}

static void add_battery(const struct plan_bound *bound, const struct plan_model *model, int site,
                        struct total *total)
{
    const struct plan_store *store = &model->stores[site];
    double worth[VALUES_MAX];
    double value[VALUES_MAX];
    double best = -INFINITY;
    double most = 0;
    int count = 0;
    int last = model->slots - 1;

    if (!store->active) {
        return;
    }
    for (int slot = 0; slot < model->slots; slot++) {
        double price = meter_price(bound, model, slot * model->sites + site);
        worth[count++] = price * store->up_per_kwh;
        worth[count++] = price * store->down_per_kwh;
        most = fmax(most, fmax(fabs(worth[count - 1]), fabs(worth[count - 2])));
    }
    worth[count++] = 0;
    qsort(worth, (size_t)count, sizeof(double), ascending);
    for (int at = 0; at < count; at++) {
        value[at] = -worth[at] * store->level[0];
    }
    for (int slot = 0; slot < model->slots; slot++) {
        double price = meter_price(bound, model, slot * model->sites + site);
        battery_slot(store, slot, price, worth, value, count);
    }
    for (int at = 0; at < count; at++) {
        double end = worth[at] > 0 ? store->level_min[last] : store->level_max[last];
        best = fmax(best, value[at] + worth[at] * end);
    }
    add(total, best);
    total->size += most * model->slots *
                   (store->rise_max + store->fall_max + 2 * store->level_max[last] +
                    store->level[0]);
}

static void add_gates(const struct plan_bound *bound, const struct plan_model *model,
                      struct total *total)
{
    const struct agent_plan_instance *instance = model->instance;

    for (int area = 0; model->gates != NULL && area < instance->area_count; area++) {
        for (int slot = 0; slot < model->slots && slot < instance->areas[area].gate_slots;
             slot++) {
            int gate = area * model->slots + slot;
            add(total, -bound->mu[gate] * model->gates[gate].committed_kwh);
        }
    }
}

static void set_gates(struct plan_model *model, const double *mu, double *old)
{
    const struct agent_plan_instance *instance = model->instance;

    for (int gate = 0; gate < gate_count(model); gate++) {
        old[gate] = model->gates[gate].mu;
        model->gates[gate].mu = mu[gate];
    }
    for (int site = 0; model->gates != NULL && site < model->sites; site++) {
        int area = instance->sites[site].area;
        for (int slot = 0; area >= 0 && slot < instance->areas[area].gate_slots &&
                           slot < model->slots;
             slot++) {
            plan_model_energy(model, slot, site);
        }
    }
}

/* Above the last finite slope the net load would be unbounded; any lower multiplier is valid. */
static void clamp_energy(struct plan_bound *bound, const struct plan_model *model)
{
    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        int index = model->base[PLAN_ENERGY] + cell;
        const struct plan_row *row = &model->rows[index];
        double last = row->slope[row->knees - 1];
        bound->row[index] = isfinite(last) ? fmin(bound->row[index], last) : bound->row[index];
    }
}

static double most_of(const double *row, int first, int end)
{
    double most = 0;

    for (int at = first; at < end; at++) {
        most = fmax(most, row[at]);
    }
    return most;
}

static void add_all(const struct plan_bound *bound, const struct plan_model *model,
                    struct total *total)
{
    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        add_cell(bound, model, cell, total);
    }
    add_capacities(bound, model, total);
    for (int site = 0; site < model->sites; site++) {
        add_peak(bound, model, site, total);
        add_battery(bound, model, site, total);
    }
    add_gates(bound, model, total);
    for (int index = 0; index < model->class_count; index++) {
        add(total, bound->class_yen[index]);
        total->size += bound->class_size[index];
    }
}

void plan_bound_solve(struct plan_bound *bound, struct plan_model *model, struct plan_pool *pool)
{
    struct work work = {bound, model, 0, 0};
    struct total total = {0, 0};
    double slots = model->slots;
    double kept[64 * AGENT_PLAN_SLOTS_MAX];

    set_gates(model, bound->mu, kept);
    clamp_energy(bound, model);
    work.ram_most = most_of(bound->row, model->base[PLAN_RAM], model->base[PLAN_GIVE]);
    work.link_most = most_of(bound->row, model->base[PLAN_LINK], model->base[PLAN_LIMIT]);
    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        bound->load[cell] =
            model->kw_scale[cell] * (bound->row[model->base[PLAN_ENERGY] + cell] +
                                     bound->row[model->base[PLAN_PEAK] + cell] +
                                     bound->row[model->base[PLAN_POWER] + cell]);
    }
    plan_pool_run(pool, solve_class, &work, (const int[2]){0, model->class_count});
    add_all(bound, model, &total);
    set_gates(model, kept, bound->mu);
    double chain = 2 * slots * slots + 16 * slots + 64 + model->row_count + model->class_count;
    bound->safety = chain * DBL_EPSILON * total.size;
    bound->yen = total.yen - bound->safety;
}
