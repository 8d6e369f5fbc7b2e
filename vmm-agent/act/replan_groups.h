/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replan_groups.h - machines that run now as the planner's groups, and ways back to machines
 * Owner: struct replan_groups, heap, _new/_free; it borrows inventory and running state.
 * Thread: one at a time.   Time: now_s of the running state; dwell in slots.   Units: kW, GB, yen.
 */
#ifndef AGENT_ACT_REPLAN_GROUPS_H
#define AGENT_ACT_REPLAN_GROUPS_H

#include "act/replan.h"

/** struct replan_use - what machines at a site use now, and what is on its way there */
struct replan_use {
    double cpu, ram_gb;
    double hosts_cpu, hosts_ram_gb; /* of hosts that may be used */
    double idle_kw;
};

/** struct replan_groups - @groups, their @running and the machines behind each entry
 * Group 2 * g are the machines of the inventory's group g that may move, 2 * g + 1 those that run
 * and may not; empty ones are left out. @why: per machine, why a plan has no say in it, or "". */
struct replan_groups {
    size_t count;
    struct agent_roll_group *groups;
    struct plan_running *running; /* room for one per machine */
    int *vm_group;                /* per machine: index into groups, -1 = not planned */
    int *vm_entry;                /* per machine: entry of its group */
    char (*names)[AGENT_INVENTORY_NAME_MAX + 16];
    char (*why)[AGENT_ACT_REASON_MAX];
    double blackout_ms;     /* mean of what was measured, else what is allowed */
    struct replan_use *use; /* per site */
};

/** replan_groups_new() - Return: 0 with *@out to be freed by replan_groups_free(), or -ENOMEM. */
int replan_groups_new(const struct agent_replan_ask *ask, struct replan_groups **out,
                      struct agent_error *error);

void replan_groups_free(struct replan_groups *groups);

#endif
