/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* engine_parts.c - window, item rings, stream: the engine's parts without a session
 * Time: an argument everywhere. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/item.h"
#include "engine/stream.h"
#include "engine/window.h"

#define MS    1000000ull
#define SLOTS 16384u

/* ---- window --------------------------------------------------------------- */

/* A path of @rate and @rtt with a queue: what is in flight beyond one BDP waits. Runs @ms; Return: bytes delivered. */
struct model_path {
    uint64_t rate, rtt_ns, clock_ns, wire_free_ns, in_flight;
    struct { uint64_t due_ns, bytes, posted_ns; } slot[SLOTS];
    unsigned head, count;
    uint64_t queue_max;
};

static uint64_t run_path(struct model_path *p, struct apn_window *w, uint64_t ms, uint64_t extent)
{
    uint64_t end = p->clock_ns + ms * MS, delivered = 0;

    while (p->clock_ns < end) {
        while (apn_window_room(w, p->in_flight) && p->count < SLOTS) {
            unsigned i = (p->head + p->count++) % SLOTS;

            p->wire_free_ns = p->wire_free_ns > p->clock_ns ? p->wire_free_ns : p->clock_ns;
            p->wire_free_ns += extent * 1000000000ull / p->rate;
            p->slot[i].due_ns = p->wire_free_ns + p->rtt_ns;
            p->slot[i].bytes = extent;
            p->slot[i].posted_ns = p->clock_ns;
            apn_window_posted(w, p->in_flight, p->clock_ns);
            p->in_flight += extent;
        }
        if (p->wire_free_ns - p->clock_ns > p->queue_max) {
            p->queue_max = p->wire_free_ns - p->clock_ns;
        }
        p->clock_ns = p->slot[p->head].due_ns;
        p->in_flight -= p->slot[p->head].bytes;
        delivered += p->slot[p->head].bytes;
        apn_window_applied(w, p->slot[p->head].bytes, p->slot[p->head].posted_ns, 0, p->clock_ns);
        p->head = (p->head + 1) % SLOTS;
        p->count--;
    }
    return delivered;
}

static void window_fills_a_long_path_without_a_queue(void **state)
{
    static const uint64_t rates[] = {312500000, 1250000000, 12500000000, 50000000000};
    (void)state;

    for (unsigned i = 0; i < 4; i++) {
        struct model_path *p = calloc(1, sizeof(*p));
        struct apn_window w;
        uint64_t bytes;

        p->rate = rates[i];
        p->rtt_ns = 6 * MS;
        apn_window_init(&w, 0, 0, 0);
        run_path(p, &w, 200, 64 << 10);
        p->queue_max = 0;
        bytes = run_path(p, &w, 1000, 64 << 10);
        assert_in_range(bytes, rates[i] * 95 / 100, rates[i] * 102 / 100);
        assert_in_range(apn_window_rate(&w), rates[i] * 95 / 100, rates[i] * 110 / 100);
        assert_in_range(w.rtt_min_ns, 6 * MS, 7 * MS);
        assert_true(p->queue_max < 25 * MS / 10); /* 0.25 BDP = 1.5 ms, and the grain of one extent at the lowest rate */
        free(p);
    }
}

/* A window above a TCP connection in slow start: what TCP does not let onto the wire waits in its socket. Steps of a millisecond.
 * Return: round trips until one of them carried 0.9 of the line. */
static unsigned rounds_to_full_speed(struct apn_window *w, uint64_t rate, unsigned rtt_ms)
{
    enum { EXTENT = 64 << 10, FIRST_SEGMENTS = 10 * 8960, STEPS = 2000 };
    static uint64_t arrives[2 * STEPS], posted_ns[1 << 16];
    uint64_t cwnd = FIRST_SEGMENTS, on_wire = 0, backlog = 0, in_flight = 0, applied = 0, carried = 0, line = rate / 1000;
    unsigned first = 0, last = 0;

    memset(arrives, 0, sizeof(arrives));
    for (unsigned ms = 1; ms < STEPS; ms++) {
        const uint64_t came = arrives[ms];

        on_wire -= came;
        cwnd += came;
        carried += came - (ms > rtt_ms ? arrives[ms - rtt_ms] : 0);
        if (carried >= line * rtt_ms * 9 / 10) {
            return ms / rtt_ms;
        }
        for (applied += came; applied >= EXTENT; applied -= EXTENT) {
            in_flight -= EXTENT;
            apn_window_applied(w, EXTENT, posted_ns[first++ % (1 << 16)], 0, ms * MS);
        }
        while (apn_window_room(w, in_flight)) {
            apn_window_posted(w, in_flight, ms * MS);
            posted_ns[last++ % (1 << 16)] = ms * MS;
            in_flight += EXTENT;
            backlog += EXTENT;
        }
        const uint64_t room = cwnd > on_wire ? cwnd - on_wire : 0;
        const uint64_t most = room < line ? room : line;
        const uint64_t goes = backlog < most ? backlog : most;

        backlog -= goes;
        on_wire += goes;
        arrives[ms + rtt_ms] = goes;
    }
    return UINT_MAX;
}

