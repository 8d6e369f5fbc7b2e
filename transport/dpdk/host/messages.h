/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* messages.h - inside of the host: the messages of ARP, neighbour discovery, listener reports and ICMP
 * Owner: host.c.   Thread: under the host's lock.   Time: host->now_ns.   Units: bytes. */
#ifndef APN_DPDK_HOST_MESSAGES_H
#define APN_DPDK_HOST_MESSAGES_H

#include "dpdk/host/host.h"

/* @mac: ask this one; NULL: all */
void apn_arp_request(struct apn_host *host, const struct apn_ip *ip, const uint8_t *mac);
void apn_arp_announce(struct apn_host *host, const struct apn_ip *ip);
enum apn_drop apn_arp_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p);

void apn_nd_solicit(struct apn_host *host, const struct apn_ip *ip, const uint8_t *mac);
/** apn_nd_probe() - duplicate address detection: a solicitation from nobody */
void apn_nd_probe(struct apn_host *host, const struct apn_ip *ip);
/** apn_nd_advertise() - @ip is ours; to @dest, or @dest NULL: unsolicited, to all */
void apn_nd_advertise(struct apn_host *host, const struct apn_ip *ip, const struct apn_ip *dest, const uint8_t *dest_mac);
/** apn_mld_report() - the solicited-node groups of all our IPv6 addresses */
void apn_mld_report(struct apn_host *host);

enum apn_drop apn_nd_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p);
enum apn_drop apn_icmp4_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p);
enum apn_drop apn_icmp6_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p);

/** apn_host_may_reply() - the limit on what a stranger can make us send */
bool apn_host_may_reply(struct apn_host *host);
/** apn_host_conflict() - @mac says that @ip, ours, is its own. Return: may we defend it now? */
bool apn_host_conflict(struct apn_host *host, const struct apn_ip *ip, const uint8_t mac[6]);

#endif
