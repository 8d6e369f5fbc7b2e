/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* carrier.c - the carrier that the datagram protocol is put on, and the backend made of both; see dpdk.h */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/datagram/datagram.h"
#include "backend/dpdk/client.h"
#include "backend/dpdk/dpdk.h"

static struct apn_dpdk_carrier *carrier_of(struct apn_carrier *base)
{
    return (struct apn_dpdk_carrier *)base;
}

/* ---- names -------------------------------------------------------------------------------- */

static int look_up(const struct apn_dpdk_carrier *c, bool passive, struct addrinfo **out, struct apn_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = passive ? AI_PASSIVE : 0};
    const char *host = c->host[0] ? c->host : NULL;
    int ret = getaddrinfo(host, c->port, &hints, out);

    if (!ret) {
        return 0;
    }
    return apn_error_set(err, ret == EAI_AGAIN ? -EAGAIN : ret == EAI_MEMORY ? -ENOMEM : ret == EAI_SERVICE ? -EINVAL : -ENOENT,
                         APN_SCOPE_SESSION, "dpdk: host \"%s\" port \"%s\": %s", c->host, c->port, gai_strerror(ret));
}

static bool take_address(union apn_address *out, const struct addrinfo *a)
{
    memset(out, 0, sizeof(*out));
    if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) || a->ai_addrlen > sizeof(*out)) {
        return false;
    }
    memcpy(out, a->ai_addr, a->ai_addrlen);
    return true;
}

static bool has_family(struct apn_dpdk_carrier *c, sa_family_t family)
{
    bool found = false;

    pthread_mutex_lock(&c->client.lock);
    for (unsigned i = 0; i < c->client.n_addresses; i++) {
        found = found || c->client.addresses[i].family == (family == AF_INET6 ? 6 : 4);
    }
    pthread_mutex_unlock(&c->client.lock);
    return found;
}

static int resolve(struct apn_carrier *base, union apn_address *out, unsigned max, struct apn_error *err)
{
    struct apn_dpdk_carrier *c = carrier_of(base);
    struct addrinfo *list = NULL;
    unsigned n = 0;
    int ret = look_up(c, false, &list, err);

    if (ret) {
        return ret;
    }
    for (const struct addrinfo *a = list; a && n < max; a = a->ai_next) {
        n += take_address(&out[n], a) && has_family(c, out[n].family);
    }
    freeaddrinfo(list);
    return n ? (int)n
             : apn_error_set(err, -EADDRNOTAVAIL, APN_SCOPE_SESSION, "dpdk: %s: apn-dpdk at %s has no address of its family (--ip)", c->host,
                             c->client.path);
}

static bool is_any(const union apn_address *a)
{
    return a->family == AF_INET6 ? !memcmp(&a->in6.sin6_addr, &in6addr_any, sizeof(in6addr_any)) : a->in.sin_addr.s_addr == INADDR_ANY;
}

/* ---- ops ------------------------------------------------------------------------------------ */

/* any address, or the first of the host's that is the helper's too */
static int listen_at(struct apn_carrier *base, struct apn_port **out, uint16_t *port_number, struct apn_error *err)
{
    struct apn_dpdk_carrier *c = carrier_of(base);
    struct addrinfo *list = NULL;
    struct apn_error last = {0};
    int ret = look_up(c, true, &list, err);

    if (ret) {
        return ret;
    }
    ret = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = list; a && ret; a = a->ai_next) {
        union apn_address local;

        last = (struct apn_error){0};
        if (take_address(&local, a)) {
            if (is_any(&local)) {
                const in_port_t number = local.family == AF_INET6 ? local.in6.sin6_port : local.in.sin_port;

                local = (union apn_address){.in = {.sin_family = AF_INET, .sin_port = number}};
            }
            ret = apn_dpdk_port_new(c, &local, NULL, out, &last);
        }
    }
    freeaddrinfo(list);
    if (ret) {
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "%s", last.code ? last.text : "dpdk: no address to listen at");
    }
    *port_number = apn_dpdk_port_number(*out);
    return 0;
}

static int flow(struct apn_carrier *base, struct apn_port *listener, const struct apn_endpoint *endpoint, struct apn_port **out,
                struct apn_error *err)
{
    (void)listener; /* its address and port are the endpoint's local ones */
    return apn_dpdk_port_new(carrier_of(base), &endpoint->local, &endpoint->remote, out, err);
}

