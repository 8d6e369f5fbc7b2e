/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* filter.c - the grammar of filters: what is taken, and that what is not is refused in words
 * (what filters do to traffic is in tests/conformance) */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/loop/loop.h"
#include "filter/base.h"
#include "filter/fault_spec.h"
#include "filter/filter.h"
#include "support/clock.h"

static void units_are_read(void **state)
{
    uint64_t v;

    (void)state;
    assert_int_equal(filter_parse_time("3ms", &v), 0);
    assert_int_equal(v, 3000000);
    assert_int_equal(filter_parse_time("0.5us", &v), 0);
    assert_int_equal(v, 500);
    assert_int_equal(filter_parse_rate("2.5Gbit", &v), 0);
    assert_int_equal(v, 312500000);
    assert_int_equal(filter_parse_bytes("100MB", &v), 0);
    assert_int_equal(v, 100000000);
    assert_int_equal(filter_parse_bytes("64KiB", &v), 0);
    assert_int_equal(v, 65536);
    assert_int_equal(filter_parse_bytes("17", &v), 0);
    assert_int_equal(v, 17);
}

static void nonsense_numbers_are_refused(void **state)
{
    static const char *const times[] = {"",     "3",   "ms",  "-3ms",   "3 ms",
                                        "3mss", "inf", "nan", "1e300s", "0x"};
    uint64_t v = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        assert_int_equal(filter_parse_time(times[i], &v), -EINVAL);
        assert_int_equal(filter_parse_rate(times[i], &v), -EINVAL);
    }
    assert_int_equal(v, 42);
}

static struct fault_spec parsed(const char *text)
{
    struct fault_spec spec = {0};
    struct apn_error err = {0};

