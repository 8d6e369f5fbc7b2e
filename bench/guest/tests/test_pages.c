/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pages.c - every kind of damage is found, rates are kept, parameters are checked */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "workload.h"

#define MS INT64_C(1000000)

static unsigned reports, passes, asked_passes;
static enum guest_fault last_fault;
static uint32_t last_index;

static void note_report(uint32_t index, enum guest_fault fault, const struct guest_workload *workload)
{
    (void)workload;
    reports++;
    last_index = index;
    last_fault = fault;
}

static void note_passed(bool asked, const struct guest_workload *workload)
{
    (void)workload;
    passes += !asked;
    asked_passes += asked;
}

static int make(void **state)
{
    static struct guest_workload workload;

    workload = (struct guest_workload){.report = note_report, .passed = note_passed};
    workload.params = (struct guest_params){.mib = 2, .hot = 1, .seed = 5};
    reports = passes = asked_passes = 0;
    *state = &workload;
    return guest_workload_init(&workload);
}

static int unmake(void **state)
{
    guest_workload_done(*state);
    return 0;
}

static void check_all(struct guest_workload *workload, int64_t now)
{
    guest_workload_ask(workload);
    for (int i = 0; i < 1000 && workload->asked_left > 0; i++) {
        guest_workload_run(workload, now);
    }
    assert_int_equal(workload->asked_left, 0);
}

static void fresh_memory_is_good(void **state)
{
    struct guest_workload *workload = *state;

    check_all(workload, 1);
    assert_int_equal(asked_passes, 1);
    assert_int_equal(workload->asked_errors, 0);
    assert_int_equal(reports, 0);
}

static void any_flipped_bit_is_found(void **state)
{
    struct guest_workload *workload = *state;

    for (unsigned word = 0; word < GUEST_PAGE_WORDS; word++) {
        uint64_t bit = UINT64_C(1) << (word * 7 % 64);

        workload->pages.pages[3][word] ^= bit;
        assert_int_not_equal(guest_pages_check(&workload->pages, 3), GUEST_PAGE_GOOD);
        workload->pages.pages[3][word] ^= bit;
        assert_int_equal(guest_pages_check(&workload->pages, 3), GUEST_PAGE_GOOD);
    }
}

static void old_content_is_found(void **state)
{
    struct guest_workload *workload = *state;
    uint64_t old[GUEST_PAGE_WORDS];

    memcpy(old, workload->pages.pages[9], sizeof(old));
    guest_pages_write(&workload->pages, 9);
    assert_int_equal(guest_pages_check(&workload->pages, 9), GUEST_PAGE_GOOD);
    for (int i = 2; i < GUEST_PAGE_WORDS; i++) {
        assert_int_not_equal(old[i], workload->pages.pages[9][i]); /* every word is new */
    }
    memcpy(workload->pages.pages[9], old, sizeof(old));
    check_all(workload, 1);
    assert_int_equal(workload->asked_errors, 1);
    assert_int_equal(last_index, 9);
    assert_int_equal(last_fault, GUEST_PAGE_SEQUENCE);
}

static void swapped_torn_and_zero_pages_are_found(void **state)
{
    struct guest_workload *workload = *state;

    memcpy(workload->pages.pages[1], workload->pages.pages[2], GUEST_PAGE_BYTES);
    assert_int_equal(guest_pages_check(&workload->pages, 1), GUEST_PAGE_INDEX);
    memcpy(&workload->pages.pages[5][256], &workload->pages.pages[6][256], 1024);
    assert_int_equal(guest_pages_check(&workload->pages, 5), GUEST_PAGE_CHECKSUM);
    memset(workload->pages.pages[7], 0, GUEST_PAGE_BYTES);
    assert_int_equal(guest_pages_check(&workload->pages, 7), GUEST_PAGE_MAGIC);
}

