/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backend.h - the rdma backend itself: what its links share
 * Owner: apn_rdma_backend_new().   Thread: fields say.   Units: bytes, ms. */
#ifndef APN_BACKEND_RDMA_BACKEND_H
#define APN_BACKEND_RDMA_BACKEND_H

#include <stdatomic.h>

#include "backend/listener.h"
#include "backend/rdma/memory.h"
#include "backend/rdma/rdma.h"
#include "backend/rdma/send.h"
#include "backend/socket.h"

struct apn_rdma_link;

struct apn_rdma_backend {
    struct apn_backend base;
    struct apn_backend_config config; /* constant; strings and secret are ours */
    struct apn_rdma_choice choice;    /* constant */
    const struct apn_verbs *verbs;    /* constant */
    struct apn_rdma_fallback tcp;     /* constant; backend NULL: rdma or nothing */
    struct apn_rdma_memory memory;
    struct apn_rdma_totals totals;
    atomic_bool gone;                 /* the device is lost: lanes open over TCP, or not at all */
    atomic_bool reads_failed;         /* a READ broke a queue pair: none is tried any more */
    pthread_mutex_t lock;             /* guards what follows; then memory.lock, then nothing */
    struct apn_rdma_device device;    /* context NULL until a path is known; constant afterwards */
    struct addrinfo *addresses;       /* of the peer, once resolved; constant afterwards */
    char note[APN_BACKEND_NOTE_MAX];
    struct apn_rdma_link *links;      /* those with a queue pair, for asynchronous events */
    struct apn_listener *listener;
};

/** apn_rdma_backend_addresses() - the peer's, resolved once (may block on a name) */
int apn_rdma_backend_addresses(struct apn_rdma_backend *be, const struct addrinfo **out, struct apn_error *err);
/** apn_rdma_backend_device() - the device of the path that connection @fd takes; opened once
 * Return: 0; -errno and a sentence (also when another path chose another device). */
int apn_rdma_backend_device(struct apn_rdma_backend *be, int fd, struct apn_error *err);
/** apn_rdma_backend_register() - guest memory that was added before the device was known. May take seconds, once.
 * @access: what the peer may do with it, see memory.h */
void apn_rdma_backend_register(struct apn_rdma_backend *be, int access);
/** apn_rdma_backend_note() - add a sentence to apn_backend_counters.note; "" is none */
void apn_rdma_backend_note(struct apn_rdma_backend *be, const char *text);
/** apn_rdma_backend_events() - take what the device reports asynchronously, and tell the links concerned */
void apn_rdma_backend_events(struct apn_rdma_backend *be);

#endif
