/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stream.h - the byte stream beside the pages: kept until the peer has it, delivered behind its fences
 * Owner: embedded in struct apn_session.   Thread: under the session lock.   Units: bytes since the stream's start.
 *
 * Sending half:  applied <= posted <= written <= consumed_by_peer + capacity. Bytes from `applied` on stay in the ring for replay.
 * Receiving half: consumed <= readable <= received <= consumed + capacity. A byte is readable when every fence
 * that was sent before it is complete (traps: device state must not be loaded before its memory). */
#ifndef APN_ENGINE_STREAM_H
#define APN_ENGINE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APN_STREAM_CAPACITY (8u << 20)
#define APN_STREAM_GATES_MAX 64u /* fences with stream bytes behind them and not complete */

struct apn_stream_tx {
    uint8_t *ring;
    uint64_t written, posted, applied, peer_consumed;
    uint32_t gates;
    struct { uint64_t from; uint64_t fence; } gate[APN_STREAM_GATES_MAX]; /* not yet fully posted */
};

struct apn_stream_rx {
    uint8_t *ring;
    uint64_t received, consumed, reported;
    uint64_t fence_done; /* every fence up to this id is complete */
    uint32_t gates;
    struct { uint64_t from; uint64_t fence; } gate[APN_STREAM_GATES_MAX];
};

int apn_stream_init(struct apn_stream_tx *tx, struct apn_stream_rx *rx);
void apn_stream_done(struct apn_stream_tx *tx, struct apn_stream_rx *rx);

/** apn_stream_tx_room() - bytes that may be written now */
size_t apn_stream_tx_room(const struct apn_stream_tx *tx);
size_t apn_stream_tx_write(struct apn_stream_tx *tx, const void *bytes, size_t length);
/** apn_stream_tx_gate() - bytes written from now on wait for fence @fence. Return: 0 or -ENOBUFS. */
int apn_stream_tx_gate(struct apn_stream_tx *tx, uint64_t fence);
/** apn_stream_tx_next() - the next chunk to post: contiguous in the ring, one fence id
 * Return: its length (0 none); *from, *fence and *bytes describe it. Advances `posted`. */
size_t apn_stream_tx_next(struct apn_stream_tx *tx, uint64_t *from, uint64_t *fence, const void **bytes);
/** apn_stream_tx_at() - address of stream position @from, for replay */
const void *apn_stream_tx_at(const struct apn_stream_tx *tx, uint64_t from);

/** apn_stream_rx_put() - a chunk arrived
 * Return: 0 (also for a repeated chunk), -EPROTO when it leaves a hole or overruns the buffer. */
int apn_stream_rx_put(struct apn_stream_rx *rx, uint64_t from, uint64_t fence, const void *bytes, size_t length);
void apn_stream_rx_fence_done(struct apn_stream_rx *rx, uint64_t fence);
uint64_t apn_stream_rx_readable(const struct apn_stream_rx *rx); /* bytes */
size_t apn_stream_rx_read(struct apn_stream_rx *rx, void *bytes, size_t length);

#endif
