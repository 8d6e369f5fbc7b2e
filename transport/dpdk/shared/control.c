/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* control.c - see control.h */
#include "dpdk/shared/control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int apn_helper_send(int fd, struct apn_helper_msg *msg, const int *fds, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * APN_HELPER_FDS)];
    } control = {0};
    struct iovec iov = {msg, sizeof(*msg)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    msg->magic = APN_HELPER_MAGIC;
    msg->version = APN_HELPER_VERSION;
    if (n_fds) {
        struct cmsghdr *c = &control.align;

        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    do {
        n = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* keep the first that fit, close the rest */
static void take_fds(struct msghdr *header, int fds[APN_HELPER_FDS])
{
    unsigned kept = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (kept < APN_HELPER_FDS) {
                fds[kept++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

static int wait_readable(int fd, unsigned wait_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    int n = poll(&p, 1, (int)wait_ms);

    if (n < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    return n ? 0 : -ETIMEDOUT;
}

int apn_helper_receive(int fd, struct apn_helper_msg *msg, int fds[APN_HELPER_FDS], unsigned wait_ms)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * APN_HELPER_FDS)];
    } control;
    struct iovec iov = {msg, sizeof(*msg)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
    int ret = wait_ms ? wait_readable(fd, wait_ms) : 0;
    ssize_t n;

    for (unsigned i = 0; i < APN_HELPER_FDS; i++) {
        fds[i] = -1;
    }
    if (ret) {
        return ret;
    }
    n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == ECONNRESET) { /* closed without reading what we said: its last words come behind that error */
        header.msg_controllen = sizeof(control);
        n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    }
    if (n < 0) {
        return errno == EINTR || errno == EAGAIN ? -EAGAIN : errno == ECONNRESET ? -EPIPE : -errno;
    }
    take_fds(&header, fds);
    if (n == 0) {
        return -EPIPE;
    }
    if (n != sizeof(*msg) || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || msg->magic != APN_HELPER_MAGIC ||
        msg->version != APN_HELPER_VERSION || msg->n_addresses > APN_HELPER_ADDRESSES) {
        for (unsigned i = 0; i < APN_HELPER_FDS; i++) {
            if (fds[i] >= 0) {
                close(fds[i]);
                fds[i] = -1;
            }
        }
        return -EPROTO;
    }
    msg->text[sizeof(msg->text) - 1] = 0;
    return 0;
}

void apn_doorbell_ring(int fd)
{
    ssize_t n = send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)n; /* full: the other side has enough to wake up by; closed: it is told by the hang-up */
}

int apn_doorbell_drain(int fd)
{
    char bytes[64];
    ssize_t n;
    unsigned most = 64; /* who rings without end is read again at the next look */

    do {
        n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    } while (n > 0 && --most);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ? -EPIPE : 0;
}
