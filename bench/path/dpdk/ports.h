/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ports.h - the two ports of the path: what they are, how they are attached, how to wait for frames
 * Owner: struct path_dpdk.  Thread: main, except path_port_*_wait() (the queue's worker).
 * Time:  none.              Units:  bytes, queues. */
#ifndef APN_BENCH_PATH_DPDK_PORTS_H
#define APN_BENCH_PATH_DPDK_PORTS_H

#include "../options.h"

#include <rte_mempool.h>

#include <stdbool.h>
#include <stdint.h>

#define PATH_DPDK_MTU_MAX 64000 /* a frame has to fit one mbuf, whose length is a 16-bit number */
#define PATH_FRAME_SPARE  18    /* Ethernet header and one VLAN tag */
#define PATH_DEVICE_MAX   320

/* how a worker that has nothing to do learns of a frame */
enum path_wake {
    PATH_WAKE_NONE = 0,  /* it does not: look again after a while */
    PATH_WAKE_SOCKET,    /* a packet socket is readable */
    PATH_WAKE_INTERRUPT, /* receive interrupts, through an epoll descriptor */
};

struct path_port {
    bool open;
    char end; /* 'A' or 'B' */
    uint16_t id, queues;
    enum path_wake wake;
    int wake_fd[PATH_QUEUES_MAX];
    uint64_t lost; /* in front of us, since the port was opened: what its sockets have told so far */
};

/** path_port_device() - what DPDK calls a port
 * @spec: as the user wrote it: a PCI address, a DPDK device, or a network interface of this namespace
 * @device: receives "ADDRESS[,ARGS]" or "net_DRIVER[,ARGS]", PATH_DEVICE_MAX bytes
 * @text: receives a message on failure
 * Return: 0 or -EINVAL. */
int path_port_device(const struct path_options *options, int end, const char *spec, char *device, char *text,
                     size_t text_bytes);

/** path_port_packet_device() - net_af_packet on a network interface, with rings for the path's MTU */
void path_port_packet_device(const struct path_options *options, int end, const char *interface, char *device);

/** path_port_frame_bytes() - longest frame that has to fit an mbuf, for this MTU and the rings of net_af_packet */
uint32_t path_port_frame_bytes(unsigned mtu);

/** path_port_open() - attach, configure with @options->queues pairs of queues, start
 * Runs in the network namespace where the device's interface is, if it has one.
 * @frames: mbufs of at least path_port_frame_bytes()
 * @text: receives a message on failure
 * Return: 0 or -errno; after a failure nothing remains. */
int path_port_open(struct path_port *port, const struct path_options *options, const char *device,
                   struct rte_mempool *frames, char *text, size_t text_bytes);

/** path_port_close() - takes a zeroed one */
void path_port_close(struct path_port *port);

/** path_port_lost() - frames that the port lost before we saw them, since it was opened */
uint64_t path_port_lost(struct path_port *port);

/** path_port_begin_wait(), path_port_end_wait() - around the sleep of a worker
 * Between them wake_fd[queue] becomes readable when a frame is there; a frame that came just before
 * begin may not show: look once more in between.
 * Return: whether an interrupt came; its frame may take the driver a moment (net_tap waits for a signal
 * that the main thread gets). */
void path_port_begin_wait(struct path_port *port, unsigned queue);
bool path_port_end_wait(struct path_port *port, unsigned queue);

#endif
