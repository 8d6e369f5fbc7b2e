/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* packet.c - see packet.h */
#include "dpdk/host/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dpdk/host/checksum.h"

const char *const apn_drop_names[APN_DROPS] = {
    [APN_DROP_NONE] = "none",
    [APN_DROP_SHORT] = "short",
    [APN_DROP_MALFORMED] = "malformed",
    [APN_DROP_CHECKSUM] = "checksum",
    [APN_DROP_CHECKSUM_PARTIAL] = "checksum_partial",
    [APN_DROP_FRAGMENT] = "fragment",
    [APN_DROP_UNKNOWN] = "unknown_protocol",
    [APN_DROP_NOT_OURS] = "not_ours",
    [APN_DROP_NO_PORT] = "no_port",
    [APN_DROP_RING_FULL] = "ring_full",
    [APN_DROP_CONFLICT] = "address_conflict",
    [APN_DROP_LIMITED] = "limited",
};

/* ---- addresses ------------------------------------------------------------- */

bool apn_ip_equal(const struct apn_ip *a, const struct apn_ip *b)
{
    return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool apn_ip_is_multicast(const struct apn_ip *ip)
{
    static const uint8_t broadcast[4] = {255, 255, 255, 255};

    return ip->family == 6 ? ip->bytes[0] == 0xff : (ip->bytes[0] & 0xf0) == 0xe0 || !memcmp(ip->bytes, broadcast, 4);
}

bool apn_ip_is_zero(const struct apn_ip *ip)
{
    static const uint8_t zero[16];

    return !memcmp(ip->bytes, zero, sizeof(zero));
}

bool apn_ip_in(const struct apn_ip *ip, const struct apn_ip *net, unsigned prefix)
{
    const unsigned whole = prefix / 8, rest = prefix % 8;

    if (ip->family != net->family || memcmp(ip->bytes, net->bytes, whole)) {
        return false;
    }
    return !rest || !((ip->bytes[whole] ^ net->bytes[whole]) >> (8 - rest));
}

int apn_ip_parse(const char *text, struct apn_ip *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, out->bytes) == 1) {
        out->family = 4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, out->bytes) == 1) {
        out->family = 6;
        return 0;
    }
    return -EINVAL;
}

const char *apn_ip_text(const struct apn_ip *ip, char text[APN_IP_TEXT])
{
    if (!inet_ntop(ip->family == 6 ? AF_INET6 : AF_INET, ip->bytes, text, APN_IP_TEXT)) {
        snprintf(text, APN_IP_TEXT, "?");
    }
    return text;
}

void apn_solicited_node(const struct apn_ip *ip, struct apn_ip *group)
{
    static const uint8_t prefix[13] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

    group->family = 6;
    memcpy(group->bytes, prefix, sizeof(prefix));
    memcpy(group->bytes + 13, ip->bytes + 13, 3);
}

void apn_multicast_mac(const struct apn_ip *group, uint8_t mac[6])
{
    mac[0] = mac[1] = 0x33;
    memcpy(mac + 2, group->bytes + 12, 4);
}

/* ---- reading --------------------------------------------------------------- */

static void take_ip(struct apn_ip *ip, const uint8_t *bytes, unsigned family)
{
    memset(ip, 0, sizeof(*ip));
    ip->family = (uint8_t)family;
    memcpy(ip->bytes, bytes, family == 6 ? 16 : 4);
}

