/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wire.c - see wire.h */
#include "backend/datagram/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "backend/datagram/port.h"
#include "wire/codec.h"

static uint32_t check_of(const uint8_t *datagram, size_t record_bytes)
{
    struct apn_wire_dg w;
    uint32_t check;

    memcpy(&w, datagram, sizeof(w));
    w.check = 0;
    check = apn_crc32c(0, &w, sizeof(w));
    return apn_crc32c(check, datagram + sizeof(w), record_bytes);
}

void apn_dg_header_seal(const struct apn_dg_header *h, uint8_t *out)
{
    struct apn_wire_dg w = {
        .type = h->type,
        .flags = h->flags,
        .record_bytes = htole16(h->record_bytes),
        .connection = htole64(h->connection),
        .number = htole64(h->number),
        .age = htole32(h->age),
        .stamp_us = htole32(h->stamp_us),
    };

    memcpy(out, &w, sizeof(w));
    w.check = htole32(check_of(out, h->record_bytes));
    memcpy(out, &w, sizeof(w));
}

int apn_dg_header_decode(const uint8_t *in, size_t bytes, struct apn_dg_header *h)
{
    struct apn_wire_dg w;

    if (bytes < sizeof(w)) {
        return -EBADMSG;
    }
    memcpy(&w, in, sizeof(w));
    *h = (struct apn_dg_header){
        .type = w.type,
        .flags = w.flags,
        .record_bytes = le16toh(w.record_bytes),
        .connection = le64toh(w.connection),
        .number = le64toh(w.number),
        .age = le32toh(w.age),
        .stamp_us = le32toh(w.stamp_us),
    };
    if (h->type < APN_DG_OPEN || h->type > APN_DG_LANE || h->record_bytes > bytes - sizeof(w) ||
        le32toh(w.check) != check_of(in, h->record_bytes)) {
        return -EBADMSG;
    }
    if ((h->flags & ~(APN_DG_COUNTED | APN_DG_ASKS)) || h->age > h->number ||
        (h->type != APN_DG_LANE && (h->flags || h->age || h->stamp_us))) {
        return -EBADMSG;
    }
    return 0;
}

size_t apn_dg_ack_encode(const struct apn_dg_ack *ack, uint8_t *out, size_t room)
{
    struct apn_wire_dg_ack w = {
        .kind = APN_DG_ACK,
        .hold_us = htole32(ack->hold_us),
        .echo_us = htole32(ack->echo_us),
        .marked = htole32(ack->marked),
        .base = htole64(ack->base),
        .top = htole32(ack->top),
        .delivered = htole64(ack->delivered),
        .released = htole64(ack->released),
    };
    uint32_t known = ack->known;
    unsigned gaps = ack->gaps;

    if (room < sizeof(w)) {
        return 0;
    }
    if (gaps > (room - sizeof(w)) / sizeof(struct apn_wire_dg_gap)) {
        gaps = (unsigned)((room - sizeof(w)) / sizeof(struct apn_wire_dg_gap));
        known = ack->gap[gaps].start;
    }
    w.gaps = (uint8_t)gaps;
    w.known = htole32(known);
    memcpy(out, &w, sizeof(w));
    for (unsigned i = 0; i < gaps; i++) {
        struct apn_wire_dg_gap gap = {htole32(ack->gap[i].start), htole32(ack->gap[i].count)};

        memcpy(out + sizeof(w) + i * sizeof(gap), &gap, sizeof(gap));
    }
    return sizeof(w) + gaps * sizeof(struct apn_wire_dg_gap);
}

void apn_dg_part_encode(const struct apn_dg_part *part, uint8_t out[APN_DG_PART_BYTES])
{
    struct apn_wire_dg_part w = {
        .kind = part->kind,
        .part = htole16(part->part),
        .parts = htole16(part->parts),
        .message = htole32(part->message),
        .piece = htole32(part->piece),
        .staged = htole32(part->staged),
    };

    memcpy(&w.header, part->header, sizeof(w.header));
    memcpy(out, &w, sizeof(w));
}

void apn_dg_close_encode(int code, uint8_t out[APN_DG_CLOSE_BYTES])
{
    struct apn_wire_dg_close w = {.kind = APN_DG_CLOSE, .code = htole32((uint32_t)-code)};

    memcpy(out, &w, sizeof(w));
}

/* ---- reading ------------------------------------------------------------------ */

void apn_dg_reader_init(struct apn_dg_reader *r, const uint8_t *datagram, const struct apn_dg_header *h, size_t total_bytes)
{
    *r = (struct apn_dg_reader){
        .at = datagram + APN_DG_HEADER_BYTES,
        .left = h->record_bytes,
        .behind = total_bytes - APN_DG_HEADER_BYTES - h->record_bytes,
    };
}

static int bad(struct apn_error *err, const char *what, uint64_t value, const char *must)
{
    return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "datagram: %s %llu, must be %s", what, (unsigned long long)value, must);
}

static void step(struct apn_dg_reader *r, size_t bytes)
{
    r->at += bytes;
    r->left -= bytes;
}

