/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_queue.c - 200 machines over one link, answered by a recording of real QEMUs on a virtual
 * clock: the link stays busy, benefit orders, nobody starves, memory stays small; failures and
 * restarts */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "act/private.h"
#include "replay.h"

#define START_S 1775055600.0
#define MANY    200

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

struct rig {
    char directory[32];
    struct agent_clock clock;
    struct agent_loop *loop;
    struct agent_yaml *root;
    struct agent_inventory *inventory;
    struct agent_store *store;
    struct agent_act_settings settings;
    struct replay *replay;
    struct agent_act *act;
};

static void append(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(text + strlen(text), size - strlen(text), format, args);
    va_end(args);
}

/* Machines of 2 and of 8 GiB at fukuoka; room for all at tokyo. */
static void make_inventory(struct rig *rig, int vms, int concurrent)
{
    static char text[65536];

    text[0] = '\0';
    append(text, sizeof(text),
           "sites:\n  - {name: fukuoka, area: kyushu}\n  - {name: tokyo, area: tokyo}\nhosts:\n");
    for (int at = 0; at < 2; at++) {
        append(text, sizeof(text),
               "  - {name: h%d, site: %s, address: 10.0.0.%d, directory: %s/%d, cpu: 4000, "
               "ram_mib: 4000000, idle_w: 100, busy_w: 900, ports: 5000-5999}\n",
               at, at == 0 ? "fukuoka" : "tokyo", at + 1, rig->directory, at);
    }
    append(text, sizeof(text),
           "links:\n  - {a: fukuoka, b: tokyo, rate_gbit_s: 10, concurrent: %d}\n"
           "groups:\n  - {name: small, ram_mib: 2048, start: [qemu, '{vm}']}\n"
           "  - {name: large, ram_mib: 8192, start: [qemu, '{vm}']}\nvms:\n",
           concurrent);
    for (int vm = 0; vm < vms; vm++) {
        append(text, sizeof(text), "  - {name: v%d, group: %s, host: h0}\n", vm,
               vm % 4 == 3 ? "large" : "small");
    }
    struct agent_error error = {0};
    if (agent_yaml_parse(text, strlen(text), "t.yaml", &rig->root, &error) < 0 ||
        agent_inventory_read(rig->root, &rig->inventory, &error) < 0) {
        fail_msg("%s", error.text);
    }
}

static void start_agent(struct rig *rig)
{
    struct agent_error error = {0};
    int status = agent_act_new_in(rig->loop, rig->store, rig->inventory, &rig->settings,
                                  replay_world(rig->replay), &rig->act, &error);

    assert_int_equal(status, 0);
    assert_int_equal(agent_act_start(rig->act, &error), 0);
}

static void step_until_ready(struct rig *rig)
{
    for (int step = 0; step < 1000000 && rig->act->recovering; step++) {
        assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
    }
    assert_false(rig->act->recovering);
}

static struct rig *rig_new(int vms, int concurrent)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    char path[128];

    strcpy(rig->directory, "/tmp/apn-q-XXXXXX");
    assert_non_null(mkdtemp(rig->directory));
    for (int at = 0; at < 2; at++) {
        snprintf(path, sizeof(path), "%s/%d", rig->directory, at);
        mkdir(path, 0700);
    }
    assert_int_equal(agent_clock_simulated(&rig->clock, START_S, 1, NULL), 0);
    assert_int_equal(agent_loop_new(&rig->clock, &rig->loop, NULL), 0);
    make_inventory(rig, vms, concurrent);
    assert_int_equal(agent_store_open(":memory:", &rig->store, NULL), 0);
    assert_int_equal(agent_act_settings_read(NULL, &rig->settings, NULL), 0);
    const char *recording = getenv("ACT_RECORDING");
    rig->replay = replay_new(rig->loop, rig->inventory, recording != NULL ? recording : "?");
    assert_non_null(rig->replay);
    for (int vm = 0; vm < vms; vm++) {
        replay_running(rig->replay, vm);
    }
    return rig;
}

static void rig_free(struct rig *rig)
{
    char command[64];

    agent_act_free(rig->act);
    replay_free(rig->replay);
    agent_loop_free(rig->loop);
    agent_store_close(rig->store);
    agent_inventory_free(rig->inventory);
    agent_yaml_free(rig->root);
    snprintf(command, sizeof(command), "rm -rf %s", rig->directory);
    assert_int_equal(system(command), 0);
    free(rig);
}

