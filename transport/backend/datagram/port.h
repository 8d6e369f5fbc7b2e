/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* port.h - what the datagram lanes ask of whoever carries datagrams: a kernel UDP socket, a DPDK port, a simulated path
 *
 * Theory of operation
 *   A carrier belongs to one backend. It makes ports: a listening one, which hears anybody, and one per lane (a flow),
 *   which exchanges datagrams with one remote end only. The protocol (datagram.h) is above: it numbers, paces, acknowledges and
 *   repeats; a carrier may lose, delay, repeat and reorder datagrams as it likes, but never delivers a damaged one (UDP
 *   checksum on, IPv4 too) and never one of another flow.
 *
 *   Sending. A datagram is a head (always copied or sent before send() returns) and, behind it, at most one payload. A payload in
 *   guest RAM names region and offset beside the address, so that a carrier in another process finds it in shared memory; it
 *   may be read after send() has returned, and guest RAM may change meanwhile. Any other payload is copied before send() returns.
 *   close() is the only barrier: when it returns, nothing reads guest RAM on behalf of the port any more. A payload that is
 *   read later than its message was applied does no harm: the peer drops it as a duplicate.
 *
 *   Receiving. receive() shows datagrams by their first bytes; only the protocol knows where the rest belongs. A carrier
 *   that has the whole datagram in memory shows all of it (head_bytes == total_bytes) and the protocol copies it once, to
 *   its place; a carrier that would have to copy anyway (recvmsg) shows the head and is told by read() where to put the rest.
 *
 *   No datagram is larger than port->datagram_max, head and payload together, IP and UDP headers not counted.
 *
 * Owner: apn_datagram_backend_new() takes the carrier; ports belong to links and to the listener.
 * Thread: per function below; a port is used by one thread, except wake().
 * Time: config->clock of the backend, monotonic ns.   Units: bytes, ns. */
#ifndef APN_DATAGRAM_PORT_H
#define APN_DATAGRAM_PORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <apnmig/error.h>
#include <apnmig/region.h>

#define APN_PORT_HEAD_MAX     2048u  /* head of a datagram that is sent; shown at least of one that arrived */
#define APN_PORT_BURST_MAX    64u    /* datagrams per send() and receive() */
#define APN_PORT_DATAGRAM_MIN 1200u  /* every path must carry this much (RFC 9000 section 14) */
#define APN_PORT_DATAGRAM_MAX 65507u /* largest UDP payload over IPv4 */
#define APN_PORT_NO_REGION    0xffffu
#define APN_PORT_ADDRESSES_MAX 8u

