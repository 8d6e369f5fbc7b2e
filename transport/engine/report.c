/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* report.c - what became of what was sent: applied, lost, to be sent again, moved to another lane
 * Thread: lane threads, under the session lock.   Time: from the caller.   Units: wire bytes, guest bytes where named. */
#include "engine/internal.h"

#include <errno.h>

static void item_applied(struct apn_lane *lane, const struct apn_msg *msg)
{
    struct apn_session *s = lane->session;

    switch (msg->type) {
    case APN_MSG_EXTENT:
    case APN_MSG_POSTCOPY_PAGE:
        lane->inflight_guest_bytes -= msg->span;
        break;
    case APN_MSG_STREAM:
        s->tx.applied = msg->offset + msg->bytes;
        break;
    case APN_MSG_FENCE:
        s->total.fences++;
        break;
    case APN_MSG_STARTED:
        s->started_applied = true;
        break;
    case APN_MSG_WONT:
        s->wont_applied = true;
        break;
    case APN_MSG_ABORT:
    case APN_MSG_BYE:
        s->last_words_applied = true;
        break;
    default:
        break;
    }
}

/* the window is the session's: room that this lane's report made may be what another lane sleeps for */
static void wake_other_lanes(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;

    for (unsigned i = 0; i < s->lane_count; i++) {
        struct apn_lane *other = &s->lane[i];

        if (other != lane && other->idle && (other->queue.count || other->replay.count || apn_postcopy_has_bulk(other))) {
            apn_session_wake_lane(other);
        }
    }
}

int apn_sender_applied(struct apn_lane *lane, uint64_t applied_bytes, uint64_t hold_ns, uint64_t now)
{
    struct apn_session *s = lane->session;
    uint64_t delta = applied_bytes - lane->applied_bytes;
    uint64_t posted_ns = 0;
    bool any = false;

    if (applied_bytes < lane->applied_bytes || applied_bytes > lane->posted_bytes) {
        return -EPROTO;
    }
    while (lane->inflight.count) {
        struct apn_item *item = apn_item_at(&lane->inflight, 0);

        if (item->end_bytes > applied_bytes) {
            break;
        }
        posted_ns = item->posted_ns;
        any = true;
        item_applied(lane, &item->msg);
        apn_item_pop(&lane->inflight);
    }
    lane->applied_bytes = applied_bytes;
    s->total.applied_bytes += delta;
    if (!lane->lost) {
        s->in_flight_bytes -= delta;
    }
    if (any && !lane->lost) {
        apn_window_applied(&s->window, delta, posted_ns, hold_ns, now);
        lane->rtt_ns = s->window.rtt_last_ns;
    }
    if (any) {
        wake_other_lanes(lane);
        apn_session_fds_update(s);
        pthread_cond_broadcast(&s->changed);
    }
    return 0;
}

void apn_sender_lost(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;

    if (lane->lost) {
        return;
    }
    lane->lost = true;
    s->in_flight_bytes -= lane->posted_bytes - lane->applied_bytes;
    lane->out_next = lane->out_count = 0; /* whatever was built is in flight and comes back as replay */
}

int apn_sender_resume(struct apn_lane *lane, uint64_t applied_bytes, uint64_t now)
{
    int64_t bytes;
    int ret;

    if (!lane->lost) {
        return applied_bytes == lane->applied_bytes ? 0 : -EPROTO;
    }
    ret = apn_sender_applied(lane, applied_bytes, 0, now);
    if (ret) {
        return ret;
    }
    bytes = apn_items_requeue(&lane->inflight, &lane->replay);
    if (bytes < 0) {
        return (int)bytes;
    }
    lane->replay_guest_bytes += (uint64_t)bytes;
    lane->inflight_guest_bytes = 0;
    lane->posted_bytes = lane->applied_bytes;
    lane->lost = false;
    return 0;
}

/* ---- lanes that are closed for good -------------------------------------- */

void apn_sender_insert(struct apn_lane *lane, const struct apn_msg *msg)
{
    struct apn_item *item = apn_item_push_front(&lane->replay);

    if (item) {
        item->msg = *msg;
    }
}

void apn_sender_move(struct apn_lane *lane, struct apn_lane *host)
{
    struct apn_work work;

    for (; lane->replay.count; apn_item_pop(&lane->replay)) {
        struct apn_item *item = apn_item_push(&host->replay);

        if (!item) {
            break;
        }
        item->msg = apn_item_at(&lane->replay, 0)->msg;
        host->replay_guest_bytes += APN_MSG_HAS_PAGES(item->msg.type) ? item->msg.span : 0;
    }
    lane->replay_guest_bytes = 0;
    while (apn_work_pop(&lane->queue, &work)) {
        for (uint32_t done = 0, piece; done < work.bytes || !work.bytes; done += piece) {
            struct apn_item *item = apn_item_push(&host->replay);

            if (!item) {
                break;
            }
            piece = work.bytes - done > APN_EXTENT_MAX ? APN_EXTENT_MAX : work.bytes - done;
            item->msg = (struct apn_msg){.type = APN_MSG_EXTENT, .region = work.region, .offset = work.offset + done, .span = piece};
            if (!work.bytes) {
                item->msg = (struct apn_msg){.type = APN_MSG_FENCE, .lane = work.lane, .offset = work.offset};
                break;
            }
            host->replay_guest_bytes += piece;
        }
    }
}
