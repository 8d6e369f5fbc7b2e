/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ring.c - the ring of a link: what is prepared, what comes back; see link.h */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "backend/uring/link.h"
#include "support/clock.h"

#define CLOSE_WAIT_NS                                                                              \
    (2 * APN_NS_PER_S) /* for the kernel to let go of a reset connection; it takes microseconds */
#define BUSY_PAUSE_NS        1000000
#define ZEROCOPY_LEAST_BYTES (32u << 10) /* below it pinning costs more than copying */

#define LOW_WATER_BYTES (256u << 10)
#define LOW_WATER_LEAST (32 << 10) /* below it: wake for anything */

/* newer than liburing 2.3, values of the kernel's interface */
#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3)
#endif
#ifndef IORING_NOTIF_USAGE_ZC_COPIED
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#endif

static uint64_t now(const struct apn_uring_link *link)
{
    return apn_clock_now(apn_uring_link_backend(link)->config.clock);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * APN_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* There is always room: at most one entry per tag is prepared between two entries into the kernel.
 */
static struct io_uring_sqe *prepare(struct apn_uring_link *link)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&link->ring);

    assert(sqe);
    return sqe;
}

static void watch_wake(struct apn_uring_link *link)
{
    struct io_uring_sqe *sqe = prepare(link);

    io_uring_prep_poll_multishot(sqe, link->wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, APN_URING_TAG_WAKE);
    link->wake_armed = true;
}

int apn_uring_ring_open(struct apn_uring_link *link)
{
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN,
                                     .cq_entries = APN_URING_COMPLETIONS};
    int ret = io_uring_queue_init_params(APN_URING_RING_ENTRIES, &link->ring, &params);

    if (ret == -EINVAL) { /* before Linux 5.19 */
        params = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE,
                                          .cq_entries = APN_URING_COMPLETIONS};
        ret = io_uring_queue_init_params(APN_URING_RING_ENTRIES, &link->ring, &params);
    }
    if (ret) {
        return ret;
    }
    io_uring_ring_dontfork(&link->ring);
    link->has_ring = true;
    watch_wake(link);
    return 0;
}

void apn_uring_ring_watch(struct apn_uring_link *link, unsigned events)
{
    struct io_uring_sqe *sqe = prepare(link);

    io_uring_prep_poll_add(sqe, link->fd, events);
    io_uring_sqe_set_data64(sqe,
                            APN_URING_TAG_READY | (uint64_t)link->sockets << APN_URING_TAG_BITS);
}

/* ---- what goes in --------------------------------------------------------- */

/* Sleep until the extent is complete, instead of once per segment: waking costs more than copying.
 * Never for more than is still due, so that it cannot wait for bytes that nobody has promised. */
static void set_low_water(struct apn_uring_link *link)
{
    int wish =
        link->rx.rest_bytes < LOW_WATER_BYTES ? (int)link->rx.rest_bytes : (int)LOW_WATER_BYTES;

    wish = wish < LOW_WATER_LEAST ? 1 : wish;
    if (wish >= link->low_water && wish <= 2 * link->low_water) {
        return; /* near enough: saves a system call per extent */
    }
    if (setsockopt(link->fd, SOL_SOCKET, SO_RCVLOWAT, &wish, sizeof(wish)) == 0) {
        link->low_water = wish;
    }
}

static void feed_receive(struct apn_uring_link *link)
{
    struct io_uring_sqe *sqe = prepare(link);

    set_low_water(link);
    link->receive_message = (struct msghdr){
        .msg_iov = link->receive_iov,
        .msg_iovlen = apn_uring_receiver_targets(&link->rx, link->receive_iov),
    };
    io_uring_prep_recvmsg(sqe, link->fd, &link->receive_message, 0);
    if (link->low_water > 1) {
        sqe->ioprio |=
            IORING_RECVSEND_POLL_FIRST; /* else it would take the little that is there already */
    }
    io_uring_sqe_set_data64(sqe, APN_URING_TAG_RECEIVE);
    link->receiving = true;
}

