/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_replan.c - a plan from a store of synthetic signals and a made-up running state: what moves,
 * what stays when a signal fails, that the reason is named, and that threads do not matter */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "act/replan.h"
#include "forecast/forecast.h"
#include "simulate/synth.h"

#define HISTORY_DAYS 12
#define NOW_SLOT     16 /* 08:00 JST: the sun of the day is still ahead */
#define VMS          12

static const char config[] =
    "sites:\n"
    "  - {name: fukuoka, area: kyushu, renewable_kw: 2}\n"
    "  - {name: osaka, area: kansai, renewable_kw: 0.2,\n"
    "     battery: {name: b1, charge_kw: 0.1, discharge_kw: 0.1, soc_max_kwh: 1, soc_kwh: 0.5}}\n"
    "  - {name: tokyo, area: tokyo, paper: true}\n"
    "hosts:\n"
    "  - {name: f1, site: fukuoka, address: 127.0.0.1, directory: /run/a, cpu: 16, ram_mib: 8192,\n"
    "     idle_w: 50, busy_w: 300}\n"
    "  - {name: o1, site: osaka, address: 127.0.0.2, directory: /run/b, cpu: 16, ram_mib: 8192,\n"
    "     idle_w: 50, busy_w: 300}\n"
    "links:\n  - {a: fukuoka, b: osaka, rate_gbit_s: 2, rtt_ms: 6}\n"
    "groups:\n"
    "  - {name: web, cpu: 1, ram_mib: 256, power_w: 100, min_dwell_slots: 4, yen_per_move: 0.01,\n"
    "     start: [qemu, '{vm}', '{qmp}', '{incoming}']}\n"
    "vms:\n";

static struct agent_synth synth;
static struct agent_yaml *root;
static struct agent_inventory *inventory;
static struct agent_replan_settings settings;
static char directory[] = "/tmp/test-replan-XXXXXX";
static char store_path[64];
static int64_t today;

static int build_inventory(void)
{
    static char text[8192];
    struct agent_error error = {0};
    size_t used = (size_t)snprintf(text, sizeof(text), "%s", config);

    for (int vm = 0; vm < VMS; vm++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "  - {name: web%02d, group: web, host: o1%s}\n", vm,
                                 vm == VMS - 1 ? ", pinned: true" : "");
    }
    int status = agent_yaml_parse(text, used, "t.yaml", &root, &error);
    status = status < 0 ? status : agent_inventory_read(root, &inventory, &error);
    if (status < 0) {
        print_error("%s\n", error.text);
    }
    return status;
}

/* The sunniest day of May in Kyushu: there is something to move for. */
static int64_t sunny_day(void)
{
    int64_t best = 0;
    double most = -1;

    for (int64_t day = 60; day < 80; day++) {
        double sum = 0;
        for (int slot = 0; slot < AGENT_SLOTS_PER_DAY; slot++) {
            sum += synth.mw[AGENT_AREA_KYUSHU][AGENT_PV][day * AGENT_SLOTS_PER_DAY + slot];
        }
        best = sum > most ? day : best;
        most = fmax(most, sum);
    }
    return synth.first_slot + best * AGENT_SLOTS_PER_DAY;
}

