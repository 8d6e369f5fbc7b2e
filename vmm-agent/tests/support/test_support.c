/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_support.c - dates and slots, numbers, text, CSV, JSON, YAML, files, options */
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

#include "support/csv.h"
#include "support/file.h"
#include "support/json.h"
#include "support/slot.h"
#include "support/text.h"
#include "support/yaml.h"

static void test_every_day_of_a_century(void **state)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t expected = AGENT_TIME_MIN_S - AGENT_JST_OFFSET_S; /* 2000-01-01 00:00 JST */

    (void)state;
    for (int year = 2000; year < 2100; year++) {
        for (int month = 1; month <= 12; month++) {
            int last = days[month - 1] + (month == 2 && year % 4 == 0 ? 1 : 0);
            assert_false(agent_date_valid((struct agent_date){year, month, last + 1}));
            for (int day = 1; day <= last; day++) {
                struct agent_date date = {year, month, day};
                assert_int_equal(agent_date_start(date), expected);
                struct agent_date back = agent_date_of(expected + 86399);
                assert_true(back.year == year && back.month == month && back.day == day);
                assert_int_equal(agent_slot_in_day(agent_slot_at(date, 47)), 47);
                expected += AGENT_DAY_SECONDS;
            }
        }
    }
    assert_int_equal(agent_fiscal_year((struct agent_date){2026, 3, 31}), 2025);
    assert_int_equal(agent_fiscal_year((struct agent_date){2026, 4, 1}), 2026);
}

static void test_times(void **state)
{
    static const char *const bad[] = {"",
                                      "2026-04-02T13:00",
                                      "2026-04-02T25:00Z",
                                      "2026-02-30T00:00Z",
                                      "2026-4/2T00:00Z",
                                      "2026-04-02T13:00+9",
                                      "2026-04-02T13:00Zx",
                                      "1999-12-31T00:00Z"};
    int64_t time_s = 0;
    char text[AGENT_TIME_TEXT_SIZE];
    struct agent_date date;

    (void)state;
    assert_int_equal(agent_time_parse("2026-04-02T13:00+09:00", &time_s, NULL), 0);
    assert_int_equal(time_s, 1775102400);
    assert_string_equal(agent_time_format(time_s, text), "2026-04-02T13:00:00+09:00");
    assert_int_equal(agent_time_parse("2026-04-02 04:00:00Z", &time_s, NULL), 0);
    assert_int_equal(time_s, 1775102400);
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        assert_int_equal(agent_time_parse(bad[index], &time_s, NULL), -EINVAL);
    }
    assert_int_equal(agent_date_parse("2026/4/2", &date, NULL), 0);
    assert_int_equal(agent_date_parse("20260402", &date, NULL), 0);
    assert_int_equal(agent_date_parse("2026/4-2", &date, NULL), -EINVAL);
    assert_int_equal(agent_date_parse("202642", &date, NULL), -EINVAL);
    assert_int_equal(agent_date_parse("2026-04-02 ", &date, NULL), -EINVAL);
}

static void test_numbers(void **state)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      ".5",
                                      "5.",
                                      "1e3",
                                      "1,000",
                                      "0x1",
                                      "nan",
                                      "inf",
                                      " 1",
                                      "1 ",
                                      "1.2.3",
                                      "--1",
                                      "１",
                                      "1234567890123456",
                                      "0.1234567890"};
    double value = 0;

    (void)state;
    assert_int_equal(agent_text_number("15.41", &value), 0);
    assert_true(!(value < 15.41) && !(value > 15.41)); /* the nearest double, as a compiler reads */
    assert_int_equal(agent_text_number("-0.01", &value), 0);
    assert_true(!(value < -0.01) && !(value > -0.01));
    assert_int_equal(agent_text_number("+007", &value), 0);
    assert_true(!(value < 7) && !(value > 7));
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        assert_int_equal(agent_text_number(bad[index], &value), -EINVAL);
    }
}

