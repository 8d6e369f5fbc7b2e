/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accounts by hand, and what every rule must respect. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "simulate/strategy.h"

static struct agent_sim_world world;
static struct agent_sim_state before;
static struct agent_sim_truth truth;
static struct agent_sim_view view;
static struct agent_sim_place schedule[AGENT_SIM_SLOTS];

/* Two sites, one group of 10 VMs of 1 kW and 5 GB that stay 2 slots. */
static void small_world(void)
{
    memset(&world, 0, sizeof(world));
    world.site_count = 2;
    world.sites[0] = (struct agent_sim_site){AGENT_AREA_KYUSHU, 1.0, 1.0};
    world.sites[1] = (struct agent_sim_site){AGENT_AREA_KANSAI, 1.0, 1.0};
    world.group_count = 1;
    world.groups[0] = (struct agent_sim_group){10, 1.0, 5.0, 2};
    world.load_kw = 10;
    world.vms = 10;
    world.yen_per_gb = 2;
    world.yen_per_ton = 1000;
    memset(&truth, 0, sizeof(truth));
    for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
        truth.renewable_kw[0][i] = 4.0;
        truth.price[0][i] = 10.0;
        truth.price[1][i] = 20.0;
        truth.carbon[0][i] = 500.0;
        truth.carbon[1][i] = 100.0;
    }
}

static void account_by_hand(void **state)
{
    struct agent_sim_place place;
    struct agent_sim_account account = {0};

    (void)state;
    small_world();
    agent_sim_place_even(&world, &place);
    assert_int_equal(place.count[0][0], 5);
    agent_sim_state_start(&world, &place, &before);
    place.count[0][0] = 8;
    place.count[0][1] = 2;
    agent_sim_account_slot(&world, &before, &place, &truth, 0, &account);
    /* 8 kW at Kyushu, 4 of it renewable; 2 kW at Kansai; half an hour */
    assert_true(fabs(account.load_kwh - 5.0) < 1e-12);
    assert_true(fabs(account.used_kwh - 2.0) < 1e-12);
    assert_true(fabs(account.available_kwh - 2.0) < 1e-12);
    assert_true(fabs(account.yen - (2.0 * 10.0 + 1.0 * 20.0 + 3 * 5.0 * 2.0)) < 1e-12);
    assert_true(fabs(account.gco2 - (2.0 * 500.0 + 1.0 * 100.0)) < 1e-12);
    assert_true(fabs(account.objective - (account.yen + 1100e-6 * 1000.0)) < 1e-12);
    assert_int_equal(account.migrations, 3);
    assert_true(fabs(account.gb - 15.0) < 1e-12);
    assert_int_equal(account.dwell_violations, 0);
}

/* Three came at slot 0 and must stay two slots: leaving at 1 breaks it for those that are young. */
static void dwell_is_watched(void **state)
{
    struct agent_sim_place place = {0};
    struct agent_sim_account account = {0};

    (void)state;
    small_world();
    place.count[0][1] = 10;
    agent_sim_state_start(&world, &place, &before);
    place.count[0][0] = 3;
    place.count[0][1] = 7;
    agent_sim_account_slot(&world, &before, &place, &truth, 0, &account);
    place.count[0][0] = 1;
    place.count[0][1] = 9;
    agent_sim_account_slot(&world, &before, &place, &truth, 1, &account);
    assert_int_equal(account.dwell_violations, 2);
    agent_sim_account_slot(&world, &before, &place, &truth, 2, &account);
    place.count[0][0] = 0;
    place.count[0][1] = 10;
    agent_sim_account_slot(&world, &before, &place, &truth, 3, &account);
    assert_int_equal(account.dwell_violations, 2); /* the last one had stayed long enough */
    assert_int_equal(account.migrations, 3 + 2 + 1);
}

static void unknown_truth_is_not_charged(void **state)
{
    struct agent_sim_place place = {0};
    struct agent_sim_account account = {0};

    (void)state;
    small_world();
    place.count[0][0] = 10;
    agent_sim_state_start(&world, &place, &before);
    truth.price[1][5] = (double)NAN;
    agent_sim_account_slot(&world, &before, &place, &truth, 5, &account);
    assert_int_equal(account.unknown_slots, 1);
    assert_true(account.load_kwh <= 0.0);
}

static void groups_respect_limits(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    assert_int_equal(agent_sim_world_groups(&world, 5, 6, 1), -EINVAL);
    assert_int_equal(agent_sim_world_groups(&world, 5, 0, 1), -EINVAL);
    assert_int_equal(agent_sim_world_groups(&world, AGENT_SIM_VMS_MAX + 1, 10, 1), -EINVAL);
    assert_int_equal(agent_sim_world_groups(&world, 1003, 20, 7), 0);
    int sum = 0;
    double kw = 0.0;
    for (int g = 0; g < 20; g++) {
        sum += world.groups[g].count;
        kw += world.groups[g].count * world.groups[g].power_kw;
        assert_true(world.groups[g].dwell_slots < AGENT_SIM_DWELL_MAX);
    }
    assert_int_equal(sum, 1003);
    assert_true(fabs(kw - world.load_kw) < 1e-9);
}

