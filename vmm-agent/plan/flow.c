/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow.c - bundles of routes
 * Owner: struct plan_flow.   Thread: one.   Time: planned slots.   Units: units of a class. */
#include "plan/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int plan_flow_init(struct plan_flow *flow, const struct plan_model *model)
{
    size_t slots = (size_t)model->slots;
    int count = 0;

    memset(flow, 0, sizeof(*flow));
    flow->slots = model->slots;
    flow->first = calloc((size_t)model->class_count + 1, sizeof(int));
    for (int index = 0; index < model->class_count; index++) {
        count += model->classes[index].start_count;
    }
    flow->bundles = calloc((size_t)count + 1, sizeof(*flow->bundles));
    flow->sites = calloc(((size_t)count + 1) * PLAN_ROUTES_MAX, slots);
    if (flow->first == NULL || flow->bundles == NULL || flow->sites == NULL) {
        plan_flow_done(flow);
        return -ENOMEM;
    }
    for (int index = 0; index < model->class_count; index++) {
        flow->first[index] = flow->bundle_count;
        for (int start = 0; start < model->classes[index].start_count; start++) {
            struct plan_bundle *bundle = &flow->bundles[flow->bundle_count];
            bundle->class = index;
            bundle->start = &model->classes[index].starts[start];
            bundle->sites = flow->sites + (size_t)flow->bundle_count * PLAN_ROUTES_MAX * slots;
            flow->bundle_count++;
        }
    }
    flow->first[model->class_count] = flow->bundle_count;
    return 0;
}

void plan_flow_done(struct plan_flow *flow)
{
    free(flow->bundles);
    free(flow->first);
    free(flow->sites);
    memset(flow, 0, sizeof(*flow));
}

void plan_flow_copy(struct plan_flow *to, const struct plan_flow *from,
                    const struct plan_model *model)
{
    size_t slots = (size_t)model->slots;

    for (int index = 0; index < from->bundle_count; index++) {
        struct plan_bundle *out = &to->bundles[index];
        const struct plan_bundle *in = &from->bundles[index];
        uint8_t *sites = out->sites;
        *out = *in;
        out->sites = sites;
        memcpy(sites, in->sites, (size_t)in->count * slots);
    }
}

int plan_bundle_find(const struct plan_bundle *bundle, const uint8_t *sites, int slots)
{
    for (int route = 0; route < bundle->count; route++) {
        if (memcmp(plan_bundle_route(bundle, route, slots), sites, (size_t)slots) == 0) {
            return route;
        }
    }
    return -1;
}

int plan_bundle_add(struct plan_bundle *bundle, const uint8_t *sites, int slots)
{
    int route = plan_bundle_find(bundle, sites, slots);

    if (route >= 0) {
        return route;
    }
    if (bundle->count == PLAN_ROUTES_MAX) {
        return -1;
    }
    route = bundle->count++;
    memcpy(plan_bundle_route(bundle, route, slots), sites, (size_t)slots);
    bundle->flow[route] = 0;
    bundle->units[route] = 0;
    return route;
}

void plan_bundle_drop(struct plan_bundle *bundle, int route, int slots)
{
    int last = --bundle->count;

    if (route != last) {
        memcpy(plan_bundle_route(bundle, route, slots), plan_bundle_route(bundle, last, slots),
               (size_t)slots);
        bundle->flow[route] = bundle->flow[last];
        bundle->units[route] = bundle->units[last];
    }
}
