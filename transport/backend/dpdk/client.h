/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* client.h - inside of the dpdk backend: the connection to apn-dpdk, its channels, and the carrier made of them
 *
 * Theory of operation
 *   One connection per carrier, made anew when it broke: then @generation grows, and what was made over an older one is gone.
 *   Requests are made one at a time under the lock and wait for their answer. A channel has one thread, and needs the connection
 *   only to be opened and closed: its own socket pair tells it when the helper has ended.
 *   The helper is not trusted with this process: its answers and rings are checked, and the head of every datagram is copied
 *   out of shared memory before anybody parses it.
 *
 * Owner: the carrier.   Thread: client: any, under its lock; port: its own.   Time: CLOCK_MONOTONIC.   Units: bytes, ms. */
#ifndef APN_BACKEND_DPDK_CLIENT_H
#define APN_BACKEND_DPDK_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/datagram/port.h"
#include "dpdk/shared/control.h"

#define APN_DPDK_PATH_MAX 107u /* of a unix socket */

/** struct apn_dpdk_region - guest RAM as the helper may know it; @fd -1: it is copied */
struct apn_dpdk_region {
    const void *host;
    uint64_t length;
    uint64_t offset;     /* of @host in the file */
    int fd;
    bool pinned;         /* APN_REGION_FIXED: an adapter may read it by itself */
    _Atomic uint32_t number; /* at the helper; APN_RING_NO_REGION: it has no such region */
};

struct apn_dpdk_client {
    pthread_mutex_t lock;
    int fd;              /* -1: not connected */
    unsigned generation;
    char path[APN_DPDK_PATH_MAX + 1];
    uint32_t flags;      /* enum apn_helper_flags of the answer to HELLO */
    struct apn_ring_address addresses[APN_HELPER_ADDRESSES];
    unsigned n_addresses;
    struct apn_dpdk_region *regions; /* APN_REGIONS_MAX */
    unsigned n_regions;  /* behind the last one that is named */
    unsigned n_shared;
    uint64_t copied_bytes; /* of regions that cannot be shared */
    char note[APN_ERROR_TEXT_MAX];
};

/** apn_dpdk_client_init() - Return: 0, -ENOMEM */
int apn_dpdk_client_init(struct apn_dpdk_client *c, const char *path);
void apn_dpdk_client_done(struct apn_dpdk_client *c);

/** apn_dpdk_client_connect() - unless connected; takes the lock. Return: 0, -errno and @err. */
int apn_dpdk_client_connect(struct apn_dpdk_client *c, struct apn_error *err);
/** apn_dpdk_client_lost() - the helper of @generation has ended */
void apn_dpdk_client_lost(struct apn_dpdk_client *c, unsigned generation);
/** apn_dpdk_client_region() - Return: 0, also when it has to be copied; -errno and @err */
int apn_dpdk_client_region(struct apn_dpdk_client *c, unsigned region, const struct apn_region *r, struct apn_error *err);

/** apn_dpdk_client_open() - @request: local, remote. Connects when needed. @fds: memory and bell, the caller's then.
 * Return: 0, -errno and @err. */
int apn_dpdk_client_open(struct apn_dpdk_client *c, struct apn_helper_msg *request, int fds[APN_HELPER_FDS], unsigned *generation,
                         struct apn_error *err);
void apn_dpdk_client_close(struct apn_dpdk_client *c, uint32_t channel, unsigned generation);

/* ---- memory.c ---- */

/** apn_dpdk_find_file() - the file behind @bytes of shared memory at @at, opened for reading
 * Return: descriptor, the caller's, and @offset; -ENOENT (private memory, or nobody has the file open). */
int apn_dpdk_find_file(const void *at, uint64_t bytes, uint64_t *offset);

/* ---- port.c ---- */

struct apn_dpdk_carrier {
    struct apn_carrier base;
    struct apn_dpdk_client client;
    char *host, *port;
    bool ecn;
    _Atomic uint64_t sent, received, send_calls, receive_calls, overruns, zerocopy_bytes;
};

/** apn_dpdk_port_new() - @remote NULL: listening at @local. Return: 0, -errno and @err. */
int apn_dpdk_port_new(struct apn_dpdk_carrier *carrier, const union apn_address *local, const union apn_address *remote,
                      struct apn_port **out, struct apn_error *err);
uint16_t apn_dpdk_port_number(const struct apn_port *port);

int apn_dpdk_port_send(struct apn_port *port, const struct apn_endpoint *endpoint, const struct apn_port_datagram *burst, unsigned n);
int apn_dpdk_port_receive(struct apn_port *port, struct apn_port_arrival *out, unsigned max);
int apn_dpdk_port_read(struct apn_port *port, const struct apn_port_arrival *arrival, const struct iovec *iov, unsigned n);
void apn_dpdk_port_wait(struct apn_port *port, unsigned what, uint64_t timeout_ns);
void apn_dpdk_port_wake(struct apn_port *port);
void apn_dpdk_port_close(struct apn_port *port);

#endif
