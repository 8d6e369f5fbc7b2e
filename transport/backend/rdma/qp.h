/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qp.h - one reliable connection: queue pair, completion queues, receive slots and frame buffers
 * Owner: embedded in a link.   Thread: the link's.   Units: bytes, ns. */
#ifndef APN_BACKEND_RDMA_QP_H
#define APN_BACKEND_RDMA_QP_H

#include <apnmig/rdma_plan.h>

#include "backend/rdma/device.h"
#include "wire/rdma.h"

#define APN_RDMA_GATHER    4u  /* entries of a gather list at most */
#define APN_RDMA_READS_MAX 16u /* READs of one connection at a time */

struct apn_rdma_qp {
    const struct apn_rdma_device *device;
    struct ibv_comp_channel *channel; /* wakes for both queues, when armed */
    struct ibv_cq *receive_cq, *send_cq;
    struct ibv_qp *qp;
    uint8_t *memory; /* receive slots, then frames */
    size_t memory_bytes;
    struct ibv_mr *mr;
    uint32_t slots, slot_bytes; /* ours, posted for the peer */
    uint32_t frames;            /* ours, that we send from: as large as slots */
    uint32_t depth, gather, inline_bytes;
    uint32_t psn;
    uint32_t peer_slots, peer_slot_bytes;
    uint32_t mtu_bytes;
    uint8_t answers; /* READs of the peer that are answered at once; set between _open and _offer, 0: none may come */
    uint8_t reads;   /* READs that the peer answers at once, as far as this device can ask; known once connected */
};

/** apn_rdma_qp_open() - make everything and post every receive slot; the peer cannot send yet. @opaque: for asynchronous events
 * Return: 0; -ENOMEM (locked memory), -errno and a sentence; then _close is still needed. */
int apn_rdma_qp_open(struct apn_rdma_qp *qp, const struct apn_rdma_device *device, const struct apn_rdma_plan *plan,
                     void *opaque, struct apn_error *err);
void apn_rdma_qp_offer(const struct apn_rdma_qp *qp, struct apn_rdma_offer *out);
/** apn_rdma_qp_connect() - both offers are known: ready to receive and to send */
int apn_rdma_qp_connect(struct apn_rdma_qp *qp, const struct apn_rdma_offer *peer, const struct apn_rdma_plan *plan,
                        struct apn_error *err);
/** apn_rdma_qp_close() - afterwards the device neither reads nor writes for it. Fine on a half-made or zeroed one. */
void apn_rdma_qp_close(struct apn_rdma_qp *qp);

/** apn_rdma_qp_fail() - everything in flight is reported as flushed; nothing lands any more */
void apn_rdma_qp_fail(struct apn_rdma_qp *qp);

static inline uint8_t *apn_rdma_qp_slot(const struct apn_rdma_qp *qp, uint32_t slot)
{
    return qp->memory + (size_t)slot * qp->slot_bytes;
}
static inline uint8_t *apn_rdma_qp_frame(const struct apn_rdma_qp *qp, uint32_t frame)
{
    return qp->memory + ((size_t)qp->slots + frame % qp->frames) * qp->slot_bytes;
}
/** apn_rdma_qp_repost() - slots may be filled again */
int apn_rdma_qp_repost(struct apn_rdma_qp *qp, const uint32_t *slots, unsigned count);
/** apn_rdma_qp_arm() - make channel->fd readable at the next completion; look at the queues once more before waiting */
int apn_rdma_qp_arm(struct apn_rdma_qp *qp, bool send_too);
/** apn_rdma_qp_take_events() - empty the channel */
void apn_rdma_qp_take_events(struct apn_rdma_qp *qp);

#endif
