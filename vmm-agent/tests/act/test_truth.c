/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_truth.c - who has the guest: a row per situation, and no situation in which two are let run
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "act/truth.h"

/* One QEMU in a few letters. */
struct fact {
    enum agent_qemu_state state;
    const char *status, *migration, *verdict;
};

#define UP(status, migration, verdict)                                                             \
    {                                                                                              \
        AGENT_QEMU_UP, status, migration, verdict                                                  \
    }
#define RUNS     UP("running", "", "")
#define PAUSED   UP("paused", "", "")
#define SENDS    UP("running", "active", "open")
#define CANCELS  UP("running", "cancelling", "open")
#define FAILED   UP("running", "failed", "refused")
#define SWITCHES UP("finish-migrate", "device", "open")
#define GRANTED  UP("postmigrate", "device", "granted")
#define LEFT     UP("postmigrate", "completed", "started")
#define UNSURE   UP("postmigrate", "failed", "unknown")
#define ODD      UP("postmigrate", "failed", "fenced")
#define WAITS    UP("inmigrate", "", "")
#define LOADS    UP("inmigrate", "active", "")
#define ARRIVED  UP("running", "completed", "")
#define SILENT                                                                                     \
    {                                                                                              \
        AGENT_QEMU_SILENT, "running", "", ""                                                       \
    }
#define COMING                                                                                     \
    {                                                                                              \
        AGENT_QEMU_COMING, "", "", ""                                                              \
    }
#define GONE                                                                                       \
    {                                                                                              \
        AGENT_QEMU_GONE, "running", "", ""                                                         \
    }

static const struct {
    struct fact facts[3]; /* epochs 1, 2, 3; an empty one ends the list */
    enum agent_truth_is is;
    long long owner; /* epoch, 0 = none */
} rows[] = {
    {{GONE}, AGENT_TRUTH_ABSENT, 0},
    {{RUNS}, AGENT_TRUTH_HERE, 1},
    {{PAUSED}, AGENT_TRUTH_HERE, 1},
    {{SILENT}, AGENT_TRUTH_UNCLEAR, 0},
    {{COMING}, AGENT_TRUTH_WAIT, 0},
    {{WAITS}, AGENT_TRUTH_ABSENT, 0},
    {{LEFT}, AGENT_TRUTH_ABSENT, 0},
    {{ODD}, AGENT_TRUTH_UNCLEAR, 0},
    {{RUNS, WAITS}, AGENT_TRUTH_HERE, 1},
    {{RUNS, COMING}, AGENT_TRUTH_HERE, 1},
    {{RUNS, SILENT}, AGENT_TRUTH_HERE, 1},
    {{SENDS, LOADS}, AGENT_TRUTH_MOVING, 1},
    {{CANCELS, LOADS}, AGENT_TRUTH_MOVING, 1},
    {{FAILED, LOADS}, AGENT_TRUTH_HERE, 1},
    {{FAILED, GONE}, AGENT_TRUTH_HERE, 1},
    {{SENDS, GONE}, AGENT_TRUTH_HERE, 1},
    {{SWITCHES, LOADS}, AGENT_TRUTH_WAIT, 0},
    {{GRANTED, LOADS}, AGENT_TRUTH_WAIT, 0},
    {{GRANTED, ARRIVED}, AGENT_TRUTH_WAIT, 0},
    {{LEFT, ARRIVED}, AGENT_TRUTH_HANDED, 2},
    {{LEFT, PAUSED}, AGENT_TRUTH_HANDED, 2},
    {{LEFT, LOADS}, AGENT_TRUTH_WAIT, 0},
    {{LEFT, GONE}, AGENT_TRUTH_ABSENT, 0},
    {{LEFT, SILENT}, AGENT_TRUTH_UNCLEAR, 0},
    {{GONE, ARRIVED}, AGENT_TRUTH_HERE, 2},
    {{GONE, LOADS}, AGENT_TRUTH_ABSENT, 0},
    {{GONE, SILENT}, AGENT_TRUTH_UNCLEAR, 0},
    {{UNSURE, ARRIVED}, AGENT_TRUTH_DEST_RUNS, 2},
    {{UNSURE, PAUSED}, AGENT_TRUTH_DEST_RUNS, 2},
    {{UNSURE, GONE}, AGENT_TRUTH_DEST_GONE, 0},
    {{UNSURE}, AGENT_TRUTH_DEST_GONE, 0},
    {{UNSURE, SILENT}, AGENT_TRUTH_UNCLEAR, 0},
    {{UNSURE, LOADS}, AGENT_TRUTH_WAIT, 0},
    {{UNSURE, COMING}, AGENT_TRUTH_WAIT, 0},
    {{UNSURE, GONE, ARRIVED}, AGENT_TRUTH_DEST_RUNS, 3},
    {{UNSURE, SILENT, ARRIVED}, AGENT_TRUTH_DEST_RUNS, 3},
    {{UNSURE, UNSURE}, AGENT_TRUTH_UNCLEAR, 0},
    {{RUNS, ARRIVED}, AGENT_TRUTH_DOUBLE, 0},
    {{PAUSED, ARRIVED}, AGENT_TRUTH_UNCLEAR, 0},
    {{PAUSED, PAUSED}, AGENT_TRUTH_UNCLEAR, 0},
    {{SENDS, LOADS, WAITS}, AGENT_TRUTH_MOVING, 1},
};

