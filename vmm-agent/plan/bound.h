/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bound.h - a lower bound on every plan's cost, from any multipliers
 * Owner: struct plan_bound.   Thread: one; it uses the pool.
 * Time:  planned slots.       Units:  yen. */
#ifndef AGENT_PLAN_BOUND_H
#define AGENT_PLAN_BOUND_H

#include "plan/pool.h"

/** struct plan_bound - scratch arrays and the last answer
 * @row:  the multipliers used, per row
 * @mu:   the gate multipliers used
 * @yen:  the bound, already lowered by @safety
 * @safety: proven limit of what rounding can have added */
struct plan_bound {
    double *row;
    double *load;
    double *class_yen;
    double *class_size;
    double *mu;
    double yen;
    double safety;
};

int plan_bound_init(struct plan_bound *bound, const struct plan_model *model);
void plan_bound_done(struct plan_bound *bound);

/** plan_bound_take() - copy the model's multipliers (row lambda, gate mu) into the bound */
void plan_bound_take(struct plan_bound *bound, const struct plan_model *model);

/** plan_bound_solve() - the Lagrangian value at bound->row and bound->mu into bound->yen */
void plan_bound_solve(struct plan_bound *bound, struct plan_model *model, struct plan_pool *pool);

#endif
