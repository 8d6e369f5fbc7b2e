/* SPDX-License-Identifier: GPL-2.0-or-later */
/* private.h - demand response inside: one struct, and what its files give each other
 * Owner: struct agent_dr.   Thread: the loop's.
 * Time:  _ms agent time, _ns monotonic.   Units: kW, yen.
 *
 * dr.c       from start to end; the tick; what VEN and meter bring
 * answers.c  what holds now becomes a change of power per set of sites, and is followed to its end
 * measures.c what could be done now
 * decide.c   the two decisions, and doing the difference
 * hands.c    what became of it; copies held beforehand
 * keep.c     events made here outlive the agent
 * outcome.c  delivered power, reports, the finished event
 * commands.c trigger, cancel, opt out
 * state.c    the state document */
#ifndef AGENT_DR_PRIVATE_H
#define AGENT_DR_PRIVATE_H

#include "dr/baseline.h"
#include "dr/dr.h"
#include "dr/report.h"
#include "dr/webhook.h"

#define DR_TICK_MS      1000
#define DR_WATCH_MS     200 /* while a change of power is awaited */
#define DR_OUTCOMES_MAX 512
#define DR_CORRECTIONS  3 /* times that a measurement may call for more */

/** enum dr_action - what we have done to a guest and not undone */
enum dr_action { DR_NONE, DR_CAPPED, DR_PAUSED, DR_RELEASING, DR_MOVING };

/** struct dr_hand - our hand on one guest
 * @kw: what it drew when we laid hand on it; @to: site it goes to
 * @stopped: it moves paused, and runs again where it arrives
 * @rest_ns: after a failure it is left alone until then. @arm_ns: no new copy before; a copy that
 * was used clears it, one that was lost does not */
struct dr_hand {
    enum dr_action action;
    bool stopped;
    int from, to;
    double kw;
    int64_t since_ns;
    int64_t rest_ns;
    int64_t arm_ns;
};

/** struct dr_site - @reference_kw: its draw before the first event that holds, NAN = none holds
 * @moved_kw: what guests that moved for demand response changed since then */
struct dr_site {
    struct agent_dr_history history;
    double now_kw, now_sigma_kw;
    double reference_kw;
    double moved_kw;
    bool active;
    int lean;      /* what the world was told last: less, more, nothing */
    double set_kw; /* the battery's */
    int64_t cell_ns;
};

/** struct dr_answer - one interval of one event being answered
 * @asked_ns: when it began to hold. @decided_ns, @done_ns: decision, last command out
 * @changed_ns: when nine tenths of what was planned within ten seconds were measured; 0 = not yet
 * @target_kw: change asked for against the reference; @correction_kw: more, because too little came
 * @fixed: target is not to be computed again (levels) */
struct dr_answer {
    char event[AGENT_DR_NAME_SIZE];
    enum agent_dr_origin origin;
    enum agent_dr_kind kind;
    int32_t interval;
    uint64_t sites;
    double value;
    double within_s;
    int64_t from_ms, to_ms;
    int64_t asked_ms;
    int64_t asked_ns, decided_ns, done_ns, changed_ns, settled_ns;
    double target_kw, planned_kw, missing_kw, cost_yen, correction_kw;
    double start_kw; /* measured when it began */
    double reached_kw;
    int corrections;
    bool open, seen, fixed, optimal;
    unsigned took[AGENT_DR_MIGRATE + 1];
    char note[160];
};

struct dr_outcome_of {
    char event[AGENT_DR_NAME_SIZE];
    size_t site;
    struct agent_dr_outcome outcome;
};

struct agent_dr {
    struct agent_loop *loop;
    const struct agent_dr_settings *settings;
    const struct agent_dr_world *world;
    void *world_opaque;
    const struct agent_dr_hooks *hooks;
    void *hooks_opaque;
    struct agent_dr_schedule schedule;
    struct agent_dr_droop droop;
    struct agent_dr_meter meter;
    struct agent_watch *meter_watch;
    struct agent_timer meter_timer;
    struct agent_dr_ven *ven;
    struct agent_dr_webhook *webhook;
    struct agent_timer tick;
    struct agent_timer soon;
    bool started;
    bool waiting;
    bool listed; /* the VTN's events were read once, or there is none */
    int64_t start_ns;
    int64_t sampled_ns;
    int64_t looked_ns;
    int64_t edge_ms; /* when needs change next by themselves */
    uint64_t looked_version;
    int64_t arm_ns;
    unsigned local_count;
    struct dr_site sites[AGENT_DR_SITES_MAX];
    struct dr_hand hands[AGENT_DR_GUESTS_MAX];
    size_t answer_count;
    struct dr_answer
        answers[AGENT_DR_ANSWERS_MAX]; /* ring of the latest; open ones are never dropped */
    size_t outcome_count;
    struct dr_outcome_of outcomes[DR_OUTCOMES_MAX];
    struct agent_dr_need needs[AGENT_DR_NEEDS_MAX];
    struct agent_dr_measure measures[AGENT_DR_MEASURES_MAX];
    int dest[AGENT_DR_MEASURES_MAX]; /* per measure: site it goes to, -1 = none */
    struct agent_dr_answer choice;
};

