/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* steer.h - which channel a UDP datagram belongs to: a flow by its four-tuple, else who listens at the port
 * Owner: struct apn_helper.   Thread: control adds and removes under the helper's write lock; workers look up under the read lock.
 * Time: none.   Units: channel numbers. */
#ifndef APN_DPDK_STEER_H
#define APN_DPDK_STEER_H

#include <stdint.h>

#include "dpdk/host/packet.h"

#define APN_STEER_SLOTS 1024u /* power of two, four times the channels */
#define APN_STEER_NONE  UINT16_MAX

/** struct apn_steer_key - @remote.family 0: listening; @local.family 0: at any address of ours */
struct apn_steer_key {
    struct apn_ip local, remote;
    uint16_t local_port, remote_port;
};

struct apn_steer {
    struct {
        struct apn_steer_key key;
        uint16_t channel; /* APN_STEER_NONE: free */
    } slots[APN_STEER_SLOTS];
    unsigned used;
};

void apn_steer_init(struct apn_steer *s);
/** apn_steer_add() - Return: 0; -EADDRINUSE; -ENOSPC. */
int apn_steer_add(struct apn_steer *s, const struct apn_steer_key *key, uint16_t channel);
void apn_steer_remove(struct apn_steer *s, const struct apn_steer_key *key);
/** apn_steer_find() - a datagram from @remote to @local. Return: channel or APN_STEER_NONE. */
uint16_t apn_steer_find(const struct apn_steer *s, const struct apn_steer_key *datagram);

#endif
