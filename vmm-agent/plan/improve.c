/* SPDX-License-Identifier: GPL-2.0-or-later */
/* improve.c - rounding and one-unit improvement
 * Owner: struct plan_improve.   Thread: see improve.h.   Time: planned slots.   Units: yen.
 *
 * Theory of operation. A unit that is taken off its route sees, for every cell, what the rows
 * would charge for adding it there; the cheapest route at these charges is its best reply. Best
 * replies of a batch of classes are searched in parallel against the same loads. Then, one after
 * another, each is tried for real: the unit is taken off, put on, and the exact change of all
 * charges decides. So the sum of charges only ever falls, and threads cannot change the outcome.
 * With smoothed charges this is the rounding's clean-up near the relaxation's solution; with exact
 * charges, where a broken capacity costs PLAN_OVER times its price, it is repair and descent. */
#include "plan/improve.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/row.h"

#define BATCH    16
#define GAIN_MIN 1e-6 /* yen: smaller gains are rounding */

static int batch_bundles(const struct plan_flow *flow, const struct plan_model *model)
{
    int most = 1;

    for (int first = 0; first < model->class_count; first += BATCH) {
        int end = first + BATCH < model->class_count ? first + BATCH : model->class_count;
        int count = flow->first[end] - flow->first[first];
        most = count > most ? count : most;
    }
    return most;
}

int plan_improve_init(struct plan_improve *improve, struct plan_model *model,
                      struct plan_pool *pool, struct plan_flow *flow)
{
    size_t routes = (size_t)batch_bundles(flow, model) * PLAN_ROUTES_MAX;

    memset(improve, 0, sizeof(*improve));
    improve->model = model;
    improve->pool = pool;
    improve->flow = flow;
    improve->fresh = calloc(routes, (size_t)model->slots);
    improve->gain = calloc(routes, sizeof(double));
    if (improve->fresh == NULL || improve->gain == NULL) {
        plan_improve_done(improve);
        return -ENOMEM;
    }
    return 0;
}

void plan_improve_done(struct plan_improve *improve)
{
    free(improve->fresh);
    free(improve->gain);
    memset(improve, 0, sizeof(*improve));
}

/* What adding @amount to row @index costs when @less of it is taken off before. */
static double added(const struct plan_improve *improve, int index, double amount, double less)
{
    const struct plan_row *row = &improve->model->rows[index];
    double stiff;

    if (!improve->model->used[index] || amount == 0) {
        return 0;
    }
    if (!improve->exact) {
        return amount * plan_row_price_at(row, row->y - less + amount / 2, &stiff);
    }
    return plan_row_charge(row, row->y - less + amount) - plan_row_charge(row, row->y - less);
}

/* Cost of one unit at a cell; @own: it is already counted there; @source: it already holds the
 * cell's memory as the source of its move. */
static double cell_cost(const struct plan_improve *improve, const struct plan_class *class,
                        int cell, bool own, bool source)
{
    const struct plan_model *model = improve->model;
    int slot = cell / model->sites;
    double less = own ? 1 : 0;
    double kw = class->kw[slot] * model->kw_scale[cell];
    double cost = added(improve, model->base[PLAN_ENERGY] + cell, kw, less * kw) +
                  added(improve, model->base[PLAN_PEAK] + cell, kw, less * kw) +
                  added(improve, model->base[PLAN_POWER] + cell, kw, less * kw) +
                  added(improve, model->base[PLAN_CPU] + cell, class->cpu, less * class->cpu) +
                  added(improve, model->base[PLAN_RAM] + cell, class->ram,
                        own || source ? class->ram : 0);

    for (int product = 0; class->gives && model->any_give && product < PLAN_RESERVES; product++) {
        double give = -class->give[product][slot] * model->kw_scale[cell];
        cost += added(improve, model->base[PLAN_GIVE + product] + cell, give, less * give);
    }
    for (int index = 0; index < class->limit_count; index++) {
        double units = class->limit_units[index];
        cost += added(improve, plan_row_limit(model, class->limits[index], 0, 0) + cell, units,
                      less * units);
    }
    return cost;
}

static void price_ram(const struct plan_improve *improve, const struct plan_class *class,
                      double *row, int cell, bool own)
{
    int index = improve->model->base[PLAN_RAM] + cell;

    row[index] = class->ram > 0
                     ? added(improve, index, class->ram, own ? class->ram : 0) / class->ram
                     : 0;
}

static void price_link(const struct plan_improve *improve, const struct plan_class *class,
                       double *row, int index, bool own)
{
    row[index] =
        class->gb > 0 ? added(improve, index, class->gb, own ? class->gb : 0) / class->gb : 0;
}

static void price_all(const struct plan_improve *improve, const struct plan_class *class,
                      struct plan_route_desk *desk)
{
    const struct plan_model *model = improve->model;

    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        desk->node[cell] = cell_cost(improve, class, cell, false, false);
        price_ram(improve, class, desk->row, cell, false);
    }
    for (int row = model->base[PLAN_LINK]; row < model->base[PLAN_LIMIT]; row++) {
        price_link(improve, class, desk->row, row, false);
    }
}

