/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tun.h - the device at each end of the path, and its addresses
 * Owner: caller keeps the descriptors.  Thread: main, before the path starts.
 * Time:  none.                          Units:  bytes. */
#ifndef APN_BENCH_PATH_TUN_H
#define APN_BENCH_PATH_TUN_H

#include <netinet/in.h>
#include <stdint.h>

#define PATH_DEVICE_NAME "apn0"

struct path_address {
    struct in_addr v4;
    struct in6_addr v6;
    unsigned v4_prefix, v6_prefix;
};

/** path_tun_open() - make the TUN device in the current network namespace
 * Frames carry a virtio header and may be large TCP segments (up to 64 KiB).
 * Return: non-blocking descriptor; closing it removes the device. Or -errno. */
int path_tun_open(void);

/** path_device_up() - addresses, MTU and state of PATH_DEVICE_NAME and of lo, in the current namespace
 * @mtu: 1280..65535
 * Return: 0 or -errno. */
int path_device_up(const struct path_address *address, unsigned mtu);

/** path_tun_wire_bytes() - what a frame read from the device occupies on the line
 * @frame: virtio header and packet, of which at least the first min(@bytes, 2048) are readable
 * @bytes: whole length
 * Return: bytes, at least 1. */
uint32_t path_tun_wire_bytes(const uint8_t *frame, uint32_t bytes);

#endif
