/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scout.c - source: walk ahead of the pages and announce the granules that hold data
 * Owner: the session.   Thread: its own, once per session; reads guest RAM, never writes.
 *
 * A granule with contents costs the look at its first page; only an empty one is read to its end. The scout stays at most
 * LEAD_BYTES ahead of what was posted, so the destination populates just ahead of arrival. */
#include "engine/internal.h"

#include <stdlib.h>

#include "pages/zero_page.h"
#include "support/clock.h"

#define LEAD_BYTES       (512ull << 20)
#define LOOK_NS          (5 * APN_NS_PER_MS) /* between two looks at how far the pages are: half of the lead at 400 Gb/s */
#define ANNOUNCE_GRANULES 16u /* joined into one message at most */

struct apn_scout {
    struct apn_session *session;
    pthread_t thread;
    pthread_cond_t stopping;
    bool stop; /* under the session lock */
};

/* L. how far the pages have come: what was sent, or the furthest place of it where granules were left out */
static uint64_t pages_at(const struct apn_session *s)
{
    uint64_t furthest = s->furthest_granule * APN_GRANULE_SIZE;

    return furthest > s->total.guest_bytes ? furthest : s->total.guest_bytes;
}

/* L. Return: false when there is nobody to announce to any more */
static bool wait_for_pages(struct apn_scout *scout, uint64_t seen)
{
    struct apn_session *s = scout->session;

    while (!scout->stop && s->state == APN_STATE_PRECOPY &&
           (seen > pages_at(s) + LEAD_BYTES || s->control_count > APN_CONTROL_QUEUE_MAX / 2)) {
        apn_session_wait_on(s, &scout->stopping, apn_session_now(s) + LOOK_NS);
    }
    return !scout->stop && s->state == APN_STATE_PRECOPY;
}

static bool announce(struct apn_scout *scout, unsigned region, uint64_t offset, uint64_t bytes, uint64_t seen)
{
    struct apn_session *s = scout->session;
    struct apn_msg msg = {.type = APN_MSG_PREFAULT, .region = (uint16_t)region, .offset = offset, .value = bytes};
    bool go_on;

    pthread_mutex_lock(&s->lock);
    go_on = wait_for_pages(scout, seen);
    if (go_on && bytes) {
        apn_control_push(s, msg, NULL);
    }
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

/* Return: false when the session needs no scout any more */
static bool walk_region(struct apn_scout *scout, unsigned index, uint64_t *seen)
{
    const struct apn_region *r = &scout->session->regions[index];
    uint64_t from = 0, held = 0;

    for (uint64_t at = 0; at < r->length; at += APN_GRANULE_SIZE) {
        uint64_t bytes = r->length - at < APN_GRANULE_SIZE ? r->length - at : APN_GRANULE_SIZE;
        bool filled = apn_zero_span((const uint8_t *)r->host + at, bytes) < bytes;

        *seen += bytes;
        if (filled) {
            from = held ? from : at;
            held += bytes;
        }
        if (held && (!filled || held >= ANNOUNCE_GRANULES * (uint64_t)APN_GRANULE_SIZE)) {
            if (!announce(scout, index, from, held, *seen)) {
                return false;
            }
            held = 0;
        } else if (!filled && *seen % (64u << 20) == 0 && !announce(scout, index, 0, 0, *seen)) {
            return false;
        }
    }
    return !held || announce(scout, index, from, held, *seen);
}

static void *walk(void *opaque)
{
    struct apn_scout *scout = opaque;
    uint64_t seen = 0;

    for (unsigned i = 0; i < scout->session->region_count; i++) {
        if (!walk_region(scout, i, &seen)) {
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
    if (!scout) {
        return 0; /* without announcements pages fault on arrival: slower, not wrong */
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
