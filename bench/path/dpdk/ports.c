/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ports.c - see ports.h */
#include "ports.h"

#include "eal.h"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>

#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_OVERHEAD    66u /* in front of the frame in a slot of the kernel's ring (TPACKET_V2) */
#define RING_STEP        1024u
#define RING_BYTES       (16u << 20) /* one way of a port, all queues together */
#define RING_FRAMES_MIN  128u
#define RING_FRAMES_MAX  2048u
#define DESCRIPTORS_WISH 1024
#define FDS_MAX          1024

/* slot of the kernel's ring: whole steps, so that one, two or four of them fill whole pages */
static uint32_t ring_slot_bytes(unsigned mtu)
{
    return (mtu + PATH_FRAME_SPARE + RING_OVERHEAD + RING_STEP - 1) / RING_STEP * RING_STEP;
}

uint32_t path_port_frame_bytes(unsigned mtu)
{
    return ring_slot_bytes(mtu);
}

void path_port_packet_device(const struct path_options *options, int end, const char *interface, char *device)
{
    uint32_t slot = ring_slot_bytes(options->mtu), per_block = 1, frames = RING_BYTES / options->queues / slot;

    while (slot * per_block % 4096 != 0) {
        per_block *= 2;
    }
    frames = frames < RING_FRAMES_MIN ? RING_FRAMES_MIN : frames > RING_FRAMES_MAX ? RING_FRAMES_MAX : frames;
    frames -= frames % per_block;
    snprintf(device, PATH_DEVICE_MAX, "net_af_packet%d,iface=%s,qpairs=%u,framesz=%u,blocksz=%u,framecnt=%u,"
             "qdisc_bypass=1", end, interface, options->queues, slot, slot * per_block, frames);
}

int path_port_device(const struct path_options *options, int end, const char *spec, char *device, char *text,
                     size_t text_bytes)
{
    if (path_eal_is_pci(spec) || strncmp(spec, "net_", 4) == 0) {
        snprintf(device, PATH_DEVICE_MAX, "%s", spec);
        return 0;
    }
    if (strlen(spec) < IF_NAMESIZE && !strchr(spec, ',') && if_nametoindex(spec) != 0) {
        path_port_packet_device(options, end, spec, device);
        return 0;
    }
    snprintf(text, text_bytes, "port %c: '%s' is neither a PCI address, nor a DPDK device (net_...), nor a network "
             "interface of this machine", 'A' + end, spec);
    return -EINVAL;
}

struct path_text {
    char *out;
    size_t bytes;
};

static void mark_open_fds(bool open[FDS_MAX])
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;

    memset(open, 0, FDS_MAX * sizeof(open[0]));
    while (directory && (entry = readdir(directory))) {
        long fd = strtol(entry->d_name, NULL, 10);

        if (entry->d_name[0] != '.' && fd >= 0 && fd < FDS_MAX && fd != dirfd(directory)) {
            open[fd] = true;
        }
    }
    if (directory) {
        closedir(directory);
    }
}

/* net_af_packet has one socket per queue, opened in the order of the queues, and does not tell which */
static unsigned find_packet_sockets(struct path_port *port, const bool before[FDS_MAX])
{
    bool now[FDS_MAX];
    unsigned found = 0;

    mark_open_fds(now);
    for (int fd = 0; fd < FDS_MAX && found < port->queues; fd++) {
        struct sockaddr_ll address;
        socklen_t bytes = sizeof(address);

        if (now[fd] && !before[fd] && getsockname(fd, (struct sockaddr *)&address, &bytes) == 0 &&
            bytes >= offsetof(struct sockaddr_ll, sll_addr) && address.sll_family == AF_PACKET &&
            address.sll_ifindex != 0) {
            port->wake_fd[found++] = fd;
        }
    }
    return found;
}

static bool find_interrupts(struct path_port *port)
{
    for (uint16_t q = 0; q < port->queues; q++) {
        port->wake_fd[q] = epoll_create1(EPOLL_CLOEXEC);
        if (port->wake_fd[q] < 0 ||
            rte_eth_dev_rx_intr_ctl_q(port->id, q, port->wake_fd[q], RTE_INTR_EVENT_ADD, NULL) < 0) {
            for (int i = 0; i <= q; i++) {
                close(port->wake_fd[i]);
                port->wake_fd[i] = -1;
            }
            return false;
        }
    }
    return true;
}

