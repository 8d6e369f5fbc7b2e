/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loop.c - the model of the path itself: times to the nanosecond, one wire for all links, cuts,
 * resets, queues (what every backend must do is in tests/conformance) */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/loop/loop.h"
#include "support/clock.h"
#include "wire/layout.h"

#define DELAY_NS    (3 * APN_NS_PER_MS)
#define RATE        1250000000ull /* 10 Gb/s: 0.8 ns per byte */
#define SPAN        APN_EXTENT_MAX
#define EXTENT_WIRE (SPAN + APN_WIRE_HEADER_BYTES)
#define LINKS       2

struct rig {
    struct apn_loop_world *world;
    struct apn_backend *source, *dest;
    struct apn_link *out[LINKS], *in[LINKS];
};

static int authorise(void *opaque, const struct apn_hello *hello, struct apn_welcome *welcome,
                     struct apn_error *err)
{
    (void)opaque, (void)hello, (void)err;
    welcome->features = 0;
    return 0;
}

static void attach(void *opaque, const struct apn_hello *hello, struct apn_link *link)
{
    struct rig *rig = opaque;

    rig->in[hello->lane] = link;
}

static uint64_t now(struct rig *rig)
{
    return apn_clock_now(apn_loop_world_clock(rig->world));
}

/* Polls a link once. Return: the event's type, 0 = none. */
static int poll_one(struct apn_link *link, struct apn_event *event)
{
    return link && link->backend->ops->poll(link, event, 1, 0) ? (int)event->type : 0;
}

/* Moves time until @link has something to say, 100 steps at most. */
static int poll_until(struct rig *rig, struct apn_link *link, struct apn_event *event)
{
    for (int i = 0; i < 100; i++) {
        uint64_t next;

        if (poll_one(link, event)) {
            return (int)event->type;
        }
        next = apn_loop_world_next(rig->world);
        if (next == UINT64_MAX) {
            return 0;
        }
        apn_loop_world_advance(
            rig->world,
            next > now(rig) ? next : now(rig) + 25 * APN_NS_PER_MS); /* others have events too */
    }
    return 0;
}

static struct apn_link *rig_connect(struct rig *rig, uint16_t lane)
{
    struct apn_hello hello = {.lane = lane, .lanes = LINKS, .generation = 1, .timeout_ms = 8000};
    struct apn_error err = {0};
    struct apn_link *link;

    memset(hello.session_id, 7, sizeof(hello.session_id));
    assert_int_equal(rig->source->ops->connect(rig->source, &hello, &link, &err), 0);
    return link;
}

static void rig_open(struct rig *rig, const struct apn_loop_config *config)
{
    static char port[8];
    struct apn_backend_config be = {.host = "", .port = "0", .handshake_timeout_ms = 2000};
    struct apn_acceptor acceptor = {authorise, attach, NULL, rig};
    struct apn_error err = {0};
    uint16_t number;

    memset(rig, 0, sizeof(*rig));
    rig->world = apn_loop_world_new(config);
    assert_non_null(rig->world);
    be.world = rig->world;
    be.clock = apn_loop_world_clock(rig->world);
    assert_int_equal(apn_loop_backend_new(&rig->dest, &be, &err), 0);
    assert_int_equal(rig->dest->ops->listen(rig->dest, &acceptor, &number, &err), 0);
    snprintf(port, sizeof(port), "%u", number);
    be.port = port;
    assert_int_equal(apn_loop_backend_new(&rig->source, &be, &err), 0);
    for (uint16_t lane = 0; lane < LINKS; lane++) {
        struct apn_event event;

        rig->out[lane] = rig_connect(rig, lane);
        assert_int_equal(poll_until(rig, rig->out[lane], &event), APN_EVENT_UP);
        assert_non_null(rig->in[lane]);
    }
}

static void rig_close(struct rig *rig)
{
    for (int i = 0; i < LINKS; i++) {
        if (rig->out[i]) {
            rig->source->ops->link_close(rig->out[i]);
        }
        if (rig->in[i]) {
            rig->dest->ops->link_close(rig->in[i]);
        }
    }
    rig->source->ops->free(rig->source);
    rig->dest->ops->free(rig->dest);
    apn_loop_world_free(rig->world);
}