static int region_add(struct apn_carrier *base, unsigned region, const struct apn_region *r, struct apn_error *err)
{
    return apn_dpdk_client_region(&carrier_of(base)->client, region, r, err);
}

static void counters(struct apn_carrier *base, struct apn_carrier_counters *out)
{
    struct apn_dpdk_carrier *c = carrier_of(base);

    *out = (struct apn_carrier_counters){
        .sent = atomic_load(&c->sent),
        .received = atomic_load(&c->received),
        .send_calls = atomic_load(&c->send_calls),
        .receive_calls = atomic_load(&c->receive_calls),
        .overruns = atomic_load(&c->overruns),
        .zerocopy_bytes = atomic_load(&c->zerocopy_bytes),
    };
    pthread_mutex_lock(&c->client.lock);
    for (unsigned i = 0; i < c->client.n_regions; i++) {
        if (atomic_load(&c->client.regions[i].number) != APN_RING_NO_REGION) {
            out->registered_bytes += c->client.regions[i].length;
            out->registrations++;
        }
    }
    snprintf(out->send_mode, sizeof(out->send_mode), "%s",
             c->client.flags & APN_HELPER_ZEROCOPY && c->client.n_shared ? "dpdk zero-copy" : c->client.n_shared ? "dpdk shared" : "dpdk copied");
    memcpy(out->note, c->client.note, sizeof(out->note));
    pthread_mutex_unlock(&c->client.lock);
}

static void carrier_free(struct apn_carrier *base)
{
    struct apn_dpdk_carrier *c = carrier_of(base);

    apn_dpdk_client_done(&c->client);
    free(c->host);
    free(c->port);
    free(c);
}

static const struct apn_carrier_ops dpdk_ops = {
    .name = "dpdk",
    .resolve = resolve,
    .listen = listen_at,
    .flow = flow,
    .region_add = region_add,
    .counters = counters,
    .free = carrier_free,
    .send = apn_dpdk_port_send,
    .receive = apn_dpdk_port_receive,
    .read = apn_dpdk_port_read,
    .wait = apn_dpdk_port_wait,
    .wake = apn_dpdk_port_wake,
    .close = apn_dpdk_port_close,
};

/* ---- made ----------------------------------------------------------------------------------- */

static int take_socket(void *opaque, const char *word, struct apn_error *err)
{
    char *path = opaque;

    if (strncmp(word, "socket=", 7) || !word[7]) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "backend option \"%s\": must be socket=PATH, ceiling=RATE, floor=RATE, mtu=BYTES or shared",
                             word);
    }
    snprintf(path, APN_DPDK_PATH_MAX + 1, "%s", word + 7);
    return 0;
}

static int choose_path(char path[APN_DPDK_PATH_MAX + 1], struct apn_error *err)
{
    const char *told = getenv("APN_DPDK_SOCKET");

    if (told && strlen(told) > APN_DPDK_PATH_MAX) {
        return apn_error_set(err, -ENAMETOOLONG, APN_SCOPE_SESSION, "dpdk: APN_DPDK_SOCKET has %zu bytes, the limit is %u", strlen(told),
                             APN_DPDK_PATH_MAX);
    }
    snprintf(path, APN_DPDK_PATH_MAX + 1, "%s", told && *told ? told : APN_HELPER_SOCKET);
    return 0;
}

int apn_dpdk_backend_new(struct apn_backend **out, const struct apn_backend_config *config, const char *text, struct apn_error *err)
{
    struct apn_datagram_options options = {0};
    char path[APN_DPDK_PATH_MAX + 1];
    struct apn_dpdk_carrier *c;
    int ret = choose_path(path, err);

    ret = ret ? ret : apn_datagram_options_parse(text ? text : "", &options, take_socket, path, err);
    if (ret) {
        return ret;
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "dpdk: out of memory");
    }
    c->base.ops = &dpdk_ops;
    c->ecn = options.shared;
    c->host = strdup(config->host ? config->host : "");
    c->port = strdup(config->port ? config->port : "");
    ret = apn_dpdk_client_init(&c->client, path);
    if (ret || !c->host || !c->port) {
        carrier_free(&c->base);
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "dpdk: out of memory");
    }
    ret = apn_dpdk_client_connect(&c->client, err);
    if (ret) {
        carrier_free(&c->base);
        return ret;
    }
    return apn_datagram_backend_new(out, "dpdk", &c->base, &options, config, err);
}
