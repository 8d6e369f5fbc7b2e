/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backend.c - the ops table, the device and its events; see rdma.h */
#include "backend/rdma/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <gnutls/gnutls.h>

#include "backend/note.h"
#include "backend/rdma/link.h"

#define HANDSHAKE_TIMEOUT_DEFAULT_MS 3000u

/* ---- configuration ------------------------------------------------------------ */

static char *copy_string(const char *s)
{
    return strdup(s ? s : "");
}

static int copy_config(struct apn_rdma_backend *be, const struct apn_backend_config *config)
{
    struct apn_backend_config *own = &be->config;

    *own = *config;
    own->send_mode = NULL;
    own->secret = NULL;
    own->host = copy_string(config->host);
    own->port = copy_string(config->port);
    own->handshake_timeout_ms = config->handshake_timeout_ms ? config->handshake_timeout_ms : HANDSHAKE_TIMEOUT_DEFAULT_MS;
    if (config->secret && config->secret_bytes) {
        own->secret = malloc(config->secret_bytes);
        if (!own->secret) {
            return -ENOMEM;
        }
        memcpy((void *)(uintptr_t)own->secret, config->secret, config->secret_bytes);
    }
    return own->host && own->port ? 0 : -ENOMEM;
}

int apn_rdma_backend_addresses(struct apn_rdma_backend *be, const struct addrinfo **out, struct apn_error *err)
{
    int ret = 0;

    pthread_mutex_lock(&be->lock);
    if (!be->addresses) {
        ret = apn_tcp_resolve(be->config.host, be->config.port, false, &be->addresses, err);
    }
    *out = be->addresses;
    pthread_mutex_unlock(&be->lock);
    return ret;
}

void apn_rdma_backend_note(struct apn_rdma_backend *be, const char *text)
{
    pthread_mutex_lock(&be->lock);
    apn_note_add(be->note, sizeof(be->note), text);
    pthread_mutex_unlock(&be->lock);
}

/* ---- the device ------------------------------------------------------------------- */

/* a second path must come in by the same port: memory is registered for one device */
static int same_device(struct apn_rdma_backend *be, const struct sockaddr *local, struct apn_error *err)
{
    union ibv_gid gid;

    apn_rdma_gid_of(local, &gid);
    if (be->choice.gid < 0 && memcmp(&gid, &be->device.gid, sizeof(gid))) {
        return apn_error_set(err, -EXDEV, APN_SCOPE_LANE,
                             "rdma: this lane comes in by another address than the first one, which %s port %u serves; all lanes "
                             "take one device",
                             be->device.name, be->device.port);
    }
    return 0;
}

int apn_rdma_backend_device(struct apn_rdma_backend *be, int fd, struct apn_error *err)
{
    struct sockaddr_storage storage;
    struct sockaddr *local = (struct sockaddr *)&storage;
    socklen_t bytes = sizeof(storage);
    int ret;

    if (getsockname(fd, local, &bytes)) {
        return apn_error_set(err, -errno, APN_SCOPE_LANE, "rdma: getsockname: %s", strerror(errno));
    }
    if (atomic_load(&be->gone)) {
        return apn_error_set(err, -ENODEV, APN_SCOPE_SESSION, "rdma: device %s was removed", be->device.name);
    }
    pthread_mutex_lock(&be->lock);
    if (be->device.context) {
        ret = same_device(be, local, err);
    } else {
        ret = apn_rdma_device_open(&be->device, be->verbs, &be->choice, local, err);
        if (!ret) {
            int async_fd = be->device.context->async_fd;

            fcntl(async_fd, F_SETFL, fcntl(async_fd, F_GETFL) | O_NONBLOCK);
        }
    }
    pthread_mutex_unlock(&be->lock);
    return ret;
}

void apn_rdma_backend_register(struct apn_rdma_backend *be, int access)
{
    char note[APN_ERROR_TEXT_MAX] = "";

    apn_rdma_memory_open(&be->memory, &be->device, access, note, sizeof(note));
    apn_rdma_backend_note(be, note);
}

/* which events end links. Return: true, and *all when not only the one the event names */
static bool ends_links(enum ibv_event_type type, bool *all)
{
    *all = type == IBV_EVENT_PORT_ERR || type == IBV_EVENT_DEVICE_FATAL;
    return *all || type == IBV_EVENT_QP_FATAL || type == IBV_EVENT_QP_REQ_ERR || type == IBV_EVENT_QP_ACCESS_ERR;
}

