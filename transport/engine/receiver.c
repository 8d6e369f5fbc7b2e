/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receiver.c - what a message from the peer does
 * Thread: the lane's.   Everything here came from the network: codec.c has checked the fields by themselves,
 * this file checks them against the session. */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

#include "pages/zero_page.h"
#include "wire/codec.h"

void *apn_receiver_resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    struct apn_session *s = opaque;
    const struct apn_region *r;

    /* the table is complete and constant once resolve_ready is set (release in regions.c) */
    if (!atomic_load_explicit(&s->resolve_ready, memory_order_acquire) || region >= s->peer_region_total) {
        return NULL;
    }
    if (atomic_load_explicit(&s->postcopy.listening, memory_order_relaxed)) {
        return NULL; /* the guest's memory is watched: only placing is allowed */
    }
    r = &s->regions[s->peer_to_local[region]];
    if (!span || offset % APN_PAGE_SIZE || span % APN_PAGE_SIZE || offset > r->length || span > r->length - offset) {
        return NULL;
    }
    return (uint8_t *)r->host + offset;
}

void apn_receiver_apply_zero(struct apn_session *s, const struct apn_msg *msg)
{
    uint8_t *at = apn_receiver_resolve(s, msg->region, msg->offset, msg->span);
    uint32_t done = 0;

    /* look before writing: an untouched page stays untouched, and ROMs are not zero (traps.md 12, 13) */
    while (at && done < msg->span) {
        done += (uint32_t)apn_zero_span(at + done, msg->span - done);
        if (done < msg->span) {
            memset(at + done, 0, APN_PAGE_SIZE);
            done += APN_PAGE_SIZE;
        }
    }
}

static int handle_extent(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;
    const struct apn_region *r = msg->region < s->region_count ? &s->regions[s->peer_to_local[msg->region]] : NULL;

    if (s->config.role != APN_ROLE_DEST || !atomic_load(&s->resolve_ready) || !r || msg->offset + msg->span > r->length) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: extent outside of registered memory: region %u, offset %llu",
                             lane->index, msg->region, (unsigned long long)msg->offset);
    }
    if (msg->kind != APN_EXTENT_DATA && msg->kind != APN_EXTENT_ZERO) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: extent kind %u was not negotiated", lane->index, msg->kind);
    }
    s->total.guest_bytes += msg->span;
    if (msg->kind == APN_EXTENT_ZERO) {
        s->total.zero_pages += msg->span / APN_PAGE_SIZE;
    } else {
        s->total.data_pages += msg->span / APN_PAGE_SIZE;
    }
    return 0;
}

static int handle_stream(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;

    if (apn_stream_rx_put(&s->rx, msg->offset, msg->value, msg->payload, msg->bytes)) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: stream bytes at %llu, expected %llu (buffer %u)", lane->index,
                             (unsigned long long)msg->offset, (unsigned long long)s->rx.received, APN_STREAM_CAPACITY);
    }
    apn_session_fds_update(s);
    pthread_cond_broadcast(&s->changed);
    return 0;
}

/* The grant counts once everything it stands behind is here, pages of other lanes included: until then this end cannot start, and may
 * still fail for good when the path is lost. */
static int grant_if_complete(struct apn_session *s)
{
    if (!s->grant_pending || apn_stream_rx_readable(&s->rx) < s->rx.received - s->rx.consumed) {
        return 0;
    }
    s->grant_pending = false;
    s->grant_received = true;
    return apn_state_event(s, APN_EV_GRANT, NULL);
}

static int handle_fence(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;
    uint64_t done = UINT64_MAX;

    if (msg->lane >= s->lane_count) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: fence of lane %u, session has %u", lane->index, msg->lane,
                             s->lane_count);
    }
    if (msg->offset > s->lane[msg->lane].fence_passed) {
        s->lane[msg->lane].fence_passed = msg->offset;
    }
    for (unsigned i = 0; i < s->lane_count; i++) {
        done = s->lane[i].fence_passed < done ? s->lane[i].fence_passed : done;
    }
    if (done > s->fence_done) {
        s->fence_done = done;
        s->total.fences++;
        apn_stream_rx_fence_done(&s->rx, done);
        apn_session_fds_update(s);
        pthread_cond_broadcast(&s->changed);
    }
    return apn_state_over(s->state) ? 0 : grant_if_complete(s);
}

static int handle_regions_ok(struct apn_session *s, struct apn_error *err)
{
    if (s->config.role != APN_ROLE_SOURCE || !s->regions_committed) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "region answer without a question");
    }
    if (!s->regions_matched) {
        s->regions_matched = true;
        s->postcopy.peer_listens = s->config.resume_id != NULL;
        return apn_state_event(s, s->config.resume_id ? APN_EV_RESUMED : APN_EV_MATCHED, NULL);
    }
    return 0;
}

