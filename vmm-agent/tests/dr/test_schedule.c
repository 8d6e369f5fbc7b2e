/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_schedule.c - which event holds: priority, overlap, versions, withdrawal, opting out
 * Owner: none.   Thread: one.   Time: from T0.   Units: ms, kW. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dr/schedule.h"

#define T0   INT64_C(1775102400000)
#define HOUR INT64_C(3600000)

static struct agent_dr_schedule schedule;
static struct agent_dr_need needs[AGENT_DR_NEEDS_MAX];

static int setup(void **state)
{
    static const struct agent_dr_site sites[] = {
        {.name = "east", .target_count = 1, .targets = {"group-1"}},
        {.name = "west", .target_count = 2, .targets = {"group-1", "coast"}},
    };

    (void)state;
    return agent_dr_schedule_init(&schedule, sites, 2, NULL);
}

static int teardown(void **state)
{
    (void)state;
    agent_dr_schedule_done(&schedule);
    return 0;
}

/* An event of one interval from @start to @end hours. */
static struct agent_dr_event *event(const char *id, const char *target, uint32_t priority,
                                    enum agent_dr_kind kind, double value)
{
    struct agent_dr_event *made = agent_dr_event_new(1);

    snprintf(made->id, sizeof(made->id), "%s", id);
    if (target != NULL) {
        snprintf(made->targets[made->target_count++], AGENT_DR_NAME_SIZE, "%s", target);
    }
    made->priority = priority;
    made->modified_ms = T0;
    made->start_ms = T0;
    made->end_ms = T0 + HOUR;
    made->interval_count = 1;
    made->intervals[0] = (struct agent_dr_interval){0, kind, T0, T0 + HOUR, value};
    return made;
}

static int put(struct agent_dr_event *made)
{
    return agent_dr_schedule_put(&schedule, made, 1, T0, NULL);
}

static void lower_number_wins(void **state)
{
    (void)state;
    assert_int_equal(put(event("late", "east", AGENT_DR_PRIORITY_NONE, AGENT_DR_RELATIVE, -1)), 0);
    assert_int_equal(put(event("high", "group-1", 0, AGENT_DR_RELATIVE, -2)), 0);
    assert_int_equal(put(event("low", "coast", 3, AGENT_DR_ABSOLUTE, 5)), 0);
    assert_int_equal(put(event("cap", "west", 9, AGENT_DR_LIMIT, 30)), 0);
    assert_int_equal(put(event("full", "west", 9, AGENT_DR_CHARGE, 0.9)), 0);
    size_t count = agent_dr_schedule_needs(&schedule, T0, needs, AGENT_DR_NEEDS_MAX);
    static const char *const order[] = {"high", "full", "cap", "low", "late"};

    assert_int_equal(count, 5);
    for (size_t index = 0; index < count; index++) {
        assert_string_equal(needs[index].event->id, order[index]);
        assert_int_equal(needs[index].shadowed != NULL, index >= 3);
    }
    assert_int_equal(needs[0].sites, 3);
    assert_string_equal(needs[3].shadowed->id, "high");
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0 - 1, needs, AGENT_DR_NEEDS_MAX), 0);
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0 + HOUR, needs, AGENT_DR_NEEDS_MAX), 0);
    assert_int_equal(agent_dr_schedule_next_ms(&schedule, T0 - 5), T0);
    assert_int_equal(agent_dr_schedule_next_ms(&schedule, T0), T0 + HOUR);
}

static void equal_rank_goes_to_the_later(void **state)
{
    (void)state;
    struct agent_dr_event *newer = event("a", "east", 1, AGENT_DR_RELATIVE, -7);
    newer->modified_ms = T0 + 1;
    put(event("b", "east", 1, AGENT_DR_RELATIVE, -1));
    put(newer);
    put(event("c", "east", 1, AGENT_DR_RELATIVE, -1));
    size_t count = agent_dr_schedule_needs(&schedule, T0, needs, AGENT_DR_NEEDS_MAX);

    assert_int_equal(count, 3);
    assert_string_equal(needs[0].event->id, "a");
    assert_string_equal(needs[1].event->id, "c");
}

static void a_shadowed_one_comes_back(void **state)
{
    (void)state;
    struct agent_dr_event *brief = event("brief", "east", 0, AGENT_DR_RELATIVE, -9);
    brief->intervals[0].end_ms = brief->end_ms = T0 + HOUR / 2;
    put(event("base", "east", 1, AGENT_DR_RELATIVE, -1));
    put(brief);
    agent_dr_schedule_needs(&schedule, T0, needs, AGENT_DR_NEEDS_MAX);
    assert_string_equal(needs[0].event->id, "brief");
    assert_int_equal(agent_dr_schedule_next_ms(&schedule, T0), T0 + HOUR / 2);
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0 + HOUR / 2, needs, AGENT_DR_NEEDS_MAX),
                     1);
    assert_string_equal(needs[0].event->id, "base");
    assert_null(needs[0].shadowed);
}

