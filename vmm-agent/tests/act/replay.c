/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay_instance.h"

#define TICK_NS   (20 * AGENT_NS_PER_MS)
#define START_NS  (300 * AGENT_NS_PER_MS) /* until a started QEMU has its monitor */
#define FIRST_PID 2000000                 /* above any real one on the machines this runs on */

/* ---- transfers ---------------------------------------------------------------------------- */

static bool owns(const struct instance *instance)
{
    return instance->phase == BEFORE || instance->phase == SENDING || instance->phase == OWNS;
}

static void complete(struct instance *instance)
{
    struct instance *dest = instance->peer;
    struct replay *replay = instance->replay;

    replay_instance_event(instance, "STOP", NULL);
    replay_instance_event(instance, "MIGRATION", "device");
    instance->phase = SENT;
    instance->peer = NULL;
    dest->peer = NULL;
    dest->phase = OWNS;
    dest->arrived = true;
    replay_instance_event(dest, "RESUME", NULL);
    replay_instance_event(dest, "MIGRATION", "completed");
    replay_instance_event(instance, "MIGRATION", "completed");
    replay->figures.completed++;
    replay->figures.last_ns = agent_loop_now_ns(replay->loop);
    int copies = 0;
    for (const struct instance *at = replay->instances; at != NULL; at = at->next) {
        copies += at->vm == dest->vm && owns(at) ? 1 : 0;
    }
    replay->figures.doubled += copies > 1 ? 1 : 0;
}

static void advance(struct instance *instance, double bytes)
{
    instance->moved += bytes;
    if (instance->peer == NULL || (instance->fails && instance->moved > instance->total / 2)) {
        instance->phase = OWNS;
        if (instance->peer != NULL) {
            replay_instance_die(instance->peer);
        }
        replay_instance_event(instance, "MIGRATION", "failed");
    } else if (instance->moved >= instance->total) {
        complete(instance);
    }
}

static int link_of(const struct replay *replay, const struct instance *instance)
{
    const struct agent_inventory *inventory = replay->inventory;

    return instance->peer == NULL
               ? -1
               : agent_inventory_link_of(inventory, inventory->hosts[instance->host].site,
                                         inventory->hosts[instance->peer->host].site);
}

static void on_tick(void *opaque)
{
    struct replay *replay = opaque;
    int64_t now_ns = agent_loop_now_ns(replay->loop);
    double passed_s = (double)(now_ns - replay->ticked_ns) / (double)AGENT_NS_PER_S;
    int active[AGENT_LINKS_MAX] = {0};
    int all = 0;

    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        int link = at->phase == SENDING ? link_of(replay, at) : -1;
        active[link >= 0 ? link : 0] += link >= 0 ? 1 : 0;
        all += at->phase == SENDING ? 1 : 0;
    }
    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        int link = at->phase == SENDING ? link_of(replay, at) : -1;
        if (at->phase == SENDING) {
            double rate = link < 0 ? 0 : replay->inventory->links[link].rate_gbit_s * 125e6;
            advance(at, link < 0 ? 0 : rate * passed_s / active[link]);
        }
    }
    replay->figures.busy_ns += all > 0 ? now_ns - replay->ticked_ns : 0;
    replay->figures.most_at_once =
        all > replay->figures.most_at_once ? all : replay->figures.most_at_once;
    replay->ticked_ns = now_ns;
    agent_timer_after(&replay->tick, TICK_NS);
}

/* ---- the world ---------------------------------------------------------------------------- */

static int world_start(void *opaque, struct agent_loop *loop, const struct agent_spawn *spawn,
                       void (*ended)(void *owner, int status), void *owner,
                       struct agent_error *error)
{
    struct replay *replay = opaque;
    int vm = agent_inventory_vm_of(replay->inventory, spawn->mark.vm);
    int host = 0;

    (void)loop;
    (void)error;
    (void)ended;
    (void)owner;
    while (strcmp(replay->inventory->hosts[host].directory, spawn->mark.directory) != 0) {
        host++;
    }
    struct instance *instance = replay_instance_add(replay, vm, host, spawn->mark.epoch);
    bool waits = false;
    for (size_t at = 0; at < spawn->words->count; at++) {
        waits = waits || strcmp(spawn->words->words[at], "-incoming") == 0;
    }
    instance->phase = waits ? COMING : OWNS;
    agent_timer_after(&instance->timer, START_NS);
    return instance->pid;
}

