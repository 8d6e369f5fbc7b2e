/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive.c - see receive.h */
#include "backend/datagram/receive.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backend/datagram/memory.h"

#define SLOT(rx, n) (&(rx)->slot[(n) & (APN_DG_MESSAGES - 1)])
#define BIT(n)      (1ull << ((n) & 63))
#define WORD(rx, n) ((rx)->number[((n) & (APN_DG_NUMBERS - 1)) / 64])

int apn_dg_receiver_init(struct apn_dg_receiver *rx, const struct apn_sink *sink, uint32_t staging_bytes)
{
    memset(rx, 0, sizeof(*rx));
    rx->sink = sink;
    rx->staging_bytes = staging_bytes;
    rx->slot = apn_dg_memory_new(APN_DG_MESSAGES * sizeof(*rx->slot));
    rx->bucket = apn_dg_memory_new(APN_DG_INDEX * sizeof(*rx->bucket));
    rx->number = apn_dg_memory_new(APN_DG_NUMBERS / 8);
    rx->scratch = apn_dg_memory_new(APN_EXTENT_MAX);
    rx->saved = apn_dg_memory_new(APN_EXTENT_MAX);
    rx->staging = apn_dg_memory_new(staging_bytes);
    return rx->slot && rx->bucket && rx->number && rx->scratch && rx->saved && rx->staging ? 0 : -ENOMEM;
}

void apn_dg_receiver_done(struct apn_dg_receiver *rx)
{
    apn_dg_memory_free(rx->slot, APN_DG_MESSAGES * sizeof(*rx->slot));
    apn_dg_memory_free(rx->bucket, APN_DG_INDEX * sizeof(*rx->bucket));
    apn_dg_memory_free(rx->number, APN_DG_NUMBERS / 8);
    apn_dg_memory_free(rx->scratch, APN_EXTENT_MAX);
    apn_dg_memory_free(rx->saved, APN_EXTENT_MAX);
    apn_dg_memory_free(rx->staging, rx->staging_bytes);
    memset(rx, 0, sizeof(*rx));
}

static bool is_page_data(const struct apn_msg *msg)
{
    return msg->type == APN_MSG_EXTENT && msg->kind == APN_EXTENT_DATA;
}

/* ---- index of what landed ahead ------------------------------------------------- */

static uint32_t bucket_of(unsigned region, uint64_t block)
{
    uint64_t key = block * 0x9e3779b97f4a7c15ull + region * 0xc2b2ae3d27d4eb4full;

    return (uint32_t)(key >> 40) & (APN_DG_INDEX - 1);
}

static void index_add(struct apn_dg_receiver *rx, struct apn_dg_incoming *in)
{
    const uint32_t self = (uint32_t)(in - rx->slot) + 1;

    in->bucket = bucket_of(in->msg.region, in->msg.offset >> APN_DG_INDEX_SHIFT);
    in->newer = 0;
    in->older = rx->bucket[in->bucket];
    if (in->older) {
        rx->slot[in->older - 1].newer = self;
    }
    rx->bucket[in->bucket] = self;
    in->indexed = true;
}

static void index_remove(struct apn_dg_receiver *rx, struct apn_dg_incoming *in)
{
    if (!in->indexed) {
        return;
    }
    if (in->older) {
        rx->slot[in->older - 1].newer = in->newer;
    }
    if (in->newer) {
        rx->slot[in->newer - 1].older = in->older;
    } else {
        rx->bucket[in->bucket] = in->older;
    }
    in->indexed = false;
}

static bool part_landed(const struct apn_dg_incoming *in, uint32_t part)
{
    return in->landed[part / 64] & BIT(part);
}

/** struct stretch - @from is where the next byte goes that nobody newer wrote, up to @end */
struct stretch {
    uint64_t from, end;
};

/* Narrows @s by what @in has landed. Return: true when @s->from moved: everything must be looked at again */
static bool narrow(const struct apn_dg_incoming *in, struct stretch *s)
{
    const uint64_t start = in->msg.offset;
    uint32_t part = s->from > start && in->piece ? (uint32_t)((s->from - start) / in->piece) : 0;

    for (; part < in->parts; part++) {
        const uint64_t at = start + (uint64_t)part * in->piece;
        const uint64_t end = part + 1u < in->parts ? at + in->piece : start + in->msg.bytes;

        if (at >= s->end) {
            return false;
        }
        if (!part_landed(in, part) || end <= s->from) {
            continue;
        }
        if (at <= s->from) {
            s->from = end;
            return true;
        }
        s->end = at;
        return false;
    }
    return false;
}

