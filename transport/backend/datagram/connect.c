/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* connect.c - opening a lane: address by address, OPEN until there is a CHALLENGE, PROVE until there is a WELCOME
 * Thread: the link's.   Never blocks, except on resolving a name. */
#include "backend/datagram/link.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/clock.h"

#define AGAIN_FIRST_NS (20 * APN_NS_PER_MS)  /* an answer that is not there after this is asked for again, */
#define AGAIN_MAX_NS   (250 * APN_NS_PER_MS) /* ever more slowly */
#define PROVES_MAX     10u                   /* then from the beginning: the listener may be another one by now */
#define ETHERNET_BYTES 1472u                 /* a datagram on an ordinary network: 1500 less IPv4 and UDP */

static const uint8_t padding[APN_PORT_DATAGRAM_MAX];

static void next_address(struct apn_dg_link *link, int code, uint64_t now_ns);

/* an attempt's time is shared by the addresses that are left */
static uint64_t share_of_time(const struct apn_dg_shake *s, uint64_t now_ns)
{
    const uint64_t left_ns = s->deadline_ns > now_ns ? s->deadline_ns - now_ns : 0;

    return now_ns + left_ns / (s->addresses - s->next + 1);
}

static void send_padded(struct apn_dg_link *link, uint8_t *head, uint32_t head_bytes, uint32_t bytes, uint64_t now_ns)
{
    struct apn_dg_shake *s = link->shake;
    struct apn_port_datagram d = {.head = head,
                                  .head_bytes = head_bytes,
                                  .payload = padding,
                                  .payload_bytes = bytes > head_bytes ? bytes - head_bytes : 0,
                                  .region = APN_PORT_NO_REGION};
    int ret = link->port->carrier->ops->send(link->port, NULL, &d, 1);
    uint64_t wait_ns = s->tries < 8 ? AGAIN_FIRST_NS << s->tries : AGAIN_MAX_NS;

    s->sent_ns = now_ns;
    s->again_ns = now_ns + (ret == -EMSGSIZE ? 0 : wait_ns < AGAIN_MAX_NS ? wait_ns : AGAIN_MAX_NS);
    s->tries++;
    if (ret < 0 && ret != -EMSGSIZE) {
        next_address(link, ret, now_ns);
    }
}

static void seal(uint8_t *head, enum apn_dg_type type, size_t body_bytes)
{
    apn_dg_header_seal(&(struct apn_dg_header){.type = (uint8_t)type, .record_bytes = (uint16_t)body_bytes}, head);
}

static uint32_t own_limit(const struct apn_dg_link *link)
{
    const uint32_t wish = apn_dg_link_backend(link)->options.datagram_max;

    return wish && wish < link->port->datagram_max ? wish : link->port->datagram_max;
}

static void say_open(struct apn_dg_link *link, uint64_t now_ns)
{
    uint8_t head[APN_DG_HEADER_BYTES + sizeof(struct apn_wire_dg_open)];
    struct apn_wire_dg_open w = {.id = htole64(link->id_in), .datagram_max = htole32(own_limit(link))};

    memcpy(&w.hello, link->shake->hello, sizeof(w.hello));
    memcpy(head + APN_DG_HEADER_BYTES, &w, sizeof(w));
    seal(head, APN_DG_OPEN, sizeof(w));
    send_padded(link, head, sizeof(head), APN_PORT_DATAGRAM_MIN, now_ns);
}

/* as long as we would like to send later: what arrives is what the path carries */
static uint32_t prove_bytes(const struct apn_dg_link *link)
{
    const uint32_t most = own_limit(link), tries = link->shake->tries;
    const uint32_t least = tries < 2 ? most : tries < 4 ? ETHERNET_BYTES : APN_PORT_DATAGRAM_MIN;

    return least < most ? least : most;
}

static void say_prove(struct apn_dg_link *link, uint64_t now_ns)
{
    const struct apn_dg_shake *s = link->shake;
    uint8_t head[APN_DG_HEADER_BYTES + sizeof(struct apn_wire_dg_prove)];
    struct apn_wire_dg_prove w = {.id = htole64(link->id_in), .datagram_max = htole32(own_limit(link)), .stamp = htole32(s->stamp)};

    memcpy(w.cookie, s->cookie, sizeof(w.cookie));
    memcpy(&w.hello, s->hello, sizeof(w.hello));
    memcpy(&w.proof, s->proof, sizeof(w.proof));
    memcpy(head + APN_DG_HEADER_BYTES, &w, sizeof(w));
    seal(head, APN_DG_PROVE, sizeof(w));
    send_padded(link, head, sizeof(head), prove_bytes(link), now_ns);
}

