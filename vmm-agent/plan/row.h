/* SPDX-License-Identifier: GPL-2.0-or-later */
/* row.h - what a row charges, smoothed for the relaxation and exact for whole units
 * Owner: struct plan_model.   Thread: one writer.   Time: none.   Units: yen, row units. */
#ifndef AGENT_PLAN_ROW_H
#define AGENT_PLAN_ROW_H

#include <math.h>

#include "plan/model.h"

/** plan_row_price_at() - slope of the smoothed charge at load @y (a point of its subgradient)
 * The smoothed charge is min over n of charge(n) + lambda (y - n) + rho/2 (y - n)^2.
 * @stiff: second derivative there: rho at a knee, 0 on a straight piece. */
static inline double plan_row_price_at(const struct plan_row *row, double y, double *stiff)
{
    double slope = 0;
    double knee = -INFINITY;

    *stiff = 0;
    for (int index = 0; index <= row->knees; index++) {
        double next = index < row->knees ? row->knee[index] : INFINITY;
        double n = y - (slope - row->lambda) / row->rho;
        if (n < knee) {
            *stiff = row->rho;
            return row->lambda + row->rho * (y - knee);
        }
        if (n <= next) {
            return slope;
        }
        knee = next;
        slope = index < row->knees ? row->slope[index] : slope;
    }
    return slope;
}

/** plan_row_charge() - exact charge at @y; where the slope is infinite, row->over per unit */
static inline double plan_row_charge(const struct plan_row *row, double y)
{
    double charge = 0;

    for (int index = 0; index < row->knees && y > row->knee[index]; index++) {
        double next = index + 1 < row->knees ? fmin(row->knee[index + 1], y) : y;
        double slope = isfinite(row->slope[index]) ? row->slope[index] : row->over;
        charge += slope * (next - row->knee[index]);
    }
    return charge;
}

/** plan_row_smooth() - the smoothed charge at @y */
static inline double plan_row_smooth(const struct plan_row *row, double y)
{
    double stiff;
    double n = y - (plan_row_price_at(row, y, &stiff) - row->lambda) / row->rho;
    double miss = y - n;
    double charge = 0;

    for (int index = 0; index < row->knees && n > row->knee[index]; index++) {
        double next = index + 1 < row->knees ? fmin(row->knee[index + 1], n) : n;
        if (isfinite(row->slope[index])) { /* n is never beyond a capacity but for rounding */
            charge += row->slope[index] * (next - row->knee[index]);
        }
    }
    return charge + miss * (row->lambda + row->rho / 2 * miss);
}

/** plan_row_update() - price and stiffness of a row from its load */
static inline void plan_row_update(const struct plan_model *model, int index)
{
    struct plan_row *row = &model->rows[index];

    row->price = 0;
    row->stiff = 0;
    if (model->used[index]) {
        row->price = plan_row_price_at(row, row->y, &row->stiff);
    }
    model->row_price[index] = row->price;
}

/** plan_row_refresh() - price of a row from its load, and the load price of its cell */
void plan_row_refresh(struct plan_model *model, int row);

/** plan_rows_refresh() - all rows */
void plan_rows_refresh(struct plan_model *model);

/** plan_class_put() - add @units units of a class at a cell (slot, site); prices are not touched */
void plan_class_put(struct plan_model *model, const struct plan_class *class, int cell,
                    double units);

/** plan_route_put() - add @units units along a route; with @refresh prices follow */
void plan_route_put(struct plan_model *model, const struct plan_class *class,
                    const struct plan_start *start, const uint8_t *sites, double units);

/** plan_route_shift() - move @units from route @old to route @new and refresh the rows touched */
void plan_route_shift(struct plan_model *model, const struct plan_class *class,
                      const struct plan_start *start, const uint8_t *const routes[2],
                      double units);

/** plan_store_put() - change the battery's part of a cell's rows by @kw at the meter */
void plan_store_put(struct plan_model *model, int cell, double kw);

/** plan_store_kw() - kW at the meter of a rise in kWh per slot */
static inline double plan_store_kw(const struct plan_store *store, double rise)
{
    return rise > 0 ? rise * store->up_per_kwh : rise * store->down_per_kwh;
}

#endif
