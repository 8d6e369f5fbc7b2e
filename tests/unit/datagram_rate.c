/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* datagram_rate.c - what a lane makes of a path: losses, cuts, short queues, marks; figures in virtual time, the predictions of
 * docs/datagram.md */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datagram_world.h"

#define RATE     312500000ull /* 2.5 Gb/s */
#define DELAY_NS (3 * WORLD_MS)
#define RTT_NS   (2 * DELAY_NS)
#define BDP      (RATE / 1000 * 6)
#define RAM      (4u << 20)
#define STEP_NS  20000u

static uint8_t source[RAM], dest[RAM];

/** struct bulk - a transfer: asked, and what became of it
 * @window: bytes posted and not delivered at most, as the engine keeps it; 0 = all that the link takes */
struct bulk {
    struct world_path path;
    struct apn_datagram_options options;
    uint64_t bytes, window, cut_at_ns, cut_ns, slower_at_ns;
    uint64_t slower_delay_ns; /* from then on */
    uint64_t busy_ns[2];      /* of every 12 ms an end has no CPU for so long */
    uint32_t datagram_max;
    uint64_t took_ns, sent_bytes, queue_late_bytes, lost, probes;
};

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    (void)opaque, (void)region;
    return offset + span <= RAM ? dest + offset : NULL;
}

static uint64_t post_more(struct world *w, const struct bulk *b, uint64_t posted, uint64_t delivered)
{
    while (posted < b->bytes && (!b->window || posted - delivered < b->window)) {
        struct apn_msg msg = {.type = APN_MSG_EXTENT, .kind = APN_EXTENT_DATA, .span = 64u << 10, .bytes = 64u << 10};

        msg.offset = posted % RAM;
        msg.payload = source + msg.offset;
        if (apn_dg_link_post(&w->link[0]->base, &msg, 1)) {
            break;
        }
        posted += msg.bytes;
    }
    return posted;
}

/* Until everything is delivered. The window opens half a round trip later than it does here; that is what a report needs. */
static void run(struct bulk *b)
{
    const struct apn_sink sink = {resolve, NULL};
    struct world *w = calloc(1, sizeof(*w));
    uint64_t posted = 0, delivered = 0, start, reported[512] = {0};
    struct apn_event events[64];

    assert_non_null(w);
    world_init(w, &b->path, 7, b->datagram_max ? b->datagram_max : 8972, &b->options, &sink);
    start = w->now_ns;
    for (uint64_t step = 0; delivered < b->bytes; step++) {
        const uint64_t past = w->now_ns - start;
        int n;

        assert_true(past < 60000 * WORLD_MS);
        w->cut = b->cut_ns && past >= b->cut_at_ns && past < b->cut_at_ns + b->cut_ns;
        if (b->slower_at_ns && past >= b->slower_at_ns) {
            w->path.rate = b->path.rate / 2;
            w->path.delay_ns = b->path.delay_ns + b->slower_delay_ns;
        }
        posted = post_more(w, b, posted, reported[(step - DELAY_NS / STEP_NS) % 512]);
        n = past % (12 * WORLD_MS) < b->busy_ns[0] ? 0 : world_poll(w, 0, events, 64);
        assert_int_equal(n, 0);
        n = (past + 5 * WORLD_MS) % (12 * WORLD_MS) < b->busy_ns[1] ? 0 : world_poll(w, 1, events, 64);
        for (int i = 0; i < n; i++) {
            assert_int_equal(events[i].type, APN_EVENT_MSG);
            delivered += events[i].msg.bytes;
        }
        reported[step % 512] = delivered;
        if (past > 200 * WORLD_MS && w->end[0].line_free_ns > w->now_ns) {
            uint64_t queue = (w->end[0].line_free_ns - w->now_ns) * (b->path.rate / 1000) / 1000000;

            b->queue_late_bytes = queue > b->queue_late_bytes ? queue : b->queue_late_bytes;
        }
        w->now_ns += STEP_NS;
    }
    b->took_ns = w->now_ns - start - DELAY_NS;
    b->sent_bytes = w->end[0].sent_bytes;
    b->lost = w->link[0]->tx.lost;
    world_done(w);
    free(w);
}

static double goodput(const struct bulk *b)
{
    return (double)b->bytes / (double)b->took_ns * 1e9 / (double)b->path.rate;
}

static struct bulk usual(double loss)
{
    return (struct bulk){.path = {.delay_ns = DELAY_NS, .rate = RATE, .queue_bytes = RATE / 10, .loss = loss}, .bytes = 300u << 20};
}