/* @error: 0 when there is none worth telling */
static void say(char *text, size_t text_bytes, const struct path_port *port, const char *what, int error)
{
    char said[200];
    int n;

    path_eal_said(said, sizeof(said));
    n = snprintf(text, text_bytes, "port %c: %s", port->end, what);
    if (error && n > 0 && (size_t)n < text_bytes) {
        n += snprintf(text + n, text_bytes - (size_t)n, ": %s", strerror(-error));
    }
    if (said[0] && n > 0 && (size_t)n < text_bytes) {
        snprintf(text + n, text_bytes - (size_t)n, " (DPDK: %s)", said);
    }
}

/* DPDK answers what a driver could not do with one number: look beforehand */
static int check_rights(const struct path_port *port, const char *device, char *text, size_t text_bytes)
{
    int fd, error;

    if (strncmp(device, "net_af_packet", 13) != 0) {
        return 0;
    }
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    error = fd < 0 ? -errno : 0;
    if (fd < 0) {
        say(text, text_bytes, port, error == -EPERM ? "no packet socket without CAP_NET_RAW, which root has"
                                                    : "cannot open a packet socket", error);
        return error;
    }
    close(fd);
    return 0;
}

static int attach(struct path_port *port, const char *device, char *text, size_t text_bytes)
{
    char name[PATH_DEVICE_MAX];
    const char *args = strchr(device, ',');
    bool pci = path_eal_is_pci(device);
    int result = 0;

    snprintf(name, sizeof(name), "%.*s", args ? (int)(args - device) : (int)strlen(device), device);
    if (!pci) {
        result = rte_eal_hotplug_add("vdev", name, args ? args + 1 : "");
    }
    if (result == 0) {
        result = rte_eth_dev_get_port_by_name(name, &port->id);
    }
    if (result < 0) {
        say(text, text_bytes, port, pci ? "no such network card, or it is not bound to vfio-pci (dpdk-devbind.py)"
                                        : "DPDK cannot attach it", 0);
        return result;
    }
    port->open = true;
    return 0;
}

/* Drivers on interfaces of the kernel, and memif, carry longer frames than they tell; net_tap does not.
 * Return: 0, or -EMSGSIZE with @text set. */
static int fill_conf(const struct path_port *port, const struct rte_eth_dev_info *its,
                     const struct path_options *options, struct rte_eth_conf *conf, struct path_text text)
{
    uint64_t spread = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
    bool modest = strcmp(its->driver_name, "net_af_packet") == 0 || strcmp(its->driver_name, "net_memif") == 0;

    if (options->queues > 1 && (its->flow_type_rss_offloads & spread)) {
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rx_adv_conf.rss_conf.rss_hf = its->flow_type_rss_offloads & spread;
    }
    conf->intr_conf.rxq = strcmp(its->driver_name, "net_af_packet") != 0;
    if (modest) {
        return 0;
    }
    if (its->max_rx_pktlen < options->mtu + PATH_FRAME_SPARE || its->max_mtu < options->mtu) {
        snprintf(text.out, text.bytes, "port %c: %s carries frames of up to %u bytes, --mtu %u needs %u", port->end,
                 its->driver_name, its->max_rx_pktlen, options->mtu, options->mtu + PATH_FRAME_SPARE);
        return -EMSGSIZE;
    }
    conf->rxmode.mtu = options->mtu;
    return 0;
}

