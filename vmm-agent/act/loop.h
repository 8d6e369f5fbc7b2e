/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.h - one thread waits for descriptors, timers and calls from other threads
 * Owner: struct agent_loop, _new/_free; it borrows the clock.
 * Thread: the one that runs it; only agent_loop_post() may be called from others.
 * Time:  the clock's monotonic time; with a virtual clock the loop moves it to the next timer when
 *        nothing is readable, so a simulated day takes as long as its work.
 * Units: ns.
 *
 * Nothing called from the loop may block for long (a commit of the store is the longest that is
 * meant to); what blocks goes to agent_loop_work(), which runs it on a thread of its own and brings
 * the answer back. Callbacks may add and remove anything, themselves included. */
#ifndef AGENT_ACT_LOOP_H
#define AGENT_ACT_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "act/clock.h"

#define AGENT_LOOP_POSTED_MAX  4096
#define AGENT_LOOP_EVENTS_MAX  64
#define AGENT_LOOP_NEVER_NS    INT64_MAX
#define AGENT_LOOP_WORKERS_MAX 8

struct agent_loop;
struct agent_watch; /* a descriptor the loop looks at */

/** agent_loop_new() - @clock is borrowed. Return: 0 or -errno. */
int agent_loop_new(struct agent_clock *clock, struct agent_loop **out, struct agent_error *error);

/** agent_loop_free() - waits for workers; watches and timers left over are forgotten, descriptors
 * stay open. NULL is fine. */
void agent_loop_free(struct agent_loop *loop);

struct agent_clock *agent_loop_clock(const struct agent_loop *loop);

/** agent_loop_now_ns() - monotonic time */
int64_t agent_loop_now_ns(const struct agent_loop *loop);

/** agent_loop_watch() - call @fn when @fd has one of @events (EPOLLIN, EPOLLOUT; errors and hang-up
 * always come)
 * @fd: borrowed; end the watch before closing it. *@out: ended by agent_loop_unwatch().
 * Return: 0, -ENOMEM, -errno of epoll. */
int agent_loop_watch(struct agent_loop *loop, int fd, uint32_t events,
                     void (*fn)(void *opaque, uint32_t events), void *opaque,
                     struct agent_watch **out);

/** agent_loop_change() - other events for the same descriptor. Return: 0 or -errno. */
int agent_loop_change(struct agent_watch *watch, uint32_t events);

/** agent_loop_unwatch() - no call comes after it; NULL is fine */
void agent_loop_unwatch(struct agent_watch *watch);

/** struct agent_timer - embedded in whoever waits; zeroed by agent_timer_init()
 * It fires once; set it again from its function to repeat. Unset it before its memory goes. */
struct agent_timer {
    struct agent_loop *loop;
    void (*fn)(void *opaque);
    void *opaque;
    int64_t at_ns;
    uint64_t order; /* equal times fire in the order they were set */
    int place;      /* in the heap, -1 = not set */
};

void agent_timer_init(struct agent_timer *timer, struct agent_loop *loop, void (*fn)(void *opaque),
                      void *opaque);

/** agent_timer_set() - fire at monotonic @at_ns, or next time round when that is past
 * Replaces an earlier setting. Return: 0 or -ENOMEM. */
int agent_timer_set(struct agent_timer *timer, int64_t at_ns);

/** agent_timer_after() - the same, @delay_ns from now */
int agent_timer_after(struct agent_timer *timer, int64_t delay_ns);

void agent_timer_unset(struct agent_timer *timer);

static inline bool agent_timer_is_set(const struct agent_timer *timer)
{
    return timer->place >= 0;
}

/** agent_loop_post() - run @fn on the loop's thread; from any thread, any time
 * Return: 0, -EAGAIN (AGENT_LOOP_POSTED_MAX are waiting), -ENOMEM. */
int agent_loop_post(struct agent_loop *loop, void (*fn)(void *opaque), void *opaque);

/** agent_loop_work() - run @work on a thread, then @done on the loop's
 * @work and @done share @opaque; the loop does not touch it. Return: 0, -EAGAIN (all
 * AGENT_LOOP_WORKERS_MAX threads are busy), -errno of the thread. With a virtual clock the work is
 * done at once, so that a simulation stays repeatable. */
int agent_loop_work(struct agent_loop *loop, void (*work)(void *opaque), void (*done)(void *opaque),
                    void *opaque);

/** agent_loop_drain() - let work under way end and bring its answers; nothing new should come */
void agent_loop_drain(struct agent_loop *loop);

/** agent_loop_stop_on_signals() - SIGINT and SIGTERM end agent_loop_run(); SIGPIPE is ignored
 * Call it before any thread is started. Return: 0 or -errno. */
int agent_loop_stop_on_signals(struct agent_loop *loop, struct agent_error *error);

/** agent_loop_run() - until agent_loop_stop() or such a signal. Return: 0 or -errno of epoll. */
int agent_loop_run(struct agent_loop *loop);

/** agent_loop_step() - handle what is ready, waiting at most @wait_ns for something (0 = not)
 * Return: calls made, or -errno. For tests and for nesting. */
int agent_loop_step(struct agent_loop *loop, int64_t wait_ns);

void agent_loop_stop(struct agent_loop *loop);

bool agent_loop_stopped(const struct agent_loop *loop);

#endif
