/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* world.h - inside of the loop backend: parcels, pipes, connections, listeners
 * Owner: the world.   Thread: everything under world->lock, except where a comment says otherwise.
 * Time: world_now().   Units: bytes, ns. */
#ifndef APN_BACKEND_LOOP_WORLD_H
#define APN_BACKEND_LOOP_WORLD_H

#include <pthread.h>

#include "backend/loop/loop.h"
#include "wire/handshake.h"
#include "wire/layout.h"

enum parcel_kind {
    PARCEL_BYTES, /* handshake, or a raw peer: content is all there is */
    PARCEL_MSG,   /* header, and content unless the contents are only imagined */
    PARCEL_FIN,   /* the sender has closed */
};

struct parcel {
    struct parcel *next;
    uint64_t arrives_ns;
    enum parcel_kind kind;
    uint32_t wire_bytes;
    uint32_t content_bytes;
    uint32_t content_read; /* PARCEL_BYTES: consumed so far */
    uint8_t header[APN_WIRE_HEADER_BYTES];
    uint8_t content[];
};

/* One direction of a connection: parcels in the order in which they arrive. */
struct pipe {
    struct parcel *head, *tail;
    uint64_t queued_bytes;
    uint64_t last_arrival_ns;
    bool sender_wants_room;
};

enum { SIDE_CONNECTOR = 0, SIDE_LISTENER = 1 };

/* One end of a connection: who is to be woken, and whether it is still there. */
struct end {
    pthread_cond_t *cond; /* NULL: nobody waits (raw peer) */
    uint64_t deadline_ns; /* of the connector's handshake; 0 = none */
    bool open;
    bool done;     /* its last event has been given out: nothing will happen here any more */
    bool has_room; /* a post was refused, and there is room again */
};

struct conn {
    struct conn *next;
    struct pipe pipe[2]; /* indexed by the side that sends */
    struct end end[2];
    unsigned lane;
    int dead_code;    /* -errno once reset or refused */
    uint64_t dead_ns; /* from when the ends notice */
    bool stalled;
};

struct pending {
    struct conn *conn;
    struct apn_handshake hs;
    uint64_t deadline_ns;
};

struct listener {
    struct listener *next;
    struct apn_loop_world *world;
    struct apn_backend *backend;
    const struct apn_backend_config *config; /* NULL: raw */
    struct apn_acceptor acceptor;
    uint16_t port;
    bool stopping;
    bool has_thread;
    pthread_t thread;
    pthread_cond_t cond;
    unsigned pendings;
    struct pending *pending[APN_LOOP_PENDING_MAX];
};

struct wire {
    struct apn_loop_direction path;
    uint64_t busy_until_ns;
};

struct apn_loop_world {
    pthread_mutex_t lock;
    struct apn_loop_config config;
    struct apn_clock clock;
    uint64_t now_ns; /* virtual time */
    struct wire wire[2];
    bool cut;
    uint64_t cut_ns;
    uint64_t random;
    uint16_t next_port;
    unsigned backends;
    struct conn *conns;
    struct listener *listeners;
    struct apn_loop_counters counters;
};

uint64_t apn_loop_now(const struct apn_loop_world *world);
/** apn_loop_wire_now() - the time of the wires, which stand still while the path is cut */
uint64_t apn_loop_wire_now(const struct apn_loop_world *world);
void apn_loop_cond_init(pthread_cond_t *cond);
void apn_loop_nonce(struct apn_loop_world *world, uint8_t nonce[32]);

/* conn: the lock is held by the caller of all of these */
struct conn *apn_loop_conn_open(struct apn_loop_world *world, const char *port, unsigned lane);
void apn_loop_conn_close(struct apn_loop_world *world, struct conn *conn, unsigned side);
/** apn_loop_conn_dead() - -errno when this connection has been reset or refused by now, else 0 */
int apn_loop_conn_dead(const struct apn_loop_world *world, const struct conn *conn);
/** apn_loop_send() - give a parcel to the wire; takes ownership */
void apn_loop_send(struct apn_loop_world *world, struct conn *conn, unsigned side,
                   struct parcel *parcel);
/** apn_loop_peek() - the parcel that has arrived at @side, or NULL; _pop() takes it */
struct parcel *apn_loop_peek(struct apn_loop_world *world, struct conn *conn, unsigned side);
struct parcel *apn_loop_pop(struct apn_loop_world *world, struct conn *conn, unsigned side);
/** apn_loop_arrival() - when the next parcel arrives at @side, UINT64_MAX = none on its way */
uint64_t apn_loop_arrival(const struct apn_loop_world *world, const struct conn *conn,
                          unsigned side);

/** apn_loop_parcel_new() - no lock needed; @content may be NULL: size without contents */
struct parcel *apn_loop_parcel_new(enum parcel_kind kind, const void *content, uint32_t bytes);

/** apn_loop_handshake() - feed what has arrived, send what is pending. Return: the step; FAILED
 * also when the peer left. */
enum apn_handshake_step apn_loop_handshake(struct apn_loop_world *world, struct conn *conn,
                                           unsigned side, struct apn_handshake *hs);

/* listener.c */
int apn_loop_listener_start(struct apn_loop_world *world, struct apn_backend *backend,
                            const struct apn_backend_config *config,
                            const struct apn_acceptor *acceptor, struct listener **out);
void apn_loop_listener_stop(struct listener *listener);
struct listener *apn_loop_listener_find(struct apn_loop_world *world, const char *port);
void apn_loop_listener_run(struct listener *listener);
uint64_t apn_loop_listener_next(const struct listener *listener);
/** apn_loop_link_accepted() - link.c: a link that is up, on the listener's side. No lock. NULL: out
 * of memory. */
struct apn_link *apn_loop_link_accepted(struct apn_backend *backend, struct conn *conn);

#endif
