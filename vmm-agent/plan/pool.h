/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.h - the same job on a range of items by a few threads; results go to the item's own place
 * Owner: struct plan_pool.   Thread: run by one thread at a time.
 * Time:  none.               Units:  items.
 *
 * Which thread does which item never matters to the result, so plans do not depend on the number
 * of threads. */
#ifndef AGENT_PLAN_POOL_H
#define AGENT_PLAN_POOL_H

#include "plan/route.h"

#define PLAN_THREADS_MAX 16

/** plan_job - do @item with this thread's @desk */
typedef void plan_job(void *context, struct plan_route_desk *desk, int item);

struct plan_pool;

/** plan_pool_new() - @threads 1..PLAN_THREADS_MAX, one of them the caller
 * Return: NULL when a thread or memory is not to be had. */
struct plan_pool *plan_pool_new(const struct plan_model *model, int threads);

/** plan_pool_run() - job(context, desk, item) for first <= item < end; returns when all are done */
void plan_pool_run(struct plan_pool *pool, plan_job *job, void *context, const int range[2]);

/** plan_pool_desk() - the caller's own desk, between runs */
struct plan_route_desk *plan_pool_desk(struct plan_pool *pool);

void plan_pool_free(struct plan_pool *pool);

#endif
