/* SPDX-License-Identifier: GPL-2.0-or-later */
/* figures.c - big runs whose figures are asserted, and negative controls that must fail the same
 * assertion (see sim.h) */
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"

#define GBIT 125000000ull
#define GIB  (1ull << 30)
#define MIB  (1ull << 20)

/* What a run must keep, and what a control must break. */
enum figure_rule {
    RULE_BULK = 1,       /* >= 95 % of the line rate in bulk */
    RULE_BOUNDARY = 2,   /* a round ends: the wire idles < 10 % of the 10 ms after a sync */
    RULE_PREDICTION = 4, /* blackout within 20 % of the predicted */
    RULE_QUEUE = 8,      /* what waits for the wire stays a fraction of a BDP (below) */
};

/* A quarter of a BDP waits by the window's rule, half of one in the round trip after the window has
 * shrunk to measure the path; the rest is margin. */
#define BULK_MIN       0.95
#define BOUNDARY_MAX   0.10
#define PREDICTION_MAX 0.20
#define QUEUE_MAX_BDP  0.6

struct figure {
    const char *name;
    uint64_t rate_gbit;
    uint64_t guest_bytes;
    enum guest_pattern pattern;
    uint64_t dirty_gbit;
    uint32_t lanes;
    unsigned rules;  /* that hold */
    unsigned breaks; /* negative control: that must not hold */
    uint64_t window_bytes;
    bool barrier;
    enum apn_commit commit;
    struct sim_mishap mishap[SIM_MISHAPS_MAX];
};

#define ALL_RULES (RULE_BULK | RULE_BOUNDARY | RULE_PREDICTION | RULE_QUEUE)
#define MS        APN_NS_PER_MS

static const struct figure figures[] = {
    {"idle-100", 100, 64 * GIB, GUEST_IDLE, 0, 4, ALL_RULES, 0, 0, false, APN_COMMIT_FAST, {{0}}},
    {"idle-400", 400, 64 * GIB, GUEST_IDLE, 0, 8, ALL_RULES, 0, 0, false, APN_COMMIT_FAST, {{0}}},
    {"one-lane-100",
     100,
     64 * GIB,
     GUEST_UNIFORM,
     2,
     1,
     ALL_RULES,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{0}}},
    {"uniform-5-100",
     100,
     64 * GIB,
     GUEST_UNIFORM,
     5,
     4,
     ALL_RULES,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{0}}},
    {"uniform-20-100",
     100,
     64 * GIB,
     GUEST_UNIFORM,
     20,
     4,
     ALL_RULES,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{0}}},
    {"uniform-20-400",
     400,
     64 * GIB,
     GUEST_UNIFORM,
     20,
     8,
     ALL_RULES,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{0}}},
    {"hot-20-100", 100, 64 * GIB, GUEST_HOT, 20, 4, ALL_RULES, 0, 0, false, APN_COMMIT_FAST, {{0}}},
    {"hot-20-400", 400, 64 * GIB, GUEST_HOT, 20, 8, ALL_RULES, 0, 0, false, APN_COMMIT_FAST, {{0}}},
    {"sequential-20-100",
     100,
     64 * GIB,
     GUEST_SEQUENTIAL,
     20,
     4,
     ALL_RULES,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{0}}},
    {"sequential-20-400",
     400,
     64 * GIB,
     GUEST_SEQUENTIAL,
     20,
     8,
     ALL_RULES,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{0}}},
    {"safe-100", 100, 64 * GIB, GUEST_HOT, 10, 4, ALL_RULES, 0, 0, false, APN_COMMIT_SAFE, {{0}}},
    {"lanes-lost-100",
     100,
     64 * GIB,
     GUEST_HOT,
     10,
     4,
     RULE_PREDICTION,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{SIM_RESET_LANE, SIM_PRECOPY, 500 * MS, 0, 0},
      {SIM_RESET_LANE, SIM_PRECOPY, 1500 * MS, 0, 1},
      {SIM_STALL_LANE, SIM_PRECOPY, 2500 * MS, 0, 2},
      {SIM_RESET_LANE, SIM_PRECOPY, 2600 * MS, 0, 3}}},
    {"path-cut-400",
     400,
     64 * GIB,
     GUEST_HOT,
     10,
     8,
     RULE_PREDICTION,
     0,
     0,
     false,
     APN_COMMIT_FAST,
     {{SIM_CUT_SILENT, SIM_PRECOPY, 700 * MS, 5000 * MS, 0}}},
    /* negative controls */
    {"control-stop-and-wait",
     100,
     1 * GIB,
     GUEST_IDLE,
     0,
     4,
     0,
     RULE_BULK,
     APN_EXTENT_MAX,
     false,
     APN_COMMIT_FAST,
     {{0}}},
    {"control-barrier",
     100,
     16 * GIB,
     GUEST_UNIFORM,
     20,
     4,
     0,
     RULE_BOUNDARY,
     0,
     true,
     APN_COMMIT_FAST,
     {{0}}},
    {"control-unlimited",
     100,
     16 * GIB,
     GUEST_UNIFORM,
     10,
     4,
     0,
     RULE_QUEUE,
     UINT64_MAX,
     false,
     APN_COMMIT_FAST,
     {{0}}},
};
#define FIGURES (sizeof(figures) / sizeof(figures[0]))

