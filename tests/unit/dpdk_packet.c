/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dpdk_packet.c - frames made by hand and by the code under test: what is right is read exactly, what is not has its reason */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dpdk/host/checksum.h"
#include "dpdk/host/packet.h"

/* an echo request from 192.0.2.1 to 192.0.2.2, summed by hand: 45 00 00 1c 00 00 40 00 40 01 -> b6dd, 08 00 12 34 00 01 -> e5ca */
static const uint8_t echo4[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
                                0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 1, 0xb6, 0xdd, 192, 0, 2, 1, 192, 0, 2, 2,
                                8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1};

static const struct apn_path path4 = {.source_mac = {2, 0, 0, 0, 0, 1}, .dest_mac = {2, 0, 0, 0, 0, 2},
                                      .source = {{192, 0, 2, 1}, 4}, .dest = {{192, 0, 2, 2}, 4}, .source_port = 4660, .dest_port = 4444};
static const struct apn_path path6 = {.source_mac = {2, 0, 0, 0, 0, 1}, .dest_mac = {2, 0, 0, 0, 0, 2},
                                      .source = {{0x20, 1, 0xd, 0xb8, [15] = 1}, 6}, .dest = {{0x20, 1, 0xd, 0xb8, [15] = 2}, 6},
                                      .source_port = 4660, .dest_port = 4444, .tos = 2};

/* Return: bytes of a whole and right UDP frame */
static uint32_t make_udp(uint8_t *frame, const struct apn_path *path, const void *payload, uint32_t bytes)
{
    uint32_t at = apn_packet_udp(frame, path, bytes);

    memcpy(frame + at, payload, bytes);
    apn_packet_finish(frame + at - 8, bytes + 8, frame + at - 2, apn_pseudo_sum(&path->source, &path->dest, APN_PROTO_UDP, bytes + 8));
    return at + bytes;
}

static void fix_ip4(uint8_t *frame)
{
    uint16_t sum;

    memset(frame + 24, 0, 2);
    sum = (uint16_t)~apn_sum_fold(apn_sum(0, frame + 14, (frame[14] & 15u) * 4u));
    memcpy(frame + 24, &sum, 2);
}

static enum apn_drop parse(const uint8_t *frame, uint32_t bytes)
{
    struct apn_packet p;
    /* exactly as long as it says: reading behind it is found by a sanitizer */
    uint8_t *copy = malloc(bytes ? bytes : 1);
    enum apn_drop drop;

    memcpy(copy, frame, bytes);
    drop = apn_packet_parse(copy, bytes, 0, &p);
    if (!drop) {
        assert_true(p.message_at + p.message_bytes <= bytes);
    }
    free(copy);
    return drop;
}

static void sums_agree_with_the_plain_way(void **state)
{
    uint8_t bytes[3000];

    (void)state;
    srand(7);
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)rand();
    }
    for (unsigned length = 0; length < 200; length++) {
        for (unsigned at = 0; at < 3; at++) {
            uint32_t plain = 0;

            for (unsigned i = 0; i < length; i++) {
                plain += i & 1 ? bytes[at + i] : (uint32_t)bytes[at + i] << 8;
            }
            while (plain >> 16) {
                plain = (plain & 0xffff) + (plain >> 16);
            }
            uint16_t folded = apn_sum_fold(apn_sum(0, bytes + at, length));
            assert_int_equal(apn_get16((const uint8_t *)&folded), plain);
            /* in pieces of even length */
            folded = apn_sum_fold(apn_sum(apn_sum(0, bytes + at, length / 4 * 2), bytes + at + length / 4 * 2, length - length / 4 * 2));
            assert_int_equal(apn_get16((const uint8_t *)&folded), plain);
        }
    }
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(apn_sum_fold(apn_sum(0, bytes, sizeof(bytes))), 0xffff);
}

static void a_hand_made_echo_is_read(void **state)
{
    struct apn_packet p;

    (void)state;
    assert_int_equal(apn_packet_parse(echo4, sizeof(echo4), 0, &p), APN_DROP_NONE);
    assert_int_equal(p.kind, APN_PACKET_ICMP4);
    assert_int_equal(p.message_at, 34);
    assert_int_equal(p.message_bytes, 8);
    assert_memory_equal(p.source.bytes, ((uint8_t[]){192, 0, 2, 1}), 4);
    assert_int_equal(p.hops, 64);
}