static int world_scan(void *opaque,
                      void (*fn)(void *owner, const struct agent_mark *mark, pid_t pid),
                      void *owner)
{
    struct replay *replay = opaque;

    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->phase != DEAD) {
            struct agent_mark mark = {replay->inventory->vms[at->vm].name, at->epoch,
                                      replay->inventory->hosts[at->host].directory};
            fn(owner, &mark, at->pid);
        }
    }
    return 0;
}

static struct instance *by_pid(struct replay *replay, pid_t pid)
{
    struct instance *at = replay->instances;

    while (at != NULL && at->pid != pid) {
        at = at->next;
    }
    return at;
}

static int world_find(void *opaque, const struct agent_mark *mark, pid_t *pids)
{
    struct replay *replay = opaque;
    int found = 0;

    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->phase != DEAD && at->epoch == mark->epoch &&
            strcmp(replay->inventory->vms[at->vm].name, mark->vm) == 0) {
            pids[found++] = at->pid;
        }
    }
    return found;
}

static int world_kill(void *opaque, pid_t pid)
{
    struct instance *instance = by_pid(opaque, pid);

    if (instance == NULL || instance->phase == DEAD) {
        return -ESRCH;
    }
    replay_instance_die(instance);
    return 0;
}

static bool world_alive(void *opaque, pid_t pid)
{
    const struct instance *instance = by_pid(opaque, pid);

    return instance != NULL && instance->phase != DEAD;
}

static double world_cpu_s(void *opaque, pid_t pid)
{
    const struct replay *replay = opaque;

    (void)pid;
    return (double)agent_loop_now_ns(replay->loop) / (double)AGENT_NS_PER_S * 0.1;
}

static double world_memory_mib(void *opaque)
{
    (void)opaque;
    return -1;
}

/* ---- from outside ------------------------------------------------------------------------- */

struct replay *replay_new(struct agent_loop *loop, const struct agent_inventory *inventory,
                          const char *recording)
{
    struct replay *replay = calloc(1, sizeof(*replay));

    replay->loop = loop;
    replay->inventory = inventory;
    replay->next_pid = FIRST_PID;
    replay->world = (struct agent_world){replay,     world_start, world_find,  world_scan,
                                         world_kill, world_alive, world_cpu_s, world_memory_mib};
    if (replay_load(replay, recording) < 0) {
        fprintf(stderr, "%s: no recording of a whole migration\n", recording);
        replay_free(replay);
        return NULL;
    }
    agent_timer_init(&replay->tick, loop, on_tick, replay);
    replay->ticked_ns = agent_loop_now_ns(loop);
    agent_timer_after(&replay->tick, TICK_NS);
    return replay;
}

void replay_free(struct replay *replay)
{
    while (replay->instances != NULL) {
        struct instance *next = replay->instances->next;
        replay_instance_release(replay->instances);
        unlink(replay->instances->path);
        free(replay->instances);
        replay->instances = next;
    }
    agent_timer_unset(&replay->tick);
    for (size_t at = 0; at < replay->line_count; at++) {
        json_decref(replay->lines[at].message);
    }
    free(replay->lines);
    free(replay);
}

const struct agent_world *replay_world(struct replay *replay)
{
    return &replay->world;
}

void replay_running(struct replay *replay, int vm)
{
    struct instance *instance = replay_instance_add(replay, vm, replay->inventory->vms[vm].host, 1);

    instance->phase = BEFORE;
    replay_instance_open(instance);
}

void replay_kill(struct replay *replay, int vm, long long epoch)
{
    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->vm == vm && at->epoch == epoch && at->phase != DEAD) {
            replay_instance_die(at);
        }
    }
}

void replay_fail_next(struct replay *replay, int host)
{
    replay->fail_next[host] = true;
}

struct replay_figures replay_figures(const struct replay *replay)
{
    return replay->figures;
}

int replay_order(const struct replay *replay, int at)
{
    return at < replay->order_count ? replay->order[at] : -1;
}

int replay_site_of(const struct replay *replay, int vm)
{
    for (const struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->vm == vm && owns(at)) {
            return replay->inventory->hosts[at->host].site;
        }
    }
    return -1;
}
