/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plans.c - a guest, a path and mishaps out of one number (see sim.h)
 * Guests are small and real here: their memory is compared byte by byte whenever the destination
 * starts. */
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"

#define MIB (1ull << 20)

static uint64_t between(uint64_t *random, uint64_t low, uint64_t high)
{
    return low + sim_random(random) % (high - low + 1);
}

/* Short times are as likely as long ones. */
static uint64_t some_time(uint64_t *random, uint64_t max_ns)
{
    uint64_t ns = max_ns >> between(random, 0, 16);

    return between(random, 0, ns);
}

static void path_and_guest(struct sim_plan *plan, uint64_t *random)
{
    static const uint64_t rates[] = {62500000,  125000000,  312500000,
                                     625000000, 1250000000, 3125000000};
    static const uint64_t delays[] = {50000, 500000, 3000000, 3000000, 3000000, 15000000};

    plan->rate_bytes_per_s = rates[between(random, 0, 5)];
    plan->delay_ns = delays[between(random, 0, 5)];
    plan->lanes = (uint32_t)between(random, 1, 8);
    plan->commit = between(random, 0, 3) ? APN_COMMIT_FAST : APN_COMMIT_SAFE;
    plan->guest.bytes = between(random, 1, 20) * MIB + between(random, 0, 255) * APN_PAGE_SIZE;
    plan->guest.real_memory = true;
    plan->guest.pattern = (enum guest_pattern)between(random, 0, 3);
    plan->guest.hot_bytes = plan->guest.bytes / 8;
    plan->guest.dirty_bytes_per_s = plan->rate_bytes_per_s / 100 * between(random, 1, 40);
    plan->downtime_ns = between(random, 150, 400) * APN_NS_PER_MS;
    plan->stop_ns = some_time(random, 4 * APN_NS_PER_MS);
    plan->sync_ns = some_time(random, 2 * APN_NS_PER_MS);
    plan->save_ns = some_time(random, 8 * APN_NS_PER_MS);
    plan->load_ns = some_time(random, 8 * APN_NS_PER_MS);
    plan->state_bytes = (uint32_t)between(random, 1, 2 * MIB);
    plan->quantum_ns = 20 * APN_NS_PER_US;
    plan->precopy_max_ns = 60 * APN_NS_PER_S;
    plan->limit_ns = 120 * APN_NS_PER_S;
}

static struct sim_mishap mishap(uint64_t *random, enum sim_mishap_kind kind, uint64_t for_ns)
{
    enum sim_stage stage = (enum sim_stage)between(random, SIM_CONNECTING, SIM_STARTED);

    stage = stage == SIM_OVER ? SIM_PRECOPY : stage;
    return (struct sim_mishap){.kind = kind,
                               .stage = stage,
                               .after_ns = some_time(random, 100 * APN_NS_PER_MS),
                               .for_ns = for_ns,
                               .lane = (unsigned)between(random, 0, 7)};
}

static void message_fault(struct sim_plan *plan, uint64_t *random)
{
    static const char *const types[] = {"EXTENT",   "STREAM", "FENCE", "REGIONS", "REGIONS_OK",
                                        "PREFAULT", "READY",  "GRANT", "STARTED", "BYE",
                                        "APPLIED",  "PING",   "PONG",  "ANY"};
    static const char *const actions[] = {
        "cut", "cut", "stall", "cut@for=2s", "stall@for=2s", "cut-forever", "stall-forever"};
    unsigned action = (unsigned)between(random, 0, 6);
    const char *type = types[between(random, 0, 13)];
    bool often = !strcmp(type, "EXTENT") || !strcmp(type, "APPLIED") || !strcmp(type, "ANY");
    unsigned nth = (unsigned)between(random, 1, often ? 40 : 2);
    char *filters = between(random, 0, 1) ? plan->source_filters : plan->dest_filters;

    snprintf(filters, sizeof(plan->source_filters), "fault=%s:%s:%u:%s",
             between(random, 0, 1) ? "tx" : "rx", type, nth, actions[action]);
    plan->expect = action >= 5 ? SIM_MAY_BE_ANY : SIM_MUST_COMPLETE;
}

static void mishaps(struct sim_plan *plan, uint64_t *random)
{
    uint64_t ms = APN_NS_PER_MS;

    switch (between(random, 0, 11)) {
    case 0: /* nothing goes wrong */
        break;
    case 1:
        for (unsigned i = 0; i < SIM_MISHAPS_MAX; i++) {
            plan->mishap[i] = mishap(random, SIM_RESET_LANE, 0);
        }
        break;
    case 2:
        plan->mishap[0] = mishap(random, SIM_STALL_LANE, 0);
        plan->mishap[1] = mishap(random, SIM_RESET_LANE, 0);
        break;
    case 3:
        plan->mishap[0] = mishap(random, between(random, 0, 1) ? SIM_CUT_SILENT : SIM_CUT_RESET,
                                 between(random, 1, 5000) * ms);
        break;
    case 4:
        plan->mishap[0] =
            mishap(random, between(random, 0, 1) ? SIM_CUT_SILENT : SIM_CUT_RESET, UINT64_MAX);
        plan->expect = SIM_MAY_BE_ANY;
        break;
    case 5:
    case 6:
        message_fault(plan, random);
        break;
    case 7:
        plan->mishap[0] = mishap(random, SIM_CANCEL, 0);
        plan->expect = SIM_MAY_BE_ANY;
        break;
    case 8:
        plan->mishap[0] = mishap(random, SIM_KILL_DEST, 0);
        plan->expect = SIM_MAY_BE_ANY;
        break;
    case 9:
        plan->mishap[0] =
            mishap(random, SIM_FREEZE_DEST,
                   between(random, 0, 1) ? UINT64_MAX : between(random, 1, 4000) * ms);
        plan->expect = plan->mishap[0].for_ns == UINT64_MAX ? SIM_MAY_BE_ANY : SIM_MUST_COMPLETE;
        break;
    case 10:
        plan->load_fails = true;
        plan->expect = SIM_MUST_FAIL;
        if (between(random, 0, 1)) {
            plan->mishap[0] = mishap(random, SIM_RESET_LANE, 0);
        }
        break;
    default:
        if (between(random, 0, 1)) {
            plan->mishap[0] = mishap(random, SIM_KILL_SOURCE, 0);
            plan->expect = SIM_MAY_BE_ANY;
        } else {
            snprintf(plan->source_filters, sizeof(plan->source_filters),
                     "fault=tx:ANY:*:cut@p=0.003,seed=%llu", (unsigned long long)plan->seed);
        }
        break;
    }
}

void sim_plan_from_seed(struct sim_plan *plan, uint64_t seed)
{
    uint64_t random = seed ^ 0x5eed5eed5eed5eedull;

    memset(plan, 0, sizeof(*plan));
    plan->seed = seed;
    plan->expect = SIM_MUST_COMPLETE;
    path_and_guest(plan, &random);
    mishaps(plan, &random);
    for (unsigned i = 0; i < SIM_MISHAPS_MAX;
         i++) { /* what goes wrong while connecting may end the attempt */
        if (plan->mishap[i].kind && plan->mishap[i].stage == SIM_CONNECTING &&
            plan->expect == SIM_MUST_COMPLETE) {
            plan->expect = SIM_MAY_BE_ANY;
        }
    }
}
