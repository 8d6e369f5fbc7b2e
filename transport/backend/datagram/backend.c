/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backend.c - the ops table of every backend that is made of datagrams; see datagram.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "backend/datagram/link.h"

#define HANDSHAKE_TIMEOUT_DEFAULT_MS 3000u

static struct apn_dg_backend *backend_of(struct apn_backend *base)
{
    return (struct apn_dg_backend *)base;
}

static void backend_free(struct apn_backend *base)
{
    struct apn_dg_backend *be = backend_of(base);

    if (!be) {
        return;
    }
    apn_dg_listener_stop(be->listener);
    be->carrier->ops->free(be->carrier);
    if (be->config.secret) {
        gnutls_memset((void *)(uintptr_t)be->config.secret, 0, be->config.secret_bytes);
        free((void *)(uintptr_t)be->config.secret);
    }
    free(be);
}

static int backend_connect(struct apn_backend *base, const struct apn_hello *hello, struct apn_link **out, struct apn_error *err)
{
    struct apn_dg_link *link = apn_dg_link_new(backend_of(base), hello, NULL, err);

    if (!link) {
        return err && err->code ? err->code : -ENOMEM;
    }
    *out = &link->base;
    return 0;
}

static int backend_listen(struct apn_backend *base, const struct apn_acceptor *acceptor, uint16_t *port, struct apn_error *err)
{
    struct apn_dg_backend *be = backend_of(base);

    if (be->listener) {
        return apn_error_set(err, -EALREADY, APN_SCOPE_SESSION, "%s: this backend listens already", be->name);
    }
    return apn_dg_listener_start(&be->listener, be, acceptor, port, err);
}

static int backend_region_add(struct apn_backend *base, unsigned region, const struct apn_region *r, struct apn_error *err)
{
    struct apn_carrier *carrier = backend_of(base)->carrier;

    return carrier->ops->region_add ? carrier->ops->region_add(carrier, region, r, err) : 0;
}

static void backend_counters(struct apn_backend *base, struct apn_backend_counters *out)
{
    struct apn_dg_backend *be = backend_of(base);
    const uint64_t payload = atomic_load(&be->payload_bytes), lost = atomic_load(&be->lost);
    struct apn_carrier_counters c = {0};

    be->carrier->ops->counters(be->carrier, &c);
    *out = (struct apn_backend_counters){
        .zerocopy_bytes = c.zerocopy_bytes,
        .copied_bytes = c.zerocopy_bytes && payload > c.zerocopy_bytes ? payload - c.zerocopy_bytes : 0, /* of what was to be none */
        .requests = c.sent,
        .doorbells = c.send_calls,
        .registered_bytes = c.registered_bytes,
        .registrations = c.registrations,
    };
    snprintf(out->send_mode, sizeof(out->send_mode), "%s", c.send_mode);
    if (c.note[0]) {
        snprintf(out->note, sizeof(out->note), "%s", c.note);
    } else if (lost) {
        snprintf(out->note, sizeof(out->note), "%s: %llu of %llu datagrams were lost and sent again", be->name, (unsigned long long)lost,
                 (unsigned long long)c.sent);
    }
}

static const struct apn_backend_ops datagram_ops = {
    .connect = backend_connect,
    .listen = backend_listen,
    .region_add = backend_region_add,
    .post = apn_dg_link_post,
    .poll = apn_dg_link_poll,
    .wake = apn_dg_link_wake,
    .link_close = apn_dg_link_close,
    .counters = backend_counters,
    .free = backend_free,
};

static uint32_t staging_for(uint64_t window_bytes)
{
    uint32_t bytes = APN_DG_STAGING_MIN * 4;

    while (bytes < window_bytes && bytes < APN_DG_STAGING_MAX) {
        bytes *= 2;
    }
    return bytes;
}

int apn_datagram_backend_new(struct apn_backend **out, const char *name, struct apn_carrier *carrier,
                             const struct apn_datagram_options *options, const struct apn_backend_config *config, struct apn_error *err)
{
    struct apn_dg_backend *be = calloc(1, sizeof(*be));

    if (!be) {
        carrier->ops->free(carrier);
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "%s: out of memory", name);
    }
    be->ops = datagram_ops;
    be->ops.name = name;
    be->base = (struct apn_backend){&be->ops, APN_CAP_REPAIRS | (carrier->ops->wait ? 0 : APN_CAP_VIRTUAL), APN_DG_POST_MAX};
    be->name = name;
    be->carrier = carrier;
    be->options = *options;
    be->config = *config;
    be->config.host = be->config.port = be->config.send_mode = NULL; /* the carrier's business */
    be->config.secret = NULL;
    be->config.handshake_timeout_ms = config->handshake_timeout_ms ? config->handshake_timeout_ms : HANDSHAKE_TIMEOUT_DEFAULT_MS;
    be->staging_bytes = staging_for(config->window_hint_bytes);
    if (config->secret && config->secret_bytes) {
        be->config.secret = malloc(config->secret_bytes);
        if (!be->config.secret) {
            backend_free(&be->base);
            return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "%s: out of memory", name);
        }
        memcpy((void *)(uintptr_t)be->config.secret, config->secret, config->secret_bytes);
    }
    *out = &be->base;
    return 0;
}
