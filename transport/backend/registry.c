/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* registry.c - the one place that knows all backends, and how "auto" chooses between them */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <apnmig/backend.h>

#include "backend/dpdk/dpdk.h"
#include "backend/loop/loop.h"
#include "backend/udp/udp.h"
#include "backend/uring/backend.h"
#include "backend/uring/link.h"
#include "backend/uring/uring.h"
#include "filter/filter.h"

#ifdef APN_HAVE_RDMA
#include "backend/rdma/rdma.h"

static int new_rdma(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                    struct apn_error *err)
{
    return apn_rdma_backend_new(out, config, device, &(struct apn_rdma_fallback){0}, err);
}

static struct apn_link *adopt_uring(struct apn_backend *be, const struct apn_hello *hello, int fd, struct apn_error *err)
{
    struct apn_uring_link *link = apn_uring_link_new((struct apn_uring_backend *)be, hello, fd, err);

    return link ? &link->base : NULL;
}

/* the default limit of an ordinary user holds no guest: then pages would only be copied, and uring does that better */
static bool may_lock_memory(struct apn_error *err)
{
    const rlim_t least = 64u << 20;
    struct rlimit limit = {0};

    if (geteuid() == 0 || getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur >= least) {
        return true;
    }
    apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION,
                  "rdma: RLIMIT_MEMLOCK is %llu KiB: guest memory cannot be registered (LimitMEMLOCK=infinity)",
                  (unsigned long long)limit.rlim_cur >> 10);
    return false;
}

static int add_rdma(struct apn_backend **be, const struct apn_backend_config *config, const char *device, struct apn_error *why)
{
    struct apn_backend *tcp = *be;

    return may_lock_memory(why) ? apn_rdma_backend_new(be, config, device, &(struct apn_rdma_fallback){tcp, adopt_uring}, why)
                                : why->code;
}
#else
static int new_rdma(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                    struct apn_error *err)
{
    (void)out, (void)config, (void)device;
    return apn_error_set(err, -ENOSYS, APN_SCOPE_SESSION,
                         "rdma: this program was built without it (libibverbs-dev was missing); backend uring is there");
}

static int add_rdma(struct apn_backend **be, const struct apn_backend_config *config, const char *device, struct apn_error *why)
{
    return new_rdma(be, config, device, why);
}
#endif

static int new_uring(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                     struct apn_error *err)
{
    (void)device;
    return apn_uring_backend_new(out, config, err);
}

static int new_loop(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                    struct apn_error *err)
{
    (void)device;
    return apn_loop_backend_new(out, config, err);
}

static int new_udp(struct apn_backend **out, const struct apn_backend_config *config, const char *options,
                   struct apn_error *err)
{
    return apn_udp_backend_new(out, config, options, err);
}

static int new_dpdk(struct apn_backend **out, const struct apn_backend_config *config, const char *options,
                    struct apn_error *err)
{
    return apn_dpdk_backend_new(out, config, options, err);
}

/* uring, and in front of it rdma wherever this host and the peer have it */
static int new_auto(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                    struct apn_error *err)
{
    struct apn_error why = {0};
    struct apn_backend *be = NULL;
    int ret = apn_uring_backend_new(&be, config, err);

    if (ret) {
        return ret;
    }
    if (add_rdma(&be, config, device, &why)) {
        char note[APN_ERROR_TEXT_MAX];

        snprintf(note, sizeof(note), "%.150s; uring is used instead", why.text);
        apn_uring_backend_note((struct apn_uring_backend *)be, note);
    }
    *out = be;
    return 0;
}

static const struct {
    const char *name;
    bool takes_device;
    int (*create)(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                  struct apn_error *err);
} backends[] = {
    {"uring", false, new_uring},
    {"rdma", true, new_rdma},
    {"auto", true, new_auto},
    {"udp", true, new_udp},
    {"dpdk", true, new_dpdk},
    {"loop", false, new_loop},
};

int apn_backend_new(struct apn_backend **out, const char *name, const char *filters,
                    const struct apn_backend_config *config, struct apn_error *err)
{
    const size_t length = strcspn(name, ":");

    for (unsigned i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct apn_backend *be = NULL;
        int ret;

        if (strlen(backends[i].name) != length || strncmp(name, backends[i].name, length) ||
            (name[length] && !backends[i].takes_device)) {
            continue;
        }
        ret = backends[i].create(&be, config, name[length] ? name + length + 1 : "", err);
        if (ret) {
            return ret;
        }
        ret = apn_filters_wrap(be, filters, config, out, err);
        if (ret) {
            be->ops->free(be);
        }
        return ret;
    }
    return apn_error_set(err, -ENOENT, APN_SCOPE_SESSION,
                         "backend \"%s\": must be uring, rdma[:DEVICE[:PORT[:GID]]], udp[:OPTIONS], dpdk[:OPTIONS], auto or loop", name);
}
