/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qp.c - see qp.h */
#include "backend/rdma/qp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>

#define REPOST_MAX  64u
#define INLINE_WISH 256u
#define PSN_MASK    0xffffffu
#define HOPS        64

/* the one limit that stops an ordinary user: memory that the device reads is locked */
static int explain(const struct apn_rdma_qp *qp, const char *what, int code, size_t bytes, struct apn_error *err)
{
    struct rlimit limit = {0};

    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (code == ENOMEM && limit.rlim_cur != RLIM_INFINITY) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION,
                             "rdma: RLIMIT_MEMLOCK is %llu KiB: too small for the %zu KiB of buffers of one lane, and for guest "
                             "memory (ulimit -l unlimited, LimitMEMLOCK=infinity)",
                             (unsigned long long)limit.rlim_cur >> 10, bytes >> 10);
    }
    return apn_error_set(err, code ? -code : -EIO, APN_SCOPE_LANE, "rdma: %s: %s: %s", qp->device->name, what,
                         strerror(code ? code : EIO));
}

/* ---- making ------------------------------------------------------------------- */

static int make_memory(struct apn_rdma_qp *qp, struct apn_error *err)
{
    void *memory;

    qp->memory_bytes = ((size_t)qp->slots + qp->frames) * qp->slot_bytes;
    memory = mmap(NULL, qp->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return explain(qp, "buffers", ENOMEM, qp->memory_bytes, err);
    }
    qp->memory = memory;
    qp->mr = qp->device->v->reg_mr(qp->device->pd, qp->memory, qp->memory_bytes, IBV_ACCESS_LOCAL_WRITE);
    return qp->mr ? 0 : explain(qp, "buffers", errno, qp->memory_bytes, err);
}

static int make_queues(struct apn_rdma_qp *qp, const struct apn_rdma_plan *plan, struct apn_error *err)
{
    const struct apn_verbs *v = qp->device->v;
    struct ibv_context *context = qp->device->context;

    qp->channel = v->create_comp_channel(context);
    if (!qp->channel) {
        return explain(qp, "completion channel", errno, qp->memory_bytes, err);
    }
    fcntl(qp->channel->fd, F_SETFL, fcntl(qp->channel->fd, F_GETFL) | O_NONBLOCK);
    qp->receive_cq = v->create_cq(context, (int)qp->slots + 1, NULL, qp->channel, 0);
    qp->send_cq = qp->receive_cq ? v->create_cq(context, (int)plan->cq_entries, NULL, qp->channel, 0) : NULL;
    return qp->send_cq ? 0 : explain(qp, "completion queue", errno, qp->memory_bytes, err);
}

/* The device may want fewer inline bytes or gather entries than we wish. */
static int make_pair(struct apn_rdma_qp *qp, void *opaque, struct apn_error *err)
{
    uint32_t inline_bytes = INLINE_WISH;

    for (;;) {
        struct ibv_qp_init_attr attr = {.qp_context = opaque,
                                        .send_cq = qp->send_cq,
                                        .recv_cq = qp->receive_cq,
                                        .qp_type = IBV_QPT_RC,
                                        .cap = {.max_send_wr = qp->depth,
                                                .max_recv_wr = qp->slots,
                                                .max_send_sge = qp->gather,
                                                .max_recv_sge = 1,
                                                .max_inline_data = inline_bytes}};

        qp->qp = qp->device->v->create_qp(qp->device->pd, &attr);
        if (qp->qp) {
            qp->inline_bytes = attr.cap.max_inline_data < INLINE_WISH ? attr.cap.max_inline_data : INLINE_WISH;
            return 0;
        }
        if (!inline_bytes) {
            return explain(qp, "queue pair", errno, qp->memory_bytes, err);
        }
        inline_bytes = inline_bytes > 32 ? inline_bytes / 2 : 0;
    }
}

static int post_all(struct apn_rdma_qp *qp, struct apn_error *err)
{
    for (uint32_t slot = 0; slot < qp->slots; slot++) {
        int ret = apn_rdma_qp_repost(qp, &slot, 1);

        if (ret) {
            return apn_error_set(err, ret, APN_SCOPE_LANE, "rdma: %s: receive slot %u: %s", qp->device->name, slot,
                                 strerror(-ret));
        }
    }
    return 0;
}

