/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lane.c - one lane: its thread's turn, its link's birth and death
 *
 * Theory of operation
 *   A turn: settle the link (open, take over, close), wait in poll, apply, handle, build, post. The lane's thread is the only
 *   one that calls the backend for its link; others set a wish under the lock and wake it.
 *   A lost link is not a lost session: the source opens the lane again with the next generation, the destination closes the
 *   old link before it welcomes the new one, both tell what they had applied, the rest is sent again. */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

#define WAIT_MAX_NS      250000000ull /* a turn at least this often, for the timers */
#define POST_RETRY_NS    200000ull

static uint64_t ms_to_ns(uint64_t ms)
{
    return ms * 1000000ull;
}

void apn_session_failed(struct apn_session *s, const struct apn_error *err)
{
    struct apn_error reason = *err;

    if (!apn_state_over(s->state) && !apn_state_event(s, APN_EV_FAILED, err)) {
        apn_control_push(s, (struct apn_msg){.type = APN_MSG_ABORT, .bytes = (uint32_t)strlen(reason.text)}, reason.text);
    }
}

/* the path is gone for good, as far as this side can tell */
static void session_lost(struct apn_session *s, const struct apn_error *err)
{
    struct apn_error reason = {0};

    if (s->config.role == APN_ROLE_SOURCE && s->state == APN_STATE_GRANTED) {
        if (!s->grant_posted) {
            apn_error_set(&reason, -ECONNRESET, APN_SCOPE_SESSION, "the grant never left this host: %.120s", err->text);
            apn_state_event(s, APN_EV_WONT, &reason);
            return;
        }
        apn_error_set(&reason, -EOWNERDEAD, APN_SCOPE_SESSION,
                      "destination may or may not run the guest: it was granted, then: %.110s", err->text);
        apn_state_event(s, APN_EV_LOST, &reason);
        return;
    }
    if (s->config.role == APN_ROLE_DEST && s->state == APN_STATE_SETUP && !s->rx.received) {
        apn_trace(s, APN_TRACE_STATE, "source is gone before it sent anything: listening on: %s", err->text);
        s->unbinding = true;
        apn_session_wake_all(s);
        return;
    }
    apn_state_event(s, APN_EV_LOST, err);
}

static bool any_link(const struct apn_session *s)
{
    for (unsigned i = 0; i < s->lane_count; i++) {
        if (s->lane[i].link) {
            return true;
        }
    }
    return false;
}

/* Silence that ends the session. A source that goes before it has sent anything was cancelled in its handshake, or is back at once:
 * the listener is not kept from the next one for long. */
static uint32_t silence_limit_ms(const struct apn_session *s)
{
    bool unsaid = s->config.role == APN_ROLE_DEST && s->state == APN_STATE_SETUP && !s->rx.received && !any_link(s);

    return unsaid && s->config.timeout_ms > APN_UNSAID_MS ? APN_UNSAID_MS : s->config.timeout_ms;
}

bool apn_session_check_silence(struct apn_session *s, uint64_t now)
{
    const uint32_t limit_ms = silence_limit_ms(s);
    struct apn_error err = {0};

    if (apn_state_over(s->state) || !s->bound || s->unbinding || now < s->heard_ns || now - s->heard_ns < ms_to_ns(limit_ms)) {
        return false;
    }
    apn_error_set(&err, -ETIMEDOUT, APN_SCOPE_SESSION, "no sign of life from the peer for %llu ms (limit %u ms)",
                  (unsigned long long)((now - s->heard_ns) / 1000000), limit_ms);
    session_lost(s, &err);
    return true;
}

/* ---- birth ------------------------------------------------------------- */