/* ---- addresses --------------------------------------------------------------------- */

static int open_port(struct apn_dg_link *link, struct apn_error *err)
{
    struct apn_dg_backend *be = apn_dg_link_backend(link);
    struct apn_endpoint endpoint = {.remote = link->shake->address[link->shake->next++]};
    struct apn_port *port = NULL;
    int ret = be->carrier->ops->flow(be->carrier, NULL, &endpoint, &port, err);

    apn_dg_link_set_port(link, port);
    return ret;
}

static int begin_hello(struct apn_dg_link *link)
{
    const struct apn_backend_config *config = &apn_dg_link_backend(link)->config;
    struct apn_dg_shake *s = link->shake;
    const uint8_t *hello;
    uint8_t nonce[32];

    if (apn_dg_random(nonce, sizeof(nonce)) || apn_dg_random(&link->id_in, sizeof(link->id_in))) {
        apn_dg_link_fail(link, -EIO, "getrandom: no random numbers");
        return -EIO;
    }
    apn_handshake_client_init(&s->hs, &link->hello, config->secret, config->secret_bytes, nonce);
    apn_handshake_output(&s->hs, &hello);
    memcpy(s->hello, hello, sizeof(s->hello));
    apn_handshake_sent(&s->hs, sizeof(s->hello));
    s->tries = 0;
    link->stage = APN_DG_OPENING;
    return 0;
}

static void fail_address(struct apn_dg_link *link, int code, const struct apn_error *err)
{
    char text[80];

    apn_dg_address_text(&link->shake->address[link->shake->next ? link->shake->next - 1 : 0], text, sizeof(text));
    apn_dg_link_fail(link, code, "connect to %s: %s", text, err && err->code ? err->text : strerror(-code));
}

/* this address failed with @code: go on with the next one, or give up with the last reason */
static void next_address(struct apn_dg_link *link, int code, uint64_t now_ns)
{
    struct apn_dg_shake *s = link->shake;
    struct apn_error err = {0};

    while (s->next < s->addresses && now_ns < s->deadline_ns) {
        err = (struct apn_error){0};
        s->address_deadline_ns = share_of_time(s, now_ns);
        code = open_port(link, &err);
        if (!code) {
            if (!begin_hello(link)) {
                say_open(link, now_ns);
            }
            return;
        }
    }
    if (link->stage < APN_DG_FAILED) {
        fail_address(link, code, &err);
    }
}

static void begin(struct apn_dg_link *link, uint64_t now_ns)
{
    struct apn_dg_backend *be = apn_dg_link_backend(link);
    struct apn_dg_shake *s = link->shake;
    struct apn_error err = {0};
    int ret = be->carrier->ops->resolve(be->carrier, s->address, APN_PORT_ADDRESSES_MAX, &err);

    if (ret <= 0) {
        apn_dg_link_fail(link, ret ? ret : -ENOENT, "%s", err.text);
        return;
    }
    s->addresses = (unsigned)ret;
    s->deadline_ns = now_ns + be->config.handshake_timeout_ms * APN_NS_PER_MS;
    next_address(link, -EHOSTUNREACH, now_ns);
}

void apn_dg_shake_refused(struct apn_dg_link *link, int code, uint64_t now_ns)
{
    next_address(link, code, now_ns);
}

/* ---- answers ------------------------------------------------------------------------- */

static void handshake_failed(struct apn_dg_link *link)
{
    apn_dg_link_fail(link, link->shake->hs.error.code, "%s", link->shake->hs.error.text);
}

static void take_challenge(struct apn_dg_link *link, const uint8_t *body, size_t bytes, uint64_t now_ns)
{
    struct apn_dg_shake *s = link->shake;
    struct apn_wire_dg_challenge w;
    const uint8_t *proof;

    if (link->stage != APN_DG_OPENING || bytes < sizeof(w) || bytes - sizeof(w) > APN_WIRE_HS_MAX) {
        return;
    }
    memcpy(&w, body, sizeof(w));
    apn_dg_feed(&s->hs, body + sizeof(w), bytes - sizeof(w));
    if (s->hs.step == APN_HS_STEP_FAILED) {
        handshake_failed(link);
    } else if (apn_handshake_output(&s->hs, &proof) == sizeof(s->proof)) {
        memcpy(s->proof, proof, sizeof(s->proof));
        apn_handshake_sent(&s->hs, sizeof(s->proof));
        memcpy(s->cookie, w.cookie, sizeof(s->cookie));
        s->stamp = le32toh(w.stamp);
        s->tries = 0;
        link->stage = APN_DG_PROVING;
        say_prove(link, now_ns);
    } else {
        apn_dg_link_fail(link, -EPROTO, "handshake: CHALLENGE is not complete");
    }
}

