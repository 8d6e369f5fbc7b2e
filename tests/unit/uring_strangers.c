/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uring_strangers.c - the listening port against everything that is not a peer: each ends cheaply,
 * and the real one gets in */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "uring_pair.h"
#include "wire/handshake.h"

#define CROWD       60
#define FILL_MAX    100 /* descriptors */
#define HANDSHAKE_S 2   /* pair_open() */

static int open_port(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    struct apn_error err = {0};

    assert_non_null(p);
    p->dest_secret = p->source_secret = "0123456789abcdef";
    if (pair_open(p, "127.0.0.1", &err)) {
        fail_msg("%s", err.text);
    }
    *state = p;
    return 0;
}

static int close_port(void **state)
{
    pair_close(*state);
    free(*state);
    return 0;
}

static int dial(const struct pair *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(p->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* seconds until the other end closes, which must be within @limit_s; counts what it said in @bytes
 */
static double until_closed(int fd, int limit_s, size_t *bytes)
{
    uint64_t start_ns = apn_clock_now(&apn_clock_monotonic);
    uint8_t buffer[256];

    *bytes = 0;
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        ssize_t n;

        assert_int_equal(poll(&pfd, 1, limit_s * 1000), 1);
        n = read(fd, buffer, sizeof(buffer));
        if (n <= 0) {
            return (double)(apn_clock_now(&apn_clock_monotonic) - start_ns) / 1e9;
        }
        *bytes += (size_t)n;
    }
}

static void the_real_one_gets_in(struct pair *p)
{
    struct apn_error err = {0};
    struct apn_event event;

    assert_int_equal(p->source->ops->connect(p->source, pair_hello(), &p->out, &err), 0);
    assert_true(pair_event(p->out, &event));
    if (event.type != APN_EVENT_UP) {
        fail_msg("%s", event.error.text);
    }
    p->in = pair_wait_attached(p);
    assert_non_null(p->in);
}

static void loud(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } words[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11},
        {"SSH-2.0-OpenSSH_9.2p1\r\n", 23},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
    };
    struct pair *p = *state;

    for (unsigned i = 0; i < 4; i++) {
        int fd = dial(p);
        size_t said;

        assert_int_equal(send(fd, words[i].bytes, words[i].length, MSG_NOSIGNAL), words[i].length);
        assert_true(until_closed(fd, 5, &said) < 1.0);
        assert_int_equal(said, 0);
        close(fd);
        assert_true(pair_wait_strangers(p, i + 1));
        assert_non_null(strstr(p->stranger, "does not speak this protocol"));
        assert_non_null(strstr(p->stranger, "127.0.0.1 port "));
    }
    the_real_one_gets_in(p);
}

static void scan(void **state)
{
    struct pair *p = *state;

    for (unsigned i = 0; i < 100; i++) {
        const struct linger hard = {1, 0};
        int fd = dial(p);

        if (i % 2) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        }
        close(fd);
    }
    the_real_one_gets_in(p);
}

static void silent_and_partial(void **state)
{
    struct pair *p = *state;
    int silent = dial(p), partial = dial(p);
    double seconds;
    size_t said;

    assert_int_equal(send(partial, APN_WIRE_MAGIC "\1\0", 10, MSG_NOSIGNAL), 10);
    seconds = until_closed(silent, HANDSHAKE_S + 3, &said);
    assert_true(seconds > HANDSHAKE_S - 0.5);
    until_closed(partial, HANDSHAKE_S + 3, &said);
    assert_int_equal(said, 0);
    assert_true(pair_wait_strangers(p, 2));
    assert_non_null(strstr(p->stranger, "no handshake within 2000 ms"));
    close(silent);
    close(partial);
    the_real_one_gets_in(p);
}

/* one HELLO without the secret: told why, then out */
static void without_the_secret(void **state)
{
    struct pair *p = *state;
    const uint8_t nonce[32] = {0}, *bytes;
    struct apn_handshake hs;
    int fd = dial(p);
    size_t said;

    apn_handshake_client_init(&hs, pair_hello(), NULL, 0, nonce);
    assert_int_equal(send(fd, bytes = hs.out, hs.out_bytes, MSG_NOSIGNAL), hs.out_bytes);
    assert_true(until_closed(fd, 5, &said) < 1.0);
    assert_int_equal(said, sizeof(struct apn_wire_reject));
    assert_true(pair_wait_strangers(p, 1));
    close(fd);
    the_real_one_gets_in(p);
}

static void crowd(void **state)
{
    struct pair *p = *state;
    uint64_t start_ns;
    int fds[CROWD];

    for (unsigned i = 0; i < CROWD; i++) {
        fds[i] = dial(p);
    }
    start_ns = apn_clock_now(&apn_clock_monotonic);
    the_real_one_gets_in(p); /* although 60 say nothing and 16 are served at once */
    assert_true(apn_clock_now(&apn_clock_monotonic) - start_ns < HANDSHAKE_S * APN_NS_PER_S);
    for (unsigned i = 0; i < CROWD; i++) {
        close(fds[i]);
    }
}