/* Is @in newer than message @number? Slots hold delivered..delivered + APN_DG_MESSAGES - 1 */
static bool is_newer(const struct apn_dg_receiver *rx, const struct apn_dg_incoming *in, uint64_t number)
{
    const uint64_t slot = (uint64_t)(in - rx->slot);
    const uint64_t own = rx->delivered + ((slot - rx->delivered) & (APN_DG_MESSAGES - 1));

    return own > number;
}

/* The first stretch of [@from, @to) that no message newer than @number has written. Return: false when there is none */
static bool uncovered(const struct apn_dg_receiver *rx, uint64_t number, unsigned region, struct stretch *s, uint64_t to)
{
    bool again = true;

    while (again && s->from < to) {
        const uint64_t first = s->from >> APN_DG_INDEX_SHIFT;

        again = false;
        s->end = to;
        for (uint64_t block = first ? first - 1 : 0; block <= (to - 1) >> APN_DG_INDEX_SHIFT && !again; block++) {
            for (uint32_t i = rx->bucket[bucket_of(region, block)]; i && !again; i = rx->slot[i - 1].older) {
                const struct apn_dg_incoming *in = &rx->slot[i - 1];

                again = in->msg.region == region && is_newer(rx, in, number) && narrow(in, s);
            }
        }
    }
    return s->from < to;
}

/* ---- landing ------------------------------------------------------------------------ */

/* Return: 0, -errno: the port lost it */
static int fetch(const struct apn_dg_payload *p, uint8_t *to, uint32_t bytes)
{
    const uint32_t here = p->head_bytes < bytes ? p->head_bytes : bytes;

    memcpy(to, p->head, here);
    if (here < bytes) {
        struct iovec iov = {to + here, bytes - here};

        return p->port->carrier->ops->read(p->port, p->arrival, &iov, 1);
    }
    return 0;
}

/* around what newer messages wrote */
static int land_older(struct apn_dg_receiver *rx, const struct apn_dg_incoming *in, uint64_t number, const struct apn_dg_part *part,
                      const struct apn_dg_payload *payload)
{
    const uint64_t start = in->msg.offset + part->offset, end = start + part->bytes;
    const uint8_t *bytes = payload->head;
    struct stretch s = {.from = start};
    uint64_t written = 0;

    if (payload->head_bytes < part->bytes) {
        int ret = fetch(payload, rx->scratch, part->bytes);

        if (ret) {
            return ret;
        }
        bytes = rx->scratch;
    }
    for (; uncovered(rx, number, in->msg.region, &s, end); s.from = s.end) {
        memcpy(in->to + (s.from - in->msg.offset), bytes + (s.from - start), s.end - s.from);
        written += s.end - s.from;
    }
    rx->late_bytes += part->bytes - written;
    return 0;
}

static int land(struct apn_dg_receiver *rx, struct apn_dg_incoming *in, uint64_t number, const struct apn_dg_part *part,
                const struct apn_dg_payload *payload)
{
    int ret;

    if (!part->bytes) {
        return 0;
    }
    if (!is_page_data(&in->msg)) {
        return fetch(payload, in->to + part->offset, part->bytes);
    }
    ret = rx->highest > number + 1 ? land_older(rx, in, number, part, payload) : fetch(payload, in->to + part->offset, part->bytes);
    if (ret) {
        return ret;
    }
    if (!in->indexed) {
        index_add(rx, in);
    }
    rx->highest = number >= rx->highest ? number + 1 : rx->highest;
    return 0;
}

static int find_place(struct apn_dg_receiver *rx, struct apn_dg_incoming *in, const struct apn_dg_part *part, struct apn_error *err)
{
    const struct apn_msg *msg = &part->msg;
    const uint64_t at = apn_dg_expand(part->staged, rx->released);
    const uint64_t in_ring = at & (rx->staging_bytes - 1);

    if (msg->type == APN_MSG_EXTENT) {
        in->to = msg->bytes && rx->sink->resolve ? rx->sink->resolve(rx->sink->opaque, msg->region, msg->offset, msg->span) : NULL;
        if (msg->bytes && !in->to) {
            return apn_error_set(err, -EPROTO, APN_SCOPE_LANE,
                                 "extent of region %u, offset %llu, %u bytes: not memory that the peer may write", msg->region,
                                 (unsigned long long)msg->offset, msg->span);
        }
        return 0;
    }
    if (msg->bytes && (at < rx->released || at + msg->bytes - rx->released > rx->staging_bytes || in_ring + msg->bytes > rx->staging_bytes)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "payload of %u bytes staged at %llu: free is %llu and %u behind it", msg->bytes,
                             (unsigned long long)at, (unsigned long long)rx->released, rx->staging_bytes);
    }
    in->to = rx->staging + in_ring;
    in->staged_end = msg->bytes ? at + msg->bytes : 0;
    return 0;
}

