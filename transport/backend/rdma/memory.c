/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory.c - see memory.h */
#include "backend/rdma/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS_MAX 8u

/* One region being registered, by several threads. */
struct work {
    struct apn_rdma_memory *m;
    uint8_t *host;
    uint64_t length;
    int access;
    unsigned count;
    _Atomic unsigned next;
    _Atomic int failed; /* first -errno */
    struct ibv_mr **mr;
};

void apn_rdma_memory_init(struct apn_rdma_memory *m)
{
    memset(m, 0, sizeof(*m));
    pthread_mutex_init(&m->lock, NULL);
}

/* ---- registering ------------------------------------------------------------- */

static uint64_t piece_length(const struct work *w, unsigned i)
{
    uint64_t left = w->length - i * APN_RDMA_PIECE_BYTES;

    return left < APN_RDMA_PIECE_BYTES ? left : APN_RDMA_PIECE_BYTES;
}

static void *register_some(void *opaque)
{
    struct work *w = opaque;
    struct apn_rdma_memory *m = w->m;
    unsigned i;

    while (!atomic_load(&w->failed) && (i = atomic_fetch_add(&w->next, 1)) < w->count) {
        uint64_t length = piece_length(w, i);
        struct ibv_mr *mr = m->device->v->reg_mr(m->device->pd, w->host + i * APN_RDMA_PIECE_BYTES, length, w->access);

        if (!mr) {
            int none = 0;

            atomic_compare_exchange_strong(&w->failed, &none, errno ? -errno : -EIO);
            break;
        }
        w->mr[i] = mr;
        atomic_fetch_add(&m->registrations, 1);
        atomic_fetch_add(&m->registered_bytes, length);
        if (atomic_load(&m->in_use)) {
            atomic_fetch_add(&m->registrations_late, 1);
        }
    }
    return NULL;
}

static void register_all(struct work *w)
{
    pthread_t thread[THREADS_MAX];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = cpus < 1 ? 1 : cpus > (long)THREADS_MAX ? THREADS_MAX : (unsigned)cpus, started = 0;

    wanted = wanted > w->count ? w->count : wanted;
    while (started + 1 < wanted && !pthread_create(&thread[started], NULL, register_some, w)) {
        started++;
    }
    register_some(w);
    while (started) {
        pthread_join(thread[--started], NULL);
    }
}

