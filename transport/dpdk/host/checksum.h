/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checksum.h - the Internet checksum (RFC 1071)
 * Owner: pure functions.   Thread: any.   Time: none.   Units: bytes; sums are of 16-bit words as they lie in memory. */
#ifndef APN_DPDK_HOST_CHECKSUM_H
#define APN_DPDK_HOST_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/** apn_sum() - add @bytes of @at to an unfinished sum; only the last piece may have an odd length
 * Return: unfinished sum, not folded. */
uint64_t apn_sum(uint64_t sum, const void *at, size_t bytes);

/** apn_sum_fold() - Return: 16 bits as they lie in memory, not complemented; 0xffff over data with a right checksum in it */
uint16_t apn_sum_fold(uint64_t sum);

#endif
