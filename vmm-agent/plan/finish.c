/* SPDX-License-Identifier: GPL-2.0-or-later */
/* finish.c - rounding, descent with rising stiffness, repair, batteries
 * Owner: struct plan_finish.   Thread: see finish.h.   Time: planned slots.   Units: yen.
 *
 * Theory of operation. One pass: round the shares; one-unit descent on the smoothed charges while
 * the stiffness rises, so that loads settle under the capacities at the relaxation's prices; then
 * descent on the exact charges, which repairs what is still over and takes what slack is left;
 * between sweeps each battery and peak is solved again for the loads at hand. Later passes start
 * from the shares or from the best whole plan, with prices perturbed, and the best is kept. */
#include "plan/finish.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/row.h"
#include "plan/store.h"

#define SMOOTH_SWEEPS_MAX 14
#define EXACT_SWEEPS_MAX  24
#define STIFFEN           3.0
#define POLISH_STEPS      14
#define REPAIR_PASSES     8   /* at least so many before a plan is built from staying */
#define REPAIR_IDLE       10  /* exact sweeps without progress while something is broken */
#define PRESS             4.0 /* a row that stays broken is charged so many times more, up to ... */
#define PRESS_MAX         1e7
#define MISS_MAX          1e-8 /* relative: a row counts as kept */

int plan_finish_init(struct plan_finish *finish, struct plan_model *model, struct plan_pool *pool,
                     struct plan_flow *flow)
{
    size_t cells = (size_t)(model->slots * model->sites) + 1;

    memset(finish, 0, sizeof(*finish));
    finish->model = model;
    finish->best_yen = INFINITY;
    finish->miss = INFINITY;
    finish->rho = calloc((size_t)model->row_count + 1, sizeof(double));
    finish->rise = calloc(cells, sizeof(double));
    finish->best_rise = calloc(cells, sizeof(double));
    finish->over = calloc((size_t)model->row_count + 1, sizeof(double));
    if (finish->rho == NULL || finish->rise == NULL || finish->best_rise == NULL ||
        finish->over == NULL || plan_flow_init(&finish->shares, model) < 0 ||
        plan_flow_init(&finish->best, model) < 0 ||
        plan_improve_init(&finish->improve, model, pool, flow) < 0) {
        plan_finish_done(finish);
        return -ENOMEM;
    }
    return 0;
}

void plan_finish_done(struct plan_finish *finish)
{
    free(finish->rho);
    free(finish->rise);
    free(finish->best_rise);
    free(finish->over);
    plan_flow_done(&finish->shares);
    plan_flow_done(&finish->best);
    plan_improve_done(&finish->improve);
    memset(finish, 0, sizeof(*finish));
}

static void keep_rises(const struct plan_model *model, double *rise)
{
    for (int site = 0; site < model->sites; site++) {
        memcpy(rise + site * model->slots, model->stores[site].rise,
               sizeof(double) * (size_t)model->slots);
    }
}

static void set_rise(struct plan_model *model, int site, const double *rise)
{
    struct plan_store *store = &model->stores[site];

    for (int slot = 0; slot < model->slots; slot++) {
        store->rise[slot] = rise[slot];
        store->level[slot + 1] = store->level[slot] + rise[slot];
    }
}

/* How much the worst row is above its capacity, relative to the capacity. */
static double worst_miss(const struct plan_model *model)
{
    double worst = 0;

    for (int index = 0; index < model->row_count; index++) {
        const struct plan_row *row = &model->rows[index];
        bool peak = index >= model->base[PLAN_PEAK] && index < model->base[PLAN_POWER];
        int last = row->knees - 1;
        if (model->used[index] && !peak && !isfinite(row->slope[last])) {
            double over = row->y - row->knee[last];
            worst = fmax(worst, over / fmax(1, fabs(row->knee[last])));
        }
    }
    return worst <= MISS_MAX ? 0 : worst;
}

