/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* udp.h - datagram lanes over kernel UDP sockets, in this process; no privileges, and the peer of every other carrier
 * Owner: apn_backend_new() / ops->free.   Thread: as apnmig/backend.h says. */
#ifndef APN_BACKEND_UDP_H
#define APN_BACKEND_UDP_H

#include <apnmig/backend.h>

/** apn_udp_backend_new() - @options: what stands behind "udp:" (backend/datagram/datagram.h), "" = none
 * Return: 0; -EINVAL, -ENOMEM and @err. */
int apn_udp_backend_new(struct apn_backend **out, const struct apn_backend_config *config, const char *options, struct apn_error *err);

#endif