static bool any_open(const struct rig *rig)
{
    return rig->act->moves != NULL;
}

/* Runs until nothing is open. Return: virtual seconds it took. */
static double run_out(struct rig *rig, double limit_s)
{
    int64_t begin_ns = agent_loop_now_ns(rig->loop);
    double passed_s = 0;

    while (any_open(rig) && passed_s < limit_s) {
        assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
        passed_s = (double)(agent_loop_now_ns(rig->loop) - begin_ns) / (double)AGENT_NS_PER_S;
    }
    assert_false(any_open(rig));
    return passed_s;
}

static double memory_mib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*s %ld", &pages), 1);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static double benefit_of(int vm)
{
    return (double)(1 + vm * 37 % MANY); /* a permutation: every rank once */
}

static void test_200_over_one_link(void **state)
{
    struct rig *rig = rig_new(MANY, 2);
    int inversions = 0;

    (void)state;
    rig->settings.queue_age_s = 86400; /* order by benefit alone */
    start_agent(rig);
    step_until_ready(rig);
    for (int vm = 0; vm < MANY; vm++) {
        struct agent_error error = {0};
        int status = agent_act_move(rig->act, vm, 1, "test", benefit_of(vm), false, &error);
        assert_string_equal(error.text, "");
        assert_int_equal(status, 0);
    }
    double took_s = run_out(rig, 100000);
    struct replay_figures figures = replay_figures(rig->replay);
    double busy = (double)figures.busy_ns / (double)(figures.last_ns - figures.first_ns);
    assert_int_equal(figures.completed, MANY);
    assert_int_equal(figures.doubled, 0);
    assert_int_equal(figures.most_at_once, 2);
    for (int vm = 0; vm < MANY; vm++) {
        assert_int_equal(replay_site_of(rig->replay, vm), 1);
        assert_int_equal(rig->act->machines[vm].owner->host, 1);
    }
    /* by benefit per second of link; the few admitted at once at the beginning may go in any order
     */
    for (int at = 5; at + 5 < MANY; at++) {
        int one = replay_order(rig->replay, at);
        int later = replay_order(rig->replay, at + 5);
        double worth_one = benefit_of(one) / (one % 4 == 3 ? 4 : 1);
        double worth_later = benefit_of(later) / (later % 4 == 3 ? 4 : 1);
        inversions += worth_later > worth_one * 1.35 ? 1 : 0; /* 0.5 s overhead blurs the ratio */
    }
    printf(
        "200 machines: %.0f s of link time, link %.1f %% busy, memory %.1f MiB with the simulator, "
        "%d inversions\n",
        took_s, busy * 100, memory_mib(), inversions);
    assert_true(busy >= 0.9);
    assert_true(SANITIZED || memory_mib() <= 100); /* a sanitizer keeps what was freed */
    assert_int_equal(inversions, 0);
    rig_free(rig);
}

static void test_nobody_starves(void **state)
{
    struct rig *rig = rig_new(60, 1);
    struct agent_error error = {0};
    int next = 1;
    int64_t poor_ns = 0;

    (void)state;
    rig->settings.queue_age_s = 30;
    start_agent(rig);
    step_until_ready(rig);
    assert_int_equal(agent_act_move(rig->act, 0, 1, "poor", 0.01, false, &error), 0);
    for (int vm = next; vm < 6; vm++, next++) { /* the wire is taken before the poor one is ready */
        assert_int_equal(agent_act_move(rig->act, vm, 1, "rich", 1000 + vm, false, &error), 0);
    }
    int64_t begin_ns = agent_loop_now_ns(rig->loop);
    while (poor_ns == 0 && agent_loop_now_ns(rig->loop) - begin_ns < 300 * AGENT_NS_PER_S) {
        assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
        int open = 0;
        for (struct move *move = rig->act->moves; move != NULL; move = move->next) {
            open++;
        }
        if (open < 5 && next < 60) { /* there is always somebody richer */
            assert_int_equal(agent_act_move(rig->act, next, 1, "rich", 1000 + next, false, &error),
                             0);
            next++;
        }
        if (rig->act->machines[0].move == NULL) {
            poor_ns = agent_loop_now_ns(rig->loop);
        }
    }
    assert_true(poor_ns > 0);
    printf("the poor one arrived after %.1f s, %d richer ones came\n",
           (double)(poor_ns - begin_ns) / (double)AGENT_NS_PER_S, next - 1);
    assert_true(poor_ns - begin_ns < 90 * AGENT_NS_PER_S);
    run_out(rig, 1000);
    rig_free(rig);
}