static double import_peak(const struct plan_model *model, int site)
{
    double peak = model->peak_min[site];

    for (int slot = 0; slot < model->slots; slot++) {
        peak = fmax(peak, model->rows[plan_row_at(model, PLAN_PEAK, slot, site)].y -
                              model->surplus_peak[slot * model->sites + site]);
    }
    return peak;
}

static double site_yen(const struct plan_model *model, int site)
{
    double yen = model->instance->sites[site].demand_yen_per_kw * import_peak(model, site);

    for (int slot = 0; slot < model->slots; slot++) {
        const struct plan_row *row = &model->rows[plan_row_at(model, PLAN_ENERGY, slot, site)];
        yen += plan_row_charge(row, row->y);
        for (int product = 0; model->any_give && product < PLAN_RESERVES; product++) {
            int give = plan_row_at(model, PLAN_GIVE + product, slot, site);
            yen += model->used[give] ? plan_row_charge(&model->rows[give], model->rows[give].y) : 0;
        }
    }
    return yen;
}

static double import_kwh(const struct plan_model *model, int slot, int site)
{
    const struct agent_plan_instance *instance = model->instance;
    double load = model->rows[plan_row_at(model, PLAN_ENERGY, slot, site)].y;
    double kw = 0;

    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        double surplus = instance->sites[site].surplus[quantile][instance->first + slot];
        kw += instance->quantile_weight[quantile] * fmax(0, load - surplus);
    }
    return kw * AGENT_PLAN_SLOT_HOURS;
}

static double energy_yen(const struct plan_model *model)
{
    const struct agent_plan_instance *instance = model->instance;
    double yen = 0;

    for (int slot = 0; slot < model->slots; slot++) {
        for (int site = 0; site < model->sites; site++) {
            double unit = model->unit_yen[slot * model->sites + site] / AGENT_PLAN_SLOT_HOURS;
            if (plan_model_gate(model, slot, site) == NULL) {
                unit +=
                    instance->weight_price * instance->sites[site].price[instance->first + slot];
            }
            yen += unit * import_kwh(model, slot, site);
        }
    }
    return yen;
}

static double area_kwh(const struct plan_model *model, int area, int slot)
{
    double kwh = 0;

    for (int site = 0; site < model->sites; site++) {
        kwh += model->instance->sites[site].area == area ? import_kwh(model, slot, site) : 0;
    }
    return kwh;
}

static double gates_yen(const struct plan_model *model)
{
    const struct agent_plan_instance *instance = model->instance;
    double yen = 0;

    for (int area = 0; model->gates != NULL && area < instance->area_count; area++) {
        for (int slot = 0; slot < instance->areas[area].gate_slots && slot < model->slots; slot++) {
            const struct plan_gate *gate = &model->gates[area * model->slots + slot];
            double over = area_kwh(model, area, slot) - gate->committed_kwh;
            yen += over * (over > 0 ? gate->mu_max : gate->mu_min);
        }
    }
    return yen;
}

/* While whole units are tried, each site of a shared area sees the knee the others leave it. */
static void set_knees(struct plan_model *model, bool exact)
{
    const struct agent_plan_instance *instance = model->instance;

    for (int site = 0; model->gates != NULL && site < model->sites; site++) {
        int area = instance->sites[site].area;
        for (int slot = 0;
             area >= 0 && slot < instance->areas[area].gate_slots && slot < model->slots; slot++) {
            const struct plan_gate *gate = &model->gates[area * model->slots + slot];
            double others = area_kwh(model, area, slot) - import_kwh(model, slot, site);
            if (!gate->solo) {
                model->knee_kwh[slot * model->sites + site] =
                    exact ? gate->committed_kwh - others : NAN;
                plan_model_energy(model, slot, site);
            }
        }
    }
}

