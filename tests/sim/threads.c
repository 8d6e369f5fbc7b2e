/* SPDX-License-Identifier: GPL-2.0-or-later */
/* threads.c - whole migrations in real time: real threads, a guest that writes all the while, lanes
 * that die usage: session-threads BACKEND (loop or uring). Exit: 0, 1, 77 = the backend cannot run
 * here. What the simulation cannot show: locking, waking, live memory. Meant for ThreadSanitizer
 * too. */
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
#include "sim/guest.h"
#include "support/clock.h"

#define RAM_BYTES   ((size_t)24 << 20)
#define PAGES       (RAM_BYTES / APN_PAGE_SIZE)
#define STATE_BYTES 200000u
#define ROUNDS      6
#define WAIT_MS     20000u

struct scene {
    const char *name;
    uint32_t lanes;
    enum apn_commit commit;
    const char *source_filters, *dest_filters;
};

static const struct scene scenes[] = {
    {"one lane", 1, APN_COMMIT_FAST, NULL, NULL},
    {"four lanes, safe commit", 4, APN_COMMIT_SAFE, NULL, NULL},
    {"lanes die at random", 4, APN_COMMIT_FAST, "fault=tx:EXTENT:*:cut@p=0.005,seed=5", NULL},
    {"lanes die at the destination", 3, APN_COMMIT_FAST, NULL, "fault=rx:ANY:*:cut@p=0.01,seed=6"},
    {"a lane falls silent", 2, APN_COMMIT_FAST, "fault=lane:1:stall@after=2MB", NULL},
    {"the path is gone for a second", 2, APN_COMMIT_SAFE, "fault=all:cut@after=4MB,for=1s", NULL},
};

struct rig {
    const struct scene *scene;
    const char *backend;
    struct apn_loop_world *world;
    struct apn_session *source, *dest;
    uint8_t *ram, *dest_ram;
    _Atomic uint64_t log[PAGES / 64];
    uint64_t dirty[PAGES / 64];
    atomic_bool guest_stops, watcher_stops;
    int dest_failed;
};

static void nap_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static int complain(const struct rig *rig, const char *what, const char *why)
{
    fprintf(stderr, "session-threads %s, %s: %s: %s\n", rig->backend, rig->scene->name, what, why);
    return -1;
}

/* ---- the guest ----------------------------------------------------------- */

/* Guest memory is read by lanes while it is written: the race that dirty tracking answers. */
__attribute__((no_sanitize("thread"))) static void write_page(uint8_t *page, uint64_t random)
{
    volatile uint64_t *words = (volatile uint64_t *)(void *)page;

    if (random % 8) {
        words[random / 8 % 512] = random;
        return;
    }
    for (unsigned i = 0; i < 512; i++) {
        words[i] = 0;
    }
}

static void *guest_thread(void *opaque)
{
    struct rig *rig = opaque;
    uint64_t random = 1;

    while (!atomic_load(&rig->guest_stops)) {
        for (unsigned i = 0; i < 50; i++) {
            uint64_t page = sim_random(&random) % PAGES;

            write_page(rig->ram + page * APN_PAGE_SIZE, sim_random(&random));
            atomic_fetch_or(&rig->log[page / 64], 1ull << page % 64); /* after the write */
        }
        nap_ms(1);
    }
    return NULL;
}

/* Somebody always asks. */
static void *watcher_thread(void *opaque)
{
    struct rig *rig = opaque;

    while (!atomic_load(&rig->watcher_stops)) {
        struct apn_stats stats;
        struct apn_prediction prediction;

        apn_session_stats(rig->source, &stats);
        apn_session_stats(rig->dest, &stats);
        apn_session_predict(rig->source, RAM_BYTES, STATE_BYTES, 0, &prediction);
        nap_ms(3);
    }
    return NULL;
}

/* ---- destination --------------------------------------------------------- */

static int add_region(struct apn_session *s, void *ram)
{
    struct apn_region region = {
        .name = "pc.ram",
        .host = ram,
        .length = RAM_BYTES,
        .page_size = APN_PAGE_SIZE,
        .flags = APN_REGION_PREFAULT | APN_REGION_FIXED,
    };
    struct apn_error err = {0};

    return apn_session_add_region(s, &region, &err) < 0 ? err.code : 0;
}

static int dest_read_state(struct rig *rig)
{
    uint32_t got = 0;

    while (got < STATE_BYTES) {
        uint8_t bytes[3000];
        ssize_t n = apn_session_read(rig->dest, bytes, sizeof(bytes), true);

        if (n <= 0) {
            return complain(rig, "device state", n ? strerror((int)-n) : "ended early");
        }
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] != (uint8_t)((got + (uint32_t)i) * 7)) {
                return complain(rig, "device state", "differs");
            }
        }
        got += (uint32_t)n;
    }
    return 0;
}

