/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive.c - see receive.h */
#include "backend/rdma/receive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

#define ASSEMBLY_BYTES (APN_WIRE_RECORD_BYTES + APN_CONTROL_MAX)

int apn_rdma_receiver_init(struct apn_rdma_receiver *rx, struct apn_rdma_qp *qp, const struct apn_sink *sink,
                           struct apn_rdma_memory *memory)
{
    *rx = (struct apn_rdma_receiver){.qp = qp, .sink = sink, .memory = memory};
    rx->arrived = calloc(qp->slots, sizeof(*rx->arrived));
    rx->emptied = calloc(qp->slots, sizeof(*rx->emptied));
    rx->assembly = malloc(ASSEMBLY_BYTES);
    return rx->arrived && rx->emptied && rx->assembly ? 0 : -ENOMEM;
}

void apn_rdma_receiver_done(struct apn_rdma_receiver *rx)
{
    free(rx->arrived);
    free(rx->emptied);
    free(rx->assembly);
    *rx = (struct apn_rdma_receiver){0};
}

int apn_rdma_receiver_begin(struct apn_rdma_receiver *rx)
{
    int ret;

    rx->handled = rx->delivered;
    if (rx->lent) {
        rx->lent = false;
        rx->fill = 0;
    }
    if (!rx->emptied_count) {
        return 0;
    }
    ret = apn_rdma_qp_repost(rx->qp, rx->emptied, rx->emptied_count);
    rx->consumed += rx->emptied_count;
    rx->emptied_count = 0;
    return ret;
}

void apn_rdma_receiver_arrived(struct apn_rdma_receiver *rx, uint32_t slot, uint32_t bytes)
{
    rx->arrived[rx->tail++ % rx->qp->slots] = (struct apn_rdma_arrival){slot, bytes};
}

/* ---- frames --------------------------------------------------------------------- */

static const struct apn_rdma_arrival *current(const struct apn_rdma_receiver *rx)
{
    return &rx->arrived[rx->head % rx->qp->slots];
}

static void leave_frame(struct apn_rdma_receiver *rx)
{
    rx->emptied[rx->emptied_count++] = current(rx)->slot;
    rx->head++;
    rx->at = 0;
}

/* rights are taken by the end that may not be written to: the source; and by a destination that may read from it (postcopy) */
static int take_keys(struct apn_rdma_receiver *rx, const uint8_t *at, uint32_t bytes, struct apn_error *err)
{
    int ret = 0;

    if (rx->refuses_keys) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "the peer tells rights to its memory, which nobody here may use");
    }
    for (uint32_t done = 0; !ret && done < bytes; done += sizeof(struct apn_wire_key)) {
        struct apn_key key;

        ret = apn_key_decode(at + done, &key, err);
        ret = ret ? ret : apn_rdma_keys_add(rx->memory, &key);
        if (ret) {
            apn_error_set(err, ret, APN_SCOPE_LANE, "rights to the peer's memory: %s", strerror(-ret));
        }
    }
    return ret;
}

static int enter_frame(struct apn_rdma_receiver *rx, struct apn_rdma_sender *tx, struct apn_error *err)
{
    const struct apn_rdma_arrival *frame = current(rx);
    const uint8_t *bytes = apn_rdma_qp_slot(rx->qp, frame->slot);
    struct apn_frame header;
    int ret = apn_frame_decode(bytes, frame->bytes, &header, err);

    if (ret) {
        return ret;
    }
    if (header.sequence != rx->sequence++) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "frame %u came where frame %u was due", header.sequence,
                             (uint16_t)(rx->sequence - 1));
    }
    if (apn_rdma_sender_heard(tx, header.credit, header.handled)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "frame: credit %u, applied %" PRIu64 ": more than was sent",
                             header.credit, header.handled);
    }
    rx->at = APN_WIRE_FRAME_BYTES;
    rx->type = header.type;
    if (header.type == APN_FRAME_RECORDS) {
        return 0;
    }
    if (header.type == APN_FRAME_KEYS) {
        ret = take_keys(rx, bytes + rx->at, frame->bytes - rx->at, err);
    }
    rx->greeted |= 1u << header.type;
    rx->ended |= header.type == APN_FRAME_END;
    leave_frame(rx);
    return ret;
}

/* ---- records ---------------------------------------------------------------------- */

static int check_record(const struct apn_rdma_receiver *rx, const uint8_t *record, struct apn_msg *msg, uint8_t **guest,
                        struct apn_error *err)
{
    const bool written = record[0];
    int ret = apn_msg_decode(record + 4, msg, err);

