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
 * Owner: one struct world per seed.   Thread: one.   Time: the loop world's.   Units: 4 KiB pages, ns. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apnmig/apnmig.h>

#include "backend/loop/loop.h"
#include "engine/session_env.h"
#include "sim/fetching.h"

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

struct thread {
    uint32_t page;
    bool waits;
    uint64_t since_ns, next_ns;
};

struct world {
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
    struct thread thread[THREADS];
    uint64_t *latency;
    uint32_t faults;
    uint32_t touched;              /* pages that the guest uses; a huge page takes longer than a round trip by its size alone */
    bool listens, runs, quiet, reads, settled;
    uint64_t reads_placed, reads_told;
    unsigned pauses, pauses_wanted, losses;
    uint64_t next_loss_ns, restore_ns;
    const char *problem;
};

static uint64_t rnd(struct world *w)
{
    w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
    return w->random >> 33;
}

static bool chance(struct world *w, unsigned percent)
{
    return rnd(w) % 100 < percent;
}

static void problem(struct world *w, const char *what)
{
    w->problem = w->problem ? w->problem : what;
}

/* ---- memory ----------------------------------------------------------------- */

static int place(void *opaque, unsigned region, uint64_t offset, uint32_t bytes, const void *contents)
{
    struct world *w = opaque;
    uint32_t first = (uint32_t)(offset / PAGE) + (region ? SMALL_PAGES : 0);

    if (w->settled) {
        problem(w, "a page was placed after the end");
    }
    if (region && (offset % (HUGE * PAGE) || bytes != HUGE * PAGE)) {
        problem(w, "a huge page was placed in pieces");
    }
    for (uint32_t i = 0; i < bytes / PAGE; i++) {
        uint32_t page = first + i;

        if (w->present[page]) {
            continue; /* as UFFDIO_COPY says EEXIST */
        }
        if (!w->missing[page]) {
            problem(w, "a page was placed that nobody missed");
        }
        w->present[page] = w->placed[page] = true;
        if (contents) {
            memcpy(w->dest_ram + (size_t)page * PAGE, (const uint8_t *)contents + (size_t)i * PAGE, PAGE);
        } else {
            memset(w->dest_ram + (size_t)page * PAGE, 0, PAGE);
        }
    }
    return 0;
}

static void fill(struct world *w, uint32_t page)
{
    uint8_t *at = w->source_ram + (size_t)page * PAGE;

    memset(at, chance(w, 25) ? 0 : (int)(1 + page % 250), PAGE);
    at[0] = at[0] ? (uint8_t)(page >> 8 | 1) : 0;
}

/* what is missing when the guest starts: much or little, in one piece or in crumbs; huge pages whole */
static void choose_missing(struct world *w)
{
    unsigned percent = w->quiet ? 90 : (unsigned)(rnd(w) % 101);
    uint32_t run = 1u << rnd(w) % 9;

    for (uint32_t page = 0; page < PAGES; page++) {
        uint32_t unit = page < SMALL_PAGES ? run : HUGE;

        if (page % unit == 0) {
            bool miss = chance(w, percent);

            for (uint32_t i = page; i < page + unit && i < PAGES; i++) {
                w->missing[i] = miss;
            }
        }
    }
}

/* ---- sessions --------------------------------------------------------------- */

static void trace(void *opaque, enum apn_trace_level level, const char *text)
{
    struct world *w = opaque;

    if (getenv("SIM_VERBOSE")) {
        fprintf(stderr, "%10.3f %d %s\n", (double)w->now / 1e6, level, text);
    }
}

