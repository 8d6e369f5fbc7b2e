/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wire.h - the bytes of a datagram; docs/datagram.md has sequences and reasons
 *
 * Theory of operation
 *   A datagram is a header, records, and what is behind the records: the payload of the last one, or padding. The check value
 *   covers header and records, never payload (UDP's own checksum does that). Little-endian, type 0 invalid, reserved = 0
 *   and checked, as in wire/layout.h.
 *
 * Owner: caller.   Thread: any; pure functions on bytes.   Units: bytes, us where named. */
#ifndef APN_DATAGRAM_WIRE_H
#define APN_DATAGRAM_WIRE_H

#include <assert.h>
#include <stddef.h>

#include <apnmig/backend.h>

#include "wire/layout.h"

enum apn_dg_type {
    APN_DG_OPEN = 1,      /* connecting side: HELLO. Answered without keeping anything */
    APN_DG_CHALLENGE = 2, /* CHALLENGE or REJECT, and a cookie */
    APN_DG_PROVE = 3,     /* the cookie, HELLO again, PROOF; padded, to see what the path carries */
    APN_DG_WELCOME = 4,   /* WELCOME or REJECT */
    APN_DG_GONE = 5,      /* nobody here knows this connection (number: its id as it was used) */
    APN_DG_LANE = 6,      /* records of a lane that is up */
};

enum apn_dg_flag {
    APN_DG_COUNTED = 1u << 0, /* has fragments: number is its own, and it will be acknowledged */
    APN_DG_ASKS = 1u << 1,    /* an ACK is wanted at once */
};

struct apn_wire_dg {
    uint8_t type;
    uint8_t flags;        /* LANE only */
    uint16_t record_bytes;
    uint32_t check;       /* CRC-32C of header, with this 0, and records */
    uint64_t connection;  /* id that the receiver of this datagram chose; 0 in OPEN and PROVE */
    uint64_t number;      /* LANE: of this datagram when COUNTED, else of the next counted one */
    uint32_t age;         /* LANE: number - age = the oldest that still matters to the sender */
    uint32_t stamp_us;    /* LANE: sender's clock, echoed in ACK */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg) == 32, "datagram header");
#define APN_DG_HEADER_BYTES 32u

#define APN_DG_COOKIE_BYTES 16u

struct apn_wire_dg_open {
    uint64_t id;           /* what the answers shall carry as connection */
    uint32_t datagram_max; /* largest datagram that this end can receive */
    uint32_t reserved;
    struct apn_wire_hello hello;
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg_open) == 128, "open");

struct apn_wire_dg_challenge {
    uint32_t stamp; /* listener's time of the cookie, to be given back */
    uint32_t reserved;
    uint8_t cookie[APN_DG_COOKIE_BYTES];
    /* struct apn_wire_challenge or apn_wire_reject follows */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg_challenge) == 24, "challenge");

struct apn_wire_dg_prove {
    uint64_t id;
    uint32_t datagram_max;
    uint32_t stamp;
    uint8_t cookie[APN_DG_COOKIE_BYTES];
    struct apn_wire_hello hello;
    struct apn_wire_proof proof;
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg_prove) == 192, "prove");

struct apn_wire_dg_welcome {
    uint64_t id;            /* what the connecting side shall send as connection; 0 with REJECT */
    uint32_t datagram_max;  /* largest datagram either side may send: both ends' limits, and what arrived */
    uint32_t staging_bytes; /* room for payload that is not guest memory, either direction */
    /* struct apn_wire_welcome or apn_wire_reject follows */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg_welcome) == 16, "welcome");

enum apn_dg_record {
    APN_DG_ACK = 1,
    APN_DG_PART = 2,  /* a part of a message, its payload within the records */
    APN_DG_BULK = 3,  /* the same, payload behind the records; the last record of a datagram */
    APN_DG_CLOSE = 4, /* this end is gone */
};

#define APN_DG_GAPS_MAX 128u

struct apn_wire_dg_gap {
    uint32_t start; /* from base */
    uint32_t count;
} __attribute__((packed));

