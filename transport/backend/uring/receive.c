/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive.c - see receive.h */
#include "backend/uring/receive.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

static_assert(APN_URING_STAGING_BYTES >=
                  APN_WIRE_HEADER_BYTES + APN_CONTROL_MAX + APN_URING_WITHOUT,
              "staging");
static_assert(APN_CONTROL_MAX >= APN_STREAM_CHUNK_MAX, "stream chunks are staged too");

int apn_uring_receiver_init(struct apn_uring_receiver *rx, const struct apn_sink *sink)
{
    *rx = (struct apn_uring_receiver){.sink = sink, .missing = APN_WIRE_HEADER_BYTES};
    rx->staging =
        calloc(1, APN_URING_STAGING_BYTES); /* zeroed: valgrind cannot see the ring write */
    return rx->staging ? 0 : -ENOMEM;
}

void apn_uring_receiver_done(struct apn_uring_receiver *rx)
{
    free(rx->staging);
    rx->staging = NULL;
}

/* where an extent goes, and the part of its payload that is staged already */
static int begin_extent(struct apn_uring_receiver *rx, const struct apn_msg *msg,
                        struct apn_error *err)
{
    uint8_t *guest = rx->sink->resolve
                         ? rx->sink->resolve(rx->sink->opaque, msg->region, msg->offset, msg->span)
                         : NULL;
    size_t staged = rx->fill - rx->head;

    if (!guest) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE,
                             "extent of region %u, offset %" PRIu64 ", %" PRIu32
                             " bytes: not memory that the peer may write",
                             msg->region, msg->offset, msg->span);
    }
    staged = staged < msg->bytes ? staged : msg->bytes;
    memcpy(guest, rx->staging + rx->head, staged);
    rx->head += staged;
    rx->extent = *msg;
    rx->rest = guest + staged;
    rx->rest_bytes = msg->bytes - staged;
    rx->extent_done = rx->rest_bytes == 0;
    rx->after_extent = msg->bytes > 0;
    return 0;
}

static int take_extent(struct apn_uring_receiver *rx, struct apn_msg *msg)
{
    if (!rx->extent_done) {
        return 0;
    }
    rx->extent_done = false;
    *msg = rx->extent;
    rx->messages++;
    return 1;
}

int apn_uring_receiver_next(struct apn_uring_receiver *rx, struct apn_msg *msg,
                            struct apn_error *err)
{
    size_t arrived = rx->fill - rx->head;
    int ret;

    if (rx->rest_bytes || rx->extent_done) {
        return take_extent(rx, msg);
    }
    if (arrived < APN_WIRE_HEADER_BYTES) {
        rx->missing = APN_WIRE_HEADER_BYTES - arrived;
        return 0;
    }
    ret = apn_msg_decode(rx->staging + rx->head, msg, err);
    if (ret) {
        return ret;
    }
    rx->after_extent = false;
    if (msg->type == APN_MSG_EXTENT) {
        rx->head += APN_WIRE_HEADER_BYTES;
        ret = begin_extent(rx, msg, err);
        return ret ? ret : take_extent(rx, msg);
    }
    if (arrived < APN_WIRE_HEADER_BYTES + msg->bytes) {
        rx->missing = APN_WIRE_HEADER_BYTES + msg->bytes - arrived;
        return 0;
    }
    msg->payload = msg->bytes ? rx->staging + rx->head + APN_WIRE_HEADER_BYTES : NULL;
    rx->head += APN_WIRE_HEADER_BYTES + msg->bytes;
    rx->messages++;
    return 1;
}

unsigned apn_uring_receiver_targets(struct apn_uring_receiver *rx, struct iovec iov[2])
{
    size_t want = APN_URING_BEHIND_EXTENT;
    unsigned n = 0;

    if (rx->head) {
        memmove(rx->staging, rx->staging + rx->head, rx->fill - rx->head);
        rx->fill -= rx->head;
        rx->head = 0;
    }
    if (rx->rest_bytes) {
        assert(rx->fill == 0);
        iov[n++] = (struct iovec){rx->rest, rx->rest_bytes};
    } else {
        want = rx->after_extent ? APN_URING_BEHIND_EXTENT : APN_URING_WITHOUT;
        want = want > rx->missing ? want : rx->missing;
    }
    assert(want <= APN_URING_STAGING_BYTES - rx->fill);
    iov[n++] = (struct iovec){rx->staging + rx->fill, want};
    return n;
}

void apn_uring_receiver_took(struct apn_uring_receiver *rx, size_t bytes)
{
    size_t direct = bytes < rx->rest_bytes ? bytes : rx->rest_bytes;

    if (direct) {
        rx->rest += direct;
        rx->rest_bytes -= direct;
        rx->extent_done = rx->rest_bytes == 0;
    }
    rx->fill += bytes - direct;
    assert(rx->fill <= APN_URING_STAGING_BYTES);
}
