/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* registry.c - the one place that knows all backends */
#include <errno.h>
#include <string.h>

#include <apnmig/backend.h>

#include "backend/loop/loop.h"
#include "backend/uring/uring.h"
#include "filter/filter.h"

static const struct {
    const char *name;
    int (*create)(struct apn_backend **out, const struct apn_backend_config *config,
                  struct apn_error *err);
} backends[] = {
    {"uring", apn_uring_backend_new},
    {"loop", apn_loop_backend_new},
};

int apn_backend_new(struct apn_backend **out, const char *name, const char *filters,
                    const struct apn_backend_config *config, struct apn_error *err)
{
    for (unsigned i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct apn_backend *be = NULL;
        int ret;

        if (strcmp(name, backends[i].name)) {
            continue;
        }
        ret = backends[i].create(&be, config, err);
        if (ret) {
            return ret;
        }
        ret = apn_filters_wrap(be, filters, config, out, err);
        if (ret) {
            be->ops->free(be);
        }
        return ret;
    }
    return apn_error_set(err, -ENOENT, APN_SCOPE_SESSION, "backend \"%s\": must be uring or loop",
                         name);
}
