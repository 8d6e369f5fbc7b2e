/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.c - life of a link: made, polled, closed; see link.h */
#include "backend/datagram/link.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "backend/datagram/memory.h"
#include "support/clock.h"

#define WAIT_MAX_NS   (60 * APN_NS_PER_S) /* of one poll; a longer wish gets an early 0 */
#define PACING_NS     (250 * APN_NS_PER_US) /* of datagrams collect before the sender is woken for them, */
#define GATHER_NS     (200 * APN_NS_PER_US) /* and before the receiver is; at most 1/16 of the round trip */
#define GATHER_MIN_NS (50 * APN_NS_PER_US)  /* less is not worth a sleep */
#define RECEIVES_MAX  4u                  /* bursts per pass, so that sending has its turn */
#define LINGER_NS     (50 * APN_NS_PER_MS)
#define FULL_NS       (500 * APN_NS_PER_US) /* a port that was full is tried again */

static uint64_t now(const struct apn_dg_link *link)
{
    return apn_dg_now(apn_dg_link_backend(link));
}

void apn_dg_address_text(const union apn_address *address, char *text, size_t room)
{
    char host[64], port[8];
    socklen_t bytes = address->family == AF_INET ? sizeof(address->in) : sizeof(address->in6);

    if (getnameinfo(&address->any, bytes, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV)) {
        snprintf(text, room, "(unknown address)");
        return;
    }
    snprintf(text, room, "%s port %s", host, port);
}

int apn_dg_random(void *bytes, size_t length)
{
    return getrandom(bytes, length, 0) == (ssize_t)length ? 0 : -EIO;
}

void apn_dg_feed(struct apn_handshake *hs, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;

    while (length && hs->step == APN_HS_STEP_MORE && apn_handshake_wants(hs)) {
        size_t n = apn_handshake_wants(hs) < length ? apn_handshake_wants(hs) : length;

        apn_handshake_input(hs, at, n);
        at += n;
        length -= n;
    }
}

void apn_dg_link_fail(struct apn_dg_link *link, int code, const char *format, ...)
{
    char text[APN_ERROR_TEXT_MAX];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    apn_error_set(&link->error, code, APN_SCOPE_LANE, "%s: lane %u: %s", apn_dg_link_backend(link)->name, link->hello.lane, text);
    if (link->stage < APN_DG_FAILED) {
        link->stage = APN_DG_FAILED;
    }
}

struct apn_dg_link *apn_dg_link_new(struct apn_dg_backend *be, const struct apn_hello *hello, struct apn_port *port, struct apn_error *err)
{
    struct apn_dg_link *link = calloc(1, sizeof(*link));

    if (!link) {
        goto fail;
    }
    pthread_mutex_init(&link->port_lock, NULL);
    link->base.backend = &be->base;
    link->hello = *hello;
    link->head = apn_dg_memory_new(APN_PORT_BURST_MAX * sizeof(*link->head));
    link->shake = port ? NULL : calloc(1, sizeof(*link->shake));
    if (!link->head || (!port && !link->shake)) {
        goto fail;
    }
    link->port = port;
    return link;
fail:
    apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "%s: lane %u: out of memory", be->name, hello->lane);
    apn_dg_link_close(link ? &link->base : NULL);
    return NULL;
}

void apn_dg_link_set_port(struct apn_dg_link *link, struct apn_port *port)
{
    struct apn_port *old;

    pthread_mutex_lock(&link->port_lock);
    old = link->port;
    link->port = port;
    pthread_mutex_unlock(&link->port_lock);
    if (old) {
        old->carrier->ops->close(old);
    }
}

int apn_dg_link_ready(struct apn_dg_link *link, uint64_t id_in, uint64_t id_out, uint32_t datagram_max, uint32_t staging_bytes,
                      uint64_t rtt_ns)
{
    const struct apn_dg_backend *be = apn_dg_link_backend(link);
    const struct apn_datagram_options *o = &be->options;

    link->id_in = id_in;
    link->id_out = id_out;
    apn_dg_rate_init(&link->rate, o->ceiling_bytes_per_s, o->floor_bytes_per_s, o->shared, rtt_ns, now(link));
    link->ready = true;
    if (apn_dg_receiver_init(&link->rx, &be->config.sink, staging_bytes) ||
        apn_dg_sender_init(&link->tx, &link->rate, datagram_max, staging_bytes)) {
        return -ENOMEM;
    }
    link->stage = APN_DG_UP;
    return 0;
}

