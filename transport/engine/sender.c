/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sender.c - what a lane sends next, and what becomes of it
 * Thread: the lane's.   Time: from the caller.
 *
 * Theory of operation
 *   A turn has three parts. Under the lock, work is taken within the window's room (plan). Without the lock guest
 *   pages are examined, as late as possible, and turned into extents (build). Under the lock again, the messages are
 *   entered as in flight (account). Only then does the link get them, so a report can never overtake its item.
 *   Order of one lane: urgent pages (postcopy), what was lost before, then control, stream, pages. */
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pages/zero_page.h"
#include "wire/layout.h"

#define QUEUE_NS      4000000ull
#define EXTENT_NS     500000ull      /* one extent occupies the path this long at most: it is the grain of every measurement */
#define EXTENT_MIN    (64u << 10)
#define QUEUE_MIN     (2ull << 20)
#define QUEUE_MAX     (64ull << 20)

/** struct plan - messages that are ready and pages still to be examined, in sending order */
struct plan {
    unsigned count;
    uint64_t wire_bytes;  /* room taken, as if every page had contents */
    struct plan_step {
        bool is_work;
        bool from_replay;
        struct apn_msg msg;
        struct apn_work work;
    } step[APN_OUT_MAX];
};

static uint64_t wire_bytes(const struct apn_msg *msg)
{
    return APN_WIRE_HEADER_BYTES + msg->bytes;
}

uint64_t apn_queue_limit(const struct apn_session *s)
{
    uint64_t limit = (uint64_t)((double)apn_window_rate(&s->window) * QUEUE_NS / 1e9 / s->lane_count);

    return limit < QUEUE_MIN ? QUEUE_MIN : limit > QUEUE_MAX ? QUEUE_MAX : limit;
}

/* guest bytes per extent: large where the path is fast, small where a large one would be a queue by itself */
static uint32_t extent_limit(const struct apn_session *s)
{
    uint64_t limit = (uint64_t)((double)apn_window_rate(&s->window) * EXTENT_NS / 1e9) / EXTENT_MIN * EXTENT_MIN;

    return limit < EXTENT_MIN ? EXTENT_MIN : limit > APN_EXTENT_MAX ? APN_EXTENT_MAX : (uint32_t)limit;
}

int apn_control_push(struct apn_session *s, struct apn_msg msg, const void *payload)
{
    struct apn_kept *kept;

    if (s->control_count == APN_CONTROL_QUEUE_MAX) {
        return -ENOBUFS;
    }
    msg.payload = NULL;
    if (msg.bytes) {
        kept = malloc(sizeof(*kept) + msg.bytes);
        if (!kept) {
            return -ENOMEM;
        }
        memcpy(kept->bytes, payload, msg.bytes);
        kept->next = s->kept;
        s->kept = kept;
        msg.payload = kept->bytes;
    }
    s->control[(s->control_head + s->control_count++) % APN_CONTROL_QUEUE_MAX] = msg;
    apn_session_wake_lane(apn_sender_carrier(s));
    return 0;
}

/* ---- plan -------------------------------------------------------------- */

static void plan_msg(struct plan *plan, const struct apn_msg *msg, bool from_replay)
{
    struct plan_step *step = &plan->step[plan->count++];

    step->is_work = false;
    step->from_replay = from_replay;
    step->msg = *msg;
    plan->wire_bytes += wire_bytes(msg);
}

static void plan_work(struct plan *plan, const struct apn_work *work, bool from_replay)
{
    struct plan_step *step = &plan->step[plan->count++];

    step->is_work = true;
    step->from_replay = from_replay;
    step->work = *work;
    plan->wire_bytes += APN_WIRE_HEADER_BYTES + work->bytes;
}

static bool plan_full(const struct plan *plan, const struct apn_lane *lane, uint64_t room)
{
    return plan->count >= APN_OUT_MAX / 2 || plan->wire_bytes >= room || plan->wire_bytes >= APN_BATCH_BYTES ||
           lane->inflight.count + APN_OUT_MAX > APN_ITEMS_MAX;
}

