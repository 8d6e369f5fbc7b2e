/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats.c - the figures of apn-dpdk as JSON lines: the port, each queue, each channel, each neighbour; see helper.h
 * Thread: control; it reads what workers count, a little late at most. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dpdk/helper.h"

#define PATIENCE_MS 2000u
#define LINES_MAX   4096u

static void port_line(struct apn_helper *h, char text[APN_HELPER_TEXT])
{
    static const char *const waits[] = {"timer", "socket", "interrupt"};
    char conflict[sizeof(h->host.conflict)];

    pthread_mutex_lock(&h->host_lock);
    memcpy(conflict, h->host.conflict, sizeof(conflict));
    pthread_mutex_unlock(&h->host_lock);
    snprintf(text, APN_HELPER_TEXT,
             "{\"port\":\"%s\",\"mtu\":%u,\"queues\":%u,\"wait\":\"%s\",\"zero_copy\":%s,\"sums\":%s,\"rules\":%u,\"conflict\":\"%s\"}",
             h->nic.driver, h->nic.mtu, h->nic.queues, waits[h->nic.wait], h->nic.zerocopy ? "true" : "false",
             h->nic.sums_udp ? "true" : "false", h->rules, conflict);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void queue_line(const struct apn_worker *w, char text[APN_HELPER_TEXT])
{
    const struct apn_worker_counters *c = &w->counters;

    snprintf(text, APN_HELPER_TEXT,
             "{\"queue\":%u,\"received\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"send_failed\":%" PRIu64 ",\"copied_bytes\":%" PRIu64
             ",\"view_bytes\":%" PRIu64 ",\"handed_over\":%" PRIu64 ",\"sleeps\":%" PRIu64 ",\"no_buffer\":%" PRIu64 "}",
             w->queue, get(&c->received), get(&c->sent), get(&c->send_failed), get(&c->copied_bytes), get(&c->zerocopy_bytes),
             get(&c->handed_over), get(&c->sleeps), get(&c->no_buffer));
}

static void drop_line(const struct apn_helper *h, unsigned reason, char text[APN_HELPER_TEXT])
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < h->nic.queues; i++) {
        sum += get(&h->workers[i].counters.drops[reason]);
    }
    snprintf(text, APN_HELPER_TEXT, "{\"dropped\":\"%s\",\"frames\":%" PRIu64 "}", apn_drop_names[reason], sum);
}

static void channel_line(const struct apn_channel *c, char text[APN_HELPER_TEXT])
{
    char local[APN_IP_TEXT], remote[APN_IP_TEXT];

    snprintf(text, APN_HELPER_TEXT,
             "{\"channel\":%u,\"process\":%d,\"local\":\"%s %u\",\"remote\":\"%s %u\",\"sent\":%" PRIu64 ",\"received\":%" PRIu64
             ",\"overruns\":%" PRIu64 ",\"unreachable\":%" PRIu64 "}",
             c->number, (int)c->client->pid, c->key.local.family ? apn_ip_text(&c->key.local, local) : "any", c->key.local_port,
             c->key.remote.family ? apn_ip_text(&c->key.remote, remote) : "any", c->key.remote_port, get(&c->sent), get(&c->received),
             get(&c->rings.page->overruns), get(&c->unreachable));
}

static bool neighbour_line(struct apn_helper *h, unsigned n, char text[APN_HELPER_TEXT])
{
    static const char *const states[] = {"free", "incomplete", "reachable", "stale", "probe"};
    bool found = false;
    char ip[APN_IP_TEXT];

    pthread_mutex_lock(&h->host_lock);
    for (unsigned i = 0; i < APN_NEIGHBOURS && !found; i++) {
        const struct apn_neighbour *e = &h->host.neighbours.entries[i];

        if (e->state && n-- == 0) {
            snprintf(text, APN_HELPER_TEXT, "{\"neighbour\":\"%s\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"state\":\"%s\"}",
                     apn_ip_text(&e->ip, ip), e->mac[0], e->mac[1], e->mac[2], e->mac[3], e->mac[4], e->mac[5], states[e->state]);
            found = true;
        }
    }
    pthread_mutex_unlock(&h->host_lock);
    return found;
}

bool apn_stats_line(struct apn_helper *h, unsigned n, char text[APN_HELPER_TEXT])
{
    if (n == 0) {
        port_line(h, text);
        return true;
    }
    n -= 1;
    if (n < h->nic.queues) {
        queue_line(&h->workers[n], text);
        return true;
    }
    n -= h->nic.queues;
    if (n < APN_DROPS - 1) {
        drop_line(h, n + 1, text);
        return true;
    }
    n -= APN_DROPS - 1;
    for (unsigned i = 0; i < h->channels_end; i++) {
        if (h->channels[i].open && n-- == 0) {
            channel_line(&h->channels[i], text);
            return true;
        }
    }
    return neighbour_line(h, n, text);
}

int apn_stats_show(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct apn_helper_msg msg = {.type = APN_HELPER_STATS};
    int fds[APN_HELPER_FDS], ret;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    ret = fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) ? -errno : apn_helper_send(fd, &msg, NULL, 0);
    for (unsigned i = 0; !ret && i < LINES_MAX; i++) {
        ret = apn_helper_receive(fd, &msg, fds, PATIENCE_MS);
        if (!ret && (msg.code || !msg.text[0])) {
            ret = msg.code;
            break;
        }
        if (!ret) {
            puts(msg.text);
        }
    }
    if (ret) {
        fprintf(stderr, "apn-dpdk: %s: %s\n", path, ret == -ENOENT || ret == -ECONNREFUSED ? "no apn-dpdk runs there" : msg.text[0] ? msg.text : strerror(-ret));
    }
    if (fd >= 0) {
        close(fd);
    }
    return ret ? 1 : 0;
}