uint64_t apn_pseudo_sum(const struct apn_ip *source, const struct apn_ip *dest, uint8_t protocol, uint32_t bytes)
{
    const uint32_t address_bytes = source->family == 6 ? 16 : 4;
    const uint8_t tail[8] = {(uint8_t)(bytes >> 24), (uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes, 0, 0, 0, protocol};
    uint64_t sum = apn_sum(0, source->bytes, address_bytes);

    return apn_sum(apn_sum(sum, dest->bytes, address_bytes), tail, sizeof(tail)); /* IPv4's is shorter, its sum the same */
}

static enum apn_drop parse_udp(const uint8_t *frame, unsigned known, struct apn_packet *p)
{
    const uint8_t *udp = frame + p->message_at;
    uint64_t pseudo;
    uint32_t bytes;

    if (p->message_bytes < APN_UDP_BYTES) {
        return APN_DROP_SHORT;
    }
    bytes = apn_get16(udp + 4);
    if (bytes < APN_UDP_BYTES) {
        return APN_DROP_MALFORMED;
    }
    if (bytes > p->message_bytes) {
        return APN_DROP_SHORT;
    }
    p->source_port = apn_get16(udp);
    p->dest_port = apn_get16(udp + 2);
    if (!p->dest_port) {
        return APN_DROP_MALFORMED;
    }
    if (!apn_get16(udp + 6)) { /* not summed: IPv4 allows it, IPv6 does not (RFC 8200 8.1) */
        if (p->dest.family == 6) {
            return APN_DROP_CHECKSUM;
        }
    } else if (!(known & APN_KNOWN_L4_GOOD)) {
        pseudo = apn_pseudo_sum(&p->source, &p->dest, APN_PROTO_UDP, bytes);
        if (apn_sum_fold(apn_sum(pseudo, udp, bytes)) != 0xffff) {
            return memcmp(udp + 6, &(uint16_t){apn_sum_fold(pseudo)}, 2) ? APN_DROP_CHECKSUM : APN_DROP_CHECKSUM_PARTIAL;
        }
    }
    p->kind = APN_PACKET_UDP;
    p->message_at += APN_UDP_BYTES;
    p->message_bytes = bytes - APN_UDP_BYTES;
    return APN_DROP_NONE;
}

static enum apn_drop parse_icmp(const uint8_t *frame, struct apn_packet *p, uint8_t protocol)
{
    uint64_t sum = protocol == APN_PROTO_ICMP6 ? apn_pseudo_sum(&p->source, &p->dest, protocol, p->message_bytes) : 0;

    if (p->message_bytes < 8) {
        return APN_DROP_SHORT;
    }
    if (apn_sum_fold(apn_sum(sum, frame + p->message_at, p->message_bytes)) != 0xffff) {
        return APN_DROP_CHECKSUM;
    }
    p->kind = protocol == APN_PROTO_ICMP6 ? APN_PACKET_ICMP6 : APN_PACKET_ICMP4;
    return APN_DROP_NONE;
}

static enum apn_drop parse_ip4(const uint8_t *frame, uint32_t bytes, unsigned known, struct apn_packet *p)
{
    const uint8_t *ip = frame + p->ip_at;
    uint32_t header, total;

    if (bytes - p->ip_at < APN_IP4_BYTES) {
        return APN_DROP_SHORT;
    }
    header = (ip[0] & 15u) * 4;
    total = apn_get16(ip + 2);
    if (ip[0] >> 4 != 4 || header < APN_IP4_BYTES || total < header) {
        return APN_DROP_MALFORMED;
    }
    if (total > bytes - p->ip_at) {
        return APN_DROP_SHORT;
    }
    if (!(known & APN_KNOWN_IP_GOOD) && apn_sum_fold(apn_sum(0, ip, header)) != 0xffff) {
        return APN_DROP_CHECKSUM;
    }
    if (apn_get16(ip + 6) & 0x3fff) { /* more fragments, or an offset */
        return APN_DROP_FRAGMENT;
    }
    p->tos = ip[1];
    p->hops = ip[8];
    take_ip(&p->source, ip + 12, 4);
    take_ip(&p->dest, ip + 16, 4);
    if (apn_ip_is_multicast(&p->source)) {
        return APN_DROP_MALFORMED;
    }
    p->message_at = p->ip_at + header;
    p->message_bytes = total - header;
    if (ip[9] == APN_PROTO_UDP) {
        return parse_udp(frame, known, p);
    }
    return ip[9] == APN_PROTO_ICMP4 ? parse_icmp(frame, p, ip[9]) : APN_DROP_UNKNOWN;
}

/* hop-by-hop options (0), routing (43) that has been walked, destination options (60) */
static enum apn_drop skip_extensions(const uint8_t *frame, struct apn_packet *p, uint8_t *next)
{
    for (unsigned n = 0; *next == 0 || *next == 43 || *next == 44 || *next == 60; n++) {
        const uint8_t *extension = frame + p->message_at;
        uint32_t bytes;

        if (*next == 44) {
            return APN_DROP_FRAGMENT;
        }
        if (n == APN_EXTENSIONS_MAX) {
            return APN_DROP_MALFORMED;
        }
        if (p->message_bytes < 8) {
            return APN_DROP_SHORT;
        }
        bytes = (extension[1] + 1u) * 8;
        if (bytes > p->message_bytes) {
            return APN_DROP_SHORT;
        }
        if (*next == 43 && extension[3]) {
            return APN_DROP_NOT_OURS; /* we forward nothing */
        }
        *next = extension[0];
        p->message_at += bytes;
        p->message_bytes -= bytes;
    }
    return APN_DROP_NONE;
}

static enum apn_drop parse_ip6(const uint8_t *frame, uint32_t bytes, unsigned known, struct apn_packet *p)
{
    const uint8_t *ip = frame + p->ip_at;
    enum apn_drop drop;
    uint8_t next;

    if (bytes - p->ip_at < APN_IP6_BYTES) {
        return APN_DROP_SHORT;
    }
    if (ip[0] >> 4 != 6) {
        return APN_DROP_MALFORMED;
    }
    p->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
    p->hops = ip[7];
    take_ip(&p->source, ip + 8, 6);
    take_ip(&p->dest, ip + 24, 6);
    if (apn_ip_is_multicast(&p->source)) {
        return APN_DROP_MALFORMED;
    }
    p->message_at = p->ip_at + APN_IP6_BYTES;
    p->message_bytes = apn_get16(ip + 4);
    if (p->message_bytes > bytes - p->message_at) {
        return APN_DROP_SHORT;
    }
    next = ip[6];
    drop = skip_extensions(frame, p, &next);
    if (drop) {
        return drop;
    }
    if (next == APN_PROTO_UDP) {
        return parse_udp(frame, known, p);
    }
    return next == APN_PROTO_ICMP6 ? parse_icmp(frame, p, next) : APN_DROP_UNKNOWN;
}

static enum apn_drop parse_arp(const uint8_t *frame, uint32_t bytes, struct apn_packet *p)
{
    static const uint8_t ethernet_ip4[6] = {0, 1, 8, 0, 6, 4};
    const uint8_t *arp = frame + APN_ETHER_BYTES;

    if (bytes - APN_ETHER_BYTES < APN_ARP_BYTES) {
        return APN_DROP_SHORT;
    }
    if (memcmp(arp, ethernet_ip4, sizeof(ethernet_ip4))) {
        return APN_DROP_UNKNOWN;
    }
    if (apn_get16(arp + 6) != 1 && apn_get16(arp + 6) != 2) {
        return APN_DROP_UNKNOWN;
    }
    if (arp[8] & 1) {
        return APN_DROP_MALFORMED; /* nobody's address is a group */
    }
    p->kind = APN_PACKET_ARP;
    p->message_at = APN_ETHER_BYTES;
    p->message_bytes = APN_ARP_BYTES;
    take_ip(&p->source, arp + 14, 4);
    take_ip(&p->dest, arp + 24, 4);
    return APN_DROP_NONE;
}

enum apn_drop apn_packet_parse(const uint8_t *frame, uint32_t bytes, unsigned known, struct apn_packet *out)
{
    memset(out, 0, sizeof(*out));
    if (bytes < APN_ETHER_BYTES) {
        return APN_DROP_SHORT;
    }
    memcpy(out->dest_mac, frame, 6);
    memcpy(out->source_mac, frame + 6, 6);
    if (out->source_mac[0] & 1) {
        return APN_DROP_MALFORMED;
    }
    out->ip_at = APN_ETHER_BYTES;
    switch (apn_get16(frame + 12)) {
    case APN_ETHER_IP4:
        return parse_ip4(frame, bytes, known, out);
    case APN_ETHER_IP6:
        return parse_ip6(frame, bytes, known, out);
    case APN_ETHER_ARP:
        return parse_arp(frame, bytes, out);
    default:
        return APN_DROP_UNKNOWN;
    }
}

/* ---- making ---------------------------------------------------------------- */

static void make_ip4(uint8_t *ip, const struct apn_path *path, uint8_t protocol, uint32_t bytes)
{
    uint16_t sum;

    memset(ip, 0, APN_IP4_BYTES);
    ip[0] = 0x45;
    ip[1] = path->tos;
    apn_put16(ip + 2, APN_IP4_BYTES + bytes);
    ip[6] = 0x40; /* don't fragment */
    ip[8] = path->hops ? path->hops : APN_HOP_LIMIT;
    ip[9] = protocol;
    memcpy(ip + 12, path->source.bytes, 4);
    memcpy(ip + 16, path->dest.bytes, 4);
    sum = (uint16_t)~apn_sum_fold(apn_sum(0, ip, APN_IP4_BYTES));
    memcpy(ip + 10, &sum, 2);
}

static void make_ip6(uint8_t *ip, const struct apn_path *path, uint8_t protocol, uint32_t bytes)
{
    memset(ip, 0, APN_IP6_BYTES);
    ip[0] = (uint8_t)(0x60 | path->tos >> 4);
    ip[1] = (uint8_t)(path->tos << 4);
    apn_put16(ip + 4, bytes);
    ip[6] = protocol;
    ip[7] = path->hops ? path->hops : APN_HOP_LIMIT;
    memcpy(ip + 8, path->source.bytes, 16);
    memcpy(ip + 24, path->dest.bytes, 16);
}

uint32_t apn_packet_ip(uint8_t *out, const struct apn_path *path, uint8_t protocol, uint32_t bytes)
{
    memcpy(out, path->dest_mac, 6);
    memcpy(out + 6, path->source_mac, 6);
    if (path->dest.family == 6) {
        apn_put16(out + 12, APN_ETHER_IP6);
        make_ip6(out + APN_ETHER_BYTES, path, protocol, bytes);
        return APN_ETHER_BYTES + APN_IP6_BYTES;
    }
    apn_put16(out + 12, APN_ETHER_IP4);
    make_ip4(out + APN_ETHER_BYTES, path, protocol, bytes);
    return APN_ETHER_BYTES + APN_IP4_BYTES;
}

uint32_t apn_packet_udp(uint8_t *out, const struct apn_path *path, uint32_t payload_bytes)
{
    const uint32_t bytes = APN_UDP_BYTES + payload_bytes;
    const uint32_t at = apn_packet_ip(out, path, APN_PROTO_UDP, bytes);

    apn_put16(out + at, path->source_port);
    apn_put16(out + at + 2, path->dest_port);
    apn_put16(out + at + 4, bytes);
    apn_put16(out + at + 6, 0);
    return at + APN_UDP_BYTES;
}

void apn_packet_finish(uint8_t *message, uint32_t bytes, uint8_t *field, uint64_t pseudo_sum)
{
    uint16_t sum = (uint16_t)~apn_sum_fold(apn_sum(pseudo_sum, message, bytes));

    sum = sum ? sum : 0xffff;
    memcpy(field, &sum, 2);
}
