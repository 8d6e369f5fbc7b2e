/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dpdk_host.c - two IP hosts on one wire in memory, and strangers on it: neighbours, ping, errors, limits; time is an argument */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dpdk/host/host.h"
#include "dpdk/steer.h"

#define WIRE_MAX 64u
#define SECOND   1000000000ull

struct end {
    struct apn_host host;
    struct {
        uint8_t bytes[2000];
        uint32_t length;
    } out[WIRE_MAX];
    unsigned n_out;
    unsigned emitted;
    void *delivered[WIRE_MAX], *given_up[WIRE_MAX];
    unsigned n_delivered, n_given_up;
    uint8_t delivered_mac[6];
    enum apn_trouble trouble;
    struct apn_packet trouble_of;
    uint32_t trouble_mtu;
};

static struct end a, b; /* large */
static uint64_t now_ns;

static void emit(void *opaque, const uint8_t *frame, uint32_t bytes)
{
    struct end *e = opaque;

    assert_true(bytes <= sizeof(e->out[0].bytes));
    e->emitted++;
    if (e->n_out < WIRE_MAX) {
        memcpy(e->out[e->n_out].bytes, frame, bytes);
        e->out[e->n_out++].length = bytes;
    }
}

static void deliver(void *opaque, void *waiter, const uint8_t mac[6])
{
    struct end *e = opaque;

    e->delivered[e->n_delivered++] = waiter;
    memcpy(e->delivered_mac, mac, 6);
}

static void give_up(void *opaque, void *waiter)
{
    struct end *e = opaque;

    e->given_up[e->n_given_up++] = waiter;
}

static void trouble(void *opaque, enum apn_trouble what, const struct apn_packet *sent, uint32_t mtu)
{
    struct end *e = opaque;

    e->trouble = what;
    e->trouble_of = *sent;
    e->trouble_mtu = mtu;
}

static const struct apn_host_ops ops = {emit, deliver, give_up, trouble};

static struct apn_ip ip(const char *text)
{
    struct apn_ip out;

    assert_int_equal(apn_ip_parse(text, &out), 0);
    return out;
}

static void open_end(struct end *e, unsigned last, const char *four, const char *six)
{
    const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)last};
    struct apn_ip address = ip(four);

    memset(e, 0, sizeof(*e));
    apn_host_init(&e->host, mac, 1500, &ops, e);
    assert_int_equal(apn_host_add(&e->host, &address, 24), 0);
    address = ip(six);
    assert_int_equal(apn_host_add(&e->host, &address, 64), 0);
}

static int set_up(void **state)
{
    (void)state;
    now_ns = SECOND;
    open_end(&a, 1, "192.0.2.1", "2001:db8::1");
    open_end(&b, 2, "192.0.2.2", "2001:db8::2");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apn_host_done(&a.host);
    apn_host_done(&b.host);
    return 0;
}

/* Return: what became of the last frame */
static enum apn_drop input(struct end *to, const uint8_t *frame, uint32_t length)
{
    struct apn_packet p;
    enum apn_drop drop = apn_packet_parse(frame, length, 0, &p);

    return drop ? drop : apn_host_input(&to->host, frame, &p, now_ns);
}

/* everything on the wire from @from is heard by @to. Return: frames */
static unsigned carry(struct end *from, struct end *to, enum apn_drop *last)
{
    unsigned n = from->n_out;

    from->n_out = 0;
    for (unsigned i = 0; i < n; i++) {
        enum apn_drop drop = input(to, from->out[i].bytes, from->out[i].length);

        if (last) {
            *last = drop;
        }
    }
    return n;
}

static void a_neighbour_is_found(const char *far)
{
    struct apn_path path;
    struct apn_ip dest = ip(far);
    int waiter;

    assert_int_equal(apn_host_route(&a.host, &dest, &waiter, now_ns, &path), -EAGAIN);
    assert_int_equal(carry(&a, &b, NULL), 1);
    assert_int_equal(carry(&b, &a, NULL), 1);
    assert_int_equal(a.n_delivered, 1);
    assert_ptr_equal(a.delivered[0], &waiter);
    assert_memory_equal(a.delivered_mac, b.host.mac, 6);
    assert_int_equal(apn_host_route(&a.host, &dest, NULL, now_ns, &path), 0);
    assert_memory_equal(path.dest_mac, b.host.mac, 6);
    assert_memory_equal(path.source_mac, a.host.mac, 6);
    assert_int_equal(a.n_out, 0); /* fresh: not asked again */
}

static void arp_finds_a_neighbour(void **state)
{
    (void)state;
    a_neighbour_is_found("192.0.2.2");
}

