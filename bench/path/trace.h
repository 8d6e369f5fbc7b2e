/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trace.h - a delay that changes over time, from a file
 * Owner: main; shapes borrow it.  Thread: loaded by main, then read by any.
 * Time:  since the path came up.  Units:  ns; the file has seconds and ms.
 *
 * One point a line, "SECONDS MS", '#' begins a comment. The first point is at 0, times ascend, between
 * two points the delay changes evenly, and after the last it begins again.
 */
#ifndef APN_BENCH_PATH_TRACE_H
#define APN_BENCH_PATH_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define PATH_TRACE_POINTS_MAX 1000000

struct path_trace_point {
    int64_t at_ns, delay_ns;
};

struct path_trace {
    size_t count; /* at least 2 */
    int64_t delay_max_ns;
    struct path_trace_point point[];
};

/** path_trace_load() - read a file
 * @trace: set on success; give it back with free()
 * @text: receives a message with file, line and limit on failure
 * Return: 0 or -errno (-EINVAL for wrong content). */
int path_trace_load(const char *file, struct path_trace **trace, char *text, size_t text_bytes);

/** path_trace_delay() - the delay at a time
 * @since_ns: since the path came up; negative counts as 0 */
int64_t path_trace_delay(const struct path_trace *trace, int64_t since_ns);

#endif