static double moves_yen(const struct plan_model *model, const struct plan_flow *flow)
{
    double yen = 0;

    for (int index = 0; index < flow->bundle_count; index++) {
        const struct plan_bundle *bundle = &flow->bundles[index];
        for (int route = 0; route < bundle->count; route++) {
            const uint8_t *sites = plan_bundle_route(bundle, route, model->slots);
            int before = bundle->start->site;
            for (int slot = 0; bundle->units[route] > 0 && slot < model->slots; slot++) {
                if (before >= 0 && before != sites[slot]) {
                    yen += bundle->units[route] *
                           plan_move_yen(model, &model->classes[bundle->class],
                                         plan_link_between(model, before, sites[slot]));
                }
                before = sites[slot];
            }
        }
    }
    return yen;
}

static double plan_yen(const struct plan_model *model, const struct plan_flow *flow)
{
    double yen = energy_yen(model) + gates_yen(model) + moves_yen(model, flow);

    for (int site = 0; site < model->sites; site++) {
        yen += model->instance->sites[site].demand_yen_per_kw * import_peak(model, site);
    }
    return yen;
}

static void site_rho(struct plan_model *model, int site, double factor)
{
    for (int slot = 0; slot < model->slots; slot++) {
        model->rows[plan_row_at(model, PLAN_ENERGY, slot, site)].rho *= factor;
        model->rows[plan_row_at(model, PLAN_PEAK, slot, site)].rho *= factor;
        for (int product = 0; product < PLAN_RESERVES; product++) {
            model->rows[plan_row_at(model, PLAN_GIVE + product, slot, site)].rho *= factor;
        }
    }
}

static void site_follow(struct plan_model *model, int site)
{
    for (int kind = PLAN_ENERGY; kind < PLAN_LINK; kind++) {
        for (int slot = 0; slot < model->slots; slot++) {
            int row = plan_row_at(model, (enum plan_kind)kind, slot, site);
            bool battery = kind <= PLAN_PEAK || kind >= PLAN_GIVE;
            if (battery && model->used[row]) {
                plan_row_refresh(model, row);
                model->rows[row].lambda = model->rows[row].price;
            }
        }
    }
}

static void put_rise(struct plan_model *model, int site, const double *rise)
{
    struct plan_store *store = &model->stores[site];

    for (int slot = 0; slot < model->slots; slot++) {
        double kw = plan_store_kw(store, rise[slot]) - plan_store_kw(store, store->rise[slot]);
        plan_store_put(model, slot * model->sites + site, kw);
    }
    set_rise(model, site, rise);
}

/* Discharge may not exceed the load now at hand; the level catches up where it can. */
static bool keep_import(struct plan_model *model, int site)
{
    const struct plan_store *store = &model->stores[site];
    double rise[AGENT_PLAN_SLOTS_MAX];
    bool changed = false;

    memcpy(rise, store->rise, sizeof(double) * (size_t)model->slots);
    for (int slot = 0; slot < model->slots; slot++) {
        double net = model->rows[plan_row_at(model, PLAN_ENERGY, slot, site)].y;
        if (net < 0 && rise[slot] < 0) {
            double more = fmin(-rise[slot], -net / store->down_per_kwh);
            rise[slot] += more;
            changed = true;
            for (int later = slot + 1; later < model->slots && more > 0; later++) {
                double less = fmin(more, fmax(0, rise[later]));
                rise[later] -= less;
                more -= less;
            }
        }
    }
    if (changed) {
        put_rise(model, site, rise);
    }
    return changed;
}

/* The battery and peak of a site for the loads at hand; kept only when really cheaper. */
static void site_polish(struct plan_model *model, int site)
{
    const struct plan_store *store = &model->stores[site];
    double rise[AGENT_PLAN_SLOTS_MAX];
    double before;
    double factor = 1;

    plan_peak_set(model, site, import_peak(model, site));
    if (!store->active) {
        return;
    }
    bool forced = keep_import(model, site);
    before = site_yen(model, site);
    memcpy(rise, store->rise, sizeof(double) * (size_t)model->slots);
    for (int step = 0; step < POLISH_STEPS; step++) {
        int made = plan_store_improve(model, site, 2 * model->slots);
        plan_peak_improve(model, site);
        site_follow(model, site);
        site_rho(model, site, 2);
        factor *= 2;
        if (made == 0 && step > 4) {
            break;
        }
    }
    site_rho(model, site, 1 / factor);
    if (!forced && site_yen(model, site) > before) {
        put_rise(model, site, rise);
    }
    plan_peak_set(model, site, import_peak(model, site));
}