static struct apn_session *session(struct world *w, enum apn_role role, unsigned lanes, const char *port, const uint8_t *resume)
{
    struct apn_session_config config = {.role = role,
                                        .commit = w->seed % 5 == 1 ? APN_COMMIT_SAFE : APN_COMMIT_FAST,
                                        .host = "loop",
                                        .port = port,
                                        .backend = "loop",
                                        .lanes = lanes,
                                        .timeout_ms = TIMEOUT_MS,
                                        .postcopy = true,
                                        .resume_id = resume,
                                        .place = place,
                                        .on_trace = trace,
                                        .opaque = w};
    struct apn_session_env env = {
        .clock = apn_loop_world_clock(w->loop), .world = w->loop, .manual = true, .seed = w->seed * 16 + w->pauses * 2 + role};
    struct apn_error err = {0};
    struct apn_session *s = NULL;

    if (apn_session_new_env(&s, &config, &env, &err)) {
        fprintf(stderr, "seed %llu: %s\n", (unsigned long long)w->seed, err.text);
        abort();
    }
    return s;
}

static void add_regions(struct apn_session *s, uint8_t *ram)
{
    struct apn_region small = {.name = "small", .host = ram, .length = (uint64_t)SMALL_PAGES * PAGE, .page_size = PAGE};
    struct apn_region huge = {.name = "huge", .host = ram + small.length, .length = (uint64_t)HUGE_PAGES * PAGE, .page_size = HUGE * PAGE};
    struct apn_error err = {0};
    int first = apn_session_add_region(s, &small, &err), second = apn_session_add_region(s, &huge, &err);

    assert(first == 0 && second == 1);
}

static const void *source_memory(void *opaque, unsigned region, uint64_t offset)
{
    struct world *w = opaque;

    if (region || offset >= (uint64_t)SMALL_PAGES * PAGE) {
        problem(w, "a read of what is no small page");
        offset = 0;
    }
    if (!w->listens) {
        problem(w, "a read before the guest may be missing anything");
    }
    return w->source_ram + offset;
}

static bool path_is_cut(void *opaque)
{
    const struct world *w = opaque;

    return w->restore_ns != 0;
}

static void read_too(struct world *w)
{
    struct fetching_config config = {.delay_ns = RTT_NS + PAGE * 1000000000ull / RATE,
                                     .refuse_percent = w->quiet ? 0 : 10,
                                     .late_percent = w->quiet ? 0 : 5,
                                     .memory = source_memory,
                                     .cut = path_is_cut,
                                     .opaque = w,
                                     .seed = w->seed};

    fetching_install(w->dest, &config);
}

static void open_both(struct world *w, const uint8_t *resume)
{
    struct apn_error err = {0};
    char port[8];

    w->dest = session(w, APN_ROLE_DEST, 0, "0", resume);
    if (w->reads) {
        read_too(w);
    }
    if (apn_session_listen(w->dest, &err)) {
        problem(w, "cannot listen");
    }
    snprintf(port, sizeof(port), "%u", apn_session_port(w->dest));
    w->source = session(w, APN_ROLE_SOURCE, 1 + (unsigned)(w->seed % 4), port, resume);
    apn_session_connect(w->source, &err);
}

/* ---- the guest -------------------------------------------------------------- */

static void request(struct world *w, struct thread *t)
{
    bool small = t->page < SMALL_PAGES;
    uint32_t first = small ? t->page : (t->page - SMALL_PAGES) / HUGE * HUGE;

    /* a session that is over says so; the request is repeated in the next one */
    apn_session_postcopy_request(w->dest, small ? 0 : 1, (uint64_t)first * PAGE, (small ? 1 : HUGE) * PAGE);
}

static void thread_runs(struct world *w, struct thread *t)
{
    uint8_t *at = w->dest_ram + (size_t)t->page * PAGE;

    if (!w->present[t->page]) {
        if (!t->waits) {
            t->waits = true;
            t->since_ns = w->now;
            request(w, t);
        }
        return;
    }
    if (t->waits && w->faults < FAULTS_MAX) {
        w->latency[w->faults++] = w->now - t->since_ns;
    }
    t->waits = false;
    if (chance(w, 30)) {
        w->written[t->page] = (uint8_t)(1 + rnd(w) % 255);
        memset(at, w->written[t->page], PAGE);
    }
    t->page = chance(w, w->quiet ? 50 : 90) ? (t->page + 1) % w->touched : (uint32_t)(rnd(w) % w->touched);
    t->next_ns = w->now + THINK_NS;
}

