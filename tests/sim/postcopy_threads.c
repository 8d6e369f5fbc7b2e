/* SPDX-License-Identifier: GPL-2.0-or-later */
/* postcopy_threads.c - postcopy in real time: real threads that touch memory, reads that are late, a lane that dies, and the end
 *
 * usage: postcopy-threads [ROUNDS]      exits 1 and says what went wrong
 *
 * What virtual time cannot show: that nothing is placed after apn_session_postcopy_settle() has returned, while the lanes' threads
 * still hold reads that come late. Meant for ThreadSanitizer too.
 * Owner: one struct rig per round.   Thread: main, the guest's, the sessions'.   Time: monotonic.   Units: 4 KiB pages, ms. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apnmig/apnmig.h>

#include "backend/loop/loop.h"
#include "engine/session_env.h"
#include "sim/fetching.h"
#include "support/clock.h"

#define PAGE    4096u
#define PAGES   2048u
#define GUESTS  3u
#define URGENT  2u
#define MS      1000000ull
#define WAIT_MS 20000u

struct rig {
    struct apn_loop_world *loop;
    struct apn_session *source, *dest;
    uint8_t *source_ram, *dest_ram;
    atomic_bool claimed[PAGES], present[PAGES]; /* as userfaultfd: one places, then it is there */
    atomic_bool closed;                         /* userfaultfd is gone */
    atomic_bool over;
    _Atomic(const char *) problem;
    uint64_t read, settled_early;
};

struct guest {
    struct rig *rig;
    unsigned number;
    pthread_t thread;
};

static void problem(struct rig *rig, const char *what)
{
    const char *none = NULL;

    atomic_compare_exchange_strong(&rig->problem, &none, what);
}

static void nap_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static int place(void *opaque, unsigned region, uint64_t offset, uint32_t bytes, const void *contents)
{
    struct rig *rig = opaque;

    (void)region;
    if (atomic_load(&rig->closed)) {
        problem(rig, "a page was placed after the end");
    }
    for (uint32_t at = 0; at < bytes; at += PAGE) {
        uint64_t page = (offset + at) / PAGE;

        if (!atomic_exchange(&rig->claimed[page], true)) {
            memcpy(rig->dest_ram + offset + at, contents ? (const uint8_t *)contents + at : (const uint8_t *)rig->source_ram, PAGE);
            atomic_store(&rig->present[page], true);
        }
    }
    if (atomic_load(&rig->closed)) {
        problem(rig, "a page was being placed at the end");
    }
    return 0;
}

static const void *source_memory(void *opaque, unsigned region, uint64_t offset)
{
    (void)region;
    return ((struct rig *)opaque)->source_ram + offset;
}

/* touches what is missing, all over the place; a page that is never there shows as a hang with a name */
static void *guest_thread(void *opaque)
{
    struct guest *guest = opaque;
    struct rig *rig = guest->rig;

    for (uint64_t i = 0; !atomic_load(&rig->over); i++) {
        uint64_t page = (i * 397 + guest->number * 683) % PAGES;

        if (atomic_load(&rig->present[page])) {
            nap_ms(i % 64 == 0);
            continue;
        }
        apn_session_postcopy_request(rig->dest, 0, page * PAGE, PAGE);
        for (unsigned ms = 0; !atomic_load(&rig->present[page]) && !atomic_load(&rig->over); ms++) {
            if (ms == WAIT_MS) {
                problem(rig, "a page never came");
                return NULL;
            }
            nap_ms(1);
        }
    }
    return NULL;
}

static struct apn_session *session(struct rig *rig, enum apn_role role, const char *port)
{
    struct apn_session_config config = {.role = role,
                                        .host = "loop",
                                        .port = port,
                                        .backend = "loop",
                                        .lanes = role == APN_ROLE_SOURCE ? URGENT : 0,
                                        .postcopy = true,
                                        .place = place,
                                        .opaque = rig};
    struct apn_session_env env = {.clock = &apn_clock_monotonic, .world = rig->loop};
    struct apn_region region = {.name = "ram", .length = PAGES * PAGE, .page_size = PAGE};
    struct apn_error err = {0};
    struct apn_session *s = NULL;

    region.host = role == APN_ROLE_SOURCE ? rig->source_ram : rig->dest_ram;
    if (apn_session_new_env(&s, &config, &env, &err) || apn_session_add_region(s, &region, &err) < 0) {
        problem(rig, "a session cannot be made");
    }
    return s;
}

