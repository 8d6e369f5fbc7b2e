/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stream.c - see stream.h */
#include "engine/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <apnmig/backend.h>

int apn_stream_init(struct apn_stream_tx *tx, struct apn_stream_rx *rx)
{
    memset(tx, 0, sizeof(*tx));
    memset(rx, 0, sizeof(*rx));
    tx->ring = malloc(APN_STREAM_CAPACITY);
    rx->ring = malloc(APN_STREAM_CAPACITY);
    return tx->ring && rx->ring ? 0 : -ENOMEM;
}

void apn_stream_done(struct apn_stream_tx *tx, struct apn_stream_rx *rx)
{
    free(tx->ring);
    free(rx->ring);
    tx->ring = rx->ring = NULL;
}

static size_t min_size(uint64_t a, uint64_t b)
{
    return (size_t)(a < b ? a : b);
}

/* copies between a ring position and flat memory, in at most two pieces */
static void ring_put(uint8_t *ring, uint64_t at, const void *bytes, size_t length)
{
    size_t first = min_size(length, APN_STREAM_CAPACITY - at % APN_STREAM_CAPACITY);

    memcpy(ring + at % APN_STREAM_CAPACITY, bytes, first);
    memcpy(ring, (const uint8_t *)bytes + first, length - first);
}

static void ring_get(const uint8_t *ring, uint64_t at, void *bytes, size_t length)
{
    size_t first = min_size(length, APN_STREAM_CAPACITY - at % APN_STREAM_CAPACITY);

    memcpy(bytes, ring + at % APN_STREAM_CAPACITY, first);
    memcpy((uint8_t *)bytes + first, ring, length - first);
}

size_t apn_stream_tx_room(const struct apn_stream_tx *tx)
{
    uint64_t floor = tx->peer_consumed < tx->applied ? tx->peer_consumed : tx->applied;

    return (size_t)(floor + APN_STREAM_CAPACITY - tx->written);
}

size_t apn_stream_tx_write(struct apn_stream_tx *tx, const void *bytes, size_t length)
{
    size_t n = min_size(length, apn_stream_tx_room(tx));

    ring_put(tx->ring, tx->written, bytes, n);
    tx->written += n;
    return n;
}

int apn_stream_tx_gate(struct apn_stream_tx *tx, uint64_t fence)
{
    if (tx->gates && tx->gate[tx->gates - 1].from == tx->written) {
        tx->gate[tx->gates - 1].fence = fence; /* no byte between the two fences */
        return 0;
    }
    if (tx->gates == APN_STREAM_GATES_MAX) {
        return -ENOBUFS;
    }
    tx->gate[tx->gates].from = tx->written;
    tx->gate[tx->gates].fence = fence;
    tx->gates++;
    return 0;
}

size_t apn_stream_tx_next(struct apn_stream_tx *tx, uint64_t *from, uint64_t *fence, const void **bytes)
{
    uint64_t end = tx->written;
    size_t n;

    /* gate[0] stays as the one in force for `posted` once posted has reached it */
    while (tx->gates > 1 && tx->gate[1].from <= tx->posted) {
        memmove(&tx->gate[0], &tx->gate[1], --tx->gates * sizeof(tx->gate[0]));
    }
    *fence = 0;
    if (tx->gates && tx->gate[0].from <= tx->posted) {
        *fence = tx->gate[0].fence;
        end = tx->gates > 1 ? tx->gate[1].from : end;
    } else if (tx->gates) {
        end = tx->gate[0].from;
    }
    n = min_size(end - tx->posted, APN_STREAM_CHUNK_MAX);
    n = min_size(n, APN_STREAM_CAPACITY - tx->posted % APN_STREAM_CAPACITY);
    *from = tx->posted;
    *bytes = apn_stream_tx_at(tx, tx->posted);
    tx->posted += n;
    return n;
}

const void *apn_stream_tx_at(const struct apn_stream_tx *tx, uint64_t from)
{
    return tx->ring + from % APN_STREAM_CAPACITY;
}

int apn_stream_rx_put(struct apn_stream_rx *rx, uint64_t from, uint64_t fence, const void *bytes, size_t length)
{
    if (from + length <= rx->received) {
        return 0;
    }
    if (from != rx->received || rx->received + length > rx->consumed + APN_STREAM_CAPACITY) {
        return -EPROTO;
    }
    if (fence > rx->fence_done && (!rx->gates || rx->gate[rx->gates - 1].fence < fence)) {
        if (rx->gates == APN_STREAM_GATES_MAX) {
            return -EPROTO;
        }
        rx->gate[rx->gates].from = from;
        rx->gate[rx->gates].fence = fence;
        rx->gates++;
    }
    ring_put(rx->ring, from, bytes, length);
    rx->received += length;
    return 0;
}

void apn_stream_rx_fence_done(struct apn_stream_rx *rx, uint64_t fence)
{
    rx->fence_done = fence > rx->fence_done ? fence : rx->fence_done;
    while (rx->gates && rx->gate[0].fence <= rx->fence_done) {
        memmove(&rx->gate[0], &rx->gate[1], --rx->gates * sizeof(rx->gate[0]));
    }
}

uint64_t apn_stream_rx_readable(const struct apn_stream_rx *rx)
{
    uint64_t end = rx->gates ? rx->gate[0].from : rx->received;

    return end - rx->consumed;
}

size_t apn_stream_rx_read(struct apn_stream_rx *rx, void *bytes, size_t length)
{
    size_t n = min_size(length, apn_stream_rx_readable(rx));

    ring_get(rx->ring, rx->consumed, bytes, n);
    rx->consumed += n;
    return n;
}