struct apn_wire_dg_ack {
    uint8_t kind;
    uint8_t gaps;       /* struct apn_wire_dg_gap that follow, ascending, apart */
    uint16_t reserved;
    uint32_t hold_us;   /* since the datagram with echo_us arrived */
    uint32_t echo_us;
    uint32_t marked;    /* datagrams that came with "congestion experienced", cumulative, wraps */
    uint64_t base;      /* every number below is done with */
    uint32_t known;     /* numbers base..base+known-1 are described: missing when in a gap, else arrived */
    uint32_t top;       /* base + top is the first number that was never heard of; >= known */
    uint64_t delivered; /* messages handed over, cumulative */
    uint64_t released;  /* staging: everything up to this position is free again */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg_ack) == 48, "ack");

struct apn_wire_dg_part {
    uint8_t kind;
    uint8_t reserved;
    uint16_t part;     /* 0.. */
    uint16_t parts;    /* of the message */
    uint16_t reserved2;
    uint32_t message;  /* low bits of its number on this connection and direction, from 0 */
    uint32_t piece;    /* payload bytes of each part, the last one's may be fewer */
    uint32_t staged;   /* low bits of the position in the receiver's staging; 0 for extents */
    struct apn_wire_header header;
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg_part) == 60, "part");
#define APN_DG_PART_BYTES 60u
#define APN_DG_PARTS_MAX  256u

struct apn_wire_dg_close {
    uint8_t kind;
    uint8_t reserved[3];
    uint32_t code; /* positive errno */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_dg_close) == 8, "close");
#define APN_DG_CLOSE_BYTES 8u

/* ---- the same in host order -------------------------------------------------- */

struct apn_dg_header {
    uint8_t type, flags;
    uint16_t record_bytes;
    uint64_t connection, number;
    uint32_t age, stamp_us;
};

/** apn_dg_header_seal() - write @h in front of its records, which are at @out + APN_DG_HEADER_BYTES already, and the check value */
void apn_dg_header_seal(const struct apn_dg_header *h, uint8_t *out);
/** apn_dg_header_decode() - Return: 0; -EBADMSG: not ours or damaged (nobody is to blame: drop it); @bytes: what is there of it,
 * records included */
int apn_dg_header_decode(const uint8_t *in, size_t bytes, struct apn_dg_header *h);

struct apn_dg_gap {
    uint32_t start, count;
};
struct apn_dg_ack {
    uint32_t hold_us, echo_us, marked, known, top;
    uint64_t base, delivered, released;
    unsigned gaps;
    struct apn_dg_gap gap[APN_DG_GAPS_MAX];
};
/** apn_dg_ack_encode() - Return: bytes written, as many gaps as fit in @room (the rest becomes unknown); 0: not even the record does */
size_t apn_dg_ack_encode(const struct apn_dg_ack *ack, uint8_t *out, size_t room);

/**
 * struct apn_dg_part - one part of a message
 * @header: the message's, as on the wire (@msg is it decoded, payload NULL)
 * @offset, @bytes: of the part in the message's payload
 * @inlined: its bytes, when kind is PART
 */
struct apn_dg_part {
    uint8_t kind;
    uint16_t part, parts;
    uint32_t message, piece, staged;
    const uint8_t *header;
    struct apn_msg msg;
    uint32_t offset, bytes;
    const uint8_t *inlined;
};
/** apn_dg_part_encode() - @out gets APN_DG_PART_BYTES; inlined payload is the caller's to copy behind */
void apn_dg_part_encode(const struct apn_dg_part *part, uint8_t out[APN_DG_PART_BYTES]);
void apn_dg_close_encode(int code, uint8_t out[APN_DG_CLOSE_BYTES]);

/** struct apn_dg_reader - walks the records of a LANE datagram whose header was decoded */
struct apn_dg_reader {
    const uint8_t *at;
    size_t left;      /* of the records */
    size_t behind;    /* bytes behind the records */
};
struct apn_dg_item {
    enum apn_dg_record kind;
    struct apn_dg_ack ack;
    struct apn_dg_part part;
    int close_code; /* -errno */
};
void apn_dg_reader_init(struct apn_dg_reader *r, const uint8_t *datagram, const struct apn_dg_header *h, size_t total_bytes);
/** apn_dg_reader_next() - Return: 1; 0 at the end; -EPROTO and @err: the peer does not keep to the protocol */
int apn_dg_reader_next(struct apn_dg_reader *r, struct apn_dg_item *out, struct apn_error *err);

/** apn_dg_expand() - the number nearest to @near whose low 32 bits are @low */
static inline uint64_t apn_dg_expand(uint32_t low, uint64_t near)
{
    return near + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)near);
}

#endif