static void reports_are_bounded_but_counted(void **state)
{
    struct guest_workload *workload = *state;

    for (uint32_t i = 0; i < 100; i++) {
        workload->pages.pages[i][50]++;
    }
    check_all(workload, 1);
    assert_int_equal(reports, GUEST_REPORTS_MAX);
    assert_int_equal(workload->asked_errors, 100);
}

static void writing_keeps_its_rate_and_range(void **state)
{
    struct guest_workload *workload = *state;
    uint32_t untouched = 0;

    assert_int_equal(guest_workload_rate(workload, 10), 0);
    for (int64_t now = MS; now <= 1001 * MS; now += MS) {
        while (guest_workload_run(workload, now)) {
        }
    }
    assert_in_range(workload->writes, 2550, 2570); /* 10 MiB in a second */
    for (uint32_t i = 256; i < 512; i++) {
        untouched += workload->pages.sequence[i] == 1;
    }
    assert_int_equal(untouched, 256); /* the cold half */
    check_all(workload, 1002 * MS);
    assert_int_equal(workload->asked_errors, 0);
}

static void a_pause_is_not_made_up_for(void **state)
{
    struct guest_workload *workload = *state;
    uint64_t before;

    guest_workload_rate(workload, 10);
    guest_workload_run(workload, MS);
    guest_workload_run(workload, 2 * MS);
    before = workload->writes;
    for (int i = 0; i < 100; i++) {
        guest_workload_run(workload, 60000 * MS);
    }
    assert_int_equal(workload->writes, before);
}

static void sequential_order_goes_round(void **state)
{
    struct guest_workload *workload = *state;

    assert_int_equal(guest_workload_order(workload, GUEST_SEQUENTIAL), 0);
    guest_workload_rate(workload, 100);
    for (int64_t now = MS; workload->writes < 512; now += MS) {
        guest_workload_run(workload, now);
    }
    for (uint32_t i = 0; i < 256; i++) {
        assert_in_range(workload->pages.sequence[i], 3, 4);
    }
}

static void zipf_prefers_its_favourites_and_reaches_all(void **state)
{
    struct guest_workload *workload = *state;
    struct guest_zipf *zipf = &workload->zipf;
    uint64_t random = 7;
    uint32_t counts[256] = {0}, met = 0;

    assert_int_equal(guest_workload_order(workload, GUEST_ZIPF), 0);
    assert_int_equal(zipf->count, 256);
    for (int i = 0; i < 100000; i++) {
        uint32_t item = guest_zipf_pick(zipf, guest_random(&random));

        assert_in_range(item, 0, 255);
        counts[item]++;
    }
    for (int i = 0; i < 256; i++) {
        met += counts[i] > 0;
    }
    assert_int_equal(met, 256);
    /* H(256) = 6.124: the favourite has 16.3 % of all, the tenth a tenth of that */
    assert_in_range(counts[guest_zipf_rank_item(zipf, 0)], 15700, 17000);
    assert_in_range(counts[guest_zipf_rank_item(zipf, 9)], 1450, 1820);
    assert_int_equal(guest_zipf_pick(zipf, 0), guest_zipf_rank_item(zipf, 0));
    assert_int_equal(guest_zipf_pick(zipf, UINT64_MAX), guest_zipf_rank_item(zipf, 255));
}

static void hot_memory_can_change(void **state)
{
    struct guest_workload *workload = *state;

    assert_int_equal(guest_workload_order(workload, GUEST_ZIPF), 0);
    assert_int_equal(guest_workload_hot(workload, 2), 0);
    assert_int_equal(workload->zipf.count, 512);
    assert_int_equal(guest_workload_hot(workload, 3), -EINVAL); /* there are 2 MiB */
    assert_int_equal(guest_workload_rate(workload, 10), 0);
    assert_int_equal(guest_workload_hot(workload, 0), -EINVAL); /* rewriting needs some */
    assert_int_equal(guest_workload_rate(workload, 0), 0);
    assert_int_equal(guest_workload_hot(workload, 0), 0);
    assert_int_equal(guest_workload_rate(workload, 10), -EINVAL);
}