static uint64_t guest_runs(struct world *w)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; w->runs && i < THREADS; i++) {
        struct thread *t = &w->thread[i];

        if (t->waits ? w->present[t->page] : w->now >= t->next_ns) {
            thread_runs(w, t);
        }
        if (!t->waits) {
            next = t->next_ns < next ? t->next_ns : next;
        }
    }
    return next;
}

/* ---- faults ------------------------------------------------------------------ */

static void lose_something(struct world *w)
{
    if (w->quiet || !w->listens || w->now < w->next_loss_ns || w->restore_ns) {
        return;
    }
    w->next_loss_ns = w->now + (5 + rnd(w) % 60) * MS;
    if (w->pauses < w->pauses_wanted && chance(w, 20)) {
        apn_loop_world_cut(w->loop, chance(w, 50) ? APN_LOOP_CUT_STALL : APN_LOOP_CUT_RESET);
        w->restore_ns = w->now + (chance(w, 70) ? 3 * TIMEOUT_MS : TIMEOUT_MS / 2) * MS;
    } else if (w->losses < 12) {
        unsigned lane = (unsigned)(rnd(w) % (2 + w->seed % 4));

        w->losses++;
        if (chance(w, 80)) {
            apn_loop_world_reset_lane(w->loop, lane);
        } else {
            apn_loop_world_stall_lane(w->loop, lane);
        }
    }
}

/* ---- time -------------------------------------------------------------------- */

static bool advance(struct world *w, bool (*done)(struct world *w))
{
    while (w->now < LIMIT_NS && !w->problem) {
        uint64_t next = w->now + MS, at;

        at = apn_session_step(w->source);
        next = at < next ? at : next;
        at = apn_session_step(w->dest);
        next = at < next ? at : next;
        at = guest_runs(w);
        next = at < next ? at : next;
        lose_something(w);
        if (w->restore_ns && w->now >= w->restore_ns) {
            apn_loop_world_restore(w->loop);
            w->restore_ns = 0;
        }
        if (done(w)) {
            return true;
        }
        at = apn_loop_world_next(w->loop);
        next = at < next ? at : next;
        at = w->reads ? fetching_next() : UINT64_MAX;
        next = at < next ? at : next;
        w->now = next > w->now ? next : w->now + 1000;
        apn_loop_world_advance(w->loop, w->now);
    }
    problem(w, "it did not end");
    return false;
}

static bool connected(struct world *w)
{
    return apn_session_state(w->source) != APN_STATE_CONNECTING && apn_session_state(w->dest) >= APN_STATE_SETUP;
}

static bool matched(struct world *w)
{
    return apn_session_state(w->source) != APN_STATE_SETUP && apn_session_state(w->dest) != APN_STATE_SETUP;
}

static bool precopied(struct world *w)
{
    return apn_session_drain(w->source, 0) == 0;
}

/* ---- the two programs ---------------------------------------------------------- */

static void dest_listens(struct world *w)
{
    for (uint32_t page = 0; page < PAGES; page++) {
        w->present[page] = !w->missing[page];
        if (w->missing[page]) {
            memset(w->dest_ram + (size_t)page * PAGE, 0xee, PAGE); /* discarded */
        } else if (memcmp(w->dest_ram + (size_t)page * PAGE, w->source_ram + (size_t)page * PAGE, PAGE)) {
            problem(w, "discards before everything was applied");
        }
    }
    if (apn_session_postcopy_listen(w->dest)) {
        problem(w, "cannot listen for pages");
    }
    w->listens = true;
    apn_session_ready(w->dest);
}

