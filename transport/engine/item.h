/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* item.h - what a lane still has to send (runs), and what it sent and the peer has not applied (items)
 * Owner: embedded in struct apn_lane.   Thread: under the session lock.   Units: bytes. */
#ifndef APN_ENGINE_ITEM_H
#define APN_ENGINE_ITEM_H

#include <stdbool.h>
#include <stdint.h>

#include <apnmig/backend.h>

#define APN_RUNS_MAX  4096u    /* dirty runs and fences queued on one lane */
#define APN_ITEMS_MAX 65536u   /* reliable messages in flight on one lane; a power of two */

/** struct apn_work - one entry of a lane's queue: a run of pages, or a fence when @bytes is 0 */
struct apn_work {
    uint16_t region;
    uint16_t lane;     /* logical lane it belongs to */
    uint32_t bytes;
    uint64_t offset;   /* of the run, or the fence's id */
    bool resent;       /* was in flight on a lane that was lost */
    bool paged;        /* postcopy: to be placed, not written */
};

struct apn_work_ring {
    struct apn_work *slot; /* APN_RUNS_MAX */
    uint32_t head, count;
    uint64_t bytes;
};

/** struct apn_item - a reliable message in flight */
struct apn_item {
    struct apn_msg msg;        /* payload: guest RAM, the stream ring, or session-owned text */
    uint64_t end_bytes;        /* lane's cumulative wire bytes after this item */
    uint64_t posted_ns;
};

struct apn_item_ring {
    struct apn_item *slot;
    uint32_t capacity, head, count;
};

int apn_work_ring_init(struct apn_work_ring *ring);
void apn_work_ring_done(struct apn_work_ring *ring);
/** Return: false when full */
bool apn_work_push(struct apn_work_ring *ring, const struct apn_work *work);
bool apn_work_push_front(struct apn_work_ring *ring, const struct apn_work *work);
bool apn_work_pop(struct apn_work_ring *ring, struct apn_work *out);

int apn_item_ring_init(struct apn_item_ring *ring, uint32_t capacity);
void apn_item_ring_done(struct apn_item_ring *ring);
struct apn_item *apn_item_at(struct apn_item_ring *ring, uint32_t i); /* i-th from the oldest */
/** Return: the new slot, uninitialised, or NULL when full */
struct apn_item *apn_item_push(struct apn_item_ring *ring);
struct apn_item *apn_item_push_front(struct apn_item_ring *ring);
void apn_item_pop(struct apn_item_ring *ring);

/** apn_items_requeue() - after a lane was lost: @inflight, then what @replay still held, become the new @replay
 *
 * Neighbouring extents are joined again up to APN_EXTENT_MAX, so repeated losses cannot grow the list.
 * Return: guest bytes that are to be sent again, or -ENOBUFS when @replay cannot hold them. */
int64_t apn_items_requeue(struct apn_item_ring *inflight, struct apn_item_ring *replay);

#endif
