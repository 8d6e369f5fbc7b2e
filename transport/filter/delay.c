/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* delay.c - every message leaves a while later (grammar: filter.h)
 * Messages wait in a ring per link; their payload stays where it is, as the contract of a post
 * allows. */
#include <errno.h>
#include <stdlib.h>

#include "filter/base.h"

#define DELAY_MAX_NS    10000000000ull
#define DELAY_QUEUE_MAX 16384u /* messages per link; power of two */

struct delay {
    struct filter base;
    uint64_t delay_ns;
};

struct waiting {
    uint64_t due_ns;
    struct apn_msg msg;
};

struct delay_link {
    struct filter_link base;
    struct waiting *ring;
    unsigned first, count;
};

static int delay_open(struct filter *filter, const char *value, struct apn_error *err)
{
    struct delay *delay = (struct delay *)filter;

    if (filter_parse_time(value, &delay->delay_ns) || delay->delay_ns > DELAY_MAX_NS) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "filter delay: \"%s\" is not a time of at most 10s (as in 3ms)",
                             value);
    }
    return 0;
}

static int delay_link_open(struct filter_link *base)
{
    struct delay_link *link = (struct delay_link *)base;

    link->ring = calloc(DELAY_QUEUE_MAX, sizeof(*link->ring));
    return link->ring ? 0 : -ENOMEM;
}

static void delay_link_done(struct filter_link *base)
{
    free(((struct delay_link *)base)->ring);
}

/* Passes on what is due, as far as the wrapped link takes it. Return: 0, or -errno: the link is
 * down. */
static int release(struct delay_link *link)
{
    uint64_t now = filter_now(link->base.filter);

    while (link->count && link->ring[link->first].due_ns <= now) {
        int ret = filter_post_next(&link->base, &link->ring[link->first].msg, 1);

        if (ret) {
            return ret == -EAGAIN ? 0 : ret;
        }
        link->first = (link->first + 1) % DELAY_QUEUE_MAX;
        link->count--;
    }
    return 0;
}

static int delay_post(struct filter_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct delay_link *link = (struct delay_link *)base;
    uint64_t due_ns = filter_now(base->filter) + ((struct delay *)base->filter)->delay_ns;

    if (!base->next || base->down_told) {
        return base->down.code;
    }
    if (link->count + n > DELAY_QUEUE_MAX) {
        return -EAGAIN;
    }
    for (unsigned i = 0; i < n; i++) {
        link->ring[(link->first + link->count++) % DELAY_QUEUE_MAX] =
            (struct waiting){due_ns, msgs[i]};
    }
    return release(link);
}

static int delay_poll(struct filter_link *base, struct apn_event *events, unsigned max,
                      int64_t timeout_ns)
{
    struct delay_link *link = (struct delay_link *)base;
    uint64_t now = filter_now(base->filter);
    int n;

    release(link); /* a link that is down says so in the poll */
    if (link->count && link->ring[link->first].due_ns > now && timeout_ns > 0) {
        int64_t wait_ns = (int64_t)(link->ring[link->first].due_ns - now);

        timeout_ns = wait_ns < timeout_ns ? wait_ns : timeout_ns;
    }
    n = filter_poll_next(base, events, max, timeout_ns);
    release(link);
    return n;
}

const struct filter_class apn_filter_delay = {
    .name = "delay",
    .filter_bytes = sizeof(struct delay),
    .link_bytes = sizeof(struct delay_link),
    .real_time_only = true,
    .open = delay_open,
    .link_open = delay_link_open,
    .link_done = delay_link_done,
    .post = delay_post,
    .poll = delay_poll,
};
