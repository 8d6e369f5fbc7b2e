/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the generator writes, the adapters must read back: same numbers, residual at most 2 MW. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "grid/adapter.h"
#include "simulate/data.h"
#include "simulate/synth.h"

#define FIRST_DAY 362 /* over the end of March is not possible, over a month's end is */

static struct agent_synth synth;
static char directory[] = "/tmp/vmm-agent-synth-XXXXXX";

static int make(void **state)
{
    struct agent_synth_request request = {directory, 28, 4};

    (void)state;
    if (agent_synth_make(2024, 5, &synth, NULL) != 0 || mkdtemp(directory) == NULL) {
        return -1;
    }
    return agent_synth_write(&synth, &request, NULL) > 0 ? 0 : -1;
}

static int done(void **state)
{
    DIR *open = opendir(directory);
    char path[512];

    (void)state;
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        snprintf(path, sizeof(path), "%s/%.200s", directory, entry->d_name);
        if (entry->d_name[0] != '.') {
            unlink(path);
        }
    }
    closedir(open);
    rmdir(directory);
    agent_synth_done(&synth);
    return 0;
}

static int64_t now(void)
{
    return agent_slot_start(synth.first_slot + 31 * 48);
}

static struct agent_batch *load(const char *name)
{
    struct agent_batch *batch = malloc(sizeof(*batch));
    struct agent_error error = {0};
    char path[512];
    char words[900];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (agent_grid_load(path, NULL, AGENT_AREA_NONE, now(), batch, &error) != 0) {
        fail_msg("%s", agent_error_format(&error, words, sizeof(words)));
    }
    return batch;
}

static void drop(struct agent_batch *batch)
{
    agent_batch_done(batch);
    free(batch);
}

/* Every value of April, all twenty or twenty-two columns, all ten areas. */
static void actuals_come_back(void **state)
{
    (void)state;
    for (int area = 1; area < AGENT_AREA_COUNT; area++) {
        char name[64];
        snprintf(name, sizeof(name), "eria_jukyu_202404_%02d.csv", area);
        struct agent_batch *batch = load(name);
        assert_string_equal(batch->format, "area-actual");
        for (int q = AGENT_DEMAND; q <= AGENT_TOTAL; q++) {
            const struct agent_series *series = agent_batch_find(
                batch, (enum agent_area)area, (enum agent_quantity)q, AGENT_ACTUAL, NULL);
            if (series == NULL) { /* two columns that not everybody has, or all cells empty */
                assert_true(q == AGENT_THERMAL_CURTAILED || q == AGENT_BIOMASS_CURTAILED ||
                            area == AGENT_AREA_SHIKOKU);
                continue;
            }
            if (area != AGENT_AREA_SHIKOKU) { /* its empty cells at the end are no points */
                assert_int_equal(series->count, 30 * 48);
            }
            for (size_t i = 0; i < series->count; i++) {
                const struct agent_point *point = &series->points[i];
                assert_int_equal(point->start_s, agent_slot_start(synth.first_slot + (int64_t)i));
                if (isfinite(point->value)) {
                    assert_int_equal(lrint(point->value), synth.mw[area][q][i]);
                    assert_int_equal(point->quality & ~(uint32_t)AGENT_QUALITY_FUTURE &
                                         ~(uint32_t)AGENT_QUALITY_INCOMPLETE,
                                     0);
                } else {
                    assert_int_equal(synth.mw[area][q][i], 0);
                }
            }
        }
        drop(batch);
    }
}

static void tohoku_running_day(void **state)
{
    struct agent_batch *batch = load("realtime_jukyu_20240502_02.csv");
    const struct agent_series *pv =
        agent_batch_find(batch, AGENT_AREA_TOHOKU, AGENT_PV, AGENT_ACTUAL, NULL);

    (void)state;
    assert_non_null(pv);
    assert_int_equal(lrint(pv->points[0].value), -3); /* its meters at night */
    size_t known = 0;
    for (size_t i = 0; i < pv->count; i++) {
        known += isfinite(pv->points[i].value) ? 1 : 0;
    }
    assert_int_equal(known, 30);
    drop(batch);
}

