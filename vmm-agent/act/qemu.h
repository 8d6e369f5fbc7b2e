/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qemu.h - one QEMU as the agent knows it: one start of one machine on one host
 * Owner: struct agent_qemu, _new/_free, in its machine's list.   Thread: the loop's.
 * Time:  monotonic for limits.                                   Units: ns.
 *
 * What is known is what QMP said last, and whether it still answers. "Gone" is only said when it is
 * proved: on a local host when the process has ended or nothing listens on its socket and no
 * process carries its mark; elsewhere by the host's fence command. Otherwise it is "silent", which
 * means that nothing is known. */
#ifndef AGENT_ACT_QEMU_H
#define AGENT_ACT_QEMU_H

#include "act/qmp.h"
#include "act/world.h"

#define AGENT_QEMU_RETRY_NS   (250 * AGENT_NS_PER_MS) /* connecting again to a silent one */
#define AGENT_QEMU_LOOK_NS    (3 * AGENT_NS_PER_S)    /* does it still answer? */
#define AGENT_QEMU_SILENT_MAX 2 /* looks without an answer after which it counts as silent */

enum agent_qemu_state {
    AGENT_QEMU_COMING, /* started or found; no answer yet */
    AGENT_QEMU_UP,     /* answers, facts below are its own words */
    AGENT_QEMU_SILENT, /* lost: alive or not, nobody knows */
    AGENT_QEMU_GONE    /* proved */
};

/* What changed, for the owner. */
enum agent_qemu_news {
    AGENT_QEMU_NEWS_STATE, /* state above */
    AGENT_QEMU_NEWS_FACTS, /* run state or migration */
    AGENT_QEMU_NEWS_EVENT  /* any QMP event; see agent_qemu_event */
};

struct agent_qemu_event {
    const char *name;
    const json_t *data;
    double at_s; /* QEMU's wall clock */
};

/** struct agent_qemu - @status: QEMU's run state ("running"); @migration: query-migrate's status
 * ("" = none); @verdict: who owns the guest of an apn migration ("" = not apn)
 * @shut_down: QEMU said SHUTDOWN before it ended: it was asked to, by @shut_down_by */
struct agent_qemu {
    struct agent_loop *loop;
    const struct agent_world *world;
    const struct agent_inventory *inventory;
    int vm;
    int host;
    long long epoch;
    enum agent_qemu_state state;
    char path[AGENT_SOCKET_PATH_MAX];
    pid_t pid; /* of the socket's listener, else of what was started; 0 = unknown */
    char status[32];
    char migration[32];
    char verdict[16];
    char migration_error[200];
    char problem[200]; /* why it is silent or gone */
    char shut_down_by[32];
    bool shut_down;
    bool apn; /* its QEMU knows apn-lanes */
    int version_major, version_minor;
    double stop_at_s, resume_at_s; /* QEMU's wall clock at its last STOP and RESUME */

    struct agent_qmp *qmp;
    struct agent_timer timer;
    int64_t give_up_ns; /* COMING: silent after this */
    int64_t look_began_ns;
    int64_t looked_ns; /* the facts above are from this moment or later */
    int unanswered;
    int asking; /* questions of one look that are still open */
    double cpu_s;
    void (*news)(void *opaque, struct agent_qemu *qemu, enum agent_qemu_news news,
                 const struct agent_qemu_event *event);
    void *opaque;
    struct agent_qemu *next;
};

/** struct agent_qemu_where - which start of which machine, where */
struct agent_qemu_where {
    int vm;
    int host;
    long long epoch;
};

/** agent_qemu_new() - begin to connect; silent when nothing answered by @give_up_ns
 * @started: it was just started, so a missing socket means "not yet". Set @news and @opaque after.
 * Return: NULL without memory or when the socket's path is too long. */
struct agent_qemu *agent_qemu_new(struct agent_loop *loop, const struct agent_world *world,
                                  const struct agent_inventory *inventory,
                                  struct agent_qemu_where where, int64_t give_up_ns);

/** agent_qemu_free() - stops nothing; NULL is fine */
void agent_qemu_free(struct agent_qemu *qemu);

/** agent_qemu_look() - ask run state and migration again; FACTS follow */
void agent_qemu_look(struct agent_qemu *qemu);

/** agent_qemu_ask() - a command; @done also comes (from the loop) when it could not be sent
 * @arguments: stolen. Return: 0 or -errno; on -errno @done is not called. */
int agent_qemu_ask(struct agent_qemu *qemu, const char *command, json_t *arguments,
                   int64_t timeout_ns, agent_qmp_done done, void *opaque);

/** agent_qemu_prove_gone() - is it gone, for certain? Looks at process and socket now.
 * Return: true and state GONE (NEWS follows), or false. */
bool agent_qemu_prove_gone(struct agent_qemu *qemu);

/** agent_qemu_fenced() - somebody made sure that it is gone */
void agent_qemu_fenced(struct agent_qemu *qemu, const char *by);

/** agent_qemu_owns() - does it hold the guest (running, paused, ...)? Only of one that is UP. */
bool agent_qemu_owns(const struct agent_qemu *qemu);

/** agent_qemu_waits() - has it never had the guest? Only of one that is UP. */
bool agent_qemu_waits(const struct agent_qemu *qemu);

/** agent_qemu_left() - has the guest left it by a completed migration? */
bool agent_qemu_left(const struct agent_qemu *qemu);

/** agent_qemu_unsure() - is it a source that does not know whether its destination runs? */
bool agent_qemu_unsure(const struct agent_qemu *qemu);

const char *agent_qemu_state_name(enum agent_qemu_state state);

#endif
