/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow.c - see flow.h */
#include "flow.h"

#include <stdbool.h>
#include <string.h>

#define ETHER_BYTES 14
#define TYPE_V4     0x0800
#define TYPE_V6     0x86dd
#define TYPE_VLAN   0x8100
#define PROTO_TCP   6
#define PROTO_UDP   17
#define PROTO_SCTP  132

static uint32_t load16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* one round of a 32-bit multiply and rotate hash; Appleby's MurmurHash3 has these constants */
static uint32_t mix(uint32_t hash, uint32_t word)
{
    word *= 0xcc9e2d51u;
    word = word << 15 | word >> 17;
    hash ^= word * 0x1b873593u;
    hash = hash << 13 | hash >> 19;
    return hash * 5 + 0xe6546b64u;
}

static uint32_t mix_bytes(uint32_t hash, const uint8_t *at, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        uint32_t word;

        memcpy(&word, at + 4 * i, sizeof(word));
        hash = mix(hash, word);
    }
    return hash;
}

static uint32_t finish(uint32_t hash)
{
    hash ^= hash >> 16;
    hash *= 0x85ebca6bu;
    hash ^= hash >> 13;
    hash *= 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

static uint32_t with_ports(uint32_t hash, uint8_t protocol, const uint8_t *at, const uint8_t *end)
{
    hash = mix(hash, protocol);
    if ((protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_SCTP) && end - at >= 4) {
        hash = mix_bytes(hash, at, 1);
    }
    return finish(hash);
}

uint32_t path_flow_hash(const uint8_t *frame, uint32_t bytes)
{
    const uint8_t *at = frame + ETHER_BYTES, *end = frame + bytes;
    uint32_t type;

    if (bytes < ETHER_BYTES) {
        return 0;
    }
    type = load16(at - 2);
    if (type == TYPE_VLAN && end - at >= 4) {
        type = load16(at + 2);
        at += 4;
    }
    if (type == TYPE_V4 && end - at >= 20) {
        uint32_t header_bytes = (at[0] & 15u) * 4;
        bool fragment = (load16(at + 6) & 0x3fff) != 0; /* more follow, or not the first */
        uint32_t hash = mix_bytes(1, at + 12, 2);

        if (fragment || header_bytes < 20) {
            return finish(mix(hash, at[9]));
        }
        return with_ports(hash, at[9], at + header_bytes < end ? at + header_bytes : end, end);
    }
    if (type == TYPE_V6 && end - at >= 40) {
        return with_ports(mix_bytes(2, at + 8, 8), at[6], at + 40, end);
    }
    return 0;
}
