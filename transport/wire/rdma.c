/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdma.c - see rdma.h; everything from a peer is checked here field by field */
#include "wire/rdma.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include <apnmig/region.h>

#include "wire/codec.h"

#define NUMBER_MAX 0xffffffu /* queue pair and packet numbers have 24 bits */

static int reject(struct apn_error *err, const char *what, uint64_t value, uint64_t min, uint64_t max)
{
    return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "%s %" PRIu64 ", must be %" PRIu64 "..%" PRIu64, what, value, min,
                         max);
}

static uint32_t offer_check(const struct apn_wire_rdma_offer *wire)
{
    struct apn_wire_rdma_offer copy = *wire;

    copy.prefix.check = 0;
    return apn_crc32c(0, &copy, sizeof(copy));
}

void apn_rdma_offer_encode(const struct apn_rdma_offer *offer, struct apn_wire_rdma_offer *out)
{
    *out = (struct apn_wire_rdma_offer){
        .prefix = {.type = htole16(APN_HS_RDMA_OFFER), .length = htole16(sizeof(*out))},
        .code = htole32((uint32_t)-offer->code),
        .qpn = htole32(offer->qpn),
        .psn = htole32(offer->psn),
        .slots = htole32(offer->slots),
        .slot_bytes = htole32(offer->slot_bytes),
        .lid = htole16(offer->lid),
        .mtu = offer->mtu,
        .link_layer = offer->link_layer,
        .reads = offer->reads,
    };
    memcpy(out->prefix.magic, APN_WIRE_MAGIC, sizeof(out->prefix.magic));
    memcpy(out->gid, offer->gid, sizeof(out->gid));
    memcpy(out->text, offer->text, strnlen(offer->text, sizeof(out->text) - 1));
    out->prefix.check = htole32(offer_check(out));
}

static int check_offer(const struct apn_rdma_offer *o, struct apn_error *err)
{
    if (!o->qpn || o->qpn > NUMBER_MAX) {
        return reject(err, "offer: queue pair", o->qpn, 1, NUMBER_MAX);
    }
    if (o->psn > NUMBER_MAX) {
        return reject(err, "offer: packet number", o->psn, 0, NUMBER_MAX);
    }
    if (o->slots < APN_RDMA_SLOTS_MIN || o->slots > APN_RDMA_SLOTS_MAX) {
        return reject(err, "offer: slots", o->slots, APN_RDMA_SLOTS_MIN, APN_RDMA_SLOTS_MAX);
    }
    if (o->slot_bytes < APN_RDMA_SLOT_BYTES_MIN || o->slot_bytes > APN_RDMA_SLOT_BYTES_MAX) {
        return reject(err, "offer: slot bytes", o->slot_bytes, APN_RDMA_SLOT_BYTES_MIN, APN_RDMA_SLOT_BYTES_MAX);
    }
    if (o->mtu < 1 || o->mtu > 5) {
        return reject(err, "offer: mtu code", o->mtu, 1, 5);
    }
    if (o->link_layer < 1 || o->link_layer > 2) {
        return reject(err, "offer: link layer", o->link_layer, 1, 2);
    }
    return 0;
}

static void copy_text(char out[APN_WIRE_OFFER_TEXT], const uint8_t *in)
{
    memcpy(out, in, APN_WIRE_OFFER_TEXT);
    out[APN_WIRE_OFFER_TEXT - 1] = 0;
    for (char *c = out; *c; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    }
}

