/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* options.h - apn-dpdk's command line
 * Owner: main.   Thread: main.   Time: none.   Units: bytes, us. */
#ifndef APN_DPDK_OPTIONS_H
#define APN_DPDK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dpdk/host/host.h"

#define APN_WORKERS_MAX    16u
#define APN_ALLOWED_MAX    16u
#define APN_MTU_MAX        64900u /* what fits into one DPDK buffer with all headers */
#define APN_MTU_MIN        1280u  /* RFC 8200; also leaves room for the smallest lane datagram */
#define APN_EAL_ARGS_MAX   16u
#define APN_SPIN_US_DEFAULT 10u

enum apn_zerocopy { APN_ZEROCOPY_AUTO, APN_ZEROCOPY_ALWAYS, APN_ZEROCOPY_NEVER };

/** struct apn_options - strings are borrowed from argv */
struct apn_options {
    const char *port;   /* PCI address or vdev */
    const char *socket;
    const char *show;   /* ask the helper at this socket for its figures */
    const char *user;   /* to become after start */
    const char *group;  /* of the socket */
    struct apn_host_address addresses[APN_HOST_ADDRESSES];
    unsigned n_addresses;
    struct apn_ip gateway[2];
    uint32_t mtu;       /* 0: the port's */
    uint8_t mac[6];     /* all zero: the port's */
    unsigned queues;
    unsigned spin_us;
    enum apn_zerocopy zerocopy;
    bool hugepages;
    bool steer;         /* let the adapter steer, if it can */
    bool quiet;
    unsigned cpus[APN_WORKERS_MAX];
    unsigned n_cpus;
    uid_t allowed[APN_ALLOWED_MAX];
    unsigned n_allowed;
    char *const *eal;   /* behind "--" */
    unsigned n_eal;
};

/** apn_options_parse() - Return: 0; 1 = help was printed; -EINVAL and a sentence on stderr */
int apn_options_parse(struct apn_options *o, int argc, char **argv);

#endif
