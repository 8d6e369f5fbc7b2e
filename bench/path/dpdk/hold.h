/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hold.h - the frames of one wavelength on their way, in the order in which they are due
 * Owner: struct path_worker.  Thread: the worker's.
 * Time:  due times as given.  Units:  ns, frames.
 *
 * What the path has to know about a frame is kept in the frame's mbuf (its private area), and the mbufs
 * are chained: nothing is allocated, and a frame costs no memory beside its own. Where frames may
 * overtake each other a heap takes the place of the chain.
 */
#ifndef APN_BENCH_PATH_DPDK_HOLD_H
#define APN_BENCH_PATH_DPDK_HOLD_H

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

/* in front of every frame's bytes; rte_mbuf wants a multiple of 8 */
struct path_tag {
    int64_t due_ns;
    struct rte_mbuf *next;
    uint32_t wire_bytes; /* as the line counts it */
    uint32_t wavelength;
};

struct path_hold {
    struct rte_mbuf *head, *tail; /* the chain */
    struct rte_mbuf **heap;       /* or the heap, heap[0] due first */
    uint32_t count, heap_room;
};

static inline struct path_tag *path_tag(const struct rte_mbuf *frame)
{
    return rte_mbuf_to_priv((struct rte_mbuf *)(uintptr_t)frame);
}

/** path_hold_init() - empty
 * @heap_room: frames that may overtake each other, 0: they keep their order
 * Return: 0 or -ENOMEM. */
int path_hold_init(struct path_hold *hold, uint32_t heap_room);

/** path_hold_done() - free the frames and the heap; takes a zeroed one */
void path_hold_done(struct path_hold *hold);

/** path_hold_push() - take a frame whose tag has its due time
 * Without a heap the due time must not be smaller than that of the frame before.
 * Return: 0, or -EAGAIN when the heap is full. */
int path_hold_push(struct path_hold *hold, struct rte_mbuf *frame);

/** path_hold_head() - the frame that is due first, or NULL */
struct rte_mbuf *path_hold_head(const struct path_hold *hold);

/** path_hold_pop() - give that frame out; there must be one */
struct rte_mbuf *path_hold_pop(struct path_hold *hold);

#endif