    if (fault_spec_parse(text, &spec, &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    return spec;
}

static void faults_are_read(void **state)
{
    struct fault_spec spec = parsed("tx:GRANT:1:cut");

    (void)state;
    assert_int_equal(spec.where, FAULT_TX);
    assert_int_equal(spec.type, APN_MSG_GRANT);
    assert_int_equal(spec.nth, 1);
    assert_false(spec.stall);
    assert_int_equal(spec.outage_ns, 0);
    spec = parsed("rx:STARTED:2:stall-forever");
    assert_int_equal(spec.where, FAULT_RX);
    assert_int_equal(spec.type, APN_MSG_STARTED);
    assert_int_equal(spec.nth, 2);
    assert_true(spec.stall);
    assert_true(spec.outage_ns == FAULT_FOREVER);
    spec = parsed("lane:2:cut@after=100MB");
    assert_int_equal(spec.where, FAULT_LANE);
    assert_int_equal(spec.lane, 2);
    assert_int_equal(spec.after_bytes, 100000000);
    spec = parsed("all:cut@at=2s,for=5s");
    assert_int_equal(spec.where, FAULT_ALL);
    assert_true(spec.at_ns == 2 * APN_NS_PER_S);
    assert_true(spec.outage_ns == 5 * APN_NS_PER_S);
    spec = parsed("tx:ANY:*:cut@p=0.001,seed=7");
    assert_int_equal(spec.type, 0);
    assert_int_equal(spec.nth, FAULT_EVERY);
    assert_true(spec.p > 0.00099 && spec.p < 0.00101);
    assert_int_equal(spec.seed, 7);
}

static void every_message_can_be_named(void **state)
{
    static const char *const names[] = {"EXTENT",   "STREAM", "FENCE",   "REGIONS", "REGIONS_OK",
                                        "PREFAULT", "READY",  "GRANT",   "STARTED", "WONT",
                                        "ABORT",    "RETIRE", "RETIRED", "BYE",     "APPLIED",
                                        "PING",     "PONG"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(text, sizeof(text), "tx:%s:1:cut", names[i]);
        assert_int_not_equal(parsed(text).type, 0);
    }
}

static void wrong_faults_are_refused_in_words(void **state)
{
    static const struct {
        const char *text, *word;
    } wrong[] = {
        {"", "place"},
        {"up:GRANT:1:cut", "\"up\""},
        {"tx", "message type"},
        {"tx:GRAND:1:cut", "\"GRAND\""},
        {"tx:unknown:1:cut", "message type"},
        {"tx:GRANT:0:cut", "from 1"},
        {"tx:GRANT:-1:cut", "\"-1\""},
        {"tx:GRANT:1", "action"},
        {"tx:GRANT:1:kill", "\"kill\""},
        {"tx:GRANT:1:cut:more", "\"more\""},
        {"lane:32:cut", "0..31"},
        {"lane:x:cut", "\"x\""},
        {"all:cut@after", "NAME=VALUE"},
        {"all:cut@after=x", "after"},
        {"all:cut@never=1", "\"never\""},
        {"all:cut@p=0", "above 0"},
        {"all:cut@p=1.5", "at most 1"},
        {"all:cut@p=nan", "probability"},
        {"all:cut@for=5", "a time"},
        {"tx:GRANT:1:cut@after=5", "count messages"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct fault_spec spec;
        struct apn_error err = {0};

        assert_int_equal(fault_spec_parse(wrong[i].text, &spec, &err), -EINVAL);
        if (!strstr(err.text, wrong[i].word)) {
            fail_msg("%s: \"%s\" does not say %s", wrong[i].text, err.text, wrong[i].word);
        }
    }
}

static void wrap(bool virtual_time, const char *filters, int expect, const char *word)
{
    struct apn_loop_config path = {.virtual_time = virtual_time};
    struct apn_loop_world *world = apn_loop_world_new(&path);
    struct apn_backend_config config = {
        .port = "0", .world = world, .clock = apn_loop_world_clock(world)};
    struct apn_error err = {0};
    struct apn_backend *be = NULL;
    int ret = apn_backend_new(&be, "loop", filters, &config, &err);

    if (ret != expect || (word && !strstr(err.text, word))) {
        fail_msg("\"%s\": %d, \"%s\"", filters, ret, err.text);
    }
    if (be) {
        be->ops->free(be);
    }
    apn_loop_world_free(world); /* asserts that every layer was freed */
}

static void strings_wrap_or_are_refused(void **state)
{
    (void)state;
    wrap(false, NULL, 0, NULL);
    wrap(false, "", 0, NULL);
    wrap(false, "delay=3ms;rate=2.5Gbit;fault=tx:GRANT:1:cut", 0, NULL);
    wrap(false, "delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms",
         0, NULL);
    wrap(
        false,
        "delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms;delay=1ms",
        -EINVAL, "more than 8");
    wrap(false, "jitter=3ms", -EINVAL, "jitter");
    wrap(false, "delay", -EINVAL, "delay");
    wrap(false, "delay=", -EINVAL, "delay");
    wrap(false, "delay=11s", -EINVAL, "10s");
    wrap(false, "delay=1ms;", -EINVAL, "not one of");
    wrap(false, "rate=0Gbit", -EINVAL, "8Kbit");
    wrap(false, "rate=fast;delay=3ms", -EINVAL, "fast"); /* the inner one is undone */
    wrap(false, "trace=/nonexistent-directory/x", -ENOENT, "nonexistent");
    wrap(false, "trace=", -EINVAL, "prefix");
    wrap(true, "fault=lane:0:cut", 0, NULL);
    wrap(true, "delay=3ms", -EINVAL, "virtual time");
    wrap(true, "rate=1Gbit", -EINVAL, "virtual time");
}

static void an_unknown_backend_lists_the_known(void **state)
{
    struct apn_backend_config config = {.port = "0"};
    struct apn_backend *be = NULL;
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(apn_backend_new(&be, "carrier-pigeon", NULL, &config, &err), -ENOENT);
    assert_non_null(strstr(err.text, "loop"));
    assert_null(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_read),
        cmocka_unit_test(nonsense_numbers_are_refused),
        cmocka_unit_test(faults_are_read),
        cmocka_unit_test(every_message_can_be_named),
        cmocka_unit_test(wrong_faults_are_refused_in_words),
        cmocka_unit_test(strings_wrap_or_are_refused),
        cmocka_unit_test(an_unknown_backend_lists_the_known),
    };
    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
