/* SPDX-License-Identifier: GPL-2.0-or-later */
/* act.h - the agent that acts: one object that knows, decides, moves and tells
 * Owner: struct agent_act, _new/_free. It borrows loop, clock, store and inventory, which outlive
 * it. Thread: the loop's, for everything here (answers come back there as well). Time:  agent time
 * in JSON and in @_s; monotonic where a name says _ns or "real". See clock.h. Units: in every name.
 *
 * This is the whole contract with dr/ (demand response), api/ (HTTP, page) and the command line:
 * one snapshot, one way to command, one way to listen. docs/agent-state.md describes the documents.
 */
#ifndef AGENT_ACT_ACT_H
#define AGENT_ACT_ACT_H

#include <jansson.h>

#include "act/clock.h"
#include "act/inventory.h"
#include "act/loop.h"
#include "store/store.h"

#define AGENT_STATE_SCHEMA      "apn-migrate/agent-state/1"
#define AGENT_ACT_LISTENERS_MAX 32
#define AGENT_ACT_VERBS_MAX     32
#define AGENT_ACT_SECTIONS_MAX  8
#define AGENT_ACT_ALERTS_MAX    256
#define AGENT_ACT_REASON_MAX    200

struct agent_act;

/** struct agent_act_settings - section `act` of the configuration; zeroed = defaults
 * @hysteresis_yen:     a plan's move that saves less than this is not made
 * @attempts_max:       tries of one move before it is given up for this plan, default 3
 * @backoff_s:          real seconds after the first failure, doubled each time; default 5
 * @backoff_max_s:      default 300
 * @start_timeout_s:    real seconds for a destination to answer, default 20
 * @migrate_timeout_s:  real seconds for one transfer, default 600
 * @qmp_timeout_s:      real seconds for one QMP answer, default 5
 * @queue_age_s:        real seconds after which waiting outweighs benefit, default 60
 * @plan_every_slot:    ask the planner at every slot; false = only by command
 * @commit_safe:        apn-commit=safe instead of fast */
struct agent_act_settings {
    double hysteresis_yen;
    int attempts_max;
    double backoff_s, backoff_max_s;
    double start_timeout_s, migrate_timeout_s, qmp_timeout_s;
    double queue_age_s;
    bool plan_every_slot;
    bool commit_safe;
};

/** agent_act_settings_read() - section `act` of a configuration; absent = defaults */
int agent_act_settings_read(const struct agent_yaml *root, struct agent_act_settings *settings,
                            struct agent_error *error);

/** agent_act_new() - nothing is looked at or started yet. Return: 0 or -errno. */
int agent_act_new(struct agent_loop *loop, struct agent_store *store,
                  const struct agent_inventory *inventory,
                  const struct agent_act_settings *settings, struct agent_act **out,
                  struct agent_error *error);

/** agent_act_start() - ask every QMP socket what is true, settle what the journal left open, then
 * act. Returns at once; "agent.ready" is the event that follows. Return: 0 or -errno. */
int agent_act_start(struct agent_act *act, struct agent_error *error);

/** agent_act_free() - lets go of everything and stops nothing: guests and migrations go on, and the
 * next start finds them. NULL is fine. */
void agent_act_free(struct agent_act *act);

struct agent_loop *agent_act_loop(const struct agent_act *act);
struct agent_store *agent_act_store(const struct agent_act *act);
const struct agent_inventory *agent_act_inventory(const struct agent_act *act);

/* ---- what is -------------------------------------------------------------------------------- */

/** agent_act_snapshot() - the whole state, docs/agent-state.md; new reference, NULL without memory
 */
json_t *agent_act_snapshot(const struct agent_act *act);

/** agent_act_add_section() - put fn's answer under @name into the snapshot ("dr", "battery")
 * Return: 0, -EEXIST, -ENOSPC (AGENT_ACT_SECTIONS_MAX). */
int agent_act_add_section(struct agent_act *act, const char *name, json_t *(*fn)(void *opaque),
                          void *opaque);

