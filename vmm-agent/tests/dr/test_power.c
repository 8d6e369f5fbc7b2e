/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_power.c - frequency to power, meters, baseline, delivered power and its report
 * Owner: none.   Thread: one.   Time: from a Tuesday, 2026-04-07.   Units: Hz, kW, ms. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "dr/frequency.h"
#include "dr/report.h"

#define SECOND   INT64_C(1000000000)
#define HOUR_MS  INT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
#define TUESDAY  INT64_C(1775487600000) /* 2026-04-07T00:00:00+09:00 */
#define EVENT_MS (TUESDAY + 13 * HOUR_MS)

static const struct agent_dr_droop_settings reserve = {.nominal_hz = 50,
                                                       .deadband_hz = 0.01,
                                                       .full_hz = 0.21,
                                                       .down_kw = 40,
                                                       .up_kw = 20,
                                                       .step_kw = 2,
                                                       .hold_s = 30,
                                                       .stale_s = 3};

static void line_and_deadband(void **state)
{
    (void)state;
    static const struct {
        double hz;
        double kw;
    } points[] = {{50, 0},   {49.99, 0},  {50.01, 0},  {49.89, -20}, {49.79, -40},
                  {49, -40}, {50.11, 10}, {50.21, 20}, {52, 20}};

    for (size_t index = 0; index < sizeof(points) / sizeof(points[0]); index++) {
        assert_float_equal(agent_dr_droop_kw(&reserve, points[index].hz), points[index].kw, 1e-6);
    }
    struct agent_dr_droop_settings other = reserve;
    other.nominal_hz = 60;
    assert_float_equal(agent_dr_droop_kw(&other, 59.89), -20, 1e-6);
}

static void grows_at_once_and_goes_back_slowly(void **state)
{
    (void)state;
    struct agent_dr_droop droop = {.settings = reserve};

    assert_int_equal(agent_dr_droop_take(&droop, 49.995, SECOND), 0);
    assert_int_equal(agent_dr_droop_take(&droop, 49.985, 2 * SECOND), 0); /* 1 kW: below the step */
    assert_int_equal(agent_dr_droop_take(&droop, 49.89, 3 * SECOND), 1);
    assert_float_equal(droop.answer_kw, -20, 1e-6);
    assert_int_equal(agent_dr_droop_take(&droop, 49.7, 4 * SECOND), 1);
    assert_float_equal(droop.answer_kw, -40, 1e-6);
    for (int64_t at = 5; at < 34; at++) { /* calm, but not for long enough */
        assert_int_equal(agent_dr_droop_take(&droop, 50, at * SECOND), 0);
    }
    assert_int_equal(agent_dr_droop_take(&droop, 49.6, 34 * SECOND), 0); /* and not calm again */
    for (int64_t at = 35; at < 65; at++) {
        assert_int_equal(agent_dr_droop_take(&droop, 50, at * SECOND), 0);
    }
    assert_int_equal(agent_dr_droop_take(&droop, 50, 65 * SECOND), 1);
    assert_true(droop.answer_kw == 0);
    assert_int_equal(agent_dr_droop_take(&droop, 50.5, 66 * SECOND), 1); /* up */
    assert_float_equal(droop.answer_kw, 20, 1e-6);
    assert_int_equal(agent_dr_droop_take(&droop, 49.5, 67 * SECOND), 1); /* turned round: at once */
    assert_float_equal(droop.answer_kw, -40, 1e-6);
}

static void a_silent_meter_lets_go(void **state)
{
    (void)state;
    struct agent_dr_droop droop = {.settings = reserve};

    agent_dr_droop_take(&droop, 49.5, SECOND);
    for (int64_t at = 2; at < 35; at++) {
        assert_int_equal(agent_dr_droop_tick(&droop, at * SECOND), 0);
        assert_int_equal(droop.stale, at > 4);
    }
    assert_int_equal(agent_dr_droop_tick(&droop, 35 * SECOND), 1);
    assert_true(droop.answer_kw == 0);
}