int apn_rdma_offer_decode(const struct apn_wire_rdma_offer *wire, struct apn_rdma_offer *out, struct apn_error *err)
{
    struct apn_rdma_offer o = {
        .qpn = le32toh(wire->qpn),
        .psn = le32toh(wire->psn),
        .slots = le32toh(wire->slots),
        .slot_bytes = le32toh(wire->slot_bytes),
        .lid = le16toh(wire->lid),
        .mtu = wire->mtu,
        .link_layer = wire->link_layer,
        .reads = wire->reads,
    };
    uint32_t code = le32toh(wire->code);
    int ret;

    if (memcmp(wire->prefix.magic, APN_WIRE_MAGIC, sizeof(wire->prefix.magic)) ||
        le16toh(wire->prefix.type) != APN_HS_RDMA_OFFER || le16toh(wire->prefix.length) != sizeof(*wire)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "offer: what came after the handshake is no RDMA offer");
    }
    if (le32toh(wire->prefix.check) != offer_check(wire)) {
        return apn_error_set(err, -EBADMSG, APN_SCOPE_LANE, "offer: check value is wrong");
    }
    for (unsigned i = 0; i < sizeof(wire->reserved); i++) {
        if (wire->reserved[i]) {
            return reject(err, "offer: reserved byte", wire->reserved[i], 0, 0);
        }
    }
    if (code > 4095) {
        return reject(err, "offer: code", code, 0, 4095);
    }
    ret = code ? 0 : check_offer(&o, err);
    if (ret) {
        return ret;
    }
    o.code = -(int)code;
    memcpy(o.gid, wire->gid, sizeof(o.gid));
    copy_text(o.text, wire->text);
    *out = o;
    return 0;
}

/* ---- frames --------------------------------------------------------------- */

void apn_frame_encode(const struct apn_frame *frame, uint8_t out[APN_WIRE_FRAME_BYTES])
{
    struct apn_wire_frame wire = {
        .type = frame->type, .sequence = htole16(frame->sequence), .credit = htole32(frame->credit), .handled = htole64(frame->handled)};

    memcpy(out, &wire, sizeof(wire));
}

int apn_frame_decode(const uint8_t *in, size_t bytes, struct apn_frame *frame, struct apn_error *err)
{
    struct apn_wire_frame wire;

    if (bytes < sizeof(wire)) {
        return reject(err, "frame: bytes", bytes, sizeof(wire), APN_RDMA_SLOT_BYTES_MAX);
    }
    memcpy(&wire, in, sizeof(wire));
    if (wire.type < APN_FRAME_HELLO || wire.type > APN_FRAME_END) {
        return reject(err, "frame: type", wire.type, APN_FRAME_HELLO, APN_FRAME_END);
    }
    if (wire.reserved) {
        return reject(err, "frame: reserved byte", wire.reserved, 0, 0);
    }
    if (wire.type == APN_FRAME_KEYS && (bytes - sizeof(wire)) % sizeof(struct apn_wire_key)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "frame: %zu bytes of keys, must be a multiple of %zu",
                             bytes - sizeof(wire), sizeof(struct apn_wire_key));
    }
    *frame = (struct apn_frame){wire.type, le16toh(wire.sequence), le32toh(wire.credit), le64toh(wire.handled)};
    return 0;
}

/* ---- keys ------------------------------------------------------------------- */

void apn_key_encode(const struct apn_key *key, uint8_t out[sizeof(struct apn_wire_key)])
{
    struct apn_wire_key wire = {.offset = htole64(key->offset),
                                .length = htole64(key->length),
                                .address = htole64(key->address),
                                .rkey = htole32(key->rkey),
                                .region = htole16(key->region)};

    memcpy(out, &wire, sizeof(wire));
}

int apn_key_decode(const uint8_t in[sizeof(struct apn_wire_key)], struct apn_key *key, struct apn_error *err)
{
    struct apn_wire_key wire;
    struct apn_key k;

    memcpy(&wire, in, sizeof(wire));
    k = (struct apn_key){.region = le16toh(wire.region),
                         .rkey = le32toh(wire.rkey),
                         .offset = le64toh(wire.offset),
                         .length = le64toh(wire.length),
                         .address = le64toh(wire.address)};
    if (k.region >= APN_REGIONS_MAX) {
        return reject(err, "key: region", k.region, 0, APN_REGIONS_MAX - 1);
    }
    if (wire.reserved) {
        return reject(err, "key: reserved field", le16toh(wire.reserved), 0, 0);
    }
    if (!k.length || k.length > UINT64_MAX - k.offset || k.length > UINT64_MAX - k.address ||
        (k.offset | k.length) % APN_PAGE_SIZE) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE,
                             "key: region %u, offset %" PRIu64 ", length %" PRIu64 " is not a run of pages", k.region,
                             k.offset, k.length);
    }
    *key = k;
    return 0;
}
