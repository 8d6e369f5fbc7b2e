/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "api/private.h"

#define BLOCK_BYTES 8192

/* The next bytes of the stream. Nothing there: the connection sleeps until streams_wake(). */
static ssize_t stream_read(void *opaque, uint64_t position, char *out, size_t size)
{
    struct stream *stream = opaque;
    struct agent_api *api = stream->api;

    (void)position;
    if (api->closing) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    size_t used = agent_events_read(&api->events, &stream->place, out, size);
    if (used == 0) {
        stream->suspended = true;
        MHD_suspend_connection(stream->mhd);
        return 0;
    }
    stream->sent_ns = api->now_ns;
    return (ssize_t)used;
}

static void stream_free(void *opaque)
{
    struct stream *stream = opaque;
    struct agent_api *api = stream->api;

    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        api->streams = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
    api->stream_count--;
    agent_events_leave(&stream->place);
    free(stream);
}

enum MHD_Result stream_open(struct agent_api *api, struct request *request,
                            struct MHD_Connection *mhd)
{
    struct agent_error error = {0};
    struct stream *stream;

    if (api->stream_count >= api->config.limits.streams) {
        agent_error_set(&error, EAGAIN, "%u event streams are open, the limit is %u",
                        api->stream_count, api->config.limits.streams);
        error.line = 10;
        return reply_problem(request, mhd, MHD_HTTP_SERVICE_UNAVAILABLE, &error);
    }
    stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return MHD_NO;
    }
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, stream_read, stream, stream_free);
    if (response == NULL) {
        free(stream);
        return MHD_NO;
    }
    stream->api = api;
    stream->mhd = mhd;
    stream->sent_ns = api->now_ns;
    stream->next = api->streams;
    if (api->streams != NULL) {
        api->streams->previous = stream;
    }
    api->streams = stream;
    api->stream_count++;
    agent_events_join(&api->events,
                      MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Last-Event-ID"),
                      &stream->place);
    MHD_add_response_header(response, "Content-Type", "text/event-stream; charset=utf-8");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    enum MHD_Result result = reply_queue(request, mhd, MHD_HTTP_OK, response);
    request->connection->deadline_ns =
        INT64_MAX; /* ended by the idle limit when it stops reading */
    return result;
}

void streams_wake(struct agent_api *api)
{
    for (struct stream *stream = api->streams; stream != NULL; stream = stream->next) {
        if (stream->suspended) {
            stream->suspended = false;
            MHD_resume_connection(stream->mhd);
        }
    }
}

void streams_ping(struct agent_api *api)
{
    for (struct stream *stream = api->streams; stream != NULL; stream = stream->next) {
        if (stream->suspended && api->now_ns - stream->sent_ns >= STREAM_PING_NS) {
            stream->place.ping = true;
            stream->suspended = false;
            stream->sent_ns = api->now_ns;
            MHD_resume_connection(stream->mhd);
        }
    }
}
