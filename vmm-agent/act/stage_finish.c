/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stage_finish.c - local disks beside the memory, and what follows an arrival: announce, release
 * Owner, thread, time, units: move.h.
 *
 * Disks (docs/interop/live-block-operations in QEMU): the destination exports its empty disk by
 * NBD, the source mirrors into it (write-blocking, so both stay equal once they are), the guest's
 * memory follows. The source pauses before switchover; the mirrors end there, the export closes,
 * and only then the switchover goes on. A mirror that breaks takes the whole move back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act/private.h"

#define ASK_AGAIN_NS (1 * AGENT_NS_PER_S)
#define KILL_NS      (10 * AGENT_NS_PER_S)

static const struct agent_inventory_group *group_of(const struct move *move)
{
    const struct agent_inventory *inventory = move->act->inventory;

    return &inventory->groups[inventory->vms[move->vm].group];
}

/* ---- disks -------------------------------------------------------------------------------- */

static void mirror(struct move *move, size_t disk);

static const char *node_of(const struct move *move, size_t disk)
{
    return group_of(move)->disks[disk].node;
}

static void on_mirror(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    if (++move->disk < group_of(move)->disk_count) {
        mirror(move, move->disk);
    } else {
        move->asked_ns = 0; /* stage_disks_look() waits for all of them */
    }
}

static void on_client(struct move *move, const struct agent_qmp_result *result)
{
    const char *node = node_of(move, move->disk);
    char client[80];
    char job[80];

    (void)result;
    snprintf(client, sizeof(client), "apn-out-%.48s", node);
    snprintf(job, sizeof(job), "apn-mirror-%.48s", node);
    move_ask(move, move->source, "blockdev-mirror",
             json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "job-id", job, "device", node,
                       "target", client, "sync", "full", "copy-mode", "write-blocking",
                       "auto-dismiss", 1, "auto-finalize", 1),
             on_mirror);
}

static void on_exported(struct move *move, const struct agent_qmp_result *result)
{
    const char *node = node_of(move, move->disk);
    const char *address = move->act->inventory->hosts[move->to].address;
    char client[80];
    char port[16];

    (void)result;
    snprintf(client, sizeof(client), "apn-out-%.48s", node);
    snprintf(port, sizeof(port), "%d", move->port + 1);
    move_ask(move, move->source, "blockdev-add",
             json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:s}", "driver", "nbd", "node-name", client,
                       "server", "type", "inet", "host", address, "port", port, "export", node),
             on_client);
}

static void mirror(struct move *move, size_t disk)
{
    const char *node = node_of(move, disk);
    char id[80];

    snprintf(id, sizeof(id), "apn-in-%.48s", node);
    move_ask(move, move->dest, "block-export-add",
             json_pack("{s:s, s:s, s:s, s:b, s:s}", "type", "nbd", "id", id, "node-name", node,
                       "writable", 1, "name", node),
             on_exported);
}

static void on_server(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    mirror(move, 0);
}

void stage_disks(struct move *move)
{
    const struct agent_inventory_host *host = &move->act->inventory->hosts[move->to];
    char port[16];

    move->disk = 0;
    if (group_of(move)->disk_count == 0) {
        move_next(move);
        return;
    }
    if (move_choose_port(move) < 0) {
        move_fail(move, true, "host %s: all its migration ports are in use", host->name);
        return;
    }
    snprintf(port, sizeof(port), "%d", move->port + 1);
    move_ask(move, move->dest, "nbd-server-start",
             json_pack("{s:{s:s, s:{s:s, s:s}}}", "addr", "type", "inet", "data", "host",
                       host->address, "port", port),
             on_server);
}

/* Mirrors of ours that are still there; *@ready counts those whose both sides are equal. */
static size_t count_mirrors(const json_t *jobs, size_t *ready)
{
    size_t index;
    size_t count = 0;
    json_t *job;

    *ready = 0;
    json_array_foreach((json_t *)(uintptr_t)jobs, index, job)
    {
        const char *id = json_string_value(json_object_get(job, "device"));
        if (id != NULL && strncmp(id, "apn-mirror-", 11) == 0) {
            count++;
            *ready += json_is_true(json_object_get(job, "ready")) ? 1 : 0;
        }
    }
    return count;
}

