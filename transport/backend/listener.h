/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* listener.h - the TCP port at which lanes of every real backend begin: strangers are kept off, peers shake hands
 * Owner: the backend that listens.   Thread: its own calls the hooks; start and stop from the backend's owner.
 * Time: config->clock.   Units: ms. */
#ifndef APN_BACKEND_LISTENER_H
#define APN_BACKEND_LISTENER_H

#include <apnmig/backend.h>

struct apn_listener;

/**
 * struct apn_listener_hooks - what differs between backends
 * @config: constant while listening; borrowed
 * @decide: may be NULL; the peer is authentic and admitted: settle what only the backend knows (features).
 *          Return: 0, or -errno and @err (its text goes to the peer).
 * @adopt:  make a link of a connection whose handshake is over, NULL and @err when that fails; the socket then still
 *          belongs to the listener
 * @note:   one sentence for the administrator
 */
struct apn_listener_hooks {
    const struct apn_backend_config *config;
    int (*decide)(void *opaque, const struct apn_hello *hello, int fd, struct apn_welcome *welcome, struct apn_error *err);
    struct apn_link *(*adopt)(void *opaque, const struct apn_hello *hello, const struct apn_welcome *welcome, int fd,
                              struct apn_error *err);
    void (*note)(void *opaque, const char *text);
    void *opaque;
    const char *name; /* of the backend, for messages */
};

/** apn_listener_start() - bind every address of config->host and accept in a thread of its own. *@port: the one in use.
 * Return: 0; -errno and @err. */
int apn_listener_start(struct apn_listener **out, const struct apn_listener_hooks *hooks,
                       const struct apn_acceptor *acceptor, uint16_t *port, struct apn_error *err);
/** apn_listener_stop() - NULL is fine; no hook or callback runs afterwards */
void apn_listener_stop(struct apn_listener *listener);

#endif
