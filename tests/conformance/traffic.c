/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* traffic.c - well-behaved ends: order, exactness, sizes, refusal, both directions, closing,
 * waking, many links */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "conformance/harness.h"

#define MESSAGES 3000u

static uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 33;
}

static void opening_tells_both_ends(void **state)
{
    struct conf_rig rig;
    struct conf_event *event;

    (void)state;
    conf_open(&rig, NULL);
    rig.welcome = (struct apn_welcome){.features = 0, .applied_bytes = 123456789012ull};
    conf_connect(&rig, 3, 2);
    event = conf_next(&rig, &rig.out[3]);
    assert_int_equal(event->event.type, APN_EVENT_UP);
    assert_true(event->event.welcome.applied_bytes == 123456789012ull);
    conf_accept(&rig, 3);
    assert_int_equal(rig.in[3].hello.lane, 3);
    assert_int_equal(rig.in[3].hello.lanes, CONF_LANES);
    assert_int_equal(rig.in[3].hello.generation, 2);
    assert_int_equal(rig.in[3].hello.timeout_ms, 8000);
    assert_int_equal(rig.in[3].hello.applied_bytes, 1003);
    assert_int_equal(rig.in[3].hello.session_id[15], 0x5a);
    assert_int_equal(rig.authorised, 1);
    conf_close(&rig);
}

/* ---- order and exactness -------------------------------------------------- */

/* Message @i of a replayable sequence: extents with and without contents, stream pieces, reports,
 * pings. */
static struct apn_msg nth_message(struct conf_rig *rig, const uint8_t *noise, uint64_t i)
{
    uint64_t seed = i * 2654435761u + 99;
    uint32_t pages = (uint32_t)(1 + random_next(&seed) % (APN_EXTENT_MAX / APN_PAGE_SIZE));
    uint64_t offset = random_next(&seed) % (CONF_MEMORY / APN_PAGE_SIZE - pages) * APN_PAGE_SIZE;
    uint32_t bytes = (uint32_t)(1 + random_next(&seed) % APN_STREAM_CHUNK_MAX);

    switch (random_next(&seed) % 6) {
    case 0:
        return (struct apn_msg){.type = APN_MSG_EXTENT,
                                .kind = APN_EXTENT_ZERO,
                                .offset = offset,
                                .span = pages * APN_PAGE_SIZE};
    case 1:
        return (struct apn_msg){
            .type = APN_MSG_APPLIED, .offset = i, .value = i * 3, .span = (uint32_t)i};
    case 2:
        return conf_stream(i << 20, noise + i % 1000, bytes);
    case 3:
        return (struct apn_msg){.type = APN_MSG_PING};
    default:
        return conf_extent(rig, offset, (pages % 8 + 1) * APN_PAGE_SIZE);
    }
}

static void assert_same_message(const struct apn_msg *expect, const struct apn_msg *got, uint64_t i)
{
    if (got->type != expect->type || got->kind != expect->kind || got->region != expect->region ||
        got->lane != expect->lane || got->bytes != expect->bytes || got->span != expect->span ||
        got->offset != expect->offset || got->value != expect->value) {
        fail_msg("message %llu: expected %s, got %s", (unsigned long long)i,
                 apn_msg_type_name(expect->type), apn_msg_type_name(got->type));
    }
    if (expect->type == APN_MSG_EXTENT) {
        assert_null(got->payload);
    } else if (expect->bytes) {
        assert_non_null(got->payload);
        assert_memory_equal(got->payload, expect->payload, expect->bytes);
    }
}

static uint8_t *noise_new(void)
{
    uint8_t *noise = malloc(APN_STREAM_CHUNK_MAX + 1000);

    assert_non_null(noise);
    for (size_t i = 0; i < APN_STREAM_CHUNK_MAX + 1000; i++) {
        noise[i] = (uint8_t)(i * 131 + i / 251);
    }
    return noise;
}