static void plan_replay(struct apn_lane *lane, struct plan *plan, uint64_t room)
{
    while (lane->replay.count && !plan_full(plan, lane, room)) {
        struct apn_msg msg = apn_item_at(&lane->replay, 0)->msg;

        apn_item_pop(&lane->replay);
        if (APN_MSG_HAS_PAGES(msg.type)) {
            struct apn_work work = {msg.region, (uint16_t)lane->index, msg.span, msg.offset, true, msg.type == APN_MSG_POSTCOPY_PAGE};

            lane->replay_guest_bytes -= msg.span;
            plan_work(plan, &work, true);
        } else {
            plan_msg(plan, &msg, true);
        }
    }
}

/* the grant stands behind every byte of the stream; nothing else among the control messages waits for it */
static bool control_must_wait(const struct apn_session *s, const struct apn_msg *msg)
{
    return msg->type == APN_MSG_GRANT && s->tx.posted < msg->value;
}

static void plan_control(struct apn_session *s, struct apn_lane *lane, struct plan *plan, uint64_t room)
{
    while (s->control_count && !plan_full(plan, lane, room)) {
        struct apn_msg *msg = &s->control[s->control_head];

        if (control_must_wait(s, msg)) {
            return;
        }
        s->grant_posted |= msg->type == APN_MSG_GRANT;
        plan_msg(plan, msg, false);
        s->control_head = (s->control_head + 1) % APN_CONTROL_QUEUE_MAX;
        s->control_count--;
    }
}

static void plan_stream(struct apn_session *s, struct apn_lane *lane, struct plan *plan, uint64_t room)
{
    while (s->tx.posted < s->tx.written && !plan_full(plan, lane, room)) {
        struct apn_msg msg = {.type = APN_MSG_STREAM};

        msg.bytes = (uint32_t)apn_stream_tx_next(&s->tx, &msg.offset, &msg.value, &msg.payload);
        s->total.stream_bytes += msg.bytes;
        plan_msg(plan, &msg, false);
    }
}

static void plan_pages(struct apn_lane *lane, struct plan *plan, uint64_t room)
{
    const uint32_t limit = extent_limit(lane->session);
    struct apn_work work;

    while (!plan_full(plan, lane, room) && apn_work_pop(&lane->queue, &work)) {
        if (!work.bytes) {
            struct apn_msg msg = {.type = APN_MSG_FENCE, .lane = work.lane, .offset = work.offset};

            plan_msg(plan, &msg, false);
            continue;
        }
        if (work.bytes > limit) {
            struct apn_work rest = work;

            rest.offset += limit;
            rest.bytes -= limit;
            work.bytes = limit;
            apn_work_push_front(&lane->queue, &rest);
        }
        plan_work(plan, &work, false);
        lane->reserved_runs++;
        lane->reserved_bytes += work.bytes;
    }
}

/* postcopy: what the guest waits for, and requests for it; not limited by the window */
static void plan_urgent(struct apn_lane *lane, struct plan *plan)
{
    uint64_t room = apn_postcopy_urgent_room(lane);
    struct apn_work work = {0};
    struct apn_msg msg;

    while (room && !plan_full(plan, lane, room) && apn_postcopy_urgent_next(lane->session, &work, &msg)) {
        if (work.bytes) {
            plan_work(plan, &work, true);
        } else {
            plan_msg(plan, &msg, false);
        }
        work.bytes = 0;
    }
}

