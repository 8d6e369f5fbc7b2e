/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive.h - from a stream of bytes to messages, payload straight into guest RAM; no I/O of its
 * own
 *
 * Theory of operation
 *   Bytes land in two places: the rest of the extent that is arriving (guest RAM), and a staging
 * buffer behind it. While extents with payload arrive the staging part is kept small, because
 * payload that lands there is copied a second time; else it is larger, because headers come in
 * crowds (zero pages).
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: none.   Units: bytes. */
#ifndef APN_BACKEND_URING_RECEIVE_H
#define APN_BACKEND_URING_RECEIVE_H

#include <sys/uio.h>

#include <apnmig/backend.h>

#define APN_URING_STAGING_BYTES                                                                    \
    (128u << 10) /* holds the longest control message and what arrives with it */
#define APN_URING_BEHIND_EXTENT (4u << 10)  /* read behind an extent's payload, or next */
#define APN_URING_WITHOUT       (16u << 10) /* read when the last message carried no guest pages */

struct apn_uring_receiver {
    const struct apn_sink *sink;
    uint8_t *staging;
    size_t head, fill;     /* [head, fill) of staging has arrived and is not parsed */
    size_t missing;        /* bytes that the message at head still lacks */
    struct apn_msg extent; /* the one whose payload is arriving, while rest_bytes > 0 */
    uint8_t *rest;         /* where it goes on in guest RAM */
    size_t rest_bytes;
    bool after_extent; /* the last message carried guest pages: so will the next, probably */
    bool extent_done;  /* its payload is complete, the event is due */
    uint64_t messages;
};

/** apn_uring_receiver_init() - @sink is borrowed. Return: 0, -ENOMEM. */
int apn_uring_receiver_init(struct apn_uring_receiver *rx, const struct apn_sink *sink);
void apn_uring_receiver_done(struct apn_uring_receiver *rx);

/** apn_uring_receiver_next() - take one message out of what has arrived; its payload is valid until
 * _targets() Return: 1; 0 when more bytes are needed; -EBADMSG, -EPROTO (then the stream is dead).
 */
int apn_uring_receiver_next(struct apn_uring_receiver *rx, struct apn_msg *msg,
                            struct apn_error *err);

/** apn_uring_receiver_targets() - where the next bytes go; call after _next() returned 0. Return:
 * entries of @iov, 1..2. */
unsigned apn_uring_receiver_targets(struct apn_uring_receiver *rx, struct iovec iov[2]);
/** apn_uring_receiver_took() - @bytes have landed in the targets, in order */
void apn_uring_receiver_took(struct apn_uring_receiver *rx, size_t bytes);

#endif