int apn_rdma_qp_open(struct apn_rdma_qp *qp, const struct apn_rdma_device *device, const struct apn_rdma_plan *plan,
                     void *opaque, struct apn_error *err)
{
    struct ibv_qp_attr init = {.qp_state = IBV_QPS_INIT,
                               .port_num = device->port,
                               .qp_access_flags = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE};
    int ret;

    *qp = (struct apn_rdma_qp){.device = device, .slots = plan->slots, .frames = plan->slots, .slot_bytes = plan->slot_bytes,
                               .depth = plan->depth};
    qp->gather = (uint32_t)device->attr.max_sge < APN_RDMA_GATHER ? (uint32_t)device->attr.max_sge : APN_RDMA_GATHER;
    if (getrandom(&qp->psn, sizeof(qp->psn), 0) != (ssize_t)sizeof(qp->psn)) {
        return apn_error_set(err, -EIO, APN_SCOPE_LANE, "rdma: getrandom: no random numbers");
    }
    qp->psn &= PSN_MASK;
    ret = make_memory(qp, err);
    ret = ret ? ret : make_queues(qp, plan, err);
    ret = ret ? ret : make_pair(qp, opaque, err);
    if (ret) {
        return ret;
    }
    ret = device->v->modify_qp(qp->qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    if (ret) {
        return explain(qp, "queue pair to INIT", ret, qp->memory_bytes, err);
    }
    return post_all(qp, err);
}

void apn_rdma_qp_offer(const struct apn_rdma_qp *qp, struct apn_rdma_offer *out)
{
    const struct apn_rdma_device *d = qp->device;

    *out = (struct apn_rdma_offer){.qpn = qp->qp->qp_num,
                                   .psn = qp->psn,
                                   .slots = qp->slots,
                                   .slot_bytes = qp->slot_bytes,
                                   .lid = d->port_attr.lid,
                                   .mtu = (uint8_t)d->port_attr.active_mtu,
                                   .reads = qp->answers,
                                   .link_layer = d->port_attr.link_layer == IBV_LINK_LAYER_ETHERNET ? 2 : 1};
    memcpy(out->gid, d->gid.raw, sizeof(out->gid));
}

/* ---- connecting ---------------------------------------------------------------- */

static int to_receive(struct apn_rdma_qp *qp, const struct apn_rdma_offer *peer, const struct apn_rdma_plan *plan, uint8_t mtu)
{
    const struct apn_rdma_device *d = qp->device;
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = mtu,
        .dest_qp_num = peer->qpn,
        .rq_psn = peer->psn,
        .max_dest_rd_atomic = qp->answers ? qp->answers : 1,
        .qp_access_flags = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | (qp->answers ? IBV_ACCESS_REMOTE_READ : 0),
        .min_rnr_timer = plan->rnr_timer,
        .ah_attr = {.dlid = peer->lid,
                    .port_num = d->port,
                    .is_global = 1,
                    .grh = {.hop_limit = HOPS, .sgid_index = d->gid_index}},
    };

    memcpy(attr.ah_attr.grh.dgid.raw, peer->gid, sizeof(peer->gid));
    return d->v->modify_qp(qp->qp, &attr,
                           IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                               IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER | IBV_QP_ACCESS_FLAGS);
}

static uint8_t reads_of(const struct apn_rdma_qp *qp, const struct apn_rdma_offer *peer)
{
    const int can = qp->device->attr.max_qp_init_rd_atom, most = can < (int)APN_RDMA_READS_MAX ? can : (int)APN_RDMA_READS_MAX;

    return (uint8_t)(peer->reads < most ? peer->reads : most < 0 ? 0 : most);
}

static int to_send(struct apn_rdma_qp *qp, const struct apn_rdma_plan *plan)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS,
                               .timeout = plan->ack_timeout,
                               .retry_cnt = plan->retries,
                               .rnr_retry = 7, /* for ever: credits make it a rarity */
                               .sq_psn = qp->psn,
                               .max_rd_atomic = qp->reads ? qp->reads : 1};

    return qp->device->v->modify_qp(qp->qp, &attr,
                                    IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                                        IBV_QP_MAX_QP_RD_ATOMIC);
}

