/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fetch.h - pages of the peer's memory, read by this end's adapter
 *
 * Theory of operation
 *   A page is read into a slot of staging memory, which is registered for that: guest memory is not, userfaultfd must see every
 *   access to it. Slots are a ring in the order of asking, in which a reliable connection completes them, too. A slot is out, then
 *   complete, then lent to the event that tells of it, and free when the next poll begins.
 *   No more reads are out than the peer answers at once. One more would hold up what is posted behind it: requests for pages.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: none.   Units: bytes; free-running counts. */
#ifndef APN_BACKEND_RDMA_FETCH_H
#define APN_BACKEND_RDMA_FETCH_H

#include <apnmig/backend.h>

#include "backend/rdma/send.h"

#define APN_RDMA_FETCH_SLOTS 64u /* of one page; a power of two */

struct apn_rdma_fetch {
    uint64_t end; /* sender's count of posted requests with this one */
    uint64_t offset;
    uint16_t region;
};

struct apn_rdma_fetcher {
    struct apn_rdma_sender *tx; /* NULL: this link reads nothing */
    const struct apn_verbs *v;
    uint8_t *staging;
    struct ibv_mr *mr;
    struct apn_rdma_fetch slot[APN_RDMA_FETCH_SLOTS];
    uint32_t lent, told, complete, tail; /* the first slot that is lent, untold, out, free */
};

/** apn_rdma_fetcher_open() - @tx: of a connected queue pair. Return: 0; -ENOMEM and a sentence, then the link does without. */
int apn_rdma_fetcher_open(struct apn_rdma_fetcher *f, struct apn_rdma_sender *tx, const struct apn_rdma_device *device,
                          struct apn_error *err);
/** apn_rdma_fetcher_close() - after the queue pair was closed. Fine on a half-made or zeroed one. */
void apn_rdma_fetcher_close(struct apn_rdma_fetcher *f);

/** apn_rdma_fetcher_begin() - a poll begins: nobody looks into what the last one told */
void apn_rdma_fetcher_begin(struct apn_rdma_fetcher *f);
/** apn_rdma_fetcher_start() - read one page of the peer's @region
 * Return: 0; -EAGAIN (no room now), -ENOTSUP (no right, or this link reads nothing); another -errno: the queue pair is broken. */
int apn_rdma_fetcher_start(struct apn_rdma_fetcher *f, unsigned region, uint64_t offset);
/** apn_rdma_fetcher_completed() - the sender's requests up to @count are done */
void apn_rdma_fetcher_completed(struct apn_rdma_fetcher *f, uint64_t count);
/** apn_rdma_fetcher_next() - the next page that was read. Return: whether there is one; @msg->payload as in an event */
bool apn_rdma_fetcher_next(struct apn_rdma_fetcher *f, struct apn_msg *msg);
/** apn_rdma_fetcher_owns() - is the request that the sender counts as @end a read that is out? */
bool apn_rdma_fetcher_owns(const struct apn_rdma_fetcher *f, uint64_t end);

/** apn_rdma_fetcher_waits() - is a read out? Then its completion is worth waking for */
static inline bool apn_rdma_fetcher_waits(const struct apn_rdma_fetcher *f)
{
    return f->tail != f->complete;
}

#endif
