/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_solve.c - plans: proof, repeatability, constraints, unknown signals, re-planning
 * Owner: none.   Thread: one, helpers in the planner.   Time: 12 slots.   Units: yen. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static char *plan_text(const json_t *root, int threads)
{
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan_options options = {.threads = threads};
    struct agent_plan *plan = NULL;
    struct agent_error error = {0};

    assert_int_equal(agent_plan_solve(instance, &options, &plan, NULL, &error), 0);
    json_t *answer = agent_plan_to_json(plan);
    char *text = json_dumps(answer, JSON_REAL_PRECISION(17));
    json_decref(answer);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    return text;
}

static void moves_when_it_pays_and_proves_it(void **state)
{
    json_t *root = fixture_json();
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);

    (void)state;
    assert_true(plan->figures.moves > 0);
    assert_true(plan->bound <= plan->cost.total);
    assert_true(plan->gap >= 0 && plan->gap < 0.03);
    assert_true(plan->cost.total < 0.9 * plan->stay_cost);
    assert_true(plan->bound_error >= 0 && plan->bound_error < 1e-6);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

static void same_bytes_with_any_number_of_threads(void **state)
{
    json_t *root = fixture_json();
    char *first = plan_text(root, 1);

    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        char *again = plan_text(root, threads);
        assert_string_equal(first, again);
        free(again);
    }
    free(first);
    json_decref(root);
}

static int64_t moves_of(const json_t *root)
{
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    int64_t moves = plan->figures.moves;

    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    return moves;
}

static void an_unknown_signal_keeps_things_in_place(void **state)
{
    static const char *const unknowns[] = {
        "[{\"signal\":\"price\",\"site\":\"west\",\"reason\":\"file is 3 h late\"}]",
        "[{\"signal\":\"surplus\",\"site\":\"east\",\"reason\":\"all values zero\"}]",
        "[{\"signal\":\"carbon\",\"site\":\"west\",\"reason\":\"issued in the future\"}]",
        "[{\"signal\":\"link\",\"from\":\"east\",\"to\":\"west\",\"reason\":\"no measurement\"}]"};

    (void)state;
    for (size_t index = 0; index < sizeof(unknowns) / sizeof(unknowns[0]); index++) {
        json_t *root = fixture_json();
        fixture_set(root, "unknown", unknowns[index]);
        struct agent_plan_instance *instance = fixture_instance(root);
        struct agent_plan *plan = fixture_plan(instance);
        json_t *reasons = agent_plan_explain(plan, NULL);
        const json_t *first = json_array_get(json_object_get(reasons, "unknown"), 0);
        const json_t *given = json_array_get(json_object_get(root, "unknown"), 0);
        assert_int_equal(plan->figures.moves, 0);
        assert_string_equal(json_string_value(json_object_get(first, "signal")),
                            json_string_value(json_object_get(given, "signal")));
        assert_string_equal(json_string_value(json_object_get(first, "reason")),
                            json_string_value(json_object_get(given, "reason")));
        json_decref(reasons);
        agent_plan_free(plan);
        agent_plan_instance_free(instance);
        json_decref(root);
    }
}

static void null_stands_for_unknown(void **state)
{
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "sites.1.price_yen_per_kwh.7", "null");
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    assert_int_equal(plan->figures.moves, 0);
    assert_int_equal(instance->unknown_count, 1);
    assert_non_null(strstr(instance->unknowns[0].reason, "slot 7"));
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

static void an_unknown_battery_is_left_alone(void **state)
{
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "sites.0.battery.soc_kwh", "null");
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    for (int slot = 0; slot < plan->slots; slot++) {
        assert_true(plan->rise_kwh[slot] == 0);
    }
    assert_true(plan->figures.moves > 0);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

static void an_unknown_load_stays(void **state)
{
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "unknown", "[{\"signal\":\"power\",\"group\":\"db\",\"reason\":\"no meter\"}]");
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    for (int leg = 0; leg < plan->leg_count; leg++) {
        for (int slot = 0; plan->legs[leg].group == 1 && slot < plan->slots; slot++) {
            assert_int_equal(plan->legs[leg].sites[slot], 0);
        }
    }
    assert_true(plan->figures.moves > 0);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

/* Each constraint alone changes the plan, and the checker (inside the solver) agrees. */
static void constraints_bind(void **state)
{
    json_t *root = fixture_json();
    int64_t all = moves_of(root);

    (void)state;
    fixture_set(root, "links.0.rate_gbit_s", "0.04"); /* 9 GB per slot: one web VM at a time */
    assert_true(moves_of(root) < all);
    json_decref(root);
    root = fixture_json();
    fixture_set(root, "groups.0.sites", "[\"east\"]");
    fixture_set(root, "groups.1.sites", "[\"east\"]");
    fixture_set(root, "groups.2.sites", "[\"east\"]");
    assert_int_equal(moves_of(root), 0);
    json_decref(root);
    root = fixture_json();
    for (int group = 0; group < 3; group++) {
        char path[64];
        snprintf(path, sizeof(path), "groups.%d.running.0.dwell_left", group);
        fixture_set(root, path, "12");
    }
    assert_int_equal(moves_of(root), 0);
    json_decref(root);
    root = fixture_json();
    fixture_set(root, "sites.1.cpu", "0");
    assert_int_equal(moves_of(root), 0);
    json_decref(root);
}

