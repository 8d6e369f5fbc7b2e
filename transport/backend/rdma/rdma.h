/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdma.h - reliable connections of an RDMA adapter: pages go straight from guest memory into guest memory
 *
 * Theory of operation
 *   A lane opens as a TCP connection to the port every backend uses, with the same handshake: the peer is authentic
 *   and admitted before anything of RDMA is said. Then both ends exchange queue pair numbers and addresses over it and
 *   go on over the queue pair; the TCP connection stays, silent, as the sign that the peer's process lives.
 *   Guest memory is registered once. The destination tells its rights behind the greeting of a lane and, because the
 *   table of RAM blocks is matched later, once more in front of the message that says so. In postcopy nobody may write: pages go
 *   through frames, and the source tells the destination rights to read what its guest waits for (fetch.h).
 *
 * Owner: apn_backend_new() / ops->free.   Thread: as apnmig/backend.h says. */
#ifndef APN_BACKEND_RDMA_RDMA_H
#define APN_BACKEND_RDMA_RDMA_H

#include <apnmig/backend.h>

#define APN_RDMA_POST_MAX 256u

/**
 * struct apn_rdma_fallback - TCP for peers without RDMA
 * @backend: owned by the rdma backend once it is made; NULL: none
 * @adopt:   make a link of @backend from a connection whose handshake is over; NULL and @err when it cannot
 */
struct apn_rdma_fallback {
    struct apn_backend *backend;
    struct apn_link *(*adopt)(struct apn_backend *backend, const struct apn_hello *hello, int fd, struct apn_error *err);
};

/** apn_rdma_backend_new() - @device: "NAME[:PORT[:GID]]", NULL or "" = by address
 * Return: 0; -ENOSYS (no rdma-core), -ENODEV (no device), -EINVAL, -ENOMEM; @tcp's backend is the caller's then. */
int apn_rdma_backend_new(struct apn_backend **out, const struct apn_backend_config *config, const char *device,
                         const struct apn_rdma_fallback *tcp, struct apn_error *err);

#endif