static uint32_t check_of(const struct apn_dg_part *part)
{
    uint32_t check;

    memcpy(&check, part->header + offsetof(struct apn_wire_header, check), sizeof(check));
    return check;
}

/* the first part of a message that comes says what the message is; the others must say the same */
static int know(struct apn_dg_receiver *rx, struct apn_dg_incoming *in, const struct apn_dg_part *part, struct apn_error *err)
{
    if (in->parts) {
        return in->check == check_of(part) && in->parts == part->parts && in->piece == part->piece
                   ? 0
                   : apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "datagram: parts of message %u do not fit together", part->message);
    }
    if (find_place(rx, in, part, err)) {
        return -EPROTO;
    }
    in->msg = part->msg;
    in->parts = part->parts;
    in->piece = part->piece;
    in->check = check_of(part);
    return 0;
}

int apn_dg_receiver_part(struct apn_dg_receiver *rx, const struct apn_dg_part *part, const struct apn_dg_payload *payload,
                         struct apn_error *err)
{
    const uint64_t number = apn_dg_expand(part->message, rx->delivered);
    struct apn_dg_incoming *in = SLOT(rx, number);

    if (number < rx->delivered) {
        return 1;
    }
    if (number - rx->delivered >= APN_DG_MESSAGES) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "datagram: message %llu, delivered are %llu and %u may be ahead",
                             (unsigned long long)number, (unsigned long long)rx->delivered, APN_DG_MESSAGES);
    }
    if (know(rx, in, part, err)) {
        return -EPROTO;
    }
    if (part_landed(in, part->part)) {
        return 1;
    }
    if (land(rx, in, number, part, payload)) {
        return 0;
    }
    in->landed[part->part / 64] |= BIT(part->part);
    in->landed_parts++;
    return 1;
}

/* ---- numbers --------------------------------------------------------------------------- */

static void forget_below(struct apn_dg_receiver *rx, uint64_t floor)
{
    if (floor > rx->base && floor - rx->base >= APN_DG_NUMBERS) {
        memset(rx->number, 0, APN_DG_NUMBERS / 8);
        rx->base = floor;
    }
    for (; rx->base < floor || (rx->base < rx->top && WORD(rx, rx->base) & BIT(rx->base)); rx->base++) {
        WORD(rx, rx->base) &= ~BIT(rx->base);
    }
    rx->top = rx->top > rx->base ? rx->top : rx->base;
}

static void note(struct apn_dg_receiver *rx, const struct apn_dg_header *h, uint32_t bytes, uint64_t now_ns)
{
    rx->stamp_us = h->stamp_us;
    rx->stamp_ns = now_ns;
    rx->has_stamp = true;
    rx->urgent |= h->flags & APN_DG_ASKS;
    if (h->flags & APN_DG_COUNTED) {
        if (!rx->unacked++) {
            rx->unacked_ns = now_ns;
        }
        rx->unacked_bytes += bytes;
    }
}

int apn_dg_receiver_heard(struct apn_dg_receiver *rx, const struct apn_dg_header *h, uint32_t bytes, uint64_t now_ns,
                          struct apn_error *err)
{
    const bool counted = h->flags & APN_DG_COUNTED;

    if (h->number >= UINT64_MAX / 4) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "datagram: number %llu is beyond all limits", (unsigned long long)h->number);
    }
    note(rx, h, bytes, now_ns);
    forget_below(rx, h->number - h->age);
    if (!counted) {
        rx->urgent |= h->number > rx->top;
        rx->top = h->number > rx->top && h->number - rx->base < APN_DG_NUMBERS ? h->number : rx->top;
        return 1;
    }
    if (h->number < rx->base || h->number - rx->base >= APN_DG_NUMBERS || WORD(rx, h->number) & BIT(h->number)) {
        rx->duplicates++;
        return 0;
    }
    rx->urgent |= h->number > rx->top; /* there is a gap, and it is new */
    return 1;
}

void apn_dg_receiver_took(struct apn_dg_receiver *rx, uint64_t number)
{
    WORD(rx, number) |= BIT(number);
    rx->top = number >= rx->top ? number + 1 : rx->top;
    forget_below(rx, 0);
}

/* ---- delivering ---------------------------------------------------------------------------- */

