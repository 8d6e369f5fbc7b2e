/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive.h - parts of messages into guest RAM as they come, messages out in order; no I/O of its own
 *
 * Theory of operation
 *   Every part names message, region and offset, so contents are placed on arrival, in any order. Events come in the order of the
 *   messages: one is delivered when it and all before it have landed.
 *   A lost part comes later, perhaps after a newer message wrote the same pages; then the newer one stays. So messages
 *   that have landed, wholly or in part, ahead of undelivered ones are kept in an index by place, and what an older part has in
 *   common with a newer one is left out.
 *   ZERO extents are cleared by the engine, after poll() has returned them. When a newer message has contents in that
 *   place already, these are saved before the event is given out, nothing else is given out with it, and they are put back when
 *   the next poll begins.
 *   Payload that is not guest memory lands in a staging ring at the position that the sender chose; the sender knows how much of the
 *   ring is free.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: now_ns from the caller.   Units: bytes, ns; counts run free. */
#ifndef APN_DATAGRAM_RECEIVE_H
#define APN_DATAGRAM_RECEIVE_H

#include "backend/datagram/send.h"

#define APN_DG_NUMBERS       (2 * APN_DG_PACKETS) /* datagram numbers remembered above base */
#define APN_DG_INDEX         4096u /* buckets; power of two */
#define APN_DG_INDEX_SHIFT   18u   /* a bucket is 256 KiB of a region: an extent starts in one and ends in it or the next */
#define APN_DG_ACK_BYTES     (256u << 10) /* acknowledged at least this often, or */
#define APN_DG_ACK_DATAGRAMS 32u
#define APN_DG_ACK_NS        1000000ull
#define APN_DG_STAGING_MIN   (1u << 20)
#define APN_DG_STAGING_MAX   (64u << 20)

struct apn_dg_incoming {
    uint64_t landed[APN_DG_PARTS_MAX / 64];
    struct apn_msg msg;
    uint8_t *to;
    uint64_t staged_end;
    uint32_t piece;
    uint16_t parts, landed_parts; /* parts 0: nothing of it came yet */
    uint32_t check;               /* of its header: all its parts say the same */
    uint32_t newer, older;        /* index: neighbours in the bucket, slot + 1; 0 = none */
    uint32_t bucket;
    bool indexed;
};

/** struct apn_dg_payload - where the bytes of a part are: @head first, the rest is asked of the port */
struct apn_dg_payload {
    const uint8_t *head;
    uint32_t head_bytes;
    struct apn_port *port;
    const struct apn_port_arrival *arrival;
};

struct apn_dg_receiver {
    const struct apn_sink *sink;
    struct apn_dg_incoming *slot; /* ring of APN_DG_MESSAGES */
    uint32_t *bucket;             /* APN_DG_INDEX, slot + 1 */
    uint64_t delivered;           /* messages given out */
    uint64_t highest;             /* 1 + newest message with contents in guest RAM */
    uint8_t *staging;
    uint32_t staging_bytes;
    uint64_t released, releasing; /* staging positions: free; free from the next poll on */
    uint64_t *number;             /* bit ring of APN_DG_NUMBERS */
    uint64_t base, top;           /* datagram numbers: done with below; first one never heard of */
    uint8_t *scratch;             /* APN_EXTENT_MAX: payload with holes to come */
    uint8_t *saved;               /* APN_EXTENT_MAX */
    struct apn_msg held;          /* the ZERO extent whose newer contents are saved; span 0: none */
    uint64_t held_number;
    /* acknowledging */
    bool urgent;
    uint32_t unacked, unacked_bytes;
    uint64_t unacked_ns;          /* when the oldest of them came */
    uint32_t stamp_us;
    uint64_t stamp_ns;            /* when it came */
    bool has_stamp;
    uint64_t told_delivered, told_released;
    uint32_t marked;
    uint64_t duplicates, late_bytes; /* datagrams that came again; bytes left out because newer ones were there */
};

/** apn_dg_receiver_init() - @sink is borrowed; @staging_bytes a power of two. Return: 0, -ENOMEM (then _done is still needed) */
int apn_dg_receiver_init(struct apn_dg_receiver *rx, const struct apn_sink *sink, uint32_t staging_bytes);
void apn_dg_receiver_done(struct apn_dg_receiver *rx);

/** apn_dg_receiver_begin() - a poll begins: the engine has done what the last one's events said */
void apn_dg_receiver_begin(struct apn_dg_receiver *rx);

/** apn_dg_receiver_heard() - header of a LANE datagram of @bytes, arrived now
 * Return: 1: its parts are wanted; 0: they came before, or cannot be remembered (ACKs in it count all the same); -EPROTO and @err. */
int apn_dg_receiver_heard(struct apn_dg_receiver *rx, const struct apn_dg_header *h, uint32_t bytes, uint64_t now_ns,
                          struct apn_error *err);
/** apn_dg_receiver_part() - Return: 1: landed, or known already; 0: not now (the datagram must count as lost); -EPROTO and @err. */
int apn_dg_receiver_part(struct apn_dg_receiver *rx, const struct apn_dg_part *part, const struct apn_dg_payload *payload,
                         struct apn_error *err);
/** apn_dg_receiver_took() - all parts of a counted datagram have landed: acknowledge it */
void apn_dg_receiver_took(struct apn_dg_receiver *rx, uint64_t number);

/** apn_dg_receiver_next() - the next message in order. Return: 1 and @msg; 0: not there yet, or not in this poll any more */
int apn_dg_receiver_next(struct apn_dg_receiver *rx, struct apn_msg *msg);

/** apn_dg_receiver_ack_at() - when an acknowledgement is due, 0 = now, UINT64_MAX = not at all */
uint64_t apn_dg_receiver_ack_at(const struct apn_dg_receiver *rx);
/** apn_dg_receiver_ack() - what to tell; it counts as told */
void apn_dg_receiver_ack(struct apn_dg_receiver *rx, struct apn_dg_ack *out, uint64_t now_ns);

#endif
