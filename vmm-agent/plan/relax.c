/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relax.c - method of multipliers with a route search per class
 * Owner: struct plan_relax.   Thread: see relax.h.   Time: planned slots.   Units: yen.
 *
 * Theory of operation. Each row's charge is smoothed around a multiplier (row.h). In a sweep every
 * class finds its cheapest route at the current prices and moves just as much flow onto it as the
 * local curvature allows (a Newton step along the exchange of two routes); batteries and peaks
 * follow. Then the prices become the new multipliers. At rest, prices are the multipliers of the
 * linear relaxation and the flows its solution. Nothing about the bound depends on being at rest:
 * bound.c proves one from whatever multipliers there are. Routes of a batch of classes are
 * searched in parallel at the same prices and applied one after another at the prices of the
 * moment, so the outcome does not depend on threads. */
#include "plan/relax.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/row.h"
#include "plan/store.h"

#define BATCH        16
#define STORE_STEPS  24
#define WIDTH        1.0 /* smoothing: this share of a site's usual load moves a price by its size */
#define MEAN_KEEP    0.85
#define STEPS_BACK   4

int plan_relax_init(struct plan_relax *relax, struct plan_model *model, struct plan_pool *pool,
                    struct plan_flow *flow)
{
    size_t rows = (size_t)model->row_count + 1;
    size_t gates = (size_t)(model->instance->area_count * model->slots) + 1;

    memset(relax, 0, sizeof(*relax));
    relax->model = model;
    relax->pool = pool;
    relax->flow = flow;
    relax->best_yen = -INFINITY;
    relax->best_row = calloc(rows, sizeof(double));
    relax->mean_row = calloc(rows, sizeof(double));
    relax->best_mu = calloc(gates, sizeof(double));
    relax->mean_mu = calloc(gates, sizeof(double));
    relax->fresh = calloc((size_t)flow->bundle_count + 1, (size_t)model->slots);
    if (relax->best_row == NULL || relax->mean_row == NULL || relax->best_mu == NULL ||
        relax->mean_mu == NULL || relax->fresh == NULL ||
        plan_bound_init(&relax->bound, model) < 0) {
        plan_relax_done(relax);
        return -ENOMEM;
    }
    return 0;
}

void plan_relax_done(struct plan_relax *relax)
{
    free(relax->best_row);
    free(relax->mean_row);
    free(relax->best_mu);
    free(relax->mean_mu);
    free(relax->fresh);
    plan_bound_done(&relax->bound);
    memset(relax, 0, sizeof(*relax));
}

/* What a kW, a core, a GB are usually worth: the first scale of prices. */
struct scales {
    double yen_per_kw; /* per slot */
    double kw;         /* all units */
    double cpu;
    double ram;
    double gb;
    double units;
};

static struct scales measure(const struct plan_model *model)
{
    struct scales scales = {0};
    int cells = model->slots * model->sites;

    for (int cell = 0; cell < cells; cell++) {
        const struct plan_row *row = &model->rows[model->base[PLAN_ENERGY] + cell];
        double slope = 0;
        for (int knee = 0; knee < row->knees && isfinite(row->slope[knee]); knee++) {
            slope = row->slope[knee];
        }
        scales.yen_per_kw += slope / cells;
    }
    for (int index = 0; index < model->class_count; index++) {
        const struct plan_class *class = &model->classes[index];
        for (int slot = 0; slot < model->slots; slot++) {
            scales.kw += class->count * class->kw[slot] / model->slots;
        }
        scales.cpu += class->count * class->cpu;
        scales.ram += class->count * class->ram;
        scales.gb += class->count * class->gb;
        scales.units += class->count;
    }
    scales.yen_per_kw = fmax(scales.yen_per_kw, 0.01);
    scales.kw = fmax(scales.kw, 1e-3);
    return scales;
}

static void set_rho(struct plan_model *model)
{
    struct scales scales = measure(model);
    double site_kw = scales.kw / model->sites;
    double yen = scales.yen_per_kw * scales.kw; /* all units, per slot */

    for (int row = 0; row < model->row_count; row++) {
        struct plan_row *at = &model->rows[row];
        double amount = site_kw;
        double price = scales.yen_per_kw;
        if (row >= model->base[PLAN_LIMIT]) {
            amount = fmax(at->knee[0], 1);
            price = yen / scales.units;
        } else if (row >= model->base[PLAN_LINK]) {
            amount = fmax(at->knee[0], 1e-3);
            price = 2 * yen / fmax(scales.gb, 1e-3);
        } else if (row >= model->base[PLAN_RAM] && row < model->base[PLAN_GIVE]) {
            amount = fmax(scales.ram / model->sites, 1e-3);
            price = 0.3 * yen / fmax(scales.ram, 1e-3);
        } else if (row >= model->base[PLAN_CPU] && row < model->base[PLAN_RAM]) {
            amount = fmax(scales.cpu / model->sites, 1e-3);
            price = 0.3 * yen / fmax(scales.cpu, 1e-3);
        }
        at->rho = fmax(price / (WIDTH * amount), 1e-12);
        at->over = PLAN_OVER * price;
    }
}