static void losses_cost_little(void **state)
{
    static const double losses[] = {0, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2};
    static const uint64_t windows[] = {0, BDP + BDP / 4, BDP + BDP / 2, 5 * BDP / 2};
    double first = 0;

    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned i = 0; i < 6; i++) {
            struct bulk b = usual(losses[i]);

            b.window = windows[k];
            run(&b);
            first = i ? first : goodput(&b);
            print_message("window %.2f BDP, loss %g: goodput %.3f of the line, queue later %.2f BDP, %llu datagrams again\n",
                          (double)b.window / BDP, losses[i], goodput(&b), (double)b.queue_late_bytes / BDP, (unsigned long long)b.lost);
            if (k == 0) {
                assert_true(goodput(&b) > (i < 5 ? 0.93 : 0.80) * first);
                assert_true(b.queue_late_bytes < BDP); /* bounded: what the window of two BDP leaves */
            }
            if (k == 1 && losses[i] <= 1e-4) {
                assert_true(goodput(&b) > 0.9 * first);
            }
        }
        assert_true(first > 0.93);
    }
}

static void a_cut_costs_its_time_and_three_round_trips(void **state)
{
    uint64_t whole;
    struct bulk b = usual(0);

    (void)state;
    run(&b);
    whole = b.took_ns;
    for (unsigned i = 0; i < 4; i++) {
        struct bulk cut = usual(0);
        int64_t cost;

        cut.cut_at_ns = 300 * WORLD_MS + i * 1700000;
        cut.cut_ns = 200 * WORLD_MS;
        run(&cut);
        cost = (int64_t)(cut.took_ns - whole);
        print_message("cut of 200 ms: %.1f ms longer\n", (double)cost / 1e6);
        assert_true(cost < (int64_t)(200 * WORLD_MS + 3 * RTT_NS));
    }
}

static void a_short_queue_is_not_fought(void **state)
{
    struct bulk b = usual(0);

    (void)state;
    b.path.queue_bytes = 128u << 10; /* 0.07 BDP */
    run(&b);
    print_message("queue of 128 KiB: goodput %.3f, sent %.3f of what was needed\n", goodput(&b), (double)b.sent_bytes / (double)b.bytes);
    assert_true(goodput(&b) > 0.85);
    assert_true((double)b.sent_bytes < 1.10 * (double)b.bytes);
}

/* protection switches to a way of half the rate, and one that is longer too: followed, without a standing queue */
static void a_path_that_changes_is_followed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct bulk b = usual(0);
        double expected;

        b.slower_at_ns = 300 * WORLD_MS;
        b.slower_delay_ns = i * 3 * WORLD_MS;
        run(&b);
        expected = 0.3 + ((double)b.bytes - 0.3 * RATE) / (RATE / 2.);
        print_message("half the rate from 300 ms on%s: %.3f s, ideal %.3f\n", i ? ", twice as long" : "", (double)b.took_ns / 1e9, expected);
        assert_true((double)b.took_ns / 1e9 < 1.15 * expected);
        assert_true((double)b.sent_bytes < 1.05 * (double)b.bytes);
    }
}

/* threads that get no CPU for a while make round trips long and samples low: that is not the path */
static void a_busy_host_is_no_slow_path(void **state)
{
    static const uint64_t busy[][2] = {{4, 0}, {0, 4}, {4, 4}, {6, 6}};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct bulk b = usual(0);

        b.busy_ns[0] = busy[i][0] * WORLD_MS;
        b.busy_ns[1] = busy[i][1] * WORLD_MS;
        run(&b);
        print_message("no CPU for %llu of 12 ms at the sender, %llu at the receiver: goodput %.3f\n", (unsigned long long)busy[i][0],
                      (unsigned long long)busy[i][1], goodput(&b));
        assert_true(goodput(&b) > (i < 3 ? 0.6 : 0.4));
    }
}

static void a_ceiling_is_kept(void **state)
{
    struct bulk b = usual(0);

    (void)state;
    b.options.ceiling_bytes_per_s = RATE / 2;
    run(&b);
    print_message("ceiling of half the line: %.3f, queue %llu bytes\n", goodput(&b), (unsigned long long)b.queue_late_bytes);
    assert_true(goodput(&b) > 0.46 && goodput(&b) < 0.505);
    assert_true(b.queue_late_bytes < 512u << 10);
}

