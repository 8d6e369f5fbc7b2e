/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_rolling.c - planning again from what runs: gate closure, dwell, warm starts of other slots,
 * staying when there is no plan */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/rolling.h"

#define DAY INT64_C(986160) /* a slot of 00:00 JST */

/* Ten machines in the east; the west is cheap in slots 20..30. */
struct scene {
    double price[2][AGENT_ROLL_SLOTS];
    double none[AGENT_ROLL_SLOTS];
    struct agent_roll_site sites[2];
    struct agent_roll_link links[2];
    struct plan_running running[2];
    struct agent_roll_group group;
    struct agent_roll roll;
};

static struct scene *scene(void)
{
    struct scene *made = calloc(1, sizeof(*made));
    static const char *const names[2] = {"east", "west"};

    for (int slot = 0; slot < AGENT_ROLL_SLOTS; slot++) {
        made->price[0][slot] = 15;
        made->price[1][slot] = slot >= 20 && slot < 30 ? 5 : 20;
    }
    for (int s = 0; s < 2; s++) {
        made->sites[s] =
            (struct agent_roll_site){.id = names[s],
                                     .area = names[s],
                                     .cpu = 20,
                                     .ram_gb = 100,
                                     .power_kw = (double)INFINITY,
                                     .contract_kw = (double)INFINITY,
                                     .pue = 1,
                                     .price = made->price[s],
                                     .carbon = made->none,
                                     .surplus_kw = {made->none, made->none, made->none}};
        made->links[s] = (struct agent_roll_link){.from = s, .to = 1 - s, .rate_gbit_s = 10};
    }
    made->running[0] = (struct plan_running){0, 10, 0};
    made->group = (struct agent_roll_group){.id = "web",
                                            .count = 10,
                                            .cpu = 1,
                                            .ram_gb = 1,
                                            .power_w = 100,
                                            .move_gb = 1,
                                            .yen_per_move = 0.01,
                                            .dwell_slots = 2,
                                            .sites = 3,
                                            .running_count = 1,
                                            .running = made->running};
    made->roll = (struct agent_roll){.name = "test",
                                     .day_slot = DAY,
                                     .end = 48,
                                     .weight_price = 1,
                                     .gate_slots = 4,
                                     .imbalance_yen_per_kwh = 100,
                                     .site_count = 2,
                                     .sites = made->sites,
                                     .link_count = 2,
                                     .links = made->links,
                                     .group_count = 1,
                                     .groups = &made->group};
    return made;
}