static void peer_words(const struct apn_msg *msg, struct apn_error *reason, const char *fallback)
{
    int length = msg->bytes < APN_ERROR_TEXT_MAX / 2 + 60 ? (int)msg->bytes : APN_ERROR_TEXT_MAX / 2 + 60;

    *reason = (struct apn_error){0};
    apn_error_set(reason, -ECANCELED, APN_SCOPE_SESSION, "%s: %.*s", fallback, length, (const char *)msg->payload);
    for (char *c = reason->text; *c; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    }
}

/* messages that move the state machine. An answer that repeats itself after a replay is ignored by the caller. */
static int handle_verdicts(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;
    bool source = s->config.role == APN_ROLE_SOURCE;
    struct apn_error reason;

    switch (msg->type) {
    case APN_MSG_READY:
        if (s->ready_received) {
            return 0; /* said again after a lane was lost */
        }
        s->ready_received = true;
        return source ? apn_state_event(s, APN_EV_READY, NULL) : -EPROTO;
    case APN_MSG_GRANT:
        if (source || msg->value > s->rx.received) {
            return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "grant at stream position %llu, received %llu",
                                 (unsigned long long)msg->value, (unsigned long long)s->rx.received);
        }
        if (s->grant_received) {
            return 0;
        }
        s->grant_pending = true;
        return grant_if_complete(s);
    case APN_MSG_STARTED:
        return source ? apn_state_event(s, apn_postcopy_active(s) ? APN_EV_RUNS : APN_EV_STARTED, NULL) : -EPROTO;
    case APN_MSG_WONT:
        peer_words(msg, &reason, "destination will not start the guest");
        return source ? apn_state_event(s, APN_EV_WONT, &reason) : -EPROTO;
    case APN_MSG_ABORT:
        peer_words(msg, &reason, source ? "destination gave up" : "source gave up");
        return apn_state_event(s, APN_EV_FAILED, &reason);
    default:
        return -EPROTO;
    }
}

static int handle_retire(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;

    if (s->config.role != APN_ROLE_DEST || msg->lane >= s->lane_count || msg->lane == lane->index) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: cannot retire lane %u", lane->index, msg->lane);
    }
    apn_lane_retire(&s->lane[msg->lane]);
    return 0;
}

static int handle_reliable(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_session *s = lane->session;

    switch (msg->type) {
    case APN_MSG_EXTENT:
        return handle_extent(lane, msg, err);
    case APN_MSG_STREAM:
        return handle_stream(lane, msg, err);
    case APN_MSG_FENCE:
        return handle_fence(lane, msg, err);
    case APN_MSG_REGIONS:
        return apn_regions_receive(s, msg, err);
    case APN_MSG_REGIONS_OK:
        return handle_regions_ok(s, err);
    case APN_MSG_PREFAULT:
        apn_prefault_request(s, msg->region, msg->offset, msg->value);
        return 0;
    case APN_MSG_POSTCOPY_REQUEST:
        return apn_state_over(s->state) ? 0 : apn_postcopy_request_arrived(lane, msg, err);
    case APN_MSG_POSTCOPY_PAGE:
        return apn_postcopy_page_arrived(lane, msg, err);
    case APN_MSG_RETIRE:
        return handle_retire(lane, msg, err);
    case APN_MSG_RETIRED:
        return apn_lane_retired(s, msg->lane, msg->value, err);
    case APN_MSG_BYE:
        s->bye_received = true;
        apn_session_fds_update(s);
        pthread_cond_broadcast(&s->changed);
        return 0;
    default:
        return apn_state_over(s->state) && s->state != APN_STATE_UNKNOWN ? 0 : handle_verdicts(lane, msg, err);
    }
}

int apn_receiver_handle(struct apn_lane *lane, const struct apn_msg *msg, uint64_t now, struct apn_error *err)
{
    struct apn_session *s = lane->session;
    int ret;

    if (!APN_MSG_IS_RELIABLE(msg->type)) {
        if (msg->type == APN_MSG_PING) {
            lane->pong_due = true;
        } else if (msg->type == APN_MSG_APPLIED) {
            if (lane == apn_sender_carrier(s) && msg->value > s->tx.peer_consumed && msg->value <= s->tx.written) {
                s->tx.peer_consumed = msg->value;
                apn_session_fds_update(s);
                pthread_cond_broadcast(&s->changed);
            }
            if (apn_sender_applied(lane, msg->offset, (uint64_t)msg->span * 1000, now)) {
                return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: peer says it applied %llu bytes, sent were %llu", lane->index,
                                     (unsigned long long)msg->offset, (unsigned long long)lane->posted_bytes);
            }
        }
        return 0;
    }
    ret = handle_reliable(lane, msg, err);
    if (ret) {
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "lane %u: %s is not expected in state %s", lane->index,
                             apn_msg_type_name(msg->type), apn_state_name(s->state));
    }
    if (lane->received_bytes == lane->reported_bytes) {
        lane->reported_ns = now; /* the report's millisecond starts with the first byte it is about */
    }
    lane->received_bytes += APN_WIRE_HEADER_BYTES + msg->bytes;
    lane->received_ns = now;
    lane->report_now |= msg->type != APN_MSG_EXTENT;
    return 0;
}