static int dest_run(struct rig *rig)
{
    struct apn_error err = {0};
    int granted;

    for (unsigned i = 0; apn_session_state(rig->dest) < APN_STATE_SETUP; i++) {
        if (i == WAIT_MS) {
            return complain(rig, "destination", "nobody came");
        }
        nap_ms(1);
    }
    if (apn_session_regions_commit(rig->dest, &err)) {
        return complain(rig, "destination's regions", err.text);
    }
    if (dest_read_state(rig) || apn_session_ready(rig->dest)) {
        return -1;
    }
    for (unsigned i = 0; !(granted = apn_session_granted(rig->dest)) && i < WAIT_MS; i++) {
        nap_ms(1);
    }
    if (granted != 1) {
        return complain(rig, "destination", "was not granted the guest");
    }
    if (memcmp(rig->ram, rig->dest_ram, RAM_BYTES)) {
        return complain(rig, "destination", "memory differs when the guest would start");
    }
    return apn_session_started(rig->dest, WAIT_MS)
               ? complain(rig, "destination", "its start was not heard")
               : 0;
}

static void *dest_thread(void *opaque)
{
    struct rig *rig = opaque;

    rig->dest_failed = dest_run(rig);
    return NULL;
}

/* ---- source -------------------------------------------------------------- */

static void sync_log(struct rig *rig)
{
    for (size_t i = 0; i < PAGES / 64; i++) {
        rig->dirty[i] |= atomic_exchange(&rig->log[i], 0);
    }
}

static int post_one(struct rig *rig, const struct apn_run *run)
{
    int ret;

    while (!(ret = apn_session_post(rig->source, run, 1))) {
        ret = apn_session_wait_room(rig->source, WAIT_MS);
        if (ret) {
            return ret;
        }
    }
    return ret < 0 ? ret : 0;
}

/* One round: all that is dirty, as runs within granules. */
static int post_round(struct rig *rig)
{
    const uint64_t per_granule = APN_GRANULE_SIZE / APN_PAGE_SIZE;

    for (uint64_t page = 0; page < PAGES;) {
        uint64_t start = page;
        struct apn_run run;
        int ret;

        while (page < PAGES && (rig->dirty[page / 64] >> page % 64 & 1) &&
               (page == start || page % per_granule)) {
            rig->dirty[page / 64] &= ~(1ull << page % 64);
            page++;
        }
        if (page == start) {
            page++;
            continue;
        }
        run =
            (struct apn_run){0, (uint32_t)((page - start) * APN_PAGE_SIZE), start * APN_PAGE_SIZE};
        ret = post_one(rig, &run);
        if (ret) {
            return ret;
        }
    }
    return 0;
}

static int finish(struct rig *rig)
{
    struct apn_error err = {0};
    uint8_t state[STATE_BYTES];
    size_t sent = 0;

    sync_log(rig);
    if (apn_session_switchover(rig->source, &err) || post_round(rig) ||
        apn_session_fence(rig->source)) {
        return complain(rig, "switchover", err.text);
    }
    for (uint32_t i = 0; i < STATE_BYTES; i++) {
        state[i] = (uint8_t)(i * 7);
    }
    while (sent < STATE_BYTES) {
        ssize_t n = apn_session_write(rig->source, state + sent, STATE_BYTES - sent, true);

        if (n <= 0) {
            return complain(rig, "writing device state", strerror((int)-n));
        }
        sent += (size_t)n;
    }
    if (apn_session_grant(rig->source, &err)) {
        return complain(rig, "grant", err.text);
    }
    if (apn_session_wait_verdict(rig->source, &err) != APN_VERDICT_STARTED) {
        return complain(rig, "verdict", err.text);
    }
    return 0;
}

static int source_run(struct rig *rig, pthread_t guest)
{
    struct apn_error err = {0};
    int ret = apn_session_connect(rig->source, &err);

    ret = ret ? ret : apn_session_regions_commit(rig->source, &err);
    memset(rig->dirty, 0xff, sizeof(rig->dirty));
    for (int round = 0; round < ROUNDS && !ret; round++) {
        ret = post_round(rig);
        nap_ms(5);
        sync_log(rig);
    }
    atomic_store(&rig->guest_stops, true);
    pthread_join(guest, NULL);
    if (ret) {
        apn_session_error(rig->source, &err);
        return complain(rig, "rounds", err.code ? err.text : strerror(-ret));
    }
    return finish(rig);
}

/* ---- together ------------------------------------------------------------ */

