/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* uring.h - TCP links driven by io_uring, one ring per lane
 *
 * Theory of operation
 *   A link owns a socket, a ring and an eventfd. At most one receive and one send are in the kernel
 * at a time, which is what keeps the byte order; both are long (a receive goes to the rest of an
 * extent in guest RAM and a little behind it, a send gathers up to 256 messages). poll() is the
 * only place that enters the kernel: it submits what post() prepared and sleeps for the first
 * completion in the same system call. The ring is made by the first poll(), on the lane's thread.
 *
 * Owner: apn_uring_backend_new() / ops->free.   Thread: backend.h.   Time: config->clock.   Units:
 * bytes, ns. */
#ifndef APN_BACKEND_URING_URING_H
#define APN_BACKEND_URING_URING_H

#include <apnmig/backend.h>

#define APN_URING_POST_MAX 256u

/** apn_uring_backend_new() - @config is copied, strings and secret too
 * Return: 0; -EPERM, -ENOSYS (no io_uring here: text says why), -EINVAL, -ENOMEM. */
int apn_uring_backend_new(struct apn_backend **out, const struct apn_backend_config *config,
                          struct apn_error *err);

#endif
