/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_hold.c - order of the frames on their way, and the flow that a frame belongs to */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "dpdk/flow.h"
#include "dpdk/hold.h"

#define FRAMES 1000

/* an mbuf and its tag, as a pool lays them out; the pool itself is not needed to keep them in order */
struct frame {
    struct rte_mbuf mbuf;
    struct path_tag tag;
};

static struct frame *make_frames(void)
{
    struct frame *frames = aligned_alloc(64, FRAMES * ((sizeof(struct frame) + 63) / 64 * 64));

    assert_non_null(frames);
    memset(frames, 0, FRAMES * sizeof(*frames));
    for (int i = 0; i < FRAMES; i++) {
        assert_ptr_equal(path_tag(&frames[i].mbuf), &frames[i].tag);
    }
    return frames;
}

static void frames_keep_their_order(void **state)
{
    struct frame *frames = make_frames();
    struct path_hold hold;
    int in = 0, out = 0;

    (void)state;
    srand(4);
    assert_int_equal(path_hold_init(&hold, 0), 0);
    assert_null(path_hold_head(&hold));
    while (out < FRAMES) {
        if (in < FRAMES && (rand() & 1)) {
            frames[in].tag.due_ns = in / 3;
            assert_int_equal(path_hold_push(&hold, &frames[in++].mbuf), 0);
        } else if (path_hold_head(&hold)) {
            assert_ptr_equal(path_hold_pop(&hold), &frames[out++].mbuf);
        }
    }
    assert_int_equal(hold.count, 0);
    path_hold_done(&hold);
    free(frames);
}

static void a_heap_gives_the_earliest(void **state)
{
    struct frame *frames = make_frames();
    struct path_hold hold;
    int64_t before = -1;

    (void)state;
    srand(5);
    assert_int_equal(path_hold_init(&hold, FRAMES - 1), 0);
    for (int i = 0; i < FRAMES - 1; i++) {
        frames[i].tag.due_ns = rand() % 500;
        assert_int_equal(path_hold_push(&hold, &frames[i].mbuf), 0);
    }
    assert_int_equal(path_hold_push(&hold, &frames[FRAMES - 1].mbuf), -EAGAIN);
    for (int i = 0; i < FRAMES - 1; i++) {
        struct rte_mbuf *frame = path_hold_pop(&hold);

        assert_true(path_tag(frame)->due_ns >= before);
        before = path_tag(frame)->due_ns;
        path_tag(frame)->due_ns = -1; /* out: may not come again */
    }
    assert_null(path_hold_head(&hold));
    path_hold_done(&hold);
    free(frames);
}

/* IPv4, TCP, 10.0.0.1:1000 to 10.0.0.2:2000 */
static const uint8_t v4[54] = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6,
                               0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x03, 0xe8, 0x07, 0xd0};

static uint32_t changed(size_t at, uint8_t to)
{
    uint8_t frame[sizeof(v4)];

    memcpy(frame, v4, sizeof(v4));
    frame[at] = to;
    return path_flow_hash(frame, sizeof(frame));
}

static void flows_differ_by_five_things(void **state)
{
    static const uint8_t names_the_flow[] = {23, 26, 29, 33, 35, 37};
    static const uint8_t others[] = {0, 11, 16, 17, 19, 22, 24, 40, 53};
    uint32_t hash = path_flow_hash(v4, sizeof(v4));

    (void)state;
    for (size_t i = 0; i < sizeof(names_the_flow); i++) {
        assert_int_not_equal(changed(names_the_flow[i], 17), hash);
    }
    for (size_t i = 0; i < sizeof(others); i++) {
        assert_int_equal(changed(others[i], 0x11), hash);
    }
    /* a later fragment has no ports: all of a datagram's are one flow */
    assert_int_equal(changed(20, 0x20), changed(21, 1));
    assert_int_not_equal(changed(20, 0x20), hash);
}

static void vlan_v6_and_nonsense(void **state)
{
    uint8_t tagged[sizeof(v4) + 4], v6[58] = {0}, junk[64];

    (void)state;
    memcpy(tagged, v4, 12);
    memcpy(tagged + 12, (uint8_t[]){0x81, 0, 0, 5}, 4);
    memcpy(tagged + 16, v4 + 12, sizeof(v4) - 12);
    assert_int_equal(path_flow_hash(tagged, sizeof(tagged)), path_flow_hash(v4, sizeof(v4)));
    v6[12] = 0x86;
    v6[13] = 0xdd;
    v6[20] = 17;
    v6[55] = 1;
    assert_int_not_equal(path_flow_hash(v6, sizeof(v6)), 0);
    v6[55] = 2;
    assert_int_not_equal(path_flow_hash(v6, sizeof(v6)), 0);
    /* never reads behind the end: memory checkers watch this */
    srand(6);
    for (uint32_t bytes = 0; bytes <= sizeof(v4); bytes++) {
        uint8_t *exact = malloc(bytes + 1);

        memcpy(exact + 1, v4, bytes);
        path_flow_hash(exact + 1, bytes);
        free(exact);
    }
    for (int i = 0; i < 20000; i++) {
        for (size_t k = 0; k < sizeof(junk); k++) {
            junk[k] = (uint8_t)rand();
        }
        memcpy(junk + 12, i & 1 ? "\x08\x00" : "\x86\xdd", 2);
        path_flow_hash(junk, (uint32_t)rand() % sizeof(junk));
    }
}

static void flows_spread_evenly(void **state)
{
    unsigned counts[4] = {0};
    uint8_t frame[sizeof(v4)];

    (void)state;
    memcpy(frame, v4, sizeof(v4));
    for (unsigned port = 0; port < 4000; port++) {
        frame[34] = (uint8_t)(port >> 8);
        frame[35] = (uint8_t)port;
        counts[path_flow_hash(frame, sizeof(frame)) % 4]++;
    }
    for (int i = 0; i < 4; i++) {
        assert_in_range(counts[i], 860, 1140); /* 1000 expected, 5 standard deviations = 137 */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_keep_their_order),     cmocka_unit_test(a_heap_gives_the_earliest),
        cmocka_unit_test(flows_differ_by_five_things), cmocka_unit_test(vlan_v6_and_nonsense),
        cmocka_unit_test(flows_spread_evenly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
