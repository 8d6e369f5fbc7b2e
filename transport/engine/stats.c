/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats.c - what the session can say about itself */
#include <stdio.h>
#include <string.h>

#include "engine/internal.h"

enum apn_state apn_session_state(struct apn_session *s)
{
    enum apn_state state;

    pthread_mutex_lock(&s->lock);
    state = s->state;
    pthread_mutex_unlock(&s->lock);
    return state;
}

void apn_session_error(struct apn_session *s, struct apn_error *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->error;
    pthread_mutex_unlock(&s->lock);
}

static void fill_lane(const struct apn_lane *lane, struct apn_lane_stats *out)
{
    out->posted_bytes = lane->posted_bytes;
    out->applied_bytes = lane->applied_bytes;
    out->in_flight_bytes = lane->lost ? 0 : lane->posted_bytes - lane->applied_bytes;
    out->queued_bytes = lane->queue.bytes + lane->reserved_bytes + lane->replay_guest_bytes;
    out->rtt_ns = lane->rtt_ns;
    out->reconnects = lane->generation ? lane->generation - 1 : 0;
    out->up = lane->phase == APN_LANE_UP;
}

void apn_session_stats(struct apn_session *s, struct apn_stats *out)
{
    struct apn_backend_counters counters = {0};

    s->backend->ops->counters(s->backend, &counters);
    pthread_mutex_lock(&s->lock);
    *out = s->total;
    out->lanes = s->lane_count;
    out->rtt_min_ns = s->window.rtt_min_ns;
    out->rate_bytes_per_s = apn_window_rate(&s->window);
    out->window_bytes = s->window.limit_bytes;
    out->in_flight_bytes = s->in_flight_bytes;
    for (unsigned i = 0; i < s->lane_count; i++) {
        fill_lane(&s->lane[i], &out->lane[i]);
        out->queued_bytes += out->lane[i].queued_bytes;
    }
    pthread_mutex_unlock(&s->lock);
    snprintf(out->backend, sizeof(out->backend), "%s", s->backend->ops->name);
    snprintf(out->send_mode, sizeof(out->send_mode), "%s", counters.send_mode);
    out->zerocopy_bytes = counters.zerocopy_bytes;
    out->copied_bytes = counters.copied_bytes;
    out->requests = counters.requests;
    out->requests_in_flight_max = counters.requests_in_flight_max;
    out->registered_bytes = counters.registered_bytes;
    out->registrations = counters.registrations;
    out->registrations_late = counters.registrations_late;
}