static void set_peak_over(struct plan_model *model)
{
    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        model->rows[model->base[PLAN_PEAK] + cell].over =
            model->instance->sites[cell % model->sites].demand_yen_per_kw;
    }
}

static void set_lambda(struct plan_model *model)
{
    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        struct plan_row *row = &model->rows[model->base[PLAN_ENERGY] + cell];
        double slope = 0;
        for (int knee = 0; knee < row->knees && isfinite(row->slope[knee]); knee++) {
            slope = row->slope[knee];
        }
        row->lambda = row->knee[0] > 0 ? slope / 2 : slope;
    }
}

/* First derivative and curvature of the smoothed cost along "from route 0 to route 1". */
struct along {
    double slope;
    double curve;
};

static void along_row(const struct plan_row *row, double change, struct along *along)
{
    along->slope += row->price * change;
    along->curve += row->stiff * change * change;
}

static void along_cell(const struct plan_model *model, const struct plan_class *class, int cell,
                       double sign, struct along *along)
{
    const struct plan_row *rows = model->rows;
    int slot = cell / model->sites;
    double kw = class->kw[slot] * model->kw_scale[cell];

    along->slope += sign * class->kw[slot] * model->load_price[cell];
    along->curve += kw * kw *
                    (rows[model->base[PLAN_ENERGY] + cell].stiff +
                     rows[model->base[PLAN_PEAK] + cell].stiff +
                     rows[model->base[PLAN_POWER] + cell].stiff);
    along_row(&rows[model->base[PLAN_CPU] + cell], sign * class->cpu, along);
    along_row(&rows[model->base[PLAN_RAM] + cell], sign * class->ram, along);
    for (int product = 0; class->gives && model->any_give && product < PLAN_RESERVES; product++) {
        along_row(&rows[model->base[PLAN_GIVE + product] + cell],
                  -sign * class->give[product][slot] * model->kw_scale[cell], along);
    }
    for (int index = 0; index < class->limit_count; index++) {
        along_row(&rows[plan_row_limit(model, class->limits[index], 0, 0) + cell],
                  sign * class->limit_units[index], along);
    }
}

static void along_move(const struct plan_model *model, const struct plan_class *class, int slot,
                       const int ends[2], struct along *along, double sign)
{
    int link = plan_link_between(model, ends[0], ends[1]);

    along->slope += sign * plan_move_yen(model, class, link);
    along_row(&model->rows[plan_row_link(model, slot, link)], sign * class->gb, along);
    along_row(&model->rows[plan_row_at(model, PLAN_RAM, slot, ends[0])], sign * class->ram, along);
}

static struct along along_routes(const struct plan_model *model, const struct plan_class *class,
                                 const struct plan_start *start, const uint8_t *const routes[2])
{
    struct along along = {0, 0};
    int before[2] = {start->site, start->site};

    for (int slot = 0; slot < model->slots; slot++) {
        for (int side = 0; side < 2; side++) {
            int ends[2] = {before[side], routes[side][slot]};
            double sign = side == 0 ? -1 : 1;
            if (routes[0][slot] != routes[1][slot]) {
                along_cell(model, class, slot * model->sites + ends[1], sign, &along);
            }
            if (ends[0] >= 0 && ends[0] != ends[1]) {
                along_move(model, class, slot, ends, &along, sign);
            }
            before[side] = ends[1];
        }
    }
    return along;
}

struct stride {
    double slope; /* at its beginning */
    double units;
};

/* The curvature at the beginning misses knees on the way. Where the slope has changed sign by the
 * end, go back to where a straight line between both slopes crosses 0, at most a few times.
 * Return: units gone back (their sign is opposite to the stride's). */
static double step_back(struct plan_model *model, const struct plan_class *class,
                        const struct plan_start *start, const uint8_t *const routes[2],
                        struct stride stride)
{
    double back = 0;

    for (int step = 0; step < STEPS_BACK; step++) {
        struct along end = along_routes(model, class, start, routes);
        double length = stride.units + back;
        if (end.slope * stride.slope >= 0 || fabs(end.slope) < 1e-3 * fabs(stride.slope)) {
            break;
        }
        double less = -length * end.slope / (end.slope - stride.slope);
        plan_route_shift(model, class, start, routes, less);
        back += less;
    }
    return back;
}

