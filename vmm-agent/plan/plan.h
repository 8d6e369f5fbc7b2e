/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan.h - a placement plan with its proof, and how to get one
 * Owner: struct agent_plan owns its arena; it borrows the instance it answers.
 * Thread: agent_plan_solve() starts its own helpers and joins them before it returns.
 * Time:  slots of the instance; the clock for the time limit is passed in.
 * Units: kW, kWh, GB, yen, g CO2. */
#ifndef AGENT_PLAN_PLAN_H
#define AGENT_PLAN_PLAN_H

#include "plan/instance.h"

#define AGENT_PLAN_RESULT_SCHEMA "apn-migrate/plan/1"
#define AGENT_PLAN_BREACHES_MAX  16

/** struct plan_leg - @count VMs of a group that take the same way
 * @start: index into the group's running[], or -1 for VMs not placed before
 * @sites: site per planned slot, sites[0] is at instance->first */
struct plan_leg {
    int group;
    int start;
    int count;
    uint8_t *sites;
};

/** struct plan_cost - yen; @total is the sum of the others and the objective */
struct plan_cost {
    double energy;
    double carbon;
    double grid;      /* the weight on what is not renewable surplus */
    double imbalance; /* of slots past gate closure; what was committed is sunk */
    double demand;
    double moves;
    double total;
};

/** struct plan_figures - what the plan does, for people */
struct plan_figures {
    double load_kwh;
    double import_kwh;
    double renewable_kwh; /* load served by surplus, expected over the quantiles */
    double carbon_kg;
    double moved_gb;
    double blackout_s;
    int64_t moves;
};

/** struct plan_breach - a constraint that does not hold; @by in the unit named in @text */
struct plan_breach {
    double by;
    char text[200];
};

struct plan_breaches {
    int count; /* all found; the first AGENT_PLAN_BREACHES_MAX are kept, worst share first */
    struct plan_breach worst[AGENT_PLAN_BREACHES_MAX];
};

enum plan_stop { PLAN_STOP_CONVERGED, PLAN_STOP_TIME };

struct agent_plan {
    struct plan_arena arena;
    const struct agent_plan_instance *instance;
    int slots;
    int leg_count;
    struct plan_leg *legs; /* by group, then in a fixed order */
    double *rise_kwh;      /* [site * slots + slot]: stored in the battery, negative: taken */
    double *price;         /* [kind][site * slots + slot] shadow prices, see plan_price_kind */
    double *link_price;    /* [link * slots + slot], yen per GB */
    struct plan_cost cost;
    struct plan_figures figures;
    double bound;       /* proven: no plan costs less */
    double bound_error; /* rounding already taken off the bound */
    double gap;         /* (cost - bound) / |cost| */
    double stay_cost;   /* cost of moving nothing, NAN when that is not allowed */
    int sweeps;
    enum plan_stop stop;
    double seconds;
};

/* Shadow prices kept with a plan: what one more unit of each would be worth, yen per slot. */
enum plan_price_kind {
    PLAN_PRICE_LOAD, /* per kW of net load: energy and carbon */
    PLAN_PRICE_PEAK,
    PLAN_PRICE_POWER,
    PLAN_PRICE_CPU,
    PLAN_PRICE_RAM,
    PLAN_PRICE_RESERVE, /* + enum plan_reserve */
    PLAN_PRICE_KINDS = PLAN_PRICE_RESERVE + PLAN_RESERVES
};

static inline double *plan_price_of(const struct agent_plan *plan, int kind, int site)
{
    return plan->price + ((size_t)kind * (size_t)plan->instance->site_count + (size_t)site) *
                             (size_t)plan->slots;
}

/** struct agent_plan_options - all zero is a good choice
 * @threads:      0 = 2; the plan does not depend on it
 * @time_limit_s: 0 = none. The work done is otherwise fixed by the instance, so only a limit that
 *                is hit makes a plan depend on the machine; plan->stop says so.
 * @warm:         an earlier plan of the same sites, or NULL: its prices are the start
 * @clock:        seconds from any origin; NULL = CLOCK_MONOTONIC */
struct agent_plan_options {
    int threads;
    double time_limit_s;
    const struct agent_plan *warm;
    double (*clock)(void *context);
    void *clock_context;
};

/** agent_plan_solve() - the cheapest placement that can be found, checked, with a proven bound
 * @breaches: filled when there is no plan; may be NULL
 * Return: 0 with *@out to be freed by agent_plan_free(); -EDOM: no plan exists (the text begins
 * "no plan exists") or none was found ("no plan found"), with constraint and amount; -ENOMEM. */
int agent_plan_solve(const struct agent_plan_instance *instance,
                     const struct agent_plan_options *options, struct agent_plan **out,
                     struct plan_breaches *breaches, struct agent_error *error);

/** agent_plan_check() - verify every constraint and compute the cost from the instance alone
 * Shares no code with the solver. @cost and @figures are set even when constraints are broken.
 * Return: number of broken constraints, listed in @breaches. */
int agent_plan_check(const struct agent_plan *plan, struct plan_breaches *breaches,
                     struct plan_cost *cost, struct plan_figures *figures);

/** agent_plan_new() - an empty plan for an instance; legs are added by the caller */
struct agent_plan *agent_plan_new(const struct agent_plan_instance *instance);

/** agent_plan_stay() - the plan that moves nothing; VMs not placed yet make it impossible
 * Return: 0, -ENOENT (some VM is not placed), -ENOMEM. */
int agent_plan_stay(const struct agent_plan_instance *instance, struct agent_plan **out);

/** agent_plan_to_json() - new reference, or NULL without memory */
json_t *agent_plan_to_json(const struct agent_plan *plan);

/** agent_plan_loads() - net load and expected import of each site, [site * slots + slot]
 * @load_kw: battery included; @import_kwh: over the quantiles of the surplus. Both are set. */
void agent_plan_loads(const struct agent_plan *plan, double *load_kw, double *import_kwh);

/** agent_plan_from_json() - a plan written for @instance (or for the same sites: see @prices_only)
 * @prices_only: read only shadow prices, for a warm start; the plan may be of other slots, and its
 *               other parts need not fit any more */
int agent_plan_from_json(const json_t *root, const struct agent_plan_instance *instance,
                         bool prices_only, struct agent_plan **out, struct agent_error *error);

/** agent_plan_explain() - why the plan does what it does, as JSON: unknown signals and what they
 * froze, full resources and their price, and for each group what its way costs and the cheapest
 * other way. @group: only this group, or NULL. New reference, or NULL without memory. */
json_t *agent_plan_explain(const struct agent_plan *plan, const char *group);

void agent_plan_free(struct agent_plan *plan);

#endif
