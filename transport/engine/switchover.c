/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* switchover.c - when to stop the guest, and who may run it (docs/switchover.md)
 * Time: monotonic ns.   Units: bytes, ns. */
#include "engine/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/clock.h"

#define PREDICTION_UNKNOWN_NS (3600ull * APN_NS_PER_S) /* no rate yet: far above any limit */

static uint64_t time_for(uint64_t bytes, uint64_t rate)
{
    return (uint64_t)((double)bytes * 1e9 / (double)rate);
}

/*
 * A session that had little to send never filled the path: what it delivered says nothing about the path, and its rate would predict
 * minutes for a small idle guest. Until the path was filled once, the first window per round is what it is trusted with.
 */
static uint64_t trusted_rate(const struct apn_window *w)
{
    uint64_t round_ns = w->rtt_min_ns > APN_WINDOW_ROUND_NS ? w->rtt_min_ns : APN_WINDOW_ROUND_NS;
    uint64_t floor = w->startup ? (uint64_t)((double)APN_WINDOW_FIRST * 1e9 / (double)round_ns) : 0;
    uint64_t rate = apn_window_rate(w);

    return rate > floor ? rate : floor;
}

/*
 * In flight is counted until its report is back, so at a full but queueless pipe it is one round trip's worth that costs a
 * stopped guest nothing beyond the half round trip which its last byte needs anyway; only what exceeds it is a queue.
 */
void apn_session_predict(struct apn_session *s, uint64_t remaining_bytes, uint64_t state_bytes, uint64_t fixed_ns,
                         struct apn_prediction *out)
{
    uint64_t rate, queued = 0, flight_ns;

    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&s->lock);
    rate = trusted_rate(&s->window);
    if (!s->window.rtt_min_ns) {
        out->total_ns = out->fixed_ns = PREDICTION_UNKNOWN_NS;
        pthread_mutex_unlock(&s->lock);
        return;
    }
    if (s->config.rate_limit_bytes_per_s && rate > s->config.rate_limit_bytes_per_s) {
        rate = s->config.rate_limit_bytes_per_s;
    }
    for (unsigned i = 0; i < s->lane_count; i++) {
        queued += s->lane[i].queue.bytes + s->lane[i].reserved_bytes + s->lane[i].replay_guest_bytes;
        if (s->lane[i].lost && s->lane[i].phase != APN_LANE_RETIRED) {
            queued += s->lane[i].inflight_guest_bytes;
            out->fixed_ns += (uint64_t)s->config.lane_timeout_ms * APN_NS_PER_MS; /* a lane is down: not now */
        }
    }
    flight_ns = time_for(s->in_flight_bytes, rate);
    out->flight_ns = flight_ns > s->window.rtt_min_ns ? flight_ns - s->window.rtt_min_ns : 0;
    out->flight_ns += time_for(queued, rate);
    out->residue_ns = time_for(remaining_bytes, rate);
    out->state_ns = time_for(state_bytes, rate);
    out->path_ns = s->config.commit == APN_COMMIT_SAFE ? s->window.rtt_min_ns * 3 / 2 : s->window.rtt_min_ns / 2;
    out->fixed_ns += fixed_ns;
    out->total_ns = out->flight_ns + out->residue_ns + out->state_ns + out->path_ns + out->fixed_ns;
    pthread_mutex_unlock(&s->lock);
}

/* L */
static int refused(struct apn_session *s, const char *what, struct apn_error *err)
{
    if (s->error.code) {
        return apn_error_set(err, s->error.code, APN_SCOPE_SESSION, "%s", s->error.text);
    }
    return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "%s is not possible in state %s", what, apn_state_name(s->state));
}

