/* SPDX-License-Identifier: GPL-2.0-or-later */
/* programs.c - what the hypervisors at both ends do with the library (see sim.h) */
#include <errno.h>
#include <string.h>

#include "sim/driver.h"

/* A sync starts when what is left would keep the path busy that long beyond the sync itself. */
#define AHEAD_NS     (2 * APN_NS_PER_MS)
#define BULK_SKIP_NS (200 * APN_NS_PER_MS) /* the pipe has been found by then */

uint8_t sim_state_byte(const struct sim *sim, uint32_t i)
{
    return (uint8_t)((i ^ sim->plan->seed) * 2654435761u >> 24);
}

static uint64_t at_least(uint64_t value, uint64_t floor)
{
    return value > floor ? value : floor;
}

/* ---- source: pages ---------------------------------------------------------- */

/* Posts runs of one lane, from where it stopped, while it has room. Return: pages posted. */
static uint64_t post_lane(struct sim *sim, unsigned lane)
{
    uint64_t room = apn_session_lane_room(sim->source, lane), posted = 0, lanes = sim->plan->lanes;

    for (uint64_t visited = 0; room && visited < sim->lane_granules[lane];) {
        struct apn_run runs[SIM_RUNS_PER_POST];
        unsigned n = 0;
        int taken;

        while (n < SIM_RUNS_PER_POST && room && visited < sim->lane_granules[lane]) {
            uint64_t granule = lane + sim->cursor_granule[lane] * lanes;

            if (!guest_take(&sim->guest, granule, 0, &runs[n])) {
                sim->cursor_granule[lane] =
                    (sim->cursor_granule[lane] + 1) % sim->lane_granules[lane];
                visited++;
                continue;
            }
            room -= runs[n].bytes < room ? runs[n].bytes : room;
            n++;
        }
        taken = n ? apn_session_post(sim->source, runs, n) : 0;
        for (unsigned i = taken > 0 ? (unsigned)taken : 0; i < n; i++) {
            guest_give_back(&sim->guest, &runs[i]);
        }
        for (int i = 0; i < taken; i++) {
            posted += runs[i].bytes / APN_PAGE_SIZE;
        }
        if (taken < (int)n) {
            break;
        }
    }
    return posted;
}

static void post_pages(struct sim *sim)
{
    for (unsigned lane = 0; lane < sim->plan->lanes && sim->guest.dirty_pages; lane++) {
        post_lane(sim, lane);
    }
}

/* ---- source: rounds --------------------------------------------------------- */

/* While the guest is being stopped and its devices saved, the path carries on with what it was
 * given. */
static void predict(struct sim *sim, struct apn_prediction *out)
{
    uint64_t aside_ns = sim->plan->stop_ns + sim->plan->save_ns, pages_ns, added_ns;

    apn_session_predict(sim->source, sim->guest.dirty_pages * APN_PAGE_SIZE, sim->plan->state_bytes,
                        sim->plan->load_ns, out);
    pages_ns = out->flight_ns + out->residue_ns;
    added_ns = aside_ns > pages_ns ? aside_ns - pages_ns : 0;
    out->fixed_ns += added_ns;
    out->total_ns += added_ns;
}

static void stop_guest(struct sim *sim)
{
    struct apn_loop_counters counters;

    guest_run(&sim->guest, sim->now);
    sim->guest.running = sim->source_runs = false;
    sim->busy_until_ns = sim->now + sim->plan->stop_ns;
    sim_stage_reached(sim, SIM_STOPPED);
    apn_loop_world_counters(sim->world, &counters);
    if (sim->bulk_start_ns && sim->now > sim->bulk_start_ns) {
        sim->result->bulk_ns = sim->now - sim->bulk_start_ns;
        sim->result->bulk_bytes = counters.bytes[0] - sim->bulk_start.bytes[0];
    }
}

static void sync_end(struct sim *sim)
{
    guest_run(&sim->guest, sim->now);
    guest_sync(&sim->guest);
    sim->syncing = false;
    sim->drained = !sim->plan->barrier;
    sim->result->rounds++;
    predict(sim, &sim->result->predicted);
    if (sim->result->predicted.total_ns <= sim->plan->downtime_ns) {
        stop_guest(sim);
    } else if (sim->guest.dirty_pages * APN_PAGE_SIZE > sim->plan->rate_bytes_per_s / 50) {
        sim_measure_boundary(sim); /* 20 ms of work: the wire has no reason to be idle */
    }
}

