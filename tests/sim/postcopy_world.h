/* SPDX-License-Identifier: GPL-2.0-or-later */
/* postcopy_world.h - two sessions, a guest of a few threads and what happens to their lanes, for migrations that finish in postcopy
 *
 * Owner: one struct per seed.   Thread: one.   Time: the loop world's.   Units: 4 KiB pages, ns. */
#ifndef APN_TESTS_SIM_POSTCOPY_WORLD_H
#define APN_TESTS_SIM_POSTCOPY_WORLD_H

#include <apnmig/apnmig.h>

#include "backend/loop/loop.h"

#define MS          1000000ull
#define PAGE        4096u
#define SMALL_PAGES 12288u /* 48 MiB of 4 KiB pages ... */
#define HUGE_PAGES  2048u  /* ... and 8 MiB of 2 MiB pages */
#define HUGE        512u
#define PAGES       (SMALL_PAGES + HUGE_PAGES)
#define RATE        312500000ull
#define RTT_NS      (6 * MS)
#define TIMEOUT_MS  1000u
#define THREADS     3u
#define THINK_NS    20000u
#define FAULTS_MAX  65536u
#define LIMIT_NS    (120000 * MS)

struct postcopy_thread {
    uint32_t page;
    bool waits;
    uint64_t since_ns, next_ns;
};

struct postcopy_world {
    uint64_t seed, random;
    struct apn_loop_world *loop;
    struct apn_session *source, *dest;
    uint8_t source_id[APN_SESSION_ID_BYTES];
    uint8_t *source_ram, *dest_ram;
    bool missing[PAGES];           /* at the destination, in the beginning */
    bool present[PAGES];
    bool placed[PAGES];            /* by postcopy */
    uint8_t written[PAGES];        /* what the guest wrote last; 0 nothing */
    uint64_t now, runs_since_ns, ended_ns;
    struct postcopy_thread thread[THREADS];
    uint64_t *latency;
    uint32_t faults;
    uint32_t touched;              /* pages that the guest uses; a huge page takes longer than a round trip by its size alone */
    bool listens, runs, quiet, reads, settled;
    uint64_t reads_placed, reads_told;
    unsigned pauses, pauses_wanted, losses;
    uint64_t next_loss_ns, restore_ns;
    const char *problem;
};

uint64_t postcopy_rnd(struct postcopy_world *w);
void postcopy_problem(struct postcopy_world *w, const char *what); /* the first one is kept */
void postcopy_fill(struct postcopy_world *w, uint32_t page);       /* what the source has there, by the seed */
void postcopy_choose_missing(struct postcopy_world *w);

/* both ends; with @resume those of a migration that was paused */
void postcopy_open_both(struct postcopy_world *w, const uint8_t *resume);
void postcopy_add_regions(struct apn_session *s, uint8_t *ram);
/* a thread of the guest waits for its page */
void postcopy_request(struct postcopy_world *w, struct postcopy_thread *t);
void postcopy_push_missing(struct postcopy_world *w);

/* until @done, or LIMIT_NS. Return: did it come? */
bool postcopy_advance(struct postcopy_world *w, bool (*done)(struct postcopy_world *w));
bool postcopy_connected(struct postcopy_world *w);
bool postcopy_matched(struct postcopy_world *w); /* regions */
bool postcopy_precopied(struct postcopy_world *w);
bool postcopy_granted(struct postcopy_world *w);
bool postcopy_over_or_placed(struct postcopy_world *w);
bool postcopy_both_over(struct postcopy_world *w);

#endif
