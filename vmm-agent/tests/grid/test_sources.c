/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_sources.c - files, a watched directory, and URLs against a small server on loopback */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "grid/fetch.h"
#include "grid/source.h"
#include "tests/grid/fixture.h"

static char directory[] = "/tmp/test-sources-XXXXXX";

struct seen {
    int batches;
    int problems;
    double value; /* first value of the last batch */
    int64_t fetched_s;
    char text[AGENT_ERROR_TEXT_MAX];
};

static int take_batch(void *opaque, const struct agent_batch *batch)
{
    struct seen *seen = opaque;

    seen->batches++;
    seen->value = batch->series[0].points[0].value;
    seen->fetched_s = batch->fetched_s;
    return 0;
}

static void take_problem(void *opaque, const struct agent_error *error)
{
    struct seen *seen = opaque;

    seen->problems++;
    snprintf(seen->text, sizeof(seen->text), "%s", error->text);
}

static void write_file(const char *name, double value)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    fprintf(out,
            "{\"quantity\":\"host_power\",\"place\":\"a\",\"time\":\"2026-04-02T00:00Z\","
            "\"seconds\":60,\"value\":%g,\"unit\":\"W\"}\n",
            value);
    fclose(out);
}

static void remove_file(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    unlink(path);
}

static struct agent_source *open_source(enum agent_source_kind kind, const char *location,
                                        const char *cache)
{
    struct agent_source_config config = {.kind = kind,
                                         .name = "test",
                                         .location = location,
                                         .place = "",
                                         .cache = cache,
                                         .poll_s = 60};
    struct agent_source *source = NULL;
    struct agent_error error = {0};

    if (agent_source_open(&config, &source, &error) < 0) {
        fail_msg("%s", error.text);
    }
    return source;
}

static void test_file(void **state)
{
    char path[128];
    struct seen seen = {0};
    struct agent_sink sink = {take_batch, take_problem, &seen};

    (void)state;
    snprintf(path, sizeof(path), "%s/one.jsonl", directory);
    struct agent_source *source = open_source(AGENT_SOURCE_FILE, path, NULL);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 0);
    assert_int_equal(seen.problems, 1); /* not there yet */
    write_file("one.jsonl", 100);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 1);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 0); /* unchanged */
    write_file("one.jsonl", 2000);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 1);
    assert_int_equal((int)seen.value, 2000);
    assert_int_equal(agent_source_due_s(source), FIXTURE_NOW_S + 60);
    agent_source_close(source);
    remove_file("one.jsonl");
}

static int readable(const struct agent_source *source)
{
    struct pollfd fd = {agent_source_fd(source), POLLIN, 0};

    return poll(&fd, 1, 5000);
}

static void test_directory(void **state)
{
    struct seen seen = {0};
    struct agent_sink sink = {take_batch, take_problem, &seen};
    char from[128];
    char to[128];

    (void)state;
    write_file("a.jsonl", 1);
    write_file("b.jsonl.part", 9);
    struct agent_source *source = open_source(AGENT_SOURCE_DIRECTORY, directory, NULL);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 1); /* what is there */
    write_file("c.jsonl", 3);
    assert_int_equal(readable(source), 1);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 1);
    assert_int_equal((int)seen.value, 3);
    snprintf(from, sizeof(from), "%s/b.jsonl.part", directory);
    snprintf(to, sizeof(to), "%s/b.jsonl", directory);
    assert_int_equal(rename(from, to), 0); /* moved into place */
    assert_int_equal(readable(source), 1);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 1);
    assert_int_equal((int)seen.value, 9);
    write_file("bad.jsonl", 1e9);  /* absurd: taken, but flagged by the checks */
    FILE *out = fopen(from, "we"); /* somebody is still writing: not looked at */
    fputs("half", out);
    fclose(out);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 1);
    assert_int_equal(seen.problems, 0);
    agent_source_close(source);
    remove_file("a.jsonl");
    remove_file("b.jsonl");
    remove_file("b.jsonl.part");
    remove_file("bad.jsonl");
    remove_file("c.jsonl");
    struct agent_source_config config = {
        .kind = AGENT_SOURCE_DIRECTORY, .name = "x", .location = "/nonexistent", .poll_s = 60};
    struct agent_error error = {0};
    assert_int_equal(agent_source_open(&config, &source, &error), -ENOENT);
}

static void test_directory_made_anew(void **state)
{
    struct seen seen = {0};
    struct agent_sink sink = {take_batch, take_problem, &seen};
    char inbox[128];

    (void)state;
    snprintf(inbox, sizeof(inbox), "%s/inbox", directory);
    assert_int_equal(mkdir(inbox, 0700), 0);
    struct agent_source *source = open_source(AGENT_SOURCE_DIRECTORY, inbox, NULL);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 0);
    assert_int_equal(rmdir(inbox), 0);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 0);
    assert_int_equal(seen.problems, 1);
    assert_int_equal(agent_source_due_s(source), FIXTURE_NOW_S + 60); /* by time until it is back */
    assert_int_equal(mkdir(inbox, 0700), 0);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S + 60, &sink), 0);
    write_file("inbox/new.jsonl", 4); /* and watched again */
    assert_int_equal(readable(source), 1);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S + 61, &sink), 1);
    agent_source_close(source);
}

/* A server that answers each connection with the next of its answers and keeps the request. */
struct server {
    int fd;
    int port;
    size_t count;
    const char *answers[12];
    char requests[12][1024];
    pthread_t thread;
};