static void tell_link(struct apn_rdma_link *link, enum ibv_event_type type)
{
    atomic_store(&link->async, (int)type + 1);
    apn_rdma_link_wake(&link->base);
}

void apn_rdma_backend_events(struct apn_rdma_backend *be)
{
    struct ibv_async_event event;

    pthread_mutex_lock(&be->lock); /* a link that is in the list is not being freed */
    while (!be->verbs->get_async_event(be->device.context, &event)) {
        bool all;

        if (ends_links(event.event_type, &all)) {
            for (struct apn_rdma_link *link = be->links; link; link = link->sibling) {
                if (all || link->qp.qp == event.element.qp) {
                    tell_link(link, event.event_type);
                }
            }
        }
        if (event.event_type == IBV_EVENT_DEVICE_FATAL) {
            atomic_store(&be->gone, true);
        }
        be->verbs->ack_async_event(&event);
    }
    pthread_mutex_unlock(&be->lock);
}

/* ---- ops ----------------------------------------------------------------------------- */

static void backend_free(struct apn_backend *base)
{
    struct apn_rdma_backend *be = (struct apn_rdma_backend *)base;

    if (!be) {
        return;
    }
    apn_listener_stop(be->listener);
    apn_rdma_memory_done(&be->memory);
    apn_rdma_device_close(&be->device);
    if (be->tcp.backend) {
        be->tcp.backend->ops->free(be->tcp.backend);
    }
    if (be->addresses) {
        freeaddrinfo(be->addresses);
    }
    if (be->config.secret) {
        gnutls_memset((void *)(uintptr_t)be->config.secret, 0, be->config.secret_bytes);
        free((void *)(uintptr_t)be->config.secret);
    }
    free((void *)(uintptr_t)be->config.host);
    free((void *)(uintptr_t)be->config.port);
    pthread_mutex_destroy(&be->lock);
    free(be);
}

static int backend_connect(struct apn_backend *base, const struct apn_hello *hello, struct apn_link **out,
                           struct apn_error *err)
{
    struct apn_rdma_link *link = apn_rdma_link_new((struct apn_rdma_backend *)base, hello, -1, true, err);

    if (!link) {
        return err && err->code ? err->code : -ENOMEM;
    }
    *out = &link->base;
    return 0;
}

/* the peer is authentic: RDMA if both can, TCP if this end allows it */
static int decide(void *opaque, const struct apn_hello *hello, int fd, struct apn_welcome *welcome, struct apn_error *err)
{
    struct apn_rdma_backend *be = opaque;
    struct apn_error why = {0};
    int ret = 0;

    if (!(hello->features & APN_FEATURE_RDMA)) {
        return be->tcp.backend ? 0
                               : apn_error_set(err, -EPROTONOSUPPORT, APN_SCOPE_SESSION,
                                               "this end listens with backend rdma, the peer has no RDMA: choose auto here, or "
                                               "rdma there");
    }
    ret = apn_rdma_backend_device(be, fd, &why);
    if (!ret) {
        welcome->features |= APN_FEATURE_RDMA;
        return 0;
    }
    if (be->tcp.backend) {
        apn_rdma_backend_note(be, why.text);
        return 0;
    }
    return apn_error_set(err, ret, APN_SCOPE_SESSION, "%s", why.text);
}

static struct apn_link *adopt(void *opaque, const struct apn_hello *hello, const struct apn_welcome *welcome, int fd,
                              struct apn_error *err)
{
    struct apn_rdma_link *link = apn_rdma_link_new(opaque, hello, fd, welcome->features & APN_FEATURE_RDMA, err);

    return link ? &link->base : NULL;
}

static void listener_note(void *opaque, const char *text)
{
    (void)opaque; /* socket buffers: of no interest unless pages go over TCP */
    (void)text;
}

static int backend_listen(struct apn_backend *base, const struct apn_acceptor *acceptor, uint16_t *port,
                          struct apn_error *err)
{
    struct apn_rdma_backend *be = (struct apn_rdma_backend *)base;

    if (be->listener) {
        return apn_error_set(err, -EALREADY, APN_SCOPE_SESSION, "rdma: this backend listens already");
    }
    return apn_listener_start(&be->listener,
                              &(struct apn_listener_hooks){.config = &be->config,
                                                           .decide = decide,
                                                           .adopt = adopt,
                                                           .note = listener_note,
                                                           .opaque = be,
                                                           .name = "rdma"},
                              acceptor, port, err);
}