static void readings(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "fifty", "49.9 50.1", "0",     "44.9",
                                      "55.1", "nan",   "4e1",       "49,98", "-50"};
    double hz = 0;

    assert_int_equal(agent_dr_frequency_parse(" 49.987\n", 50, &hz, NULL), 0);
    assert_true(hz == 49.987);
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        if (agent_dr_frequency_parse(bad[index], 50, &hz, NULL) != -EINVAL) {
            fail_msg("'%s' was taken as a frequency", bad[index]);
        }
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    fputs(text, file);
    fclose(file);
}

static void meters(void **state)
{
    (void)state;
    char folder[] = "/tmp/dr-meter-XXXXXX";
    char path[100];
    char where[160];
    struct agent_dr_meter meter;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    double hz = 0;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/hz", folder);
    assert_int_equal(agent_dr_meter_open(&meter, path, NULL), 0);
    assert_int_equal(agent_dr_meter_read(&meter, 50, &hz, NULL), 0); /* not there yet */
    write_file(path, "49.9\n");
    assert_int_equal(agent_dr_meter_read(&meter, 50, &hz, NULL), 1);
    assert_true(hz == 49.9);
    assert_int_equal(agent_dr_meter_read(&meter, 50, &hz, NULL), 0); /* the same once more */
    write_file(path, "broken");
    assert_int_equal(agent_dr_meter_read(&meter, 50, &hz, NULL), -EINVAL);
    agent_dr_meter_close(&meter);
    snprintf(where, sizeof(where), "unix:%s", path);
    assert_int_equal(agent_dr_meter_open(&meter, where, NULL), -EEXIST); /* a plain file is kept */
    unlink(path);
    assert_int_equal(agent_dr_meter_open(&meter, where, NULL), 0);
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(agent_dr_meter_read(&meter, 50, &hz, NULL), 0);
    assert_int_equal(sendto(sender, "49.8", 4, 0, (struct sockaddr *)&address, sizeof(address)), 4);
    assert_int_equal(sendto(sender, "49.7", 4, 0, (struct sockaddr *)&address, sizeof(address)), 4);
    assert_int_equal(agent_dr_meter_read(&meter, 50, &hz, NULL), 1);
    assert_true(hz == 49.7); /* the newest counts */
    close(sender);
    agent_dr_meter_close(&meter);
    assert_int_equal(access(path, F_OK), -1);
    rmdir(folder);
}

/* Days of 100 kW with 10 kW more each later day; @skip: bit per day back that held an event. */
static void fill_days(struct agent_dr_history *history, int days, unsigned skip)
{
    for (int day = days; day >= 1; day--) {
        for (int slot = 0; slot < 48; slot++) {
            int64_t at_ms = TUESDAY - day * DAY_MS + slot * HOUR_MS / 2;
            double kw = 100 + 10 * (days - day) + (slot >= 26 ? 20 : 0);
            agent_dr_history_slot(history, at_ms / (HOUR_MS / 2), kw,
                                  (skip >> day & 1) != 0 && slot == 26);
        }
    }
}

static void baseline_of_days(void **state)
{
    (void)state;
    struct agent_dr_history history;
    assert_int_equal(agent_dr_history_init(&history), 0);
    fill_days(&history, 21, 0);
    /* today draws 30 kW more than the days before did, hour for hour */
    for (int slot = 0; slot < 26; slot++) {
        agent_dr_history_slot(&history, TUESDAY / (HOUR_MS / 2) + slot, 330, false);
    }
    struct agent_dr_baseline found =
        agent_dr_baseline_at(&history, EVENT_MS, EVENT_MS + HOUR_MS, EVENT_MS, EVENT_MS + HOUR_MS);

    /* working days back from Tuesday: 1, 4, 5, 6, 7 -> 300, 270, 260, 250, 240; without the last */
    assert_int_equal(found.method, AGENT_DR_METHOD_DAYS);
    assert_int_equal(found.days, 4);
    assert_float_equal(found.kw, 350, 1e-6); /* 330 in the morning, 20 more in the afternoon */
    assert_float_equal(found.adjust_kw, 330 - 270, 1e-6);
    assert_float_equal(found.sigma_kw, 0, 1e-6); /* all days have the same shape */
    agent_dr_history_done(&history);
}

