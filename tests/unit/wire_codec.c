/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire_codec.c - message headers: check value, round trips, and every rule of apn_msg_validate()
 * broken once */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/codec.h"

/* RFC 3720 appendix B.4: 32 bytes of zeroes, of ones, ascending, descending; and the classic check
 * string */
static void crc_known_answers(void **state)
{
    uint8_t zero[32] = {0}, ones[32], up[32], down[32];

    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(apn_crc32c(0, zero, 32), 0x8a9136aa);
    assert_int_equal(apn_crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(apn_crc32c(0, up, 32), 0x46dd794e);
    assert_int_equal(apn_crc32c(0, down, 32), 0x113fdb5c);
    assert_int_equal(apn_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(apn_crc32c_portable(0, "123456789", 9), 0xe3069283);
}

static void crc_paths_agree_and_chain(void **state)
{
    uint8_t bytes[257];
    uint32_t x = 1;

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(x >> 24);
    }
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint32_t whole = apn_crc32c(0, bytes, length);

        assert_int_equal(whole, apn_crc32c_portable(0, bytes, length));
        assert_int_equal(whole, apn_crc32c(apn_crc32c(0, bytes, length / 3), bytes + length / 3,
                                           length - length / 3));
    }
}

static const struct apn_msg good[] = {
    {.type = APN_MSG_EXTENT,
     .kind = APN_EXTENT_DATA,
     .region = 1023,
     .bytes = 262144,
     .span = 262144,
     .offset = 4096},
    {.type = APN_MSG_EXTENT, .kind = APN_EXTENT_ZERO, .span = 4096, .offset = 1ull << 50},
    {.type = APN_MSG_STREAM, .bytes = 65536, .offset = 12345, .value = 7},
    {.type = APN_MSG_FENCE, .lane = 31, .offset = 7},
    {.type = APN_MSG_REGIONS, .bytes = 65536, .offset = 3, .value = 1024},
    {.type = APN_MSG_REGIONS_OK},
    {.type = APN_MSG_PREFAULT, .region = 2, .offset = 8192, .value = 2u << 20},
    {.type = APN_MSG_READY},
    {.type = APN_MSG_GRANT, .value = UINT64_MAX},
    {.type = APN_MSG_STARTED},
    {.type = APN_MSG_WONT, .bytes = 20},
    {.type = APN_MSG_ABORT},
    {.type = APN_MSG_RETIRE, .lane = 31},
    {.type = APN_MSG_RETIRED, .lane = 3, .value = 1ull << 40},
    {.type = APN_MSG_BYE},
    {.type = APN_MSG_POSTCOPY_REQUEST},
    {.type = APN_MSG_POSTCOPY_REQUEST, .region = 1023, .span = 2u << 20, .offset = 2u << 20},
    {.type = APN_MSG_POSTCOPY_REQUEST, .region = 1, .span = 4096, .offset = 8192, .value = 1},
    {.type = APN_MSG_POSTCOPY_PAGE, .kind = APN_EXTENT_DATA, .region = 3, .bytes = 65536, .span = 65536, .offset = 4096},
    {.type = APN_MSG_POSTCOPY_PAGE, .kind = APN_EXTENT_ZERO, .span = 4096, .offset = 1ull << 50},
    {.type = APN_MSG_APPLIED, .span = 1000, .offset = 1ull << 40, .value = 77},
    {.type = APN_MSG_PING, .offset = 1, .value = 2},
    {.type = APN_MSG_PONG, .offset = 1, .value = 2},
};

static void round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint8_t bytes[APN_WIRE_HEADER_BYTES];
        struct apn_msg out;
        struct apn_error err = {0};

        apn_msg_encode(&good[i], bytes);
        assert_int_equal(apn_msg_decode(bytes, &out, &err), 0);
        assert_int_equal(out.type, good[i].type);
        assert_int_equal(out.kind, good[i].kind);
        assert_int_equal(out.region, good[i].region);
        assert_int_equal(out.lane, good[i].lane);
        assert_int_equal(out.bytes, good[i].bytes);
        assert_int_equal(out.span, good[i].span);
        assert_int_equal(out.offset, good[i].offset);
        assert_int_equal(out.value, good[i].value);
        assert_null(out.payload);
    }
}

