/* SPDX-License-Identifier: GPL-2.0-or-later */
/* worker.c - see worker.h */
#include "worker.h"

#include "flow.h"

#include "../path.h"

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_memcpy.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH_FRAMES      32
#define EARLY_NS          10000 /* a frame due this soon goes with the one before: saves a sleep */
#define REALTIME_PRIORITY 20
/* Under load a wake for every frame would cost more than carrying it: frames go in groups of this long, and
 * one that arrives while another is about to be due is found then. */
#define SLEEP_LEAST_NS    20000
#define TIMER_ONLY_NS     50000
#define SEND_ATTEMPTS     64
#define ETHER_BYTES       14
/* how long not to look at a port that cannot wake us, by how long nothing came */
#define LOOK_SOON_NS      20000
#define LOOK_LATER_NS     200000
#define LOOK_SELDOM_NS    1000000
#define BUSY_NS           2000000
#define QUIET_NS          100000000
#define EXPECT_NS         1000000 /* how long an interrupt may be ahead of its frame */

static bool is_large(const struct path_worker *worker, const struct rte_mbuf *frame)
{
    return frame->pool != worker->small;
}

/* A port gives every frame a large mbuf. Most frames are either full or acknowledgements, and these are
 * copied, so that what waits on the path takes the memory that it needs. */
static struct rte_mbuf *shrink(struct path_worker *worker, struct rte_mbuf *frame)
{
    struct rte_mbuf *copy;

    if (!worker->small || frame->nb_segs > 1 || frame->data_len > PATH_SMALL_BYTES) {
        return frame;
    }
    copy = rte_pktmbuf_alloc(worker->small);
    if (!copy) {
        return frame;
    }
    rte_memcpy(rte_pktmbuf_mtod(copy, void *), rte_pktmbuf_mtod(frame, void *), frame->data_len);
    copy->data_len = frame->data_len;
    copy->pkt_len = frame->data_len;
    rte_pktmbuf_free(frame);
    return copy;
}

static void tag(const struct path_worker *worker, struct rte_mbuf *frame)
{
    struct path_tag *its = path_tag(frame);

    its->wire_bytes = frame->pkt_len > ETHER_BYTES ? frame->pkt_len - ETHER_BYTES : 1;
    its->wavelength = 0;
    if (worker->wavelengths > 1) {
        its->wavelength = path_flow_hash(rte_pktmbuf_mtod(frame, const uint8_t *), frame->data_len) %
                          worker->wavelengths;
    }
}

/* lock held; the frame is held or freed afterwards */
static void admit(struct path_worker *worker, enum path_way way, struct path_line *line, struct rte_mbuf *frame,
                  int64_t now)
{
    struct path_tag *its = path_tag(frame);
    enum path_verdict verdict = path_line_admit(line, now, its->wire_bytes, &its->due_ns);
    bool large = is_large(worker, frame);

    if (verdict == PATH_PASS) {
        /* a longer one is what the kernel's ring has cut off, or put together from fragments */
        if (frame->pkt_len > worker->mtu + PATH_FRAME_SPARE) {
            verdict = PATH_DROP_ERROR;
        } else if ((large && worker->large_held >= worker->large_max) ||
                   path_hold_push(&worker->hold[way][its->wavelength], frame) < 0) {
            verdict = PATH_DROP_QUEUE; /* more on the way than there is memory for */
        } else {
            worker->large_held += large;
            return;
        }
        path_line_count(line, verdict, its->wire_bytes);
    }
    rte_pktmbuf_free(frame);
}

/* Return: frames taken from the port */
static unsigned take(struct path_worker *worker, enum path_way way)
{
    struct path_port *from = &worker->port[way == PATH_WAY_AB ? 0 : 1];
    struct rte_mbuf *frames[BATCH_FRAMES];
    unsigned n = rte_eth_rx_burst(from->id, (uint16_t)worker->queue, frames, BATCH_FRAMES), i = 0;
    int64_t now = n > 0 ? path_now() : 0;

    for (unsigned k = 0; k < n; k++) {
        frames[k] = shrink(worker, frames[k]);
        tag(worker, frames[k]);
    }
    while (i < n) {
        uint32_t wavelength = path_tag(frames[i])->wavelength;
        struct path_line *line = &worker->line[way][wavelength];

        pthread_mutex_lock(&line->lock);
        for (; i < n && path_tag(frames[i])->wavelength == wavelength; i++) {
            admit(worker, way, line, frames[i], now);
        }
        pthread_mutex_unlock(&line->lock);
    }
    return n;
}

