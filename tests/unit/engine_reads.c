/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* engine_reads.c - postcopy over a backend that reads by itself, step by step: what is read, what is asked for, and how it ends
 * Owner: one struct world per test.   Thread: one.   Time: the loop world's.   Units: bytes, ns.
 *
 * The guest's memory is missing as a whole and bulk is all but stopped, so a page that comes soon was read, or asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apnmig/apnmig.h>

#include "backend/loop/loop.h"
#include "engine/session_env.h"
#include "sim/fetching.h"

#define MS     1000000ull
#define PAGE   4096u
#define PAGES  1024u
#define RTT_NS (6 * MS)
#define SLOW   (4u * PAGE) /* bulk, bytes a second */
#define URGENT 1u

struct world {
    struct apn_loop_world *loop;
    struct apn_session *source, *dest;
    uint8_t *source_ram, *dest_ram;
    unsigned placed[PAGES]; /* times */
    unsigned placed_all;
    int place_code;
};

/* Bulk sends something now and then, and after a fault first of all the page that was touched: it does not count as served */
static int place(void *opaque, unsigned region, uint64_t offset, uint32_t bytes, const void *contents)
{
    struct world *w = opaque;

    assert_int_equal(region, 0);
    for (uint32_t at = 0; at < bytes; at += PAGE) {
        uint64_t page = (offset + at) / PAGE;

        w->placed[page]++;
        w->placed_all++;
        if (contents) {
            memcpy(w->dest_ram + offset + at, (const uint8_t *)contents + at, PAGE);
        }
    }
    return w->place_code;
}

static const void *source_memory(void *opaque, unsigned region, uint64_t offset)
{
    struct world *w = opaque;

    assert_int_equal(region, 0);
    return w->source_ram + offset;
}

static struct apn_session *session(struct world *w, enum apn_role role, const char *port)
{
    struct apn_session_config config = {.role = role,
                                        .host = "loop",
                                        .port = port,
                                        .backend = "loop",
                                        .lanes = role == APN_ROLE_SOURCE ? 1 : 0,
                                        .timeout_ms = 8000,
                                        .postcopy = true,
                                        .place = place,
                                        .opaque = w};
    struct apn_session_env env = {.clock = apn_loop_world_clock(w->loop), .world = w->loop, .manual = true, .seed = 7 + role};
    struct apn_region region = {.name = "ram", .length = PAGES * PAGE, .page_size = PAGE};
    struct apn_error err = {0};
    struct apn_session *s = NULL;

    assert_int_equal(apn_session_new_env(&s, &config, &env, &err), 0);
    region.host = role == APN_ROLE_SOURCE ? w->source_ram : w->dest_ram;
    assert_int_equal(apn_session_add_region(s, &region, &err), 0);
    return s;
}

static void run(struct world *w, uint64_t ms)
{
    const uint64_t end = apn_clock_now(apn_loop_world_clock(w->loop)) + ms * MS;
    uint64_t now;

    while ((now = apn_clock_now(apn_loop_world_clock(w->loop))) < end) {
        const uint64_t wishes[] = {apn_session_step(w->source), apn_session_step(w->dest), apn_loop_world_next(w->loop),
                                   fetching_next()};
        uint64_t next = end;

        for (unsigned i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
            next = wishes[i] < next ? wishes[i] : next;
        }
        apn_loop_world_advance(w->loop, next > now ? next : now + 1000);
    }
}

/* the guest runs at the destination, nothing of it is there */
static struct world *world_new(unsigned refuse_percent, unsigned late_percent)
{
    struct apn_loop_config path = {.virtual_time = true, .seed = 1};
    struct world *w = calloc(1, sizeof(*w));
    struct fetching_config reads = {.delay_ns = RTT_NS,
                                    .refuse_percent = refuse_percent,
                                    .late_percent = late_percent,
                                    .memory = source_memory,
                                    .opaque = w,
                                    .seed = 3};
    struct apn_error err = {0};
    char port[8], word;

    assert_non_null(w);
    path.to_listener.delay_ns = path.to_connector.delay_ns = RTT_NS / 2;
    path.to_listener.rate_bytes_per_s = 312500000;
    w->loop = apn_loop_world_new(&path);
    w->source_ram = aligned_alloc(PAGE, PAGES * PAGE);
    w->dest_ram = aligned_alloc(PAGE, PAGES * PAGE);
    for (unsigned i = 0; i < PAGES * PAGE; i++) {
        w->source_ram[i] = (uint8_t)(1 + i / PAGE % 251);
    }
    memset(w->dest_ram, 0, PAGES * PAGE);
    w->dest = session(w, APN_ROLE_DEST, "0");
    fetching_install(w->dest, &reads);
    assert_int_equal(apn_session_listen(w->dest, &err), 0);
    snprintf(port, sizeof(port), "%u", apn_session_port(w->dest));
    w->source = session(w, APN_ROLE_SOURCE, port);
    apn_session_set_rate_limit(w->source, SLOW);
    apn_session_connect(w->source, &err);
    run(w, 50);
    apn_session_regions_commit(w->dest, &err);
    apn_session_regions_commit(w->source, &err);
    run(w, 50);
    assert_int_equal(apn_session_switchover(w->source, &err), 0);
    assert_int_equal(apn_session_fence(w->source), 0);
    assert_int_equal(apn_session_write(w->source, "L", 1, false), 1);
    assert_int_equal(apn_session_postcopy_add(w->source, 0, 0, PAGES * PAGE), 0);
    assert_int_equal(apn_session_postcopy_start(w->source), 0);
    run(w, 50);
    assert_int_equal(apn_session_read(w->dest, &word, 1, false), 1);
    assert_int_equal(apn_session_postcopy_listen(w->dest), 0);
    apn_session_ready(w->dest);
    apn_session_grant(w->source, &err);
    run(w, 50);
    assert_int_equal(apn_session_granted(w->dest), 1);
    apn_session_started(w->dest, 0);
    run(w, 50);
    assert_int_equal(apn_session_state(w->source), APN_STATE_POSTCOPY);
    return w;
}

