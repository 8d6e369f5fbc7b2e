/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* icmp.c - echo, and errors both ways (RFC 792, 1191, 4443, 8201); see host.h */
#include <string.h>

#include "dpdk/host/checksum.h"
#include "dpdk/host/messages.h"

enum { ECHO4 = 8, ECHO4_REPLY = 0, UNREACHABLE4 = 3, CODE4_PORT = 3, CODE4_TOO_BIG = 4 };
enum { UNREACHABLE6 = 1, CODE6_PORT = 4, TOO_BIG6 = 2, ECHO6 = 128, ECHO6_REPLY = 129, MLD_QUERY = 130, ND_SOLICIT = 135, ND_ADVERTISE = 136 };

#define ICMP_BYTES 8u
#define MIN_MTU4   576u  /* smaller ones are lies or no path for a lane */
#define MIN_MTU6   1280u
#define QUOTE_MAX4 548u  /* RFC 1812 4.3.2.3: the whole answer within 576 bytes */
#define QUOTE_MAX6 1232u /* RFC 4443 2.4: within 1280 */

/* the answer to @p goes back by the way it came: no neighbour is asked for on behalf of a stranger */
static struct apn_path path_back(const struct apn_host *host, const struct apn_packet *p)
{
    struct apn_path path = {.source = p->dest, .dest = p->source};

    memcpy(path.source_mac, host->mac, 6);
    memcpy(path.dest_mac, p->source_mac, 6);
    if (apn_ip_is_multicast(&p->dest)) {
        const struct apn_ip *source = apn_host_source(host, &p->source);

        path.source = source ? *source : p->dest;
    }
    return path;
}

static void finish(struct apn_host *host, const struct apn_path *path, uint32_t at, uint32_t bytes)
{
    const bool six = path->dest.family == 6;
    uint64_t pseudo = six ? apn_pseudo_sum(&path->source, &path->dest, APN_PROTO_ICMP6, bytes) : 0;

    memset(host->frame + at + 2, 0, 2);
    apn_packet_finish(host->frame + at, bytes, host->frame + at + 2, pseudo);
    host->ops->emit(host->opaque, host->frame, at + bytes);
}

static enum apn_drop echo(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p, uint8_t reply)
{
    const struct apn_path path = path_back(host, p);
    uint32_t at;

    if (frame[p->message_at + 1] || apn_ip_is_zero(&p->source) || apn_ip_is_multicast(&path.source)) {
        return APN_DROP_MALFORMED;
    }
    if (p->message_bytes > host->mtu - (path.dest.family == 6 ? APN_IP6_BYTES : APN_IP4_BYTES)) {
        return APN_DROP_MALFORMED;
    }
    if (!apn_host_may_reply(host)) {
        return APN_DROP_LIMITED;
    }
    at = apn_packet_ip(host->frame, &path, path.dest.family == 6 ? APN_PROTO_ICMP6 : APN_PROTO_ICMP4, p->message_bytes);
    memcpy(host->frame + at, frame + p->message_at, p->message_bytes);
    host->frame[at] = reply;
    finish(host, &path, at, p->message_bytes);
    return APN_DROP_NONE;
}

/* @quote: the start of a datagram that we are told we sent. Return: APN_DROP_NONE and *sent when it is UDP from us. */
static enum apn_drop read_quote(const struct apn_host *host, const uint8_t *quote, uint32_t bytes, struct apn_packet *sent)
{
    const bool six = bytes && quote[0] >> 4 == 6;
    const uint32_t header = six ? APN_IP6_BYTES : bytes ? (quote[0] & 15u) * 4 : 0;

    memset(sent, 0, sizeof(*sent));
    if (header < APN_IP4_BYTES || bytes < header + APN_UDP_BYTES) {
        return APN_DROP_SHORT;
    }
    if (quote[six ? 6 : 9] != APN_PROTO_UDP) {
        return APN_DROP_UNKNOWN;
    }
    sent->source.family = sent->dest.family = six ? 6 : 4;
    memcpy(sent->source.bytes, quote + (six ? 8 : 12), six ? 16 : 4);
    memcpy(sent->dest.bytes, quote + (six ? 24 : 16), six ? 16 : 4);
    sent->source_port = apn_get16(quote + header);
    sent->dest_port = apn_get16(quote + header + 2);
    return apn_host_is_ours(host, &sent->source) ? APN_DROP_NONE : APN_DROP_NOT_OURS;
}

