/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics.h - the text that Prometheus reads
 * Owner: struct agent_metrics embedded in struct agent_api.   Thread: the loop, no locks.
 * Time:  durations from the caller.                           Units:  ns in, base units out.
 *
 * Text exposition format 0.0.4, names by Prometheus' conventions: vmm_agent_ first, base unit last,
 * _total for what only grows. Gauges are read from the state document when asked; what only grows
 * within this process is counted here. */
#ifndef AGENT_API_METRICS_H
#define AGENT_API_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AGENT_METRICS_SERIES_MAX  256
#define AGENT_METRICS_BUCKETS_MAX 12

/** struct agent_histogram - cumulative counts are made when printing
 * @bounds: upper bounds in the base unit, ascending; static */
struct agent_histogram {
    const double *bounds;
    size_t count;
    uint64_t counts[AGENT_METRICS_BUCKETS_MAX + 1];
    double sum;
};

/** struct agent_metrics_series - requests of one route with one status */
struct agent_metrics_series {
    const char *route;
    unsigned status;
    uint64_t count;
};

/* How a migration can end, in the words of the state document. */
enum agent_metrics_result {
    AGENT_RESULT_DONE,
    AGENT_RESULT_FAILED,
    AGENT_RESULT_CANCELLED,
    AGENT_RESULT_UNKNOWN,
    AGENT_RESULT_COUNT
};

struct agent_metrics {
    struct agent_metrics_series series[AGENT_METRICS_SERIES_MAX];
    size_t series_count;
    uint64_t refused;
    uint64_t overdue;
    uint64_t events;
    uint64_t results[AGENT_RESULT_COUNT];
    double moved_bytes;
    struct agent_histogram request_s;
    struct agent_histogram blackout_s;
    struct agent_histogram response_s; /* demand response: from the call to the power change */
};

/** struct agent_metrics_now - what the server itself counts at this moment */
struct agent_metrics_now {
    unsigned connections;
    unsigned streams;
};

void agent_metrics_init(struct agent_metrics *metrics);

/** agent_metrics_request() - one request was answered (or not: @status 0)
 * @route: static text. */
void agent_metrics_request(struct agent_metrics *metrics, const char *route, unsigned status,
                           int64_t duration_ns);

/** agent_metrics_refused() - a caller without a valid secret */
void agent_metrics_refused(struct agent_metrics *metrics);

/** agent_metrics_overdue() - a connection was ended by its deadline */
void agent_metrics_overdue(struct agent_metrics *metrics);

/** agent_metrics_event() - feed the histograms from an event */
void agent_metrics_event(struct agent_metrics *metrics, const char *type, const json_t *event);

/** agent_metrics_write() - the whole page
 * @state: the state document; members that are missing or of another type are left out
 * @text: caller frees. Return: 0 or -ENOMEM. */
int agent_metrics_write(const struct agent_metrics *metrics, const struct agent_metrics_now *now,
                        const json_t *state, char **text, size_t *size);

#endif
