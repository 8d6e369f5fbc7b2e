/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loop.h - the reference backend: both ends in one process, joined by a small model of a path
 *
 * Theory of operation
 *   A world is a path. Every link made in it shares the path's two directions (one wavelength): a
 * message leaves when the wire has finished those before it, and arrives one delay later. Links are
 * reliable, like TCP: what a queue cannot hold is counted and comes later, never lost. A cut
 * freezes the path: what had not arrived arrives after the path is restored and the senders have
 * noticed (@recover_ns), unless the link is closed or reset meanwhile. In real time a listener has
 * a thread and poll waits. In virtual time there are no threads: the driver moves the clock with
 * apn_loop_world_advance(), which also runs listeners, and polls. Payload with an address is copied
 * when it is posted, as a socket would, and lands inside the receiver's poll, so a closed link
 * cannot touch memory. Payload without an address (simulation) has a size and no contents. Messages
 * are allocated one by one: this stands in for the kernel, which does the same.
 *
 * Owner: the world outlives its backends.   Thread: any; one mutex per world.
 * Time: monotonic, or the driver's.   Units: bytes (wire: header and payload), ns. */
#ifndef APN_BACKEND_LOOP_LOOP_H
#define APN_BACKEND_LOOP_LOOP_H

#include <apnmig/backend.h>

#define APN_LOOP_LINK_BYTES_REAL (16ull << 20) /* default of link_bytes in real time */
#define APN_LOOP_LINK_BYTES_VIRTUAL                                                                \
    (1ull << 30) /* and in virtual time: 600 km at 400 Gb/s hold 300 MB */
#define APN_LOOP_POST_MAX    64u
#define APN_LOOP_PENDING_MAX 64u /* connections per listener that have not proved themselves */

/** struct apn_loop_direction - one direction of the path; 0 = without that limit */
struct apn_loop_direction {
    uint64_t delay_ns;
    uint64_t rate_bytes_per_s;
    uint64_t queue_bytes; /* waiting for the wire; beyond it a message is late by @overflow_ns, and
                             counted */
    uint64_t overflow_ns;
};

/** struct apn_loop_config - a path
 * @to_listener, @to_connector: its directions
 * @link_bytes:  posted but not yet taken by the receiver, per link and direction; 0 = default
 * (above)
 * @recover_ns:  after a cut, until senders send again
 * @seed:        nonces in virtual time */
struct apn_loop_config {
    struct apn_loop_direction to_listener;
    struct apn_loop_direction to_connector;
    uint64_t link_bytes;
    uint64_t recover_ns;
    uint64_t seed;
    bool virtual_time;
};

struct apn_loop_counters {
    uint64_t bytes[2];       /* [0] to the listener, [1] to the connector: given to the wire */
    uint64_t busy_ns[2];     /* time the wire was sending them */
    uint64_t overflows[2];   /* messages that found the queue full */
    uint64_t backlog[2];     /* bytes waiting for the wire now, */
    uint64_t backlog_max[2]; /* and the most that ever did */
};

struct apn_loop_world;

struct apn_loop_world *apn_loop_world_new(const struct apn_loop_config *config);
/** apn_loop_world_free() - all backends of the world are freed before; NULL is fine */
void apn_loop_world_free(struct apn_loop_world *world);
/** apn_loop_world_clock() - the world's time; give it to backends and sessions */
const struct apn_clock *apn_loop_world_clock(struct apn_loop_world *world);
void apn_loop_world_counters(struct apn_loop_world *world, struct apn_loop_counters *out);

/** apn_loop_world_advance() - virtual time: the clock says @now_ns (never less than before); runs
 * listeners up to there */
void apn_loop_world_advance(struct apn_loop_world *world, uint64_t now_ns);
/** apn_loop_world_next() - virtual time: when something happens next; may be now or past when a
 * link was not polled dry. Return: absolute ns, UINT64_MAX = never. */
uint64_t apn_loop_world_next(struct apn_loop_world *world);

/** enum apn_loop_cut - what the links feel when the path goes */
enum apn_loop_cut {
    APN_LOOP_CUT_STALL, /* silence, as when a fibre is cut */
    APN_LOOP_CUT_RESET, /* every link dies at once on both ends, as when a port goes down */
};
void apn_loop_world_cut(struct apn_loop_world *world, enum apn_loop_cut how);
void apn_loop_world_restore(struct apn_loop_world *world);
/** apn_loop_world_reset_lane() - kill the links of one lane; what has not arrived is lost. Return:
 * links killed. */
unsigned apn_loop_world_reset_lane(struct apn_loop_world *world, unsigned lane);
/** apn_loop_world_stall_lane() - nothing arrives any more on the links that lane has now. Return:
 * links stalled. */
unsigned apn_loop_world_stall_lane(struct apn_loop_world *world, unsigned lane);

/** apn_loop_backend_new() - @config->world is the world, @config->port names a listener in it ("0":
 * pick one) */
int apn_loop_backend_new(struct apn_backend **out, const struct apn_backend_config *config,
                         struct apn_error *err);

/* ---- peers that do not follow the protocol (tests) ----------------------- */

struct apn_loop_raw;

/** apn_loop_raw_connect() - a connection without a handshake. Return: 0, -ECONNREFUSED, -ENOMEM. */
int apn_loop_raw_connect(struct apn_loop_world *world, const char *port, struct apn_loop_raw **out);
/** apn_loop_raw_listen() - take the connections to a port of one's own. Return: 0, -ENOMEM. */
int apn_loop_raw_listen(struct apn_loop_world *world, uint16_t *port);
/** apn_loop_raw_accept() - the oldest connection to @port. Return: 0, -EAGAIN, -ENOENT. */
int apn_loop_raw_accept(struct apn_loop_world *world, uint16_t port, struct apn_loop_raw **out);
/** apn_loop_raw_send() - after the handshake each call must be one whole message, or is taken as a
 * damaged one */
int apn_loop_raw_send(struct apn_loop_raw *raw, const void *bytes, size_t length);
/** apn_loop_raw_recv() - what has arrived. Return: bytes, -EAGAIN, 0 when the peer has closed,
 * -ECONNRESET. */
long apn_loop_raw_recv(struct apn_loop_raw *raw, void *bytes, size_t length);
void apn_loop_raw_close(struct apn_loop_raw *raw);

#endif
