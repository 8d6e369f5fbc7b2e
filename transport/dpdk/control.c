/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* control.c - the unix socket: who may connect, and what they ask for; see helper.h. Thread: control (main). */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dpdk/helper.h"

#define EVENTS 16

enum { EVENT_LISTEN = APN_GUEST_CLIENTS, EVENT_STOP };

static void say(const struct apn_helper *h, const struct apn_client *c, const char *what)
{
    if (!h->options.quiet) {
        printf("apn-dpdk: process %d of user %u: %s\n", (int)c->pid, c->uid, what);
        fflush(stdout);
    }
}

/* ---- clients ------------------------------------------------------------------------ */

static bool is_allowed(const struct apn_options *o, uid_t uid, uid_t self)
{
    bool allowed = uid == 0 || uid == self;

    for (unsigned i = 0; i < o->n_allowed; i++) {
        allowed = allowed || o->allowed[i] == uid;
    }
    return allowed;
}

static void turn_away(int fd, int code, const char *text)
{
    struct apn_helper_msg msg = {.type = APN_HELPER_HELLO, .code = code};

    snprintf(msg.text, sizeof(msg.text), "%s", text);
    apn_helper_send(fd, &msg, NULL, 0);
    close(fd);
}

static void accept_one(struct apn_helper *h)
{
    struct ucred who;
    socklen_t bytes = sizeof(who);
    struct epoll_event event = {.events = EPOLLIN};
    struct apn_client *c = NULL;
    char text[80];
    int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) || !is_allowed(&h->options, who.uid, geteuid())) {
        snprintf(text, sizeof(text), "user %u may not use this port (apn-dpdk --allow-uid)", who.uid);
        turn_away(fd, -EACCES, text);
        return;
    }
    for (unsigned i = 0; i < APN_GUEST_CLIENTS && !c; i++) {
        if (h->clients[i].fd == -1) {
            c = &h->clients[i];
            event.data.u32 = i;
        }
    }
    if (!c || epoll_ctl(h->poll_fd, EPOLL_CTL_ADD, fd, &event)) {
        snprintf(text, sizeof(text), "%u programs use this port already, there is no room for more", APN_GUEST_CLIENTS);
        turn_away(fd, -EBUSY, text);
        return;
    }
    memset(c, 0, sizeof(*c));
    c->fd = fd;
    c->helper = h;
    c->pid = who.pid;
    c->uid = who.uid;
}

static void hang_up(struct apn_helper *h, struct apn_client *c, const char *why)
{
    bool drained = true;

    for (unsigned i = 0; i < APN_CHANNELS_MAX; i++) {
        if (h->channels[i].open && h->channels[i].client == c && !apn_channel_close(h, &h->channels[i], false)) {
            drained = false;
        }
    }
    for (unsigned i = 0; i < APN_GUEST_REGIONS && drained; i++) {
        apn_guest_unmap(&c->regions[i], h->nic.id);
    }
    if (!drained) {
        say(h, c, "the adapter still reads its memory after a second: that stays mapped");
    }
    if (c->greeted) {
        say(h, c, why);
    }
    close(c->fd);
    c->fd = drained ? -1 : -2;
}

/* ---- requests ----------------------------------------------------------------------- */

static int greet(struct apn_client *client, const struct apn_helper_msg *request, struct apn_helper_msg *answer)
{
    const struct apn_helper *h = client->helper;

    (void)request;
    answer->flags = (h->nic.zerocopy ? APN_HELPER_ZEROCOPY : 0) | (h->nic.is_device ? APN_HELPER_DEVICE : 0);
    answer->datagram_max4 = apn_helper_datagram_max(h, 4);
    answer->datagram_max6 = apn_helper_datagram_max(h, 6);
    for (unsigned i = 0; i < h->host.n_addresses && answer->n_addresses < APN_HELPER_ADDRESSES; i++) {
        struct apn_ring_address *a = &answer->addresses[answer->n_addresses++];

        a->family = h->host.addresses[i].ip.family;
        memcpy(a->ip, h->host.addresses[i].ip.bytes, sizeof(a->ip));
    }
    snprintf(answer->text, sizeof(answer->text), "%s", h->nic.driver);
    if (!client->greeted) {
        client->greeted = true;
        say(h, client, "connected");
    }
    return 0;
}

