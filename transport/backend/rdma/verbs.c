/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verbs.c - see verbs.h */
#include "backend/rdma/verbs.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libibverbs.so.1"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct apn_verbs verbs;
static struct apn_error load_error;

static const struct {
    const char *name;
    size_t at;
} symbols[] = {
    {"ibv_get_device_list", offsetof(struct apn_verbs, get_device_list)},
    {"ibv_free_device_list", offsetof(struct apn_verbs, free_device_list)},
    {"ibv_get_device_name", offsetof(struct apn_verbs, get_device_name)},
    {"ibv_open_device", offsetof(struct apn_verbs, open_device)},
    {"ibv_close_device", offsetof(struct apn_verbs, close_device)},
    {"ibv_query_device", offsetof(struct apn_verbs, query_device)},
    {"ibv_query_port", offsetof(struct apn_verbs, query_port)},
    {"_ibv_query_gid_table", offsetof(struct apn_verbs, query_gid_table)},
    {"ibv_alloc_pd", offsetof(struct apn_verbs, alloc_pd)},
    {"ibv_dealloc_pd", offsetof(struct apn_verbs, dealloc_pd)},
    {"ibv_reg_mr", offsetof(struct apn_verbs, reg_mr)},
    {"ibv_dereg_mr", offsetof(struct apn_verbs, dereg_mr)},
    {"ibv_create_comp_channel", offsetof(struct apn_verbs, create_comp_channel)},
    {"ibv_destroy_comp_channel", offsetof(struct apn_verbs, destroy_comp_channel)},
    {"ibv_create_cq", offsetof(struct apn_verbs, create_cq)},
    {"ibv_destroy_cq", offsetof(struct apn_verbs, destroy_cq)},
    {"ibv_get_cq_event", offsetof(struct apn_verbs, get_cq_event)},
    {"ibv_ack_cq_events", offsetof(struct apn_verbs, ack_cq_events)},
    {"ibv_create_qp", offsetof(struct apn_verbs, create_qp)},
    {"ibv_modify_qp", offsetof(struct apn_verbs, modify_qp)},
    {"ibv_destroy_qp", offsetof(struct apn_verbs, destroy_qp)},
    {"ibv_get_async_event", offsetof(struct apn_verbs, get_async_event)},
    {"ibv_ack_async_event", offsetof(struct apn_verbs, ack_async_event)},
    {"ibv_wc_status_str", offsetof(struct apn_verbs, wc_status_str)},
    {"ibv_event_type_str", offsetof(struct apn_verbs, event_type_str)},
};

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        apn_error_set(&load_error, -ENOSYS, APN_SCOPE_SESSION,
                      "rdma: rdma-core is not installed here: %.90s (packages libibverbs1 and ibverbs-providers)", dlerror());
        return;
    }
    for (unsigned i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *symbol = dlsym(library, symbols[i].name);

        if (!symbol) {
            apn_error_set(&load_error, -ENOSYS, APN_SCOPE_SESSION,
                          "rdma: %s has no %s: rdma-core 32 or later is needed", LIBRARY, symbols[i].name);
            return;
        }
        memcpy((char *)&verbs + symbols[i].at, &symbol, sizeof(symbol));
    }
}

int apn_verbs_load(const struct apn_verbs **out, struct apn_error *err)
{
    pthread_once(&once, load);
    if (load_error.code) {
        return apn_error_set(err, load_error.code, load_error.scope, "%s", load_error.text);
    }
    *out = &verbs;
    return 0;
}