/* What the plan moves to a site of which less is asked is given up; what a person moves is not. */
static void test_the_plan_gives_way_to_demand_response(void **state)
{
    struct rig *rig = rig_new(12, 1);
    struct agent_error error = {0};
    char why[AGENT_ACT_REASON_MAX];

    (void)state;
    start_agent(rig);
    step_until_ready(rig);
    for (int vm = 0; vm < 12; vm++) {
        assert_int_equal(agent_act_move(rig->act, vm, 1, "test", vm, false, &error), 0);
        rig->act->machines[vm].move->origin = vm % 2 == 0 ? MOVE_BY_PLAN : MOVE_BY_PERSON;
    }
    agent_act_lean(rig->act, 0, -1);
    assert_false(act_against_demand(rig->act, 0, 1, why, sizeof(why)));
    agent_act_lean(rig->act, 1, -1);
    assert_true(act_against_demand(rig->act, 0, 1, why, sizeof(why)));
    assert_non_null(strstr(why, "asks site"));
    run_out(rig, 2000);
    for (int vm = 0; vm < 12; vm++) {
        assert_int_equal(replay_site_of(rig->replay, vm), vm % 2 == 0 ? 0 : 1);
    }
    agent_act_lean(rig->act, 0, 0);
    agent_act_lean(rig->act, 1, 1); /* more is asked there: nothing leaves */
    assert_true(act_against_demand(rig->act, 1, 0, why, sizeof(why)));
    agent_act_lean(rig->act, 1, 0);
    assert_false(act_against_demand(rig->act, 1, 0, why, sizeof(why)));
    rig_free(rig);
}

static void test_failures_are_retried_and_capped(void **state)
{
    struct rig *rig = rig_new(2, 1);
    struct agent_error error = {0};

    (void)state;
    rig->settings.attempts_max = 2;
    start_agent(rig);
    step_until_ready(rig);
    replay_fail_next(rig->replay, 1);
    assert_int_equal(agent_act_move(rig->act, 0, 1, "test", 1, false, &error), 0);
    run_out(rig, 200);
    assert_int_equal(rig->act->ended->state, MOVE_DONE);
    assert_int_equal(rig->act->ended->attempt, 2); /* the second try went through */
    assert_int_equal(replay_site_of(rig->replay, 0), 1);
    replay_fail_next(rig->replay, 1);
    assert_int_equal(agent_act_move(rig->act, 1, 1, "test", 1, false, &error), 0);
    while (rig->act->machines[1].move != NULL && rig->act->machines[1].move->attempt < 2) {
        assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
    }
    replay_fail_next(rig->replay, 1);
    run_out(rig, 200);
    assert_int_equal(rig->act->ended->state, MOVE_FAILED);
    assert_int_equal(replay_site_of(rig->replay, 1), 0);
    assert_int_equal(rig->act->machines[1].owner->epoch, 1);
    rig_free(rig);
}

/* Every so many steps the agent is gone and a new one starts: what was meant is finished or undone.
 */
static void test_restarts_in_the_middle(void **state)
{
    struct rig *rig = rig_new(24, 2);
    unsigned seed = 7;

    (void)state;
    start_agent(rig);
    step_until_ready(rig);
    for (int vm = 0; vm < 24; vm++) {
        assert_int_equal(agent_act_move(rig->act, vm, 1, "test", vm, false, NULL), 0);
    }
    for (int restart = 0; restart < 40; restart++) {
        int steps = 1 + (int)(rand_r(&seed) % 400);
        for (int step = 0; step < steps; step++) {
            assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
        }
        agent_act_free(rig->act);
        rig->act = NULL;
        start_agent(rig);
        step_until_ready(rig);
    }
    run_out(rig, 2000);
    struct replay_figures figures = replay_figures(rig->replay);
    assert_int_equal(figures.doubled, 0);
    for (int vm = 0; vm < 24; vm++) {
        assert_true(replay_site_of(rig->replay, vm) >= 0); /* not lost */
        assert_non_null(rig->act->machines[vm].owner);
        assert_int_equal(rig->inventory->hosts[rig->act->machines[vm].owner->host].site,
                         replay_site_of(rig->replay, vm));
    }
    printf("40 restarts: %d of 24 transfers, %d arrived\n", figures.completed, figures.completed);
    rig_free(rig);
}

