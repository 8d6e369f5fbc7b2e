/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c - see apnmig/rdma_plan.h; formulas and where they come from: docs/rdma-sizing.md */
#include <apnmig/rdma_plan.h>

#include <errno.h>
#include <inttypes.h>

#include "wire/rdma.h"

#define RATE_DEFAULT     1250000000ull /* 10 Gb/s */
#define RATE_MAX         250000000000ull
#define RTT_DEFAULT_NS   1000000ull
#define RTT_MAX_NS       2000000000ull
#define LANES_MAX        32u
#define LANE_RATE        6250000000ull /* one lane's thread is planned for 50 Gb/s */
#define DEPTH_MIN        64u
#define DEPTH_MAX        32768u
#define SLOT_BYTES       8192u
#define TIMEOUT_MS       8000u
#define PACKETS_PROTOCOL (1u << 23) /* half of the 24-bit packet number space */
/* per packet: preamble and gap 20, Ethernet 14 + 4, IPv4 20 or IPv6 40, UDP 8, BTH 12, ICRC 4; RETH 16 in the first of a WRITE */
#define PACKET_BYTES_V4  82u
#define PACKET_BYTES_V6  102u
#define RETH_BYTES       16u
#define WR_BYTES         192u /* of a send queue, with two gather entries: rxe and mlx5 stay below */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t within(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static uint64_t per_round_trip(uint64_t rate, uint64_t rtt_ns)
{
    return (uint64_t)((double)rate * (double)rtt_ns / 1e9);
}

static int check(const struct apn_rdma_path *p, struct apn_error *err)
{
    if (p->rate_bytes_per_s > RATE_MAX) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "rate %" PRIu64 " bytes/s: must be %llu at most",
                             p->rate_bytes_per_s, RATE_MAX);
    }
    if (p->rtt_ns > RTT_MAX_NS) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "round trip %" PRIu64 " ns: must be %llu at most", p->rtt_ns,
                             RTT_MAX_NS);
    }
    if (p->lanes > LANES_MAX) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "lanes %u: must be %u at most", p->lanes, LANES_MAX);
    }
    if (p->page_bytes && (p->page_bytes < 4096 || p->page_bytes > 256u << 10 || p->page_bytes % 4096)) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "extent of %u bytes: must be a multiple of 4096, 256 KiB at most", p->page_bytes);
    }
    if (p->mtu_bytes && (p->mtu_bytes < 256 || p->mtu_bytes > 4096 || (p->mtu_bytes & (p->mtu_bytes - 1)))) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "mtu %u: RDMA knows 256, 512, 1024, 2048 and 4096",
                             p->mtu_bytes);
    }
    return 0;
}

/* ---- timers ------------------------------------------------------------------ */

#define SLACK_NS 200000000ull /* the smallest window of the engine, 1 MiB, takes 131 ms on a line of 64 Mb/s */

/* Four round trips and what may queue on a slow line, or everything in flight is sent again because of the queue; lost packets
 * are asked for by the peer long before. Yet all tries end within half the session's timeout. */
static uint8_t ack_timeout(uint64_t rtt_ns, uint32_t timeout_ms, uint8_t retries)
{
    const uint64_t want_ns = 4 * rtt_ns + SLACK_NS, most_ns = (uint64_t)timeout_ms * 500000 / (retries + 1u);
    uint8_t code = 8;

    while (code < 31 && (4096ull << code) < want_ns && (4096ull << (code + 1)) <= most_ns) {
        code++;
    }
    return code;
}

/* the peer is out of slots only by mistake; then it is asked again after an eighth of a round trip */
static uint8_t rnr_timer(uint64_t rtt_ns)
{
    static const uint32_t us[32] = {655360, 10,  20,   30,   40,   60,   80,   120,   160,   240,   320,
                                    480,    640, 960,  1280, 1920, 2560, 3840, 5120,  7680,  10240, 15360,
                                    20480,  30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520};
    const uint64_t want_us = rtt_ns / 8000;
    uint8_t code = 1;

    while (code < 31 && us[code] < want_us) {
        code++;
    }
    return code;
}

/* ---- sizes ---------------------------------------------------------------------- */

/* bytes on the line for one extent: its packets, its record, and its share of the frame that carries the record */
static double line_bytes(const struct apn_rdma_path *p, uint32_t extent, uint32_t mtu)
{
    const double header = p->ipv6 ? PACKET_BYTES_V6 : PACKET_BYTES_V4;
    const double packets = (double)((extent + mtu - 1) / mtu);
    const double record = APN_WIRE_RECORD_BYTES * (1.0 + (header * (SLOT_BYTES / (double)mtu) + APN_WIRE_FRAME_BYTES) / SLOT_BYTES);

    return extent + packets * header + RETH_BYTES + record;
}

static void bound(struct apn_rdma_plan *plan, double limit, enum apn_rdma_bound why)
{
    if (limit < (double)plan->goodput_bytes_per_s) {
        plan->goodput_bytes_per_s = (uint64_t)limit;
        plan->bound = why;
    }
}

