/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole runs on the synthetic year: invariants, refused signals, reports.
 * usage: test-simulate-run [--short]   a sanitizer's build: fewer days of what is judged by its figures */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "simulate/report.h"

static struct agent_sim_data data;
static struct agent_sim_result *result;
static int64_t first_day;
static bool is_short;

static int make(void **state)
{
    struct agent_date date = {2025, 5, 10};

    (void)state;
    first_day = agent_slot_at(date, 0);
    result = calloc(1, sizeof(*result));
    return result != NULL &&
                   agent_sim_data_synth(3, first_day - AGENT_SIM_HISTORY_DAYS * 48,
                                        (AGENT_SIM_HISTORY_DAYS + 8) * 48, &data, NULL) == 0
               ? 0
               : -1;
}

static int done(void **state)
{
    (void)state;
    agent_sim_data_done(&data);
    free(result);
    return 0;
}

static struct agent_sim_request request_of(size_t days, int vms)
{
    struct agent_sim_request request = {.site_count = 2,
                                        .first_day = first_day,
                                        .days = days,
                                        .vms = vms,
                                        .groups = 6,
                                        .seed = 4,
                                        .yen_per_gb = 0.1,
                                        .link_gbit_s = 100,
                                        .lead_slots = 14,
                                        .replan_slots = 4,
                                        .gate_slots = 2,
                                        .imbalance_yen_per_kwh = 2};

    request.sites[0] = (struct agent_sim_site){AGENT_AREA_KYUSHU, 1.0, 1.0};
    request.sites[1] = (struct agent_sim_site){AGENT_AREA_KANSAI, 0.2, 1.0};
    return request;
}

static void run(const struct agent_sim_request *request)
{
    struct agent_error error = {0};

    if (agent_sim_run(request, &data, result, &error) != 0) {
        fail_msg("%s", error.text);
    }
}

/* The planner with the truth is the yardstick: nothing that keeps dwell times is much better (it
 * plans day by day, so a few yen over midnight are possible), and energy adds up everywhere. */
static void strategies_make_sense(void **state)
{
    struct agent_sim_request request = request_of(4, 300);

    (void)state;
    run(&request);
    const struct agent_sim_outcome *oracle = agent_sim_find(result, "oracle");
    const struct agent_sim_outcome *uniform = agent_sim_find(result, "uniform");
    const struct agent_sim_outcome *chosen = agent_sim_find(result, "plan:chosen");
    const struct agent_sim_outcome *best_static = agent_sim_find(result, "best_static");
    assert_non_null(oracle);
    assert_non_null(chosen);
    assert_int_equal(result->verdict_count, 0);
    for (size_t i = 0; i < result->outcome_count; i++) {
        const struct agent_sim_account *account = &result->outcomes[i].account;
        assert_int_equal(account->slots, 4 * 48);
        assert_true(fabs(account->load_kwh - result->load_kw * 96.0) < 1e-6 * account->load_kwh);
        assert_true(account->used_kwh <= fmin(account->load_kwh, account->available_kwh) + 1e-6);
        assert_true(account->used_kwh / account->load_kwh <=
                    result->use.dynamic / result->use.load + 1e-9);
        assert_true(result->outcomes[i].regret_share > -0.002);
        if (result->outcomes[i].plan) {
            assert_int_equal(account->dwell_violations, 0);
        }
    }
    assert_int_equal(oracle->account.dwell_violations, 0);
    assert_int_equal(uniform->account.migrations, 0);
    assert_int_equal(best_static->account.migrations, 0);
    assert_true(fabs(uniform->account.used_kwh / uniform->account.load_kwh -
                     result->use.uniform / result->use.load) < 0.01);
    assert_true(chosen->regret < uniform->regret);
    assert_true(chosen->regret < best_static->regret);
    agent_sim_result_done(result);
}

static void same_request_same_result(void **state)
{
    struct agent_sim_request request = request_of(2, 100);
    double first[AGENT_SIM_OUTCOMES_MAX];

    (void)state;
    run(&request);
    size_t count = result->outcome_count;
    for (size_t i = 0; i < count; i++) {
        first[i] = result->outcomes[i].account.objective;
    }
    agent_sim_result_done(result);
    run(&request);
    assert_int_equal(result->outcome_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_memory_equal(&first[i], &result->outcomes[i].account.objective, sizeof(double));
    }
    agent_sim_result_done(result);
}