/* dr.c */
int64_t dr_now_ms(const struct agent_dr *dr);
int64_t dr_now_ns(const struct agent_dr *dr);
double dr_hours_left(const struct agent_dr *dr, int64_t to_ms);
void dr_tell(struct agent_dr *dr, const char *type, json_t *body);
void dr_alert(struct agent_dr *dr, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void dr_alert_clear(struct agent_dr *dr, const char *key);

/** dr_put() - offer an event to the schedule and tell what became of it (takes it)
 * Return: enum agent_dr_put or -errno with the reason. */
int dr_put(struct agent_dr *dr, struct agent_dr_event *event, unsigned listing,
           struct agent_error *error);

/** dr_look() - find out what holds and answer it */
void dr_look(struct agent_dr *dr);

/* answers.c */

/** dr_answers_update() - open, carry on and close answers for what holds now */
void dr_answers_update(struct agent_dr *dr);

/** dr_answer_watch() - has the power changed as planned? Call it after each measurement. */
void dr_answer_watch(struct agent_dr *dr);

/** dr_answers_waiting() - is a power change awaited? */
bool dr_answers_waiting(const struct agent_dr *dr);
/** dr_late_ns() - when a slow answer becomes a fast one */
int64_t dr_late_ns(const struct agent_dr *dr, const struct dr_answer *answer);
/** dr_answers_turned() - has a slow answer become a fast one since @since_ns? */
bool dr_answers_turned(const struct agent_dr *dr, int64_t since_ns);

double dr_sites_kw(const struct agent_dr *dr, uint64_t sites, bool reference);

/* measures.c */
void dr_guest(const struct agent_dr *dr, size_t index, struct agent_dr_guest *out);
size_t dr_guest_count(const struct agent_dr *dr);

/** dr_hours_at() - how long what is done now at @site will last: the longest answer there */
double dr_hours_at(const struct agent_dr *dr, size_t site);

/** dr_cell_taken() - has the site's battery a charge level to reach? */
bool dr_cell_taken(const struct agent_dr *dr, size_t site);

/** dr_measures() - into dr->measures and dr->dest; @slow: moves, too. Return: count. */
size_t dr_measures(struct agent_dr *dr, bool slow);

/** dr_flexible() - what @sites can do within ten seconds: less (@down) or more */
double dr_flexible(struct agent_dr *dr, uint64_t sites, bool down);

/* decide.c */

/** dr_decide() - both decisions, and what follows from them */
void dr_decide(struct agent_dr *dr);

/** dr_undo() - let a guest run freely again; tried again later if that is refused */
void dr_undo(struct agent_dr *dr, size_t guest);

/** dr_refused() - @what was refused for @guest: told, and left alone for a while */
void dr_refused(struct agent_dr *dr, size_t guest, const char *what,
                const struct agent_error *error);

/** dr_count_move() - what a move changes at both ends, @sign 1, or takes back, -1 */
void dr_count_move(struct agent_dr *dr, const struct dr_hand *hand, double sign);
void dr_count_end(struct agent_dr *dr, int site, double kw);

/* hands.c */

/** dr_hands_settle() - moves that ended, well or not, leave our hand */
void dr_hands_settle(struct agent_dr *dr);

/** dr_arm() - hold copies for what is promised */
void dr_arm(struct agent_dr *dr);

/* outcome.c */

/** dr_outcome_add() - @answer ended: what it delivered, site by site */
void dr_outcome_add(struct agent_dr *dr, const struct dr_answer *answer);

/** dr_outcomes_send() - reports of events that are over; also of those that only ask for reports */
void dr_outcomes_send(struct agent_dr *dr);

/** dr_hands_adopt() - after a restart the world knows better than we do whom we paused or capped */
void dr_hands_adopt(struct agent_dr *dr);

/** dr_hands_held() - what our hands change at @sites now, moves not counted */
double dr_hands_held(const struct agent_dr *dr, uint64_t sites);

/* keep.c */

/** dr_keep() - have the owner write down which events were made here */
void dr_keep(struct agent_dr *dr);
json_t *dr_keep_json(const struct agent_dr *dr);

/* state.c */
json_t *dr_answer_json(const struct agent_dr *dr, const struct dr_answer *answer);

#endif