static void window_keeps_ahead_of_slow_start(void **state)
{
    static const unsigned rtt_ms[] = {3, 6, 9, 15, 30, 45};
    (void)state;

    for (unsigned i = 0; i < sizeof(rtt_ms) / sizeof(rtt_ms[0]); i++) {
        struct apn_window w, unlimited;
        unsigned rounds, least;

        apn_window_init(&unlimited, 64 << 20, 0, 0);
        apn_window_init(&w, 0, 0, 0);
        least = rounds_to_full_speed(&unlimited, 312500000, rtt_ms[i]); /* what TCP takes by itself */
        rounds = rounds_to_full_speed(&w, 312500000, rtt_ms[i]);
        assert_in_range(least, 3, 12);
        assert_in_range(rounds, least, least + 1);
    }
}

static void window_stop_and_wait_does_not_fill_it(void **state)
{
    struct model_path *p = calloc(1, sizeof(*p));
    struct apn_window w;
    (void)state;

    p->rate = 312500000;
    p->rtt_ns = 6 * MS;
    apn_window_init(&w, 1, 0, 0);
    assert_true(run_path(p, &w, 1000, 256 << 10) < p->rate * 20 / 100);
    free(p);
}

static void window_unlimited_builds_a_queue(void **state)
{
    struct model_path *p = calloc(1, sizeof(*p));
    struct apn_window w;
    (void)state;

    p->rate = 312500000;
    p->rtt_ns = 6 * MS;
    apn_window_init(&w, UINT64_MAX, 0, 0);
    run_path(p, &w, 100, 256 << 10);
    assert_true(p->queue_max > 100 * MS);
    free(p);
}

static void window_follows_the_path(void **state)
{
    struct model_path *p = calloc(1, sizeof(*p));
    struct apn_window w;
    uint64_t bytes;
    (void)state;

    p->rate = 312500000;
    p->rtt_ns = 6 * MS;
    apn_window_init(&w, 0, 0, 0);
    run_path(p, &w, 500, 256 << 10);
    p->rate = 1250000000; /* four times faster */
    run_path(p, &w, 500, 256 << 10);
    bytes = run_path(p, &w, 500, 256 << 10);
    assert_true(bytes > p->rate / 2 * 95 / 100);
    p->rtt_ns = 12 * MS; /* protection switched to the longer way round */
    run_path(p, &w, 12000, 256 << 10);
    bytes = run_path(p, &w, 500, 256 << 10);
    assert_true(bytes > p->rate / 2 * 90 / 100);
    free(p);
}

/* the peer is held up for 40 ms every 100 and then reports everything at once: that is no speed */
static void window_bunched_reports_are_no_speed(void **state)
{
    struct model_path *p = calloc(1, sizeof(*p));
    struct apn_window w;
    (void)state;

    p->rate = 312500000;
    p->rtt_ns = 6 * MS;
    apn_window_init(&w, 0, 0, 0);
    for (int i = 0; i < 30; i++) {
        run_path(p, &w, 100, 64 << 10);
        for (unsigned k = 0; k < p->count; k++) {
            p->slot[(p->head + k) % SLOTS].due_ns = p->clock_ns + 40 * MS;
        }
        p->wire_free_ns = p->clock_ns + 40 * MS - p->rtt_ns;
    }
    assert_true(apn_window_rate(&w) < p->rate * 120 / 100);
    free(p);
}

static void window_idle_samples_do_not_lower_the_rate(void **state)
{
    struct model_path *p = calloc(1, sizeof(*p));
    struct apn_window w;
    uint64_t before;
    (void)state;

    p->rate = 312500000;
    p->rtt_ns = 6 * MS;
    apn_window_init(&w, 0, 0, 0);
    run_path(p, &w, 500, 256 << 10);
    before = apn_window_rate(&w);
    for (int i = 0; i < 200; i++) { /* a trickle: one page per round trip */
        uint64_t posted_ns = p->clock_ns;

        apn_window_idle(&w);
        apn_window_posted(&w, 0, posted_ns);
        apn_window_idle(&w);
        p->clock_ns += 6 * MS;
        apn_window_applied(&w, 4096, posted_ns, 0, p->clock_ns);
    }
    assert_int_equal(apn_window_rate(&w), before);
    free(p);
}

