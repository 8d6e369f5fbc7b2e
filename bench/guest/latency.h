/* SPDX-License-Identifier: GPL-2.0-or-later */
/* latency.h - how long operations took, in few bytes and without sorting
 * Owner: whoever counts; one writer.  Thread: the writer's, or under its lock.  Time: none.  Units: ns. */
#ifndef APN_BENCH_GUEST_LATENCY_H
#define APN_BENCH_GUEST_LATENCY_H

#include <stdint.h>

#define LATENCY_STEPS  16 /* per power of two: a value is known to 6 % */
#define LATENCY_POWERS 40 /* up to 18 minutes */

struct latency {
    uint64_t count[LATENCY_POWERS * LATENCY_STEPS];
    uint64_t operations, busy_ns, max_ns;
};

/** latency_add() - @operations took @each_ns each */
void latency_add(struct latency *latency, uint64_t each_ns, uint64_t operations);

/** latency_at() - what @per_mille of 1000 operations did not exceed
 * @per_mille: 0..1000
 * Return: ns (upper edge of its step, never above the largest seen), 0 when nothing was added. */
uint64_t latency_at(const struct latency *latency, unsigned per_mille);

/** latency_reset() - begin anew */
void latency_reset(struct latency *latency);

#endif
