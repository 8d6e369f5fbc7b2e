/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stream_api.c - the public calls of the main stream */
#include "engine/internal.h"

#include <errno.h>

#include "support/clock.h"

/* writing is over once the attempt is over; what was written before DONE is still delivered */
static bool may_write(const struct apn_session *s)
{
    return s->bound && s->state != APN_STATE_NEW && (!apn_state_over(s->state) || s->state == APN_STATE_DONE);
}

ssize_t apn_session_write(struct apn_session *s, const void *bytes, size_t length, bool may_block)
{
    ssize_t ret = 0;

    pthread_mutex_lock(&s->lock);
    while (!ret) {
        if (!may_write(s)) {
            ret = -EPIPE;
        } else if (apn_stream_tx_room(&s->tx) || !length) {
            ret = (ssize_t)apn_stream_tx_write(&s->tx, bytes, length);
            apn_session_wake_lane(apn_sender_carrier(s));
            break;
        } else if (!may_block || !apn_session_wait(s, UINT64_MAX / 4)) {
            ret = -EAGAIN;
        }
    }
    apn_session_fds_update(s);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

ssize_t apn_session_read(struct apn_session *s, void *bytes, size_t length, bool may_block)
{
    ssize_t ret = -EAGAIN;

    pthread_mutex_lock(&s->lock);
    while (length) {
        ret = (ssize_t)apn_stream_rx_read(&s->rx, bytes, length);
        if (ret) {
            break;
        }
        if (apn_state_over(s->state) && s->state != APN_STATE_DONE) {
            ret = apn_session_failed_code(s);
            break;
        }
        if (s->bye_received) {
            break;
        }
        ret = -EAGAIN;
        if (!may_block || !apn_session_wait(s, UINT64_MAX / 4)) {
            break;
        }
    }
    if (s->rx.consumed - s->rx.reported >= APN_STREAM_CAPACITY / 4) {
        apn_session_wake_lane(apn_sender_carrier(s));
    }
    apn_session_fds_update(s);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int apn_session_read_fd(struct apn_session *s)
{
    return s->read_fd;
}

int apn_session_write_fd(struct apn_session *s)
{
    return s->write_fd;
}

int apn_session_flush_stream(struct apn_session *s, uint32_t timeout_ms)
{
    uint64_t deadline = apn_session_now(s) + (uint64_t)timeout_ms * APN_NS_PER_MS;
    uint64_t until;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    until = s->tx.written;
    while (!ret && s->tx.applied < until) {
        if (!may_write(s)) {
            ret = apn_session_failed_code(s);
        } else if (!apn_session_wait(s, deadline)) {
            ret = s->env.manual ? -EINPROGRESS : -ETIMEDOUT;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}
