/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backend.c - the ops table, and what has to be true of the kernel; see uring.h */
#include "backend/uring/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <gnutls/gnutls.h>
#include <liburing.h>

#include "backend/note.h"
#include "backend/uring/link.h"

#define HANDSHAKE_TIMEOUT_DEFAULT_MS 3000u

static int read_disabled(void)
{
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    int value = 0;

    if (file) {
        if (fscanf(file, "%d", &value) != 1) {
            value = 0;
        }
        fclose(file);
    }
    return value;
}

int apn_uring_explain_setup(int code, struct apn_error *err)
{
    int disabled = read_disabled();
    struct rlimit limit = {0};

    if (code == -ENOSYS) {
        return apn_error_set(
            err, code, APN_SCOPE_SESSION,
            "uring: this kernel has no io_uring (Linux 5.13 or later is needed), or a "
            "seccomp filter hides it");
    }
    if (code == -EPERM && disabled) {
        return apn_error_set(
            err, code, APN_SCOPE_SESSION,
            "uring: io_uring is disabled here (sysctl kernel.io_uring_disabled=%d, must be 0, "
            "or 1 and this user in kernel.io_uring_group)",
            disabled);
    }
    if (code == -EPERM) {
        return apn_error_set(
            err, code, APN_SCOPE_SESSION,
            "uring: io_uring_setup is not permitted (a seccomp filter or security module)");
    }
    if (code == -ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        return apn_error_set(
            err, code, APN_SCOPE_SESSION,
            "uring: no memory for a ring: RLIMIT_MEMLOCK is %llu KiB for all rings of this user, "
            "each lane needs %u KiB (ulimit -l, LimitMEMLOCK=)",
            (unsigned long long)limit.rlim_cur >> 10, APN_URING_RING_KIB);
    }
    return apn_error_set(err, code, APN_SCOPE_SESSION, "uring: io_uring_setup: %s",
                         strerror(-code));
}

static int check_kernel(struct apn_uring_backend *be, struct apn_error *err)
{
    struct io_uring_params params = {0};
    struct io_uring_probe *probe;
    struct io_uring ring;
    int ret = io_uring_queue_init_params(4, &ring, &params);

    if (ret) {
        return apn_uring_explain_setup(ret, err);
    }
    if (!(params.features & IORING_FEAT_EXT_ARG) || !(params.features & IORING_FEAT_RSRC_TAGS)) {
        /* waits with a timeout came with 5.11; multishot polls, which have no flag of their own,
         * with 5.13 */
        io_uring_queue_exit(&ring);
        return apn_error_set(
            err, -ENOSYS, APN_SCOPE_SESSION,
            "uring: this kernel's io_uring is too old (Linux 5.13 or later is needed)");
    }
    probe = io_uring_get_probe_ring(&ring);
    be->zerocopy_possible = probe && io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC);
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    return 0;
}

static int set_mode(struct apn_uring_backend *be, const char *name, struct apn_error *err)
{
    int mode;

    if (!name || !*name || !strcmp(name, "auto")) {
        mode = be->zerocopy_possible ? APN_URING_MODE_AUTO : APN_URING_MODE_COPY;
    } else if (!strcmp(name, "copy")) {
        mode = APN_URING_MODE_COPY;
    } else if (!strcmp(name, "zero-copy")) {
        if (!be->zerocopy_possible) {
            return apn_error_set(
                err, -ENOSYS, APN_SCOPE_SESSION,
                "uring: send mode zero-copy: this kernel has no SENDMSG_ZC (Linux 6.1)");
        }
        mode = APN_URING_MODE_ZEROCOPY;
    } else {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "uring: send mode \"%s\": must be auto, copy or zero-copy", name);
    }
    atomic_store(&be->mode, mode);
    return 0;
}

static char *copy_string(const char *s)
{
    return strdup(s ? s : "");
}

static int copy_config(struct apn_uring_backend *be, const struct apn_backend_config *config)
{
    struct apn_backend_config *own = &be->config;

    *own = *config;
    own->send_mode = NULL;
    own->secret = NULL;
    own->host = copy_string(config->host);
    own->port = copy_string(config->port);
    own->handshake_timeout_ms =
        config->handshake_timeout_ms ? config->handshake_timeout_ms : HANDSHAKE_TIMEOUT_DEFAULT_MS;
    if (config->secret && config->secret_bytes) {
        own->secret = malloc(config->secret_bytes);
        if (!own->secret) {
            return -ENOMEM;
        }
        memcpy((void *)(uintptr_t)own->secret, config->secret, config->secret_bytes);
    }
    return own->host && own->port ? 0 : -ENOMEM;
}