static void keep_best(struct plan_finish *finish)
{
    struct plan_model *model = finish->model;
    double miss = worst_miss(model);
    double yen = plan_yen(model, finish->improve.flow);

    if (miss < finish->miss || (miss == finish->miss && yen < finish->best_yen)) {
        finish->miss = miss;
        finish->best_yen = yen;
        plan_flow_copy(&finish->best, finish->improve.flow, model);
        keep_rises(model, finish->best_rise);
    }
}

static bool stopped(const struct plan_finish *finish)
{
    return finish->stop != NULL && isfinite(finish->best_yen) && finish->stop(finish->context);
}

static void smooth_descent(struct plan_finish *finish)
{
    struct plan_model *model = finish->model;

    finish->improve.exact = false;
    for (int sweep = 0; sweep < SMOOTH_SWEEPS_MAX && !stopped(finish); sweep++) {
        plan_improve_sweep(&finish->improve);
        for (int row = 0; row < model->row_count; row++) {
            model->rows[row].rho *= STIFFEN;
        }
        if (worst_miss(model) == 0) {
            break;
        }
    }
}

/* Rows that are broken become dearer and dearer: a unit too many on a link weighs little against
 * the cores it would take elsewhere, so without this the miss is only passed around. */
static void press(struct plan_finish *finish)
{
    struct plan_model *model = finish->model;

    for (int index = 0; index < model->row_count; index++) {
        struct plan_row *row = &model->rows[index];
        bool peak = index >= model->base[PLAN_PEAK] && index < model->base[PLAN_POWER];
        int last = row->knees - 1;
        if (model->used[index] && !peak && !isfinite(row->slope[last]) &&
            row->y > row->knee[last] + MISS_MAX * fmax(1, fabs(row->knee[last]))) {
            row->over = fmin(row->over * PRESS, finish->over[index] * PRESS_MAX);
        }
    }
}

static void exact_descent(struct plan_finish *finish)
{
    struct plan_model *model = finish->model;
    int idle = 0;

    for (int row = 0; row < model->row_count; row++) {
        model->rows[row].rho = finish->rho[row];
        model->rows[row].over = finish->over[row];
    }
    plan_loads_set(model, finish->improve.flow);
    finish->improve.exact = true;
    for (int sweep = 0; sweep < EXACT_SWEEPS_MAX && !stopped(finish); sweep++) {
        bool broken = sweep > 0 && worst_miss(model) > 0;
        if (idle >= (broken ? REPAIR_IDLE : 2)) {
            break;
        }
        double before = finish->best_yen;
        double missed = finish->miss;
        set_knees(model, true);
        for (int site = 0; site < model->sites; site++) {
            site_polish(model, site);
        }
        int moved = plan_improve_sweep(&finish->improve);
        plan_loads_set(model, finish->improve.flow);
        keep_best(finish);
        bool better = finish->best_yen < before - 1e-7 * fabs(before) || finish->miss < missed;
        idle = better && isfinite(before) ? 0 : idle + 1;
        press(finish);
        if (moved == 0 && idle > 0 && sweep > 0 && !broken) {
            break;
        }
    }
    for (int site = 0; site < model->sites; site++) {
        site_polish(model, site);
    }
    plan_loads_set(model, finish->improve.flow);
    keep_best(finish);
}

/* How much the prices of later passes are perturbed: little, and now and then a lot. */
static const double PERTURB[] = {0.1, 0.3, 0.6, 1.0};

