/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy_send.c - what goes out next in postcopy: urgent first, then around the last fault
 * Thread: lane threads, under the session lock.   Time: from the caller.   Units: bytes, ns. */
#include "engine/internal.h"

#include <errno.h>

/* Bulk keeps one BDP in flight, so the path is full and has no queue; every so often it asks whether the path carries more, and lets
 * the queue of that question run empty again. (As BBR's gain cycle, draft-cardwell-iccrg-bbr-congestion-control 4.3.3.) */
#define CYCLE_ROUNDS 8u
#define CYCLE_UP     1.25
#define CYCLE_DOWN   0.75
#define CYCLE_CRUISE 1.0

struct apn_lane *apn_postcopy_urgent_lane(struct apn_session *s)
{
    struct apn_lane *last = &s->lane[s->lane_count - 1];

    for (unsigned i = 0; last->phase != APN_LANE_UP && i < s->lane_count; i++) {
        if (s->lane[i].phase == APN_LANE_UP) {
            return &s->lane[i];
        }
    }
    return last;
}

/* may what waits in the ring leave at all? */
static bool urgent_may_leave(const struct apn_session *s)
{
    return s->postcopy.urgent_count && (s->config.role == APN_ROLE_DEST || s->postcopy.started) && !apn_state_over(s->state);
}

uint64_t apn_postcopy_urgent_room(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;
    uint64_t in_flight = lane->posted_bytes - lane->applied_bytes;

    if (!urgent_may_leave(s) || lane != apn_postcopy_urgent_lane(s)) {
        return 0;
    }
    if (lane->index < s->bulk_lanes) {
        return APN_URGENT_WINDOW; /* it stands in for the urgent lane; what it has in flight is bulk's */
    }
    return in_flight < APN_URGENT_WINDOW ? APN_URGENT_WINDOW - in_flight : 0;
}

static void pop(struct apn_session *s)
{
    struct apn_postcopy *pc = &s->postcopy;

    if (pc->urgent_count == APN_URGENT_MAX) {
        pthread_cond_broadcast(&s->changed); /* a fault that found it full */
    }
    pc->urgent_head = (pc->urgent_head + 1) % APN_URGENT_MAX;
    pc->urgent_count--;
}

bool apn_postcopy_urgent_next(struct apn_session *s, struct apn_work *work, struct apn_msg *msg)
{
    struct apn_postcopy *pc = &s->postcopy;

    while (pc->urgent_count) {
        struct apn_urgent *u = &pc->urgent[pc->urgent_head];
        uint32_t piece = u->bytes < APN_POSTCOPY_EXTENT_MAX ? u->bytes : APN_POSTCOPY_EXTENT_MAX;

        if (s->config.role == APN_ROLE_DEST) {
            *msg = (struct apn_msg){.type = APN_MSG_POSTCOPY_REQUEST, .region = u->region, .offset = u->offset, .span = u->bytes};
            msg->value = apn_postcopy_may_read(s, u);
            pop(s);
            return true;
        }
        if (!u->claimed && !apn_pending_claim(&pc->pending, u->region, u->offset / APN_PAGE_SIZE, u->bytes / APN_PAGE_SIZE)) {
            pop(s); /* it is on its way, or has been placed */
            continue;
        }
        *work = (struct apn_work){.region = u->region, .bytes = piece, .offset = u->offset, .paged = true};
        u->claimed = true;
        u->offset += piece;
        u->bytes -= piece;
        if (!u->bytes) {
            s->total.postcopy_urgent++;
            pop(s);
        }
        return true;
    }
    return false;
}

bool apn_postcopy_has_bulk(const struct apn_lane *lane)
{
    const struct apn_session *s = lane->session;
    const struct apn_postcopy *pc = &s->postcopy;

    return pc->started && pc->peer_listens && pc->pending.count && lane->index < s->bulk_lanes && !apn_state_over(s->state);
}

bool apn_postcopy_bulk_next(struct apn_session *s, struct apn_work *work)
{
    unsigned region;
    uint64_t page;
    uint32_t pages = apn_pending_take(&s->postcopy.pending, APN_POSTCOPY_EXTENT_MAX / APN_PAGE_SIZE, &region, &page);

    if (pages) {
        *work = (struct apn_work){
            .region = (uint16_t)region, .bytes = pages * APN_PAGE_SIZE, .offset = page * APN_PAGE_SIZE, .paged = true};
    }
    return pages > 0;
}

uint64_t apn_postcopy_bulk_room(const struct apn_session *s, uint64_t in_flight_bytes, uint64_t now)
{
    const struct apn_window *w = &s->window;
    uint64_t room = apn_window_room(w, in_flight_bytes);
    uint64_t round_ns = w->rtt_min_ns > APN_WINDOW_ROUND_NS ? w->rtt_min_ns : APN_WINDOW_ROUND_NS;
    uint64_t phase = now / round_ns % CYCLE_ROUNDS;
    double gain = phase == 0 ? CYCLE_UP : phase == 1 ? CYCLE_DOWN : CYCLE_CRUISE;
    double bdp = (double)apn_window_rate(w) * (double)w->rtt_min_ns / 1e9;
    uint64_t limit;

    if (w->fixed_bytes || !w->rtt_min_ns || (w->startup && w->rtt_last_ns < w->rtt_min_ns / 4 * 5)) {
        return room; /* the pipe is still being found, and has no queue yet */
    }
    /* what is applied and not reported yet does not fill the path */
    limit = (uint64_t)(gain * bdp) + APN_REPORT_BYTES / 2;
    limit = limit < APN_WINDOW_MIN / 2 ? APN_WINDOW_MIN / 2 : limit;
    return in_flight_bytes >= limit ? 0 : limit - in_flight_bytes < room ? limit - in_flight_bytes : room;
}

int apn_postcopy_request_arrived(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;
    struct apn_postcopy *pc = &s->postcopy;
    const struct apn_region *r = msg->region < s->region_count ? &s->regions[msg->region] : NULL;

    if (s->config.role != APN_ROLE_SOURCE || !s->config.postcopy || !s->regions_matched) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: page request without postcopy", lane->index);
    }
    if (!msg->span) {
        pc->peer_listens = true;
        apn_session_wake_all(s);
        return 0;
    }
    if (!r || msg->offset % r->page_size || msg->span % r->page_size || msg->offset > r->length || msg->span > r->length - msg->offset) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: page request outside of memory: region %u, offset %llu, %u bytes",
                             lane->index, msg->region, (unsigned long long)msg->offset, msg->span);
    }
    if (pc->urgent_count == APN_URGENT_MAX && !msg->value) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: more than %u page requests wait", lane->index, APN_URGENT_MAX);
    }
    s->total.postcopy_requests++;
    if (pc->has_pending) {
        apn_pending_focus(&pc->pending, msg->region, msg->offset / APN_PAGE_SIZE);
    }
    if (msg->value) { /* read by the destination: it stays pending, in case that comes to nothing, and is the next that bulk sends */
        s->total.postcopy_reads++;
        return 0;
    }
    pc->urgent[(pc->urgent_head + pc->urgent_count++) % APN_URGENT_MAX] =
        (struct apn_urgent){.region = msg->region, .bytes = msg->span, .offset = msg->offset};
    apn_session_wake_lane(apn_postcopy_urgent_lane(s));
    return 0;
}
