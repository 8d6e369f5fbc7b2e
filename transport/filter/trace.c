/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trace.c - one line per message and link event, into a file (grammar: filter.h)
 *   NS LANE GENERATION tx|rx TYPE region=R lane=L offset=O value=V bytes=B span=S
 *   NS LANE GENERATION up|down TEXT
 * tx is written when the wrapped link has taken the message. Whatever is not an extent or a report
 * is flushed at once, so that a killed process leaves its last words. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "filter/base.h"
#include "wire/codec.h"

struct trace {
    struct filter base;
    FILE *file;
};

static int trace_open(struct filter *filter, const char *value, struct apn_error *err)
{
    static unsigned opened; /* two ends in one process write two files */
    struct trace *trace = (struct trace *)filter;
    char path[512];

    if (!*value) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "filter trace: a file name prefix is missing");
    }
    snprintf(path, sizeof(path), "%s.%ld.%u", value, (long)getpid(),
             __atomic_fetch_add(&opened, 1, __ATOMIC_RELAXED));
    trace->file = fopen(path, "we");
    if (!trace->file) {
        int code = -errno;

        return apn_error_set(err, code, APN_SCOPE_SESSION, "filter trace: cannot write %.120s: %s",
                             path, strerror(-code));
    }
    return 0;
}

static void trace_done(struct filter *filter)
{
    struct trace *trace = (struct trace *)filter;

    if (trace->file) {
        fclose(trace->file);
    }
}

static void trace_msg(struct filter_link *link, const char *way, const struct apn_msg *msg)
{
    struct trace *trace = (struct trace *)link->filter;

    fprintf(trace->file,
            "%" PRIu64 " %u %u %s %s region=%u lane=%u offset=%" PRIu64 " value=%" PRIu64
            " bytes=%u span=%u\n",
            filter_now(link->filter), link->hello.lane, link->hello.generation, way,
            apn_msg_type_name(msg->type), msg->region, msg->lane, msg->offset, msg->value,
            msg->bytes, msg->span);
    if (msg->type != APN_MSG_EXTENT && msg->type != APN_MSG_APPLIED) {
        fflush(trace->file);
    }
}

static int trace_post(struct filter_link *link, const struct apn_msg *msgs, unsigned n)
{
    int ret = filter_post_next(link, msgs, n);

    for (unsigned i = 0; i < n && !ret; i++) {
        trace_msg(link, "tx", &msgs[i]);
    }
    return ret;
}

static int trace_poll(struct filter_link *link, struct apn_event *events, unsigned max,
                      int64_t timeout_ns)
{
    struct trace *trace = (struct trace *)link->filter;
    int n = filter_poll_next(link, events, max, timeout_ns);

    for (int i = 0; i < n; i++) {
        if (events[i].type == APN_EVENT_MSG) {
            trace_msg(link, "rx", &events[i].msg);
        } else {
            fprintf(trace->file, "%" PRIu64 " %u %u %s %s\n", filter_now(link->filter),
                    link->hello.lane, link->hello.generation,
                    events[i].type == APN_EVENT_UP ? "up" : "down",
                    events[i].type == APN_EVENT_UP ? "-" : events[i].error.text);
            fflush(trace->file);
        }
    }
    return n;
}

const struct filter_class apn_filter_trace = {
    .name = "trace",
    .filter_bytes = sizeof(struct trace),
    .link_bytes = sizeof(struct filter_link),
    .open = trace_open,
    .done = trace_done,
    .post = trace_post,
    .poll = trace_poll,
};
