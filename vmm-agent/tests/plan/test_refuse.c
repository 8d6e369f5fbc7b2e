/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_refuse.c - every nonsense or impossible instance is refused in words that name it
 * Owner: none.   Thread: one.   Time: 12 slots.   Units: as in plan/instance.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

/* One change to the fixture, and what the refusal must say. */
struct refusal {
    const char *path;
    const char *value;
    int code;
    const char *words[3];
};

static const struct refusal refusals[] = {
    /* nonsense */
    {"schema", "\"other/1\"", -EINVAL, {"schema is 'other/1'"}},
    {"slots", "47", -EINVAL, {"slots is 47"}},
    {"slots", "0", -EINVAL, {"slots"}},
    {"slots", "24", -EINVAL, {"price_yen_per_kwh has 12 values, the horizon has 24"}},
    {"start_slot", "12", -EINVAL, {"start_slot"}},
    {"end_slot", "0", -EINVAL, {"end_slot"}},
    {"slot_minutes", "15", -EINVAL, {"slot_minutes"}},
    {"typo", "1", -EINVAL, {"typo"}},
    {"weights.carbon_yen_per_kg", "-1", -EINVAL, {"carbon_yen_per_kg", "-1"}},
    {"risk", "{\"p10\":0.5,\"p50\":0.5,\"p90\":0.5}", -EINVAL, {"sum to 1", "1.5"}},
    {"risk", "{\"peak\":\"p99\"}", -EINVAL, {"p99"}},
    {"sites", "[]", -EINVAL, {"sites"}},
    {"sites.1.id", "\"east\"", -EINVAL, {"used twice"}},
    {"sites.0.power_kw", "-5", -EINVAL, {"east", "power_kw", "-5"}},
    {"sites.0.pue", "0.9", -EINVAL, {"pue", "0.9", "1..5"}},
    {"sites.0.cpu", "\"many\"", -EINVAL, {"cpu", "not a number"}},
    {"sites.1.price_yen_per_kwh.3", "-2", -EINVAL, {"slot 3", "-2"}},
    {"sites.1.price_yen_per_kwh.3", "99999", -EINVAL, {"slot 3", "99999"}},
    {"sites.1.surplus_kw", "{\"p10\":2,\"p50\":1,\"p90\":3}", -EINVAL, {"ascend"}},
    {"sites.1.area", "\"c\"", -EINVAL, {"unknown area 'c'"}},
    {"sites.0.battery.soc_max_kwh", "-1", -EINVAL, {"soc_max_kwh"}},
    {"areas.0", "{\"id\":\"a\",\"gate_slots\":2}", -EINVAL, {"committed_kw is missing"}},
    {"areas.0",
     "{\"id\":\"a\",\"gate_slots\":1,\"committed_kw\":1,\"imbalance_up_yen_per_kwh\":5,"
     "\"imbalance_down_yen_per_kwh\":6}",
     -EINVAL,
     {"imbalance down 6 is above imbalance up 5"}},
    {"links.0.to", "\"wset\"", -EINVAL, {"unknown site 'wset'", "did you mean 'west'"}},
    {"links.0.to", "\"east\"", -EINVAL, {"both 'east'"}},
    {"links.1", "{\"from\":\"east\",\"to\":\"west\",\"rate_gbit_s\":1}", -EINVAL, {"given twice"}},
    {"links.0.rate_gbit_s", "-1", -EINVAL, {"rate_gbit_s", "-1"}},
    {"groups.0.count", "0", -EINVAL, {"count"}},
    {"groups.0.count", "5", -EINVAL, {"6 VMs are running, count is 5"}},
    {"groups.0.power_w", "-300", -EINVAL, {"web", "power_w", "-300"}},
    {"groups.0.min_dwell_slots", "0", -EINVAL, {"min_dwell_slots"}},
    {"groups.0.sites", "[\"mars\"]", -EINVAL, {"unknown site 'mars'"}},
    {"groups.0.sites", "[]", -EINVAL, {"web", "may run nowhere"}},
    {"groups.1.id", "\"web\"", -EINVAL, {"'web' is used twice"}},
    {"groups.2.flex", "{\"primary_up\":0.9,\"secondary_up\":0.5}", -EINVAL, {"primary_up 0.9"}},
    {"groups.0.running.0.site", "\"moon\"", -EINVAL, {"unknown site 'moon'"}},
    {"affinity", "[{\"id\":\"x\",\"groups\":[\"web\",\"nobody\"]}]", -EINVAL, {"nobody"}},
    {"affinity", "[{\"id\":\"x\",\"groups\":[\"web\",\"web\"]}]", -EINVAL, {"named twice"}},
    {"affinity", "[{\"id\":\"x\",\"groups\":[\"web\"],\"mode\":\"near\"}]", -EINVAL, {"near"}},
    {"unknown", "[{\"signal\":\"mood\",\"site\":\"east\",\"reason\":\"r\"}]", -EINVAL, {"mood"}},
    {"unknown", "[{\"signal\":\"price\",\"site\":\"east\"}]", -EINVAL, {"reason"}},
    /* impossible, by how much */
    {"sites.0.cpu", "2", -EDOM, {"cpu", "need 66 cores, there are 62", "4 too few"}},
    {"sites.1.ram_gb", "0", -EDOM, {"need", "GB"}},
    {"groups.1.sites", "[\"west\"]", -EDOM, {"db", "dwell keeps them there 2 slots"}},
    {"groups.0.sites", "[\"west\"]", -EDOM, {"'web': 6 VMs run at 'east', where", "no link", "8 GB"}},
    {"sites.0.contract_kw", "0.1", -EDOM, {"no plan exists, proved", "above the limit"}},
    {"sites.0.power_kw", "0.1", -EDOM, {"power_kw", "too much"}},
    {"sites.0.battery.soc_kwh", "3", -EDOM, {"soc_kwh 3 is outside"}},
    {"sites.0.battery.soc_final_kwh", "2.5", -EDOM, {"soc_final_kwh 2.5", "by 0.5"}},
    {"anti_affinity", "[{\"id\":\"s\",\"groups\":[\"web\"],\"max_per_site\":2}]", -EDOM,
     {"'s'", "hold 4", "2 too many"}},
    {"sites.0.reserve", "{\"secondary_up_kw\":30}", -EDOM, {"reserve up, kW", "is above the limit"}},
    {"affinity", "[{\"id\":\"x\",\"groups\":[\"web\",\"db\"]}]", -EDOM, {"6 VMs", "4"}},
};

