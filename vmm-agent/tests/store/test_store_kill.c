/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_store_kill.c - SIGKILL at random moments of writing: the store stays sound, no batch is
 * half there, and everything that was acknowledged is there
 * A child puts batches (and now and then a document, a retention) and acknowledges each through a
 * pipe; the parent kills it after a random time, opens the store and compares.
 * usage: test-store-kill [KILLS [SEED]] */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"

#define START_S      INT64_C(1775055600)
#define POINTS       400
#define DELAY_US     60000
#define FIRST_ACK_MS 20000
#define ROUNDS_MAX   100000

static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % below;
}

/* Batch @number: POINTS values of its own place, so that it is whole or absent. */
static int put(struct agent_store *store, int64_t number)
{
    static struct agent_batch batch;
    struct agent_error error = {0};
    char place[AGENT_PLACE_MAX];

    snprintf(place, sizeof(place), "host%lld", (long long)number % 7);
    agent_batch_init(&batch, "kill", "json-lines");
    batch.fetched_s = START_S + number;
    batch.digest = (uint64_t)number;
    struct agent_series *series =
        agent_batch_series(&batch, AGENT_AREA_NONE, AGENT_HOST_POWER, AGENT_ACTUAL, place);
    for (int index = 0; index < POINTS; index++) {
        struct agent_point point = {START_S + index * 60, 60, 0, (double)number};
        agent_series_append(series, point);
    }
    int added = agent_store_put_batch(store, &batch, &error);
    agent_batch_done(&batch);
    return added;
}

static void child(const char *path, int64_t first, int ack)
{
    struct agent_store *store = NULL;
    struct agent_error error = {0};
    const struct agent_retention rules = {0, 1, 1, 1};

    if (agent_store_open(path, &store, &error) < 0) {
        _exit(3);
    }
    for (int64_t number = first; number < first + ROUNDS_MAX; number++) {
        if (put(store, number) != POINTS) {
            _exit(4);
        }
        if (write(ack, &number, sizeof(number)) != sizeof(number)) {
            _exit(5);
        }
        if (number % 5 == 4) {
            json_t *document = json_pack("{s:I}", "number", (json_int_t)number);
            agent_store_put_document(store, AGENT_DOCUMENT_PLAN, START_S + number, "kill", document,
                                     NULL, &error);
            json_decref(document);
        }
        if (number % 11 == 10) { /* drop all but the newest revisions */
            agent_store_retain(store, &rules, START_S + 86400 + number - 20, &error);
        }
    }
    _exit(6);
}

/* After the kill: sound, and the last acknowledged batch is the newest or the one before it. */
static int verify(const char *path, int64_t last, int64_t *newest)
{
    struct agent_store *store = NULL;
    struct agent_error error = {0};
    int status = agent_store_open(path, &store, &error);

    status = status < 0 ? status : agent_store_check(store, &error);
    *newest = last;
    for (int64_t number = last + 1; status == 0 && number >= 0 && number >= last - 5; number--) {
        char place[AGENT_PLACE_MAX];
        struct agent_series series;
        snprintf(place, sizeof(place), "host%lld", (long long)number % 7);
        struct agent_query query = {
            AGENT_AREA_NONE, AGENT_HOST_POWER, AGENT_ACTUAL, place, START_S, START_S + 86400, 0};
        int count = agent_store_series(store, &query, &series, &error);
        double value = count > 0 ? series.points[0].value : -1;
        bool whole = count == POINTS;
        for (int index = 0; index < count; index++) {
            whole =
                whole && series.points[index].value >= value && series.points[index].value <= value;
        }
        bool there = whole && (int64_t)value == number;
        if (number == last + 1 && there) {
            *newest = number; /* committed, but killed before it could say so */
        }
        if ((count > 0 && !whole) || (number <= last && !there)) {
            status = agent_error_set(&error, EBADMSG, "batch %lld: %d points, first value %g",
                                     (long long)number, count, value);
        }
        agent_series_done(&series);
    }
    agent_store_close(store);
    if (status < 0) {
        printf("%s\n", error.text);
    }
    return status;
}

/* One child's life. Return: 0, or 1 after printing what is wrong. */
static int round_of(const char *path, int64_t *next, bool warm)
{
    int pipes[2];
    int64_t last = *next - 1;
    int64_t number = 0;

    if (pipe(pipes) < 0) {
        return 1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        child(path, *next, pipes[1]);
    }
    close(pipes[1]);
    struct pollfd first = {pipes[0], POLLIN, 0};
    if (warm) { /* let it write something first, however slow the machine is */
        poll(&first, 1, FIRST_ACK_MS);
    }
    struct timespec wait = {0, (long)pick(DELAY_US) * 1000};
    nanosleep(&wait, NULL);
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    while (read(pipes[0], &number, sizeof(number)) == sizeof(number)) {
        last = number;
    }
    close(pipes[0]);
    if (!WIFSIGNALED(status)) {
        printf("the writer ended by itself with %d\n", WEXITSTATUS(status));
        return 1;
    }
    int64_t newest = last;
    int bad = verify(path, last, &newest) < 0;
    *next = newest + 1;
    return bad;
}

int main(int argc, char **argv)
{
    int kills = argc > 1 ? atoi(argv[1]) : 60;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char directory[] = "/tmp/test-kill-XXXXXX";
    char path[64];
    char name[80];
    int64_t next = 0;
    int failed = mkdtemp(directory) == NULL;

    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    snprintf(path, sizeof(path), "%s/a.db", directory);
    for (int round = 0; round < kills && !failed; round++) {
        failed = round_of(path, &next, round % 4 != 3);
        if (failed) {
            printf("seed %llu, kill %d\n", (unsigned long long)seed, round);
        }
    }
    if (!failed && next < kills / 2) {
        printf("too few batches were written for the kills to mean anything\n");
        failed = 1;
    }
    printf("up to %d kills, %lld batches written, %s\n", kills, (long long)next,
           failed ? "NOT sound" : "sound every time");
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t index = 0; index < 3; index++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[index]);
        unlink(name);
    }
    rmdir(directory);
    return failed;
}