/* ---- ops ------------------------------------------------------------------ */

static void backend_free(struct apn_backend *base)
{
    struct apn_uring_backend *be = (struct apn_uring_backend *)base;

    if (!be) {
        return;
    }
    apn_listener_stop(be->listener);
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

static int backend_connect(struct apn_backend *base, const struct apn_hello *hello,
                           struct apn_link **out, struct apn_error *err)
{
    struct apn_uring_link *link =
        apn_uring_link_new((struct apn_uring_backend *)base, hello, -1, err);

    if (!link) {
        return err && err->code ? err->code : -ENOMEM;
    }
    *out = &link->base;
    return 0;
}

static struct apn_link *adopt(void *opaque, const struct apn_hello *hello,
                              const struct apn_welcome *welcome, int fd, struct apn_error *err)
{
    struct apn_uring_link *link = apn_uring_link_new(opaque, hello, fd, err);

    (void)welcome;
    return link ? &link->base : NULL;
}

static void note(void *opaque, const char *text)
{
    apn_uring_backend_note(opaque, text);
}

static int backend_listen(struct apn_backend *base, const struct apn_acceptor *acceptor,
                          uint16_t *port, struct apn_error *err)
{
    struct apn_uring_backend *be = (struct apn_uring_backend *)base;

    if (be->listener) {
        return apn_error_set(err, -EALREADY, APN_SCOPE_SESSION,
                             "uring: this backend listens already");
    }
    return apn_listener_start(&be->listener,
                              &(struct apn_listener_hooks){.config = &be->config,
                                                           .adopt = adopt,
                                                           .note = note,
                                                           .opaque = be,
                                                           .name = "uring"},
                              acceptor, port, err);
}

static int backend_region_add(struct apn_backend *base, unsigned region, const struct apn_region *r,
                              struct apn_error *err)
{
    (void)base;
    (void)region;
    (void)r;
    (void)err;
    return 0; /* sends read and receives write guest RAM by address: nothing to prepare */
}

static void backend_counters(struct apn_backend *base, struct apn_backend_counters *out)
{
    static const char *const names[] = {"copy (measuring)", "copy", "zero-copy"};
    struct apn_uring_backend *be = (struct apn_uring_backend *)base;

    *out = (struct apn_backend_counters){
        .zerocopy_bytes = atomic_load(&be->zerocopy_bytes),
        .copied_bytes = atomic_load(&be->copied_bytes),
    };
    snprintf(out->send_mode, sizeof(out->send_mode), "%s", names[atomic_load(&be->mode)]);
    pthread_mutex_lock(&be->lock);
    memcpy(out->note, be->note, sizeof(out->note));
    pthread_mutex_unlock(&be->lock);
}

static const struct apn_backend_ops uring_ops = {
    .name = "uring",
    .connect = backend_connect,
    .listen = backend_listen,
    .region_add = backend_region_add,
    .post = apn_uring_link_post,
    .poll = apn_uring_link_poll,
    .wake = apn_uring_link_wake,
    .link_close = apn_uring_link_close,
    .counters = backend_counters,
    .free = backend_free,
};

int apn_uring_backend_addresses(struct apn_uring_backend *be, const struct addrinfo **out,
                                struct apn_error *err)
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

void apn_uring_backend_note(struct apn_uring_backend *be, const char *note)
{
    pthread_mutex_lock(&be->lock);
    apn_note_add(be->note, sizeof(be->note), note);
    pthread_mutex_unlock(&be->lock);
}

int apn_uring_backend_new(struct apn_backend **out, const struct apn_backend_config *config,
                          struct apn_error *err)
{
    struct apn_uring_backend *be = calloc(1, sizeof(*be));
    int ret;

    if (!be) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "uring: out of memory");
    }
    be->base = (struct apn_backend){&uring_ops, APN_CAP_ZERO_COPY, APN_URING_POST_MAX};
    pthread_mutex_init(&be->lock, NULL);
    ret = check_kernel(be, err);
    ret = ret ? ret : set_mode(be, config->send_mode, err);
    ret = ret ? ret : copy_config(be, config);
    if (ret) {
        backend_free(&be->base);
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "uring: out of memory");
    }
    *out = &be->base;
    return 0;
}
