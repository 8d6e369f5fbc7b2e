/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_parts.c - pieces of the planner against brute force: rows, routes, batteries, the bound
 * Owner: none.   Thread: one.   Time: 12 slots.   Units: yen.   Seeds are printed on failure. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "plan/bound.h"
#include "plan/row.h"
#include "plan/store.h"

static uint64_t seed = 88172645463325252u;

static double uniform(double low, double high)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return low + (high - low) * (double)(seed >> 11) / 9007199254740992.0;
}

static double at_n(const struct plan_row *row, double y, double n)
{
    double charge = n > row->knee[0] ? row->slope[0] * (n - row->knee[0]) : 0;

    return charge + row->lambda * (y - n) + row->rho / 2 * (y - n) * (y - n);
}

/* The smoothed charge is a minimum: nothing on a fine grid lies below it, its price is its slope. */
static void smoothed_charge_is_the_envelope(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct plan_row row = {.lambda = uniform(0, 4), .rho = uniform(0.1, 3), .knees = 2,
                               .knee = {uniform(-2, 2), 3}, .slope = {uniform(0, 2), INFINITY}};
        double y = uniform(-4, 8);
        double stiff;
        double value = plan_row_smooth(&row, y);
        double least = fmin(at_n(&row, y, row.knee[0]), at_n(&row, y, 3));
        for (double n = -12; n < 3; n += 0.0005) {
            least = fmin(least, at_n(&row, y, n));
        }
        assert_true(value <= least + 1e-9);
        assert_true(value >= least - 1e-5);
        double slope = (plan_row_smooth(&row, y + 1e-6) - plan_row_smooth(&row, y - 1e-6)) / 2e-6;
        assert_float_equal(slope, plan_row_price_at(&row, y, &stiff), 1e-4);
    }
}

struct world {
    json_t *root;
    struct agent_plan_instance *instance;
    struct plan_model *model;
    struct plan_route_desk desk;
};

static void world_begin(struct world *world, const char *path, const char *value)
{
    struct agent_error error = {0};

    world->root = fixture_json();
    if (path != NULL) {
        fixture_set(world->root, path, value);
    }
    world->instance = fixture_instance(world->root);
    assert_int_equal(plan_model_new(world->instance, &world->model, &error), 0);
    assert_int_equal(plan_route_desk_init(&world->desk, world->model), 0);
}

static void world_end(struct world *world)
{
    plan_route_desk_done(&world->desk);
    plan_model_free(world->model);
    agent_plan_instance_free(world->instance);
    json_decref(world->root);
}

/* All 2^12 ways between two sites that keep hold and dwell. */
static double cheapest_by_force(const struct world *world, const struct plan_class *class,
                                const struct plan_start *start, const double *row)
{
    double least = PLAN_FAR;

    for (int code = 0; code < 1 << 12; code++) {
        uint8_t sites[12];
        int before = start->site;
        int until = start->hold;
        bool keeps = true;
        for (int slot = 0; slot < 12; slot++) {
            sites[slot] = code >> slot & 1;
            if (sites[slot] != before) {
                keeps = keeps && slot >= until;
                until = slot + class->dwell;
            }
            before = sites[slot];
        }
        if (keeps) {
            least = fmin(least, plan_route_cost(&world->desk, world->model, class, start, sites,
                                                row));
        }
    }
    return least;
}

static void route_search_finds_the_cheapest_way(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, NULL, NULL);
    for (int round = 0; round < 60; round++) {
        const struct plan_class *class = &world.model->classes[round % 3];
        struct plan_start start = class->starts[0];
        uint8_t sites[12];
        double *row = calloc((size_t)world.model->row_count, sizeof(double));
        start.hold = (int)uniform(0, 5);
        for (int cell = 0; cell < 24; cell++) {
            world.desk.node[cell] = uniform(-1, 3);
        }
        for (int at = world.model->base[PLAN_RAM]; at < world.model->base[PLAN_LIMIT]; at++) {
            row[at] = uniform(0, 1) < 0.7 ? 0 : uniform(0, 0.1);
        }
        plan_route_solve(&world.desk, world.model, class, row);
        double yen = plan_route_take(&world.desk, world.model, class, &start, sites);
        assert_float_equal(yen, cheapest_by_force(&world, class, &start, row), 1e-9);
        assert_float_equal(
            yen, plan_route_cost(&world.desk, world.model, class, &start, sites, row), 1e-9);
        free(row);
    }
    world_end(&world);
}