int apn_session_switchover(struct apn_session *s, struct apn_error *err)
{
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_SOURCE || apn_state_event(s, APN_EV_SWITCHOVER, NULL)) {
        ret = refused(s, "switchover", err);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

/* L. Safe commit: the destination has loaded, or why we wait no longer */
static int wait_ready(struct apn_session *s, struct apn_error *err)
{
    while (s->state == APN_STATE_SWITCHOVER) {
        if (s->env.manual) {
            return -EINPROGRESS;
        }
        apn_session_wait(s, apn_session_now(s) + APN_NS_PER_S); /* silence ends the state, not this wait */
    }
    return s->state == APN_STATE_READY ? 0 : refused(s, "grant", err);
}

int apn_session_grant(struct apn_session *s, struct apn_error *err)
{
    struct apn_msg msg = {.type = APN_MSG_GRANT};
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_SOURCE) {
        ret = refused(s, "grant", err);
    } else if (s->config.commit == APN_COMMIT_SAFE) {
        ret = wait_ready(s, err);
    }
    if (!ret) {
        msg.value = s->tx.written;
        /* the state first: from here on nobody may resume, whatever happens to the message */
        if (apn_state_event(s, APN_EV_GRANT, NULL)) {
            ret = refused(s, "grant", err);
        } else {
            s->grant_queued = true;
            apn_control_push(s, msg, NULL); /* the queue has room: it is empty but for prefault hints, which stop at precopy's end */
        }
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

enum apn_verdict apn_session_wait_verdict(struct apn_session *s, struct apn_error *err)
{
    enum apn_verdict verdict = 0;

    pthread_mutex_lock(&s->lock);
    while (s->state == APN_STATE_GRANTED && !s->env.manual) {
        apn_session_wait(s, apn_session_now(s) + APN_NS_PER_S);
    }
    if (s->state == APN_STATE_DONE) {
        verdict = APN_VERDICT_STARTED;
    } else if (s->state == APN_STATE_UNKNOWN) {
        verdict = APN_VERDICT_UNKNOWN;
    } else if (s->state != APN_STATE_GRANTED) {
        verdict = APN_VERDICT_WONT;
    }
    if (verdict > APN_VERDICT_STARTED) {
        apn_error_set(err, apn_session_failed_code(s), APN_SCOPE_SESSION, "%s", s->error.text);
    }
    pthread_mutex_unlock(&s->lock);
    return verdict;
}

int apn_session_granted(struct apn_session *s)
{
    int ret;

    pthread_mutex_lock(&s->lock);
    if (s->state == APN_STATE_GRANTED || s->state == APN_STATE_POSTCOPY || s->state == APN_STATE_PAUSED || s->state == APN_STATE_DONE) {
        ret = 1;
    } else if (s->state == APN_STATE_FAILED) {
        ret = apn_session_failed_code(s);
    } else {
        ret = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_ready(struct apn_session *s)
{
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_DEST) {
        ret = -EINVAL;
    } else if (s->config.commit == APN_COMMIT_SAFE) {
        ret = apn_state_event(s, APN_EV_READY, NULL);
        ret = ret ? apn_session_failed_code(s) : apn_control_push(s, (struct apn_msg){.type = APN_MSG_READY}, NULL);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

/* L. wait until the source has our word; the path may be down for a while */
static int wait_told(struct apn_session *s, const bool *told, uint32_t timeout_ms)
{
    uint64_t deadline = apn_session_now(s) + (uint64_t)timeout_ms * APN_NS_PER_MS;

    while (!*told) {
        if (s->env.manual) {
            return -EINPROGRESS;
        }
        if (!s->bound || !apn_session_wait(s, deadline)) {
            return -ETIMEDOUT;
        }
    }
    return 0;
}

int apn_session_started(struct apn_session *s, uint32_t timeout_ms)
{
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_DEST ||
        (!s->started_sent && apn_state_event(s, apn_postcopy_active(s) ? APN_EV_RUNS : APN_EV_STARTED, NULL))) {
        ret = -EPERM;
    } else {
        if (!s->started_sent) {
            s->started_sent = true;
            ret = apn_control_push(s, (struct apn_msg){.type = APN_MSG_STARTED}, NULL);
        }
        ret = ret || !timeout_ms ? ret : wait_told(s, &s->started_applied, timeout_ms);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_wont(struct apn_session *s, const char *why, uint32_t timeout_ms)
{
    struct apn_error reason = {0};
    int ret = 0;

    apn_error_set(&reason, -ECANCELED, APN_SCOPE_SESSION, "%s", why);
    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_DEST || s->started_sent) {
        ret = s->started_sent ? -EALREADY : -EINVAL;
    } else {
        if (!s->wont_sent) {
            s->wont_sent = true;
            apn_state_event(s, APN_EV_FAILED, &reason); /* already failed: the first reason stands, the word is given all the same */
            ret = apn_control_push(s, (struct apn_msg){.type = APN_MSG_WONT, .bytes = (uint32_t)strlen(reason.text)}, reason.text);
        }
        ret = ret || !timeout_ms ? ret : wait_told(s, &s->wont_applied, timeout_ms);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_abort(struct apn_session *s, const char *why)
{
    struct apn_error reason = {0};
    int ret = 0;

    apn_error_set(&reason, -ECANCELED, APN_SCOPE_SESSION, "%s", why);
    pthread_mutex_lock(&s->lock);
    if (s->config.role == APN_ROLE_SOURCE && (s->state == APN_STATE_GRANTED || s->state == APN_STATE_UNKNOWN)) {
        ret = -EPERM;
    } else if (!apn_state_over(s->state)) {
        bool told = s->bound && s->state != APN_STATE_NEW && s->state != APN_STATE_CONNECTING;

        ret = apn_state_event(s, APN_EV_FAILED, &reason);
        if (!ret && told) {
            ret = apn_control_push(s, (struct apn_msg){.type = APN_MSG_ABORT, .bytes = (uint32_t)strlen(reason.text)}, reason.text);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}
