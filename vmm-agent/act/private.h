/* SPDX-License-Identifier: GPL-2.0-or-later */
/* private.h - what the files behind act.h share
 * Owner: struct agent_act owns machines, moves, hosts and links.   Thread: the loop's.
 * Time:  _s agent time, _ns monotonic.                             Units: in every name. */
#ifndef AGENT_ACT_PRIVATE_H
#define AGENT_ACT_PRIVATE_H

#include "act/act.h"
#include "act/journal.h"
#include "act/move.h"
#include "act/qemu.h"
#include "act/replan.h"
#include "act/truth.h"

#define ACT_TICK_NS         (1 * AGENT_NS_PER_S) /* measure, look at the clock, start what waits */
#define ACT_ENDED_MAX       100                  /* moves that are shown after their end */
#define ACT_BUSY_BINS       60                   /* seconds of a link's busy share */
#define ACT_REBOOTS_MAX     5
#define ACT_PLAN_OLD_SLOTS  4 /* a plan not renewed for so long is not followed any more */

enum { ACT_BY_PERSON = 1, ACT_BY_DR = 2 };

#define ACT_CPU_LOOKS 40 /* while demand response works they are 50 ms apart */

/** struct act_cpu - the last looks at a guest's processor time, ring */
struct act_cpu {
    double passed_s[ACT_CPU_LOOKS];
    double cores[ACT_CPU_LOOKS];
    unsigned looks; /* so far */
};

/** struct machine - one virtual machine as it is */
struct machine {
    struct agent_act *act;
    int vm;
    enum agent_vm_state state;
    struct agent_qemu *qemus; /* every start that is not proved gone */
    struct agent_qemu *owner; /* the one that has the guest, or NULL */
    struct move *move;        /* the open one, or NULL */
    struct agent_journal_vm noted;
    unsigned paused_by;
    bool shut_down;     /* the guest or a person ended it: it is not booted again by itself */
    bool blocked;       /* truth unclear: nothing is done until a person or the facts settle it */
    double cap;         /* share of its cores, 1 = no limit */
    double cpu_used;    /* cores, mean of the last two seconds */
    struct act_cpu cpu;
    double move_bytes;  /* of the last move, NAN = none */
    double blackout_ms;
    int64_t unclear_ns; /* since when nothing is known, 0 = it is known */
    int64_t boot_at_ns;
    int boots;
    int wanted_site; /* the plan's, -1 = none */
    bool want_again; /* once its open move has ended, the plan is asked for it anew */
    int64_t drain_ns; /* when leaving a drained host may be tried again */
    char reason[AGENT_ACT_REASON_MAX];
    struct agent_timer timer; /* judge again */
};

struct act_host {
    bool drained;
    double power_w;
    double cpu_used;
};

struct act_link {
    double rate_gbit_s; /* measured, NAN = not yet */
    int64_t busy_ns[ACT_BUSY_BINS];
    int64_t busy_bin_s[ACT_BUSY_BINS];
    int64_t busy_from_ns; /* bytes move since, 0 = they don't */
    int on_wire;          /* moves that transfer */
    int preparing;        /* moves admitted and not yet on the wire */
};

struct act_alert {
    char key[96];
    char vm[AGENT_INVENTORY_NAME_MAX];
    char text[AGENT_ACT_REASON_MAX];
    char check[AGENT_ACT_REASON_MAX];
    double since_s;
};

struct act_listener {
    void (*fn)(void *opaque, const json_t *event);
    void *opaque;
};

struct act_verb {
    const char *name;
    agent_act_verb fn;
    void *opaque;
};

struct act_section {
    const char *name;
    json_t *(*fn)(void *opaque);
    void *opaque;
};

struct act_planner {
    int (*fn)(void *opaque, const struct agent_running *running, const json_t *before,
              struct agent_replan_answer *out, struct agent_error *error);
    void *opaque;
    bool busy;
    bool again; /* asked for while busy */
};

/** struct act_site - @kwh, @renewable_kwh: since the start, by measured power; @lean: see agent_act_lean() */
struct act_site {
    double kwh;
    double renewable_kwh;
    double slot_kwh; /* in the slot that runs now */
    int lean;
};