static void prices_come_back(void **state)
{
    struct agent_batch *spot = load("spot_summary_2024.csv");
    struct agent_batch *imbalance = load("imbalance_202404.csv");

    (void)state;
    for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
        const struct agent_series *price =
            agent_batch_find(spot, (enum agent_area)area, AGENT_PRICE_SPOT, AGENT_ACTUAL, NULL);
        const struct agent_series *shortage = agent_batch_find(
            imbalance, (enum agent_area)area, AGENT_PRICE_IMBALANCE_SHORTAGE, AGENT_ACTUAL, NULL);
        assert_non_null(price);
        assert_non_null(shortage);
        assert_int_equal(price->count, 4 * 48);
        assert_int_equal(shortage->count, 2 * 48);
        for (size_t i = 0; i < 2 * 48; i++) {
            assert_true(fabs(price->points[i].value - synth.price[area][28 * 48 + i]) < 1e-6);
            assert_true(fabs(shortage->points[i].value - synth.imbalance[area][28 * 48 + i]) <
                        1e-6);
        }
    }
    drop(spot);
    drop(imbalance);
}

/* All ten operators' day-ahead files, through a directory: outlooks within rounding. */
static void a_directory_comes_back(void **state)
{
    struct agent_sim_data data;
    struct agent_error error = {0};
    int64_t first = synth.first_slot + 28 * 48;

    (void)state;
    assert_int_equal(
        agent_sim_data_files(directory, first, 4 * 48, now() + 86400 * 30, &data, &error), 0);
    if (data.note_count > 0) {
        fail_msg("%zu notes; first: %s", data.note_count, data.notes[0]);
    }
    for (int area = 1; area < AGENT_AREA_COUNT; area++) {
        for (int64_t i = 0; i < 2 * 48; i++) {
            size_t at = (size_t)(28 * 48 + i);
            double pv = agent_sim_data_at(&data, (enum agent_area)area, SIM_PV, first + i);
            double demand =
                agent_sim_data_at(&data, (enum agent_area)area, SIM_OUTLOOK_DEMAND, first + i);
            double green =
                agent_sim_data_at(&data, (enum agent_area)area, SIM_OUTLOOK_WIND_PV, first + i);
            int32_t expected = synth.mw[area][AGENT_PV][at];
            expected = (expected > 0 ? expected : 0) + synth.mw[area][AGENT_PV_CURTAILED][at];
            assert_int_equal(lrint(pv), expected);
            assert_true(fabs(demand - (double)synth.outlook_demand[area][at]) < 0.01);
            assert_true(fabs(green - (double)synth.outlook_wind_pv[area][at]) < 0.01);
        }
    }
    for (int day = 0; day < 2; day++) { /* of three pages that name a day the last one counts */
        double announced = agent_sim_data_at(&data, AGENT_AREA_KYUSHU, SIM_OUTLOOK_CURTAILED,
                                             first + day * 48 + 20);
        assert_true(fabs(announced - agent_synth_outlook_mw(&synth, 28 + day, 0)) <= 5.0);
    }
    agent_sim_data_done(&data);
}

static void outlook_page_comes_back(void **state)
{
    struct agent_batch *batch = load("kyushu_outlook_20240501.html");
    const struct agent_series *outlook =
        agent_batch_find(batch, AGENT_AREA_KYUSHU, AGENT_CURTAILMENT_OUTLOOK, AGENT_FORECAST, NULL);

    (void)state;
    assert_non_null(outlook);
    assert_int_equal(outlook->count, 3);
    struct agent_date day = {2024, 4, 30};
    assert_int_equal(outlook->issued_s, agent_date_start(day) + 17 * 3600);
    drop(batch);
}

static void flows_come_back(void **state)
{
    struct agent_batch *batch = load("interconnection_flows.csv");
    const struct agent_series *kanmon =
        agent_batch_find(batch, AGENT_AREA_NONE, AGENT_LINE_FLOW, AGENT_ACTUAL, "chugoku-kyushu");

    (void)state;
    assert_non_null(kanmon);
    assert_int_equal(kanmon->count, 4 * 48);
    for (size_t i = 0; i < kanmon->count; i++) {
        assert_int_equal(lrint(kanmon->points[i].value), -synth.line[3][28 * 48 + i]);
    }
    drop(batch);
}

static void wrong_requests_are_refused(void **state)
{
    struct agent_error error = {0};
    struct agent_synth_request late = {directory, FIRST_DAY, 4};
    struct agent_synth_request nowhere = {"/nonexistent/place", 0, 1};

    (void)state;
    assert_int_equal(agent_synth_write(&synth, &late, &error), -EINVAL);
    assert_non_null(strstr(error.text, "362"));
    agent_error_clear(&error);
    assert_int_equal(agent_synth_write(&synth, &nowhere, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nonexistent/place"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actuals_come_back),          cmocka_unit_test(tohoku_running_day),
        cmocka_unit_test(prices_come_back),           cmocka_unit_test(a_directory_comes_back),
        cmocka_unit_test(outlook_page_comes_back),    cmocka_unit_test(flows_come_back),
        cmocka_unit_test(wrong_requests_are_refused),
    };

    return cmocka_run_group_tests(tests, make, done);
}