static int set_up(void **state)
{
    (void)state;
    agent_replan_settings_default(&settings);
    if (agent_synth_make(2025, 5, &synth, NULL) < 0 || mkdtemp(directory) == NULL ||
        build_inventory() < 0) {
        return -1;
    }
    today = sunny_day();
    snprintf(store_path, sizeof(store_path), "%s/a.db", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    agent_inventory_free(inventory);
    agent_yaml_free(root);
    agent_synth_done(&synth);
    return rmdir(directory);
}

static int no_store(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[80];

    (void)state;
    for (size_t at = 0; at < 3; at++) {
        snprintf(path, sizeof(path), "%s%s", store_path, ends[at]);
        unlink(path);
    }
    return 0;
}

/* What a source can do to a series. */
enum spoil { SOUND, NOTHING, LATE, STALE, ZERO, FUTURE, DOUBTED };

static double value_of(enum agent_area area, enum agent_quantity quantity, enum agent_stage stage,
                       int64_t slot)
{
    size_t at = (size_t)(slot - synth.first_slot);

    if (quantity == AGENT_PRICE_SPOT) {
        return synth.price[area][at];
    }
    if (stage == AGENT_FORECAST) {
        return (double)(quantity == AGENT_WIND_PV ? synth.outlook_wind_pv[area][at]
                                                  : synth.outlook_demand[area][at]);
    }
    return synth.mw[area][quantity][at];
}

static void put_series(struct agent_batch *batch, enum agent_area area,
                       enum agent_quantity quantity, enum agent_stage stage, enum spoil spoil)
{
    bool ahead = stage == AGENT_FORECAST || quantity == AGENT_PRICE_SPOT;
    int64_t end = today + (ahead ? AGENT_SLOTS_PER_DAY : NOW_SLOT);
    struct agent_series *series = agent_batch_series(batch, area, quantity, stage, NULL);

    end -= spoil == LATE ? (ahead ? AGENT_SLOTS_PER_DAY : 40) : spoil == STALE ? 150 : 0;
    end += spoil == FUTURE && !ahead ? 4 : 0;
    for (int64_t slot = today - HISTORY_DAYS * AGENT_SLOTS_PER_DAY; slot < end; slot++) {
        bool judged = slot >= today - 3 * AGENT_SLOTS_PER_DAY;
        struct agent_point point = {
            agent_slot_start(slot), AGENT_SLOT_SECONDS,
            spoil == DOUBTED && judged ? AGENT_QUALITY_RANGE : 0,
            spoil == ZERO && judged ? 0 : value_of(area, quantity, stage, slot)};
        assert_int_equal(agent_series_append(series, point), 0);
    }
}

static void fill_store(enum spoil kyushu_price, enum spoil kyushu_pv)
{
    static struct agent_batch batch;
    static const enum agent_area areas[] = {AGENT_AREA_KYUSHU, AGENT_AREA_KANSAI, AGENT_AREA_TOKYO};
    struct agent_store *store = NULL;

    no_store(NULL);
    assert_int_equal(agent_store_open(store_path, &store, NULL), 0);
    agent_batch_init(&batch, "synthetic", "test");
    batch.fetched_s = agent_slot_start(today);
    for (size_t at = 0; at < 3; at++) {
        bool kyushu = areas[at] == AGENT_AREA_KYUSHU;
        if (!kyushu || kyushu_price != NOTHING) {
            put_series(&batch, areas[at], AGENT_PRICE_SPOT, AGENT_ACTUAL,
                       kyushu ? kyushu_price : SOUND);
        }
        if (!kyushu || kyushu_pv != NOTHING) {
            put_series(&batch, areas[at], AGENT_PV, AGENT_ACTUAL, kyushu ? kyushu_pv : SOUND);
        }
        put_series(&batch, areas[at], AGENT_PV_CURTAILED, AGENT_ACTUAL, SOUND);
        put_series(&batch, areas[at], AGENT_DEMAND, AGENT_ACTUAL, SOUND);
        put_series(&batch, areas[at], AGENT_WIND_PV, AGENT_FORECAST, SOUND);
    }
    assert_true(agent_store_put_batch(store, &batch, NULL) > 0);
    agent_batch_done(&batch);
    agent_store_close(store);
}

/* All machines run in Osaka for long. */
static struct agent_running *everything_in_osaka(int64_t slot)
{
    struct agent_running *running = calloc(1, sizeof(*running));

    running->now_s = agent_slot_start(slot) + 5;
    running->scale = 1;
    running->vms = calloc(VMS, sizeof(*running->vms));
    running->links = calloc(1, sizeof(*running->links));
    running->hosts = calloc(2, sizeof(*running->hosts));
    running->links[0].rate_gbit_s = NAN;
    for (int vm = 0; vm < VMS; vm++) {
        running->vms[vm] = (struct agent_running_vm){.state = AGENT_VM_RUNNING,
                                                     .host = 1,
                                                     .dest = -1,
                                                     .power_w = NAN,
                                                     .move_bytes = NAN,
                                                     .blackout_ms = NAN};
    }
    for (int host = 0; host < 2; host++) {
        running->hosts[host].up = true;
    }
    return running;
}

static void done_running(struct agent_running *running)
{
    free(running->vms);
    free(running->links);
    free(running->hosts);
    free(running);
}

static void plan(const struct agent_running *running, const json_t *before,
                 struct agent_replan_answer *answer)
{
    struct agent_replan_ask ask = {.inventory = inventory,
                                   .running = running,
                                   .settings = &settings,
                                   .store_path = store_path,
                                   .before = before};
    struct agent_error error = {0};

    memset(answer, 0, sizeof(*answer));
    int status = agent_replan_run(&ask, answer, &error);
    assert_string_equal(error.text, "");
    assert_int_equal(status, 0);
}

static int moved(const struct agent_replan_answer *answer)
{
    int count = 0;

    for (size_t vm = 0; vm < answer->vm_count; vm++) {
        for (int slot = 0; answer->vms[vm].site != NULL && slot < answer->slots; slot++) {
            if (answer->vms[vm].site[slot] != 1) {
                count++;
                break;
            }
        }
    }
    return count;
}

static const json_t *signal_of(const struct agent_replan_answer *answer, size_t site)
{
    return json_array_get(json_object_get(answer->document, "signals"), site);
}

static void test_follows_the_sun(void **state)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct agent_replan_answer answer;

    (void)state;
    fill_store(SOUND, SOUND);
    plan(running, NULL, &answer);
    assert_false(answer.stayed);
    assert_int_equal(answer.slots, AGENT_SLOTS_PER_DAY - NOW_SLOT);
    assert_true(answer.first_slot_s == agent_slot_start(today + NOW_SLOT));
    assert_true(moved(&answer) >= VMS / 2);
    for (size_t vm = 0; vm < VMS; vm++) {
        assert_true(answer.vms[vm].reason[0] != '\0');
        assert_true(answer.vms[vm].benefit_yen >= -1.0);
        for (int slot = 0; answer.vms[vm].site != NULL && slot < answer.slots; slot++) {
            assert_true(answer.vms[vm].site[slot] < 2); /* never at the site on paper */
        }
    }
    assert_null(answer.vms[VMS - 1].site);
    assert_non_null(strstr(answer.vms[VMS - 1].reason, "pinned"));
    assert_true(json_array_size(json_object_get(answer.document, "inputs")) == 1);
    assert_string_equal(json_string_value(json_object_get(signal_of(&answer, 0), "verdict")), "ok");
    assert_non_null(json_object_get(signal_of(&answer, 0), "method"));
    const json_t *site = json_array_get(json_object_get(answer.document, "sites"), 0);
    const json_t *price = json_object_get(json_object_get(site, "outlook"), "price_yen_per_kwh");
    assert_int_equal(json_array_size(price), answer.slots);
    assert_int_equal(json_array_size(json_object_get(site, "load_kw")), answer.slots);
    agent_replan_answer_done(&answer);
    done_running(running);
}