/* Sends messages @from.. in batches of changing size while the other end takes them. */
static void exchange(struct conf_rig *rig, struct conf_end *to, struct conf_end *from,
                     uint64_t count)
{
    uint8_t *noise = noise_new();
    uint64_t sent = 0, taken = 0, seed = count;
    unsigned post_max = from->link->backend->post_max;

    while (taken < count) {
        struct apn_msg msgs[64];
        unsigned n = 1 + (unsigned)random_next(&seed) % (post_max < 64 ? post_max : 64);

        for (n = sent + n > count ? (unsigned)(count - sent) : n; n;) {
            for (unsigned i = 0; i < n; i++) {
                msgs[i] = nth_message(rig, noise, sent + i);
            }
            assert_int_equal(conf_post(rig, from, msgs, n), 0);
            sent += n;
            n = 0;
        }
        while (taken < sent && (sent == count || conf_peek(rig, to))) {
            struct conf_event *event = conf_next(rig, to);
            struct apn_msg expect = nth_message(rig, noise, taken);

            if (event->event.type != APN_EVENT_MSG) {
                fail_msg("message %llu: link down: %s", (unsigned long long)taken,
                         event->event.error.text);
            }
            assert_same_message(&expect, &event->event.msg, taken);
            if (expect.type == APN_MSG_EXTENT && expect.kind == APN_EXTENT_DATA) {
                assert_memory_equal(rig->dest_memory + expect.offset,
                                    rig->source_memory + expect.offset, expect.bytes);
            }
            taken++;
        }
    }
    free(noise);
}

static void messages_arrive_in_order_and_exact(void **state)
{
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    exchange(&rig, &rig.in[0], &rig.out[0], MESSAGES);
    conf_close(&rig);
}

/* Without extents: nobody may write into the source. */
static void both_directions_at_once(void **state)
{
    struct conf_rig rig;
    uint8_t *noise = noise_new();
    unsigned sent[2] = {0}, taken[2] = {0};

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    while (taken[0] < 500 || taken[1] < 500) {
        for (unsigned way = 0; way < 2; way++) {
            struct conf_end *from = way ? &rig.in[0] : &rig.out[0],
                            *to = way ? &rig.out[0] : &rig.in[0];
            struct apn_msg msg = conf_stream(sent[way], noise + sent[way],
                                             1 + sent[way] * 97 % APN_STREAM_CHUNK_MAX);

            if (sent[way] < 500 && !conf_post(&rig, from, &msg, 1)) {
                sent[way]++;
            }
            while (taken[way] < sent[way] && (sent[way] == 500 || conf_peek(&rig, to))) {
                struct conf_event *event = conf_next(&rig, to);
                struct apn_msg expect = conf_stream(taken[way], noise + taken[way],
                                                    1 + taken[way] * 97 % APN_STREAM_CHUNK_MAX);

                assert_int_equal(event->event.type, APN_EVENT_MSG);
                assert_same_message(&expect, &event->event.msg, taken[way]++);
            }
        }
    }
    free(noise);
    conf_close(&rig);
}

static void edge_sizes_pass(void **state)
{
    static const uint32_t stream_sizes[] = {
        1, 2, 39, 40, 41, 4095, 4096, APN_STREAM_CHUNK_MAX - 1, APN_STREAM_CHUNK_MAX};
    struct conf_rig rig;
    uint8_t *noise = noise_new();
    struct apn_msg msgs[16];
    unsigned n = 0;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    for (; n < 9; n++) {
        msgs[n] = conf_stream(n, noise, stream_sizes[n]);
    }
    msgs[n++] = conf_extent(&rig, 0, APN_PAGE_SIZE);
    msgs[n++] = conf_extent(&rig, CONF_MEMORY - APN_PAGE_SIZE, APN_PAGE_SIZE);
    msgs[n++] = conf_extent(&rig, CONF_MEMORY - APN_EXTENT_MAX, APN_EXTENT_MAX);
    msgs[n++] = (struct apn_msg){.type = APN_MSG_BYE};
    msgs[n++] = (struct apn_msg){.type = APN_MSG_ABORT, .payload = noise, .bytes = 0};
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(conf_post(&rig, &rig.out[0], &msgs[i], 1), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        struct conf_event *event = conf_next(&rig, &rig.in[0]);

        assert_int_equal(event->event.type, APN_EVENT_MSG);
        assert_same_message(&msgs[i], &event->event.msg, i);
    }
    assert_memory_equal(rig.dest_memory, rig.source_memory, APN_PAGE_SIZE);
    assert_memory_equal(rig.dest_memory + CONF_MEMORY - APN_EXTENT_MAX,
                        rig.source_memory + CONF_MEMORY - APN_EXTENT_MAX, APN_EXTENT_MAX);
    free(noise);
    conf_close(&rig);
}