static void days_with_events_are_no_baseline(void **state)
{
    (void)state;
    struct agent_dr_history history;
    assert_int_equal(agent_dr_history_init(&history), 0);
    fill_days(&history, 21, 1u << 1 | 1u << 4);
    struct agent_dr_baseline found =
        agent_dr_baseline_at(&history, EVENT_MS, EVENT_MS + HOUR_MS, EVENT_MS, EVENT_MS + HOUR_MS);

    /* 5, 6, 7, 8, 11 -> 280, 270, 260, 250, 220; without the lowest, and nothing to adjust by */
    assert_float_equal(found.kw, (280 + 270 + 260 + 250) / 4.0, 1e-6);
    assert_true(found.adjust_kw == 0);
    assert_float_equal(found.sigma_kw, sqrt(500 / 3.0 * 1.25), 1e-6);
    agent_dr_history_done(&history);
}

/* Samples a second apart: @before kW until the event, then @after. */
static void fill_seconds(struct agent_dr_history *history, double before, double after)
{
    for (int64_t at_ms = EVENT_MS - 600000; at_ms <= EVENT_MS + 600000; at_ms += 1000) {
        bool event = at_ms > EVENT_MS;
        double wave = (at_ms / 1000 % 2 == 0 ? 1 : -1) * 2;
        struct agent_dr_sample sample = {at_ms, (event ? after : before) + wave, 3};
        agent_dr_history_add(history, &sample, event);
    }
}

static void delivered_by_the_minutes_before(void **state)
{
    (void)state;
    struct agent_dr_history history;
    assert_int_equal(agent_dr_history_init(&history), 0);
    fill_seconds(&history, 200, 150);
    struct agent_dr_baseline baseline =
        agent_dr_baseline_at(&history, EVENT_MS, EVENT_MS + 600000, EVENT_MS, EVENT_MS + 600000);
    struct agent_dr_delivered found =
        agent_dr_delivered_over(&history, &baseline, EVENT_MS, EVENT_MS + 600000);

    assert_int_equal(baseline.method, AGENT_DR_METHOD_BEFORE);
    assert_float_equal(baseline.kw, 200, 0.05);
    assert_float_equal(found.change_kw, -50, 0.1);
    assert_float_equal(found.energy_kwh, -50.0 / 6, 0.05);
    assert_float_equal(found.covered, 1, 1e-6);
    assert_float_equal(found.sigma_kw, hypot(3, 3), 0.05);
    /* a measurement that has holes says so */
    found = agent_dr_delivered_over(&history, &baseline, EVENT_MS + 300000, EVENT_MS + 900000);
    assert_float_equal(found.covered, 0.5, 0.01);
    found =
        agent_dr_delivered_over(&history, &baseline, EVENT_MS + HOUR_MS, EVENT_MS + 2 * HOUR_MS);
    assert_true(isnan(found.change_kw));
    agent_dr_history_done(&history);
}

static void no_history_no_baseline(void **state)
{
    (void)state;
    struct agent_dr_history history;
    assert_int_equal(agent_dr_history_init(&history), 0);
    struct agent_dr_baseline found =
        agent_dr_baseline_at(&history, EVENT_MS, EVENT_MS + HOUR_MS, EVENT_MS, EVENT_MS + HOUR_MS);

    assert_int_equal(found.method, AGENT_DR_METHOD_NONE);
    assert_true(isnan(found.kw));
    agent_dr_history_done(&history);
}