/* Each kind of fault, on each signal: named, and nothing moves for it. Two sites, one refused: no
 * move is possible at all. */
static void refused_signals_keep_everything_in_place(void **state)
{
    static const enum agent_gate_fault kinds[] = {
        AGENT_GATE_MISSING, AGENT_GATE_LATE,    AGENT_GATE_STALE,       AGENT_GATE_ZERO,
        AGENT_GATE_FUTURE,  AGENT_GATE_REVISED, AGENT_GATE_IMPLAUSIBLE,
    };

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (int which = 0; which < 2; which++) {
            struct agent_sim_request request = request_of(1, 60);
            enum agent_sim_signal signal = which == 0 ? SIM_PV : SIM_PRICE;
            request.fault_count = 1;
            request.faults[0] = (struct agent_sim_fault){AGENT_AREA_KYUSHU, signal, kinds[k], -1};
            request.method = &agent_fc_persistence; /* the gate comes before every method */
            run(&request);
            assert_non_null(agent_sim_find(result, "rolling:persistence"));
            const char *name = agent_gate_fault_name(kinds[k]);
            if (result->verdict_count != 1) {
                fail_msg("%s %s: %zu verdicts", agent_sim_signal_name(signal), name,
                         result->verdict_count);
            }
            assert_int_equal(result->verdicts[0].signal, signal);
            assert_int_equal(result->verdicts[0].area, AGENT_AREA_KYUSHU);
            /* a price that ends too early is late or stale by how early; both are refused */
            bool early = kinds[k] == AGENT_GATE_LATE || kinds[k] == AGENT_GATE_STALE;
            if (!early && result->verdicts[0].fault != kinds[k]) {
                fail_msg("%s: %s", name, result->verdicts[0].text);
            }
            assert_non_null(strstr(result->verdicts[0].text, "kyushu"));
            for (size_t i = 0; i < result->outcome_count; i++) {
                if (result->outcomes[i].account.migrations != 0) {
                    fail_msg("%s moves although %s", result->outcomes[i].name,
                             result->verdicts[0].text);
                }
            }
            agent_sim_result_done(result);
        }
    }
}

/* A fault on one day only: the other days plan as ever. */
static void a_fault_passes(void **state)
{
    struct agent_sim_request request = request_of(2, 60);

    (void)state;
    request.fault_count = 1;
    request.faults[0] =
        (struct agent_sim_fault){AGENT_AREA_KANSAI, SIM_PRICE, AGENT_GATE_MISSING, 0};
    run(&request);
    assert_int_equal(result->verdict_count, 1);
    assert_int_equal(result->verdicts[0].days, 1);
    assert_true(agent_sim_find(result, "plan:chosen")->account.migrations > 0);
    agent_sim_result_done(result);
}

/* The plan that is made again uses what the day shows: cheaper than the day plan over a week, dwell
 * kept, and charged for what it moves after gate closure, less when there is no gate. */
static void rolling_uses_the_day(void **state)
{
    struct agent_sim_request request = request_of(is_short ? 1 : 6, 200);

    (void)state;
    request.replan_slots = 1;
    request.method = &agent_fc_operator;
    run(&request);
    if (is_short) {
        assert_int_equal(agent_sim_find(result, "rolling:operator")->account.dwell_violations, 0);
        agent_sim_result_done(result);
        return;
    }
    const struct agent_sim_outcome *rolling = agent_sim_find(result, "rolling:operator");
    const struct agent_sim_outcome *day = agent_sim_find(result, "plan:operator");
    assert_non_null(rolling);
    assert_int_equal(rolling->account.slots, 6 * 48);
    assert_int_equal(rolling->account.dwell_violations, 0);
    assert_true(rolling->account.objective < day->account.objective);
    assert_true(fabs(day->account.imbalance_kwh) < 1e-9);
    double imbalance = rolling->account.imbalance_kwh;
    assert_true(imbalance > 0 && imbalance < 0.05 * rolling->account.load_kwh);
    agent_sim_result_done(result);
    request.imbalance_yen_per_kwh = 0; /* where it costs nothing, more is moved inside the gate */
    run(&request);
    rolling = agent_sim_find(result, "rolling:operator");
    assert_true(imbalance < 0.5 * rolling->account.imbalance_kwh);
    agent_sim_result_done(result);
}

