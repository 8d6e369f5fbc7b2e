/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_trace.c - delays read from files: what they mean, and what is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <errno.h>

#include "trace.h"

#define MS INT64_C(1000000)

static int load(const char *content, struct path_trace **trace, char text[256])
{
    char file[] = "/tmp/path-trace-XXXXXX";
    int fd = mkstemp(file);
    int result;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    text[0] = '\0';
    result = path_trace_load(file, trace, text, 256);
    unlink(file);
    return result;
}

static void delay_changes_evenly_and_begins_again(void **state)
{
    struct path_trace *trace = NULL;
    char text[256];

    (void)state;
    assert_int_equal(load("# a comment\n\n0 3\n 10\t5 # up\n20 1\n", &trace, text), 0);
    assert_int_equal(trace->count, 3);
    assert_int_equal(trace->delay_max_ns, 5 * MS);
    assert_int_equal(path_trace_delay(trace, -1), 3 * MS);
    assert_int_equal(path_trace_delay(trace, 0), 3 * MS);
    assert_int_equal(path_trace_delay(trace, 5000 * MS), 4 * MS);
    assert_int_equal(path_trace_delay(trace, 10000 * MS), 5 * MS);
    assert_int_equal(path_trace_delay(trace, 15000 * MS), 3 * MS);
    assert_int_equal(path_trace_delay(trace, 25000 * MS), 4 * MS);
    free(trace);
}

static void many_points_are_found(void **state)
{
    static char content[64 * 1024];
    struct path_trace *trace = NULL;
    char text[256];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        n += (size_t)snprintf(content + n, sizeof(content) - n, "%d %d\n", i, i % 100);
    }
    assert_int_equal(load(content, &trace, text), 0);
    for (int i = 0; i < 2999; i++) {
        assert_int_equal(path_trace_delay(trace, i * 1000 * MS), i % 100 * MS);
    }
    free(trace);
}

static void wrong_files_are_named_with_their_line(void **state)
{
    static const struct {
        const char *content, *in_text;
    } wrong[] = {
        {"", "0 points"},          {"0 3\n", "1 points"},      {"1 3\n2 3\n", "line 1"},
        {"0 3\n0 4\n", "line 2"},  {"0 3\n5 4\n4 4\n", "line 3"}, {"0 3\n1\n", "line 2"},
        {"0 3\n1 1001\n", "line 2"}, {"0 3\n1 -1\n", "line 2"}, {"0 nan\n1 1\n", "line 1"},
        {"0 3 4\n", "line 1"},     {"x\n", "line 1"},          {"0 3\n1e7 3\n", "line 2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct path_trace *trace = NULL;
        char text[256];

        assert_int_equal(load(wrong[i].content, &trace, text), -EINVAL);
        assert_null(trace);
        if (!strstr(text, wrong[i].in_text)) {
            fail_msg("'%s' answered '%s', wanted '%s' in it", wrong[i].content, text, wrong[i].in_text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delay_changes_evenly_and_begins_again),
        cmocka_unit_test(many_points_are_found),
        cmocka_unit_test(wrong_files_are_named_with_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
