/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* base.h - what all filters share: a backend that passes everything on, with hooks
 * Owner: filter.c makes and frees.   Thread: as the backend contract says.   Units: bytes, ns. */
#ifndef APN_FILTER_BASE_H
#define APN_FILTER_BASE_H

#include <pthread.h>

#include <apnmig/backend.h>

struct filter;

/* A link around a link. @next is NULL once the filter has killed or never opened it; @down is the
 * last word of either. */
struct filter_link {
    struct apn_link base;
    struct filter *filter;
    struct apn_link *next;
    struct filter_link *sibling; /* list of the filter, under its lock */
    struct apn_hello hello;
    struct apn_error down;
    bool down_told;
};

/**
 * struct filter_class - one kind of filter; a NULL hook passes on
 * @filter_bytes, @link_bytes: sizes of structures that begin with struct filter, struct filter_link
 * @real_time_only: refuse backends with APN_CAP_VIRTUAL (their world has its own delay and rate)
 * @open:  parse @value; @done: undo it, also after a failed open
 * @admit: may this lane be opened? -errno and @err when not
 * @link_open, @link_done: around a link's life (its thread, or the accepting one)
 * @post, @poll: as the ops; filter_post_next() and filter_poll_next() go on
 */
struct filter_class {
    const char *name;
    size_t filter_bytes;
    size_t link_bytes;
    bool real_time_only;
    int (*open)(struct filter *filter, const char *value, struct apn_error *err);
    void (*done)(struct filter *filter);
    int (*admit)(struct filter *filter, const struct apn_hello *hello, struct apn_error *err);
    int (*link_open)(struct filter_link *link);
    void (*link_done)(struct filter_link *link);
    void (*wake)(struct filter_link *link);
    int (*post)(struct filter_link *link, const struct apn_msg *msgs, unsigned n);
    int (*poll)(struct filter_link *link, struct apn_event *events, unsigned max,
                int64_t timeout_ns);
};

struct filter {
    struct apn_backend base;
    struct apn_backend_ops ops; /* a filter's, under the name of what it wraps */
    const struct filter_class *class;
    struct apn_backend *next;
    const struct apn_clock *clock;
    struct apn_acceptor acceptor;
    pthread_mutex_t
        lock; /* links, and what the class keeps under it; nothing else is locked inside */
    struct filter_link *links;
};

extern const struct filter_class apn_filter_delay;
extern const struct filter_class apn_filter_rate;
extern const struct filter_class apn_filter_trace;
extern const struct filter_class apn_filter_fault;

int apn_filter_new(const struct filter_class *class, struct apn_backend *next, const char *value,
                   const struct apn_backend_config *config, struct apn_backend **out,
                   struct apn_error *err);
/** apn_filter_unwrap() - free one filter, but not what it wraps */
void apn_filter_unwrap(struct apn_backend *be);

int filter_post_next(struct filter_link *link, const struct apn_msg *msgs, unsigned n);
int filter_poll_next(struct filter_link *link, struct apn_event *events, unsigned max,
                     int64_t timeout_ns);
/** filter_link_kill() - close the wrapped link; the next poll says DOWN with this reason. The
 * link's thread. */
void filter_link_kill(struct filter_link *link, int code, const char *reason);
static inline uint64_t filter_now(const struct filter *filter)
{
    return apn_clock_now(filter->clock);
}

/* numbers with units (units.c). Return: 0 or -EINVAL; nothing may follow. */
int filter_parse_time(const char *text, uint64_t *ns);
int filter_parse_rate(const char *text, uint64_t *bytes_per_s);
int filter_parse_bytes(const char *text, uint64_t *bytes);

#endif