int apn_dg_link_post(struct apn_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct apn_dg_link *link = (struct apn_dg_link *)base;

    if (link->stage != APN_DG_UP) {
        return link->stage < APN_DG_UP ? -ENOTCONN : -EPIPE;
    }
    return apn_dg_sender_post(&link->tx, msgs, n);
}

/* ---- sending ------------------------------------------------------------------- */

static struct apn_dg_header lane_header(const struct apn_dg_link *link, uint64_t now_ns)
{
    return (struct apn_dg_header){.type = APN_DG_LANE,
                                  .connection = link->id_out,
                                  .number = link->tx.next,
                                  .age = apn_dg_sender_age(&link->tx, link->tx.next),
                                  .stamp_us = (uint32_t)(now_ns / 1000)};
}

/* an ACK that is due, in front of everything else. Return: bytes used */
static uint32_t put_ack(struct apn_dg_link *link, uint8_t *head, uint64_t now_ns)
{
    const uint32_t most = link->tx.datagram_max < APN_PORT_HEAD_MAX ? link->tx.datagram_max : APN_PORT_HEAD_MAX;

    if (!link->rx.has_stamp || apn_dg_receiver_ack_at(&link->rx) > now_ns) {
        return APN_DG_HEADER_BYTES;
    }
    apn_dg_receiver_ack(&link->rx, &link->item.ack, now_ns);
    return APN_DG_HEADER_BYTES + (uint32_t)apn_dg_ack_encode(&link->item.ack, head + APN_DG_HEADER_BYTES, most - APN_DG_HEADER_BYTES);
}

/* one datagram into the burst: an ACK, a probe, parts of messages. Return: false when there is nothing due */
static bool build_one(struct apn_dg_link *link, uint64_t now_ns)
{
    uint8_t *head = link->head[link->burst_count];
    struct apn_port_datagram *d = &link->burst[link->burst_count];
    struct apn_dg_header h = lane_header(link, now_ns);
    const bool probe = apn_dg_sender_probe_at(&link->tx) <= now_ns;
    uint32_t used = put_ack(link, head, now_ns);
    const bool ack = used > APN_DG_HEADER_BYTES;
    int parts = 0;

    *d = (struct apn_port_datagram){.head = head, .region = APN_PORT_NO_REGION};
    if (!apn_dg_sender_due(&link->tx)) {
        link->paced = false; /* there is nothing, or the window is full: no fault of this host's clock */
    } else if (!apn_dg_rate_may_send(&link->rate, now_ns)) {
        link->paced = true;
    } else {
        parts = apn_dg_sender_build(&link->tx, head, &used, d, now_ns);
    }
    if (!parts && !ack && !probe) {
        return false;
    }
    if (probe) {
        h.flags |= APN_DG_ASKS;
        apn_dg_sender_probed(&link->tx, now_ns);
    }
    h.flags |= parts ? APN_DG_COUNTED : 0;
    h.record_bytes = (uint16_t)(used - APN_DG_HEADER_BYTES);
    d->head_bytes = used;
    apn_dg_header_seal(&h, head);
    if (parts) {
        if (apn_dg_rate_sent(&link->rate, used + d->payload_bytes, link->paced, now_ns)) {
            apn_dg_sender_limited(&link->tx);
        }
        link->payload_bytes += d->region != APN_PORT_NO_REGION ? d->payload_bytes : 0;
    }
    link->burst_count++;
    return true;
}

/* @what was done when the port turned out to be broken; its carrier may know why */
static void port_failed(struct apn_dg_link *link, const char *what, int code)
{
    struct apn_carrier *carrier = link->port->carrier;
    struct apn_carrier_counters c = {0};

    if (code == -ENOLINK) {
        carrier->ops->counters(carrier, &c);
    }
    if (c.note[0]) {
        apn_dg_link_fail(link, code, "%s", c.note);
    } else {
        apn_dg_link_fail(link, code, "%s: %s", what, strerror(-code));
    }
}

static void send_failed(struct apn_dg_link *link, int code)
{
    if (code == -EMSGSIZE) {
        apn_dg_link_fail(link, code, "the path became narrower: %u bytes fit in a datagram, agreed were %u", link->port->datagram_max,
                         link->tx.datagram_max);
    } else {
        port_failed(link, "send", code);
    }
}

