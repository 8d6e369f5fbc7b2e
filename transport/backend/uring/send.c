/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* send.c - see send.h */
#include "backend/uring/send.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "wire/codec.h"

#define SLOT(i)  ((i) & (APN_URING_SLOTS - 1))
#define BATCH(i) ((i) & (APN_URING_BATCHES - 1))

int apn_uring_sender_init(struct apn_uring_sender *tx)
{
    *tx = (struct apn_uring_sender){0};
    tx->headers = calloc(APN_URING_SLOTS, sizeof(*tx->headers));
    tx->payload = calloc(APN_URING_SLOTS, sizeof(*tx->payload));
    tx->payload_bytes = calloc(APN_URING_SLOTS, sizeof(*tx->payload_bytes));
    return tx->headers && tx->payload && tx->payload_bytes ? 0 : -ENOMEM;
}

void apn_uring_sender_done(struct apn_uring_sender *tx)
{
    free(tx->headers);
    free(tx->payload);
    free(tx->payload_bytes);
    *tx = (struct apn_uring_sender){0};
}

int apn_uring_sender_post(struct apn_uring_sender *tx, const struct apn_msg *msgs, unsigned n)
{
    if (n > APN_URING_SLOTS - (tx->posted - tx->released)) {
        return -EAGAIN;
    }
    for (unsigned i = 0; i < n; i++, tx->posted++) {
        unsigned slot = SLOT(tx->posted);

        apn_msg_encode(&msgs[i], tx->headers[slot]);
        tx->payload[slot] = msgs[i].payload;
        tx->payload_bytes[slot] = msgs[i].bytes;
        assert(msgs[i].bytes == 0 || msgs[i].payload);
    }
    return 0;
}

/* one entry for a header, or the entry before made longer when the headers follow each other in
 * memory */
static unsigned add_header(struct apn_uring_sender *tx, unsigned n, unsigned slot)
{
    if (n && (uint8_t *)tx->iov[n - 1].iov_base + tx->iov[n - 1].iov_len == tx->headers[slot]) {
        tx->iov[n - 1].iov_len += APN_WIRE_HEADER_BYTES;
        return n;
    }
    tx->iov[n] = (struct iovec){tx->headers[slot], APN_WIRE_HEADER_BYTES};
    return n + 1;
}

int apn_uring_sender_gather(struct apn_uring_sender *tx)
{
    uint32_t index = BATCH(tx->batch_tail), slot = tx->batched;
    size_t bytes = 0;
    unsigned n = 0;

    if (tx->sending || slot == tx->posted || tx->batch_tail - tx->batch_head == APN_URING_BATCHES) {
        return -EAGAIN;
    }
    while (slot != tx->posted && n + 2 <= APN_URING_BATCH_IOV && bytes < APN_URING_BATCH_BYTES) {
        uint32_t payload_bytes = tx->payload_bytes[SLOT(slot)];

        n = add_header(tx, n, SLOT(slot));
        if (payload_bytes) {
            tx->iov[n++] =
                (struct iovec){(void *)(uintptr_t)tx->payload[SLOT(slot)], payload_bytes};
        }
        bytes += APN_WIRE_HEADER_BYTES + payload_bytes;
        slot++;
    }
    tx->batch[index] = (struct apn_uring_batch){.slots_end = slot, .bytes = (uint32_t)bytes};
    tx->batched = slot;
    tx->batch_tail++;
    tx->sending = true;
    tx->unsent_bytes = bytes;
    tx->message = (struct msghdr){.msg_iov = tx->iov, .msg_iovlen = n};
    return (int)index;
}

static void release(struct apn_uring_sender *tx)
{
    while (tx->batch_head != tx->batch_tail) {
        const struct apn_uring_batch *batch = &tx->batch[BATCH(tx->batch_head)];

        if (!batch->sent || batch->notifications) {
            break;
        }
        tx->released = batch->slots_end;
        tx->batch_head++;
    }
}

size_t apn_uring_sender_took(struct apn_uring_sender *tx, size_t bytes)
{
    struct msghdr *message = &tx->message;

    assert(tx->sending && bytes <= tx->unsent_bytes);
    tx->unsent_bytes -= bytes;
    while (bytes && bytes >= message->msg_iov->iov_len) {
        bytes -= message->msg_iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    if (bytes) {
        message->msg_iov->iov_base = (uint8_t *)message->msg_iov->iov_base + bytes;
        message->msg_iov->iov_len -= bytes;
    }
    if (tx->unsent_bytes == 0) {
        tx->sending = false;
        tx->batch[BATCH(tx->batch_tail - 1)].sent = true;
        release(tx);
    }
    return tx->unsent_bytes;
}

void apn_uring_sender_abandon(struct apn_uring_sender *tx)
{
    tx->sending = false;
}

void apn_uring_sender_expect(struct apn_uring_sender *tx, unsigned batch)
{
    tx->batch[batch].notifications++;
}

void apn_uring_sender_notified(struct apn_uring_sender *tx, unsigned batch)
{
    assert(tx->batch[batch].notifications);
    tx->batch[batch].notifications--;
    release(tx);
}

bool apn_uring_sender_idle(const struct apn_uring_sender *tx)
{
    return tx->released == tx->posted;
}
