/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_qmp.c - messages, then the client against a monitor that behaves, is slow, lies, floods,
 * dies */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "act/qmp.h"
#include "act/qmp_message.h"

#define START_S 1775055600.0
#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 1, \"minor\": 0, \"major\": 10}}, "            \
    "\"capabilities\": []}}\n"

static void test_messages(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *words; /* in the error, or the name */
    } cases[] = {
        {"{\"return\": {}, \"id\": 3}", 0, NULL},
        {"{\"return\": [1, 2], \"id\": 0}", 0, NULL},
        {"{\"return\": {}}", -EBADMSG, "a return without id"},
        {"{\"return\": {}, \"id\": -1}", -EBADMSG, "an id that is none of ours"},
        {"{\"return\": {}, \"id\": \"x\"}", -EBADMSG, "an id that is none of ours"},
        {"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 4}", 0,
         "GenericError"},
        {"{\"error\": {\"class\": \"GenericError\"}, \"id\": 4}", -EBADMSG,
         "without class and desc"},
        {"{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 5, \"microseconds\": 250000}}", 0,
         "STOP"},
        {"{\"event\": \"STOP\", \"data\": []}", -EBADMSG, "event data is no object"},
        {"{\"event\": 5}", -EBADMSG, "no word"},
        {"{\"event\": \"X\", \"return\": {}, \"id\": 1}", -EBADMSG, "more than one"},
        {"{}", -EBADMSG, "none of QMP"},
        {"[]", -EBADMSG, "no object"},
        {"{\"QMP\": {}}", -EBADMSG, "without version"},
        {"{\"return\": {}, \"return\": {}, \"id\": 1}", -EBADMSG, "duplicate"},
        {"hello\x01\x80", -EBADMSG, "hello??"},
    };

    (void)state;
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        struct agent_qmp_message message;
        struct agent_error error = {0};
        int status =
            agent_qmp_message_read(cases[at].line, strlen(cases[at].line), &message, &error);
        assert_int_equal(status, cases[at].status);
        if (status < 0 && strstr(error.text, cases[at].words) == NULL) {
            fail_msg("case %zu: '%s' is not in '%s'", at, cases[at].words, error.text);
        }
        if (status == 0 && cases[at].words != NULL) {
            assert_string_equal(message.name, cases[at].words);
        }
        json_decref(message.root);
    }
}

static void test_times_of_events(void **state)
{
    static const char line[] =
        "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 5, \"microseconds\": 250000}}";
    struct agent_qmp_message message;

    (void)state;
    assert_int_equal(agent_qmp_message_read(line, strlen(line), &message, NULL), 0);
    assert_true(message.at_s > 5.2499 && message.at_s < 5.2501);
    json_decref(message.root);
}

static void put(struct agent_qmp_reader *reader, const char *bytes, size_t size)
{
    while (size > 0) {
        char *at = NULL;
        int fits = agent_qmp_reader_room(reader, size, &at);
        assert_true(fits > 0);
        memcpy(at, bytes, (size_t)fits);
        agent_qmp_reader_put(reader, (size_t)fits);
        bytes += fits;
        size -= (size_t)fits;
    }
}

static void test_reader_limits(void **state)
{
    struct agent_qmp_reader reader;
    struct agent_qmp_message message;
    char block[65536];
    char *at = NULL;

    (void)state;
    agent_qmp_reader_init(&reader);
    put(&reader, "\n\r\n{\"return\"", 12);
    assert_int_equal(agent_qmp_reader_next(&reader, &message, NULL), 0);
    static const char rest[] = ": 1, \"id\": 7}\r\n{\"ret";
    put(&reader, rest, strlen(rest));
    assert_int_equal(agent_qmp_reader_next(&reader, &message, NULL), 1);
    assert_int_equal(message.id, 7);
    json_decref(message.root);
    assert_int_equal(agent_qmp_reader_next(&reader, &message, NULL), 0);
    agent_qmp_reader_done(&reader);
    memset(block, 'x', sizeof(block));
    for (size_t used = 0; used < AGENT_QMP_LINE_MAX; used += sizeof(block)) {
        put(&reader, block, sizeof(block));
        assert_int_equal(agent_qmp_reader_next(&reader, &message, NULL), 0);
    }
    assert_int_equal(agent_qmp_reader_room(&reader, 1, &at), -EMSGSIZE);
    agent_qmp_reader_done(&reader);
}

/* ---- a monitor under the test's control --------------------------------------------------- */

struct rig {
    struct agent_clock clock;
    struct agent_loop *loop;
    struct agent_qmp *qmp;
    char path[64];
    int listener, peer;
    int ready, closed, done;
    int status; /* of the last command that ended */
    char text[256];
    char event[64];
    bool close_in_done;
};