static void discovery_finds_a_neighbour(void **state)
{
    (void)state;
    a_neighbour_is_found("2001:db8::2");
}

static void who_asks_us_need_not_be_asked(void **state)
{
    struct apn_path path;
    struct apn_ip to_b = ip("2001:db8::2"), to_a = ip("2001:db8::1");

    (void)state;
    apn_host_route(&a.host, &to_b, NULL, now_ns, &path);
    carry(&a, &b, NULL);
    assert_int_equal(apn_host_route(&b.host, &to_a, NULL, now_ns, &path), 0);
    assert_memory_equal(path.dest_mac, a.host.mac, 6);
    /* known, but not confirmed: it is asked, by unicast, while it is used */
    assert_int_equal(b.n_out, 2);
    assert_memory_equal(b.out[1].bytes, a.host.mac, 6);
}

static void silence_is_given_up(void **state)
{
    struct apn_path path;
    struct apn_ip nobody = ip("192.0.2.77");
    int waiters[APN_NEIGHBOUR_WAITERS + 2];

    (void)state;
    for (unsigned i = 0; i < APN_NEIGHBOUR_WAITERS + 2; i++) {
        assert_int_equal(apn_host_route(&a.host, &nobody, &waiters[i], now_ns, &path), -EAGAIN);
    }
    assert_int_equal(a.n_given_up, 2); /* the oldest */
    assert_ptr_equal(a.given_up[0], &waiters[0]);
    assert_int_equal(a.emitted, 1);
    for (unsigned s = 0; s < 3; s++) {
        uint64_t next = apn_host_tick(&a.host, now_ns);

        assert_int_equal(next, now_ns + SECOND);
        now_ns = next;
    }
    apn_host_tick(&a.host, now_ns);
    assert_int_equal(a.emitted, APN_NEIGHBOUR_ASKS);
    assert_int_equal(a.n_given_up, APN_NEIGHBOUR_WAITERS + 2);
    assert_true(apn_host_tick(&a.host, now_ns) == UINT64_MAX);
}

static void a_neighbour_that_dies_is_forgotten(void **state)
{
    struct apn_path path;
    struct apn_ip dest = ip("192.0.2.2");
    uint32_t changes;

    (void)state;
    a_neighbour_is_found("192.0.2.2");
    changes = a.host.neighbours.changes;
    now_ns += APN_NEIGHBOUR_FRESH_NS;
    assert_int_equal(apn_host_route(&a.host, &dest, NULL, now_ns, &path), 0); /* used while it is asked */
    assert_int_equal(a.n_out, 1);
    for (unsigned s = 0; s < 4; s++) {
        now_ns += SECOND;
        apn_host_tick(&a.host, now_ns);
    }
    assert_int_equal(apn_host_route(&a.host, &dest, NULL, now_ns, &path), -EAGAIN);
    assert_int_not_equal(a.host.neighbours.changes, changes); /* who remembers the route finds out */
}

static void a_neighbour_that_moves_is_followed(void **state)
{
    struct apn_path path;
    struct apn_ip dest = ip("192.0.2.2");
    uint32_t changes;

    (void)state;
    a_neighbour_is_found("192.0.2.2");
    changes = a.host.neighbours.changes;
    b.host.mac[5] = 0x22;
    apn_host_start(&b.host, now_ns); /* announces */
    carry(&b, &a, NULL);
    assert_int_equal(apn_host_route(&a.host, &dest, NULL, now_ns, &path), 0);
    assert_memory_equal(path.dest_mac, b.host.mac, 6);
    assert_int_not_equal(a.host.neighbours.changes, changes);
}

static void announcements_make_no_entries(void **state)
{
    (void)state;
    apn_host_start(&b.host, now_ns);
    carry(&b, &a, NULL);
    for (unsigned i = 0; i < APN_NEIGHBOURS; i++) {
        assert_int_equal(a.host.neighbours.entries[i].state, APN_NEIGHBOUR_FREE);
    }
    for (unsigned s = 0; s < 5; s++) {
        now_ns += SECOND;
        apn_host_tick(&b.host, now_ns);
    }
    assert_int_equal(b.emitted, 3 * 3 + 1); /* ARP, report, advertisement: three times; one probe */
}

