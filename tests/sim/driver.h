/* SPDX-License-Identifier: GPL-2.0-or-later */
/* driver.h - inside of one simulated migration
 * Owner: sim_run().   Thread: one.   Time: virtual ns. */
#ifndef TESTS_SIM_DRIVER_H
#define TESTS_SIM_DRIVER_H

#include "sim/sim.h"

#define SIM_RUNS_PER_POST 64u

struct sim {
    const struct sim_plan *plan;
    struct sim_result *result;
    struct apn_loop_world *world;
    struct apn_session *source, *dest;
    struct guest guest;
    uint8_t *dest_memory;
    char port[8];
    uint64_t now;

    /* source program */
    enum sim_stage stage;
    bool source_runs, source_dead;
    bool regions_sent;
    uint64_t busy_until_ns; /* stopping, syncing, saving: the program does nothing else */
    bool syncing, drained;
    uint64_t cursor_granule[APN_LANES_MAX];
    uint64_t lane_granules[APN_LANES_MAX];
    uint32_t state_written;
    uint64_t next_ns; /* when the program wants to run again */

    /* destination program */
    bool dest_runs, dest_ran, dest_never;
    uint32_t state_read;
    uint64_t load_until_ns;
    bool regions_known;
    bool ready_told;

    /* mishaps */
    bool mishap_done[SIM_MISHAPS_MAX];
    uint64_t restore_ns, thaw_ns; /* 0 = not cut, not frozen; UINT64_MAX = for good */
    bool cancelled;

    /* measuring */
    struct apn_loop_counters bulk_start;
    uint64_t bulk_start_ns;
    uint64_t boundary_ns[2]; /* window being measured: start, end; 0 = none */
    uint64_t boundary_busy_ns;
};

/* The program of either end runs once. */
void sim_source_program(struct sim *sim);
void sim_dest_program(struct sim *sim);
void sim_stage_reached(struct sim *sim, enum sim_stage stage);
void sim_violation(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint8_t sim_state_byte(const struct sim *sim, uint32_t i);
/** sim_measure_boundary() - a sync ends here: watch the wire for the next 10 ms */
void sim_measure_boundary(struct sim *sim);

#endif
