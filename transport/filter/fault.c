/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fault.c - messages lost and links killed or silenced, at a named point or at random (grammar:
 * filter.h)
 *
 * Theory of operation
 *   Links are closed by their own thread only, and only inside poll, because payloads of the poll
 * before live until then. A fault that hits other links raises a strike; each link compares its own
 * count when it next posts or polls, and sleeping ones are woken. A link that a fault on the
 * sending side hits is "dying" for FAULT_GRACE_NS: nothing more is taken from the engine (it is
 * swallowed, as a dying socket would), but what was posted before may still get through. In virtual
 * time there is no grace: what the loop world holds arrives anyway. */
#include <errno.h>
#include <time.h>

#include "filter/base.h"
#include "filter/fault_spec.h"
#include "support/clock.h"
#include "wire/layout.h"

#define FAULT_GRACE_NS (20 * APN_NS_PER_MS)

struct fault {
    struct filter base;
    struct fault_spec spec;
    /* under base.lock */
    uint64_t random;
    uint64_t matched;  /* messages of the type seen; TX, RX */
    uint64_t bytes;    /* seen; LANE, ALL */
    uint64_t first_ns; /* when the first link was opened */
    bool fired;        /* certain faults strike once */
    uint64_t outage_until_ns;
    unsigned strikes; /* against every link in scope */
};

struct fault_link {
    struct filter_link base;
    unsigned strikes; /* those before this link was opened, and those it has felt */
    bool stalled;
    uint64_t dying_ns;   /* when the grace ends; 0 = healthy */
    pthread_cond_t cond; /* a stalled link sleeps here; with base.filter->lock */
    bool woken;
};

static struct fault *fault_of(struct filter_link *link)
{
    return (struct fault *)link->filter;
}

static int fault_open(struct filter *filter, const char *value, struct apn_error *err)
{
    struct fault *fault = (struct fault *)filter;
    int ret = fault_spec_parse(value, &fault->spec, err);

    fault->random = fault->spec.seed;
    return ret;
}

/* Is lane @lane hit by strikes and outages? A message fault with an outage takes the whole path. */
static bool in_scope(const struct fault *fault, unsigned lane)
{
    return fault->spec.where != FAULT_LANE || fault->spec.lane == lane;
}

static int fault_admit(struct filter *filter, const struct apn_hello *hello, struct apn_error *err)
{
    struct fault *fault = (struct fault *)filter;
    bool out;

    pthread_mutex_lock(&filter->lock);
    out = in_scope(fault, hello->lane) && fault->outage_until_ns > filter_now(filter);
    pthread_mutex_unlock(&filter->lock);
    return out ? apn_error_set(err, -EHOSTUNREACH, APN_SCOPE_LANE,
                               "fault: lane %u: the path is cut", hello->lane)
               : 0;
}

static int fault_link_open(struct filter_link *base)
{
    struct fault_link *link = (struct fault_link *)base;
    struct fault *fault = fault_of(base);
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&link->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_lock(&fault->base.lock);
    link->strikes = fault->strikes;
    if (!fault->first_ns) {
        fault->first_ns = filter_now(&fault->base);
    }
    pthread_mutex_unlock(&fault->base.lock);
    return 0;
}

static void fault_link_done(struct filter_link *base)
{
    pthread_cond_destroy(&((struct fault_link *)base)->cond);
}

