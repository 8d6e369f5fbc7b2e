/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_meters.c - RAPL counters, the CPU-time model and batteries, from made-up kernel files */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "grid/meter.h"

static char root[] = "/tmp/test-meters-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    char command[512];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s')\"", path);
    assert_int_equal(system(command), 0);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    fprintf(out, "%s\n", text);
    fclose(out);
}

static int wipe(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'/*", root);
    return system(command);
}

static void zone(const char *id, const char *name, const char *energy)
{
    char path[128];

    snprintf(path, sizeof(path), "sys/class/powercap/%s/name", id);
    put(path, name);
    snprintf(path, sizeof(path), "sys/class/powercap/%s/energy_uj", id);
    put(path, energy);
    snprintf(path, sizeof(path), "sys/class/powercap/%s/max_energy_range_uj", id);
    put(path, "262143328850");
}

static void test_rapl(void **state)
{
    struct agent_power_meter meter = {.root = root, .overhead = 1.1};
    struct agent_power_reading reading = {0};
    struct agent_error error = {0};

    (void)state;
    zone("intel-rapl:0", "package-0", "262143000000");
    zone("intel-rapl:0:0", "core", "5");
    zone("intel-rapl:0:1", "dram", "1000000");
    assert_int_equal(agent_power_read(&meter, 100, &reading, &error), 0);
    zone("intel-rapl:0", "package-0", "99671150"); /* wrapped: 0.32885 + 99.67115 J */
    zone("intel-rapl:0:1", "dram", "51000000");
    assert_int_equal(agent_power_read(&meter, 100.01, &reading, &error), 0); /* too soon */
    assert_int_equal(agent_power_read(&meter, 102, &reading, &error), 1);
    assert_true(fabs(reading.power_w - 75 * 1.1) < 1e-3);
    assert_false(reading.modelled);
    zone("intel-rapl:1", "psys", "7"); /* the platform as a whole replaces its parts */
    assert_int_equal(agent_power_read(&meter, 103, &reading, &error), 0);
    zone("intel-rapl:1", "psys", "60000007");
    assert_int_equal(agent_power_read(&meter, 104, &reading, &error), 1);
    assert_true(fabs(reading.power_w - 66) < 1e-6);
}

static void test_model(void **state)
{
    struct agent_power_meter meter = {.root = root, .idle_w = 50, .busy_w = 150, .overhead = 1};
    struct agent_power_meter none = {.root = root, .overhead = 1};
    struct agent_power_reading reading = {0};
    struct agent_error error = {0};

    (void)state;
    put("proc/stat", "cpu  100 0 100 1000 0 0 0 0 0 0");
    assert_int_equal(agent_power_read(&meter, 1, &reading, &error), 0);
    put("proc/stat", "cpu  120 0 105 1065 10 0 0 0 0 0"); /* 25 busy of 100 */
    assert_int_equal(agent_power_read(&meter, 2, &reading, &error), 1);
    assert_true(fabs(reading.power_w - 75) < 1e-9);
    assert_true(reading.modelled);
    put("proc/stat", "cpu  1 0 1 1 0 0 0 0 0 0"); /* counters began anew */
    assert_int_equal(agent_power_read(&meter, 3, &reading, &error), 0);
    assert_int_equal(agent_power_read(&none, 1, &reading, &error), -ENOTSUP);
    put("proc/stat", "nonsense");
    memset(&error, 0, sizeof(error));
    assert_int_equal(agent_power_read(&meter, 4, &reading, &error), -EBADMSG);
}

static void test_calibration(void **state)
{
    const struct agent_power_sample samples[] = {{0.1, 60}, {0.5, 100}, {0.9, 140}};
    const struct agent_power_sample flat[] = {{0.5, 60}, {0.5, 100}};
    const struct agent_power_sample falling[] = {{0.1, 100}, {0.9, 50}};
    double idle_w = 0;
    double busy_w = 0;

    (void)state;
    assert_int_equal(agent_power_calibrate(samples, 3, &idle_w, &busy_w, NULL), 0);
    assert_true(fabs(idle_w - 50) < 1e-9 && fabs(busy_w - 150) < 1e-9);
    assert_int_equal(agent_power_calibrate(flat, 2, &idle_w, &busy_w, NULL), -EINVAL);
    assert_int_equal(agent_power_calibrate(falling, 2, &idle_w, &busy_w, NULL), -EINVAL);
    assert_int_equal(agent_power_calibrate(samples, 1, &idle_w, &busy_w, NULL), -EINVAL);
}

static void test_batteries(void **state)
{
    struct agent_battery_state found = {0};
    struct agent_error error = {0};

    (void)state;
    assert_int_equal(agent_battery_read(root, &found, &error), 0);
    put("sys/class/power_supply/AC/type", "Mains");
    put("sys/class/power_supply/BAT0/type", "Battery");
    put("sys/class/power_supply/BAT0/capacity", "80");
    put("sys/class/power_supply/BAT0/status", "Discharging");
    put("sys/class/power_supply/BAT0/power_now", "12000000");
    put("sys/class/power_supply/BAT0/energy_full", "50000000");
    put("sys/class/power_supply/BAT1/type", "Battery");
    put("sys/class/power_supply/BAT1/capacity", "20");
    put("sys/class/power_supply/BAT1/status", "Charging");
    put("sys/class/power_supply/BAT1/current_now", "1000000");
    put("sys/class/power_supply/BAT1/voltage_now", "12000000");
    put("sys/class/power_supply/BAT1/energy_full", "25000000");
    assert_int_equal(agent_battery_read(root, &found, &error), 2);
    assert_true(fabs(found.charge - 0.6) < 1e-9);
    assert_true(fabs(found.power_w) < 1e-9); /* 12 W out of one, 12 W into the other */
    put("sys/class/power_supply/BAT1/capacity", "300");
    assert_int_equal(agent_battery_read(root, &found, &error), -EBADMSG);
    assert_non_null(strstr(error.text, "found 300"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rapl, wipe),
        cmocka_unit_test_teardown(test_model, wipe),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test_teardown(test_batteries, wipe),
    };

    if (mkdtemp(root) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(root);
    return failed;
}
