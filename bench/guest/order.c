/* SPDX-License-Identifier: GPL-2.0-or-later */
/* order.c - see order.h
 *
 * The weights are summed up exactly in fixed point and searched by halves: no logarithms, which the emulated
 * processor does slowly, and no approximation that a reader would have to believe.
 */
#include "order.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ONE        (UINT64_C(1) << 40)
#define SCATTER    UINT64_C(2654435761) /* prime: with any count below it, every item is met once */

__extension__ typedef unsigned __int128 wide;

static const char *const names[GUEST_ORDERS] = {"random", "sequential", "zipf"};

int guest_order_find(const char *name, enum guest_order *order)
{
    for (unsigned i = 0; i < GUEST_ORDERS; i++) {
        if (strcmp(name, names[i]) == 0) {
            *order = (enum guest_order)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *guest_order_name(enum guest_order order)
{
    return names[order];
}

uint64_t guest_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13; /* Marsaglia, "Xorshift RNGs" (2003) */
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

int guest_zipf_init(struct guest_zipf *zipf, uint32_t count)
{
    uint64_t sum = 0;

    zipf->cumulative = malloc(count * sizeof(*zipf->cumulative));
    if (!zipf->cumulative) {
        return -ENOMEM;
    }
    zipf->count = count;
    for (uint32_t rank = 0; rank < count; rank++) {
        sum += ONE / (rank + 1);
        zipf->cumulative[rank] = sum;
    }
    return 0;
}

void guest_zipf_done(struct guest_zipf *zipf)
{
    free(zipf->cumulative);
    memset(zipf, 0, sizeof(*zipf));
}

uint32_t guest_zipf_rank_item(const struct guest_zipf *zipf, uint32_t rank)
{
    return (uint32_t)(rank * SCATTER % zipf->count);
}

uint32_t guest_zipf_pick(const struct guest_zipf *zipf, uint64_t random)
{
    uint64_t total = zipf->cumulative[zipf->count - 1];
    uint64_t wanted = (uint64_t)((wide)random * total >> 64);
    uint32_t low = 0, high = zipf->count - 1;

    while (low < high) { /* the first rank whose sum exceeds @wanted */
        uint32_t middle = low + (high - low) / 2;

        if (zipf->cumulative[middle] > wanted) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return guest_zipf_rank_item(zipf, low);
}
