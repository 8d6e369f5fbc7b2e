/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* region.h - one registered block of guest RAM
 * Owner: the caller owns the memory, the session copies this description.
 * Thread: set up before apn_session_regions_commit(), constant afterwards.   Units: bytes. */
#ifndef APNMIG_REGION_H
#define APNMIG_REGION_H

#include <stdint.h>

#define APN_PAGE_SIZE     4096u
#define APN_GRANULE_SIZE  (2u << 20)    /* unit of the page -> lane map */
#define APN_EXTENT_MAX    (256u << 10)  /* bytes of guest RAM one extent may cover */
#define APN_REGIONS_MAX   1024u
#define APN_REGION_NAME_MAX 255u        /* bytes without the NUL; QEMU's idstr is at most 255 */

enum apn_region_flags {
    APN_REGION_PREFAULT = 1u << 0, /* destination: may be populated ahead of arrival */
    APN_REGION_FIXED    = 1u << 1, /* memory stays pinned to its pages: buffers may be registered */
    APN_REGION_PLACED   = 1u << 2, /* never registered: pages are placed one by one (postcopy) */
};

/**
 * struct apn_region - guest RAM block as both ends know it
 * @name:      NUL-terminated, unique in the session; the ends are matched by it
 * @host:      page-aligned address in this process; NULL only in simulations (contents not moved)
 * @length:    bytes, multiple of @page_size, 1 page at least
 * @page_size: bytes, power of two, APN_PAGE_SIZE at least; extents are multiples of APN_PAGE_SIZE
 * @flags:     enum apn_region_flags
 */
struct apn_region {
    char name[APN_REGION_NAME_MAX + 1];
    void *host;
    uint64_t length;
    uint32_t page_size;
    uint32_t flags;
};

#endif
