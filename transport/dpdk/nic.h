/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nic.h - the DPDK port: EAL, queues, buffers, and how to sleep until a frame comes
 *
 * Theory of operation
 *   DPDK polls; we sleep. What a queue is waited for by depends on the port: a receive interrupt where its driver has one; the
 *   packet socket of the virtual devices that are one inside (af_packet, af_xdp), found among our own file descriptors, because
 *   DPDK does not hand it out; else looking every millisecond, which is said.
 *
 * Owner: struct apn_helper.   Thread: start and stop: main; a queue: its worker.   Time: none.   Units: bytes. */
#ifndef APN_DPDK_NIC_H
#define APN_DPDK_NIC_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dpdk/options.h"

enum apn_nic_wait { APN_NIC_WAIT_TIMER, APN_NIC_WAIT_SOCKET, APN_NIC_WAIT_INTERRUPT };

struct apn_nic {
    uint16_t id;
    uint8_t mac[6];
    uint32_t mtu;
    unsigned queues;
    bool sums_udp;   /* the port fills UDP checksums */
    bool checks;     /* the port checks sums of what arrives */
    bool segments;   /* a frame may be made of several buffers */
    bool is_device;  /* an adapter: reads memory by itself, needs it pinned and mapped */
    bool zerocopy;
    enum apn_nic_wait wait;
    int wait_fd[APN_WORKERS_MAX];
    bool wait_counts; /* wait_fd are counters: emptied after each wait */
    struct rte_mempool *come_pool; /* frames that arrive */
    struct rte_mempool *send_pool; /* headers, and whole frames that are copied */
    struct rte_mempool *view_pool; /* buffers without memory of their own: views of guest RAM */
    char driver[32];
};

/** apn_nic_start() - EAL and port. Return: 0; -errno and a sentence on stderr. Once per process. */
int apn_nic_start(struct apn_nic *nic, const struct apn_options *o);
void apn_nic_stop(struct apn_nic *nic);

/** apn_nic_arm() - before waiting on wait_fd: interrupts on; apn_nic_disarm() afterwards */
void apn_nic_arm(struct apn_nic *nic, unsigned queue);
void apn_nic_disarm(struct apn_nic *nic, unsigned queue);
/** apn_nic_kick() - what the driver left in its transmit ring for lack of socket memory goes out. Before sleeping. */
void apn_nic_kick(struct apn_nic *nic, unsigned queue);

#endif
