/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_loop.c - order of timers, calls from threads, descriptors that end while they are served;
 * the two times of the agent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "act/loop.h"

#define START_S 1775055600.0 /* 2026-04-02 00:00 JST */

struct rig {
    struct agent_clock clock;
    struct agent_loop *loop;
    char said[256];
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    assert_int_equal(agent_clock_simulated(&rig->clock, START_S, 480, NULL), 0);
    assert_int_equal(agent_loop_new(&rig->clock, &rig->loop, NULL), 0);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    agent_loop_free(rig->loop);
    free(rig);
    return 0;
}

struct word {
    struct rig *rig;
    const char *text;
    struct agent_timer timer;
    int left;
};

static void say(void *opaque)
{
    struct word *word = opaque;

    strncat(word->rig->said, word->text, sizeof(word->rig->said) - strlen(word->rig->said) - 1);
}

static void test_timers_fire_in_order(void **state)
{
    struct rig *rig = *state;
    struct word words[40];
    char expected[256] = "";

    for (int at = 0; at < 40; at++) { /* 7 and 40 have no common factor: every place once */
        static const char *const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN";
        static char texts[40][2];
        int order = at * 7 % 40;
        texts[at][0] = letters[order];
        words[at] = (struct word){.rig = rig, .text = texts[at]};
        agent_timer_init(&words[at].timer, rig->loop, say, &words[at]);
        assert_int_equal(agent_timer_after(&words[at].timer, (order + 1) * AGENT_NS_PER_S), 0);
        expected[order] = letters[order];
    }
    agent_timer_unset(&words[3].timer); /* 21 -> 'v' */
    memmove(strchr(expected, words[3].text[0]), strchr(expected, words[3].text[0]) + 1,
            strlen(strchr(expected, words[3].text[0])));
    for (int step = 0; step < 200; step++) {
        assert_true(agent_loop_step(rig->loop, AGENT_LOOP_NEVER_NS) >= 0);
    }
    assert_string_equal(rig->said, expected);
    assert_int_equal(agent_clock_mono_ns(&rig->clock), 41 * AGENT_NS_PER_S);
}

static void repeat(void *opaque)
{
    struct word *word = opaque;

    say(word);
    if (--word->left > 0) {
        agent_timer_after(&word->timer, 0);
    } else {
        agent_loop_stop(word->rig->loop);
    }
}

static void test_a_timer_may_set_itself(void **state)
{
    struct rig *rig = *state;
    struct word word = {.rig = rig, .text = "x", .left = 5};

    agent_timer_init(&word.timer, rig->loop, repeat, &word);
    agent_timer_after(&word.timer, 5);
    assert_int_equal(agent_loop_run(rig->loop), 0);
    assert_string_equal(rig->said, "xxxxx");
    assert_int_equal(agent_clock_mono_ns(&rig->clock), AGENT_NS_PER_S + 5);
}

static void *post_many(void *opaque)
{
    struct word *word = opaque;

    for (int at = 0; at < 100; at++) {
        while (agent_loop_post(word->rig->loop, say, word) != 0) {
            usleep(100);
        }
    }
    return NULL;
}

static void test_calls_from_threads(void **state)
{
    struct rig *rig = *state;
    struct word one = {.rig = rig, .text = "1"};
    struct word two = {.rig = rig, .text = "2"};
    pthread_t threads[2];

    pthread_create(&threads[0], NULL, post_many, &one);
    pthread_create(&threads[1], NULL, post_many, &two);
    while (strlen(rig->said) < 200) {
        assert_true(agent_loop_step(rig->loop, 0) >= 0);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(strlen(rig->said), 200);
}

static void test_posted_has_a_limit(void **state)
{
    struct rig *rig = *state;
    struct word word = {.rig = rig, .text = ""};

    for (int at = 0; at < AGENT_LOOP_POSTED_MAX; at++) {
        assert_int_equal(agent_loop_post(rig->loop, say, &word), 0);
    }
    assert_int_equal(agent_loop_post(rig->loop, say, &word), -EAGAIN);
    agent_loop_step(rig->loop, 0);
    assert_int_equal(agent_loop_post(rig->loop, say, &word), 0);
}

struct pair {
    struct rig *rig;
    struct agent_watch *watches[2];
    int fds[2][2];
    int calls;
};

static void end_both(void *opaque, uint32_t events)
{
    struct pair *pair = opaque;

    assert_true((events & EPOLLIN) != 0);
    pair->calls++;
    agent_loop_unwatch(pair->watches[0]);
    agent_loop_unwatch(pair->watches[1]);
}

static void test_an_ended_watch_is_silent(void **state)
{
    struct rig *rig = *state;
    struct pair pair = {.rig = rig};

    for (int at = 0; at < 2; at++) {
        assert_int_equal(pipe(pair.fds[at]), 0);
        assert_int_equal(write(pair.fds[at][1], "x", 1), 1);
        assert_int_equal(agent_loop_watch(rig->loop, pair.fds[at][0], EPOLLIN, end_both, &pair,
                                          &pair.watches[at]),
                         0);
    }
    agent_loop_step(rig->loop, 0);
    agent_loop_step(rig->loop, 0);
    assert_int_equal(pair.calls, 1); /* both were readable, the first one ended the second */
    for (int at = 0; at < 4; at++) {
        close(pair.fds[at / 2][at % 2]);
    }
}

static void work(void *opaque)
{
    struct word *word = opaque;

    word->left = 42;
}

static void test_work_comes_back(void **state)
{
    struct rig *rig = *state;
    struct word word = {.rig = rig, .text = "done"};
    struct agent_clock clock;
    struct agent_loop *loop = NULL;

    assert_int_equal(agent_loop_work(rig->loop, work, say, &word), 0);
    agent_loop_step(rig->loop, 0);
    assert_string_equal(rig->said, "done");
    agent_clock_real(&clock); /* with the real clock: on a thread */
    assert_int_equal(agent_loop_new(&clock, &loop, NULL), 0);
    word.left = 0;
    assert_int_equal(agent_loop_work(loop, work, say, &word), 0);
    assert_true(agent_loop_step(loop, 10 * AGENT_NS_PER_S) > 0);
    assert_int_equal(word.left, 42);
    assert_string_equal(rig->said, "donedone");
    agent_loop_free(loop);
}

static void test_two_times(void **state)
{
    struct rig *rig = *state;
    struct agent_error error = {0};
    struct agent_clock clock;

    agent_clock_advance(&rig->clock, AGENT_NS_PER_S + 180 * AGENT_NS_PER_S);
    assert_int_equal(agent_clock_now_s(&rig->clock), (int64_t)START_S + 86400);
    assert_int_equal(agent_clock_at_ns(&rig->clock, START_S + 86400 + 480), 182 * AGENT_NS_PER_S);
    assert_true(agent_clock_slot_share(&rig->clock) == 3.75);
    agent_clock_advance(&rig->clock, 0); /* never back */
    assert_int_equal(agent_clock_mono_ns(&rig->clock), 181 * AGENT_NS_PER_S);
    assert_int_equal(agent_clock_scaled(&clock, START_S, 0, &error), -EINVAL);
    assert_non_null(strstr(error.text, "scale 0"));
    agent_error_clear(&error);
    assert_int_equal(agent_clock_scaled(&clock, -5, 1, &error), -EINVAL);
    assert_non_null(strstr(error.text, "start -5"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_timers_fire_in_order),
        CASE(test_a_timer_may_set_itself),
        CASE(test_calls_from_threads),
        CASE(test_posted_has_a_limit),
        CASE(test_an_ended_watch_is_silent),
        CASE(test_work_comes_back),
        CASE(test_two_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
