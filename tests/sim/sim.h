/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim.h - whole migrations in virtual time: the engine's own code, both ends in one process, over
 * the loop world
 *
 * Theory of operation
 *   A plan says what guest, path and mishaps there are, and what must come of it. The source
 * program does what QEMU's migration thread does (sync the bitmap, post runs for lanes with room,
 * stop when the predicted blackout fits, fence, device state, grant, verdict), the destination
 * program what its incoming side does. The driver moves time from event to event. Who may run the
 * guest is checked at every step, not at the end.
 *
 * Owner: sim_run() makes and frees everything.   Thread: one.   Time: virtual ns.   Units: bytes,
 * ns. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <apnmig/apnmig.h>

#include "backend/loop/loop.h"
#include "engine/session_env.h"
#include "sim/guest.h"
#include "support/clock.h"

#define SIM_MISHAPS_MAX   6u
#define SIM_VIOLATION_MAX 256u

/** enum sim_stage - how far a migration is; mishaps are timed from when a stage is reached */
enum sim_stage {
    SIM_CONNECTING,
    SIM_SETUP,
    SIM_PRECOPY,
    SIM_STOPPED, /* the guest stands still at the source */
    SIM_RESIDUE, /* all pages are posted, the fence too */
    SIM_STATE,   /* all device state is written */
    SIM_GRANTED, /* the source has passed the commit point */
    SIM_OVER,    /* source has a verdict, or failed */
    SIM_LOADED,  /* destination */
    SIM_STARTED, /* destination runs the guest */
    SIM_STAGES
};

enum sim_mishap_kind {
    SIM_NO_MISHAP,
    SIM_RESET_LANE,
    SIM_STALL_LANE,
    SIM_CUT_SILENT, /* path gone for @for_ns; UINT64_MAX = for good */
    SIM_CUT_RESET,
    SIM_CANCEL,
    SIM_KILL_DEST,
    SIM_KILL_SOURCE,
    SIM_FREEZE_DEST, /* stopped, for @for_ns */
    SIM_MISHAP_KINDS
};

struct sim_mishap {
    enum sim_mishap_kind kind;
    enum sim_stage stage;
    uint64_t after_ns;
    uint64_t for_ns;
    unsigned lane;
};

/** enum sim_expect - what must come of a plan; the rules of ownership hold in any case */
enum sim_expect {
    SIM_MUST_COMPLETE,   /* the destination runs, the source knows */
    SIM_MUST_FAIL,       /* the guest runs on at the source */
    SIM_MUST_BE_UNKNOWN, /* the source stays paused and says that it cannot know */
    SIM_MAY_BE_ANY,      /* any outcome that is consistent, in bounded time */
};

struct sim_plan {
    uint64_t seed;
    uint64_t rate_bytes_per_s;
    uint64_t delay_ns; /* one way */
    uint32_t lanes;
    enum apn_commit commit;
    struct guest_model guest;
    uint64_t window_bytes;
    uint64_t downtime_ns; /* limit of the predicted blackout */
    uint64_t stop_ns, sync_ns, save_ns, load_ns;
    uint32_t state_bytes;
    uint32_t timeout_ms; /* 0 = default */
    bool barrier;        /* negative control: drain after each sync */
    bool load_fails;
    char source_filters[128], dest_filters[128];
    struct sim_mishap mishap[SIM_MISHAPS_MAX];
    enum sim_expect expect;
    uint64_t quantum_ns;     /* time moves at least that much */
    uint64_t precopy_max_ns; /* then the user cancels */
    uint64_t limit_ns;       /* nothing may take longer */
    bool verbose;
};

struct sim_result {
    char violation[SIM_VIOLATION_MAX]; /* "" = all rules held */
    enum apn_state source_state, dest_state;
    struct apn_error source_error, dest_error;
    bool dest_ran, source_runs, granted, memory_compared;
    uint64_t at_ns[SIM_STAGES]; /* 0 = never reached */
    struct apn_prediction predicted;
    uint64_t blackout_ns; /* source stops -> destination starts */
    uint64_t end_ns;
    unsigned rounds;
    unsigned lanes_lost;          /* at the end that lost more */
    uint64_t bulk_bytes, bulk_ns; /* wire, from 200 ms into precopy until the guest stops */
    double bulk_share;            /* of the rate */
    double boundary_idle_max; /* share of the 10 ms after a sync in which the wire was idle, worst
                                 round */
    uint64_t backlog_max; /* bytes waiting for the wire, from 200 ms into precopy until the guest
                             stops */
    struct apn_stats stats;
};

/** sim_run() - carry out a plan. Return: 0 when every rule held and the outcome is the expected
 * one, else -1 and result->violation says what was broken. */
int sim_run(const struct sim_plan *plan, struct sim_result *result);

/** sim_plan_from_seed() - a guest, a path and mishaps out of one number */
void sim_plan_from_seed(struct sim_plan *plan, uint64_t seed);
void sim_plan_print(const struct sim_plan *plan);
/** sim_matrix() - every arrow lost, every end struck at every stage. @only: one of them by name.
 * Return: failures, -1 unknown. */
int sim_matrix(const char *only, bool verbose);
/** sim_figures() - the named big runs and negative controls. @only: a name, NULL = all. Return:
 * failures, -1 unknown name. */
int sim_figures(const char *only, bool verbose);

#endif
