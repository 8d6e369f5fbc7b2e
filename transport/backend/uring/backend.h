/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backend.h - the uring backend itself: what its links and its listener share
 * Owner: apn_uring_backend_new().   Thread: fields say.   Units: bytes, ms. */
#ifndef APN_BACKEND_URING_BACKEND_H
#define APN_BACKEND_URING_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/listener.h"
#include "backend/socket.h"
#include "backend/uring/uring.h"

/** enum apn_uring_mode - how payload leaves */
enum apn_uring_mode {
    APN_URING_MODE_AUTO, /* not decided yet */
    APN_URING_MODE_COPY,
    APN_URING_MODE_ZEROCOPY,
};

struct apn_listener;

struct apn_uring_backend {
    struct apn_backend base;
    struct apn_backend_config config; /* constant; strings and secret are ours */
    bool zerocopy_possible;           /* constant: the kernel has SENDMSG_ZC */
    _Atomic int mode;                 /* enum apn_uring_mode: asked for, or found by measurement */
    _Atomic uint64_t zerocopy_bytes, copied_bytes;
    pthread_mutex_t lock;          /* guards what follows; innermost */
    struct addrinfo *addresses;    /* of the peer, once resolved; constant afterwards */
    char note[APN_BACKEND_NOTE_MAX]; /* what the kernel did not grant */
    struct apn_listener *listener;
};

/** apn_uring_backend_addresses() - the peer's, resolved once (may block on a name). Return: 0 or
 * -errno with text. */
int apn_uring_backend_addresses(struct apn_uring_backend *be, const struct addrinfo **out,
                                struct apn_error *err);
/** apn_uring_explain_setup() - words for a failure of io_uring_setup(). Return: @code. */
int apn_uring_explain_setup(int code, struct apn_error *err);
/** apn_uring_backend_note() - add a sentence to apn_backend_counters.note; "" is none */
void apn_uring_backend_note(struct apn_uring_backend *be, const char *note);

#endif