static bool send_zerocopy(const struct apn_uring_link *link)
{
    const struct apn_uring_backend *be = apn_uring_link_backend(link);
    int mode = atomic_load_explicit(&be->mode, memory_order_relaxed);

    if (link->tx.unsent_bytes < ZEROCOPY_LEAST_BYTES) {
        return false;
    }
    return mode == APN_URING_MODE_ZEROCOPY ||
           (mode == APN_URING_MODE_AUTO && apn_uring_probe_zerocopy(&link->probe));
}

static void feed_batch(struct apn_uring_link *link, unsigned batch)
{
    struct io_uring_sqe *sqe = prepare(link);

    link->zerocopying = send_zerocopy(link);
    if (link->zerocopying) {
        io_uring_prep_sendmsg_zc(sqe, link->fd, &link->tx.message, MSG_WAITALL | MSG_NOSIGNAL);
        sqe->ioprio |= IORING_SEND_ZC_REPORT_USAGE;
    } else {
        io_uring_prep_sendmsg(sqe, link->fd, &link->tx.message, MSG_WAITALL | MSG_NOSIGNAL);
    }
    io_uring_sqe_set_data64(sqe, APN_URING_TAG_SEND | (uint64_t)batch << APN_URING_TAG_BITS);
}

void apn_uring_ring_feed(struct apn_uring_link *link)
{
    int batch;

    if (!link->receiving) {
        feed_receive(link);
    }
    batch = link->error.code ? -EAGAIN : apn_uring_sender_gather(&link->tx);
    if (batch >= 0) {
        feed_batch(link, (unsigned)batch);
    }
}

/* ---- what comes back ------------------------------------------------------ */

static void received(struct apn_uring_link *link, int result)
{
    link->receiving = false;
    if (result > 0) {
        apn_uring_receiver_took(&link->rx, (size_t)result);
    } else if (result == 0) {
        apn_uring_link_fail(link, -ECONNRESET, "the peer closed the connection after %llu messages",
                            (unsigned long long)link->rx.messages);
    } else if (result != -EINTR && result != -EAGAIN) {
        apn_uring_link_fail(link, result, "receive: %s", strerror(-result));
    }
}

static void decide(struct apn_uring_link *link, size_t bytes)
{
    struct apn_uring_backend *be = apn_uring_link_backend(link);
    int open = APN_URING_MODE_AUTO;

    if (!link->probe.running ||
        atomic_load_explicit(&be->mode, memory_order_relaxed) != APN_URING_MODE_AUTO) {
        return;
    }
    switch (apn_uring_probe_sent(&link->probe, bytes, thread_cpu_ns())) {
    case APN_URING_VERDICT_COPY:
        atomic_compare_exchange_strong(&be->mode, &open, APN_URING_MODE_COPY);
        break;
    case APN_URING_VERDICT_ZEROCOPY:
        atomic_compare_exchange_strong(&be->mode, &open, APN_URING_MODE_ZEROCOPY);
        break;
    case APN_URING_VERDICT_OPEN:
        break;
    }
}

static void notified(struct apn_uring_link *link, unsigned batch, uint32_t usage)
{
    struct apn_uring_backend *be = apn_uring_link_backend(link);
    bool copied = usage & IORING_NOTIF_USAGE_ZC_COPIED;

    atomic_fetch_add_explicit(copied ? &be->copied_bytes : &be->zerocopy_bytes,
                              link->tx.batch[batch].bytes, memory_order_relaxed);
    apn_uring_probe_report(&link->probe, copied);
    link->notifications--;
    apn_uring_sender_notified(&link->tx, batch);
}

/* The kernel charges zero-copy sends in flight to RLIMIT_MEMLOCK (not with CAP_IPC_LOCK). Beyond it
 * copying is the way. */
static void give_up_zerocopy(struct apn_uring_link *link)
{
    struct apn_uring_backend *be = apn_uring_link_backend(link);
    struct rlimit limit = {0};
    char note[APN_ERROR_TEXT_MAX];

    getrlimit(RLIMIT_MEMLOCK, &limit);
    snprintf(note, sizeof(note),
             "zero-copy: what is in flight exceeds RLIMIT_MEMLOCK (%llu KiB for this user), so "
             "payload is copied",
             (unsigned long long)limit.rlim_cur >> 10);
    apn_uring_backend_note(be, note);
    atomic_store(&be->mode, APN_URING_MODE_COPY);
}

