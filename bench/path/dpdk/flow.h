/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow.h - which flow an Ethernet frame belongs to, so that a flow stays on one wavelength
 * Owner: none.  Thread: any.  Time: none.  Units: bytes. */
#ifndef APN_BENCH_PATH_DPDK_FLOW_H
#define APN_BENCH_PATH_DPDK_FLOW_H

#include <stdint.h>

/** path_flow_hash() - of addresses, protocol and ports (TCP, UDP, SCTP) of an IPv4 or IPv6 packet
 * Fragments, and headers that are not where they should be, are hashed without ports; frames that are
 * not IP all give 0. One VLAN tag is looked through.
 * @frame: Ethernet header onwards, of which @bytes are readable */
uint32_t path_flow_hash(const uint8_t *frame, uint32_t bytes);

#endif