static void what_is_made_is_read_back(void **state)
{
    const struct apn_path *paths[] = {&path4, &path6};
    uint8_t frame[2000], payload[1500];
    struct apn_packet p;

    (void)state;
    memset(payload, 0x5c, sizeof(payload));
    for (unsigned i = 0; i < 2; i++) {
        for (uint32_t bytes = 0; bytes < 1400; bytes += 1 + bytes / 7) {
            uint32_t length = make_udp(frame, paths[i], payload, bytes);

            assert_int_equal(apn_packet_parse(frame, length, 0, &p), APN_DROP_NONE);
            assert_int_equal(p.kind, APN_PACKET_UDP);
            assert_int_equal(p.message_bytes, bytes);
            assert_memory_equal(frame + p.message_at, payload, bytes);
            assert_int_equal(p.source_port, 4660);
            assert_int_equal(p.dest_port, 4444);
            assert_true(apn_ip_equal(&p.dest, &paths[i]->dest) && apn_ip_equal(&p.source, &paths[i]->source));
            assert_int_equal(p.tos, paths[i]->tos);
            /* Ethernet pads short frames */
            memset(frame + length, 0xaa, 60);
            assert_int_equal(apn_packet_parse(frame, length + 60, 0, &p), APN_DROP_NONE);
            assert_int_equal(p.message_bytes, bytes);
        }
    }
}

static void every_shorter_frame_is_short(void **state)
{
    const struct apn_path *paths[] = {&path4, &path6};
    uint8_t frame[200];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t length = make_udp(frame, paths[i], "abc", 3);

        for (uint32_t n = 0; n < length; n++) {
            assert_int_equal(parse(frame, n), APN_DROP_SHORT);
        }
    }
    for (uint32_t n = 0; n < sizeof(echo4); n++) {
        assert_int_equal(parse(echo4, n), APN_DROP_SHORT);
    }
}

static void one_wrong_bit_is_found(void **state)
{
    const struct apn_path *paths[] = {&path4, &path6};
    uint8_t frame[200];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t length = make_udp(frame, paths[i], "abcdef", 6), first = i ? 22 : 14; /* addresses and all behind; IPv6's first bytes have no sum */

        for (uint32_t at = first; at < length; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                frame[at] ^= (uint8_t)(1u << bit);
                assert_int_not_equal(parse(frame, length), APN_DROP_NONE);
                frame[at] ^= (uint8_t)(1u << bit);
            }
        }
        assert_int_equal(parse(frame, length), APN_DROP_NONE);
    }
}

static void checksums_that_are_none(void **state)
{
    uint8_t frame[200];
    uint32_t length = make_udp(frame, &path4, "abc", 3);
    struct apn_packet p;
    uint16_t partial;

    (void)state;
    frame[40] = frame[41] = 0;
    assert_int_equal(parse(frame, length), APN_DROP_NONE); /* RFC 768: not summed */
    frame[44] ^= 1;
    frame[41] = 1;
    assert_int_equal(parse(frame, length), APN_DROP_CHECKSUM);
    assert_int_equal(apn_packet_parse(frame, length, APN_KNOWN_IP_GOOD | APN_KNOWN_L4_GOOD, &p), APN_DROP_NONE); /* the adapter says so */
    partial = apn_sum_fold(apn_pseudo_sum(&path4.source, &path4.dest, APN_PROTO_UDP, 11));
    memcpy(frame + 40, &partial, 2);
    assert_int_equal(parse(frame, length), APN_DROP_CHECKSUM_PARTIAL);
    length = make_udp(frame, &path6, "abc", 3);
    frame[60] = frame[61] = 0;
    assert_int_equal(parse(frame, length), APN_DROP_CHECKSUM); /* RFC 8200: must be summed */
    /* a sum of 0 is sent as ffff */
    for (uint32_t i = 0; i < 65536; i++) {
        const uint8_t two[2] = {(uint8_t)(i >> 8), (uint8_t)i};

        length = make_udp(frame, &path4, two, 2);
        assert_true(frame[40] || frame[41]);
        if (frame[40] == 0xff && frame[41] == 0xff) {
            assert_int_equal(parse(frame, length), APN_DROP_NONE);
            return;
        }
    }
    fail_msg("no payload sums to zero?");
}

static void fragments_are_refused(void **state)
{
    const uint16_t fields[] = {0x2000, 0x0001, 0x1fff, 0x3000};
    uint8_t frame[200];
    uint32_t length = make_udp(frame, &path4, "abc", 3);

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        apn_put16(frame + 20, fields[i]);
        fix_ip4(frame);
        assert_int_equal(parse(frame, length), APN_DROP_FRAGMENT);
    }
    length = make_udp(frame, &path6, "abcdefgh", 8);
    frame[20] = 44;
    assert_int_equal(parse(frame, length), APN_DROP_FRAGMENT);
}