static void lane_up(struct apn_lane *lane, uint64_t peer_applied, uint64_t now)
{
    struct apn_session *s = lane->session;
    struct apn_error err = {0};

    lane->phase = APN_LANE_UP;
    s->window.repaired = s->backend->caps & APN_CAP_REPAIRS;
    lane->heard_ns = s->heard_ns = now;
    lane->pinged_ns = now;
    lane->backoff_ns = APN_BACKOFF_MIN_NS;
    lane->refused = 0;
    lane->reported_bytes = lane->received_bytes; /* told in the handshake */
    apn_trace(s, APN_TRACE_LANE, "lane %u: up, generation %u", lane->index, lane->generation);
    if (apn_sender_resume(lane, peer_applied, now)) {
        apn_error_set(&err, -EPROTO, APN_SCOPE_SESSION, "lane %u: peer says it applied %llu bytes, sent were %llu", lane->index,
                      (unsigned long long)peer_applied, (unsigned long long)lane->posted_bytes);
        apn_session_failed(s, &err);
    }
    pthread_cond_broadcast(&s->changed);
}

static void source_open(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;
    struct apn_error err = {0};
    struct apn_hello hello = {.lane = (uint16_t)lane->index,
                              .lanes = (uint16_t)s->lane_count,
                              .generation = ++lane->generation,
                              .commit = (uint32_t)s->config.commit,
                              .timeout_ms = s->config.timeout_ms,
                              .features = apn_postcopy_features(s),
                              .applied_bytes = lane->received_bytes};
    struct apn_link *link = NULL;
    int ret;

    memcpy(hello.session_id, s->session_id, sizeof(hello.session_id));
    lane->phase = APN_LANE_CONNECTING;
    lane->heard_ns = apn_session_now(s);
    pthread_mutex_unlock(&s->lock);
    ret = s->backend->ops->connect(s->backend, &hello, &link, &err);
    pthread_mutex_lock(&s->lock);
    if (ret) {
        apn_lane_down(lane, &err);
        return;
    }
    lane->link = link;
}

static void dest_take_over(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;

    lane->link = lane->attached;
    lane->attached = NULL;
    lane_up(lane, lane->attached_hello.applied_bytes, apn_session_now(s));
    if (s->state == APN_STATE_CONNECTING && lane->index == 0) {
        apn_state_event(s, APN_EV_LANES_UP, NULL);
    }
}

/* ---- death ------------------------------------------------------------- */

/* errors that a reopening cannot cure, and what they mean */
static bool loss_is_final(struct apn_lane *lane, const struct apn_error *err)
{
    struct apn_session *s = lane->session;
    struct apn_error reason = {0};

    switch (err->code) {
    case -ECANCELED: /* the destination's own word that it never got the grant and never starts */
        apn_error_set(&reason, -ECANCELED, APN_SCOPE_SESSION, "%s", err->text);
        if (!apn_state_event(s, APN_EV_WONT, &reason)) {
            return true;
        }
        break;
    case -EACCES:
    case -ESTALE:
    case -EBUSY:
        break;
    case -ECONNREFUSED:
        if (++lane->refused < APN_REFUSED_MAX) {
            return false;
        }
        apn_error_set(&reason, err->code, APN_SCOPE_SESSION, "destination's process is gone: refused %u times: %.120s", lane->refused,
                      err->text);
        session_lost(s, &reason);
        return true;
    default:
        return false;
    }
    session_lost(s, err);
    return true;
}

static void unbind_when_closed(struct apn_session *s);

/* source: unknown hopes for the answer; done owes the destination the word that its answer has arrived */
static bool reopens_when_over(const struct apn_session *s)
{
    return s->state == APN_STATE_UNKNOWN || s->state == APN_STATE_DONE;
}

/* links that go down now are closed, not lost */
static bool is_ending(const struct apn_session *s)
{
    return s->bye_received || s->state == APN_STATE_DONE;
}

