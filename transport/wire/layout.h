/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layout.h - every byte that crosses the path, version 1; docs/wire-protocol.md has the sequences
 * Fixed width, little-endian, type 0 invalid, reserved = 0 and checked. */
#ifndef APN_WIRE_LAYOUT_H
#define APN_WIRE_LAYOUT_H

#include <assert.h>
#include <stdint.h>

#define APN_WIRE_VERSION     1u
#define APN_WIRE_VERSION_MIN 1u
#define APN_WIRE_MAGIC       "APNMIG\r\n" /* 8 bytes: text-mode damage shows at once */

/* Every message after the handshake: this header, then `length` payload bytes. */
struct apn_wire_header {
    uint8_t type;
    uint8_t kind;
    uint16_t region;
    uint16_t lane;
    uint16_t reserved;
    uint32_t length;
    uint32_t span;
    uint64_t offset;
    uint64_t value;
    uint32_t reserved2;
    uint32_t check; /* CRC-32C of the 36 bytes before it */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_header) == 40, "wire header");
#define APN_WIRE_HEADER_BYTES 40u

enum apn_wire_hs_type { APN_HS_HELLO = 1, APN_HS_CHALLENGE = 2, APN_HS_PROOF = 3, APN_HS_WELCOME = 4, APN_HS_REJECT = 5 };

/* Handshake: fixed-size messages, each starting with this prefix. */
struct apn_wire_hs_prefix {
    uint8_t magic[8];
    uint16_t type;    /* enum apn_wire_hs_type */
    uint16_t length;  /* whole message, prefix included */
    uint32_t check;   /* CRC-32C of the whole message with this field 0 */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_hs_prefix) == 16, "handshake prefix");

enum apn_wire_security { APN_SECURITY_NONE = 0, APN_SECURITY_HMAC_SHA256 = 1, APN_SECURITY_TLS13 = 2 /* reserved */ };

struct apn_wire_hello {
    struct apn_wire_hs_prefix prefix;
    uint16_t version_min;
    uint16_t version_max;
    uint16_t lane;
    uint16_t lanes;
    uint32_t generation;
    uint32_t commit;
    uint32_t timeout_ms;
    uint32_t security; /* bit mask 1 << enum apn_wire_security that the client can do */
    uint64_t features;
    uint64_t applied_bytes;
    uint8_t session_id[16];
    uint8_t nonce[32];
    uint8_t reserved[8];
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_hello) == 112, "hello");

struct apn_wire_challenge {
    struct apn_wire_hs_prefix prefix;
    uint16_t version;
    uint16_t reserved;
    uint32_t security; /* the one chosen */
    uint8_t nonce[32];
    uint8_t reserved2[8];
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_challenge) == 64, "challenge");

struct apn_wire_proof {
    struct apn_wire_hs_prefix prefix;
    uint8_t mac[32]; /* HMAC-SHA256(secret, "apnmig1 source" | hello | challenge); zero without a secret */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_proof) == 48, "proof");

struct apn_wire_welcome {
    struct apn_wire_hs_prefix prefix;
    uint64_t features;
    uint64_t applied_bytes;
    uint8_t mac[32]; /* HMAC-SHA256(secret, "apnmig1 dest" | hello | challenge | proof | this message up to here); zero without */
    uint8_t reserved[16];
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_welcome) == 80, "welcome");

#define APN_WIRE_REJECT_TEXT 160
struct apn_wire_reject {
    struct apn_wire_hs_prefix prefix;
    uint32_t code;  /* positive errno */
    uint32_t reserved;
    uint8_t text[APN_WIRE_REJECT_TEXT]; /* UTF-8, NUL-padded */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_reject) == 184, "reject");
#define APN_WIRE_HS_MAX 184u

/* One entry of a REGIONS payload; entries follow each other, `count` of them fill the payload exactly. */
struct apn_wire_region {
    uint64_t length;
    uint32_t page_size;
    uint16_t index;
    uint16_t name_bytes; /* the name follows, without NUL */
} __attribute__((packed));
static_assert(sizeof(struct apn_wire_region) == 16, "region entry");

#endif