static void throughput(const struct apn_rdma_path *p, struct apn_rdma_plan *plan, uint32_t extent, uint32_t mtu, double rtt_s)
{
    const double rate = (double)or_default(p->rate_bytes_per_s, RATE_DEFAULT);
    const double packets = (double)or_default(p->packets_per_qp, PACKETS_PROTOCOL);

    plan->goodput_bytes_per_s = (uint64_t)(rate * extent / line_bytes(p, extent, mtu));
    plan->bound = APN_RDMA_BOUND_LINE;
    bound(plan, (double)plan->lanes * plan->depth * extent / rtt_s, APN_RDMA_BOUND_DEPTH);
    bound(plan, (double)plan->lanes * packets * mtu / rtt_s, APN_RDMA_BOUND_PACKETS);
    if (p->messages_per_s) {
        bound(plan, (double)p->messages_per_s * extent, APN_RDMA_BOUND_MESSAGES);
    }
}

/* enough lanes for the threads, for the depth of a queue, and for the packets one may have in flight */
static uint32_t lanes_wanted(const struct apn_rdma_path *p, const struct apn_rdma_plan *plan, uint64_t depth_max, uint32_t mtu)
{
    uint64_t lanes = (or_default(p->rate_bytes_per_s, RATE_DEFAULT) + LANE_RATE - 1) / LANE_RATE;
    uint64_t packets = or_default(p->packets_per_qp, PACKETS_PROTOCOL);
    uint64_t by_depth = (plan->requests_in_flight + depth_max - 1) / depth_max;
    uint64_t by_packets = (plan->window_bytes + packets * mtu - 1) / (packets * mtu);

    lanes = by_depth > lanes ? by_depth : lanes;
    lanes = by_packets > lanes ? by_packets : lanes;
    return (uint32_t)within(lanes, 1, LANES_MAX);
}

static void slots(struct apn_rdma_plan *plan, uint64_t requests)
{
    /* records of everything in flight, twice: frames are not full when there is little to say */
    plan->slot_bytes = SLOT_BYTES;
    plan->slots = (uint32_t)within(2 * requests * APN_WIRE_RECORD_BYTES / SLOT_BYTES, 64, 1024);
}

int apn_rdma_plan(const struct apn_rdma_path *p, struct apn_rdma_plan *out, struct apn_error *err)
{
    const uint64_t rate = or_default(p->rate_bytes_per_s, RATE_DEFAULT), rtt_ns = or_default(p->rtt_ns, RTT_DEFAULT_NS);
    const uint32_t extent = (uint32_t)or_default(p->page_bytes, 4096), mtu = (uint32_t)or_default(p->mtu_bytes, 4096);
    const uint64_t depth_max = smaller(or_default(p->max_qp_wr, DEPTH_MAX), DEPTH_MAX);
    struct apn_rdma_plan plan = {.retries = 7};
    uint64_t requests;
    int ret = check(p, err);

    if (ret) {
        return ret;
    }
    plan.bdp_bytes = per_round_trip(rate, rtt_ns);
    plan.window_bytes = plan.bdp_bytes + plan.bdp_bytes / 4;
    plan.requests_in_flight = (plan.window_bytes + extent - 1) / extent;
    plan.lanes = p->lanes ? p->lanes : lanes_wanted(p, &plan, depth_max, mtu);
    requests = (plan.requests_in_flight + plan.lanes - 1) / plan.lanes;
    slots(&plan, requests);
    /* one SEND may follow every few WRITEs */
    plan.depth = (uint32_t)within(requests + requests / 4 + plan.slots, DEPTH_MIN, depth_max);
    plan.slots = (uint32_t)within(plan.slots, APN_RDMA_SLOTS_MIN, plan.depth);
    plan.signal_every = plan.depth / 8;
    /* when a queue pair fails, every request in its queues is reported */
    plan.cq_entries = (uint32_t)within(plan.depth + 1, DEPTH_MIN, or_default(p->max_cqe, UINT32_MAX));
    plan.ack_timeout = ack_timeout(rtt_ns, (uint32_t)or_default(p->timeout_ms, TIMEOUT_MS), plan.retries);
    plan.rnr_timer = rnr_timer(rtt_ns);
    plan.lane_memory_bytes = 2ull * plan.slots * plan.slot_bytes + (uint64_t)plan.depth * WR_BYTES;
    throughput(p, &plan, extent, mtu, (double)rtt_ns / 1e9);
    *out = plan;
    return 0;
}

const char *apn_rdma_bound_name(enum apn_rdma_bound bound)
{
    static const char *const names[] = {
        [APN_RDMA_BOUND_LINE] = "the line itself",
        [APN_RDMA_BOUND_DEPTH] = "work requests in flight (depth of the send queues)",
        [APN_RDMA_BOUND_PACKETS] = "packets in flight of each queue pair",
        [APN_RDMA_BOUND_MESSAGES] = "the adapter's message rate",
    };

    return bound >= APN_RDMA_BOUND_LINE && bound <= APN_RDMA_BOUND_MESSAGES ? names[bound] : "unknown";
}