enum agent_vm_state {
    AGENT_VM_UNKNOWN, /* no answer yet, or none that can be trusted: a person must look */
    AGENT_VM_ABSENT,  /* proved: it runs nowhere */
    AGENT_VM_RUNNING,
    AGENT_VM_PAUSED,
    AGENT_VM_MOVING, /* runs at its host while a copy is made */
    AGENT_VM_STATES
};

/** agent_vm_state_name() - "running" and so on */
const char *agent_vm_state_name(enum agent_vm_state state);

/** struct agent_running_vm - one machine now, by its index in the inventory
 * @host: -1 unless it is known to be there. @dest: host it is moving to, or -1 (also while a copy is only held)
 * @since_s: agent time at which it came there; @power_w: by the declared model on measured CPU time
 * @move_bytes, @blackout_ms: of its last move, NAN = never moved. @fixed: why it must stay (paused
 * by a person, its truth unknown, pinned), or "" */
struct agent_running_vm {
    enum agent_vm_state state;
    int host, dest;
    bool held; /* the copy at @dest is converged and waits */
    double since_s;
    double power_w;
    double cpu_share; /* cores in use */
    double move_bytes;
    double blackout_ms;
    char fixed[AGENT_ACT_REASON_MAX];
};

/** struct agent_running_link - @rate_gbit_s: measured per *real* second, NAN = not yet */
struct agent_running_link {
    double rate_gbit_s;
    double busy_share; /* of the last real minute */
    int running, queued;
};

struct agent_running_host {
    bool up;      /* something there answered, or nothing was expected to */
    bool drained; /* nothing may come, what is there should go */
    double power_w;
};

/** struct agent_running - a copy of what is true, for other threads; members as in the inventory
 * A link's capacity per slot is rate_gbit_s x share / 8 x agent_clock_slot_share(). */
struct agent_running {
    int64_t now_s;
    double scale;
    struct agent_running_vm *vms;
    struct agent_running_link *links;
    struct agent_running_host *hosts;
};

/** agent_act_running() - Return: 0 with *@out to be freed by agent_running_free(), or -ENOMEM. */
int agent_act_running(const struct agent_act *act, struct agent_running **out);
void agent_running_free(struct agent_running *running);

/** agent_act_site_power_w() - power of a site now: the declared model of its hosts on the CPU time
 * measured since the last look, times PUE. @at_ns: when it was measured, may be NULL. */
double agent_act_site_power_w(struct agent_act *act, int site, int64_t *at_ns);

/** agent_act_vm_power_w() - one machine's part of it (without the host's idle power) */
double agent_act_vm_power_w(struct agent_act *act, int vm);

/** agent_act_measure() - read CPU time now instead of at the next second */
void agent_act_measure(struct agent_act *act);

/* ---- commands ------------------------------------------------------------------------------- */

/** agent_act_command() - do what a person or program asks, docs/agent-state.md lists verbs
 * @args: object, may be NULL. @reply: new reference on success.
 * Return: 0 (accepted: long work goes on and is told by events); -ENOENT no such thing; -EINVAL
 * arguments; -EPERM not now, with the reason; -ENOSYS unknown verb. */
int agent_act_command(struct agent_act *act, const char *verb, const json_t *args, json_t **reply,
                      struct agent_error *error);

typedef int (*agent_act_verb)(void *opaque, const json_t *args, json_t **reply,
                              struct agent_error *error);

/** agent_act_add_verb() - another folder's command, such as dr-trigger. Return: 0, -EEXIST, -ENOSPC
 */
int agent_act_add_verb(struct agent_act *act, const char *verb, agent_act_verb fn, void *opaque);

/* ---- events --------------------------------------------------------------------------------- */

/** agent_act_listen() - get every event as {"event": TYPE, "at": time, "seq": n, ...}
 * @event: borrowed, valid during the call. Return: 0 or -ENOSPC. */
