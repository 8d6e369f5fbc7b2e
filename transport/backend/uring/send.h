/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* send.h - queue of posted messages of one link, gathered into batches for the kernel; no I/O of
 * its own
 *
 * Theory of operation
 *   A slot holds a header; payload stays where the caller has it. Slots pass through four places in
 * order: released <= batched <= posted, the ring of headers between them A batch is what one system
 * call sends. It ends when all its bytes are taken by the socket and, for zero-copy, the kernel has
 * said that it reads them no more. Slots are released batch by batch, in order.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: none.   Units: bytes; slots are
 * free-running counts. */
#ifndef APN_BACKEND_URING_SEND_H
#define APN_BACKEND_URING_SEND_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <apnmig/backend.h>

#include "wire/layout.h"

#define APN_URING_SLOTS       1024u /* power of two */
#define APN_URING_BATCHES     64u /* power of two; batches whose memory the kernel may still read */
#define APN_URING_BATCH_BYTES (1u << 20)
#define APN_URING_BATCH_IOV   512u

struct apn_uring_batch {
    uint32_t slots_end;
    uint32_t notifications; /* zero-copy: the kernel still reads */
    uint32_t bytes;
    bool sent;
};

struct apn_uring_sender {
    uint8_t (*headers)[APN_WIRE_HEADER_BYTES];
    const void **payload;
    uint32_t *payload_bytes;
    uint32_t released, batched, posted;
    struct apn_uring_batch batch[APN_URING_BATCHES];
    uint32_t batch_head, batch_tail; /* tail - 1 is the one being sent, while sending */
    bool sending;
    struct iovec iov[APN_URING_BATCH_IOV];
    struct msghdr message; /* of the batch being sent; its iov shrinks as bytes go */
    size_t unsent_bytes;
};

/** apn_uring_sender_init() - Return: 0, -ENOMEM (then _done is still needed) */
int apn_uring_sender_init(struct apn_uring_sender *tx);
void apn_uring_sender_done(struct apn_uring_sender *tx);

/** apn_uring_sender_post() - all @n messages. Return: 0, -EAGAIN when they do not fit (nothing
 * taken). */
int apn_uring_sender_post(struct apn_uring_sender *tx, const struct apn_msg *msgs, unsigned n);

/** apn_uring_sender_gather() - next batch into tx->message, when none is being sent
 * Return: its index (for _took and _notified), or -EAGAIN when there is nothing to send or no batch
 * is free. */
int apn_uring_sender_gather(struct apn_uring_sender *tx);
/** apn_uring_sender_took() - the socket took @bytes of the batch being sent. Return: bytes of it
 * still to send (in tx->message). */
size_t apn_uring_sender_took(struct apn_uring_sender *tx, size_t bytes);
/** apn_uring_sender_abandon() - the batch being sent never will be: the connection is over */
void apn_uring_sender_abandon(struct apn_uring_sender *tx);
/** apn_uring_sender_expect() - one more notification will come for the batch being sent */
void apn_uring_sender_expect(struct apn_uring_sender *tx, unsigned batch);
void apn_uring_sender_notified(struct apn_uring_sender *tx, unsigned batch);

/** apn_uring_sender_idle() - nothing is queued and the kernel reads nothing */
bool apn_uring_sender_idle(const struct apn_uring_sender *tx);

#endif
