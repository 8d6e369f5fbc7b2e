/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "forecast/gate.h"
#include "support/slot.h"

#define SLOTS 96

/* Two days of measurements up to now; what a test changes is then judged. */
static struct agent_series series;
static struct agent_gate_rule rule;

static int fresh(void **state)
{
    int64_t first = agent_slot_start(agent_slot_at((struct agent_date){2026, 4, 1}, 0));

    (void)state;
    agent_series_init(&series, AGENT_AREA_KYUSHU, AGENT_PV, AGENT_ACTUAL);
    for (int i = 0; i < SLOTS; i++) {
        struct agent_point point = {first + i * AGENT_SLOT_SECONDS, AGENT_SLOT_SECONDS, 0,
                                    100.0 + i % 7};
        if (agent_series_append(&series, point) != 0) {
            return -1;
        }
    }
    rule = (struct agent_gate_rule){first, first + SLOTS * AGENT_SLOT_SECONDS,
                                    first + SLOTS * AGENT_SLOT_SECONDS, false, 24};
    return 0;
}

static int done(void **state)
{
    (void)state;
    agent_series_done(&series);
    return 0;
}

static void expect(enum agent_gate_fault fault)
{
    struct agent_gate_verdict verdict;
    bool usable = agent_gate_check(&series, "kyushu pv", &rule, &verdict);

    if (verdict.fault != fault) {
        fail_msg("expected %s, got: %s", agent_gate_fault_name(fault), verdict.text);
    }
    assert_int_equal(usable, fault == AGENT_GATE_OK);
    assert_non_null(strstr(verdict.text, "kyushu pv"));
    assert_non_null(strstr(verdict.text, agent_gate_fault_name(fault)));
}

static void good(void **state)
{
    (void)state;
    expect(AGENT_GATE_OK);
}

static void missing(void **state)
{
    struct agent_gate_verdict verdict;

    (void)state;
    assert_false(agent_gate_check(NULL, "kyushu pv", &rule, &verdict));
    assert_int_equal(verdict.fault, AGENT_GATE_MISSING);
    for (int i = 10; i < 30; i++) { /* a hole in the middle */
        series.points[i].value = NAN;
        series.points[i].quality = AGENT_QUALITY_MISSING;
    }
    expect(AGENT_GATE_MISSING);
}

static void a_small_hole_is_fine(void **state)
{
    (void)state;
    for (int i = 10; i < 18; i++) {
        series.points[i].value = NAN;
        series.points[i].quality = AGENT_QUALITY_MISSING;
    }
    expect(AGENT_GATE_OK);
}

static void late(void **state)
{
    (void)state;
    series.count = SLOTS - 12;
    expect(AGENT_GATE_LATE);
}

static void stale(void **state)
{
    (void)state;
    series.count = 20;
    expect(AGENT_GATE_STALE);
}

static void stuck(void **state)
{
    (void)state;
    for (int i = 40; i < 70; i++) {
        series.points[i].value = 77.0;
    }
    expect(AGENT_GATE_STALE);
}

static void zero(void **state)
{
    (void)state;
    for (int i = 0; i < SLOTS; i++) {
        series.points[i].value = 0.0;
    }
    expect(AGENT_GATE_ZERO);
    rule.zero_ok = true;
    expect(AGENT_GATE_OK);
}

static void future(void **state)
{
    (void)state;
    rule.now_s -= 2 * AGENT_SLOT_SECONDS;
    expect(AGENT_GATE_FUTURE);
    rule.now_s += 2 * AGENT_SLOT_SECONDS;
    expect(AGENT_GATE_OK);
    series.issued_s = rule.now_s + 1;
    expect(AGENT_GATE_FUTURE);
}

static void revised(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        series.points[i].quality |= AGENT_QUALITY_REVISED;
    }
    expect(AGENT_GATE_REVISED);
}

static void implausible(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        series.points[i].quality |= AGENT_QUALITY_RANGE;
    }
    expect(AGENT_GATE_IMPLAUSIBLE);
}

static void names(void **state)
{
    (void)state;
    for (int fault = 0; fault < AGENT_GATE_FAULTS; fault++) {
        const char *name = agent_gate_fault_name((enum agent_gate_fault)fault);
        assert_int_equal(agent_gate_fault_parse(name), fault);
    }
    assert_int_equal(agent_gate_fault_parse("fine"), AGENT_GATE_FAULTS);
}

#define GATE_TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GATE_TEST(good),  GATE_TEST(missing),     GATE_TEST(a_small_hole_is_fine),
        GATE_TEST(late),  GATE_TEST(stale),       GATE_TEST(stuck),
        GATE_TEST(zero),  GATE_TEST(future),      GATE_TEST(revised),
        GATE_TEST(names), GATE_TEST(implausible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
