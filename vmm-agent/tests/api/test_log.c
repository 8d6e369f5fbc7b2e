/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_log.c - log lines as people, programs and journald read them; the service manager's messages
 * Owner: cmocka.   Thread: main.   Time: none.   Units: bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs those first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/log.h"
#include "support/notify.h"

static char got[65536];
static char path[64];
static int journal = -1;

static size_t take(int fd)
{
    ssize_t size = read(fd, got, sizeof(got) - 1);

    got[size > 0 ? size : 0] = '\0';
    return size > 0 ? (size_t)size : 0;
}

static int pipe_log(enum agent_log_form form, enum agent_log_level level, int *fds)
{
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    return agent_log_open(form, level, fds[1], "/nowhere", NULL);
}

static void test_text(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe_log(AGENT_LOG_TEXT, AGENT_LOG_NOTICE, fds), 0);
    agent_log(AGENT_LOG_INFO, "a.b", NULL, "not shown");
    agent_log(AGENT_LOG_WARNING, "a.b", json_pack("{s:i}", "n", 1), "shown %d", 7);
    take(fds[0]);
    assert_string_equal(got, "vmm-agent: warning: shown 7\n");
    agent_log_close();
}

static void test_json(void **state)
{
    int fds[2];
    json_t *line;

    (void)state;
    assert_int_equal(pipe_log(AGENT_LOG_JSON, AGENT_LOG_DEBUG, fds), 0);
    agent_log(AGENT_LOG_ERROR, "a.b",
              json_pack("{s:s, s:s, s:[i]}", "vm", "web\"1\n", "event", "mine", "l", 5),
              "line\nend");
    size_t size = take(fds[0]);
    assert_ptr_equal(strchr(got, '\n'), got + size - 1); /* one line, whatever is in it */
    line = json_loads(got, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "event")), "a.b"); /* ours wins */
    assert_string_equal(json_string_value(json_object_get(line, "vm")), "web\"1\n");
    assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
    json_decref(line);
    agent_log(AGENT_LOG_ERROR, "a.b", NULL, "bytes \xff\xfe here");
    take(fds[0]);
    line = json_loads(got, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "message")), "bytes ?? here");
    json_decref(line);
    /* fields that are too long are left out, the words stay */
    static char big[AGENT_LOG_LINE_MAX];
    memset(big, 'x', sizeof(big) - 1);
    agent_log(AGENT_LOG_ERROR, "a.b", json_pack("{s:s}", "big", big), "words");
    take(fds[0]);
    assert_non_null(strstr(got, "\"message\":\"words\"}"));
    agent_log_close();
}

static int bind_journal(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(path, sizeof(path), "/tmp/test-log-%d", (int)getpid());
    unlink(path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void test_journal(void **state)
{
    struct agent_error error = {0};
    static const char two_lines[] = "MESSAGE\n\x09\0\0\0\0\0\0\0one\nthree\nPRIORITY=4\n";

    (void)state;
    assert_int_equal(
        agent_log_open(AGENT_LOG_JOURNAL, AGENT_LOG_INFO, 2, "/nowhere/socket", &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nowhere/socket"));
    journal = bind_journal();
    assert_int_equal(agent_log_open(AGENT_LOG_JOURNAL, AGENT_LOG_INFO, 2, path, NULL), 0);
    agent_log(AGENT_LOG_NOTICE, "migration.stage",
              json_pack("{s:s, s:i, s:{s:b}}", "vm", "web-1", "in-flight bytes", 5, "deep", "x", 1),
              "moves");
    take(journal);
    assert_string_equal(got, "MESSAGE=moves\nPRIORITY=5\nSYSLOG_IDENTIFIER=vmm-agent\n"
                             "VMM_EVENT=migration.stage\nVMM_VM=web-1\nVMM_IN_FLIGHT_BYTES=5\n"
                             "VMM_DEEP={\"x\":true}\n");
    agent_log(AGENT_LOG_WARNING, "e", NULL, "one\nthree");
    take(journal);
    assert_memory_equal(got, two_lines, sizeof(two_lines) - 1);
    agent_log(AGENT_LOG_WARNING, "e", json_pack("{s:s}", "PRIORITY=0\nX", "v"), "w");
    take(journal); /* a key cannot make a field of its own */
    assert_non_null(strstr(got, "VMM_PRIORITY_0_X=v\n"));
}

/* A journal that does not read costs lines, never time; the next line that arrives says how many.
 */
static void test_full_journal(void **state)
{
    int sent = 4000;

    (void)state;
    for (int line = 0; line < sent; line++) {
        agent_log(AGENT_LOG_WARNING, "e", NULL, "line %d", line);
    }
    fcntl(journal, F_SETFL, O_NONBLOCK);
    int arrived = 0;
    while (take(journal) > 0) {
        arrived++;
    }
    assert_true(arrived > 0 && arrived < sent);
    agent_log(AGENT_LOG_WARNING, "e", NULL, "after");
    take(journal);
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "VMM_LOG_LINES_LOST=%d\n", sent - arrived);
    assert_non_null(strstr(got, wanted));
    agent_log_close();
    close(journal);
    unlink(path);
}

static void test_names(void **state)
{
    enum agent_log_form form;
    enum agent_log_level level;
    struct agent_error error = {0};

    (void)state;
    assert_int_equal(agent_log_form_of("journal", &form, NULL), 0);
    assert_int_equal(form, AGENT_LOG_JOURNAL);
    assert_int_equal(agent_log_level_of("debug", &level, NULL), 0);
    assert_int_equal(level, AGENT_LOG_DEBUG);
    assert_int_equal(agent_log_level_of("loud", &level, &error), -EINVAL);
    assert_non_null(strstr(error.text, "notice"));
}

static void test_notify(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(agent_notify("READY=1"), 0);
    int fd = bind_journal();
    setenv("NOTIFY_SOCKET", path, 1);
    assert_int_equal(agent_notify("READY=1\nSTATUS=x"), 1);
    take(fd);
    assert_string_equal(got, "READY=1\nSTATUS=x");
    close(fd);
    unlink(path);
    assert_true(agent_notify("READY=1") < 0);
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(agent_notify_watchdog_ns(), 3000000000);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(agent_notify_watchdog_ns(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),    cmocka_unit_test(test_json),
        cmocka_unit_test(test_journal), cmocka_unit_test(test_full_journal),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_notify),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