/* postcopy: pages that nobody asked for yet; a huge page stays together */
static void plan_bulk(struct apn_lane *lane, struct plan *plan, uint64_t room)
{
    struct apn_work work;

    while (apn_postcopy_has_bulk(lane) && !plan_full(plan, lane, room) && apn_postcopy_bulk_next(lane->session, &work)) {
        for (uint32_t left = work.bytes; left; left -= work.bytes, work.offset += work.bytes) {
            work.bytes = left < APN_POSTCOPY_EXTENT_MAX ? left : APN_POSTCOPY_EXTENT_MAX;
            plan_work(plan, &work, true);
        }
    }
}

static bool is_paced(const struct apn_session *s, uint64_t now)
{
    return s->config.rate_limit_bytes_per_s && s->paced_ns > now;
}

static uint64_t window_room(const struct apn_session *s, uint64_t now)
{
    if (s->postcopy.started) {
        return apn_postcopy_bulk_room(s, s->in_flight_bytes + s->reserved_bytes, now);
    }
    return apn_window_room(&s->window, s->in_flight_bytes + s->reserved_bytes);
}

/* the urgent lane's own traffic never waits for bulk */
static uint64_t lane_room(const struct apn_lane *lane, uint64_t now)
{
    const struct apn_session *s = lane->session;

    if (lane->index >= s->bulk_lanes) {
        return APN_URGENT_WINDOW;
    }
    return is_paced(s, now) && !s->postcopy.started ? 0 : window_room(s, now);
}

/* once postcopy has started, pacing is for bulk alone: a guest is dark, or waits, until the rest is through */
static uint64_t bulk_room(const struct apn_lane *lane, uint64_t now)
{
    return is_paced(lane->session, now) ? 0 : lane_room(lane, now);
}

static bool has_words(struct apn_session *s)
{
    return s->tx.posted < s->tx.written || (s->control_count && !control_must_wait(s, &s->control[s->control_head]));
}

bool apn_sender_has_work(const struct apn_lane *lane, uint64_t now)
{
    struct apn_session *s = lane->session;
    bool any = lane->replay.count || lane->queue.count || (lane == apn_sender_carrier(s) && has_words(s));

    if (lane->phase != APN_LANE_UP || lane->inflight.count + APN_OUT_MAX > APN_ITEMS_MAX) {
        return false;
    }
    return apn_postcopy_urgent_room((struct apn_lane *)lane) || (any && lane_room(lane, now)) ||
           (apn_postcopy_has_bulk(lane) && bulk_room(lane, now));
}

static void make_plan(struct apn_lane *lane, struct plan *plan, uint64_t now)
{
    struct apn_session *s = lane->session;
    uint64_t room = lane_room(lane, now);

    plan->count = 0;
    plan->wire_bytes = 0;
    plan_urgent(lane, plan);
    plan_replay(lane, plan, room);
    if (lane == apn_sender_carrier(s)) {
        plan_control(s, lane, plan, room);
        plan_stream(s, lane, plan, room);
        plan_control(s, lane, plan, room); /* a grant that waited for the stream */
    }
    plan_pages(lane, plan, room);
    plan_bulk(lane, plan, bulk_room(lane, now));
    if (plan->wire_bytes < room && !lane->queue.count && !lane->replay.count && !apn_postcopy_has_bulk(lane) && lane->index < s->bulk_lanes) {
        apn_window_idle(&s->window);
    }
    s->reserved_bytes += plan->wire_bytes;
}