static void an_established_lane_does_not_notice(void **state)
{
    struct pair *p = *state;
    const struct apn_msg ping = {.type = APN_MSG_PING, .offset = 5};
    struct apn_event event;
    int fds[CROWD];

    the_real_one_gets_in(p);
    for (unsigned i = 0; i < CROWD; i++) {
        fds[i] = dial(p);
        if (i % 2) {
            assert_int_equal(send(fds[i], "garbage garbage garbage", 23, MSG_NOSIGNAL), 23);
        }
    }
    assert_int_equal(p->out->backend->ops->post(p->out, &ping, 1), 0);
    assert_int_equal(p->out->backend->ops->poll(p->out, &event, 1, 0), 0);
    assert_true(pair_event(p->in, &event));
    assert_int_equal(event.type, APN_EVENT_MSG);
    assert_int_equal(event.msg.type, APN_MSG_PING);
    for (unsigned i = 0; i < CROWD; i++) {
        close(fds[i]);
    }
}

static void without_descriptors(void **state)
{
    struct pair *p = *state;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(p->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[FILL_MAX], caller = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit saved, low;
    unsigned filled = 0;
    size_t said;

    assert_true(caller >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
    low = saved;
    low.rlim_cur = FILL_MAX;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (filled < FILL_MAX && (fds[filled] = dup(caller)) >= 0) {
        filled++;
    }
    assert_int_equal(connect(caller, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_true(pair_wait_strangers(p, 1));
    usleep(300000); /* long enough for several tries: it must pause between them, not spin */
    for (unsigned i = 0; i < filled; i++) {
        close(fds[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
    pthread_mutex_lock(&p->lock);
    assert_non_null(strstr(p->stranger, "accept: Too many open files"));
    assert_true(p->strangers <= 6);
    pthread_mutex_unlock(&p->lock);
    assert_int_equal(send(caller, "x", 1, MSG_NOSIGNAL),
                     1); /* it was kept waiting, and is served now */
    until_closed(caller, 5, &said);
    close(caller);
    the_real_one_gets_in(p);
}

static void port_in_use(void **state)
{
    struct pair *p = *state, other = {0};
    const struct apn_acceptor acceptor = {pair_authorise, pair_attach, pair_stranger, &other};
    struct apn_backend_config config = {.clock = &apn_clock_monotonic, .host = "127.0.0.1"};
    struct apn_backend *second;
    struct apn_error err = {0};
    char port[8], expected[80];
    uint16_t bound;

    snprintf(port, sizeof(port), "%u", p->port);
    snprintf(expected, sizeof(expected),
             "uring: listen on 127.0.0.1 port %u: Address already in use", p->port);
    config.port = port;
    assert_int_equal(apn_uring_backend_new(&second, &config, &err), 0);
    assert_int_equal(second->ops->listen(second, &acceptor, &bound, &err), -EADDRINUSE);
    assert_string_equal(err.text, expected);
    second->ops->free(second);
}

static void odd_addresses(void **state)
{
    static const struct {
        const char *host, *port;
        int code;
        const char *text;
    } cases[] = {
        {"127.0.0.1", "http", -EINVAL, "port \"http\": must be a number 0..65535"},
        {"127.0.0.1", "", -EINVAL, "port \"\": must be a number"},
        {"127.0.0.1", "70000", -EINVAL, "port 70000: must be 65535 at most"},
        {"127.0.0.1", "-1", -EINVAL, "port \"-1\": must be a number"},
        {"192.0.2.7", "4444", -EADDRNOTAVAIL, "listen on 192.0.2.7"},
    };
    const struct apn_acceptor acceptor = {pair_authorise, pair_attach, pair_stranger, NULL};

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct apn_backend_config config = {
            .clock = &apn_clock_monotonic, .host = cases[i].host, .port = cases[i].port};
        struct apn_backend *be;
        struct apn_error err = {0};
        uint16_t bound;

        assert_int_equal(apn_uring_backend_new(&be, &config, &err), 0);
        assert_int_equal(be->ops->listen(be, &acceptor, &bound, &err), cases[i].code);
        if (!strstr(err.text, cases[i].text)) {
            fail_msg("case %u: \"%s\" lacks \"%s\"", i, err.text, cases[i].text);
        }
        be->ops->free(be);
    }
}

static void odd_send_mode(void **state)
{
    struct apn_backend_config config = {
        .clock = &apn_clock_monotonic, .host = "", .port = "0", .send_mode = "magic"};
    struct apn_backend *be = NULL;
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(apn_uring_backend_new(&be, &config, &err), -EINVAL);
    assert_string_equal(err.text, "uring: send mode \"magic\": must be auto, copy or zero-copy");
    assert_null(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loud, open_port, close_port),
        cmocka_unit_test_setup_teardown(scan, open_port, close_port),
        cmocka_unit_test_setup_teardown(silent_and_partial, open_port, close_port),
        cmocka_unit_test_setup_teardown(without_the_secret, open_port, close_port),
        cmocka_unit_test_setup_teardown(crowd, open_port, close_port),
        cmocka_unit_test_setup_teardown(an_established_lane_does_not_notice, open_port, close_port),
        cmocka_unit_test_setup_teardown(without_descriptors, open_port, close_port),
        cmocka_unit_test_setup_teardown(port_in_use, open_port, close_port),
        cmocka_unit_test(odd_addresses),
        cmocka_unit_test(odd_send_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
