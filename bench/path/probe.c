/* SPDX-License-Identifier: GPL-2.0-or-later */
/* probe.c - see probe.h */
#include "probe.h"

#include "netns.h"
#include "path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PROBE_PORT   47086
#define INTERVAL_NS  5000000
#define LAST_WAIT_MS 1500 /* after the largest delay that a path may have */

struct probe {
    int socket[2]; /* by end */
    unsigned count, got;
    int64_t *delays_ns;
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static struct sockaddr_in end_address(int end)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PROBE_PORT)};

    inet_pton(AF_INET, end == 0 ? "10.86.0.1" : "10.86.0.2", &address.sin_addr);
    return address;
}

static int open_end(const char *name, int end)
{
    char netns[PATH_NAME_MAX + 3];
    struct sockaddr_in address = end_address(end);
    struct timeval limit = {.tv_sec = LAST_WAIT_MS / 1000, .tv_usec = LAST_WAIT_MS % 1000 * 1000};
    int home, there, fd = -1, result;

    snprintf(netns, sizeof(netns), "%s-%c", name, 'a' + end);
    home = path_netns_self();
    if (home < 0) {
        return home;
    }
    there = path_netns_open(netns);
    if (there < 0) {
        close(home);
        return there;
    }
    result = path_netns_enter(there);
    if (result == 0) {
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
            result = -errno;
        }
        path_netns_enter(home);
    }
    close(there);
    close(home);
    if (result < 0 && fd >= 0) {
        close(fd);
    }
    return result < 0 ? result : fd;
}

struct receiver {
    struct probe *probe;
    int end;
};

static void *receive(void *opaque)
{
    struct receiver *receiver = opaque;
    struct probe *probe = receiver->probe;
    int64_t sent;

    while (probe->got < probe->count) {
        ssize_t n = recv(probe->socket[receiver->end], &sent, sizeof(sent), 0);

        if (n != (ssize_t)sizeof(sent)) {
            break;
        }
        probe->delays_ns[probe->got++] = now_ns() - sent;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int measure(struct probe *probe, int from)
{
    struct receiver receiver = {probe, 1 - from};
    struct sockaddr_in to = end_address(1 - from);
    pthread_t thread;
    int result;

    probe->got = 0;
    result = -pthread_create(&thread, NULL, receive, &receiver);
    if (result < 0) {
        return result;
    }
    for (unsigned i = 0; i < probe->count; i++) {
        struct timespec pause = {.tv_nsec = INTERVAL_NS};
        int64_t now;

        nanosleep(&pause, NULL);
        now = now_ns();
        if (sendto(probe->socket[from], &now, sizeof(now), 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
            result = -errno;
        }
    }
    pthread_join(thread, NULL);
    qsort(probe->delays_ns, probe->got, sizeof(*probe->delays_ns), compare);
    return result;
}

static double quantile_us(const struct probe *probe, double share)
{
    if (probe->got == 0) {
        return 0;
    }
    return (double)probe->delays_ns[(unsigned)(share * (probe->got - 1) + 0.5)] / 1e3;
}

int path_probe(const char *name, unsigned count)
{
    struct probe probe = {.socket = {-1, -1}, .count = count};
    int result = 0;

    prctl(PR_SET_TIMERSLACK, 1);
    probe.delays_ns = calloc(count, sizeof(*probe.delays_ns));
    if (!probe.delays_ns) {
        return -ENOMEM;
    }
    for (int end = 0; end < 2 && result == 0; end++) {
        probe.socket[end] = open_end(name, end);
        result = probe.socket[end] < 0 ? probe.socket[end] : 0;
    }
    printf(result == 0 ? "{" : "");
    for (int from = 0; from < 2 && result == 0; from++) {
        result = measure(&probe, from);
        printf("\"%s\":{\"sent\":%u,\"received\":%u,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}%s",
               from == 0 ? "ab" : "ba", probe.count, probe.got, quantile_us(&probe, 0.5),
               quantile_us(&probe, 0.99), quantile_us(&probe, 1), from == 0 ? "," : "}\n");
        if (result == 0 && probe.got == 0) {
            result = -EIO;
        }
    }
    for (int end = 0; end < 2; end++) {
        if (probe.socket[end] >= 0) {
            close(probe.socket[end]);
        }
    }
    free(probe.delays_ns);
    return result;
}
