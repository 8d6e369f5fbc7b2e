/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ven_private.h - the VEN's state, shared by ven.c (the conversation), ven_steps.c (its
 * requests) and ven_objects.c (what they say)
 * Owner: struct agent_dr_ven.   Thread: the loop's. Time:  monotonic ns; agent time in ms
 * where a name says so.   Units: ns, ms. */
#ifndef AGENT_DR_VEN_PRIVATE_H
#define AGENT_DR_VEN_PRIVATE_H

#include "dr/ven.h"

#define DR_URL_SIZE     2048
#define DR_TOKEN_MAX    4096
#define DR_REFUSED_KEPT 64

enum dr_step {
    DR_STEP_IDLE,
    DR_STEP_DISCOVER,
    DR_STEP_TOKEN,
    DR_STEP_VEN_FIND,
    DR_STEP_VEN_MAKE,
    DR_STEP_PROGRAMS,
    DR_STEP_SUBSCRIPTIONS,
    DR_STEP_UNSUBSCRIBE,
    DR_STEP_SUBSCRIBE,
    DR_STEP_EVENTS,
    DR_STEP_REPORT
};

/** struct agent_dr_ven
 * @due_ns:   next poll. @wait_ns: nothing is tried before this (after failures)
 * @skip, @pages, @query: where the listing of programs or events is
 * @listing:  number of the event listing under way
 * @refused:  digests of objects refused lately, so that each is told once */
struct agent_dr_ven {
    struct agent_loop *loop;
    const struct agent_dr_ven_settings *settings;
    const struct agent_dr_ven_ops *ops;
    void *opaque;
    struct agent_dr_http *http;
    struct agent_timer timer;
    enum dr_step step; /* the request that is open */
    int64_t due_ns;
    int64_t wait_ns;
    unsigned failures;
    char base[DR_URL_SIZE];
    char token_url[DR_URL_SIZE];
    char token[DR_TOKEN_MAX + 1];
    int64_t token_ends_ns; /* 0 = none */
    bool token_tried;      /* refused since the last good answer: do not ask for ever */
    bool enrolled;
    json_t *programs;    /* array of objects we follow */
    json_t *fetched;     /* programs of the listing under way */
    int64_t programs_ns; /* when they were read, 0 = never */
    size_t skip;
    unsigned pages;
    size_t query;
    bool several_pages;
    unsigned listing;
    int64_t listed_ns;
    char callback[DR_URL_SIZE];
    char callback_token[128];
    bool subscribed;
    char drop[AGENT_DR_NAME_SIZE]; /* id of an old subscription to be taken back */
    json_t *reports;               /* queue of bodies */
    unsigned report_tries;
    int64_t clocks_ms[AGENT_DR_CLOCK_SAMPLES];
    unsigned clock_count;
    int64_t clock_ms;
    bool clock_broken;
    uint64_t refused[DR_REFUSED_KEPT];
    unsigned refused_at;
    unsigned sent, dropped, events_read;
    char text[256];
};

/** struct dr_ven_step - one request and what becomes of its answer
 * @ask:  Return: 0 under way, -errno
 * @wish: refused by the VTN: told, and not asked again */
struct dr_ven_step {
    const char *name;
    int (*ask)(struct agent_dr_ven *ven);
    void (*take)(struct agent_dr_ven *ven, const json_t *body);
    bool wish;
};

/* ven_steps.c */
extern const struct dr_ven_step dr_ven_steps[DR_STEP_REPORT + 1];
/** dr_ven_listed() - the last page of the events has been read */
void dr_ven_listed(struct agent_dr_ven *ven);

/* ven.c */
/** dr_ven_answer() - every request ends here */
void dr_ven_answer(void *opaque, const struct agent_dr_http_answer *answer);
/** dr_ven_fail() - wait before the next try of anything */
void dr_ven_fail(struct agent_dr_ven *ven, int64_t retry_after_s, const char *why);

/** dr_ven_query() - "base/path?..." with skip, limit and our targets. Return: 0 or -ENAMETOOLONG.
 */
int dr_ven_query(const struct agent_dr_ven *ven, const char *path, const char *name,
                 const char *value, char *out, size_t size);

/** dr_ven_events() - objects of one page to ops->event and ops->refused */
void dr_ven_events(struct agent_dr_ven *ven, const json_t *list);

/** dr_ven_event() - one object. @listing: as in agent_dr_ven_ops. Return: 0 or -EINVAL (told). */
int dr_ven_event(struct agent_dr_ven *ven, const json_t *object, unsigned listing,
                 struct agent_error *error);

/** dr_ven_programs() - objects of one page; those that are wanted are kept */
void dr_ven_programs(struct agent_dr_ven *ven, const json_t *list);

/** dr_ven_clock() - a Date header came: how far apart the clocks are */
void dr_ven_clock(struct agent_dr_ven *ven, const struct agent_dr_http_answer *answer);

/** dr_ven_form() - body of the token request, caller frees; NULL = no memory */
char *dr_ven_form(const struct agent_dr_ven *ven);

/** dr_ven_token() - answer of the token endpoint. Return: 0 or -EBADMSG with the reason. */
int dr_ven_token(struct agent_dr_ven *ven, const json_t *answer, struct agent_error *error);

/** dr_ven_subscription() - body of POST /subscriptions; new reference */
json_t *dr_ven_subscription(const struct agent_dr_ven *ven);

/** dr_ven_old_subscription() - one of ours in @list: its id into ven->drop. Return: found? */
bool dr_ven_old_subscription(struct agent_dr_ven *ven, const json_t *list);

/** dr_ven_say() - connection news: kept for the state, told when it changed */
void dr_ven_say(struct agent_dr_ven *ven, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