/* 'L' after the fence: discard and listen.  'E': the end */
static void dest_reads(struct world *w)
{
    char c;

    while (apn_session_read(w->dest, &c, 1, false) == 1) {
        if (c == 'L') {
            dest_listens(w);
        } else if (c == 'E') {
            apn_session_postcopy_settle(w->dest);
            w->settled = true;
            apn_session_postcopy_done(w->dest);
        }
    }
    if (w->listens && !w->runs && apn_session_granted(w->dest) == 1 && !apn_session_started(w->dest, 0)) {
        w->runs = true;
        w->runs_since_ns = w->now;
    }
}

static void push_missing(struct world *w)
{
    for (uint32_t page = 0; page < PAGES;) {
        bool small = page < SMALL_PAGES;
        uint32_t unit = small ? 1 : HUGE;
        uint32_t at = small ? page : page - SMALL_PAGES;

        if (w->missing[page] && !w->placed[page] &&
            apn_session_postcopy_add(w->source, small ? 0 : 1, (uint64_t)at * PAGE, (uint64_t)unit * PAGE)) {
            problem(w, "pages are not taken");
        }
        page += unit;
    }
    if (apn_session_postcopy_start(w->source)) {
        problem(w, "postcopy does not start");
    }
}

static bool granted(struct world *w)
{
    struct apn_error err = {0};

    dest_reads(w);
    return apn_session_grant(w->source, &err) != -EINPROGRESS;
}

static bool over_or_placed(struct world *w)
{
    enum apn_state source = apn_session_state(w->source), dest = apn_session_state(w->dest);
    uint64_t left;

    dest_reads(w);
    if (source == APN_STATE_POSTCOPY && apn_session_postcopy_wait(w->source, 0, &left) == 0) {
        return true;
    }
    return source >= APN_STATE_DONE && dest >= APN_STATE_DONE;
}

static bool both_over(struct world *w)
{
    dest_reads(w);
    if (apn_session_state(w->dest) == APN_STATE_DONE && apn_session_flush_stream(w->source, 0) == 0) {
        apn_session_postcopy_done(w->source);
    }
    return apn_session_state(w->source) >= APN_STATE_DONE && apn_session_state(w->dest) >= APN_STATE_DONE;
}

/* ---- a migration ----------------------------------------------------------------- */

static void precopy(struct world *w)
{
    struct apn_error err = {0};

    open_both(w, NULL);
    advance(w, connected);
    add_regions(w->source, w->source_ram);
    add_regions(w->dest, w->dest_ram);
    apn_session_regions_commit(w->dest, &err);
    apn_session_regions_commit(w->source, &err);
    advance(w, matched);
    for (uint32_t page = 0; page < PAGES && !w->problem; page++) {
        bool small = page < SMALL_PAGES;
        struct apn_run run = {small ? 0 : 1, PAGE, (uint64_t)(small ? page : page - SMALL_PAGES) * PAGE};

        while (!w->missing[page] && apn_session_post(w->source, &run, 1) == 0) {
            advance(w, precopied);
        }
    }
}

static void switch_over(struct world *w)
{
    struct apn_error err = {0};

    if (apn_session_switchover(w->source, &err) || apn_session_fence(w->source) || apn_session_write(w->source, "L", 1, false) != 1) {
        problem(w, "switchover");
    }
    push_missing(w);
    advance(w, granted);
}

/* what a pair of sessions says at its end about reads */
static void count_reads(struct world *w)
{
    struct apn_stats source, dest;

    apn_session_stats(w->source, &source);
    apn_session_stats(w->dest, &dest);
    w->reads_told += source.postcopy_reads;
    w->reads_placed += dest.postcopy_reads;
}

static void resume(struct world *w)
{
    struct apn_error err = {0};

    count_reads(w);
    apn_session_free(w->source);
    apn_session_free(w->dest);
    w->pauses++;
    apn_loop_world_restore(w->loop);
    w->restore_ns = 0;
    w->next_loss_ns = w->now + 100 * MS;
    open_both(w, w->source_id);
    advance(w, connected);
    add_regions(w->source, w->source_ram);
    add_regions(w->dest, w->dest_ram);
    apn_session_regions_commit(w->dest, &err);
    apn_session_regions_commit(w->source, &err);
    advance(w, matched);
    if (apn_session_state(w->source) != APN_STATE_POSTCOPY) {
        problem(w, "a resumed session is not in postcopy");
        return;
    }
    push_missing(w);
    for (unsigned i = 0; i < THREADS; i++) {
        if (w->thread[i].waits) {
            request(w, &w->thread[i]);
        }
    }
}

