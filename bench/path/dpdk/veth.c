/* SPDX-License-Identifier: GPL-2.0-or-later */
/* veth.c - see veth.h */
#include "veth.h"

#include "../command.h"
#include "../tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t end_address[6] = {0x02, 0x61, 0x70, 0x6e, 0x00, 0x01}; /* locally administered */

/* Frames pass through user space without the notes that the kernel keeps beside them, so checksums are in
 * them and they are cut before they get there. Cut by TCP itself: cutting large segments at the device cost
 * a third of the throughput. The receiver puts frames together again, which gained a third. */
static const struct {
    uint32_t command, value;
} features[] = {{ETHTOOL_STXCSUM, 0}, {ETHTOOL_STSO, 0}, {ETHTOOL_SGSO, 0}, {ETHTOOL_SGRO, 1}};

/* no router solicitations and the like from the side that is nobody's */
static void quiet_v6(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, "1", 1); /* without IPv6 in the kernel there is nothing to say */
        close(fd);
    }
}

int path_veth_make(const char *port, const char *netns, unsigned mtu)
{
    char command[256], output[PATH_COMMAND_OUTPUT_MAX];
    int result;

    quiet_v6();
    snprintf(command, sizeof(command), "ip link add %s mtu %u type veth peer name %s mtu %u netns %s", port, mtu,
             PATH_DEVICE_NAME, mtu, netns);
    result = path_command_run(command, output);
    if (result == 0) {
        snprintf(command, sizeof(command), "ip link set %s up", port);
        result = path_command_run(command, output);
    }
    return result > 0 ? -EIO : result;
}

static int set_feature(int sock, uint32_t command, uint32_t value)
{
    struct ethtool_value feature = {.cmd = command, .data = value};
    struct ifreq request = {.ifr_name = PATH_DEVICE_NAME, .ifr_data = (void *)&feature};

    /* what the kernel does not know it does not do */
    return ioctl(sock, SIOCETHTOOL, &request) < 0 && errno != EOPNOTSUPP ? -errno : 0;
}

int path_veth_tame(void)
{
    struct ifreq request = {.ifr_name = PATH_DEVICE_NAME};
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result = 0;

    if (sock < 0) {
        return -errno;
    }
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, end_address, sizeof(end_address));
    if (ioctl(sock, SIOCSIFHWADDR, &request) < 0 || ioctl(sock, SIOCGIFFLAGS, &request) < 0) {
        result = -errno;
        goto out;
    }
    request.ifr_flags |= IFF_NOARP;
    if (ioctl(sock, SIOCSIFFLAGS, &request) < 0) {
        result = -errno;
        goto out;
    }
    for (size_t i = 0; result == 0 && i < sizeof(features) / sizeof(features[0]); i++) {
        result = set_feature(sock, features[i].command, features[i].value);
    }
out:
    close(sock);
    return result;
}
