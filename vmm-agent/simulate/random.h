/* SPDX-License-Identifier: GPL-2.0-or-later */
/* random.h - small seeded random numbers, the same on every machine
 * Owner: struct agent_random, by value.   Thread: one at a time.
 * Time:  none.   Units: none. */
#ifndef AGENT_SIMULATE_RANDOM_H
#define AGENT_SIMULATE_RANDOM_H

#include <stdint.h>

struct agent_random {
    uint64_t state;
};

/** agent_random_start() - a stream of its own per (@seed, @purpose, @index) */
struct agent_random agent_random_start(uint64_t seed, uint32_t purpose, uint32_t index);

/** agent_random_next() - 64 random bits (SplitMix64, Steele et al. 2014) */
uint64_t agent_random_next(struct agent_random *random);

/** agent_random_unit() - 0 <= x < 1 */
double agent_random_unit(struct agent_random *random);

/** agent_random_normal() - mean 0, deviation 1 (sum of twelve uniforms: tails end at 6) */
double agent_random_normal(struct agent_random *random);

#endif
