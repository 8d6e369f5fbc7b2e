/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dpdk.h - datagram lanes over a DPDK port that a helper process, apn-dpdk, serves; nothing of DPDK is linked here
 *
 * Theory of operation
 *   The carrier connects to apn-dpdk's unix socket, hands it the files behind guest RAM, and opens a channel (shared rings) per
 *   lane and one for the listener. When the helper ends, its channels hang up at once, lanes go down, and the next one that is
 *   opened connects to whatever serves the socket by then.
 *
 * Owner: apn_backend_new() / ops->free.   Thread: as apnmig/backend.h says. */
#ifndef APN_BACKEND_DPDK_DPDK_H
#define APN_BACKEND_DPDK_DPDK_H

#include <apnmig/backend.h>

/** apn_dpdk_backend_new() - @options: "socket=PATH" and those of datagram.h, separated by commas; NULL or "": all default.
 * Without socket=: APN_DPDK_SOCKET in the environment, else /run/apn/dpdk.sock.
 * Return: 0; -ENODEV (no helper there), -EPERM, -EUSERS (it serves enough programs), -EINVAL, -ENOMEM; the text says what to do. */
int apn_dpdk_backend_new(struct apn_backend **out, const struct apn_backend_config *config, const char *options, struct apn_error *err);

#endif
