/* SPDX-License-Identifier: GPL-2.0-or-later */
/* row.c - loads and prices of rows follow what is put where
 * Owner: struct plan_model.   Thread: one writer.   Time: planned slots.   Units: yen, row units. */
#include "plan/row.h"

#include "plan/route.h"

static void refresh_load(struct plan_model *model, int cell)
{
    const struct plan_row *rows = model->rows;

    model->load_price[cell] =
        model->kw_scale[cell] * (rows[model->base[PLAN_ENERGY] + cell].price +
                                 rows[model->base[PLAN_PEAK] + cell].price +
                                 rows[model->base[PLAN_POWER] + cell].price);
}

void plan_row_refresh(struct plan_model *model, int index)
{
    plan_row_update(model, index);
    if (index < model->base[PLAN_CPU]) {
        refresh_load(model, index % (model->slots * model->sites));
    }
}

void plan_rows_refresh(struct plan_model *model)
{
    for (int row = 0; row < model->row_count; row++) {
        plan_row_update(model, row);
    }
    for (int cell = 0; cell < model->slots * model->sites; cell++) {
        refresh_load(model, cell);
    }
}

void plan_class_put(struct plan_model *model, const struct plan_class *class, int cell,
                    double units)
{
    struct plan_row *rows = model->rows;
    int slot = cell / model->sites;
    double kw = units * class->kw[slot] * model->kw_scale[cell];

    rows[model->base[PLAN_ENERGY] + cell].y += kw;
    rows[model->base[PLAN_PEAK] + cell].y += kw;
    rows[model->base[PLAN_POWER] + cell].y += kw;
    rows[model->base[PLAN_CPU] + cell].y += units * class->cpu;
    rows[model->base[PLAN_RAM] + cell].y += units * class->ram;
    for (int product = 0; class->gives && model->any_give && product < PLAN_RESERVES; product++) {
        rows[model->base[PLAN_GIVE + product] + cell].y -=
            units * class->give[product][slot] * model->kw_scale[cell];
    }
    for (int index = 0; index < class->limit_count; index++) {
        rows[plan_row_limit(model, class->limits[index], 0, 0) + cell].y +=
            units * class->limit_units[index];
    }
}

static void refresh_cell(struct plan_model *model, const struct plan_class *class, int cell)
{
    for (int kind = PLAN_ENERGY; kind <= PLAN_RAM; kind++) {
        plan_row_update(model, model->base[kind] + cell);
    }
    for (int product = 0; class->gives && model->any_give && product < PLAN_RESERVES; product++) {
        plan_row_refresh(model, model->base[PLAN_GIVE + product] + cell);
    }
    for (int index = 0; index < class->limit_count; index++) {
        plan_row_refresh(model, plan_row_limit(model, class->limits[index], 0, 0) + cell);
    }
    refresh_load(model, cell);
}

static void put_move(struct plan_model *model, const struct plan_class *class, int slot,
                     const int ends[2], double units)
{
    int link = plan_link_between(model, ends[0], ends[1]);

    model->rows[plan_row_link(model, slot, link)].y += units * class->gb;
    model->rows[plan_row_at(model, PLAN_RAM, slot, ends[0])].y += units * class->ram;
}

static void refresh_move(struct plan_model *model, int slot, const int ends[2])
{
    plan_row_refresh(model, plan_row_link(model, slot, plan_link_between(model, ends[0], ends[1])));
    plan_row_refresh(model, plan_row_at(model, PLAN_RAM, slot, ends[0]));
}

void plan_route_put(struct plan_model *model, const struct plan_class *class,
                    const struct plan_start *start, const uint8_t *sites, double units)
{
    int before = start->site;

    for (int slot = 0; slot < model->slots; slot++) {
        int ends[2] = {before, sites[slot]};
        plan_class_put(model, class, slot * model->sites + sites[slot], units);
        if (before >= 0 && before != sites[slot]) {
            put_move(model, class, slot, ends, units);
        }
        before = sites[slot];
    }
}

static void shift_slot(struct plan_model *model, const struct plan_class *class, int slot,
                       const int ends[2][2], double units)
{
    for (int side = 0; side < 2; side++) {
        double sign = side == 0 ? -units : units;
        plan_class_put(model, class, slot * model->sites + ends[side][1], sign);
        if (ends[side][0] >= 0 && ends[side][0] != ends[side][1]) {
            put_move(model, class, slot, ends[side], sign);
        }
    }
    for (int side = 0; side < 2; side++) {
        refresh_cell(model, class, slot * model->sites + ends[side][1]);
        if (ends[side][0] >= 0 && ends[side][0] != ends[side][1]) {
            refresh_move(model, slot, ends[side]);
        }
    }
}

void plan_route_shift(struct plan_model *model, const struct plan_class *class,
                      const struct plan_start *start, const uint8_t *const routes[2], double units)
{
    int before[2] = {start->site, start->site};

    for (int slot = 0; slot < model->slots; slot++) {
        int ends[2][2] = {{before[0], routes[0][slot]}, {before[1], routes[1][slot]}};
        if (ends[0][0] != ends[1][0] || ends[0][1] != ends[1][1]) {
            shift_slot(model, class, slot, (const int(*)[2])ends, units);
        }
        before[0] = routes[0][slot];
        before[1] = routes[1][slot];
    }
}

void plan_store_put(struct plan_model *model, int cell, double kw)
{
    struct plan_row *rows = model->rows;

    rows[model->base[PLAN_ENERGY] + cell].y += kw;
    rows[model->base[PLAN_PEAK] + cell].y += kw;
    for (int product = 0; model->any_give && product < PLAN_RESERVES; product++) {
        rows[model->base[PLAN_GIVE + product] + cell].y +=
            product <= PLAN_SECONDARY_UP ? -kw : kw;
        plan_row_refresh(model, model->base[PLAN_GIVE + product] + cell);
    }
    plan_row_refresh(model, model->base[PLAN_ENERGY] + cell);
    plan_row_refresh(model, model->base[PLAN_PEAK] + cell);
}
