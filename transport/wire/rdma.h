/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdma.h - what two rdma backends say to each other: the offer on TCP, then frames on the queue pair
 *
 * Theory of operation
 *   After WELCOME each end sends one offer over the same TCP connection: its queue pair, its address on the fabric,
 *   its receive slots. From then on everything crosses the queue pair as SENDs of one frame each: a frame header, then
 *   a part of a byte stream of records (RECORDS), or a table of rights (KEYS). A record is four bytes, a message
 *   header (layout.h) and, unless an RDMA WRITE has put the payload into guest memory before, the payload; records
 *   may continue in the next frame.
 *
 * Owner: caller.   Thread: any; pure functions on bytes.   Units: bytes. */
#ifndef APN_WIRE_RDMA_H
#define APN_WIRE_RDMA_H

#include <stddef.h>

#include <apnmig/error.h>

#include "wire/layout.h"

/** bit of hello and welcome features: payload may cross by RDMA WRITE. Bits from 32 on belong to backends. */
#define APN_FEATURE_RDMA (1ull << 32)

enum apn_wire_rdma_type { APN_HS_RDMA_OFFER = 16 };

#define APN_WIRE_OFFER_TEXT 160
struct apn_wire_rdma_offer {
    struct apn_wire_hs_prefix prefix;
    uint32_t code;      /* 0, or positive errno: this end cannot, @text says why */
    uint32_t qpn;       /* queue pair number, 24 bits */
    uint32_t psn;       /* first packet sequence number, 24 bits */
    uint32_t slots;     /* receive slots posted */
    uint32_t slot_bytes;
    uint16_t lid;       /* InfiniBand only */
    uint8_t mtu;        /* enum ibv_mtu of the port: 1..5 = 256..4096 */
    uint8_t link_layer; /* 1 InfiniBand, 2 Ethernet */
    uint8_t reads;      /* RDMA READs this end answers at once; 0: none may come */
    uint8_t reserved[7];
    uint8_t gid[16];
    uint8_t text[APN_WIRE_OFFER_TEXT];
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_rdma_offer) == 224, "rdma offer");

/** struct apn_rdma_offer - the same in host order */
struct apn_rdma_offer {
    int code; /* 0 or -errno */
    uint32_t qpn, psn, slots, slot_bytes;
    uint16_t lid;
    uint8_t mtu, link_layer, reads;
    uint8_t gid[16];
    char text[APN_WIRE_OFFER_TEXT];
};

#define APN_RDMA_SLOTS_MIN      16u
#define APN_RDMA_SLOTS_MAX      4096u
#define APN_RDMA_SLOT_BYTES_MIN 4096u
#define APN_RDMA_SLOT_BYTES_MAX 65536u

void apn_rdma_offer_encode(const struct apn_rdma_offer *offer, struct apn_wire_rdma_offer *out);
/** apn_rdma_offer_decode() - Return: 0; -EBADMSG (check value), -EPROTO (a field; @err names thing, value, limit) */
int apn_rdma_offer_decode(const struct apn_wire_rdma_offer *wire, struct apn_rdma_offer *out, struct apn_error *err);

enum apn_frame_type {
    APN_FRAME_HELLO = 1,   /* the path carries small packets */
    APN_FRAME_PAD = 2,     /* as long as the path MTU: it carries large ones too */
    APN_FRAME_READY = 3,   /* greeting is over, records follow */
    APN_FRAME_KEYS = 4,    /* struct apn_wire_key ... */
    APN_FRAME_RECORDS = 5, /* bytes of the stream of records */
    APN_FRAME_CREDIT = 6,  /* nothing but the numbers in the header */
    APN_FRAME_END = 7,     /* orderly end of this direction */
};

struct apn_wire_frame {
    uint8_t type;
    uint8_t reserved;
    uint16_t sequence; /* of the frame, from 0, wraps: a connection that repeats or skips one is broken */
    uint32_t credit;  /* frames of the peer that have left their slots, cumulative, wraps */
    uint64_t handled; /* records of the peer that are applied, cumulative */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_frame) == 16, "frame header");
#define APN_WIRE_FRAME_BYTES 16u

struct apn_wire_record {
    uint8_t written; /* 1: the payload is in guest memory already */
    uint8_t reserved[3];
    struct apn_wire_header header;
} __attribute__((packed));
#define APN_WIRE_RECORD_BYTES 44u
static_assert(sizeof(struct apn_wire_record) == APN_WIRE_RECORD_BYTES, "record");

/* the right to write one piece of guest memory, for as long as the session lasts; from the source of a postcopy, to read it */
struct apn_wire_key {
    uint64_t offset;  /* within the region */
    uint64_t length;
    uint64_t address; /* what a WRITE to @offset, or a READ of it, names */
    uint32_t rkey;
    uint16_t region;  /* the source's number of it */
    uint16_t reserved;
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_key) == 32, "key");

struct apn_frame {
    uint8_t type;
    uint16_t sequence;
    uint32_t credit;
    uint64_t handled;
};
void apn_frame_encode(const struct apn_frame *frame, uint8_t out[APN_WIRE_FRAME_BYTES]);
/** apn_frame_decode() - @bytes: length of the whole frame. Return: 0, -EPROTO and @err. */
int apn_frame_decode(const uint8_t *in, size_t bytes, struct apn_frame *frame, struct apn_error *err);

struct apn_key {
    uint16_t region;
    uint32_t rkey;
    uint64_t offset, length, address;
};
void apn_key_encode(const struct apn_key *key, uint8_t out[sizeof(struct apn_wire_key)]);
/** apn_key_decode() - Return: 0, -EPROTO and @err (region, alignment, overflow) */
int apn_key_decode(const uint8_t in[sizeof(struct apn_wire_key)], struct apn_key *key, struct apn_error *err);

#endif
