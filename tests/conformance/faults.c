/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* faults.c - filters around the backend do what their specification says, to traffic */
#include <errno.h>
#include <glob.h>
#include <unistd.h>

#include "conformance/harness.h"

static void open_faulty(struct conf_rig *rig, const char *source, const char *dest, unsigned lanes)
{
    struct conf_options options = {.source_filters = source, .dest_filters = dest};

    conf_open(rig, &options);
    conf_up(rig, lanes);
}

/* Posts stream message @i on @lane, without caring whether the link is still there. */
static void send_stream(struct conf_rig *rig, unsigned lane, uint64_t i)
{
    struct apn_msg msg = conf_stream(i, rig->source_memory, 1000);

    if (rig->out[lane].link) {
        conf_post(rig, &rig->out[lane], &msg, 1);
    }
}

/* Stream messages 0..@n-1 arrive on @lane, and then nothing but the end of the link. */
static void expect_streams_then_down(struct conf_rig *rig, unsigned lane, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        struct conf_event *event = conf_next(rig, &rig->in[lane]);

        assert_int_equal(event->event.type, APN_EVENT_MSG);
        assert_int_equal(event->event.msg.offset, i);
    }
    conf_expect_down(rig, &rig->in[lane]);
}

static void reopen_fails(struct conf_rig *rig, unsigned lane, int code)
{
    struct conf_event *event;

    conf_end_close(&rig->out[lane]);
    conf_connect(rig, lane, 2);
    event = conf_next(rig, &rig->out[lane]);
    assert_int_equal(event->event.type, APN_EVENT_DOWN);
    assert_int_equal(event->event.error.code, code);
}

static void reopen_works(struct conf_rig *rig, unsigned lane)
{
    conf_end_close(&rig->out[lane]);
    conf_end_close(&rig->in[lane]);
    conf_connect(rig, lane, 2);
    assert_int_equal(conf_next(rig, &rig->out[lane])->event.type, APN_EVENT_UP);
    conf_accept(rig, lane);
}

static void the_nth_message_is_lost_with_its_link(void **state)
{
    struct conf_rig rig;

    (void)state;
    open_faulty(&rig, "fault=tx:STREAM:3:cut", NULL, 2);
    for (uint64_t i = 0; i < 5; i++) {
        send_stream(&rig, 0, i);
    }
    expect_streams_then_down(&rig, 0, 2);
    conf_expect_down(&rig, &rig.out[0]);
    send_stream(&rig, 1, 0); /* the other link lives, and the fault strikes once */
    assert_int_equal(conf_next(&rig, &rig.in[1])->event.msg.type, APN_MSG_STREAM);
    reopen_works(&rig, 0);
    for (uint64_t i = 0; i < 5; i++) {
        send_stream(&rig, 0, i);
        assert_int_equal(conf_next(&rig, &rig.in[0])->event.msg.offset, i);
    }
    conf_close(&rig);
}

static void the_nth_message_of_one_post_is_found(void **state)
{
    struct conf_rig rig;
    struct apn_msg msgs[4];

    (void)state;
    open_faulty(&rig, "fault=tx:STREAM:3:cut", NULL, 1);
    for (unsigned i = 0; i < 4; i++) {
        msgs[i] = conf_stream(i, rig.source_memory, 10);
    }
    conf_post(&rig, &rig.out[0], msgs, 4);
    expect_streams_then_down(&rig, 0, 2);
    conf_close(&rig);
}

static void a_received_message_can_be_lost(void **state)
{
    struct conf_rig rig;

    (void)state;
    open_faulty(&rig, NULL, "fault=rx:STREAM:2:cut", 1);
    for (uint64_t i = 0; i < 4; i++) {
        send_stream(&rig, 0, i);
    }
    expect_streams_then_down(&rig, 0, 1);
    conf_expect_down(&rig, &rig.out[0]);
    reopen_works(&rig, 0);
    conf_close(&rig);
}

static void forever_takes_the_whole_path(void **state)
{
    struct conf_rig rig;

    (void)state;
    open_faulty(&rig, "fault=tx:GRANT:1:cut-forever", NULL, 3);
    conf_post(&rig, &rig.out[1], &(struct apn_msg){.type = APN_MSG_GRANT, .value = 5}, 1);
    for (unsigned lane = 0; lane < 3; lane++) {
        conf_expect_down(&rig, &rig.out[lane]);
        conf_expect_down(&rig, &rig.in[lane]);
        reopen_fails(&rig, lane, -EHOSTUNREACH);
    }
    conf_close(&rig);
}