static void solve(const struct scene *of, struct agent_roll_answer *answer)
{
    struct agent_error error = {0};

    memset(answer, 0, sizeof(*answer));
    if (agent_roll_solve(&of->roll, answer, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

static int in_west(const struct agent_roll_answer *answer, int slot)
{
    int count = 0;

    for (int leg = 0; leg < answer->plan->leg_count; leg++) {
        const struct plan_leg *way = &answer->plan->legs[leg];
        count += way->sites[slot - answer->instance->first] == 1 ? way->count : 0;
    }
    return count;
}

static void test_follows_the_price(void **state)
{
    struct scene *of = scene();
    struct agent_roll_answer answer;

    (void)state;
    solve(of, &answer);
    assert_int_equal(in_west(&answer, 19), 0);
    assert_int_equal(in_west(&answer, 20), 10);
    assert_int_equal(in_west(&answer, 29), 10);
    assert_int_equal(in_west(&answer, 30), 0);
    assert_true(agent_roll_slot(answer.document) == DAY);
    agent_roll_answer_done(&answer);
    free(of);
}

/* The price turns when the gate of slots 20..23 has closed: what was bought stands, what was not is
 * planned anew. Without a gate everything is. */
static void test_gate(void **state)
{
    struct scene *of = scene();
    struct agent_roll_answer before, after;

    (void)state;
    solve(of, &before);
    of->roll.first = 20;
    of->running[0].site = 1;
    of->roll.before = before.document;
    for (int slot = 20; slot < 30; slot++) {
        of->price[1][slot] = 30;
    }
    solve(of, &after);
    assert_int_equal(in_west(&after, 20), 10);
    assert_int_equal(in_west(&after, 23), 10);
    assert_int_equal(in_west(&after, 24), 0);
    agent_roll_answer_done(&after);
    of->roll.gate_slots = 0;
    solve(of, &after);
    assert_int_equal(in_west(&after, 20), 0);
    agent_roll_answer_done(&after);
    agent_roll_answer_done(&before);
    free(of);
}

/* A document of yesterday covers none of today's slots: nothing counts as bought, its prices serve.
 */
static void test_over_midnight(void **state)
{
    struct scene *of = scene();
    struct agent_roll_answer before, cold, warm;

    (void)state;
    of->roll.day_slot = DAY - 48;
    solve(of, &before);
    of->roll.day_slot = DAY;
    solve(of, &cold);
    of->roll.before = before.document;
    solve(of, &warm);
    assert_true(fabs(warm.plan->cost.total - cold.plan->cost.total) < 1e-6);
    assert_int_equal(warm.instance->areas[0].gate_slots, 0);
    assert_true(warm.plan->sweeps <= cold.plan->sweeps);
    of->roll.day_slot = DAY - 48; /* the window goes on into today: both are in it */
    of->roll.first = 40;
    of->roll.end = 88;
    agent_roll_answer_done(&warm);
    solve(of, &warm);
    assert_int_equal(warm.instance->areas[0].gate_slots, 4);
    assert_int_equal(in_west(&warm, 87), 0);
    agent_roll_answer_done(&warm);
    agent_roll_answer_done(&cold);
    agent_roll_answer_done(&before);
    free(of);
}

static void test_dwell_and_fixed(void **state)
{
    struct scene *of = scene();
    struct agent_roll_answer answer;

    (void)state;
    of->roll.first = 18;
    of->running[0] = (struct plan_running){0, 6, 5};
    of->running[1] = (struct plan_running){0, 4, 0};
    of->group.running_count = 2;
    solve(of, &answer);
    assert_int_equal(in_west(&answer, 22), 4);
    assert_int_equal(in_west(&answer, 23), 10);
    agent_roll_answer_done(&answer);
    of->group.fixed = "a person said so";
    solve(of, &answer);
    assert_int_equal(answer.plan->figures.moves, 0);
    agent_roll_answer_done(&answer);
    free(of);
}

static void test_unknown(void **state)
{
    struct scene *of = scene();
    struct agent_roll_answer answer;

    (void)state;
    of->price[1][35] = NAN; /* one hole in what is planned freezes the site */
    solve(of, &answer);
    assert_int_equal(answer.plan->figures.moves, 0);
    assert_int_equal(answer.instance->unknown_count, 1);
    assert_string_equal(answer.instance->unknowns[0].where, "west");
    agent_roll_answer_done(&answer);
    of->roll.end = 35; /* outside it does not matter */
    solve(of, &answer);
    assert_int_equal(in_west(&answer, 20), 10);
    agent_roll_answer_done(&answer);
    of->sites[0].unknown_signal = "price";
    of->sites[0].unknown_reason = "late: newest 2026-04-01";
    solve(of, &answer);
    assert_int_equal(answer.plan->figures.moves, 0);
    assert_non_null(strstr(answer.instance->unknowns[0].reason, "late"));
    agent_roll_answer_done(&answer);
    of->sites[0].unknown_signal = NULL;
    of->links[0].rate_gbit_s = NAN; /* nobody knows what the link carries */
    solve(of, &answer);
    assert_int_equal(answer.plan->figures.moves, 0);
    agent_roll_answer_done(&answer);
    free(of);
}

static void test_no_plan_is_staying(void **state)
{
    struct scene *of = scene();
    struct agent_roll_answer answer;
    struct agent_error error = {0};

    (void)state;
    of->sites[0].power_kw = 0.35; /* 1.0 kW runs there and cannot leave in the first slot */
    of->running[0].dwell_left = 6;
    solve(of, &answer);
    assert_true(answer.stayed);
    assert_non_null(strstr(answer.why, "no plan exists"));
    assert_non_null(strstr(answer.why, "east"));
    assert_int_equal(answer.plan->figures.moves, 0);
    assert_string_equal(json_string_value(json_object_get(answer.document, "stopped")), "no-plan");
    assert_true(json_is_null(json_object_get(answer.document, "bound_yen")));
    agent_roll_answer_done(&answer);
    of->group.count = 11; /* and one waits to be placed: there is nothing to stay at */
    solve(of, &answer);
    assert_true(answer.stayed);
    assert_null(answer.plan);
    assert_null(answer.document);
    agent_roll_answer_done(&answer);
    of->sites[0].pue = -1;
    assert_true(agent_roll_solve(&of->roll, &answer, &error) < 0);
    assert_non_null(strstr(error.text, "pue"));
    agent_roll_answer_done(&answer);
    free(of);
}

/* Somebody's document is not trusted. */
static void test_strange_documents(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"schema\":\"apn-migrate/plan/1\",\"start\":\"never\",\"start_slot\":0}",
        "{\"schema\":\"apn-migrate/plan/1\",\"start\":\"2026-04-02T00:00:00+09:00\","
        "\"start_slot\":-5,\"end_slot\":1e9,\"sites\":[{\"id\":\"east\",\"load_kw\":[null,\"x\"]}]"
        "}",
        "{\"schema\":\"apn-migrate/plan/1\",\"start\":\"2026-04-02T00:00:00+09:00\","
        "\"start_slot\":0,\"end_slot\":2,\"sites\":[{\"id\":\"east\",\"prices\":{\"load\":[-1,2]}}]"
        "}",
    };
    struct scene *of = scene();
    struct agent_roll_answer answer;

    (void)state;
    for (size_t at = 0; at < sizeof(texts) / sizeof(texts[0]); at++) {
        json_t *before = json_loads(texts[at], 0, NULL);
        assert_non_null(before);
        of->roll.before = before;
        solve(of, &answer);
        assert_int_equal(in_west(&answer, 20), 10);
        agent_roll_answer_done(&answer);
        json_decref(before);
    }
    free(of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_the_price), cmocka_unit_test(test_gate),
        cmocka_unit_test(test_over_midnight),     cmocka_unit_test(test_dwell_and_fixed),
        cmocka_unit_test(test_unknown),           cmocka_unit_test(test_no_plan_is_staying),
        cmocka_unit_test(test_strange_documents),
    };

    return cmocka_run_group_tests_name("rolling", tests, NULL, NULL);
}
