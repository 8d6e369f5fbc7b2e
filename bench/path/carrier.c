/* SPDX-License-Identifier: GPL-2.0-or-later */
/* carrier.c - see carrier.h */
#include "carrier.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define REALTIME_PRIORITY 20

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* sleep until a frame can be taken, one is due, or the end
 * @gone: directions whose device has failed and is not to be watched any more
 * Return: false at the end */
static bool wait_for_work(struct path_carrier *carrier, const bool gone[PATH_WAYS])
{
    struct pollfd fds[PATH_WAYS + 1];
    struct timespec limit;
    int64_t due = INT64_MAX, left;
    int n;

    for (int way = 0; way < PATH_WAYS; way++) {
        struct path_direction *direction = &carrier->direction[way];
        int64_t its_due = path_direction_next_due(direction);

        due = its_due < due ? its_due : due;
        fds[way] = (struct pollfd){.fd = gone[way] ? -1 : direction->from_fd, .events = POLLIN};
    }
    fds[PATH_WAYS] = (struct pollfd){.fd = carrier->stop_fd, .events = POLLIN};
    left = due == INT64_MAX ? 0 : due - now_ns();
    left = left < 0 ? 0 : left;
    limit = (struct timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    n = ppoll(fds, PATH_WAYS + 1, due == INT64_MAX ? NULL : &limit, NULL);
    return !(n > 0 && (fds[PATH_WAYS].revents & POLLIN));
}

static void *carrier_main(void *opaque)
{
    struct path_carrier *carrier = opaque;
    struct sched_param param = {.sched_priority = REALTIME_PRIORITY};
    bool gone[PATH_WAYS] = {false, false};
    bool run = true;

    prctl(PR_SET_NAME, "path-carrier");
    prctl(PR_SET_TIMERSLACK, 1);
    if (carrier->realtime) {
        /* best effort: without it the path is only as punctual as the machine is idle */
        pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    }
    while (run) {
        int work = 0;

        for (int way = 0; way < PATH_WAYS; way++) {
            struct path_direction *direction = &carrier->direction[way];
            int taken = gone[way] ? 0 : path_direction_take(direction);

            gone[way] = gone[way] || taken < 0;
            work += (taken > 0 ? taken : 0) + path_direction_deliver(direction);
        }
        if (work == 0) {
            run = wait_for_work(carrier, gone);
        }
    }
    return NULL;
}

int path_carrier_start(struct path_carrier *carrier, const int tun_fd[2],
                       const struct path_options *options)
{
    int result = 0;

    carrier->realtime = options->realtime;
    carrier->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (carrier->stop_fd < 0) {
        result = -errno;
    }
    for (int way = 0; result == 0 && way < PATH_WAYS; way++) {
        int from = way == PATH_WAY_AB ? 0 : 1;

        result = path_direction_init(&carrier->direction[way], tun_fd[from], tun_fd[1 - from],
                                     &options->limits[way], options->seed + (uint64_t)way);
    }
    if (result == 0) {
        result = -pthread_create(&carrier->thread, NULL, carrier_main, carrier);
        carrier->running = result == 0;
    }
    if (result < 0) {
        path_carrier_stop(carrier);
    }
    return result;
}

void path_carrier_stop(struct path_carrier *carrier)
{
    uint64_t one = 1;

    if (carrier->running) {
        if (write(carrier->stop_fd, &one, sizeof(one)) < 0) {
            return; /* cannot happen: the counter is far from full; leaking beats hanging in the join */
        }
        pthread_join(carrier->thread, NULL);
        carrier->running = false;
    }
    for (int way = 0; way < PATH_WAYS; way++) {
        path_direction_done(&carrier->direction[way]);
    }
    if (carrier->stop_fd > 0) {
        close(carrier->stop_fd);
        carrier->stop_fd = 0;
    }
}