static void on_jobs(struct move *move, const struct agent_qmp_result *result)
{
    size_t wanted = group_of(move)->disk_count;
    size_t ready;
    size_t count = count_mirrors(result->value, &ready);

    move->asking = false;
    if (count < wanted) {
        move_fail(move, true,
                  "disks: a mirror ended before its time; see QEMU's log of the source");
    } else if (ready == wanted) {
        move_next(move);
    }
}

void stage_disks_look(struct move *move)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (move->dest == NULL || move->dest->state == AGENT_QEMU_GONE) {
        move_fail(move, true, "the destination ended");
    } else if (move->disk >= group_of(move)->disk_count && group_of(move)->disk_count > 0 &&
               now_ns - move->asked_ns >= MOVE_LOOK_NS) {
        move->asked_ns = now_ns;
        move_ask(move, move->source, "query-block-jobs", NULL, on_jobs);
    }
}

static void end_mirrors(struct move *move, bool force)
{
    for (size_t disk = 0; disk < group_of(move)->disk_count; disk++) {
        char job[80];
        snprintf(job, sizeof(job), "apn-mirror-%.48s", node_of(move, disk));
        move_ask_any(move, move->source, "block-job-cancel",
                     json_pack("{s:s, s:b}", "device", job, "force", force ? 1 : 0), NULL);
    }
}

static void drop_clients(struct move *move)
{
    for (size_t disk = 0; disk < group_of(move)->disk_count; disk++) {
        char client[80];
        snprintf(client, sizeof(client), "apn-out-%.48s", node_of(move, disk));
        move_ask_any(move, move->source, "blockdev-del", json_pack("{s:s}", "node-name", client),
                     NULL);
    }
}

static void on_undo_jobs(struct move *move, const struct agent_qmp_result *result)
{
    size_t ready;

    if (result->status < 0 || count_mirrors(result->value, &ready) == 0) {
        drop_clients(move);
        move_undone(move);
    }
}

void stage_disks_undo(struct move *move)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (group_of(move)->disk_count == 0 || move->source == NULL ||
        move->source->state == AGENT_QEMU_GONE) {
        move_undone(move);
    } else if (now_ns - move->asked_ns >= MOVE_LOOK_NS) {
        move->asked_ns = now_ns;
        end_mirrors(move, true);
        move_ask_any(move, move->source, "query-block-jobs", NULL, on_undo_jobs);
    }
}

/* ---- the guest is stopped, its mirrors end ------------------------------------------------ */

static void on_continued(struct move *move, const struct agent_qmp_result *result)
{
    move->finishing = false;
    if (result->status < 0) {
        move_fail(move, true, "migrate-continue: %s", result->text);
    }
}

static void on_server_stopped(struct move *move, const struct agent_qmp_result *result)
{
    if (result->status < 0) {
        move_fail(move, true, "nbd-server-stop: %s", result->text);
        return;
    }
    move_ask_any(move, move->source, "migrate-continue",
                 json_pack("{s:s}", "state", "pre-switchover"), on_continued);
}

static void on_last_jobs(struct move *move, const struct agent_qmp_result *result)
{
    size_t ready;

    if (result->status < 0) {
        move_fail(move, true, "query-block-jobs: %s", result->text);
    } else if (count_mirrors(result->value, &ready) > 0) {
        move_ask_any(move, move->source, "query-block-jobs", NULL, on_last_jobs);
    } else {
        drop_clients(move);
        move_ask_any(move, move->dest, "nbd-server-stop", NULL, on_server_stopped);
    }
}

static void on_verified_ready(struct move *move, const struct agent_qmp_result *result)
{
    size_t ready;

    if (result->status < 0 || count_mirrors(result->value, &ready) != group_of(move)->disk_count ||
        ready != group_of(move)->disk_count) {
        move_fail(move, true, "disks: a mirror broke before the switchover");
        return;
    }
    end_mirrors(move, false); /* once both sides are equal this ends a mirror without a pivot */
    move_ask_any(move, move->source, "query-block-jobs", NULL, on_last_jobs);
}

