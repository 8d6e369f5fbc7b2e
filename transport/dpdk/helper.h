/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* helper.h - inside of apn-dpdk: what its threads share
 *
 * Theory of operation
 *   One control thread (main) serves the unix socket; one worker per queue moves datagrams. A channel belongs to one
 *   worker, which alone sends for it and delivers to it; a datagram that arrives at another's queue is handed over. Workers hold
 *   @lock for reading while they touch channels, a few microseconds at a time; control takes it for writing to add and to
 *   remove them, so a removed channel is in nobody's hands.
 *
 *   Lock order: lock, then host_lock. Nobody sleeps while holding either.
 *
 * Owner: main.   Thread: as said.   Time: CLOCK_MONOTONIC, ns.   Units: bytes. */
#ifndef APN_DPDK_HELPER_H
#define APN_DPDK_HELPER_H

#include <pthread.h>
#include <stdatomic.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dpdk/guest.h"
#include "dpdk/host/host.h"
#include "dpdk/nic.h"
#include "dpdk/shared/control.h"
#include "dpdk/steer.h"

#define APN_CHANNELS_MAX 256u
#define APN_CHANNELS_PER_CLIENT 128u
#define APN_BURST        32u
#define APN_INBOX_SLOTS  256u
#define APN_ROUTE_NS     1000000000ull /* a route is asked for again after this */

struct apn_client;
struct apn_worker;

/** struct apn_channel - one port of a client
 * Control writes everything under the write lock; the worker owns rings, route and counters. */
struct apn_channel {
    bool open;
    bool leaked;                 /* an adapter did not give back what it reads: never used again */
    uint16_t number;
    struct apn_client *client;
    struct apn_worker *worker;
    struct apn_steer_key key;
    struct apn_rings rings;
    int bell;
    uint32_t datagram_max;
    struct rte_flow *rule;       /* in the adapter */
    struct rte_mbuf_ext_shared_info views; /* counts frames that are made of guest RAM */
    uint32_t came;               /* enum apn_ring_wish bits that came true in this round */
    bool broken;                 /* no longer served, its client will be gone soon */
    uint8_t tos;
    struct apn_path path;        /* flows: towards the remote end */
    bool path_known;
    uint32_t path_changes;
    uint64_t path_until_ns;
    _Atomic uint32_t told_refused; /* any worker: the peer's host says that nobody is there */
    _Atomic uint32_t told_mtu;     /* any worker: the path carries IP packets of this size; 0: nothing was said */
    _Atomic uint64_t sent, sent_bytes, received, received_bytes, unreachable;
};

/** struct apn_worker_counters - one writer, any reader */
struct apn_worker_counters {
    _Atomic uint64_t received, sent, send_failed, copied_bytes, zerocopy_bytes, handed_over, sleeps, no_buffer;
    _Atomic uint64_t drops[APN_DROPS];
};

struct apn_worker {
    struct apn_helper *helper;
    unsigned queue;
    pthread_t thread;
    bool started;
    int poll_fd, wake_fd;
    struct rte_ring *inbox;       /* datagrams that came to others' queues */
    _Atomic bool asleep;
    struct rte_mbuf *out[APN_BURST * 2]; /* to be sent */
    unsigned n_out;
    uint64_t stuck_ns;            /* since when the port has taken nothing; 0: it does */
    uint64_t now_ns;
    struct apn_worker_counters counters;
};

struct apn_client {
    int fd; /* -1: free; -2: never again, an adapter still reads its memory */
    struct apn_helper *helper;
    pid_t pid;
    uid_t uid;
    bool greeted;
    bool stuck; /* an adapter does not give back frames made of its memory */
    unsigned channels;
    struct apn_guest_region regions[APN_GUEST_REGIONS];
};

struct apn_helper {
    struct apn_options options;
    struct apn_nic nic;
    struct apn_host host;
    pthread_mutex_t host_lock;
    struct apn_worker *host_worker; /* whose call into the host it is; under host_lock */
    pthread_rwlock_t lock;
    struct apn_steer steer;
    struct apn_channel channels[APN_CHANNELS_MAX];
    unsigned channels_end; /* behind the last one in use */
    struct apn_worker workers[APN_WORKERS_MAX];
    struct apn_client clients[APN_GUEST_CLIENTS];
    int listen_fd, poll_fd, stop_fd;
    bool bound;
    uint16_t next_port;
    unsigned rules;        /* flows that the adapter sorts */
    _Atomic bool stopping;
};

static inline void apn_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

uint64_t apn_helper_now(void);
uint32_t apn_helper_datagram_max(const struct apn_helper *h, unsigned family);

/* ---- worker.c ---- */

/** apn_workers_start() - a thread per queue. Return: 0 or -errno and a sentence on stderr. */
int apn_workers_start(struct apn_helper *h);
void apn_workers_stop(struct apn_helper *h);
void apn_worker_wake(struct apn_worker *w);
/** apn_worker_flush() - hand w->out to the port */
void apn_worker_flush(struct apn_worker *w);
/** apn_worker_queue() - one more frame to be sent; ownership passes */
void apn_worker_queue(struct apn_worker *w, struct rte_mbuf *m);
extern const struct apn_host_ops apn_worker_host_ops; /* opaque: struct apn_helper */

/* ---- receive.c ---- */

/** apn_receive() - frames from the port and from the inbox, once. Return: how many. */
unsigned apn_receive(struct apn_worker *w);
/** apn_deliver_word() - tell a channel's client something that is no datagram */
void apn_deliver_word(struct apn_channel *c, enum apn_arrival_kind kind, uint32_t bytes);

/* ---- transmit.c ---- */

/** apn_transmit() - take what a channel wants to send, one burst. Return: entries taken. */
unsigned apn_transmit(struct apn_worker *w, struct apn_channel *c);

/* ---- channel.c ---- */

/** apn_channel_open() - @request: local, remote. Fills @answer and @fds (memfd, the client's end of the bell; the caller closes
 * both). Return: 0; -EADDRINUSE, -EADDRNOTAVAIL, -ENOSPC, -ENOMEM, -EINVAL with words in @answer. */
int apn_channel_open(struct apn_client *client, const struct apn_helper_msg *request, struct apn_helper_msg *answer, int fds[2]);
/** apn_channel_break() - its client does what no client does: serve it no more, and let control hang up. Worker. */
void apn_channel_break(struct apn_channel *c);
/** apn_channel_close() - returns when no frame of guest RAM is left of it, or false after a second
 * @send: what is in its ring goes out before */
bool apn_channel_close(struct apn_helper *h, struct apn_channel *c, bool send);

/* ---- control.c ---- */

/** apn_control_open() - the socket. Return: 0 or -errno and a sentence on stderr. */
int apn_control_open(struct apn_helper *h);
/** apn_control_run() - until stop_fd is readable */
void apn_control_run(struct apn_helper *h);
void apn_control_close(struct apn_helper *h);

/* ---- stats.c ---- */

/** apn_stats_line() - line @n of the figures. Return: false when there is none. */
bool apn_stats_line(struct apn_helper *h, unsigned n, char text[APN_HELPER_TEXT]);
/** apn_stats_show() - print those of the helper at @path. Return: exit code. */
int apn_stats_show(const char *path);

#endif