/* Prices along a route as one of its own units sees them (@own), or back to everybody's. */
static void price_route(const struct plan_improve *improve, const struct plan_bundle *bundle,
                        int route, struct plan_route_desk *desk, bool own)
{
    const struct plan_model *model = improve->model;
    const struct plan_class *class = &model->classes[bundle->class];
    const uint8_t *sites = plan_bundle_route(bundle, route, model->slots);
    int before = bundle->start->site;

    for (int slot = 0; slot < model->slots; slot++) {
        int cell = slot * model->sites + sites[slot];
        desk->node[cell] = cell_cost(improve, class, cell, own, false);
        price_ram(improve, class, desk->row, cell, own);
        if (before >= 0 && before != sites[slot]) {
            int source = slot * model->sites + before;
            int link = plan_link_between(model, before, sites[slot]);
            desk->node[source] = cell_cost(improve, class, source, false, own);
            price_ram(improve, class, desk->row, source, own);
            price_link(improve, class, desk->row, plan_row_link(model, slot, link), own);
        }
        before = sites[slot];
    }
}

static void propose(void *context, struct plan_route_desk *desk, int item)
{
    struct plan_improve *improve = context;
    const struct plan_model *model = improve->model;
    const struct plan_class *class = &model->classes[item];

    price_all(improve, class, desk);
    for (int index = improve->flow->first[item]; index < improve->flow->first[item + 1]; index++) {
        const struct plan_bundle *bundle = &improve->flow->bundles[index];
        for (int route = 0; route < bundle->count; route++) {
            int at = (index - improve->batch_first) * PLAN_ROUTES_MAX + route;
            const uint8_t *sites = plan_bundle_route(bundle, route, model->slots);
            improve->gain[at] = 0;
            if (bundle->units[route] == 0 || bundle->start->hold >= model->slots) {
                continue;
            }
            price_route(improve, bundle, route, desk, true);
            plan_route_solve(desk, model, class, desk->row);
            double now = plan_route_cost(desk, model, class, bundle->start, sites, desk->row);
            double best = plan_route_take(desk, model, class, bundle->start,
                                          improve->fresh + (size_t)at * (size_t)model->slots);
            improve->gain[at] = now - best;
            price_route(improve, bundle, route, desk, false);
        }
    }
}

static double row_add(struct plan_improve *improve, int index, double amount)
{
    struct plan_row *row = &improve->model->rows[index];
    double before = row->y;

    row->y += amount;
    if (!improve->model->used[index] || amount == 0) {
        return 0;
    }
    return improve->exact ? plan_row_charge(row, row->y) - plan_row_charge(row, before)
                          : plan_row_smooth(row, row->y) - plan_row_smooth(row, before);
}

static double cell_add(struct plan_improve *improve, const struct plan_class *class, int cell,
                       double units)
{
    const struct plan_model *model = improve->model;
    int slot = cell / model->sites;
    double kw = units * class->kw[slot] * model->kw_scale[cell];
    double change = row_add(improve, model->base[PLAN_ENERGY] + cell, kw) +
                    row_add(improve, model->base[PLAN_PEAK] + cell, kw) +
                    row_add(improve, model->base[PLAN_POWER] + cell, kw) +
                    row_add(improve, model->base[PLAN_CPU] + cell, units * class->cpu) +
                    row_add(improve, model->base[PLAN_RAM] + cell, units * class->ram);

    for (int product = 0; class->gives && model->any_give && product < PLAN_RESERVES; product++) {
        change += row_add(improve, model->base[PLAN_GIVE + product] + cell,
                          -units * class->give[product][slot] * model->kw_scale[cell]);
    }
    for (int index = 0; index < class->limit_count; index++) {
        change += row_add(improve, plan_row_limit(model, class->limits[index], 0, 0) + cell,
                          units * class->limit_units[index]);
    }
    return change;
}

/* Put @units along a route. Return: the exact change of all charges and of move money. */
static double route_add(struct plan_improve *improve, const struct plan_bundle *bundle,
                        const uint8_t *sites, double units)
{
    const struct plan_model *model = improve->model;
    const struct plan_class *class = &model->classes[bundle->class];
    int before = bundle->start->site;
    double change = 0;

    for (int slot = 0; slot < model->slots; slot++) {
        change += cell_add(improve, class, slot * model->sites + sites[slot], units);
        if (before >= 0 && before != sites[slot]) {
            int link = plan_link_between(model, before, sites[slot]);
            change += units * plan_move_yen(model, class, link);
            change += row_add(improve, plan_row_link(model, slot, link), units * class->gb);
            change += row_add(improve, plan_row_at(model, PLAN_RAM, slot, before),
                              units * class->ram);
        }
        before = sites[slot];
    }
    return change;
}