static void test_killed_destinations(void **state)
{
    struct rig *rig = rig_new(8, 2);
    unsigned seed = 3;

    (void)state;
    start_agent(rig);
    step_until_ready(rig);
    for (int vm = 0; vm < 8; vm++) {
        assert_int_equal(agent_act_move(rig->act, vm, 1, "test", vm, false, NULL), 0);
    }
    for (int kill = 0; kill < 12 && any_open(rig); kill++) {
        for (int step = 0; step < 100 + (int)(rand_r(&seed) % 300); step++) {
            assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
        }
        for (struct move *move = rig->act->moves; move != NULL; move = move->next) {
            if (move->dest_epoch > 0 && move->stage < MOVE_SETTLE && !move->undoing) {
                replay_kill(rig->replay, move->vm,
                            move->dest_epoch); /* only destinations: the guest lives */
                break;
            }
        }
    }
    run_out(rig, 5000);
    assert_int_equal(replay_figures(rig->replay).doubled, 0);
    for (int vm = 0; vm < 8; vm++) {
        assert_true(replay_site_of(rig->replay, vm) >= 0);
        assert_non_null(rig->act->machines[vm].owner);
    }
    rig_free(rig);
}

/* The source dies while it sends: its guest is gone, and that is said; the destination is removed.
 */
static void test_a_guest_dies_with_its_source(void **state)
{
    static const char *const stages[] = {"start", "listen", "transfer"};

    (void)state;
    for (int at = 0; at < 3; at++) {
        struct rig *rig = rig_new(1, 1);
        start_agent(rig);
        step_until_ready(rig);
        assert_int_equal(agent_act_move(rig->act, 0, 1, "test", 1, false, NULL), 0);
        while (rig->act->moves != NULL &&
               strcmp(move_stage_name(rig->act->moves), stages[at]) != 0) {
            assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
        }
        assert_non_null(rig->act->moves);
        replay_kill(rig->replay, 0, 1);
        run_out(rig, 300);
        assert_int_equal(rig->act->ended->state, MOVE_FAILED);
        for (int step = 0; step < 2000; step++) {
            assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
        }
        assert_int_equal(rig->act->machines[0].state, AGENT_VM_ABSENT);
        assert_int_equal(replay_site_of(rig->replay, 0), -1);
        assert_null(rig->act->machines[0].qemus); /* nothing is left over */
        rig_free(rig);
    }
}

/* Armed and given up again: it stays. Armed and moved there: it is let go. (The recording has no
 * hold, so the copy is still on its way in both.) */
static void test_hold(void **state)
{
    struct rig *rig = rig_new(2, 1);
    struct agent_error error = {0};

    (void)state;
    start_agent(rig);
    step_until_ready(rig);
    assert_int_equal(agent_act_arm(rig->act, 0, 1, &error), 0);
    assert_int_equal(agent_act_release(rig->act, 1, NULL, NULL, &error), -EPERM);
    assert_non_null(strstr(error.text, "not armed"));
    while (rig->act->moves->stage != MOVE_TRANSFER) {
        assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
    }
    assert_int_equal(agent_act_disarm(rig->act, 0, &error), 0);
    run_out(rig, 100);
    assert_int_equal(rig->act->ended->state, MOVE_CANCELLED);
    assert_int_equal(replay_site_of(rig->replay, 0), 0);
    assert_int_equal(rig->act->machines[0].owner->epoch, 1);
    assert_int_equal(agent_act_arm(rig->act, 1, 1, &error), 0); /* a move to where it is held: let go */
    while (rig->act->moves->stage != MOVE_TRANSFER) {
        assert_true(agent_loop_step(rig->loop, AGENT_NS_PER_S) >= 0);
    }
    assert_int_equal(agent_act_move(rig->act, 1, 1, "now", 0, true, &error), 0);
    run_out(rig, 100);
    assert_int_equal(rig->act->ended->state, MOVE_DONE);
    assert_int_equal(replay_site_of(rig->replay, 1), 1);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_200_over_one_link),
        cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_the_plan_gives_way_to_demand_response),
        cmocka_unit_test(test_failures_are_retried_and_capped),
        cmocka_unit_test(test_restarts_in_the_middle),
        cmocka_unit_test(test_killed_destinations),
        cmocka_unit_test(test_a_guest_dies_with_its_source),
        cmocka_unit_test(test_hold),
    };
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
