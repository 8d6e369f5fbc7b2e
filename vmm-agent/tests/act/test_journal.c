/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_journal.c - what is noted survives a kill, epochs only grow, open moves are found again */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "act/journal.h"

static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/apn-journal-%d.db", (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    char name[80];

    (void)state;
    for (int at = 0; at < 3; at++) {
        snprintf(name, sizeof(name), "%s%s", path, at == 0 ? "" : at == 1 ? "-wal" : "-shm");
        unlink(name);
    }
    return 0;
}

struct both {
    struct agent_store *store;
    struct agent_journal *journal;
};

static struct both open_both(void)
{
    struct both both = {NULL, NULL};

    assert_int_equal(agent_store_open(path, &both.store, NULL), 0);
    assert_int_equal(agent_journal_open(both.store, &both.journal, NULL), 0);
    return both;
}

static void close_both(struct both both)
{
    agent_journal_close(both.journal);
    agent_store_close(both.store);
}

static void test_epochs_only_grow(void **state)
{
    struct both both = open_both();
    struct agent_journal_vm noted = {.epoch = 3, .owner = 3, .host = "f1", .since_s = 5};

    (void)state;
    assert_int_equal(agent_journal_next_epoch(both.journal, "a", NULL), 1);
    assert_int_equal(agent_journal_next_epoch(both.journal, "a", NULL), 2);
    assert_int_equal(agent_journal_next_epoch(both.journal, "b", NULL), 1);
    assert_int_equal(agent_journal_put_vm(both.journal, "a", &noted, NULL), 0);
    noted.epoch = 1; /* somebody who remembers less */
    assert_int_equal(agent_journal_put_vm(both.journal, "a", &noted, NULL), 0);
    close_both(both);
    both = open_both();
    assert_int_equal(agent_journal_next_epoch(both.journal, "a", NULL), 4);
    assert_int_equal(agent_journal_vm(both.journal, "a", &noted, NULL), 0);
    assert_string_equal(noted.host, "f1");
    assert_int_equal(noted.owner, 3);
    assert_int_equal(agent_journal_vm(both.journal, "none", &noted, NULL), 0);
    assert_int_equal(noted.epoch, 0);
    close_both(both);
}

struct found {
    int count;
    struct agent_journal_move last;
};

static void find(void *opaque, const struct agent_journal_move *move)
{
    struct found *found = opaque;

    found->count++;
    found->last = *move;
}

static void test_open_moves(void **state)
{
    struct both both = open_both();
    struct agent_journal_move move = {.vm = "a",
                                      .from_host = "f1",
                                      .to_host = "t1",
                                      .origin = "plan",
                                      .state = "queued",
                                      .stage = "preflight",
                                      .reason = "cheaper",
                                      .benefit_yen = 1.5,
                                      .queued_s = 100};
    struct agent_journal_entry entry = {0, "a", 100, "preflight", "begin", "x"};
    struct found found = {0};

    (void)state;
    int64_t id = agent_journal_step(both.journal, &move, NULL, &entry, NULL);
    assert_true(id > 0);
    move.id = id;
    snprintf(move.state, sizeof(move.state), "running");
    move.dest_epoch = 7;
    assert_int_equal(agent_journal_step(both.journal, &move, NULL, &entry, NULL), id);
    move.id = 0;
    assert_true(agent_journal_step(both.journal, &move, NULL, NULL, NULL) > id);
    assert_int_equal(agent_journal_open_moves(both.journal, find, &found, NULL), 2);
    assert_int_equal(found.count, 2);
    assert_int_equal(found.last.dest_epoch, 7);
    assert_true(found.last.benefit_yen > 1.4);
    move.id = id;
    move.ended_s = 200;
    assert_int_equal(agent_journal_step(both.journal, &move, NULL, &entry, NULL), id);
    assert_int_equal(agent_journal_open_moves(both.journal, find, &found, NULL), 1);
    json_t *story = agent_journal_story(both.journal, "a", 2);
    assert_int_equal(json_array_size(story), 2); /* the last two of three, oldest first */
    json_decref(story);
    close_both(both);
}

static void test_values_and_runs(void **state)
{
    struct both both = open_both();
    char value[16];

    (void)state;
    assert_int_equal(agent_journal_run(both.journal, NULL), 1);
    assert_int_equal(agent_journal_run(both.journal, NULL), 2);
    assert_int_equal(agent_journal_get(both.journal, "paused", value, sizeof(value), NULL), 0);
    assert_string_equal(value, "");
    assert_int_equal(agent_journal_set(both.journal, "paused", "yes", NULL), 0);
    assert_int_equal(agent_journal_set(both.journal, "paused", "no", NULL), 0);
    assert_int_equal(agent_journal_get(both.journal, "paused", value, sizeof(value), NULL), 0);
    assert_string_equal(value, "no");
    close_both(both);
}

/* A child writes epochs and says each aloud after it was written; it is killed at any moment: no
 * epoch that was said may be given out again. */
static void test_sigkill(void **state)
{
    unsigned seed = 1;
    long long said = 0;

    (void)state;
    for (int round = 0; round < 8; round++) {
        int pipes[2];
        long long epoch;
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            struct both both = open_both();
            for (;;) {
                epoch = agent_journal_next_epoch(both.journal, "a", NULL);
                if (epoch < 1 || write(pipes[1], &epoch, sizeof(epoch)) != sizeof(epoch)) {
                    _exit(1);
                }
            }
        }
        close(pipes[1]);
        usleep(20000 + rand_r(&seed) % 60000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipes[0], &epoch, sizeof(epoch)) == sizeof(epoch)) {
            assert_true(epoch > said);
            said = epoch;
        }
        close(pipes[0]);
    }
    struct both both = open_both();
    assert_true(agent_journal_next_epoch(both.journal, "a", NULL) > said);
    assert_int_equal(agent_store_check(both.store, NULL), 0);
    close_both(both);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_epochs_only_grow),
        CASE(test_open_moves),
        CASE(test_values_and_runs),
        CASE(test_sigkill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
