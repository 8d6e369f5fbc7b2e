/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conn.c - connections of the loop world: parcels, opening, closing, the handshake over them, raw
 * peers (see loop.h) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/loop/world.h"

/* Guest RAM is written by vCPU threads while it is sent: a data race by design, answered by dirty
 * tracking. */
__attribute__((no_sanitize("thread"))) static void copy_live(void *to, const void *from,
                                                             size_t bytes)
{
    const volatile uint64_t *source = from;
    uint64_t *dest = to;
    size_t words = bytes / sizeof(*dest);

    if ((uintptr_t)from % sizeof(*source) || bytes % sizeof(*dest)) {
        memcpy(to, from, bytes); /* not guest RAM */
        return;
    }
    for (size_t i = 0; i < words; i++) {
        dest[i] = source[i];
    }
}

struct parcel *apn_loop_parcel_new(enum parcel_kind kind, const void *content, uint32_t bytes)
{
    struct parcel *parcel = malloc(sizeof(*parcel) + (content ? bytes : 0));

    if (!parcel) {
        return NULL;
    }
    parcel->next = NULL;
    parcel->kind = kind;
    parcel->wire_bytes = bytes + (kind == PARCEL_MSG ? APN_WIRE_HEADER_BYTES : 0);
    parcel->content_bytes = content ? bytes : 0;
    parcel->content_read = 0;
    if (content) {
        copy_live(parcel->content, content, bytes);
    }
    return parcel;
}

static void pipe_clear(struct pipe *pipe)
{
    while (pipe->head) {
        struct parcel *parcel = pipe->head;

        pipe->head = parcel->next;
        free(parcel);
    }
    pipe->tail = NULL;
    pipe->queued_bytes = 0;
}

static struct conn *conn_refused(struct apn_loop_world *world, struct conn *conn, int code)
{
    conn->dead_code = code;
    conn->dead_ns = apn_loop_now(world) + world->config.to_listener.delay_ns +
                    world->config.to_connector.delay_ns;
    return conn;
}

/* The first byte waits for the exchange of SYNs: one round trip before the connector may send. */
struct conn *apn_loop_conn_open(struct apn_loop_world *world, const char *port, unsigned lane)
{
    struct listener *listener = apn_loop_listener_find(world, port);
    struct conn *conn = calloc(1, sizeof(*conn));
    struct pending *pending;
    uint32_t timeout_ms;

    if (!conn) {
        return NULL;
    }
    conn->lane = lane;
    conn->end[SIDE_CONNECTOR].open = true;
    conn->next = world->conns;
    world->conns = conn;
    if (!listener || listener->stopping || listener->pendings == APN_LOOP_PENDING_MAX) {
        return conn_refused(world, conn, -ECONNREFUSED);
    }
    pending = calloc(1, sizeof(*pending));
    if (!pending) {
        return conn_refused(world, conn, -ECONNREFUSED);
    }
    pending->conn = conn;
    if (listener->config) {
        uint8_t nonce[32];

        apn_loop_nonce(world, nonce);
        apn_handshake_server_init(&pending->hs, listener->config->secret,
                                  listener->config->secret_bytes, nonce);
        timeout_ms = listener->config->handshake_timeout_ms;
        pending->deadline_ns = apn_loop_now(world) + (timeout_ms ? timeout_ms : 5000u) * 1000000ull;
        conn->end[SIDE_LISTENER].cond = &listener->cond;
    }
    conn->end[SIDE_LISTENER].open = true;
    conn->pipe[SIDE_CONNECTOR].last_arrival_ns = apn_loop_wire_now(world) +
                                                 2 * world->config.to_listener.delay_ns +
                                                 world->config.to_connector.delay_ns;
    listener->pending[listener->pendings++] = pending;
    pthread_cond_signal(&listener->cond);
    return conn;
}

