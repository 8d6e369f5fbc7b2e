/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* retire.c - a lane that does not come back: its granules move to another one
 * Thread: lane threads, under the session lock.   Time: from the caller.
 *
 * Theory of operation
 *   The source asks on a living lane (RETIRE), the destination closes whatever connection the lane still has and answers what it had
 *   applied (RETIRED). Only then does the work move, so nothing stale can land behind it. */
#include "engine/internal.h"

#include <errno.h>

#include "support/clock.h"

#define RETIRE_AFTER_DIV 2u /* a lane down for the session timeout / this is given up while others live */

static struct apn_lane *live_lane(struct apn_session *s)
{
    for (unsigned i = 0; i < s->lane_count; i++) {
        if (s->lane[i].phase == APN_LANE_UP) {
            return &s->lane[i];
        }
    }
    return NULL;
}

/* source: give up a lane that stays down while another lives; control messages go by a living carrier */
void apn_retire_consider(struct apn_lane *lane, uint64_t now)
{
    struct apn_session *s = lane->session;
    struct apn_lane *host = live_lane(s);

    if (s->config.role != APN_ROLE_SOURCE || lane->retiring || !lane->lost || lane->phase == APN_LANE_UP || !host ||
        apn_state_over(s->state) || now - lane->down_since_ns < (uint64_t)s->config.timeout_ms / RETIRE_AFTER_DIV * APN_NS_PER_MS) {
        return;
    }
    lane->retiring = true;
    lane->retire_host = host->index;
    apn_trace(s, APN_TRACE_LANE, "lane %u: down for %llu ms, moving its granules to lane %u", lane->index,
              (unsigned long long)((now - lane->down_since_ns) / 1000000), host->index);
    host->ask_retire |= 1u << lane->index;
    apn_session_wake_lane(host);
}

void apn_lane_retire(struct apn_lane *lane)
{
    lane->retiring = true;
    lane->close_wanted = true;
    apn_session_wake_lane(lane);
    pthread_cond_broadcast(&lane->session->changed);
}

/* destination: the link is closed, nothing of this lane can land any more: say so on a living lane */
void apn_retire_confirm(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;
    struct apn_lane *host = live_lane(s);

    if (s->config.role != APN_ROLE_DEST || !lane->retiring || lane->link || lane->phase == APN_LANE_RETIRED || !host) {
        return;
    }
    lane->phase = APN_LANE_RETIRED;
    lane->host = host->index;
    for (unsigned i = 0; i < s->lane_count; i++) { /* whatever it carried for others goes along */
        s->lane[i].host = s->lane[i].host == lane->index ? host->index : s->lane[i].host;
    }
    host->say_retired |= 1u << lane->index;
    apn_sender_resume(lane, lane->applied_bytes, apn_session_now(s));
    apn_sender_move(lane, host);
    apn_session_wake_lane(host);
}

int apn_lane_retired(struct apn_session *s, unsigned index, uint64_t applied_bytes, struct apn_error *err)
{
    struct apn_lane *lane = &s->lane[index < s->lane_count ? index : 0];
    struct apn_lane *host = &s->lane[lane->retire_host];

    if (s->config.role != APN_ROLE_SOURCE || index >= s->lane_count || !lane->retiring) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u was not to be retired", index);
    }
    if (lane->phase == APN_LANE_RETIRED) {
        return 0;
    }
    lane->phase = APN_LANE_RETIRED;
    lane->close_wanted = lane->link != NULL;
    apn_sender_lost(lane);
    if (apn_sender_resume(lane, applied_bytes, apn_session_now(s))) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "lane %u: retired at %llu applied bytes, sent were %llu", index,
                             (unsigned long long)applied_bytes, (unsigned long long)lane->posted_bytes);
    }
    for (unsigned i = 0; i < s->lane_count; i++) {
        s->lane[i].host = s->lane[i].host == index ? host->index : s->lane[i].host;
    }
    apn_sender_move(lane, host);
    apn_session_wake_lane(host);
    pthread_cond_broadcast(&s->changed);
    pthread_cond_broadcast(&s->room);
    return 0;
}

void apn_retire_push(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;

    for (unsigned i = 0; i < s->lane_count; i++) {
        struct apn_msg msg = {.type = APN_MSG_RETIRE, .lane = (uint16_t)i};

        if (lane->ask_retire & (1u << i)) {
            apn_sender_insert(lane, &msg);
        }
        if (lane->say_retired & (1u << i)) {
            msg.type = APN_MSG_RETIRED;
            msg.value = s->lane[i].received_bytes;
            apn_sender_insert(lane, &msg);
        }
    }
    lane->ask_retire = lane->say_retired = 0;
}
