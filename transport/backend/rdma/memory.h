/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory.h - guest memory as the device knows it: registered pieces here, rights to write (or, in postcopy, to read) pieces there
 *
 * Theory of operation
 *   Regions are described when the engine adds them and registered once the device is known, whichever is later: in
 *   pieces, by several threads, before any page moves. A region that may be pinned is pinned; one that may not is
 *   registered for on-demand paging where the device has that; what cannot be registered (no on-demand paging, locked
 *   memory used up) is not, and its pages are copied through the links' own buffers. Lookups take no lock: tables are
 *   replaced whole and old ones kept until the end.
 *
 * Owner: the backend.   Thread: lookups any; changes under the lock inside.   Units: bytes. */
#ifndef APN_BACKEND_RDMA_MEMORY_H
#define APN_BACKEND_RDMA_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>

#include <apnmig/region.h>

#include "backend/rdma/device.h"
#include "wire/rdma.h"

#define APN_RDMA_PIECE_BYTES (256ull << 20) /* of one registration; a multiple of every page size up to 256 MiB */

struct apn_rdma_piece {
    uint8_t *address;
    uint64_t length;
    struct ibv_mr *mr;
};

struct apn_rdma_pieces {
    struct apn_rdma_pieces *older; /* replaced, kept for readers that still look */
    unsigned count;
    struct apn_rdma_piece piece[]; /* by address */
};

#define APN_RDMA_KEYS_MAX 65536u /* of one region: 16 TiB */

struct apn_rdma_keys {
    struct apn_rdma_keys *older;
    unsigned room;
    _Atomic unsigned count;
    struct apn_key key[]; /* by offset, without overlap */
};

struct apn_rdma_memory {
    pthread_mutex_t lock;
    const struct apn_rdma_device *device; /* NULL until it is known */
    int access;                           /* what the peer may do here: IBV_ACCESS_REMOTE_WRITE, IBV_ACCESS_REMOTE_READ, 0 */
    struct apn_region *regions[APN_REGIONS_MAX];
    _Atomic unsigned added;               /* regions below this number are described, and registered if they are to be */
    _Atomic(struct apn_rdma_pieces *) pieces;
    _Atomic(struct apn_rdma_keys *) keys[APN_REGIONS_MAX];
    atomic_bool in_use;                              /* pages have moved: a registration from now on is late */
    _Atomic uint64_t registrations, registrations_late;
    _Atomic uint64_t registered_bytes, unregistered_bytes;
    struct apn_rdma_pieces *retired; /* deregistered */
    pthread_t releaser;
    bool releasing;
};

void apn_rdma_memory_init(struct apn_rdma_memory *m);
/** apn_rdma_memory_done() - deregister everything; no link exists any more */
void apn_rdma_memory_done(struct apn_rdma_memory *m);

/** apn_rdma_memory_add() - a region; registers it when the device is known
 * @note: gets a sentence when part of it is not registered, else stays as it is
 * Return: 0; -ENOMEM (no memory for the description) */
int apn_rdma_memory_add(struct apn_rdma_memory *m, unsigned index, const struct apn_region *r, char *note, size_t note_bytes);
/** apn_rdma_memory_open() - the device is known: register what was added so far; nothing happens the second time
 * @access: what the peer may do with it */
void apn_rdma_memory_open(struct apn_rdma_memory *m, const struct apn_rdma_device *device, int access, char *note,
                          size_t note_bytes);

/** apn_rdma_memory_find() - the registered piece that holds @address; NULL: none. *length: how much of it is behind @address */
const struct apn_rdma_piece *apn_rdma_memory_find(struct apn_rdma_memory *m, const void *address, uint64_t *length);

/** apn_rdma_memory_region() - the added region of this number, by the engine's counting here; NULL: none (yet). No lock. */
const struct apn_region *apn_rdma_memory_region(const struct apn_rdma_memory *m, unsigned index);

/** apn_rdma_memory_grant() - rights to memory from @host on, one piece of @length bytes at most. Return: bytes the right
 * covers, 0 when that memory is not registered (then *covered says how far). */
uint64_t apn_rdma_memory_grant(struct apn_rdma_memory *m, const void *host, uint64_t length, struct apn_key *key,
                               uint64_t *covered);

/** apn_rdma_memory_region_at() - length of the added region that starts at @host, 0 when none does */
uint64_t apn_rdma_memory_region_at(struct apn_rdma_memory *m, const void *host);

/** apn_rdma_memory_release() - take back every right in the background: the guest runs here now */
void apn_rdma_memory_release(struct apn_rdma_memory *m);

/** apn_rdma_keys_add() - a right that the peer gave; those of a region come in order. Return: 0; -EPROTO (overlap or
 * disorder), -ENOSPC (more than APN_RDMA_KEYS_MAX), -ENOMEM */
int apn_rdma_keys_add(struct apn_rdma_memory *m, const struct apn_key *key);
/** apn_rdma_keys_find() - the right that covers @offset of the peer's region; NULL: none */
const struct apn_key *apn_rdma_keys_find(struct apn_rdma_memory *m, unsigned region, uint64_t offset);

#endif