/* Return: true when more could be sent at once */
static bool send_some(struct apn_dg_link *link, uint64_t now_ns)
{
    int ret;

    if (link->burst_next == link->burst_count) {
        link->burst_next = link->burst_count = 0;
        while (link->burst_count < APN_PORT_BURST_MAX && build_one(link, now_ns)) {
        }
    }
    link->port_full = false;
    if (link->burst_next == link->burst_count) {
        return false;
    }
    ret = link->port->carrier->ops->send(link->port, NULL, link->burst + link->burst_next, link->burst_count - link->burst_next);
    if (ret < 0) {
        send_failed(link, ret);
        return false;
    }
    link->burst_next += (unsigned)ret;
    link->port_full = link->burst_next < link->burst_count;
    return !link->port_full;
}

/* ---- receiving --------------------------------------------------------------------- */

static void take_record(struct apn_dg_link *link, const struct apn_dg_reader *r, const struct apn_port_arrival *a, bool wanted, bool *landed,
                        uint64_t now_ns)
{
    struct apn_dg_item *item = &link->item;
    struct apn_error err = {0};
    struct apn_dg_payload payload = {.head = item->part.inlined, .head_bytes = item->part.bytes, .port = link->port, .arrival = a};
    uint32_t rtt_us;
    int ret = 0;

    switch (item->kind) {
    case APN_DG_ACK:
        rtt_us = (uint32_t)(now_ns / 1000) - item->ack.echo_us - item->ack.hold_us;
        if (item->ack.echo_us && rtt_us < 60000000) {
            apn_dg_rate_rtt(&link->rate, rtt_us * 1000ull, now_ns);
        }
        ret = apn_dg_sender_acked(&link->tx, &item->ack, now_ns, &err);
        break;
    case APN_DG_PART:
    case APN_DG_BULK:
        if (!wanted) {
            break;
        }
        if (item->kind == APN_DG_BULK) {
            payload.head = r->at;
            payload.head_bytes = (uint32_t)(a->head + a->head_bytes - r->at);
        }
        ret = apn_dg_receiver_part(&link->rx, &item->part, &payload, &err);
        *landed &= ret > 0;
        break;
    case APN_DG_CLOSE:
        apn_dg_link_fail(link, -ECONNRESET, "the peer closed the lane: %s", strerror(-item->close_code));
        break;
    }
    if (ret < 0) {
        apn_dg_link_fail(link, ret, "%s", err.text);
    }
}

static void take_lane(struct apn_dg_link *link, const struct apn_dg_header *h, const struct apn_port_arrival *a, uint64_t now_ns)
{
    struct apn_error err = {0};
    struct apn_dg_reader r;
    bool landed = true;
    int wanted, ret;

    link->has_peer_data = true;
    link->rx.marked += a->ecn == 3;
    wanted = apn_dg_receiver_heard(&link->rx, h, a->total_bytes, now_ns, &err);
    apn_dg_reader_init(&r, a->head, h, a->total_bytes);
    ret = wanted < 0 ? wanted : apn_dg_reader_next(&r, &link->item, &err);
    for (; ret > 0 && link->stage == APN_DG_UP; ret = apn_dg_reader_next(&r, &link->item, &err)) {
        take_record(link, &r, a, wanted && h->flags & APN_DG_COUNTED, &landed, now_ns);
    }
    if (ret < 0) {
        apn_dg_link_fail(link, ret, "%s", err.text);
    } else if (wanted && landed && h->flags & APN_DG_COUNTED && link->stage == APN_DG_UP) {
        apn_dg_receiver_took(&link->rx, h->number);
    }
}

/* the peer has not heard WELCOME: again */
static void welcome_again(struct apn_dg_link *link)
{
    struct apn_port_datagram d = {.head = link->welcome_bytes, .head_bytes = link->welcome_length, .region = APN_PORT_NO_REGION};

    if (link->welcome_bytes && !link->has_peer_data) {
        link->port->carrier->ops->send(link->port, NULL, &d, 1);
    }
}

static void take_datagram(struct apn_dg_link *link, const struct apn_port_arrival *a, uint64_t now_ns)
{
    struct apn_dg_header h;

    if (link->stage < APN_DG_UP) {
        apn_dg_shake_arrived(link, a, now_ns);
        return;
    }
    if (apn_dg_header_decode(a->head, a->head_bytes, &h)) {
        return; /* anybody can send anything: not the peer's fault */
    }
    if (h.type == APN_DG_LANE && h.connection == link->id_in) {
        take_lane(link, &h, a, now_ns);
    } else if (h.type == APN_DG_GONE && h.number == link->id_out) {
        apn_dg_link_fail(link, -ECONNRESET, "the peer does not know this lane any more");
    } else if (h.type == APN_DG_PROVE) {
        welcome_again(link);
    }
}

