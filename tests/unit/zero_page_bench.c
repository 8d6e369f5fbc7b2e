/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zero_page_bench.c - how fast each variant scans: zero pages beyond the caches, and pages with
 * contents Prints one JSON line per variant; medians of REPEATS. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apnmig/region.h>

#include "pages/zero_page.h"
#include "support/clock.h"

#define SCAN_BYTES ((size_t)256 << 20)
#define REPEATS    5

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median_gib_per_s(const uint8_t *memory, bool zero)
{
    double figure[REPEATS];

    for (int r = 0; r < REPEATS; r++) {
        uint64_t start = apn_clock_now(&apn_clock_monotonic);
        size_t done = zero ? apn_zero_span(memory, SCAN_BYTES) : apn_data_span(memory, SCAN_BYTES);
        uint64_t ns = apn_clock_now(&apn_clock_monotonic) - start;

        if (done != SCAN_BYTES) {
            fprintf(stderr, "zero_page_bench: scanned %zu of %zu bytes\n", done, SCAN_BYTES);
            exit(1);
        }
        figure[r] = (double)SCAN_BYTES / (1u << 30) / ((double)ns / 1e9);
    }
    qsort(figure, REPEATS, sizeof(figure[0]), by_value);
    return figure[REPEATS / 2];
}

int main(void)
{
    static const char *const variants[] = {"avx2", "sse2", "portable"};
    uint8_t *memory = aligned_alloc(APN_GRANULE_SIZE, SCAN_BYTES);

    if (!memory) {
        return 77;
    }
    for (size_t v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
        double zero, data;

        if (apn_zero_page_force(variants[v])) {
            continue;
        }
        memset(memory, 0, SCAN_BYTES);
        zero = median_gib_per_s(memory, true);
        for (size_t page = 0; page < SCAN_BYTES; page += APN_PAGE_SIZE) {
            memory[page + 8 * (page / APN_PAGE_SIZE % 16)] =
                1; /* in the first 128 bytes, as usual */
        }
        data = median_gib_per_s(memory, false);
        printf("{\"schema\":\"apn-zero-page/1\",\"variant\":\"%s\",\"zero_gib_per_s\":%.2f,"
               "\"data_gib_per_s\":%.2f}\n",
               variants[v], zero, data);
    }
    free(memory);
    return 0;
}
