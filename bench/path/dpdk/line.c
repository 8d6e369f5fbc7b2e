/* SPDX-License-Identifier: GPL-2.0-or-later */
/* line.c - see line.h */
#include "line.h"

#include "../path.h"

#include <string.h>

void path_line_init(struct path_line *line, const struct path_limits *limits, uint64_t seed, int64_t now_ns)
{
    pthread_mutexattr_t attributes;

    memset(line, 0, sizeof(*line));
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&line->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    path_shape_init(&line->shape, limits, seed);
    line->shape.epoch_ns = now_ns;
}

enum path_verdict path_line_admit(struct path_line *line, int64_t now_ns, uint32_t wire_bytes, int64_t *due_ns)
{
    enum path_verdict verdict = PATH_DROP_CUT;
    uint64_t queued;

    line->counters.frames_in++;
    line->counters.bytes_in += wire_bytes;
    if (!path_cut_active(&line->cut, now_ns)) {
        verdict = path_shape_admit(&line->shape, now_ns, wire_bytes, due_ns);
    }
    if (verdict != PATH_PASS) {
        path_line_count(line, verdict, wire_bytes);
    }
    queued = path_shape_queued(&line->shape, now_ns);
    if (queued > line->counters.queue_peak_bytes) {
        line->counters.queue_peak_bytes = queued;
    }
    return verdict;
}

void path_line_count(struct path_line *line, enum path_verdict verdict, uint32_t wire_bytes)
{
    line->counters.frames[verdict]++;
    line->counters.bytes[verdict] += wire_bytes;
}

void path_line_set(struct path_line *line, double loss, const struct path_cut *cut)
{
    pthread_mutex_lock(&line->lock);
    line->shape.limits.loss = loss;
    line->cut = *cut;
    pthread_mutex_unlock(&line->lock);
}

void path_line_read(struct path_line *line, bool reset, struct path_counters *counters)
{
    pthread_mutex_lock(&line->lock);
    *counters = line->counters;
    counters->queue_now_bytes = path_shape_queued(&line->shape, path_now());
    if (reset) {
        memset(&line->counters, 0, sizeof(line->counters));
    }
    pthread_mutex_unlock(&line->lock);
}
