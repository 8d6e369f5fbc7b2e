/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/random.h"

struct agent_random agent_random_start(uint64_t seed, uint32_t purpose, uint32_t index)
{
    struct agent_random random = {seed ^ (((uint64_t)purpose << 32 | index) * 0x9e3779b97f4a7c15u)};

    agent_random_next(&random);
    random.state ^= agent_random_next(&random);
    return random;
}

uint64_t agent_random_next(struct agent_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double agent_random_unit(struct agent_random *random)
{
    return (double)(agent_random_next(random) >> 11) * 0x1p-53;
}

double agent_random_normal(struct agent_random *random)
{
    double sum = -6.0;

    for (int i = 0; i < 12; i++) {
        sum += agent_random_unit(random);
    }
    return sum;
}
