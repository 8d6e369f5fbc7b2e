/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* prefault.c - destination: give granules their memory before their pages arrive, off the lane threads
 * Owner: the session.   Thread: one worker; requests come from lane threads under the session lock.
 *
 * Only what the source announced is populated, so a sparse guest stays sparse (docs/guest-memory.md). A request that does not
 * fit is dropped: its pages fault on arrival, which is slower and just as right. */
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PREFAULT_QUEUE_MAX 8192u

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct range {
    unsigned region;
    uint64_t offset, bytes;
};

struct apn_prefault {
    struct apn_session *session;
    pthread_t thread;
    pthread_cond_t more;
    bool stop;                 /* under the session lock, as all below */
    uint32_t head, count;
    struct range queue[PREFAULT_QUEUE_MAX];
};

/* populating keeps what is there: a page that arrived first is not touched */
static bool populate(uint8_t *at, uint64_t bytes)
{
    return madvise(at, bytes, MADV_POPULATE_WRITE) == 0;
}

static void *worker(void *opaque)
{
    struct apn_prefault *p = opaque;
    struct apn_session *s = p->session;
    bool supported = true;

    pthread_mutex_lock(&s->lock);
    while (!p->stop) {
        struct range range;
        uint8_t *host;

        if (!p->count) {
            pthread_cond_wait(&p->more, &s->lock);
            continue;
        }
        range = p->queue[p->head];
        p->head = (p->head + 1) % PREFAULT_QUEUE_MAX;
        p->count--;
        host = s->regions[range.region].host;
        pthread_mutex_unlock(&s->lock);
        for (uint64_t done = 0; supported && done < range.bytes; done += APN_GRANULE_SIZE) {
            uint64_t piece = range.bytes - done < APN_GRANULE_SIZE ? range.bytes - done : APN_GRANULE_SIZE;

            supported = populate(host + range.offset + done, piece) || (errno != EINVAL && errno != ENOSYS);
        }
        pthread_mutex_lock(&s->lock);
        s->total.prefault_granules += (range.bytes + APN_GRANULE_SIZE - 1) / APN_GRANULE_SIZE;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int apn_prefault_start(struct apn_session *s)
{
    struct apn_prefault *p;

    if (s->config.prefault_off || s->env.manual) {
        return 0;
    }
    p = calloc(1, sizeof(*p));
    if (!p) {
        return -ENOMEM;
    }
    p->session = s;
    pthread_cond_init(&p->more, NULL);
    if (pthread_create(&p->thread, NULL, worker, p)) {
        pthread_cond_destroy(&p->more);
        free(p);
        return -EAGAIN;
    }
    s->prefault = p;
    return 0;
}

void apn_prefault_stop(struct apn_session *s)
{
    struct apn_prefault *p = s->prefault;

    if (!p) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    p->stop = true;
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&s->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->more);
    free(p);
    s->prefault = NULL;
}

void apn_prefault_request(struct apn_session *s, unsigned region, uint64_t offset, uint64_t bytes)
{
    struct apn_prefault *p = s->prefault;
    const struct apn_region *r;

    if (!p || !s->regions_matched || region >= s->peer_region_total || p->count == PREFAULT_QUEUE_MAX) {
        return;
    }
    r = &s->regions[s->peer_to_local[region]];
    if (!(r->flags & APN_REGION_PREFAULT) || offset % APN_PAGE_SIZE || bytes % APN_PAGE_SIZE || !bytes || offset > r->length ||
        bytes > r->length - offset) {
        return;
    }
    p->queue[(p->head + p->count++) % PREFAULT_QUEUE_MAX] = (struct range){s->peer_to_local[region], offset, bytes};
    pthread_cond_signal(&p->more);
}
