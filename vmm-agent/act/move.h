/* SPDX-License-Identifier: GPL-2.0-or-later */
/* move.h - one migration: a table of stages walked forward, or back when one fails
 * Owner: struct agent_act, in its list of open moves; ended ones are kept a while to be shown.
 * Thread: the loop's.
 * Time:  monotonic (_ns) for waiting, agent time (_s) for what is written down.   Units: in names.
 *
 * Theory of operation. A stage begins by asking QEMU for something and ends by move_next() or
 * move_fail(). Each beginning is in the journal before it happens. Answers carry the move's id and
 * serial: what belongs to a stage that is over is dropped. A stage with @look is also looked at at
 * every news of either QEMU and every MOVE_LOOK_NS. After a failure the stages already begun are
 * undone, last first; undoing looks at what is true and may be repeated. From the moment the
 * destination may have been granted the guest (stage settle), only the facts decide, in settle().
 */
#ifndef AGENT_ACT_MOVE_H
#define AGENT_ACT_MOVE_H

#include "act/act.h"
#include "act/qemu.h"

#define MOVE_LOOK_NS     (200 * AGENT_NS_PER_MS)
#define MOVE_PROGRESS_NS (500 * AGENT_NS_PER_MS)

enum move_stage {
    MOVE_PREFLIGHT,
    MOVE_START,
    MOVE_MATCH,
    MOVE_DISKS,
    MOVE_LISTEN,
    MOVE_TRANSFER,
    MOVE_SETTLE,
    MOVE_ANNOUNCE,
    MOVE_RELEASE,
    MOVE_STAGES
};

enum move_state {
    MOVE_QUEUED,
    MOVE_RUNNING,
    MOVE_HELD,
    MOVE_DONE,
    MOVE_FAILED,
    MOVE_CANCELLED,
    MOVE_UNKNOWN /* open, but only a person or new facts can go on */
};

enum move_origin { MOVE_BY_PLAN, MOVE_BY_PERSON, MOVE_BY_DRAIN, MOVE_BY_DR };

/** struct move_figures - measured; NAN = not known */
struct move_figures {
    double progress, rate_gbit_s, in_flight_bytes, remaining_bytes;
    double bytes;        /* on the line */
    double guest_bytes;  /* of memory described by them */
    double predicted_ms; /* blackout that decided the switchover, or would now */
    double blackout_ms;  /* as the transport measured it */
    double cutover_ms;   /* last word of the source to first of the destination, by QMP events */
    double transfer_real_s;
    double energy_wh; /* at both hosts beyond what the guest used before */
};

struct move {
    struct agent_act *act;
    struct move *next;
    int64_t id;
    uint64_t serial;  /* of the stage's beginning: stale answers are told by it */
    int vm, from, to; /* hosts */
    int link;         /* -1 = within a site */
    enum move_origin origin;
    enum move_state state;
    enum move_stage stage;
    bool undoing;
    bool hold; /* arm: stay converged until released */
    bool was_held;
    bool urgent;
    bool stock; /* over tcp, because one end does not know apn */
    bool on_wire, admitted, asking;
    bool cancel_asked;
    bool redo;      /* failed for a reason that may pass */
    bool wire_wait; /* ready, waits for its turn on the link */
    bool passed;    /* no room at its destination: others go before it, this turn */
    bool resolved;  /* migrate-apn-resolve was sent */
    bool forced;    /* adopted after a restart: no stage before this one was walked by us */
    int attempt;
    int port;
    int port_tries;
    size_t disk;      /* the one being set up */
    bool finishing;   /* the mirrors are being ended */
    json_t *kept;     /* the source's answer while the destination is asked the same */
    int64_t asked_ns; /* last progress question or repeated request */
    bool lost;        /* every QEMU of it is gone, and the guest with them */
    bool cont_sent;   /* stock: the destination was told to run */
    bool no_apn;      /* the destination turned out not to know apn */
    double benefit_yen;
    double queued_s, started_s, ended_s;
    double real_s; /* from its beginning to its end */
    int64_t queued_ns, begun_ns, stage_ns, wire_ns, retry_ns, progress_ns, told_ns;
    long long source_epoch, dest_epoch;
    struct agent_qemu *source, *dest;
    double cpu_before_s[2], cpu_rate;
    struct move_figures figures;
    char reason[AGENT_ACT_REASON_MAX];
    char error[AGENT_ACT_REASON_MAX + 100];
    char waits_for[AGENT_ACT_REASON_MAX];
    struct agent_timer timer;
    void (*released)(void *opaque, int vm, int status);
    void *released_opaque;
};