/* ---- items ------------------------------------------------------------------ */

static void put(struct apn_item_ring *ring, uint8_t type, uint64_t offset, uint32_t span)
{
    struct apn_item *item = apn_item_push(ring);

    assert_non_null(item);
    item->msg = (struct apn_msg){.type = type, .kind = APN_EXTENT_DATA, .offset = offset, .span = span, .bytes = span};
}

static void requeue_keeps_order_and_joins_neighbours(void **state)
{
    struct apn_item_ring inflight, replay;
    (void)state;

    assert_int_equal(apn_item_ring_init(&inflight, 16), 0);
    assert_int_equal(apn_item_ring_init(&replay, 16), 0);
    put(&replay, APN_MSG_EXTENT, 1 << 20, 4096); /* waited since an earlier loss: younger than what was in flight */
    put(&replay, APN_MSG_GRANT, 7, 0);
    put(&inflight, APN_MSG_EXTENT, 0, 4096);
    put(&inflight, APN_MSG_EXTENT, 4096, 8192);
    put(&inflight, APN_MSG_FENCE, 1, 0);
    put(&inflight, APN_MSG_EXTENT, 12288, 4096); /* not joined across the fence */
    assert_int_equal(apn_items_requeue(&inflight, &replay), 16384);
    assert_int_equal(inflight.count, 0);
    assert_int_equal(replay.count, 5);
    assert_int_equal(apn_item_at(&replay, 0)->msg.span, 12288);
    assert_int_equal(apn_item_at(&replay, 1)->msg.type, APN_MSG_FENCE);
    assert_int_equal(apn_item_at(&replay, 2)->msg.offset, 12288);
    assert_int_equal(apn_item_at(&replay, 3)->msg.offset, 1 << 20);
    assert_int_equal(apn_item_at(&replay, 4)->msg.type, APN_MSG_GRANT);
    apn_item_ring_done(&inflight);
    apn_item_ring_done(&replay);
}

static void requeue_does_not_join_across_granules_or_beyond_an_extent(void **state)
{
    struct apn_item_ring inflight, replay;
    (void)state;

    apn_item_ring_init(&inflight, 16);
    apn_item_ring_init(&replay, 16);
    put(&inflight, APN_MSG_EXTENT, APN_GRANULE_SIZE - 4096, 4096);
    put(&inflight, APN_MSG_EXTENT, APN_GRANULE_SIZE, APN_EXTENT_MAX);
    put(&inflight, APN_MSG_EXTENT, APN_GRANULE_SIZE + APN_EXTENT_MAX, 4096);
    apn_items_requeue(&inflight, &replay);
    assert_int_equal(replay.count, 3);
    apn_item_ring_done(&inflight);
    apn_item_ring_done(&replay);
}

static void full_rings_say_so(void **state)
{
    struct apn_item_ring inflight, replay;
    struct apn_work_ring work;
    struct apn_work w = {.bytes = 4096};
    (void)state;

    apn_item_ring_init(&inflight, 4);
    apn_item_ring_init(&replay, 2);
    for (int i = 0; i < 4; i++) {
        put(&inflight, APN_MSG_GRANT, 0, 0);
    }
    assert_null(apn_item_push(&inflight));
    assert_int_equal(apn_items_requeue(&inflight, &replay), -ENOBUFS);
    apn_item_ring_done(&inflight);
    apn_item_ring_done(&replay);

    assert_int_equal(apn_work_ring_init(&work), 0);
    for (unsigned i = 0; i < APN_RUNS_MAX; i++) {
        assert_true(apn_work_push(&work, &w));
    }
    assert_false(apn_work_push(&work, &w));
    assert_false(apn_work_push_front(&work, &w));
    assert_int_equal(work.bytes, 4096ull * APN_RUNS_MAX);
    apn_work_ring_done(&work);
}

/* ---- stream ------------------------------------------------------------------ */

struct streams {
    struct apn_stream_tx tx, tx2;
    struct apn_stream_rx rx, rx2;
};

static int streams_new(void **state)
{
    struct streams *s = calloc(1, sizeof(*s));

    *state = s;
    return apn_stream_init(&s->tx, &s->rx2) || apn_stream_init(&s->tx2, &s->rx);
}

static int streams_free(void **state)
{
    struct streams *s = *state;

    apn_stream_done(&s->tx, &s->rx2);
    apn_stream_done(&s->tx2, &s->rx);
    free(s);
    return 0;
}

static void move_all(struct streams *s)
{
    uint64_t from, fence;
    const void *bytes;
    size_t n;

    while ((n = apn_stream_tx_next(&s->tx, &from, &fence, &bytes))) {
        assert_int_equal(apn_stream_rx_put(&s->rx, from, fence, bytes, n), 0);
        s->tx.applied = from + n;
    }
}

