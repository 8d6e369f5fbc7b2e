/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* neighbour.c - see neighbour.h */
#include "dpdk/host/neighbour.h"

#include <errno.h>
#include <string.h>

void apn_neighbours_init(struct apn_neighbours *t, const struct apn_neighbour_ops *ops, void *opaque)
{
    memset(t, 0, sizeof(*t));
    t->ops = ops;
    t->opaque = opaque;
}

static void forget(struct apn_neighbours *t, struct apn_neighbour *n)
{
    for (unsigned i = 0; i < n->waiting; i++) {
        t->ops->give_up(t->opaque, n->waiters[i]);
    }
    if (n->state > APN_NEIGHBOUR_INCOMPLETE) {
        t->changes++;
    }
    memset(n, 0, sizeof(*n));
}

void apn_neighbours_done(struct apn_neighbours *t)
{
    for (unsigned i = 0; i < APN_NEIGHBOURS; i++) {
        forget(t, &t->entries[i]);
    }
}

static struct apn_neighbour *look_up(struct apn_neighbours *t, const struct apn_ip *ip)
{
    for (unsigned i = 0; i < APN_NEIGHBOURS; i++) {
        if (t->entries[i].state && apn_ip_equal(&t->entries[i].ip, ip)) {
            return &t->entries[i];
        }
    }
    return NULL;
}

/* a free entry, or the longest unused one that is not being asked for */
static struct apn_neighbour *make(struct apn_neighbours *t, const struct apn_ip *ip, uint64_t now_ns)
{
    struct apn_neighbour *oldest = NULL;

    for (unsigned i = 0; i < APN_NEIGHBOURS; i++) {
        struct apn_neighbour *n = &t->entries[i];

        if (!n->state) {
            oldest = n;
            break;
        }
        if (n->state != APN_NEIGHBOUR_INCOMPLETE && (!oldest || n->used_ns < oldest->used_ns)) {
            oldest = n;
        }
    }
    if (oldest) {
        forget(t, oldest);
        oldest->ip = *ip;
        oldest->used_ns = now_ns;
    }
    return oldest;
}

static void enter(struct apn_neighbour *n, enum apn_neighbour_state state, uint64_t now_ns)
{
    n->state = state;
    n->since_ns = now_ns;
    n->asked = 0;
}

static void ask(struct apn_neighbours *t, struct apn_neighbour *n, uint64_t now_ns)
{
    n->asked++;
    n->since_ns = now_ns;
    t->ops->ask(t->opaque, n);
}

static void keep(struct apn_neighbours *t, struct apn_neighbour *n, void *waiter)
{
    if (n->waiting == APN_NEIGHBOUR_WAITERS) {
        t->ops->give_up(t->opaque, n->waiters[0]);
        n->waiting--;
        memmove(n->waiters, n->waiters + 1, n->waiting * sizeof(n->waiters[0]));
    }
    n->waiters[n->waiting++] = waiter;
}

int apn_neighbours_find(struct apn_neighbours *t, const struct apn_ip *ip, void *waiter, uint64_t now_ns, uint8_t mac[6])
{
    struct apn_neighbour *n = look_up(t, ip);

    if (!n) {
        n = make(t, ip, now_ns);
        if (!n) {
            return -ENOBUFS;
        }
        enter(n, APN_NEIGHBOUR_INCOMPLETE, now_ns);
        ask(t, n, now_ns);
    }
    n->used_ns = now_ns;
    if (n->state == APN_NEIGHBOUR_INCOMPLETE) {
        if (waiter) {
            keep(t, n, waiter);
        }
        return -EAGAIN;
    }
    if (n->state == APN_NEIGHBOUR_REACHABLE && now_ns - n->since_ns >= APN_NEIGHBOUR_FRESH_NS) {
        enter(n, APN_NEIGHBOUR_STALE, now_ns);
    }
    if (n->state == APN_NEIGHBOUR_STALE) {
        enter(n, APN_NEIGHBOUR_PROBE, now_ns);
        ask(t, n, now_ns);
    }
    memcpy(mac, n->mac, 6);
    return 0;
}

void apn_neighbours_heard(struct apn_neighbours *t, const struct apn_ip *ip, const uint8_t mac[6], enum apn_neighbour_news news,
                          uint64_t now_ns)
{
    struct apn_neighbour *n = look_up(t, ip);
    void *waiters[APN_NEIGHBOUR_WAITERS];
    unsigned waiting;
    bool same;

    if (!n && news == APN_NEWS_ASKED_US) {
        n = make(t, ip, now_ns);
        if (n) {
            memcpy(n->mac, mac, 6);
            enter(n, APN_NEIGHBOUR_STALE, now_ns);
        }
    }
    if (!n) {
        return;
    }
    same = n->state != APN_NEIGHBOUR_INCOMPLETE && !memcmp(n->mac, mac, 6);
    if (!same && n->state != APN_NEIGHBOUR_INCOMPLETE) {
        t->changes++;
    }
    memcpy(n->mac, mac, 6);
    if (news == APN_NEWS_ANSWER) {
        enter(n, APN_NEIGHBOUR_REACHABLE, now_ns);
    } else if (!same) {
        enter(n, APN_NEIGHBOUR_STALE, now_ns);
    }
    waiting = n->waiting;
    memcpy(waiters, n->waiters, sizeof(waiters));
    n->waiting = 0;
    for (unsigned i = 0; i < waiting; i++) {
        t->ops->deliver(t->opaque, waiters[i], mac);
    }
}

uint64_t apn_neighbours_tick(struct apn_neighbours *t, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < APN_NEIGHBOURS; i++) {
        struct apn_neighbour *n = &t->entries[i];

        if (n->state != APN_NEIGHBOUR_INCOMPLETE && n->state != APN_NEIGHBOUR_PROBE) {
            continue;
        }
        if (now_ns - n->since_ns >= APN_NEIGHBOUR_ASK_NS) {
            if (n->asked >= APN_NEIGHBOUR_ASKS) {
                forget(t, n);
                continue;
            }
            ask(t, n, now_ns);
        }
        if (n->since_ns + APN_NEIGHBOUR_ASK_NS < next) {
            next = n->since_ns + APN_NEIGHBOUR_ASK_NS;
        }
    }
    return next;
}
