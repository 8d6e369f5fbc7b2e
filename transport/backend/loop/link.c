/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.c - backend and links of the loop world: the ops (see loop.h) */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/loop/world.h"
#include "support/clock.h"
#include "wire/codec.h"

struct loop_backend {
    struct apn_backend base;
    struct apn_loop_world *world;
    struct apn_backend_config config;
    char port[8];
    struct listener *listener;
};

enum link_state { LINK_OPENING, LINK_UP, LINK_DOWN };

struct loop_link {
    struct apn_link base;
    struct apn_loop_world *world;
    const struct apn_sink *sink;
    struct conn *conn;
    unsigned side;
    enum link_state state;
    bool woken;
    pthread_cond_t cond;
    struct apn_handshake hs;
    struct parcel *delivered; /* payloads of the last poll's events */
    struct parcel *waiting;   /* behind a ZERO extent of the last poll */
};

static struct loop_backend *backend_of(struct apn_backend *be)
{
    return (struct loop_backend *)be;
}

static struct loop_link *link_of(struct apn_link *link)
{
    return (struct loop_link *)link;
}

/* ---- opening ------------------------------------------------------------- */

static struct loop_link *link_new(struct loop_backend *be, unsigned side)
{
    struct loop_link *link = calloc(1, sizeof(*link));

    if (!link) {
        return NULL;
    }
    link->base.backend = &be->base;
    link->world = be->world;
    link->sink = &be->config.sink;
    link->side = side;
    apn_loop_cond_init(&link->cond);
    return link;
}

struct apn_link *apn_loop_link_accepted(struct apn_backend *backend, struct conn *conn)
{
    struct loop_link *link = link_new(backend_of(backend), SIDE_LISTENER);

    if (!link) {
        return NULL;
    }
    link->conn = conn;
    link->state = LINK_UP;
    pthread_mutex_lock(&link->world->lock);
    conn->end[SIDE_LISTENER].cond = &link->cond;
    pthread_mutex_unlock(&link->world->lock);
    return &link->base;
}

static int loop_connect(struct apn_backend *backend, const struct apn_hello *hello,
                        struct apn_link **out, struct apn_error *err)
{
    struct loop_backend *be = backend_of(backend);
    struct loop_link *link = link_new(be, SIDE_CONNECTOR);
    uint32_t timeout_ms = be->config.handshake_timeout_ms;
    uint8_t nonce[32];

    if (!link) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "loop: lane %u: no memory for a link",
                             hello->lane);
    }
    pthread_mutex_lock(&be->world->lock);
    link->conn = apn_loop_conn_open(be->world, be->config.port, hello->lane);
    if (link->conn) {
        apn_loop_nonce(be->world, nonce);
        apn_handshake_client_init(&link->hs, hello, be->config.secret, be->config.secret_bytes,
                                  nonce);
        apn_handshake_client_hurry(&link->hs);
        link->conn->end[SIDE_CONNECTOR].cond = &link->cond;
        link->conn->end[SIDE_CONNECTOR].deadline_ns =
            apn_loop_now(be->world) + (timeout_ms ? timeout_ms : 5000u) * APN_NS_PER_MS;
        apn_loop_handshake(be->world, link->conn, SIDE_CONNECTOR, &link->hs); /* HELLO leaves now */
    }
    pthread_mutex_unlock(&be->world->lock);
    if (!link->conn) {
        pthread_cond_destroy(&link->cond);
        free(link);
        return apn_error_set(err, -ENOMEM, APN_SCOPE_LANE,
                             "loop: lane %u: no memory for a connection", hello->lane);
    }
    *out = &link->base;
    return 0;
}

static int loop_listen(struct apn_backend *backend, const struct apn_acceptor *acceptor,
                       uint16_t *port, struct apn_error *err)
{
    struct loop_backend *be = backend_of(backend);
    int ret = apn_loop_listener_start(be->world, backend, &be->config, acceptor, &be->listener);

    if (ret) {
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "loop: cannot listen on port %s: %s",
                             be->port, strerror(-ret));
    }
    *port = be->listener->port;
    return 0;
}

