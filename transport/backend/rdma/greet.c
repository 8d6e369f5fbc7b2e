/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* greet.c - first frames of a queue pair: small ones pass, large ones pass, rights are told; and what it means when not
 *
 * The destination's queue pair may be ready before the source's, and not the other way round: so the source speaks first. */
#include <errno.h>

#include "backend/rdma/link.h"
#include "support/clock.h"

#define KEYS_PER_FRAME 64u
#define BIT(type)      (1u << (type))

/* the peer's regions are found by asking for them, our own are counted */
static unsigned regions_to_tell(const struct apn_rdma_link *link)
{
    return link->accepted ? APN_REGIONS_MAX : atomic_load(&apn_rdma_link_backend(link)->memory.added);
}

/* one frame, unless it was said already. Return: false when it must wait */
static bool say(struct apn_rdma_link *link, uint8_t type, uint32_t bytes)
{
    const struct apn_rdma_told told = apn_rdma_receiver_told(&link->rx);
    int ret;

    if (link->greets & BIT(type)) {
        return true;
    }
    ret = apn_rdma_sender_greet(&link->tx, type, bytes, &told);
    if (ret && ret != -EAGAIN) {
        apn_rdma_link_fail(link, ret, "queue pair: a frame cannot be posted");
    }
    link->greets |= ret ? 0 : BIT(type);
    return !ret;
}

/* HELLO both ways, then PAD both ways: whoever waits for a PAD knows that small packets pass. Return: both have crossed */
static bool greeted(struct apn_rdma_link *link)
{
    const unsigned heard = link->rx.greeted;

    if (link->accepted) {
        return (heard & BIT(APN_FRAME_HELLO)) && say(link, APN_FRAME_HELLO, 0) && (heard & BIT(APN_FRAME_PAD)) &&
               say(link, APN_FRAME_PAD, link->qp.mtu_bytes);
    }
    return say(link, APN_FRAME_HELLO, 0) && (heard & BIT(APN_FRAME_HELLO)) && say(link, APN_FRAME_PAD, link->qp.mtu_bytes) &&
           (heard & BIT(APN_FRAME_PAD));
}

void apn_rdma_greet_step(struct apn_rdma_link *link, uint64_t now_ns)
{
    if (link->stage != APN_RDMA_GREETING) {
        return;
    }
    if (now_ns >= link->deadline_ns) {
        apn_rdma_greet_failed(link, -ETIMEDOUT, "no answer in time");
        return;
    }
    if (!greeted(link)) {
        return;
    }
    if (!(link->greets & BIT(APN_FRAME_READY)) && !link->keys_region && !link->keys_offset) {
        link->keys_due = link->accepted;
    }
    if (apn_rdma_keys_step(link) && say(link, APN_FRAME_READY, 0) && (link->rx.greeted & BIT(APN_FRAME_READY))) {
        link->stage = APN_RDMA_UP;
        link->up_due = !link->accepted;
    }
}

/* Return: where the next region begins, and its length; NULL when there is none (any more, or yet) */
static uint8_t *next_region(const struct apn_rdma_link *link, uint64_t *length)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    const struct apn_sink *sink = &be->config.sink;
    const struct apn_region *own = apn_rdma_link_is_read(link) ? apn_rdma_memory_region(&be->memory, link->keys_region) : NULL;
    uint8_t *host = own ? own->host : NULL;

    if (link->accepted) {
        host = sink->resolve(sink->opaque, link->keys_region, 0, APN_PAGE_SIZE);
    }
    *length = own ? own->length : host ? apn_rdma_memory_region_at(&be->memory, host) : 0;
    return host;
}

/* Return: rights of the next regions put into @keys; moves on in link->keys_* */
static unsigned collect(struct apn_rdma_link *link, struct apn_key *keys, unsigned max)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    unsigned n = 0;

    while (n < max && link->keys_region < regions_to_tell(link)) {
        uint64_t length, covered;
        uint8_t *host = next_region(link, &length);

        if (!host && link->accepted) {
            link->keys_region = APN_REGIONS_MAX; /* the peer's regions are numbered without gaps */
        } else if (link->keys_offset >= length) {
            link->keys_region++;
            link->keys_offset = 0;
        } else {
            keys[n].region = (uint16_t)link->keys_region;
            keys[n].offset = link->keys_offset;
            n += apn_rdma_memory_grant(&be->memory, host + link->keys_offset, length - link->keys_offset, &keys[n], &covered) > 0;
            link->keys_offset += covered;
        }
    }
    return n;
}

bool apn_rdma_keys_step(struct apn_rdma_link *link)
{
    const struct apn_rdma_told told = apn_rdma_receiver_told(&link->rx);
    struct apn_key keys[KEYS_PER_FRAME];
    unsigned region, n;
    uint64_t offset;
    int ret;

    if (apn_rdma_link_is_read(link)) { /* regions are added when the lane is up already; each is told once */
        link->keys_due = link->keys_region < regions_to_tell(link);
    }
    while (link->keys_due) {
        region = link->keys_region;
        offset = link->keys_offset;
        n = collect(link, keys, KEYS_PER_FRAME);
        ret = n ? apn_rdma_sender_keys(&link->tx, keys, n, &told) : 0;
        if (ret) {
            link->keys_region = region;
            link->keys_offset = offset;
            if (ret != -EAGAIN) {
                apn_rdma_link_fail(link, ret, "queue pair: a frame cannot be posted");
            }
            return false;
        }
        link->keys_due = link->keys_region < regions_to_tell(link);
        if (!link->keys_due && link->accepted) {
            link->keys_region = 0;
            link->keys_offset = 0;
        }
    }
    return true;
}

void apn_rdma_greet_failed(struct apn_rdma_link *link, int code, const char *what)
{
    const struct apn_rdma_device *d = &apn_rdma_link_backend(link)->device;

    if ((link->rx.greeted & BIT(APN_FRAME_HELLO)) && !(link->rx.greeted & BIT(APN_FRAME_PAD))) {
        apn_rdma_link_fail(link, -EMSGSIZE,
                           "small packets pass, packets of the path MTU do not (%s port %u: %u bytes and headers): a hop between "
                           "has a smaller MTU",
                           d->name, d->port, link->qp.mtu_bytes);
    } else {
        apn_rdma_link_fail(link, code,
                           "no packet passes between the queue pairs (%s port %u GID %u, %s): is UDP port 4791 open, and is "
                           "it the right GID?",
                           d->name, d->port, d->gid_index, what);
    }
}
