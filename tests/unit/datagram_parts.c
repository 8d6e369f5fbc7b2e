/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* datagram_parts.c - datagram lanes piece by piece: bytes there and back, what is refused, options, cookies */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/datagram/cookie.h"
#include "backend/datagram/datagram.h"
#include "backend/datagram/wire.h"
#include "wire/codec.h"

/* ---- bytes --------------------------------------------------------------------- */

static size_t put_part(uint8_t *at, const struct apn_msg *msg, uint16_t part, uint16_t parts, uint32_t piece, uint8_t kind)
{
    uint8_t header[APN_WIRE_HEADER_BYTES];
    struct apn_dg_part p = {.kind = kind, .part = part, .parts = parts, .message = 77, .piece = piece, .staged = 9, .header = header};

    apn_msg_encode(msg, header);
    apn_dg_part_encode(&p, at);
    return APN_DG_PART_BYTES;
}

static struct apn_dg_header sealed(uint8_t *datagram, size_t records, uint8_t flags)
{
    struct apn_dg_header h = {.type = APN_DG_LANE, .flags = flags, .record_bytes = (uint16_t)records, .connection = 0x1122334455667788ull,
                              .number = 1ull << 40, .age = 5, .stamp_us = 0xfffffff0};

    apn_dg_header_seal(&h, datagram);
    return h;
}

static void a_datagram_comes_back_as_it_was(void **state)
{
    static const struct apn_msg ping = {.type = APN_MSG_PING, .value = 3};
    static const struct apn_msg extent = {.type = APN_MSG_EXTENT, .kind = APN_EXTENT_DATA, .region = 2, .offset = 1 << 20, .span = 65536, .bytes = 65536};
    struct apn_dg_ack ack = {.hold_us = 1, .echo_us = 2, .marked = 3, .known = 90, .top = 100, .base = 1ull << 33, .delivered = 4,
                             .released = 5, .gaps = 2, .gap = {{0, 1}, {10, 80}}};
    uint8_t datagram[2048];
    size_t at = APN_DG_HEADER_BYTES;
    struct apn_dg_item item;
    struct apn_dg_header h, back;
    struct apn_dg_reader r;
    struct apn_error err = {0};

    (void)state;
    at += apn_dg_ack_encode(&ack, datagram + at, sizeof(datagram) - at);
    at += put_part(datagram + at, &ping, 0, 1, 0, APN_DG_PART);
    at += put_part(datagram + at, &extent, 7, 8, 8192, APN_DG_BULK);
    h = sealed(datagram, at - APN_DG_HEADER_BYTES, APN_DG_COUNTED);
    assert_int_equal(apn_dg_header_decode(datagram, at, &back), 0);
    assert_true(back.type == h.type && back.flags == h.flags && back.record_bytes == h.record_bytes && back.connection == h.connection &&
                back.number == h.number && back.age == h.age && back.stamp_us == h.stamp_us);
    apn_dg_reader_init(&r, datagram, &back, at + 8192);
    assert_int_equal(apn_dg_reader_next(&r, &item, &err), 1);
    assert_int_equal(item.kind, APN_DG_ACK);
    assert_true(item.ack.hold_us == 1 && item.ack.echo_us == 2 && item.ack.marked == 3 && item.ack.known == 90 && item.ack.top == 100 &&
                item.ack.base == ack.base && item.ack.delivered == 4 && item.ack.released == 5 && item.ack.gaps == 2);
    assert_memory_equal(item.ack.gap, ack.gap, 2 * sizeof(ack.gap[0]));
    assert_int_equal(apn_dg_reader_next(&r, &item, &err), 1);
    assert_int_equal(item.part.msg.type, APN_MSG_PING);
    assert_int_equal(item.part.message, 77);
    assert_int_equal(apn_dg_reader_next(&r, &item, &err), 1);
    assert_int_equal(item.kind, APN_DG_BULK);
    assert_int_equal(item.part.offset, 7 * 8192);
    assert_int_equal(item.part.bytes, 8192);
    assert_int_equal(apn_dg_reader_next(&r, &item, &err), 0);
}