static void versions(void **state)
{
    (void)state;
    struct agent_dr_event *newer = event("x", "east", 1, AGENT_DR_RELATIVE, -3);
    struct agent_dr_event *older = event("x", "east", 1, AGENT_DR_RELATIVE, -4);
    newer->modified_ms = T0 + 10;
    older->modified_ms = T0 + 5;
    assert_int_equal(put(event("x", "east", 1, AGENT_DR_RELATIVE, -1)), AGENT_DR_PUT_NEW);
    assert_int_equal(agent_dr_schedule_opt_out(&schedule, "x", true), 0);
    assert_int_equal(put(event("x", "east", 1, AGENT_DR_RELATIVE, -2)), AGENT_DR_PUT_KNOWN);
    assert_int_equal(put(newer), AGENT_DR_PUT_CHANGED);
    assert_int_equal(put(older), AGENT_DR_PUT_OLDER);
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0, needs, AGENT_DR_NEEDS_MAX), 0);
    assert_int_equal(agent_dr_schedule_opt_out(&schedule, "x", false), 0);
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0, needs, AGENT_DR_NEEDS_MAX), 1);
    assert_true(needs[0].value == -3);
    assert_int_equal(agent_dr_schedule_opt_out(&schedule, "y", true), -ENOENT);
}

static void withdrawn(void **state)
{
    (void)state;
    uint64_t version = 0;

    put(event("stays", "east", 1, AGENT_DR_RELATIVE, -1));
    put(event("goes", "east", 0, AGENT_DR_RELATIVE, -2));
    agent_dr_schedule_put(&schedule, event("stays", "east", 1, AGENT_DR_RELATIVE, -1), 2, T0, NULL);
    version = schedule.version;
    assert_int_equal(agent_dr_schedule_sweep(&schedule, 2, T0 + 60), 1);
    assert_true(schedule.version > version);
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0 + 60, needs, AGENT_DR_NEEDS_MAX), 1);
    assert_string_equal(needs[0].event->id, "stays");
    assert_int_equal(agent_dr_schedule_find(&schedule, "goes")->end_ms, T0 + 60);
    assert_string_equal(agent_dr_schedule_find(&schedule, "goes")->note,
                        "the VTN no longer lists it");
    assert_int_equal(agent_dr_schedule_cancel(&schedule, "goes", T0, "again"), 0);
    assert_int_equal(agent_dr_schedule_cancel(&schedule, "stays", T0 + 70, "a person said so"), 1);
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0 + 70, needs, AGENT_DR_NEEDS_MAX), 0);
}

static void local_ones_survive_a_listing(void **state)
{
    (void)state;
    struct agent_dr_event *local = event("local", "east", 1, AGENT_DR_RELATIVE, -1);
    local->origin = AGENT_DR_LOCAL;
    put(local);
    assert_int_equal(agent_dr_schedule_sweep(&schedule, 2, T0), 0);
}

static void strangers_and_limits(void **state)
{
    (void)state;
    struct agent_error error = {0};
    char id[32];

    assert_int_equal(
        agent_dr_schedule_put(&schedule, event("s", "mars", 1, AGENT_DR_LEVEL, 1), 1, T0, &error),
        -ENOENT);
    assert_non_null(strstr(error.text, "'mars'"));
    for (int index = 0; index < AGENT_DR_EVENTS_MAX; index++) {
        snprintf(id, sizeof(id), "e%d", index);
        assert_int_equal(put(event(id, NULL, 1, AGENT_DR_LEVEL, 1)), 0);
    }
    assert_int_equal(agent_dr_schedule_needs(&schedule, T0, needs, AGENT_DR_NEEDS_MAX),
                     AGENT_DR_EVENTS_MAX);
    assert_int_equal(put(event("one-more", NULL, 1, AGENT_DR_LEVEL, 1)), -ENOSPC);
    /* an hour later one that is over makes room */
    assert_int_equal(agent_dr_schedule_put(&schedule, event("one-more", NULL, 1, AGENT_DR_LEVEL, 1),
                                           1, T0 + HOUR, NULL),
                     0);
    assert_int_equal(schedule.count, AGENT_DR_EVENTS_MAX);
    struct agent_dr_event *much_later = event("later", NULL, 1, AGENT_DR_LEVEL, 1);
    assert_int_equal(
        agent_dr_schedule_put(&schedule, much_later, 1, T0 + HOUR + AGENT_DR_KEEP_MS + 1, NULL), 0);
    assert_int_equal(schedule.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lower_number_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_rank_goes_to_the_later, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shadowed_one_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(versions, setup, teardown),
        cmocka_unit_test_setup_teardown(withdrawn, setup, teardown),
        cmocka_unit_test_setup_teardown(local_ones_survive_a_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_and_limits, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
