/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy_receive.c - destination: asking for pages, and placing what comes
 * Thread: placing on lane threads without the session lock; staging_lock guards the huge pages that several messages make up.
 *
 * A message of small pages is placed as it is: from the backend's buffer, which is the staging, into guest memory by the owner's hook.
 * A huge page is put together first. */
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/clock.h"

#define BITS_WORDS (APN_POSTCOPY_PAGE_MAX / APN_PAGE_SIZE / 64)

/** struct apn_staged - a huge page that is being put together */
struct apn_staged {
    struct apn_staged *next;
    unsigned region;
    uint64_t offset;
    uint32_t missing;         /* pages */
    bool has_contents;
    uint64_t got[BITS_WORDS]; /* a replayed piece counts once */
    uint8_t bytes[];          /* page_size */
};

void apn_postcopy_staging_free(struct apn_postcopy *pc)
{
    struct apn_staged *staged;

    while ((staged = pc->staged)) {
        pc->staged = staged->next;
        free(staged);
    }
}

/* staging_lock. The page that @offset belongs to, begun if need be; NULL when too many are, or out of memory */
static struct apn_staged *staged_find(struct apn_postcopy *pc, unsigned region, uint64_t offset, uint32_t page_size)
{
    struct apn_staged *staged = pc->staged;

    while (staged && (staged->region != region || staged->offset != offset)) {
        staged = staged->next;
    }
    if (staged || pc->staged_count == APN_POSTCOPY_STAGED_MAX) {
        return staged;
    }
    staged = calloc(1, sizeof(*staged) + page_size);
    if (staged) {
        staged->region = region;
        staged->offset = offset;
        staged->missing = page_size / APN_PAGE_SIZE;
        staged->next = pc->staged;
        pc->staged = staged;
        pc->staged_count++;
    }
    return staged;
}

static void staged_unlink(struct apn_postcopy *pc, struct apn_staged *staged)
{
    struct apn_staged **link = &pc->staged;

    while (*link != staged) {
        link = &(*link)->next;
    }
    *link = staged->next;
    pc->staged_count--;
}

/* staging_lock */
static void staged_put(struct apn_staged *staged, const struct apn_msg *msg)
{
    uint32_t at = (uint32_t)(msg->offset - staged->offset);

    if (msg->kind == APN_EXTENT_DATA && msg->payload) {
        memcpy(staged->bytes + at, msg->payload, msg->span);
        staged->has_contents = true;
    }
    for (uint32_t page = at / APN_PAGE_SIZE; page < (at + msg->span) / APN_PAGE_SIZE; page++) {
        uint64_t bit = 1ull << (page % 64);

        staged->missing -= !(staged->got[page / 64] & bit);
        staged->got[page / 64] |= bit;
    }
}

/* Return: 1 when @out is complete and belongs to the caller; 0; -ENOSPC */
static int stage(struct apn_postcopy *pc, unsigned region, uint32_t page_size, const struct apn_msg *msg, struct apn_staged **out)
{
    struct apn_staged *staged;
    int ret = 0;

    pthread_mutex_lock(&pc->staging_lock);
    staged = staged_find(pc, region, msg->offset - msg->offset % page_size, page_size);
    if (!staged) {
        ret = -ENOSPC;
    } else {
        staged_put(staged, msg);
        if (!staged->missing) {
            staged_unlink(pc, staged);
            *out = staged;
            ret = 1;
        }
    }
    pthread_mutex_unlock(&pc->staging_lock);
    return ret;
}

static int place_huge(struct apn_session *s, unsigned region, const struct apn_msg *msg)
{
    uint32_t page_size = s->regions[region].page_size;
    struct apn_staged *staged = NULL;
    int ret;

    if (msg->offset % page_size + msg->span > page_size) {
        return -EPROTO;
    }
    ret = stage(&s->postcopy, region, page_size, msg, &staged);
    if (ret == 1) {
        ret = s->config.place(s->config.opaque, region, staged->offset, page_size, staged->has_contents ? staged->bytes : NULL);
    }
    free(staged);
    return ret;
}

int apn_postcopy_place(struct apn_session *s, const struct apn_msg *msg, struct apn_error *err)
{
    const struct apn_region *r;
    unsigned region;
    int ret = -EPROTO;

    if (!atomic_load_explicit(&s->resolve_ready, memory_order_acquire) || !atomic_load(&s->postcopy.listening) ||
        msg->region >= s->peer_region_total) {
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "postcopy page of region %u was not to be sent", msg->region);
    }
    region = s->peer_to_local[msg->region];
    r = &s->regions[region];
    if (msg->offset > r->length || msg->span > r->length - msg->offset) {
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "postcopy page outside of '%.80s': offset %llu, %u bytes", r->name,
                             (unsigned long long)msg->offset, msg->span);
    }
    if (r->page_size > APN_PAGE_SIZE) {
        ret = place_huge(s, region, msg);
    } else {
        ret = s->config.place(s->config.opaque, region, msg->offset, msg->span, msg->kind == APN_EXTENT_DATA ? msg->payload : NULL);
    }
    if (ret) {
        apn_error_set(err, ret, APN_SCOPE_SESSION, "'%.80s', offset %llu, %u bytes: cannot be placed: %s", r->name,
                      (unsigned long long)msg->offset, msg->span, strerror(-ret));
    }
    return ret;
}

int apn_postcopy_page_arrived(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;

    if (s->config.role != APN_ROLE_DEST || !atomic_load(&s->postcopy.listening)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: postcopy page was not asked for", lane->index);
    }
    s->total.guest_bytes += msg->span;
    if (msg->kind == APN_EXTENT_ZERO) {
        s->total.zero_pages += msg->span / APN_PAGE_SIZE;
    } else {
        s->total.data_pages += msg->span / APN_PAGE_SIZE;
    }
    return 0;
}

/* L. the source's number of our @region; the tables are short, and a fault is rare against that */
static int peer_region(const struct apn_session *s, unsigned region)
{
    for (uint32_t i = 0; i < s->peer_region_total; i++) {
        if (s->peer_to_local[i] == region) {
            return (int)i;
        }
    }
    return -EINVAL;
}

int apn_session_postcopy_request(struct apn_session *s, unsigned region, uint64_t offset, uint32_t bytes)
{
    struct apn_postcopy *pc = &s->postcopy;
    const struct apn_region *r = region < s->region_count ? &s->regions[region] : NULL;
    int peer, ret = 0;

    if (!r || !bytes || bytes > APN_POSTCOPY_PAGE_MAX || offset % r->page_size || bytes % r->page_size || offset > r->length ||
        bytes > r->length - offset) {
        return -EINVAL;
    }
    pthread_mutex_lock(&s->lock);
    while (atomic_load(&pc->listening) && !apn_state_over(s->state) && pc->urgent_count == APN_URGENT_MAX && !s->env.manual) {
        apn_session_wait(s, apn_session_now(s) + APN_NS_PER_S);
    }
    peer = peer_region(s, region);
    if (!atomic_load(&pc->listening) || apn_state_over(s->state) || pc->urgent_count == APN_URGENT_MAX) {
        ret = -EPIPE;
    } else if (peer < 0) {
        ret = peer;
    } else {
        pc->urgent[(pc->urgent_head + pc->urgent_count++) % APN_URGENT_MAX] =
            (struct apn_urgent){.region = (uint16_t)peer, .bytes = bytes, .offset = offset};
        s->total.postcopy_requests++;
        apn_session_wake_lane(apn_postcopy_urgent_lane(s));
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}
