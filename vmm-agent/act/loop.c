/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.c - epoll, a heap of timers, an eventfd for other threads
 * Owner, thread, time, units: loop.h.
 *
 * Lock: posted_lock guards the posted list and the count of workers, nothing else. Watches that end
 * while events are being handed out are only marked and freed at the end of the round, because an
 * event for them may already have been fetched. */
#include "act/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define WAIT_MAX_NS (60 * AGENT_NS_PER_S) /* a stepped real-time clock is noticed within a minute  \
                                           */

struct agent_watch {
    struct agent_loop *loop;
    int fd;
    void (*fn)(void *opaque, uint32_t events);
    void *opaque;
    bool ended;
    struct agent_watch *next;          /* in loop->ended */
    struct agent_watch *newer, *older; /* in loop->watches */
};

struct posted {
    void (*fn)(void *opaque);
    void *opaque;
};

struct agent_loop {
    struct agent_clock *clock;
    int epoll_fd;
    int event_fd;
    int signal_fd;
    struct agent_watch *wake;
    struct agent_watch *signals;
    struct agent_watch *watches;
    struct agent_watch *ended;
    struct agent_timer **heap;
    int timer_count;
    int timer_room;
    uint64_t order;
    bool stopped;
    pthread_mutex_t posted_lock;
    pthread_cond_t workers_gone;
    struct posted *posted;
    size_t posted_count;
    int workers;
};

/* ---- timers: a binary heap, earliest first ------------------------------------------------ */

static bool earlier(const struct agent_timer *one, const struct agent_timer *other)
{
    return one->at_ns != other->at_ns ? one->at_ns < other->at_ns : one->order < other->order;
}

