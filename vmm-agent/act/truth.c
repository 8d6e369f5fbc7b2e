/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/truth.h"

#include <stdio.h>
#include <string.h>

struct count {
    int alive;   /* not proved gone */
    int running; /* says so itself */
    int coming, silent, owning, waiting, left, unsure, between;
    struct agent_qemu *owner, *silent_one, *waiter, *leaver, *unsure_one, *odd;
};

bool agent_truth_migrating(const struct agent_qemu *qemu)
{
    static const char *const states[] = {"setup",          "active", "postcopy-active",
                                         "pre-switchover", "device", "cancelling",
                                         "wait-unplug",    NULL};

    for (int at = 0; states[at] != NULL; at++) {
        if (strcmp(qemu->migration, states[at]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_between(const struct agent_qemu *qemu)
{
    return strcmp(qemu->status, "finish-migrate") == 0 ||
           (strcmp(qemu->status, "postmigrate") == 0 && agent_truth_migrating(qemu));
}

static void add(struct count *count, struct agent_qemu *qemu)
{
    if (qemu->state == AGENT_QEMU_GONE) {
        return;
    }
    count->alive++;
    if (qemu->state == AGENT_QEMU_COMING) {
        count->coming++;
    } else if (qemu->state == AGENT_QEMU_SILENT) {
        count->silent++;
        count->silent_one = qemu;
    } else if (agent_qemu_unsure(qemu)) {
        count->unsure++;
        count->unsure_one = qemu;
    } else if (agent_qemu_waits(qemu)) {
        count->waiting++;
        count->waiter = qemu;
    } else if (agent_qemu_left(qemu)) {
        count->left++;
        count->leaver = qemu;
    } else if (agent_qemu_owns(qemu)) {
        count->owning++;
        count->running += strcmp(qemu->status, "running") == 0 ? 1 : 0;
        count->owner = qemu;
    } else {
        count->between += is_between(qemu) ? 1 : 0;
        count->odd = qemu;
    }
}

static struct agent_truth judge_owned(const struct count *count)
{
    struct agent_truth truth = {.is = AGENT_TRUTH_HERE, .owner = count->owner};

    if (count->left > 0) {
        truth.is = AGENT_TRUTH_HANDED;
        truth.source = count->leaver;
    } else if (count->waiting > 0 && agent_truth_migrating(count->owner)) {
        truth.is = AGENT_TRUTH_MOVING;
        truth.dest = count->waiter;
    }
    snprintf(truth.why, sizeof(truth.why), "epoch %lld says %s", count->owner->epoch,
             count->owner->status);
    return truth;
}

static struct agent_truth judge_unsure(const struct count *count)
{
    struct agent_truth truth = {.source = count->unsure_one};

    if (count->unsure > 1 || count->owning > 1) {
        truth.is = AGENT_TRUTH_UNCLEAR;
        snprintf(truth.why, sizeof(truth.why), "%d sources do not know the outcome", count->unsure);
    } else if (count->owning == 1) {
        truth.is = AGENT_TRUTH_DEST_RUNS;
        truth.owner = count->owner;
    } else if (count->silent > 0) {
        truth.is = AGENT_TRUTH_UNCLEAR;
        snprintf(truth.why, sizeof(truth.why),
                 "the source (epoch %lld) does not know whether its destination started, and epoch "
                 "%lld does not answer",
                 count->unsure_one->epoch, count->silent_one->epoch);
    } else if (count->alive == 1) {
        truth.is = AGENT_TRUTH_DEST_GONE;
    } else {
        truth.is = AGENT_TRUTH_WAIT; /* a destination that was never granted ends by itself */
        snprintf(truth.why, sizeof(truth.why),
                 "the source does not know the outcome, its destination has not decided yet");
    }
    return truth;
}

static struct agent_truth judge_nobody(const struct count *count)
{
    struct agent_truth truth = {.is = AGENT_TRUTH_ABSENT};

    if (count->silent > 0) {
        truth.is = AGENT_TRUTH_UNCLEAR;
        snprintf(truth.why, sizeof(truth.why), "epoch %lld does not answer: %.120s",
                 count->silent_one->epoch, count->silent_one->problem);
    } else if (count->odd != NULL) {
        truth.is = AGENT_TRUTH_UNCLEAR;
        snprintf(truth.why, sizeof(truth.why), "epoch %lld is in state %s, its migration %s",
                 count->odd->epoch, count->odd->status,
                 count->odd->migration[0] != '\0' ? count->odd->migration : "none");
    } else if (count->left > 0 && count->waiting > 0) {
        truth.is = AGENT_TRUTH_WAIT; /* the two were asked at different moments */
        truth.source = count->leaver;
        truth.dest = count->waiter;
    } else if (count->left > 0) {
        truth.source = count->leaver;
        snprintf(truth.why, sizeof(truth.why),
                 "the guest left epoch %lld, and where it went has ended", count->leaver->epoch);
    } else if (count->waiting > 0) {
        truth.dest = count->waiter;
        snprintf(truth.why, sizeof(truth.why), "only epoch %lld is there, which waits for a guest",
                 count->waiter->epoch);
    } else {
        snprintf(truth.why, sizeof(truth.why), "no QEMU of it exists");
    }
    return truth;
}

struct agent_truth agent_truth_of(struct agent_qemu *first)
{
    struct agent_truth truth = {.is = AGENT_TRUTH_WAIT};
    struct count count = {0};

    for (struct agent_qemu *qemu = first; qemu != NULL; qemu = qemu->next) {
        add(&count, qemu);
    }
    if (count.running > 1) {
        truth.is = AGENT_TRUTH_DOUBLE;
        snprintf(truth.why, sizeof(truth.why), "%d QEMUs of it say that they run", count.running);
    } else if (count.coming > 0 && count.owning == 0) {
        snprintf(truth.why, sizeof(truth.why), "one is starting");
    } else if (count.between > 0) {
        snprintf(truth.why, sizeof(truth.why), "it is switching over");
    } else if (count.unsure > 0) {
        truth = judge_unsure(&count);
    } else if (count.owning > 1) {
        truth.is = AGENT_TRUTH_UNCLEAR;
        snprintf(truth.why, sizeof(truth.why), "%d QEMUs of it hold a guest", count.owning);
    } else if (count.owning == 1) {
        truth = judge_owned(&count);
    } else {
        truth = judge_nobody(&count);
    }
    return truth;
}
