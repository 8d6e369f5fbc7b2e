/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_options.c - what the command line accepts, and how it refuses the rest */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "options.h"

#define ARGS_MAX 12

static int parse(struct path_options *options, char text[256], const char *words)
{
    char copy[256], *argv[ARGS_MAX + 1], *save = NULL;
    int argc = 0;

    strcpy(copy, words);
    for (char *w = strtok_r(copy, " ", &save); w && argc < ARGS_MAX; w = strtok_r(NULL, " ", &save)) {
        argv[argc++] = w;
    }
    argv[argc] = NULL;
    text[0] = '\0';
    return path_options_parse(options, argc, argv, text, 256);
}

static void defaults_are_600_km(void **state)
{
    struct path_options options;
    char text[256];

    (void)state;
    unsetenv(PATH_ENGINE_VARIABLE); /* whoever runs the tests may have chosen */
    assert_int_equal(parse(&options, text, "up p1"), 0);
    assert_string_equal(options.name, "p1");
    assert_int_equal(options.limits[0].delay_ns, 2940000);
    assert_int_equal(options.limits[1].rate_bits_s, 2500000000u);
    assert_int_equal(options.limits[0].queue_bytes, 31250000); /* 100 ms */
    assert_int_equal(options.engine, PATH_ENGINE_AUTO);
}

static void pairs_set_the_directions_apart(void **state)
{
    struct path_options options;
    char text[256];

    (void)state;
    assert_int_equal(parse(&options, text, "up --queue 4ms,2M p --delay 1.5,30 --rate 10,1 --loss 0.1%,0"), 0);
    assert_int_equal(options.limits[PATH_WAY_AB].delay_ns, 1500000);
    assert_int_equal(options.limits[PATH_WAY_BA].delay_ns, 30000000);
    assert_int_equal(options.limits[PATH_WAY_AB].queue_bytes, 5000000);
    assert_int_equal(options.limits[PATH_WAY_BA].queue_bytes, 2 << 20);
    assert_true(options.limits[PATH_WAY_AB].loss > 0.00099 && options.limits[PATH_WAY_AB].loss < 0.00101);
    assert_true(options.limits[PATH_WAY_BA].loss == 0);
}

static void what_netem_lacks_makes_auto_take_tun(void **state)
{
    struct path_options options;
    char text[256];

    (void)state;
    assert_int_equal(parse(&options, text, "up p --cut 200@5000 --loss 1% --loss-burst 5"), 0);
    assert_int_equal(options.engine, PATH_ENGINE_TUN);
    assert_int_equal(options.cut.from_ns, 5000000000);
    assert_int_equal(options.cut.until_ns, 5200000000);
    assert_true(options.limits[PATH_WAY_BA].burst_frames == 5);
}

static void the_environment_names_an_engine(void **state)
{
    struct path_options options;
    char text[256];

    (void)state;
    setenv(PATH_ENGINE_VARIABLE, "dpdk", 1);
    assert_int_equal(parse(&options, text, "up p"), 0);
    assert_int_equal(options.engine, PATH_ENGINE_DPDK);
    assert_int_equal(parse(&options, text, "up p --engine tun"), 0);
    assert_int_equal(options.engine, PATH_ENGINE_TUN);
    setenv(PATH_ENGINE_VARIABLE, "magic", 1);
    assert_int_equal(parse(&options, text, "up p"), -EINVAL);
    assert_non_null(strstr(text, "APN_PATH_ENGINE in the environment: 'magic'"));
    unsetenv(PATH_ENGINE_VARIABLE);
}

static void ports_and_queues_are_read(void **state)
{
    struct path_options options;
    char text[256];

    (void)state;
    assert_int_equal(parse(&options, text, "up p --engine dpdk --port B=0000:3b:00.1 --queues 4 --wavelengths 8"), 0);
    assert_string_equal(options.port[0], "");
    assert_string_equal(options.port[1], "0000:3b:00.1");
    assert_int_equal(options.queues, 4);
    assert_int_equal(options.wavelengths, 8);
}

static void wrong_values_are_named_with_their_limits(void **state)
{
    static const struct {
        const char *words, *in_text;
    } wrong[] = {
        {"up p --delay 1001", "'1001' is not 0..1000 ms"},
        {"up p --delay -1", "'-1'"},
        {"up p --delay nan", "'nan'"},
        {"up p --delay 3x", "'3x'"},
        {"up p --delay 3,", "'3,'"},
        {"up p --rate 401", "0.001..400"},
        {"up p --rate 0.0001", "0.001..400"},
        {"up p --queue 10", "64K..4G"},
        {"up p --queue 5G", "64K..4G"},
        {"up p --queue 20000ms", "10000ms"},
        {"up p --loss 1.5", "0..1"},
        {"up p --loss 101%", "0..1"},
        {"up p --mtu 100", "1280..65535"},
        {"up p --mtu 99999999999999999999", "1280..65535"},
        {"up p --engine magic", "auto, tun, netem or dpdk"},
        {"up p --congestion ../x", "name"},
        {"up p --seed -1", "'-1'"},
        {"up p --ready-fd x", "descriptor"},
        {"up p --jitter 3 --delay 2", "3 ms is more than the delay of 2 ms"},
        {"up p --jitter x", "'x' is not 0..1000 ms"},
        {"up p --loss-burst 0", "1..1000000 frames"},
        {"up p --cut 0", "MS or MS@MS"},
        {"up p --cut 200@", "MS or MS@MS"},
        {"up p --cut 200@x", "MS or MS@MS"},
        {"up p --cut 3600001", "MS or MS@MS"},
        {"up p --delay-trace /nonexistent", "trace /nonexistent: No such file"},
        {"up p --delay-trace ,", "one or two names"},
        {"up p --wavelengths 17 --engine dpdk", "'17' is not 1..16"},
        {"up p --wavelengths 0 --engine dpdk", "'0' is not 1..16"},
        {"up p --wavelengths 2", "--wavelengths needs --engine dpdk"},
        {"up p --reorder", "--reorder needs --engine dpdk"},
        {"up p --queues 2 --engine tun", "--queues needs --engine dpdk"},
        {"up p --port A=eth0", "--port needs --engine dpdk"},
        {"up p --port C=eth0", "A= or B="},
        {"up p --port A=", "A= or B="},
        {"up p --jitter 1 --engine netem", "--jitter: the engines tun and dpdk have it"},
        {"up p --cut 5 --engine netem", "--cut: the engines tun and dpdk have it"},
        {"up p --bogus", "unknown option"},
        {"up p --delay", "missing value"},
        {"up", "need one NAME"},
        {"up p q", "need one NAME"},
        {"up Upper", "'Upper'"},
        {"up a/../b", "'a/../b'"},
        {"up abcdefghijklmnopqrstuvwxyz", "1..24"},
    };
    struct path_options options;
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(parse(&options, text, wrong[i].words), -EINVAL);
        if (!strstr(text, wrong[i].in_text)) {
            fail_msg("'%s' answered '%s', wanted '%s' in it", wrong[i].words, text, wrong[i].in_text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_600_km),
        cmocka_unit_test(pairs_set_the_directions_apart),
        cmocka_unit_test(what_netem_lacks_makes_auto_take_tun),
        cmocka_unit_test(the_environment_names_an_engine),
        cmocka_unit_test(ports_and_queues_are_read),
        cmocka_unit_test(wrong_values_are_named_with_their_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