static void plan_of(const struct figure *f, struct sim_plan *plan)
{
    *plan = (struct sim_plan){
        .seed = 1,
        .rate_bytes_per_s = f->rate_gbit * GBIT,
        .delay_ns = 3 * MS,
        .lanes = f->lanes,
        .commit = f->commit,
        .guest = {.bytes = f->guest_bytes,
                  .pattern = f->pattern,
                  .dirty_bytes_per_s = f->dirty_gbit * GBIT,
                  .hot_bytes = 1 * GIB},
        .window_bytes = f->window_bytes,
        .downtime_ns = 50 * MS,
        .stop_ns = 1 * MS,
        .sync_ns = 2 * MS,
        .save_ns = 3 * MS,
        .load_ns = 4 * MS,
        .state_bytes = 3 * MIB / 2,
        .barrier = f->barrier,
        .expect = SIM_MUST_COMPLETE,
        .quantum_ns = f->rate_gbit >= 400 ? 10 * APN_NS_PER_US : 20 * APN_NS_PER_US,
        .precopy_max_ns = 600 * APN_NS_PER_S,
        .limit_ns = 900 * APN_NS_PER_S,
    };
    memcpy(plan->mishap, f->mishap, sizeof(plan->mishap));
}

static double prediction_error(const struct sim_result *r)
{
    double error =
        ((double)r->predicted.total_ns - (double)r->blackout_ns) / (double)r->blackout_ns;

    return error < 0 ? -error : error;
}

static double queue_in_bdp(const struct figure *f, const struct sim_result *r)
{
    return (double)r->backlog_max / ((double)(f->rate_gbit * GBIT) * 0.006);
}

static unsigned rules_kept(const struct figure *f, const struct sim_result *r)
{
    unsigned kept = 0;

    kept |= r->bulk_share >= BULK_MIN ? RULE_BULK : 0;
    kept |= r->boundary_idle_max <= BOUNDARY_MAX ? RULE_BOUNDARY : 0;
    kept |= r->blackout_ns && prediction_error(r) <= PREDICTION_MAX ? RULE_PREDICTION : 0;
    kept |= queue_in_bdp(f, r) <= QUEUE_MAX_BDP ? RULE_QUEUE : 0;
    return kept;
}

static int run_one(const struct figure *f, bool verbose)
{
    struct sim_plan plan;
    struct sim_result r;
    unsigned kept;
    bool good;

    plan_of(f, &plan);
    plan.verbose = verbose;
    good = !sim_run(&plan, &r);
    kept = rules_kept(f, &r);
    good = good && (kept & f->rules) == f->rules && !(kept & f->breaks);
    printf("{\"schema\":\"apn-sim/"
           "1\",\"name\":\"%s\",\"ok\":%s,\"control\":%s,\"rate_gbps\":%llu,\"rtt_ms\":6,\"guest_"
           "gib\":%llu,"
           "\"total_s\":%.3f,\"rounds\":%u,\"bulk_share\":%.4f,\"boundary_idle_max\":%.4f,"
           "\"predicted_ms\":%.3f,"
           "\"blackout_ms\":%.3f,\"queue_max_bdp\":%.3f,\"lanes_lost\":%u,\"resent_mib\":%.1f%s%s%"
           "s}\n",
           f->name, good ? "true" : "false", f->breaks ? "true" : "false",
           (unsigned long long)f->rate_gbit, (unsigned long long)(f->guest_bytes / GIB),
           (double)(r.end_ns - r.at_ns[SIM_CONNECTING]) / 1e9, r.rounds, r.bulk_share,
           r.boundary_idle_max, (double)r.predicted.total_ns / 1e6, (double)r.blackout_ns / 1e6,
           queue_in_bdp(f, &r), r.stats.lanes_lost, (double)r.stats.resent_bytes / (double)MIB,
           r.violation[0] ? ",\"violation\":\"" : "", r.violation, r.violation[0] ? "\"" : "");
    fflush(stdout);
    return good ? 0 : 1;
}

int sim_figures(const char *only, bool verbose)
{
    int failed = 0;
    bool found = false;

    for (size_t i = 0; i < FIGURES; i++) {
        if (!only || !strcmp(only, figures[i].name)) {
            found = true;
            failed += run_one(&figures[i], verbose);
        }
    }
    return found ? failed : -1;
}