static int read_gaps(struct apn_dg_reader *r, struct apn_dg_ack *ack, struct apn_error *err)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < ack->gaps; i++) {
        struct apn_wire_dg_gap gap;

        memcpy(&gap, r->at, sizeof(gap));
        step(r, sizeof(gap));
        ack->gap[i] = (struct apn_dg_gap){le32toh(gap.start), le32toh(gap.count)};
        if ((i && ack->gap[i].start <= end) || !ack->gap[i].count || ack->gap[i].start + (uint64_t)ack->gap[i].count > ack->known) {
            return bad(err, "gap at", ack->gap[i].start, "behind the one before and below what is known");
        }
        end = ack->gap[i].start + (uint64_t)ack->gap[i].count;
    }
    return 1;
}

static int read_ack(struct apn_dg_reader *r, struct apn_dg_ack *ack, struct apn_error *err)
{
    struct apn_wire_dg_ack w;

    if (r->left < sizeof(w)) {
        return bad(err, "ACK of", r->left, "48 bytes at least");
    }
    memcpy(&w, r->at, sizeof(w));
    ack->hold_us = le32toh(w.hold_us);
    ack->echo_us = le32toh(w.echo_us);
    ack->marked = le32toh(w.marked);
    ack->known = le32toh(w.known);
    ack->top = le32toh(w.top);
    ack->base = le64toh(w.base);
    ack->delivered = le64toh(w.delivered);
    ack->released = le64toh(w.released);
    ack->gaps = w.gaps;
    if (w.gaps > APN_DG_GAPS_MAX || w.reserved || r->left - sizeof(w) < w.gaps * sizeof(struct apn_wire_dg_gap)) {
        return bad(err, "ACK gaps", w.gaps, "128 at most, and there");
    }
    if (ack->known > ack->top || ack->base > UINT64_MAX / 2) {
        return bad(err, "ACK known", ack->known, "what was heard of at most");
    }
    step(r, sizeof(w));
    return read_gaps(r, ack, err);
}

/* parts cover the payload exactly, and the place of each follows from its index */
static int place_part(struct apn_dg_part *part, struct apn_error *err)
{
    const uint64_t whole = part->msg.bytes;

    if (!part->parts || part->parts > APN_DG_PARTS_MAX || part->part >= part->parts) {
        return bad(err, "part", part->part, "below the number of parts, which is 1..256");
    }
    if (whole ? (uint64_t)part->piece * part->parts < whole || (uint64_t)part->piece * (part->parts - 1u) >= whole
              : part->piece || part->parts != 1) {
        return bad(err, "piece", part->piece, "such that the parts make up the message");
    }
    part->offset = part->piece * part->part;
    part->bytes = part->part + 1u < part->parts ? part->piece : (uint32_t)(whole - part->offset);
    return 0;
}

static int read_part(struct apn_dg_reader *r, struct apn_dg_part *part, struct apn_error *err)
{
    struct apn_wire_dg_part w;
    int ret;

    if (r->left < sizeof(w)) {
        return bad(err, "PART of", r->left, "60 bytes at least");
    }
    memcpy(&w, r->at, sizeof(w));
    *part = (struct apn_dg_part){
        .kind = w.kind,
        .part = le16toh(w.part),
        .parts = le16toh(w.parts),
        .message = le32toh(w.message),
        .piece = le32toh(w.piece),
        .staged = le32toh(w.staged),
        .header = r->at + offsetof(struct apn_wire_dg_part, header),
    };
    if (w.reserved || w.reserved2) {
        return bad(err, "PART reserved", w.reserved | w.reserved2, "0");
    }
    ret = apn_msg_decode(part->header, &part->msg, err);
    ret = ret ? ret : place_part(part, err);
    if (ret) {
        return ret;
    }
    step(r, sizeof(w));
    if (w.kind == APN_DG_PART) {
        if (r->left < part->bytes) {
            return bad(err, "payload of", r->left, "as long as the part says");
        }
        part->inlined = r->at;
        step(r, part->bytes);
        return 1;
    }
    if (r->left || r->behind != part->bytes) {
        return bad(err, "payload behind the records", r->behind, "as long as the last part says");
    }
    return 1;
}

int apn_dg_reader_next(struct apn_dg_reader *r, struct apn_dg_item *out, struct apn_error *err)
{
    struct apn_wire_dg_close close;

    if (!r->left) {
        return 0;
    }
    out->kind = r->at[0];
    switch (out->kind) {
    case APN_DG_ACK:
        return read_ack(r, &out->ack, err);
    case APN_DG_PART:
    case APN_DG_BULK:
        return read_part(r, &out->part, err);
    case APN_DG_CLOSE:
        if (r->left < sizeof(close)) {
            return bad(err, "CLOSE of", r->left, "8 bytes");
        }
        memcpy(&close, r->at, sizeof(close));
        step(r, sizeof(close));
        out->close_code = close.code && le32toh(close.code) < 4096 ? -(int)le32toh(close.code) : -ECONNRESET;
        return 1;
    default:
        return bad(err, "record kind", r->at[0], "1..4");
    }
}
