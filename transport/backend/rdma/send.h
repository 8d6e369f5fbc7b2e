/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* send.h - posted messages become WRITEs into the peer's guest memory and frames of records behind them
 *
 * Theory of operation
 *   A message waits in a queue until the send queue, the frames and the peer's slots have room. Pages whose memory is
 *   registered here and opened by the peer leave as RDMA WRITE, their record follows in a frame; everything else
 *   rides in the frame itself and is copied by the peer. Requests are chained and posted with one doorbell; a frame
 *   reports completion for itself and for the WRITEs before it. A reliable connection keeps order, so whoever sees a record finds the bytes that
 *   were written before it in place.
 *   What the peer's CPU writes (zero pages, copied pages) is not ordered with what its adapter writes later. So a page
 *   with such a record on its way goes by the CPU again until the peer has said that it applied the record.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: none.   Units: bytes; free-running counts. */
#ifndef APN_BACKEND_RDMA_SEND_H
#define APN_BACKEND_RDMA_SEND_H

#include <apnmig/backend.h>

#include "backend/rdma/memory.h"
#include "backend/rdma/qp.h"

#define APN_RDMA_QUEUE   1024u       /* messages taken and not sent, power of two */
#define APN_RDMA_CHAIN   64u         /* work requests of one doorbell */
#define APN_RDMA_PENDING 16384u      /* records that the peer's CPU must apply, power of two */
#define APN_RDMA_BUCKETS 1024u       /* power of two */
#define APN_RDMA_BUCKET_BYTES APN_EXTENT_MAX

/* a range that the peer's CPU will write, in the bucket of its start and in that of its end */
struct apn_rdma_pending {
    uint64_t record;
    uint64_t offset, end;
    uint16_t region;
    int32_t next[2]; /* in the list of the bucket, -1 = last */
};

/* counts of the backend that all links add to */
struct apn_rdma_totals {
    _Atomic uint64_t written_bytes, copied_bytes, writes, sends, reads, doorbells;
    _Atomic uint64_t in_flight, in_flight_max;
};

struct apn_rdma_sender {
    struct apn_rdma_qp *qp;
    struct apn_rdma_memory *memory;
    struct apn_rdma_totals *totals;
    struct apn_msg *queue;
    uint32_t head, tail;
    /* work requests */
    uint64_t posted, done; /* done: as far as completions have told */
    uint32_t unsignalled, signal_every;
    struct ibv_send_wr wr[APN_RDMA_CHAIN];
    struct ibv_sge sge[APN_RDMA_CHAIN][APN_RDMA_GATHER];
    unsigned chain;
    /* frames */
    uint32_t frames_sent, frames_done;
    uint64_t *frame_end; /* posted count behind each frame, by slot */
    uint8_t *frame;      /* being filled, NULL: none */
    uint32_t fill;
    uint8_t frame_type;
    uint32_t credit;     /* of our frames that have left the peer's slots */
    uint32_t told_credit;
    uint64_t told_handled;
    /* the record being written */
    uint8_t record[APN_WIRE_RECORD_BYTES];
    uint32_t record_left;
    const uint8_t *body;
    uint32_t body_left;
    /* records */
    uint64_t records, handled;
    struct apn_rdma_pending *pending;
    uint32_t pending_head, pending_tail;
    int32_t *bucket;
    uint64_t keys_due; /* times that rights are to be announced */
    bool blocked;      /* by the send queue or the frames: a completion helps */
    bool end_sent;
};

/** apn_rdma_sender_init() - Return: 0, -ENOMEM (then _done is still needed) */
int apn_rdma_sender_init(struct apn_rdma_sender *tx, struct apn_rdma_qp *qp, struct apn_rdma_memory *memory,
                         struct apn_rdma_totals *totals, const struct apn_rdma_plan *plan);
void apn_rdma_sender_done(struct apn_rdma_sender *tx);

/** apn_rdma_sender_post() - all @n messages. Return: 0, -EAGAIN when they do not fit (nothing taken). */
int apn_rdma_sender_post(struct apn_rdma_sender *tx, const struct apn_msg *msgs, unsigned n);

/** struct apn_rdma_told - what every frame says about the other direction */
struct apn_rdma_told {
    uint32_t credit;
    uint64_t handled;
};
/** apn_rdma_sender_pump() - hand as much to the device as there is room for. Return: 0; -errno: the queue pair is broken. */
int apn_rdma_sender_pump(struct apn_rdma_sender *tx, const struct apn_rdma_told *told);
/** apn_rdma_sender_greet() - one frame of @type, of at least @bytes. Return: 0, -EAGAIN, -errno. */
int apn_rdma_sender_greet(struct apn_rdma_sender *tx, uint8_t type, uint32_t bytes, const struct apn_rdma_told *told);
/** apn_rdma_sender_keys() - announce the right to write a piece of memory. Return: 0, -EAGAIN, -errno. */
int apn_rdma_sender_keys(struct apn_rdma_sender *tx, const struct apn_key *keys, unsigned count,
                         const struct apn_rdma_told *told);
/** apn_rdma_sender_read() - READ what lies at @remote of the peer into the one piece @to, at once, ahead of what waits here
 * Return: 0: it is the newest request, tx->posted with it; -EAGAIN: no room; -errno: the queue pair is broken. */
int apn_rdma_sender_read(struct apn_rdma_sender *tx, const struct ibv_sge *to, uint64_t remote, uint32_t rkey);
/** apn_rdma_sender_completed() - requests up to @count are done */
void apn_rdma_sender_completed(struct apn_rdma_sender *tx, uint64_t count);
/** apn_rdma_sender_heard() - what the peer's frame said. Return: 0, -EPROTO when it claims more than was sent. */
int apn_rdma_sender_heard(struct apn_rdma_sender *tx, uint32_t credit, uint64_t handled);

static inline bool apn_rdma_sender_idle(const struct apn_rdma_sender *tx)
{
    return tx->head == tx->tail && !tx->record_left && !tx->body_left && !tx->frame;
}

#endif
