/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.h - one lane over datagrams, and the backend it belongs to
 * Owner: ops->connect or the listener / ops->link_close.   Thread: the lane's, wake() any.
 * Time: config->clock.   Units: bytes, ns. */
#ifndef APN_DATAGRAM_LINK_H
#define APN_DATAGRAM_LINK_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/datagram/datagram.h"
#include "backend/datagram/receive.h"
#include "backend/datagram/send.h"
#include "wire/handshake.h"

#define APN_DG_POST_MAX     256u
#define APN_DG_ANSWER_MAX   (APN_DG_HEADER_BYTES + sizeof(struct apn_wire_dg_challenge) + APN_WIRE_HS_MAX) /* the longest: REJECT to an OPEN */
static_assert(sizeof(struct apn_wire_dg_challenge) >= sizeof(struct apn_wire_dg_welcome), "longest answer");

struct apn_dg_listener;

struct apn_dg_backend {
    struct apn_backend base;
    struct apn_backend_ops ops;          /* of all such backends, under this one's name */
    const char *name;                    /* constant */
    struct apn_carrier *carrier;
    struct apn_datagram_options options; /* constant, like config; strings and secret are ours */
    struct apn_backend_config config;
    uint32_t staging_bytes;              /* per link and direction */
    struct apn_dg_listener *listener;
    _Atomic uint64_t lost, repeated, duplicates, payload_bytes; /* datagrams, but the last: guest RAM sent */
};

enum apn_dg_stage {
    APN_DG_OPENING, /* OPEN is out, CHALLENGE awaited */
    APN_DG_PROVING, /* PROVE is out, WELCOME awaited */
    APN_DG_UP,
    APN_DG_FAILED, /* error is set, DOWN is due behind what can still be delivered */
    APN_DG_OVER,   /* DOWN was delivered */
};

/** struct apn_dg_shake - the connecting side's handshake */
struct apn_dg_shake {
    union apn_address address[APN_PORT_ADDRESSES_MAX];
    unsigned addresses, next; /* next to be tried */
    uint64_t deadline_ns, address_deadline_ns;
    uint64_t again_ns;        /* when the last datagram is repeated */
    uint64_t sent_ns;
    unsigned tries;           /* of this datagram */
    struct apn_handshake hs;
    uint8_t hello[sizeof(struct apn_wire_hello)], proof[sizeof(struct apn_wire_proof)];
    uint8_t cookie[APN_DG_COOKIE_BYTES];
    uint32_t stamp;
};

struct apn_dg_link {
    struct apn_link base;
    enum apn_dg_stage stage;
    pthread_mutex_t port_lock; /* guards port against wake(); only the link's thread changes it */
    struct apn_port *port;
    struct apn_hello hello;
    struct apn_welcome welcome;
    struct apn_error error;
    bool up_due;
    bool has_peer_data;    /* accepted side: the peer has heard WELCOME */
    atomic_bool woken;
    uint64_t id_in, id_out; /* what datagrams to us carry; what those to the peer carry */
    struct apn_dg_shake *shake; /* connecting side, until up */
    uint8_t *welcome_bytes; /* accepted side: to be said again */
    uint32_t welcome_length;
    struct apn_dg_rate rate;
    struct apn_dg_sender tx;
    struct apn_dg_receiver rx;
    bool ready;             /* rate, tx and rx are there */
    uint8_t (*head)[APN_PORT_HEAD_MAX]; /* APN_PORT_BURST_MAX */
    struct apn_port_datagram burst[APN_PORT_BURST_MAX]; /* built; those from burst_next on are not sent yet */
    unsigned burst_next, burst_count;
    bool port_full;
    bool paced; /* what is sent next waited for its time only */
    struct apn_dg_item item; /* scratch */
    unsigned got;            /* datagrams since the last wait, */
    uint64_t waited_ns;      /* which began then */
    uint64_t payload_bytes;
    uint64_t told_lost, told_repeated, told_duplicates, told_payload; /* of these, what the backend's counters know */
};

static inline struct apn_dg_backend *apn_dg_link_backend(const struct apn_dg_link *link)
{
    return (struct apn_dg_backend *)link->base.backend;
}
static inline uint64_t apn_dg_now(const struct apn_dg_backend *be)
{
    return apn_clock_now(be->config.clock);
}

/** apn_dg_link_new() - a link that will open (@port NULL), or one that is accepted and needs apn_dg_link_ready(). @port then is
 * the link's, unless this fails. Return: NULL when out of memory (@err). */
struct apn_dg_link *apn_dg_link_new(struct apn_dg_backend *be, const struct apn_hello *hello, struct apn_port *port, struct apn_error *err);
/** apn_dg_link_ready() - handshake is over: ids, sizes and round trip (0 unknown) are settled. Return: 0, -ENOMEM. */
int apn_dg_link_ready(struct apn_dg_link *link, uint64_t id_in, uint64_t id_out, uint32_t datagram_max, uint32_t staging_bytes,
                      uint64_t rtt_ns);

int apn_dg_link_post(struct apn_link *link, const struct apn_msg *msgs, unsigned n);
int apn_dg_link_poll(struct apn_link *link, struct apn_event *events, unsigned max, int64_t timeout_ns);
void apn_dg_link_wake(struct apn_link *link);
void apn_dg_link_close(struct apn_link *link);

/** apn_dg_link_fail() - the link is over; first reason wins. The text gets "NAME: lane N: " in front. */
__attribute__((format(printf, 3, 4))) void apn_dg_link_fail(struct apn_dg_link *link, int code, const char *format, ...);
/** apn_dg_link_set_port() - NULL: close the one that is there */
void apn_dg_link_set_port(struct apn_dg_link *link, struct apn_port *port);
/** apn_dg_address_text() - "127.0.0.1 port 4444" */
void apn_dg_address_text(const union apn_address *address, char *text, size_t room);
/** apn_dg_feed() - a handshake message in one piece; what the machine does not want is ignored */
void apn_dg_feed(struct apn_handshake *hs, const void *bytes, size_t length);
/** apn_dg_random() - Return: 0, -EIO */
int apn_dg_random(void *bytes, size_t length);

/* connect.c: the connecting side, while stage < UP */
/** apn_dg_shake_step() - sends what is due, gives up what takes too long; sets stage */
void apn_dg_shake_step(struct apn_dg_link *link, uint64_t now_ns);
void apn_dg_shake_arrived(struct apn_dg_link *link, const struct apn_port_arrival *a, uint64_t now_ns);
/** apn_dg_shake_refused() - the peer's host says that nobody is there */
void apn_dg_shake_refused(struct apn_dg_link *link, int code, uint64_t now_ns);
uint64_t apn_dg_shake_at(const struct apn_dg_link *link);

/* listener.c */
int apn_dg_listener_start(struct apn_dg_listener **out, struct apn_dg_backend *be, const struct apn_acceptor *acceptor, uint16_t *port,
                          struct apn_error *err);
void apn_dg_listener_stop(struct apn_dg_listener *listener);

#endif