/* byte for byte, so that an accidental change of the layout cannot pass as a round trip */
static void layout_is_fixed(void **state)
{
    static const uint8_t expected[36] = {
        1,    1,    0x02, 0x01, 0,    0,    0, 0, /* type, kind, region, lane, reserved */
        0x00, 0x10, 0,    0,    0x00, 0x10, 0, 0, /* length, span */
        0x00, 0x70, 0x56, 0x34, 0x12, 0,    0, 0, /* offset */
    };
    const struct apn_msg msg = {.type = APN_MSG_EXTENT,
                                .kind = APN_EXTENT_DATA,
                                .region = 0x102,
                                .bytes = 4096,
                                .span = 4096,
                                .offset = 0x1234567000};
    uint8_t bytes[APN_WIRE_HEADER_BYTES];
    uint32_t check = apn_crc32c(0, expected, sizeof(expected));

    (void)state;
    apn_msg_encode(&msg, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(bytes[36 + i], (check >> 8 * i) & 0xff);
    }
}

static void every_flipped_bit_is_noticed(void **state)
{
    uint8_t bytes[APN_WIRE_HEADER_BYTES];

    (void)state;
    apn_msg_encode(&good[0], bytes);
    for (unsigned bit = 0; bit < 8 * APN_WIRE_HEADER_BYTES; bit++) {
        struct apn_msg out;
        struct apn_error err = {0};

        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(apn_msg_decode(bytes, &out, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "check value"));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void reserved_must_be_zero(void **state)
{
    struct apn_wire_header header = {.type = APN_MSG_BYE, .reserved2 = 5};
    struct apn_msg out;
    struct apn_error err = {0};

    (void)state;
    header.check = apn_crc32c(0, &header, 36);
    assert_int_equal(apn_msg_decode((const uint8_t *)&header, &out, &err), -EPROTO);
    assert_string_equal(err.text, "message BYE: reserved field 5, must be 0");
}

static void broken_rules(void **state)
{
    static const struct {
        struct apn_msg msg;
        const char *text; /* part of the message */
    } cases[] = {
        {{.type = 0}, "type 0: unknown"},
        {{.type = 17}, "type 17: unknown"},
        {{.type = 31}, "type 31: unknown"},
        {{.type = 35}, "type 35: unknown"},
        {{.type = 255}, "type 255: unknown"},
        {{.type = APN_MSG_EXTENT, .kind = 1}, "span 0, must be"},
        {{.type = APN_MSG_EXTENT, .kind = 1, .span = 266240, .bytes = 266240},
         "payload length 266240, must be 262144 at most"},
        {{.type = APN_MSG_EXTENT, .kind = 2, .span = 266240}, "span 266240"},
        {{.type = APN_MSG_EXTENT, .kind = 1, .span = 4097, .bytes = 4097}, "span 4097"},
        {{.type = APN_MSG_EXTENT, .kind = 1, .span = 8192, .bytes = 4096}, "equal to the span"},
        {{.type = APN_MSG_EXTENT, .kind = 2, .span = 8192, .bytes = 4096}, "0 for kind ZERO"},
        {{.type = APN_MSG_EXTENT, .kind = 0, .span = 4096, .bytes = 4096}, "kind 0, must be 1"},
        {{.type = APN_MSG_EXTENT, .kind = 3, .span = 4096}, "kind 3, must be 1"},
        {{.type = APN_MSG_EXTENT, .kind = 2, .span = 4096, .offset = 1},
         "offset 1, must be a multiple"},
        {{.type = APN_MSG_EXTENT, .kind = 2, .span = 8192, .offset = UINT64_MAX - 4095},
         "below 2^64"},
        {{.type = APN_MSG_EXTENT, .kind = 2, .span = 4096, .region = 1024},
         "region 1024, must be below 1024"},
        {{.type = APN_MSG_EXTENT, .kind = 2, .span = 4096, .lane = 1},
         "lane 1, must be 0 (unused)"},
        {{.type = APN_MSG_EXTENT, .kind = 2, .span = 4096, .value = 1},
         "value 1, must be 0 (unused)"},
        {{.type = APN_MSG_STREAM}, "payload length 0"},
        {{.type = APN_MSG_STREAM, .bytes = 65537}, "payload length 65537, must be 65536 at most"},
        {{.type = APN_MSG_STREAM, .bytes = 2, .offset = UINT64_MAX}, "below 2^64"},
        {{.type = APN_MSG_STREAM, .bytes = 2, .region = 1}, "region 1, must be 0"},
        {{.type = APN_MSG_FENCE, .lane = 32, .offset = 1}, "lane 32, must be below 32"},
        {{.type = APN_MSG_FENCE, .lane = 1}, "fence id 0, must be 1 at least"},
        {{.type = APN_MSG_FENCE, .offset = 1, .span = 4}, "span 4, must be 0 (unused)"},
        {{.type = APN_MSG_REGIONS, .value = 1025}, "regions 1025"},
        {{.type = APN_MSG_REGIONS, .value = 2, .offset = 3}, "first index 3"},
        {{.type = APN_MSG_PREFAULT, .value = 0}, "bytes 0"},
        {{.type = APN_MSG_PREFAULT, .value = 100}, "bytes 100"},
        {{.type = APN_MSG_PREFAULT, .value = 4096, .offset = UINT64_MAX - 4095}, "below 2^64"},
        {{.type = APN_MSG_READY, .kind = 1}, "kind 1, must be 0"},
        {{.type = APN_MSG_GRANT, .span = 1}, "span 1, must be 0"},
        {{.type = APN_MSG_STARTED, .bytes = 1}, "payload length 1, must be 0 at most"},
        {{.type = APN_MSG_RETIRE, .lane = 32}, "lane 32"},
        {{.type = APN_MSG_BYE, .offset = 1}, "offset 1, must be 0"},
        {{.type = APN_MSG_POSTCOPY_PAGE, .kind = 1, .span = 69632, .bytes = 69632}, "payload length 69632, must be 65536"},
        {{.type = APN_MSG_POSTCOPY_PAGE, .kind = 2, .span = 69632}, "span 69632, must be a multiple of 4096, 4096..65536"},
        {{.type = APN_MSG_POSTCOPY_PAGE, .kind = 1, .span = 8192, .bytes = 4096}, "equal to the span"},
        {{.type = APN_MSG_POSTCOPY_PAGE, .kind = 3, .span = 4096}, "kind 3, must be 1"},
        {{.type = APN_MSG_POSTCOPY_REQUEST, .span = 4097}, "span 4097"},
        {{.type = APN_MSG_POSTCOPY_REQUEST, .span = 4u << 20}, "2097152 at most"},
        {{.type = APN_MSG_POSTCOPY_REQUEST, .span = 4096, .offset = 1}, "offset 1, must be a multiple"},
        {{.type = APN_MSG_POSTCOPY_REQUEST, .offset = 4096}, "with a span of 0"},
        {{.type = APN_MSG_POSTCOPY_REQUEST, .span = 4096, .value = 2}, "value 2, must be 0, or 1"},
        {{.type = APN_MSG_POSTCOPY_REQUEST, .value = 1}, "value 1, must be 0, with a span of 0"},
        {{.type = APN_MSG_POSTCOPY_PAGE, .kind = 2, .span = 4096, .value = 1}, "value 1, must be 0 (unused)"},
        {{.type = APN_MSG_APPLIED, .bytes = 1}, "payload length 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct apn_error err = {0};

        assert_int_equal(apn_msg_validate(&cases[i].msg, &err), -EPROTO);
        if (!strstr(err.text, cases[i].text)) {
            fail_msg("case %zu: \"%s\" lacks \"%s\"", i, err.text, cases[i].text);
        }
        assert_int_equal(err.scope, APN_SCOPE_LANE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_known_answers),
        cmocka_unit_test(crc_paths_agree_and_chain),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(layout_is_fixed),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(reserved_must_be_zero),
        cmocka_unit_test(broken_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
