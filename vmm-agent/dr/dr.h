/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dr.h - demand response as a whole: events in, power changes out, and what came of it
 * Owner: struct agent_dr, _new/_free; it borrows loop, settings and world.   Thread: the loop's.
 * Time:  intervals, baselines and energy in agent time (ms); the seconds from a call to its power
 *        change are monotonic.                                        Units:  kW, ms, yen.
 *
 * Every second and at every change it asks the schedule what holds, turns that into a change of
 * power for each set of sites, and decides twice (respond.h): what is there within ten seconds
 * (batteries, held copies, caps, pauses), and what is cheaper and there within five minutes
 * (moves), which then relieves the first. The difference to what has been done is done. */
#ifndef AGENT_DR_DR_H
#define AGENT_DR_DR_H

#include <jansson.h>

#include "act/loop.h"
#include "dr/frequency.h"
#include "dr/respond.h"
#include "dr/schedule.h"
#include "dr/ven.h"
#include "dr/world.h"

#define AGENT_DR_FAST_S      10.0
#define AGENT_DR_SLOW_S      300.0
#define AGENT_DR_ANSWERS_MAX 64

/** struct agent_dr_reserve - power promised at a site: copies are held for it beforehand */
struct agent_dr_reserve {
    size_t site;
    double down_kw;
    int to_site; /* where copies go, -1 = where there is room */
};

/** struct agent_dr_settings - section `dr` of the configuration
 * @within_s:  answer of VTN events unless the event is urgent: 10 or 300
 * @missing_yen_per_kw_h: what a kW not delivered costs in an hour
 * @tolerance: of what is asked for; closer than that is delivered
 * @settle_s:  after an action, before a measurement may call for more */
struct agent_dr_settings {
    size_t site_count;
    struct agent_dr_site sites[AGENT_DR_SITES_MAX];
    size_t reserve_count;
    struct agent_dr_reserve reserves[AGENT_DR_SITES_MAX];
    double within_s;
    double missing_yen_per_kw_h;
    double tolerance;
    double settle_s;
    double cap_share;
    struct agent_dr_droop_settings frequency;
    struct agent_dr_ven_settings openadr;
};

/** struct agent_dr_hooks - what the owner of the whole wants to know
 * @tell: an event of @type ("dr.event", "dr.answer", "dr.end", "dr.state"); @body is stolen
 * @alert: something a person should see; text NULL clears it
 * @keep:  the open events that were made here, borrowed; called before they are answered; may be
 * NULL */
struct agent_dr_hooks {
    void (*tell)(void *opaque, const char *type, json_t *body);
    void (*alert)(void *opaque, const char *key, const char *text);
    void (*keep)(void *opaque, const json_t *events);
};

struct agent_dr;

/** agent_dr_new() - nothing is asked or done yet
 * @world_opaque, @hooks_opaque: handed to the ops. Return: 0, -EINVAL, -ENOMEM, -errno of a socket.
 */
int agent_dr_new(struct agent_loop *loop, const struct agent_dr_settings *settings,
                 const struct agent_dr_world *world, void *world_opaque, struct agent_dr **out,
                 struct agent_error *error);

/** agent_dr_hook() - before agent_dr_start() */
void agent_dr_hook(struct agent_dr *dr, const struct agent_dr_hooks *hooks, void *opaque);

/** agent_dr_wait() - answer nothing until agent_dr_go(): before agent_dr_start(), while the world
 * is not known yet. Events are taken meanwhile. */
void agent_dr_wait(struct agent_dr *dr);
void agent_dr_go(struct agent_dr *dr);

/** agent_dr_restore() - what hooks->keep() was given by an earlier run
 * Return: events taken; those that cannot be read are told as "dr.refused". */
int agent_dr_restore(struct agent_dr *dr, const json_t *kept);

/** agent_dr_start() - from now on meters are read, the VTN is asked, events are answered
 * Return: 0 or -errno. */
int agent_dr_start(struct agent_dr *dr, struct agent_error *error);

/** agent_dr_free() - guests stay as they are: who paused them by an event that goes on will go on
 * with it after the next start. NULL is fine. */
void agent_dr_free(struct agent_dr *dr);

/** agent_dr_trigger() - an event made here. Keys: "site" (or "sites"), one of "down_kw", "up_kw",
 * "limit_kw", "setpoint_kw", "level"; "minutes" (default 30), "in_s", "within_s", "priority",
 * "name" Return: 0 with {"event": id, "answer": ...}; -EINVAL or -ENOENT with the reason. */
int agent_dr_trigger(struct agent_dr *dr, const json_t *args, json_t **reply,
                     struct agent_error *error);

/** agent_dr_cancel() - {"event": id}; only those made here: a VTN's are opted out of */
int agent_dr_cancel(struct agent_dr *dr, const json_t *args, json_t **reply,
                    struct agent_error *error);

/** agent_dr_opt_out() - {"event": id, "out": true|false} */
int agent_dr_opt_out(struct agent_dr *dr, const json_t *args, json_t **reply,
                     struct agent_error *error);

/** agent_dr_state() - section "dr" of the agent's state, docs/demand-response.md; new reference */
json_t *agent_dr_state(const struct agent_dr *dr);

/** agent_dr_changed() - something in the world changed (a move ended): look again now */
void agent_dr_changed(struct agent_dr *dr);

#endif
