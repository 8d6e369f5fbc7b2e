/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.h - one lane: its TCP connection, and the queue pair that grows out of it
 * Owner: ops->connect or the listener / ops->link_close.   Thread: the lane's; wake() and async any.
 * Time: config->clock.   Units: bytes, ns. */
#ifndef APN_BACKEND_RDMA_LINK_H
#define APN_BACKEND_RDMA_LINK_H

#include "backend/rdma/backend.h"
#include "backend/rdma/fetch.h"
#include "backend/rdma/receive.h"
#include "wire/handshake.h"

enum apn_rdma_stage {
    APN_RDMA_CONNECTING, /* address by address */
    APN_RDMA_SHAKING,    /* TCP is up, the handshake is not */
    APN_RDMA_OFFERING,   /* authentic; offers cross */
    APN_RDMA_GREETING,   /* queue pair is up; does the path carry its packets? */
    APN_RDMA_UP,
    APN_RDMA_FAILED, /* error is set, DOWN is due */
    APN_RDMA_OVER,   /* DOWN was delivered */
};

struct apn_rdma_link {
    struct apn_link base;
    struct apn_link *instead; /* the peer has no RDMA: this one carries the lane */
    enum apn_rdma_stage stage;
    bool accepted; /* made by the listener: the engine thinks it is up */
    bool up_due;
    struct apn_error error;
    struct apn_hello hello;
    int fd, wake_fd;
    atomic_bool wake_pending;
    bool woken;
    atomic_int async; /* enum ibv_event_type + 1 that ends this link; 0: none */
    struct apn_rdma_link *sibling; /* of backend.links */
    uint64_t looked_ns; /* at TCP and asynchronous events */

    const struct addrinfo *address; /* being tried */
    uint64_t deadline_ns;           /* of the whole opening */
    uint64_t address_deadline_ns;
    struct apn_handshake hs;
    struct apn_wire_rdma_offer offer_out, offer_in;
    size_t offer_sent, offer_got;
    uint64_t rtt_ns;
    struct apn_rdma_plan plan;
    bool answered;   /* our offer is in offer_out */
    unsigned greets; /* bit per enum apn_frame_type sent */
    unsigned keys_region; /* next region whose rights are to be told: by the source's numbers, at either end */
    uint64_t keys_offset;
    bool keys_due;

    struct apn_rdma_qp qp;
    struct apn_rdma_sender tx;
    struct apn_rdma_receiver rx;
    struct apn_rdma_fetcher reads;
    uint64_t busy_ns; /* average wait for something to arrive, of late */
};

static inline struct apn_rdma_backend *apn_rdma_link_backend(const struct apn_rdma_link *link)
{
    return (struct apn_rdma_backend *)link->base.backend;
}
static inline uint64_t apn_rdma_link_now(const struct apn_rdma_link *link)
{
    return apn_clock_now(apn_rdma_link_backend(link)->config.clock);
}

/** apn_rdma_link_is_urgent() - is it the lane of pages that a guest waits for, while it runs (postcopy)? */
static inline bool apn_rdma_link_is_urgent(const struct apn_rdma_link *link)
{
    return (link->hello.features & APN_FEATURE_POSTCOPY) && link->hello.lane + 1u == link->hello.lanes;
}
/** apn_rdma_link_is_read() - may the peer read this end's memory over this link? Then it is told the rights, by our numbers */
static inline bool apn_rdma_link_is_read(const struct apn_rdma_link *link)
{
    return !link->accepted && apn_rdma_link_is_urgent(link);
}

/** apn_rdma_link_new() - @fd: connected and through the handshake, @rdma says how it goes on; -1: it will connect
 * Return: NULL and @err; @fd then still belongs to the caller. */
struct apn_rdma_link *apn_rdma_link_new(struct apn_rdma_backend *be, const struct apn_hello *hello, int fd, bool rdma,
                                        struct apn_error *err);
int apn_rdma_link_post(struct apn_link *link, const struct apn_msg *msgs, unsigned n);
int apn_rdma_link_poll(struct apn_link *link, struct apn_event *events, unsigned max, int64_t timeout_ns);
void apn_rdma_link_wake(struct apn_link *link);
int apn_rdma_link_fetch(struct apn_link *link, unsigned region, uint64_t offset, uint32_t bytes);
void apn_rdma_link_close(struct apn_link *link);
/** apn_rdma_link_fail() - the link is over; first reason wins; poll() turns it into DOWN */
__attribute__((format(printf, 3, 4))) void apn_rdma_link_fail(struct apn_rdma_link *link, int code, const char *format, ...);

/* connect.c: until the queue pair is up. Return: what the socket is waited for with (POLLIN, POLLOUT), 0 when something
 * moved and the next step is due at once */
short apn_rdma_connect_step(struct apn_rdma_link *link, uint64_t now_ns);
short apn_rdma_offer_step(struct apn_rdma_link *link, uint64_t now_ns);

/* greet.c */
/** apn_rdma_greet_step() - say what is due of HELLO, PAD, KEYS, READY; the link is up when both ends have said all */
void apn_rdma_greet_step(struct apn_rdma_link *link, uint64_t now_ns);
/** apn_rdma_keys_step() - tell rights that are due. Return: false: no room yet. */
bool apn_rdma_keys_step(struct apn_rdma_link *link);
/** apn_rdma_greet_failed() - the queue pair broke or time is up while greeting: which sentence fits */
void apn_rdma_greet_failed(struct apn_rdma_link *link, int code, const char *what);

#endif
