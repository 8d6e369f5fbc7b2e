/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest.h - guest RAM of clients, mapped here for reading only
 *
 * Theory of operation
 *   A client hands over a file; we map it read-only and never write into a guest. The file stays the client's: it may be cut
 *   short or run out of huge pages under us, and reading then raises SIGBUS. The handler puts zeroes where the memory was and
 *   marks the region broken; its client is then shown the door. So no client can end the helper, and with it the others.
 *
 * Owner: struct apn_client.   Thread: control makes and frees; workers read.   Time: none.   Units: bytes. */
#ifndef APN_DPDK_GUEST_H
#define APN_DPDK_GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APN_GUEST_CLIENTS     16u
#define APN_GUEST_REGIONS     64u /* per client; as APN_HELPER_REGIONS */
#define APN_GUEST_BYTES_MAX   (16ull << 40)

/** struct apn_guest_region - @map NULL: not in use */
struct apn_guest_region {
    const uint8_t *base;   /* of the region; set by control, under the write lock, once @ready may be read */
    const uint8_t *ready;
    uint64_t length;
    void *map;             /* of the mapping, which may begin before and end behind it */
    size_t map_bytes;
    bool zerocopy;         /* known to DPDK and to the adapter */
    bool mapped;           /* for the adapter's own reading */
    _Atomic bool broken;
};

/** apn_guest_guard() - install the SIGBUS handler. Return: 0 or -errno. */
int apn_guest_guard(void);

/** apn_guest_map() - @fd stays the caller's. Return: 0; -EINVAL (not a file, or shorter than it should be), -ENOMEM, -errno. */
int apn_guest_map(struct apn_guest_region *r, int fd, uint64_t offset, uint64_t length);
/** apn_guest_register() - make it known to DPDK and, @device, to the adapter. Return: 0 or -errno: then it is copied. */
int apn_guest_register(struct apn_guest_region *r, uint16_t port, bool device);
/** apn_guest_unmap() - nothing may be reading it */
void apn_guest_unmap(struct apn_guest_region *r, uint16_t port);

#endif