static void watch_loss(struct apn_uring_link *link, uint64_t bytes)
{
    char note[APN_ERROR_TEXT_MAX];

    if (apn_tcp_congestion_sent(&link->congestion, link->fd, bytes, note, sizeof(note))) {
        apn_uring_backend_note(apn_uring_link_backend(link), note);
    }
}

static void sent(struct apn_uring_link *link, unsigned batch, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_NOTIF) {
        notified(link, batch, (uint32_t)cqe->res);
        return;
    }
    if (cqe->flags & IORING_CQE_F_MORE) {
        link->notifications++;
        apn_uring_sender_expect(&link->tx, batch);
    }
    if (link->zerocopying && (cqe->res == -ENOMEM || cqe->res == -ENOBUFS)) {
        give_up_zerocopy(link);
    } else if (cqe->res < 0 && cqe->res != -EINTR && cqe->res != -EAGAIN) {
        apn_uring_sender_abandon(&link->tx);
        apn_uring_link_stop_sending(link, cqe->res);
        return;
    }
    if (apn_uring_sender_took(&link->tx, cqe->res > 0 ? (size_t)cqe->res : 0) == 0) {
        decide(link, link->tx.batch[batch].bytes);
        watch_loss(link, link->tx.batch[batch].bytes);
    } else {
        feed_batch(link, batch);
    }
}

static void woken(struct apn_uring_link *link, uint32_t flags)
{
    uint64_t count;

    if (read(link->wake_fd, &count, sizeof(count)) < 0) {
        /* already empty */
    }
    atomic_store(&link->wake_pending, false); /* after the read: a later wake() writes again */
    link->woken = true;
    if (!(flags & IORING_CQE_F_MORE)) {
        link->wake_armed = false;
    }
}

static void take_completion(struct apn_uring_link *link, const struct io_uring_cqe *cqe)
{
    unsigned extra = (unsigned)(cqe->user_data >> APN_URING_TAG_BITS);

    switch ((enum apn_uring_tag)(cqe->user_data & ((1u << APN_URING_TAG_BITS) - 1))) {
    case APN_URING_TAG_WAKE:
        woken(link, cqe->flags);
        break;
    case APN_URING_TAG_READY:
        link->ready |= extra == link->sockets;
        break;
    case APN_URING_TAG_RECEIVE:
        received(link, cqe->res);
        break;
    case APN_URING_TAG_SEND:
        sent(link, extra, cqe);
        break;
    }
}

void apn_uring_ring_enter(struct apn_uring_link *link, uint64_t deadline_ns)
{
    uint64_t now_ns = deadline_ns ? now(link) : 0;
    struct io_uring_cqe *cqe;
    unsigned head, taken = 0;
    int ret;

    if (!link->wake_armed) {
        watch_wake(link);
    }
    if (deadline_ns > now_ns) {
        uint64_t wait_ns = deadline_ns - now_ns;
        struct __kernel_timespec ts = {(long long)(wait_ns / APN_NS_PER_S),
                                       (long long)(wait_ns % APN_NS_PER_S)};

        ret = io_uring_submit_and_wait_timeout(&link->ring, &cqe, 1, &ts, NULL);
    } else {
        ret = io_uring_submit_and_get_events(&link->ring);
    }
    if (ret == -EAGAIN ||
        ret == -EBUSY) { /* the kernel is short of memory, or of completions: not to be pressed */
        nanosleep(&(struct timespec){.tv_nsec = BUSY_PAUSE_NS}, NULL);
    } else if (ret < 0 && ret != -ETIME && ret != -EINTR) {
        apn_uring_link_fail(link, ret, "io_uring_enter: %s", strerror(-ret));
        return;
    }
    io_uring_for_each_cqe(&link->ring, head, cqe)
    {
        struct io_uring_cqe copy = *cqe;

        take_completion(link, &copy);
        taken++;
    }
    io_uring_cq_advance(&link->ring, taken);
}

void apn_uring_ring_close(struct apn_uring_link *link)
{
    uint64_t deadline_ns = now(link) + CLOSE_WAIT_NS;

    if (!link->has_ring) {
        return;
    }
    while ((link->receiving || link->tx.sending || link->notifications) &&
           now(link) < deadline_ns) {
        apn_uring_ring_enter(link, deadline_ns);
    }
    io_uring_queue_exit(&link->ring);
    link->has_ring = false;
}