static void a_shared_path_is_given_way_to(void **state)
{
    struct bulk marked = usual(0), lossy = usual(0.05);

    (void)state;
    marked.options.shared = lossy.options.shared = true;
    marked.path.mark_bytes = 64u << 10;
    marked.bytes = lossy.bytes = 100u << 20;
    run(&marked);
    print_message("shared, marks above 64 KiB: goodput %.3f, queue later %llu KiB\n", goodput(&marked),
                  (unsigned long long)marked.queue_late_bytes >> 10);
    assert_true(goodput(&marked) > 0.5);
    assert_true(marked.queue_late_bytes < BDP / 2);
    lossy.bytes = 10u << 20;
    run(&lossy);
    print_message("shared, loss 0.05: goodput %.3f\n", goodput(&lossy));
    assert_true(goodput(&lossy) < 0.5); /* others want to send: it says so, whether it is true or not */
    lossy = usual(0.05);
    lossy.options = (struct apn_datagram_options){.shared = true, .floor_bytes_per_s = RATE / 2};
    lossy.bytes = 50u << 20;
    run(&lossy);
    print_message("the same with a floor of half the line: goodput %.3f\n", goodput(&lossy));
    assert_true(goodput(&lossy) > 0.42);
}

static void silence_is_free(void **state)
{
    const struct apn_sink sink = {resolve, NULL};
    const struct world_path path = {.delay_ns = DELAY_NS};
    const struct apn_datagram_options options = {0};
    struct world *w = calloc(1, sizeof(*w));
    struct apn_msg ping = {.type = APN_MSG_PING};
    struct apn_event event;
    uint64_t sent;

    (void)state;
    assert_non_null(w);
    world_init(w, &path, 1, 8972, &options, &sink);
    assert_int_equal(apn_dg_link_post(&w->link[0]->base, &ping, 1), 0);
    for (unsigned i = 0; i < 1000; i++, w->now_ns += 100000) {
        world_poll(w, 0, &event, 1);
        world_poll(w, 1, &event, 1);
    }
    sent = w->end[0].sent + w->end[1].sent;
    assert_in_range(sent, 2, 3); /* the ping, its acknowledgement */
    for (unsigned i = 0; i < 10000; i++, w->now_ns += WORLD_MS) {
        world_poll(w, 0, &event, 1);
        world_poll(w, 1, &event, 1);
    }
    assert_int_equal(w->end[0].sent + w->end[1].sent, sent);
    assert_true(apn_dg_sender_probe_at(&w->link[0]->tx) == UINT64_MAX);
    assert_true(apn_dg_receiver_ack_at(&w->link[1]->rx) == UINT64_MAX);
    world_done(w);
    free(w);
}

static void probes_are_few_while_the_path_is_away(void **state)
{
    const struct apn_sink sink = {resolve, NULL};
    const struct world_path path = {.delay_ns = DELAY_NS};
    const struct apn_datagram_options options = {0};
    struct world *w = calloc(1, sizeof(*w));
    struct apn_msg ping = {.type = APN_MSG_PING};
    struct apn_event event;

    (void)state;
    assert_non_null(w);
    world_init(w, &path, 1, 8972, &options, &sink);
    w->cut = true;
    assert_int_equal(apn_dg_link_post(&w->link[0]->base, &ping, 1), 0);
    for (unsigned i = 0; i < 2000; i++, w->now_ns += 100000) {
        world_poll(w, 0, &event, 1);
    }
    assert_in_range(w->end[0].sent, 20, 200 * WORLD_MS / (RTT_NS / 2) + 3); /* every half round trip at most */
    for (unsigned i = 0; i < 50000; i++, w->now_ns += 100000) {
        world_poll(w, 0, &event, 1);
    }
    assert_true(w->end[0].sent < 400); /* and ever fewer */
    w->cut = false;
    for (unsigned i = 0; i < 1000 && world_poll(w, 1, &event, 1) == 0; i++, w->now_ns += 100000) {
        world_poll(w, 0, &event, 1);
    }
    assert_int_equal(event.type, APN_EVENT_MSG);
    world_done(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_cost_little),          cmocka_unit_test(a_cut_costs_its_time_and_three_round_trips),
        cmocka_unit_test(a_short_queue_is_not_fought), cmocka_unit_test(a_path_that_changes_is_followed),
        cmocka_unit_test(a_busy_host_is_no_slow_path), cmocka_unit_test(a_ceiling_is_kept),
        cmocka_unit_test(a_shared_path_is_given_way_to), cmocka_unit_test(silence_is_free),
        cmocka_unit_test(probes_are_few_while_the_path_is_away),
    };

    return cmocka_run_group_tests_name("datagram_rate", tests, NULL, NULL);
}
