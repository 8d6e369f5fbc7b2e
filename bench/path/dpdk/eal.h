/* SPDX-License-Identifier: GPL-2.0-or-later */
/* eal.h - DPDK's environment, started quietly and with only the drivers that are needed
 * Owner: process-wide, once.  Thread: main.
 * Time:  none.                Units:  bytes. */
#ifndef APN_BENCH_PATH_DPDK_EAL_H
#define APN_BENCH_PATH_DPDK_EAL_H

#include "../options.h"

struct path_eal_want {
    const char *name;          /* of the path */
    const char *device[PATH_ENDS]; /* "net_af_packet0,...", or a PCI address with arguments */
    unsigned workers;          /* one lcore each, beside the main one */
    uint64_t memory_bytes;
    bool hugepages, verbose;
};

/** path_eal_is_pci() - whether this is a PCI address, maybe with arguments after a comma */
bool path_eal_is_pci(const char *device);

/** path_eal_start() - lcores 1..@want->workers exist afterwards; no device does
 * @text: receives a message on failure
 * Return: 0 or -errno. */
int path_eal_start(const struct path_eal_want *want, char *text, size_t text_bytes);

/** path_eal_said() - the last lines that DPDK logged since its start and nobody saw, in one line
 * For messages about what DPDK refused. Empty with --verbose. */
void path_eal_said(char *said, size_t said_bytes);

/** path_eal_stop() - cannot be started again in this process */
void path_eal_stop(void);

#endif