/* reports and probes: not counted, not limited by the window */
static void build_unreliable(struct apn_lane *lane, uint64_t now)
{
    struct apn_session *s = lane->session;
    uint64_t unreported = lane->received_bytes - lane->reported_bytes;
    bool consumed = lane == apn_sender_carrier(s) && s->rx.consumed - s->rx.reported >= APN_STREAM_CAPACITY / 4;

    if (consumed || (unreported && (lane->report_now || unreported >= APN_REPORT_BYTES || now - lane->reported_ns >= APN_REPORT_NS))) {
        uint64_t hold_us = (now - lane->received_ns) / 1000;

        lane->out[lane->out_count++] = (struct apn_msg){.type = APN_MSG_APPLIED,
                                                        .offset = lane->received_bytes,
                                                        .value = s->rx.consumed,
                                                        .span = hold_us > UINT32_MAX ? UINT32_MAX : (uint32_t)hold_us};
        lane->reported_bytes = lane->received_bytes;
        lane->reported_ns = now;
        lane->report_now = false;
        if (lane == apn_sender_carrier(s)) {
            s->rx.reported = s->rx.consumed;
        }
    }
    if (lane->ping_due) {
        lane->out[lane->out_count++] = (struct apn_msg){.type = APN_MSG_PING};
        lane->ping_due = false;
    }
    if (lane->pong_due) {
        lane->out[lane->out_count++] = (struct apn_msg){.type = APN_MSG_PONG};
        lane->pong_due = false;
    }
}

/* ---- build ------------------------------------------------------------- */

static unsigned out_room(const struct apn_lane *lane)
{
    return APN_OUT_MAX - lane->out_count;
}

/* pages -> extents of one kind each. Return: bytes of @work that found room in out */
static uint32_t build_extents(struct apn_lane *lane, const struct apn_work *work)
{
    const struct apn_region *region = &lane->session->regions[work->region];
    uint32_t done = 0;

    while (done < work->bytes && out_room(lane)) {
        const uint8_t *at = region->host ? (const uint8_t *)region->host + work->offset + done : NULL;
        uint32_t left = work->bytes - done;
        uint32_t zero = at ? (uint32_t)apn_zero_span(at, left) : 0;
        struct apn_msg *msg = &lane->out[lane->out_count++];

        memset(msg, 0, sizeof(*msg));
        msg->type = work->paged ? APN_MSG_POSTCOPY_PAGE : APN_MSG_EXTENT;
        msg->region = work->region;
        msg->offset = work->offset + done;
        if (zero) {
            msg->kind = APN_EXTENT_ZERO;
            msg->span = zero;
        } else {
            msg->kind = APN_EXTENT_DATA;
            msg->span = at ? (uint32_t)apn_data_span(at, left) : left;
            /* written to between the two looks: it has contents, or is dirty again */
            msg->span = msg->span ? msg->span : APN_PAGE_SIZE;
            msg->bytes = msg->span;
            msg->payload = at;
        }
        done += msg->span;
    }
    return done;
}

/* Return: steps consumed whole; *partial = bytes of the next one that were built */
static unsigned build_plan(struct apn_lane *lane, const struct plan *plan, uint32_t *partial)
{
    unsigned i;

    *partial = 0;
    for (i = 0; i < plan->count && out_room(lane); i++) {
        const struct plan_step *step = &plan->step[i];

        if (!step->is_work) {
            lane->out[lane->out_count++] = step->msg;
            continue;
        }
        *partial = build_extents(lane, &step->work);
        if (*partial < step->work.bytes) {
            break;
        }
        *partial = 0;
    }
    return i;
}

/* ---- account ----------------------------------------------------------- */

static void give_back(struct apn_lane *lane, const struct plan *plan, unsigned done, uint32_t partial)
{
    for (unsigned i = plan->count; i-- > done;) {
        const struct plan_step *step = &plan->step[i];
        struct apn_work work = step->work;
        uint32_t built = i == done ? partial : 0;

        if (!step->is_work || step->from_replay) {
            struct apn_item *item = apn_item_push_front(&lane->replay);

            item->msg = step->msg;
            if (step->is_work) {
                item->msg = (struct apn_msg){.kind = APN_EXTENT_DATA, .region = work.region};
                item->msg.type = work.paged ? APN_MSG_POSTCOPY_PAGE : APN_MSG_EXTENT;
                item->msg.offset = work.offset + built;
                item->msg.span = work.bytes - built;
                lane->replay_guest_bytes += item->msg.span;
            }
            continue;
        }
        work.offset += built;
        work.bytes -= built;
        apn_work_push_front(&lane->queue, &work);
    }
}