/* links that tell rights to this memory may be asleep */
static void wake_tellers(struct apn_rdma_backend *be)
{
    pthread_mutex_lock(&be->lock);
    for (struct apn_rdma_link *link = be->links; link; link = link->sibling) {
        if (apn_rdma_link_is_read(link)) {
            apn_rdma_link_wake(&link->base);
        }
    }
    pthread_mutex_unlock(&be->lock);
}

static int backend_region_add(struct apn_backend *base, unsigned region, const struct apn_region *r, struct apn_error *err)
{
    struct apn_rdma_backend *be = (struct apn_rdma_backend *)base;
    char note[APN_ERROR_TEXT_MAX] = "";
    int ret = apn_rdma_memory_add(&be->memory, region, r, note, sizeof(note));

    if (ret) {
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "rdma: region %u: out of memory", region);
    }
    apn_rdma_backend_note(be, note);
    wake_tellers(be);
    /* what cannot be registered is copied; but when that is everything, rdma is not what was asked for. (To be read it is an extra.) */
    if (strstr(note, "; those") && !(be->memory.access & IBV_ACCESS_REMOTE_READ) && !be->tcp.backend &&
        (r->flags & APN_REGION_FIXED) && !atomic_load(&be->memory.registered_bytes)) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "%.*s", (int)(strstr(note, "; those") - note), note);
    }
    return 0;
}

static void backend_counters(struct apn_backend *base, struct apn_backend_counters *out)
{
    struct apn_rdma_backend *be = (struct apn_rdma_backend *)base;

    *out = (struct apn_backend_counters){
        .zerocopy_bytes = atomic_load(&be->totals.written_bytes),
        .copied_bytes = atomic_load(&be->totals.copied_bytes),
        .requests_in_flight = atomic_load(&be->totals.in_flight),
        .requests_in_flight_max = atomic_load(&be->totals.in_flight_max),
        .requests = atomic_load(&be->totals.writes) + atomic_load(&be->totals.sends) + atomic_load(&be->totals.reads),
        .doorbells = atomic_load(&be->totals.doorbells),
        .registered_bytes = atomic_load(&be->memory.registered_bytes),
        .registrations = atomic_load(&be->memory.registrations),
        .registrations_late = atomic_load(&be->memory.registrations_late),
    };
    pthread_mutex_lock(&be->lock);
    if (be->device.context) {
        snprintf(out->send_mode, sizeof(out->send_mode), "rdma %.18s", be->device.name);
        memcpy(out->note, be->note, sizeof(out->note));
    }
    pthread_mutex_unlock(&be->lock);
    if (!out->send_mode[0] && be->tcp.backend) {
        be->tcp.backend->ops->counters(be->tcp.backend, out);
    }
    if (!out->send_mode[0]) {
        snprintf(out->send_mode, sizeof(out->send_mode), "rdma");
    }
    pthread_mutex_lock(&be->lock);
    if (be->note[0]) {
        memcpy(out->note, be->note, sizeof(out->note));
    }
    pthread_mutex_unlock(&be->lock);
}

static const struct apn_backend_ops rdma_ops = {
    .name = "rdma",
    .connect = backend_connect,
    .listen = backend_listen,
    .region_add = backend_region_add,
    .post = apn_rdma_link_post,
    .poll = apn_rdma_link_poll,
    .wake = apn_rdma_link_wake,
    .fetch = apn_rdma_link_fetch,
    .link_close = apn_rdma_link_close,
    .counters = backend_counters,
    .free = backend_free,
};

int apn_rdma_backend_new(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                         const struct apn_rdma_fallback *tcp, struct apn_error *err)
{
    struct apn_rdma_backend *be = calloc(1, sizeof(*be));
    int ret;

    if (!be) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "rdma: out of memory");
    }
    be->base = (struct apn_backend){&rdma_ops, APN_CAP_ONE_SIDED | APN_CAP_ZERO_COPY, APN_RDMA_POST_MAX};
    if (tcp->backend && tcp->backend->post_max < be->base.post_max) {
        be->base.post_max = tcp->backend->post_max;
    }
    pthread_mutex_init(&be->lock, NULL);
    apn_rdma_memory_init(&be->memory);
    ret = apn_rdma_choice_parse(device, &be->choice, err);
    ret = ret ? ret : apn_verbs_load(&be->verbs, err);
    ret = ret ? ret : apn_rdma_device_check(be->verbs, &be->choice, err);
    ret = ret ? ret : copy_config(be, config);
    if (ret) {
        backend_free(&be->base);
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "rdma: out of memory");
    }
    be->tcp = *tcp;
    *out = &be->base;
    return 0;
}