static struct agent_truth judge(const struct fact *facts, struct agent_qemu *qemus)
{
    struct agent_qemu *first = NULL;

    memset(qemus, 0, 3 * sizeof(*qemus));
    for (int at = 2; at >= 0; at--) {
        if (facts[at].status != NULL) {
            qemus[at].state = facts[at].state;
            qemus[at].epoch = at + 1;
            snprintf(qemus[at].status, sizeof(qemus[at].status), "%s", facts[at].status);
            snprintf(qemus[at].migration, sizeof(qemus[at].migration), "%s", facts[at].migration);
            snprintf(qemus[at].verdict, sizeof(qemus[at].verdict), "%s", facts[at].verdict);
            qemus[at].next = first;
            first = &qemus[at];
        }
    }
    return agent_truth_of(first);
}

static void test_rows(void **state)
{
    struct agent_qemu qemus[3];

    (void)state;
    for (size_t at = 0; at < sizeof(rows) / sizeof(rows[0]); at++) {
        struct agent_truth truth = judge(rows[at].facts, qemus);
        long long owner = truth.owner != NULL ? truth.owner->epoch : 0;
        if (truth.is != rows[at].is || owner != rows[at].owner) {
            fail_msg("row %zu: is %d owner %lld, expected %d owner %lld (%s)", at, truth.is, owner,
                     rows[at].is, rows[at].owner, truth.why);
        }
    }
}

/* All pairs of all facts: nothing is ever given up or started while an answer is missing. */
static void test_all_pairs(void **state)
{
    static const struct fact all[] = {RUNS,    PAUSED, SENDS,  CANCELS, FAILED, SWITCHES,
                                      GRANTED, LEFT,   UNSURE, ODD,     WAITS,  LOADS,
                                      ARRIVED, SILENT, COMING, GONE};
    struct agent_qemu qemus[3];

    (void)state;
    for (size_t one = 0; one < sizeof(all) / sizeof(all[0]); one++) {
        for (size_t two = 0; two < sizeof(all) / sizeof(all[0]); two++) {
            struct fact facts[3] = {all[one], all[two], {AGENT_QEMU_GONE, NULL, NULL, NULL}};
            struct agent_truth truth = judge(facts, qemus);
            bool missing =
                all[one].state == AGENT_QEMU_SILENT || all[two].state == AGENT_QEMU_SILENT ||
                all[one].state == AGENT_QEMU_COMING || all[two].state == AGENT_QEMU_COMING;
            int running = 0;
            for (int at = 0; at < 2; at++) {
                running +=
                    qemus[at].state == AGENT_QEMU_UP && strcmp(qemus[at].status, "running") == 0;
            }
            assert_true(!missing || truth.is != AGENT_TRUTH_ABSENT);
            assert_true(!missing || truth.is != AGENT_TRUTH_DEST_GONE);
            assert_true((running == 2) == (truth.is == AGENT_TRUTH_DOUBLE));
            assert_true(running == 0 || truth.is != AGENT_TRUTH_ABSENT);
            assert_true(running == 0 || truth.is != AGENT_TRUTH_DEST_GONE);
            if (truth.owner != NULL) {
                assert_true(agent_qemu_owns(truth.owner));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_all_pairs)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