struct agent_act {
    struct agent_loop *loop;
    struct agent_clock *clock;
    struct agent_store *store;
    const struct agent_inventory *inventory;
    const struct agent_world *world;
    struct agent_act_settings settings;
    struct agent_journal *journal;
    struct machine *machines;
    struct act_host *hosts;
    struct act_link *links;
    struct act_site *sites;
    struct move *moves; /* open ones, oldest first */
    struct move *ended; /* newest first, ACT_ENDED_MAX */
    int ended_count;
    json_t *past; /* moves that ended before this start, newest first, as they are shown */
    int64_t run;
    int64_t last_move_id; /* of rows the journal could not take: never reused */
    bool recovering;
    bool paused;
    bool stopping;
    bool kicked; /* a turn of the queue is posted */
    bool turning; /* act_queue_turn() is under way */
    double started_s;
    int64_t started_ns;
    int64_t measured_ns;
    int64_t slot; /* the one the plan was last applied to */
    uint64_t seq;
    struct agent_timer tick;
    struct agent_timer recovery;
    struct agent_journal_move *rows; /* of the journal, open at the start; until it is recovered */
    int row_count;
    struct act_planner planner;
    struct agent_replan_answer plan; /* the one followed */
    bool have_plan;
    json_t *plan_moves; /* what it asked of this slot */
    json_t *measured_slots; /* per site: [{"start", "load_kw"}] of past slots */
    char plan_problem[AGENT_ERROR_TEXT_MAX];
    char plan_note[AGENT_REPLAN_NOTE_MAX];
    int alert_count, listener_count, verb_count, section_count;
    struct act_alert alerts[AGENT_ACT_ALERTS_MAX];
    struct act_listener listeners[AGENT_ACT_LISTENERS_MAX];
    struct act_verb verbs[AGENT_ACT_VERBS_MAX];
    struct act_section sections[AGENT_ACT_SECTIONS_MAX];
};

/** agent_act_new_in() - agent_act_new() with another world: simulation */
int agent_act_new_in(struct agent_loop *loop, struct agent_store *store,
                     const struct agent_inventory *inventory,
                     const struct agent_act_settings *settings, const struct agent_world *world,
                     struct agent_act **out, struct agent_error *error);

/* act.c */
void act_machine_say(struct machine *machine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void act_machine_become(struct machine *machine, enum agent_vm_state state,
                        struct agent_qemu *owner);
/** act_machine_shut_down() - ended on purpose (or started again): remembered over restarts */
void act_machine_shut_down(struct machine *machine, bool down);
int act_machine_note(struct machine *machine); /* put into the journal; alert when it can't */
void act_journal_failed(struct agent_act *act, const struct agent_error *error);
struct agent_qemu *act_machine_add(struct machine *machine, int host, long long epoch,
                                   int64_t give_up_ns);
struct agent_qemu *act_machine_find(struct machine *machine, long long epoch);
const char *act_fixed(const struct machine *machine, char *out, size_t size);
bool act_room_at(const struct agent_act *act, int vm, int host, struct agent_error *error);
int act_site_of(const struct machine *machine); /* where its guest is or was, -1 = nowhere known */
void act_kick(struct agent_act *act);           /* start what can start, soon */

/* recover.c */
int act_recover(struct agent_act *act, struct agent_error *error);
void act_judge(struct machine *machine); /* look at the truth, act on it unless a move does */
int act_boot(struct machine *machine, struct agent_error *error);

/* queue.c */
void act_queue_turn(struct agent_act *act);
double act_queue_expected_s(const struct agent_act *act, const struct move *move);
void act_link_wire(struct agent_act *act, int link, int change);
double act_link_busy(const struct agent_act *act, int link);

/* reconcile.c */
void act_reconcile(struct agent_act *act);
/* Does demand response speak against a move of the plan's? With the reason in words. */
bool act_against_demand(const struct agent_act *act, int from_site, int to_site, char *out, size_t size);
void act_want_again(struct machine *machine); /* what the plan in use wants of it in this slot */
void act_drain_host(struct agent_act *act, int host, int *moves);
void act_plan_now(struct agent_act *act);

/* power.c */
void act_measure(struct agent_act *act);
double act_machine_power_w(const struct machine *machine);

/** act_outlook() - a value of the plan's outlook for the slot that runs now; NAN = unknown */
double act_outlook(const struct agent_act *act, int site, const char *key);

/** act_outlook_at() - the same for slot @at_slot (half hours since 1970) */
double act_outlook_at(const struct agent_act *act, int site, const char *key, int64_t at_slot);

/* snapshot.c */
json_t *act_move_json(const struct move *move);
json_t *act_time(double time_s);
json_t *act_explain(struct agent_act *act, int vm);

/* commands.c */
int act_commands(struct agent_act *act, const char *verb, const json_t *args, json_t **reply,
                 struct agent_error *error);

/* stage_listen.c */
/** move_uri() - where the destination listens, as QEMU's migrate and migrate-incoming take it */
void move_uri(const struct move *move, char *out, size_t size);

/* move.c, for move_life.c */
void move_on_timer(void *opaque);
void move_set_timer(struct move *move);
void move_begin_stage(struct move *move, enum move_stage stage);
void move_leave_wire(struct move *move);    /* its share of the link is free again */
void move_clear_unknown(struct move *move); /* a person need not look any more */

/** move_machine() - whom it moves */
static inline struct machine *move_machine(const struct move *move)
{
    return &move->act->machines[move->vm];
}

#endif
