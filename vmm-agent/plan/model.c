/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model.c - rows, batteries, peaks and gates from the instance
 * Owner: struct plan_model.   Thread: one.   Time: planned slots.   Units: as in model.h. */
#include "plan/model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define HOURS AGENT_PLAN_SLOT_HOURS

/* A primary reserve must last five minutes, a secondary one the whole slot. */
static const double reserve_hours[PLAN_RESERVES] = {5.0 / 60, HOURS, 5.0 / 60, HOURS};

static double reserve_kw(const struct plan_site *site, enum plan_reserve product, int slot)
{
    return site->reserve_kw[product] != NULL ? site->reserve_kw[product][slot] : 0;
}

static double reserve_kwh(const struct plan_site *site, enum plan_reserve primary, int slot,
                          double kw_max)
{
    return fmin(reserve_kw(site, primary, slot), kw_max) * reserve_hours[primary] +
           fmin(reserve_kw(site, primary + 1, slot), kw_max) * reserve_hours[primary + 1];
}

static void *get(struct plan_model *model, size_t count, size_t size, bool *ok)
{
    void *out = plan_arena_get(&model->arena, count, size);

    *ok = *ok && out != NULL;
    return out;
}

static void lay_out(struct plan_model *model)
{
    int per_site = model->slots * model->sites;

    for (int kind = 0; kind < PLAN_LINK; kind++) {
        model->base[kind] = kind * per_site;
    }
    model->base[PLAN_LINK] = PLAN_LINK * per_site;
    model->base[PLAN_LIMIT] = model->base[PLAN_LINK] + model->slots * model->links;
    model->base[PLAN_KINDS] =
        model->base[PLAN_LIMIT] + model->instance->limit_count * per_site;
    model->row_count = model->base[PLAN_KINDS];
}

static bool allocate(struct plan_model *model)
{
    const struct agent_plan_instance *instance = model->instance;
    size_t cells = (size_t)(model->slots * model->sites);
    bool ok = true;

    model->rows = get(model, (size_t)model->row_count, sizeof(*model->rows), &ok);
    model->row_price = get(model, (size_t)model->row_count, sizeof(double), &ok);
    model->used = get(model, (size_t)model->row_count, 1, &ok);
    model->kw_scale = get(model, cells, sizeof(double), &ok);
    model->load_price = get(model, cells, sizeof(double), &ok);
    model->surplus_peak = get(model, cells, sizeof(double), &ok);
    model->knee_kwh = get(model, cells, sizeof(double), &ok);
    model->unit_yen = get(model, cells, sizeof(double), &ok);
    model->peak = get(model, (size_t)model->sites, sizeof(double), &ok);
    model->peak_min = get(model, (size_t)model->sites, sizeof(double), &ok);
    model->peak_max = get(model, (size_t)model->sites, sizeof(double), &ok);
    model->stores = get(model, (size_t)model->sites, sizeof(*model->stores), &ok);
    model->out_first = get(model, (size_t)model->sites + 1, sizeof(int), &ok);
    model->out_links = get(model, (size_t)model->links, sizeof(int), &ok);
    for (int area = 0; area < instance->area_count; area++) {
        if (instance->areas[area].gate_slots > 0 && model->gates == NULL) {
            model->gates = get(model, (size_t)(instance->area_count * model->slots),
                               sizeof(*model->gates), &ok);
        }
    }
    for (int site = 0; ok && site < model->sites; site++) {
        struct plan_store *store = &model->stores[site];
        store->level_min = get(model, (size_t)model->slots, sizeof(double), &ok);
        store->level_max = get(model, (size_t)model->slots, sizeof(double), &ok);
        store->rise = get(model, (size_t)model->slots, sizeof(double), &ok);
        store->level = get(model, (size_t)model->slots + 1, sizeof(double), &ok);
    }
    return ok;
}

static void capacity(struct plan_row *row, double most)
{
    row->knees = 1;
    row->knee[0] = most;
    row->slope[0] = INFINITY;
}

