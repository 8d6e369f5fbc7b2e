/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nic.c - see nic.h */
#include "dpdk/nic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_mempool.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#define DEVICE_SLOTS     1024u /* descriptors per queue of an adapter, as far as it has them */
#define VIRTUAL_SLOTS    256u
#define SPARE_BUFFERS    512u  /* in hands of workers, inboxes and waiting for neighbours */
#define FRAME_OVERHEAD   98u   /* Ethernet, and what af_packet puts in front of a frame */
#define FRAME_ALIGN      512u  /* then eight of them are whole pages */
#define PACKET_RING_WISH (8u << 20)
#define EAL_EXTRA_MB     64u
#define SEND_BUFFER      (8 << 20)
#define ARGS_MAX         (APN_EAL_ARGS_MAX + 24u)
#define DEVARGS_BYTES    256u

static int complain(int code, const char *what, const char *why)
{
    fprintf(stderr, "apn-dpdk: %s: %s\n", what, why);
    return code;
}

static bool is_packet_socket(const char *port)
{
    return !strncmp(port, "net_af_packet", 13) || !strncmp(port, "eth_af_packet", 13);
}

/* PCI: "0000:3b:00.0" or "3b:00.0" */
static bool is_pci(const char *port)
{
    unsigned a, b, c, d;
    int end = 0;

    if (sscanf(port, "%x:%x:%x.%x%n", &a, &b, &c, &d, &end) == 4 && (!port[end] || port[end] == ',')) {
        return true;
    }
    end = 0;
    return sscanf(port, "%x:%x.%x%n", &a, &b, &c, &end) == 3 && (!port[end] || port[end] == ',');
}

/* Return: 0 and the MTU of "iface=NAME" in @port; -ENODEV. */
static int interface_mtu(const char *port, uint32_t *mtu)
{
    const char *iface = strstr(port, "iface=");
    struct ifreq request = {0};
    int fd, ret;

    if (!iface) {
        return -ENODEV;
    }
    iface += strlen("iface=");
    if (strcspn(iface, ",") >= sizeof(request.ifr_name)) {
        return -ENODEV;
    }
    memcpy(request.ifr_name, iface, strcspn(iface, ","));
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    ret = ioctl(fd, SIOCGIFMTU, &request) ? -errno : 0;
    close(fd);
    if (!ret) {
        *mtu = (uint32_t)request.ifr_mtu;
    }
    return ret;
}

static int choose_mtu(struct apn_nic *nic, const struct apn_options *o)
{
    uint32_t found = 0;
    int ret = is_pci(o->port) ? 0 : interface_mtu(o->port, &found);

    if (ret && is_packet_socket(o->port)) {
        return complain(ret, o->port, "no such network interface here (iface=NAME)");
    }
    if (o->mtu && found && o->mtu > found) {
        fprintf(stderr, "apn-dpdk: --mtu=%u: the interface carries %u\n", o->mtu, found);
        return -EINVAL;
    }
    nic->mtu = o->mtu ? o->mtu : found ? found : 1500;
    nic->mtu = nic->mtu > APN_MTU_MAX ? APN_MTU_MAX : nic->mtu;
    if (nic->mtu < APN_MTU_MIN) {
        fprintf(stderr, "apn-dpdk: %s: its MTU is %u, at least %u is needed\n", o->port, nic->mtu, APN_MTU_MIN);
        return -EINVAL;
    }
    return 0;
}

