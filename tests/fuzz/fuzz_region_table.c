/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_region_table.c - any REGIONS payload: entries stay within the capacity, names are strings,
 * accepted tables encode to the same bytes */
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define CAPACITY 64u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct apn_region regions[CAPACITY];
    static uint8_t again[APN_CONTROL_MAX];
    struct apn_error err = {0};
    size_t used = 0;
    int entries;

    if (length > APN_CONTROL_MAX) {
        return 0; /* no message carries more */
    }
    memset(regions, 0, sizeof(regions));
    entries = apn_region_table_decode(bytes, length, regions, CAPACITY, &err);
    if (entries < 0) {
        if (!err.code) {
            abort();
        }
        return 0;
    }
    if ((unsigned)entries > CAPACITY) {
        abort();
    }
    for (unsigned i = 0; i < CAPACITY; i++) {
        if (strnlen(regions[i].name, sizeof(regions[i].name)) > APN_REGION_NAME_MAX ||
            regions[i].host) {
            abort();
        }
    }
    for (unsigned first = 0; entries > 0 && first < CAPACITY; first++) {
        if (regions[first].length) {
            if (apn_region_table_encode(regions, first + (unsigned)entries, first, again,
                                        sizeof(again), &used) != (unsigned)entries ||
                used != length || memcmp(again, bytes, used)) {
                abort();
            }
            break;
        }
    }
    return 0;
}