void apn_dg_receiver_begin(struct apn_dg_receiver *rx)
{
    const struct apn_msg *held = &rx->held;

    rx->released = rx->releasing;
    if (!held->span) {
        return;
    }
    for (uint64_t at = held->offset, end = held->offset + held->span; at < end;) {
        struct stretch s = {.from = at};
        uint8_t *to = rx->sink->resolve(rx->sink->opaque, held->region, held->offset, held->span);
        const bool any = uncovered(rx, rx->held_number, held->region, &s, end);
        const uint64_t covered_end = any ? s.from : end;

        if (!to) {
            break; /* memory that is not to be written any more */
        }
        memcpy(to + (at - held->offset), rx->saved + (at - held->offset), covered_end - at);
        at = any ? s.end : end;
    }
    rx->held.span = 0;
}

/* newer contents in the place of a ZERO extent that the engine is about to clear */
static void save_newer(struct apn_dg_receiver *rx, const struct apn_msg *msg, uint64_t number)
{
    const uint64_t end = msg->offset + msg->span;
    struct stretch s = {.from = msg->offset};
    const uint8_t *from;

    if (rx->highest <= number + 1 || (uncovered(rx, number, msg->region, &s, end) && s.from == msg->offset && s.end == end)) {
        return;
    }
    from = rx->sink->resolve(rx->sink->opaque, msg->region, msg->offset, msg->span);
    if (from) {
        memcpy(rx->saved, from, msg->span);
        rx->held = *msg;
        rx->held_number = number;
    }
}

int apn_dg_receiver_next(struct apn_dg_receiver *rx, struct apn_msg *msg)
{
    struct apn_dg_incoming *in = SLOT(rx, rx->delivered);

    if (rx->held.span || !in->parts || in->landed_parts < in->parts) {
        return 0;
    }
    *msg = in->msg;
    if (msg->type != APN_MSG_EXTENT && msg->bytes) {
        msg->payload = in->to;
        rx->releasing = in->staged_end > rx->releasing ? in->staged_end : rx->releasing;
    } else if (apn_msg_clears(msg)) {
        save_newer(rx, msg, rx->delivered);
    }
    index_remove(rx, in);
    memset(in, 0, sizeof(*in));
    rx->delivered++;
    return 1;
}

/* ---- acknowledging -------------------------------------------------------------------------- */

uint64_t apn_dg_receiver_ack_at(const struct apn_dg_receiver *rx)
{
    if (rx->urgent || rx->unacked >= APN_DG_ACK_DATAGRAMS || rx->unacked_bytes >= APN_DG_ACK_BYTES ||
        rx->delivered - rx->told_delivered >= APN_DG_MESSAGES / 8 || rx->released - rx->told_released >= rx->staging_bytes / 8) {
        return 0;
    }
    return rx->unacked ? rx->unacked_ns + APN_DG_ACK_NS : UINT64_MAX;
}

static void list_gaps(const struct apn_dg_receiver *rx, struct apn_dg_ack *out)
{
    uint64_t n = rx->base;

    out->gaps = 0;
    out->known = (uint32_t)(rx->top - rx->base);
    while (n < rx->top) {
        uint64_t start = n;

        while (n < rx->top && !(WORD(rx, n) & BIT(n))) {
            n += WORD(rx, n) == 0 && !(n & 63) && n + 64 <= rx->top ? 64 : 1;
        }
        if (n > start) {
            if (out->gaps == APN_DG_GAPS_MAX) {
                out->known = (uint32_t)(start - rx->base);
                return;
            }
            out->gap[out->gaps++] = (struct apn_dg_gap){(uint32_t)(start - rx->base), (uint32_t)(n - start)};
        }
        while (n < rx->top && WORD(rx, n) & BIT(n)) {
            n += WORD(rx, n) == UINT64_MAX && !(n & 63) && n + 64 <= rx->top ? 64 : 1;
        }
    }
}

void apn_dg_receiver_ack(struct apn_dg_receiver *rx, struct apn_dg_ack *out, uint64_t now_ns)
{
    out->echo_us = rx->stamp_us;
    out->hold_us = (uint32_t)((now_ns - rx->stamp_ns) / 1000);
    out->marked = rx->marked;
    out->base = rx->base;
    out->top = (uint32_t)(rx->top - rx->base);
    out->delivered = rx->told_delivered = rx->delivered;
    out->released = rx->told_released = rx->released;
    list_gaps(rx, out);
    rx->urgent = false;
    rx->unacked = rx->unacked_bytes = 0;
}
