/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory.h - large zeroed memory that costs nothing until it is touched
 * calloc() does that only as long as the allocator in use knows that fresh pages are zero, and a lane is opened often.
 * Owner: caller.   Thread: any.   Units: bytes. */
#ifndef APN_DATAGRAM_MEMORY_H
#define APN_DATAGRAM_MEMORY_H

#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#define APN_DG_CHECKED_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define APN_DG_CHECKED_MEMORY 1
#endif
#endif

/** apn_dg_memory_new() - Return: NULL when out of memory */
static inline void *apn_dg_memory_new(size_t bytes)
{
#ifdef APN_DG_CHECKED_MEMORY
    return calloc(1, bytes);
#else
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
#endif
}

/** apn_dg_memory_free() - NULL is fine; @bytes as it was made */
static inline void apn_dg_memory_free(void *memory, size_t bytes)
{
#ifdef APN_DG_CHECKED_MEMORY
    (void)bytes;
    free(memory);
#else
    if (memory) {
        munmap(memory, bytes);
    }
#endif
}

#endif