static const json_t *path_of(const json_t *object, const char *keys)
{
    char copy[128];

    snprintf(copy, sizeof(copy), "%s", keys);
    for (char *key = strtok(copy, "."); key != NULL; key = strtok(NULL, ".")) {
        object = key[0] >= '0' && key[0] <= '9' ? json_array_get(object, (size_t)atoi(key))
                                                : json_object_get(object, key);
        if (object == NULL) {
            fail_msg("no '%s' in '%s'", key, keys);
        }
    }
    return object;
}

static void reports(void **state)
{
    (void)state;
    struct agent_dr_event *event = agent_dr_event_new(1);
    struct agent_dr_outcome outcomes[2] = {
        {.interval = 0, .from_ms = EVENT_MS, .to_ms = EVENT_MS + HOUR_MS, .followed = true},
        {.interval = 7, .from_ms = EVENT_MS + HOUR_MS, .to_ms = EVENT_MS + 2 * HOUR_MS}};
    struct agent_dr_reported site = {"east", outcomes, 2};
    struct agent_dr_report_request request = {
        .payload = "DELTA_USAGE", .historical = true, .start_interval = -1, .num_intervals = -1};
    struct agent_dr_report_context context = {.client = "ven-1", .clock_ms = 5000};

    snprintf(event->id, sizeof(event->id), "e-9");
    outcomes[0].delivered = (struct agent_dr_delivered){
        .drawn_kw = 150, .change_kw = -50, .energy_kwh = -50, .sigma_kw = 4, .covered = 1};
    outcomes[1].delivered.drawn_kw = NAN;
    outcomes[1].delivered.energy_kwh = NAN;
    json_t *report = agent_dr_report_build(event, &request, &site, 1, &context);
    assert_string_equal(json_string_value(path_of(report, "eventID")), "e-9");
    assert_true(json_number_value(path_of(report, "payloadDescriptors.0.accuracy")) == 4);
    assert_true(json_number_value(path_of(report, "resources.0.intervals.0.payloads.0.values.0")) ==
                -50);
    assert_string_equal(
        json_string_value(path_of(report, "resources.0.intervals.0.intervalPeriod.start")),
        "2026-04-07T04:00:05.000Z");
    assert_string_equal(
        json_string_value(path_of(report, "resources.0.intervals.1.payloads.0.values.0")),
        "MISSING");
    json_decref(report);
    snprintf(request.payload, sizeof(request.payload), "OPERATING_STATE");
    request.start_interval = 1; /* historical: what comes before it */
    report = agent_dr_report_build(event, &request, &site, 1, &context);
    assert_int_equal(json_array_size(path_of(report, "resources.0.intervals")), 1);
    assert_string_equal(
        json_string_value(path_of(report, "resources.0.intervals.0.payloads.0.values.0")),
        "RUNNING_CURTAILED");
    json_decref(report);
    request.historical = false;
    report = agent_dr_report_build(event, &request, &site, 1, &context);
    assert_int_equal(json_integer_value(path_of(report, "resources.0.intervals.0.id")), 7);
    assert_string_equal(
        json_string_value(path_of(report, "resources.0.intervals.0.payloads.0.values.0")),
        "RUNNING_OPTED_OUT");
    json_decref(report);
    snprintf(request.payload, sizeof(request.payload), "WEATHER");
    assert_null(agent_dr_report_build(event, &request, &site, 1, &context));
    agent_dr_event_free(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_and_deadband),
        cmocka_unit_test(grows_at_once_and_goes_back_slowly),
        cmocka_unit_test(a_silent_meter_lets_go),
        cmocka_unit_test(readings),
        cmocka_unit_test(meters),
        cmocka_unit_test(baseline_of_days),
        cmocka_unit_test(days_with_events_are_no_baseline),
        cmocka_unit_test(delivered_by_the_minutes_before),
        cmocka_unit_test(no_history_no_baseline),
        cmocka_unit_test(reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
