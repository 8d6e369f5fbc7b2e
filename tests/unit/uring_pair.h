/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uring_pair.h - two uring backends over loopback inside one test: a listening end and a connecting
 * one Owner: the test.   Thread: the test's; the accept thread only fills the mailbox.   Time:
 * monotonic. */
#ifndef TESTS_UNIT_URING_PAIR_H
#define TESTS_UNIT_URING_PAIR_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <apnmig/backend.h>

#include "backend/uring/uring.h"
#include "support/clock.h"

#define PAIR_REGION_BYTES (8u << 20)
#define PAIR_WAIT_NS      (5 * APN_NS_PER_S) /* longer than anything here takes */

struct pair {
    struct apn_backend *dest, *source;
    struct apn_link *in, *out; /* the lane's two ends */
    uint16_t port;
    uint8_t *memory; /* the destination's only region, index 0 */
    int refuse;      /* authorise() says this */
    uint64_t window_hint_bytes;
    const char *send_mode;
    const char *dest_secret, *source_secret;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct apn_link *attached;
    struct apn_hello hello; /* of the attached link */
    unsigned strangers;
    char stranger[300];
};

static inline void *pair_resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    struct pair *p = opaque;

    return region == 0 && offset <= PAIR_REGION_BYTES && span <= PAIR_REGION_BYTES - offset
               ? p->memory + offset
               : NULL;
}

static inline int pair_authorise(void *opaque, const struct apn_hello *hello,
                                 struct apn_welcome *welcome, struct apn_error *err)
{
    struct pair *p = opaque;

    if (p->refuse) {
        return apn_error_set(err, p->refuse, APN_SCOPE_SESSION, "another session has this port");
    }
    *welcome = (struct apn_welcome){.features = hello->features & 1, .applied_bytes = 4711};
    return 0;
}

static inline void pair_attach(void *opaque, const struct apn_hello *hello, struct apn_link *link)
{
    struct pair *p = opaque;

    pthread_mutex_lock(&p->lock);
    p->attached = link;
    p->hello = *hello;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static inline void pair_stranger(void *opaque, const char *text)
{
    struct pair *p = opaque;

    pthread_mutex_lock(&p->lock);
    p->strangers++;
    snprintf(p->stranger, sizeof(p->stranger), "%s", text);
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static inline struct timespec pair_deadline(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += (time_t)(PAIR_WAIT_NS / APN_NS_PER_S);
    return ts;
}

/* the link that the accept thread made, or NULL after 5 s */
static inline struct apn_link *pair_wait_attached(struct pair *p)
{
    struct timespec until = pair_deadline();
    struct apn_link *link;
    int ret = 0;

    pthread_mutex_lock(&p->lock);
    while (!p->attached && ret == 0) {
        ret = pthread_cond_timedwait(&p->changed, &p->lock, &until);
    }
    link = p->attached;
    p->attached = NULL;
    pthread_mutex_unlock(&p->lock);
    return link;
}

/* until @count strangers have been reported; false after 5 s. Their last words are in p->stranger.
 */
static inline bool pair_wait_strangers(struct pair *p, unsigned count)
{
    struct timespec until = pair_deadline();
    int ret = 0;
    bool enough;

    pthread_mutex_lock(&p->lock);
    while (p->strangers < count && ret == 0) {
        ret = pthread_cond_timedwait(&p->changed, &p->lock, &until);
    }
    enough = p->strangers >= count;
    pthread_mutex_unlock(&p->lock);
    return enough;
}

static inline const struct apn_hello *pair_hello(void)
{
    static const struct apn_hello hello = {.session_id = {1, 2, 3},
                                           .lane = 1,
                                           .lanes = 2,
                                           .generation = 1,
                                           .timeout_ms = 8000,
                                           .features = 3};

    return &hello;
}

/* both backends, the destination listening; Return: 0 or -errno with text */
static inline int pair_open(struct pair *p, const char *host, struct apn_error *err)
{
    const struct apn_acceptor acceptor = {pair_authorise, pair_attach, pair_stranger, p};
    struct apn_backend_config config = {
        .clock = &apn_clock_monotonic,
        .host = host,
        .port = "0",
        .secret = p->dest_secret,
        .secret_bytes = p->dest_secret ? strlen(p->dest_secret) : 0,
        .handshake_timeout_ms = 2000,
        .window_hint_bytes = p->window_hint_bytes,
        .send_mode = p->send_mode,
        .sink = {pair_resolve, p},
    };
    char port[8];
    int ret;

    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    ret = apn_uring_backend_new(&p->dest, &config, err);
    ret = ret ? ret : p->dest->ops->listen(p->dest, &acceptor, &p->port, err);
    if (ret) {
        return ret;
    }
    snprintf(port, sizeof(port), "%u", p->port);
    config.port = port;
    config.secret = p->source_secret;
    config.secret_bytes = p->source_secret ? strlen(p->source_secret) : 0;
    config.sink = (struct apn_sink){0};
    return apn_uring_backend_new(&p->source, &config, err);
}

static inline void pair_close(struct pair *p)
{
    if (p->out) {
        p->source->ops->link_close(p->out);
    }
    if (p->in) {
        p->dest->ops->link_close(p->in);
    }
    if (p->source) {
        p->source->ops->free(p->source);
    }
    if (p->dest) {
        p->dest->ops->free(p->dest);
    }
    if (p->attached) {
        p->attached->backend->ops->link_close(p->attached);
    }
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
}

/* one event, waiting up to 5 s; Return: false when there was none */
static inline bool pair_event(struct apn_link *link, struct apn_event *event)
{
    uint64_t until_ns = apn_clock_now(&apn_clock_monotonic) + PAIR_WAIT_NS;

    while (apn_clock_now(&apn_clock_monotonic) < until_ns) {
        if (link->backend->ops->poll(link, event, 1, (int64_t)PAIR_WAIT_NS) == 1) {
            return true;
        }
    }
    return false;
}

#endif
