/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rate.c - all links of this end together send no faster than a rate (grammar: filter.h)
 * The wire of the filter is busy until busy_until_ns; a post may run ahead of the clock by
 * BURST_NS. */
#include <errno.h>

#include "filter/base.h"
#include "wire/layout.h"

#define BURST_NS         1000000u
#define RATE_MIN_BYTES_S 1000u

struct rate {
    struct filter base;
    uint64_t rate_bytes_per_s;
    uint64_t busy_until_ns; /* under base.lock */
};

struct rate_link {
    struct filter_link base;
    uint64_t again_ns; /* a post was refused until then; 0 = none */
};

static int rate_open(struct filter *filter, const char *value, struct apn_error *err)
{
    struct rate *rate = (struct rate *)filter;

    if (filter_parse_rate(value, &rate->rate_bytes_per_s) ||
        rate->rate_bytes_per_s < RATE_MIN_BYTES_S) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "filter rate: \"%s\" is not a rate of at least 8Kbit (as in 2.5Gbit)",
                             value);
    }
    return 0;
}

static int rate_post(struct filter_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct rate_link *link = (struct rate_link *)base;
    struct rate *rate = (struct rate *)base->filter;
    uint64_t now = filter_now(&rate->base), bytes = 0;
    int ret;

    for (unsigned i = 0; i < n; i++) {
        bytes += APN_WIRE_HEADER_BYTES + msgs[i].bytes;
    }
    pthread_mutex_lock(&rate->base.lock);
    link->again_ns = rate->busy_until_ns > now + BURST_NS ? rate->busy_until_ns - BURST_NS : 0;
    pthread_mutex_unlock(&rate->base.lock);
    if (link->again_ns) {
        return -EAGAIN;
    }
    ret = filter_post_next(base, msgs, n);
    if (!ret) {
        uint64_t time_ns = (uint64_t)((double)bytes * 1e9 / (double)rate->rate_bytes_per_s);

        pthread_mutex_lock(&rate->base.lock);
        rate->busy_until_ns = (rate->busy_until_ns > now ? rate->busy_until_ns : now) + time_ns;
        pthread_mutex_unlock(&rate->base.lock);
    }
    return ret;
}

static int rate_poll(struct filter_link *base, struct apn_event *events, unsigned max,
                     int64_t timeout_ns)
{
    struct rate_link *link = (struct rate_link *)base;

    if (link->again_ns && timeout_ns > 0) {
        uint64_t now = filter_now(base->filter);
        int64_t wait_ns = link->again_ns > now ? (int64_t)(link->again_ns - now) : 0;

        timeout_ns = wait_ns < timeout_ns ? wait_ns : timeout_ns;
        link->again_ns = 0;
    }
    return filter_poll_next(base, events, max, timeout_ns);
}

const struct filter_class apn_filter_rate = {
    .name = "rate",
    .filter_bytes = sizeof(struct rate),
    .link_bytes = sizeof(struct rate_link),
    .real_time_only = true,
    .open = rate_open,
    .post = rate_post,
    .poll = rate_poll,
};
