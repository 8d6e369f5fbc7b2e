/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/metrics_state.h"

#define NS_PER_S 1e9

static const char *const result_names[AGENT_RESULT_COUNT] = {"done", "failed", "cancelled",
                                                             "unknown"};
static const double request_bounds_s[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                          0.05,   0.1,   0.25,   0.5,   1,    5};
static const double response_bounds_s[] = {0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 120, 300};
static const double blackout_bounds_s[] = {0.005, 0.01, 0.02, 0.03, 0.05, 0.1,
                                           0.2,   0.3,  0.5,  1,    2,    5};

void agent_metrics_init(struct agent_metrics *metrics)
{
    memset(metrics, 0, sizeof(*metrics));
    metrics->request_s.bounds = request_bounds_s;
    metrics->blackout_s.bounds = blackout_bounds_s;
    metrics->response_s.bounds = response_bounds_s;
    metrics->request_s.count = metrics->blackout_s.count = metrics->response_s.count =
        AGENT_METRICS_BUCKETS_MAX;
}

static void observe(struct agent_histogram *histogram, double value)
{
    size_t index = 0;

    while (index < histogram->count && value > histogram->bounds[index]) {
        index++;
    }
    histogram->counts[index]++;
    histogram->sum += value;
}

void agent_metrics_request(struct agent_metrics *metrics, const char *route, unsigned status,
                           int64_t duration_ns)
{
    size_t index = 0;

    observe(&metrics->request_s, (double)duration_ns / NS_PER_S);
    while (index < metrics->series_count &&
           (metrics->series[index].route != route || metrics->series[index].status != status)) {
        index++;
    }
    if (index == metrics->series_count) {
        if (index == AGENT_METRICS_SERIES_MAX) {
            return; /* routes x statuses are far fewer; never a reason to fail */
        }
        metrics->series[index] = (struct agent_metrics_series){.route = route, .status = status};
        metrics->series_count++;
    }
    metrics->series[index].count++;
}

void agent_metrics_refused(struct agent_metrics *metrics)
{
    metrics->refused++;
}

void agent_metrics_overdue(struct agent_metrics *metrics)
{
    metrics->overdue++;
}

void agent_metrics_event(struct agent_metrics *metrics, const char *type, const json_t *event)
{
    const char *state = json_string_value(json_object_get(event, "state"));
    enum agent_metrics_result result = AGENT_RESULT_COUNT;

    metrics->events++;
    if (strcmp(type, "dr.changed") == 0) {
        const json_t *after = json_object_get(event, "changed_real_s");
        if (json_is_number(after)) {
            observe(&metrics->response_s, json_number_value(after));
        }
        return;
    }
    if (strcmp(type, "migration.end") != 0 || state == NULL) {
        return;
    }
    for (unsigned index = 0; index < AGENT_RESULT_COUNT; index++) {
        if (strcmp(state, result_names[index]) == 0) {
            result = (enum agent_metrics_result)index;
        }
    }
    if (result == AGENT_RESULT_COUNT) {
        return;
    }
    metrics->results[result]++;
    const json_t *bytes = json_object_get(event, "bytes");
    const json_t *blackout = json_object_get(event, "blackout_ms");
    metrics->moved_bytes += json_is_number(bytes) ? json_number_value(bytes) : 0;
    if (result == AGENT_RESULT_DONE && json_is_number(blackout)) {
        observe(&metrics->blackout_s, json_number_value(blackout) / 1000);
    }
}

void agent_metrics_family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void agent_metrics_label(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"') {
            fputc('\\', out);
        }
        if (*text == '\n') {
            fputs("\\n", out);
        } else {
            fputc(*text, out);
        }
    }
}

void agent_metrics_value(FILE *out, double value)
{
    if (isnan(value)) {
        fputs(" NaN\n", out);
    } else if (isinf(value)) {
        fputs(value > 0 ? " +Inf\n" : " -Inf\n", out);
    } else {
        fprintf(out, " %.12g\n", value);
    }
}