static void sort_links(struct plan_model *model)
{
    int at = 0;

    for (int site = 0; site < model->sites; site++) {
        model->out_first[site] = at;
        for (int link = 0; link < model->links; link++) {
            if (model->instance->links[link].from == site) {
                model->out_links[at++] = link;
            }
        }
    }
    model->out_first[model->sites] = at;
}

/* The only site of an area sees the knee of its imbalance itself. */
static void fill_knees(struct plan_model *model, int area)
{
    const struct agent_plan_instance *instance = model->instance;
    int count = 0;
    int only = 0;

    for (int site = 0; site < model->sites; site++) {
        if (instance->sites[site].area == area) {
            count++;
            only = site;
        }
    }
    for (int slot = 0; slot < model->slots && count == 1; slot++) {
        struct plan_gate *gate = &model->gates[area * model->slots + slot];
        model->knee_kwh[slot * model->sites + only] = gate->committed_kwh;
        gate->mu = gate->mu_min;
        gate->solo = true;
    }
}

static void fill_gates(struct plan_model *model)
{
    const struct agent_plan_instance *instance = model->instance;

    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        model->knee_kwh[cell] = NAN;
    }
    for (int area = 0; model->gates != NULL && area < instance->area_count; area++) {
        for (int slot = 0; slot < model->slots; slot++) {
            const struct plan_area *from = &instance->areas[area];
            struct plan_gate *gate = &model->gates[area * model->slots + slot];
            int at = instance->first + slot;
            gate->mu_min = instance->weight_price * from->imbalance_down[at];
            gate->mu_max = instance->weight_price * from->imbalance_up[at];
            gate->mu = (gate->mu_min + gate->mu_max) / 2;
            gate->committed_kwh = from->committed_kw[at] * HOURS;
        }
        fill_knees(model, area);
    }
}

const struct plan_gate *plan_model_gate(const struct plan_model *model, int slot, int site)
{
    int area = model->instance->sites[site].area;

    if (model->gates == NULL || area < 0 || slot >= model->instance->areas[area].gate_slots) {
        return NULL;
    }
    return &model->gates[area * model->slots + slot];
}

static void add_knee(struct plan_row *row, double knee, double slope)
{
    row->knee[row->knees] = knee;
    row->slope[row->knees] = slope;
    row->knees++;
}

/* Import is weight * (net - surplus) summed over the quantiles below net; its price may step up
 * once, where the import of the slot reaches @turn kWh. */
static void energy_knees(const struct agent_plan_instance *instance, const struct plan_site *from,
                         int at, const double unit[2], double turn, struct plan_row *row)
{
    double weight = 0;
    double kwh = 0;
    int side = turn <= 0;

    row->knees = 0;
    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        double knee = from->surplus[quantile][at];
        double next = quantile + 1 < PLAN_QUANTILES ? from->surplus[quantile + 1][at] : INFINITY;
        weight += instance->quantile_weight[quantile];
        add_knee(row, knee, weight * unit[side]);
        double step = weight * HOURS * (next - knee);
        if (side == 0 && weight > 0 && kwh + step > turn) {
            add_knee(row, knee + (turn - kwh) / (weight * HOURS), weight * unit[1]);
            side = 1;
        }
        kwh += weight > 0 ? step : 0;
    }
}

void plan_model_energy(struct plan_model *model, int slot, int site)
{
    const struct agent_plan_instance *instance = model->instance;
    const struct plan_site *from = &instance->sites[site];
    const struct plan_gate *gate = plan_model_gate(model, slot, site);
    struct plan_row *row = &model->rows[plan_row_at(model, PLAN_ENERGY, slot, site)];
    int cell = slot * model->sites + site;
    int at = instance->first + slot;
    double price = gate != NULL ? gate->mu : instance->weight_price * from->price[at];
    double unit[2] = {model->unit_yen[cell] + price * HOURS, model->unit_yen[cell] + price * HOURS};
    double turn = INFINITY;

    if (gate != NULL && !isnan(model->knee_kwh[cell])) {
        unit[0] = model->unit_yen[cell] + gate->mu_min * HOURS;
        unit[1] = model->unit_yen[cell] + gate->mu_max * HOURS;
        turn = model->knee_kwh[cell];
    }
    energy_knees(instance, from, at, unit, turn, row);
    if (isfinite(from->contract_kw)) {
        double most = from->contract_kw + model->surplus_peak[cell] -
                      reserve_kw(from, PLAN_PRIMARY_DOWN, at) -
                      reserve_kw(from, PLAN_SECONDARY_DOWN, at);
        while (row->knees > 0 && row->knee[row->knees - 1] >= most) {
            row->knees--;
        }
        add_knee(row, most, INFINITY);
    }
}

