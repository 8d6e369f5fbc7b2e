/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crc32c.c - CRC-32C (Castagnoli) of wire headers: SSE4.2 where the CPU has it, a nibble table
 * elsewhere Reflected polynomial 0x82f63b78, initial value and final xor all ones (RFC 3720
 * section 12.1 and appendix B.4). */
#include <string.h>

#include "wire/codec.h"

/* remainder of each nibble: table[i] = i * x^28 mod P, reflected */
static const uint32_t nibble_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc_table(uint32_t crc, const uint8_t *bytes, size_t length)
{
    while (length--) {
        crc ^= *bytes++;
        crc = nibble_table[crc & 15] ^ (crc >> 4);
        crc = nibble_table[crc & 15] ^ (crc >> 4);
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *bytes,
                                                            size_t length)
{
    uint64_t wide = crc;

    for (; length >= 8; length -= 8, bytes += 8) {
        uint64_t word;

        memcpy(&word, bytes, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (length--) {
        crc = __builtin_ia32_crc32qi(crc, *bytes++);
    }
    return crc;
}
#endif

uint32_t apn_crc32c_portable(uint32_t seed, const void *bytes, size_t length)
{
    return ~crc_table(~seed, bytes, length);
}

uint32_t apn_crc32c(uint32_t seed, const void *bytes, size_t length)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc_sse42(~seed, bytes, length);
    }
#endif
    return apn_crc32c_portable(seed, bytes, length);
}