static int loop_region_add(struct apn_backend *backend, unsigned region, const struct apn_region *r,
                           struct apn_error *err)
{
    (void)backend, (void)region, (void)r,
        (void)err; /* nothing to pin: posts copy, the sink resolves */
    return 0;
}

/* ---- sending ------------------------------------------------------------- */

static void parcels_free(struct parcel *parcel)
{
    while (parcel) {
        struct parcel *next = parcel->next;

        free(parcel);
        parcel = next;
    }
}

static struct parcel *parcels_build(const struct apn_msg *msgs, unsigned n)
{
    struct parcel *first = NULL, **last = &first;

    for (unsigned i = 0; i < n; i++) {
        struct parcel *parcel =
            apn_loop_parcel_new(PARCEL_MSG, msgs[i].bytes ? msgs[i].payload : NULL, msgs[i].bytes);

        if (!parcel) {
            parcels_free(first);
            return NULL;
        }
        apn_msg_encode(&msgs[i], parcel->header);
        *last = parcel;
        last = &parcel->next;
    }
    return first;
}

/* One message is always taken by an empty pipe, so that none is too large to be sent at all. */
static int room_check(struct loop_link *link, const struct apn_msg *msgs, unsigned n)
{
    struct pipe *pipe = &link->conn->pipe[link->side];
    uint64_t bytes = 0;
    int dead = apn_loop_conn_dead(link->world, link->conn);

    for (unsigned i = 0; i < n; i++) {
        bytes += APN_WIRE_HEADER_BYTES + msgs[i].bytes;
    }
    if (dead || link->state != LINK_UP) {
        return dead ? dead : -ENOTCONN;
    }
    pipe->sender_wants_room =
        pipe->queued_bytes && pipe->queued_bytes + bytes > link->world->config.link_bytes;
    return pipe->sender_wants_room ? -EAGAIN : 0;
}

static int loop_post(struct apn_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct loop_link *link = link_of(base);
    struct parcel *parcel = NULL;
    int ret;

    assert(n >= 1 && n <= APN_LOOP_POST_MAX);
    pthread_mutex_lock(&link->world->lock);
    ret = room_check(link, msgs, n);
    pthread_mutex_unlock(&link->world->lock);
    if (ret) {
        return ret;
    }
    parcel =
        parcels_build(msgs, n); /* copies outside the lock; room can only have grown meanwhile */
    if (!parcel) {
        return -ENOMEM;
    }
    pthread_mutex_lock(&link->world->lock);
    while (parcel) {
        struct parcel *next = parcel->next;

        if (link->conn->end[!link->side].open) {
            apn_loop_send(link->world, link->conn, link->side, parcel);
        } else {
            free(parcel); /* the peer has closed; its FIN is on the way */
        }
        parcel = next;
    }
    pthread_mutex_unlock(&link->world->lock);
    return 0;
}

/* ---- receiving ----------------------------------------------------------- */

static int event_down(struct loop_link *link, struct apn_event *event, const struct apn_error *why)
{
    memset(event, 0, sizeof(*event));
    event->type = APN_EVENT_DOWN;
    event->error = *why;
    event->error.scope = APN_SCOPE_LANE;
    link->state = LINK_DOWN;
    link->conn->end[link->side].done = true;
    return 1;
}

/* Lock held. Return: 1 and the event when the handshake has ended. */
static int handshake_poll(struct loop_link *link, struct apn_event *event)
{
    enum apn_handshake_step step =
        apn_loop_handshake(link->world, link->conn, link->side, &link->hs);
    struct apn_error late = {0};

    if (step == APN_HS_STEP_DONE) {
        memset(event, 0, sizeof(*event));
        event->type = APN_EVENT_UP;
        event->welcome = link->hs.welcome;
        link->state = LINK_UP;
        link->conn->end[link->side].deadline_ns = 0;
        return 1;
    }
    if (step == APN_HS_STEP_FAILED) {
        return event_down(link, event, &link->hs.error);
    }
    if (apn_loop_now(link->world) >= link->conn->end[link->side].deadline_ns) {
        apn_error_set(&late, -ETIMEDOUT, APN_SCOPE_LANE,
                      "loop: lane %u: no answer to the handshake", link->conn->lane);
        return event_down(link, event, &late);
    }
    return 0;
}

