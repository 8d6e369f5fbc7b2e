/* SPDX-License-Identifier: GPL-2.0-or-later */
/* postcopy_pending.c - unit tests: every page once, around the last fault */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/postcopy_pending.h"

#define SMALL 10000u /* pages, no multiple of a granule */
#define HUGE  2048u

static void setup(struct apn_pending *p)
{
    struct apn_region regions[2] = {{.name = "small", .length = (uint64_t)SMALL * APN_PAGE_SIZE, .page_size = APN_PAGE_SIZE},
                                    {.name = "huge", .length = (uint64_t)HUGE * APN_PAGE_SIZE, .page_size = 2u << 20}};

    assert_int_equal(apn_pending_init(p, regions, 2), 0);
}

static void nothing(void **state)
{
    struct apn_pending p;
    unsigned region;
    uint64_t page;

    (void)state;
    setup(&p);
    assert_int_equal(apn_pending_take(&p, 16, &region, &page), 0);
    apn_pending_focus(&p, 1, HUGE - 1);
    assert_int_equal(apn_pending_take(&p, 16, &region, &page), 0);
    assert_int_equal(apn_pending_claim(&p, 0, SMALL - 1, 1), 0);
    apn_pending_done(&p);
    apn_pending_done(&p);
}

/* 3 runs up, 1 down, whatever is added, claimed and focused meanwhile: each page comes exactly once */
static void each_page_once(void **state)
{
    static uint8_t seen[SMALL + HUGE];
    struct apn_pending p;
    uint64_t random = 7, claimed = 0, taken = 0;
    unsigned region;
    uint64_t page;
    uint32_t n;

    (void)state;
    setup(&p);
    apn_pending_add(&p, 0, 0, SMALL);
    apn_pending_add(&p, 0, 5, 100); /* twice is once */
    apn_pending_add(&p, 1, 0, HUGE);
    assert_int_equal(p.count, SMALL + HUGE);
    while ((n = apn_pending_take(&p, 16, &region, &page))) {
        assert_true(region ? n == 512 && page % 512 == 0 : n <= 16);
        assert_true(page / 512 == (page + n - 1) / 512); /* inside one granule */
        for (uint64_t i = 0; i < n; i++) {
            assert_int_equal(seen[(region ? SMALL : 0) + page + i]++, 0);
        }
        taken += n;
        random = random * 6364136223846793005u + 1442695040888963407u;
        page = random >> 33;
        if (page % 3 == 0) {
            page = page / 3 % SMALL;
            if (apn_pending_claim(&p, 0, page, 1)) {
                assert_int_equal(seen[page]++, 0);
                claimed++;
            }
            apn_pending_focus(&p, 0, page);
        }
    }
    assert_int_equal(taken + claimed, SMALL + HUGE);
    assert_int_equal(p.count, 0);
    apn_pending_done(&p);
}

static void around_the_fault(void **state)
{
    struct apn_pending p;
    unsigned region;
    uint64_t page, want[] = {5000, 5016, 4984, 5032, 5048, 5064, 4968};

    (void)state;
    setup(&p);
    apn_pending_add(&p, 0, 0, SMALL);
    p.turn = 1; /* two upwards are left before one downwards */
    apn_pending_focus(&p, 0, 5000);
    for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(apn_pending_take(&p, 16, &region, &page) > 0);
        assert_in_range(page, want[i] - 16, want[i] + 16);
    }
    /* what lies below a fault at the very beginning is nothing: upwards all the time, and round to what is left */
    apn_pending_focus(&p, 0, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(apn_pending_take(&p, 16, &region, &page) > 0);
        assert_int_equal(page, 16 * i);
    }
    /* nothing left behind the focus: on to the next region, then back to the first one's beginning */
    assert_int_equal(apn_pending_claim(&p, 0, 6000, SMALL - 6000), SMALL - 6000);
    apn_pending_add(&p, 1, 512, 512);
    apn_pending_focus(&p, 0, 6000);
    p.turn = 0;
    assert_int_equal(apn_pending_take(&p, 16, &region, &page), 512);
    assert_int_equal(region, 1);
    assert_true(apn_pending_take(&p, 16, &region, &page) > 0);
    assert_int_equal(region, 0);
    apn_pending_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing),
        cmocka_unit_test(each_page_once),
        cmocka_unit_test(around_the_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
