/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* item.c - see item.h */
#include "engine/item.h"

#include <errno.h>
#include <stdlib.h>

int apn_work_ring_init(struct apn_work_ring *ring)
{
    ring->slot = calloc(APN_RUNS_MAX, sizeof(*ring->slot));
    ring->head = ring->count = 0;
    ring->bytes = 0;
    return ring->slot ? 0 : -ENOMEM;
}

void apn_work_ring_done(struct apn_work_ring *ring)
{
    free(ring->slot);
    ring->slot = NULL;
}

bool apn_work_push(struct apn_work_ring *ring, const struct apn_work *work)
{
    if (ring->count == APN_RUNS_MAX) {
        return false;
    }
    ring->slot[(ring->head + ring->count++) % APN_RUNS_MAX] = *work;
    ring->bytes += work->bytes;
    return true;
}

bool apn_work_push_front(struct apn_work_ring *ring, const struct apn_work *work)
{
    if (ring->count == APN_RUNS_MAX) {
        return false;
    }
    ring->head = (ring->head + APN_RUNS_MAX - 1) % APN_RUNS_MAX;
    ring->slot[ring->head] = *work;
    ring->count++;
    ring->bytes += work->bytes;
    return true;
}

bool apn_work_pop(struct apn_work_ring *ring, struct apn_work *out)
{
    if (!ring->count) {
        return false;
    }
    *out = ring->slot[ring->head];
    ring->head = (ring->head + 1) % APN_RUNS_MAX;
    ring->count--;
    ring->bytes -= out->bytes;
    return true;
}

int apn_item_ring_init(struct apn_item_ring *ring, uint32_t capacity)
{
    ring->slot = calloc(capacity, sizeof(*ring->slot));
    ring->capacity = capacity;
    ring->head = ring->count = 0;
    return ring->slot ? 0 : -ENOMEM;
}

void apn_item_ring_done(struct apn_item_ring *ring)
{
    free(ring->slot);
    ring->slot = NULL;
}

struct apn_item *apn_item_at(struct apn_item_ring *ring, uint32_t i)
{
    return &ring->slot[(ring->head + i) & (ring->capacity - 1)];
}

struct apn_item *apn_item_push(struct apn_item_ring *ring)
{
    if (ring->count == ring->capacity) {
        return NULL;
    }
    return apn_item_at(ring, ring->count++);
}

struct apn_item *apn_item_push_front(struct apn_item_ring *ring)
{
    if (ring->count == ring->capacity) {
        return NULL;
    }
    ring->head = (ring->head + ring->capacity - 1) & (ring->capacity - 1);
    ring->count++;
    return apn_item_at(ring, 0);
}

void apn_item_pop(struct apn_item_ring *ring)
{
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
}

/* joins @next into @last when both are neighbouring extents of one region */
static bool join_extents(struct apn_msg *last, const struct apn_msg *next)
{
    if (last->type != APN_MSG_EXTENT || next->type != APN_MSG_EXTENT || last->region != next->region ||
        last->offset + last->span != next->offset || last->span + next->span > APN_EXTENT_MAX ||
        last->offset / APN_GRANULE_SIZE != next->offset / APN_GRANULE_SIZE) {
        return false;
    }
    last->span += next->span; /* kind and payload are decided anew when it is sent */
    return true;
}

static int replay_append(struct apn_item_ring *replay, const struct apn_msg *msg)
{
    struct apn_item *item;

    if (replay->count && join_extents(&apn_item_at(replay, replay->count - 1)->msg, msg)) {
        return 0;
    }
    item = apn_item_push(replay);
    if (!item) {
        return -ENOBUFS;
    }
    item->msg = *msg;
    return 0;
}

int64_t apn_items_requeue(struct apn_item_ring *inflight, struct apn_item_ring *replay)
{
    uint32_t old = replay->count;
    int64_t bytes = 0;

    for (; inflight->count; apn_item_pop(inflight)) {
        const struct apn_msg *msg = &apn_item_at(inflight, 0)->msg;

        if (replay_append(replay, msg)) {
            return -ENOBUFS;
        }
        bytes += APN_MSG_HAS_PAGES(msg->type) ? msg->span : 0;
    }
    /* the messages that were waiting already are younger: rotate them behind */
    while (old--) {
        struct apn_msg msg = apn_item_at(replay, 0)->msg;

        apn_item_pop(replay);
        if (replay_append(replay, &msg)) {
            return -ENOBUFS;
        }
    }
    return bytes;
}