static void damage_is_nobodys_fault(void **state)
{
    uint8_t datagram[APN_DG_HEADER_BYTES + APN_DG_CLOSE_BYTES];
    struct apn_dg_header h;

    (void)state;
    apn_dg_close_encode(-ESHUTDOWN, datagram + APN_DG_HEADER_BYTES);
    sealed(datagram, APN_DG_CLOSE_BYTES, 0);
    assert_int_equal(apn_dg_header_decode(datagram, sizeof(datagram), &h), 0);
    for (size_t i = 0; i < 8 * sizeof(datagram); i++) { /* any bit */
        datagram[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(apn_dg_header_decode(datagram, sizeof(datagram), &h), -EBADMSG);
        datagram[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t n = 0; n < sizeof(datagram); n++) { /* any shorter */
        assert_int_equal(apn_dg_header_decode(datagram, n, &h), -EBADMSG);
    }
}

/* the check value is right, what it covers is not: then it is the peer's fault */
static int read_all(uint8_t *datagram, size_t records, size_t behind, struct apn_error *err)
{
    struct apn_dg_item item;
    struct apn_dg_header h = sealed(datagram, records, APN_DG_COUNTED);
    struct apn_dg_reader r;
    int ret;

    apn_dg_reader_init(&r, datagram, &h, APN_DG_HEADER_BYTES + records + behind);
    while ((ret = apn_dg_reader_next(&r, &item, err)) > 0) {
    }
    return ret;
}

static void liars_are_told_apart(void **state)
{
    static const struct apn_msg stream = {.type = APN_MSG_STREAM, .bytes = 1000, .payload = "x"};
    static const struct {
        uint16_t part, parts;
        uint32_t piece;
        size_t behind;
    } lies[] = {
        {0, 0, 1000, 1000}, {1, 1, 1000, 1000}, {0, 257, 4, 4},   {0, 2, 1000, 1000}, {0, 1, 999, 999},
        {0, 3, 400, 399},   {2, 3, 400, 400},   {0, 1, 1000, 999}, {0, 1, 1000, 1001}, {0, 1, 0, 0},
        {1, 2, 0x80000000u, 1},
    };
    uint8_t datagram[2048], *at = datagram + APN_DG_HEADER_BYTES;
    struct apn_dg_ack ack = {.known = 9, .top = 8};

    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct apn_error err = {0};

        put_part(at, &stream, lies[i].part, lies[i].parts, lies[i].piece, APN_DG_BULK);
        assert_int_equal(read_all(datagram, APN_DG_PART_BYTES, lies[i].behind, &err), -EPROTO);
        assert_true(err.text[0]);
    }
    for (unsigned i = 0; i < 4; i++) {
        struct apn_error err = {0};
        size_t n;

        ack.top = i ? 20 : 8;
        ack.gaps = i ? 2 : 0;
        ack.gap[0] = (struct apn_dg_gap){3, i == 3 ? 0 : 2};
        ack.gap[1] = i == 1 ? (struct apn_dg_gap){5, 1} : (struct apn_dg_gap){8, i == 2 ? 2 : 1};
        n = apn_dg_ack_encode(&ack, at, 1000);
        assert_int_equal(read_all(datagram, n, 0, &err), -EPROTO);
        assert_true(err.text[0]);
    }
    at[0] = 9;
    assert_int_equal(read_all(datagram, 8, 0, &(struct apn_error){0}), -EPROTO);
}

static void gaps_that_do_not_fit_become_unknown(void **state)
{
    struct apn_dg_ack ack = {.known = 1000, .top = 1000, .gaps = APN_DG_GAPS_MAX};
    uint8_t datagram[2048];
    struct apn_dg_item item = {0};
    struct apn_dg_header h;
    struct apn_dg_reader r;
    size_t n;

    (void)state;
    for (unsigned i = 0; i < APN_DG_GAPS_MAX; i++) {
        ack.gap[i] = (struct apn_dg_gap){7 * i + 1, 2};
    }
    n = apn_dg_ack_encode(&ack, datagram + APN_DG_HEADER_BYTES, 48 + 8 * 10 + 7);
    assert_int_equal(n, 48 + 8 * 10);
    h = sealed(datagram, n, 0);
    apn_dg_reader_init(&r, datagram, &h, APN_DG_HEADER_BYTES + n);
    assert_int_equal(apn_dg_reader_next(&r, &item, &(struct apn_error){0}), 1);
    assert_int_equal(item.ack.gaps, 10);
    assert_int_equal(item.ack.known, 71); /* up to the gap that was left out */
    assert_int_equal(item.ack.top, 1000);
    assert_int_equal(apn_dg_ack_encode(&ack, datagram, 47), 0);
}

static void numbers_expand_to_the_nearest(void **state)
{
    (void)state;
    assert_true(apn_dg_expand(5, 3) == 5);
    assert_true(apn_dg_expand(0, 0xffffffffull) == 0x100000000ull);
    assert_true(apn_dg_expand(0xffffffff, 0x100000000ull) == 0xffffffffull);
    assert_true(apn_dg_expand(0x10, 0x7700000000ull) == 0x7700000010ull);
}

/* ---- options ---------------------------------------------------------------------- */

static int take_word(void *opaque, const char *word, struct apn_error *err)
{
    (void)opaque;
    return !strcmp(word, "port=0000:01:00.0") ? 0 : apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "%s", word);
}

