/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_rdma_frames.c - any frames from a peer: the rdma receiver delivers what is valid, refuses the rest with a reason, and
 * touches no memory but the region
 * Input: frames one after another, each behind two bytes of length. The first byte of all says whether check values are made right. */
#include <stdlib.h>
#include <string.h>

#include "backend/rdma/receive.h"
#include "backend/rdma/send.h"
#include "wire/codec.h"

#define SLOTS 64u
#define BYTES 8192u
#define RAM   (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static uint8_t ram[RAM + 2 * APN_PAGE_SIZE]; /* a page before and one behind */

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    (void)opaque;
    return region == 0 && span && offset <= RAM && span <= RAM - offset ? ram + APN_PAGE_SIZE + offset : NULL;
}

static int accept_any(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    (void)qp;
    (void)wr;
    (void)bad;
    return 0;
}

/* chance would not find a right check value; it is that of the first record */
static void make_right(uint8_t *frame, uint32_t bytes)
{
    uint8_t *header = frame + APN_WIRE_FRAME_BYTES + 4;
    uint32_t check;

    if (frame[0] == APN_FRAME_RECORDS && bytes >= APN_WIRE_FRAME_BYTES + APN_WIRE_RECORD_BYTES) {
        check = apn_crc32c(0, header, offsetof(struct apn_wire_header, check));
        for (unsigned i = 0; i < 4; i++) {
            header[offsetof(struct apn_wire_header, check) + i] = (uint8_t)(check >> 8 * i);
        }
    }
}

static void take_all(struct apn_rdma_receiver *rx, struct apn_rdma_sender *tx, bool *dead)
{
    struct apn_error err = {0};
    struct apn_msg msg;
    int ret;

    while (!*dead && (ret = apn_rdma_receiver_next(rx, tx, &msg, &err)) != 0) {
        if (ret < 0) {
            *dead = true;
            if (!err.code || !err.text[0]) {
                abort(); /* refused without a reason */
            }
        } else if (apn_msg_validate(&msg, &err)) {
            abort();
        } else if (msg.payload) {
            volatile uint8_t sum = 0;

            for (uint32_t i = 0; i < msg.bytes; i++) {
                sum = (uint8_t)(sum + ((const uint8_t *)msg.payload)[i]);
            }
        }
    }
}

static void feed(struct apn_rdma_receiver *rx, struct apn_rdma_sender *tx, const uint8_t *bytes, size_t length)
{
    const bool right = length && bytes[0] & 1;
    size_t at = 1;
    bool dead = false;

    for (uint32_t slot = 0; at + 2 <= length && !dead; slot = (slot + 1) % SLOTS) {
        uint32_t want = (uint32_t)(bytes[at] | bytes[at + 1] << 8) % (BYTES + 1);
        uint8_t *frame = apn_rdma_qp_slot(rx->qp, slot);

        at += 2;
        want = want < length - at ? want : (uint32_t)(length - at);
        memcpy(frame, bytes + at, want);
        at += want;
        if (right) {
            make_right(frame, want);
        }
        apn_rdma_receiver_begin(rx);
        apn_rdma_receiver_arrived(rx, slot, want);
        take_all(rx, tx, &dead);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct ibv_context context = {.ops = {.post_recv = accept_any}};
    static struct apn_rdma_memory memory;
    struct ibv_qp pair = {.context = &context};
    struct ibv_mr mr = {0};
    struct apn_rdma_plan plan = {.slots = SLOTS, .signal_every = 64};
    struct apn_rdma_totals totals = {0};
    struct apn_sink sink = {.resolve = resolve};
    struct apn_rdma_qp qp = {.qp = &pair, .mr = &mr, .slots = SLOTS, .frames = SLOTS, .slot_bytes = BYTES, .depth = 256, .gather = 4,
                             .peer_slots = SLOTS, .peer_slot_bytes = BYTES, .memory = calloc(2 * SLOTS, BYTES)};
    struct apn_rdma_receiver rx;
    struct apn_rdma_sender tx;

    apn_rdma_memory_init(&memory);
    if (apn_rdma_receiver_init(&rx, &qp, &sink, &memory) || apn_rdma_sender_init(&tx, &qp, &memory, &totals, &plan) || !qp.memory) {
        abort();
    }
    feed(&rx, &tx, bytes, length);
    for (unsigned i = 0; i < APN_PAGE_SIZE; i++) {
        if (ram[i] || ram[APN_PAGE_SIZE + RAM + i]) {
            abort(); /* outside of the region */
        }
    }
    apn_rdma_receiver_done(&rx);
    apn_rdma_sender_done(&tx);
    apn_rdma_memory_done(&memory);
    free(qp.memory);
    return 0;
}