/* reads that were late have something to be late for */
static bool reads_are_over(struct world *w)
{
    (void)w;
    return fetching_next() == UINT64_MAX;
}

/* Return: false when the destination was never granted the guest: then it must never have run */
static bool postcopy(struct world *w)
{
    bool placed = false;

    while (!w->problem && !placed) {
        uint64_t left;

        advance(w, over_or_placed);
        placed = apn_session_state(w->source) == APN_STATE_POSTCOPY && apn_session_postcopy_wait(w->source, 0, &left) == 0;
        if (placed || w->problem) {
            break;
        }
        if (apn_session_state(w->dest) == APN_STATE_FAILED) {
            if (w->runs) {
                problem(w, "it failed and runs");
            }
            return false;
        }
        if (apn_session_state(w->source) < APN_STATE_UNKNOWN) {
            problem(w, "the source lost a guest that runs at the destination");
        }
        resume(w);
    }
    w->ended_ns = w->now;
    w->quiet = true; /* the end itself is judged without faults */
    if (w->restore_ns) {
        apn_loop_world_restore(w->loop);
    }
    if (apn_session_write(w->source, "E", 1, false) != 1) {
        problem(w, "the end cannot be written");
    }
    advance(w, both_over);
    if (w->reads) {
        advance(w, reads_are_over);
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

static void judge_memory(struct world *w)
{
    for (uint32_t page = 0; page < PAGES && !w->problem; page++) {
        const uint8_t *dest = w->dest_ram + (size_t)page * PAGE;

        if (!w->present[page]) {
            problem(w, "a page never came");
        } else if (w->written[page] ? dest[7] != w->written[page] || memcmp(dest, dest + 1, PAGE - 1)
                                    : memcmp(dest, w->source_ram + (size_t)page * PAGE, PAGE)) {
            problem(w, "a page is not what it must be");
        }
    }
}

static void judge_latency(struct world *w, uint64_t missing_bytes)
{
    uint64_t rate = missing_bytes * 1000000000ull / (w->ended_ns - w->runs_since_ns + 1);
    uint64_t median, high;

    if (w->faults < 20) {
        problem(w, "too few faults to judge");
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
        problem(w, "faults take too long");
    }
    if (rate < RATE / 2) { /* a quarter is zero pages, and it begins with the destination's round trip */
        problem(w, "bulk does not fill the path");
    }
}

/* the quiet ones ask for every small page, and what was asked for last may be overtaken by the end; where lanes are lost it may happen
 * that nothing is left to read */
static void judge_reads(struct world *w, bool quiet)
{
    if (!w->reads && w->reads_placed + w->reads_told) {
        problem(w, "reads without a backend that reads");
    }
    if (quiet && w->reads && (w->reads_told < w->faults || w->reads_placed > w->reads_told || w->reads_placed + THREADS < w->reads_told)) {
        problem(w, "requests that were not read");
    }
    if (getenv("SIM_VERBOSE") && w->reads) {
        printf("seed %llu: %llu read, %llu announced, %u faults\n", (unsigned long long)w->seed, (unsigned long long)w->reads_placed,
               (unsigned long long)w->reads_told, w->faults);
    }
}

static bool run_seed(uint64_t seed)
{
    struct apn_loop_config config = {.virtual_time = true, .seed = seed};
    struct world *w = calloc(1, sizeof(*w));
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
    choose_missing(w);
    for (uint32_t page = 0; page < PAGES; page++) {
        fill(w, page);
        missing += w->missing[page];
    }
    for (unsigned i = 0; i < THREADS; i++) {
        w->thread[i].page = (uint32_t)(rnd(w) % w->touched);
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