static void expect_kept(enum spoil price, enum spoil pv, const char *signal, const char *word)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct agent_replan_answer answer;

    fill_store(price, pv);
    plan(running, NULL, &answer);
    assert_int_equal(moved(&answer), 0);
    const json_t *found = signal_of(&answer, 0);
    assert_string_equal(json_string_value(json_object_get(found, "verdict")), signal);
    assert_non_null(strstr(json_string_value(json_object_get(found, "reason")), word));
    assert_non_null(strstr(answer.note, word));
    const json_t *kept = json_array_get(json_object_get(answer.document, "kept"), 0);
    assert_string_equal(json_string_value(json_object_get(kept, "where")), "fukuoka");
    agent_replan_answer_done(&answer);
    done_running(running);
}

static void test_a_failed_signal_keeps_things_in_place(void **state)
{
    (void)state;
    expect_kept(NOTHING, SOUND, "price", "price_spot: missing");
    expect_kept(LATE, SOUND, "price", "price_spot: late");
    expect_kept(STALE, SOUND, "price", "price_spot: stale");
    expect_kept(ZERO, SOUND, "price", "price_spot: zero");
    expect_kept(DOUBTED, SOUND, "price", "price_spot: implausible");
    expect_kept(SOUND, NOTHING, "surplus", "pv: missing");
    expect_kept(SOUND, LATE, "surplus", "pv: late");
    expect_kept(SOUND, STALE, "surplus", "pv: stale");
    expect_kept(SOUND, ZERO, "surplus", "pv: zero");
    expect_kept(SOUND, FUTURE, "surplus", "pv: future");
    expect_kept(SOUND, DOUBTED, "surplus", "pv: implausible");
}

static void test_without_a_store_nothing_moves(void **state)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct agent_replan_answer answer;

    no_store(state);
    plan(running, NULL, &answer);
    assert_int_equal(moved(&answer), 0);
    assert_non_null(strstr(answer.note, "nothing moves: 3 of 3 sites"));
    assert_int_equal(access(store_path, F_OK), -1); /* asking made none */
    agent_replan_answer_done(&answer);
    done_running(running);
}