static void a_listener_refuses_during_an_outage(void **state)
{
    struct conf_rig rig;

    (void)state;
    open_faulty(&rig, NULL, "fault=rx:STREAM:1:cut@for=200ms", 2);
    send_stream(&rig, 0, 0);
    conf_expect_down(&rig, &rig.in[0]);
    conf_expect_down(&rig, &rig.in[1]);
    reopen_fails(&rig, 0, -EHOSTUNREACH);
    conf_idle(&rig, 300);
    reopen_works(&rig, 0);
    reopen_works(&rig, 1);
    conf_close(&rig);
}

static void a_stall_is_silent_on_both_ends(void **state)
{
    struct conf_rig rig;

    (void)state;
    open_faulty(&rig, "fault=tx:STREAM:2:stall", NULL, 2);
    for (uint64_t i = 0; i < 4; i++) {
        send_stream(&rig, 0, i);
    }
    assert_int_equal(conf_next(&rig, &rig.in[0])->event.msg.offset, 0);
    conf_idle(&rig, 150);
    assert_null(rig.in[0].head);
    assert_null(rig.out[0].head);
    conf_post(&rig, &rig.in[0], &(struct apn_msg){.type = APN_MSG_PING}, 1);
    conf_idle(&rig, 50);
    assert_null(rig.out[0].head);
    send_stream(&rig, 1, 0); /* the other link is not concerned */
    assert_int_equal(conf_next(&rig, &rig.in[1])->event.msg.type, APN_MSG_STREAM);
    reopen_works(&rig, 0);
    conf_close(&rig);
}

static void a_stalled_link_can_be_woken(void **state)
{
    struct apn_event events[4];
    struct conf_rig rig;
    uint64_t start;

    (void)state;
    open_faulty(&rig, "fault=tx:STREAM:1:stall", NULL, 1);
    send_stream(&rig, 0, 0);
    conf_idle(&rig, 50);
    rig.out[0].link->backend->ops->wake(rig.out[0].link);
    start = conf_now(&rig);
    assert_int_equal(rig.out[0].link->backend->ops->poll(rig.out[0].link, events, 4, 5000000000),
                     0);
    assert_true(conf_now(&rig) - start < 1000000000);
    conf_close(&rig);
}

static void a_lane_dies_after_its_bytes(void **state)
{
    struct conf_rig rig;
    uint64_t bytes = 0;

    (void)state;
    open_faulty(&rig, "fault=lane:1:cut@after=1MB", NULL, 2);
    for (unsigned i = 0; i < 64; i++) {
        for (unsigned lane = 0; lane < 2; lane++) {
            struct apn_msg msg = conf_extent(&rig, 0, APN_EXTENT_MAX / 4);

            conf_post(&rig, &rig.out[lane], &msg, 1);
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(conf_next(&rig, &rig.in[0])->event.type, APN_EVENT_MSG);
    }
    for (;;) {
        struct conf_event *event = conf_next(&rig, &rig.in[1]);

        if (event->event.type == APN_EVENT_DOWN) {
            break;
        }
        bytes += APN_WIRE_HEADER_BYTES + event->event.msg.bytes;
    }
    assert_true(bytes < 1000000);
    if (!conf_datagrams()) { /* there a datagram that was lost before the cut is never repaired, and holds up what came after it */
        assert_in_range(bytes, 1000000 - 2 * (APN_EXTENT_MAX / 4), 1000000);
    }
    reopen_works(&rig, 1);
    conf_close(&rig);
}

static void all_lanes_go_and_come_back(void **state)
{
    struct conf_rig rig;

    (void)state;
    open_faulty(&rig, "fault=all:cut@after=3000,for=200ms", NULL, 4);
    for (unsigned lane = 0; lane < 4; lane++) {
        send_stream(&rig, lane, 0);
    }
    for (unsigned lane = 0; lane < 4; lane++) {
        conf_expect_down(&rig, &rig.out[lane]);
    }
    reopen_fails(&rig, 2, -EHOSTUNREACH);
    conf_idle(&rig, 300);
    for (unsigned lane = 0; lane < 4; lane++) {
        reopen_works(&rig, lane);
    }
    conf_close(&rig);
}

/* How many messages pass before chance strikes. */
static unsigned passes_until_chance(const char *filters)
{
    struct conf_rig rig;
    unsigned n = 0;

    open_faulty(&rig, filters, NULL, 1);
    while (n < 5000) {
        struct apn_msg msg = conf_stream(n, rig.source_memory, 100);

        if (conf_post(&rig, &rig.out[0], &msg, 1)) {
            break;
        }
        if (conf_peek(&rig, &rig.out[0])) {
            break;
        }
        n++;
    }
    n = 0;
    while (conf_next(&rig, &rig.in[0])->event.type == APN_EVENT_MSG) {
        n++;
    }
    conf_close(&rig);
    return n;
}

static void chance_repeats_from_its_seed(void **state)
{
    unsigned first = passes_until_chance("fault=tx:STREAM:*:cut@p=0.01,seed=42");

    (void)state;
    assert_in_range(first, 1, 2000);
    assert_int_equal(passes_until_chance("fault=tx:STREAM:*:cut@p=0.01,seed=42"), first);
    assert_int_not_equal(passes_until_chance("fault=tx:STREAM:*:cut@p=0.01,seed=43"), first);
}

static void delay_delays_and_keeps_order(void **state)
{
    struct conf_rig rig;
    uint64_t start;

    (void)state;
    if (!strcmp(conf_backend, "loop-virtual")) {
        skip();
    }
    open_faulty(&rig, "delay=30ms", NULL, 1);
    start = conf_now(&rig);
    for (uint64_t i = 0; i < 50; i++) {
        send_stream(&rig, 0, i);
    }
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(conf_next(&rig, &rig.in[0])->event.msg.offset, i);
        assert_true(conf_now(&rig) - start >= 30000000);
    }
    assert_true(conf_now(&rig) - start < 2000000000);
    conf_close(&rig);
}