static uint64_t work_bytes(const struct plan *plan)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < plan->count; i++) {
        sum += plan->step[i].is_work ? plan->step[i].work.bytes : 0;
    }
    return sum;
}

static void count_extent(struct apn_session *s, const struct apn_msg *msg)
{
    s->total.guest_bytes += msg->span;
    if (msg->kind == APN_EXTENT_ZERO) {
        s->total.zero_pages += msg->span / APN_PAGE_SIZE;
    } else {
        s->total.data_pages += msg->span / APN_PAGE_SIZE;
    }
}

static void account(struct apn_lane *lane, uint64_t now)
{
    struct apn_session *s = lane->session;
    uint64_t added = 0, paced = 0;

    for (unsigned i = lane->out_next; i < lane->out_count; i++) {
        const struct apn_msg *msg = &lane->out[i];
        struct apn_item *item;

        if (!APN_MSG_IS_RELIABLE(msg->type)) {
            continue;
        }
        item = apn_item_push(&lane->inflight); /* plan_full() kept the room */
        apn_window_posted(&s->window, s->in_flight_bytes, now);
        item->msg = *msg;
        item->msg.value = msg->type == APN_MSG_POSTCOPY_REQUEST ? 0 : msg->value; /* a read is not repeated */
        item->posted_ns = now;
        lane->posted_bytes += wire_bytes(msg);
        item->end_bytes = lane->posted_bytes;
        s->in_flight_bytes += wire_bytes(msg);
        added += wire_bytes(msg);
        paced += !s->postcopy.started || msg->type == APN_MSG_POSTCOPY_PAGE ? wire_bytes(msg) : 0;
        if (APN_MSG_HAS_PAGES(msg->type)) {
            lane->inflight_guest_bytes += msg->span;
            count_extent(s, msg);
        }
    }
    s->total.posted_bytes += added;
    if (s->config.rate_limit_bytes_per_s && paced) {
        uint64_t floor = now > APN_REPORT_NS ? now - APN_REPORT_NS : 0;
        uint64_t from = s->paced_ns > floor ? s->paced_ns : floor;

        s->paced_ns = from + (uint64_t)((double)paced * 1e9 / (double)s->config.rate_limit_bytes_per_s);
    }
}

unsigned apn_sender_build(struct apn_lane *lane, uint64_t now)
{
    struct apn_session *s = lane->session;
    struct plan plan;
    uint32_t partial = 0;
    unsigned done;

    if (lane->out_next < lane->out_count) {
        return lane->out_count - lane->out_next;
    }
    lane->out_next = lane->out_count = lane->out_asked = 0;
    pthread_mutex_lock(&s->lock);
    if (lane->phase == APN_LANE_UP) {
        build_unreliable(lane, now);
        make_plan(lane, &plan, now);
        lane->building_bytes = work_bytes(&plan);
    } else {
        plan.count = 0;
    }
    pthread_mutex_unlock(&s->lock);
    if (!plan.count) {
        return lane->out_count;
    }
    done = build_plan(lane, &plan, &partial);
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < plan.count; i++) {
        if (plan.step[i].is_work && !plan.step[i].from_replay) {
            lane->reserved_runs--;
            lane->reserved_bytes -= plan.step[i].work.bytes;
        }
        if (plan.step[i].is_work && plan.step[i].work.resent) {
            s->total.resent_bytes += i < done ? plan.step[i].work.bytes : i == done ? partial : 0;
        }
    }
    s->reserved_bytes -= plan.wire_bytes;
    give_back(lane, &plan, done, partial);
    account(lane, apn_session_now(s));
    lane->building_bytes = 0;
    if (s->waiters_room && lane->queue.bytes <= apn_queue_limit(s) / 2) {
        pthread_cond_broadcast(&s->room);
    }
    pthread_mutex_unlock(&s->lock);
    return lane->out_count;
}
