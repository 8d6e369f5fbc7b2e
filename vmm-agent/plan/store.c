/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.c - battery and paid peak of one site
 * Owner: struct plan_model.   Thread: one.   Time: planned slots.   Units: kWh, kW, yen.
 *
 * Theory of operation. The charge is a convex function of each slot's rise, and the level limits
 * bound running sums of rises; on such a set a point from which no exchange of energy between two
 * slots (or a slot and the end of the horizon) helps is optimal. So the best exchange is made
 * until none is left. A rise never changes sign within one exchange, because the meter sees
 * different efficiencies on either side. */
#include "plan/store.h"

#include <errno.h>
#include <math.h>

#include "plan/row.h"

#define GAIN_MIN     1e-7 /* yen per kWh: below this an exchange is not worth its rounding */
#define STEP_MIN     1e-9 /* kWh */
#define BISECT_STEPS 40

struct exchange {
    int up;   /* slot that stores more; slots = none, the end of the horizon */
    int down; /* slot that stores less; slots = none */
    double gain;
    double most;
};

static double meter_price(const struct plan_model *model, int cell, double kw)
{
    const struct plan_row *rows = model->rows;
    const struct plan_row *energy = &rows[model->base[PLAN_ENERGY] + cell];
    const struct plan_row *peak = &rows[model->base[PLAN_PEAK] + cell];
    double stiff;
    double price = plan_row_price_at(energy, energy->y + kw, &stiff);

    if (model->used[model->base[PLAN_PEAK] + cell]) {
        price += plan_row_price_at(peak, peak->y + kw, &stiff);
    }
    for (int product = 0; model->any_give && product < PLAN_RESERVES; product++) {
        const struct plan_row *give = &rows[model->base[PLAN_GIVE + product] + cell];
        double sign = product <= PLAN_SECONDARY_UP ? -1 : 1;
        if (model->used[model->base[PLAN_GIVE + product] + cell]) {
            price += sign * plan_row_price_at(give, give->y + sign * kw, &stiff);
        }
    }
    return price;
}

static double per_kwh(const struct plan_store *store, double rise, bool up)
{
    bool charging = up ? rise >= 0 : rise > 0;

    return charging ? store->up_per_kwh : store->down_per_kwh;
}

static double up_room(const struct plan_store *store, int slot)
{
    double rise = store->rise[slot];

    return rise < 0 ? -rise : store->rise_max - rise;
}

static double down_room(const struct plan_model *model, int site, int slot)
{
    const struct plan_store *store = &model->stores[site];
    double rise = store->rise[slot];
    double load = model->rows[plan_row_at(model, PLAN_ENERGY, slot, site)].y;

    if (rise > 0) {
        return rise;
    }
    /* Nothing is exported: discharge ends where the load ends. */
    return fmax(0, fmin(store->fall_max + rise, load / fmax(store->down_per_kwh, 1e-12)));
}

/* What the scan needs per slot; one more member stands for the end of the horizon. */
struct offers {
    double up_yen[AGENT_PLAN_SLOTS_MAX + 1];
    double down_yen[AGENT_PLAN_SLOTS_MAX + 1];
    double up_room[AGENT_PLAN_SLOTS_MAX + 1];
    double down_room[AGENT_PLAN_SLOTS_MAX + 1];
};

static double least(double a, double b)
{
    return a < b ? a : b;
}

static void fill_offers(const struct plan_model *model, int site, struct offers *offers)
{
    const struct plan_store *store = &model->stores[site];

    for (int slot = 0; slot < model->slots; slot++) {
        double price = meter_price(model, slot * model->sites + site, 0);
        offers->up_yen[slot] = price * per_kwh(store, store->rise[slot], true);
        offers->down_yen[slot] = price * per_kwh(store, store->rise[slot], false);
        offers->up_room[slot] = up_room(store, slot);
        offers->down_room[slot] = down_room(model, site, slot);
    }
    offers->up_yen[model->slots] = 0;
    offers->down_yen[model->slots] = 0;
    offers->up_room[model->slots] = INFINITY;
    offers->down_room[model->slots] = INFINITY;
}

/* All exchanges that start at @from: energy raised there and lowered later, and the reverse. */
static void scan_from(const struct plan_model *model, int site, int from,
                      const struct offers *offers, struct exchange *best)
{
    const struct plan_store *store = &model->stores[site];
    double rise_slack = offers->up_room[from];
    double fall_slack = offers->down_room[from];

    for (int to = from + 1; to <= model->slots && (rise_slack > STEP_MIN || fall_slack > STEP_MIN);
         to++) {
        rise_slack = least(rise_slack, store->level_max[to - 1] - store->level[to]);
        fall_slack = least(fall_slack, store->level[to] - store->level_min[to - 1]);
        double raise = offers->down_yen[to] - offers->up_yen[from];
        double lower = offers->down_yen[from] - offers->up_yen[to];
        if (raise > best->gain && least(rise_slack, offers->down_room[to]) > STEP_MIN) {
            *best = (struct exchange){from, to, raise, least(rise_slack, offers->down_room[to])};
        }
        if (lower > best->gain && least(fall_slack, offers->up_room[to]) > STEP_MIN) {
            *best = (struct exchange){to, from, lower, least(fall_slack, offers->up_room[to])};
        }
    }
}