void stage_disks_finish(struct move *move)
{
    if (move->finishing) {
        return;
    }
    move->finishing = true;
    if (group_of(move)->disk_count == 0) {
        move_ask_any(move, move->source, "migrate-continue",
                     json_pack("{s:s}", "state", "pre-switchover"), on_continued);
        return;
    }
    move_ask_any(move, move->source, "query-block-jobs", NULL, on_verified_ready);
}

/* ---- announce ----------------------------------------------------------------------------- */

struct announced {
    struct agent_act *act;
    int64_t move;
    uint64_t serial;
};

static void on_announced(void *owner, int status)
{
    struct announced announced = *(struct announced *)owner;
    struct move *move = move_find(announced.act, announced.move);
    char text[80];

    free(owner);
    if (move == NULL || move->serial != announced.serial) {
        return;
    }
    if (status == 0) {
        agent_act_alert_clear(announced.act, "announce");
    } else { /* the guest runs there all the same: say it, go on */
        snprintf(text, sizeof(text), "announce: the command ended with status %d", status);
        move_log(move, "note", text);
        agent_act_alert(announced.act, "announce", announced.act->inventory->vms[move->vm].name,
                        text, "are routes and names of this guest right?");
    }
    move_next(move);
}

static void on_garp(struct move *move, const struct agent_qmp_result *result)
{
    struct agent_act *act = move->act;
    struct agent_words words;
    struct agent_error error = {0};

    if (result->status < 0) {
        move_log(move, "note", result->text);
    }
    int status = agent_inventory_words(act->inventory, AGENT_WORDS_ANNOUNCE, move->vm, move->to,
                                       move->dest_epoch, &words, &error);
    struct announced *announced = status == 0 ? malloc(sizeof(*announced)) : NULL;
    if (announced != NULL) {
        *announced = (struct announced){act, move->id, move->serial};
        struct agent_spawn spawn = {&words, {.epoch = 0}, "/dev/null"};
        status = act->world->start(act->world->opaque, act->loop, &spawn, on_announced, announced,
                                   &error);
        if (status < 0) {
            free(announced);
            announced = NULL;
            move_log(move, "note", error.text);
        }
    }
    if (status != -ENOENT) {
        agent_words_done(&words);
    }
    if (announced == NULL) {
        move_next(move);
    }
}

void stage_announce(struct move *move)
{
    move_ask_any(
        move, move->dest, "announce-self",
        json_pack("{s:i, s:i, s:i, s:i}", "initial", 50, "max", 550, "rounds", 5, "step", 50),
        on_garp);
}

/* ---- release ------------------------------------------------------------------------------ */

void stage_release(struct move *move)
{
    move->asked_ns = 0;
    stage_release_look(move);
}

/* The source is ended only while it says that its guest has left. */
void stage_release_look(struct move *move)
{
    struct agent_qemu *source = move->source;
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (source == NULL || source->state == AGENT_QEMU_GONE || agent_qemu_prove_gone(source)) {
        if (move->state == MOVE_RUNNING && move->stage == MOVE_RELEASE) {
            move_next(move);
        }
        return;
    }
    if (now_ns - move->asked_ns < ASK_AGAIN_NS) {
        return;
    }
    move->asked_ns = now_ns;
    if (source->state == AGENT_QEMU_UP && !agent_qemu_left(source)) {
        agent_qemu_look(source);
        return;
    }
    if (source->state == AGENT_QEMU_UP && now_ns - move->stage_ns < KILL_NS) {
        move_ask_any(move, source, "quit", NULL, NULL);
    } else if (now_ns - move->stage_ns >= KILL_NS && source->pid > 0 && agent_qemu_left(source)) {
        move->act->world->kill(move->act->world->opaque, source->pid);
    } else if (now_ns - move->stage_ns >= 3 * KILL_NS) {
        move_next(
            move); /* the guest is settled; what is left of the source is shown as a leftover */
    }
}
