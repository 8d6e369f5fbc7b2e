/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fetch.c - see fetch.h */
#include "backend/rdma/fetch.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SLOT(i)       ((i) & (APN_RDMA_FETCH_SLOTS - 1))
#define STAGING_BYTES ((size_t)APN_RDMA_FETCH_SLOTS * APN_PAGE_SIZE)

int apn_rdma_fetcher_open(struct apn_rdma_fetcher *f, struct apn_rdma_sender *tx, const struct apn_rdma_device *device,
                          struct apn_error *err)
{
    void *memory = mmap(NULL, STAGING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *f = (struct apn_rdma_fetcher){.v = device->v};
    f->staging = memory == MAP_FAILED ? NULL : memory;
    f->mr = f->staging ? f->v->reg_mr(device->pd, f->staging, STAGING_BYTES, IBV_ACCESS_LOCAL_WRITE) : NULL;
    if (!f->mr) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_LANE,
                             "rdma: no %zu KiB of registered memory to read pages into (%s): they are asked for", STAGING_BYTES >> 10,
                             strerror(errno));
    }
    f->tx = tx;
    return 0;
}

void apn_rdma_fetcher_close(struct apn_rdma_fetcher *f)
{
    if (f->mr) {
        f->v->dereg_mr(f->mr);
    }
    if (f->staging) {
        munmap(f->staging, STAGING_BYTES);
    }
    *f = (struct apn_rdma_fetcher){0};
}

void apn_rdma_fetcher_begin(struct apn_rdma_fetcher *f)
{
    f->lent = f->told;
}

int apn_rdma_fetcher_start(struct apn_rdma_fetcher *f, unsigned region, uint64_t offset)
{
    const struct apn_key *key = f->tx && region < APN_REGIONS_MAX ? apn_rdma_keys_find(f->tx->memory, region, offset) : NULL;
    struct apn_rdma_fetch *slot = &f->slot[SLOT(f->tail)];
    struct ibv_sge to;
    int ret;

    if (!key || key->length - (offset - key->offset) < APN_PAGE_SIZE) {
        return -ENOTSUP;
    }
    if (f->tail - f->complete >= f->tx->qp->reads || f->tail - f->lent == APN_RDMA_FETCH_SLOTS) {
        return -EAGAIN;
    }
    to = (struct ibv_sge){(uint64_t)(uintptr_t)(f->staging + (size_t)SLOT(f->tail) * APN_PAGE_SIZE), APN_PAGE_SIZE, f->mr->lkey};
    ret = apn_rdma_sender_read(f->tx, &to, key->address + (offset - key->offset), key->rkey);
    if (!ret) {
        *slot = (struct apn_rdma_fetch){f->tx->posted, offset, (uint16_t)region};
        f->tail++;
    }
    return ret;
}

void apn_rdma_fetcher_completed(struct apn_rdma_fetcher *f, uint64_t count)
{
    while (f->complete != f->tail && f->slot[SLOT(f->complete)].end <= count) {
        f->complete++;
    }
}

bool apn_rdma_fetcher_next(struct apn_rdma_fetcher *f, struct apn_msg *msg)
{
    const struct apn_rdma_fetch *slot = &f->slot[SLOT(f->told)];

    if (f->told == f->complete) {
        return false;
    }
    *msg = (struct apn_msg){.type = APN_MSG_POSTCOPY_PAGE,
                            .kind = APN_EXTENT_DATA,
                            .region = slot->region,
                            .bytes = APN_PAGE_SIZE,
                            .span = APN_PAGE_SIZE,
                            .offset = slot->offset,
                            .payload = f->staging + (size_t)SLOT(f->told) * APN_PAGE_SIZE};
    f->told++;
    return true;
}

bool apn_rdma_fetcher_owns(const struct apn_rdma_fetcher *f, uint64_t end)
{
    for (uint32_t i = f->complete; i != f->tail; i++) {
        if (f->slot[SLOT(i)].end == end) {
            return true;
        }
    }
    return false;
}