static void put(struct agent_loop *loop, int place, struct agent_timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

static void rise(struct agent_loop *loop, int place, struct agent_timer *timer)
{
    while (place > 0 && earlier(timer, loop->heap[(place - 1) / 2])) {
        put(loop, place, loop->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(loop, place, timer);
}

static void sink(struct agent_loop *loop, int place, struct agent_timer *timer)
{
    for (;;) {
        int child = 2 * place + 1;
        if (child + 1 < loop->timer_count && earlier(loop->heap[child + 1], loop->heap[child])) {
            child++;
        }
        if (child >= loop->timer_count || !earlier(loop->heap[child], timer)) {
            break;
        }
        put(loop, place, loop->heap[child]);
        place = child;
    }
    put(loop, place, timer);
}

void agent_timer_init(struct agent_timer *timer, struct agent_loop *loop, void (*fn)(void *opaque),
                      void *opaque)
{
    *timer = (struct agent_timer){.loop = loop, .fn = fn, .opaque = opaque, .place = -1};
}

void agent_timer_unset(struct agent_timer *timer)
{
    struct agent_loop *loop = timer->loop;

    if (loop == NULL || timer->place < 0) {
        return;
    }
    struct agent_timer *last = loop->heap[--loop->timer_count];
    int place = timer->place;
    timer->place = -1;
    if (last == timer) {
        return;
    }
    if (place > 0 && earlier(last, loop->heap[(place - 1) / 2])) {
        rise(loop, place, last);
    } else {
        sink(loop, place, last);
    }
}

int agent_timer_set(struct agent_timer *timer, int64_t at_ns)
{
    struct agent_loop *loop = timer->loop;

    agent_timer_unset(timer);
    if (loop->timer_count == loop->timer_room) {
        int room = loop->timer_room == 0 ? 64 : loop->timer_room * 2;
        struct agent_timer **heap =
            realloc(loop->heap, (size_t)room * sizeof(struct agent_timer *));
        if (heap == NULL) {
            return -ENOMEM;
        }
        loop->heap = heap;
        loop->timer_room = room;
    }
    timer->at_ns = at_ns;
    timer->order = loop->order++;
    rise(loop, loop->timer_count++, timer);
    return 0;
}

int agent_timer_after(struct agent_timer *timer, int64_t delay_ns)
{
    return agent_timer_set(timer, agent_loop_now_ns(timer->loop) + delay_ns);
}

/* Fires what was due when the round began; what is set meanwhile waits for the next. */
static int fire_timers(struct agent_loop *loop)
{
    int64_t now_ns = agent_loop_now_ns(loop);
    uint64_t before = loop->order;
    int fired = 0;

    while (loop->timer_count > 0 && loop->heap[0]->at_ns <= now_ns &&
           loop->heap[0]->order < before) {
        struct agent_timer *timer = loop->heap[0];
        agent_timer_unset(timer);
        timer->fn(timer->opaque);
        fired++;
    }
    return fired;
}

/* ---- descriptors -------------------------------------------------------------------------- */

int agent_loop_watch(struct agent_loop *loop, int fd, uint32_t events,
                     void (*fn)(void *opaque, uint32_t events), void *opaque,
                     struct agent_watch **out)
{
    struct agent_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL) {
        return -ENOMEM;
    }
    *watch = (struct agent_watch){.loop = loop, .fd = fd, .fn = fn, .opaque = opaque};
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        int code = errno;
        free(watch);
        return -code;
    }
    watch->older = loop->watches;
    if (loop->watches != NULL) {
        loop->watches->newer = watch;
    }
    loop->watches = watch;
    *out = watch;
    return 0;
}

int agent_loop_change(struct agent_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    return epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0 ? -errno : 0;
}

void agent_loop_unwatch(struct agent_watch *watch)
{
    if (watch == NULL || watch->ended) {
        return;
    }
    struct agent_loop *loop = watch->loop;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    if (watch->newer != NULL) {
        watch->newer->older = watch->older;
    } else {
        loop->watches = watch->older;
    }
    if (watch->older != NULL) {
        watch->older->newer = watch->newer;
    }
    watch->ended = true;
    watch->next = loop->ended;
    loop->ended = watch;
}

static void sweep(struct agent_loop *loop)
{
    while (loop->ended != NULL) {
        struct agent_watch *watch = loop->ended;
        loop->ended = watch->next;
        free(watch);
    }
}

/* ---- other threads ------------------------------------------------------------------------ */

int agent_loop_post(struct agent_loop *loop, void (*fn)(void *opaque), void *opaque)
{
    int status = 0;

    pthread_mutex_lock(&loop->posted_lock);
    if (loop->posted_count >= AGENT_LOOP_POSTED_MAX) {
        status = -EAGAIN;
    } else {
        loop->posted[loop->posted_count++] = (struct posted){fn, opaque};
    }
    pthread_mutex_unlock(&loop->posted_lock);
    if (status == 0) {
        uint64_t one = 1; /* a full counter is as good: the loop is awake already */
        ssize_t written = write(loop->event_fd, &one, sizeof(one));
        (void)written;
    }
    return status;
}

static void on_posted(void *opaque, uint32_t events)
{
    struct agent_loop *loop = opaque;
    uint64_t count;
    ssize_t got = read(loop->event_fd, &count, sizeof(count));

    (void)got;
    (void)events;
    pthread_mutex_lock(&loop->posted_lock);
    size_t waiting = loop->posted_count; /* not what these calls post themselves */
    while (waiting-- > 0) {
        struct posted call = loop->posted[0];
        loop->posted_count--;
        memmove(loop->posted, loop->posted + 1, loop->posted_count * sizeof(call));
        pthread_mutex_unlock(&loop->posted_lock);
        call.fn(call.opaque);
        pthread_mutex_lock(&loop->posted_lock);
    }
    pthread_mutex_unlock(&loop->posted_lock);
}

struct job {
    struct agent_loop *loop;
    void (*work)(void *opaque);
    void (*done)(void *opaque);
    void *opaque;
};

static void worker_left(struct agent_loop *loop)
{
    pthread_mutex_lock(&loop->posted_lock);
    loop->workers--;
    pthread_cond_broadcast(&loop->workers_gone);
    pthread_mutex_unlock(&loop->posted_lock);
}

static void *run_job(void *opaque)
{
    struct job *job = opaque;
    struct timespec pause = {0, 10 * 1000 * 1000};

    job->work(job->opaque);
    while (agent_loop_post(job->loop, job->done, job->opaque) == -EAGAIN) {
        nanosleep(&pause, NULL); /* the loop empties its list every round */
    }
    worker_left(job->loop);
    free(job);
    return NULL;
}

int agent_loop_work(struct agent_loop *loop, void (*work)(void *opaque), void (*done)(void *opaque),
                    void *opaque)
{
    pthread_t thread;
    bool room;

    if (loop->clock->virtual) {
        work(opaque);
        return agent_loop_post(loop, done, opaque);
    }
    pthread_mutex_lock(&loop->posted_lock);
    room = loop->workers < AGENT_LOOP_WORKERS_MAX;
    loop->workers += room ? 1 : 0;
    pthread_mutex_unlock(&loop->posted_lock);
    if (!room) {
        return -EAGAIN;
    }
    struct job *job = malloc(sizeof(*job));
    int code = ENOMEM;
    if (job != NULL) {
        *job = (struct job){loop, work, done, opaque};
        code = pthread_create(&thread, NULL, run_job, job);
    }
    if (code != 0) {
        free(job);
        worker_left(loop);
        return -code;
    }
    pthread_detach(thread);
    return 0;
}

void agent_loop_drain(struct agent_loop *loop)
{
    pthread_mutex_lock(&loop->posted_lock);
    while (loop->workers > 0) {
        pthread_cond_wait(&loop->workers_gone, &loop->posted_lock);
    }
    pthread_mutex_unlock(&loop->posted_lock);
    on_posted(loop, EPOLLIN);
}

static void on_signal(void *opaque, uint32_t events)
{
    struct agent_loop *loop = opaque;
    struct signalfd_siginfo signal;
    ssize_t got = read(loop->signal_fd, &signal, sizeof(signal));

    (void)events;
    if (got == sizeof(signal)) {
        agent_loop_stop(loop);
    }
}

int agent_loop_stop_on_signals(struct agent_loop *loop, struct agent_error *error)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    int status = loop->signal_fd < 0 ? -errno
                                     : agent_loop_watch(loop, loop->signal_fd, EPOLLIN, on_signal,
                                                        loop, &loop->signals);
    return status < 0 ? agent_error_set(error, status, "loop: signals: %s", strerror(-status)) : 0;
}