void apn_lane_down(struct apn_lane *lane, const struct apn_error *err)
{
    struct apn_session *s = lane->session;
    struct apn_link *link = lane->link;
    bool was_up = lane->phase == APN_LANE_UP;
    uint64_t now = apn_session_now(s);

    lane->link = NULL;
    apn_sender_lost(lane);
    if (link) {
        lane->closing = true;
        pthread_mutex_unlock(&s->lock);
        s->backend->ops->link_close(link);
        pthread_mutex_lock(&s->lock);
        lane->closing = false;
    }
    lane->close_wanted = false;
    lane->phase = lane->phase == APN_LANE_RETIRED ? APN_LANE_RETIRED : APN_LANE_IDLE;
    apn_postcopy_reads_lost(lane);
    if (was_up) {
        if (!is_ending(s)) {
            lane->losses++;
            s->total.lanes_lost++;
        }
        lane->down_since_ns = now;
        apn_trace(s, APN_TRACE_LANE, "lane %u: down: %s", lane->index, err->text);
    }
    if (s->config.role == APN_ROLE_SOURCE && lane->phase != APN_LANE_RETIRED) {
        if (s->state == APN_STATE_CONNECTING) {
            session_lost(s, err);
        } else if (reopens_when_over(s) || (!apn_state_over(s->state) && !loss_is_final(lane, err))) {
            lane->phase = APN_LANE_BACKOFF;
            lane->retry_at_ns = now + lane->backoff_ns;
            lane->backoff_ns = lane->backoff_ns * 2 > APN_BACKOFF_MAX_NS ? APN_BACKOFF_MAX_NS : lane->backoff_ns * 2;
        }
    }
    if (s->unbinding) {
        unbind_when_closed(s);
    }
    apn_session_fds_update(s);
    pthread_cond_broadcast(&s->changed);
}

/* destination: the source vanished before it sent anything; forget it and listen on */
static void unbind_when_closed(struct apn_session *s)
{
    for (unsigned i = 0; i < s->lane_count; i++) {
        if (s->lane[i].link || s->lane[i].attached) {
            return;
        }
    }
    for (unsigned i = 0; i < s->lane_count; i++) {
        struct apn_lane *lane = &s->lane[i];

        lane->generation = 0;
        lane->received_bytes = lane->reported_bytes = 0;
        lane->posted_bytes = lane->applied_bytes = 0;
        lane->inflight.count = lane->replay.count = 0;
        lane->inflight_guest_bytes = lane->replay_guest_bytes = 0;
        lane->lost = false;
    }
    s->control_count = 0;
    s->in_flight_bytes = 0;
    s->peer_region_count = s->peer_region_total = 0;
    s->unbinding = false;
    s->bound = false;
    apn_state_event(s, APN_EV_UNBOUND, NULL);
}

/* ---- a turn ------------------------------------------------------------- */

/* after a poll that brought nothing: a process that was stopped itself must first read what arrived meanwhile */
static void judge_silence(struct apn_lane *lane, uint64_t now)
{
    struct apn_session *s = lane->session;
    struct apn_error silent = {0};

    apn_session_check_silence(s, now);
    /* a link that is being opened has the backend's own deadline */
    if (lane->phase == APN_LANE_UP && now > lane->heard_ns && now - lane->heard_ns > ms_to_ns(s->config.lane_timeout_ms)) {
        apn_error_set(&silent, -ETIMEDOUT, APN_SCOPE_LANE, "lane %u: silent for %llu ms (limit %u)", lane->index,
                      (unsigned long long)((now - lane->heard_ns) / 1000000), s->config.lane_timeout_ms);
        apn_lane_down(lane, &silent);
    }
}

