/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* host.c - see host.h; the messages themselves are in arp.c and icmp.c */
#include "dpdk/host/host.h"

#include <errno.h>
#include <string.h>

#include "dpdk/host/messages.h"

#define SECOND_NS     1000000000ull
#define ANNOUNCEMENTS 3u

static void ask(void *opaque, const struct apn_neighbour *n)
{
    if (n->ip.family == 6) {
        apn_nd_solicit(opaque, &n->ip, n->state == APN_NEIGHBOUR_PROBE ? n->mac : NULL);
    } else {
        apn_arp_request(opaque, &n->ip, n->state == APN_NEIGHBOUR_PROBE ? n->mac : NULL);
    }
}

static void deliver(void *opaque, void *waiter, const uint8_t mac[6])
{
    struct apn_host *host = opaque;

    host->ops->deliver(host->opaque, waiter, mac);
}

static void give_up(void *opaque, void *waiter)
{
    struct apn_host *host = opaque;

    host->ops->give_up(host->opaque, waiter);
}

static const struct apn_neighbour_ops neighbour_ops = {ask, deliver, give_up};

void apn_host_init(struct apn_host *host, const uint8_t mac[6], uint32_t mtu, const struct apn_host_ops *ops, void *opaque)
{
    memset(host, 0, sizeof(*host));
    memcpy(host->mac, mac, 6);
    host->mtu = mtu;
    host->ops = ops;
    host->opaque = opaque;
    apn_neighbours_init(&host->neighbours, &neighbour_ops, host);
}

void apn_host_done(struct apn_host *host)
{
    apn_neighbours_done(&host->neighbours);
}

int apn_host_add(struct apn_host *host, const struct apn_ip *ip, unsigned prefix)
{
    if ((ip->family != 4 && ip->family != 6) || apn_ip_is_zero(ip) || apn_ip_is_multicast(ip) ||
        prefix > (ip->family == 6 ? 128u : 32u)) {
        return -EINVAL;
    }
    if (host->n_addresses == APN_HOST_ADDRESSES) {
        return -ENOSPC;
    }
    host->addresses[host->n_addresses++] = (struct apn_host_address){*ip, (uint8_t)prefix};
    return 0;
}

bool apn_host_is_ours(const struct apn_host *host, const struct apn_ip *ip)
{
    for (unsigned i = 0; i < host->n_addresses; i++) {
        if (apn_ip_equal(&host->addresses[i].ip, ip)) {
            return true;
        }
    }
    return false;
}

static bool is_link_local(const struct apn_ip *ip)
{
    return ip->family == 6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

static const struct apn_host_address *on_link(const struct apn_host *host, const struct apn_ip *ip)
{
    for (unsigned i = 0; i < host->n_addresses; i++) {
        if (apn_ip_in(ip, &host->addresses[i].ip, host->addresses[i].prefix)) {
            return &host->addresses[i];
        }
    }
    return NULL;
}

const struct apn_ip *apn_host_source(const struct apn_host *host, const struct apn_ip *dest)
{
    const struct apn_host_address *same = on_link(host, dest);

    for (unsigned i = 0; !same && i < host->n_addresses; i++) {
        if (host->addresses[i].ip.family == dest->family && is_link_local(&host->addresses[i].ip) == is_link_local(dest)) {
            same = &host->addresses[i];
        }
    }
    return same ? &same->ip : NULL;
}

int apn_host_route(struct apn_host *host, const struct apn_ip *dest, void *waiter, uint64_t now_ns, struct apn_path *path)
{
    const struct apn_ip *hop = dest;

    host->now_ns = now_ns;
    if ((dest->family != 4 && dest->family != 6) || apn_ip_is_multicast(dest) || apn_ip_is_zero(dest) ||
        apn_host_is_ours(host, dest)) {
        return -ENETUNREACH;
    }
    if (!on_link(host, dest)) {
        hop = &host->gateway[dest->family == 6];
        if (!hop->family || is_link_local(dest)) {
            return -ENETUNREACH;
        }
    }
    memcpy(path->source_mac, host->mac, 6);
    return apn_neighbours_find(&host->neighbours, hop, waiter, now_ns, path->dest_mac);
}

bool apn_host_may_reply(struct apn_host *host)
{
    if (host->now_ns - host->second_ns >= SECOND_NS) {
        host->second_ns = host->now_ns;
        host->replies = 0;
    }
    return host->replies++ < APN_HOST_REPLIES_MAX;
}

static void announce(struct apn_host *host)
{
    for (unsigned i = 0; i < host->n_addresses; i++) {
        const struct apn_ip *ip = &host->addresses[i].ip;

        if (ip->family == 4) {
            apn_arp_announce(host, ip);
        } else {
            apn_mld_report(host);
            if (!host->announced) {
                apn_nd_probe(host, ip); /* who has it already, answers (RFC 4862 5.4) */
            }
            apn_nd_advertise(host, ip, NULL, NULL);
        }
    }
    host->announced++;
    host->announce_ns = host->announced < ANNOUNCEMENTS ? host->now_ns + SECOND_NS : 0;
}

void apn_host_start(struct apn_host *host, uint64_t now_ns)
{
    host->now_ns = now_ns;
    announce(host);
}

uint64_t apn_host_tick(struct apn_host *host, uint64_t now_ns)
{
    uint64_t next;

    host->now_ns = now_ns;
    next = apn_neighbours_tick(&host->neighbours, now_ns);
    if (host->announce_ns && now_ns >= host->announce_ns) {
        announce(host);
    }
    return host->announce_ns && host->announce_ns < next ? host->announce_ns : next;
}

enum apn_drop apn_host_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *packet, uint64_t now_ns)
{
    host->now_ns = now_ns;
    switch (packet->kind) {
    case APN_PACKET_ARP:
        return apn_arp_input(host, frame, packet);
    case APN_PACKET_ICMP4:
        return apn_host_is_ours(host, &packet->dest) ? apn_icmp4_input(host, frame, packet) : APN_DROP_NOT_OURS;
    case APN_PACKET_ICMP6:
        return apn_host_is_ours(host, &packet->dest) || apn_ip_is_multicast(&packet->dest) ? apn_icmp6_input(host, frame, packet)
                                                                                          : APN_DROP_NOT_OURS;
    case APN_PACKET_UDP:
        break;
    }
    return APN_DROP_NOT_OURS;
}
