/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cookie.h - what a listener can recompute instead of remembering it
 * Owner: the listener.   Thread: its own.   Units: stamps are ms of the listener's clock, low 32 bits. */
#ifndef APN_DATAGRAM_COOKIE_H
#define APN_DATAGRAM_COOKIE_H

#include "backend/datagram/port.h"
#include "backend/datagram/wire.h"

#define APN_DG_KEY_BYTES 32u

/** apn_dg_cookie() - for who asked (@endpoint, @id, its HELLO) when (@stamp): the listener's nonce for CHALLENGE, and a cookie. Both are
 * HMAC-SHA256 with @key, so that nobody else can make them. Return: 0, -EIO (the crypto library). */
int apn_dg_cookie(const uint8_t key[APN_DG_KEY_BYTES], const struct apn_endpoint *endpoint, uint64_t id, uint32_t stamp, const void *hello,
                  uint8_t nonce[32], uint8_t cookie[APN_DG_COOKIE_BYTES]);

#endif
