/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_check.c - the checker finds every kind of broken plan (its negative control)
 * Owner: none.   Thread: one.   Time: 12 slots.   Units: as in plan/plan.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

struct broken {
    struct agent_plan_instance *instance;
    struct agent_plan *plan;
};

static void begin(struct broken *broken)
{
    json_t *root = fixture_json();

    broken->instance = fixture_instance(root);
    assert_int_equal(agent_plan_stay(broken->instance, &broken->plan), 0);
    json_decref(root);
}

static void end(struct broken *broken)
{
    agent_plan_free(broken->plan);
    agent_plan_instance_free(broken->instance);
}

static void expect(struct broken *broken, const char *words)
{
    struct plan_breaches breaches;
    struct plan_cost cost;
    struct plan_figures figures;
    int count = agent_plan_check(broken->plan, &breaches, &cost, &figures);
    bool found = false;

    assert_true(count > 0);
    for (int index = 0; index < count && index < AGENT_PLAN_BREACHES_MAX; index++) {
        found = found || strstr(breaches.worst[index].text, words) != NULL;
    }
    if (!found) {
        fail_msg("'%s' is not among the breaches, first is: %s", words, breaches.worst[0].text);
    }
    end(broken);
}

static void staying_keeps_everything_and_costs_what_it_must(void **state)
{
    struct broken broken;
    struct plan_breaches breaches;
    struct plan_cost cost;
    struct plan_figures figures;
    double it_kwh = (6 * 0.3 + 5 * 0.15) * 6 + 4 * (0.5 * 3.5 + 0.6 * 2.5) + 0.2 * 6;

    (void)state;
    begin(&broken);
    assert_int_equal(agent_plan_check(broken.plan, &breaches, &cost, &figures), 0);
    assert_float_equal(cost.energy, it_kwh * 1.2 * 20, 1e-9); /* west's idle load is all surplus */
    assert_float_equal(cost.demand, 3 * 1.2 * (6 * 0.3 + 4 * 0.6 + 5 * 0.15 + 0.2), 1e-9);
    assert_float_equal(cost.carbon, it_kwh * 1.2 * 0.4 * 2, 1e-9);
    assert_float_equal(cost.grid, it_kwh * 1.2 * 0.5, 1e-9);
    assert_float_equal(cost.moves, 0, 0);
    end(&broken);
}

static void finds_wrong_counts(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    broken.plan->legs[0].count = 5;
    expect(&broken, "the plan has 5 of the 6 VMs running at east");
}

static void finds_moves_during_dwell(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    memset(broken.plan->legs[1].sites + 1, 1, 11);
    expect(&broken, "leave east 1 slots before their dwell");
}

static void finds_a_link_too_small(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    memset(broken.plan->legs[0].sites + 4, 1, 8);
    expect(&broken, "link east to west: migration, GB: slot 4: 48 is above the limit 45");
}

static void finds_a_site_not_allowed(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    broken.instance->groups[2].allowed = 1;
    memset(broken.plan->legs[2].sites + 4, 1, 8);
    expect(&broken, "5 VMs at west, where they may not be");
}

static void finds_full_sites(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    broken.instance->sites[0].cpu[7] = 60;
    expect(&broken, "east: cpu, cores: slot 7: 66 is above the limit 60 by 6");
    begin(&broken);
    broken.instance->sites[0].power_kw[3] = 3;
    expect(&broken, "east: power, kW: slot 3");
    begin(&broken);
    broken.instance->sites[0].contract_kw = 3;
    expect(&broken, "east: contract demand");
}

/* A moving VM holds memory on both ends in the slot it moves. */
static void finds_memory_held_on_both_ends(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    broken.instance->sites[0].ram_gb[4] = 130;
    memset(broken.plan->legs[2].sites + 4, 1, 8); /* 20 GB leave in slot 4 */
    expect(&broken, "east: ram, GB: slot 4: 132 is above the limit 130");
}

static void finds_battery_misuse(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    broken.plan->rise_kwh[0] = 0.6;
    expect(&broken, "battery charge, kW");
    begin(&broken);
    broken.plan->rise_kwh[0] = -0.4;
    broken.plan->rise_kwh[1] = -0.4;
    expect(&broken, "battery final level");
    begin(&broken);
    broken.plan->rise_kwh[12] = 0.1; /* the west has none */
    expect(&broken, "that is not there");
}

static void finds_missing_reserve(void **state)
{
    struct broken broken;
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "sites.0.reserve", "{\"secondary_up_kw\":1.5}");
    broken.instance = fixture_instance(root);
    assert_int_equal(agent_plan_stay(broken.instance, &broken.plan), 0);
    json_decref(root);
    expect(&broken, "reserve up, kW");
}

static void finds_broken_rules(void **state)
{
    struct broken broken;
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "affinity", "[{\"id\":\"p\",\"groups\":[\"db\"],\"mode\":\"all\"}]");
    fixture_set(root, "anti_affinity",
                "[{\"id\":\"s\",\"groups\":[\"web\"],\"max_per_site\":4}]");
    broken.instance = fixture_instance(root);
    assert_int_equal(agent_plan_stay(broken.instance, &broken.plan), 0);
    json_decref(root);
    expect(&broken, "anti_affinity 's': slot 0: 6 VMs at east, at most 4");
}

static void finds_moves_on_unknown_signals(void **state)
{
    struct broken broken;

    (void)state;
    begin(&broken);
    broken.instance->sites[1].frozen = "price";
    memset(broken.plan->legs[2].sites + 4, 1, 8);
    expect(&broken, "move although a site's signal is unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staying_keeps_everything_and_costs_what_it_must),
        cmocka_unit_test(finds_wrong_counts),
        cmocka_unit_test(finds_moves_during_dwell),
        cmocka_unit_test(finds_a_link_too_small),
        cmocka_unit_test(finds_a_site_not_allowed),
        cmocka_unit_test(finds_full_sites),
        cmocka_unit_test(finds_memory_held_on_both_ends),
        cmocka_unit_test(finds_battery_misuse),
        cmocka_unit_test(finds_missing_reserve),
        cmocka_unit_test(finds_broken_rules),
        cmocka_unit_test(finds_moves_on_unknown_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