struct stage {
    const char *name;
    void (*begin)(struct move *move);
    void (*look)(struct move *move); /* may be NULL */
    void (*undo)(struct move *move); /* may be NULL; ends with move_undone() */
    double limit_s;                  /* 0 = the setting of the same kind; stage_limit_ns() */
};

/* ---- for the stages ------------------------------------------------------------------------- */

typedef void (*move_then)(struct move *move, const struct agent_qmp_result *result);

/** move_ask() - a command to one end; @then gets its return
 * Errors end the move's stage with QEMU's words, unless @any is set: then @then gets them too. */
void move_ask(struct move *move, struct agent_qemu *qemu, const char *command, json_t *arguments,
              move_then then);
void move_ask_any(struct move *move, struct agent_qemu *qemu, const char *command,
                  json_t *arguments, move_then then);

void move_next(struct move *move);
void move_fail(struct move *move, bool may_pass, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void move_undone(struct move *move);

/** move_log() - a line in the journal and an event, about the stage as it is */
int move_log(struct move *move, const char *phase, const char *text);

/** move_unknown() - stop: only facts or a person go on */
void move_unknown(struct move *move, const char *why, const char *check);

/* ---- for the others ------------------------------------------------------------------------- */

extern const struct stage move_stages[MOVE_STAGES];
const char *move_stage_name(const struct move *move);
const char *move_state_name(enum move_state state);
const char *move_origin_name(enum move_origin origin);

/** move_new() - a queued one, in the journal. NULL with @error set. */
struct move *move_new(struct agent_act *act, int vm, int to, enum move_origin origin,
                      const char *reason, struct agent_error *error);

/** move_remake() - an empty one in the list, not in the journal; NULL without memory */
struct move *move_remake(struct agent_act *act, int vm, int from, int to);

/** move_begin() - admit it: walk from preflight */
void move_begin(struct move *move);

/** move_adopt() - go on at @stage with what a restart found */
void move_adopt(struct move *move, enum move_stage stage);

/** move_go() - its turn on the link has come */
void move_go(struct move *move);

/** move_news() - one of its QEMUs has news */
void move_news(struct move *move, struct agent_qemu *qemu, enum agent_qemu_news news,
               const struct agent_qemu_event *event);

/** move_cancel() - Return: 0 (on its way), -EPERM when the destination may own the guest already */
int move_cancel(struct move *move, struct agent_error *error);

/** move_release() - end of the hold */
int move_release(struct move *move, struct agent_error *error);

/** move_end() - close it, tell it, feed it back to the planner */
void move_end(struct move *move, enum move_state state);

struct move *move_find(const struct agent_act *act, int64_t id);
void move_free(struct move *move);

/* stages, by file */
void stage_preflight(struct move *move);
void stage_start(struct move *move);
void stage_start_look(struct move *move);
void stage_start_undo(struct move *move);
void stage_match(struct move *move);
void stage_disks(struct move *move);
void stage_disks_look(struct move *move);
void stage_disks_undo(struct move *move);
void stage_listen(struct move *move);
void stage_transfer(struct move *move);
void stage_transfer_look(struct move *move);
void stage_transfer_undo(struct move *move);
void stage_settle(struct move *move);
void stage_announce(struct move *move);
void stage_release(struct move *move);
void stage_release_look(struct move *move);

/** move_choose_port() - two ports at the destination that no other move uses. Return: 0, -ENOSPC */
int move_choose_port(struct move *move);

/** stage_disks_finish() - guest stopped before switchover: let the mirrors end, then @then */
void stage_disks_finish(struct move *move);

#endif
