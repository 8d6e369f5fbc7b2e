/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fixture.c - see fixture.h
 * Owner: caller.   Thread: one.   Time: 12 slots.   Units: as in plan/instance.h. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char base[] =
    "{\"schema\":\"apn-migrate/plan-instance/1\",\"name\":\"fixture\",\"slots\":12,"
    "\"weights\":{\"price\":1,\"carbon_yen_per_kg\":2,\"grid_yen_per_kwh\":0.5},"
    "\"areas\":[{\"id\":\"a\"},{\"id\":\"b\"}],"
    "\"sites\":[{\"id\":\"east\",\"area\":\"a\",\"cpu\":100,\"ram_gb\":400,\"pue\":1.2,"
    "\"idle_kw\":0.2,\"power_kw\":20,\"price_yen_per_kwh\":20,\"carbon_g_per_kwh\":400,"
    "\"contract_kw\":12,\"demand_yen_per_kw\":3,\"peak_so_far_kw\":1,"
    "\"battery\":{\"charge_kw\":1,\"discharge_kw\":1,\"soc_kwh\":1,\"soc_max_kwh\":2,"
    "\"soc_final_kwh\":0.5}},"
    "{\"id\":\"west\",\"area\":\"b\",\"cpu\":60,\"ram_gb\":300,\"pue\":1.1,\"idle_kw\":0.2,"
    "\"price_yen_per_kwh\":[18,18,18,18,2,2,2,2,2,2,18,18],\"carbon_g_per_kwh\":200,"
    "\"surplus_kw\":{\"p10\":0.5,\"p50\":1,\"p90\":1.5}}],"
    "\"links\":[{\"from\":\"east\",\"to\":\"west\",\"rate_gbit_s\":0.2,\"yen_per_gb\":0.001,"
    "\"blackout_ms\":25},{\"from\":\"west\",\"to\":\"east\",\"rate_gbit_s\":0.2,"
    "\"yen_per_gb\":0.001,\"blackout_ms\":25}],"
    "\"groups\":[{\"id\":\"web\",\"count\":6,\"cpu\":4,\"ram_gb\":8,\"power_w\":300,"
    "\"min_dwell_slots\":3,\"yen_per_move\":0.05,\"running\":[{\"site\":\"east\",\"count\":6}]},"
    "{\"id\":\"db\",\"count\":4,\"cpu\":8,\"ram_gb\":16,\"power_w\":[500,500,500,500,600,600,600,"
    "600,600,500,500,500],\"yen_per_move\":0.1,\"running\":[{\"site\":\"east\",\"count\":4,"
    "\"dwell_left\":2}]},"
    "{\"id\":\"batch\",\"count\":5,\"cpu\":2,\"ram_gb\":4,\"power_w\":150,\"move_gb\":1,"
    "\"flex\":{\"primary_up\":0.2,\"secondary_up\":0.5},"
    "\"running\":[{\"site\":\"east\",\"count\":5}]}]}";

json_t *fixture_json(void)
{
    json_t *root = json_loads(base, 0, NULL);

    assert_non_null(root);
    return root;
}

void fixture_set(json_t *root, const char *path, const char *text)
{
    char copy[128];
    char *rest = NULL;
    json_error_t place;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &place);

    assert_non_null(value);
    assert_true(strlen(path) < sizeof(copy));
    memcpy(copy, path, strlen(path) + 1);
    for (char *key = strtok_r(copy, ".", &rest); key != NULL;) {
        char *next = strtok_r(NULL, ".", &rest);
        bool index = json_is_array(root);
        if (next == NULL) {
            int ret = index ? json_array_set_new(root, (size_t)atoi(key), value)
                            : json_object_set_new(root, key, value);
            assert_int_equal(ret, 0);
            return;
        }
        root = index ? json_array_get(root, (size_t)atoi(key)) : json_object_get(root, key);
        assert_non_null(root);
        key = next;
    }
}

struct agent_plan_instance *fixture_instance(const json_t *root)
{
    struct agent_plan_instance *instance = NULL;
    struct agent_error error = {0};

    if (agent_plan_instance_parse(root, &instance, &error) < 0) {
        fail_msg("%s", error.text);
    }
    return instance;
}

struct agent_plan *fixture_plan(const struct agent_plan_instance *instance)
{
    struct agent_plan *plan = NULL;
    struct agent_error error = {0};

    if (agent_plan_solve(instance, NULL, &plan, NULL, &error) < 0) {
        fail_msg("%s", error.text);
    }
    return plan;
}

int fixture_refusal(const json_t *root, char *text)
{
    struct agent_plan_instance *instance = NULL;
    struct agent_plan *plan = NULL;
    struct agent_error error = {0};
    int ret = agent_plan_instance_parse(root, &instance, &error);

    if (ret == 0) {
        ret = agent_plan_solve(instance, NULL, &plan, NULL, &error);
        agent_plan_free(plan);
        agent_plan_instance_free(instance);
    }
    if (ret == 0) {
        fail_msg("there is a plan where none should be");
    }
    assert_true(error.code < 0);
    memcpy(text, error.text, AGENT_ERROR_TEXT_MAX);
    return ret;
}
