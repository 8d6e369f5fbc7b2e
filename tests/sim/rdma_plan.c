/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rdma_plan.c - the sizing model of rdma (apnmig/rdma_plan.h) against migrations in virtual time, at 100, 200 and 400 Gb/s
 *
 * The simulated path has the line's rate and delay and no packet headers; a limit of requests or packets in flight is given to it
 * as a window of that many bytes, which is what the limit amounts to. So the model's throughput, its packet headers taken out, must
 * come true within a few per cent, whether the line, the send queues or the packets in flight are what bounds it.
 * Owner: meson test.   Thread: one.   Time: virtual ns. */
#include <stdio.h>
#include <string.h>

#include <apnmig/rdma_plan.h>

#include "sim/sim.h"

#define GBIT      125000000ull
#define GIB       (1ull << 30)
#define EXTENT    65536u
#define TOLERANCE 0.05

struct point {
    const char *name;
    uint64_t rate_gbit;
    double rtt_ms;
    uint32_t lanes, max_qp_wr, packets_per_qp; /* 0 = as the model likes */
    enum apn_rdma_bound bound;                 /* that the model must name */
};

static const struct point points[] = {
    {"100G, 6 ms", 100, 6, 0, 0, 0, APN_RDMA_BOUND_LINE},
    {"200G, 6 ms", 200, 6, 0, 0, 0, APN_RDMA_BOUND_LINE},
    {"400G, 6 ms", 400, 6, 0, 0, 0, APN_RDMA_BOUND_LINE},
    {"100G, 30 ms", 100, 30, 0, 0, 0, APN_RDMA_BOUND_LINE},
    {"400G, 6 ms, queues of 256", 400, 6, 4, 256, 0, APN_RDMA_BOUND_DEPTH},
    {"100G, 6 ms, queues of 128", 100, 6, 4, 128, 0, APN_RDMA_BOUND_DEPTH},
    {"200G, 6 ms, 1024 packets", 200, 6, 8, 0, 1024, APN_RDMA_BOUND_PACKETS},
    {"400G, 6 ms, 2048 packets", 400, 6, 8, 0, 2048, APN_RDMA_BOUND_PACKETS},
};

/* bytes that the limits of the plan let be in flight; the line's own bound needs the whole window */
static uint64_t window_of(const struct point *p, const struct apn_rdma_plan *plan)
{
    switch (plan->bound) {
    case APN_RDMA_BOUND_DEPTH:
        return (uint64_t)plan->lanes * plan->depth * EXTENT;
    case APN_RDMA_BOUND_PACKETS:
        return (uint64_t)plan->lanes * p->packets_per_qp * 4096;
    default:
        return plan->window_bytes;
    }
}

static void simulate(const struct point *p, const struct apn_rdma_plan *plan, struct sim_plan *sim)
{
    *sim = (struct sim_plan){
        .seed = 1,
        .rate_bytes_per_s = p->rate_gbit * GBIT,
        .delay_ns = (uint64_t)(p->rtt_ms * 5e5),
        .lanes = plan->lanes,
        .guest = {.bytes = 16 * GIB, .pattern = GUEST_IDLE, .hot_bytes = GIB},
        .window_bytes = window_of(p, plan),
        .downtime_ns = 300 * APN_NS_PER_MS,
        .stop_ns = APN_NS_PER_MS,
        .sync_ns = 2 * APN_NS_PER_MS,
        .save_ns = 3 * APN_NS_PER_MS,
        .load_ns = 4 * APN_NS_PER_MS,
        .state_bytes = 3u << 19,
        .expect = SIM_MUST_COMPLETE,
        .quantum_ns = 20 * APN_NS_PER_US,
        .precopy_max_ns = 600 * APN_NS_PER_S,
        .limit_ns = 900 * APN_NS_PER_S,
    };
}

/* what the model says, had packets no headers: only records do in the simulation */
static double model_gbps(const struct point *p, const struct apn_rdma_plan *plan)
{
    const double gbps = (double)plan->goodput_bytes_per_s * 8e-9;

    return plan->bound == APN_RDMA_BOUND_LINE ? (double)p->rate_gbit : gbps;
}

static int run_point(const struct point *p)
{
    struct apn_rdma_path path = {.rate_bytes_per_s = p->rate_gbit * GBIT,
                                 .rtt_ns = (uint64_t)(p->rtt_ms * 1e6),
                                 .page_bytes = EXTENT,
                                 .lanes = p->lanes,
                                 .max_qp_wr = p->max_qp_wr,
                                 .packets_per_qp = p->packets_per_qp};
    struct apn_rdma_plan plan;
    struct sim_result r;
    struct sim_plan sim;
    struct apn_error err = {0};
    double model, simulated, error;
    bool good;

    if (apn_rdma_plan(&path, &plan, &err)) {
        printf("%s: %s\n", p->name, err.text);
        return 1;
    }
    simulate(p, &plan, &sim);
    good = !sim_run(&sim, &r);
    model = model_gbps(p, &plan);
    simulated = r.bulk_share * (double)p->rate_gbit;
    error = simulated / model - 1;
    good = good && plan.bound == p->bound && error > -TOLERANCE && error < TOLERANCE;
    printf("{\"name\": \"%s\", \"ok\": %s, \"lanes\": %u, \"depth\": %u, \"window_mb\": %.1f, \"bound\": \"%s\", "
           "\"model_gbps\": %.1f, \"simulated_gbps\": %.1f, \"with_headers_gbps\": %.1f%s%s}\n",
           p->name, good ? "true" : "false", plan.lanes, plan.depth, (double)sim.window_bytes / 1e6,
           apn_rdma_bound_name(plan.bound), model, simulated, (double)plan.goodput_bytes_per_s * 8e-9,
           r.violation[0] ? ", violation: " : "", r.violation);
    return good ? 0 : 1;
}

int main(void)
{
    int failed = 0;

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        failed += run_point(&points[i]);
    }
    return failed ? 1 : 0;
}
