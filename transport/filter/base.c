/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* base.c - a backend that passes everything on, with hooks (see base.h) */
#include "filter/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct filter *filter_of(struct apn_backend *be)
{
    return (struct filter *)be;
}

static struct filter_link *link_of(struct apn_link *link)
{
    return (struct filter_link *)link;
}

/* ---- links --------------------------------------------------------------- */

static struct filter_link *link_new(struct filter *filter, const struct apn_hello *hello,
                                    struct apn_link *next)
{
    struct filter_link *link = calloc(1, filter->class->link_bytes);

    if (!link) {
        return NULL;
    }
    link->base.backend = &filter->base;
    link->filter = filter;
    link->next = next;
    link->hello = *hello;
    if (filter->class->link_open && filter->class->link_open(link)) {
        free(link);
        return NULL;
    }
    pthread_mutex_lock(&filter->lock);
    link->sibling = filter->links;
    filter->links = link;
    pthread_mutex_unlock(&filter->lock);
    return link;
}

static void link_unlist(struct filter_link *link)
{
    struct filter *filter = link->filter;

    pthread_mutex_lock(&filter->lock);
    for (struct filter_link **at = &filter->links; *at; at = &(*at)->sibling) {
        if (*at == link) {
            *at = link->sibling;
            break;
        }
    }
    pthread_mutex_unlock(&filter->lock);
}

/* Under the lock, because a fault of another lane may be waking the wrapped link just now. */
static struct apn_link *next_take(struct filter_link *link)
{
    struct apn_link *next;

    pthread_mutex_lock(&link->filter->lock);
    next = link->next;
    link->next = NULL;
    pthread_mutex_unlock(&link->filter->lock);
    return next;
}

void filter_link_kill(struct filter_link *link, int code, const char *reason)
{
    struct apn_link *next = next_take(link);

    apn_error_set(&link->down, code, APN_SCOPE_LANE, "%s: lane %u: %s", link->filter->class->name,
                  link->hello.lane, reason);
    if (next) {
        next->backend->ops->link_close(next);
    }
}

int filter_post_next(struct filter_link *link, const struct apn_msg *msgs, unsigned n)
{
    return link->next ? link->next->backend->ops->post(link->next, msgs, n) : link->down.code;
}

int filter_poll_next(struct filter_link *link, struct apn_event *events, unsigned max,
                     int64_t timeout_ns)
{
    if (link->next) {
        int n = link->next->backend->ops->poll(link->next, events, max, timeout_ns);

        if (n > 0 && events[n - 1].type == APN_EVENT_DOWN) {
            link->down = events[n - 1].error;
            link->down_told = true;
        }
        return n;
    }
    if (link->down_told || !max) {
        return 0;
    }
    link->down_told = true;
    memset(&events[0], 0, sizeof(events[0]));
    events[0].type = APN_EVENT_DOWN;
    events[0].error = link->down;
    return 1;
}

/* ---- ops ----------------------------------------------------------------- */

static int filter_connect(struct apn_backend *be, const struct apn_hello *hello,
                          struct apn_link **out, struct apn_error *err)
{
    struct filter *filter = filter_of(be);
    struct apn_error refusal = {0};
    struct apn_link *next = NULL;
    struct filter_link *link;
    int ret = filter->class->admit ? filter->class->admit(filter, hello, &refusal) : 0;

    if (!ret) {
        ret = filter->next->ops->connect(filter->next, hello, &next, err);
        if (ret) {
            return ret;
        }
    }
    link = link_new(filter, hello, next);
    if (!link) {
        if (next) {
            next->backend->ops->link_close(next);
        }
        return apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "%s: no memory for a link",
                             filter->class->name);
    }
    link->down = refusal;
    *out = &link->base;
    return 0;
}

static int on_authorise(void *opaque, const struct apn_hello *hello, struct apn_welcome *welcome,
                        struct apn_error *err)
{
    struct filter *filter = opaque;
    int ret = filter->class->admit ? filter->class->admit(filter, hello, err) : 0;

    return ret ? ret : filter->acceptor.authorise(filter->acceptor.opaque, hello, welcome, err);
}

static void on_attach(void *opaque, const struct apn_hello *hello, struct apn_link *next)
{
    struct filter *filter = opaque;
    struct filter_link *link = link_new(filter, hello, next);

    if (!link) {
        next->backend->ops->link_close(
            next); /* as if it had died on the way: the peer opens another */
        return;
    }
    filter->acceptor.attach(filter->acceptor.opaque, hello, &link->base);
}