    if (ret) {
        return ret;
    }
    if (record[0] > 1 || record[1] || record[2] || record[3]) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "record: flags %u %u %u %u are not defined", record[0],
                             record[1], record[2], record[3]);
    }
    if (written && (msg->type != APN_MSG_EXTENT || msg->kind != APN_EXTENT_DATA)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "record: %s cannot have been written into guest memory",
                             apn_msg_type_name(msg->type));
    }
    if (msg->type != APN_MSG_EXTENT) {
        return 0;
    }
    *guest = rx->sink->resolve ? rx->sink->resolve(rx->sink->opaque, msg->region, msg->offset, msg->span) : NULL;
    if (!*guest) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE,
                             "extent of region %u, offset %" PRIu64 ", %" PRIu32 " bytes: not memory that the peer may write",
                             msg->region, msg->offset, msg->span);
    }
    return 0;
}

/* bytes of the frame at head that are not parsed */
static uint32_t left(const struct apn_rdma_receiver *rx)
{
    return current(rx)->bytes - rx->at;
}

static const uint8_t *here(const struct apn_rdma_receiver *rx)
{
    return apn_rdma_qp_slot(rx->qp, current(rx)->slot) + rx->at;
}

static void advance(struct apn_rdma_receiver *rx, uint32_t bytes)
{
    rx->at += bytes;
    if (!left(rx)) {
        leave_frame(rx);
    }
}

/* @want bytes in a row: in the slot when they lie there whole, else gathered in assembly. NULL: more frames are needed. */
static const uint8_t *take(struct apn_rdma_receiver *rx, uint32_t want)
{
    uint32_t some;
    const uint8_t *at;

    if (!rx->fill && left(rx) >= want) {
        at = here(rx);
        advance(rx, want);
        return at;
    }
    some = want - rx->fill < left(rx) ? want - rx->fill : left(rx);
    memcpy(rx->assembly + rx->fill, here(rx), some);
    rx->fill += some;
    advance(rx, some);
    return rx->fill == want ? rx->assembly : NULL;
}

static int deliver(struct apn_rdma_receiver *rx)
{
    rx->delivered++;
    return 1;
}

static int continue_extent(struct apn_rdma_receiver *rx, struct apn_msg *msg)
{
    uint32_t some = rx->rest_bytes < left(rx) ? rx->rest_bytes : left(rx);

    memcpy(rx->rest, here(rx), some);
    rx->rest += some;
    rx->rest_bytes -= some;
    advance(rx, some);
    if (rx->rest_bytes) {
        return 0;
    }
    *msg = rx->extent;
    return deliver(rx);
}

/* its header is complete: does it stand alone? Return: 1 told, 0 its payload follows, -errno */
static int begin_record(struct apn_rdma_receiver *rx, const uint8_t *header, struct apn_msg *msg, struct apn_error *err)
{
    uint8_t *guest = NULL;
    int ret = check_record(rx, header, msg, &guest, err);

    if (ret || (msg->type != APN_MSG_EXTENT && msg->bytes)) {
        return ret;
    }
    if (rx->fill) {
        rx->fill = 0;
    } else {
        advance(rx, APN_WIRE_RECORD_BYTES);
    }
    if (header[0] || !msg->bytes) {
        return deliver(rx);
    }
    rx->extent = *msg;
    rx->rest = guest;
    rx->rest_bytes = msg->bytes;
    return 0;
}

static int take_payload(struct apn_rdma_receiver *rx, struct apn_msg *msg)
{
    const uint8_t *record = take(rx, APN_WIRE_RECORD_BYTES + msg->bytes);

    if (!record) {
        return 0;
    }
    rx->lent = record == rx->assembly;
    msg->payload = record + APN_WIRE_RECORD_BYTES;
    return deliver(rx);
}

/* a record begins in the frame at head, or goes on there */
static int next_record(struct apn_rdma_receiver *rx, struct apn_msg *msg, struct apn_error *err)
{
    uint8_t header[APN_WIRE_RECORD_BYTES];
    int ret;

    if (rx->fill >= APN_WIRE_RECORD_BYTES) { /* checked when it was complete */
        ret = apn_msg_decode(rx->assembly + 4, msg, err);
        return ret ? ret : take_payload(rx, msg);
    }
    if (rx->fill || left(rx) < APN_WIRE_RECORD_BYTES) {
        return take(rx, APN_WIRE_RECORD_BYTES) ? begin_record(rx, rx->assembly, msg, err) : 0;
    }
    memcpy(header, here(rx), sizeof(header));
    ret = begin_record(rx, header, msg, err);
    return ret || msg->type == APN_MSG_EXTENT || !msg->bytes ? ret : take_payload(rx, msg);
}

int apn_rdma_receiver_next(struct apn_rdma_receiver *rx, struct apn_rdma_sender *tx, struct apn_msg *msg,
                           struct apn_error *err)
{
    while (rx->head != rx->tail && !rx->lent && !rx->ended) {
        int ret;

        if (!rx->at) {
            ret = enter_frame(rx, tx, err);
            if (ret) {
                return ret;
            }
            continue;
        }
        if (!left(rx)) { /* a frame without records */
            leave_frame(rx);
            continue;
        }
        ret = rx->rest_bytes ? continue_extent(rx, msg) : next_record(rx, msg, err);
        if (ret) {
            return ret;
        }
    }
    return 0;
}
