/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.h - which RDMA device, port and GID carry a path, and what the device can do
 * Owner: the backend.   Thread: set up once under the backend's lock, constant afterwards.   Units: bytes. */
#ifndef APN_BACKEND_RDMA_DEVICE_H
#define APN_BACKEND_RDMA_DEVICE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "backend/rdma/verbs.h"

#define APN_RDMA_NAME_MAX 64u

/** struct apn_rdma_choice - what the administrator asked for: "NAME[:PORT[:GID]]" */
struct apn_rdma_choice {
    char name[APN_RDMA_NAME_MAX]; /* "" = by the path's address */
    int port;                     /* 0 = any */
    int gid;                      /* -1 = by the path's address */
};

struct apn_rdma_device {
    const struct apn_verbs *v;
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_device_attr attr;
    struct ibv_port_attr port_attr;
    char name[APN_RDMA_NAME_MAX];
    uint8_t port;
    uint8_t gid_index;
    union ibv_gid gid;
    bool odp; /* reliable connections can WRITE from and to memory that is not pinned */
};

/** apn_rdma_choice_parse() - @text NULL or "": no wish. Return: 0; -EINVAL and @err. */
int apn_rdma_choice_parse(const char *text, struct apn_rdma_choice *out, struct apn_error *err);

/** apn_rdma_device_check() - is there any device at all, and the one asked for? Opens nothing for long.
 * Return: 0; -ENODEV, -ENOSYS and a sentence. */
int apn_rdma_device_check(const struct apn_verbs *v, const struct apn_rdma_choice *choice, struct apn_error *err);

/** apn_rdma_device_open() - the device that has @local, which is this end's address on the path, or the one asked for
 * Return: 0; -ENODEV (no device has that address), -EINVAL (GID), -ENETDOWN (port), ... and a sentence */
int apn_rdma_device_open(struct apn_rdma_device *device, const struct apn_verbs *v, const struct apn_rdma_choice *choice,
                         const struct sockaddr *local, struct apn_error *err);
void apn_rdma_device_close(struct apn_rdma_device *device);

/** apn_rdma_gid_of() - the RoCE v2 GID that belongs to an IP address (RFC 4291: IPv4 in ::ffff:0:0/96) */
void apn_rdma_gid_of(const struct sockaddr *address, union ibv_gid *gid);

#endif