static bool try_unit(struct plan_improve *improve, struct plan_bundle *bundle, int route,
                     const uint8_t *fresh)
{
    int slots = improve->model->slots;
    const uint8_t *old = plan_bundle_route(bundle, route, slots);
    double change = route_add(improve, bundle, old, -1);

    change += route_add(improve, bundle, fresh, 1);
    if (change > -GAIN_MIN) {
        route_add(improve, bundle, fresh, -1);
        route_add(improve, bundle, old, 1);
        return false;
    }
    bundle->units[route]--;
    int to = plan_bundle_add(bundle, fresh, slots);
    for (int other = 0; to < 0 && other < bundle->count; other++) {
        if (bundle->units[other] == 0) {
            memcpy(plan_bundle_route(bundle, other, slots), fresh, (size_t)slots);
            to = other;
        }
    }
    if (to < 0) { /* no place for another route */
        route_add(improve, bundle, fresh, -1);
        route_add(improve, bundle, old, 1);
        bundle->units[route]++;
        return false;
    }
    bundle->units[to]++;
    return true;
}

int plan_improve_sweep(struct plan_improve *improve)
{
    struct plan_model *model = improve->model;
    struct plan_flow *flow = improve->flow;
    int moved = 0;

    for (int first = 0; first < model->class_count; first += BATCH) {
        int end = first + BATCH < model->class_count ? first + BATCH : model->class_count;
        improve->batch_first = flow->first[first];
        plan_pool_run(improve->pool, propose, improve, (const int[2]){first, end});
        for (int index = flow->first[first]; index < flow->first[end]; index++) {
            struct plan_bundle *bundle = &flow->bundles[index];
            int routes = bundle->count;
            for (int route = 0; route < routes; route++) {
                int at = (index - improve->batch_first) * PLAN_ROUTES_MAX + route;
                const uint8_t *fresh = improve->fresh + (size_t)at * (size_t)model->slots;
                while (improve->gain[at] > GAIN_MIN && bundle->units[route] > 0 &&
                       try_unit(improve, bundle, route, fresh)) {
                    moved++;
                }
            }
        }
    }
    return moved;
}

void plan_loads_set(struct plan_model *model, const struct plan_flow *flow)
{
    const struct agent_plan_instance *instance = model->instance;

    for (int row = 0; row < model->row_count; row++) {
        model->rows[row].y = 0;
    }
    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        const struct plan_site *site = &instance->sites[cell % model->sites];
        double idle = site->pue[instance->first + cell / model->sites] * site->idle_kw;
        const struct plan_store *store = &model->stores[cell % model->sites];
        model->rows[model->base[PLAN_ENERGY] + cell].y = idle;
        model->rows[model->base[PLAN_PEAK] + cell].y = idle;
        model->rows[model->base[PLAN_POWER] + cell].y = idle;
        plan_store_put(model, cell, plan_store_kw(store, store->rise[cell / model->sites]));
    }
    for (int index = 0; index < flow->bundle_count; index++) {
        const struct plan_bundle *bundle = &flow->bundles[index];
        for (int route = 0; route < bundle->count; route++) {
            if (bundle->units[route] > 0) {
                plan_route_put(model, &model->classes[bundle->class], bundle->start,
                               plan_bundle_route(bundle, route, model->slots),
                               bundle->units[route]);
            }
        }
    }
    plan_rows_refresh(model);
}

/* The route of the bundle on which one more unit is charged least. */
static int cheapest_route(struct plan_improve *improve, const struct plan_bundle *bundle,
                          const double *share)
{
    double least = INFINITY;
    int best = 0;

    for (int route = 0; route < bundle->count; route++) {
        const uint8_t *sites = plan_bundle_route(bundle, route, improve->model->slots);
        if (share[route] <= 0 && bundle->count > 1) {
            continue;
        }
        double cost = route_add(improve, bundle, sites, 1);
        route_add(improve, bundle, sites, -1);
        if (cost < least) {
            least = cost;
            best = route;
        }
    }
    return best;
}

static void round_bundle(struct plan_improve *improve, struct plan_bundle *bundle)
{
    int slots = improve->model->slots;
    double share[PLAN_ROUTES_MAX];
    int left = bundle->start->count;

    for (int route = 0; route < bundle->count; route++) {
        double whole = floor(bundle->flow[route] + 1e-6);
        bundle->units[route] = (int)whole;
        share[route] = bundle->flow[route] - whole;
        left -= bundle->units[route];
        route_add(improve, bundle, plan_bundle_route(bundle, route, slots), -share[route]);
    }
    for (; left > 0; left--) {
        int route = cheapest_route(improve, bundle, share);
        route_add(improve, bundle, plan_bundle_route(bundle, route, slots), 1);
        bundle->units[route]++;
    }
}

void plan_round(struct plan_improve *improve)
{
    for (int index = 0; index < improve->flow->bundle_count; index++) {
        round_bundle(improve, &improve->flow->bundles[index]);
    }
    plan_loads_set(improve->model, improve->flow);
}
