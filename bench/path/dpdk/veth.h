/* SPDX-License-Identifier: GPL-2.0-or-later */
/* veth.h - the Ethernet device at an end of the path, made to behave like the other engines' TUN
 * Owner: none, all state is in the kernel.  Thread: main.
 * Time:  none.                              Units:  bytes. */
#ifndef APN_BENCH_PATH_DPDK_VETH_H
#define APN_BENCH_PATH_DPDK_VETH_H

/** path_veth_make() - a pair: @port here, PATH_DEVICE_NAME in the namespace @netns; @port is brought up
 * Called in the namespace where @port shall be.
 * Return: 0; -ENOENT when there is no ip(8); or another -errno. */
int path_veth_make(const char *port, const char *netns, unsigned mtu);

/** path_veth_tame() - in the current namespace: PATH_DEVICE_NAME needs no neighbours, and leaves
 * neither checksums nor segmentation to hardware that it does not have
 * Both ends get the same address and no ARP, so every frame is for whoever receives it, as with TUN.
 * Return: 0 or -errno. */
int path_veth_tame(void);

#endif
