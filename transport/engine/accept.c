/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* accept.c - destination: who may open or reopen a lane
 * Thread: the backend's accept thread; takes the session lock.   Time: the session's clock. */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

#define CLOSE_WAIT_NS 900000000ull /* for the old link of a lane to be closed before the new one is welcome */

static int refuse(struct apn_error *err, int code, const char *text)
{
    return apn_error_set(err, code, APN_SCOPE_SESSION, "%s", text);
}

static int authorise_session(struct apn_session *s, const struct apn_hello *hello, struct apn_error *err)
{
    if (s->stopping || s->unbinding) {
        return refuse(err, -EAGAIN, "destination is between two sessions, try again");
    }
    if (!hello->lanes || hello->lanes > APN_LANES_MAX || hello->lane >= hello->lanes || !hello->generation) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u of %u, generation %u: limit is %u lanes", hello->lane,
                             hello->lanes, hello->generation, APN_LANES_MAX);
    }
    if (apn_postcopy_check_hello(s, hello, err)) {
        return err->code;
    }
    /* a lane's first connection; or a later one of a session that was let go of before a word of it had arrived */
    if (!s->bound && s->state == APN_STATE_CONNECTING &&
        (hello->generation == 1 || !memcmp(s->session_id, hello->session_id, sizeof(s->session_id)))) {
        return apn_session_bind(s, hello, err);
    }
    if (!s->bound) {
        return refuse(err, -ESTALE, "destination does not know this session (was it restarted?)");
    }
    if (memcmp(s->session_id, hello->session_id, sizeof(s->session_id))) {
        return refuse(err, -EBUSY, "destination is taken: another migration is using this listener");
    }
    if (s->state == APN_STATE_PAUSED || (s->config.resume_id && apn_state_over(s->state))) {
        return apn_error_set(err, -ESTALE, APN_SCOPE_SESSION, "destination has paused this postcopy: %.140s", s->error.text);
    }
    if (s->state == APN_STATE_FAILED && !s->grant_received) {
        return apn_error_set(err, -ECANCELED, APN_SCOPE_SESSION, "destination will never start the guest: %.140s", s->error.text);
    }
    if (hello->lanes != s->lane_count) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "session has %u lanes, not %u", s->lane_count, hello->lanes);
    }
    return 0;
}

int apn_lane_authorise(void *opaque, const struct apn_hello *hello, struct apn_welcome *welcome, struct apn_error *err)
{
    struct apn_session *s = opaque;
    struct apn_lane *lane;
    uint64_t deadline;
    int ret;

    pthread_mutex_lock(&s->lock);
    ret = authorise_session(s, hello, err);
    if (ret) {
        goto out;
    }
    lane = &s->lane[hello->lane];
    if (hello->generation <= lane->generation || lane->retiring) {
        ret = apn_error_set(err, -EALREADY, APN_SCOPE_LANE, "lane %u: generation %u is not newer than %u", lane->index,
                            hello->generation, lane->generation);
        goto out;
    }
    /* no byte of the old link may land once the new one is welcome */
    deadline = apn_session_now(s) + CLOSE_WAIT_NS;
    while (lane->link || lane->attached || lane->closing) {
        lane->close_wanted = true;
        apn_session_wake_lane(lane);
        pthread_cond_broadcast(&s->changed);
        if (s->env.manual) {
            apn_lane_settle(lane);
        } else if (!apn_session_wait(s, deadline)) {
            break;
        }
    }
    if (lane->link || lane->attached || lane->closing) {
        ret = apn_error_set(err, -EAGAIN, APN_SCOPE_LANE, "lane %u: the old connection is still being closed", lane->index);
        goto out;
    }
    lane->generation = hello->generation;
    welcome->features = apn_postcopy_features(s);
    welcome->applied_bytes = lane->received_bytes;
out:
    pthread_mutex_unlock(&s->lock);
    return ret;
}

void apn_lane_attach(void *opaque, const struct apn_hello *hello, struct apn_link *link)
{
    struct apn_session *s = opaque;
    struct apn_lane *lane = &s->lane[hello->lane];
    bool take;

    pthread_mutex_lock(&s->lock);
    take = !s->stopping && !s->unbinding && !lane->attached && !lane->link && lane->generation == hello->generation;
    if (take) {
        lane->attached = link;
        lane->attached_hello = *hello;
        apn_session_wake_lane(lane);
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (!take) {
        s->backend->ops->link_close(link);
    }
}

void apn_lane_stranger(void *opaque, const char *text)
{
    apn_trace(opaque, APN_TRACE_LANE, "stranger: %s", text);
}
