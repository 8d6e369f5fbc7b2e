/* SPDX-License-Identifier: GPL-2.0-or-later */
/* latency.c - see latency.h */
#include "latency.h"

#include <string.h>

#define STEPS_LOG2 4

static unsigned step_of(uint64_t ns)
{
    unsigned power, step;

    if (ns < LATENCY_STEPS) {
        return (unsigned)ns;
    }
    power = 63 - (unsigned)__builtin_clzll(ns);
    step = (power - STEPS_LOG2 + 1) * LATENCY_STEPS + (unsigned)((ns >> (power - STEPS_LOG2)) & (LATENCY_STEPS - 1));
    return step < LATENCY_POWERS * LATENCY_STEPS ? step : LATENCY_POWERS * LATENCY_STEPS - 1;
}

/* the largest value that falls into @step */
static uint64_t edge_of(unsigned step)
{
    unsigned power = step / LATENCY_STEPS;

    if (power == 0) {
        return step;
    }
    if (step == LATENCY_POWERS * LATENCY_STEPS - 1) {
        return UINT64_MAX; /* and whatever is larger */
    }
    return ((uint64_t)(LATENCY_STEPS + step % LATENCY_STEPS + 1) << (power - 1)) - 1;
}

void latency_add(struct latency *latency, uint64_t each_ns, uint64_t operations)
{
    latency->count[step_of(each_ns)] += operations;
    latency->operations += operations;
    latency->busy_ns += each_ns * operations;
    if (operations > 0 && each_ns > latency->max_ns) {
        latency->max_ns = each_ns;
    }
}

uint64_t latency_at(const struct latency *latency, unsigned per_mille)
{
    uint64_t wanted = (latency->operations * per_mille + 999) / 1000, seen = 0;

    if (latency->operations == 0) {
        return 0;
    }
    for (unsigned step = 0; step < LATENCY_POWERS * LATENCY_STEPS; step++) {
        seen += latency->count[step];
        if (seen >= wanted && seen > 0) {
            return edge_of(step) < latency->max_ns ? edge_of(step) : latency->max_ns;
        }
    }
    return latency->max_ns;
}

void latency_reset(struct latency *latency)
{
    memset(latency, 0, sizeof(*latency));
}