static void a_crowd_of_strangers_finds_room(void **state)
{
    struct apn_path path;
    struct apn_ip far = ip("192.0.2.2");

    (void)state;
    a_neighbour_is_found("192.0.2.2");
    for (unsigned i = 0; i < 3 * APN_NEIGHBOURS; i++) { /* all ask us */
        struct end *c = &b;
        uint8_t mac[6] = {2, 9, 9, 9, (uint8_t)(i >> 8), (uint8_t)i};

        now_ns += 2000000;
        memcpy(c->host.mac, mac, 6);
        c->host.addresses[0].ip.bytes[3] = (uint8_t)(3 + i % 250);
        apn_host_route(&c->host, &(struct apn_ip){{192, 0, 2, 1}, 4}, NULL, now_ns, &path);
        apn_neighbours_done(&c->host.neighbours);
        carry(c, &a, NULL);
        a.n_out = 0;
        apn_host_route(&a.host, &far, NULL, now_ns, &path); /* in use: stays */
    }
    assert_int_equal(apn_host_route(&a.host, &far, NULL, now_ns, &path), 0);
    assert_memory_equal(path.dest_mac, ((uint8_t[]){2, 0, 0, 0, 0, 2}), 6);
}

static void routes(void **state)
{
    struct apn_path path;
    const char *const nowhere[] = {"198.51.100.1", "2001:db8:1::1", "192.0.2.1", "224.0.0.1", "255.255.255.255", "ff02::1", "0.0.0.0", "fe80::9"};
    struct apn_ip dest = ip("198.51.100.1");

    (void)state;
    for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        struct apn_ip to = ip(nowhere[i]);

        assert_int_equal(apn_host_route(&a.host, &to, NULL, now_ns, &path), -ENETUNREACH);
    }
    assert_int_equal(a.emitted, 0);
    a.host.gateway[0] = ip("192.0.2.2");
    assert_int_equal(apn_host_route(&a.host, &dest, NULL, now_ns, &path), -EAGAIN);
    carry(&a, &b, NULL);
    carry(&b, &a, NULL);
    assert_int_equal(apn_host_route(&a.host, &dest, NULL, now_ns, &path), 0);
    assert_memory_equal(path.dest_mac, b.host.mac, 6);
    assert_true(apn_host_source(&a.host, &dest) == &a.host.addresses[0].ip);
}

/* Return: length of an echo request from a to b */
static uint32_t make_echo(uint8_t *frame, const char *from, const char *to, uint32_t bytes)
{
    struct apn_path path = {.source = ip(from), .dest = ip(to)};
    const bool six = path.dest.family == 6;
    uint32_t at;

    memcpy(path.source_mac, a.host.mac, 6);
    memcpy(path.dest_mac, b.host.mac, 6);
    at = apn_packet_ip(frame, &path, six ? APN_PROTO_ICMP6 : APN_PROTO_ICMP4, bytes);
    memset(frame + at, 0x33, bytes);
    frame[at] = six ? 128 : 8;
    frame[at + 1] = frame[at + 2] = frame[at + 3] = 0;
    apn_packet_finish(frame + at, bytes, frame + at + 2, six ? apn_pseudo_sum(&path.source, &path.dest, APN_PROTO_ICMP6, bytes) : 0);
    return at + bytes;
}

static void echoes_come_back(void **state)
{
    const char *const ends[2][2] = {{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}};
    uint8_t frame[2000];
    struct apn_packet p;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        for (uint32_t bytes = 8; bytes < 1400; bytes = bytes * 2 + 1) {
            uint32_t length = make_echo(frame, ends[i][0], ends[i][1], bytes);

            b.n_out = 0;
            assert_int_equal(input(&b, frame, length), APN_DROP_NONE);
            assert_int_equal(b.n_out, 1);
            assert_int_equal(apn_packet_parse(b.out[0].bytes, b.out[0].length, 0, &p), APN_DROP_NONE); /* its sums are right */
            assert_int_equal(p.message_bytes, bytes);
            assert_int_equal(b.out[0].bytes[p.message_at], i ? 129 : 0);
            assert_memory_equal(b.out[0].bytes, a.host.mac, 6);
            assert_true(apn_ip_equal(&p.source, &b.host.addresses[i].ip));
        }
    }
    assert_int_equal(input(&b, frame, make_echo(frame, "192.0.2.1", "192.0.2.9", 8)), APN_DROP_NOT_OURS);
    assert_int_equal(input(&b, frame, make_echo(frame, "192.0.2.1", "192.0.2.2", 1481)), APN_DROP_MALFORMED); /* the answer would not fit */
}