static double exchange_slope(const struct plan_model *model, int site,
                             const struct exchange *exchange, double kwh)
{
    const struct plan_store *store = &model->stores[site];
    double slope = 0;

    if (exchange->up < model->slots) {
        double rate = per_kwh(store, store->rise[exchange->up], true);
        slope += rate * meter_price(model, exchange->up * model->sites + site, rate * kwh);
    }
    if (exchange->down < model->slots) {
        double rate = per_kwh(store, store->rise[exchange->down], false);
        slope -= rate * meter_price(model, exchange->down * model->sites + site, -rate * kwh);
    }
    return slope;
}

static void exchange_apply(struct plan_model *model, int site, const struct exchange *exchange,
                           double kwh)
{
    struct plan_store *store = &model->stores[site];
    int first = exchange->up < exchange->down ? exchange->up : exchange->down;
    int last = exchange->up < exchange->down ? exchange->down : exchange->up;
    double sign = exchange->up < exchange->down ? kwh : -kwh;

    if (exchange->up < model->slots) {
        double rate = per_kwh(store, store->rise[exchange->up], true);
        store->rise[exchange->up] += kwh;
        plan_store_put(model, exchange->up * model->sites + site, rate * kwh);
    }
    if (exchange->down < model->slots) {
        double rate = per_kwh(store, store->rise[exchange->down], false);
        store->rise[exchange->down] -= kwh;
        plan_store_put(model, exchange->down * model->sites + site, -rate * kwh);
    }
    for (int slot = first; slot < last; slot++) {
        store->level[slot + 1] += sign;
    }
}

static double exchange_length(const struct plan_model *model, int site,
                              const struct exchange *exchange)
{
    double low = 0;
    double high = exchange->most;

    if (exchange_slope(model, site, exchange, high) <= 0) {
        return high;
    }
    for (int step = 0; step < BISECT_STEPS && high - low > STEP_MIN; step++) {
        double middle = (low + high) / 2;
        if (exchange_slope(model, site, exchange, middle) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

int plan_store_improve(struct plan_model *model, int site, int steps)
{
    const struct plan_store *store = &model->stores[site];
    struct offers offers;
    int made = 0;

    while (store->active && made < steps) {
        struct exchange best = {0, 0, GAIN_MIN, 0};
        fill_offers(model, site, &offers);
        for (int slot = 0; slot < model->slots; slot++) {
            scan_from(model, site, slot, &offers, &best);
        }
        if (best.most <= 0) {
            break;
        }
        double kwh = exchange_length(model, site, &best);
        if (kwh <= STEP_MIN) {
            break;
        }
        exchange_apply(model, site, &best, kwh);
        made++;
    }
    return made;
}

static int begin_refuse(const struct plan_model *model, int site, int slot, double miss,
                        struct agent_error *error)
{
    const struct plan_site *from = &model->instance->sites[site];

    return agent_error_set(error, EDOM,
                           "site '%s': battery: slot %d: the level limits (reserve, minimum, final) "
                           "are missed by %.3f kWh from soc_kwh %.3f",
                           from->id, model->instance->first + slot, miss, from->battery.soc_kwh);
}

int plan_store_begin(struct plan_model *model, int site, struct agent_error *error)
{
    struct plan_store *store = &model->stores[site];
    double need[AGENT_PLAN_SLOTS_MAX + 1];
    double cap[AGENT_PLAN_SLOTS_MAX + 1];

    if (!store->active) {
        return 0;
    }
    need[model->slots] = -INFINITY;
    cap[model->slots] = INFINITY;
    for (int slot = model->slots - 1; slot >= 0; slot--) {
        need[slot] = fmax(store->level_min[slot], need[slot + 1] - store->rise_max);
        cap[slot] = fmin(store->level_max[slot], cap[slot + 1] + store->fall_max);
    }
    for (int slot = 0; slot < model->slots; slot++) {
        double level = fmin(fmax(store->level[slot], need[slot]), cap[slot]);
        double rise = level - store->level[slot];
        double miss = fmax(fmax(rise - store->rise_max, -rise - store->fall_max),
                           need[slot] - cap[slot]);
        if (miss > 1e-9) {
            return begin_refuse(model, site, slot, miss, error);
        }
        store->rise[slot] = rise;
        store->level[slot + 1] = level;
        plan_store_put(model, slot * model->sites + site, plan_store_kw(store, rise));
    }
    return 0;
}

void plan_peak_set(struct plan_model *model, int site, double kw)
{
    model->peak[site] = kw;
    for (int slot = 0; slot < model->slots; slot++) {
        int row = plan_row_at(model, PLAN_PEAK, slot, site);
        model->rows[row].knee[0] = model->surplus_peak[slot * model->sites + site] + kw;
        plan_row_refresh(model, row);
    }
}

void plan_peak_improve(struct plan_model *model, int site)
{
    double yen = model->instance->sites[site].demand_yen_per_kw;
    double low = model->peak_min[site];
    double high = model->peak_max[site];

    if (yen <= 0) {
        return;
    }
    for (int step = 0; step < BISECT_STEPS; step++) {
        double middle = (low + high) / 2;
        double sum = 0;
        for (int slot = 0; slot < model->slots; slot++) {
            const struct plan_row *row = &model->rows[plan_row_at(model, PLAN_PEAK, slot, site)];
            double over = row->y - model->surplus_peak[slot * model->sites + site] - middle;
            sum += fmax(0, row->lambda + row->rho * over);
        }
        if (sum > yen) {
            low = middle;
        } else {
            high = middle;
        }
    }
    plan_peak_set(model, site, high);
}
