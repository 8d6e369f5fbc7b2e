/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relax.h - the fractional problem: prices that prove a bound, and shares to round
 * Owner: struct plan_relax.   Thread: one; it uses the pool.
 * Time:  planned slots; the deadline is checked through a callback.   Units: yen. */
#ifndef AGENT_PLAN_RELAX_H
#define AGENT_PLAN_RELAX_H

#include "plan/bound.h"
#include "plan/flow.h"

/** struct plan_relax_rule - when to stop
 * @sweeps_max: passes over all classes
 * @patience:   bounds without relative improvement of @progress_min before stopping
 * @stop:       asked once per sweep; true = time is up. May be NULL. */
struct plan_relax_rule {
    int sweeps_max;
    int bound_every;
    int patience;
    double progress_min;
    bool (*stop)(void *context);
    void *context;
    bool warm; /* the rows' lambda are from an earlier plan */
};

struct plan_relax {
    struct plan_model *model;
    struct plan_pool *pool;
    struct plan_flow *flow;
    struct plan_bound bound;
    double best_yen;   /* best bound so far */
    double *best_row;  /* its multipliers, per row */
    double *mean_row;  /* running mean of the multipliers */
    double *best_mu;
    double *mean_mu;
    uint8_t *fresh;    /* routes of this batch, one per bundle */
    double *violation; /* per kind, relative: how far the shares are from fitting */
    int sweeps;
    bool stopped;
};

int plan_relax_init(struct plan_relax *relax, struct plan_model *model, struct plan_pool *pool,
                    struct plan_flow *flow);
void plan_relax_done(struct plan_relax *relax);

/** plan_relax_run() - fill relax->flow with shares; relax->best_yen is a proven bound and the
 * model's rows keep the best multipliers */
void plan_relax_run(struct plan_relax *relax, const struct plan_relax_rule *rule);

#endif