static int by_address(const void *a, const void *b)
{
    const struct apn_rdma_piece *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

/* a table with the new pieces replaces the old one */
static int publish(struct apn_rdma_memory *m, const struct work *w)
{
    struct apn_rdma_pieces *old = atomic_load(&m->pieces), *table;
    unsigned kept = old ? old->count : 0;

    table = malloc(sizeof(*table) + (kept + w->count) * sizeof(table->piece[0]));
    if (!table) {
        return -ENOMEM;
    }
    *table = (struct apn_rdma_pieces){.older = old, .count = kept};
    if (kept) {
        memcpy(table->piece, old->piece, kept * sizeof(table->piece[0]));
    }
    for (unsigned i = 0; i < w->count; i++) {
        if (w->mr[i]) {
            table->piece[table->count++] =
                (struct apn_rdma_piece){w->host + i * APN_RDMA_PIECE_BYTES, piece_length(w, i), w->mr[i]};
        }
    }
    qsort(table->piece, table->count, sizeof(table->piece[0]), by_address);
    atomic_store(&m->pieces, table);
    return 0;
}

/* what is missing and why; "; " and what becomes of it follows */
static void explain(const struct apn_region *r, int code, uint64_t missing, char *note, size_t note_bytes)
{
    struct rlimit limit = {0};
    char why[80];

    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (code == -ENOMEM && limit.rlim_cur != RLIM_INFINITY) {
        snprintf(why, sizeof(why), "RLIMIT_MEMLOCK is %llu KiB; LimitMEMLOCK=infinity", (unsigned long long)limit.rlim_cur >> 10);
    } else {
        snprintf(why, sizeof(why), "%s", strerror(-code));
    }
    snprintf(note, note_bytes,
             "rdma: %" PRIu64 " of %" PRIu64 " MiB of RAM block '%.40s' cannot be registered (%s); those pages are copied", missing >> 20,
             r->length >> 20, r->name, why);
}

static void register_region(struct apn_rdma_memory *m, const struct apn_region *r, char *note, size_t note_bytes)
{
    const bool pinned = r->flags & APN_REGION_FIXED;
    struct work w = {.m = m, .host = r->host, .length = r->length,
                     .access = m->access | (m->access & IBV_ACCESS_REMOTE_WRITE ? IBV_ACCESS_LOCAL_WRITE : 0)};
    uint64_t missing = 0;

    if (!r->host || (r->flags & APN_REGION_PLACED)) {
        return;
    }
    if (!pinned && !m->device->odp) {
        snprintf(note, note_bytes, "rdma: RAM block '%.60s' may not be pinned and %s has no on-demand paging; its pages "
                 "are copied", r->name, m->device->name);
        atomic_fetch_add(&m->unregistered_bytes, r->length);
        return;
    }
    w.access |= pinned ? 0 : IBV_ACCESS_ON_DEMAND;
    w.count = (unsigned)((r->length + APN_RDMA_PIECE_BYTES - 1) / APN_RDMA_PIECE_BYTES);
    w.mr = calloc(w.count, sizeof(*w.mr));
    if (!w.mr) {
        return;
    }
    register_all(&w);
    for (unsigned i = 0; i < w.count; i++) {
        missing += w.mr[i] ? 0 : piece_length(&w, i);
    }
    if (missing) {
        explain(r, atomic_load(&w.failed), missing, note, note_bytes);
        atomic_fetch_add(&m->unregistered_bytes, missing);
    }
    if (publish(m, &w)) {
        for (unsigned i = 0; i < w.count; i++) {
            if (w.mr[i]) {
                m->device->v->dereg_mr(w.mr[i]);
            }
        }
    }
    free(w.mr);
}

int apn_rdma_memory_add(struct apn_rdma_memory *m, unsigned index, const struct apn_region *r, char *note, size_t note_bytes)
{
    struct apn_region *copy = malloc(sizeof(*copy));

    if (!copy || index >= APN_REGIONS_MAX) {
        free(copy);
        return -ENOMEM;
    }
    *copy = *r;
    pthread_mutex_lock(&m->lock);
    free(m->regions[index]);
    m->regions[index] = copy;
    if (m->device) {
        register_region(m, copy, note, note_bytes);
    }
    if (index >= atomic_load(&m->added)) {
        atomic_store(&m->added, index + 1);
    }
    pthread_mutex_unlock(&m->lock);
    return 0;
}

void apn_rdma_memory_open(struct apn_rdma_memory *m, const struct apn_rdma_device *device, int access, char *note,
                          size_t note_bytes)
{
    bool first;

    pthread_mutex_lock(&m->lock);
    first = !m->device;
    m->device = device;
    m->access |= access;
    for (unsigned i = 0; i < APN_REGIONS_MAX && first; i++) {
        if (m->regions[i]) {
            register_region(m, m->regions[i], note, note_bytes);
        }
    }
    pthread_mutex_unlock(&m->lock);
}

/* ---- looking up ---------------------------------------------------------------- */

/* index of the last entry that starts at or before the wanted place, -1: none */
static int last_at_or_before(const struct apn_rdma_pieces *table, const uint8_t *address)
{
    int low = 0, high = (int)table->count - 1, found = -1;

    while (low <= high) {
        int middle = low + (high - low) / 2;

        if (table->piece[middle].address <= address) {
            found = middle;
            low = middle + 1;
        } else {
            high = middle - 1;
        }
    }
    return found;
}

const struct apn_rdma_piece *apn_rdma_memory_find(struct apn_rdma_memory *m, const void *address, uint64_t *length)
{
    const struct apn_rdma_pieces *table = atomic_load_explicit(&m->pieces, memory_order_acquire);
    const uint8_t *at = address;
    int i = table ? last_at_or_before(table, at) : -1;

    if (i < 0 || (uint64_t)(at - table->piece[i].address) >= table->piece[i].length) {
        return NULL;
    }
    *length = table->piece[i].length - (uint64_t)(at - table->piece[i].address);
    return &table->piece[i];
}

const struct apn_region *apn_rdma_memory_region(const struct apn_rdma_memory *m, unsigned index)
{
    return index < atomic_load(&m->added) ? m->regions[index] : NULL;
}

uint64_t apn_rdma_memory_grant(struct apn_rdma_memory *m, const void *host, uint64_t length, struct apn_key *key,
                               uint64_t *covered)
{
    const struct apn_rdma_piece *piece = apn_rdma_memory_find(m, host, covered);

    if (!piece) {
        *covered = APN_RDMA_PIECE_BYTES; /* pieces have this size, so nothing is skipped by stepping so far */
        *covered = *covered < length ? *covered : length;
        return 0;
    }
    *covered = *covered < length ? *covered : length;
    key->rkey = piece->mr->rkey;
    key->address = (uint64_t)(uintptr_t)host;
    key->length = *covered;
    return *covered;
}

uint64_t apn_rdma_memory_region_at(struct apn_rdma_memory *m, const void *host)
{
    uint64_t length = 0;

    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < APN_REGIONS_MAX && !length; i++) {
        length = m->regions[i] && m->regions[i]->host == host ? m->regions[i]->length : 0;
    }
    pthread_mutex_unlock(&m->lock);
    return length;
}

