/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pages.c - the source's side of guest memory: runs in, fences, waiting for room */
#include "engine/internal.h"

#include <errno.h>

#include "support/clock.h"

static bool pages_flow(const struct apn_session *s)
{
    return s->state == APN_STATE_PRECOPY || s->state == APN_STATE_SWITCHOVER;
}

static struct apn_lane *host_of(struct apn_session *s, unsigned lane)
{
    return &s->lane[s->lane[lane].host];
}

/* L. guest bytes that fit into @lane's queue */
static uint64_t lane_room(const struct apn_session *s, const struct apn_lane *lane)
{
    uint64_t limit = apn_queue_limit(s);
    uint64_t used = lane->queue.bytes + lane->reserved_bytes;

    /* a few slots stay free for fences and for what a turn gives back */
    if (lane->queue.count + lane->reserved_runs + APN_OUT_MAX >= APN_RUNS_MAX || lane->retiring) {
        return 0;
    }
    return used < limit ? limit - used : 0;
}

unsigned apn_session_lane_count(struct apn_session *s)
{
    return s->bulk_lanes;
}

uint64_t apn_session_lane_room(struct apn_session *s, unsigned lane)
{
    uint64_t room = 0;

    pthread_mutex_lock(&s->lock);
    if (lane < s->bulk_lanes && pages_flow(s)) {
        room = lane_room(s, host_of(s, lane));
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

static bool run_is_valid(const struct apn_session *s, const struct apn_run *run)
{
    return run->region < s->region_count && run->bytes && run->bytes % APN_PAGE_SIZE == 0 && run->offset % APN_PAGE_SIZE == 0 &&
           run->offset <= s->regions[run->region].length && run->bytes <= s->regions[run->region].length - run->offset &&
           run->offset / APN_GRANULE_SIZE == (run->offset + run->bytes - 1) / APN_GRANULE_SIZE;
}

/* L. the scout's bearings: pages need not be handed over in the order of addresses */
static void note_place(struct apn_session *s, const struct apn_run *run)
{
    uint64_t granule = s->first_granule[run->region] + run->offset / APN_GRANULE_SIZE + 1;

    if (apn_session_seems_empty(s, run->region, run->offset)) {
        return; /* these are taken from anywhere */
    }
    s->furthest_granule = granule > s->furthest_granule ? granule : s->furthest_granule;
}

int apn_session_post(struct apn_session *s, const struct apn_run *runs, unsigned count)
{
    int taken = 0;

    pthread_mutex_lock(&s->lock);
    if (!pages_flow(s)) {
        taken = s->error.code ? s->error.code : -EPIPE;
        count = 0;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct apn_run *run = &runs[i];
        struct apn_work work = {.region = (uint16_t)run->region, .bytes = run->bytes, .offset = run->offset};
        struct apn_lane *lane;

        if (!run_is_valid(s, run)) {
            taken = taken ? taken : -EINVAL;
            break;
        }
        work.lane = (uint16_t)apn_session_lane_of(s, run->region, run->offset);
        lane = host_of(s, work.lane);
        if (!lane_room(s, lane) || !apn_work_push(&lane->queue, &work)) {
            break;
        }
        apn_session_wake_lane(lane);
        note_place(s, run);
        taken++;
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

/* room worth waking up for: half a queue, so that the caller hands over batches, not single runs */
static bool some_lane_has_room(const struct apn_session *s)
{
    for (unsigned i = 0; i < s->bulk_lanes; i++) {
        const struct apn_lane *lane = &s->lane[i];

        if (lane->phase != APN_LANE_RETIRED && lane_room(s, lane) >= apn_queue_limit(s) / 2) {
            return true;
        }
    }
    return false;
}

int apn_session_wait_room(struct apn_session *s, uint32_t timeout_ms)
{
    uint64_t deadline = apn_session_now(s) + (uint64_t)timeout_ms * APN_NS_PER_MS;
    enum apn_state before;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    before = s->state;
    s->waiters_room++;
    while (s->state == before && pages_flow(s) && !some_lane_has_room(s)) {
        if (!apn_session_wait_on(s, &s->room, deadline)) {
            ret = -ETIMEDOUT;
            break;
        }
    }
    s->waiters_room--;
    if (!pages_flow(s)) {
        ret = -EPIPE; /* not the reason's own code: that may be -ETIMEDOUT, which would read as "ask again" */
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

/* L. guest bytes handed over and not known to be applied */
static uint64_t unapplied(const struct apn_session *s)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < s->lane_count; i++) {
        const struct apn_lane *lane = &s->lane[i];

        sum += lane->queue.bytes + lane->reserved_bytes + lane->inflight_guest_bytes + lane->replay_guest_bytes;
    }
    return sum;
}

uint64_t apn_session_unapplied(struct apn_session *s)
{
    uint64_t sum;

    pthread_mutex_lock(&s->lock);
    sum = unapplied(s);
    pthread_mutex_unlock(&s->lock);
    return sum;
}

int apn_session_fence(struct apn_session *s)
{
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (!pages_flow(s)) {
        ret = apn_session_failed_code(s);
    }
    for (unsigned i = 0; !ret && i < s->lane_count; i++) {
        struct apn_work fence = {.lane = (uint16_t)i, .offset = s->fence_next};

        if (!apn_work_push(&host_of(s, i)->queue, &fence)) {
            ret = -ENOBUFS;
        }
        apn_session_wake_lane(host_of(s, i));
    }
    ret = ret ? ret : apn_stream_tx_gate(&s->tx, s->fence_next);
    s->fence_next++;
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_drain(struct apn_session *s, uint32_t timeout_ms)
{
    uint64_t deadline = apn_session_now(s) + (uint64_t)timeout_ms * APN_NS_PER_MS;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    while (!ret && unapplied(s)) {
        if (!pages_flow(s)) {
            ret = apn_session_failed_code(s);
        } else if (!apn_session_wait(s, deadline)) {
            ret = s->env.manual ? -EINPROGRESS : -ETIMEDOUT;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}