static void headers_that_lie(void **state)
{
    uint8_t frame[200];
    uint32_t length = make_udp(frame, &path4, "abc", 3);

    (void)state;
    frame[14] = 0x44; /* header of 16 bytes */
    assert_int_equal(parse(frame, length), APN_DROP_MALFORMED);
    frame[14] = 0x65;
    assert_int_equal(parse(frame, length), APN_DROP_MALFORMED);
    frame[14] = 0x4f; /* options of 40 bytes, of which there are less */
    fix_ip4(frame);
    assert_int_equal(parse(frame, length), APN_DROP_MALFORMED);
    frame[14] = 0x45;
    apn_put16(frame + 16, 19);
    fix_ip4(frame);
    assert_int_equal(parse(frame, length), APN_DROP_MALFORMED);
    apn_put16(frame + 16, 1500);
    fix_ip4(frame);
    assert_int_equal(parse(frame, length), APN_DROP_SHORT);
    length = make_udp(frame, &path4, "abc", 3);
    apn_put16(frame + 38, 7);
    assert_int_equal(parse(frame, length), APN_DROP_MALFORMED);
    apn_put16(frame + 38, 12);
    assert_int_equal(parse(frame, length), APN_DROP_SHORT);
    length = make_udp(frame, &path4, "abc", 3);
    frame[26] = 239; /* from a group */
    fix_ip4(frame);
    assert_int_equal(parse(frame, length), APN_DROP_MALFORMED);
    frame[6] = 1; /* from an Ethernet group */
    assert_int_equal(parse(frame, length), APN_DROP_MALFORMED);
    length = make_udp(frame, &path4, "abc", 3);
    apn_put16(frame + 12, 0x8100);
    assert_int_equal(parse(frame, length), APN_DROP_UNKNOWN);
}

/* hop-by-hop options before UDP; then too many of them, and one that is longer than the packet */
static void extension_headers_are_walked_a_little(void **state)
{
    uint8_t frame[300], udp[11];
    uint32_t length = make_udp(frame, &path6, "abc", 3), at;

    (void)state;
    memcpy(udp, frame + 54, sizeof(udp));
    for (unsigned n = 1; n <= 6; n++) {
        at = 54;
        for (unsigned i = 0; i < n; i++, at += 8) {
            memset(frame + at, 0, 8);
            frame[at] = i + 1 == n ? APN_PROTO_UDP : 60;
        }
        memcpy(frame + at, udp, sizeof(udp));
        frame[20] = 60;
        apn_put16(frame + 18, at + 11 - 54);
        length = at + 11;
        assert_int_equal(parse(frame, length), n <= APN_EXTENSIONS_MAX ? APN_DROP_NONE : APN_DROP_MALFORMED);
    }
    frame[55] = 200;
    assert_int_equal(parse(frame, length), APN_DROP_SHORT);
    frame[20] = 43;
    frame[55] = 0;
    frame[57] = 1; /* a route that goes on */
    assert_int_equal(parse(frame, length), APN_DROP_NOT_OURS);
}

static void addresses_are_compared_by_prefix(void **state)
{
    struct apn_ip a, b, group;
    uint8_t mac[6];

    (void)state;
    assert_int_equal(apn_ip_parse("10.1.2.3", &a), 0);
    assert_int_equal(apn_ip_parse("10.1.3.3", &b), 0);
    assert_true(apn_ip_in(&a, &b, 23) && !apn_ip_in(&a, &b, 24) && apn_ip_in(&a, &b, 0) && !apn_ip_in(&a, &b, 32) && apn_ip_in(&a, &a, 32));
    assert_int_equal(apn_ip_parse("2001:db8::1", &b), 0);
    assert_false(apn_ip_in(&a, &b, 0));
    assert_int_equal(apn_ip_parse("10.1.2", &b), -22);
    assert_int_equal(apn_ip_parse("", &b), -22);
    assert_int_equal(apn_ip_parse("2001:db8::12:3456", &a), 0);
    apn_solicited_node(&a, &group);
    apn_multicast_mac(&group, mac);
    assert_memory_equal(mac, ((uint8_t[]){0x33, 0x33, 0xff, 0x12, 0x34, 0x56}), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_agree_with_the_plain_way),
        cmocka_unit_test(a_hand_made_echo_is_read),
        cmocka_unit_test(what_is_made_is_read_back),
        cmocka_unit_test(every_shorter_frame_is_short),
        cmocka_unit_test(one_wrong_bit_is_found),
        cmocka_unit_test(checksums_that_are_none),
        cmocka_unit_test(fragments_are_refused),
        cmocka_unit_test(headers_that_lie),
        cmocka_unit_test(extension_headers_are_walked_a_little),
        cmocka_unit_test(addresses_are_compared_by_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