/* ---- refusal --------------------------------------------------------------- */

static void a_full_link_refuses_whole_posts_and_loses_nothing(void **state)
{
    struct conf_rig rig;
    uint64_t posted = 0;
    int ret = 0;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    rig.in[0].asleep = true; /* nobody takes anything */
    for (unsigned refused = 0; refused < 50 && posted < 100000;) {
        struct apn_msg msgs[2] = {conf_extent(&rig, posted % 64 * APN_PAGE_SIZE, APN_EXTENT_MAX),
                                  conf_stream(posted, rig.source_memory, 100)};

        ret = rig.out[0].link->backend->ops->post(rig.out[0].link, msgs, 2);
        assert_true(ret == 0 || ret == -EAGAIN);
        posted += ret == 0;
        if (ret) {
            refused++;
            conf_idle(&rig, 1);
        }
    }
    assert_int_equal(ret, -EAGAIN);
    rig.in[0].asleep = false;
    for (uint64_t i = 0; i < posted; i++) {
        struct conf_event *event = conf_next(&rig, &rig.in[0]);

        assert_int_equal(event->event.msg.type, APN_MSG_EXTENT);
        assert_int_equal(event->event.msg.offset, i % 64 * APN_PAGE_SIZE);
        event = conf_next(&rig, &rig.in[0]);
        assert_int_equal(event->event.msg.type, APN_MSG_STREAM);
        assert_int_equal(event->event.msg.offset, i);
    }
    conf_idle(&rig, 5);
    assert_null(rig.in[0].head); /* what was refused was not sent */
    assert_int_equal(conf_post(&rig, &rig.out[0], &(struct apn_msg){.type = APN_MSG_PING}, 1), 0);
    assert_int_equal(conf_next(&rig, &rig.in[0])->event.msg.type, APN_MSG_PING);
    conf_close(&rig);
}

/* ---- closing ---------------------------------------------------------------- */

static void no_byte_lands_after_close(void **state)
{
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    for (unsigned i = 0; i < 24; i++) {
        struct apn_msg msg = conf_extent(&rig, (uint64_t)i * APN_EXTENT_MAX, APN_EXTENT_MAX);

        if (rig.out[0].link->backend->ops->post(rig.out[0].link, &msg, 1)) {
            break;
        }
    }
    for (unsigned i = 0; i < 2; i++) { /* in the middle of things */
        assert_int_equal(conf_next(&rig, &rig.in[0])->event.type, APN_EVENT_MSG);
    }
    conf_end_close(&rig.in[0]);
    memset(rig.dest_memory, 0xee, CONF_MEMORY);
    conf_idle(&rig, 60);
    for (size_t i = 0; i < CONF_MEMORY; i++) {
        if (rig.dest_memory[i] != 0xee) {
            fail_msg("byte %zu landed after the link was closed", i);
        }
    }
    conf_close(&rig);
}