static void become_up(struct apn_dg_link *link, const struct apn_wire_dg_welcome *w, uint64_t now_ns)
{
    const struct apn_dg_shake *s = link->shake;
    const uint32_t theirs = le32toh(w->datagram_max), staging = le32toh(w->staging_bytes), own = own_limit(link);

    if (theirs < APN_PORT_DATAGRAM_MIN || staging < APN_DG_STAGING_MIN || staging > APN_DG_STAGING_MAX || staging & (staging - 1) || !w->id) {
        apn_dg_link_fail(link, -EPROTO, "handshake: WELCOME says datagrams of %u bytes and %u bytes of staging", theirs, staging);
        return;
    }
    if (apn_dg_link_ready(link, link->id_in, le64toh(w->id), theirs < own ? theirs : own, staging, s->tries == 1 ? now_ns - s->sent_ns : 0)) {
        apn_dg_link_fail(link, -ENOMEM, "out of memory");
        return;
    }
    link->welcome = s->hs.welcome;
    link->up_due = true;
}

static void take_welcome(struct apn_dg_link *link, const uint8_t *body, size_t bytes, uint64_t now_ns)
{
    struct apn_dg_shake *s = link->shake;
    struct apn_wire_dg_welcome w;

    if (link->stage != APN_DG_PROVING || bytes < sizeof(w) || bytes - sizeof(w) > APN_WIRE_HS_MAX) {
        return;
    }
    memcpy(&w, body, sizeof(w));
    apn_dg_feed(&s->hs, body + sizeof(w), bytes - sizeof(w));
    if (s->hs.step == APN_HS_STEP_FAILED) {
        handshake_failed(link);
    } else if (s->hs.step == APN_HS_STEP_DONE) {
        become_up(link, &w, now_ns);
    } else {
        apn_dg_link_fail(link, -EPROTO, "handshake: WELCOME is not complete");
    }
}

void apn_dg_shake_arrived(struct apn_dg_link *link, const struct apn_port_arrival *a, uint64_t now_ns)
{
    struct apn_dg_header h;

    if (apn_dg_header_decode(a->head, a->head_bytes, &h) || h.connection != link->id_in) {
        return;
    }
    if (h.type == APN_DG_CHALLENGE) {
        take_challenge(link, a->head + APN_DG_HEADER_BYTES, h.record_bytes, now_ns);
    } else if (h.type == APN_DG_WELCOME) {
        take_welcome(link, a->head + APN_DG_HEADER_BYTES, h.record_bytes, now_ns);
    }
}

/* ---- time -------------------------------------------------------------------------------- */

uint64_t apn_dg_shake_at(const struct apn_dg_link *link)
{
    const struct apn_dg_shake *s = link->shake;

    return s->again_ns < s->address_deadline_ns ? s->again_ns : s->address_deadline_ns;
}

static void time_is_up(struct apn_dg_link *link, uint64_t now_ns)
{
    char text[80];

    if (link->shake->next < link->shake->addresses && now_ns < link->shake->deadline_ns) {
        next_address(link, -ETIMEDOUT, now_ns);
        return;
    }
    apn_dg_address_text(&link->shake->address[link->shake->next - 1], text, sizeof(text));
    apn_dg_link_fail(link, -ETIMEDOUT, "handshake with %s: no answer within %u ms", text,
                     apn_dg_link_backend(link)->config.handshake_timeout_ms);
}

void apn_dg_shake_step(struct apn_dg_link *link, uint64_t now_ns)
{
    struct apn_dg_shake *s = link->shake;

    if (!s->addresses) {
        begin(link, now_ns);
        return;
    }
    if (now_ns >= s->address_deadline_ns) {
        time_is_up(link, now_ns);
        return;
    }
    if (now_ns < s->again_ns) {
        return;
    }
    if (link->stage == APN_DG_PROVING && s->tries >= PROVES_MAX) {
        begin_hello(link);
    }
    if (link->stage == APN_DG_PROVING) {
        say_prove(link, now_ns);
    } else if (link->stage == APN_DG_OPENING) {
        say_open(link, now_ns);
    }
}
