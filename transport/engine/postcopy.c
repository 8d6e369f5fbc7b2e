/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy.c - a postcopy session's life: agreed on, started, done; docs/postcopy.md */
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/clock.h"

int apn_postcopy_init(struct apn_session *s)
{
    struct apn_postcopy *pc = &s->postcopy;

    pthread_mutex_init(&pc->staging_lock, NULL);
    pthread_mutex_init(&pc->reads_lock, NULL);
    if (!s->config.postcopy) {
        return 0;
    }
    pc->urgent = calloc(APN_URGENT_MAX, sizeof(*pc->urgent));
    return pc->urgent ? 0 : -ENOMEM;
}

void apn_postcopy_free(struct apn_session *s)
{
    struct apn_postcopy *pc = &s->postcopy;

    apn_pending_done(&pc->pending);
    apn_postcopy_staging_free(pc);
    free(pc->urgent);
    pthread_mutex_destroy(&pc->staging_lock);
    pthread_mutex_destroy(&pc->reads_lock);
}

uint64_t apn_postcopy_features(const struct apn_session *s)
{
    return s->config.postcopy ? APN_FEATURE_POSTCOPY | (s->config.resume_id ? APN_FEATURE_RESUME : 0) : 0;
}

int apn_postcopy_check_hello(const struct apn_session *s, const struct apn_hello *hello, struct apn_error *err)
{
    bool resumes = hello->features & APN_FEATURE_RESUME;

    if (s->config.resume_id && !resumes) {
        return apn_error_set(err, -EBUSY, APN_SCOPE_SESSION, "destination runs a guest in postcopy and waits for its source to resume");
    }
    if (s->config.resume_id && memcmp(s->config.resume_id, hello->session_id, APN_SESSION_ID_BYTES)) {
        return apn_error_set(err, -ESTALE, APN_SCOPE_SESSION, "destination waits for the source of another guest");
    }
    if (resumes && !s->config.resume_id) {
        return apn_error_set(err, -ESTALE, APN_SCOPE_SESSION, "destination has no paused postcopy to resume");
    }
    if ((hello->features & APN_FEATURE_POSTCOPY) && hello->lanes < 2) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "postcopy with %u lane, needs 2 at least", hello->lanes);
    }
    return 0;
}

bool apn_postcopy_active(const struct apn_session *s)
{
    return s->postcopy.started || atomic_load_explicit(&s->postcopy.listening, memory_order_relaxed);
}

void apn_session_id(struct apn_session *s, uint8_t id[APN_SESSION_ID_BYTES])
{
    pthread_mutex_lock(&s->lock);
    memcpy(id, s->session_id, APN_SESSION_ID_BYTES);
    pthread_mutex_unlock(&s->lock);
}

static bool pages_fit(const struct apn_region *r, uint64_t offset, uint64_t bytes)
{
    return bytes && !(offset % r->page_size) && !(bytes % r->page_size) && offset <= r->length && bytes <= r->length - offset;
}

int apn_session_postcopy_add(struct apn_session *s, unsigned region, uint64_t offset, uint64_t bytes)
{
    struct apn_postcopy *pc = &s->postcopy;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_SOURCE || !s->config.postcopy || !s->regions_matched || pc->started) {
        ret = -EPROTO;
    } else if (region >= s->region_count || !pages_fit(&s->regions[region], offset, bytes)) {
        ret = -EINVAL;
    } else if (!pc->has_pending) {
        ret = apn_pending_init(&pc->pending, s->regions, s->region_count);
        if (ret) {
            apn_pending_done(&pc->pending);
        }
        pc->has_pending = !ret;
    }
    if (!ret) {
        apn_pending_add(&pc->pending, region, offset / APN_PAGE_SIZE, bytes / APN_PAGE_SIZE);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_postcopy_start(struct apn_session *s)
{
    struct apn_postcopy *pc = &s->postcopy;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (!s->config.postcopy || pc->started ||
        (s->state != APN_STATE_SWITCHOVER && s->state != APN_STATE_POSTCOPY)) {
        ret = s->error.code ? s->error.code : -EPROTO;
    } else if (!pc->has_pending) {
        ret = apn_pending_init(&pc->pending, s->regions, s->region_count); /* nothing is missing */
        pc->has_pending = !ret;
    }
    if (!ret) {
        pc->started = true;
        apn_trace(s, APN_TRACE_STATE, "postcopy: %llu MiB to send", (unsigned long long)(pc->pending.count >> 8));
        apn_session_wake_all(s);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

/* L. guest bytes that are not known to be placed */
static uint64_t remaining(const struct apn_session *s)
{
    uint64_t sum = s->postcopy.pending.count * APN_PAGE_SIZE;

    for (uint32_t i = 0; i < s->postcopy.urgent_count; i++) {
        const struct apn_urgent *u = &s->postcopy.urgent[(s->postcopy.urgent_head + i) % APN_URGENT_MAX];

        sum += u->claimed ? u->bytes : 0;
    }
    for (unsigned i = 0; i < s->lane_count; i++) {
        sum += s->lane[i].inflight_guest_bytes + s->lane[i].replay_guest_bytes + s->lane[i].building_bytes;
    }
    return sum;
}

int apn_session_postcopy_wait(struct apn_session *s, uint32_t timeout_ms, uint64_t *left)
{
    uint64_t deadline = apn_session_now(s) + (uint64_t)timeout_ms * APN_NS_PER_MS;
    int ret = -ETIMEDOUT;

    pthread_mutex_lock(&s->lock);
    do {
        *left = remaining(s);
        if (apn_state_over(s->state)) {
            ret = -EPIPE;
        } else if (s->postcopy.started && s->state == APN_STATE_POSTCOPY && !*left) {
            ret = 0;
        }
    } while (ret == -ETIMEDOUT && apn_session_wait(s, deadline));
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_postcopy_listen(struct apn_session *s)
{
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_DEST || !s->config.postcopy || !s->config.place || !s->regions_matched || apn_state_over(s->state)) {
        ret = s->error.code ? s->error.code : -EPROTO;
    } else if (!atomic_exchange(&s->postcopy.listening, true)) {
        ret = apn_control_push(s, (struct apn_msg){.type = APN_MSG_POSTCOPY_REQUEST}, NULL);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_postcopy_done(struct apn_session *s)
{
    int ret;

    pthread_mutex_lock(&s->lock);
    ret = apn_state_event(s, APN_EV_COMPLETE, NULL);
    pthread_mutex_unlock(&s->lock);
    return ret;
}