static uint32_t frame_bytes(const struct apn_nic *nic)
{
    return (nic->mtu + FRAME_OVERHEAD + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
}

static unsigned buffer_count(const struct apn_nic *nic)
{
    return nic->queues * (nic->is_device ? DEVICE_SLOTS : VIRTUAL_SLOTS) + SPARE_BUFFERS;
}

/* ---- EAL ------------------------------------------------------------------- */

/* what an administrator would have to work out for af_packet: a frame of the MTU fits, and rings are whole pages */
static void make_devargs(const struct apn_nic *nic, const struct apn_options *o, char out[DEVARGS_BYTES])
{
    const uint32_t frame = frame_bytes(nic);
    uint32_t count = PACKET_RING_WISH / frame / 8 * 8;

    if (!is_packet_socket(o->port) || strstr(o->port, "framesz=")) {
        snprintf(out, DEVARGS_BYTES, "%s", o->port);
        return;
    }
    count = count < 64 ? 64 : count > 2048 ? 2048 : count;
    snprintf(out, DEVARGS_BYTES, "%s,blocksz=%u,framesz=%u,framecnt=%u,qpairs=%u", o->port, frame * 8, frame, count, o->queues);
}

static int start_eal(struct apn_nic *nic, const struct apn_options *o)
{
    const uint64_t bytes = (uint64_t)buffer_count(nic) * 2 * (frame_bytes(nic) + 1024);
    char devargs[DEVARGS_BYTES], memory[16], lcores[32], prefix[32];
    char *args[ARGS_MAX];
    int n = 0;

    if (strlen(o->port) >= DEVARGS_BYTES - 96) {
        return complain(-EINVAL, o->port, "too long");
    }
    make_devargs(nic, o, devargs);
    snprintf(memory, sizeof(memory), "%u", (unsigned)(bytes >> 20) + EAL_EXTRA_MB);
    snprintf(lcores, sizeof(lcores), "0@(0-%ld)", sysconf(_SC_NPROCESSORS_ONLN) - 1);
    snprintf(prefix, sizeof(prefix), "apn-dpdk-%d", (int)getpid());
    args[n++] = (char *)(uintptr_t)"apn-dpdk";
    args[n++] = (char *)(uintptr_t)(is_pci(o->port) ? "-a" : "--no-pci");
    args[n++] = is_pci(o->port) ? devargs : (char *)(uintptr_t)"--vdev";
    if (!is_pci(o->port)) {
        args[n++] = devargs;
    }
    if (!o->hugepages) {
        args[n++] = (char *)(uintptr_t)"--no-huge";
    }
    args[n++] = (char *)(uintptr_t)"-m";
    args[n++] = memory;
    args[n++] = (char *)(uintptr_t)"--lcores";
    args[n++] = lcores;
    args[n++] = (char *)(uintptr_t)"--file-prefix";
    args[n++] = prefix;
    args[n++] = (char *)(uintptr_t)"--no-telemetry";
    args[n++] = (char *)(uintptr_t)"--no-shconf";
    args[n++] = (char *)(uintptr_t)"--log-level=error";
    for (unsigned i = 0; i < o->n_eal; i++) {
        args[n++] = o->eal[i];
    }
    if (rte_eal_init(n, args) < 0) {
        fprintf(stderr, "apn-dpdk: %s: DPDK does not start: %s%s\n", devargs, rte_strerror(rte_errno),
                geteuid() ? " (af_packet needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_IPC_LOCK, tap CAP_NET_ADMIN)" : "");
        return rte_errno ? -rte_errno : -EIO;
    }
    rmdir(rte_eal_get_runtime_dir()); /* empty without shared configuration, and in nobody's way any more */
    return 0;
}

/* ---- port ------------------------------------------------------------------ */

static bool has_own_mac(const struct apn_options *o)
{
    static const uint8_t none[6];

    return memcmp(o->mac, none, 6) != 0;
}

static int find_port(struct apn_nic *nic, const struct apn_options *o)
{
    struct rte_eth_dev_info found = {0};
    struct rte_ether_addr mac;

    if (rte_eth_dev_count_avail() != 1) {
        fprintf(stderr, "apn-dpdk: %s: DPDK has %u ports of it, there must be one (%s)\n", o->port, rte_eth_dev_count_avail(),
                nic->is_device ? "is the adapter bound to vfio-pci? dpdk-devbind.py -s"
                               : "DPDK's reason is above; af_packet needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_IPC_LOCK");
        return -ENODEV;
    }
    nic->id = rte_eth_find_next(0);
    if (rte_eth_dev_info_get(nic->id, &found) || rte_eth_macaddr_get(nic->id, &mac)) {
        return complain(-EIO, o->port, "the port does not say what it can do");
    }
    memcpy(nic->mac, mac.addr_bytes, 6);
    if (has_own_mac(o)) {
        memcpy(nic->mac, o->mac, 6);
    } else if (!strncmp(o->port, "net_tap", 7)) { /* that is the kernel's end of it; ours is another host */
        nic->mac[0] |= 2;
        nic->mac[5] ^= 0xff;
    }
    snprintf(nic->driver, sizeof(nic->driver), "%s", found.driver_name ? found.driver_name : "?");
    if (nic->queues > found.max_rx_queues || nic->queues > found.max_tx_queues) {
        fprintf(stderr, "apn-dpdk: --queues=%u: the port has %u\n", nic->queues,
                found.max_rx_queues < found.max_tx_queues ? found.max_rx_queues : found.max_tx_queues);
        return -EINVAL;
    }
    return 0;
}

static int configure(struct apn_nic *nic, bool interrupts)
{
    struct rte_eth_conf conf = {.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE};
    struct rte_eth_dev_info found;
    int ret = rte_eth_dev_info_get(nic->id, &found);
    const uint64_t sums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

    if (ret) {
        return ret;
    }
    nic->segments = found.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    /* a virtual device "offloads" sums to the CPU, and over memory that may change before it is copied */
    nic->sums_udp = nic->is_device && found.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    nic->checks = nic->is_device && (found.rx_offload_capa & sums) == sums;
    conf.txmode.offloads = (nic->segments ? RTE_ETH_TX_OFFLOAD_MULTI_SEGS : 0) | (nic->sums_udp ? RTE_ETH_TX_OFFLOAD_UDP_CKSUM : 0);
    conf.rxmode.offloads = nic->checks ? sums : 0;
    conf.intr_conf.rxq = interrupts;
    if (nic->is_device) {
        conf.rxmode.mtu = nic->mtu;
        conf.rx_adv_conf.rss_conf.rss_hf = found.flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP);
        if (nic->queues > 1 && conf.rx_adv_conf.rss_conf.rss_hf) {
            conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        }
    }
    return rte_eth_dev_configure(nic->id, (uint16_t)nic->queues, (uint16_t)nic->queues, &conf);
}

