/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* codec.h - message headers to bytes and back; pure functions
 * Owner: caller.   Thread: any.   Everything from a peer passes apn_msg_validate(). */
#ifndef APN_WIRE_CODEC_H
#define APN_WIRE_CODEC_H

#include <apnmig/backend.h>

#include "wire/layout.h"

/** apn_crc32c() - CRC-32C (Castagnoli, RFC 3720 B.4), @seed 0 to start, chainable */
uint32_t apn_crc32c(uint32_t seed, const void *bytes, size_t length);
/** apn_crc32c_portable() - the same by table; what apn_crc32c() falls back to, callable so that tests compare both */
uint32_t apn_crc32c_portable(uint32_t seed, const void *bytes, size_t length);

/** apn_msg_encode() - header of @msg into @out (APN_WIRE_HEADER_BYTES). @msg must be valid (asserted). */
void apn_msg_encode(const struct apn_msg *msg, uint8_t out[APN_WIRE_HEADER_BYTES]);

/** apn_msg_decode() - header bytes into @msg (payload NULL), checked and validated
 * Return: 0; -EBADMSG (check value), -EPROTO (field; @err names thing, value, limit). */
int apn_msg_decode(const uint8_t bytes[APN_WIRE_HEADER_BYTES], struct apn_msg *msg, struct apn_error *err);

/** apn_msg_validate() - fields fit the type: known type and kind, sizes within limits, alignment, unused fields zero */
int apn_msg_validate(const struct apn_msg *msg, struct apn_error *err);

const char *apn_msg_type_name(unsigned type);

/** apn_region_table_encode() - entries of @regions[@first..] that fit into @capacity bytes; Return: entries written, *bytes used */
unsigned apn_region_table_encode(const struct apn_region *regions, unsigned count, unsigned first, uint8_t *out, size_t capacity,
                                 size_t *bytes);
/** apn_region_table_decode() - one REGIONS payload into @regions (host = NULL), indexes consecutive
 * and below @capacity; names printable
 * Return: entries read, or -EPROTO. */
int apn_region_table_decode(const uint8_t *payload, size_t bytes, struct apn_region *regions, unsigned capacity, struct apn_error *err);

#endif
