/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zero_page.c - every variant finds every single set bit, and spans end where they must */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apnmig/region.h>

#include "pages/zero_page.h"

static const char *const variants[] = {"avx2", "sse2", "portable"};
#define VARIANTS   (sizeof(variants) / sizeof(variants[0]))
#define SPAN_PAGES 512u /* one granule */

static uint8_t *pages_new(size_t count)
{
    uint8_t *pages = aligned_alloc(APN_PAGE_SIZE, count * APN_PAGE_SIZE);

    assert_non_null(pages);
    memset(pages, 0, count * APN_PAGE_SIZE);
    return pages;
}

static void each_bit_is_seen(void **state)
{
    uint8_t *page = pages_new(1);

    (void)state;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (apn_zero_page_force(variants[v])) {
            print_message("variant %s: not on this processor\n", variants[v]);
            continue;
        }
        assert_string_equal(apn_zero_page_variant(), variants[v]);
        assert_true(apn_page_is_zero(page));
        for (size_t bit = 0; bit < APN_PAGE_SIZE * 8; bit++) {
            page[bit / 8] = (uint8_t)(1u << bit % 8);
            assert_false(apn_page_is_zero(page));
            page[bit / 8] = 0;
        }
    }
    assert_int_equal(apn_zero_page_force(NULL), 0);
    free(page);
}

static void neighbours_do_not_count(void **state)
{
    uint8_t *pages = pages_new(3);

    (void)state;
    pages[APN_PAGE_SIZE - 1] = 1;
    pages[2 * APN_PAGE_SIZE] = 1;
    for (size_t v = 0; v < VARIANTS; v++) {
        if (!apn_zero_page_force(variants[v])) {
            assert_true(apn_page_is_zero(pages + APN_PAGE_SIZE));
        }
    }
    assert_int_equal(apn_zero_page_force(NULL), 0);
    free(pages);
}

static void spans_end_at_the_first_other_page(void **state)
{
    uint8_t *pages = pages_new(SPAN_PAGES);
    const size_t all = (size_t)SPAN_PAGES * APN_PAGE_SIZE;

    (void)state;
    assert_int_equal(apn_zero_span(pages, 0), 0);
    assert_int_equal(apn_data_span(pages, 0), 0);
    assert_int_equal(apn_zero_span(pages, all), all);
    assert_int_equal(apn_data_span(pages, all), 0);
    for (size_t i = 0; i < SPAN_PAGES; i++) { /* data in front, zeroes behind */
        assert_int_equal(apn_data_span(pages, all), i * APN_PAGE_SIZE);
        pages[i * APN_PAGE_SIZE + (i * 37) % APN_PAGE_SIZE] = 0x80;
        assert_int_equal(apn_zero_span(pages, all), 0);
    }
    assert_int_equal(apn_data_span(pages, all), all);
    for (size_t i = 0; i < SPAN_PAGES; i++) { /* zeroes in front, data behind */
        assert_int_equal(apn_zero_span(pages, all), i * APN_PAGE_SIZE);
        memset(pages + i * APN_PAGE_SIZE, 0, APN_PAGE_SIZE);
    }
    free(pages);
}

static void unknown_variant_is_refused(void **state)
{
    (void)state;
    assert_int_equal(apn_zero_page_force("mmx"), -ENOENT);
    assert_non_null(apn_zero_page_variant());
}

struct writer {
    uint8_t *page;
    atomic_bool stop;
};

__attribute__((no_sanitize("thread"))) static void *write_live(void *opaque)
{
    struct writer *w = opaque;

    for (unsigned i = 0; !atomic_load(&w->stop); i++) {
        *(volatile uint8_t *)&w->page[2048] = (uint8_t)(i | 1);
    }
    return NULL;
}

/* A byte that is never zero is never missed while it changes; the sanitizer must not mind the race.
 */
static void live_memory_is_safe_to_scan(void **state)
{
    struct writer w = {.page = pages_new(1)};
    pthread_t thread;

    (void)state;
    w.page[2048] = 1;
    assert_int_equal(pthread_create(&thread, NULL, write_live, &w), 0);
    for (unsigned i = 0; i < 20000; i++) {
        assert_false(apn_page_is_zero(w.page));
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    free(w.page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bit_is_seen),
        cmocka_unit_test(neighbours_do_not_count),
        cmocka_unit_test(spans_end_at_the_first_other_page),
        cmocka_unit_test(unknown_variant_is_refused),
        cmocka_unit_test(live_memory_is_safe_to_scan),
    };
    return cmocka_run_group_tests_name("zero_page", tests, NULL, NULL);
}