void apn_loop_conn_close(struct apn_loop_world *world, struct conn *conn, unsigned side)
{
    struct parcel *fin;

    conn->end[side].open = false;
    conn->end[side].cond = NULL;
    pipe_clear(&conn->pipe[!side]);
    if (conn->end[!side].open) {
        fin = apn_loop_parcel_new(PARCEL_FIN, NULL, 0);
        if (fin) {
            apn_loop_send(world, conn, side, fin);
        } else {
            conn->dead_code = -ECONNRESET;
            conn->dead_ns = apn_loop_now(world);
        }
        return;
    }
    pipe_clear(&conn->pipe[side]);
    for (struct conn **at = &world->conns; *at; at = &(*at)->next) {
        if (*at == conn) {
            *at = conn->next;
            break;
        }
    }
    free(conn);
}

static bool handshake_flush(struct apn_loop_world *world, struct conn *conn, unsigned side,
                            struct apn_handshake *hs)
{
    const uint8_t *bytes;
    size_t n;

    while ((n = apn_handshake_output(hs, &bytes)) > 0) {
        struct parcel *parcel = apn_loop_parcel_new(PARCEL_BYTES, bytes, (uint32_t)n);

        if (!parcel) {
            return false;
        }
        apn_loop_send(world, conn, side, parcel);
        apn_handshake_sent(hs, n);
    }
    return true;
}

enum apn_handshake_step apn_loop_handshake(struct apn_loop_world *world, struct conn *conn,
                                           unsigned side, struct apn_handshake *hs)
{
    int dead = apn_loop_conn_dead(world, conn);
    struct parcel *parcel;

    if (dead) {
        apn_error_set(&hs->error, dead, APN_SCOPE_LANE, "loop: lane %u: %s", conn->lane,
                      dead == -ECONNREFUSED ? "connection refused: nobody listens on that port"
                                            : "connection reset during the handshake");
        return hs->step = APN_HS_STEP_FAILED;
    }
    if (!handshake_flush(world, conn, side, hs)) {
        apn_error_set(&hs->error, -ENOMEM, APN_SCOPE_LANE, "loop: no memory for the handshake");
        return hs->step = APN_HS_STEP_FAILED;
    }
    while (hs->step == APN_HS_STEP_MORE && (parcel = apn_loop_peek(world, conn, side))) {
        size_t wants = apn_handshake_wants(hs), left;

        if (parcel->kind != PARCEL_BYTES) {
            apn_error_set(&hs->error, -ECONNRESET, APN_SCOPE_LANE,
                          "loop: lane %u: peer closed during the handshake", conn->lane);
            return hs->step = APN_HS_STEP_FAILED;
        }
        left = parcel->content_bytes - parcel->content_read;
        if (wants > left) {
            wants = left;
        }
        apn_handshake_input(hs, parcel->content + parcel->content_read, wants);
        parcel->content_read += (uint32_t)wants;
        if (parcel->content_read == parcel->content_bytes) {
            free(apn_loop_pop(world, conn, side));
        }
        if (!handshake_flush(world, conn, side, hs)) {
            break;
        }
    }
    return hs->step;
}

/* ---- raw peers ----------------------------------------------------------- */

struct apn_loop_raw {
    struct apn_loop_world *world;
    struct conn *conn;
    unsigned side;
};

static int raw_new(struct apn_loop_world *world, struct conn *conn, unsigned side,
                   struct apn_loop_raw **out)
{
    struct apn_loop_raw *raw = calloc(1, sizeof(*raw));

    if (!raw) {
        apn_loop_conn_close(world, conn, side);
        return -ENOMEM;
    }
    *raw = (struct apn_loop_raw){.world = world, .conn = conn, .side = side};
    *out = raw;
    return 0;
}

int apn_loop_raw_connect(struct apn_loop_world *world, const char *port, struct apn_loop_raw **out)
{
    struct conn *conn;
    int ret;

    pthread_mutex_lock(&world->lock);
    conn = apn_loop_conn_open(world, port, UINT16_MAX);
    if (!conn) {
        ret = -ENOMEM;
    } else if (conn->dead_code) {
        ret = conn->dead_code;
        apn_loop_conn_close(world, conn, SIDE_CONNECTOR);
    } else {
        ret = raw_new(world, conn, SIDE_CONNECTOR, out);
    }
    pthread_mutex_unlock(&world->lock);
    return ret;
}