union apn_address {
    sa_family_t family; /* AF_INET or AF_INET6 */
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/** struct apn_endpoint - who is at the other end, and by which of our addresses it knows us
 * @local: port 0 and the unspecified address: carrier's choice */
struct apn_endpoint {
    union apn_address remote;
    union apn_address local;
};

/**
 * struct apn_port_datagram - one to be sent
 * @head:    @head_bytes, 1..APN_PORT_HEAD_MAX; not looked at after send() returned
 * @payload: follows the head on the wire; NULL and 0 bytes: none
 * @region:  as named to region_add, with @offset of the payload in it; or APN_PORT_NO_REGION: other memory, copied before
 *           send() returns
 */
struct apn_port_datagram {
    const void *head;
    const void *payload;
    uint32_t head_bytes;
    uint32_t payload_bytes;
    uint16_t region;
    uint64_t offset;
};

/**
 * struct apn_port_arrival - one that arrived
 * @head:        its first @head_bytes, >= min(@total_bytes, APN_PORT_HEAD_MAX); valid until the next receive() on the port
 * @total_bytes: its length
 * @ecn:         congestion bits of the IP header (RFC 3168): 0, 1, 2 = capable, 3 = congestion experienced; 0 when unknown
 * @cookie:      the carrier's
 * @from:        listening ports only: where an answer goes
 */
struct apn_port_arrival {
    const uint8_t *head;
    uint32_t head_bytes;
    uint32_t total_bytes;
    uint8_t ecn;
    void *cookie;
    struct apn_endpoint from;
};

/** struct apn_carrier_counters - totals of all ports of a carrier */
struct apn_carrier_counters {
    uint64_t sent, received;       /* datagrams */
    uint64_t send_calls;           /* system calls, doorbells */
    uint64_t receive_calls;
    uint64_t overruns;             /* arrived here and dropped for lack of room, as far as the carrier can know */
    uint64_t zerocopy_bytes;       /* payload that left guest RAM without a copy by a CPU */
    uint64_t registered_bytes;
    uint64_t registrations;
    char send_mode[24];            /* "copy", "gso", "dpdk", ... */
    char note[APN_ERROR_TEXT_MAX]; /* one sentence for the administrator; "" = none */
};

struct apn_carrier;

/** struct apn_port - base, embedded first in every port
 * @carrier:      who made it
 * @datagram_max: largest datagram that can be sent now, head and payload. The carrier lowers it when the path turns out to be
 *                narrower (then send() says -EMSGSIZE once); it never grows while the port is open. Constant on a
 *                simulated path. */
struct apn_port {
    struct apn_carrier *carrier;
    uint32_t datagram_max;
};

enum apn_port_wait {
    APN_PORT_WAIT_RECEIVE = 1u << 0, /* something may have arrived */
    APN_PORT_WAIT_SEND = 1u << 1,    /* send() took less than it was given: it may take more now */
};

/**
 * struct apn_carrier_ops - contract of a carrier
 *
 * @resolve:    remote addresses of the configured host and port, best first; may block on a name. Return: count
 *              1..@max, or -errno and @err.
 * @listen:     bind the configured address (all that work, when it is a name or any), *@port_number is the bound UDP port (the configured
 *              one; the carrier picks when that is "0"). Return: 0, -errno and @err. The listening port hears what no flow claims.
 * @flow:       a port to @endpoint alone. @listener NULL: connecting side. Else @endpoint is the arrival's @from, the flow has
 *              the listener's own local address and port, and from the moment that this returns its datagrams no longer show
 *              up at the listener. (What slipped in before may show up there or get lost.)
 *              Called by the lane's thread (connecting) or by the listener's. Return: 0; -errno and @err.
 * @region_add: guest RAM that payloads and destinations will name, before it is used first. May be NULL (nothing to do).
 *              Return: 0; -errno and @err only when the region cannot be served at all.
 * @counters:   any thread.
 * @free:       all ports are closed.
 *
 * Of a port, by the thread that owns it:
 * @send:       the first so many of @n datagrams that there is room for, in order. Never waits. Return: 0..@n; -EMSGSIZE:
 *              the first one is too large by now (datagram_max says what fits); -ECONNREFUSED: the peer's host says nobody is
 *              there; other -errno: the port is broken. @endpoint: listening ports only, where to (as in an arrival), else NULL.
 * @receive:    what has arrived, up to @max. Never waits. What is not wanted needs no further call. Return: 0..@max,
 *              -ECONNREFUSED as above, other -errno: the port is broken (-ENOLINK: the note of @counters says why).
 * @read:       @arrival's bytes behind its head, into @iov, which has exactly total_bytes - head_bytes of room; before the
 *              next receive(), at most once per arrival. Only called when head_bytes < total_bytes. Return: 0; -errno: it is
 *              lost, and some of @iov may have been written.
 * @wait:       until one of @what (enum apn_port_wait) may be so, wake() was called since the last wait, or @timeout_ns
 *              have passed. May return early. NULL in a carrier that runs in virtual time.
 * @wake:       any thread: make a wait return. Never blocks.
 * @close:      ends the port and frees it. When it returns nothing reads guest RAM, and nothing arrives any more. Datagrams
 *              that were taken by send() and have no guest RAM in them are on their way all the same.
 */
struct apn_carrier_ops {
    const char *name;
    int (*resolve)(struct apn_carrier *carrier, union apn_address *out, unsigned max, struct apn_error *err);
    int (*listen)(struct apn_carrier *carrier, struct apn_port **out, uint16_t *port_number, struct apn_error *err);
    int (*flow)(struct apn_carrier *carrier, struct apn_port *listener, const struct apn_endpoint *endpoint, struct apn_port **out,
                struct apn_error *err);
    int (*region_add)(struct apn_carrier *carrier, unsigned region, const struct apn_region *r, struct apn_error *err);
    void (*counters)(struct apn_carrier *carrier, struct apn_carrier_counters *out);
    void (*free)(struct apn_carrier *carrier);

    int (*send)(struct apn_port *port, const struct apn_endpoint *endpoint, const struct apn_port_datagram *burst, unsigned n);
    int (*receive)(struct apn_port *port, struct apn_port_arrival *out, unsigned max);
    int (*read)(struct apn_port *port, const struct apn_port_arrival *arrival, const struct iovec *iov, unsigned n);
    void (*wait)(struct apn_port *port, unsigned what, uint64_t timeout_ns);
    void (*wake)(struct apn_port *port);
    void (*close)(struct apn_port *port);
};

/** struct apn_carrier - base, embedded first in every carrier */
struct apn_carrier {
    const struct apn_carrier_ops *ops;
};

#endif
