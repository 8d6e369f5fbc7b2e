/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive.h - frames become messages; a slot goes back to the device when nobody looks into it any more
 *
 * Theory of operation
 *   Frames arrive in order. Records are read in place where they lie whole in one slot, else they are put together in
 *   a buffer; copied pages go to guest memory as they come. What a message points to is valid until the next poll, so
 *   slots are given back then, and only then are the messages told before counted as applied.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: none.   Units: bytes; free-running counts. */
#ifndef APN_BACKEND_RDMA_RECEIVE_H
#define APN_BACKEND_RDMA_RECEIVE_H

#include <apnmig/backend.h>

#include "backend/rdma/memory.h"
#include "backend/rdma/qp.h"
#include "backend/rdma/send.h"

struct apn_rdma_arrival {
    uint32_t slot;
    uint32_t bytes;
};

struct apn_rdma_receiver {
    struct apn_rdma_qp *qp;
    const struct apn_sink *sink;
    struct apn_rdma_memory *memory;
    struct apn_rdma_arrival *arrived; /* ring of qp->slots */
    uint32_t head, tail;
    uint32_t at;            /* parsed of the frame at head; 0: its header is still to be read */
    uint8_t type;           /* of the frame at head */
    uint16_t sequence;      /* of the next frame */
    uint32_t *emptied;      /* slots to be given back at the next poll */
    uint32_t emptied_count;
    uint32_t consumed;      /* frames whose slots went back: the peer's credit */
    uint64_t delivered, handled;
    uint8_t *assembly;      /* a record that continues in another frame */
    uint32_t fill;
    bool lent;              /* a message points into assembly */
    struct apn_msg extent;  /* copied page that is arriving */
    uint8_t *rest;
    uint32_t rest_bytes;
    unsigned greeted;       /* bit per enum apn_frame_type seen */
    bool ended;             /* the peer has said END */
    bool refuses_keys;      /* this end has no use for rights */
};

/** apn_rdma_receiver_init() - Return: 0, -ENOMEM (then _done is still needed) */
int apn_rdma_receiver_init(struct apn_rdma_receiver *rx, struct apn_rdma_qp *qp, const struct apn_sink *sink,
                           struct apn_rdma_memory *memory);
void apn_rdma_receiver_done(struct apn_rdma_receiver *rx);

/** apn_rdma_receiver_begin() - a poll begins: nobody uses what the last one told. Return: 0, -errno (queue pair broken). */
int apn_rdma_receiver_begin(struct apn_rdma_receiver *rx);
/** apn_rdma_receiver_arrived() - a frame is complete in @slot */
void apn_rdma_receiver_arrived(struct apn_rdma_receiver *rx, uint32_t slot, uint32_t bytes);
/** apn_rdma_receiver_next() - the next message; credits are handed to @tx on the way
 * Return: 1; 0 when there is none; -EPROTO, -EBADMSG (the connection is dead) */
int apn_rdma_receiver_next(struct apn_rdma_receiver *rx, struct apn_rdma_sender *tx, struct apn_msg *msg,
                           struct apn_error *err);

static inline struct apn_rdma_told apn_rdma_receiver_told(const struct apn_rdma_receiver *rx)
{
    return (struct apn_rdma_told){rx->consumed, rx->handled};
}

#endif
