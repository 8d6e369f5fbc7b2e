/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* listener.c - the port at which lanes begin: nothing is kept of anybody who has not proved himself
 *
 * Theory of operation
 *   OPEN is answered with a CHALLENGE whose nonce is computed from a key of this listener, the asker's address, his HELLO and the
 *   time, and with a cookie made the same way; then it is forgotten. PROVE brings all that back: the cookie shows that
 *   the asker receives at his address, the proof that he has the secret. Only then the engine is asked, a flow and a link
 *   are made. No answer is longer than the question (an OPEN shorter than 1200 bytes has none), so nobody can use this port
 *   against a third one; and a crowd of strangers costs two HMACs each.
 *
 * Owner: the backend.   Thread: its own; stop() from the thread that frees the backend.
 * Time: config->clock.   Units: ns, ms. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/datagram/cookie.h"
#include "backend/datagram/link.h"
#include "support/clock.h"

#define COOKIE_MS      10000u
#define RECENT_MAX     64u
#define TELL_NS        (20 * APN_NS_PER_MS) /* strangers that come faster than this are not all worth a line */
#define IDLE_NS        (3600 * APN_NS_PER_S)
#define PAUSE_NS       (100 * APN_NS_PER_MS)

struct recent {
    uint64_t id;
    union apn_address remote;
};

struct apn_dg_listener {
    struct apn_dg_backend *be;
    struct apn_acceptor acceptor;
    struct apn_port *port;
    uint8_t key[APN_DG_KEY_BYTES];
    struct recent recent[RECENT_MAX]; /* accepted last: what their PROVE says again is not news */
    unsigned accepted;
    uint64_t told_ns;
    atomic_bool stopping;
    pthread_t thread;
};

/** struct asker - who sent the datagram in hand */
struct asker {
    const struct apn_endpoint *from;
    uint64_t id;
    uint32_t datagram_max; /* what he can receive, and what arrived of his */
};

static uint64_t now(const struct apn_dg_listener *l)
{
    return apn_dg_now(l->be);
}

static void tell(struct apn_dg_listener *l, const struct apn_endpoint *from, const char *what)
{
    char text[APN_ERROR_TEXT_MAX + 80 + 4], who[80];
    const uint64_t now_ns = now(l);

    if (l->acceptor.stranger && (!l->told_ns || now_ns - l->told_ns >= TELL_NS)) {
        l->told_ns = now_ns;
        apn_dg_address_text(&from->remote, who, sizeof(who));
        snprintf(text, sizeof(text), "%s: %s", who, what);
        l->acceptor.stranger(l->acceptor.opaque, text);
    }
}

/* ---- answers ------------------------------------------------------------------------ */

static void answer(struct apn_dg_listener *l, const struct apn_endpoint *to, const uint8_t *bytes, uint32_t length)
{
    struct apn_port_datagram d = {.head = bytes, .head_bytes = length, .region = APN_PORT_NO_REGION};

    l->port->carrier->ops->send(l->port, to, &d, 1); /* lost or refused: he will ask again */
}

/* header, @body, handshake output. Return: length */
static uint32_t compose(uint8_t *out, enum apn_dg_type type, uint64_t id, const void *body, size_t body_bytes, struct apn_handshake *hs)
{
    const uint8_t *pending;
    size_t n = apn_handshake_output(hs, &pending);

    memcpy(out + APN_DG_HEADER_BYTES, body, body_bytes);
    memcpy(out + APN_DG_HEADER_BYTES + body_bytes, pending, n);
    apn_handshake_sent(hs, n);
    apn_dg_header_seal(&(struct apn_dg_header){.type = (uint8_t)type, .connection = id, .record_bytes = (uint16_t)(body_bytes + n)}, out);
    return (uint32_t)(APN_DG_HEADER_BYTES + body_bytes + n);
}

static void take_open(struct apn_dg_listener *l, const struct apn_port_arrival *a, const struct apn_dg_header *h)
{
    const struct apn_backend_config *config = &l->be->config;
    struct apn_wire_dg_challenge challenge = {.stamp = htole32((uint32_t)(now(l) / APN_NS_PER_MS))};
    uint8_t out[APN_DG_ANSWER_MAX], nonce[32];
    struct apn_wire_dg_open w;
    struct apn_handshake hs;

    if (a->total_bytes < APN_PORT_DATAGRAM_MIN || h->record_bytes != sizeof(w)) {
        tell(l, &a->from, "OPEN of a wrong length");
        return;
    }
    memcpy(&w, a->head + APN_DG_HEADER_BYTES, sizeof(w));
    if (apn_dg_cookie(l->key, &a->from, le64toh(w.id), le32toh(challenge.stamp), &w.hello, nonce, challenge.cookie)) {
        return;
    }
    apn_handshake_server_init(&hs, config->secret, config->secret_bytes, nonce);
    apn_dg_feed(&hs, &w.hello, sizeof(w.hello));
    if (hs.step == APN_HS_STEP_FAILED) {
        tell(l, &a->from, hs.error.text);
    }
    answer(l, &a->from, out, compose(out, APN_DG_CHALLENGE, le64toh(w.id), &challenge, sizeof(challenge), &hs));
}

