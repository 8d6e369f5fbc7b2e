/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source.h - where signals come from: files, watched directories, URLs, meters, batteries
 * Owner: struct agent_source from _open to _close.   Thread: the one that opened it.
 * Time:  now_s from the caller of _poll.             Units: seconds, W. */
#ifndef AGENT_GRID_SOURCE_H
#define AGENT_GRID_SOURCE_H

#include "grid/series.h"

enum agent_source_kind {
    AGENT_SOURCE_FILE,       /* read again when it changed */
    AGENT_SOURCE_DIRECTORY,  /* every file in it, and each one that is written or moved there */
    AGENT_SOURCE_URL,        /* http or https, conditional requests, back-off, last good */
    AGENT_SOURCE_HOST_POWER, /* RAPL counters, else a model over CPU time */
    AGENT_SOURCE_BATTERY     /* /sys/class/power_supply */
};

/** struct agent_source_config - one source; texts are borrowed and must outlive the source
 * @name:     unique, for messages
 * @location: path, directory or URL; for meters the root of the file system ("" = "/"), so that
 *            tests and containers can point elsewhere
 * @format:   adapter name, NULL = recognise
 * @place:    host or battery name
 * @cache:    directory for what was fetched, NULL = keep it only in memory (URLs)
 * @poll_s:   how often to look; @stale_s: older than this is STALE, 0 = never
 * @idle_w, @busy_w: host power model: power at rest and with all CPUs busy
 * @overhead: wall-socket power ÷ metered power, 1 = as metered */
struct agent_source_config {
    enum agent_source_kind kind;
    const char *name;
    const char *location;
    const char *format;
    const char *place;
    const char *cache;
    enum agent_area area;
    double poll_s;
    double stale_s;
    double idle_w;
    double busy_w;
    double overhead;
};

/** struct agent_sink - who gets what a poll found; both called on the polling thread
 * @batch: a batch, valid during the call. Return: 0, or -errno to stop the poll.
 * @problem: one file or fetch failed; the poll goes on with the others */
struct agent_sink {
    int (*batch)(void *opaque, const struct agent_batch *batch);
    void (*problem)(void *opaque, const struct agent_error *error);
    void *opaque;
};

struct agent_source;

/** agent_source_open() - prepare; nothing is read yet. Return: 0 or -errno. */
int agent_source_open(const struct agent_source_config *config, struct agent_source **source,
                      struct agent_error *error);

/** agent_source_close() - NULL is fine */
void agent_source_close(struct agent_source *source);

/** agent_source_config_of() - the configuration it was opened with */
const struct agent_source_config *agent_source_config_of(const struct agent_source *source);

/** agent_source_fd() - readable when a poll would find something; -1 = poll by time only */
int agent_source_fd(const struct agent_source *source);

/** agent_source_due_s() - when to poll next; INT64_MAX = only when the fd says so */
int64_t agent_source_due_s(const struct agent_source *source);

/** agent_source_poll() - read what is new; URLs may block up to 40 s
 * Return: batches given to the sink, or what the sink returned. */
int agent_source_poll(struct agent_source *source, int64_t now_s, const struct agent_sink *sink);

/** agent_series_mark_stale() - flag every point STALE when the newest one ended more than @stale_s
 * before @now_s (0 = never): for copies that a decision leans on, not for history
 * Return: true when the series is stale. */
bool agent_series_mark_stale(struct agent_series *series, int64_t now_s, double stale_s);

#endif