static void on_ready(void *opaque, const json_t *greeting)
{
    struct rig *rig = opaque;

    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(greeting, "qemu"), "major")), 10);
    rig->ready++;
}

static void on_event(void *opaque, const char *name, const json_t *data, double at_s)
{
    struct rig *rig = opaque;

    (void)data;
    (void)at_s;
    snprintf(rig->event, sizeof(rig->event), "%s", name);
}

static void on_closed(void *opaque, const struct agent_error *why)
{
    struct rig *rig = opaque;

    rig->closed++;
    snprintf(rig->text, sizeof(rig->text), "%.255s", why->text);
}

static void on_done(void *opaque, const struct agent_qmp_result *result)
{
    struct rig *rig = opaque;

    rig->done++;
    rig->status = result->status;
    if (result->status < 0) {
        snprintf(rig->text, sizeof(rig->text), "%.255s", result->text);
    }
    if (rig->close_in_done) {
        struct agent_qmp *qmp = rig->qmp;
        rig->qmp = NULL;
        rig->close_in_done = false;
        agent_qmp_close(qmp);
    }
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    agent_clock_simulated(&rig->clock, START_S, 1, NULL);
    assert_int_equal(agent_loop_new(&rig->clock, &rig->loop, NULL), 0);
    snprintf(rig->path, sizeof(rig->path), "/tmp/apn-qmp-%d", (int)getpid());
    strcpy(address.sun_path, rig->path);
    unlink(rig->path);
    rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(rig->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(rig->listener, 1), 0);
    rig->peer = -1;
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    agent_qmp_close(rig->qmp);
    agent_loop_step(rig->loop, 0);
    agent_loop_free(rig->loop);
    if (rig->peer >= 0) {
        close(rig->peer);
    }
    close(rig->listener);
    unlink(rig->path);
    free(rig);
    return 0;
}

static void step(struct rig *rig)
{
    for (int at = 0; at < 20; at++) {
        assert_true(agent_loop_step(rig->loop, 0) >= 0);
    }
}

static void send_text(struct rig *rig, const char *text)
{
    assert_int_equal(send(rig->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    step(rig);
}

static int open_it(struct rig *rig)
{
    const struct agent_qmp_owner owner = {on_ready, on_event, on_closed, rig};
    int status = agent_qmp_open(rig->loop, rig->path, 2 * AGENT_NS_PER_S, &owner, &rig->qmp, NULL);

    if (status == 0) {
        rig->peer = accept(rig->listener, NULL, NULL);
    }
    return status;
}

static void make_ready(struct rig *rig)
{
    char got[256];

    assert_int_equal(open_it(rig), 0);
    send_text(rig, GREETING);
    ssize_t size = recv(rig->peer, got, sizeof(got) - 1, 0);
    assert_true(size > 0);
    got[size] = '\0';
    assert_non_null(strstr(got, "qmp_capabilities"));
    send_text(rig, "{\"return\": {}, \"id\": 0}\n");
    assert_int_equal(rig->ready, 1);
}

static void pass(struct rig *rig, int64_t ns)
{
    int64_t end_ns = agent_loop_now_ns(rig->loop) + ns;

    while (agent_loop_now_ns(rig->loop) < end_ns) {
        int64_t left_ns = end_ns - agent_loop_now_ns(rig->loop);
        int64_t before_ns = agent_loop_now_ns(rig->loop);
        agent_loop_step(rig->loop, left_ns);
        if (agent_loop_now_ns(rig->loop) == before_ns) {
            agent_clock_advance(&rig->clock, end_ns); /* no timer is set */
        }
    }
    step(rig);
}

static void test_commands_and_events(void **state)
{
    struct rig *rig = *state;

    make_ready(rig);
    assert_int_equal(agent_qmp_peer(rig->qmp), getpid());
    assert_int_equal(agent_qmp_command(rig->qmp, "a", NULL, AGENT_NS_PER_S, on_done, rig), 0);
    assert_int_equal(agent_qmp_command(rig->qmp, "b", json_object(), AGENT_NS_PER_S, on_done, rig),
                     0);
    send_text(rig, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}, \"id\": 2}\n"
                   "{\"event\": \"STOP\"}\n");
    assert_int_equal(rig->done, 1);
    assert_int_equal(rig->status, -EREMOTEIO);
    assert_string_equal(rig->text, "not now");
    assert_string_equal(rig->event, "STOP");
    send_text(rig, "{\"return\": 5, \"id\": 1}\n");
    assert_int_equal(rig->done, 2);
    assert_int_equal(rig->status, 0);
    assert_int_equal(rig->closed, 0);
}

static void test_time_limits(void **state)
{
    struct rig *rig = *state;

    make_ready(rig);
    assert_int_equal(agent_qmp_command(rig->qmp, "slow", NULL, AGENT_NS_PER_S, on_done, rig), 0);
    pass(rig, 900 * AGENT_NS_PER_MS);
    assert_int_equal(rig->done, 0);
    pass(rig, 200 * AGENT_NS_PER_MS);
    assert_int_equal(rig->done, 1);
    assert_int_equal(rig->status, -ETIMEDOUT);
    send_text(rig, "{\"return\": {}, \"id\": 1}\n"); /* late: dropped */
    assert_int_equal(rig->done, 1);
    assert_int_equal(rig->closed, 0);
}

static void test_no_greeting(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(open_it(rig), 0);
    pass(rig, 3 * AGENT_NS_PER_S);
    assert_int_equal(rig->closed, 1);
    assert_non_null(strstr(rig->text, "no greeting in time"));
}

static void test_death_ends_every_command(void **state)
{
    struct rig *rig = *state;

    make_ready(rig);
    for (int at = 0; at < AGENT_QMP_PENDING_MAX; at++) {
        assert_int_equal(agent_qmp_command(rig->qmp, "x", NULL, AGENT_NS_PER_S, on_done, rig), 0);
    }
    assert_int_equal(agent_qmp_command(rig->qmp, "x", NULL, AGENT_NS_PER_S, on_done, rig), -EAGAIN);
    close(rig->peer);
    rig->peer = -1;
    step(rig);
    assert_int_equal(rig->done, AGENT_QMP_PENDING_MAX);
    assert_int_equal(rig->status, -ECONNRESET);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(agent_qmp_command(rig->qmp, "x", NULL, AGENT_NS_PER_S, on_done, rig),
                     -ENOTCONN);
}

static void test_lies_end_the_connection(void **state)
{
    static const struct {
        const char *line;
        const char *words;
    } cases[] = {
        {"{\"return\": {}, \"id\": 99}\n", "never sent"},
        {"what?\n", "what?"},
        {GREETING, "greeted twice"},
        {"{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n",
         "JSON parse error"},
    };
    struct rig *rig = *state;

    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        rig->ready = 0;
        rig->closed = 0;
        make_ready(rig);
        send_text(rig, cases[at].line);
        assert_int_equal(rig->closed, 1);
        if (strstr(rig->text, cases[at].words) == NULL) {
            fail_msg("'%s' is not in '%s'", cases[at].words, rig->text);
        }
        agent_qmp_close(rig->qmp);
        rig->qmp = NULL;
        close(rig->peer);
        rig->peer = -1;
    }
}