static void write_histogram(FILE *out, const char *name, const char *help,
                            const struct agent_histogram *histogram)
{
    uint64_t total = 0;

    agent_metrics_family(out, name, "histogram", help);
    for (size_t index = 0; index < histogram->count; index++) {
        total += histogram->counts[index];
        fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, histogram->bounds[index], total);
    }
    total += histogram->counts[histogram->count];
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.12g\n%s_count %" PRIu64 "\n", name,
            total, name, histogram->sum, name, total);
}

static void write_number(FILE *out, const char *name, const char *type, const char *help,
                         double value)
{
    agent_metrics_family(out, name, type, help);
    fputs(name, out);
    agent_metrics_value(out, value);
}

static void write_own(FILE *out, const struct agent_metrics *metrics,
                      const struct agent_metrics_now *now)
{
    agent_metrics_family(out, "vmm_agent_http_requests_total", "counter",
                         "Requests by route and HTTP status; status 0 had no answer.");
    for (size_t index = 0; index < metrics->series_count; index++) {
        fprintf(out, "vmm_agent_http_requests_total{route=\"%s\",code=\"%u\"} %" PRIu64 "\n",
                metrics->series[index].route, metrics->series[index].status,
                metrics->series[index].count);
    }
    write_histogram(out, "vmm_agent_http_request_duration_seconds",
                    "From the request line to the last byte of the answer; event streams included.",
                    &metrics->request_s);
    write_number(out, "vmm_agent_http_refused_total", "counter", "Calls without a valid secret.",
                 (double)metrics->refused);
    write_number(out, "vmm_agent_http_overdue_total", "counter",
                 "Connections cut because the client took longer than its limit.",
                 (double)metrics->overdue);
    write_number(out, "vmm_agent_http_connections", "gauge", "Open connections.", now->connections);
    write_number(out, "vmm_agent_event_streams", "gauge", "Open event streams.", now->streams);
    write_number(out, "vmm_agent_events_total", "counter", "Events told since the start.",
                 (double)metrics->events);
    agent_metrics_family(out, "vmm_agent_migrations_ended_total", "counter",
                         "Migrations that ended, by result.");
    for (unsigned index = 0; index < AGENT_RESULT_COUNT; index++) {
        fprintf(out, "vmm_agent_migrations_ended_total{result=\"%s\"} %" PRIu64 "\n",
                result_names[index], metrics->results[index]);
    }
    write_number(out, "vmm_agent_migration_bytes_total", "counter",
                 "Bytes sent by migrations that ended.", metrics->moved_bytes);
    write_histogram(out, "vmm_agent_migration_blackout_seconds",
                    "Last instruction at the source to first at the destination.",
                    &metrics->blackout_s);
    write_histogram(out, "vmm_agent_dr_response_seconds",
                    "From a demand-response call to the power change at the source.",
                    &metrics->response_s);
}

/* What Prometheus' client libraries call the process itself. */
static void write_process(FILE *out)
{
    struct rusage usage;
    long pages = 0;
    FILE *memory = fopen("/proc/self/statm", "re");

    if (memory != NULL) {
        if (fscanf(memory, "%*d %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(memory);
    }
    getrusage(RUSAGE_SELF, &usage);
    write_number(out, "process_resident_memory_bytes", "gauge", "Resident memory of the agent.",
                 (double)pages * (double)sysconf(_SC_PAGESIZE));
    write_number(out, "process_cpu_seconds_total", "counter", "CPU time of the agent.",
                 (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

int agent_metrics_write(const struct agent_metrics *metrics, const struct agent_metrics_now *now,
                        const json_t *state, char **text, size_t *size)
{
    FILE *out = open_memstream(text, size);

    if (out == NULL) {
        return -ENOMEM;
    }
    agent_metrics_write_state(out, state);
    write_own(out, metrics, now);
    write_process(out);
    if (fclose(out) != 0) {
        free(*text);
        *text = NULL;
        return -ENOMEM;
    }
    return 0;
}