static void answers_are_limited(void **state)
{
    uint8_t frame[200];
    uint32_t length = make_echo(frame, "192.0.2.1", "192.0.2.2", 8);
    unsigned answered = 0;

    (void)state;
    for (unsigned i = 0; i < 3 * APN_HOST_REPLIES_MAX; i++) {
        answered += input(&b, frame, length) == APN_DROP_NONE;
    }
    assert_int_equal(answered, APN_HOST_REPLIES_MAX);
    now_ns += SECOND;
    assert_int_equal(input(&b, frame, length), APN_DROP_NONE);
}

static uint32_t make_datagram(uint8_t *frame, const struct end *from, const struct end *to, unsigned which)
{
    struct apn_path path = {.source = from->host.addresses[which].ip, .dest = to->host.addresses[which].ip, .source_port = 1111, .dest_port = 2222};
    uint32_t at;

    memcpy(path.source_mac, from->host.mac, 6);
    memcpy(path.dest_mac, to->host.mac, 6);
    at = apn_packet_udp(frame, &path, 5);
    memcpy(frame + at, "hello", 5);
    apn_packet_finish(frame + at - 8, 13, frame + at - 2, apn_pseudo_sum(&path.source, &path.dest, APN_PROTO_UDP, 13));
    return at + 5;
}

static void a_closed_port_says_so(void **state)
{
    uint8_t frame[200];
    struct apn_packet p;

    (void)state;
    for (unsigned which = 0; which < 2; which++) {
        uint32_t length = make_datagram(frame, &a, &b, which);

        a.trouble = 0;
        assert_int_equal(apn_packet_parse(frame, length, 0, &p), APN_DROP_NONE);
        apn_host_no_port(&b.host, frame, &p, now_ns);
        assert_int_equal(carry(&b, &a, NULL), 1);
        assert_int_equal(a.trouble, APN_TROUBLE_REFUSED);
        assert_int_equal(a.trouble_of.source_port, 1111);
        assert_int_equal(a.trouble_of.dest_port, 2222);
        assert_true(apn_ip_equal(&a.trouble_of.dest, &b.host.addresses[which].ip));
    }
    /* nothing is said about what was sent to many */
    frame[0] |= 1;
    apn_packet_parse(frame, make_datagram(frame, &a, &b, 0), 0, &p);
    p.dest_mac[0] |= 1;
    apn_host_no_port(&b.host, frame, &p, now_ns);
    assert_int_equal(b.n_out, 0);
}

static void narrower_paths_are_believed_within_reason(void **state)
{
    uint8_t frame[200], quoted[200];
    struct apn_path path = {.source = b.host.addresses[0].ip, .dest = a.host.addresses[0].ip};
    uint32_t quote = make_datagram(quoted, &a, &b, 0) - 14, at;
    const struct { unsigned mtu; enum apn_drop drop; } cases[] = {{1400, APN_DROP_NONE}, {575, APN_DROP_MALFORMED}, {0, APN_DROP_MALFORMED}, {576, APN_DROP_NONE}};

    (void)state;
    memcpy(path.source_mac, b.host.mac, 6);
    memcpy(path.dest_mac, a.host.mac, 6);
    for (unsigned i = 0; i < 4; i++) {
        at = apn_packet_ip(frame, &path, APN_PROTO_ICMP4, 8 + quote);
        memset(frame + at, 0, 8);
        frame[at] = 3;
        frame[at + 1] = 4;
        apn_put16(frame + at + 6, cases[i].mtu);
        memcpy(frame + at + 8, quoted + 14, quote);
        apn_packet_finish(frame + at, 8 + quote, frame + at + 2, 0);
        a.trouble = 0;
        assert_int_equal(input(&a, frame, at + 8 + quote), cases[i].drop);
        assert_int_equal(a.trouble, cases[i].drop ? 0 : APN_TROUBLE_TOO_BIG);
        if (!cases[i].drop) {
            assert_int_equal(a.trouble_mtu, cases[i].mtu);
        }
    }
    /* about a datagram that is not ours */
    quoted[14 + 12] = 198;
    memcpy(frame + at + 8, quoted + 14, quote);
    frame[at + 2] = frame[at + 3] = 0;
    apn_packet_finish(frame + at, 8 + quote, frame + at + 2, 0);
    a.trouble = 0;
    assert_int_equal(input(&a, frame, at + 8 + quote), APN_DROP_NOT_OURS);
    assert_int_equal(a.trouble, 0);
}

