/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scout.c - source: look ahead at the granules, say which seem empty, and announce those that hold data
 * Owner: the session.   Thread: its own, once per session; reads guest RAM, never writes.
 *
 * A granule with contents costs the look at its first page; only an empty one is read to its end. Looking runs to the end of
 * memory as fast as it can, so that whoever hands over pages can put what is empty between what is not, and the path is never idle
 * while a stretch of empty memory is examined. What was seen is a hint: pages are examined again when they are sent.
 * Announcements stay at most LEAD_BYTES ahead of the pages, so the destination populates just ahead of arrival. */
#include "engine/internal.h"

#include <stdlib.h>

#include "pages/zero_page.h"
#include "support/clock.h"

#define LEAD_BYTES       (512ull << 20)
#define LOOK_NS          (5 * APN_NS_PER_MS) /* between two looks at how far the pages are: half of the lead at 400 Gb/s */
#define ANNOUNCE_GRANULES 16u /* joined into one message at most */

enum { UNSEEN = 0, EMPTY = 1, FILLED = 2 };

/** struct apn_scout - @at, @next: granules looked at and announced so far, by global number */
struct apn_scout {
    struct apn_session *session;
    pthread_t thread;
    pthread_cond_t stopping;
    bool stop; /* under the session lock */
    uint64_t at, next;
    unsigned at_region, next_region;
};

static uint64_t granules_of(const struct apn_session *s)
{
    return s->first_granule[s->region_count];
}

static uint8_t seen(const struct apn_session *s, uint64_t granule)
{
    return atomic_load_explicit(&s->granule_seen[granule], memory_order_relaxed);
}

bool apn_session_seems_empty(const struct apn_session *s, unsigned region, uint64_t offset)
{
    return s->granule_seen && seen(s, s->first_granule[region] + offset / APN_GRANULE_SIZE) == EMPTY;
}

static unsigned region_of(const struct apn_session *s, uint64_t granule, unsigned from)
{
    while (granule >= s->first_granule[from + 1]) {
        from++;
    }
    return from;
}

static void look_at_next(struct apn_scout *scout)
{
    struct apn_session *s = scout->session;
    const struct apn_region *r;
    uint64_t offset, bytes;

    scout->at_region = region_of(s, scout->at, scout->at_region);
    r = &s->regions[scout->at_region];
    offset = (scout->at - s->first_granule[scout->at_region]) * APN_GRANULE_SIZE;
    bytes = r->length - offset < APN_GRANULE_SIZE ? r->length - offset : APN_GRANULE_SIZE;
    atomic_store_explicit(&s->granule_seen[scout->at], apn_zero_span((const uint8_t *)r->host + offset, bytes) < bytes ? FILLED : EMPTY,
                          memory_order_relaxed);
    scout->at++;
}

/* The next message: neighbours that are filled, of one region. Return: granules, 0 when nothing more is known to be filled */
static uint64_t next_filled(struct apn_scout *scout)
{
    const struct apn_session *s = scout->session;
    uint64_t n = 0, end;

    while (scout->next < scout->at && seen(s, scout->next) == EMPTY) {
        scout->next++;
    }
    if (scout->next == scout->at) {
        return 0;
    }
    scout->next_region = region_of(s, scout->next, scout->next_region);
    end = s->first_granule[scout->next_region + 1];
    end = end < scout->at ? end : scout->at;
    while (n < ANNOUNCE_GRANULES && scout->next + n < end && seen(s, scout->next + n) == FILLED) {
        n++;
    }
    return n;
}

/* L. Return: false when it has to wait for the pages */
static bool announce(struct apn_scout *scout, uint64_t granules)
{
    struct apn_session *s = scout->session;
    const struct apn_region *r = &s->regions[scout->next_region];
    struct apn_msg msg = {.type = APN_MSG_PREFAULT, .region = (uint16_t)scout->next_region, .value = granules * APN_GRANULE_SIZE};

    if (scout->next >= s->furthest_granule + LEAD_BYTES / APN_GRANULE_SIZE || s->control_count > APN_CONTROL_QUEUE_MAX / 2) {
        return false;
    }
    msg.offset = (scout->next - s->first_granule[scout->next_region]) * APN_GRANULE_SIZE;
    msg.value = r->length - msg.offset < msg.value ? r->length - msg.offset : msg.value;
    apn_control_push(s, msg, NULL);
    scout->next += granules;
    return true;
}

/* Return: false when the session needs no scout any more */
static bool announce_some(struct apn_scout *scout, bool may_wait)
{
    struct apn_session *s = scout->session;
    uint64_t granules;
    bool go_on;

    pthread_mutex_lock(&s->lock);
    while ((granules = next_filled(scout)) && announce(scout, granules)) {
    }
    if (granules && may_wait && !scout->stop && s->state == APN_STATE_PRECOPY) {
        apn_session_wait_on(s, &scout->stopping, apn_session_now(s) + LOOK_NS);
    }
    go_on = !scout->stop && s->state == APN_STATE_PRECOPY;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void *walk(void *opaque)
{
    struct apn_scout *scout = opaque;
    const uint64_t all = granules_of(scout->session);

    while (scout->next < all) {
        uint64_t until = scout->at + ANNOUNCE_GRANULES < all ? scout->at + ANNOUNCE_GRANULES : all;
        bool looked_all = scout->at == all;

        while (scout->at < until) {
            look_at_next(scout);
        }
        if (!announce_some(scout, looked_all)) {
            break;
        }
    }
    return NULL;
}

int apn_scout_start(struct apn_session *s)
{
    struct apn_scout *scout;
    pthread_condattr_t attr;

    if (s->config.prefault_off || s->env.manual) {
        return 0;
    }
    scout = calloc(1, sizeof(*scout));
    s->granule_seen = calloc(granules_of(s) + 1, sizeof(*s->granule_seen));
    if (!scout || !s->granule_seen) { /* without announcements pages fault on arrival: slower, not wrong */
        free(scout);
        return 0;
    }
    scout->session = s;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&scout->stopping, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&scout->thread, NULL, walk, scout)) {
        pthread_cond_destroy(&scout->stopping);
        free(scout);
        return 0;
    }
    s->scout = scout;
    return 0;
}

void apn_scout_stop(struct apn_session *s)
{
    struct apn_scout *scout = s->scout;

    if (!scout) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    scout->stop = true;
    pthread_cond_broadcast(&scout->stopping);
    pthread_mutex_unlock(&s->lock);
    pthread_join(scout->thread, NULL);
    pthread_cond_destroy(&scout->stopping);
    free(scout);
    s->scout = NULL;
}
