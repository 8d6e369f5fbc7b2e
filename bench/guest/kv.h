/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kv.h - a client that keeps a real key-value server busy and checks every answer
 * Owner: main.  Thread: one of its own; guest_kv_take() from main.
 * Time:  CLOCK_MONOTONIC of the guest.  Units: requests/s, MiB, ns.
 *
 * The server is Debian's memcached, started by init and reached over TCP on 127.0.0.1. Nine requests of ten read, one
 * writes; keys by Zipf's law. A request is late from the moment it was due, so that a server that stands still is not
 * flattered by the requests that were never sent meanwhile.
 */
#ifndef APN_BENCH_GUEST_KV_H
#define APN_BENCH_GUEST_KV_H

#include "latency.h"
#include "params.h"

#define GUEST_KV_PORT        11211
#define GUEST_KV_VALUE_BYTES 8000 /* 8000 and its header fit a slab of memcached well */

/** guest_kv_start() - connect, store params->kv_mib of values, then keep asking
 * @text: receives what went wrong
 * Return: 0 or -errno. */
int guest_kv_start(const struct guest_params *params, char *text, size_t text_bytes);

/** guest_kv_take() - what requests took since the call before
 * Return: wrong or missing answers since the start; 0 when there is no client. */
uint64_t guest_kv_take(struct latency *latency);

#endif