static int make_pools(struct apn_nic *nic)
{
    const unsigned count = buffer_count(nic);
    const uint16_t room = (uint16_t)(frame_bytes(nic) + RTE_PKTMBUF_HEADROOM);

    nic->come_pool = rte_pktmbuf_pool_create("come", count, 32, 0, room, SOCKET_ID_ANY);
    nic->send_pool = rte_pktmbuf_pool_create("send", count, 32, 0, room, SOCKET_ID_ANY);
    nic->view_pool = rte_pktmbuf_pool_create("view", count, 32, 0, 0, SOCKET_ID_ANY);
    if (!nic->come_pool || !nic->send_pool || !nic->view_pool) {
        fprintf(stderr, "apn-dpdk: no memory for %u buffers of %u bytes: %s\n", count * 2, room, rte_strerror(rte_errno));
        return -ENOMEM;
    }
    return 0;
}

static int make_queues(struct apn_nic *nic)
{
    uint16_t come = nic->is_device ? DEVICE_SLOTS : VIRTUAL_SLOTS, send = come;
    int ret = rte_eth_dev_adjust_nb_rx_tx_desc(nic->id, &come, &send);

    for (uint16_t q = 0; q < nic->queues && !ret; q++) {
        ret = rte_eth_rx_queue_setup(nic->id, q, come, SOCKET_ID_ANY, NULL, nic->come_pool);
        ret = ret ? ret : rte_eth_tx_queue_setup(nic->id, q, send, SOCKET_ID_ANY, NULL);
    }
    return ret;
}

static int socket_number(int fd, int option)
{
    int value = -1;
    socklen_t bytes = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &bytes) ? -1 : value;
}

/* IPv6 neighbours ask by multicast; the membership ends with the socket, and needs no right of its own */
static void hear_groups(int fd)
{
    struct sockaddr_ll at;
    socklen_t bytes = sizeof(at);
    struct packet_mreq all = {.mr_type = PACKET_MR_ALLMULTI};

    if (!getsockname(fd, (struct sockaddr *)&at, &bytes) && at.sll_family == AF_PACKET) {
        all.mr_ifindex = at.sll_ifindex;
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all));
    }
}

/* the sockets of af_packet and af_xdp among our own descriptors, in the order in which the queues were made */
static unsigned find_sockets(struct apn_nic *nic)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned found = 0;
    const int size = SEND_BUFFER;

    while (dir && (entry = readdir(dir))) {
        const int fd = atoi(entry->d_name);
        const int domain = entry->d_name[0] == '.' ? -1 : socket_number(fd, SO_DOMAIN);

        if ((domain == AF_PACKET || domain == AF_XDP) && found < nic->queues) {
            if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size))) {
                setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
            }
            hear_groups(fd);
            nic->wait_fd[found++] = fd;
        }
    }
    if (dir) {
        closedir(dir);
    }
    for (unsigned i = 1; i < found; i++) { /* few: insertion sort */
        for (unsigned j = i; j && nic->wait_fd[j] < nic->wait_fd[j - 1]; j--) {
            const int swap = nic->wait_fd[j];

            nic->wait_fd[j] = nic->wait_fd[j - 1];
            nic->wait_fd[j - 1] = swap;
        }
    }
    return found;
}

/* an interrupt of an adapter is a counter that must be emptied; tap's is the device, and reading it would take a frame */
static bool is_counter(int fd)
{
    char path[32], what[32] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, what, sizeof(what) - 1) > 0 && !strcmp(what, "anon_inode:[eventfd]") && !fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void find_waits(struct apn_nic *nic, bool interrupts)
{
    unsigned found = 0;

    while (interrupts && found < nic->queues) {
        nic->wait_fd[found] = rte_eth_dev_rx_intr_ctl_q_get_fd(nic->id, (uint16_t)found);
        if (nic->wait_fd[found] < 0) {
            break;
        }
        found++;
    }
    if (interrupts && found == nic->queues) {
        nic->wait = APN_NIC_WAIT_INTERRUPT;
        nic->wait_counts = is_counter(nic->wait_fd[0]);
        return;
    }
    if (!nic->is_device && find_sockets(nic) == nic->queues) {
        nic->wait = APN_NIC_WAIT_SOCKET;
        return;
    }
    nic->wait = APN_NIC_WAIT_TIMER;
}