static void *serve(void *opaque)
{
    struct server *server = opaque;

    for (size_t index = 0; index < server->count; index++) {
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0) {
            break;
        }
        size_t used = 0;
        char *request = server->requests[index];
        while (used < 1023 && strstr(request, "\r\n\r\n") == NULL) {
            ssize_t got = recv(fd, request + used, 1023 - used, 0);
            if (got <= 0) {
                break;
            }
            used += (size_t)got;
        }
        const char *answer = server->answers[index];
        send(fd, answer, strlen(answer), MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

static void start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(server->fd, 4), 0);
    getsockname(server->fd, (struct sockaddr *)&address, &length);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->fd);
}

#define BODY                                                                                       \
    "{\"quantity\":\"host_power\",\"place\":\"a\",\"time\":\"2026-04-02T00:00Z\",\"seconds\":60,"  \
    "\"value\":5,\"unit\":\"W\"}\n"

static void test_fetch(void **state)
{
    struct server server = {
        .count = 6,
        .answers = {
            "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nLast-Modified: Thu, 02 Apr 2026 00:00:00 GMT"
            "\r\nConnection: close\r\n\r\nfirst",
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nConnection: close\r\n\r\nlater",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\ncut off",
            "HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nConnection: close\r\n\r\nsecond",
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"}};
    struct agent_fetch *fetch = NULL;
    struct agent_error error = {0};
    char url[64];

    (void)state;
    start(&server);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/x.csv", server.port);
    assert_int_equal(agent_fetch_open(url, directory, 60, &fetch, &error), 0);
    assert_int_equal(agent_fetch_try(fetch, 1000, &error), 1);
    assert_memory_equal(agent_fetch_last(fetch).bytes, "first", 5);
    assert_int_equal(agent_fetch_due_s(fetch), 1060);
    assert_int_equal(agent_fetch_try(fetch, 1060, &error), 0);
    assert_non_null(strstr(server.requests[1], "If-None-Match: \"v1\""));
    assert_non_null(strstr(server.requests[1], "If-Modified-Since: Thu, 02 Apr 2026"));
    assert_int_equal(agent_fetch_last(fetch).fetched_s, 1060);
    assert_true(agent_fetch_try(fetch, 2000, &error) < 0);
    assert_non_null(strstr(error.text, "HTTP status 503; failure 1 in a row, next try at"));
    assert_int_equal(agent_fetch_due_s(fetch), 2120); /* as the server asked */
    assert_int_equal(agent_fetch_last(fetch).failures, 1);
    assert_true(agent_fetch_try(fetch, 3000, NULL) < 0); /* cut off: the last good one stays */
    assert_memory_equal(agent_fetch_last(fetch).bytes, "first", 5);
    assert_int_equal(agent_fetch_last(fetch).failures, 2);
    assert_int_equal(agent_fetch_try(fetch, 4000, NULL), 1);
    assert_memory_equal(agent_fetch_last(fetch).bytes, "second", 6);
    agent_fetch_close(fetch);
    /* another run starts with what the cache holds */
    memset(&error, 0, sizeof(error));
    assert_int_equal(agent_fetch_open(url, directory, 60, &fetch, &error), 0);
    assert_memory_equal(agent_fetch_last(fetch).bytes, "second", 6);
    assert_int_equal(agent_fetch_last(fetch).fetched_s, 4000);
    assert_int_equal(agent_fetch_try(fetch, 5000, &error), 0);
    assert_non_null(strstr(server.requests[5], "If-None-Match: \"v2\""));
    stop(&server);
    assert_true(agent_fetch_try(fetch, 6000, &error) < 0); /* nobody listens any more */
    agent_fetch_close(fetch);
    assert_int_equal(agent_fetch_open("file:///etc/passwd", NULL, 60, &fetch, NULL), -EINVAL);
}

static void test_backoff(void **state)
{
    int64_t before_s = 0;

    (void)state;
    for (unsigned failures = 1; failures < 100; failures++) {
        int64_t wait_s = agent_fetch_backoff_s("http://127.0.0.1/", 300, failures);
        assert_true(wait_s >= 27 && wait_s <= 3960);
        assert_true(failures > 7 || wait_s > before_s * 19 / 10);
        before_s = wait_s;
    }
    assert_true(before_s >= 3240);
}

static void test_url_source_keeps_last_good(void **state)
{
    struct server server = {.count = 2,
                            .answers = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" BODY,
                                        "HTTP/1.1 404 Gone\r\nConnection: close\r\n\r\n"}};
    struct seen seen = {0};
    struct agent_sink sink = {take_batch, take_problem, &seen};
    char url[64];

    (void)state;
    start(&server);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/y.jsonl", server.port);
    struct agent_source *source = open_source(AGENT_SOURCE_URL, url, directory);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S, &sink), 1);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S + 1, &sink), 0); /* not due */
    agent_source_close(source);
    /* after a restart the server fails: what was read before is given, with its own time */
    source = open_source(AGENT_SOURCE_URL, url, directory);
    assert_int_equal(agent_source_poll(source, FIXTURE_NOW_S + 500, &sink), 1);
    assert_int_equal(seen.fetched_s, FIXTURE_NOW_S);
    assert_int_equal(seen.problems, 1);
    stop(&server);
    agent_source_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_directory_made_anew),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_url_source_keeps_last_good),
    };

    if (mkdtemp(directory) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", directory);
    return failed != 0 || system(command) != 0;
}
