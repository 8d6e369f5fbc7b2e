/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* state.c - the session's states: a table; what it does not list is a protocol error (docs/switchover.md) */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/internal.h"

struct transition {
    enum apn_state from;
    enum apn_event_id event;
    enum apn_state to;
};

static const struct transition source_table[] = {
    {APN_STATE_NEW, APN_EV_OPEN, APN_STATE_CONNECTING},
    {APN_STATE_NEW, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_CONNECTING, APN_EV_LANES_UP, APN_STATE_SETUP},
    {APN_STATE_CONNECTING, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_CONNECTING, APN_EV_LOST, APN_STATE_FAILED},
    {APN_STATE_SETUP, APN_EV_MATCHED, APN_STATE_PRECOPY},
    {APN_STATE_SETUP, APN_EV_RESUMED, APN_STATE_POSTCOPY},
    {APN_STATE_SETUP, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_SETUP, APN_EV_WONT, APN_STATE_FAILED},
    {APN_STATE_SETUP, APN_EV_LOST, APN_STATE_FAILED},
    {APN_STATE_PRECOPY, APN_EV_SWITCHOVER, APN_STATE_SWITCHOVER},
    {APN_STATE_PRECOPY, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_PRECOPY, APN_EV_WONT, APN_STATE_FAILED},
    {APN_STATE_PRECOPY, APN_EV_LOST, APN_STATE_FAILED},
    {APN_STATE_SWITCHOVER, APN_EV_READY, APN_STATE_READY},
    {APN_STATE_SWITCHOVER, APN_EV_GRANT, APN_STATE_GRANTED},
    {APN_STATE_SWITCHOVER, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_SWITCHOVER, APN_EV_WONT, APN_STATE_FAILED},
    {APN_STATE_SWITCHOVER, APN_EV_LOST, APN_STATE_FAILED},
    {APN_STATE_READY, APN_EV_GRANT, APN_STATE_GRANTED},
    {APN_STATE_READY, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_READY, APN_EV_WONT, APN_STATE_FAILED},
    {APN_STATE_READY, APN_EV_LOST, APN_STATE_FAILED},
    /* below the commit point: the source never resumes by itself */
    {APN_STATE_GRANTED, APN_EV_STARTED, APN_STATE_DONE},
    {APN_STATE_GRANTED, APN_EV_WONT, APN_STATE_FAILED},
    {APN_STATE_GRANTED, APN_EV_LOST, APN_STATE_UNKNOWN},
    {APN_STATE_UNKNOWN, APN_EV_STARTED, APN_STATE_DONE}, /* the answer arrived after all */
    {APN_STATE_UNKNOWN, APN_EV_WONT, APN_STATE_FAILED},
    /* the destination runs the guest, its memory is still here */
    {APN_STATE_GRANTED, APN_EV_RUNS, APN_STATE_POSTCOPY},
    {APN_STATE_UNKNOWN, APN_EV_RUNS, APN_STATE_PAUSED},
    {APN_STATE_POSTCOPY, APN_EV_LOST, APN_STATE_PAUSED},
    {APN_STATE_POSTCOPY, APN_EV_FAILED, APN_STATE_PAUSED},
    {APN_STATE_POSTCOPY, APN_EV_COMPLETE, APN_STATE_DONE},
};

static const struct transition dest_table[] = {
    {APN_STATE_NEW, APN_EV_OPEN, APN_STATE_CONNECTING},
    {APN_STATE_NEW, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_CONNECTING, APN_EV_LANES_UP, APN_STATE_SETUP},
    {APN_STATE_CONNECTING, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_SETUP, APN_EV_MATCHED, APN_STATE_PRECOPY},
    {APN_STATE_SETUP, APN_EV_RESUMED, APN_STATE_POSTCOPY},
    {APN_STATE_SETUP, APN_EV_UNBOUND, APN_STATE_CONNECTING}, /* nothing of the guest had arrived: listen on */
    {APN_STATE_SETUP, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_SETUP, APN_EV_LOST, APN_STATE_FAILED},
    {APN_STATE_PRECOPY, APN_EV_READY, APN_STATE_READY},
    {APN_STATE_PRECOPY, APN_EV_GRANT, APN_STATE_GRANTED},
    {APN_STATE_PRECOPY, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_PRECOPY, APN_EV_LOST, APN_STATE_FAILED},
    {APN_STATE_READY, APN_EV_GRANT, APN_STATE_GRANTED},
    {APN_STATE_READY, APN_EV_FAILED, APN_STATE_FAILED},
    {APN_STATE_READY, APN_EV_LOST, APN_STATE_FAILED},
    {APN_STATE_GRANTED, APN_EV_STARTED, APN_STATE_DONE},
    {APN_STATE_GRANTED, APN_EV_FAILED, APN_STATE_FAILED}, /* load failed: says WONT, never starts */
    {APN_STATE_GRANTED, APN_EV_RUNS, APN_STATE_POSTCOPY},
    {APN_STATE_POSTCOPY, APN_EV_LOST, APN_STATE_PAUSED},
    {APN_STATE_POSTCOPY, APN_EV_FAILED, APN_STATE_PAUSED},
    {APN_STATE_POSTCOPY, APN_EV_COMPLETE, APN_STATE_DONE},
};

const char *apn_state_name(enum apn_state state)
{
    static const char *const names[] = {"new",     "connecting", "setup", "precopy", "switchover", "ready",
                                        "granted", "postcopy",   "done",  "failed",  "unknown",    "paused"};

    return state <= APN_STATE_PAUSED ? names[state] : "?";
}

static const char *event_name(enum apn_event_id event)
{
    static const char *const names[] = {"open",    "lanes-up", "matched", "switchover", "ready",  "grant",
                                        "started", "wont",     "lost",    "failed",     "unbound", "resumed",
                                        "runs",    "complete"};

    return names[event];
}

void apn_trace(struct apn_session *s, enum apn_trace_level level, const char *format, ...)
{
    char text[APN_BACKEND_NOTE_MAX];
    va_list ap;

    if (!s->config.on_trace) {
        return;
    }
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    s->config.on_trace(s->config.opaque, level, text);
}

static void enter(struct apn_session *s, enum apn_state to, enum apn_event_id event, const struct apn_error *err)
{
    apn_trace(s, APN_TRACE_STATE, "%s -> %s on %s%s%s", apn_state_name(s->state), apn_state_name(to), event_name(event),
              err && err->code ? ": " : "", err && err->code ? err->text : "");
    s->state = to;
    if (err && err->code && (to == APN_STATE_FAILED || to == APN_STATE_UNKNOWN || to == APN_STATE_PAUSED)) {
        s->error = *err;
    }
    if (to == APN_STATE_DONE) {
        s->error = (struct apn_error){0};
    }
    apn_session_fds_update(s);
    apn_session_wake_all(s);
    pthread_cond_broadcast(&s->changed);
    pthread_cond_broadcast(&s->room);
}

int apn_state_event(struct apn_session *s, enum apn_event_id event, const struct apn_error *err)
{
    bool source = s->config.role == APN_ROLE_SOURCE;
    const struct transition *table = source ? source_table : dest_table;
    size_t rows = source ? sizeof(source_table) / sizeof(source_table[0]) : sizeof(dest_table) / sizeof(dest_table[0]);

    for (size_t i = 0; i < rows; i++) {
        if (table[i].from == s->state && table[i].event == event) {
            enter(s, table[i].to, event, err);
            return 0;
        }
    }
    return -EPROTO;
}