static void test_text(void **state)
{
    static const char *const names[] = {"area", "quantity", NULL};
    struct agent_error error = {0};
    char key[32];
    char *out = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(agent_text_key(" 火力（ＬＮＧ）　", key, sizeof(key)), 0);
    assert_string_equal(key, "火力(LNG)");
    assert_int_equal(agent_text_key("時間帯＿自", key, sizeof(key)), 0);
    assert_string_equal(key, "時間帯_自");
    assert_int_equal(agent_text_key("a name that is too long for this", key, 8), -ENAMETOOLONG);
    assert_int_equal(agent_text_key("\xff", key, sizeof(key)), -EINVAL);
    assert_int_equal(agent_text_decode("\xef\xbb\xbf"
                                       "abc",
                                       6, "f", &out, &size, NULL),
                     0);
    assert_string_equal(out, "abc");
    free(out);
    assert_int_equal(agent_text_decode("\x8f\x5a", 2, "f", &out, &size, NULL), 0);
    assert_string_equal(out, "住");
    free(out);
    assert_int_equal(agent_text_decode("ab\ncd\x81", 6, "f", &out, &size, &error), -EBADMSG);
    assert_true(error.line == 2 && error.column == 3);
    assert_int_equal(agent_text_decode("\xff\xfe"
                                       "a",
                                       3, "f", &out, &size, NULL),
                     -EBADMSG);
    assert_int_equal(agent_text_decode("a\0b", 3, "f", &out, &size, NULL), -EBADMSG);
    assert_string_equal(agent_text_nearest("aera", names), "area");
    assert_null(agent_text_nearest("colour", names));
}

static void test_csv(void **state)
{
    char text[] = "a, b ,\"c,\"\"d\"\"\"\r\n\n,,\rlast";
    struct agent_csv csv;
    static struct agent_csv_row row;
    struct agent_error error = {0};

    (void)state;
    agent_csv_init(&csv, text, sizeof(text) - 1, "f.csv");
    assert_int_equal(agent_csv_next(&csv, &row, &error), 1);
    assert_int_equal(row.count, 3);
    assert_string_equal(row.fields[1], "b");
    assert_string_equal(row.fields[2], "c,\"d\"");
    assert_int_equal(agent_csv_next(&csv, &row, &error), 1);
    assert_true(agent_csv_blank(&row));
    assert_int_equal(agent_csv_next(&csv, &row, &error), 1);
    assert_int_equal(row.count, 3);
    assert_int_equal(row.line, 3);
    assert_true(agent_csv_blank(&row) && row.complete);
    assert_int_equal(agent_csv_next(&csv, &row, &error), 1);
    assert_string_equal(row.fields[0], "last");
    assert_false(row.complete);
    assert_int_equal(agent_csv_next(&csv, &row, &error), 0);
    char open_quote[] = "a\nb,\"c\nd\n";
    agent_csv_init(&csv, open_quote, sizeof(open_quote) - 1, "f.csv");
    assert_int_equal(agent_csv_next(&csv, &row, &error), 1);
    assert_int_equal(agent_csv_next(&csv, &row, &error), -EBADMSG);
    assert_true(error.line == 2 && error.column == 2);
}

static void refuse_yaml(const char *text, unsigned line, const char *expected)
{
    struct agent_yaml *root = NULL;
    struct agent_error error = {0};

    assert_true(agent_yaml_parse(text, strlen(text), "c.yaml", &root, &error) < 0);
    if (error.line != line || strstr(error.text, expected) == NULL) {
        fail_msg("line %u: %s", error.line, error.text);
    }
}