static struct apn_session *session_new(struct rig *rig, enum apn_role role, const char *port)
{
    struct apn_session_config config = {
        .role = role,
        .commit = rig->scene->commit,
        .host = "127.0.0.1",
        .port = port,
        .backend = rig->backend,
        .filters = role == APN_ROLE_SOURCE ? rig->scene->source_filters : rig->scene->dest_filters,
        .secret = "a secret of sixteen bytes or more",
        .secret_bytes = 33,
        .lanes = rig->scene->lanes,
    };
    struct apn_session_env env = {.clock = &apn_clock_monotonic, .world = rig->world};
    struct apn_session *s = NULL;
    struct apn_error err = {0};

    if (apn_session_new_env(&s, &config, &env, &err) ||
        add_region(s, role == APN_ROLE_SOURCE ? rig->ram : rig->dest_ram) ||
        (role == APN_ROLE_DEST && apn_session_listen(s, &err))) {
        complain(rig, "session", err.text);
        apn_session_free(s);
        return NULL;
    }
    return s;
}

static int migrate(struct rig *rig)
{
    pthread_t guest, dest, watcher;
    char port[8];
    int ret;

    rig->dest = session_new(rig, APN_ROLE_DEST, "0");
    if (!rig->dest) {
        return -1;
    }
    snprintf(port, sizeof(port), "%u", apn_session_port(rig->dest));
    rig->source = session_new(rig, APN_ROLE_SOURCE, port);
    if (!rig->source) {
        return -1;
    }
    if (pthread_create(&guest, NULL, guest_thread, rig) ||
        pthread_create(&dest, NULL, dest_thread, rig) ||
        pthread_create(&watcher, NULL, watcher_thread, rig)) {
        abort();
    }
    ret = source_run(rig, guest);
    if (ret) {
        apn_session_abort(rig->source, "the test has failed");
        apn_session_abort(rig->dest, "the test has failed"); /* it would wait for another source */
    }
    pthread_join(dest, NULL);
    atomic_store(&rig->watcher_stops, true);
    pthread_join(watcher, NULL);
    return ret || rig->dest_failed ? -1 : 0;
}

static int run_scene(const struct scene *scene, const char *backend)
{
    static const struct apn_loop_config path = {.to_listener = {.delay_ns = 500000},
                                                .to_connector = {.delay_ns = 500000}};
    struct rig *rig = calloc(1, sizeof(*rig));
    uint64_t random = 3, start = apn_clock_now(&apn_clock_monotonic);
    struct apn_stats stats = {0};
    int ret = -1;

    if (!rig) {
        return -1;
    }
    rig->scene = scene;
    rig->backend = backend;
    rig->world = strcmp(backend, "loop") ? NULL : apn_loop_world_new(&path);
    rig->ram = aligned_alloc(APN_GRANULE_SIZE, RAM_BYTES);
    rig->dest_ram = aligned_alloc(APN_GRANULE_SIZE, RAM_BYTES);
    if (rig->ram && rig->dest_ram) {
        for (size_t i = 0; i < RAM_BYTES / 8; i++) {
            ((uint64_t *)(void *)rig->ram)[i] = i >> 12 & 1 ? sim_random(&random) : 0;
        }
        memset(rig->dest_ram, 0x5a, RAM_BYTES);
        ret = migrate(rig);
    }
    if (rig->source) {
        apn_session_stats(rig->source, &stats);
    }
    printf("%s, %s: %s, %.0f ms, lanes lost %u, re-sent %.1f MiB\n", backend, scene->name,
           ret ? "BROKEN" : "kept", (double)(apn_clock_now(&apn_clock_monotonic) - start) / 1e6,
           stats.lanes_lost, (double)stats.resent_bytes / (1 << 20));
    fflush(stdout);
    apn_session_free(rig->source);
    apn_session_free(rig->dest);
    apn_loop_world_free(rig->world);
    free(rig->ram);
    free(rig->dest_ram);
    free(rig);
    return ret;
}

int main(int argc, char **argv)
{
    struct apn_backend_config config = {
        .clock = &apn_clock_monotonic, .host = "127.0.0.1", .port = "0"};
    struct apn_backend *be = NULL;
    struct apn_error err = {0};
    int failed = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: session-threads loop|uring\n");
        return 2;
    }
    if (strcmp(argv[1], "loop")) {
        if (apn_backend_new(&be, argv[1], NULL, &config, &err)) {
            fprintf(stderr, "session-threads: %s\n", err.text);
            return err.code == -ENOENT ? 1 : 77;
        }
        be->ops->free(be);
    }
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        failed += run_scene(&scenes[i], argv[1]) != 0;
    }
    return failed ? 1 : 0;
}