/* Return: true when something came */
static bool receive_some(struct apn_dg_link *link)
{
    struct apn_port_arrival arrivals[APN_PORT_BURST_MAX];
    bool any = false;

    for (unsigned i = 0; i < RECEIVES_MAX && link->stage <= APN_DG_UP; i++) {
        struct apn_port *port = link->port;
        int n = port->carrier->ops->receive(port, arrivals, APN_PORT_BURST_MAX);
        uint64_t now_ns = now(link);

        if (n < 0 && link->stage < APN_DG_UP) {
            apn_dg_shake_refused(link, n, now_ns);
        } else if (n < 0) {
            port_failed(link, "receive", n);
        }
        for (int k = 0; k < n && link->stage <= APN_DG_UP && link->port == port; k++) { /* arrivals live as long as the port */
            take_datagram(link, &arrivals[k], now_ns);
        }
        any |= n > 0;
        link->got += n > 0 ? (unsigned)n : 0;
        if (n <= 0 || link->port != port) {
            break;
        }
    }
    return any;
}

static void tell(_Atomic uint64_t *total, uint64_t value, uint64_t *told)
{
    if (value != *told) {
        atomic_fetch_add_explicit(total, value - *told, memory_order_relaxed);
        *told = value;
    }
}

static void tell_counters(struct apn_dg_link *link)
{
    struct apn_dg_backend *be = apn_dg_link_backend(link);

    tell(&be->lost, link->tx.lost, &link->told_lost);
    tell(&be->repeated, link->tx.repeated, &link->told_repeated);
    tell(&be->duplicates, link->rx.duplicates, &link->told_duplicates);
    tell(&be->payload_bytes, link->payload_bytes, &link->told_payload);
}

/* ---- polling ------------------------------------------------------------------------ */

static unsigned take_events(struct apn_dg_link *link, struct apn_event *events, unsigned max)
{
    unsigned n = 0;

    if (link->up_due) {
        link->up_due = false;
        events[n++] = (struct apn_event){.type = APN_EVENT_UP, .welcome = link->welcome};
    }
    while (link->ready && link->stage < APN_DG_OVER && n < max && apn_dg_receiver_next(&link->rx, &events[n].msg)) {
        events[n++].type = APN_EVENT_MSG;
    }
    if (n == 0 && link->stage == APN_DG_FAILED && !(link->ready && link->rx.held.span)) {
        link->stage = APN_DG_OVER;
        events[n++] = (struct apn_event){.type = APN_EVENT_DOWN, .error = link->error};
    }
    return n;
}

