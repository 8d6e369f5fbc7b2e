/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checksum.c - see checksum.h */
#include "dpdk/host/checksum.h"

#include <string.h>

uint64_t apn_sum(uint64_t sum, const void *at, size_t bytes)
{
    const uint8_t *p = at;
    uint64_t even = 0, odd = 0; /* two chains: 32-bit words cannot overflow 64 bits below 16 GiB */

    for (; bytes >= 16; bytes -= 16, p += 16) {
        uint64_t w[2];

        memcpy(w, p, sizeof(w));
        even += (uint32_t)w[0] + (w[0] >> 32);
        odd += (uint32_t)w[1] + (w[1] >> 32);
    }
    sum = (sum & 0xffffffff) + (sum >> 32) + (even & 0xffffffff) + (even >> 32) + (odd & 0xffffffff) + (odd >> 32);
    for (; bytes >= 2; bytes -= 2, p += 2) {
        uint16_t w;

        memcpy(&w, p, sizeof(w));
        sum += w;
    }
    if (bytes) {
        uint8_t last[2] = {*p, 0};
        uint16_t w;

        memcpy(&w, last, sizeof(w));
        sum += w;
    }
    return sum;
}

uint16_t apn_sum_fold(uint64_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}