static void refuses_with_the_reason(void **state)
{
    char text[AGENT_ERROR_TEXT_MAX];

    (void)state;
    for (size_t index = 0; index < sizeof(refusals) / sizeof(refusals[0]); index++) {
        const struct refusal *refusal = &refusals[index];
        json_t *root = fixture_json();
        fixture_set(root, refusal->path, refusal->value);
        if (strcmp(refusal->path, "groups.0.sites") == 0 && refusal->code == -EDOM) {
            fixture_set(root, "links.0.rate_gbit_s", "0.01");
        }
        if (strcmp(refusal->path, "sites.1.ram_gb") == 0) {
            fixture_set(root, "sites.0.ram_gb", "100");
        }
        int code = fixture_refusal(root, text);
        if (code != refusal->code) {
            fail_msg("%s = %s: code %d: %s", refusal->path, refusal->value, code, text);
        }
        for (size_t word = 0; word < 3 && refusal->words[word] != NULL; word++) {
            if (strstr(text, refusal->words[word]) == NULL) {
                fail_msg("%s = %s: '%s' is not in: %s", refusal->path, refusal->value,
                         refusal->words[word], text);
            }
        }
        json_decref(root);
    }
}

static void refuses_numbers_that_are_none(void **state)
{
    static const char *const texts[] = {"{\"slots\": NaN}", "{\"slots\": Infinity}",
                                        "{\"slots\": 1e999}", "{\"slots\": 12, \"slots\": 12}"};

    (void)state;
    for (size_t index = 0; index < sizeof(texts) / sizeof(texts[0]); index++) {
        char path[] = "/tmp/plan-refuse-XXXXXX";
        int fd = mkstemp(path);
        FILE *file = fdopen(fd, "w");
        struct agent_plan_instance *instance = NULL;
        struct agent_error error = {0};
        assert_non_null(file);
        fputs(texts[index], file);
        fclose(file);
        assert_true(agent_plan_instance_load(path, &instance, &error) < 0);
        assert_string_equal(error.file, path);
        assert_true(error.line > 0);
        remove(path);
    }
}

/* A site that must be vacated through links too small for it. */
static void refuses_links_too_small_to_vacate(void **state)
{
    char text[AGENT_ERROR_TEXT_MAX];
    json_t *root = fixture_json();

    (void)state;
    fixture_set(root, "sites.0.cpu", "[100,100,100,100,20,20,20,100,100,100,100,100]");
    fixture_set(root, "links.0.rate_gbit_s", "0.06"); /* 13.5 GB per slot */
    assert_int_equal(fixture_refusal(root, text), -EDOM);
    assert_non_null(strstr(text, "no plan exists"));
    json_decref(root);
    root = fixture_json(); /* 48 GB must leave at once, the link carries 45 */
    fixture_set(root, "groups.0.sites", "[\"west\"]");
    assert_int_equal(fixture_refusal(root, text), -EDOM);
    assert_non_null(strstr(text, "link east to west: migration, GB: slot 0"));
    assert_non_null(strstr(text, "no plan exists, proved"));
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_the_reason),
        cmocka_unit_test(refuses_numbers_that_are_none),
        cmocka_unit_test(refuses_links_too_small_to_vacate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