static void posted_memory_is_not_read_after_close(void **state)
{
    struct conf_rig rig;
    uint8_t *memory =
        mmap(NULL, CONF_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(memory != MAP_FAILED);
    memset(memory, 7, CONF_MEMORY);
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    for (unsigned i = 0; i < 24; i++) {
        struct apn_msg msg = conf_extent(&rig, (uint64_t)i * APN_EXTENT_MAX, APN_EXTENT_MAX);

        msg.payload = memory + (size_t)i * APN_EXTENT_MAX;
        if (rig.out[0].link->backend->ops->post(rig.out[0].link, &msg, 1)) {
            break;
        }
    }
    conf_end_close(&rig.out[0]);
    munmap(memory, CONF_MEMORY); /* a late reader faults */
    conf_idle(&rig, 20);
    for (;;) { /* whatever arrives is right, and then the link is down */
        struct conf_event *event = conf_next(&rig, &rig.in[0]);

        if (event->event.type == APN_EVENT_DOWN) {
            break;
        }
        for (size_t i = 0; i < event->event.msg.span; i++) {
            assert_int_equal(rig.dest_memory[event->event.msg.offset + i], 7);
        }
    }
    conf_close(&rig);
}

static void the_death_of_a_peer_is_told_once(void **state)
{
    struct conf_rig rig;
    struct apn_msg ping = {.type = APN_MSG_PING};

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 2);
    assert_int_equal(conf_post(&rig, &rig.in[0], &ping, 1), 0);
    assert_int_equal(conf_next(&rig, &rig.out[0])->event.msg.type, APN_MSG_PING);
    conf_end_close(&rig.in[0]);
    conf_expect_down(&rig, &rig.out[0]);
    assert_true(rig.out[0].link->backend->ops->post(rig.out[0].link, &ping, 1) < 0);
    conf_end_close(&rig.out[1]);
    conf_expect_down(&rig, &rig.in[1]);
    conf_close(&rig);
}

static void a_lane_opens_again(void **state)
{
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    for (uint32_t generation = 2; generation < 12; generation++) {
        struct apn_msg msg = conf_extent(&rig, 0, APN_PAGE_SIZE);

        conf_end_close(generation & 1 ? &rig.out[0] : &rig.in[0]);
        conf_expect_down(&rig, generation & 1 ? &rig.in[0] : &rig.out[0]);
        conf_end_close(generation & 1 ? &rig.in[0] : &rig.out[0]);
        conf_connect(&rig, 0, generation);
        assert_int_equal(conf_next(&rig, &rig.out[0])->event.type, APN_EVENT_UP);
        conf_accept(&rig, 0);
        assert_int_equal(rig.in[0].hello.generation, generation);
        assert_int_equal(conf_post(&rig, &rig.out[0], &msg, 1), 0);
        assert_int_equal(conf_next(&rig, &rig.in[0])->event.msg.type, APN_MSG_EXTENT);
    }
    conf_close(&rig);
}

/* ---- waking, many ------------------------------------------------------------ */

static void *wake_soon(void *opaque)
{
    struct apn_link *link = opaque;

    nanosleep(&(struct timespec){0, 50000000}, NULL);
    link->backend->ops->wake(link);
    return NULL;
}

static void wake_ends_a_wait(void **state)
{
    struct conf_rig rig;
    struct apn_event events[4];
    pthread_t thread;
    uint64_t start;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    conf_idle(&rig, 5);
    rig.out[0].link->backend->ops->wake(rig.out[0].link); /* remembered: before the poll */
    start = conf_now(&rig);
    assert_int_equal(rig.out[0].link->backend->ops->poll(rig.out[0].link, events, 4, 5000000000),
                     0);
    if (!conf_is_virtual(&rig)) {
        assert_true(conf_now(&rig) - start < 1000000000);
        assert_int_equal(pthread_create(&thread, NULL, wake_soon, rig.in[0].link), 0);
        start = conf_now(&rig);
        assert_int_equal(rig.in[0].link->backend->ops->poll(rig.in[0].link, events, 4, 5000000000),
                         0);
        assert_true(conf_now(&rig) - start < 2000000000);
        pthread_join(thread, NULL);
    }
    conf_close(&rig);
}

static void a_wait_ends_at_its_time(void **state)
{
    struct conf_rig rig;
    struct apn_event events[4];
    uint64_t start, waited = 0;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    conf_idle(&rig, 5);
    start = conf_now(&rig);
    for (int i = 0; i < 100 && waited < 30000000;
         i++) { /* a poll may end early, but not for ever */
        assert_int_equal(rig.out[0].link->backend->ops->poll(rig.out[0].link, events, 4,
                                                             (int64_t)(30000000 - waited)),
                         0);
        waited = conf_now(&rig) - start;
        if (conf_is_virtual(&rig)) {
            assert_int_equal(waited, 0); /* never waits */
            break;
        }
    }
    assert_true(conf_is_virtual(&rig) || (waited >= 30000000 && waited < 2000000000));
    conf_close(&rig);
}