static void latencies_are_known_to_a_step(void **state)
{
    struct latency latency;

    (void)state;
    latency_reset(&latency);
    assert_int_equal(latency_at(&latency, 500), 0);
    for (uint64_t ns = 1; ns <= 1000; ns++) {
        latency_add(&latency, ns * 1000, 1);
    }
    assert_int_equal(latency.operations, 1000);
    assert_in_range(latency_at(&latency, 500), 500000, 532000);
    assert_in_range(latency_at(&latency, 990), 990000, 1000000);
    assert_int_equal(latency_at(&latency, 1000), 1000000);
    latency_add(&latency, UINT64_MAX / 2, 1); /* beyond the last step */
    assert_int_equal(latency_at(&latency, 1000), latency.max_ns);
    latency_reset(&latency);
    latency_add(&latency, 3, 5);
    assert_int_equal(latency_at(&latency, 1), 3);
    assert_int_equal(latency.busy_ns, 15);
}

static void continuous_checking_passes(void **state)
{
    struct guest_workload *workload = *state;

    workload->params.verify = 4;
    for (int64_t now = MS; now <= 1101 * MS; now += MS) {
        guest_workload_run(workload, now);
    }
    assert_int_equal(passes, 2); /* 4.4 MiB of 2 */
    assert_int_equal(workload->errors, 0);
}

static void parameters_are_checked(void **state)
{
    static const struct {
        const char *line, *in_text;
    } wrong[] = {{"apn.mib=0", "1..1048576"},       {"apn.mib=x", "apn.mib=x"},
                 {"apn.mib=-4", "apn.mib=-4"},      {"apn.hot=65", "larger than apn.mib=64"},
                 {"apn.rate=5", "needs apn.hot"},   {"apn.order=odd", "random or sequential"},
                 {"apn.colour=red", "unknown"},     {"apn.", "unknown"},
                 {"apn.seed=99999999999999999999", "apn.seed"}};
    struct guest_params params;
    char text[256];

    (void)state;
    assert_int_equal(guest_params_parse(&params,
                                        "console=ttyS0 quiet apn.mib=1024 apn.hot=256 apn.rate=100 "
                                        "apn.order=sequential apn.shell=0 apn.verify=0 apn.seed=7\n",
                                        text, sizeof(text)), 0);
    assert_int_equal(params.mib, 1024);
    assert_int_equal(params.hot, 256);
    assert_int_equal(params.rate, 100);
    assert_int_equal(params.verify, 0);
    assert_int_equal(params.seed, 7);
    assert_int_equal(params.order, GUEST_SEQUENTIAL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        text[0] = '\0';
        assert_int_equal(guest_params_parse(&params, wrong[i].line, text, sizeof(text)), -EINVAL);
        if (!strstr(text, wrong[i].in_text)) {
            fail_msg("'%s' answered '%s'", wrong[i].line, text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fresh_memory_is_good, make, unmake),
        cmocka_unit_test_setup_teardown(any_flipped_bit_is_found, make, unmake),
        cmocka_unit_test_setup_teardown(old_content_is_found, make, unmake),
        cmocka_unit_test_setup_teardown(swapped_torn_and_zero_pages_are_found, make, unmake),
        cmocka_unit_test_setup_teardown(reports_are_bounded_but_counted, make, unmake),
        cmocka_unit_test_setup_teardown(writing_keeps_its_rate_and_range, make, unmake),
        cmocka_unit_test_setup_teardown(a_pause_is_not_made_up_for, make, unmake),
        cmocka_unit_test_setup_teardown(sequential_order_goes_round, make, unmake),
        cmocka_unit_test_setup_teardown(zipf_prefers_its_favourites_and_reaches_all, make, unmake),
        cmocka_unit_test_setup_teardown(hot_memory_can_change, make, unmake),
        cmocka_unit_test(latencies_are_known_to_a_step),
        cmocka_unit_test_setup_teardown(continuous_checking_passes, make, unmake),
        cmocka_unit_test(parameters_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
