/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fetch.h - one URL, asked politely: only when changed, less often while it fails, last good kept
 * Owner: struct agent_fetch from _open to _close.   Thread: the one that opened it; blocks.
 * Time:  now_s from the caller.                     Units: seconds, bytes. */
#ifndef AGENT_GRID_FETCH_H
#define AGENT_GRID_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_FETCH_BACKOFF_FIRST_S 30
#define AGENT_FETCH_BACKOFF_MAX_S   3600
#define AGENT_FETCH_TIMEOUT_S       40

struct agent_fetch;

/** struct agent_fetched - the last good answer
 * @bytes: owned by the fetch, valid until the next try; NULL = there was none yet
 * @fetched_s: when the server last confirmed it. @failures: tries in a row that failed since */
struct agent_fetched {
    const char *bytes;
    size_t size;
    int64_t fetched_s;
    unsigned failures;
};

/** agent_fetch_open() - @cache: directory where the last good answer is kept over restarts, or NULL
 * @poll_s: time between tries while all is well. Return: 0, -EINVAL (no http or https), -ENOMEM. */
int agent_fetch_open(const char *url, const char *cache, double poll_s, struct agent_fetch **fetch,
                     struct agent_error *error);

/** agent_fetch_close() - NULL is fine */
void agent_fetch_close(struct agent_fetch *fetch);

/** agent_fetch_due_s() - when the next try is due */
int64_t agent_fetch_due_s(const struct agent_fetch *fetch);

/** agent_fetch_try() - ask now, due or not, for at most AGENT_FETCH_TIMEOUT_S
 * Return: 1 new content, 0 unchanged, -errno (host, HTTP status, size) with the time of the next
 * try in the text; the last good answer stays. */
int agent_fetch_try(struct agent_fetch *fetch, int64_t now_s, struct agent_error *error);

/** agent_fetch_last() - the last good answer, also one of an earlier run from the cache */
struct agent_fetched agent_fetch_last(const struct agent_fetch *fetch);

/** agent_fetch_backoff_s() - wait after @failures (1..) failed tries: doubling from the smaller of
 * poll_s and 30 s up to an hour, spread by ±10 % by @url so that many agents do not come together
 */
int64_t agent_fetch_backoff_s(const char *url, double poll_s, unsigned failures);

#endif