static void test_yaml(void **state)
{
    static const char text[] = "store:\n  path: a.db\n  days: 30\n  on: yes\nlist: [1, two]\n";
    static const char *const known[] = {"store", "lists", NULL};
    struct agent_yaml *root = NULL;
    struct agent_error error = {0};
    const char *path = NULL;
    double days = 0;
    bool on = false;

    (void)state;
    assert_int_equal(agent_yaml_parse(text, sizeof(text) - 1, "c.yaml", &root, &error), 0);
    const struct agent_yaml *store = agent_yaml_child(root, "store");
    assert_int_equal(agent_yaml_text(store, "path", NULL, &path, &error), 0);
    assert_string_equal(path, "a.db");
    assert_int_equal(
        agent_yaml_number(store, "days", (struct agent_range){1, 100}, 0, &days, &error), 0);
    assert_true(fabs(days - 30) < 1e-12);
    assert_int_equal(agent_yaml_bool(store, "on", false, &on, &error), 0);
    assert_true(on);
    assert_int_equal(agent_yaml_child(root, "list")->count, 2);
    assert_int_equal(
        agent_yaml_number(store, "days", (struct agent_range){1, 10}, 0, &days, &error), -EINVAL);
    assert_true(error.line == 3 && strstr(error.text, "30 is outside 1..10") != NULL);
    memset(&error, 0, sizeof(error));
    assert_int_equal(
        agent_yaml_number(store, "weeks", (struct agent_range){1, 10}, NAN, &days, &error),
        -ENOENT);
    memset(&error, 0, sizeof(error));
    assert_int_equal(agent_yaml_only(root, known, &error), -EINVAL);
    assert_true(error.line == 5 && strstr(error.text, "did you mean 'lists'") != NULL);
    agent_yaml_free(root);
    refuse_yaml("a: 1\nb: 2\na: 3\n", 3, "given twice");
    refuse_yaml("a: &x 1\nb: *x\n", 2, "aliases");
    refuse_yaml("a: 1\n---\nb: 2\n", 2, "second document");
    refuse_yaml("a: [1\nb: 2\n", 2, "not valid YAML");
    refuse_yaml("", 1, "empty");
    refuse_yaml("[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", 1, "nested deeper");
}

static void test_json(void **state)
{
    static const char *const known[] = {"power_w", "name", NULL};
    const struct agent_range range = {0, 10};
    struct agent_error error = {0};
    json_t *object = json_pack("{s:f,s:s,s:i}", "power_w", 12.5, "name", "", "nmae", 1);
    double number = 0;
    const char *text = NULL;

    (void)state;
    assert_int_equal(agent_json_number(object, "site[1]", "power_w", range, &number, &error),
                     -EINVAL);
    assert_string_equal(error.text, "site[1].power_w: 12.5 is outside 0..10");
    assert_int_equal(agent_json_number(object, "site", "load_w", range, &number, NULL), -ENOENT);
    assert_int_equal(agent_json_number_or(object, "site", "load_w", range, 3, &number, NULL), 0);
    assert_true(fabs(number - 3) < 1e-12);
    assert_int_equal(agent_json_text(object, "site", "name", &text, NULL), -EINVAL);
    memset(&error, 0, sizeof(error));
    assert_int_equal(agent_json_only(object, "site", known, &error), -EINVAL);
    assert_non_null(strstr(error.text, "unknown key 'nmae'; did you mean 'name'?"));
    json_decref(object);
}

static void test_files(void **state)
{
    char path[] = "/tmp/test-support-XXXXXX";
    struct agent_error error = {0};
    char *bytes = NULL;
    size_t size = 0;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(agent_file_write(path, "hello", 5, &error), 0);
    assert_int_equal(agent_file_read(path, 5, &bytes, &size, &error), 0);
    assert_memory_equal(bytes, "hello", 6);
    free(bytes);
    assert_int_equal(agent_file_read(path, 4, &bytes, &size, &error), -EFBIG);
    assert_non_null(strstr(error.text, "limit of 4 bytes"));
    unlink(path);
    assert_int_equal(agent_file_read(path, 4, &bytes, &size, NULL), -ENOENT);
    assert_int_equal(agent_file_read("/tmp", 4, &bytes, &size, NULL), -EISDIR);
    assert_true(agent_file_digest("a", 1) ==
                UINT64_C(0xaf63dc4c8601ec8c)); /* FNV-1a's own vector */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_day_of_a_century),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