/* The bound at any multipliers whatever stays below the cost of a plan that keeps everything. */
static void any_multipliers_give_a_valid_bound(void **state)
{
    static const char *const gates[] = {
        "{\"id\":\"a\"}",
        "{\"id\":\"a\",\"gate_slots\":3,\"committed_kw\":6,\"imbalance_up_yen_per_kwh\":60,"
        "\"imbalance_down_yen_per_kwh\":1}"};

    (void)state;
    for (int gate = 0; gate < 2; gate++) {
        struct world world;
        struct plan_bound bound;
        world_begin(&world, "areas.0", gates[gate]);
        struct agent_plan *plan = fixture_plan(world.instance);
        struct plan_pool *pool = plan_pool_new(world.model, 2);
        assert_int_equal(plan_bound_init(&bound, world.model), 0);
        for (int round = 0; round < 300; round++) {
            double scale = pow(10, uniform(-3, 1));
            plan_bound_take(&bound, world.model);
            for (int row = 0; row < world.model->row_count; row++) {
                bool on = world.model->used[row] && uniform(0, 1) < 0.5;
                bound.row[row] = on ? uniform(0, scale) : 0;
            }
            plan_bound_solve(&bound, world.model, pool);
            if (bound.yen > plan->cost.total) {
                fail_msg("round %d: bound %g is above the cost %g", round, bound.yen,
                         plan->cost.total);
            }
        }
        plan_bound_done(&bound);
        plan_pool_free(pool);
        agent_plan_free(plan);
        world_end(&world);
    }
}

/* With prices alone (linear charges) the battery's gain can be found on a grid of levels. */
static double battery_by_grid(const struct plan_store *store, const double *price, int slots)
{
    enum { LEVELS = 401 };
    double low = 0, high = 2, step = (high - low) / (LEVELS - 1);
    double value[LEVELS], next[LEVELS];

    for (int at = 0; at < LEVELS; at++) {
        next[at] = low + at * step >= store->level_min[slots - 1] - 1e-9 ? 0 : INFINITY;
    }
    for (int slot = slots - 1; slot >= 0; slot--) {
        for (int from = 0; from < LEVELS; from++) {
            value[from] = INFINITY;
            for (int to = 0; to < LEVELS; to++) {
                double rise = (to - from) * step;
                if (rise <= store->rise_max + 1e-9 && -rise <= store->fall_max + 1e-9) {
                    double yen = price[slot] * plan_store_kw(store, rise) + next[to];
                    value[from] = fmin(value[from], yen);
                }
            }
        }
        memcpy(next, value, sizeof(next));
    }
    return next[(int)lround((store->level[0] - low) / step)];
}

static void battery_exchanges_reach_the_best(void **state)
{
    struct world world;
    struct agent_error error = {0};
    double price[12];

    (void)state;
    world_begin(&world, NULL, NULL);
    struct plan_store *store = &world.model->stores[0];
    for (int slot = 0; slot < 12; slot++) { /* straight charges: price per kW, plenty of load */
        struct plan_row *row = &world.model->rows[plan_row_at(world.model, PLAN_ENERGY, slot, 0)];
        price[slot] = uniform(1, 10);
        *row = (struct plan_row){.y = 50, .lambda = price[slot], .rho = 1e-9, .knees = 1,
                                 .knee = {-1000}, .slope = {price[slot]}};
        world.model->used[plan_row_at(world.model, PLAN_PEAK, slot, 0)] = 0;
    }
    assert_int_equal(plan_store_begin(world.model, 0, &error), 0);
    plan_store_improve(world.model, 0, 1000);
    double yen = 0;
    for (int slot = 0; slot < 12; slot++) {
        yen += price[slot] * plan_store_kw(store, store->rise[slot]);
        assert_true(store->level[slot + 1] >= store->level_min[slot] - 1e-9);
        assert_true(store->level[slot + 1] <= store->level_max[slot] + 1e-9);
    }
    double grid = battery_by_grid(store, price, 12);
    assert_true(yen <= grid + 1e-6);
    assert_true(yen >= grid - 0.2); /* the grid is coarse */
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smoothed_charge_is_the_envelope),
        cmocka_unit_test(route_search_finds_the_cheapest_way),
        cmocka_unit_test(any_multipliers_give_a_valid_bound),
        cmocka_unit_test(battery_exchanges_reach_the_best),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
