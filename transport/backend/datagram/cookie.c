/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cookie.c - see cookie.h */
#include "backend/datagram/cookie.h"

#include <errno.h>
#include <string.h>

#include <gnutls/crypto.h>

struct asked {
    uint8_t purpose;
    uint8_t family;
    uint16_t port;
    uint8_t address[16];
    uint32_t stamp;
    uint64_t id;
    uint8_t hello[sizeof(struct apn_wire_hello)];
} __attribute__((packed));

int apn_dg_cookie(const uint8_t key[APN_DG_KEY_BYTES], const struct apn_endpoint *endpoint, uint64_t id, uint32_t stamp, const void *hello,
                  uint8_t nonce[32], uint8_t cookie[APN_DG_COOKIE_BYTES])
{
    const union apn_address *from = &endpoint->remote;
    struct asked asked = {.purpose = 1, .family = from->family == AF_INET6, .stamp = stamp, .id = id};
    uint8_t second[32];

    memcpy(asked.hello, hello, sizeof(asked.hello));
    if (from->family == AF_INET) {
        asked.port = from->in.sin_port;
        memcpy(asked.address, &from->in.sin_addr, sizeof(from->in.sin_addr));
    } else {
        asked.port = from->in6.sin6_port;
        memcpy(asked.address, &from->in6.sin6_addr, sizeof(from->in6.sin6_addr));
    }
    if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, APN_DG_KEY_BYTES, &asked, sizeof(asked), nonce)) {
        return -EIO;
    }
    asked.purpose = 2;
    if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, APN_DG_KEY_BYTES, &asked, sizeof(asked), second)) {
        return -EIO;
    }
    memcpy(cookie, second, APN_DG_COOKIE_BYTES);
    return 0;
}
