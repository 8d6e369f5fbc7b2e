/* SPDX-License-Identifier: GPL-2.0-or-later */
/* order.h - which page is written next: at random, in turn, or by Zipf's law
 * Owner: the workload.  Thread: one.  Time: none.  Units: pages. */
#ifndef APN_BENCH_GUEST_ORDER_H
#define APN_BENCH_GUEST_ORDER_H

#include <stdint.h>

enum guest_order { GUEST_RANDOM, GUEST_SEQUENTIAL, GUEST_ZIPF, GUEST_ORDERS };

/* the law with exponent 1: the k-th favourite has weight 1/k */
struct guest_zipf {
    uint64_t *cumulative; /* by rank, fixed point */
    uint32_t count;
};

/** guest_order_find() - the order of that name
 * Return: 0 or -EINVAL. */
int guest_order_find(const char *name, enum guest_order *order);
const char *guest_order_name(enum guest_order order);

/** guest_random() - next number of xorshift; @state is not 0 */
uint64_t guest_random(uint64_t *state);

/** guest_zipf_init() - for @count items, 1..2^28
 * Return: 0 or -ENOMEM. */
int guest_zipf_init(struct guest_zipf *zipf, uint32_t count);
void guest_zipf_done(struct guest_zipf *zipf);

/** guest_zipf_pick() - an item, 0..count-1; favourites lie scattered over the items
 * @random: any 64 bits */
uint32_t guest_zipf_pick(const struct guest_zipf *zipf, uint64_t random);

/** guest_zipf_rank_item() - the item that is @rank-th favourite, 0..count-1 */
uint32_t guest_zipf_rank_item(const struct guest_zipf *zipf, uint32_t rank);

#endif
