/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* host.h - a small IP host behind one Ethernet port: addresses, neighbours, routes, ping, and the errors other hosts report
 *
 * Theory of operation
 *   Only what a lane needs to be a good neighbour: ARP (RFC 826, announcements and defence of RFC 5227), neighbour discovery
 *   (RFC 4861), multicast listener reports (RFC 3810) so that switches let solicitations through, echo replies, "port
 *   unreachable" both ways and "packet too big" (RFC 1191, 8201). No forwarding, no fragments, no router discovery: gateways are
 *   given. A UDP datagram for us is not handled here but by the caller, without the lock.
 *
 * Owner: struct apn_helper; embedded.   Thread: any, under the caller's lock; addresses are constant after apn_host_start().
 * Time: now_ns from the caller.   Units: bytes, ns. */
#ifndef APN_DPDK_HOST_HOST_H
#define APN_DPDK_HOST_HOST_H

#include "dpdk/host/neighbour.h"

#define APN_HOST_ADDRESSES   8u
#define APN_HOST_FRAME_MAX   65535u
#define APN_HOST_REPLIES_MAX 1000u /* a second: echo replies and errors that we send */
#define APN_HOST_DEFEND_NS   10000000000ull

enum apn_trouble { APN_TROUBLE_REFUSED = 1, APN_TROUBLE_TOO_BIG };

/**
 * struct apn_host_ops - what the host asks of its port; called under the caller's lock
 * @emit:    send a frame, copied before it returns
 * @deliver, @give_up: as in struct apn_neighbour_ops
 * @trouble: another host could not take a datagram of ours. @sent: source and dest are those of the datagram;
 *           @mtu: for APN_TROUBLE_TOO_BIG, of the IP packet
 */
struct apn_host_ops {
    void (*emit)(void *opaque, const uint8_t *frame, uint32_t bytes);
    void (*deliver)(void *opaque, void *waiter, const uint8_t mac[6]);
    void (*give_up)(void *opaque, void *waiter);
    void (*trouble)(void *opaque, enum apn_trouble what, const struct apn_packet *sent, uint32_t mtu);
};

struct apn_host_address {
    struct apn_ip ip;
    uint8_t prefix;
};

struct apn_host {
    uint8_t mac[6];
    uint32_t mtu; /* of an IP packet */
    struct apn_host_address addresses[APN_HOST_ADDRESSES];
    unsigned n_addresses;
    struct apn_ip gateway[2]; /* IPv4, IPv6 */
    struct apn_neighbours neighbours;
    const struct apn_host_ops *ops;
    void *opaque;
    uint64_t now_ns;         /* of the call that is under way */
    uint64_t second_ns;      /* replies are counted per second */
    unsigned replies;
    uint64_t defended_ns;
    uint64_t announce_ns;    /* when to announce again; 0: done */
    unsigned announced;
    char conflict[APN_IP_TEXT + 32]; /* address and who else has it; "" = nobody */
    uint8_t frame[APN_HOST_FRAME_MAX];
};

void apn_host_init(struct apn_host *host, const uint8_t mac[6], uint32_t mtu, const struct apn_host_ops *ops, void *opaque);
void apn_host_done(struct apn_host *host);

/** apn_host_add() - before apn_host_start(). Return: 0, -EINVAL (no unicast address, or prefix too long), -ENOSPC. */
int apn_host_add(struct apn_host *host, const struct apn_ip *ip, unsigned prefix);
/** apn_host_start() - announce ourselves; twice more from apn_host_tick() */
void apn_host_start(struct apn_host *host, uint64_t now_ns);

bool apn_host_is_ours(const struct apn_host *host, const struct apn_ip *ip);
/** apn_host_source() - the address that a packet to @dest leaves with. Return: NULL when there is none of that family. */
const struct apn_ip *apn_host_source(const struct apn_host *host, const struct apn_ip *dest);

/** apn_host_input() - a frame that is not a UDP datagram for us. Return: APN_DROP_NONE when it was of use. */
enum apn_drop apn_host_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *packet, uint64_t now_ns);

/** apn_host_no_port() - answer a UDP datagram that nobody waits for */
void apn_host_no_port(struct apn_host *host, const uint8_t *frame, const struct apn_packet *packet, uint64_t now_ns);

/** apn_host_route() - the two Ethernet addresses of the way to @dest
 * @waiter: as apn_neighbours_find()
 * Return: 0; -EAGAIN (asked for); -ENOBUFS; -ENETUNREACH (no route, or @dest is ourselves or a group). */
int apn_host_route(struct apn_host *host, const struct apn_ip *dest, void *waiter, uint64_t now_ns, struct apn_path *path);

/** apn_host_tick() - Return: when it wants to be called next, UINT64_MAX = no hurry */
uint64_t apn_host_tick(struct apn_host *host, uint64_t now_ns);

#endif