/* A repeatable number in [-1, 1) from a row and a pass. */
static double jitter(uint64_t row, uint64_t pass)
{
    uint64_t mix = row * UINT64_C(0x9E3779B97F4A7C15) + pass * UINT64_C(0xD1B54A32D192ED03);

    mix ^= mix >> 29;
    mix *= UINT64_C(0xBF58476D1CE4E5B9);
    mix ^= mix >> 32;
    return (double)(int64_t)mix / 9223372036854775808.0;
}

/* Loads of the shares: whole units first by plan_loads_set(), then the parts. */
static void share_loads(struct plan_finish *finish)
{
    struct plan_model *model = finish->model;
    struct plan_flow *flow = finish->improve.flow;

    for (int index = 0; index < flow->bundle_count; index++) {
        memset(flow->bundles[index].units, 0, sizeof(flow->bundles[index].units));
    }
    plan_loads_set(model, flow);
    for (int index = 0; index < flow->bundle_count; index++) {
        const struct plan_bundle *bundle = &flow->bundles[index];
        for (int route = 0; route < bundle->count; route++) {
            plan_route_put(model, &model->classes[bundle->class], bundle->start,
                           plan_bundle_route(bundle, route, model->slots), bundle->flow[route]);
        }
    }
    plan_rows_refresh(model);
}

static void begin_pass(struct plan_finish *finish, const struct plan_relax *relax, int pass)
{
    struct plan_model *model = finish->model;

    double amount = pass > 0 ? PERTURB[pass % 4] : 0;
    bool again = pass % 3 == 2 && isfinite(finish->best_yen);

    plan_flow_copy(finish->improve.flow, again ? &finish->best : &finish->shares, model);
    set_knees(model, false);
    for (int row = 0; row < model->row_count; row++) {
        double factor = 1 + amount * jitter((uint64_t)row, (uint64_t)pass);
        model->rows[row].lambda = relax->best_row[row] * factor;
        model->rows[row].rho = finish->rho[row];
    }
    for (int site = 0; site < model->sites; site++) {
        set_rise(model, site, (again ? finish->best_rise : finish->rise) + site * model->slots);
    }
    finish->improve.exact = false;
    if (again) {
        plan_loads_set(model, finish->improve.flow);
    } else {
        share_loads(finish);
        plan_round(&finish->improve);
    }
}

/* Everything stays where it runs, if it may; the rest as in the best attempt. What runs now keeps
 * the capacities more often than not, and descent from there never breaks them. */
static void begin_stay(struct plan_finish *finish, const struct plan_relax *relax)
{
    struct plan_model *model = finish->model;
    struct plan_flow *flow = finish->improve.flow;

    begin_pass(finish, relax, 0);
    plan_flow_copy(flow, &finish->best, model);
    for (int index = 0; index < flow->bundle_count; index++) {
        struct plan_bundle *bundle = &flow->bundles[index];
        int site = bundle->start->site;
        if (site >= 0 && (model->classes[bundle->class].allowed >> site & 1)) {
            memset(bundle->sites, site, (size_t)model->slots);
            bundle->count = 1;
            bundle->units[0] = bundle->start->count;
        }
    }
    plan_loads_set(model, flow);
}

void plan_finish_run(struct plan_finish *finish, const struct plan_relax *relax, int passes,
                     double goal)
{
    struct plan_model *model = finish->model;

    plan_flow_copy(&finish->shares, finish->improve.flow, model);
    keep_rises(model, finish->rise);
    for (int row = 0; row < model->row_count; row++) {
        finish->rho[row] = model->rows[row].rho;
        finish->over[row] = model->rows[row].over;
    }
    for (int pass = 0; pass < passes || (pass < REPAIR_PASSES && finish->miss > 0); pass++) {
        if (stopped(finish)) {
            break;
        }
        begin_pass(finish, relax, pass);
        smooth_descent(finish);
        exact_descent(finish);
        if (finish->miss == 0 &&
            finish->best_yen - relax->best_yen <= goal * fabs(finish->best_yen)) {
            break;
        }
    }
    if (finish->miss > 0) {
        begin_stay(finish, relax);
        exact_descent(finish);
    }
}
