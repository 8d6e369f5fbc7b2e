/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uring_link.c - links over loopback: order, contents, size, closing, waking, lost peers, hostile
 * peers */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "uring_pair.h"
#include "wire/codec.h"
#include "wire/handshake.h"

static uint8_t *guest_memory(void)
{
    uint8_t *memory =
        mmap(NULL, PAIR_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static void open_pair(struct pair *p)
{
    struct apn_error err = {0};
    struct apn_event event;

    p->memory = guest_memory();
    if (pair_open(p, "127.0.0.1", &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(p->source->ops->connect(p->source, pair_hello(), &p->out, &err), 0);
    assert_true(pair_event(p->out, &event));
    if (event.type != APN_EVENT_UP) {
        fail_msg("%s", event.error.text);
    }
    assert_int_equal(event.welcome.features, 1);
    assert_int_equal(event.welcome.applied_bytes, 4711);
    p->in = pair_wait_attached(p);
    assert_non_null(p->in);
    assert_int_equal(p->hello.lane, 1);
    assert_int_equal(p->hello.timeout_ms, 8000);
}

static void shut_pair(struct pair *p)
{
    pair_close(p);
    munmap(p->memory, PAIR_REGION_BYTES);
}

static void post_all(struct apn_link *link, const struct apn_msg *msgs, unsigned n)
{
    struct apn_event event;
    int ret;

    for (unsigned tries = 0;
         (ret = link->backend->ops->post(link, msgs, n)) == -EAGAIN && tries < 10000; tries++) {
        assert_int_equal(link->backend->ops->poll(link, &event, 1, 1000000), 0);
    }
    assert_int_equal(ret, 0);
}

/* push what was posted out while the other end reads @count messages; the last one stays in @last
 */
static void expect_messages(struct apn_link *from, struct apn_link *to, unsigned count,
                            struct apn_msg *last)
{
    struct apn_event events[64];
    unsigned seen = 0;

    for (unsigned tries = 0; seen < count && tries < 100000; tries++) {
        int n;

        from->backend->ops->poll(from, events, 1, 0);
        n = to->backend->ops->poll(to, events, 64, 100000);
        for (int i = 0; i < n; i++) {
            assert_int_equal(events[i].type, APN_EVENT_MSG);
            *last = events[i].msg;
            seen++;
        }
    }
    assert_int_equal(seen, count);
}

static void extents_land_in_order(const char *mode)
{
    struct pair p = {.send_mode = mode};
    uint8_t *source = guest_memory();
    struct apn_msg last;
    const unsigned extents = PAIR_REGION_BYTES / APN_EXTENT_MAX;

    open_pair(&p);
    for (unsigned i = 0; i < PAIR_REGION_BYTES; i++) {
        source[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < extents; i++) {
            const struct apn_msg msgs[2] = {
                {.type = APN_MSG_EXTENT,
                 .kind = APN_EXTENT_DATA,
                 .bytes = APN_EXTENT_MAX,
                 .span = APN_EXTENT_MAX,
                 .offset = (uint64_t)i * APN_EXTENT_MAX,
                 .payload = source + (size_t)i * APN_EXTENT_MAX},
                {.type = APN_MSG_PING, .offset = i},
            };

            post_all(p.out, msgs, 2);
            expect_messages(p.out, p.in, 2, &last);
            assert_int_equal(last.type, APN_MSG_PING);
            assert_int_equal(last.offset, i);
        }
        assert_memory_equal(source, p.memory, PAIR_REGION_BYTES);
        source[round * 4096 + 7] ^= 0xff;
        memset(p.memory, 0, PAIR_REGION_BYTES);
    }
    shut_pair(&p);
    munmap(source, PAIR_REGION_BYTES);
}

static void extents_copied(void **state)
{
    (void)state;
    extents_land_in_order("copy");
}

static void extents_zerocopied(void **state)
{
    (void)state;
    extents_land_in_order("zero-copy");
}

/* every size of message, both directions, many at once */
static void mixed_messages(void **state)
{
    struct pair p = {0};
    uint8_t text[APN_STREAM_CHUNK_MAX], page[4096];
    struct apn_msg batch[96], last;
    unsigned n = 0;

    (void)state;
    open_pair(&p);
    for (unsigned i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * 31);
    }
    memset(page, 0x5a, sizeof(page));
    for (unsigned i = 0; i < 32; i++) {
        batch[n++] = (struct apn_msg){
            .type = APN_MSG_EXTENT, .kind = APN_EXTENT_ZERO, .span = 4096, .offset = 4096ull * i};
        batch[n++] = (struct apn_msg){
            .type = APN_MSG_STREAM, .bytes = 1 + i * 2114, .offset = i, .payload = text};
        batch[n++] = (struct apn_msg){.type = APN_MSG_EXTENT,
                                      .kind = APN_EXTENT_DATA,
                                      .bytes = 4096,
                                      .span = 4096,
                                      .offset = 8192ull * i,
                                      .payload = page};
    }
    for (unsigned round = 0; round < 50; round++) {
        struct apn_link *from = round % 2 ? p.in : p.out, *to = round % 2 ? p.out : p.in;
        const struct apn_msg *what = batch;
        unsigned seen = 0;

        if (round % 2) { /* the source takes no extents */
            post_all(
                from,
                &(struct apn_msg){.type = APN_MSG_STREAM, .bytes = sizeof(text), .payload = text},
                1);
            expect_messages(from, to, 1, &last);
            assert_memory_equal(last.payload, text, sizeof(text));
            continue;
        }
        post_all(from, batch, n);
        for (unsigned tries = 0; seen < n && tries < 100000; tries++) {
            struct apn_event events[7];
            int got;

            from->backend->ops->poll(from, events, 1, 0);
            got = to->backend->ops->poll(to, events, 7, 100000);
            for (int i = 0; i < got; i++, seen++, what++) {
                assert_int_equal(events[i].msg.type, what->type);
                assert_int_equal(events[i].msg.offset, what->offset);
                assert_int_equal(events[i].msg.bytes, what->bytes);
                if (what->type == APN_MSG_STREAM) {
                    assert_memory_equal(events[i].msg.payload, text, what->bytes);
                } else {
                    assert_null(events[i].msg.payload);
                }
            }
        }
        assert_int_equal(seen, n);
    }
    shut_pair(&p);
}

static void full_queue_is_eagain(void **state)
{
    struct pair p = {0};
    struct apn_msg zero = {.type = APN_MSG_EXTENT, .kind = APN_EXTENT_ZERO, .span = 4096}, last;
    unsigned posted = 0;
    int ret = 0;

    (void)state;
    open_pair(&p);
    while (posted < 100000 && (ret = p.out->backend->ops->post(p.out, &zero, 1)) == 0) {
        posted++;
    }
    assert_int_equal(ret, -EAGAIN);
    assert_true(posted >= APN_URING_POST_MAX);
    expect_messages(p.out, p.in, posted, &last);
    assert_int_equal(p.out->backend->ops->post(p.out, &zero, 1), 0);
    shut_pair(&p);
}

static void posted_then_closed_still_arrives(void **state)
{
    struct pair p = {0};
    const struct apn_msg bye = {.type = APN_MSG_BYE};
    struct apn_event event;

    (void)state;
    open_pair(&p);
    post_all(p.out, &bye, 1);
    p.out->backend->ops->link_close(p.out);
    p.out = NULL;
    assert_true(pair_event(p.in, &event));
    assert_int_equal(event.type, APN_EVENT_MSG);
    assert_int_equal(event.msg.type, APN_MSG_BYE);
    assert_true(pair_event(p.in, &event));
    assert_int_equal(event.type, APN_EVENT_DOWN);
    assert_non_null(
        strstr(event.error.text, "uring: lane 1: the peer closed the connection after 1 messages"));
    assert_int_equal(p.in->backend->ops->post(p.in, &bye, 1), -EPIPE);
    assert_int_equal(p.in->backend->ops->poll(p.in, &event, 1, 0), 0);
    shut_pair(&p);
}

static void *wake_later(void *opaque)
{
    struct apn_link *link = opaque;

    usleep(20000);
    link->backend->ops->wake(link);
    return NULL;
}

static void wake_ends_a_wait(void **state)
{
    struct pair p = {0};
    struct apn_event event;
    pthread_t thread;
    uint64_t start_ns, took_ns;

    (void)state;
    open_pair(&p);
    for (unsigned i = 0; i < 3; i++) { /* more than once: the watch must stay armed */
        start_ns = apn_clock_now(&apn_clock_monotonic);
        pthread_create(&thread, NULL, wake_later, p.out);
        assert_int_equal(p.out->backend->ops->poll(p.out, &event, 1, (int64_t)PAIR_WAIT_NS), 0);
        pthread_join(thread, NULL);
        took_ns = apn_clock_now(&apn_clock_monotonic) - start_ns;
        assert_in_range(took_ns, 15 * APN_NS_PER_MS, 3 * APN_NS_PER_S);
    }
    p.out->backend->ops->wake(p.out); /* before the wait: it does not wait */
    start_ns = apn_clock_now(&apn_clock_monotonic);
    assert_int_equal(p.out->backend->ops->poll(p.out, &event, 1, (int64_t)PAIR_WAIT_NS), 0);
    assert_true(apn_clock_now(&apn_clock_monotonic) - start_ns < APN_NS_PER_S);
    start_ns = apn_clock_now(&apn_clock_monotonic); /* and only once */
    assert_int_equal(p.out->backend->ops->poll(p.out, &event, 1, 30 * APN_NS_PER_MS), 0);
    assert_true(apn_clock_now(&apn_clock_monotonic) - start_ns >= 29 * APN_NS_PER_MS);
    shut_pair(&p);
}

/* close while a zero-copy send cannot leave: the receiver does not read */
static void close_with_a_full_pipe(void **state)
{
    static const char *const modes[] = {"copy", "zero-copy"};

    (void)state;
    for (unsigned m = 0; m < 2; m++) {
        struct pair p = {.send_mode = modes[m], .window_hint_bytes = 1 << 20};
        uint8_t *source = guest_memory();
        struct apn_msg msg = {.type = APN_MSG_EXTENT,
                              .kind = APN_EXTENT_DATA,
                              .bytes = APN_EXTENT_MAX,
                              .span = APN_EXTENT_MAX,
                              .payload = source};
        struct apn_event event;
        uint64_t start_ns;

        open_pair(&p);
        for (unsigned i = 0; i < 200; i++) {
            p.out->backend->ops->post(p.out, &msg, 1);
            p.out->backend->ops->poll(p.out, &event, 1, 0);
        }
        start_ns = apn_clock_now(&apn_clock_monotonic);
        p.out->backend->ops->link_close(p.out);
        p.out = NULL;
        munmap(source, PAIR_REGION_BYTES); /* nothing reads it any more */
        assert_true(apn_clock_now(&apn_clock_monotonic) - start_ns < APN_NS_PER_S);
        do { /* some extents may have arrived */
            assert_true(pair_event(p.in, &event));
        } while (event.type == APN_EVENT_MSG);
        assert_int_equal(event.type, APN_EVENT_DOWN);
        shut_pair(&p);
    }
}

static void refusals(void **state)
{
    static const struct {
        int refuse;
        const char *dest_secret, *source_secret, *text;
        int code;
    } cases[] = {
        {-EBUSY, NULL, NULL, "another session has this port", -EBUSY},
        {0, "0123456789abcdef", NULL, "requires a shared secret", -EACCES},
        {0, NULL, "0123456789abcdef", "the destination has none", -EACCES},
        {0, "0123456789abcdef", "0123456789abcdeg", "secrets of source and destination differ",
         -EACCES},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p = {.refuse = cases[i].refuse,
                         .dest_secret = cases[i].dest_secret,
                         .source_secret = cases[i].source_secret};
        struct apn_error err = {0};
        struct apn_event event;

        assert_int_equal(pair_open(&p, "127.0.0.1", &err), 0);
        assert_int_equal(p.source->ops->connect(p.source, pair_hello(), &p.out, &err), 0);
        assert_true(pair_event(p.out, &event));
        assert_int_equal(event.type, APN_EVENT_DOWN);
        assert_int_equal(event.error.code, cases[i].code);
        assert_non_null(strstr(event.error.text, cases[i].text));
        assert_non_null(strstr(event.error.text, "uring: lane 1: "));
        assert_true(pair_wait_strangers(&p, 1));
        assert_non_null(strstr(p.stranger, cases[i].text));
        pair_close(&p);
    }
}

static void nobody_listens(void **state)
{
    struct pair p = {0};
    struct apn_error err = {0};
    struct apn_event event;

    (void)state;
    assert_int_equal(pair_open(&p, "127.0.0.1", &err), 0);
    p.dest->ops->free(p.dest);
    p.dest = NULL;
    assert_int_equal(p.source->ops->connect(p.source, pair_hello(), &p.out, &err), 0);
    assert_true(pair_event(p.out, &event));
    assert_int_equal(event.type, APN_EVENT_DOWN);
    assert_int_equal(event.error.code, -ECONNREFUSED);
    assert_non_null(strstr(event.error.text, "connect to 127.0.0.1 port "));
    pair_close(&p);
}

static int plain_connect(const struct pair *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(p->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* a peer that shakes hands properly and then sends @bytes; Return: the reason why the link went
 * down */
static void hostile_bytes(const void *bytes, size_t length, struct apn_event *event)
{
    struct pair p = {0};
    struct apn_handshake hs;
    struct apn_error err = {0};
    const uint8_t nonce[32] = {0}, *output;
    uint8_t input[APN_WIRE_HS_MAX];
    int fd;

    p.memory = guest_memory();
    assert_int_equal(pair_open(&p, "127.0.0.1", &err), 0);
    fd = plain_connect(&p);
    apn_handshake_client_init(&hs, pair_hello(), NULL, 0, nonce);
    for (unsigned i = 0; i < 100 && hs.step == APN_HS_STEP_MORE; i++) {
        size_t n = apn_handshake_output(&hs, &output);

        if (n) {
            assert_int_equal(send(fd, output, n, MSG_NOSIGNAL), n);
            apn_handshake_sent(&hs, n);
        } else {
            ssize_t got = recv(fd, input, apn_handshake_wants(&hs), 0);

            assert_true(got > 0);
            apn_handshake_input(&hs, input, (size_t)got);
        }
    }
    assert_int_equal(hs.step, APN_HS_STEP_DONE);
    p.in = pair_wait_attached(&p);
    assert_non_null(p.in);
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
    do {
        assert_true(pair_event(p.in, event));
    } while (event->type == APN_EVENT_MSG);
    assert_int_equal(event->type, APN_EVENT_DOWN);
    close(fd);
    shut_pair(&p);
}

static void hostile_peer(void **state)
{
    struct apn_msg outside = {.type = APN_MSG_EXTENT,
                              .kind = APN_EXTENT_DATA,
                              .bytes = 8192,
                              .span = 8192,
                              .offset = PAIR_REGION_BYTES - 4096};
    uint8_t bytes[4096] = {0};
    struct apn_event event;

    (void)state;
    memset(bytes, 'A', sizeof(bytes));
    hostile_bytes(bytes, sizeof(bytes), &event);
    assert_int_equal(event.error.code, -EBADMSG);
    apn_msg_encode(&outside, bytes);
    hostile_bytes(bytes, sizeof(bytes), &event);
    assert_int_equal(event.error.code, -EPROTO);
    assert_non_null(strstr(event.error.text, "not memory that the peer may write"));
    outside.region = 1;
    outside.offset = 0;
    apn_msg_encode(&outside, bytes);
    hostile_bytes(bytes, sizeof(bytes), &event);
    assert_non_null(strstr(event.error.text, "extent of region 1"));
}

static void both_families(void **state)
{
    static const char *const hosts[] = {"::1", "localhost"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct pair p = {0};
        struct apn_error err = {0};
        struct apn_event event;

        p.memory = guest_memory();
        if (pair_open(&p, hosts[i], &err)) {
            fail_msg("%s", err.text);
        }
        assert_int_equal(p.source->ops->connect(p.source, pair_hello(), &p.out, &err), 0);
        assert_true(pair_event(p.out, &event));
        assert_int_equal(event.type, APN_EVENT_UP);
        p.in = pair_wait_attached(&p);
        assert_non_null(p.in);
        shut_pair(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_copied),
        cmocka_unit_test(extents_zerocopied),
        cmocka_unit_test(mixed_messages),
        cmocka_unit_test(full_queue_is_eagain),
        cmocka_unit_test(posted_then_closed_still_arrives),
        cmocka_unit_test(wake_ends_a_wait),
        cmocka_unit_test(close_with_a_full_pipe),
        cmocka_unit_test(refusals),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(hostile_peer),
        cmocka_unit_test(both_families),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
