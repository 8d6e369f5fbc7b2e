/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.c - see device.h */
#include "backend/rdma/device.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIDS_MAX 256u

int apn_rdma_choice_parse(const char *text, struct apn_rdma_choice *out, struct apn_error *err)
{
    size_t length = text ? strcspn(text, ":") : 0;
    char *end = NULL;
    long number;

    *out = (struct apn_rdma_choice){.gid = -1};
    if (!text || !*text) {
        return 0;
    }
    if (!length || length >= sizeof(out->name)) {
        goto bad;
    }
    memcpy(out->name, text, length);
    text += length;
    if (*text == ':') {
        number = strtol(text + 1, &end, 10);
        if (end == text + 1 || number < 1 || number > 254) {
            goto bad;
        }
        out->port = (int)number;
        text = end;
    }
    if (*text == ':') {
        number = strtol(text + 1, &end, 10);
        if (end == text + 1 || number < 0 || number > 255) {
            goto bad;
        }
        out->gid = (int)number;
        text = end;
    }
    if (!*text) {
        return 0;
    }
bad:
    return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                         "rdma: device must be written NAME[:PORT[:GID]], e.g. rdma:mlx5_0:1:3 (port 1..254, GID 0..255)");
}

void apn_rdma_gid_of(const struct sockaddr *address, union ibv_gid *gid)
{
    memset(gid, 0, sizeof(*gid));
    if (address->sa_family == AF_INET6) {
        memcpy(gid->raw, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof(gid->raw));
    } else {
        gid->raw[10] = gid->raw[11] = 0xff;
        memcpy(gid->raw + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    }
}

static void address_words(const struct sockaddr *address, char text[INET6_ADDRSTRLEN])
{
    const void *bytes = address->sa_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;

    if (!inet_ntop(address->sa_family, bytes, text, INET6_ADDRSTRLEN)) {
        snprintf(text, INET6_ADDRSTRLEN, "(unknown)");
    }
}

/* ---- which devices are there ------------------------------------------------ */

/* the kernel knows devices for which no provider is installed: then the list is empty and the reason is another */
static bool kernel_device(char name[APN_RDMA_NAME_MAX])
{
    DIR *dir = opendir("/sys/class/infiniband");
    struct dirent *entry;
    bool found = false;

    while (dir && !found && (entry = readdir(dir))) {
        found = entry->d_name[0] != '.';
        if (found) {
            snprintf(name, APN_RDMA_NAME_MAX, "%.60s", entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return found;
}

static int no_device(struct apn_error *err)
{
    char name[APN_RDMA_NAME_MAX];

    if (kernel_device(name)) {
        return apn_error_set(err, -ENODEV, APN_SCOPE_SESSION,
                             "rdma: the kernel has device %s, but rdma-core cannot use it: install ibverbs-providers, "
                             "load ib_uverbs, and see who may open /dev/infiniband",
                             name);
    }
    return apn_error_set(err, -ENODEV, APN_SCOPE_SESSION,
                         "rdma: this host has no RDMA device (\"rdma link\" lists none; backend uring needs none)");
}

static void list_names(const struct apn_verbs *v, struct ibv_device **list, int count, char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = 0;
    for (int i = 0; i < count && used + 1 < bytes; i++) {
        int n = snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", v->get_device_name(list[i]));

        used += n > 0 ? (size_t)n : 0;
    }
}

int apn_rdma_device_check(const struct apn_verbs *v, const struct apn_rdma_choice *choice, struct apn_error *err)
{
    int count = 0, ret = 0;
    struct ibv_device **list = v->get_device_list(&count);
    bool found = !choice->name[0];
    char names[80];

    if (!list || !count) {
        ret = no_device(err);
    }
    for (int i = 0; i < count && !found; i++) {
        found = !strcmp(v->get_device_name(list[i]), choice->name);
    }
    if (!ret && !found) {
        list_names(v, list, count, names, sizeof(names));
        ret = apn_error_set(err, -ENODEV, APN_SCOPE_SESSION, "rdma: device \"%s\" is not here (there are: %s)",
                            choice->name, names);
    }
    if (list) {
        v->free_device_list(list);
    }
    return ret;
}

/* ---- port and GID ------------------------------------------------------------- */

/* Return: index into @table, -1 when none fits */
static int find_gid(const struct ibv_gid_entry *table, ssize_t count, const struct apn_rdma_choice *choice,
                    const union ibv_gid *wanted)
{
    for (ssize_t i = 0; i < count; i++) {
        if (choice->port && table[i].port_num != (uint32_t)choice->port) {
            continue;
        }
        if (choice->gid >= 0 ? table[i].gid_index == (uint32_t)choice->gid
                             : (table[i].gid_type == IBV_GID_TYPE_ROCE_V2 || table[i].gid_type == IBV_GID_TYPE_IB) &&
                                   !memcmp(&table[i].gid, wanted, sizeof(*wanted))) {
            return (int)i;
        }
    }
    return -1;
}

static int gid_missing(const struct apn_rdma_device *d, const struct ibv_gid_entry *table, ssize_t count,
                       const struct apn_rdma_choice *choice, const struct sockaddr *local, struct apn_error *err)
{
    char address[INET6_ADDRSTRLEN], filled[64] = "";
    size_t used = 0;

    for (ssize_t i = 0; i < count && used + 8 < sizeof(filled); i++) {
        used += (size_t)snprintf(filled + used, sizeof(filled) - used, "%s%u", i ? ", " : "", table[i].gid_index);
    }
    if (choice->gid >= 0) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "rdma: GID %d of %s is empty (filled: %s)", choice->gid,
                             d->name, used ? filled : "none");
    }
    address_words(local, address);
    return apn_error_set(err, -ENODEV, APN_SCOPE_SESSION,
                         "rdma: %s has no RoCE v2 GID for %s, this end's address on the path (filled: %s); "
                         "name another as rdma:%s:PORT:GID",
                         d->name, address, used ? filled : "none", d->name);
}

static int take_port(struct apn_rdma_device *d, const struct ibv_gid_entry *entry, struct apn_error *err)
{
    struct verbs_context *vctx = __extension__ verbs_get_ctx_op(d->context, query_port);
    int ret = vctx ? vctx->query_port(d->context, (uint8_t)entry->port_num, &d->port_attr, sizeof(d->port_attr))
                   : d->v->query_port(d->context, (uint8_t)entry->port_num,
                                      (struct _compat_ibv_port_attr *)(void *)&d->port_attr);

    if (ret) {
        return apn_error_set(err, -ret, APN_SCOPE_SESSION, "rdma: %s port %u: %s", d->name, entry->port_num,
                             strerror(ret));
    }
    if (d->port_attr.state != IBV_PORT_ACTIVE) {
        return apn_error_set(err, -ENETDOWN, APN_SCOPE_SESSION, "rdma: %s port %u is not active (is its cable or link up?)",
                             d->name, entry->port_num);
    }
    d->port = (uint8_t)entry->port_num;
    d->gid_index = (uint8_t)entry->gid_index;
    d->gid = entry->gid;
    return 0;
}

static int choose_gid(struct apn_rdma_device *d, const struct apn_rdma_choice *choice, const struct sockaddr *local,
                      struct apn_error *err)
{
    struct ibv_gid_entry *table = calloc(GIDS_MAX, sizeof(*table));
    union ibv_gid wanted;
    ssize_t count;
    int at, ret;

    if (!table) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "rdma: out of memory");
    }
    apn_rdma_gid_of(local, &wanted);
    count = d->v->query_gid_table(d->context, table, GIDS_MAX, 0, sizeof(*table));
    if (count < 0) {
        ret = apn_error_set(err, (int)count, APN_SCOPE_SESSION, "rdma: %s: GID table: %s", d->name, strerror((int)-count));
    } else {
        at = find_gid(table, count, choice, &wanted);
        ret = at < 0 ? gid_missing(d, table, count, choice, local, err) : take_port(d, &table[at], err);
    }
    free(table);
    return ret;
}

