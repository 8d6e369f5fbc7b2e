/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.c - worker threads that sleep between runs
 * Owner: struct plan_pool.   Thread: see pool.h.   Time: none.   Units: items.
 *
 * Lock: pool->lock guards job, round, open, active and stop; items are claimed with an atomic. The
 * caller waits only for helpers that joined the round, so a helper the kernel wakes late costs
 * nothing on a busy machine. */
#include "plan/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct worker {
    struct plan_pool *pool;
    struct plan_route_desk desk;
    pthread_t thread;
};

struct plan_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t done;
    plan_job *job;
    void *context;
    atomic_int next;
    int end;
    unsigned round;
    bool open;  /* helpers may still join the round */
    int active; /* helpers in it */
    bool stop;
    int threads; /* workers[0] is the caller */
    struct worker workers[PLAN_THREADS_MAX];
};

static void do_items(struct plan_pool *pool, struct plan_route_desk *desk)
{
    for (;;) {
        int item = atomic_fetch_add(&pool->next, 1);
        if (item >= pool->end) {
            return;
        }
        pool->job(pool->context, desk, item);
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct plan_pool *pool = worker->pool;
    unsigned seen = 0;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->round == seen && !pool->stop) {
            pthread_cond_wait(&pool->work, &pool->lock);
        }
        if (pool->stop) {
            break;
        }
        seen = pool->round;
        if (!pool->open) {
            continue;
        }
        pool->active++;
        pthread_mutex_unlock(&pool->lock);
        do_items(pool, &worker->desk);
        pthread_mutex_lock(&pool->lock);
        if (--pool->active == 0) {
            pthread_cond_signal(&pool->done);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct plan_pool *plan_pool_new(const struct plan_model *model, int threads)
{
    struct plan_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL) {
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    threads = threads < 1 ? 1 : threads > PLAN_THREADS_MAX ? PLAN_THREADS_MAX : threads;
    while (pool->threads < threads) {
        struct worker *worker = &pool->workers[pool->threads];
        worker->pool = pool;
        if (plan_route_desk_init(&worker->desk, model) < 0) {
            break;
        }
        if (pool->threads > 0 && pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            plan_route_desk_done(&worker->desk);
            break;
        }
        pool->threads++;
    }
    if (pool->threads == 0) { /* fewer helpers than asked is only slower; none at all is not */
        plan_pool_free(pool);
        return NULL;
    }
    return pool;
}

void plan_pool_run(struct plan_pool *pool, plan_job *job, void *context, const int range[2])
{
    pthread_mutex_lock(&pool->lock);
    pool->job = job;
    pool->context = context;
    pool->end = range[1];
    atomic_store(&pool->next, range[0]);
    pool->open = true;
    pool->round++;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    do_items(pool, &pool->workers[0].desk);
    pthread_mutex_lock(&pool->lock);
    pool->open = false;
    while (pool->active > 0) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
}

struct plan_route_desk *plan_pool_desk(struct plan_pool *pool)
{
    return &pool->workers[0].desk;
}

void plan_pool_free(struct plan_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int index = 0; index < pool->threads; index++) {
        if (index > 0) {
            pthread_join(pool->workers[index].thread, NULL);
        }
        plan_route_desk_done(&pool->workers[index].desk);
    }
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
