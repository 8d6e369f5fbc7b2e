/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_result.c - libFuzzer target: an instance, a zero byte, and any bytes as a plan for it
 * Owner: none.   Thread: one.   Time: none.   Units: none.
 *
 * Somebody's plan is read whole (and then checked and explained) and once more for its prices. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

#define CELLS_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void use(const struct agent_plan *plan)
{
    struct plan_breaches breaches = {0};
    struct plan_cost cost;
    struct plan_figures figures;
    int count = agent_plan_check(plan, &breaches, &cost, &figures);

    if (count < 0 || count != breaches.count || (count == 0 && isnan(cost.total))) {
        abort();
    }
    json_decref(agent_plan_explain(plan, NULL));
    json_decref(agent_plan_to_json(plan));
}

static void read_plan(const json_t *root, const struct agent_plan_instance *instance)
{
    for (int prices_only = 0; prices_only < 2; prices_only++) {
        struct agent_error error = {0};
        struct agent_plan *plan = NULL;
        if (agent_plan_from_json(root, instance, prices_only != 0, &plan, &error) < 0) {
            if (error.text[0] == '\0') {
                abort(); /* refused without a word */
            }
        } else if (prices_only == 0) {
            use(plan);
        }
        agent_plan_free(plan);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(bytes, 0, size) : NULL;
    struct agent_plan_instance *instance = NULL;
    struct agent_error error = {0};

    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - bytes);
    json_t *question = json_loadb((const char *)bytes, head, JSON_REJECT_DUPLICATES, NULL);
    json_t *answer =
        json_loadb((const char *)end + 1, size - head - 1, JSON_REJECT_DUPLICATES, NULL);
    if (question != NULL && answer != NULL &&
        agent_plan_instance_parse(question, &instance, &error) == 0) {
        if ((long)instance->slots * instance->site_count * (instance->group_count + 1) <=
            CELLS_MAX) {
            read_plan(answer, instance);
        }
        agent_plan_instance_free(instance);
    }
    json_decref(question);
    json_decref(answer);
    return 0;
}
