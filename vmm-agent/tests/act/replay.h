/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay.h - QEMUs that are not there: they answer what a real one answered in a recording
 * Owner: struct replay, _new/_free.   Thread: the loop's.
 * Time:  the loop's, usually virtual: a transfer takes its bytes over the link's rate, shared by
 *        what transfers; the recorded answers are spread over it.
 * Units: bytes, ns.
 *
 * What is replayed is marked in its first line ("recorded"). Every command that the recording does
 * not hold is answered with QEMU's own CommandNotFound, so a test cannot pass by luck. */
#ifndef TEST_ACT_REPLAY_H
#define TEST_ACT_REPLAY_H

#include "act/inventory.h"
#include "act/world.h"

struct replay;

/** replay_new() - @recording: path of a .jsonl file; @inventory outlives it */
struct replay *replay_new(struct agent_loop *loop, const struct agent_inventory *inventory,
                          const char *recording);
void replay_free(struct replay *replay);

/** replay_world() - what to give to the agent */
const struct agent_world *replay_world(struct replay *replay);

/** replay_running() - a machine that runs at its declared host, epoch 1 */
void replay_running(struct replay *replay, int vm);

/** replay_kill() - that QEMU is gone, as by SIGKILL */
void replay_kill(struct replay *replay, int vm, long long epoch);

/** replay_forbid() - the next transfer to @host fails after half of it */
void replay_fail_next(struct replay *replay, int host);

/* What happened, for judgements. */
struct replay_figures {
    int64_t first_ns, last_ns; /* first transfer's beginning, last one's end */
    int64_t busy_ns;           /* of it, with at least one under way */
    int completed;
    int most_at_once;
    int doubled; /* moments in which two copies of one machine ran: must be 0 */
};
struct replay_figures replay_figures(const struct replay *replay);

/** replay_order() - the machine that began the @at-th transfer, or -1 */
int replay_order(const struct replay *replay, int at);

/** replay_site_of() - where the running copy is, -1 = none */
int replay_site_of(const struct replay *replay, int vm);

#endif
