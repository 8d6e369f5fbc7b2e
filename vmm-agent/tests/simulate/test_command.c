/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands as a user meets them: odd inputs on every option, exit codes, one JSON document. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static const char *program;
static char output[1 << 20];

/* Run "vmm-agent @arguments"; standard output to output[], errors too when @both. */
static int call(const char *arguments, int both)
{
    char command[2048];

    snprintf(command, sizeof(command), "'%s' %s %s", program, arguments,
             both ? "2>&1" : "2>/dev/null");
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = fread(output, 1, sizeof(output) - 1, pipe);
    output[size] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Every line must be refused as a usage error that names the option. */
static void odd_options_of_simulate(void **state)
{
    static const char *const odd[][2] = {
        {"--day 2026-02-30", "2026-02-30"},
        {"--day 1999-01-01", "1999"},
        {"--day yesterday", "yesterday"},
        {"--day 2025-05-01 --year 2025", "--year"},
        {"--year 99999", "--year"},
        {"--year 2025.5", "--year"},
        {"--days 0", "--days"},
        {"--days 367", "--days"},
        {"--days -1", "--days"},
        {"--areas 9", "--areas"},
        {"--areas 09,,06", "--areas"},
        {"--areas 09,06,", "--areas"},
        {"--areas 09,77", "77"},
        {"--areas ''", "--areas"},
        {"--areas 9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9", "20"},
        {"--pv-ratio 1,2,3", "--pv-ratio"},
        {"--pv-ratio nan", "nan"},
        {"--pv-ratio -1", "-1"},
        {"--pv-ratio 1e9", "1e9"},
        {"--pv-ratio 1 --price-only", "--price-only"},
        {"--vms -5", "--vms"},
        {"--vms 2000000", "--vms"},
        {"--vms ten", "ten"},
        {"--vms 5 --groups 6", "--groups"},
        {"--groups 501", "--groups"},
        {"--capacity 0.4", "--capacity"},
        {"--capacity 1.1", "--capacity"},
        {"--method nostradamus", "nostradamus"},
        {"--method decay", "decay"},
        {"--lead 49", "--lead"},
        {"--yen-per-gb -1", "--yen-per-gb"},
        {"--yen-per-ton inf", "--yen-per-ton"},
        {"--link 0", "--link"},
        {"--fault 09:pv", "--fault"},
        {"--fault 09:pv:ok", "--fault"},
        {"--fault 09:wind:late", "--fault"},
        {"--fault 09:pv:late@-1", "--fault"},
        {"--fault 09:pv:late@1x", "--fault"},
        {"--seed -1", "--seed"},
        {"--seed 1.5", "--seed"},
        {"--data /tmp --write /tmp", "--write"},
        {"--nonsense", "--nonsense"},
        {"operand", "operand"},
    };
    char line[512];

    (void)state;
    for (size_t k = 0; k < sizeof(odd) / sizeof(odd[0]); k++) {
        snprintf(line, sizeof(line), "simulate %s", odd[k][0]);
        int code = call(line, 1);
        bool named = strstr(output, odd[k][1]) != NULL || strcmp(odd[k][1], "operand") == 0;
        if (code != 2 || !named || strstr(output, "vmm-agent: ") == NULL) {
            fail_msg("%s: exit %d: %s", line, code, output);
        }
    }
}

static void odd_options_of_forecast(void **state)
{
    static const char *const odd[][2] = {
        {"--area mars", "mars"},          {"--quantity rain", "rain"},
        {"--day 2025-13-01", "2025-13"},  {"--day 2001-01-01", "2001"},
        {"--method oracle", "oracle"},    {"--quantity wind --method clear-sky", "clear-sky"},
        {"--lead 100", "--lead"},         {"--backtest 1", "--backtest"},
        {"--backtest 999", "--backtest"}, {"--seed x", "--seed"},
        {"--place host1", "--place"},
    };
    char line[512];

    (void)state;
    for (size_t k = 0; k < sizeof(odd) / sizeof(odd[0]); k++) {
        snprintf(line, sizeof(line), "forecast %s", odd[k][0]);
        int code = call(line, 1);
        if (code != 2 || strstr(output, odd[k][1]) == NULL) {
            fail_msg("%s: exit %d: %s", line, code, output);
        }
    }
}

static void inputs_that_are_not_there(void **state)
{
    (void)state;
    assert_int_equal(call("simulate --data /nonexistent/dir --day 2026-04-02", 1), 3);
    assert_non_null(strstr(output, "/nonexistent/dir"));
    assert_int_equal(call("forecast --data /nonexistent/dir --day 2026-04-02", 1), 3);
    assert_non_null(strstr(output, "/nonexistent/dir"));
    assert_int_equal(call("simulate --day 2025-06-01 --html /nonexistent/x.html", 1), 3);
    assert_non_null(strstr(output, "/nonexistent/x.html"));
}

static json_t *document(const char *arguments, int expected)
{
    json_error_t problem;
    int code = call(arguments, 0);
    json_t *root = json_loads(output, 0, &problem);

    if (root == NULL || code != expected) {
        fail_msg("%s: exit %d, %s: %.300s", arguments, code, problem.text, output);
    }
    return root;
}

static double at(const json_t *root, const char *object, const char *key)
{
    return json_number_value(json_object_get(json_object_get(root, object), key));
}

static void price_alone_says_so(void **state)
{
    json_t *root = document("simulate --price-only --areas 06,09 --json", 0);
    char *text = json_dumps(json_object_get(root, "findings"), 0);

    (void)state;
    assert_true(json_is_null(json_object_get(root, "renewable_use")));
    assert_true(at(root, "price", "dynamic_saves_share_of_best_static") < 0.002);
    assert_non_null(strstr(text, "dynamic adds little over best static"));
    assert_non_null(strstr(text, "always kyushu"));
    free(text);
    json_decref(root);
    root = document("simulate --price-only --areas 03,01 --json", 0);
    text = json_dumps(json_object_get(root, "findings"), 0);
    assert_true(at(root, "price", "dynamic_saves_share_of_best_static") > 0.02);
    assert_null(strstr(text, "adds little"));
    free(text);
    json_decref(root);
}

/* Files written, read back and simulated give what the generator gives directly. */
static void files_and_generator_agree(void **state)
{
    char directory[] = "/tmp/vmm-agent-write-XXXXXX";
    char line[512];

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(line, sizeof(line), "simulate --write %s --day 2025-06-03 --days 2 --json", directory);
    json_decref(document(line, 0));
    snprintf(line, sizeof(line), "simulate --data %s --day 2025-06-03 --days 2 --json", directory);
    json_t *files = document(line, 0);
    json_t *made = document("simulate --day 2025-06-03 --days 2 --json", 0);
    static const char *const names[] = {"uniform", "best_static", "dynamic", "oracle"};
    for (size_t k = 0; k < 4; k++) {
        double a = at(files, "renewable_use", names[k]);
        double b = at(made, "renewable_use", names[k]);
        assert_true(a > 0.0 && a - b < 1e-9 && b - a < 1e-9);
    }
    assert_true(at(files, "price", "dynamic_jpy_per_kwh") > 0.0);
    json_decref(files);
    json_decref(made);
    snprintf(line, sizeof(line), "rm -r '%s'", directory);
    assert_int_equal(system(line), 0);
}

static void forecast_answers(void **state)
{
    json_t *root = document("forecast --area 09 --day 2025-07-10 --json", 0);

    (void)state;
    assert_int_equal(json_array_size(json_object_get(root, "slots")), 48);
    assert_true(json_is_true(json_object_get(json_object_get(root, "signal"), "usable")));
    json_decref(root);
    root = document("forecast --list --json", 0);
    assert_int_equal(json_array_size(root), 7);
    json_decref(root);
}

static void vms_and_a_late_price(void **state)
{
    json_t *root = document("simulate --day 2025-06-03 --vms 50 --method similar-day "
                            "--fault 09:price:late --json",
                            0);
    char *text = json_dumps(json_object_get(root, "signals"), 0);

    (void)state;
    assert_non_null(strstr(text, "keep-in-place"));
    assert_non_null(strstr(text, "kyushu"));
    assert_non_null(strstr(text, "late"));
    free(text);
    json_decref(root);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_options_of_simulate),   cmocka_unit_test(odd_options_of_forecast),
        cmocka_unit_test(inputs_that_are_not_there), cmocka_unit_test(price_alone_says_so),
        cmocka_unit_test(files_and_generator_agree), cmocka_unit_test(forecast_answers),
        cmocka_unit_test(vms_and_a_late_price),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_command PATH-OF-VMM-AGENT\n");
        return 77;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