static int configure(struct path_port *port, const struct path_options *options, struct rte_mempool *frames,
                     char *text, size_t text_bytes)
{
    struct rte_eth_conf conf = {0};
    struct rte_eth_dev_info its;
    uint16_t rx = DESCRIPTORS_WISH, tx = DESCRIPTORS_WISH;
    int result = rte_eth_dev_info_get(port->id, &its);

    if (result == 0 && (its.max_rx_queues < options->queues || its.max_tx_queues < options->queues)) {
        snprintf(text, text_bytes, "port %c: has %u queues, --queues asks for %u", port->end,
                 its.max_rx_queues < its.max_tx_queues ? its.max_rx_queues : its.max_tx_queues, options->queues);
        return -EINVAL;
    }
    if (result == 0) {
        result = fill_conf(port, &its, options, &conf, (struct path_text){text, text_bytes});
        if (result < 0) {
            return result;
        }
        result = rte_eth_dev_configure(port->id, port->queues, port->queues, &conf);
        if (result < 0 && conf.intr_conf.rxq) {
            conf.intr_conf.rxq = 0;
            result = rte_eth_dev_configure(port->id, port->queues, port->queues, &conf);
        }
    }
    if (result == 0) {
        rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
    }
    for (uint16_t q = 0; result == 0 && q < port->queues; q++) {
        result = rte_eth_rx_queue_setup(port->id, q, rx, SOCKET_ID_ANY, NULL, frames);
        if (result == 0) {
            result = rte_eth_tx_queue_setup(port->id, q, tx, SOCKET_ID_ANY, NULL);
        }
    }
    if (result == 0) {
        result = rte_eth_dev_start(port->id);
    }
    if (result < 0) {
        snprintf(text, text_bytes, "cannot be set up with %u queues and MTU %u", port->queues, options->mtu);
        say(text, text_bytes, port, strdupa(text), result);
    }
    return result;
}

int path_port_open(struct path_port *port, const struct path_options *options, const char *device,
                   struct rte_mempool *frames, char *text, size_t text_bytes)
{
    bool before[FDS_MAX];
    int result;

    port->queues = (uint16_t)options->queues;
    for (int q = 0; q < PATH_QUEUES_MAX; q++) {
        port->wake_fd[q] = -1;
    }
    mark_open_fds(before);
    result = check_rights(port, device, text, text_bytes);
    if (result == 0) {
        result = attach(port, device, text, text_bytes);
    }
    if (result == 0) {
        result = configure(port, options, frames, text, text_bytes);
    }
    if (result < 0) {
        path_port_close(port);
        return result;
    }
    rte_eth_promiscuous_enable(port->id); /* a path passes everything; a port that cannot, passes what it gets */
    if (find_packet_sockets(port, before) == port->queues) {
        port->wake = PATH_WAKE_SOCKET;
    } else if (find_interrupts(port)) {
        port->wake = PATH_WAKE_INTERRUPT;
    }
    return 0;
}

void path_port_close(struct path_port *port)
{
    if (!port->open) {
        return;
    }
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
    for (unsigned q = 0; q < port->queues && port->wake == PATH_WAKE_INTERRUPT; q++) {
        close(port->wake_fd[q]); /* after the driver has taken its descriptors out of it */
    }
    port->wake = PATH_WAKE_NONE;
    port->open = false;
}

uint64_t path_port_lost(struct path_port *port)
{
    struct rte_eth_stats counted;

    if (port->wake == PATH_WAKE_SOCKET) {
        for (unsigned q = 0; q < port->queues; q++) {
            struct tpacket_stats ring;
            socklen_t bytes = sizeof(ring);

            /* the kernel forgets what it has told */
            if (getsockopt(port->wake_fd[q], SOL_PACKET, PACKET_STATISTICS, &ring, &bytes) == 0) {
                port->lost += ring.tp_drops;
            }
        }
        return port->lost;
    }
    return rte_eth_stats_get(port->id, &counted) == 0 ? counted.imissed + counted.rx_nombuf : 0;
}

void path_port_begin_wait(struct path_port *port, unsigned queue)
{
    if (port->wake == PATH_WAKE_INTERRUPT) {
        rte_eth_dev_rx_intr_enable(port->id, (uint16_t)queue); /* not supported: always on */
    }
}

bool path_port_end_wait(struct path_port *port, unsigned queue)
{
    struct rte_epoll_event event;
    bool woken = false;

    if (port->wake == PATH_WAKE_INTERRUPT) {
        woken = rte_epoll_wait(port->wake_fd[queue], &event, 1, 0) > 0; /* takes the interrupt's count away */
        rte_eth_dev_rx_intr_disable(port->id, (uint16_t)queue);
    }
    return woken;
}