/* both are connected, the guest is handed over, all of its memory is missing */
static int hand_over(struct rig *rig)
{
    struct apn_error err = {0};
    char port[8], word = 0;
    int ret;

    snprintf(port, sizeof(port), "%u", apn_session_port(rig->dest));
    rig->source = session(rig, APN_ROLE_SOURCE, port);
    apn_session_set_rate_limit(rig->source, 40 << 20);
    ret = apn_session_connect(rig->source, &err);
    for (unsigned ms = 0; !ret && apn_session_state(rig->dest) < APN_STATE_SETUP && ms < WAIT_MS; ms++) {
        nap_ms(1);
    }
    ret = ret ? ret : apn_session_regions_commit(rig->dest, &err);
    ret = ret ? ret : apn_session_regions_commit(rig->source, &err);
    ret = ret ? ret : apn_session_switchover(rig->source, &err);
    ret = ret ? ret : apn_session_fence(rig->source);
    if (ret || apn_session_write(rig->source, "L", 1, true) != 1 || apn_session_read(rig->dest, &word, 1, true) != 1) {
        return -1;
    }
    ret = apn_session_postcopy_listen(rig->dest);
    ret = ret ? ret : apn_session_postcopy_add(rig->source, 0, 0, PAGES * PAGE);
    ret = ret ? ret : apn_session_postcopy_start(rig->source);
    ret = ret ? ret : apn_session_grant(rig->source, &err);
    ret = ret ? ret : apn_session_ready(rig->dest);
    for (unsigned ms = 0; !ret && !apn_session_granted(rig->dest) && ms < WAIT_MS; ms++) {
        nap_ms(1);
    }
    return ret ? ret : apn_session_started(rig->dest, WAIT_MS);
}

/* all is there; reads may still be out */
static int end(struct rig *rig)
{
    struct apn_stats stats;
    char word = 0;

    if (apn_session_write(rig->source, "E", 1, true) != 1 || apn_session_read(rig->dest, &word, 1, true) != 1) {
        return -1;
    }
    rig->settled_early = fetching_next() != UINT64_MAX;
    apn_session_postcopy_settle(rig->dest);
    atomic_store(&rig->closed, true);
    nap_ms(30); /* the late ones */
    apn_session_stats(rig->dest, &stats);
    rig->read = stats.postcopy_reads;
    return apn_session_postcopy_done(rig->dest) || apn_session_flush_stream(rig->source, WAIT_MS) ||
           apn_session_postcopy_done(rig->source);
}

static void migrate(struct rig *rig, unsigned round)
{
    struct guest guests[GUESTS];
    uint64_t left = 1;
    int ret = hand_over(rig);

    if (ret) {
        problem(rig, "the guest is not handed over");
        return;
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        guests[i] = (struct guest){.rig = rig, .number = i};
        pthread_create(&guests[i].thread, NULL, guest_thread, &guests[i]);
    }
    for (unsigned i = 0; (ret = apn_session_postcopy_wait(rig->source, 10, &left)) == -ETIMEDOUT && i < WAIT_MS / 10; i++) {
        if (round % 2 && i % 6 == 3) {
            apn_loop_world_reset_lane(rig->loop, URGENT);
        }
    }
    if (ret || end(rig)) {
        problem(rig, "it does not end");
    }
    atomic_store(&rig->over, true);
    for (unsigned i = 0; i < GUESTS; i++) {
        pthread_join(guests[i].thread, NULL);
    }
}

static int run(unsigned round, uint64_t *reads, unsigned *early)
{
    struct apn_loop_config path = {.seed = round};
    struct rig *rig = calloc(1, sizeof(*rig));
    struct fetching_config config = {.delay_ns = 3 * MS, .late_ns = 15 * MS, .late_percent = 30, .refuse_percent = 5,
                                     .memory = source_memory, .opaque = rig, .seed = round};
    struct apn_error err = {0};
    int failed;

    path.to_listener.delay_ns = path.to_connector.delay_ns = 1 * MS;
    rig->loop = apn_loop_world_new(&path);
    rig->source_ram = aligned_alloc(PAGE, PAGES * PAGE);
    rig->dest_ram = aligned_alloc(PAGE, PAGES * PAGE);
    for (unsigned page = 0; page < PAGES; page++) {
        memset(rig->source_ram + (size_t)page * PAGE, (int)(1 + page % 250), PAGE);
    }
    memset(rig->dest_ram, 0, PAGES * PAGE);
    rig->dest = session(rig, APN_ROLE_DEST, "0");
    fetching_install(rig->dest, &config);
    if (apn_session_listen(rig->dest, &err)) {
        problem(rig, "cannot listen");
    } else {
        migrate(rig, round);
    }
    if (!atomic_load(&rig->problem) && memcmp(rig->source_ram, rig->dest_ram, PAGES * PAGE)) {
        problem(rig, "memory differs");
    }
    failed = atomic_load(&rig->problem) != NULL;
    if (failed) {
        fprintf(stderr, "postcopy-threads, round %u: %s\n", round, atomic_load(&rig->problem));
    }
    *reads += rig->read;
    *early += rig->settled_early != 0;
    apn_session_free(rig->source);
    apn_session_free(rig->dest);
    apn_loop_world_free(rig->loop);
    free(rig->source_ram);
    free(rig->dest_ram);
    free(rig);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 12, failed = 0, early = 0;
    uint64_t reads = 0;

    for (unsigned round = 0; round < rounds; round++) {
        failed += (unsigned)run(round, &reads, &early);
    }
    printf("%u rounds, %u failed; %llu pages read, %u times reads were out at the end\n", rounds, failed, (unsigned long long)reads, early);
    if (!failed && !reads) {
        fprintf(stderr, "postcopy-threads: nothing was read\n");
        failed = 1;
    }
    return failed ? 1 : 0;
}
