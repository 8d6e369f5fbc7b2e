/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source_url.c - a URL as a source: what fetch.c brings, parsed when it is new
 * Owner: see source.h.   Thread: the polling one; blocks up to AGENT_FETCH_TIMEOUT_S.
 * Time:  now_s.          Units: seconds. */
#include <errno.h>
#include <stdlib.h>

#include "grid/fetch.h"
#include "grid/source_private.h"

struct url_source {
    struct agent_source base;
    struct agent_fetch *fetch;
    bool given; /* the last good answer has been given to a sink in this run */
};

static void close_url(struct agent_source *source)
{
    struct url_source *url = (struct url_source *)source;

    agent_fetch_close(url->fetch);
    free(url);
}

static int poll_url(struct agent_source *source, int64_t now_s, const struct agent_sink *sink)
{
    struct url_source *url = (struct url_source *)source;
    struct agent_error error = {0};

    if (now_s < source->due_s) {
        return 0;
    }
    int status = agent_fetch_try(url->fetch, now_s, &error);
    source->due_s = agent_fetch_due_s(url->fetch);
    if (status < 0) {
        sink->problem(sink->opaque, &error);
    }
    struct agent_fetched last = agent_fetch_last(url->fetch);
    if (last.bytes == NULL || (status <= 0 && url->given)) {
        return 0;
    }
    /* After a restart the last good answer counts as read when it was fetched, not now. */
    int given =
        source_give(source, source->config.location, last.bytes, last.size, last.fetched_s, sink);
    url->given = given >= 0;
    return given;
}

int source_open_url(const struct agent_source_config *config, struct agent_source **out,
                    struct agent_error *error)
{
    static const struct source_ops ops = {poll_url, close_url};
    struct url_source *url = calloc(1, sizeof(*url));

    if (url == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for source %s", config->name);
    }
    url->base = (struct agent_source){&ops, *config, -1, 0};
    int status =
        agent_fetch_open(config->location, config->cache, config->poll_s, &url->fetch, error);
    if (status < 0) {
        close_url(&url->base);
        return status;
    }
    *out = &url->base;
    return 0;
}
