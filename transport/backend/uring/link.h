/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.h - one lane's TCP connection and its ring
 * Owner: ops->connect or the listener / ops->link_close.   Thread: the lane's, wake() any.
 * Time: config->clock.   Units: bytes, ns. */
#ifndef APN_BACKEND_URING_LINK_H
#define APN_BACKEND_URING_LINK_H

#include <liburing.h>
#include <stdatomic.h>

#include "backend/congestion.h"
#include "backend/uring/backend.h"
#include "backend/uring/probe.h"
#include "backend/uring/receive.h"
#include "backend/uring/send.h"
#include "wire/handshake.h"

#define APN_URING_RING_ENTRIES 8u   /* one per tag is prepared at a time */
#define APN_URING_COMPLETIONS  128u /* notifications are at most APN_URING_BATCHES */
#define APN_URING_RING_KIB                                                                         \
    16u /* at most, of locked memory where the kernel charges for rings (Linux 6.14) */

enum apn_uring_stage {
    APN_URING_CONNECTING, /* address by address */
    APN_URING_SHAKING,    /* TCP is up, handshake is not */
    APN_URING_UP,
    APN_URING_FAILED, /* error is set, DOWN is due */
    APN_URING_OVER,   /* DOWN was delivered */
};

/* what a completion belongs to; a batch index rides in the bits above */
enum apn_uring_tag {
    APN_URING_TAG_WAKE = 1,
    APN_URING_TAG_READY,
    APN_URING_TAG_RECEIVE,
    APN_URING_TAG_SEND
};
#define APN_URING_TAG_BITS 8

struct apn_uring_link {
    struct apn_link base;
    enum apn_uring_stage stage;
    int fd;
    int wake_fd;
    atomic_bool wake_pending; /* any thread: a wake is on its way */
    bool woken;
    struct apn_error error;
    struct apn_hello hello;

    struct io_uring ring; /* made by the first poll */
    bool has_ring;
    bool wake_armed, ready_armed, receiving;
    bool ready;             /* the socket can go on connecting or shaking */
    unsigned sockets;       /* opened so far; a watch of an earlier one means nothing */
    bool damaged;           /* what arrived makes no sense: parse no further */
    bool zerocopying;       /* the send in the kernel is a zero-copy one */
    unsigned notifications; /* zero-copy sends the kernel still reads */

    const struct addrinfo *address; /* being tried */
    uint64_t deadline_ns;           /* of the whole attempt */
    uint64_t address_deadline_ns;
    struct apn_handshake hs;
    bool up_due;

    struct apn_uring_receiver rx;
    struct iovec receive_iov[2];
    struct msghdr receive_message;
    int low_water; /* SO_RCVLOWAT as it is */
    struct apn_uring_sender tx;
    struct apn_uring_probe probe;
    struct apn_tcp_congestion congestion;
};

static inline struct apn_uring_backend *apn_uring_link_backend(const struct apn_uring_link *link)
{
    return (struct apn_uring_backend *)link->base.backend;
}

/** apn_uring_link_new() - @fd: connected and through the handshake (the link is up), or -1 (it will
 * connect). Return: NULL when out of memory or of descriptors (@err); @fd then still belongs to the
 * caller. */
struct apn_uring_link *apn_uring_link_new(struct apn_uring_backend *be,
                                          const struct apn_hello *hello, int fd,
                                          struct apn_error *err);

int apn_uring_link_post(struct apn_link *link, const struct apn_msg *msgs, unsigned n);
int apn_uring_link_poll(struct apn_link *link, struct apn_event *events, unsigned max,
                        int64_t timeout_ns);
void apn_uring_link_wake(struct apn_link *link);
void apn_uring_link_close(struct apn_link *link);

/** apn_uring_link_fail() - the link is over; first reason wins; poll() turns it into DOWN. The text
 * gets "uring: lane N: " in front. */
__attribute__((format(printf, 3, 4))) void apn_uring_link_fail(struct apn_uring_link *link,
                                                               int code, const char *format, ...);
/** apn_uring_link_stop_sending() - keep the reason, take what has arrived already; the end of that
 * makes the link fail */
void apn_uring_link_stop_sending(struct apn_uring_link *link, int code);

/* ring.c: the ring of a link */
int apn_uring_ring_open(struct apn_uring_link *link);
/** apn_uring_ring_enter() - submit what is prepared, wait until @deadline_ns for a completion (0:
 * do not wait), take all completions */
void apn_uring_ring_enter(struct apn_uring_link *link, uint64_t deadline_ns);
/** apn_uring_ring_watch() - tell through link->ready when the socket can be read (POLLIN) or
 * written (POLLOUT) */
void apn_uring_ring_watch(struct apn_uring_link *link, unsigned events);
/** apn_uring_ring_feed() - prepare the next receive and the next send, when none is in the kernel
 */
void apn_uring_ring_feed(struct apn_uring_link *link);
/** apn_uring_ring_close() - after the socket was shut down: wait until the kernel holds nothing of
 * ours, then free */
void apn_uring_ring_close(struct apn_uring_link *link);

/* connect.c */
/** apn_uring_connect_step() - one step of connecting and shaking; sets stage, prepares what to wait
 * for */
void apn_uring_connect_step(struct apn_uring_link *link, uint64_t now_ns);

#endif