/* Return: frames of the batch that the port took; the others are still ours */
static unsigned transmit(const struct path_worker *worker, enum path_way way, struct rte_mbuf **frames, unsigned n)
{
    struct path_port *to = &worker->port[way == PATH_WAY_AB ? 1 : 0];
    unsigned sent = 0;

    for (int attempt = 0; sent < n && attempt < SEND_ATTEMPTS; attempt++) {
        sent += rte_eth_tx_burst(to->id, (uint16_t)worker->queue, frames + sent, (uint16_t)(n - sent));
    }
    return sent;
}

/* what is due on one wavelength, up to a batch; Return: frames that left the hold */
static unsigned deliver_line(struct path_worker *worker, enum path_way way, unsigned wavelength, int64_t now)
{
    struct path_hold *hold = &worker->hold[way][wavelength];
    struct path_line *line = &worker->line[way][wavelength];
    struct rte_mbuf *frames[BATCH_FRAMES], *head;
    uint32_t wire_bytes[BATCH_FRAMES];
    int64_t due_ns[BATCH_FRAMES];
    unsigned n = 0, sent = 0;
    bool cut;

    while (n < BATCH_FRAMES && (head = path_hold_head(hold)) && path_tag(head)->due_ns <= now + EARLY_NS) {
        frames[n] = path_hold_pop(hold);
        due_ns[n] = path_tag(frames[n])->due_ns;
        wire_bytes[n] = path_tag(frames[n])->wire_bytes;
        worker->large_held -= is_large(worker, frames[n]);
        n++;
    }
    if (n == 0) {
        return 0;
    }
    pthread_mutex_lock(&line->lock);
    cut = path_cut_active(&line->cut, now);
    pthread_mutex_unlock(&line->lock);
    sent = cut ? 0 : transmit(worker, way, frames, n);
    pthread_mutex_lock(&line->lock);
    for (unsigned i = 0; i < n; i++) {
        path_histogram_add(&line->counters.late, now - due_ns[i]);
        path_line_count(line, i < sent ? PATH_PASS : cut ? PATH_DROP_CUT : PATH_DROP_ERROR, wire_bytes[i]);
    }
    pthread_mutex_unlock(&line->lock);
    for (unsigned i = sent; i < n; i++) {
        rte_pktmbuf_free(frames[i]);
    }
    return n;
}

static unsigned deliver(struct path_worker *worker, enum path_way way)
{
    int64_t now = path_now();
    unsigned n = 0;

    for (unsigned w = 0; w < worker->wavelengths; w++) {
        n += deliver_line(worker, way, w, now);
    }
    return n;
}

static int64_t next_due(const struct path_worker *worker)
{
    int64_t due_ns = INT64_MAX;

    for (int way = 0; way < PATH_WAYS; way++) {
        for (unsigned w = 0; w < worker->wavelengths; w++) {
            const struct rte_mbuf *head = path_hold_head(&worker->hold[way][w]);

            due_ns = head && path_tag(head)->due_ns < due_ns ? path_tag(head)->due_ns : due_ns;
        }
    }
    return due_ns;
}

/* when to look again although nothing woke us, INT64_MAX: never */
static int64_t next_look(const struct path_worker *worker, int64_t now)
{
    int64_t quiet = now - worker->last_work_ns;

    if (now < worker->expect_until_ns) {
        return now + LOOK_SOON_NS;
    }
    if (worker->port[0].wake != PATH_WAKE_NONE && worker->port[1].wake != PATH_WAKE_NONE) {
        return INT64_MAX;
    }
    return now + (quiet < BUSY_NS ? LOOK_SOON_NS : quiet < QUIET_NS ? LOOK_LATER_NS : LOOK_SELDOM_NS);
}