int apn_rdma_qp_connect(struct apn_rdma_qp *qp, const struct apn_rdma_offer *peer, const struct apn_rdma_plan *plan,
                        struct apn_error *err)
{
    const struct apn_rdma_device *d = qp->device;
    const uint8_t own = (uint8_t)d->port_attr.active_mtu, mtu = peer->mtu < own ? peer->mtu : own;
    const uint8_t layer = d->port_attr.link_layer == IBV_LINK_LAYER_ETHERNET ? 2 : 1;
    int ret;

    if (peer->link_layer != layer) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "rdma: %s speaks %s, the peer's device %s", d->name,
                             layer == 2 ? "RoCE" : "InfiniBand", layer == 2 ? "InfiniBand" : "RoCE");
    }
    ret = to_receive(qp, peer, plan, mtu);
    if (ret) {
        return apn_error_set(err, -ret, APN_SCOPE_LANE,
                             "rdma: %s port %u, GID %u: no way to the peer's GID from here: %s (both GIDs must be of one "
                             "family and network)",
                             d->name, d->port, d->gid_index, strerror(ret));
    }
    qp->reads = reads_of(qp, peer);
    ret = to_send(qp, plan);
    if (ret) {
        return explain(qp, "queue pair to RTS", ret, qp->memory_bytes, err);
    }
    qp->peer_slots = peer->slots;
    qp->peer_slot_bytes = peer->slot_bytes < qp->slot_bytes ? peer->slot_bytes : qp->slot_bytes;
    qp->mtu_bytes = 128u << mtu;
    return 0;
}

/* ---- running --------------------------------------------------------------------- */

int apn_rdma_qp_repost(struct apn_rdma_qp *qp, const uint32_t *slots, unsigned count)
{
    struct ibv_recv_wr wr[REPOST_MAX], *bad;
    struct ibv_sge sge[REPOST_MAX];

    while (count) {
        unsigned n = count < REPOST_MAX ? count : REPOST_MAX;
        int ret;

        for (unsigned i = 0; i < n; i++) {
            sge[i] = (struct ibv_sge){(uint64_t)(uintptr_t)apn_rdma_qp_slot(qp, slots[i]), qp->slot_bytes, qp->mr->lkey};
            wr[i] = (struct ibv_recv_wr){
                .wr_id = slots[i], .sg_list = &sge[i], .num_sge = 1, .next = i + 1 < n ? &wr[i + 1] : NULL};
        }
        ret = ibv_post_recv(qp->qp, wr, &bad);
        if (ret) {
            return -ret;
        }
        slots += n;
        count -= n;
    }
    return 0;
}

int apn_rdma_qp_arm(struct apn_rdma_qp *qp, bool send_too)
{
    int ret = ibv_req_notify_cq(qp->receive_cq, 0);

    return ret ? -ret : send_too ? -ibv_req_notify_cq(qp->send_cq, 0) : 0;
}

void apn_rdma_qp_take_events(struct apn_rdma_qp *qp)
{
    struct ibv_cq *cq;
    void *opaque;

    while (!qp->device->v->get_cq_event(qp->channel, &cq, &opaque)) {
        qp->device->v->ack_cq_events(cq, 1);
    }
}

void apn_rdma_qp_fail(struct apn_rdma_qp *qp)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

    if (qp->qp) {
        qp->device->v->modify_qp(qp->qp, &attr, IBV_QP_STATE);
    }
}

void apn_rdma_qp_close(struct apn_rdma_qp *qp)
{
    const struct apn_verbs *v = qp->device ? qp->device->v : NULL;

    if (qp->qp) {
        v->destroy_qp(qp->qp);
    }
    if (qp->send_cq) {
        v->destroy_cq(qp->send_cq);
    }
    if (qp->receive_cq) {
        v->destroy_cq(qp->receive_cq);
    }
    if (qp->channel) {
        v->destroy_comp_channel(qp->channel);
    }
    if (qp->mr) {
        v->dereg_mr(qp->mr);
    }
    if (qp->memory) {
        munmap(qp->memory, qp->memory_bytes);
    }
    *qp = (struct apn_rdma_qp){0};
}