static uint64_t random_next(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

static void random_world(uint64_t *random)
{
    memset(&world, 0, sizeof(world));
    memset(&view, 0, sizeof(view));
    world.site_count = 2 + random_next(random) % 5;
    for (size_t s = 0; s < world.site_count; s++) {
        double share = 1.0 / (double)world.site_count;
        world.sites[s] = (struct agent_sim_site){
            (enum agent_area)(1 + random_next(random) % 9), 1.0,
            share + (1.0 - share) * (double)(random_next(random) % 4) / 3.0};
    }
    int groups = 1 + (int)(random_next(random) % 12);
    agent_sim_world_groups(&world, groups + (int)(random_next(random) % 400), groups,
                           random_next(random));
    view.world = &world;
    for (size_t s = 0; s < world.site_count; s++) {
        view.frozen[s] = random_next(random) % 6 == 0 ? "price: late" : NULL;
        for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
            bool known = view.frozen[s] == NULL && random_next(random) % 20 != 0;
            view.price[s][i] = known ? (double)(random_next(random) % 30) : (double)NAN;
            view.measured[s][i] =
                known ? world.load_kw * (double)(random_next(random) % 100) / 80.0 : (double)NAN;
        }
    }
}

static void check_schedule(const char *name, uint64_t round)
{
    for (int slot = 0; slot < AGENT_SIM_SLOTS; slot++) {
        for (size_t g = 0; g < world.group_count; g++) {
            int sum = 0;
            for (size_t s = 0; s < world.site_count; s++) {
                assert_true(schedule[slot].count[g][s] >= 0);
                sum += schedule[slot].count[g][s];
                if (view.frozen[s] != NULL &&
                    schedule[slot].count[g][s] != before.place.count[g][s]) {
                    fail_msg("round %llu: %s moves at a frozen site", (unsigned long long)round,
                             name);
                }
            }
            if (sum != world.groups[g].count) {
                fail_msg("round %llu: %s loses VMs", (unsigned long long)round, name);
            }
        }
        for (size_t s = 0; s < world.site_count; s++) {
            int here = 0;
            for (size_t g = 0; g < world.group_count; g++) {
                here += schedule[slot].count[g][s];
            }
            if (here > agent_sim_capacity(&world, s)) {
                fail_msg("round %llu: %s overfills site %zu: %d of %d", (unsigned long long)round,
                         name, s, here, agent_sim_capacity(&world, s));
            }
        }
    }
}

/* Seeded property: no rule loses a VM, overfills a site, or touches a frozen one. */
static void rules_are_lawful(void **state)
{
    static const struct agent_sim_strategy *const rules[] = {&agent_sim_stay, &agent_sim_cheapest,
                                                             &agent_sim_greedy};
    struct agent_sim_place *place = calloc(1, sizeof(*place));
    uint64_t random = 2026;

    (void)state;
    for (uint64_t round = 0; round < 150; round++) {
        random_world(&random);
        agent_sim_place_even(&world, place);
        agent_sim_state_start(&world, place, &before);
        bool fits = true;
        for (size_t s = 0; s < world.site_count; s++) {
            int here = 0;
            for (size_t g = 0; g < world.group_count; g++) {
                here += place->count[g][s];
            }
            fits = fits && here <= agent_sim_capacity(&world, s);
        }
        assert_true(fits);
        for (size_t k = 0; k < sizeof(rules) / sizeof(rules[0]); k++) {
            assert_int_equal(rules[k]->decide(&view, &before, schedule, NULL), 0);
            check_schedule(rules[k]->name, round);
        }
        memset(view.frozen, 0, sizeof(view.frozen));
        for (size_t s = 0; s < world.site_count; s++) {
            agent_sim_place_at(&world, s, &schedule[0]);
            for (int i = 1; i < AGENT_SIM_SLOTS; i++) {
                schedule[i] = schedule[0];
            }
            check_schedule("static", round);
        }
    }
    free(place);
}

static void cheapest_goes_where_it_is_cheap(void **state)
{
    struct agent_sim_place place;

    (void)state;
    small_world();
    memset(&view, 0, sizeof(view));
    view.world = &world;
    for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
        view.price[0][i] = i < 24 ? 10.0 : 30.0;
        view.price[1][i] = i < 24 ? 10.0 : 20.0;
    }
    agent_sim_place_even(&world, &place);
    agent_sim_state_start(&world, &place, &before);
    assert_int_equal(agent_sim_cheapest.decide(&view, &before, schedule, NULL), 0);
    assert_int_equal(schedule[0].count[0][0], 5); /* a tie moves nobody */
    assert_int_equal(schedule[24].count[0][1], 10);
}

static void greedy_fills_the_surplus(void **state)
{
    struct agent_sim_place place = {0};

    (void)state;
    small_world();
    memset(&view, 0, sizeof(view));
    view.world = &world;
    for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
        view.measured[0][i] = i < 10 ? 0.0 : 7.0;
    }
    place.count[0][1] = 10;
    agent_sim_state_start(&world, &place, &before);
    assert_int_equal(agent_sim_greedy.decide(&view, &before, schedule, NULL), 0);
    assert_int_equal(schedule[9].count[0][0], 0);
    assert_int_equal(schedule[10].count[0][0], 7); /* no more than the surplus feeds */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(account_by_hand),
        cmocka_unit_test(dwell_is_watched),
        cmocka_unit_test(unknown_truth_is_not_charged),
        cmocka_unit_test(groups_respect_limits),
        cmocka_unit_test(rules_are_lawful),
        cmocka_unit_test(cheapest_goes_where_it_is_cheap),
        cmocka_unit_test(greedy_fills_the_surplus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
