/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* carrier.c - the udp backend: configuration, addresses, counters; see carrier.h */
#include "backend/udp/carrier.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/datagram/datagram.h"
#include "backend/socket.h"
#include "backend/udp/udp.h"

static struct apn_udp_carrier *carrier_of(struct apn_carrier *base)
{
    return (struct apn_udp_carrier *)base;
}

void apn_udp_note(struct apn_udp_carrier *c, const char *text)
{
    pthread_mutex_lock(&c->lock);
    if (!c->note[0]) {
        snprintf(c->note, sizeof(c->note), "%s", text);
    }
    pthread_mutex_unlock(&c->lock);
}

static int resolve(struct apn_carrier *base, union apn_address *out, unsigned max, struct apn_error *err)
{
    struct apn_udp_carrier *c = carrier_of(base);
    struct addrinfo *list;
    unsigned n = 0;
    int ret = apn_tcp_resolve(c->host, c->port, false, &list, err);

    if (ret) {
        return ret;
    }
    for (const struct addrinfo *a = list; a && n < max; a = a->ai_next) {
        if (a->ai_addrlen <= sizeof(out[n]) && (a->ai_family == AF_INET || a->ai_family == AF_INET6)) {
            memset(&out[n], 0, sizeof(out[n]));
            memcpy(&out[n++], a->ai_addr, a->ai_addrlen);
        }
    }
    freeaddrinfo(list);
    return n ? (int)n : apn_error_set(err, -EAFNOSUPPORT, APN_SCOPE_SESSION, "host \"%s\": neither IPv4 nor IPv6", c->host);
}

static void counters(struct apn_carrier *base, struct apn_carrier_counters *out)
{
    struct apn_udp_carrier *c = carrier_of(base);

    *out = (struct apn_carrier_counters){
        .sent = atomic_load(&c->sent),
        .received = atomic_load(&c->received),
        .send_calls = atomic_load(&c->send_calls),
        .receive_calls = atomic_load(&c->receive_calls),
    };
    snprintf(out->send_mode, sizeof(out->send_mode), "%s", atomic_load(&c->no_gso) ? "copy" : "copy (segmented)");
    pthread_mutex_lock(&c->lock);
    memcpy(out->note, c->note, sizeof(out->note));
    pthread_mutex_unlock(&c->lock);
}

static void carrier_free(struct apn_carrier *base)
{
    struct apn_udp_carrier *c = carrier_of(base);

    free(c->host);
    free(c->port);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static const struct apn_carrier_ops udp_ops = {
    .name = "udp",
    .resolve = resolve,
    .listen = apn_udp_listen,
    .flow = apn_udp_flow,
    .counters = counters,
    .free = carrier_free,
    .send = apn_udp_send,
    .receive = apn_udp_receive,
    .read = apn_udp_read,
    .wait = apn_udp_wait,
    .wake = apn_udp_wake,
    .close = apn_udp_close,
};

int apn_udp_backend_new(struct apn_backend **out, const struct apn_backend_config *config, const char *options, struct apn_error *err)
{
    struct apn_datagram_options o;
    struct apn_udp_carrier *c;
    int ret = apn_datagram_options_parse(options, &o, NULL, NULL, err);

    if (ret) {
        return ret;
    }
    if (config->send_mode && strcmp(config->send_mode, "auto") && strcmp(config->send_mode, "copy") && *config->send_mode) {
        return apn_error_set(err, strcmp(config->send_mode, "zero-copy") ? -EINVAL : -ENOSYS, APN_SCOPE_SESSION,
                             "udp: send mode \"%s\": must be auto or copy", config->send_mode);
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "udp: out of memory");
    }
    c->base.ops = &udp_ops;
    pthread_mutex_init(&c->lock, NULL);
    c->host = strdup(config->host ? config->host : "");
    c->port = strdup(config->port ? config->port : "");
    c->queue_bytes = config->window_hint_bytes > APN_UDP_QUEUE_BYTES ? config->window_hint_bytes : APN_UDP_QUEUE_BYTES;
    c->ecn = o.shared;
    if (!c->host || !c->port) {
        carrier_free(&c->base);
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "udp: out of memory");
    }
    return apn_datagram_backend_new(out, "udp", &c->base, &o, config, err);
}