/* ---- those who have proved themselves ------------------------------------------------------ */

static bool same_address(const union apn_address *a, const union apn_address *b)
{
    return a->family == b->family &&
           (a->family == AF_INET ? a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr
                                 : a->in6.sin6_port == b->in6.sin6_port && !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16));
}

static bool is_recent(const struct apn_dg_listener *l, const struct asker *asker)
{
    for (unsigned i = 0; i < RECENT_MAX && i < l->accepted; i++) {
        if (l->recent[i].id == asker->id && same_address(&l->recent[i].remote, &asker->from->remote)) {
            return true;
        }
    }
    return false;
}

static struct apn_dg_link *make_link(struct apn_dg_listener *l, const struct asker *asker, const struct apn_handshake *hs,
                                     struct apn_wire_dg_welcome *w, struct apn_error *err)
{
    struct apn_dg_backend *be = l->be;
    struct apn_port *port = NULL;
    struct apn_dg_link *link;
    uint32_t most = asker->datagram_max;
    uint64_t id;

    if (be->carrier->ops->flow(be->carrier, l->port, asker->from, &port, err)) {
        return NULL;
    }
    link = apn_dg_link_new(be, &hs->hello, port, err);
    if (!link) {
        port->carrier->ops->close(port);
        return NULL;
    }
    most = port->datagram_max < most ? port->datagram_max : most;
    most = be->options.datagram_max && be->options.datagram_max < most ? be->options.datagram_max : most;
    link->welcome_bytes = malloc(APN_DG_ANSWER_MAX);
    if (!link->welcome_bytes || apn_dg_random(&id, sizeof(id)) || !id ||
        apn_dg_link_ready(link, id, asker->id, most, be->staging_bytes, 0)) {
        apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "%s: lane %u: out of memory", be->name, hs->hello.lane);
        link->stage = APN_DG_FAILED;
        apn_dg_link_close(&link->base);
        return NULL;
    }
    *w = (struct apn_wire_dg_welcome){.id = htole64(id), .datagram_max = htole32(most), .staging_bytes = htole32(be->staging_bytes)};
    return link;
}

static void decide(struct apn_dg_listener *l, const struct asker *asker, struct apn_handshake *hs)
{
    struct apn_wire_dg_welcome w = {0};
    struct apn_welcome welcome = {0};
    struct apn_dg_link *link = NULL;
    struct apn_error err = {0};
    uint8_t out[APN_DG_ANSWER_MAX];
    uint32_t length;
    int ret = l->acceptor.authorise(l->acceptor.opaque, &hs->hello, &welcome, &err);

    if (ret >= 0) {
        link = make_link(l, asker, hs, &w, &err);
        ret = link ? 0 : err.code ? err.code : -ENOMEM;
    }
    if (ret < 0) {
        apn_handshake_reject(hs, ret, err.code ? err.text : strerror(-ret));
        tell(l, asker->from, err.code ? err.text : strerror(-ret));
    } else {
        apn_handshake_welcome(hs, &welcome);
    }
    length = compose(out, APN_DG_WELCOME, asker->id, &w, sizeof(w), hs);
    if (link) {
        memcpy(link->welcome_bytes, out, length);
        link->welcome_length = length;
        l->recent[l->accepted++ % RECENT_MAX] = (struct recent){asker->id, asker->from->remote};
        l->acceptor.attach(l->acceptor.opaque, &hs->hello, &link->base);
    }
    answer(l, asker->from, out, length);
}

static bool cookie_is_ours(const struct apn_dg_listener *l, const struct asker *asker, const struct apn_wire_dg_prove *w, uint8_t nonce[32])
{
    const uint32_t age_ms = (uint32_t)(now(l) / APN_NS_PER_MS) - le32toh(w->stamp);
    uint8_t cookie[APN_DG_COOKIE_BYTES], differs = 0;

    if (age_ms > COOKIE_MS || apn_dg_cookie(l->key, asker->from, asker->id, le32toh(w->stamp), &w->hello, nonce, cookie)) {
        return false;
    }
    for (unsigned i = 0; i < sizeof(cookie); i++) {
        differs |= cookie[i] ^ w->cookie[i];
    }
    return !differs;
}