static void pairs_and_bundles_stay_together(void **state)
{
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "groups.2.count", "6");
    fixture_set(root, "groups.2.running.0.count", "6");
    fixture_set(root, "affinity",
                "[{\"id\":\"p\",\"groups\":[\"web\",\"batch\"],\"mode\":\"pair\"},"
                "{\"id\":\"b\",\"groups\":[\"db\"],\"mode\":\"all\"}]");
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance); /* the checker looked at both rules */
    int ways = 0;
    for (int leg = 0; leg < plan->leg_count; leg++) {
        ways += plan->legs[leg].group == 1;
    }
    assert_int_equal(ways, 1);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

static void reserve_and_gate_are_kept(void **state)
{
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "sites.0.reserve", "{\"primary_up_kw\":0.5,\"secondary_up_kw\":0.8,"
                                         "\"primary_down_kw\":0.2}");
    fixture_set(root, "areas.0", "{\"id\":\"a\",\"gate_slots\":3,\"committed_kw\":6,"
                                 "\"imbalance_up_yen_per_kwh\":60,"
                                 "\"imbalance_down_yen_per_kwh\":1}");
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    assert_true(plan->cost.imbalance != 0);
    assert_true(plan->gap < 0.05);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

static void new_vms_are_placed(void **state)
{
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "groups.0.running", "[]");
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    assert_true(isnan(plan->stay_cost));
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

/* The next slot's plan starts where this one has led; its cost may not exceed what is left. */
static void replans_from_the_running_state(void **state)
{
    json_t *root = fixture_json();
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    char text[256];

    (void)state;
    for (int group = 0; group < 3; group++) {
        json_t *running = json_array();
        for (int leg = 0; leg < plan->leg_count; leg++) {
            if (plan->legs[leg].group == group) {
                snprintf(text, sizeof(text), "{\"site\":\"%s\",\"count\":%d}",
                         instance->sites[plan->legs[leg].sites[5]].id, plan->legs[leg].count);
                json_array_append_new(running, json_loads(text, 0, NULL));
            }
        }
        json_object_set_new(json_array_get(json_object_get(root, "groups"), (size_t)group),
                            "running", running);
    }
    fixture_set(root, "start_slot", "6");
    struct agent_plan_instance *rest = fixture_instance(root);
    struct agent_plan_options options = {.warm = plan};
    struct agent_plan *again = NULL;
    struct agent_error error = {0};
    assert_int_equal(agent_plan_solve(rest, &options, &again, NULL, &error), 0);
    assert_int_equal(again->slots, 6);
    assert_true(again->cost.total < plan->cost.total);
    assert_true(again->bound <= again->cost.total);
    agent_plan_free(again);
    agent_plan_instance_free(rest);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

static double late_clock(void *context)
{
    double *now = context;

    *now += 10;
    return *now;
}

static void the_time_limit_still_gives_a_checked_plan(void **state)
{
    json_t *root = fixture_json();
    struct agent_plan_instance *instance = fixture_instance(root);
    double now = 0;
    struct agent_plan_options options = {.time_limit_s = 1, .clock = late_clock,
                                         .clock_context = &now};
    struct agent_plan *plan = NULL;
    struct agent_error error = {0};

    (void)state;
    assert_int_equal(agent_plan_solve(instance, &options, &plan, NULL, &error), 0);
    assert_int_equal(plan->stop, PLAN_STOP_TIME);
    assert_true(plan->bound <= plan->cost.total);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

static void json_round_trip(void **state)
{
    json_t *root = fixture_json();
    struct agent_plan_instance *instance = fixture_instance(root);
    struct agent_plan *plan = fixture_plan(instance);
    struct agent_plan *again = NULL;
    struct plan_breaches breaches;
    struct agent_error error = {0};
    json_t *answer = agent_plan_to_json(plan);

    (void)state;
    assert_int_equal(agent_plan_from_json(answer, instance, false, &again, &error), 0);
    assert_int_equal(agent_plan_check(again, &breaches, &again->cost, &again->figures), 0);
    assert_true(again->cost.total == plan->cost.total);
    assert_int_equal(again->leg_count, plan->leg_count);
    agent_plan_free(again);
    json_object_set_new(answer, "start_slot", json_integer(3));
    assert_int_equal(agent_plan_from_json(answer, instance, false, &again, &error), -EINVAL);
    assert_non_null(strstr(error.text, "covers slots 3"));
    json_decref(answer);
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_when_it_pays_and_proves_it),
        cmocka_unit_test(same_bytes_with_any_number_of_threads),
        cmocka_unit_test(an_unknown_signal_keeps_things_in_place),
        cmocka_unit_test(null_stands_for_unknown),
        cmocka_unit_test(an_unknown_battery_is_left_alone),
        cmocka_unit_test(an_unknown_load_stays),
        cmocka_unit_test(constraints_bind),
        cmocka_unit_test(pairs_and_bundles_stay_together),
        cmocka_unit_test(reserve_and_gate_are_kept),
        cmocka_unit_test(new_vms_are_placed),
        cmocka_unit_test(replans_from_the_running_state),
        cmocka_unit_test(the_time_limit_still_gives_a_checked_plan),
        cmocka_unit_test(json_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