int apn_loop_raw_listen(struct apn_loop_world *world, uint16_t *port)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (!listener) {
        return -ENOMEM;
    }
    listener->world = world;
    apn_loop_cond_init(&listener->cond);
    pthread_mutex_lock(&world->lock);
    *port = listener->port = world->next_port++;
    listener->next = world->listeners;
    world->listeners = listener;
    pthread_mutex_unlock(&world->lock);
    return 0;
}

int apn_loop_raw_accept(struct apn_loop_world *world, uint16_t port, struct apn_loop_raw **out)
{
    struct listener *listener;
    int ret = -ENOENT;

    pthread_mutex_lock(&world->lock);
    for (listener = world->listeners; listener && listener->port != port;) {
        listener = listener->next;
    }
    if (listener && !listener->config) {
        ret = -EAGAIN;
        if (listener->pendings) {
            struct pending *pending = listener->pending[0];

            listener->pending[0] = listener->pending[--listener->pendings];
            ret = raw_new(world, pending->conn, SIDE_LISTENER, out);
            free(pending);
        }
    }
    pthread_mutex_unlock(&world->lock);
    return ret;
}

int apn_loop_raw_send(struct apn_loop_raw *raw, const void *bytes, size_t length)
{
    struct parcel *parcel = apn_loop_parcel_new(PARCEL_BYTES, bytes, (uint32_t)length);
    int ret = -ENOMEM;

    if (!parcel) {
        return ret;
    }
    pthread_mutex_lock(&raw->world->lock);
    ret = apn_loop_conn_dead(raw->world, raw->conn);
    if (!ret && raw->conn->end[!raw->side].open) {
        apn_loop_send(raw->world, raw->conn, raw->side, parcel);
    } else {
        free(parcel);
        ret = ret ? ret : -EPIPE;
    }
    pthread_mutex_unlock(&raw->world->lock);
    return ret;
}

/* Plain bytes come as a stream; a message that does not fit into @length is cut short. */
static long raw_take(struct apn_loop_raw *raw, struct parcel *parcel, uint8_t *bytes, size_t length)
{
    size_t header = parcel->kind == PARCEL_MSG ? APN_WIRE_HEADER_BYTES : 0;
    size_t all = header + parcel->content_bytes - parcel->content_read;

    all = all < length ? all : length;
    memcpy(bytes, parcel->header, header < all ? header : all);
    if (all > header) {
        memcpy(bytes + header, parcel->content + parcel->content_read, all - header);
    }
    parcel->content_read += (uint32_t)all;
    if (header || parcel->content_read == parcel->content_bytes) {
        free(apn_loop_pop(raw->world, raw->conn, raw->side));
    }
    return (long)all;
}

long apn_loop_raw_recv(struct apn_loop_raw *raw, void *bytes, size_t length)
{
    struct parcel *parcel;
    long ret = -EAGAIN;

    pthread_mutex_lock(&raw->world->lock);
    parcel = apn_loop_peek(raw->world, raw->conn, raw->side);
    if (apn_loop_conn_dead(raw->world, raw->conn)) {
        ret = -ECONNRESET;
    } else if (parcel && parcel->kind == PARCEL_FIN) {
        ret = 0; /* stays, so that every later call says so too */
    } else if (parcel) {
        ret = raw_take(raw, parcel, bytes, length);
    }
    pthread_mutex_unlock(&raw->world->lock);
    return ret;
}

void apn_loop_raw_close(struct apn_loop_raw *raw)
{
    if (!raw) {
        return;
    }
    pthread_mutex_lock(&raw->world->lock);
    apn_loop_conn_close(raw->world, raw->conn, raw->side);
    pthread_mutex_unlock(&raw->world->lock);
    free(raw);
}
