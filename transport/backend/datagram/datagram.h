/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* datagram.h - lanes over datagrams: a backend on top of any carrier (port.h); docs/datagram.md is the protocol
 * Owner: the caller of apn_datagram_backend_new().   Thread: as backend.h.   Time: config->clock.   Units: bytes/s, ns, bytes. */
#ifndef APN_BACKEND_DATAGRAM_H
#define APN_BACKEND_DATAGRAM_H

#include <apnmig/backend.h>

#include "backend/datagram/port.h"

/** struct apn_datagram_options - what an administrator may set, in the backend's name behind a colon
 * @ceiling, @floor: of the rate at which one lane sends, wire bytes/s; 0 = none
 * @shared:          others use the path: give way (docs/datagram.md); else it is a wavelength of our own
 * @datagram_max:    largest datagram, 0 = what the path carries */
struct apn_datagram_options {
    uint64_t ceiling_bytes_per_s;
    uint64_t floor_bytes_per_s;
    bool shared;
    uint32_t datagram_max;
};

/** apn_datagram_options_parse() - "ceiling=2.4Gbit,floor=100Mbit,shared,mtu=9000": any of them, in any order, "" = all default.
 * Words that are not known are handed to @other (may be NULL), which returns 0 when it takes them.
 * Return: 0; -EINVAL and @err (word, value, limit). */
int apn_datagram_options_parse(const char *text, struct apn_datagram_options *out,
                               int (*other)(void *opaque, const char *word, struct apn_error *err), void *opaque, struct apn_error *err);

/** apn_datagram_backend_new() - @name: for messages, constant ("udp", "dpdk"). Takes @carrier in any case: freed with the backend, or now
 * when this fails. Counters of the carrier show up in the backend's.
 * Return: 0; -ENOMEM, -EINVAL and @err. */
int apn_datagram_backend_new(struct apn_backend **out, const char *name, struct apn_carrier *carrier,
                             const struct apn_datagram_options *options, const struct apn_backend_config *config, struct apn_error *err);

#endif
