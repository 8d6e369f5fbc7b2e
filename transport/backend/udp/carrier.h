/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* carrier.h - inside of the udp backend: sockets as ports (contract: backend/datagram/port.h)
 *
 * Theory of operation
 *   Each lane has a connected socket; at the accepting end these share the listener's address and port, and the kernel gives each
 *   datagram to the socket that is connected to its sender. Datagrams of one size leave together (UDP_SEGMENT) and
 *   arrive together (UDP_GRO), where kernel and device do that; else one by one, many to a system call.
 *   Small datagrams are received into buffers of ours and copied to their place while they are warm. Large ones (loopback, MTU
 *   64 KiB) are looked at first, and received straight into their place.
 *
 * Owner: the datagram backend.   Thread: as port.h says; counters any.   Units: bytes. */
#ifndef APN_UDP_CARRIER_H
#define APN_UDP_CARRIER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <apnmig/backend.h>

#include "backend/datagram/port.h"

#define APN_UDP_BUFFERS      16u          /* of a receive call; what is not used of them is not touched */
#define APN_UDP_BUFFER_BYTES (64u << 10)
#define APN_UDP_PEEK_FROM    (24u << 10)  /* datagrams may be as large as this: look first */
#define APN_UDP_QUEUE_BYTES  (16u << 20)  /* wished for in front of a socket: a receiver that is late by 50 ms at 2.5 Gb/s */
#define APN_UDP_GSO_BYTES    65000u
#define APN_UDP_GSO_MAX      64u          /* UDP_MAX_SEGMENTS of older kernels */

struct apn_udp_carrier {
    struct apn_carrier base;
    char *host, *port; /* as configured */
    uint64_t queue_bytes;
    bool ecn;          /* send as ECN-capable */
    atomic_bool no_gso; /* a device here cannot */
    _Atomic uint64_t sent, received, send_calls, receive_calls;
    pthread_mutex_t lock; /* guards note; innermost */
    char note[APN_ERROR_TEXT_MAX];
};

struct apn_udp_socket {
    int fd;
    union apn_address local;
};

struct apn_udp_port {
    struct apn_port base;
    struct apn_udp_socket socket[APN_PORT_ADDRESSES_MAX]; /* a flow has one */
    unsigned sockets;
    bool listening;
    bool peeks;
    int wake_fd;
    atomic_bool wake_pending;
    /* receiving: buffers that a receive call filled, and how far they were given out */
    uint8_t (*buffer)[APN_UDP_BUFFER_BYTES];
    struct mmsghdr message[APN_UDP_BUFFERS];
    struct iovec iov[APN_UDP_BUFFERS];
    union apn_address name[APN_UDP_BUFFERS];
    uint8_t control[APN_UDP_BUFFERS][128];
    unsigned filled, given;
    uint32_t given_bytes;  /* of buffer @given */
    unsigned turn;         /* socket whose turn it is */
    bool peeked;           /* a datagram was shown, not yet taken from the socket */
    bool empty;            /* the kernel has just shown that nothing is there: the next receive need not ask */
};

static inline struct apn_udp_carrier *apn_udp_carrier_of(const struct apn_udp_port *port)
{
    return (struct apn_udp_carrier *)port->base.carrier;
}

/** apn_udp_note() - keep the first sentence */
void apn_udp_note(struct apn_udp_carrier *c, const char *text);
static inline socklen_t apn_udp_address_bytes(const union apn_address *a)
{
    return a->family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

/* port.c */
int apn_udp_listen(struct apn_carrier *carrier, struct apn_port **out, uint16_t *port_number, struct apn_error *err);
int apn_udp_flow(struct apn_carrier *carrier, struct apn_port *listener, const struct apn_endpoint *endpoint, struct apn_port **out,
                 struct apn_error *err);
void apn_udp_wait(struct apn_port *port, unsigned what, uint64_t timeout_ns);
void apn_udp_wake(struct apn_port *port);
void apn_udp_close(struct apn_port *port);
/** apn_udp_path_size() - what the kernel believes the path to carry, into base.datagram_max (never more than before) */
void apn_udp_path_size(struct apn_udp_port *port);

/* transfer.c */
int apn_udp_send(struct apn_port *port, const struct apn_endpoint *endpoint, const struct apn_port_datagram *burst, unsigned n);
int apn_udp_receive(struct apn_port *port, struct apn_port_arrival *out, unsigned max);
int apn_udp_read(struct apn_port *port, const struct apn_port_arrival *arrival, const struct iovec *iov, unsigned n);

#endif