static int add_region(struct apn_client *client, const struct apn_helper_msg *request, struct apn_helper_msg *answer, int fd)
{
    struct apn_helper *h = client->helper;
    struct apn_guest_region *r;
    int ret;

    if (request->region >= APN_GUEST_REGIONS) {
        snprintf(answer->text, sizeof(answer->text), "region %u: there may be %u", request->region, APN_GUEST_REGIONS);
        return -ENOSPC;
    }
    if (client->regions[request->region].map) {
        snprintf(answer->text, sizeof(answer->text), "region %u is there already", request->region);
        return -EEXIST;
    }
    if (fd < 0) {
        snprintf(answer->text, sizeof(answer->text), "region %u came without its file", request->region);
        return -EBADF;
    }
    r = &client->regions[request->region];
    ret = apn_guest_map(r, fd, request->offset, request->length);
    if (!ret && h->nic.zerocopy && (!h->nic.is_device || request->flags & APN_HELPER_ZEROCOPY)) {
        int code = apn_guest_register(r, h->nic.id, h->nic.is_device);

        if (code) {
            snprintf(answer->text, sizeof(answer->text), "region %u is copied: it cannot be registered: %s", request->region,
                     strerror(-code));
        }
        answer->flags |= code ? 0 : APN_HELPER_ZEROCOPY;
    }
    if (!ret) { /* pinning a large guest takes its time; workers only see the result */
        pthread_rwlock_wrlock(&h->lock);
        r->base = r->ready;
        pthread_rwlock_unlock(&h->lock);
    }
    if (ret) {
        snprintf(answer->text, sizeof(answer->text), "region %u: %llu bytes at %llu of its file cannot be mapped: %s", request->region,
                 (unsigned long long)request->length, (unsigned long long)request->offset, strerror(-ret));
    }
    return ret;
}

static int close_channel(struct apn_client *client, const struct apn_helper_msg *request, struct apn_helper_msg *answer)
{
    struct apn_helper *h = client->helper;

    if (request->channel >= APN_CHANNELS_MAX || !h->channels[request->channel].open ||
        h->channels[request->channel].client != client) {
        snprintf(answer->text, sizeof(answer->text), "channel %u is not open here", request->channel);
        return -ENOENT;
    }
    if (!apn_channel_close(h, &h->channels[request->channel], true)) {
        snprintf(answer->text, sizeof(answer->text), "channel %u: the adapter still reads guest memory", request->channel);
        return -ETIMEDOUT;
    }
    return 0;
}

static int send_stats(struct apn_client *client)
{
    struct apn_helper_msg msg = {.type = APN_HELPER_STATS};
    int ret = 0;

    for (unsigned n = 0; !ret && apn_stats_line(client->helper, n, msg.text); n++) {
        ret = apn_helper_send(client->fd, &msg, NULL, 0);
    }
    memset(msg.text, 0, sizeof(msg.text));
    return ret ? ret : apn_helper_send(client->fd, &msg, NULL, 0);
}