static void world_free(struct world *w)
{
    apn_session_free(w->source);
    apn_session_free(w->dest);
    apn_loop_world_free(w->loop);
    free(w->source_ram);
    free(w->dest_ram);
    free(w);
}

static void touch(struct world *w, unsigned page)
{
    assert_int_equal(w->placed[page], 0);
    assert_int_equal(apn_session_postcopy_request(w->dest, 0, (uint64_t)page * PAGE, PAGE), 0);
}

static void assert_there(const struct world *w, unsigned page)
{
    assert_true(w->placed[page] > 0);
    assert_memory_equal(w->dest_ram + (size_t)page * PAGE, w->source_ram + (size_t)page * PAGE, PAGE);
}

static struct apn_stats stats(struct apn_session *s)
{
    struct apn_stats out;

    apn_session_stats(s, &out);
    return out;
}

/* ---- the tests --------------------------------------------------------------- */

static void a_fault_is_read_and_the_source_hears_of_it(void **state)
{
    struct world *w = world_new(0, 0);

    (void)state;
    touch(w, 600);
    touch(w, 700);
    run(w, 8);
    assert_there(w, 600);
    assert_there(w, 700);
    assert_int_equal(stats(w->dest).postcopy_requests, 2);
    assert_int_equal(stats(w->dest).postcopy_reads, 2);
    assert_int_equal(stats(w->source).postcopy_requests, 2);
    assert_int_equal(stats(w->source).postcopy_reads, 2);
    assert_int_equal(stats(w->source).postcopy_urgent, 0);
    /* bulk goes on from there, with the page itself: a read is no promise */
    apn_session_set_rate_limit(w->source, 0);
    run(w, 50);
    assert_int_equal(w->placed[700], 2);
    for (unsigned page = 0; page < PAGES; page++) {
        assert_there(w, page);
    }
    world_free(w);
}

static void what_cannot_be_read_is_asked_for(void **state)
{
    struct world *w = world_new(100, 0);

    (void)state;
    touch(w, 600);
    run(w, 8);
    assert_there(w, 600);
    assert_int_equal(stats(w->source).postcopy_urgent, 1);
    assert_int_equal(stats(w->source).postcopy_reads + stats(w->dest).postcopy_reads, 0);
    world_free(w);
}

/* more at once than the link reads at a time: the rest is asked for, and all come */
static void a_crowd_of_faults_is_served(void **state)
{
    struct world *w = world_new(0, 0);

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        touch(w, 500 + i);
    }
    run(w, 12);
    for (unsigned i = 0; i < 100; i++) {
        assert_there(w, 500 + i);
    }
    assert_true(stats(w->dest).postcopy_reads > 0 && stats(w->dest).postcopy_reads < 100);
    assert_int_equal(stats(w->source).postcopy_reads + stats(w->source).postcopy_urgent, 100);
    world_free(w);
}

/* whether the source had heard of the request or not */
static void a_lost_lane_asks_for_what_it_was_reading(void **state)
{
    (void)state;
    for (unsigned after_ms = 0; after_ms <= 20; after_ms += 5) {
        struct world *w = world_new(0, 100);

        touch(w, 600);
        run(w, 1 + after_ms);
        assert_int_equal(w->placed[600], 0);
        assert_int_equal(fetching_counts().begun, 1);
        apn_loop_world_reset_lane(w->loop, URGENT);
        run(w, 100);
        assert_there(w, 600);
        assert_int_equal(fetching_counts().begun, 1); /* it was tried once */
        assert_int_equal(fetching_counts().lost, 1);
        assert_int_equal(stats(w->source).postcopy_urgent, 1);
        assert_int_equal(stats(w->dest).postcopy_reads, 0);
        touch(w, 800); /* the lane that came back reads again */
        run(w, 1);
        assert_int_equal(fetching_counts().begun, 2);
        world_free(w);
    }
}

static void nothing_is_placed_after_settling(void **state)
{
    struct world *w = world_new(0, 100);
    unsigned placed;

    (void)state;
    touch(w, 600);
    run(w, 20);
    assert_int_equal(fetching_counts().begun, 1);
    apn_session_set_rate_limit(w->source, 0);
    run(w, 100); /* everything has come by another way */
    assert_there(w, 600);
    placed = w->placed_all;
    apn_session_postcopy_settle(w->dest);
    apn_session_postcopy_settle(w->dest);
    w->place_code = -5;
    run(w, FETCHING_LATE_NS / MS);
    assert_int_equal(fetching_counts().done, 1);
    assert_int_equal(w->placed_all, placed);
    assert_int_equal(stats(w->dest).postcopy_reads, 0);
    assert_int_equal(apn_session_state(w->dest), APN_STATE_POSTCOPY);
    world_free(w);
}

static void a_page_that_cannot_be_placed_pauses(void **state)
{
    struct world *w = world_new(0, 0);

    (void)state;
    w->place_code = -14;
    touch(w, 600);
    run(w, 20);
    assert_int_equal(apn_session_state(w->dest), APN_STATE_PAUSED);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_is_read_and_the_source_hears_of_it),
        cmocka_unit_test(what_cannot_be_read_is_asked_for),
        cmocka_unit_test(a_crowd_of_faults_is_served),
        cmocka_unit_test(a_lost_lane_asks_for_what_it_was_reading),
        cmocka_unit_test(nothing_is_placed_after_settling),
        cmocka_unit_test(a_page_that_cannot_be_placed_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