static void bulk_begins(struct sim *sim)
{
    if (!sim->bulk_start_ns && sim->now >= sim->result->at_ns[SIM_PRECOPY] + BULK_SKIP_NS) {
        sim->bulk_start_ns = sim->now;
        apn_loop_world_counters(sim->world, &sim->bulk_start);
    }
}

static void run_precopy(struct sim *sim)
{
    struct apn_stats stats;
    uint64_t ahead;

    bulk_begins(sim);
    if (sim->syncing) {
        sync_end(sim);
        return;
    }
    if (!sim->drained) { /* negative control */
        if (apn_session_drain(sim->source, 0)) {
            return;
        }
        sim->drained = true;
    }
    post_pages(sim);
    apn_session_stats(sim->source, &stats);
    ahead =
        (uint64_t)((double)stats.rate_bytes_per_s * (double)(AHEAD_NS + sim->plan->sync_ns) / 1e9);
    if (sim->guest.dirty_pages * APN_PAGE_SIZE <= at_least(ahead, APN_GRANULE_SIZE)) {
        sim->syncing = true;
        sim->busy_until_ns = sim->now + sim->plan->sync_ns;
    }
}

/* ---- source: switchover ------------------------------------------------------- */

static void run_stopped(struct sim *sim)
{
    struct apn_error err = {0};

    if (apn_session_state(sim->source) == APN_STATE_PRECOPY) {
        guest_sync(&sim->guest);
        if (apn_session_switchover(sim->source, &err)) {
            return; /* failed meanwhile: the next look at the state sees it */
        }
    }
    post_pages(sim);
    if (!sim->guest.dirty_pages && !apn_session_fence(sim->source)) {
        sim->busy_until_ns = sim->now + sim->plan->save_ns;
        sim_stage_reached(sim, SIM_RESIDUE);
    }
}

static void run_residue(struct sim *sim)
{
    uint32_t left = sim->plan->state_bytes - sim->state_written;

    while (left) {
        uint8_t bytes[4096];
        uint32_t n = left < sizeof(bytes) ? left : sizeof(bytes);
        ssize_t taken;

        for (uint32_t i = 0; i < n; i++) {
            bytes[i] = sim_state_byte(sim, sim->state_written + i);
        }
        taken = apn_session_write(sim->source, bytes, n, false);
        if (taken <= 0) {
            return;
        }
        sim->state_written += (uint32_t)taken;
        left -= (uint32_t)taken;
    }
    sim_stage_reached(sim, SIM_STATE);
}

static void run_state(struct sim *sim)
{
    struct apn_error err = {0};

    if (!apn_session_grant(sim->source, &err)) {
        sim->result->granted = true;
        sim_stage_reached(sim, SIM_GRANTED);
    }
}

static void run_granted(struct sim *sim)
{
    struct apn_error err = {0};
    enum apn_verdict verdict = apn_session_wait_verdict(sim->source, &err);

    if (!verdict) {
        return;
    }
    if (verdict == APN_VERDICT_STARTED && !sim->dest_ran) {
        sim_violation(sim, "verdict STARTED, but the destination has not started");
    }
    if (verdict == APN_VERDICT_WONT) {
        if (sim->dest_runs) {
            sim_violation(sim, "verdict WONT, but the destination runs");
        }
        sim->dest_never = true;
        sim->source_runs = sim->guest.running = true;
    }
    sim_stage_reached(sim, SIM_OVER);
}

/* Before the grant a failed session gives the guest back to the source. */
static bool source_failed(struct sim *sim)
{
    if (sim->result->granted || apn_session_state(sim->source) != APN_STATE_FAILED) {
        return false;
    }
    guest_run(&sim->guest, sim->now);
    sim->source_runs = sim->guest.running = true;
    sim_stage_reached(sim, SIM_OVER);
    return true;
}

static void source_set_up(struct sim *sim)
{
    enum apn_state state = apn_session_state(sim->source);
    struct apn_error err = {0};

    if (state == APN_STATE_SETUP && !sim->regions_sent) {
        sim->regions_sent = true;
        sim_stage_reached(sim, SIM_SETUP);
        apn_session_regions_commit(sim->source, &err);
    } else if (state == APN_STATE_PRECOPY) {
        sim_stage_reached(sim, SIM_PRECOPY);
    }
}