/* an interface that went down says so once; one that is gone, for ever, and would keep us awake */
static void ignore_broken(struct path_port *port, unsigned queue)
{
    struct pollfd again = {.fd = port->wake_fd[queue], .events = POLLIN};
    int error;
    socklen_t bytes = sizeof(error);

    (void)getsockopt(again.fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    if (poll(&again, 1, 0) > 0 && (again.revents & (POLLERR | POLLHUP | POLLNVAL))) {
        port->wake_fd[queue] = -1;
    }
}

/* Return: false at the end */
static bool wait_for_work(struct path_worker *worker)
{
    struct pollfd fds[PATH_ENDS + 1];
    struct timespec limit;
    int64_t now = path_now(), until = next_due(worker), look = next_look(worker, now), left;
    int n;

    until = look < until ? look : until;
    until = until < now + SLEEP_LEAST_NS ? now + SLEEP_LEAST_NS : until;
    left = until - now;
    for (int end = 0; end < PATH_ENDS; end++) {
        const struct path_port *port = &worker->port[end];
        bool ask = port->wake != PATH_WAKE_NONE && left >= TIMER_ONLY_NS;

        fds[end] = (struct pollfd){.fd = ask ? port->wake_fd[worker->queue] : -1, .events = POLLIN};
    }
    fds[PATH_ENDS] = (struct pollfd){.fd = worker->stop_fd, .events = POLLIN};
    limit = (struct timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    n = ppoll(fds, PATH_ENDS + 1, until == INT64_MAX ? NULL : &limit, NULL);
    for (int end = 0; n > 0 && end < PATH_ENDS; end++) {
        if (fds[end].revents & (POLLERR | POLLHUP | POLLNVAL)) {
            ignore_broken(&worker->port[end], worker->queue);
        }
    }
    return !(n > 0 && (fds[PATH_ENDS].revents & POLLIN));
}

static unsigned turn(struct path_worker *worker)
{
    unsigned work = 0;

    for (int way = 0; way < PATH_WAYS; way++) {
        work += take(worker, (enum path_way)way) + deliver(worker, (enum path_way)way);
    }
    return work;
}

static int worker_main(void *opaque)
{
    struct path_worker *worker = opaque;
    struct sched_param param = {.sched_priority = REALTIME_PRIORITY};
    bool run = true;

    prctl(PR_SET_NAME, "path-worker");
    prctl(PR_SET_TIMERSLACK, 1);
    if (worker->realtime) {
        /* best effort: without it the path is only as punctual as the machine is idle */
        pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    }
    worker->last_work_ns = path_now();
    while (run && !atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
        if (turn(worker) > 0) {
            worker->last_work_ns = path_now();
            worker->expect_until_ns = 0;
            continue;
        }
        for (int end = 0; end < PATH_ENDS; end++) {
            path_port_begin_wait(&worker->port[end], worker->queue);
        }
        run = turn(worker) > 0 || wait_for_work(worker);
        for (int end = 0; end < PATH_ENDS; end++) {
            if (path_port_end_wait(&worker->port[end], worker->queue)) {
                worker->expect_until_ns = path_now() + EXPECT_NS;
            }
        }
    }
    return 0;
}

int path_worker_start(struct path_worker *worker, unsigned lcore, uint32_t frames_max)
{
    int result = 0;

    worker->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->stop_fd < 0) {
        result = -errno;
    }
    for (int way = 0; way < PATH_WAYS; way++) {
        bool reorder = worker->line[way][0].shape.limits.reorder;

        for (unsigned w = 0; result == 0 && w < worker->wavelengths; w++) {
            result = path_hold_init(&worker->hold[way][w], reorder ? frames_max : 0);
        }
    }
    if (result == 0) {
        result = rte_eal_remote_launch(worker_main, worker, lcore);
        worker->running = result == 0;
    }
    if (result < 0) {
        path_worker_stop(worker, lcore);
    }
    return result;
}

void path_worker_stop(struct path_worker *worker, unsigned lcore)
{
    uint64_t one = 1;

    atomic_store(&worker->stop, true);
    if (worker->running) {
        if (write(worker->stop_fd, &one, sizeof(one)) < 0) {
            return; /* cannot happen: the counter is far from full; leaking beats hanging in the join */
        }
        rte_eal_wait_lcore(lcore);
        worker->running = false;
    }
    for (int way = 0; way < PATH_WAYS; way++) {
        for (unsigned w = 0; w < worker->wavelengths; w++) {
            path_hold_done(&worker->hold[way][w]);
        }
    }
    if (worker->stop_fd > 0) {
        close(worker->stop_fd);
        worker->stop_fd = 0;
    }
}
