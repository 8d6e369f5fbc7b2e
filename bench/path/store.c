/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.c - slot stacks and the frame queue; see store.h */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* class c holds the bytes class_start[c]..class_start[c + 1] of a frame */
static const uint32_t class_start[PATH_STORE_CLASSES + 1] = {0, 2048, 16384, PATH_FRAME_MAX};
/* no frame that reaches class c is smaller than this, so held_bytes / this many slots suffice */
static const uint32_t frame_least[PATH_STORE_CLASSES] = {512, 2048, 16384};
#define SLOTS_SPARE  256
#define WARM_BYTES   (UINT64_C(4) << 20) /* touched at start, per class: the usual working set */
#define HELD_MAX     (UINT64_C(8) << 30)

static int slots_init(struct path_slots *slots, uint32_t class_number, uint64_t held_bytes)
{
    uint64_t bytes, warm;

    slots->slot_bytes = class_start[class_number + 1] - class_start[class_number];
    slots->count = (uint32_t)(held_bytes / frame_least[class_number]) + SLOTS_SPARE;
    bytes = (uint64_t)slots->count * slots->slot_bytes;
    slots->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots->memory == MAP_FAILED) {
        slots->memory = NULL;
        return -ENOMEM;
    }
    slots->free = calloc(slots->count, sizeof(*slots->free));
    if (!slots->free) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < slots->count; i++) {
        slots->free[i] = slots->count - 1 - i; /* slot 0 on top */
    }
    slots->free_count = slots->count;
    warm = bytes < WARM_BYTES ? bytes : WARM_BYTES;
    memset(slots->memory, 0, warm);
    return 0;
}

int path_store_init(struct path_store *store, uint64_t held_bytes)
{
    memset(store, 0, sizeof(*store));
    if (held_bytes > HELD_MAX) {
        return -ENOMEM;
    }
    for (uint32_t c = 0; c < PATH_STORE_CLASSES; c++) {
        if (slots_init(&store->slots[c], c, held_bytes) < 0) {
            goto fail;
        }
    }
    store->fifo_size = 1;
    while (store->fifo_size < store->slots[0].count) {
        store->fifo_size *= 2;
    }
    store->fifo = calloc(store->fifo_size, sizeof(*store->fifo));
    if (!store->fifo) {
        goto fail;
    }
    return 0;
fail:
    path_store_done(store);
    return -ENOMEM;
}

void path_store_done(struct path_store *store)
{
    for (int c = 0; c < PATH_STORE_CLASSES; c++) {
        struct path_slots *slots = &store->slots[c];

        if (slots->memory) {
            munmap(slots->memory, (size_t)slots->count * slots->slot_bytes);
        }
        free(slots->free);
    }
    free(store->fifo);
    memset(store, 0, sizeof(*store));
}

int path_store_reserve(struct path_store *store, struct path_frame *frame)
{
    for (int c = 0; c < PATH_STORE_CLASSES; c++) {
        struct path_slots *slots = &store->slots[c];

        if (frame->slot[c] != PATH_STORE_NONE) {
            continue;
        }
        if (slots->free_count == 0) {
            return -EAGAIN;
        }
        frame->slot[c] = slots->free[--slots->free_count];
    }
    return 0;
}

int path_store_iov(const struct path_store *store, const struct path_frame *frame, uint32_t bytes,
                   struct iovec iov[PATH_STORE_CLASSES])
{
    int n = 0;

    assert(bytes <= PATH_FRAME_MAX);
    for (int c = 0; c < PATH_STORE_CLASSES && (c == 0 || bytes > class_start[c]); c++) {
        const struct path_slots *slots = &store->slots[c];
        uint32_t here = bytes - class_start[c];

        assert(frame->slot[c] < slots->count);
        iov[n].iov_base = slots->memory + (size_t)frame->slot[c] * slots->slot_bytes;
        iov[n].iov_len = here < slots->slot_bytes ? here : slots->slot_bytes;
        n++;
    }
    return n;
}

int path_store_push(struct path_store *store, struct path_frame *frame)
{
    struct path_frame *entry;

    if (store->tail - store->head == store->fifo_size) {
        return -EAGAIN;
    }
    entry = &store->fifo[store->tail & (store->fifo_size - 1)];
    *entry = *frame;
    store->tail++;
    for (int c = 0; c < PATH_STORE_CLASSES; c++) {
        if (c == 0 || frame->bytes > class_start[c]) {
            frame->slot[c] = PATH_STORE_NONE;
        } else {
            entry->slot[c] = PATH_STORE_NONE;
        }
    }
    return 0;
}

const struct path_frame *path_store_head(const struct path_store *store)
{
    if (store->head == store->tail) {
        return NULL;
    }
    return &store->fifo[store->head & (store->fifo_size - 1)];
}

struct path_frame path_store_pop(struct path_store *store)
{
    assert(store->head != store->tail);
    return store->fifo[store->head++ & (store->fifo_size - 1)];
}

void path_store_release(struct path_store *store, const struct path_frame *frame)
{
    for (int c = 0; c < PATH_STORE_CLASSES; c++) {
        struct path_slots *slots = &store->slots[c];

        if (frame->slot[c] != PATH_STORE_NONE) {
            assert(slots->free_count < slots->count);
            slots->free[slots->free_count++] = frame->slot[c];
        }
    }
}
