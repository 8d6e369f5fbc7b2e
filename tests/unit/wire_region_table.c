/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire_region_table.c - REGIONS payloads: pieces, limits, hostile entries */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/codec.h"

#define MANY 900u

static void in_pieces(void **state)
{
    struct apn_region *from = calloc(MANY, sizeof(*from)), *to = calloc(MANY, sizeof(*to));
    uint8_t *piece = malloc(APN_CONTROL_MAX);
    unsigned first = 0, pieces = 0;

    (void)state;
    assert_true(from && to && piece);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(from[i].name, sizeof(from[i].name), "/objects/ram-%0*u", (int)(i % 230) + 1, i);
        from[i].page_size = i % 2 ? 4096 : 2u << 20;
        from[i].length = (uint64_t)from[i].page_size * (i + 1);
    }
    while (first < MANY) {
        struct apn_error err = {0};
        size_t bytes = 0;
        unsigned n = apn_region_table_encode(from, MANY, first, piece, APN_CONTROL_MAX, &bytes);

        assert_true(n > 0 && bytes <= APN_CONTROL_MAX);
        assert_int_equal(apn_region_table_decode(piece, bytes, to, MANY, &err), n);
        first += n;
        pieces++;
    }
    assert_true(pieces > 1);
    assert_memory_equal(from, to, MANY * sizeof(*from));
    free(from);
    free(to);
    free(piece);
}

static void longest_name_fits(void **state)
{
    struct apn_region from = {.length = 4096, .page_size = 4096}, to;
    struct apn_error err = {0};
    uint8_t bytes[sizeof(struct apn_wire_region) + APN_REGION_NAME_MAX];
    size_t used;

    (void)state;
    memset(from.name, 'x', APN_REGION_NAME_MAX);
    assert_int_equal(apn_region_table_encode(&from, 1, 0, bytes, sizeof(bytes) - 1, &used), 0);
    assert_int_equal(used, 0);
    assert_int_equal(apn_region_table_encode(&from, 1, 0, bytes, sizeof(bytes), &used), 1);
    assert_int_equal(apn_region_table_decode(bytes, used, &to, 1, &err), 1);
    assert_string_equal(to.name, from.name);
}

struct entry {
    uint64_t length;
    uint32_t page_size;
    uint16_t index;
    uint16_t name_bytes;
    const char *name;
};

static int decode_two(const struct entry *entries, unsigned count, size_t cut,
                      struct apn_error *err)
{
    struct apn_region *to = calloc(4, sizeof(*to));
    uint8_t *bytes = malloc(1024), *exact;
    size_t used = 0;
    int ret;

    assert_true(to && bytes);
    for (unsigned i = 0; i < count; i++) {
        struct apn_wire_region wire = {entries[i].length, entries[i].page_size, entries[i].index,
                                       entries[i].name_bytes};

        memcpy(bytes + used, &wire, sizeof(wire));
        memcpy(bytes + used + sizeof(wire), entries[i].name, strlen(entries[i].name));
        used += sizeof(wire) + strlen(entries[i].name);
    }
    exact = malloc(used - cut); /* exact size: AddressSanitizer sees a read behind it */
    assert_non_null(exact);
    memcpy(exact, bytes, used - cut);
    ret = apn_region_table_decode(exact, used - cut, to, 4, err);
    free(exact);
    free(bytes);
    free(to);
    return ret;
}

static void hostile_entries(void **state)
{
    static const struct {
        struct entry entries[2];
        unsigned count;
        size_t cut;
        const char *text;
    } cases[] = {
        {{{4096, 4096, 0, 3, "ram"}}, 1, 15, "entry 0 has 4 bytes, needs 16"},
        {{{4096, 4096, 0, 3, "ram"}}, 1, 1, "name of 3 bytes, 2 are left"},
        {{{4096, 4096, 0, 0, ""}}, 1, 0, "name of 0 bytes"},
        {{{4096, 4096, 0, 65535, "ram"}}, 1, 0, "name of 65535 bytes, 3 are left"},
        {{{4096, 4096, 4, 3, "ram"}}, 1, 0, "index must be below 4"},
        {{{4096, 2048, 0, 3, "ram"}}, 1, 0, "page size 2048"},
        {{{4096, 12288, 0, 3, "ram"}}, 1, 0, "page size 12288"},
        {{{0, 4096, 0, 3, "ram"}}, 1, 0, "length 0"},
        {{{4097, 4096, 0, 3, "ram"}}, 1, 0, "length 4097"},
        {{{4096, 4096, 0, 3, "r\nm"}}, 1, 0, "name byte 1 is 0x0a"},
        {{{4096, 4096, 0, 3, "ram"}, {4096, 4096, 0, 3, "rom"}},
         2,
         0,
         "entry 1 has index 0, must be 1"},
        {{{4096, 4096, 0, 3, "ram"}, {4096, 4096, 2, 3, "rom"}},
         2,
         0,
         "entry 1 has index 2, must be 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct apn_error err = {0};

        assert_int_equal(decode_two(cases[i].entries, cases[i].count, cases[i].cut, &err), -EPROTO);
        if (!strstr(err.text, cases[i].text)) {
            fail_msg("case %zu: \"%s\" lacks \"%s\"", i, err.text, cases[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_pieces),
        cmocka_unit_test(longest_name_fits),
        cmocka_unit_test(hostile_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
