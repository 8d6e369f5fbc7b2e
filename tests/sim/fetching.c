/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fetching.c - see fetching.h */
#include "sim/fetching.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

#define OUT_MAX 16u            /* reads at a time, less than the engine's own limit */
#define STAGING (8u * OUT_MAX) /* of several links; what a poll told is not overwritten before its next one */

struct reading {
    struct apn_link *link;
    unsigned region;
    uint64_t offset, due_ns;
};

/* backends know their links, and links have no room for us: one for all */
static struct {
    struct fetching_config config;
    struct fetching_counts counts;
    struct apn_session *session;
    const struct apn_backend_ops *real;
    struct apn_backend_ops ops;
    struct reading out[OUT_MAX]; /* oldest first */
    unsigned count;
    uint8_t staging[STAGING][APN_PAGE_SIZE];
    unsigned staged;
    uint64_t random;
} f;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool chance(unsigned percent)
{
    f.random = f.random * 6364136223846793005ull + 1442695040888963407ull;
    return (f.random >> 33) % 100 < percent;
}

static void drop(struct apn_link *link)
{
    unsigned kept = 0;

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < f.count; i++) {
        if (f.out[i].link != link) {
            f.out[kept++] = f.out[i];
        }
    }
    f.counts.lost += f.count - kept;
    f.count = kept;
    pthread_mutex_unlock(&lock);
}

static int begin(struct apn_link *link, unsigned region, uint64_t offset)
{
    uint64_t due = apn_session_now(f.session) + f.config.delay_ns;

    due += chance(f.config.late_percent) ? f.config.late_ns : 0;
    if (f.count == OUT_MAX || chance(f.config.refuse_percent)) {
        f.counts.refused++;
        return chance(50) ? -EAGAIN : -ENOTSUP;
    }
    if (f.count && f.out[f.count - 1].due_ns > due) {
        due = f.out[f.count - 1].due_ns;
    }
    f.out[f.count++] = (struct reading){link, region, offset, due};
    f.counts.begun++;
    return 0;
}

static int fake_fetch(struct apn_link *link, unsigned region, uint64_t offset, uint32_t bytes)
{
    int ret;

    assert(bytes == APN_PAGE_SIZE);
    pthread_mutex_lock(&lock);
    ret = begin(link, region, offset);
    pthread_mutex_unlock(&lock);
    return ret;
}

static bool is_due(const struct reading *r, const struct apn_link *link)
{
    return r->link == link && r->due_ns <= apn_session_now(f.session) && !(f.config.cut && f.config.cut(f.config.opaque));
}

/* a wait ends when a read does */
static int64_t shorter(struct apn_link *link, int64_t timeout_ns)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < f.count && timeout_ns; i++) {
        int64_t left = (int64_t)(f.out[i].due_ns - apn_session_now(f.session));

        left = left < 0 ? 0 : left;
        timeout_ns = f.out[i].link == link && (timeout_ns < 0 || left < timeout_ns) ? left : timeout_ns;
    }
    pthread_mutex_unlock(&lock);
    return timeout_ns;
}

static int fake_poll(struct apn_link *link, struct apn_event *events, unsigned max, int64_t timeout_ns)
{
    int n = f.real->poll(link, events, max, shorter(link, timeout_ns));

    if (n > 0 && events[n - 1].type == APN_EVENT_DOWN) {
        drop(link);
        return n;
    }
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < f.count && (unsigned)n < max;) {
        struct reading r = f.out[i];

        if (!is_due(&r, link)) {
            i++;
            continue;
        }
        f.staged = (f.staged + 1) % STAGING;
        memcpy(f.staging[f.staged], f.config.memory(f.config.opaque, r.region, r.offset), APN_PAGE_SIZE);
        events[n++] = (struct apn_event){.type = APN_EVENT_FETCHED,
                                         .msg = {.type = APN_MSG_POSTCOPY_PAGE,
                                                 .kind = APN_EXTENT_DATA,
                                                 .region = (uint16_t)r.region,
                                                 .offset = r.offset,
                                                 .span = APN_PAGE_SIZE,
                                                 .bytes = APN_PAGE_SIZE,
                                                 .payload = f.staging[f.staged]}};
        memmove(&f.out[i], &f.out[i + 1], (--f.count - i) * sizeof(r));
        f.counts.done++;
    }
    pthread_mutex_unlock(&lock);
    return n;
}

static void fake_close(struct apn_link *link)
{
    drop(link);
    f.real->link_close(link);
}

void fetching_install(struct apn_session *s, const struct fetching_config *config)
{
    memset(&f, 0, sizeof(f));
    f.config = *config;
    f.config.late_ns = config->late_ns ? config->late_ns : FETCHING_LATE_NS;
    f.session = s;
    f.real = s->backend->ops;
    f.random = config->seed;
    f.ops = *f.real;
    f.ops.fetch = fake_fetch;
    f.ops.poll = fake_poll;
    f.ops.link_close = fake_close;
    s->backend->ops = &f.ops;
}

uint64_t fetching_next(void)
{
    uint64_t next = UINT64_MAX;

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < f.count; i++) {
        next = f.out[i].due_ns < next ? f.out[i].due_ns : next;
    }
    pthread_mutex_unlock(&lock);
    return next;
}

struct fetching_counts fetching_counts(void)
{
    struct fetching_counts counts;

    pthread_mutex_lock(&lock);
    counts = f.counts;
    pthread_mutex_unlock(&lock);
    return counts;
}