static int serve(struct apn_client *client, const struct apn_helper_msg *request, int fd)
{
    struct apn_helper_msg answer = {.type = request->type};
    int fds[2] = {-1, -1}, ret;
    unsigned n_fds = 0;

    if (request->type == APN_HELPER_STATS) {
        return send_stats(client);
    }
    if (!client->greeted && request->type != APN_HELPER_HELLO) {
        return -EPROTO;
    }
    switch (request->type) {
    case APN_HELPER_HELLO:
        answer.code = greet(client, request, &answer);
        break;
    case APN_HELPER_REGION:
        answer.code = add_region(client, request, &answer, fd);
        break;
    case APN_HELPER_OPEN:
        answer.code = apn_channel_open(client, request, &answer, fds);
        n_fds = answer.code ? 0 : 2;
        break;
    case APN_HELPER_CLOSE:
        answer.code = close_channel(client, request, &answer);
        break;
    default:
        return -EPROTO;
    }
    ret = apn_helper_send(client->fd, &answer, fds, n_fds);
    for (unsigned i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    return ret;
}

static void hear(struct apn_helper *h, struct apn_client *client)
{
    struct apn_helper_msg request;
    int fds[APN_HELPER_FDS];
    int ret = apn_helper_receive(client->fd, &request, fds, 0);

    if (!ret) {
        ret = serve(client, &request, fds[0]);
        for (unsigned i = 0; i < APN_HELPER_FDS; i++) {
            if (fds[i] >= 0) {
                close(fds[i]);
            }
        }
    }
    if (ret == -EPIPE) {
        bool broken = false;

        for (unsigned i = 0; i < APN_GUEST_REGIONS; i++) {
            broken = broken || atomic_load(&client->regions[i].broken);
        }
        for (unsigned i = 0; i < APN_CHANNELS_MAX; i++) {
            broken = broken || (h->channels[i].open && h->channels[i].client == client && h->channels[i].broken);
        }
        hang_up(h, client, broken ? "dismissed: its rings or its memory made no sense" : "gone");
    } else if (ret && ret != -EAGAIN) {
        hang_up(h, client, ret == -EPROTO ? "dismissed: it does not speak this protocol" : "dismissed: it does not read its answers");
    }
}

/* ---- the socket ----------------------------------------------------------------------- */

/* Return: true when nobody listens at a socket that is left over */
static bool is_left_over(const struct sockaddr_un *address)
{
    struct stat file;
    int fd, ret;

    if (lstat(address->sun_path, &file) || !S_ISSOCK(file.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ret = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
    close(fd);
    return ret == ECONNREFUSED;
}

static int bind_socket(struct apn_helper *h)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct group *group = h->options.group ? getgrnam(h->options.group) : NULL;
    const mode_t mask = umask(0117); /* 0660 from the first moment on */
    int ret;

    if (strlen(h->options.socket) >= sizeof(address.sun_path)) {
        umask(mask);
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, h->options.socket, strlen(h->options.socket));
    if (is_left_over(&address)) {
        unlink(address.sun_path);
    }
    ret = bind(h->listen_fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
    umask(mask);
    if (!ret && group && chown(address.sun_path, (uid_t)-1, group->gr_gid)) {
        ret = -errno;
        unlink(address.sun_path);
    }
    h->bound = !ret;
    return ret ? ret : listen(h->listen_fd, 8) ? -errno : 0;
}

int apn_control_open(struct apn_helper *h)
{
    struct epoll_event listen_event = {.events = EPOLLIN, .data.u32 = EVENT_LISTEN};
    struct epoll_event stop_event = {.events = EPOLLIN, .data.u32 = EVENT_STOP};
    int ret;

    for (unsigned i = 0; i < APN_GUEST_CLIENTS; i++) {
        h->clients[i].fd = -1;
    }
    h->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    h->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    ret = h->listen_fd < 0 || h->poll_fd < 0 ? -errno : bind_socket(h);
    if (!ret && (epoll_ctl(h->poll_fd, EPOLL_CTL_ADD, h->listen_fd, &listen_event) ||
                 epoll_ctl(h->poll_fd, EPOLL_CTL_ADD, h->stop_fd, &stop_event))) {
        ret = -errno;
    }
    if (ret) {
        fprintf(stderr, "apn-dpdk: socket %s: %s%s\n", h->options.socket, strerror(-ret),
                ret == -EADDRINUSE ? ": another apn-dpdk serves it" : ret == -ENOENT ? ": its directory is missing" : "");
    }
    return ret;
}

void apn_control_run(struct apn_helper *h)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int n = epoll_wait(h->poll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            const uint32_t from = events[i].data.u32;

            if (from == EVENT_STOP) {
                return;
            }
            if (from == EVENT_LISTEN) {
                accept_one(h);
            } else if (from < APN_GUEST_CLIENTS && h->clients[from].fd >= 0) {
                hear(h, &h->clients[from]);
            }
        }
    }
}

void apn_control_close(struct apn_helper *h)
{
    for (unsigned i = 0; i < APN_GUEST_CLIENTS; i++) {
        if (h->clients[i].fd >= 0) {
            hang_up(h, &h->clients[i], "dismissed: apn-dpdk ends");
        }
    }
    if (h->listen_fd >= 0) {
        close(h->listen_fd);
    }
    if (h->bound) {
        unlink(h->options.socket);
    }
    if (h->poll_fd >= 0) {
        close(h->poll_fd);
    }
}
