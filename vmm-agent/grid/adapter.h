/* SPDX-License-Identifier: GPL-2.0-or-later */
/* adapter.h - one entry for every file format the agent can read
 * Owner: static table; batches belong to the caller.   Thread: any, no shared state.
 * Time:  now_s from the caller (only to judge "future" and "stale").   Units: see series.h. */
#ifndef AGENT_GRID_ADAPTER_H
#define AGENT_GRID_ADAPTER_H

#include "grid/series.h"

#define AGENT_INPUT_MAX_BYTES (16u << 20) /* a year of the largest file is 4 MiB */

/** struct agent_input - bytes to read and what the caller knows about them
 * @bytes:  not terminated, @size bytes, borrowed for the call
 * @name:   file path or URL: shown in errors, and its last part may tell the area or the date
 * @format: adapter name, or NULL to recognise it by content and name
 * @area:   AGENT_AREA_NONE = tell from the name
 * @now_s:  the reader's clock */
struct agent_input {
    const char *bytes;
    size_t size;
    const char *name;
    const char *format;
    enum agent_area area;
    int64_t now_s;
};

/** agent_grid_parse() - bytes of any known format to a batch with self-checks applied
 * @batch: uninitialised; filled only on success, then the caller's (agent_batch_done)
 * Return: 0; -EBADMSG (not what the format promises: file, line, column, expected, found),
 * -EINVAL (unknown format name, area not told), -E2BIG, -ENOMEM. */
int agent_grid_parse(const struct agent_input *input, struct agent_batch *batch,
                     struct agent_error *error);

/** agent_grid_load() - read a file and parse it. @format and @area as in struct agent_input.
 * Return: as above, or the -errno of opening and reading. */
int agent_grid_load(const char *path, const char *format, enum agent_area area, int64_t now_s,
                    struct agent_batch *batch, struct agent_error *error);

/** agent_grid_formats() - names of the formats, NULL-ended */
const char *const *agent_grid_formats(void);

#endif
