/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trace.c - see trace.h */
#include "trace.h"

#include "shape.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 256
#define SECONDS_MAX    1e6
#define FIRST_ROOM     64

/* Return: 1 for a point, 0 for an empty line, -EINVAL */
static int parse_line(char *line, struct path_trace_point *point)
{
    double seconds, ms;
    char *end, *rest;

    line[strcspn(line, "#\r\n")] = '\0';
    if (line[strspn(line, " \t")] == '\0') {
        return 0;
    }
    seconds = strtod(line, &end);
    ms = strtod(end, &rest);
    if (end == line || rest == end || rest[strspn(rest, " \t")] != '\0' || !isfinite(seconds) ||
        !isfinite(ms) || seconds < 0 || seconds > SECONDS_MAX || ms < 0 || ms > (double)PATH_DELAY_MAX_NS / 1e6) {
        return -EINVAL;
    }
    point->at_ns = (int64_t)(seconds * 1e9 + 0.5);
    point->delay_ns = (int64_t)(ms * 1e6 + 0.5);
    return 1;
}

/* Return: 0, or -EINVAL when the point does not follow those before it, -ENOMEM, -E2BIG */
static int append(struct path_trace **trace, size_t *room, const struct path_trace_point *point)
{
    struct path_trace *t = *trace;

    if (t->count == 0 ? point->at_ns != 0 : point->at_ns <= t->point[t->count - 1].at_ns) {
        return -EINVAL;
    }
    if (t->count == PATH_TRACE_POINTS_MAX) {
        return -E2BIG;
    }
    if (t->count == *room) {
        *room *= 2;
        t = realloc(t, sizeof(*t) + *room * sizeof(t->point[0]));
        if (!t) {
            return -ENOMEM;
        }
        *trace = t;
    }
    t->point[t->count++] = *point;
    t->delay_max_ns = point->delay_ns > t->delay_max_ns ? point->delay_ns : t->delay_max_ns;
    return 0;
}

static int read_points(FILE *from, struct path_trace **trace, size_t *line_number)
{
    char line[LINE_MAX_BYTES];
    size_t room = FIRST_ROOM;
    int result = 0;

    while (result == 0 && fgets(line, sizeof(line), from)) {
        struct path_trace_point point;

        ++*line_number;
        result = strlen(line) + 1 == sizeof(line) ? -EINVAL : parse_line(line, &point);
        if (result > 0) {
            result = append(trace, &room, &point);
        }
    }
    return result < 0 ? result : ferror(from) ? -EIO : 0;
}

int path_trace_load(const char *file, struct path_trace **trace, char *text, size_t text_bytes)
{
    struct path_trace *loaded = calloc(1, sizeof(*loaded) + FIRST_ROOM * sizeof(loaded->point[0]));
    FILE *from = fopen(file, "re");
    size_t line_number = 0;
    int result = !from ? -errno : !loaded ? -ENOMEM : 0;

    if (result == 0) {
        result = read_points(from, &loaded, &line_number);
    }
    if (result == 0 && loaded->count < 2) {
        snprintf(text, text_bytes, "trace %s: %zu points, at least 2 are needed", file, loaded->count);
        result = -EINVAL;
    } else if (result == -EINVAL) {
        snprintf(text, text_bytes, "trace %s: line %zu is not 'SECONDS MS' with seconds from 0 ascending to 1000000 "
                 "and 0..1000 ms", file, line_number);
    } else if (result == -E2BIG) {
        snprintf(text, text_bytes, "trace %s: more than %d points", file, PATH_TRACE_POINTS_MAX);
    } else if (result < 0) {
        snprintf(text, text_bytes, "trace %s: %s", file, strerror(-result));
    }
    if (from) {
        fclose(from);
    }
    if (result < 0) {
        free(loaded);
        return result;
    }
    *trace = loaded;
    return 0;
}

int64_t path_trace_delay(const struct path_trace *trace, int64_t since_ns)
{
    const struct path_trace_point *point = trace->point;
    size_t low = 0, high = trace->count - 1;
    double share;

    since_ns = since_ns < 0 ? 0 : since_ns % point[high].at_ns;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;

        if (point[middle].at_ns <= since_ns) {
            low = middle;
        } else {
            high = middle;
        }
    }
    share = (double)(since_ns - point[low].at_ns) / (double)(point[high].at_ns - point[low].at_ns);
    return point[low].delay_ns + (int64_t)(share * (double)(point[high].delay_ns - point[low].delay_ns));
}
