/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world.h - what the agent does to processes, as a table so that a simulation can stand in
 * Owner: struct agent_world, static or embedded.   Thread: the loop's.
 * Time:  none.                                     Units: s of processor time. */
#ifndef AGENT_ACT_WORLD_H
#define AGENT_ACT_WORLD_H

#include <sys/types.h>

#include "act/inventory.h"
#include "act/loop.h"

#define AGENT_FOUND_MAX 8

/** struct agent_mark - which start of which machine a process is: VMM_AGENT_VM, VMM_AGENT_EPOCH and
 * VMM_AGENT_DIRECTORY in its environment, so that it is found again whatever happens to its socket
 * @directory: of its host: another agent's machine may have the same name, not the same directory
 */
struct agent_mark {
    const char *vm;
    long long epoch; /* 0 = a helper, not a machine */
    const char *directory;
};

struct agent_spawn {
    const struct agent_words *words;
    struct agent_mark mark;
    const char *log; /* file for its output */
};

/** struct agent_world - all but @start may be called any time
 * @start:  run it in a session of its own. @ended (may be NULL) gets its exit status, or -signal,
 *          once. Return: its process id, or -errno.
 * @find:   processes with this mark. Return: their number (at most AGENT_FOUND_MAX are stored), or
 *          -errno when it cannot be known.
 * @scan:   calls @fn for every marked process. Return: 0 or -errno.
 * @kill:   SIGKILL to a process known by @find or a socket's peer. Return: 0, -ESRCH, -errno.
 * @alive:  false = proved gone
 * @cpu_s:  processor time so far, all threads; negative = unknown
 * @memory_mib: memory a new machine could have on this machine; negative = unknown */
struct agent_world {
    void *opaque;
    int (*start)(void *opaque, struct agent_loop *loop, const struct agent_spawn *spawn,
                 void (*ended)(void *owner, int status), void *owner, struct agent_error *error);
    int (*find)(void *opaque, const struct agent_mark *mark, pid_t *pids);
    int (*scan)(void *opaque, void (*fn)(void *owner, const struct agent_mark *mark, pid_t pid),
                void *owner);
    int (*kill)(void *opaque, pid_t pid);
    bool (*alive)(void *opaque, pid_t pid);
    double (*cpu_s)(void *opaque, pid_t pid);
    double (*memory_mib)(void *opaque);
};

/** agent_world_real - processes of this machine */
extern const struct agent_world agent_world_real;

/** agent_world_forget() - an owner goes away: its @ended is not called any more */
void agent_world_forget(void *owner);

#endif
