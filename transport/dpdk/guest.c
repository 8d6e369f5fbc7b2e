/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest.c - see guest.h */
#include "dpdk/guest.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_memory.h>

#define LARGE (2u << 20)
#define SMALL 4096u
#define GUARDED_MAX (APN_GUEST_CLIENTS * APN_GUEST_REGIONS)

/* what the signal handler looks at; an entry's region is published last and taken back first */
static struct {
    struct apn_guest_region *_Atomic region;
} guarded[GUARDED_MAX];
static pthread_mutex_t guarded_lock = PTHREAD_MUTEX_INITIALIZER;

static void on_bus_error(int number, siginfo_t *what, void *context)
{
    const uint8_t *at = what->si_addr;

    (void)context;
    for (unsigned i = 0; i < GUARDED_MAX; i++) {
        struct apn_guest_region *r = atomic_load(&guarded[i].region);
        const uint8_t *map = r ? r->map : NULL;

        if (!r || at < map || at >= map + r->map_bytes) {
            continue;
        }
        /* the whole region: one signal per page of a large one would be a weapon of its own */
        if (mmap(r->map, r->map_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED) {
            atomic_store(&r->broken, true);
            return;
        }
    }
    signal(number, SIG_DFL); /* our own mistake: end as usual when the instruction is repeated */
}

int apn_guest_guard(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

    return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

static int guard(struct apn_guest_region *r)
{
    int ret = -ENOSPC;

    pthread_mutex_lock(&guarded_lock);
    for (unsigned i = 0; i < GUARDED_MAX && ret; i++) {
        if (!atomic_load(&guarded[i].region)) {
            atomic_store(&guarded[i].region, r);
            ret = 0;
        }
    }
    pthread_mutex_unlock(&guarded_lock);
    return ret;
}

static void unguard(const struct apn_guest_region *r)
{
    pthread_mutex_lock(&guarded_lock);
    for (unsigned i = 0; i < GUARDED_MAX; i++) {
        if (atomic_load(&guarded[i].region) == r) {
            atomic_store(&guarded[i].region, NULL);
        }
    }
    pthread_mutex_unlock(&guarded_lock);
}

/* large pages begin at large addresses: reserve more, use the aligned part */
static void *map_aligned(int fd, uint64_t offset, size_t bytes)
{
    const size_t wish = bytes + LARGE;
    uint8_t *room = mmap(NULL, wish, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *at, *map;

    if (room == MAP_FAILED) {
        return MAP_FAILED;
    }
    at = (uint8_t *)(((uintptr_t)room + LARGE - 1) & ~(uintptr_t)(LARGE - 1));
    map = mmap(at, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset);
    if (map == MAP_FAILED) {
        munmap(room, wish);
        return MAP_FAILED;
    }
    if (at > room) {
        munmap(room, (size_t)(at - room));
    }
    if (room + wish > at + bytes) {
        munmap(at + bytes, (size_t)(room + wish - (at + bytes)));
    }
    return map;
}

int apn_guest_map(struct apn_guest_region *r, int fd, uint64_t offset, uint64_t length)
{
    struct stat file;
    struct statfs system;
    uint64_t page = SMALL, begin, end;

    if (fstat(fd, &file) || fstatfs(fd, &system)) {
        return -errno;
    }
    if (system.f_type == 0x958458f6 && system.f_bsize > 0) { /* HUGETLBFS_MAGIC: mapped in its own pages */
        page = (uint64_t)system.f_bsize;
    }
    if (!S_ISREG(file.st_mode) || !length || length > APN_GUEST_BYTES_MAX || offset > APN_GUEST_BYTES_MAX || offset % SMALL ||
        length % SMALL || page & (page - 1) || (uint64_t)file.st_size < offset + length) {
        return -EINVAL;
    }
    begin = offset & ~(page - 1);
    end = (offset + length + page - 1) & ~(page - 1);
    memset(r, 0, sizeof(*r));
    r->map_bytes = end - begin;
    r->map = map_aligned(fd, begin, r->map_bytes);
    if (r->map == MAP_FAILED) {
        memset(r, 0, sizeof(*r));
        return -errno;
    }
    r->length = length;
    if (guard(r)) {
        munmap(r->map, r->map_bytes);
        memset(r, 0, sizeof(*r));
        return -ENOSPC;
    }
    r->ready = (const uint8_t *)r->map + (offset - begin);
    return 0;
}

/* large units keep DPDK's table small: 4 TiB in 4 KiB units would need 48 GiB of it */
static size_t unit(const struct apn_guest_region *r)
{
    return r->map_bytes % LARGE ? SMALL : LARGE;
}

int apn_guest_register(struct apn_guest_region *r, uint16_t port, bool device)
{
    struct rte_eth_dev_info found;

    if (unit(r) == SMALL && r->map_bytes > 1ull << 30) {
        return -EINVAL;
    }
    if (rte_extmem_register(r->map, r->map_bytes, NULL, 0, unit(r))) {
        return -rte_errno;
    }
    r->zerocopy = true;
    if (device) {
        if (rte_eth_dev_info_get(port, &found) || rte_dev_dma_map(found.device, r->map, (uint64_t)(uintptr_t)r->map, r->map_bytes)) {
            rte_extmem_unregister(r->map, r->map_bytes);
            r->zerocopy = false;
            return rte_errno ? -rte_errno : -EIO;
        }
        r->mapped = true;
    }
    return 0;
}

void apn_guest_unmap(struct apn_guest_region *r, uint16_t port)
{
    struct rte_eth_dev_info found;

    if (!r->map) {
        return;
    }
    if (r->mapped && !rte_eth_dev_info_get(port, &found)) {
        rte_dev_dma_unmap(found.device, r->map, (uint64_t)(uintptr_t)r->map, r->map_bytes);
    }
    if (r->zerocopy) {
        rte_extmem_unregister(r->map, r->map_bytes);
    }
    unguard(r);
    munmap(r->map, r->map_bytes);
    memset(r, 0, sizeof(*r));
}