static const struct apn_loop_config fat_path = {
    .to_listener = {.delay_ns = DELAY_NS, .rate_bytes_per_s = RATE},
    .to_connector = {.delay_ns = DELAY_NS, .rate_bytes_per_s = RATE},
    .recover_ns = 200 * APN_NS_PER_MS,
    .virtual_time = true,
};

static int post_extent(struct rig *rig, int lane, uint64_t offset)
{
    struct apn_msg msg = {.type = APN_MSG_EXTENT,
                          .kind = APN_EXTENT_DATA,
                          .bytes = SPAN,
                          .span = SPAN,
                          .offset = offset};

    return rig->source->ops->post(rig->out[lane], &msg, 1);
}

static uint64_t wire_ns(uint64_t bytes)
{
    return bytes * APN_NS_PER_S / RATE;
}

static void one_wire_serialises_all_links(void **state)
{
    struct rig rig;
    struct apn_event event;
    uint64_t start;

    (void)state;
    rig_open(&rig, &fat_path);
    start = now(&rig);
    assert_int_equal(post_extent(&rig, 0, 0), 0);
    assert_int_equal(post_extent(&rig, 1, 0), 0);
    assert_int_equal(post_extent(&rig, 0, SPAN), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(poll_until(&rig, rig.in[i & 1], &event), APN_EVENT_MSG);
        assert_int_equal(event.msg.offset, i == 2 ? SPAN : 0);
        assert_in_range(now(&rig) - start, DELAY_NS + wire_ns((i + 1) * EXTENT_WIRE) - 3,
                        DELAY_NS + wire_ns((i + 1) * EXTENT_WIRE) + 3);
    }
    rig_close(&rig);
}

static void a_cut_freezes_and_a_restore_delivers(void **state)
{
    struct rig rig;
    struct apn_event event;
    uint64_t restored;

    (void)state;
    rig_open(&rig, &fat_path);
    assert_int_equal(post_extent(&rig, 0, 0), 0);
    apn_loop_world_cut(rig.world, APN_LOOP_CUT_STALL);
    assert_int_equal(post_extent(&rig, 0, SPAN), 0); /* the sender does not know */
    apn_loop_world_advance(rig.world, now(&rig) + 5 * APN_NS_PER_S);
    assert_int_equal(poll_one(rig.in[0], &event), 0);
    assert_int_equal(apn_loop_world_next(rig.world), UINT64_MAX);
    apn_loop_world_restore(rig.world);
    restored = now(&rig);
    assert_int_equal(poll_until(&rig, rig.in[0], &event), APN_EVENT_MSG);
    assert_in_range(now(&rig) - restored, fat_path.recover_ns + DELAY_NS,
                    fat_path.recover_ns + 2 * DELAY_NS);
    assert_int_equal(poll_until(&rig, rig.in[0], &event), APN_EVENT_MSG);
    assert_int_equal(event.msg.offset, SPAN);
    rig_close(&rig);
}

static void a_cut_with_reset_kills_both_ends(void **state)
{
    struct rig rig;
    struct apn_event event;
    struct apn_link *again;

    (void)state;
    rig_open(&rig, &fat_path);
    assert_int_equal(post_extent(&rig, 0, 0), 0);
    apn_loop_world_cut(rig.world, APN_LOOP_CUT_RESET);
    assert_int_equal(poll_until(&rig, rig.in[0], &event), APN_EVENT_DOWN);
    assert_int_equal(event.error.code, -ECONNRESET);
    assert_int_equal(poll_until(&rig, rig.out[0], &event), APN_EVENT_DOWN);
    assert_int_equal(post_extent(&rig, 1, 0), -ECONNRESET);
    again = rig_connect(&rig, 0); /* nothing answers while the path is cut */
    assert_int_equal(poll_until(&rig, again, &event), APN_EVENT_DOWN);
    assert_int_equal(event.error.code, -ETIMEDOUT);
    rig.source->ops->link_close(again);
    rig_close(&rig);
}