static void take_prove(struct apn_dg_listener *l, const struct apn_port_arrival *a, const struct apn_dg_header *h)
{
    const struct apn_backend_config *config = &l->be->config;
    uint8_t nonce[32], out[APN_DG_ANSWER_MAX];
    struct apn_wire_dg_welcome none = {0};
    struct apn_wire_dg_prove w;
    struct apn_handshake hs;
    struct asker asker = {.from = &a->from};
    const uint8_t *challenge;

    if (a->total_bytes < APN_PORT_DATAGRAM_MIN || h->record_bytes != sizeof(w)) {
        tell(l, &a->from, "PROVE of a wrong length");
        return;
    }
    memcpy(&w, a->head + APN_DG_HEADER_BYTES, sizeof(w));
    asker.id = le64toh(w.id);
    asker.datagram_max = le32toh(w.datagram_max) < a->total_bytes ? le32toh(w.datagram_max) : a->total_bytes;
    if (!cookie_is_ours(l, &asker, &w, nonce) || asker.datagram_max < APN_PORT_DATAGRAM_MIN) {
        tell(l, &a->from, "PROVE without a CHALLENGE of ours, or too late");
        return;
    }
    if (is_recent(l, &asker)) {
        return;
    }
    apn_handshake_server_init(&hs, config->secret, config->secret_bytes, nonce);
    apn_dg_feed(&hs, &w.hello, sizeof(w.hello));
    apn_handshake_sent(&hs, apn_handshake_output(&hs, &challenge)); /* he has it */
    if (hs.step == APN_HS_STEP_MORE) {
        apn_dg_feed(&hs, &w.proof, sizeof(w.proof));
    }
    if (hs.step == APN_HS_STEP_DECIDE) {
        decide(l, &asker, &hs);
    } else if (hs.step == APN_HS_STEP_FAILED) {
        tell(l, &a->from, hs.error.text);
        answer(l, &a->from, out, compose(out, APN_DG_WELCOME, asker.id, &none, sizeof(none), &hs));
    }
}

/* a lane that ended here: its peer had better know. The answer is shorter than what it answers, and worth nothing without its id. */
static void take_stray(struct apn_dg_listener *l, const struct apn_port_arrival *a, const struct apn_dg_header *h)
{
    uint8_t out[APN_DG_HEADER_BYTES];

    if (a->total_bytes > sizeof(out)) {
        apn_dg_header_seal(&(struct apn_dg_header){.type = APN_DG_GONE, .number = h->connection}, out);
        answer(l, &a->from, out, sizeof(out));
    }
}

static void take_datagram(struct apn_dg_listener *l, const struct apn_port_arrival *a)
{
    struct apn_dg_header h;

    if (apn_dg_header_decode(a->head, a->head_bytes, &h)) {
        tell(l, &a->from, "not a datagram of this protocol, or of another version of it");
    } else if (h.type == APN_DG_OPEN) {
        take_open(l, a, &h);
    } else if (h.type == APN_DG_PROVE) {
        take_prove(l, a, &h);
    } else if (h.type == APN_DG_LANE) {
        take_stray(l, a, &h);
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void *listen_thread(void *opaque)
{
    struct apn_dg_listener *l = opaque;
    const struct apn_carrier_ops *ops = l->port->carrier->ops;
    struct apn_port_arrival arrivals[APN_PORT_BURST_MAX];

    while (!atomic_load(&l->stopping)) {
        int n = ops->receive(l->port, arrivals, APN_PORT_BURST_MAX);

        for (int i = 0; i < n && !atomic_load(&l->stopping); i++) {
            take_datagram(l, &arrivals[i]);
        }
        if (n <= 0) { /* an error of one datagram, or nothing: the port must outlive it */
            ops->wait(l->port, n < 0 ? 0 : APN_PORT_WAIT_RECEIVE, n < 0 ? PAUSE_NS : IDLE_NS);
        }
    }
    return NULL;
}

int apn_dg_listener_start(struct apn_dg_listener **out, struct apn_dg_backend *be, const struct apn_acceptor *acceptor, uint16_t *port,
                          struct apn_error *err)
{
    struct apn_dg_listener *l = calloc(1, sizeof(*l));
    uint16_t bound = 0;
    int ret;

    if (!l) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "%s: out of memory", be->name);
    }
    l->be = be;
    l->acceptor = *acceptor;
    ret = apn_dg_random(l->key, sizeof(l->key));
    ret = ret ? ret : be->carrier->ops->listen(be->carrier, &l->port, &bound, err);
    if (!ret) {
        ret = -pthread_create(&l->thread, NULL, listen_thread, l);
    }
    if (ret) {
        apn_error_set(err, ret, APN_SCOPE_SESSION, "%s: listen: %s", be->name, strerror(-ret));
        if (l->port) {
            l->port->carrier->ops->close(l->port);
        }
        free(l);
        return ret;
    }
    *port = bound;
    *out = l;
    return 0;
}

void apn_dg_listener_stop(struct apn_dg_listener *l)
{
    if (!l) {
        return;
    }
    atomic_store(&l->stopping, true);
    l->port->carrier->ops->wake(l->port);
    pthread_join(l->thread, NULL);
    l->port->carrier->ops->close(l->port);
    explicit_bzero(l->key, sizeof(l->key));
    free(l);
}