static void shift_flow(struct plan_relax *relax, struct plan_bundle *bundle, int from, int to)
{
    struct plan_model *model = relax->model;
    const struct plan_class *class = &model->classes[bundle->class];
    const uint8_t *routes[2] = {plan_bundle_route(bundle, from, model->slots),
                                plan_bundle_route(bundle, to, model->slots)};
    struct along along = along_routes(model, class, bundle->start, routes);
    double units = bundle->flow[from];

    if (along.slope >= 0) { /* the other way round? */
        if (bundle->flow[to] <= 0 || along.slope == 0) {
            return;
        }
        units = -bundle->flow[to];
    }
    if (along.curve * fabs(units) > fabs(along.slope)) {
        units = -along.slope / along.curve;
    }
    plan_route_shift(model, class, bundle->start, routes, units);
    units += step_back(model, class, bundle->start, routes, (struct stride){along.slope, units});
    bundle->flow[from] -= units;
    bundle->flow[to] += units;
}

static void forget_empty(struct plan_relax *relax, struct plan_bundle *bundle, int keep)
{
    struct plan_model *model = relax->model;
    const struct plan_class *class = &model->classes[bundle->class];

    for (int route = bundle->count - 1; route >= 0; route--) {
        if (route == keep || bundle->flow[route] > PLAN_FLOW_MIN) {
            continue;
        }
        const uint8_t *routes[2] = {plan_bundle_route(bundle, route, model->slots),
                                    plan_bundle_route(bundle, keep, model->slots)};
        if (bundle->flow[route] != 0) {
            plan_route_shift(model, class, bundle->start, routes, bundle->flow[route]);
            bundle->flow[keep] += bundle->flow[route];
        }
        plan_bundle_drop(bundle, route, model->slots);
        if (keep == bundle->count) {
            keep = route;
        }
    }
}

static int smallest(const struct plan_bundle *bundle)
{
    int least = 0;

    for (int route = 1; route < bundle->count; route++) {
        least = bundle->flow[route] < bundle->flow[least] ? route : least;
    }
    return least;
}

static void apply_bundle(struct plan_relax *relax, struct plan_bundle *bundle,
                         const uint8_t *sites)
{
    struct plan_model *model = relax->model;
    int slots = model->slots;
    int best = plan_bundle_add(bundle, sites, slots);

    if (best < 0) { /* full: the smallest flow joins the largest */
        int least = smallest(bundle);
        int other = least == 0 ? 1 : 0;
        const uint8_t *routes[2] = {plan_bundle_route(bundle, least, slots),
                                    plan_bundle_route(bundle, other, slots)};
        plan_route_shift(model, &model->classes[bundle->class], bundle->start, routes,
                         bundle->flow[least]);
        bundle->flow[other] += bundle->flow[least];
        plan_bundle_drop(bundle, least, slots);
        best = plan_bundle_add(bundle, sites, slots);
    }
    for (int route = 0; route < bundle->count; route++) {
        if (route != best && bundle->flow[route] > 0) {
            shift_flow(relax, bundle, route, best);
        }
    }
    int keep = best;
    for (int route = 0; route < bundle->count; route++) {
        keep = bundle->flow[route] > bundle->flow[keep] ? route : keep;
    }
    forget_empty(relax, bundle, keep);
}

static void search_class(void *context, struct plan_route_desk *desk, int item)
{
    struct plan_relax *relax = context;
    const struct plan_model *model = relax->model;
    const struct plan_class *class = &model->classes[item];
    struct plan_prices prices = {model->row_price, model->load_price};

    plan_route_nodes(desk, model, class, &prices);
    plan_route_solve(desk, model, class, model->row_price);
    for (int start = 0; start < class->start_count; start++) {
        int bundle = relax->flow->first[item] + start;
        plan_route_take(desk, model, class, &class->starts[start],
                        relax->fresh + (size_t)bundle * (size_t)model->slots);
    }
}

static void first_flows(struct plan_relax *relax)
{
    struct plan_model *model = relax->model;

    plan_pool_run(relax->pool, search_class, relax, (const int[2]){0, model->class_count});
    for (int index = 0; index < relax->flow->bundle_count; index++) {
        struct plan_bundle *bundle = &relax->flow->bundles[index];
        const uint8_t *sites = relax->fresh + (size_t)index * (size_t)model->slots;
        bundle->count = 0;
        int route = plan_bundle_add(bundle, sites, model->slots);
        bundle->flow[route] = bundle->start->count;
        plan_route_put(model, &model->classes[bundle->class], bundle->start, sites,
                       bundle->flow[route]);
    }
    plan_rows_refresh(model);
}

static void sweep(struct plan_relax *relax)
{
    struct plan_model *model = relax->model;

    for (int first = 0; first < model->class_count; first += BATCH) {
        int end = first + BATCH < model->class_count ? first + BATCH : model->class_count;
        plan_pool_run(relax->pool, search_class, relax, (const int[2]){first, end});
        for (int index = relax->flow->first[first]; index < relax->flow->first[end]; index++) {
            apply_bundle(relax, &relax->flow->bundles[index],
                         relax->fresh + (size_t)index * (size_t)model->slots);
        }
    }
    for (int site = 0; site < model->sites; site++) {
        plan_store_improve(model, site, STORE_STEPS);
        plan_peak_improve(model, site);
    }
}