static void a_conflict_is_seen_and_defended_rarely(void **state)
{
    enum apn_drop last = APN_DROP_NONE;

    (void)state;
    b.host.addresses[0].ip = a.host.addresses[0].ip;
    b.host.addresses[1].ip = a.host.addresses[1].ip;
    apn_host_start(&b.host, now_ns);
    carry(&b, &a, &last);
    assert_int_equal(last, APN_DROP_CONFLICT);
    assert_non_null(strstr(a.host.conflict, "192.0.2.1 is also at 02:00:00:00:00:02") ? a.host.conflict
                                                                                    : strstr(a.host.conflict, "2001:db8::1 is also at"));
    assert_in_range(a.n_out, 1, 2); /* one defence; and who probes is answered */
    a.n_out = 0;
    now_ns += SECOND;
    apn_host_tick(&b.host, now_ns);
    carry(&b, &a, NULL);
    assert_int_equal(a.n_out, 0);
    now_ns += APN_HOST_DEFEND_NS;
    apn_host_tick(&b.host, now_ns);
    carry(&b, &a, NULL);
    assert_int_equal(a.n_out, 1);
}

static void discovery_from_afar_is_refused(void **state)
{
    struct apn_path path;
    struct apn_ip dest = ip("2001:db8::2");

    (void)state;
    apn_host_route(&a.host, &dest, NULL, now_ns, &path);
    a.out[0].bytes[21] = 254; /* hop limit: a router has touched it; not part of the sum */
    assert_int_equal(input(&b, a.out[0].bytes, a.out[0].length), APN_DROP_MALFORMED);
    a.out[0].bytes[21] = 255;
    assert_int_equal(input(&b, a.out[0].bytes, a.out[0].length), APN_DROP_NONE);
}

/* ---- steering ------------------------------------------------------------------------- */

static void flows_come_before_listeners(void **state)
{
    static struct apn_steer s;
    struct apn_steer_key any = {.local_port = 4444}, here = {.local = ip("192.0.2.1"), .local_port = 5555};
    struct apn_steer_key datagram = {ip("192.0.2.1"), ip("192.0.2.2"), 4444, 1000};

    (void)state;
    apn_steer_init(&s);
    assert_int_equal(apn_steer_add(&s, &any, 1), 0);
    assert_int_equal(apn_steer_add(&s, &any, 2), -EADDRINUSE);
    assert_int_equal(apn_steer_add(&s, &here, 3), 0);
    assert_int_equal(apn_steer_find(&s, &datagram), 1);
    assert_int_equal(apn_steer_add(&s, &datagram, 4), 0);
    assert_int_equal(apn_steer_find(&s, &datagram), 4);
    datagram.remote_port = 1001;
    assert_int_equal(apn_steer_find(&s, &datagram), 1);
    datagram.local_port = 5555;
    assert_int_equal(apn_steer_find(&s, &datagram), 3);
    datagram.local = ip("192.0.2.9");
    assert_int_equal(apn_steer_find(&s, &datagram), APN_STEER_NONE);
    apn_steer_remove(&s, &any);
    datagram = (struct apn_steer_key){ip("192.0.2.1"), ip("192.0.2.2"), 4444, 1001};
    assert_int_equal(apn_steer_find(&s, &datagram), APN_STEER_NONE);
}

static void many_flows_come_and_go(void **state)
{
    static struct apn_steer s;
    struct apn_steer_key key = {ip("192.0.2.1"), ip("192.0.2.2"), 4444, 0};
    unsigned added = 0;

    (void)state;
    apn_steer_init(&s);
    while (!apn_steer_add(&s, (key.remote_port = (uint16_t)(1000 + added), &key), (uint16_t)added)) {
        added++;
    }
    assert_int_equal(added, APN_STEER_SLOTS / 2);
    for (unsigned i = 0; i < added; i += 2) { /* gaps close: the others are still found */
        key.remote_port = (uint16_t)(1000 + i);
        apn_steer_remove(&s, &key);
    }
    for (unsigned i = 0; i < added; i++) {
        key.remote_port = (uint16_t)(1000 + i);
        assert_int_equal(apn_steer_find(&s, &key), i & 1 ? i : APN_STEER_NONE);
    }
    assert_int_equal(s.used, added / 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(arp_finds_a_neighbour),
        T(discovery_finds_a_neighbour),
        T(who_asks_us_need_not_be_asked),
        T(silence_is_given_up),
        T(a_neighbour_that_dies_is_forgotten),
        T(a_neighbour_that_moves_is_followed),
        T(announcements_make_no_entries),
        T(a_crowd_of_strangers_finds_room),
        T(routes),
        T(echoes_come_back),
        T(answers_are_limited),
        T(a_closed_port_says_so),
        T(narrower_paths_are_believed_within_reason),
        T(a_conflict_is_seen_and_defended_rarely),
        T(discovery_from_afar_is_refused),
        T(flows_come_before_listeners),
        T(many_flows_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