static void test_unread_commands_are_bounded(void **state)
{
    struct rig *rig = *state;
    char *big = malloc(600000);
    int status = 0;

    make_ready(rig);
    memset(big, 'x', 599999);
    big[599999] = '\0';
    for (int at = 0; at < 10 && status == 0; at++) { /* nobody reads at the other end */
        status = agent_qmp_command(rig->qmp, "x", json_pack("{s:s}", "a", big), AGENT_NS_PER_S,
                                   NULL, NULL);
    }
    assert_int_equal(status, -EAGAIN);
    free(big);
}

static void test_closing_from_inside(void **state)
{
    struct rig *rig = *state;

    make_ready(rig);
    agent_qmp_command(rig->qmp, "a", NULL, AGENT_NS_PER_S, on_done, rig);
    agent_qmp_command(rig->qmp, "b", NULL, AGENT_NS_PER_S, on_done, rig);
    rig->close_in_done = true;
    send_text(rig, "{\"return\": {}, \"id\": 1}\n{\"return\": {}, \"id\": 2}\n");
    assert_int_equal(rig->done, 2); /* the second one ended with the connection */
    assert_int_equal(rig->status, -ECANCELED);
    assert_int_equal(rig->closed, 0);
}

static void test_where_nobody_listens(void **state)
{
    struct rig *rig = *state;
    const struct agent_qmp_owner owner = {on_ready, on_event, on_closed, rig};
    char longer[200];

    close(rig->listener);
    rig->listener = open("/dev/null", 0);
    assert_int_equal(open_it(rig), -ECONNREFUSED);
    unlink(rig->path);
    assert_int_equal(open_it(rig), -ENOENT);
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(agent_qmp_open(rig->loop, longer, AGENT_NS_PER_S, &owner, &rig->qmp, NULL),
                     -ENAMETOOLONG);
    rig->qmp = NULL;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_times_of_events),
        cmocka_unit_test(test_reader_limits),
        CASE(test_commands_and_events),
        CASE(test_time_limits),
        CASE(test_no_greeting),
        CASE(test_death_ends_every_command),
        CASE(test_lies_end_the_connection),
        CASE(test_unread_commands_are_bounded),
        CASE(test_closing_from_inside),
        CASE(test_where_nobody_listens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
