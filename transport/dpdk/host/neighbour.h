/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* neighbour.h - which Ethernet address an on-link IP address has: one table for ARP and neighbour discovery
 *
 * Theory of operation
 *   Reachability as in RFC 4861 7.3, with its delay state left out: an entry is INCOMPLETE while it is asked for, REACHABLE for
 *   a while after it was confirmed, STALE afterwards. The first use of a STALE entry starts PROBE: it is still used while it
 *   is asked again, by unicast; without an answer it is forgotten. What waits for an answer is kept here, a few per
 *   neighbour, and goes out or is given back as undeliverable. A stranger cannot fill the table: entries are made by our own
 *   sending and by who asks for us, and the longest unused STALE one gives way.
 *
 * Owner: embedded in struct apn_host.   Thread: under the host's lock.   Time: now_ns from the caller.   Units: ns. */
#ifndef APN_DPDK_HOST_NEIGHBOUR_H
#define APN_DPDK_HOST_NEIGHBOUR_H

#include <stdatomic.h>

#include "dpdk/host/packet.h"

#define APN_NEIGHBOURS        256u
#define APN_NEIGHBOUR_WAITERS 16u  /* kept per neighbour while it is asked for; more push out the oldest */
#define APN_NEIGHBOUR_ASKS    3u
#define APN_NEIGHBOUR_ASK_NS  1000000000ull
#define APN_NEIGHBOUR_FRESH_NS 30000000000ull

enum apn_neighbour_state { APN_NEIGHBOUR_FREE, APN_NEIGHBOUR_INCOMPLETE, APN_NEIGHBOUR_REACHABLE, APN_NEIGHBOUR_STALE, APN_NEIGHBOUR_PROBE };

struct apn_neighbour {
    struct apn_ip ip;
    uint8_t mac[6];
    enum apn_neighbour_state state;
    unsigned asked;
    uint64_t since_ns, used_ns;
    void *waiters[APN_NEIGHBOUR_WAITERS];
    unsigned waiting;
};

/**
 * struct apn_neighbour_ops - called under the host's lock
 * @ask:     send a solicitation for @n; to its address in PROBE, else to all
 * @deliver: @waiter may go to @mac now; ownership passes
 * @give_up: @waiter cannot be delivered; ownership passes
 */
struct apn_neighbour_ops {
    void (*ask)(void *opaque, const struct apn_neighbour *n);
    void (*deliver)(void *opaque, void *waiter, const uint8_t mac[6]);
    void (*give_up)(void *opaque, void *waiter);
};

struct apn_neighbours {
    struct apn_neighbour entries[APN_NEIGHBOURS];
    const struct apn_neighbour_ops *ops;
    void *opaque;
    _Atomic uint32_t changes; /* +1 whenever an address that somebody may have copied is no longer right */
};

void apn_neighbours_init(struct apn_neighbours *t, const struct apn_neighbour_ops *ops, void *opaque);
/** apn_neighbours_done() - gives up everything that waits */
void apn_neighbours_done(struct apn_neighbours *t);

/** apn_neighbours_find() - for sending. @waiter: kept until there is an answer when the return is -EAGAIN; may be NULL
 * Return: 0 and @mac; -EAGAIN (asked for); -ENOBUFS (every entry is being asked for; @waiter stays the caller's). */
int apn_neighbours_find(struct apn_neighbours *t, const struct apn_ip *ip, void *waiter, uint64_t now_ns, uint8_t mac[6]);

/** enum apn_neighbour_news - how sure a message from the wire is */
enum apn_neighbour_news {
    APN_NEWS_ANSWER,   /* solicited: confirms */
    APN_NEWS_ASKED_US, /* makes an entry: an answer goes there at once */
    APN_NEWS_CLAIM,    /* unsolicited: only changes what is there */
};
void apn_neighbours_heard(struct apn_neighbours *t, const struct apn_ip *ip, const uint8_t mac[6], enum apn_neighbour_news news,
                          uint64_t now_ns);

/** apn_neighbours_tick() - ask again, give up, grow stale. Return: when it wants to be called next, UINT64_MAX = no hurry. */
uint64_t apn_neighbours_tick(struct apn_neighbours *t, uint64_t now_ns);

#endif
