/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow.h - which routes the units of every class take, as shares and as whole units
 * Owner: struct plan_flow.   Thread: one.   Time: planned slots.   Units: units of a class. */
#ifndef AGENT_PLAN_FLOW_H
#define AGENT_PLAN_FLOW_H

#include "plan/route.h"

#define PLAN_ROUTES_MAX 12
#define PLAN_FLOW_MIN   1e-7

/** struct plan_bundle - routes of the units of one class with one start state */
struct plan_bundle {
    int class;
    const struct plan_start *start;
    int count;
    double flow[PLAN_ROUTES_MAX];
    int units[PLAN_ROUTES_MAX];
    uint8_t *sites; /* [route * slots + slot] */
};

struct plan_flow {
    int slots;
    int bundle_count;
    struct plan_bundle *bundles;
    int *first; /* per class, class_count + 1 */
    uint8_t *sites;
};

int plan_flow_init(struct plan_flow *flow, const struct plan_model *model);
void plan_flow_done(struct plan_flow *flow);

/** plan_flow_copy() - @to = @from; both made for the same model */
void plan_flow_copy(struct plan_flow *to, const struct plan_flow *from,
                    const struct plan_model *model);

/** plan_bundle_find() - index of a route, or -1 */
int plan_bundle_find(const struct plan_bundle *bundle, const uint8_t *sites, int slots);

/** plan_bundle_add() - add a route with no flow, or find it

 * Return: its index, or -1 when full. */
int plan_bundle_add(struct plan_bundle *bundle, const uint8_t *sites, int slots);

/** plan_bundle_drop() - forget a route that carries nothing */
void plan_bundle_drop(struct plan_bundle *bundle, int route, int slots);

static inline uint8_t *plan_bundle_route(const struct plan_bundle *bundle, int route, int slots)
{
    return bundle->sites + (size_t)route * (size_t)slots;
}

#endif
