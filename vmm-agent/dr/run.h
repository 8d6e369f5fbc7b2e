/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.h - demand response of an acting agent: configuration, world, verbs, state, put together
 * Owner: struct agent_dr_run, _start/_stop; borrows loop, agent and configuration.
 * Thread: the loop's.   Time: the loop's clock.   Units: none. */
#ifndef AGENT_DR_RUN_H
#define AGENT_DR_RUN_H

#include "act/act.h"
#include "dr/settings.h"

struct agent_dr_run;

/** agent_dr_run_start() - section `dr` of @root; without one nothing is started and *@out is NULL
 * Adds the verbs dr-trigger, dr-cancel and dr-opt-out and the section "dr" of the state. Call it
 * before agent_act_start(): guests that an earlier run paused are then known.
 * Return: 0 or -errno with words; nothing is left open then. */
int agent_dr_run_start(struct agent_loop *loop, struct agent_act *act,
                       const struct agent_yaml *root, struct agent_dr_run **out,
                       struct agent_error *error);

/** agent_dr_run_stop() - before agent_act_free(); NULL is fine */
void agent_dr_run_stop(struct agent_dr_run *run);

/** agent_dr_run_dr() - the demand response inside, for tests */
struct agent_dr *agent_dr_run_dr(struct agent_dr_run *run);

#endif
