/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay_instance.h - what replay.h is made of: a recording's lines, a QEMU that says them
 * Owner: replay.c.   Thread: the loop's.   Time: the loop's.   Units: bytes, ns. */
#ifndef TEST_ACT_REPLAY_INSTANCE_H
#define TEST_ACT_REPLAY_INSTANCE_H

#include <sys/types.h>

#include "replay.h"
#include "support/json.h"

#define REPLAY_LINES_MAX 4096
#define REPLAY_ORDER_MAX 20000
#define REPLAY_BUFFER    16384

struct line {
    int64_t ns;
    bool source; /* role */
    bool in;
    json_t *message;
    char command[64]; /* in with id: what it answers; with the property of qom-get */
};

enum phase { COMING, BEFORE, SENDING, SENT, WAITING, RECEIVING, OWNS, DEAD };

struct instance {
    struct replay *replay;
    struct instance *next;
    int vm, host;
    long long epoch;
    pid_t pid;
    enum phase phase;
    int listener, client;
    struct agent_watch *listen_watch, *client_watch;
    struct agent_timer timer;
    char path[AGENT_SOCKET_PATH_MAX];
    char in[REPLAY_BUFFER];
    size_t in_used;
    double moved, total; /* bytes of the transfer this one sends */
    size_t event_at;     /* next recorded line to look at for events */
    struct instance *peer;
    bool fails;
    bool arrived; /* by a move: its story before is the dest's */
};

struct replay {
    struct agent_loop *loop;
    const struct agent_inventory *inventory;
    struct agent_world world;
    struct line *lines;
    size_t line_count;
    int64_t length_ns; /* of the recorded transfer */
    struct instance *instances;
    struct agent_timer tick;
    int64_t ticked_ns;
    pid_t next_pid;
    bool fail_next[AGENT_HOSTS_MAX];
    struct replay_figures figures;
    int order[REPLAY_ORDER_MAX];
    int order_count;
};

/** replay_load() - the recording at @path into @replay
 * Return: 0, -EBADMSG when it holds no whole migration, or -errno */
int replay_load(struct replay *replay, const char *path);

/** replay_key_of() - a command with the property it asks for: "qom-get/temperature" */
void replay_key_of(const json_t *message, char *out, size_t size);

/** replay_instance_add() - a QEMU of @vm at @host; it has no socket yet */
struct instance *replay_instance_add(struct replay *replay, int vm, int host, long long epoch);

/** replay_instance_open() - @opaque: a struct instance, whose monitor listens now */
void replay_instance_open(void *opaque);

/** replay_instance_event() - it says event @name, with @status when that is not NULL */
void replay_instance_event(struct instance *instance, const char *name, const char *status);

/** replay_instance_die() - as by SIGKILL */
void replay_instance_die(struct instance *instance);

/** replay_instance_release() - its sockets, watches and timer */
void replay_instance_release(struct instance *instance);

#endif