/* virtual devices other than af_packet have an idea of their own of how long a frame may be */
static int settle_mtu(struct apn_nic *nic, const struct apn_options *o)
{
    uint16_t carries = 0;

    if (nic->is_device || is_packet_socket(o->port) || !rte_eth_dev_set_mtu(nic->id, (uint16_t)nic->mtu)) {
        return 0;
    }
    if (rte_eth_dev_get_mtu(nic->id, &carries) || carries < APN_MTU_MIN || carries < o->mtu) {
        fprintf(stderr, "apn-dpdk: %s: the port's MTU is %u and cannot be changed, wanted is %u\n", o->port, carries, nic->mtu);
        return -EINVAL;
    }
    nic->mtu = nic->mtu < carries ? nic->mtu : carries;
    return 0;
}

static int start_port(struct apn_nic *nic, const struct apn_options *o)
{
    /* sockets are found without; these drivers have no interrupts */
    bool interrupts = !is_packet_socket(o->port) && strncmp(o->port, "net_af_xdp", 10);
    int ret = configure(nic, interrupts);

    if (ret && interrupts) {
        interrupts = false;
        ret = configure(nic, false);
    }
    ret = ret ? ret : settle_mtu(nic, o);
    ret = ret ? ret : make_pools(nic);
    ret = ret ? ret : make_queues(nic);
    if (!ret) {
        ret = rte_eth_dev_start(nic->id);
        if (ret && interrupts) { /* some drivers say no only now */
            interrupts = false;
            ret = configure(nic, false);
            ret = ret ? ret : make_queues(nic);
            ret = ret ? ret : rte_eth_dev_start(nic->id);
        }
    }
    if (ret) {
        fprintf(stderr, "apn-dpdk: %s: the port cannot be set up (MTU %u, %u queues): %s\n", o->port, nic->mtu, nic->queues,
                rte_strerror(-ret));
        return ret;
    }
    find_waits(nic, interrupts);
    if (has_own_mac(o)) { /* frames to it are no business of the adapter's filter */
        ret = rte_eth_promiscuous_enable(nic->id);
        if (ret) {
            return complain(ret, o->port, "--mac needs promiscuous mode, which the port does not have");
        }
    } else if (nic->wait != APN_NIC_WAIT_SOCKET && rte_eth_allmulticast_enable(nic->id)) { /* solicited-node groups */
        rte_eth_promiscuous_enable(nic->id);
    }
    return 0;
}

int apn_nic_start(struct apn_nic *nic, const struct apn_options *o)
{
    int ret;

    memset(nic, 0, sizeof(*nic));
    nic->queues = o->queues;
    nic->is_device = is_pci(o->port);
    ret = choose_mtu(nic, o);
    ret = ret ? ret : start_eal(nic, o);
    ret = ret ? ret : find_port(nic, o);
    ret = ret ? ret : start_port(nic, o);
    if (ret) {
        return ret;
    }
    nic->zerocopy = nic->segments && (o->zerocopy == APN_ZEROCOPY_ALWAYS || (o->zerocopy == APN_ZEROCOPY_AUTO && nic->sums_udp));
    return 0;
}

void apn_nic_stop(struct apn_nic *nic)
{
    rte_eth_dev_stop(nic->id);
    rte_eth_dev_close(nic->id);
    rte_eal_cleanup();
}

void apn_nic_arm(struct apn_nic *nic, unsigned queue)
{
    if (nic->wait == APN_NIC_WAIT_INTERRUPT) {
        rte_eth_dev_rx_intr_enable(nic->id, (uint16_t)queue);
    }
}

void apn_nic_disarm(struct apn_nic *nic, unsigned queue)
{
    uint64_t count;

    if (nic->wait == APN_NIC_WAIT_INTERRUPT) {
        rte_eth_dev_rx_intr_disable(nic->id, (uint16_t)queue);
        if (nic->wait_counts && read(nic->wait_fd[queue], &count, sizeof(count)) < 0) {
            return; /* nothing has come */
        }
    }
}

void apn_nic_kick(struct apn_nic *nic, unsigned queue)
{
    if (nic->wait == APN_NIC_WAIT_SOCKET) {
        ssize_t n = sendto(nic->wait_fd[queue], NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);

        (void)n; /* an interface that is down says so when it is waited for */
    }
}
