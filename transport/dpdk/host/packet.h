/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* packet.h - Ethernet frames with ARP, IPv4, IPv6, ICMP and UDP: reading and making them
 *
 * Theory of operation
 *   Everything read here comes from a stranger's wire. A frame is looked at once, front to back; what is short, damaged,
 *   fragmented or not understood is dropped with a reason that is counted, and nothing is read behind its end.
 *
 * Owner: pure functions.   Thread: any.   Time: none.   Units: bytes; ports in host order.
 * Sources: RFC 791, 792, 768, 826, 8200, 4443, 4861. */
#ifndef APN_DPDK_HOST_PACKET_H
#define APN_DPDK_HOST_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APN_ETHER_BYTES   14u
#define APN_ETHER_MIN     60u /* shortest frame without its check sequence */
#define APN_ARP_BYTES     28u
#define APN_IP4_BYTES     20u
#define APN_IP6_BYTES     40u
#define APN_UDP_BYTES     8u
#define APN_HEADERS_MAX   (APN_ETHER_BYTES + APN_IP6_BYTES + APN_UDP_BYTES)
#define APN_HOP_LIMIT     64u
#define APN_EXTENSIONS_MAX 4u /* IPv6 extension headers of one packet; more are not walked */
#define APN_IP_TEXT       46u

enum { APN_ETHER_IP4 = 0x0800, APN_ETHER_ARP = 0x0806, APN_ETHER_IP6 = 0x86dd };
enum { APN_PROTO_ICMP4 = 1, APN_PROTO_UDP = 17, APN_PROTO_ICMP6 = 58 };

/** struct apn_ip - an address: family 4 (first 4 bytes, the rest zero), 6, or 0 = none */
struct apn_ip {
    uint8_t bytes[16];
    uint8_t family;
};

enum apn_packet_kind { APN_PACKET_ARP = 1, APN_PACKET_ICMP4, APN_PACKET_ICMP6, APN_PACKET_UDP };

/** enum apn_drop - why a frame was not taken */
enum apn_drop {
    APN_DROP_NONE,
    APN_DROP_SHORT,        /* ends within a header, or says that it is longer than it is */
    APN_DROP_MALFORMED,    /* fields that contradict each other, or must not be */
    APN_DROP_CHECKSUM,
    APN_DROP_CHECKSUM_PARTIAL, /* only the pseudo header is summed: the sender counts on an adapter that is not there */
    APN_DROP_FRAGMENT,     /* never put together: a lane's datagrams fit into frames */
    APN_DROP_UNKNOWN,      /* a protocol this host does not speak */
    APN_DROP_NOT_OURS,     /* another host's address */
    APN_DROP_NO_PORT,      /* nobody has this UDP port open */
    APN_DROP_RING_FULL,    /* its reader did not keep up */
    APN_DROP_CONFLICT,     /* another host says that it has our address */
    APN_DROP_LIMITED,      /* more requests than are answered in a second */
    APN_DROPS
};
extern const char *const apn_drop_names[APN_DROPS];

/** enum apn_packet_known - what the adapter has checked already */
enum apn_packet_known { APN_KNOWN_IP_GOOD = 1u << 0, APN_KNOWN_L4_GOOD = 1u << 1 };

/**
 * struct apn_packet - a frame that was understood; positions are in the frame
 * @message_at: UDP payload, ICMP message or ARP body    @message_bytes: without Ethernet's padding
 * @ip_at:      IP header (not for ARP)                  @hops: TTL or hop limit
 */
struct apn_packet {
    enum apn_packet_kind kind;
    struct apn_ip source, dest;
    uint8_t source_mac[6], dest_mac[6];
    uint8_t tos, hops;
    uint16_t source_port, dest_port;
    uint32_t ip_at, message_at, message_bytes;
};

/** apn_packet_parse() - @known: enum apn_packet_known bits. Return: APN_DROP_NONE and *out, or the reason. */
enum apn_drop apn_packet_parse(const uint8_t *frame, uint32_t bytes, unsigned known, struct apn_packet *out);

/**
 * struct apn_path - what all datagrams of one flow have in common
 * @hops: 0 = APN_HOP_LIMIT
 */
struct apn_path {
    uint8_t source_mac[6], dest_mac[6];
    struct apn_ip source, dest;
    uint16_t source_port, dest_port;
    uint8_t tos, hops;
};

/** apn_packet_ip() - write Ethernet and IP header (no options, DF, identification 0: RFC 6864) for @bytes of @protocol
 * behind them. @out: APN_HEADERS_MAX bytes. Return: bytes written, 34 or 54. */
uint32_t apn_packet_ip(uint8_t *out, const struct apn_path *path, uint8_t protocol, uint32_t bytes);

/** apn_packet_udp() - Ethernet, IP and UDP header for @payload_bytes behind them; the UDP checksum is left 0
 * Return: bytes written, 42 or 62. */
uint32_t apn_packet_udp(uint8_t *out, const struct apn_path *path, uint32_t payload_bytes);

/** apn_pseudo_sum() - unfinished sum of the pseudo header of @bytes of @protocol */
uint64_t apn_pseudo_sum(const struct apn_ip *source, const struct apn_ip *dest, uint8_t protocol, uint32_t bytes);

/** apn_packet_finish() - fill the checksum at @field into the @bytes at @message; the field must be 0. For UDP a result of 0 is
 * sent as 0xffff (RFC 768), which changes nothing for ICMPv6. */
void apn_packet_finish(uint8_t *message, uint32_t bytes, uint8_t *field, uint64_t pseudo_sum);

/** apn_solicited_node() - the multicast address at which @ip (family 6) is asked for; its Ethernet address */
void apn_solicited_node(const struct apn_ip *ip, struct apn_ip *group);
void apn_multicast_mac(const struct apn_ip *group, uint8_t mac[6]);

bool apn_ip_equal(const struct apn_ip *a, const struct apn_ip *b);
bool apn_ip_is_multicast(const struct apn_ip *ip);
bool apn_ip_is_zero(const struct apn_ip *ip);
/** apn_ip_in() - are the first @prefix bits of both the same? */
bool apn_ip_in(const struct apn_ip *ip, const struct apn_ip *net, unsigned prefix);
/** apn_ip_parse() - "192.0.2.1", "2001:db8::1". Return: 0 or -EINVAL. */
int apn_ip_parse(const char *text, struct apn_ip *out);
const char *apn_ip_text(const struct apn_ip *ip, char text[APN_IP_TEXT]);

static inline uint16_t apn_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline void apn_put16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

#endif