static void on_stranger(void *opaque, const char *text)
{
    struct filter *filter = opaque;

    if (filter->acceptor.stranger) {
        filter->acceptor.stranger(filter->acceptor.opaque, text);
    }
}

static int filter_listen(struct apn_backend *be, const struct apn_acceptor *acceptor,
                         uint16_t *port, struct apn_error *err)
{
    struct filter *filter = filter_of(be);
    struct apn_acceptor own = {on_authorise, on_attach, on_stranger, filter};

    filter->acceptor = *acceptor;
    return filter->next->ops->listen(filter->next, &own, port, err);
}

static int filter_region_add(struct apn_backend *be, unsigned region, const struct apn_region *r,
                             struct apn_error *err)
{
    struct filter *filter = filter_of(be);

    return filter->next->ops->region_add(filter->next, region, r, err);
}

static int filter_post(struct apn_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct filter_link *link = link_of(base);

    return link->filter->class->post ? link->filter->class->post(link, msgs, n)
                                     : filter_post_next(link, msgs, n);
}

static int filter_poll(struct apn_link *base, struct apn_event *events, unsigned max,
                       int64_t timeout_ns)
{
    struct filter_link *link = link_of(base);

    if (link->filter->class->poll) {
        return link->filter->class->poll(link, events, max, timeout_ns);
    }
    return filter_poll_next(link, events, max, timeout_ns);
}

static void filter_wake(struct apn_link *base)
{
    struct filter_link *link = link_of(base);

    if (link->filter->class->wake) {
        link->filter->class->wake(link);
    }
    pthread_mutex_lock(&link->filter->lock);
    if (link->next) {
        link->next->backend->ops->wake(link->next);
    }
    pthread_mutex_unlock(&link->filter->lock);
}

static void filter_link_close(struct apn_link *base)
{
    struct filter_link *link = link_of(base);
    struct apn_link *next = next_take(link);

    if (next) {
        next->backend->ops->link_close(next);
    }
    link_unlist(link);
    if (link->filter->class->link_done) {
        link->filter->class->link_done(link);
    }
    free(link);
}

static void filter_counters(struct apn_backend *be, struct apn_backend_counters *out)
{
    struct filter *filter = filter_of(be);

    filter->next->ops->counters(filter->next, out);
}

void apn_filter_unwrap(struct apn_backend *be)
{
    struct filter *filter = filter_of(be);

    if (filter->class->done) {
        filter->class->done(filter);
    }
    pthread_mutex_destroy(&filter->lock);
    free(filter);
}

/* The wrapped backend goes first: its accept thread may still be calling us. */
static void filter_free(struct apn_backend *be)
{
    struct filter *filter = filter_of(be);

    filter->next->ops->free(filter->next);
    apn_filter_unwrap(be);
}

static const struct apn_backend_ops filter_ops = {
    .connect = filter_connect,
    .listen = filter_listen,
    .region_add = filter_region_add,
    .post = filter_post,
    .poll = filter_poll,
    .wake = filter_wake,
    .link_close = filter_link_close,
    .counters = filter_counters,
    .free = filter_free,
};

int apn_filter_new(const struct filter_class *class, struct apn_backend *next, const char *value,
                   const struct apn_backend_config *config, struct apn_backend **out,
                   struct apn_error *err)
{
    struct filter *filter;
    int ret;

    if (class->real_time_only && (next->caps & APN_CAP_VIRTUAL)) {
        return apn_error_set(
            err, -EINVAL, APN_SCOPE_SESSION,
            "filter %s: backend %s runs in virtual time, its world has a %s of its own",
            class->name, next->ops->name, class->name);
    }
    filter = calloc(1, class->filter_bytes);
    if (!filter) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "filter %s: no memory", class->name);
    }
    filter->ops = filter_ops;
    filter->ops.name = next->ops->name;
    filter->base.ops = &filter->ops;
    filter->base.caps = next->caps;
    filter->base.post_max = next->post_max;
    filter->class = class;
    filter->next = next;
    filter->clock = config->clock;
    pthread_mutex_init(&filter->lock, NULL);
    ret = class->open ? class->open(filter, value, err) : 0;
    if (ret) {
        apn_filter_unwrap(&filter->base);
        return ret;
    }
    *out = &filter->base;
    return 0;
}