static enum apn_drop reported(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p, enum apn_trouble what,
                              uint32_t mtu)
{
    struct apn_packet sent;
    enum apn_drop drop = read_quote(host, frame + p->message_at + ICMP_BYTES, p->message_bytes - ICMP_BYTES, &sent);

    if (drop) {
        return drop;
    }
    if (what == APN_TROUBLE_TOO_BIG && mtu < (p->source.family == 6 ? MIN_MTU6 : MIN_MTU4)) {
        return APN_DROP_MALFORMED;
    }
    host->ops->trouble(host->opaque, what, &sent, mtu);
    return APN_DROP_NONE;
}

enum apn_drop apn_icmp4_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p)
{
    const uint8_t *icmp = frame + p->message_at;

    if (icmp[0] == ECHO4) {
        return echo(host, frame, p, ECHO4_REPLY);
    }
    if (icmp[0] == UNREACHABLE4 && icmp[1] == CODE4_PORT) {
        return reported(host, frame, p, APN_TROUBLE_REFUSED, 0);
    }
    if (icmp[0] == UNREACHABLE4 && icmp[1] == CODE4_TOO_BIG) {
        return reported(host, frame, p, APN_TROUBLE_TOO_BIG, apn_get16(icmp + 6));
    }
    return APN_DROP_UNKNOWN;
}

enum apn_drop apn_icmp6_input(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p)
{
    const uint8_t *icmp = frame + p->message_at;

    switch (icmp[0]) {
    case ND_SOLICIT:
    case ND_ADVERTISE:
        return apn_nd_input(host, frame, p);
    case MLD_QUERY:
        if (p->hops != 1 || !apn_host_may_reply(host)) {
            return APN_DROP_LIMITED;
        }
        apn_mld_report(host);
        return APN_DROP_NONE;
    case ECHO6:
        return echo(host, frame, p, ECHO6_REPLY);
    case UNREACHABLE6:
        return icmp[1] == CODE6_PORT ? reported(host, frame, p, APN_TROUBLE_REFUSED, 0) : APN_DROP_UNKNOWN;
    case TOO_BIG6:
        return reported(host, frame, p, APN_TROUBLE_TOO_BIG, (uint32_t)apn_get16(icmp + 4) << 16 | apn_get16(icmp + 6));
    default:
        return APN_DROP_UNKNOWN;
    }
}

void apn_host_no_port(struct apn_host *host, const uint8_t *frame, const struct apn_packet *p, uint64_t now_ns)
{
    const struct apn_path path = path_back(host, p);
    const bool six = path.dest.family == 6;
    uint32_t quote = p->message_at + p->message_bytes - p->ip_at, at;

    host->now_ns = now_ns;
    if (apn_ip_is_multicast(&p->dest) || apn_ip_is_zero(&p->source) || p->dest_mac[0] & 1 || !apn_host_may_reply(host)) {
        return; /* RFC 1122 3.2.2: never an error about what was sent to many */
    }
    quote = quote < (six ? QUOTE_MAX6 : QUOTE_MAX4) ? quote : six ? QUOTE_MAX6 : QUOTE_MAX4;
    at = apn_packet_ip(host->frame, &path, six ? APN_PROTO_ICMP6 : APN_PROTO_ICMP4, ICMP_BYTES + quote);
    memset(host->frame + at, 0, ICMP_BYTES);
    host->frame[at] = six ? UNREACHABLE6 : UNREACHABLE4;
    host->frame[at + 1] = six ? CODE6_PORT : CODE4_PORT;
    memcpy(host->frame + at + ICMP_BYTES, frame + p->ip_at, quote);
    finish(host, &path, at, ICMP_BYTES + quote);
}