int agent_act_listen(struct agent_act *act, void (*fn)(void *opaque, const json_t *event),
                     void *opaque);
void agent_act_unlisten(struct agent_act *act, void *opaque);

/** agent_act_tell() - send an event of @type; @event gets "event", "at", "seq"; stolen, NULL is
 * fine */
void agent_act_tell(struct agent_act *act, const char *type, json_t *event);

/** agent_act_alert() - something a person must look at; told once per @key until cleared
 * @key: unique, such as "vm/web1/unknown"; @check: what to look at, in words */
void agent_act_alert(struct agent_act *act, const char *key, const char *vm, const char *text,
                     const char *check);
void agent_act_alert_clear(struct agent_act *act, const char *key);

/* ---- planning ------------------------------------------------------------------------------- */

struct agent_replan_answer; /* act/replan.h */

/** agent_act_set_planner() - @fn makes a plan on a worker thread: at every slot, by the verb
 * `replan`
 * @running and @before (the last plan's document, or NULL) are valid during the call
 * Return of @fn: 0 with @out filled, or -errno with words. */
void agent_act_set_planner(struct agent_act *act,
                           int (*fn)(void *opaque, const struct agent_running *running,
                                     const json_t *before, struct agent_replan_answer *out,
                                     struct agent_error *error),
                           void *opaque);

/** agent_act_set_plan() - follow this plan from now on; its contents are taken over, @answer is
 * empty afterwards Return: 0, or -EINVAL when it does not fit the inventory (then the old one
 * stays). */
int agent_act_set_plan(struct agent_act *act, struct agent_replan_answer *answer,
                       struct agent_error *error);

/* ---- demand response ------------------------------------------------------------------------
 * All return at once: 0 = under way (events tell), -EPERM with the reason when it can't be done,
 * -EALREADY when it is so. @who is shown ("dr", "person") and owns the pause: a pause is undone
 * only by who made it, or by "person". */

/** agent_act_arm() - start a destination at @host, send everything, hold it converged (apn-hold) */
int agent_act_arm(struct agent_act *act, int vm, int host, struct agent_error *error);

/** agent_act_lean() - demand response asks @site for less power (@direction -1), for more (1), or nothing any more (0): the plan
 * moves nothing against it. Its moves that would, and can still be cancelled, are. */
void agent_act_lean(struct agent_act *act, int site, int direction);

/** agent_act_release() - let an armed machine go now; @fn (may be NULL) gets 0 when it runs at the
 * destination, or -errno */
int agent_act_release(struct agent_act *act, int vm, void (*fn)(void *opaque, int vm, int status),
                      void *opaque, struct agent_error *error);

/** agent_act_disarm() - give the armed copy up; the machine stays where it is */
int agent_act_disarm(struct agent_act *act, int vm, struct agent_error *error);

/** agent_act_armed() - is its copy converged and holding? */
bool agent_act_armed(const struct agent_act *act, int vm);

/** agent_act_move() - queue a move; @benefit_yen orders the queue, urgent ones go first
 * A copy held at that site is let go instead; one held elsewhere is given up, with -EAGAIN. */
int agent_act_move(struct agent_act *act, int vm, int host, const char *reason, double benefit_yen,
                   bool urgent, struct agent_error *error);

/** agent_act_best_host() - host of @site with most room for @vm, or -1 with the reason */
int agent_act_best_host(const struct agent_act *act, int vm, int site, struct agent_error *error);

int agent_act_pause_vm(struct agent_act *act, int vm, const char *who, struct agent_error *error);
int agent_act_resume_vm(struct agent_act *act, int vm, const char *who, struct agent_error *error);

/** agent_act_cap() - limit a machine to @share of its cores by cpu.max of its host's delegated
 * cgroup; 1 lifts it. Return: 0, -EPERM (no delegated cgroup declared), -errno of writing. */
int agent_act_cap(struct agent_act *act, int vm, double share, struct agent_error *error);

#endif
