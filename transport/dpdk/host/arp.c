/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* arp.c - RFC 826, and RFC 5227 for announcements and conflicts; see host.h */
#include <stdio.h>
#include <string.h>

#include "dpdk/host/messages.h"

static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const struct apn_ip nobody = {.family = 4};

static void arp_send(struct apn_host *host, unsigned operation, const struct apn_ip *source, const struct apn_ip *dest,
                     const uint8_t *mac)
{
    uint8_t frame[APN_ETHER_MIN] = {0};
    uint8_t *arp = frame + APN_ETHER_BYTES;

    memcpy(frame, mac ? mac : all, 6);
    memcpy(frame + 6, host->mac, 6);
    apn_put16(frame + 12, APN_ETHER_ARP);
    apn_put16(arp, 1);
    apn_put16(arp + 2, APN_ETHER_IP4);
    arp[4] = 6;
    arp[5] = 4;
    apn_put16(arp + 6, operation);
    memcpy(arp + 8, host->mac, 6);
    memcpy(arp + 14, source->bytes, 4);
    if (operation == 2) {
        memcpy(arp + 18, mac ? mac : all, 6);
    }
    memcpy(arp + 24, dest->bytes, 4);
    host->ops->emit(host->opaque, frame, sizeof(frame));
}

void apn_arp_request(struct apn_host *host, const struct apn_ip *ip, const uint8_t *mac)
{
    const struct apn_ip *source = apn_host_source(host, ip);

    arp_send(host, 1, source ? source : &nobody, ip, mac);
}

void apn_arp_announce(struct apn_host *host, const struct apn_ip *ip)
{
    arp_send(host, 1, ip, ip, NULL);
}

bool apn_host_conflict(struct apn_host *host, const struct apn_ip *ip, const uint8_t mac[6])
{
    char text[APN_IP_TEXT];

    snprintf(host->conflict, sizeof(host->conflict), "%s is also at %02x:%02x:%02x:%02x:%02x:%02x", apn_ip_text(ip, text), mac[0],
             mac[1], mac[2], mac[3], mac[4], mac[5]);
    if (host->defended_ns && host->now_ns - host->defended_ns < APN_HOST_DEFEND_NS) {
        return false;
    }
    host->defended_ns = host->now_ns;
    return true;
}

enum apn_drop apn_arp_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p)
{
    const uint8_t *arp = frame + p->message_at, *mac = arp + 8;
    const bool request = apn_get16(arp + 6) == 1;
    const bool for_us = apn_host_is_ours(host, &p->dest);

    if (!memcmp(mac, host->mac, 6)) {
        return APN_DROP_NONE; /* our own, reflected */
    }
    if (apn_host_is_ours(host, &p->source)) {
        if (apn_host_conflict(host, &p->source, mac)) {
            apn_arp_announce(host, &p->source);
        }
        return APN_DROP_CONFLICT;
    }
    if (!apn_ip_is_zero(&p->source) && !apn_ip_is_multicast(&p->source)) {
        apn_neighbours_heard(&host->neighbours, &p->source, mac,
                             !for_us ? APN_NEWS_CLAIM : request ? APN_NEWS_ASKED_US : APN_NEWS_ANSWER, host->now_ns);
    }
    if (!for_us) {
        return request ? APN_DROP_NONE : APN_DROP_NOT_OURS;
    }
    if (request) {
        if (!apn_host_may_reply(host)) {
            return APN_DROP_LIMITED;
        }
        arp_send(host, 2, &p->dest, &p->source, mac);
    }
    return APN_DROP_NONE;
}
