/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kernel_facts.c - what the uring backend relies on in the kernel, each fact shown by itself over
 * loopback
 *
 * Facts
 *   low-water    a receive that polls first sleeps until SO_RCVLOWAT bytes are there, and ends at
 * once when the peer leaves wait-all     a send with MSG_WAITALL completes once, with all its
 * bytes, although the socket buffer is small usage        a zero-copy send reports afterwards
 * whether it was copied; over loopback it was reset        connect(AF_UNSPEC) ends a send that is
 * stuck and frees its memory at once, with the fd still open wake         a multishot poll of an
 * eventfd fires for every write after a read Exit 77: no io_uring, or no SENDMSG_ZC, here. Owner:
 * the process.   Thread: main and one helper.   Time: CLOCK_MONOTONIC.   Units: bytes, ns. */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SKIPPED   77
#define BIG       (4u << 20)
#define LOW_WATER 100000
#define WAIT_S    5

#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3)
#endif
#ifndef IORING_NOTIF_USAGE_ZC_COPIED
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#endif

static struct io_uring ring;
static int near_fd, far_fd; /* a TCP connection with itself */
static uint8_t *bytes;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: not true: %s (errno %d)\n", __LINE__, #condition, errno);    \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool open_connection(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), small = 64 << 10;

    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(listener, 1) == 0 &&
          getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    near_fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(near_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    CHECK(connect(near_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    far_fd = accept(listener, NULL, NULL);
    close(listener);
    CHECK(far_fd >= 0);
    return true;
}

static void close_connection(void)
{
    close(near_fd);
    close(far_fd);
}

/* one completion, waiting at most @wait_ms; Return: false when there was none */
static bool complete(struct io_uring_cqe *out, unsigned wait_ms)
{
    struct __kernel_timespec ts = {wait_ms / 1000, (long long)(wait_ms % 1000) * 1000000};
    struct io_uring_cqe *cqe;

    if (io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &ts, NULL) < 0 ||
        io_uring_peek_cqe(&ring, &cqe)) {
        return false;
    }
    *out = *cqe;
    io_uring_cqe_seen(&ring, cqe);
    return true;
}

static bool low_water(void)
{
    struct io_uring_sqe *sqe;
    struct io_uring_cqe cqe;
    int wish = LOW_WATER;

    CHECK(open_connection());
    CHECK(setsockopt(far_fd, SOL_SOCKET, SO_RCVLOWAT, &wish, sizeof(wish)) == 0);
    CHECK(send(near_fd, bytes, LOW_WATER / 2, 0) == LOW_WATER / 2);
    for (unsigned part = 0; part < 2; part++) {
        sqe = io_uring_get_sqe(&ring);
        io_uring_prep_recv(sqe, far_fd, bytes, BIG, 0);
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        CHECK(!complete(&cqe, 50)); /* half is there: it sleeps */
        if (part == 0) {
            CHECK(send(near_fd, bytes, LOW_WATER / 2, 0) == LOW_WATER / 2);
            CHECK(complete(&cqe, WAIT_S * 1000) && cqe.res == LOW_WATER);
            CHECK(send(near_fd, bytes, LOW_WATER / 2, 0) == LOW_WATER / 2);
        }
    }
    shutdown(near_fd, SHUT_WR);
    CHECK(complete(&cqe, WAIT_S * 1000) &&
          cqe.res == LOW_WATER / 2); /* the peer left: what is there comes */
    close_connection();
    return true;
}

static bool wait_all(void)
{
    struct iovec iov = {bytes, BIG};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct io_uring_cqe cqe;
    size_t drained = 0;
    bool done = false;

    CHECK(open_connection());
    io_uring_prep_sendmsg(io_uring_get_sqe(&ring), near_fd, &message, MSG_WAITALL | MSG_NOSIGNAL);
    for (unsigned i = 0; i < 100000 && (!done || drained < BIG); i++) {
        static uint8_t sink[64 << 10];
        ssize_t n;

        if (!done && complete(&cqe, 0)) {
            CHECK(cqe.res == (int)BIG);
            done = true;
        }
        n = recv(far_fd, sink, sizeof(sink), MSG_DONTWAIT);
        drained += n > 0 ? (size_t)n : 0;
    }
    CHECK(done && drained == BIG);
    close_connection();
    return true;
}

static void prepare_zerocopy(struct msghdr *message)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    io_uring_prep_sendmsg_zc(sqe, near_fd, message, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->ioprio |= IORING_SEND_ZC_REPORT_USAGE;
}

static bool usage(void)
{
    static uint8_t sink[64 << 10];
    struct iovec iov = {bytes, 32 << 10};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct io_uring_cqe cqe;

    CHECK(open_connection());
    prepare_zerocopy(&message);
    CHECK(complete(&cqe, WAIT_S * 1000) && cqe.res == 32 << 10 && (cqe.flags & IORING_CQE_F_MORE));
    CHECK(recv(far_fd, sink, 32 << 10, MSG_WAITALL) == 32 << 10);
    CHECK(complete(&cqe, WAIT_S * 1000) && (cqe.flags & IORING_CQE_F_NOTIF));
    CHECK((uint32_t)cqe.res & IORING_NOTIF_USAGE_ZC_COPIED);
    close_connection();
    return true;
}

static bool reset(void)
{
    struct iovec iov = {bytes, BIG};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct sockaddr unspec = {.sa_family = AF_UNSPEC};
    struct io_uring_cqe cqe = {0};
    bool more = false;

    CHECK(open_connection());
    prepare_zerocopy(&message);
    CHECK(!complete(&cqe, 50)); /* nobody reads: it is stuck */
    CHECK(connect(near_fd, &unspec, sizeof(unspec)) == 0);
    CHECK(complete(&cqe, WAIT_S * 1000));
    more = cqe.flags & IORING_CQE_F_MORE;
    close(far_fd);
    CHECK(!more || (complete(&cqe, WAIT_S * 1000) && (cqe.flags & IORING_CQE_F_NOTIF)));
    close(near_fd);
    return true;
}

static bool wake(void)
{
    const uint64_t one = 1;
    uint64_t count;
    struct io_uring_cqe cqe;
    int fd = eventfd(0, EFD_NONBLOCK);

    CHECK(fd >= 0);
    io_uring_prep_poll_multishot(io_uring_get_sqe(&ring), fd, POLLIN);
    CHECK(!complete(&cqe, 1));
    for (unsigned i = 0; i < 100; i++) {
        CHECK(write(fd, &one, sizeof(one)) == sizeof(one));
        CHECK(complete(&cqe, WAIT_S * 1000) && (cqe.flags & IORING_CQE_F_MORE));
        CHECK(read(fd, &count, sizeof(count)) == sizeof(count));
    }
    close(fd);
    return true;
}

int main(void)
{
    static const struct {
        const char *name;
        bool (*show)(void);
    } facts[] = {{"low-water", low_water},
                 {"wait-all", wait_all},
                 {"usage", usage},
                 {"reset", reset},
                 {"wake", wake}};
    struct io_uring_probe *probe;
    int failed = 0;

    bytes = calloc(1, BIG);
    probe = bytes && io_uring_queue_init(8, &ring, 0) == 0 ? io_uring_get_probe_ring(&ring) : NULL;
    if (!probe || !io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC)) {
        fprintf(stderr, "skipped: this kernel or its settings give no io_uring with SENDMSG_ZC\n");
        return SKIPPED;
    }
    io_uring_free_probe(probe);
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        bool ok = facts[i].show();

        printf("%s: %s\n", facts[i].name, ok ? "true" : "NOT TRUE");
        failed += !ok;
    }
    io_uring_queue_exit(&ring);
    free(bytes);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
