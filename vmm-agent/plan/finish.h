/* SPDX-License-Identifier: GPL-2.0-or-later */
/* finish.h - from shares to the best whole-unit plan found: rounding, descent, batteries
 * Owner: struct plan_finish.   Thread: one; it uses the pool.
 * Time:  planned slots.        Units:  yen. */
#ifndef AGENT_PLAN_FINISH_H
#define AGENT_PLAN_FINISH_H

#include "plan/improve.h"
#include "plan/relax.h"

/** struct plan_finish - @best* is the cheapest whole plan without a broken row so far
 * @miss: how far the best attempt was from keeping all rows (relative); 0 when it keeps them */
struct plan_finish {
    struct plan_model *model;
    struct plan_improve improve;
    struct plan_flow shares; /* as the relaxation left them */
    struct plan_flow best;
    double *rho;  /* the relaxation's, per row */
    double *over; /* what one unit above a capacity costs at first, per row */
    double *rise; /* [site * slots + slot]: batteries as the relaxation left them */
    double *best_rise;
    double best_yen;
    double miss;
    bool (*stop)(void *context);
    void *context;
};

int plan_finish_init(struct plan_finish *finish, struct plan_model *model, struct plan_pool *pool,
                     struct plan_flow *flow);
void plan_finish_done(struct plan_finish *finish);

/** plan_finish_run() - after plan_relax_run(); tries up to @passes roundings, stops when the cost
 * is within @goal (relative) of @bound. finish->best and best_rise hold the answer; with
 * finish->miss > 0 there is none, and they hold the attempt that misses least. */
void plan_finish_run(struct plan_finish *finish, const struct plan_relax *relax, int passes,
                     double goal);

#endif
