/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world_act.h - the acting agent as a world for demand response
 * Owner: struct agent_dr_act, embedded in run.c's struct.   Thread: the loop's.
 * Time:  monotonic for the age of copies; agent time for a battery's energy.   Units: kW, kWh. */
#ifndef AGENT_DR_WORLD_ACT_H
#define AGENT_DR_WORLD_ACT_H

#include "act/act.h"
#include "dr/settings.h"
#include "dr/world.h"

/** struct dr_known - what the facade does not tell but its answers and events did
 * @queued: a move that we asked for is open. @arming: site a copy is made or held at, -1 = none
 * @paused_ns: when we paused it. @kw: drawn when it last ran freely. @free_ns: from when on that is
 * known anew, after it was held back */
struct dr_known {
    bool paused;
    bool capped;
    bool queued;
    int arming;
    int64_t paused_ns;
    double kw;
    int64_t free_ns;
};

/** struct dr_level - a battery's level, carried on from what it was told to do */
struct dr_level {
    double held_kwh;
    double set_kw;
    double at_s;
};

struct agent_dr_act {
    struct agent_act *act;
    const struct agent_inventory *inventory;
    const struct agent_dr_config *config;
    int our_site[AGENT_SITES_MAX]; /* of the inventory's site, -1 = takes no part */
    struct dr_known *known;        /* per guest */
    struct dr_level levels[AGENT_DR_SITES_MAX];
    struct agent_running *running; /* copy of what is, refreshed when older than 20 ms */
    int64_t running_ns;
    struct agent_dr *dr;
};

extern const struct agent_dr_world agent_dr_act_world;

/** agent_dr_act_open() - Return: 0 or -ENOMEM. */
int agent_dr_act_open(struct agent_dr_act *world, struct agent_act *act,
                      const struct agent_dr_config *config, struct agent_error *error);

/** agent_dr_act_close() - a zeroed struct is fine */
void agent_dr_act_close(struct agent_dr_act *world);

/** agent_dr_act_event() - an event of the agent: moves that end, states that change
 * Return: true when demand response should look again. */
bool agent_dr_act_event(struct agent_dr_act *world, const json_t *event);

/** agent_dr_act_adopt() - after the agent is ready: whom an earlier run paused or capped */
void agent_dr_act_adopt(struct agent_dr_act *world);

#endif