/* one pass: out, in. Return: true when the next pass may be worth it at once */
static bool move(struct apn_dg_link *link)
{
    bool more;

    if (link->stage < APN_DG_UP) {
        apn_dg_shake_step(link, now(link));
        return link->stage < APN_DG_UP && link->port && receive_some(link);
    }
    more = send_some(link, now(link));
    if (link->stage == APN_DG_UP) {
        more |= receive_some(link);
    }
    if (link->stage == APN_DG_UP && link->rx.urgent && !link->port_full) {
        send_some(link, now(link)); /* a gap: the sooner it is known the better */
    }
    return more;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_deadline(const struct apn_dg_link *link)
{
    uint64_t at;

    if (link->stage < APN_DG_UP) {
        return apn_dg_shake_at(link);
    }
    at = earlier(apn_dg_receiver_ack_at(&link->rx), apn_dg_sender_probe_at(&link->tx));
    if (apn_dg_sender_due(&link->tx)) {
        at = earlier(at, link->rate.next_ns + PACING_NS);
    }
    return at;
}

/* While datagrams come in a stream, being woken for each costs more than taking it: let some gather. Return: for how long */
static uint64_t gathering(struct apn_dg_link *link, uint64_t now_ns)
{
    const uint64_t most = link->rate.rtt_min_ns / 16 < GATHER_NS ? link->rate.rtt_min_ns / 16 : GATHER_NS;
    const bool stream = link->got >= 2 || (link->got && now_ns - link->waited_ns < GATHER_NS);

    link->got = 0;
    link->waited_ns = now_ns;
    return stream && most >= GATHER_MIN_NS && link->stage == APN_DG_UP ? most : 0;
}

static void wait_for_more(struct apn_dg_link *link, uint64_t deadline_ns)
{
    const struct apn_carrier_ops *ops = link->port->carrier->ops;
    const uint64_t now_ns = now(link);
    const uint64_t gather_ns = gathering(link, now_ns);
    uint64_t until = earlier(deadline_ns, link->port_full ? now_ns + FULL_NS : next_deadline(link));

    if (until <= now_ns) {
        return;
    }
    if (gather_ns && !link->port_full) {
        ops->wait(link->port, 0, earlier(until - now_ns, gather_ns));
    } else {
        ops->wait(link->port, APN_PORT_WAIT_RECEIVE | (link->port_full ? APN_PORT_WAIT_SEND : 0), until - now_ns);
    }
}

int apn_dg_link_poll(struct apn_link *base, struct apn_event *events, unsigned max, int64_t timeout_ns)
{
    struct apn_dg_link *link = (struct apn_dg_link *)base;
    const uint64_t wait_ns = timeout_ns < 0 || (uint64_t)timeout_ns > WAIT_MAX_NS ? WAIT_MAX_NS : (uint64_t)timeout_ns;
    const bool waits = wait_ns && apn_dg_link_backend(link)->carrier->ops->wait;
    const uint64_t deadline_ns = waits ? now(link) + wait_ns : 0;
    unsigned n;

    if (max == 0) {
        return 0;
    }
    if (link->ready) {
        apn_dg_receiver_begin(&link->rx);
    }
    for (;;) {
        const bool more = link->stage <= APN_DG_UP && move(link);

        n = take_events(link, events, max);
        if (n || link->stage >= APN_DG_FAILED || atomic_exchange(&link->woken, false) || !waits || now(link) >= deadline_ns) {
            break;
        }
        if (!more && link->port) {
            wait_for_more(link, deadline_ns);
        }
    }
    if (link->ready) {
        tell_counters(link);
    }
    return (int)n;
}

void apn_dg_link_wake(struct apn_link *base)
{
    struct apn_dg_link *link = (struct apn_dg_link *)base;

    atomic_store(&link->woken, true);
    pthread_mutex_lock(&link->port_lock);
    if (link->port && link->port->carrier->ops->wake) {
        link->port->carrier->ops->wake(link->port);
    }
    pthread_mutex_unlock(&link->port_lock);
}

/* ---- closing --------------------------------------------------------------------------- */

static bool all_arrived(const struct apn_dg_link *link)
{
    return link->tx.unsent == link->tx.posted && link->tx.floor == link->tx.next;
}

/* What was posted may still arrive, as bytes in a socket would, while the peer answers; nothing is delivered here any more. */
static void linger(struct apn_dg_link *link)
{
    const struct apn_carrier_ops *ops = link->port->carrier->ops;
    const uint64_t until_ns = now(link) + LINGER_NS;

    while (link->stage == APN_DG_UP && ops->wait && !all_arrived(link) && !link->tx.probes && now(link) < until_ns) {
        if (!move(link) && link->stage == APN_DG_UP) {
            wait_for_more(link, until_ns);
        }
    }
}

static void say_goodbye(struct apn_dg_link *link)
{
    struct apn_dg_header h = lane_header(link, now(link));
    struct apn_port_datagram d = {.head = link->head[0], .head_bytes = APN_DG_HEADER_BYTES + APN_DG_CLOSE_BYTES, .region = APN_PORT_NO_REGION};

    h.number = link->tx.next;
    h.age = apn_dg_sender_age(&link->tx, h.number);
    h.record_bytes = APN_DG_CLOSE_BYTES;
    apn_dg_close_encode(-ESHUTDOWN, link->head[0] + APN_DG_HEADER_BYTES);
    apn_dg_header_seal(&h, link->head[0]);
    for (int i = 0; i < 2; i++) { /* one may be lost; when both are, the peer finds out as it does with a cut */
        link->port->carrier->ops->send(link->port, NULL, &d, 1);
    }
}

void apn_dg_link_close(struct apn_link *base)
{
    struct apn_dg_link *link = (struct apn_dg_link *)base;

    if (!link) {
        return;
    }
    if (link->port && link->stage == APN_DG_UP) {
        linger(link);
    }
    if (link->port && link->stage == APN_DG_UP) {
        say_goodbye(link);
    }
    apn_dg_link_set_port(link, NULL);
    if (link->ready) {
        tell_counters(link);
        apn_dg_sender_done(&link->tx);
        apn_dg_receiver_done(&link->rx);
    }
    free(link->shake);
    free(link->welcome_bytes);
    apn_dg_memory_free(link->head, APN_PORT_BURST_MAX * sizeof(*link->head));
    pthread_mutex_destroy(&link->port_lock);
    free(link);
}