/* Lock held. What has arrived, oldest first, at most @max. */
static struct parcel *collect(struct loop_link *link, unsigned max)
{
    struct parcel *first = NULL, **last = &first, *parcel;

    while (max-- && (parcel = apn_loop_pop(link->world, link->conn, link->side))) {
        parcel->next = NULL;
        *last = parcel;
        last = &parcel->next;
    }
    return first;
}

/* Lock held. Waits until something may have changed. Return: false when it is time to go. */
static bool wait_more(struct loop_link *link, uint64_t until_ns)
{
    uint64_t now = apn_loop_now(link->world),
             next = apn_loop_arrival(link->world, link->conn, link->side);
    struct end *end = &link->conn->end[link->side];
    struct timespec ts;

    if (link->woken || end->has_room || now >= until_ns || link->world->config.virtual_time) {
        return false;
    }
    if (end->deadline_ns && end->deadline_ns < next) {
        next = end->deadline_ns;
    }
    next = next < until_ns ? next : until_ns;
    ts = (struct timespec){(time_t)(next / APN_NS_PER_S), (long)(next % APN_NS_PER_S)};
    pthread_cond_timedwait(&link->cond, &link->world->lock, &ts);
    return true;
}

/* No lock: the contents go to guest RAM. Return: 0, or -errno and @err (the peer broke the
 * protocol). */
static int deliver(struct loop_link *link, struct parcel *parcel, struct apn_msg *msg,
                   struct apn_error *err)
{
    const uint8_t *content = parcel->content;
    uint32_t bytes = parcel->content_bytes;
    const uint8_t *header = parcel->header;
    void *host;
    int ret;

    if (parcel->kind == PARCEL_BYTES) { /* a raw peer: one message in plain bytes */
        if (bytes < APN_WIRE_HEADER_BYTES) {
            return apn_error_set(err, -EPROTO, APN_SCOPE_LANE,
                                 "loop: %u bytes of a message header, expected %u", bytes,
                                 APN_WIRE_HEADER_BYTES);
        }
        header = content;
        content += APN_WIRE_HEADER_BYTES;
        bytes -= APN_WIRE_HEADER_BYTES;
    }
    ret = apn_msg_decode(header, msg, err);
    if (ret) {
        return ret;
    }
    if (msg->bytes != bytes && (bytes || parcel->kind == PARCEL_BYTES)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "loop: %s has %u of %u payload bytes",
                             apn_msg_type_name(msg->type), bytes, msg->bytes);
    }
    if (!bytes) {
        return 0; /* nothing to move, or only imagined */
    }
    if (msg->type != APN_MSG_EXTENT) {
        msg->payload = content;
        return 0;
    }
    host = link->sink->resolve
               ? link->sink->resolve(link->sink->opaque, msg->region, msg->offset, msg->span)
               : NULL;
    if (!host) {
        return apn_error_set(
            err, -EPROTO, APN_SCOPE_LANE,
            "loop: extent of region %u at %#llx, %u bytes: the peer may not write there",
            msg->region, (unsigned long long)msg->offset, msg->span);
    }
    memcpy(host, content, bytes);
    return 0;
}

/* No lock. Return: events made of @parcels, which stay until the next poll. What comes behind a ZERO extent waits for that: the taker
 * of the event clears the memory first. */
static int deliver_all(struct loop_link *link, struct parcel *parcels, struct apn_event *events,
                       unsigned max)
{
    int n = 0;

    link->delivered = parcels;
    for (struct parcel *parcel = parcels; parcel; parcel = parcel->next) {
        struct apn_event *event = &events[n];
        struct apn_error err = {0};

        memset(&event->msg, 0, sizeof(event->msg));
        event->type = APN_EVENT_MSG;
        if (parcel->kind == PARCEL_FIN) {
            apn_error_set(&err, -ECONNRESET, APN_SCOPE_LANE,
                          "loop: lane %u: peer closed the connection", link->conn->lane);
        } else {
            deliver(link, parcel, &event->msg, &err);
        }
        if (err.code) {
            return n + event_down(link, event, &err);
        }
        n++;
        if (apn_msg_clears(&event->msg) || (unsigned)n == max) {
            link->waiting = parcel->next;
            parcel->next = NULL;
            break;
        }
    }
    return n;
}