static void fill_reserve(struct plan_model *model, int slot, int site)
{
    const struct plan_site *from = &model->instance->sites[site];
    int at = model->instance->first + slot;
    bool store = from->battery.present && !from->battery.idle;

    for (int product = 0; product < PLAN_RESERVES; product++) {
        int row = plan_row_at(model, PLAN_GIVE + product, slot, site);
        bool up = product <= PLAN_SECONDARY_UP;
        double kw = store ? (up ? from->battery.discharge_kw : from->battery.charge_kw) : 0;
        double need = reserve_kw(from, (enum plan_reserve)product, at);
        if (product == PLAN_SECONDARY_UP || product == PLAN_SECONDARY_DOWN) {
            need += reserve_kw(from, (enum plan_reserve)(product - 1), at);
        }
        capacity(&model->rows[row], need > 0 ? kw - need : INFINITY);
        model->used[row] = need > 0;
        model->any_give = model->any_give || need > 0;
    }
}

static void fill_cell(struct plan_model *model, int slot, int site)
{
    const struct agent_plan_instance *instance = model->instance;
    const struct plan_site *from = &instance->sites[site];
    struct plan_row *rows = model->rows;
    int at = instance->first + slot;
    int cell = slot * model->sites + site;
    double idle = from->pue[at] * from->idle_kw;

    model->kw_scale[cell] = plan_site_kw_per_it_kw(from, at);
    model->surplus_peak[cell] = from->surplus[instance->peak_quantile][at];
    model->unit_yen[cell] = HOURS * (instance->weight_grid_yen_per_kwh +
                                     instance->weight_carbon_yen_per_kg * from->carbon[at] / 1000);
    plan_model_energy(model, slot, site);
    rows[plan_row_at(model, PLAN_ENERGY, slot, site)].y = idle;
    rows[plan_row_at(model, PLAN_PEAK, slot, site)].y = idle;
    rows[plan_row_at(model, PLAN_POWER, slot, site)].y = idle;
    capacity(&rows[plan_row_at(model, PLAN_PEAK, slot, site)],
             from->demand_yen_per_kw > 0 ? model->surplus_peak[cell] + from->peak_so_far_kw
                                         : INFINITY);
    capacity(&rows[plan_row_at(model, PLAN_POWER, slot, site)], from->power_kw[at]);
    capacity(&rows[plan_row_at(model, PLAN_CPU, slot, site)], from->cpu[at]);
    capacity(&rows[plan_row_at(model, PLAN_RAM, slot, site)], from->ram_gb[at]);
    model->used[plan_row_at(model, PLAN_ENERGY, slot, site)] = 1;
    model->used[plan_row_at(model, PLAN_PEAK, slot, site)] = from->demand_yen_per_kw > 0;
    model->used[plan_row_at(model, PLAN_POWER, slot, site)] = isfinite(from->power_kw[at]);
    model->used[plan_row_at(model, PLAN_CPU, slot, site)] = 1;
    model->used[plan_row_at(model, PLAN_RAM, slot, site)] = 1;
    fill_reserve(model, slot, site);
}