void sim_source_program(struct sim *sim)
{
    sim->next_ns = UINT64_MAX;
    if (!sim->source || sim->stage == SIM_OVER || source_failed(sim)) {
        return;
    }
    if (sim->now < sim->busy_until_ns) {
        sim->next_ns = sim->busy_until_ns;
        return;
    }
    switch (sim->stage) {
    case SIM_CONNECTING:
    case SIM_SETUP:
        source_set_up(sim);
        break;
    case SIM_PRECOPY:
        guest_run(&sim->guest, sim->now);
        run_precopy(sim);
        break;
    case SIM_STOPPED:
        run_stopped(sim);
        break;
    case SIM_RESIDUE:
        run_residue(sim);
        break;
    case SIM_STATE:
        run_state(sim);
        break;
    case SIM_GRANTED:
        run_granted(sim);
        break;
    default:
        break;
    }
    if (sim->now < sim->busy_until_ns) {
        sim->next_ns = sim->busy_until_ns;
    }
}

/* ---- destination ---------------------------------------------------------------- */

static void read_state(struct sim *sim)
{
    uint8_t bytes[4096];
    ssize_t n;

    while ((n = apn_session_read(sim->dest, bytes, sizeof(bytes), false)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] != sim_state_byte(sim, sim->state_read + (uint32_t)i)) {
                sim_violation(sim, "device state differs at byte %u",
                              sim->state_read + (uint32_t)i);
                return;
            }
        }
        sim->state_read += (uint32_t)n;
    }
    if (sim->state_read > sim->plan->state_bytes) {
        sim_violation(sim, "%u bytes of device state, %u were sent", sim->state_read,
                      sim->plan->state_bytes);
    }
}

static void check_memory(struct sim *sim)
{
    if (!sim->guest.memory) {
        return;
    }
    for (uint64_t page = 0; page < sim->guest.pages; page++) {
        if (memcmp(sim->guest.memory + page * APN_PAGE_SIZE,
                   sim->dest_memory + page * APN_PAGE_SIZE, APN_PAGE_SIZE)) {
            sim_violation(sim, "page %llu differs at the destination", (unsigned long long)page);
            return;
        }
    }
    sim->result->memory_compared = true;
}

static void start_guest(struct sim *sim)
{
    if (!sim->result->granted) {
        sim_violation(
            sim, "the destination was told that it is granted, but the source has not granted");
    }
    if (sim->dest_never) {
        sim_violation(sim, "the destination starts although it had said that it will not");
    }
    check_memory(sim);
    sim->dest_runs = sim->dest_ran = sim->result->dest_ran = true;
    sim_stage_reached(sim, SIM_STARTED);
    sim->result->blackout_ns = sim->now - sim->result->at_ns[SIM_STOPPED];
    if (apn_session_started(sim->dest, 0)) {
        sim_violation(sim, "apn_session_started() refused a granted destination");
    }
}

static void load_ends(struct sim *sim)
{
    sim_stage_reached(sim, SIM_LOADED);
    if (sim->plan->load_fails) {
        sim->dest_never = true;
        apn_session_wont(sim->dest, "device state does not load", 0);
    } else if (apn_session_ready(sim->dest)) {
        sim->dest_never = true; /* the session has failed meanwhile */
    }
}

void sim_dest_program(struct sim *sim)
{
    int granted;

    if (!sim->dest || sim->dest_ran) {
        return;
    }
    granted = apn_session_granted(sim->dest);
    if (granted < 0) {
        sim->dest_never = true;
    }
    if (sim->dest_never) {
        return;
    }
    if (!sim->regions_known) { /* QEMU knows its blocks once the list has come */
        struct apn_error err = {0};

        sim->regions_known = apn_session_state(sim->dest) == APN_STATE_SETUP &&
                             !apn_session_regions_commit(sim->dest, &err);
        return;
    }
    read_state(sim);
    if (sim->state_read < sim->plan->state_bytes) {
        return;
    }
    if (!sim->load_until_ns) {
        sim->load_until_ns = sim->now + sim->plan->load_ns;
    }
    if (sim->now < sim->load_until_ns) {
        sim->next_ns = sim->load_until_ns < sim->next_ns ? sim->load_until_ns : sim->next_ns;
        return;
    }
    if (!sim->ready_told) {
        sim->ready_told = true;
        load_ends(sim);
    }
    if (!sim->dest_never && granted == 1) {
        start_guest(sim);
    }
}