static void stream_wraps_and_keeps_its_bytes(void **state)
{
    struct streams *s = *state;
    uint64_t sent = 0, got = 0;
    uint32_t buffer[5000];

    while (got < 3ull * APN_STREAM_CAPACITY) {
        for (unsigned i = 0; i < 5000; i++) {
            buffer[i] = (uint32_t)(sent / 4 + i);
        }
        if (apn_stream_tx_room(&s->tx) >= sizeof(buffer)) {
            assert_int_equal(apn_stream_tx_write(&s->tx, buffer, sizeof(buffer)), sizeof(buffer));
            sent += sizeof(buffer);
        }
        move_all(s);
        assert_int_equal(apn_stream_rx_read(&s->rx, buffer, sizeof(buffer)), sizeof(buffer));
        for (unsigned i = 0; i < 5000; i++) {
            assert_int_equal(buffer[i], (uint32_t)(got / 4 + i));
        }
        got += sizeof(buffer);
        s->tx.peer_consumed = s->rx.consumed;
    }
}

static void stream_stops_at_the_peers_buffer(void **state)
{
    struct streams *s = *state;
    uint8_t *big = calloc(1, 2 * APN_STREAM_CAPACITY);

    assert_int_equal(apn_stream_tx_write(&s->tx, big, 2 * APN_STREAM_CAPACITY), APN_STREAM_CAPACITY);
    move_all(s);
    assert_int_equal(apn_stream_tx_room(&s->tx), 0); /* applied, but nobody has read it */
    apn_stream_rx_read(&s->rx, big, 1000);
    s->tx.peer_consumed = s->rx.consumed;
    assert_int_equal(apn_stream_tx_room(&s->tx), 1000);
    free(big);
}

static void stream_holds_bytes_behind_their_fence(void **state)
{
    struct streams *s = *state;
    char got[16] = {0};

    apn_stream_tx_write(&s->tx, "before", 6);
    assert_int_equal(apn_stream_tx_gate(&s->tx, 1), 0);
    apn_stream_tx_write(&s->tx, "after", 5);
    assert_int_equal(apn_stream_tx_gate(&s->tx, 2), 0);
    apn_stream_tx_write(&s->tx, "end", 3);
    move_all(s);
    assert_int_equal(apn_stream_rx_read(&s->rx, got, sizeof(got)), 6);
    assert_memory_equal(got, "before", 6);
    assert_int_equal(apn_stream_rx_readable(&s->rx), 0);
    apn_stream_rx_fence_done(&s->rx, 1);
    assert_int_equal(apn_stream_rx_read(&s->rx, got, sizeof(got)), 5);
    assert_memory_equal(got, "after", 5);
    apn_stream_rx_fence_done(&s->rx, 2);
    assert_int_equal(apn_stream_rx_read(&s->rx, got, sizeof(got)), 3);
}

static void stream_repeats_are_ignored_and_holes_refused(void **state)
{
    struct streams *s = *state;

    assert_int_equal(apn_stream_rx_put(&s->rx, 0, 0, "abcd", 4), 0);
    assert_int_equal(apn_stream_rx_put(&s->rx, 0, 0, "abcd", 4), 0);
    assert_int_equal(s->rx.received, 4);
    assert_int_equal(apn_stream_rx_put(&s->rx, 8, 0, "x", 1), -EPROTO);
    assert_int_equal(apn_stream_rx_put(&s->rx, 2, 0, "cdef", 4), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_fills_a_long_path_without_a_queue),
        cmocka_unit_test(window_keeps_ahead_of_slow_start),
        cmocka_unit_test(window_stop_and_wait_does_not_fill_it),
        cmocka_unit_test(window_unlimited_builds_a_queue),
        cmocka_unit_test(window_follows_the_path),
        cmocka_unit_test(window_bunched_reports_are_no_speed),
        cmocka_unit_test(window_idle_samples_do_not_lower_the_rate),
        cmocka_unit_test(requeue_keeps_order_and_joins_neighbours),
        cmocka_unit_test(requeue_does_not_join_across_granules_or_beyond_an_extent),
        cmocka_unit_test(full_rings_say_so),
        cmocka_unit_test_setup_teardown(stream_wraps_and_keeps_its_bytes, streams_new, streams_free),
        cmocka_unit_test_setup_teardown(stream_stops_at_the_peers_buffer, streams_new, streams_free),
        cmocka_unit_test_setup_teardown(stream_holds_bytes_behind_their_fence, streams_new, streams_free),
        cmocka_unit_test_setup_teardown(stream_repeats_are_ignored_and_holes_refused, streams_new, streams_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