static void fill_store(struct plan_model *model, int site)
{
    const struct agent_plan_instance *instance = model->instance;
    const struct plan_site *from = &instance->sites[site];
    const struct plan_battery *battery = &from->battery;
    struct plan_store *store = &model->stores[site];

    store->active = battery->present && !battery->idle;
    store->up_per_kwh = store->active ? 1 / (battery->charge_efficiency * HOURS) : 0;
    store->down_per_kwh = store->active ? battery->discharge_efficiency / HOURS : 0;
    store->rise_max = store->active ? battery->charge_kw / store->up_per_kwh : 0;
    store->fall_max = store->active ? battery->discharge_kw / store->down_per_kwh : 0;
    for (int slot = 0; slot < model->slots; slot++) {
        double keep = 0;
        double room = 0;
        for (int near = slot; near <= slot + 1 && near < model->slots; near++) {
            int at = instance->first + near;
            keep = fmax(keep, reserve_kwh(from, PLAN_PRIMARY_UP, at, battery->discharge_kw));
            room = fmax(room, reserve_kwh(from, PLAN_PRIMARY_DOWN, at, battery->charge_kw));
        }
        store->level_min[slot] = battery->soc_min_kwh + keep;
        store->level_max[slot] = battery->soc_max_kwh - room;
    }
    double *last = &store->level_min[model->slots - 1];
    *last = fmax(*last, battery->soc_final_kwh);
    for (int slot = 0; slot <= model->slots; slot++) {
        store->level[slot] = battery->soc_kwh;
    }
}

static double load_bound(const struct plan_model *model, int site)
{
    double scale = 0;
    double most = 0;

    for (int slot = 0; slot < model->slots; slot++) {
        scale = fmax(scale, model->kw_scale[slot * model->sites + site]);
    }
    for (int index = 0; index < model->class_count; index++) {
        double kw = 0;
        for (int slot = 0; slot < model->slots; slot++) {
            kw = fmax(kw, model->classes[index].kw[slot]);
        }
        most += kw * model->classes[index].count;
    }
    const struct plan_site *from = &model->instance->sites[site];
    return most * scale + from->idle_kw * 5 + from->battery.charge_kw;
}

static void fill_rows(struct plan_model *model)
{
    const struct agent_plan_instance *instance = model->instance;

    for (int slot = 0; slot < model->slots; slot++) {
        for (int site = 0; site < model->sites; site++) {
            fill_cell(model, slot, site);
        }
        for (int link = 0; link < model->links; link++) {
            int row = plan_row_link(model, slot, link);
            capacity(&model->rows[row], instance->links[link].gb[instance->first + slot]);
            model->used[row] = model->rows[row].knee[0] > 0;
        }
    }
    for (int limit = 0; limit < instance->limit_count; limit++) {
        for (int cell = 0; cell < model->slots * model->sites; cell++) {
            int row = plan_row_limit(model, limit, 0, 0) + cell;
            capacity(&model->rows[row], instance->limits[limit].max);
            model->used[row] = 1;
        }
    }
    for (int site = 0; site < model->sites; site++) {
        const struct plan_site *from = &instance->sites[site];
        fill_store(model, site);
        model->peak_min[site] = from->peak_so_far_kw;
        model->peak[site] = from->peak_so_far_kw;
        model->peak_max[site] = fmax(model->peak_min[site],
                                     fmin(from->contract_kw, load_bound(model, site)));
    }
}

int plan_model_new(const struct agent_plan_instance *instance, struct plan_model **out,
                   struct agent_error *error)
{
    struct plan_model *model = calloc(1, sizeof(*model));
    int ret;

    if (model == NULL) {
        return agent_error_set(error, ENOMEM, "plan: out of memory");
    }
    model->instance = instance;
    model->slots = instance->end - instance->first;
    model->sites = instance->site_count;
    model->links = instance->link_count;
    lay_out(model);
    if (!allocate(model)) {
        ret = agent_error_set(error, ENOMEM, "plan: no memory for %d rows", model->row_count);
        plan_model_free(model);
        return ret;
    }
    ret = plan_model_classes(model, error);
    if (ret < 0) {
        plan_model_free(model);
        return ret;
    }
    sort_links(model);
    fill_gates(model);
    fill_rows(model);
    *out = model;
    return 0;
}

void plan_model_free(struct plan_model *model)
{
    if (model != NULL) {
        plan_arena_done(&model->arena);
        free(model);
    }
}