/* Today's prices of Kyushu again, half of them other, fetched after the first plan. */
static void revise_prices(int64_t fetched_s)
{
    static struct agent_batch batch;
    struct agent_store *store = NULL;

    assert_int_equal(agent_store_open(store_path, &store, NULL), 0);
    agent_batch_init(&batch, "synthetic", "test");
    batch.fetched_s = fetched_s;
    batch.digest = 2;
    struct agent_series *series =
        agent_batch_series(&batch, AGENT_AREA_KYUSHU, AGENT_PRICE_SPOT, AGENT_ACTUAL, NULL);
    for (int slot = 0; slot < AGENT_SLOTS_PER_DAY; slot += 2) {
        struct agent_point point = {
            agent_slot_start(today + slot), AGENT_SLOT_SECONDS, 0,
            synth.price[AGENT_AREA_KYUSHU][today + slot - synth.first_slot] + 1};
        assert_int_equal(agent_series_append(series, point), 0);
    }
    assert_true(agent_store_put_batch(store, &batch, NULL) > 0);
    agent_batch_done(&batch);
    agent_store_close(store);
}

static void test_revised_once_then_used(void **state)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct agent_replan_answer first, second, third;

    (void)state;
    fill_store(SOUND, SOUND);
    plan(running, NULL, &first);
    assert_true(moved(&first) > 0);
    revise_prices(running->now_s + 60);
    running->now_s += 120;
    plan(running, first.document, &second);
    assert_int_equal(moved(&second), 0);
    assert_non_null(strstr(second.note, "revised"));
    running->now_s += 120;
    plan(running, second.document, &third);
    assert_true(moved(&third) > 0);
    agent_replan_answer_done(&first);
    agent_replan_answer_done(&second);
    agent_replan_answer_done(&third);
    done_running(running);
}

static void test_states_that_fix_a_machine(void **state)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct agent_replan_answer answer;

    (void)state;
    fill_store(SOUND, SOUND);
    running->vms[0].state = AGENT_VM_PAUSED;
    running->vms[1].state = AGENT_VM_ABSENT;
    running->vms[1].host = -1;
    running->vms[2].state = AGENT_VM_UNKNOWN;
    running->vms[2].host = -1;
    running->vms[3].state = AGENT_VM_MOVING;
    running->vms[3].dest = 0;
    snprintf(running->vms[4].fixed, sizeof(running->vms[4].fixed), "a person said so");
    for (int vm = 5; vm < VMS; vm++) { /* came two slots ago: two of four are left */
        running->vms[vm].since_s = (double)running->now_s - 2 * AGENT_SLOT_SECONDS;
    }
    plan(running, NULL, &answer);
    for (int vm = 0; vm < 5; vm++) {
        assert_null(answer.vms[vm].site);
        assert_true(answer.vms[vm].reason[0] != '\0');
    }
    assert_non_null(strstr(answer.vms[4].reason, "a person said so"));
    assert_true(moved(&answer) > 0);
    for (int vm = 5; vm < VMS - 1; vm++) {
        assert_int_equal(answer.vms[vm].site[0], 1);
        assert_int_equal(answer.vms[vm].site[1], 1);
    }
    agent_replan_answer_done(&answer);
    done_running(running);
}

static void test_no_plan_is_staying(void **state)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct agent_replan_answer answer;
    double limit = inventory->sites[1].power_kw;

    (void)state;
    fill_store(SOUND, SOUND);
    inventory->sites[1].power_kw = 0.5; /* twelve machines take 1.2 kW and must stay at first */
    for (int vm = 0; vm < VMS; vm++) {
        running->vms[vm].since_s = (double)running->now_s;
    }
    plan(running, NULL, &answer);
    inventory->sites[1].power_kw = limit;
    assert_true(answer.stayed);
    assert_int_equal(moved(&answer), 0);
    assert_non_null(strstr(answer.note, "osaka"));
    assert_non_null(strstr(answer.note, "power"));
    assert_string_equal(json_string_value(json_object_get(answer.document, "stopped")), "no-plan");
    agent_replan_answer_done(&answer);
    done_running(running);
}

struct job {
    const struct agent_running *running;
    struct agent_replan_answer answer;
    int status;
};