/* Seeded property over requests: formulas bound what VMs reach; accounts are finite. */
static void random_requests(void **state)
{
    uint64_t random = 7;

    (void)state;
    for (int round = 0; round < (is_short ? 4 : 12); round++) {
        struct agent_sim_request request = request_of(1, 40);
        random = random * 6364136223846793005u + 1442695040888963407u;
        request.site_count = 2 + (random >> 40) % 3;
        for (size_t s = 0; s < request.site_count; s++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            request.sites[s].area = (enum agent_area)(1 + (random >> 33) % 9);
            request.sites[s].ratio = (double)((random >> 20) % 5) / 2.0;
            request.sites[s].capacity = 0.5 + (double)((random >> 50) % 3) / 4.0;
        }
        request.first_day = first_day + (int64_t)((random >> 10) % 7) * 48;
        request.method = &agent_fc_persistence;
        run(&request);
        for (size_t i = 0; i < result->outcome_count; i++) {
            const struct agent_sim_account *account = &result->outcomes[i].account;
            assert_true(isfinite(account->yen) && isfinite(account->gco2));
            assert_true(account->used_kwh >= 0.0);
            if (result->use_known) {
                assert_true(account->used_kwh / account->load_kwh <=
                            result->use.dynamic / result->use.load + 1e-9);
            }
        }
        agent_sim_result_done(result);
    }
}

static void nonsense_is_refused(void **state)
{
    struct agent_error error = {0};
    struct agent_sim_request request = request_of(1, 0);

    (void)state;
    request.site_count = 0;
    assert_int_equal(agent_sim_run(&request, &data, result, &error), -EINVAL);
    request = request_of(300, 0);
    agent_error_clear(&error);
    assert_int_equal(agent_sim_run(&request, &data, result, &error), -EINVAL);
    assert_non_null(strstr(error.text, "span"));
    request = request_of(1, 5);
    agent_error_clear(&error);
    assert_int_equal(agent_sim_run(&request, &data, result, &error), -EINVAL);
    assert_non_null(strstr(error.text, "6 groups"));
}

static void report_json_is_complete(void **state)
{
    static const char *const names[] = {"uniform", "best_static", "dynamic", "oracle"};
    struct agent_sim_request request = request_of(1, 40);
    struct agent_sim_report report = {&request, &data, result, "synthetic"};

    (void)state;
    run(&request);
    json_t *root = agent_sim_report_json(&report);
    assert_non_null(root);
    const json_t *use = json_object_get(root, "renewable_use");
    for (size_t k = 0; k < 4; k++) {
        double share = json_number_value(json_object_get(use, names[k]));
        assert_true(share > 0.0 && share < 1.0);
    }
    assert_true(json_array_size(json_object_get(root, "strategies")) == result->outcome_count);
    assert_true(json_array_size(json_object_get(root, "regret_by_method")) >= 6);
    assert_true(json_array_size(json_object_get(root, "findings")) >= 3);
    json_decref(root);
    agent_sim_result_done(result);
}

/* The page needs nothing from elsewhere and says its findings. */
static void report_html_is_self_contained(void **state)
{
    struct agent_sim_request request = request_of(1, 40);
    struct agent_sim_report report = {&request, &data, result, "<script>\"&"};
    char path[] = "/tmp/vmm-agent-page-XXXXXX";
    struct agent_error error = {0};
    static char page[400000];

    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    run(&request);
    assert_int_equal(agent_sim_report_html(&report, path, &error), 0);
    FILE *file = fopen(path, "r");
    size_t size = fread(page, 1, sizeof(page) - 1, file);
    fclose(file);
    unlink(path);
    page[size] = '\0';
    assert_null(strstr(page, "http"));
    assert_null(strstr(page, "<script"));
    assert_non_null(strstr(page, "&lt;script&gt;&quot;&amp;"));
    assert_non_null(strstr(page, "<svg"));
    assert_non_null(strstr(page, "plan:chosen"));
    assert_non_null(strstr(page, "</html>"));
    assert_null(strstr(page, "nan"));
    assert_int_equal(agent_sim_report_html(&report, "/nonexistent/page.html", &error), -ENOENT);
    agent_sim_result_done(result);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strategies_make_sense),
        cmocka_unit_test(same_request_same_result),
        cmocka_unit_test(refused_signals_keep_everything_in_place),
        cmocka_unit_test(a_fault_passes),
        cmocka_unit_test(rolling_uses_the_day),
        cmocka_unit_test(random_requests),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(report_json_is_complete),
        cmocka_unit_test(report_html_is_self_contained),
    };

    is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    return cmocka_run_group_tests(tests, make, done);
}