static void many_links_carry_their_own(void **state)
{
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, CONF_LANES);
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned lane = 0; lane < CONF_LANES; lane++) {
            struct apn_msg msgs[2] = {
                conf_stream(round, rig.source_memory + lane, 1000 + lane),
                conf_extent(&rig, (uint64_t)lane * APN_EXTENT_MAX, APN_EXTENT_MAX / 4)};

            assert_int_equal(conf_post(&rig, &rig.out[lane], msgs, 2), 0);
        }
    }
    for (unsigned lane = CONF_LANES; lane-- > 0;) {
        for (unsigned round = 0; round < 8; round++) {
            struct apn_msg expect = conf_stream(round, rig.source_memory + lane, 1000 + lane);

            assert_same_message(&expect, &conf_next(&rig, &rig.in[lane])->event.msg, round);
            expect = conf_extent(&rig, (uint64_t)lane * APN_EXTENT_MAX, APN_EXTENT_MAX / 4);
            assert_same_message(&expect, &conf_next(&rig, &rig.in[lane])->event.msg, round);
        }
        assert_memory_equal(rig.dest_memory + (size_t)lane * APN_EXTENT_MAX,
                            rig.source_memory + (size_t)lane * APN_EXTENT_MAX, APN_EXTENT_MAX / 4);
    }
    conf_close(&rig);
}

static void counters_name_the_send_mode(void **state)
{
    struct conf_rig rig;
    struct apn_backend_counters counters;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    exchange(&rig, &rig.in[0], &rig.out[0], 50);
    rig.source->ops->counters(rig.source, &counters);
    assert_true(counters.send_mode[0]);
    assert_true(memchr(counters.send_mode, 0, sizeof(counters.send_mode)) != NULL);
    conf_close(&rig);
}

/* A page that was zero and then is not: whoever takes the first event clears memory in which the second one's contents may already
 * lie. */
static void contents_outlive_the_clearing_before_them(void **state)
{
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, NULL);
    conf_up(&rig, 1);
    conf_cleared = rig.dest_memory;
    for (unsigned round = 0; round < 200; round++) {
        uint64_t offset = round % 16 * 8 * APN_PAGE_SIZE;
        uint32_t bytes = (round % 8 + 1) * APN_PAGE_SIZE;
        const struct apn_msg msgs[2] = {
            {.type = APN_MSG_EXTENT, .kind = APN_EXTENT_ZERO, .offset = offset, .span = bytes},
            conf_extent(&rig, offset, bytes),
        };

        memset(rig.source_memory + offset, (int)(round % 255 + 1), bytes);
        for (unsigned i = 0; i < 2; i++) { /* one post may hold a single message */
            assert_int_equal(conf_post(&rig, &rig.out[0], &msgs[i], 1), 0);
        }
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(conf_next(&rig, &rig.in[0])->event.type, APN_EVENT_MSG);
        }
        assert_memory_equal(rig.dest_memory + offset, rig.source_memory + offset, bytes);
    }
    conf_cleared = NULL;
    conf_close(&rig);
}

int conf_run_traffic(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_tells_both_ends),
        cmocka_unit_test(messages_arrive_in_order_and_exact),
        cmocka_unit_test(both_directions_at_once),
        cmocka_unit_test(edge_sizes_pass),
        cmocka_unit_test(contents_outlive_the_clearing_before_them),
        cmocka_unit_test(a_full_link_refuses_whole_posts_and_loses_nothing),
        cmocka_unit_test(no_byte_lands_after_close),
        cmocka_unit_test(posted_memory_is_not_read_after_close),
        cmocka_unit_test(the_death_of_a_peer_is_told_once),
        cmocka_unit_test(a_lane_opens_again),
        cmocka_unit_test(wake_ends_a_wait),
        cmocka_unit_test(a_wait_ends_at_its_time),
        cmocka_unit_test(many_links_carry_their_own),
        cmocka_unit_test(counters_name_the_send_mode),
    };
    return cmocka_run_group_tests_name("traffic", tests, NULL, NULL);
}