static void *work(void *opaque)
{
    struct job *job = opaque;
    struct agent_replan_ask ask = {.inventory = inventory,
                                   .running = job->running,
                                   .settings = &settings,
                                   .store_path = store_path};

    job->status = agent_replan_run(&ask, &job->answer, NULL);
    return NULL;
}

static void test_threads_do_not_matter(void **state)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct job jobs[3] = {{.running = running}, {.running = running}, {.running = running}};
    pthread_t threads[3];

    (void)state;
    fill_store(SOUND, SOUND);
    for (int at = 0; at < 3; at++) {
        assert_int_equal(pthread_create(&threads[at], NULL, work, &jobs[at]), 0);
    }
    for (int at = 0; at < 3; at++) {
        pthread_join(threads[at], NULL);
        assert_int_equal(jobs[at].status, 0);
        assert_true(json_equal(jobs[at].answer.document, jobs[0].answer.document));
    }
    for (int at = 0; at < 3; at++) {
        agent_replan_answer_done(&jobs[at].answer);
    }
    done_running(running);
}

/* Slot after slot: the warm start and what was bought come from the document before. */
static void test_rolls(void **state)
{
    struct agent_running *running = everything_in_osaka(today + NOW_SLOT);
    struct agent_replan_answer before, after;

    (void)state;
    fill_store(SOUND, SOUND);
    plan(running, NULL, &before);
    for (int slot = 1; slot < 4; slot++) {
        running->now_s += AGENT_SLOT_SECONDS;
        for (int vm = 0; vm < VMS; vm++) {
            int wanted = before.vms[vm].site != NULL ? before.vms[vm].site[0] : 1;
            if (wanted == 0 && running->vms[vm].host == 1) {
                running->vms[vm].host = 0;
                running->vms[vm].since_s = (double)running->now_s - AGENT_SLOT_SECONDS;
            }
        }
        plan(running, before.document, &after);
        assert_int_equal(after.slots, AGENT_SLOTS_PER_DAY - NOW_SLOT - slot);
        assert_false(after.stayed);
        for (int vm = 0; vm < VMS; vm++) { /* who came less than four slots ago stays */
            bool young = running->vms[vm].host == 0;
            assert_true(!young || after.vms[vm].site == NULL || after.vms[vm].site[0] == 0);
        }
        agent_replan_answer_done(&before);
        before = after;
    }
    agent_replan_answer_done(&before);
    done_running(running);
}

static void test_settings(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"plan: {price: 1, carbon_yen_per_kg: 3, risk: {p10: 0.5, p50: 0.5, p90: 0}, "
         "gate_slots: 4, method: clear-sky, threads: 2}\n",
         NULL},
        {"plan: {prices: 1}\n", "prices"},
        {"plan: {risk: {p10: 0.5}}\n", "not 1"},
        {"plan: {gate_slots: 1.5}\n", "whole"},
        {"plan: {method: nonsense}\n", "nonsense"},
        {"plan: {horizon_slots: 2}\n", "horizon_slots"},
        {"plan: {time_limit_s: nan}\n", "time_limit_s"},
    };

    (void)state;
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        struct agent_replan_settings read;
        struct agent_error error = {0};
        struct agent_yaml *node = NULL;
        assert_int_equal(
            agent_yaml_parse(cases[at].text, strlen(cases[at].text), "t.yaml", &node, &error), 0);
        int status = agent_replan_settings_read(node, &read, &error);
        assert_int_equal(status == 0, cases[at].error == NULL);
        if (cases[at].error != NULL) {
            assert_non_null(strstr(error.text, cases[at].error));
            assert_int_equal(error.line, 1);
        } else {
            assert_int_equal(read.gate_slots, 4);
            assert_string_equal(read.method->name, "clear-sky");
        }
        agent_yaml_free(node);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_follows_the_sun, no_store),
        cmocka_unit_test_teardown(test_a_failed_signal_keeps_things_in_place, no_store),
        cmocka_unit_test_teardown(test_without_a_store_nothing_moves, no_store),
        cmocka_unit_test_teardown(test_revised_once_then_used, no_store),
        cmocka_unit_test_teardown(test_states_that_fix_a_machine, no_store),
        cmocka_unit_test_teardown(test_no_plan_is_staying, no_store),
        cmocka_unit_test_teardown(test_threads_do_not_matter, no_store),
        cmocka_unit_test_teardown(test_rolls, no_store),
        cmocka_unit_test(test_settings),
    };

    return cmocka_run_group_tests_name("replan", tests, set_up, tear_down);
}