/* ---- open ----------------------------------------------------------------------- */

static bool has_odp(struct ibv_context *context)
{
    const uint32_t wanted = IBV_ODP_SUPPORT_WRITE | IBV_ODP_SUPPORT_SEND;
    struct verbs_context *vctx = __extension__ verbs_get_ctx_op(context, query_device_ex);
    struct ibv_device_attr_ex attr = {0};

    if (!vctx || vctx->query_device_ex(context, NULL, &attr, sizeof(attr))) {
        return false;
    }
    return (attr.odp_caps.general_caps & IBV_ODP_SUPPORT) &&
           (attr.odp_caps.per_transport_caps.rc_odp_caps & wanted) == wanted;
}

static int open_one(struct apn_rdma_device *d, struct ibv_device *device, const struct apn_rdma_choice *choice,
                    const struct sockaddr *local, struct apn_error *err)
{
    int ret;

    snprintf(d->name, sizeof(d->name), "%.60s", d->v->get_device_name(device));
    d->context = d->v->open_device(device);
    if (!d->context) {
        return apn_error_set(err, -errno, APN_SCOPE_SESSION, "rdma: %s cannot be opened: %s", d->name, strerror(errno));
    }
    ret = d->v->query_device(d->context, &d->attr);
    if (ret) {
        return apn_error_set(err, -ret, APN_SCOPE_SESSION, "rdma: %s: %s", d->name, strerror(ret));
    }
    ret = choose_gid(d, choice, local, err);
    if (ret) {
        return ret;
    }
    d->pd = d->v->alloc_pd(d->context);
    if (!d->pd) {
        return apn_error_set(err, -errno, APN_SCOPE_SESSION, "rdma: %s: protection domain: %s", d->name, strerror(errno));
    }
    d->odp = has_odp(d->context);
    return 0;
}

int apn_rdma_device_open(struct apn_rdma_device *device, const struct apn_verbs *v, const struct apn_rdma_choice *choice,
                         const struct sockaddr *local, struct apn_error *err)
{
    int count = 0, ret = -ENODEV;
    struct ibv_device **list = v->get_device_list(&count);
    struct apn_error why = {0};

    for (int i = 0; i < count; i++) {
        struct apn_rdma_device d = {.v = v};

        if (choice->name[0] && strcmp(choice->name, v->get_device_name(list[i]))) {
            continue;
        }
        ret = open_one(&d, list[i], choice, local, &why);
        if (!ret) {
            *device = d;
            break;
        }
        apn_rdma_device_close(&d);
    }
    if (list) {
        v->free_device_list(list);
    }
    if (ret && !why.code) {
        return apn_rdma_device_check(v, choice, err) ? ret
                                                     : apn_error_set(err, ret, APN_SCOPE_SESSION, "rdma: no device");
    }
    return ret ? apn_error_set(err, ret, why.scope, "%s", why.text) : 0;
}

void apn_rdma_device_close(struct apn_rdma_device *device)
{
    if (device->pd) {
        device->v->dealloc_pd(device->pd);
    }
    if (device->context) {
        device->v->close_device(device->context);
    }
    *device = (struct apn_rdma_device){0};
}
