/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hold.c - see hold.h */
#include "hold.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int path_hold_init(struct path_hold *hold, uint32_t heap_room)
{
    memset(hold, 0, sizeof(*hold));
    if (heap_room > 0) {
        hold->heap = calloc(heap_room, sizeof(hold->heap[0]));
        if (!hold->heap) {
            return -ENOMEM;
        }
        hold->heap_room = heap_room;
    }
    return 0;
}

void path_hold_done(struct path_hold *hold)
{
    while (path_hold_head(hold)) {
        rte_pktmbuf_free(path_hold_pop(hold));
    }
    free(hold->heap);
    memset(hold, 0, sizeof(*hold));
}

static int64_t due(const struct path_hold *hold, uint32_t i)
{
    return path_tag(hold->heap[i])->due_ns;
}

static void swap(struct path_hold *hold, uint32_t a, uint32_t b)
{
    struct rte_mbuf *frame = hold->heap[a];

    hold->heap[a] = hold->heap[b];
    hold->heap[b] = frame;
}

static void heap_push(struct path_hold *hold, struct rte_mbuf *frame)
{
    uint32_t i = hold->count;

    hold->heap[i] = frame;
    while (i > 0 && due(hold, i) < due(hold, (i - 1) / 2)) {
        swap(hold, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static struct rte_mbuf *heap_pop(struct path_hold *hold)
{
    struct rte_mbuf *frame = hold->heap[0];
    uint32_t last = hold->count - 1, i = 0;

    hold->heap[0] = hold->heap[last];
    while (2 * i + 1 < last) {
        uint32_t child = 2 * i + 1;

        if (child + 1 < last && due(hold, child + 1) < due(hold, child)) {
            child++;
        }
        if (due(hold, i) <= due(hold, child)) {
            break;
        }
        swap(hold, i, child);
        i = child;
    }
    return frame;
}

int path_hold_push(struct path_hold *hold, struct rte_mbuf *frame)
{
    path_tag(frame)->next = NULL;
    if (hold->heap) {
        if (hold->count == hold->heap_room) {
            return -EAGAIN;
        }
        heap_push(hold, frame);
    } else if (hold->tail) {
        assert(path_tag(hold->tail)->due_ns <= path_tag(frame)->due_ns);
        path_tag(hold->tail)->next = frame;
        hold->tail = frame;
    } else {
        hold->head = hold->tail = frame;
    }
    hold->count++;
    return 0;
}

struct rte_mbuf *path_hold_head(const struct path_hold *hold)
{
    if (hold->count == 0) {
        return NULL;
    }
    return hold->heap ? hold->heap[0] : hold->head;
}

struct rte_mbuf *path_hold_pop(struct path_hold *hold)
{
    struct rte_mbuf *frame;

    assert(hold->count > 0);
    if (hold->heap) {
        frame = heap_pop(hold);
    } else {
        frame = hold->head;
        hold->head = path_tag(frame)->next;
        hold->tail = hold->head ? hold->tail : NULL;
    }
    hold->count--;
    return frame;
}
