/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_signals.c - poll what is due or readable, store it, tell the loop
 * Owner, thread, time, units: run_signals.h.
 *
 * A URL may take 40 s, so none of this is done by the loop. The thread has a connection of its own
 * to the store; the two meet only in SQLite. */
#include "cli/run_signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store/store.h"

#define LOOK_MAX_MS 1000 /* agent time may run fast: nobody sleeps for a slot */

struct follow {
    struct run_signals *signals;
    struct agent_source *source;
    int64_t newest_s;
    bool told_stale;
};

struct run_signals {
    struct agent_loop *loop;
    const struct agent_config *config;
    struct agent_store *store;
    void (*news)(void *opaque, const struct run_signals_news *news);
    void *opaque;
    struct follow follows[AGENT_CONFIG_SOURCES_MAX];
    size_t count;
    pthread_t thread;
    bool running;
    int stop_fd;
};

struct told {
    struct run_signals *signals;
    struct run_signals_news news;
};

static void tell(void *opaque)
{
    struct told *told = opaque;

    told->signals->news(told->signals->opaque, &told->news);
    free(told);
}

static void post(struct run_signals *signals, const struct run_signals_news *news)
{
    struct told *told = malloc(sizeof(*told));

    if (told != NULL) {
        *told = (struct told){signals, *news};
        if (agent_loop_post(signals->loop, tell, told) < 0) {
            free(told); /* 4,096 waiting: the store has the values all the same */
        }
    }
}

static void problem(void *opaque, const struct agent_error *error)
{
    struct follow *follow = opaque;
    struct run_signals_news news = {.points_added = 0};

    snprintf(news.source, sizeof(news.source), "%s", agent_source_config_of(follow->source)->name);
    agent_error_format(error, news.problem, sizeof(news.problem));
    post(follow->signals, &news);
}

static int keep(void *opaque, const struct agent_batch *batch)
{
    struct follow *follow = opaque;
    struct run_signals_news news = {.points_added = 0};
    struct agent_error error = {0};
    int added = agent_store_put_batch(follow->signals->store, batch, &error);

    if (added < 0) {
        problem(follow, &error);
        return added;
    }
    for (size_t at = 0; at < batch->count; at++) {
        const struct agent_series *series = &batch->series[at];
        const struct agent_point *last = &series->points[series->count - 1];
        int64_t end_s = last->start_s + last->length_s;
        follow->newest_s = end_s > follow->newest_s ? end_s : follow->newest_s;
    }
    follow->told_stale = false;
    snprintf(news.source, sizeof(news.source), "%s", batch->source);
    snprintf(news.format, sizeof(news.format), "%s", batch->format);
    news.points_added = added;
    if (added > 0) {
        post(follow->signals, &news);
    }
    return 0;
}

static void check_stale(struct follow *follow, int64_t now_s)
{
    const struct agent_source_config *config = agent_source_config_of(follow->source);
    struct agent_error error = {0};
    int64_t age_s = now_s - follow->newest_s;

    if (config->stale_s > 0 && follow->newest_s > 0 && !follow->told_stale &&
        (double)age_s > config->stale_s) {
        follow->told_stale = true;
        agent_error_set(&error, ESTALE,
                        "source %s: its newest value is %lld s old, the limit is %.0f s",
                        config->name, (long long)age_s, config->stale_s);
        problem(follow, &error);
    }
}

static void poll_sources(struct run_signals *signals, const struct pollfd *fds)
{
    for (size_t at = 0; at < signals->count; at++) {
        struct follow *follow = &signals->follows[at];
        int64_t now_s = agent_clock_now_s(agent_loop_clock(signals->loop));
        if (agent_source_due_s(follow->source) <= now_s || fds[at].revents != 0) {
            struct agent_sink sink = {keep, problem, follow};
            agent_source_poll(follow->source, now_s, &sink);
        }
        check_stale(follow, now_s);
    }
}

static void *run(void *opaque)
{
    struct run_signals *signals = opaque;
    struct pollfd fds[AGENT_CONFIG_SOURCES_MAX + 1];

    for (size_t at = 0; at < signals->count; at++) {
        fds[at] = (struct pollfd){agent_source_fd(signals->follows[at].source), POLLIN, 0};
    }
    fds[signals->count] = (struct pollfd){signals->stop_fd, POLLIN, 0};
    do {
        poll_sources(signals, fds);
    } while (poll(fds, signals->count + 1, LOOK_MAX_MS) < 0 || fds[signals->count].revents == 0);
    return NULL;
}

static int open_all(struct run_signals *signals, const char *store_path, struct agent_error *error)
{
    int status = agent_store_open(store_path, &signals->store, error);

    for (size_t at = 0; at < signals->config->source_count && status == 0; at++) {
        struct follow *follow = &signals->follows[at];
        status = agent_source_open(&signals->config->sources[at], &follow->source, error);
        follow->signals = signals;
        signals->count += status == 0 ? 1 : 0;
    }
    if (status == 0) {
        signals->stop_fd = eventfd(0, EFD_CLOEXEC);
        status = signals->stop_fd < 0
                     ? agent_error_set(error, errno, "eventfd: %s", strerror(errno))
                     : 0;
    }
    return status;
}

int run_signals_start(struct agent_loop *loop, const struct agent_config *config,
                      const char *store_path,
                      void (*news)(void *opaque, const struct run_signals_news *news), void *opaque,
                      struct run_signals **out, struct agent_error *error)
{
    *out = NULL;
    if (config->source_count == 0) {
        return 0;
    }
    struct run_signals *signals = calloc(1, sizeof(*signals));
    if (signals == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the sources");
    }
    signals->loop = loop;
    signals->config = config;
    signals->news = news;
    signals->opaque = opaque;
    signals->stop_fd = -1;
    int status = open_all(signals, store_path, error);
    if (status == 0) {
        int code = pthread_create(&signals->thread, NULL, run, signals);
        signals->running = code == 0;
        status = code == 0 ? 0 : agent_error_set(error, code, "thread: %s", strerror(code));
    }
    if (status < 0) {
        run_signals_stop(signals);
        return status;
    }
    *out = signals;
    return 0;
}

void run_signals_stop(struct run_signals *signals)
{
    if (signals == NULL) {
        return;
    }
    if (signals->running) {
        uint64_t one = 1;
        ssize_t written = write(signals->stop_fd, &one, sizeof(one));
        (void)written;
        pthread_join(signals->thread, NULL);
    }
    for (size_t at = 0; at < signals->count; at++) {
        agent_source_close(signals->follows[at].source);
    }
    if (signals->stop_fd >= 0) {
        close(signals->stop_fd);
    }
    agent_store_close(signals->store);
    free(signals);
}