/* ---- when it strikes ----------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014), as a fraction of 1 */
static double random_fraction(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

/* Lock held. Counts one message; true when the fault strikes at it. */
static bool strikes_at(struct fault *fault, const struct filter_link *link, enum fault_where way,
                       const struct apn_msg *msg)
{
    const struct fault_spec *spec = &fault->spec;
    bool counted = spec->where == FAULT_TX || spec->where == FAULT_RX;
    bool due;

    if (counted ? spec->where != way || (spec->type && spec->type != msg->type)
                : !in_scope(fault, link->hello.lane)) {
        return false;
    }
    fault->matched++;
    fault->bytes += APN_WIRE_HEADER_BYTES + msg->bytes;
    if (counted) {
        due = spec->nth == FAULT_EVERY || fault->matched == spec->nth;
    } else {
        due = fault->bytes >= spec->after_bytes &&
              filter_now(&fault->base) - fault->first_ns >= spec->at_ns;
    }
    if (spec->p > 0) {
        return due && random_fraction(&fault->random) < spec->p;
    }
    due = due && !fault->fired;
    fault->fired |= due;
    return due;
}

/* Lock held. Which of @n messages is hit; @n = none. The caller posts those before it. */
static unsigned first_hit(struct fault *fault, const struct filter_link *link,
                          const struct apn_msg *msgs, unsigned n)
{
    unsigned i = 0;

    while (i < n && !strikes_at(fault, link, FAULT_TX, &msgs[i])) {
        i++;
    }
    return i;
}

/* Lock held. What the wrapped link did not take was not seen. */
static void uncount(struct fault *fault, const struct filter_link *link, const struct apn_msg *msgs,
                    unsigned n)
{
    const struct fault_spec *spec = &fault->spec;

    for (unsigned i = 0; i < n; i++) {
        if (spec->where == FAULT_TX
                ? !spec->type || spec->type == msgs[i].type
                : spec->where != FAULT_RX && in_scope(fault, link->hello.lane)) {
            fault->matched--;
            fault->bytes -= APN_WIRE_HEADER_BYTES + msgs[i].bytes;
        }
    }
}

/* Lock held. Beyond the link where it happened: the outage, and everyone else in scope. */
static void spread(struct fault *fault, struct fault_link *origin)
{
    const struct fault_spec *spec = &fault->spec;

    if (spec->outage_ns) {
        uint64_t now = filter_now(&fault->base);

        fault->outage_until_ns =
            spec->outage_ns == FAULT_FOREVER ? UINT64_MAX : now + spec->outage_ns;
    }
    if (spec->where != FAULT_ALL && !spec->outage_ns) {
        return;
    }
    fault->strikes++;
    origin->strikes = fault->strikes;
    for (struct filter_link *link = fault->base.links; link; link = link->sibling) {
        struct fault_link *other = (struct fault_link *)link;

        if (link->next && link != &origin->base) {
            link->next->backend->ops->wake(link->next);
            other->woken = true;
            pthread_cond_signal(&other->cond);
        }
    }
}

/* ---- what the link feels ------------------------------------------------- */

static void suffer(struct fault_link *link)
{
    if (fault_of(&link->base)->spec.stall) {
        link->stalled = true;
    } else {
        filter_link_kill(&link->base, -ECONNRESET, "cut, as its specification says");
    }
    link->dying_ns = 0;
}

/* A strike from elsewhere dooms the link now, one of its own when the grace has ended. */
static bool is_doomed(struct fault_link *link)
{
    struct fault *fault = fault_of(&link->base);

    pthread_mutex_lock(&fault->base.lock);
    if (link->strikes != fault->strikes && in_scope(fault, link->base.hello.lane)) {
        link->dying_ns = filter_now(&fault->base);
    }
    link->strikes = fault->strikes;
    pthread_mutex_unlock(&fault->base.lock);
    return link->dying_ns;
}

static int fault_post(struct filter_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct fault_link *link = (struct fault_link *)base;
    struct fault *fault = fault_of(base);
    unsigned hit;
    int ret = 0;

    if (!base->next) {
        return base->down.code;
    }
    if (is_doomed(link) || link->stalled) {
        return 0; /* swallowed */
    }
    pthread_mutex_lock(&fault->base.lock);
    hit = first_hit(fault, base, msgs, n);
    if (hit < n) {
        spread(fault, link);
    }
    pthread_mutex_unlock(&fault->base.lock);
    if (hit) {
        ret = filter_post_next(base, msgs, hit);
    }
    if (hit == n) {
        if (ret) {
            pthread_mutex_lock(&fault->base.lock);
            uncount(fault, base, msgs, n);
            pthread_mutex_unlock(&fault->base.lock);
        }
        return ret;
    }
    link->dying_ns =
        filter_now(&fault->base) + (fault->base.base.caps & APN_CAP_VIRTUAL ? 0 : FAULT_GRACE_NS);
    return 0;
}

/* Lock taken here. A stalled link hears nothing: it sleeps out its time, or until it is woken. */
static int stalled_poll(struct fault_link *link, int64_t timeout_ns)
{
    struct filter *filter = link->base.filter;
    struct timespec until;
    uint64_t until_ns;

    if (timeout_ns <= 0 || filter->base.caps & APN_CAP_VIRTUAL) {
        return 0;
    }
    until_ns = apn_clock_now(&apn_clock_monotonic) + (uint64_t)timeout_ns;
    until = (struct timespec){(time_t)(until_ns / APN_NS_PER_S), (long)(until_ns % APN_NS_PER_S)};
    pthread_mutex_lock(&filter->lock);
    while (!link->woken && !pthread_cond_timedwait(&link->cond, &filter->lock, &until)) {
    }
    link->woken = false;
    pthread_mutex_unlock(&filter->lock);
    return 0;
}

/* Cuts the events off before the message that is lost, if one is. Return: how many remain, or the
 * DOWN. */
static int receive(struct fault_link *link, struct apn_event *events, int n)
{
    struct fault *fault = fault_of(&link->base);
    int hit = 0;

    pthread_mutex_lock(&fault->base.lock);
    while (hit < n && !(events[hit].type == APN_EVENT_MSG &&
                        strikes_at(fault, &link->base, FAULT_RX, &events[hit].msg))) {
        hit++;
    }
    if (hit < n) {
        spread(fault, link);
    }
    pthread_mutex_unlock(&fault->base.lock);
    if (hit == n) {
        return n;
    }
    if (hit) { /* their payload lives until the next poll, and so must the link */
        link->dying_ns = filter_now(&fault->base);
        return hit;
    }
    suffer(link);
    return link->base.next ? 0 : filter_poll_next(&link->base, events, 1, 0);
}

static int fault_poll(struct filter_link *base, struct apn_event *events, unsigned max,
                      int64_t timeout_ns)
{
    struct fault_link *link = (struct fault_link *)base;
    int n;

    if (is_doomed(link) && !link->stalled && base->next &&
        filter_now(base->filter) >= link->dying_ns) {
        suffer(link);
    }
    if (link->stalled) {
        return stalled_poll(link, timeout_ns);
    }
    if (link->dying_ns && timeout_ns > 0) {
        int64_t wait_ns = (int64_t)(link->dying_ns - filter_now(base->filter));

        timeout_ns = wait_ns < 0 ? 0 : wait_ns < timeout_ns ? wait_ns : timeout_ns;
    }
    n = filter_poll_next(base, events, max, timeout_ns);
    if (n > 0 && base->next) {
        n = receive(link, events, n);
    }
    return n;
}

static void fault_wake(struct filter_link *base)
{
    struct fault_link *link = (struct fault_link *)base;

    pthread_mutex_lock(&base->filter->lock);
    link->woken = true;
    pthread_cond_signal(&link->cond);
    pthread_mutex_unlock(&base->filter->lock);
}

const struct filter_class apn_filter_fault = {
    .name = "fault",
    .filter_bytes = sizeof(struct fault),
    .link_bytes = sizeof(struct fault_link),
    .open = fault_open,
    .admit = fault_admit,
    .link_open = fault_link_open,
    .link_done = fault_link_done,
    .wake = fault_wake,
    .post = fault_post,
    .poll = fault_poll,
};