static void rate_is_shared_and_kept(void **state)
{
    struct conf_rig rig;
    uint64_t start, took;

    (void)state;
    if (!strcmp(conf_backend, "loop-virtual")) {
        skip();
    }
    open_faulty(&rig, "rate=400Mbit", NULL, 2);
    start = conf_now(&rig);
    for (unsigned i = 0; i < 40; i++) { /* 10 MiB at 50 MB/s: 210 ms */
        struct apn_msg msg = conf_extent(&rig, 0, APN_EXTENT_MAX);

        assert_int_equal(conf_post(&rig, &rig.out[i & 1], &msg, 1), 0);
    }
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(conf_next(&rig, &rig.in[i & 1])->event.type, APN_EVENT_MSG);
    }
    took = conf_now(&rig) - start;
    assert_in_range(took, 190000000, 2000000000);
    conf_close(&rig);
}

static void trace_writes_what_passed(void **state)
{
    char prefix[] = "/tmp/apn-trace-XXXXXX", filters[64], pattern[64], line[512];
    unsigned sent = 0, ups = 0;
    struct conf_rig rig;
    glob_t found;
    FILE *file;
    int fd = mkstemp(prefix);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(filters, sizeof(filters), "trace=%s", prefix);
    snprintf(pattern, sizeof(pattern), "%s.*", prefix);
    open_faulty(&rig, filters, NULL, 1);
    for (uint64_t i = 0; i < 7; i++) {
        send_stream(&rig, 0, i);
    }
    conf_close(&rig);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    file = fopen(found.gl_pathv[0], "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        sent += strstr(line, " tx STREAM ") != NULL;
        ups += strstr(line, " up ") != NULL;
    }
    fclose(file);
    unlink(found.gl_pathv[0]);
    unlink(prefix);
    globfree(&found);
    assert_int_equal(sent, 7);
    assert_int_equal(ups, 1);
}

int conf_run_faults(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_message_is_lost_with_its_link),
        cmocka_unit_test(the_nth_message_of_one_post_is_found),
        cmocka_unit_test(a_received_message_can_be_lost),
        cmocka_unit_test(forever_takes_the_whole_path),
        cmocka_unit_test(a_listener_refuses_during_an_outage),
        cmocka_unit_test(a_stall_is_silent_on_both_ends),
        cmocka_unit_test(a_stalled_link_can_be_woken),
        cmocka_unit_test(a_lane_dies_after_its_bytes),
        cmocka_unit_test(all_lanes_go_and_come_back),
        cmocka_unit_test(chance_repeats_from_its_seed),
        cmocka_unit_test(delay_delays_and_keeps_order),
        cmocka_unit_test(rate_is_shared_and_kept),
        cmocka_unit_test(trace_writes_what_passed),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