static void a_reset_hits_one_lane(void **state)
{
    struct rig rig;
    struct apn_event event;

    (void)state;
    rig_open(&rig, &fat_path);
    assert_int_equal(post_extent(&rig, 0, 0), 0);
    assert_int_equal(post_extent(&rig, 1, 0), 0);
    assert_int_equal(apn_loop_world_reset_lane(rig.world, 0), 1);
    assert_int_equal(apn_loop_world_reset_lane(rig.world, 0), 0);
    assert_int_equal(poll_until(&rig, rig.in[0], &event), APN_EVENT_DOWN);
    assert_int_equal(poll_until(&rig, rig.in[1], &event), APN_EVENT_MSG);
    rig_close(&rig);
}

static void a_stalled_lane_is_silent(void **state)
{
    struct rig rig;
    struct apn_event event;

    (void)state;
    rig_open(&rig, &fat_path);
    assert_int_equal(apn_loop_world_stall_lane(rig.world, 1), 1);
    assert_int_equal(post_extent(&rig, 1, 0), 0);
    assert_int_equal(apn_loop_world_next(rig.world), UINT64_MAX);
    apn_loop_world_advance(rig.world, now(&rig) + APN_NS_PER_S);
    assert_int_equal(poll_one(rig.in[1], &event), 0);
    rig_close(&rig);
}

static void an_overfull_queue_is_late_not_lost(void **state)
{
    struct apn_loop_config config = fat_path;
    struct apn_loop_counters counters;
    struct apn_event event;
    struct rig rig;

    (void)state;
    config.to_listener.queue_bytes = 2 * EXTENT_WIRE;
    config.to_listener.overflow_ns = 100 * APN_NS_PER_MS;
    rig_open(&rig, &config);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(post_extent(&rig, 0, (uint64_t)i * SPAN), 0);
    }
    for (int i = 0; i < 8; i++) { /* in order all the same */
        assert_int_equal(poll_until(&rig, rig.in[0], &event), APN_EVENT_MSG);
        assert_int_equal(event.msg.offset, (uint64_t)i * SPAN);
    }
    apn_loop_world_counters(rig.world, &counters);
    assert_int_equal(counters.overflows[0], 5);
    assert_in_range(counters.backlog_max[0], 6 * EXTENT_WIRE, 8 * EXTENT_WIRE);
    rig_close(&rig);
}

static void a_full_link_says_again_and_recovers(void **state)
{
    struct apn_loop_config config = fat_path;
    struct apn_event event;
    struct rig rig;
    int posted = 0;

    (void)state;
    config.link_bytes = 4 * EXTENT_WIRE;
    rig_open(&rig, &config);
    while (posted < 100 && !post_extent(&rig, 0, 0)) {
        posted++;
    }
    assert_int_equal(posted, 4);
    assert_int_equal(post_extent(&rig, 0, 0), -EAGAIN);
    assert_int_equal(post_extent(&rig, 1, 0), 0); /* the other link is not full */
    assert_int_equal(poll_until(&rig, rig.in[0], &event), APN_EVENT_MSG);
    assert_int_equal(post_extent(&rig, 0, 0), 0);
    rig_close(&rig);
}

static void without_a_world_it_is_refused_in_words(void **state)
{
    struct apn_backend_config config = {.host = "", .port = "0"};
    struct apn_backend *be = NULL;
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(apn_loop_backend_new(&be, &config, &err), -EINVAL);
    assert_null(be);
    assert_non_null(strstr(err.text, "world"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wire_serialises_all_links),
        cmocka_unit_test(a_cut_freezes_and_a_restore_delivers),
        cmocka_unit_test(a_cut_with_reset_kills_both_ends),
        cmocka_unit_test(a_reset_hits_one_lane),
        cmocka_unit_test(a_stalled_lane_is_silent),
        cmocka_unit_test(an_overfull_queue_is_late_not_lost),
        cmocka_unit_test(a_full_link_says_again_and_recovers),
        cmocka_unit_test(without_a_world_it_is_refused_in_words),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
