/* SPDX-License-Identifier: GPL-2.0-or-later */
/* postcopy_world.c - see postcopy_world.h */
#include "sim/postcopy_world.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/session_env.h"
#include "sim/fetching.h"

uint64_t postcopy_rnd(struct postcopy_world *w)
{
    w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
    return w->random >> 33;
}

static bool chance(struct postcopy_world *w, unsigned percent)
{
    return postcopy_rnd(w) % 100 < percent;
}

void postcopy_problem(struct postcopy_world *w, const char *what)
{
    w->problem = w->problem ? w->problem : what;
}

/* ---- memory ----------------------------------------------------------------- */

static int place(void *opaque, unsigned region, uint64_t offset, uint32_t bytes, const void *contents)
{
    struct postcopy_world *w = opaque;
    uint32_t first = (uint32_t)(offset / PAGE) + (region ? SMALL_PAGES : 0);

    if (w->settled) {
        postcopy_problem(w, "a page was placed after the end");
    }
    if (region && (offset % (HUGE * PAGE) || bytes != HUGE * PAGE)) {
        postcopy_problem(w, "a huge page was placed in pieces");
    }
    for (uint32_t i = 0; i < bytes / PAGE; i++) {
        uint32_t page = first + i;

        if (w->present[page]) {
            continue; /* as UFFDIO_COPY says EEXIST */
        }
        if (!w->missing[page]) {
            postcopy_problem(w, "a page was placed that nobody missed");
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

void postcopy_fill(struct postcopy_world *w, uint32_t page)
{
    uint8_t *at = w->source_ram + (size_t)page * PAGE;

    memset(at, chance(w, 25) ? 0 : (int)(1 + page % 250), PAGE);
    at[0] = at[0] ? (uint8_t)(page >> 8 | 1) : 0;
}

/* what is missing when the guest starts: much or little, in one piece or in crumbs; huge pages whole */
void postcopy_choose_missing(struct postcopy_world *w)
{
    unsigned percent = w->quiet ? 90 : (unsigned)(postcopy_rnd(w) % 101);
    uint32_t run = 1u << postcopy_rnd(w) % 9;

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
    struct postcopy_world *w = opaque;

    if (getenv("SIM_VERBOSE")) {
        fprintf(stderr, "%10.3f %d %s\n", (double)w->now / 1e6, level, text);
    }
}

static struct apn_session *session(struct postcopy_world *w, enum apn_role role, unsigned lanes, const char *port, const uint8_t *resume)
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

void postcopy_add_regions(struct apn_session *s, uint8_t *ram)
{
    struct apn_region small = {.name = "small", .host = ram, .length = (uint64_t)SMALL_PAGES * PAGE, .page_size = PAGE};
    struct apn_region huge = {.name = "huge", .host = ram + small.length, .length = (uint64_t)HUGE_PAGES * PAGE, .page_size = HUGE * PAGE};
    struct apn_error err = {0};
    int first = apn_session_add_region(s, &small, &err), second = apn_session_add_region(s, &huge, &err);

    assert(first == 0 && second == 1);
}

static const void *source_memory(void *opaque, unsigned region, uint64_t offset)
{
    struct postcopy_world *w = opaque;

    if (region || offset >= (uint64_t)SMALL_PAGES * PAGE) {
        postcopy_problem(w, "a read of what is no small page");
        offset = 0;
    }
    if (!w->listens) {
        postcopy_problem(w, "a read before the guest may be missing anything");
    }
    return w->source_ram + offset;
}

static bool path_is_cut(void *opaque)
{
    const struct postcopy_world *w = opaque;

    return w->restore_ns != 0;
}

static void read_too(struct postcopy_world *w)
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

void postcopy_open_both(struct postcopy_world *w, const uint8_t *resume)
{
    struct apn_error err = {0};
    char port[8];

    w->dest = session(w, APN_ROLE_DEST, 0, "0", resume);
    if (w->reads) {
        read_too(w);
    }
    if (apn_session_listen(w->dest, &err)) {
        postcopy_problem(w, "cannot listen");
    }
    snprintf(port, sizeof(port), "%u", apn_session_port(w->dest));
    w->source = session(w, APN_ROLE_SOURCE, 1 + (unsigned)(w->seed % 4), port, resume);
    apn_session_connect(w->source, &err);
}

/* ---- the guest -------------------------------------------------------------- */

void postcopy_request(struct postcopy_world *w, struct postcopy_thread *t)
{
    bool small = t->page < SMALL_PAGES;
    uint32_t first = small ? t->page : (t->page - SMALL_PAGES) / HUGE * HUGE;

    /* a session that is over says so; the request is repeated in the next one */
    apn_session_postcopy_request(w->dest, small ? 0 : 1, (uint64_t)first * PAGE, (small ? 1 : HUGE) * PAGE);
}

static void thread_runs(struct postcopy_world *w, struct postcopy_thread *t)
{
    uint8_t *at = w->dest_ram + (size_t)t->page * PAGE;

    if (!w->present[t->page]) {
        if (!t->waits) {
            t->waits = true;
            t->since_ns = w->now;
            postcopy_request(w, t);
        }
        return;
    }
    if (t->waits && w->faults < FAULTS_MAX) {
        w->latency[w->faults++] = w->now - t->since_ns;
    }
    t->waits = false;
    if (chance(w, 30)) {
        w->written[t->page] = (uint8_t)(1 + postcopy_rnd(w) % 255);
        memset(at, w->written[t->page], PAGE);
    }
    t->page = chance(w, w->quiet ? 50 : 90) ? (t->page + 1) % w->touched : (uint32_t)(postcopy_rnd(w) % w->touched);
    t->next_ns = w->now + THINK_NS;
}

static uint64_t guest_runs(struct postcopy_world *w)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; w->runs && i < THREADS; i++) {
        struct postcopy_thread *t = &w->thread[i];

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

static void lose_something(struct postcopy_world *w)
{
    if (w->quiet || !w->listens || w->now < w->next_loss_ns || w->restore_ns) {
        return;
    }
    w->next_loss_ns = w->now + (5 + postcopy_rnd(w) % 60) * MS;
    if (w->pauses < w->pauses_wanted && chance(w, 20)) {
        apn_loop_world_cut(w->loop, chance(w, 50) ? APN_LOOP_CUT_STALL : APN_LOOP_CUT_RESET);
        w->restore_ns = w->now + (chance(w, 70) ? 3 * TIMEOUT_MS : TIMEOUT_MS / 2) * MS;
    } else if (w->losses < 12) {
        unsigned lane = (unsigned)(postcopy_rnd(w) % (2 + w->seed % 4));

        w->losses++;
        if (chance(w, 80)) {
            apn_loop_world_reset_lane(w->loop, lane);
        } else {
            apn_loop_world_stall_lane(w->loop, lane);
        }
    }
}

/* ---- time -------------------------------------------------------------------- */

bool postcopy_advance(struct postcopy_world *w, bool (*done)(struct postcopy_world *w))
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
    postcopy_problem(w, "it did not end");
    return false;
}

bool postcopy_connected(struct postcopy_world *w)
{
    return apn_session_state(w->source) != APN_STATE_CONNECTING && apn_session_state(w->dest) >= APN_STATE_SETUP;
}

bool postcopy_matched(struct postcopy_world *w)
{
    return apn_session_state(w->source) != APN_STATE_SETUP && apn_session_state(w->dest) != APN_STATE_SETUP;
}

bool postcopy_precopied(struct postcopy_world *w)
{
    return apn_session_drain(w->source, 0) == 0;
}

/* ---- the two programs ---------------------------------------------------------- */

static void dest_listens(struct postcopy_world *w)
{
    for (uint32_t page = 0; page < PAGES; page++) {
        w->present[page] = !w->missing[page];
        if (w->missing[page]) {
            memset(w->dest_ram + (size_t)page * PAGE, 0xee, PAGE); /* discarded */
        } else if (memcmp(w->dest_ram + (size_t)page * PAGE, w->source_ram + (size_t)page * PAGE, PAGE)) {
            postcopy_problem(w, "discards before everything was applied");
        }
    }
    if (apn_session_postcopy_listen(w->dest)) {
        postcopy_problem(w, "cannot listen for pages");
    }
    w->listens = true;
    apn_session_ready(w->dest);
}

/* 'L' after the fence: discard and listen.  'E': the end */
static void dest_reads(struct postcopy_world *w)
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

void postcopy_push_missing(struct postcopy_world *w)
{
    for (uint32_t page = 0; page < PAGES;) {
        bool small = page < SMALL_PAGES;
        uint32_t unit = small ? 1 : HUGE;
        uint32_t at = small ? page : page - SMALL_PAGES;

        if (w->missing[page] && !w->placed[page] &&
            apn_session_postcopy_add(w->source, small ? 0 : 1, (uint64_t)at * PAGE, (uint64_t)unit * PAGE)) {
            postcopy_problem(w, "pages are not taken");
        }
        page += unit;
    }
    if (apn_session_postcopy_start(w->source)) {
        postcopy_problem(w, "postcopy does not start");
    }
}

bool postcopy_granted(struct postcopy_world *w)
{
    struct apn_error err = {0};

    dest_reads(w);
    return apn_session_grant(w->source, &err) != -EINPROGRESS;
}

bool postcopy_over_or_placed(struct postcopy_world *w)
{
    enum apn_state source = apn_session_state(w->source), dest = apn_session_state(w->dest);
    uint64_t left;

    dest_reads(w);
    if (source == APN_STATE_POSTCOPY && apn_session_postcopy_wait(w->source, 0, &left) == 0) {
        return true;
    }
    return source >= APN_STATE_DONE && dest >= APN_STATE_DONE;
}

bool postcopy_both_over(struct postcopy_world *w)
{
    dest_reads(w);
    if (apn_session_state(w->dest) == APN_STATE_DONE && apn_session_flush_stream(w->source, 0) == 0) {
        apn_session_postcopy_done(w->source);
    }
    return apn_session_state(w->source) >= APN_STATE_DONE && apn_session_state(w->dest) >= APN_STATE_DONE;
}