static void options_are_read(void **state)
{
    static const char *const wrong[] = {",", "ceiling", "ceiling=", "ceiling=5", "ceiling=-1Gbit", "ceiling=1e9Gbit", "ceiling=nan",
                                        "floor=2Gbit,ceiling=1Gbit", "mtu=1279", "mtu=65536", "mtu=9000x", "shared,,shared", "own", "Shared",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct apn_datagram_options o;
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(apn_datagram_options_parse("", &o, NULL, NULL, &err), 0);
    assert_true(!o.shared && !o.ceiling_bytes_per_s && !o.floor_bytes_per_s && !o.datagram_max);
    assert_int_equal(apn_datagram_options_parse("ceiling=2.4Gbit,shared,mtu=9000,floor=100Mbit", &o, NULL, NULL, &err), 0);
    assert_true(o.shared && o.ceiling_bytes_per_s == 300000000 && o.floor_bytes_per_s == 12500000 && o.datagram_max == 8952);
    assert_int_equal(apn_datagram_options_parse("port=0000:01:00.0,shared", &o, take_word, NULL, &err), 0);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct apn_error why = {0};

        assert_int_equal(apn_datagram_options_parse(wrong[i], &o, i & 1 ? take_word : NULL, NULL, &why), -EINVAL);
        assert_true(why.text[0]);
    }
}

/* ---- cookies ------------------------------------------------------------------------ */

static void a_cookie_is_for_one_asker(void **state)
{
    const uint8_t key[2][APN_DG_KEY_BYTES] = {{1}, {2}};
    uint8_t hello[2][sizeof(struct apn_wire_hello)] = {{1}, {2}}, nonce[2][32], cookie[2][APN_DG_COOKIE_BYTES];
    struct apn_endpoint from = {.remote.in = {.sin_family = AF_INET, .sin_port = 7, .sin_addr = {9}}}, other = from, six = from;

    (void)state;
    other.remote.in.sin_port = 8;
    six.remote.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = 7, .sin6_addr = {.s6_addr = {9}}};
    assert_int_equal(apn_dg_cookie(key[0], &from, 5, 6, hello[0], nonce[0], cookie[0]), 0);
    assert_int_equal(apn_dg_cookie(key[0], &from, 5, 6, hello[0], nonce[1], cookie[1]), 0);
    assert_memory_equal(cookie[0], cookie[1], sizeof(cookie[0]));
    assert_memory_equal(nonce[0], nonce[1], sizeof(nonce[0]));
    assert_memory_not_equal(nonce[0], cookie[0], sizeof(cookie[0])); /* the cookie is sent in the clear */
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(apn_dg_cookie(key[i == 0], i == 1 ? &other : i == 5 ? &six : &from, 5 + (i == 2), 6 + (i == 3), hello[i == 4],
                                       nonce[1], cookie[1]), 0);
        assert_memory_not_equal(cookie[0], cookie[1], sizeof(cookie[0]));
        assert_memory_not_equal(nonce[0], nonce[1], sizeof(nonce[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_datagram_comes_back_as_it_was), cmocka_unit_test(damage_is_nobodys_fault),
        cmocka_unit_test(liars_are_told_apart),            cmocka_unit_test(gaps_that_do_not_fit_become_unknown),
        cmocka_unit_test(numbers_expand_to_the_nearest),   cmocka_unit_test(options_are_read),
        cmocka_unit_test(a_cookie_is_for_one_asker),
    };

    return cmocka_run_group_tests_name("datagram_parts", tests, NULL, NULL);
}