static int loop_poll(struct apn_link *base, struct apn_event *events, unsigned max,
                     int64_t timeout_ns)
{
    struct loop_link *link = link_of(base);
    struct parcel *parcels = NULL;
    uint64_t until_ns = timeout_ns > 0 ? apn_loop_now(link->world) + (uint64_t)timeout_ns : 0;
    int n = 0, dead;

    parcels_free(link->delivered);
    link->delivered = NULL;
    if (link->state == LINK_DOWN || !max) {
        return 0;
    }
    if (link->waiting) {
        parcels = link->waiting;
        link->waiting = NULL;
        return deliver_all(link, parcels, events, max);
    }
    pthread_mutex_lock(&link->world->lock);
    do {
        if (link->state == LINK_OPENING) {
            n = handshake_poll(link, events);
        } else {
            parcels = collect(link, max);
        }
        dead = link->state == LINK_UP ? apn_loop_conn_dead(link->world, link->conn) : 0;
    } while (!n && !parcels && !dead && wait_more(link, until_ns));
    link->woken = link->conn->end[link->side].has_room = false;
    pthread_mutex_unlock(&link->world->lock);
    if (parcels) {
        return deliver_all(link, parcels, events, max);
    }
    if (dead && !n) {
        struct apn_error err = {0};

        apn_error_set(&err, dead, APN_SCOPE_LANE, "loop: lane %u: connection reset",
                      link->conn->lane);
        return event_down(link, events, &err);
    }
    return n;
}

static void loop_wake(struct apn_link *base)
{
    struct loop_link *link = link_of(base);

    pthread_mutex_lock(&link->world->lock);
    link->woken = true;
    pthread_cond_signal(&link->cond);
    pthread_mutex_unlock(&link->world->lock);
}

/* ---- closing ------------------------------------------------------------- */

/* Bytes land only inside this link's poll, and posts were copied: nothing is left to stop. */
static void loop_link_close(struct apn_link *base)
{
    struct loop_link *link = link_of(base);

    pthread_mutex_lock(&link->world->lock);
    apn_loop_conn_close(link->world, link->conn, link->side);
    pthread_mutex_unlock(&link->world->lock);
    parcels_free(link->waiting);
    parcels_free(link->delivered);
    pthread_cond_destroy(&link->cond);
    free(link);
}

static void loop_counters(struct apn_backend *backend, struct apn_backend_counters *out)
{
    (void)backend;
    memset(out, 0, sizeof(*out));
    snprintf(out->send_mode, sizeof(out->send_mode), "copy");
}

static void loop_free(struct apn_backend *backend)
{
    struct loop_backend *be = backend_of(backend);

    apn_loop_listener_stop(be->listener);
    pthread_mutex_lock(&be->world->lock);
    be->world->backends--;
    pthread_mutex_unlock(&be->world->lock);
    free(be);
}

static const struct apn_backend_ops loop_ops = {
    .name = "loop",
    .connect = loop_connect,
    .listen = loop_listen,
    .region_add = loop_region_add,
    .post = loop_post,
    .poll = loop_poll,
    .wake = loop_wake,
    .link_close = loop_link_close,
    .counters = loop_counters,
    .free = loop_free,
};

int apn_loop_backend_new(struct apn_backend **out, const struct apn_backend_config *config,
                         struct apn_error *err)
{
    struct loop_backend *be;

    if (!config->world) {
        return apn_error_set(
            err, -EINVAL, APN_SCOPE_SESSION,
            "backend loop joins two ends of one process and needs their world (it is for tests)");
    }
    be = calloc(1, sizeof(*be));
    if (!be) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "loop: no memory for a backend");
    }
    be->base.ops = &loop_ops;
    be->base.post_max = APN_LOOP_POST_MAX;
    be->world = config->world;
    be->base.caps = be->world->config.virtual_time ? APN_CAP_VIRTUAL : 0;
    be->config = *config;
    snprintf(be->port, sizeof(be->port), "%s", config->port ? config->port : "0");
    be->config.port = be->port;
    pthread_mutex_lock(&be->world->lock);
    be->world->backends++;
    pthread_mutex_unlock(&be->world->lock);
    *out = &be->base;
    return 0;
}