void apn_lane_settle(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;
    struct apn_error closed = {-ECONNRESET, APN_SCOPE_LANE, "closed for a newer connection"};
    uint64_t now = apn_session_now(s);

    if (!any_link(s)) {
        apn_session_check_silence(s, now); /* else judged after a poll: what waits in a socket is a sign of life */
    }
    if (s->unbinding || lane->phase == APN_LANE_RETIRED) {
        lane->close_wanted = lane->link || lane->attached;
    }
    if (lane->close_wanted && lane->attached) {
        struct apn_link *link = lane->attached;

        lane->attached = NULL;
        lane->closing = true;
        pthread_mutex_unlock(&s->lock);
        s->backend->ops->link_close(link);
        pthread_mutex_lock(&s->lock);
        lane->closing = false;
        pthread_cond_broadcast(&s->changed);
    }
    if (lane->close_wanted || (s->unbinding && s->bound)) {
        apn_lane_down(lane, &closed);
    }
    apn_retire_confirm(lane);
    if (lane->attached && !lane->link) {
        dest_take_over(lane);
    }
    if ((lane->phase == APN_LANE_BACKOFF && now >= lane->retry_at_ns) ||
        (lane->phase == APN_LANE_IDLE && s->config.role == APN_ROLE_SOURCE && !lane->generation)) {
        if (!apn_state_over(s->state) || reopens_when_over(s)) {
            source_open(lane);
        }
    }
    apn_retire_consider(lane, now);
    if (lane->phase == APN_LANE_UP && now - lane->pinged_ns >= ms_to_ns(s->config.lane_timeout_ms) / 4) {
        lane->pinged_ns = now;
        lane->ping_due = true;
    }
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* absolute ns of this lane's next timer */
static uint64_t next_deadline(const struct apn_lane *lane, uint64_t now)
{
    const struct apn_session *s = lane->session;
    uint64_t at = now + WAIT_MAX_NS;

    if (lane->phase == APN_LANE_BACKOFF) {
        at = earliest(at, lane->retry_at_ns > now ? lane->retry_at_ns : now + 1000);
    }
    if (lane->phase != APN_LANE_UP) {
        return at;
    }
    if (lane->out_next < lane->out_count) {
        return now + POST_RETRY_NS;
    }
    if (lane->report_now || lane->ping_due || lane->pong_due || lane->ask_retire || lane->say_retired ||
        apn_sender_has_work(lane, now)) {
        return now;
    }
    if (lane->received_bytes != lane->reported_bytes) {
        at = earliest(at, lane->reported_ns + APN_REPORT_NS);
    }
    if (s->config.rate_limit_bytes_per_s && s->paced_ns > now) {
        at = earliest(at, s->paced_ns);
    }
    return earliest(at, lane->pinged_ns + ms_to_ns(s->config.lane_timeout_ms) / 4);
}

/* source: postcopy is announced by both ends, or there is no session */
static void check_features(struct apn_session *s, uint64_t chosen)
{
    uint64_t wanted = apn_postcopy_features(s);
    struct apn_error err = {0};

    if ((chosen & wanted) != wanted) {
        apn_error_set(&err, -EPROTO, APN_SCOPE_SESSION, "destination does not do postcopy: it must be enabled at both ends");
        apn_session_failed(s, &err);
    }
}

/* Return: false when the link is down now */
static bool handle_events(struct apn_lane *lane, int count, uint64_t now)
{
    struct apn_session *s = lane->session;

    for (int i = 0; i < count; i++) {
        const struct apn_event *event = &lane->events[i];
        struct apn_error err = {0};

        if (event->type == APN_EVENT_DOWN) {
            err = event->error;
            apn_lane_down(lane, &err);
            return false;
        }
        if (event->type == APN_EVENT_FETCHED) { /* no sign of life: an adapter answers for a process that stands still */
            apn_postcopy_read_done(lane);
            continue;
        }
        lane->heard_ns = s->heard_ns = now;
        if (event->type == APN_EVENT_UP) {
            check_features(s, event->welcome.features);
            lane_up(lane, event->welcome.applied_bytes, now);
        } else if (apn_receiver_handle(lane, &event->msg, now, &err)) {
            apn_session_failed(s, &err);
            if (!APN_MSG_IS_RELIABLE(event->msg.type)) {
                apn_lane_down(lane, &err);
                return false;
            }
        }
    }
    return true;
}

/* No lock. What is not simply in guest memory yet. Return: events that may be handled; less than @count when one could not be applied */
static int apply(struct apn_lane *lane, int count, struct apn_error *err)
{
    struct apn_session *s = lane->session;

    for (int i = 0; i < count; i++) {
        const struct apn_msg *msg = &lane->events[i].msg;

        if (lane->events[i].type == APN_EVENT_FETCHED && apn_postcopy_fetched(s, msg, err)) {
            return i;
        }
        if (lane->events[i].type != APN_EVENT_MSG) {
            continue;
        }
        if (apn_msg_clears(msg)) {
            apn_receiver_apply_zero(s, msg);
        } else if (msg->type == APN_MSG_POSTCOPY_PAGE && apn_postcopy_place(s, msg, err)) {
            return i;
        }
    }
    return count;
}

static void post_out(struct apn_lane *lane, struct apn_link *link)
{
    struct apn_session *s = lane->session;

    apn_postcopy_reads_begin(lane, link);
    while (lane->out_next < lane->out_count) {
        unsigned n = lane->out_count - lane->out_next;

        n = n > s->backend->post_max ? s->backend->post_max : n;
        if (s->backend->ops->post(link, lane->out + lane->out_next, n)) {
            return; /* full: again next turn; down: the event follows */
        }
        lane->out_next += n;
    }
    lane->out_next = lane->out_count = 0;
}

static void wait_without_link(struct apn_lane *lane, uint64_t deadline)
{
    struct apn_session *s = lane->session;

    if (!s->stopping) {
        lane->idle = true;
        apn_session_wait(s, deadline);
        lane->idle = false;
    }
}

uint64_t apn_lane_step(struct apn_lane *lane, bool may_wait)
{
    struct apn_session *s = lane->session;
    struct apn_error err = {0};
    struct apn_link *link;
    uint64_t now, deadline;
    int count;

    pthread_mutex_lock(&s->lock);
    apn_lane_settle(lane);
    if (lane->ask_retire | lane->say_retired) {
        apn_retire_push(lane);
    }
    link = lane->link;
    now = apn_session_now(s);
    deadline = next_deadline(lane, now);
    if (!link) {
        if (may_wait) {
            wait_without_link(lane, deadline);
        }
        pthread_mutex_unlock(&s->lock);
        return deadline;
    }
    lane->idle = may_wait && deadline > now;
    pthread_mutex_unlock(&s->lock);
    count = s->backend->ops->poll(link, lane->events, APN_EVENTS_MAX, may_wait && deadline > now ? (int64_t)(deadline - now) : 0);
    count = apply(lane, count, &err);
    pthread_mutex_lock(&s->lock);
    lane->idle = false;
    if (err.code) {
        apn_session_failed(s, &err);
    }
    if (!count) {
        judge_silence(lane, apn_session_now(s));
    }
    if (!handle_events(lane, count, apn_session_now(s)) || lane->phase != APN_LANE_UP) {
        pthread_mutex_unlock(&s->lock);
        return count ? now : deadline;
    }
    pthread_mutex_unlock(&s->lock);
    if (apn_sender_build(lane, apn_session_now(s))) {
        post_out(lane, link);
    }
    pthread_mutex_lock(&s->lock);
    deadline = count ? apn_session_now(s) : next_deadline(lane, apn_session_now(s));
    pthread_mutex_unlock(&s->lock);
    return deadline;
}

void *apn_lane_thread(void *opaque)
{
    struct apn_lane *lane = opaque;
    struct apn_session *s = lane->session;
    struct apn_error end = {-ESHUTDOWN, APN_SCOPE_LANE, "session ends here"};
    bool stopping = false;

    while (!stopping) {
        apn_lane_step(lane, true);
        pthread_mutex_lock(&s->lock);
        stopping = s->stopping;
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&s->lock);
    if (lane->attached && !lane->link) {
        lane->link = lane->attached;
        lane->attached = NULL;
    }
    if (lane->link) {
        apn_lane_down(lane, &end);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
