/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tun.c - TUN with segmentation offload; see tun.h */
#include "tun.h"

#include "shape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define READABLE_MAX 2048u
#define QUEUE_FRAMES 4096 /* between the kernel and our reader; the path's own queue is in store.c */

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

int path_tun_open(void)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    int fd, error;

    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    memcpy(request.ifr_name, PATH_DEVICE_NAME, sizeof(PATH_DEVICE_NAME));
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        goto fail;
    }
    /* UDP segmentation came with Linux 6.2; TCP segmentation is required */
    if (ioctl(fd, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6) < 0 &&
        ioctl(fd, TUNSETOFFLOAD, offload) < 0) {
        goto fail;
    }
    return fd;
fail:
    error = -errno;
    close(fd);
    return error;
}

static int link_up(int sock, const char *name, unsigned mtu)
{
    struct ifreq request = {0};

    memcpy(request.ifr_name, name, strlen(name) + 1);
    if (mtu > 0) {
        request.ifr_mtu = (int)mtu;
        if (ioctl(sock, SIOCSIFMTU, &request) < 0) {
            return -errno;
        }
        request.ifr_qlen = QUEUE_FRAMES;
        if (ioctl(sock, SIOCSIFTXQLEN, &request) < 0) {
            return -errno;
        }
    }
    if (ioctl(sock, SIOCGIFFLAGS, &request) < 0) {
        return -errno;
    }
    request.ifr_flags |= IFF_UP;
    return ioctl(sock, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int set_v4(int sock, const struct path_address *address)
{
    struct ifreq request = {.ifr_name = PATH_DEVICE_NAME};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&request.ifr_addr;

    in->sin_family = AF_INET;
    in->sin_addr = address->v4;
    if (ioctl(sock, SIOCSIFADDR, &request) < 0) {
        return -errno;
    }
    in->sin_addr.s_addr = htonl(UINT32_MAX << (32 - address->v4_prefix));
    return ioctl(sock, SIOCSIFNETMASK, &request) < 0 ? -errno : 0;
}

static int set_v6(int sock, const struct path_address *address)
{
    struct ifreq device = {.ifr_name = PATH_DEVICE_NAME};
    struct in6_ifreq request = {.ifr6_addr = address->v6, .ifr6_prefixlen = address->v6_prefix};

    if (ioctl(sock, SIOCGIFINDEX, &device) < 0) {
        return -errno;
    }
    request.ifr6_ifindex = device.ifr_ifindex;
    return ioctl(sock, SIOCSIFADDR, &request) < 0 ? -errno : 0;
}

int path_device_up(const struct path_address *address, unsigned mtu)
{
    int sock4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int sock6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result;

    if (sock4 < 0 || sock6 < 0) {
        result = -errno;
        goto out;
    }
    result = link_up(sock4, "lo", 0);
    if (result < 0) {
        goto out;
    }
    result = link_up(sock4, PATH_DEVICE_NAME, mtu);
    if (result < 0) {
        goto out;
    }
    result = set_v4(sock4, address);
    if (result == 0) {
        result = set_v6(sock6, address);
    }
out:
    if (sock4 >= 0) {
        close(sock4);
    }
    if (sock6 >= 0) {
        close(sock6);
    }
    return result;
}

/* csum_start is where the transport header begins: the kernel sets it on every frame to be cut */
static uint32_t header_bytes(const struct virtio_net_hdr *header, const uint8_t *packet,
                             uint32_t readable)
{
    uint32_t start = header->csum_start;
    uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        return 0;
    }
    if (type == VIRTIO_NET_HDR_GSO_UDP_L4) {
        return start + 8;
    }
    if ((type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6) &&
        start + 20 <= readable) {
        return start + (uint32_t)(packet[start + 12] >> 4) * 4;
    }
    return 0;
}

uint32_t path_tun_wire_bytes(const uint8_t *frame, uint32_t bytes)
{
    struct virtio_net_hdr header;
    uint32_t packet_bytes, readable;

    if (bytes <= sizeof(header)) {
        return 1;
    }
    memcpy(&header, frame, sizeof(header));
    packet_bytes = bytes - (uint32_t)sizeof(header);
    readable = (bytes < READABLE_MAX ? bytes : READABLE_MAX) - (uint32_t)sizeof(header);
    if (header.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        return packet_bytes;
    }
    return path_shape_wire_bytes(packet_bytes, header.gso_size,
                                 header_bytes(&header, frame + sizeof(header), readable));
}
