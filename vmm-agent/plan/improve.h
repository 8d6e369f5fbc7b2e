/* SPDX-License-Identifier: GPL-2.0-or-later */
/* improve.h - whole units: rounding of shares, repair, and better routes one unit at a time
 * Owner: struct plan_improve.   Thread: one; it uses the pool.
 * Time:  planned slots.         Units:  yen, units of a class. */
#ifndef AGENT_PLAN_IMPROVE_H
#define AGENT_PLAN_IMPROVE_H

#include "plan/flow.h"
#include "plan/pool.h"

/** struct plan_improve - @exact: charge rows exactly, not smoothed around their multipliers
 * @fresh, @gain: what a batch of classes proposes, [bundle in batch][route] */
struct plan_improve {
    struct plan_model *model;
    struct plan_pool *pool;
    struct plan_flow *flow;
    bool exact;
    int batch_first; /* first bundle of the batch */
    uint8_t *fresh;
    double *gain;
};

int plan_improve_init(struct plan_improve *improve, struct plan_model *model,
                      struct plan_pool *pool, struct plan_flow *flow);
void plan_improve_done(struct plan_improve *improve);

/** plan_round() - shares to whole units, one bundle after the other, each against the loads the
 * earlier ones left; rows end with the loads of the whole units */
void plan_round(struct plan_improve *improve);

/** plan_improve_sweep() - every route in use offers one unit its best other route
 * Return: units moved. */
int plan_improve_sweep(struct plan_improve *improve);

/** plan_loads_set() - rows' loads from the flow's whole units and the batteries, from nothing */
void plan_loads_set(struct plan_model *model, const struct plan_flow *flow);

#endif
