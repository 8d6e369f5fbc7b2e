/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source_private.h - the hooks a kind of source implements (private to grid/)
 * Owner: struct agent_source embeds into each kind.   Thread: the polling one.
 * Time:  now_s of the poll.                           Units: seconds. */
#ifndef AGENT_GRID_SOURCE_PRIVATE_H
#define AGENT_GRID_SOURCE_PRIVATE_H

#include "grid/source.h"

/** struct source_ops - @poll may block as source.h says; @close frees the whole source */
struct source_ops {
    int (*poll)(struct agent_source *source, int64_t now_s, const struct agent_sink *sink);
    void (*close)(struct agent_source *source);
};

struct agent_source {
    const struct source_ops *ops;
    struct agent_source_config config;
    int fd;
    int64_t due_s;
};

int source_open_file(const struct agent_source_config *config, struct agent_source **out,
                     struct agent_error *error);
int source_open_directory(const struct agent_source_config *config, struct agent_source **out,
                          struct agent_error *error);
int source_open_url(const struct agent_source_config *config, struct agent_source **out,
                    struct agent_error *error);
int source_open_meter(const struct agent_source_config *config, struct agent_source **out,
                      struct agent_error *error);

/** source_give() - parse @bytes and give the batch or the problem to the sink
 * Return: 1 a batch was taken, 0 a problem was told, -errno of the sink. */
int source_give(const struct agent_source *source, const char *name, const char *bytes, size_t size,
                int64_t now_s, const struct agent_sink *sink);

#endif
