/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdma_plan.h - how many queue pairs, how deep, how much memory a path needs (docs/rdma-sizing.md)
 * The backend sizes its queue pairs with this, and `apn-rdma plan` prints it: one model for both.
 * Owner: caller.   Thread: any; pure.   Units: in the names. */
#ifndef APNMIG_RDMA_PLAN_H
#define APNMIG_RDMA_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include <apnmig/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct apn_rdma_path - what is known of the path and of both ends' adapters; 0 = not known, a default is taken
 * @rate_bytes_per_s: of the line, everything included
 * @rtt_ns:           round trip of the empty path
 * @page_bytes:       smallest extent to plan for: 4096 when dirty pages lie scattered
 * @lanes:            0 = as many as the model wants
 * @mtu_bytes:        path MTU of RDMA (256..4096), the smaller end's
 * @max_qp_wr, @max_cqe: limits of the device
 * @messages_per_s:   work requests the adapter carries out a second
 * @packets_per_qp:   packets one queue pair may have unacknowledged (soft-RoCE as shipped: 64; 0 = 2^23, the protocol's)
 * @timeout_ms:       silence after which the session ends: retries end before
 */
struct apn_rdma_path {
    uint64_t rate_bytes_per_s;
    uint64_t rtt_ns;
    uint32_t page_bytes;
    uint32_t lanes;
    uint32_t mtu_bytes;
    uint32_t max_qp_wr;
    uint32_t max_cqe;
    uint64_t messages_per_s;
    uint32_t packets_per_qp;
    uint32_t timeout_ms;
    bool ipv6;
};

/** enum apn_rdma_bound - what keeps throughput from being higher */
enum apn_rdma_bound {
    APN_RDMA_BOUND_LINE = 1,  /* the line, less headers: nothing to gain */
    APN_RDMA_BOUND_DEPTH,     /* work requests in flight */
    APN_RDMA_BOUND_PACKETS,   /* packets in flight */
    APN_RDMA_BOUND_MESSAGES,  /* the adapter's message rate */
};

struct apn_rdma_plan {
    uint32_t lanes;            /* queue pairs */
    uint32_t depth;            /* work requests of each send queue */
    uint32_t signal_every;     /* of which one in so many reports completion */
    uint32_t slots;            /* receive slots of each */
    uint32_t slot_bytes;
    uint32_t cq_entries;
    uint8_t ack_timeout;       /* local ACK timeout, 4.096 us * 2^n (InfiniBand 1.4, 9.7.6.1.3) */
    uint8_t retries;
    uint8_t rnr_timer;         /* code of table 45 there */
    uint64_t bdp_bytes;
    uint64_t window_bytes;     /* 1.25 x BDP: in flight at most */
    uint64_t requests_in_flight; /* that fill the window at @page_bytes */
    uint64_t lane_memory_bytes;  /* locked, each lane, each end, guest memory not counted */
    uint64_t goodput_bytes_per_s; /* guest memory a second */
    enum apn_rdma_bound bound;
};

/** apn_rdma_plan() - Return: 0; -EINVAL and a sentence when a number is outside its limits */
int apn_rdma_plan(const struct apn_rdma_path *path, struct apn_rdma_plan *out, struct apn_error *err);

/** apn_rdma_bound_name() - words for @bound */
const char *apn_rdma_bound_name(enum apn_rdma_bound bound);

#ifdef __cplusplus
}
#endif
#endif
