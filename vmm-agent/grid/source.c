/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grid/source.h"

#include <errno.h>
#include <string.h>

#include "grid/adapter.h"
#include "grid/source_private.h"

int agent_source_open(const struct agent_source_config *config, struct agent_source **source,
                      struct agent_error *error)
{
    switch (config->kind) {
    case AGENT_SOURCE_FILE:
        return source_open_file(config, source, error);
    case AGENT_SOURCE_DIRECTORY:
        return source_open_directory(config, source, error);
    case AGENT_SOURCE_URL:
        return source_open_url(config, source, error);
    case AGENT_SOURCE_HOST_POWER:
    case AGENT_SOURCE_BATTERY:
        return source_open_meter(config, source, error);
    }
    return agent_error_set(error, EINVAL, "source %s: unknown kind %d", config->name,
                           (int)config->kind);
}

void agent_source_close(struct agent_source *source)
{
    if (source != NULL) {
        source->ops->close(source);
    }
}

const struct agent_source_config *agent_source_config_of(const struct agent_source *source)
{
    return &source->config;
}

int agent_source_fd(const struct agent_source *source)
{
    return source->fd;
}

int64_t agent_source_due_s(const struct agent_source *source)
{
    return source->due_s;
}

int agent_source_poll(struct agent_source *source, int64_t now_s, const struct agent_sink *sink)
{
    return source->ops->poll(source, now_s, sink);
}

int source_give(const struct agent_source *source, const char *name, const char *bytes, size_t size,
                int64_t now_s, const struct agent_sink *sink)
{
    struct agent_input input = {bytes, size, name, source->config.format, source->config.area,
                                now_s};
    struct agent_batch batch;
    struct agent_error error = {0};

    if (agent_grid_parse(&input, &batch, &error) < 0) {
        sink->problem(sink->opaque, &error);
        return 0;
    }
    int status = sink->batch(sink->opaque, &batch);
    agent_batch_done(&batch);
    return status < 0 ? status : 1;
}

bool agent_series_mark_stale(struct agent_series *series, int64_t now_s, double stale_s)
{
    if (series->count == 0 || !(stale_s > 0)) {
        return false;
    }
    const struct agent_point *last = &series->points[series->count - 1];
    if ((double)(now_s - (last->start_s + last->length_s)) <= stale_s) {
        return false;
    }
    for (size_t index = 0; index < series->count; index++) {
        series->points[index].quality |= AGENT_QUALITY_STALE;
    }
    return true;
}