/* ---- rights that the peer gave ---------------------------------------------------- */

static bool same_key(const struct apn_key *a, const struct apn_key *b)
{
    return a->rkey == b->rkey && a->offset == b->offset && a->length == b->length && a->address == b->address;
}

/* room for one more behind the others: in place when the table has it, else in a new one of twice the size */
static struct apn_rdma_keys *with_room(struct apn_rdma_keys *old)
{
    const unsigned kept = old ? atomic_load(&old->count) : 0, room = kept ? kept * 2 : 16;
    struct apn_rdma_keys *table;

    if (old && kept < old->room) {
        return old;
    }
    table = malloc(sizeof(*table) + room * sizeof(table->key[0]));
    if (table) {
        table->older = old;
        table->room = room;
        atomic_init(&table->count, kept);
        if (kept) {
            memcpy(table->key, old->key, kept * sizeof(old->key[0]));
        }
    }
    return table;
}

int apn_rdma_keys_add(struct apn_rdma_memory *m, const struct apn_key *key)
{
    struct apn_rdma_keys *table;
    unsigned count;
    int ret = 0;

    pthread_mutex_lock(&m->lock);
    table = atomic_load(&m->keys[key->region]);
    count = table ? atomic_load(&table->count) : 0;
    for (unsigned i = 0; i < count; i++) {
        if (same_key(&table->key[i], key)) {
            goto out; /* told again on another lane */
        }
    }
    if (count == APN_RDMA_KEYS_MAX) {
        ret = -ENOSPC;
    } else if (count && table->key[count - 1].offset + table->key[count - 1].length > key->offset) {
        ret = -EPROTO;
    } else if (!(table = with_room(table))) {
        ret = -ENOMEM;
    } else {
        table->key[count] = *key;
        atomic_store_explicit(&table->count, count + 1, memory_order_release); /* after the key: readers look up to here */
        atomic_store(&m->keys[key->region], table);
    }
out:
    pthread_mutex_unlock(&m->lock);
    return ret;
}

const struct apn_key *apn_rdma_keys_find(struct apn_rdma_memory *m, unsigned region, uint64_t offset)
{
    const struct apn_rdma_keys *table = atomic_load_explicit(&m->keys[region], memory_order_acquire);

    for (unsigned low = 0, high = table ? atomic_load_explicit(&table->count, memory_order_acquire) : 0; low < high;) {
        unsigned middle = low + (high - low) / 2;
        const struct apn_key *key = &table->key[middle];

        if (offset < key->offset) {
            high = middle;
        } else if (offset - key->offset >= key->length) {
            low = middle + 1;
        } else {
            return key;
        }
    }
    return NULL;
}

/* ---- the end -------------------------------------------------------------------- */

/* the tables stay until the end: a lane may still be looking */
static void deregister_all(struct apn_rdma_memory *m)
{
    struct apn_rdma_pieces *table = atomic_exchange(&m->pieces, NULL);

    for (unsigned i = 0; table && i < table->count; i++) {
        m->device->v->dereg_mr(table->piece[i].mr);
    }
    if (table) {
        m->retired = table;
    }
}

static void *release(void *opaque)
{
    struct apn_rdma_memory *m = opaque;

    deregister_all(m);
    return NULL;
}

void apn_rdma_memory_release(struct apn_rdma_memory *m)
{
    pthread_mutex_lock(&m->lock);
    if (m->device && (m->access & IBV_ACCESS_REMOTE_WRITE) && !m->releasing) {
        m->releasing = !pthread_create(&m->releaser, NULL, release, m);
    }
    pthread_mutex_unlock(&m->lock);
}

void apn_rdma_memory_done(struct apn_rdma_memory *m)
{
    if (m->releasing) {
        pthread_join(m->releaser, NULL);
    }
    deregister_all(m);
    while (m->retired) {
        struct apn_rdma_pieces *older = m->retired->older;

        free(m->retired);
        m->retired = older;
    }
    for (unsigned i = 0; i < APN_REGIONS_MAX; i++) {
        struct apn_rdma_keys *table = atomic_load(&m->keys[i]);

        free(m->regions[i]);
        while (table) {
            struct apn_rdma_keys *older = table->older;

            free(table);
            table = older;
        }
    }
    pthread_mutex_destroy(&m->lock);
}
