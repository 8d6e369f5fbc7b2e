/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_instance.c - libFuzzer target: any bytes as an instance, then as a plan for the fixture
 * Owner: none.   Thread: one.   Time: none.   Units: none.
 *
 * Small instances that are accepted are also planned, so the solver sees odd but valid input. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan/plan.h"

#define CELLS_MAX 4000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void try_plan(const struct agent_plan_instance *instance)
{
    struct agent_plan_options options = {.threads = 1, .time_limit_s = 0.2};
    struct agent_error error = {0};
    struct agent_plan *plan = NULL;
    long cells = (long)instance->slots * instance->site_count * (instance->group_count + 1);

    if (cells > CELLS_MAX) {
        return;
    }
    if (agent_plan_solve(instance, &options, &plan, NULL, &error) == 0) {
        struct agent_plan *again = NULL;
        json_t *root = agent_plan_to_json(plan);
        if (plan->bound > plan->cost.total ||
            agent_plan_from_json(root, instance, false, &again, &error) < 0) {
            abort();
        }
        json_decref(root);
        agent_plan_free(again);
        agent_plan_free(plan);
    } else if (error.text[0] == '\0') {
        abort(); /* refused without a word */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct agent_plan_instance *instance = NULL;
    struct agent_error error = {0};
    json_t *root = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);

    if (root == NULL) {
        return 0;
    }
    if (agent_plan_instance_parse(root, &instance, &error) == 0) {
        try_plan(instance);
        agent_plan_instance_free(instance);
    } else if (error.text[0] == '\0') {
        abort();
    }
    json_decref(root);
    return 0;
}