/* ---- the loop ----------------------------------------------------------------------------- */

int agent_loop_new(struct agent_clock *clock, struct agent_loop **out, struct agent_error *error)
{
    struct agent_loop *loop = calloc(1, sizeof(*loop));
    int status = 0;

    if (loop == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the event loop");
    }
    pthread_mutex_init(&loop->posted_lock, NULL);
    pthread_cond_init(&loop->workers_gone, NULL);
    loop->clock = clock;
    loop->signal_fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->posted = calloc(AGENT_LOOP_POSTED_MAX, sizeof(*loop->posted));
    if (loop->epoll_fd < 0 || loop->event_fd < 0) {
        status = -errno;
    } else {
        status = loop->posted == NULL ? -ENOMEM
                                      : agent_loop_watch(loop, loop->event_fd, EPOLLIN, on_posted,
                                                         loop, &loop->wake);
    }
    if (status < 0) {
        agent_loop_free(loop);
        return agent_error_set(error, status, "event loop: %s", strerror(-status));
    }
    *out = loop;
    return 0;
}

void agent_loop_free(struct agent_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    pthread_mutex_lock(&loop->posted_lock);
    while (loop->workers > 0) {
        pthread_cond_wait(&loop->workers_gone, &loop->posted_lock);
    }
    pthread_mutex_unlock(&loop->posted_lock);
    while (loop->watches != NULL) {
        agent_loop_unwatch(loop->watches);
    }
    sweep(loop);
    while (loop->timer_count > 0) {
        agent_timer_unset(loop->heap[0]);
    }
    if (loop->signal_fd >= 0) {
        close(loop->signal_fd);
    }
    if (loop->event_fd >= 0) {
        close(loop->event_fd);
    }
    if (loop->epoll_fd >= 0) {
        close(loop->epoll_fd);
    }
    pthread_cond_destroy(&loop->workers_gone);
    pthread_mutex_destroy(&loop->posted_lock);
    free(loop->posted);
    free(loop->heap);
    free(loop);
}

struct agent_clock *agent_loop_clock(const struct agent_loop *loop)
{
    return loop->clock;
}

int64_t agent_loop_now_ns(const struct agent_loop *loop)
{
    return agent_clock_mono_ns(loop->clock);
}

/* epoll's milliseconds, rounded up so that a timer is never looked at too early for nothing. */
static int wait_ms(const struct agent_loop *loop, int64_t wait_ns)
{
    int64_t until_ns = WAIT_MAX_NS;

    if (loop->timer_count > 0) {
        until_ns = loop->heap[0]->at_ns - agent_loop_now_ns(loop);
    }
    until_ns = until_ns < wait_ns ? until_ns : wait_ns;
    until_ns = until_ns > WAIT_MAX_NS ? WAIT_MAX_NS : until_ns;
    return until_ns <= 0 || loop->clock->virtual
               ? 0
               : (int)((until_ns + AGENT_NS_PER_MS - 1) / AGENT_NS_PER_MS);
}

int agent_loop_step(struct agent_loop *loop, int64_t wait_ns)
{
    struct epoll_event events[AGENT_LOOP_EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, AGENT_LOOP_EVENTS_MAX, wait_ms(loop, wait_ns));
    int calls = 0;

    if (count < 0 && errno != EINTR) {
        return -errno;
    }
    for (int at = 0; at < count; at++) {
        struct agent_watch *watch = events[at].data.ptr;
        if (!watch->ended) {
            watch->fn(watch->opaque, events[at].events);
            calls++;
        }
    }
    if (count <= 0 && loop->clock->virtual && loop->timer_count > 0) {
        int64_t limit_ns = agent_loop_now_ns(loop);
        limit_ns = wait_ns > INT64_MAX - limit_ns ? INT64_MAX : limit_ns + wait_ns;
        int64_t next_ns = loop->heap[0]->at_ns;
        agent_clock_advance(loop->clock, next_ns < limit_ns ? next_ns : limit_ns);
    }
    calls += fire_timers(loop);
    sweep(loop);
    return calls;
}

int agent_loop_run(struct agent_loop *loop)
{
    int status = 0;

    while (!loop->stopped && status >= 0) {
        status = agent_loop_step(loop, AGENT_LOOP_NEVER_NS);
    }
    return status < 0 ? status : 0;
}

void agent_loop_stop(struct agent_loop *loop)
{
    loop->stopped = true;
}

bool agent_loop_stopped(const struct agent_loop *loop)
{
    return loop->stopped;
}