static double import_kwh(const struct plan_model *model, int site, int slot)
{
    const struct plan_site *from = &model->instance->sites[site];
    double load = model->rows[plan_row_at(model, PLAN_ENERGY, slot, site)].y;
    double kw = 0;

    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        double surplus = from->surplus[quantile][model->instance->first + slot];
        kw += model->instance->quantile_weight[quantile] * fmax(0, load - surplus);
    }
    return kw * AGENT_PLAN_SLOT_HOURS;
}

static void move_gates(struct plan_model *model, double step)
{
    const struct agent_plan_instance *instance = model->instance;

    for (int area = 0; model->gates != NULL && area < instance->area_count; area++) {
        for (int slot = 0; slot < instance->areas[area].gate_slots && slot < model->slots;
             slot++) {
            struct plan_gate *gate = &model->gates[area * model->slots + slot];
            double excess = -gate->committed_kwh;
            if (gate->solo) {
                continue;
            }
            for (int site = 0; site < model->sites; site++) {
                excess += instance->sites[site].area == area ? import_kwh(model, site, slot) : 0;
            }
            double width = 0.1 * (fabs(gate->committed_kwh) + 1);
            double mu = gate->mu + step * (gate->mu_max - gate->mu_min) * excess / width;
            gate->mu = fmin(fmax(mu, gate->mu_min), gate->mu_max);
            for (int site = 0; site < model->sites; site++) {
                if (instance->sites[site].area == area) {
                    plan_model_energy(model, slot, site);
                }
            }
        }
    }
}

static void update_multipliers(struct plan_relax *relax)
{
    struct plan_model *model = relax->model;
    int gates = model->gates != NULL ? model->instance->area_count * model->slots : 0;

    for (int row = 0; row < model->row_count; row++) {
        model->rows[row].lambda = model->rows[row].price;
        relax->mean_row[row] =
            MEAN_KEEP * relax->mean_row[row] + (1 - MEAN_KEEP) * model->rows[row].lambda;
    }
    move_gates(model, 0.05);
    for (int gate = 0; gate < gates; gate++) {
        relax->mean_mu[gate] =
            MEAN_KEEP * relax->mean_mu[gate] + (1 - MEAN_KEEP) * model->gates[gate].mu;
    }
    plan_rows_refresh(model);
}

/* The bound at the bound's multipliers; kept when it is the best. */
static void try_bound(struct plan_relax *relax)
{
    struct plan_model *model = relax->model;
    int gates = model->gates != NULL ? model->instance->area_count * model->slots : 0;

    plan_bound_solve(&relax->bound, model, relax->pool);
    if (relax->bound.yen > relax->best_yen) {
        relax->best_yen = relax->bound.yen;
        memcpy(relax->best_row, relax->bound.row, sizeof(double) * (size_t)model->row_count);
        memcpy(relax->best_mu, relax->bound.mu, sizeof(double) * (size_t)gates);
    }
}

static void try_bounds(struct plan_relax *relax)
{
    struct plan_model *model = relax->model;
    int gates = model->gates != NULL ? model->instance->area_count * model->slots : 0;

    plan_bound_take(&relax->bound, model);
    try_bound(relax);
    for (int row = 0; row < model->row_count; row++) {
        relax->bound.row[row] = model->used[row] ? relax->mean_row[row] : 0;
    }
    memcpy(relax->bound.mu, relax->mean_mu, sizeof(double) * (size_t)gates);
    try_bound(relax);
}

void plan_relax_run(struct plan_relax *relax, const struct plan_relax_rule *rule)
{
    struct plan_model *model = relax->model;
    int idle = 0;

    set_rho(model);
    set_peak_over(model);
    if (!rule->warm) {
        set_lambda(model);
    }
    plan_rows_refresh(model);
    first_flows(relax);
    for (int row = 0; row < model->row_count; row++) {
        relax->mean_row[row] = model->rows[row].lambda;
    }
    while (relax->sweeps < rule->sweeps_max && idle < rule->patience) {
        double before = relax->best_yen;
        sweep(relax);
        update_multipliers(relax);
        relax->sweeps++;
        if (relax->sweeps % rule->bound_every == 0) {
            try_bounds(relax);
            bool better = relax->best_yen > before + rule->progress_min * fabs(before);
            idle = better || !isfinite(before) ? 0 : idle + 1;
        }
        if (rule->stop != NULL && rule->stop(rule->context)) {
            relax->stopped = true;
            break;
        }
    }
    if (!isfinite(relax->best_yen)) {
        try_bounds(relax);
    }
}
