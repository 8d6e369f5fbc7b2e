/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nd.c - neighbour discovery (RFC 4861) and multicast listener reports (RFC 3810); see host.h */
#include <string.h>

#include "dpdk/host/messages.h"

#define SOLICIT      135u
#define ADVERTISE    136u
#define MLD2_REPORT  143u
#define BODY_BYTES   24u /* solicitation and advertisement without options */
#define OPTION_BYTES 8u
#define OPTION_SOURCE 1u
#define OPTION_TARGET 2u
#define SOLICITED    0x40u
#define OVERRIDE     0x20u
#define HOPS_ON_LINK 255u /* what a router cannot have forwarded */
#define RECORD_BYTES 20u

static const struct apn_ip all_nodes = {{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 6};
static const struct apn_ip all_mld_routers = {{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16}, 6};
static const struct apn_ip nobody = {.family = 6};

static void send_message(struct apn_host *host, struct apn_path *path, const uint8_t *message, uint32_t bytes)
{
    uint8_t frame[APN_ETHER_BYTES + APN_IP6_BYTES + 8 + 4 + APN_HOST_ADDRESSES * RECORD_BYTES + 8];
    uint32_t at;

    memcpy(path->source_mac, host->mac, 6);
    if (apn_ip_is_multicast(&path->dest)) {
        apn_multicast_mac(&path->dest, path->dest_mac);
    }
    at = apn_packet_ip(frame, path, APN_PROTO_ICMP6, bytes);
    memcpy(frame + at, message, bytes);
    apn_packet_finish(frame + at, bytes, frame + at + 2, apn_pseudo_sum(&path->source, &path->dest, APN_PROTO_ICMP6, bytes));
    host->ops->emit(host->opaque, frame, at + bytes);
}

/* type, flags, target, and our Ethernet address as an option */
static uint32_t make_body(const struct apn_host *host, uint8_t *out, unsigned type, unsigned flags, const struct apn_ip *ip)
{
    memset(out, 0, BODY_BYTES + OPTION_BYTES);
    out[0] = (uint8_t)type;
    out[4] = (uint8_t)flags;
    memcpy(out + 8, ip->bytes, 16);
    out[BODY_BYTES] = type == SOLICIT ? OPTION_SOURCE : OPTION_TARGET;
    out[BODY_BYTES + 1] = 1;
    memcpy(out + BODY_BYTES + 2, host->mac, 6);
    return BODY_BYTES + OPTION_BYTES;
}

void apn_nd_solicit(struct apn_host *host, const struct apn_ip *ip, const uint8_t *mac)
{
    const struct apn_ip *source = apn_host_source(host, ip);
    struct apn_path path = {.source = source ? *source : nobody, .hops = HOPS_ON_LINK};
    uint8_t body[BODY_BYTES + OPTION_BYTES];
    uint32_t bytes = make_body(host, body, SOLICIT, 0, ip);

    if (mac) {
        path.dest = *ip;
        memcpy(path.dest_mac, mac, 6);
    } else {
        apn_solicited_node(ip, &path.dest);
    }
    send_message(host, &path, body, source ? bytes : BODY_BYTES);
}

void apn_nd_probe(struct apn_host *host, const struct apn_ip *ip)
{
    struct apn_path path = {.source = nobody, .hops = HOPS_ON_LINK};
    uint8_t body[BODY_BYTES + OPTION_BYTES];

    make_body(host, body, SOLICIT, 0, ip);
    apn_solicited_node(ip, &path.dest);
    send_message(host, &path, body, BODY_BYTES);
}

void apn_nd_advertise(struct apn_host *host, const struct apn_ip *ip, const struct apn_ip *dest, const uint8_t *dest_mac)
{
    struct apn_path path = {.source = *ip, .dest = dest ? *dest : all_nodes, .hops = HOPS_ON_LINK};
    uint8_t body[BODY_BYTES + OPTION_BYTES];
    uint32_t bytes = make_body(host, body, ADVERTISE, dest ? SOLICITED | OVERRIDE : OVERRIDE, ip);

    if (dest) {
        memcpy(path.dest_mac, dest_mac, 6);
    }
    send_message(host, &path, body, bytes);
}

/* one record "exclude nothing" per group, behind a hop-by-hop header with the router alert that RFC 3810 5 wants */
void apn_mld_report(struct apn_host *host)
{
    static const uint8_t alert[8] = {APN_PROTO_ICMP6, 0, 5, 2, 0, 0, 1, 0};
    struct apn_path path = {.source = nobody, .dest = all_mld_routers, .hops = 1};
    uint8_t frame[APN_ETHER_BYTES + APN_IP6_BYTES + sizeof(alert) + 8 + APN_HOST_ADDRESSES * RECORD_BYTES] = {0};
    uint8_t report[8 + APN_HOST_ADDRESSES * RECORD_BYTES] = {MLD2_REPORT};
    uint32_t bytes = 8, at;

    for (unsigned i = 0; i < host->n_addresses; i++) {
        const struct apn_ip *ip = &host->addresses[i].ip;
        struct apn_ip group;

        if (ip->family != 6) {
            continue;
        }
        if (ip->bytes[0] == 0xfe) {
            path.source = *ip; /* from the link-local address, or from nobody */
        }
        apn_solicited_node(ip, &group);
        report[bytes] = 4; /* change to exclude mode */
        memcpy(report + bytes + 4, group.bytes, 16);
        bytes += RECORD_BYTES;
        report[7]++;
    }
    memcpy(path.source_mac, host->mac, 6);
    apn_multicast_mac(&path.dest, path.dest_mac);
    at = apn_packet_ip(frame, &path, 0, (uint32_t)sizeof(alert) + bytes);
    memcpy(frame + at, alert, sizeof(alert));
    at += (uint32_t)sizeof(alert);
    memcpy(frame + at, report, bytes);
    apn_packet_finish(frame + at, bytes, frame + at + 2, apn_pseudo_sum(&path.source, &path.dest, APN_PROTO_ICMP6, bytes));
    host->ops->emit(host->opaque, frame, at + bytes);
}

/* Return: the Ethernet address in option @kind, NULL when there is none; *bad: options that make no sense */
static const uint8_t *find_option(const uint8_t *body, uint32_t bytes, unsigned kind, bool *bad)
{
    const uint8_t *found = NULL;

    *bad = false;
    for (uint32_t at = BODY_BYTES; at + 2 <= bytes;) {
        const uint32_t length = body[at + 1] * 8u;

        if (!length || length > bytes - at) {
            *bad = true;
            return NULL;
        }
        if (body[at] == kind && length == OPTION_BYTES) {
            found = body + at + 2;
        }
        at += length;
    }
    return found;
}

static enum apn_drop solicited(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p, const struct apn_ip *target)
{
    bool bad;
    const uint8_t *mac = find_option(frame + p->message_at, p->message_bytes, OPTION_SOURCE, &bad);

    if (bad || (mac && mac[0] & 1)) {
        return APN_DROP_MALFORMED;
    }
    if (!apn_host_is_ours(host, target)) {
        return APN_DROP_NOT_OURS;
    }
    if (!memcmp(p->source_mac, host->mac, 6)) {
        return APN_DROP_NONE; /* our own, reflected */
    }
    if (!apn_host_may_reply(host)) {
        return APN_DROP_LIMITED;
    }
    if (apn_ip_is_zero(&p->source)) { /* somebody wants to have this address */
        apn_nd_advertise(host, target, NULL, NULL);
        return APN_DROP_NONE;
    }
    if (mac) {
        apn_neighbours_heard(&host->neighbours, &p->source, mac, APN_NEWS_ASKED_US, host->now_ns);
    }
    apn_nd_advertise(host, target, &p->source, mac ? mac : p->source_mac);
    return APN_DROP_NONE;
}

static enum apn_drop advertised(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p, const struct apn_ip *target)
{
    const uint8_t *body = frame + p->message_at;
    bool bad;
    const uint8_t *mac = find_option(body, p->message_bytes, OPTION_TARGET, &bad);
    const bool is_answer = body[4] & SOLICITED && !apn_ip_is_multicast(&p->dest);

    if (bad || (mac && mac[0] & 1) || apn_ip_is_multicast(target)) {
        return APN_DROP_MALFORMED;
    }
    mac = mac ? mac : p->source_mac; /* an answer to a unicast solicitation may leave it out */
    if (apn_host_is_ours(host, target)) {
        if (!memcmp(mac, host->mac, 6)) {
            return APN_DROP_NONE;
        }
        if (apn_host_conflict(host, target, mac)) {
            apn_nd_advertise(host, target, NULL, NULL);
        }
        return APN_DROP_CONFLICT;
    }
    apn_neighbours_heard(&host->neighbours, target, mac, is_answer ? APN_NEWS_ANSWER : APN_NEWS_CLAIM, host->now_ns);
    return APN_DROP_NONE;
}

enum apn_drop apn_nd_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p)
{
    const uint8_t *body = frame + p->message_at;
    struct apn_ip target = {.family = 6};

    if (p->hops != HOPS_ON_LINK || body[1]) {
        return APN_DROP_MALFORMED; /* from behind a router: RFC 4861 7.1 */
    }
    if (p->message_bytes < BODY_BYTES) {
        return APN_DROP_SHORT;
    }
    memcpy(target.bytes, body + 8, 16);
    return body[0] == SOLICIT ? solicited(host, frame, p, &target) : advertised(host, frame, p, &target);
}
