/* SPDX-License-Identifier: GPL-2.0-or-later */
/* postcopy.c - migrations that finish in postcopy, in virtual time, from a seed
 *
 * usage: sim-postcopy --seeds A-B      exits 1 and prints the seed of what went wrong
 *
 * A guest of a few threads runs at the destination while its memory arrives: it walks, jumps, writes, and stands still where a page is
 * missing. Lanes are reset and stalled under it, in some seeds the path is cut until both ends pause, and new sessions go on. What must
 * hold: every page ends as the source had it or as the guest wrote it since, is placed once, and no more is sent than is missing. In
 * every second seed the backend also reads pages by itself (fetching.h), late or in vain at times. In seeds without faults, the time a fault takes is held against the round trip while bulk fills the path.
 *
 * Owner: one struct postcopy_world per seed.   Thread: one.   Time: the loop world's.   Units: 4 KiB pages, ns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apnmig/apnmig.h>

#include "sim/fetching.h"
#include "sim/postcopy_world.h"

/* ---- a migration ----------------------------------------------------------------- */

static void precopy(struct postcopy_world *w)
{
    struct apn_error err = {0};

    postcopy_open_both(w, NULL);
    postcopy_advance(w, postcopy_connected);
    postcopy_add_regions(w->source, w->source_ram);
    postcopy_add_regions(w->dest, w->dest_ram);
    apn_session_regions_commit(w->dest, &err);
    apn_session_regions_commit(w->source, &err);
    postcopy_advance(w, postcopy_matched);
    for (uint32_t page = 0; page < PAGES && !w->problem; page++) {
        bool small = page < SMALL_PAGES;
        struct apn_run run = {small ? 0 : 1, PAGE, (uint64_t)(small ? page : page - SMALL_PAGES) * PAGE};

        while (!w->missing[page] && apn_session_post(w->source, &run, 1) == 0) {
            postcopy_advance(w, postcopy_precopied);
        }
    }
}

static void switch_over(struct postcopy_world *w)
{
    struct apn_error err = {0};

    if (apn_session_switchover(w->source, &err) || apn_session_fence(w->source) || apn_session_write(w->source, "L", 1, false) != 1) {
        postcopy_problem(w, "switchover");
    }
    postcopy_push_missing(w);
    postcopy_advance(w, postcopy_granted);
}

/* what a pair of sessions says at its end about reads */
static void count_reads(struct postcopy_world *w)
{
    struct apn_stats source, dest;

    apn_session_stats(w->source, &source);
    apn_session_stats(w->dest, &dest);
    w->reads_told += source.postcopy_reads;
    w->reads_placed += dest.postcopy_reads;
}

static void resume(struct postcopy_world *w)
{
    struct apn_error err = {0};

    count_reads(w);
    apn_session_free(w->source);
    apn_session_free(w->dest);
    w->pauses++;
    apn_loop_world_restore(w->loop);
    w->restore_ns = 0;
    w->next_loss_ns = w->now + 100 * MS;
    postcopy_open_both(w, w->source_id);
    postcopy_advance(w, postcopy_connected);
    postcopy_add_regions(w->source, w->source_ram);
    postcopy_add_regions(w->dest, w->dest_ram);
    apn_session_regions_commit(w->dest, &err);
    apn_session_regions_commit(w->source, &err);
    postcopy_advance(w, postcopy_matched);
    if (apn_session_state(w->source) != APN_STATE_POSTCOPY) {
        postcopy_problem(w, "a resumed session is not in postcopy");
        return;
    }
    postcopy_push_missing(w);
    for (unsigned i = 0; i < THREADS; i++) {
        if (w->thread[i].waits) {
            postcopy_request(w, &w->thread[i]);
        }
    }
}

/* reads that were late have something to be late for */
static bool reads_are_over(struct postcopy_world *w)
{
    (void)w;
    return fetching_next() == UINT64_MAX;
}

/* Return: false when the destination was never granted the guest: then it must never have run */
static bool postcopy(struct postcopy_world *w)
{
    bool placed = false;

    while (!w->problem && !placed) {
        uint64_t left;

        postcopy_advance(w, postcopy_over_or_placed);
        placed = apn_session_state(w->source) == APN_STATE_POSTCOPY && apn_session_postcopy_wait(w->source, 0, &left) == 0;
        if (placed || w->problem) {
            break;
        }
        if (apn_session_state(w->dest) == APN_STATE_FAILED) {
            if (w->runs) {
                postcopy_problem(w, "it failed and runs");
            }
            return false;
        }
        if (apn_session_state(w->source) < APN_STATE_UNKNOWN) {
            postcopy_problem(w, "the source lost a guest that runs at the destination");
        }
        resume(w);
    }
    w->ended_ns = w->now;
    w->quiet = true; /* the end itself is judged without faults */
    if (w->restore_ns) {
        apn_loop_world_restore(w->loop);
    }
    if (apn_session_write(w->source, "E", 1, false) != 1) {
        postcopy_problem(w, "the end cannot be written");
    }
    postcopy_advance(w, postcopy_both_over);
    if (w->reads) {
        postcopy_advance(w, reads_are_over);
    }
    count_reads(w);
    return true;
}

/* ---- judgement --------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void judge_memory(struct postcopy_world *w)
{
    for (uint32_t page = 0; page < PAGES && !w->problem; page++) {
        const uint8_t *dest = w->dest_ram + (size_t)page * PAGE;

        if (!w->present[page]) {
            postcopy_problem(w, "a page never came");
        } else if (w->written[page] ? dest[7] != w->written[page] || memcmp(dest, dest + 1, PAGE - 1)
                                    : memcmp(dest, w->source_ram + (size_t)page * PAGE, PAGE)) {
            postcopy_problem(w, "a page is not what it must be");
        }
    }
}

static void judge_latency(struct postcopy_world *w, uint64_t missing_bytes)
{
    uint64_t rate = missing_bytes * 1000000000ull / (w->ended_ns - w->runs_since_ns + 1);
    uint64_t median, high;

    if (w->faults < 20) {
        postcopy_problem(w, "too few faults to judge");
        return;
    }
    qsort(w->latency, w->faults, sizeof(*w->latency), by_value);
    median = w->latency[w->faults / 2];
    high = w->latency[w->faults * 99 / 100];
    if (getenv("SIM_VERBOSE")) {
        printf("seed %llu: %u faults, median %.2f RTT, p99 %.2f RTT, %.0f %% of the path\n", (unsigned long long)w->seed, w->faults,
               (double)median / RTT_NS, (double)high / RTT_NS, (double)rate * 100 / RATE);
    }
    if (median > RTT_NS * 3 / 2 || high > RTT_NS * 3) {
        postcopy_problem(w, "faults take too long");
    }
    if (rate < RATE / 2) { /* a quarter is zero pages, and it begins with the destination's round trip */
        postcopy_problem(w, "bulk does not fill the path");
    }
}

/* the quiet ones ask for every small page, and what was asked for last may be overtaken by the end; where lanes are lost it may happen
 * that nothing is left to read */
static void judge_reads(struct postcopy_world *w, bool quiet)
{
    if (!w->reads && w->reads_placed + w->reads_told) {
        postcopy_problem(w, "reads without a backend that reads");
    }
    if (quiet && w->reads && (w->reads_told < w->faults || w->reads_placed > w->reads_told || w->reads_placed + THREADS < w->reads_told)) {
        postcopy_problem(w, "requests that were not read");
    }
    if (getenv("SIM_VERBOSE") && w->reads) {
        printf("seed %llu: %llu read, %llu announced, %u faults\n", (unsigned long long)w->seed, (unsigned long long)w->reads_placed,
               (unsigned long long)w->reads_told, w->faults);
    }
}

static bool run_seed(uint64_t seed)
{
    struct apn_loop_config config = {.virtual_time = true, .seed = seed};
    struct postcopy_world *w = calloc(1, sizeof(*w));
    uint64_t missing = 0;
    bool ok;

    config.to_listener.delay_ns = config.to_connector.delay_ns = RTT_NS / 2;
    config.to_listener.rate_bytes_per_s = RATE;
    w->seed = w->random = seed;
    w->quiet = seed % 4 == 0;
    w->reads = seed / 4 % 2;
    w->touched = w->quiet ? SMALL_PAGES : PAGES;
    w->pauses_wanted = seed % 3 ? 0 : 2;
    w->loop = apn_loop_world_new(&config);
    w->now = apn_clock_now(apn_loop_world_clock(w->loop));
    w->source_ram = aligned_alloc(PAGE, (size_t)PAGES * PAGE);
    w->dest_ram = aligned_alloc(PAGE, (size_t)PAGES * PAGE);
    memset(w->dest_ram, 0, (size_t)PAGES * PAGE);
    w->latency = calloc(FAULTS_MAX, sizeof(*w->latency));
    postcopy_choose_missing(w);
    for (uint32_t page = 0; page < PAGES; page++) {
        postcopy_fill(w, page);
        missing += w->missing[page];
    }
    for (unsigned i = 0; i < THREADS; i++) {
        w->thread[i].page = (uint32_t)(postcopy_rnd(w) % w->touched);
    }
    precopy(w);
    apn_session_id(w->source, w->source_id);
    ok = w->quiet; /* to be judged for speed */
    switch_over(w);
    if (postcopy(w)) {
        judge_memory(w);
        judge_reads(w, ok);
        if (ok && !w->problem) {
            judge_latency(w, missing * PAGE);
        }
    }
    if (w->problem) {
        printf("seed %llu: %s (source %s, destination %s, at %.1f ms, %u pauses)\n", (unsigned long long)seed, w->problem,
               apn_state_name(apn_session_state(w->source)), apn_state_name(apn_session_state(w->dest)), (double)w->now / MS, w->pauses);
    }
    ok = !w->problem;
    apn_session_free(w->source);
    apn_session_free(w->dest);
    apn_loop_world_free(w->loop);
    free(w->source_ram);
    free(w->dest_ram);
    free(w->latency);
    free(w);
    return ok;
}

int main(int argc, char **argv)
{
    unsigned long long first = 1, last = 40;
    unsigned failed = 0;

    if (argc != 1 && (argc != 3 || strcmp(argv[1], "--seeds") || sscanf(argv[2], "%llu-%llu", &first, &last) != 2 || last < first)) {
        fprintf(stderr, "usage: %s [--seeds FIRST-LAST]\n", argv[0]);
        return 2;
    }
    for (unsigned long long seed = first; seed <= last && failed < 10; seed++) {
        failed += !run_seed(seed);
    }
    printf("%llu seeds, %u failed\n", last - first + 1, failed);
    return failed ? 1 : 0;
}
