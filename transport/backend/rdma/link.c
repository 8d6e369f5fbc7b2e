/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.c - life of a link: made, polled, closed; see link.h */
#include "backend/rdma/link.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/clock.h"

#define WAIT_MAX_NS     (60 * APN_NS_PER_S) /* of one poll; a longer wish gets an early 0 */
#define LOOK_NS         (2 * APN_NS_PER_MS) /* a busy link looks at TCP and the device this often */
#define SPIN_NS         20000ull            /* what is expected within this time is not slept for */
#define COMPLETIONS     64
#define LINGER_MIN_NS   (20 * APN_NS_PER_MS)
#define LINGER_MAX_NS   (250 * APN_NS_PER_MS)

struct apn_rdma_link *apn_rdma_link_new(struct apn_rdma_backend *be, const struct apn_hello *hello, int fd, bool rdma,
                                        struct apn_error *err)
{
    struct apn_rdma_link *link = calloc(1, sizeof(*link));

    if (!link) {
        apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "rdma: lane %u: out of memory", hello->lane);
        return NULL;
    }
    link->base.backend = &be->base;
    link->hello = *hello;
    link->fd = -1;
    link->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (link->wake_fd < 0) {
        apn_error_set(err, -errno, APN_SCOPE_LANE, "rdma: lane %u: eventfd: %s", hello->lane, strerror(errno));
        goto fail;
    }
    if (fd >= 0) {
        link->accepted = true;
        link->stage = APN_RDMA_OFFERING;
    }
    if (fd >= 0 && !rdma) {
        link->instead = be->tcp.adopt(be->tcp.backend, hello, fd, err);
        if (!link->instead) {
            goto fail;
        }
        link->stage = APN_RDMA_UP;
        fd = -1;
    }
    link->fd = fd;
    return link;
fail:
    apn_rdma_link_close(&link->base);
    return NULL;
}

void apn_rdma_link_fail(struct apn_rdma_link *link, int code, const char *format, ...)
{
    char text[APN_ERROR_TEXT_MAX];
    const char *words = text;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    words += strncmp(words, "rdma: ", 6) ? 0 : 6;
    apn_error_set(&link->error, code, APN_SCOPE_LANE, "rdma: lane %u: %s", link->hello.lane, words);
    if (link->stage < APN_RDMA_FAILED) {
        link->stage = APN_RDMA_FAILED;
    }
}

/* ---- completions -------------------------------------------------------------- */

static void broken(struct apn_rdma_link *link, const struct ibv_wc *wc)
{
    const struct apn_verbs *v = apn_rdma_link_backend(link)->verbs;
    const double timeout_ms = 0.004096 * (double)(1ull << link->plan.ack_timeout);

    if (link->stage == APN_RDMA_GREETING) {
        apn_rdma_greet_failed(link, -ETIMEDOUT, v->wc_status_str(wc->status));
    } else if (wc->status == IBV_WC_WR_FLUSH_ERR) {
        apn_rdma_link_fail(link, -ECONNRESET, "the queue pair was stopped");
    } else if (wc->status == IBV_WC_RETRY_EXC_ERR) {
        apn_rdma_link_fail(link, -ETIMEDOUT, "no acknowledgement from the peer in %u tries of %.0f ms", link->plan.retries + 1u,
                           timeout_ms);
    } else if (wc->status == IBV_WC_REM_ACCESS_ERR) {
        apn_rdma_link_fail(link, -EACCES, "the peer's adapter refused a WRITE: that memory is not open to us (any more)");
    } else {
        apn_rdma_link_fail(link, -EIO, "work request failed: %s", v->wc_status_str(wc->status));
    }
}

/* a READ that is refused breaks the queue pair, and would break the next one: pages are asked for from now on */
static void broken_by_read(struct apn_rdma_link *link, const struct ibv_wc *wc)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    struct apn_error err = {0};

    atomic_store(&be->reads_failed, true);
    apn_rdma_link_fail(link, wc->status == IBV_WC_REM_ACCESS_ERR ? -EACCES : -EIO,
                       "READ of the source's memory failed: %s; pages are asked for instead", be->verbs->wc_status_str(wc->status));
    apn_error_set(&err, -EIO, APN_SCOPE_LANE, "rdma: pages are asked for, because a READ failed: %s",
                  be->verbs->wc_status_str(wc->status));
    apn_rdma_backend_note(be, err.text);
}

/* does this say something about READs, and not about the path or about who came before? */
static bool blames_read(const struct apn_rdma_link *link, const struct ibv_wc *wc)
{
    return apn_rdma_fetcher_owns(&link->reads, wc->wr_id) && wc->status != IBV_WC_WR_FLUSH_ERR &&
           wc->status != IBV_WC_RETRY_EXC_ERR;
}

static int reap_sent(struct apn_rdma_link *link)
{
    struct ibv_wc wc[COMPLETIONS];
    int sent = ibv_poll_cq(link->qp.send_cq, COMPLETIONS, wc);

    for (int i = 0; i < sent; i++) {
        if (wc[i].status != IBV_WC_SUCCESS) {
            if (blames_read(link, &wc[i])) {
                broken_by_read(link, &wc[i]);
            }
            broken(link, &wc[i]); /* the first reason stays */
            break;
        }
        apn_rdma_sender_completed(&link->tx, wc[i].wr_id);
        apn_rdma_fetcher_completed(&link->reads, link->tx.done);
    }
    return sent;
}

/* Return: completions taken */
static int reap(struct apn_rdma_link *link)
{
    struct ibv_wc wc[COMPLETIONS];
    int sent = reap_sent(link), got = ibv_poll_cq(link->qp.receive_cq, COMPLETIONS, wc);

    for (int i = 0; i < got; i++) {
        if (wc[i].status == IBV_WC_SUCCESS) {
            apn_rdma_receiver_arrived(&link->rx, (uint32_t)wc[i].wr_id, wc[i].byte_len);
        } else if (!link->error.code) {
            reap_sent(link); /* the request that broke the queue pair knows why; what it took along does not */
            broken(link, &wc[i]);
        }
    }
    if (sent < 0 || got < 0) {
        apn_rdma_link_fail(link, -EIO, "completion queue: %s", strerror(EIO));
    }
    return (sent > 0 ? sent : 0) + (got > 0 ? got : 0);
}

/* Return: frames were taken and none is left */
static bool drained(struct apn_rdma_link *link)
{
    return link->rx.head == link->rx.tail || link->rx.ended;
}

/* ---- what else can happen --------------------------------------------------------- */

static void look_at_tcp(struct apn_rdma_link *link)
{
    char byte;
    ssize_t n = recv(link->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    /* what it sent before is acknowledged, so it is in our queue by now */
    while (reap(link)) {
    }
    if (n > 0) {
        apn_rdma_link_fail(link, -EPROTO, "the peer sends bytes over TCP that belong to the queue pair");
    } else {
        apn_rdma_link_fail(link, n ? -errno : -ECONNRESET, n ? "connection: %s" : "the peer closed the connection",
                           strerror(errno));
    }
}

static void look_at_device(struct apn_rdma_link *link)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    int event;

    apn_rdma_backend_events(be);
    event = atomic_load(&link->async);
    if (event) {
        apn_rdma_link_fail(link, -ENETDOWN, "%s: %s", be->device.name,
                           be->verbs->event_type_str((enum ibv_event_type)(event - 1)));
    }
}

static void look_around(struct apn_rdma_link *link, uint64_t now_ns)
{
    link->looked_ns = now_ns;
    look_at_tcp(link);
    look_at_device(link);
}

static void empty_wake(struct apn_rdma_link *link)
{
    uint64_t count;

    if (atomic_load(&link->wake_pending)) {
        if (read(link->wake_fd, &count, sizeof(count)) < 0) {
            /* its writer is about to */
        }
        atomic_store(&link->wake_pending, false); /* after the read: a later wake() writes again */
        link->woken = true;
    }
}

/* ---- waiting ------------------------------------------------------------------------ */

static void sleep_for(struct apn_rdma_link *link, short socket_events, uint64_t wait_ns)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    const bool paired = link->stage >= APN_RDMA_GREETING;
    struct timespec ts = {(time_t)(wait_ns / APN_NS_PER_S), (long)(wait_ns % APN_NS_PER_S)};
    struct pollfd fds[4] = {
        {.fd = link->wake_fd, .events = POLLIN},
        {.fd = link->fd, .events = socket_events},
        {.fd = paired ? link->qp.channel->fd : -1, .events = POLLIN},
        {.fd = paired ? be->device.context->async_fd : -1, .events = POLLIN},
    };

    if (ppoll(fds, 4, &ts, NULL) <= 0) {
        return;
    }
    if (fds[0].revents) {
        empty_wake(link);
    }
    if (fds[2].revents) {
        apn_rdma_qp_take_events(&link->qp);
    }
    if (paired && (fds[1].revents | fds[3].revents)) {
        look_around(link, apn_rdma_link_now(link));
    }
}

/* A link where things arrive quickly one after another is polled for a moment before the thread sleeps. */
static bool spin(struct apn_rdma_link *link, uint64_t start_ns, uint64_t deadline_ns)
{
    uint64_t until_ns = start_ns + 2 * SPIN_NS;

    if (link->busy_ns > SPIN_NS) {
        return false;
    }
    until_ns = until_ns < deadline_ns ? until_ns : deadline_ns;
    while (apn_rdma_link_now(link) < until_ns && !atomic_load(&link->wake_pending)) {
        if (reap(link)) {
            return true;
        }
    }
    return false;
}

static void wait_for_frames(struct apn_rdma_link *link, uint64_t deadline_ns)
{
    const uint64_t start_ns = apn_rdma_link_now(link);
    uint64_t end_ns;

    if (start_ns >= deadline_ns) {
        return;
    }
    if (!spin(link, start_ns, deadline_ns)) {
        if (apn_rdma_qp_arm(&link->qp, link->tx.blocked || apn_rdma_fetcher_waits(&link->reads))) {
            apn_rdma_link_fail(link, -EIO, "completion queue cannot be armed");
            return;
        }
        if (reap(link)) { /* arrived before it was armed */
            return;
        }
        sleep_for(link, POLLIN, deadline_ns - start_ns);
    }
    end_ns = apn_rdma_link_now(link);
    link->busy_ns = (link->busy_ns * 7 + (end_ns - start_ns)) / 8;
}

/* ---- polling --------------------------------------------------------------------------- */

static unsigned take_messages(struct apn_rdma_link *link, struct apn_event *events, unsigned max)
{
    unsigned n = 0;

    while (n < max) {
        struct apn_error err = {0};
        int ret = apn_rdma_receiver_next(&link->rx, &link->tx, &events[n].msg, &err);

        if (ret < 0) {
            link->rx.ended = true; /* what follows makes no sense */
            apn_rdma_link_fail(link, ret, "%s", err.text);
        }
        if (ret <= 0) {
            break;
        }
        events[n++].type = APN_EVENT_MSG;
        if (apn_msg_clears(&events[n - 1].msg)) {
            break; /* by whoever takes the event: a copied page behind it may not land before that */
        }
    }
    return n;
}

/* pages that a guest waits for: before anything else */
static unsigned take_fetched(struct apn_rdma_link *link, struct apn_event *events, unsigned max)
{
    unsigned n = 0;

    while (n < max && apn_rdma_fetcher_next(&link->reads, &events[n].msg)) {
        events[n++].type = APN_EVENT_FETCHED;
    }
    return n;
}

static unsigned take_events(struct apn_rdma_link *link, struct apn_event *events, unsigned max)
{
    unsigned n = 0;

    if (link->up_due && link->stage != APN_RDMA_OVER) {
        link->up_due = false;
        events[n++] = (struct apn_event){.type = APN_EVENT_UP, .welcome = link->hs.welcome};
    }
    if (link->rx.qp && link->stage >= APN_RDMA_GREETING && link->stage < APN_RDMA_OVER) {
        n += take_fetched(link, events + n, max - n);
        n += take_messages(link, events + n, max - n);
        if (link->rx.ended && !n) {
            apn_rdma_link_fail(link, -ECONNRESET, "the peer closed the connection");
        }
    }
    if (link->stage == APN_RDMA_FAILED && n < max && (!link->rx.qp || drained(link) || !n)) {
        link->stage = APN_RDMA_OVER;
        events[n++] = (struct apn_event){.type = APN_EVENT_DOWN, .error = link->error};
    }
    return n;
}

static void pump(struct apn_rdma_link *link)
{
    const struct apn_rdma_told told = apn_rdma_receiver_told(&link->rx);
    int ret;

    if (link->stage != APN_RDMA_UP || !apn_rdma_keys_step(link)) {
        return;
    }
    ret = apn_rdma_sender_pump(&link->tx, &told);
    if (ret) {
        apn_rdma_link_fail(link, ret, "work requests cannot be posted: %s", strerror(-ret));
    }
}

/* one step towards something to tell; @deadline_ns 0: without waiting */
static void step(struct apn_rdma_link *link, uint64_t deadline_ns)
{
    uint64_t now_ns = apn_rdma_link_now(link), until_ns = deadline_ns;
    short events;

    if (link->stage < APN_RDMA_GREETING) {
        events = link->stage == APN_RDMA_OFFERING ? apn_rdma_offer_step(link, now_ns) : apn_rdma_connect_step(link, now_ns);
        if (events && deadline_ns > now_ns && link->stage < APN_RDMA_GREETING) {
            uint64_t own_ns = link->stage == APN_RDMA_CONNECTING ? link->address_deadline_ns : link->deadline_ns;

            until_ns = own_ns < until_ns ? own_ns : until_ns;
            sleep_for(link, events, until_ns > now_ns ? until_ns - now_ns : 0);
        }
        return;
    }
    if (now_ns - link->looked_ns >= LOOK_NS) {
        look_around(link, now_ns);
    }
    if (link->stage == APN_RDMA_GREETING) {
        until_ns = link->deadline_ns < until_ns ? link->deadline_ns : until_ns;
        apn_rdma_greet_step(link, now_ns);
    }
    pump(link);
    if (link->stage < APN_RDMA_FAILED && !link->up_due && !reap(link)) {
        wait_for_frames(link, until_ns);
    }
}

/* a queue pair that has failed takes no slots back: that is known already */
static void begin_poll(struct apn_rdma_link *link)
{
    apn_rdma_fetcher_begin(&link->reads);
    if (link->rx.qp && apn_rdma_receiver_begin(&link->rx) && link->stage < APN_RDMA_FAILED) {
        apn_rdma_link_fail(link, -EIO, "receive slots cannot be given back");
    }
}

int apn_rdma_link_poll(struct apn_link *base, struct apn_event *events, unsigned max, int64_t timeout_ns)
{
    struct apn_rdma_link *link = (struct apn_rdma_link *)base;
    uint64_t wait_ns = timeout_ns < 0 || (uint64_t)timeout_ns > WAIT_MAX_NS ? WAIT_MAX_NS : (uint64_t)timeout_ns;
    uint64_t deadline_ns = wait_ns ? apn_rdma_link_now(link) + wait_ns : 0;
    bool stepped = false;
    unsigned n;

    if (max == 0) {
        return 0;
    }
    if (link->instead && !link->up_due) {
        return link->instead->backend->ops->poll(link->instead, events, max, timeout_ns);
    }
    begin_poll(link);
    for (;;) {
        empty_wake(link);
        n = take_events(link, events, max);
        if (n || link->stage == APN_RDMA_OVER || link->woken ||
            (stepped && (deadline_ns == 0 || apn_rdma_link_now(link) >= deadline_ns))) {
            break;
        }
        begin_poll(link); /* nothing was told, so nobody looks into a slot */
        step(link, deadline_ns);
        stepped = true;
    }
    link->woken = false;
    return (int)n;
}

int apn_rdma_link_post(struct apn_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct apn_rdma_link *link = (struct apn_rdma_link *)base;
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    int ret;

    if (link->instead) {
        const unsigned some = n < link->instead->backend->post_max ? n : link->instead->backend->post_max;

        return some < n ? -EAGAIN : link->instead->backend->ops->post(link->instead, msgs, n);
    }
    if (link->stage != APN_RDMA_UP || link->error.code) {
        return link->stage >= APN_RDMA_FAILED || link->error.code ? -EPIPE : link->accepted ? -EAGAIN : -ENOTCONN;
    }
    ret = apn_rdma_sender_post(&link->tx, msgs, n);
    if (ret) {
        return ret;
    }
    for (unsigned i = 0; i < n && link->accepted; i++) {
        if (msgs[i].type == APN_MSG_REGIONS_OK) { /* now the source's numbers mean something here */
            link->keys_due = true;
        } else if (msgs[i].type == APN_MSG_STARTED) {
            apn_rdma_memory_release(&be->memory);
        }
    }
    pump(link);
    return 0;
}

int apn_rdma_link_fetch(struct apn_link *base, unsigned region, uint64_t offset, uint32_t bytes)
{
    struct apn_rdma_link *link = (struct apn_rdma_link *)base;
    int ret;

    if (link->instead || link->stage > APN_RDMA_UP || link->error.code || bytes != APN_PAGE_SIZE ||
        atomic_load(&apn_rdma_link_backend(link)->reads_failed)) {
        return -ENOTSUP;
    }
    if (link->stage != APN_RDMA_UP) {
        return -EAGAIN; /* the rights come with the greeting */
    }
    ret = apn_rdma_fetcher_start(&link->reads, region, offset);
    if (ret && ret != -EAGAIN && ret != -ENOTSUP) {
        apn_rdma_link_fail(link, ret, "a READ cannot be posted: %s", strerror(-ret));
    }
    return ret;
}

void apn_rdma_link_wake(struct apn_link *base)
{
    struct apn_rdma_link *link = (struct apn_rdma_link *)base;
    const uint64_t one = 1;

    if (link->instead) {
        link->instead->backend->ops->wake(link->instead);
    } else if (!atomic_exchange(&link->wake_pending, true) && write(link->wake_fd, &one, sizeof(one)) < 0) {
        /* full means that a wake is pending already */
    }
}

/* ---- closing ---------------------------------------------------------------------------- */

/* What was handed to the adapter should arrive, as it would from a closed socket: wait for the acknowledgements, within limits. */
static void linger(struct apn_rdma_link *link)
{
    const struct apn_rdma_told told = apn_rdma_receiver_told(&link->rx);
    uint64_t wait_ns = 4 * link->rtt_ns, until_ns;

    wait_ns = wait_ns < LINGER_MIN_NS ? LINGER_MIN_NS : wait_ns > LINGER_MAX_NS ? LINGER_MAX_NS : wait_ns;
    until_ns = apn_rdma_link_now(link) + wait_ns;
    pump(link);
    while (link->stage == APN_RDMA_UP && apn_rdma_link_now(link) < until_ns) {
        if (!link->tx.end_sent && apn_rdma_sender_idle(&link->tx)) {
            apn_rdma_sender_greet(&link->tx, APN_FRAME_END, 0, &told);
        }
        if (link->tx.end_sent && link->tx.done == link->tx.posted) {
            return;
        }
        if (!reap(link)) {
            if (!link->tx.end_sent) {
                return; /* more waits for the peer than it has room for: this is no orderly end */
            }
            link->tx.blocked = true; /* completions are what we wait for */
            wait_for_frames(link, until_ns);
        }
    }
}

static void delist(struct apn_rdma_link *link)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);

    pthread_mutex_lock(&be->lock);
    for (struct apn_rdma_link **at = &be->links; *at; at = &(*at)->sibling) {
        if (*at == link) {
            *at = link->sibling;
            break;
        }
    }
    pthread_mutex_unlock(&be->lock);
}

void apn_rdma_link_close(struct apn_link *base)
{
    struct apn_rdma_link *link = (struct apn_rdma_link *)base;

    if (!link) {
        return;
    }
    if (link->instead) {
        link->instead->backend->ops->link_close(link->instead);
    }
    if (link->stage == APN_RDMA_UP && link->qp.qp && !link->error.code) {
        linger(link);
    }
    apn_rdma_qp_fail(&link->qp);
    apn_rdma_qp_close(&link->qp);
    apn_rdma_fetcher_close(&link->reads);
    delist(link);
    apn_rdma_sender_done(&link->tx);
    apn_rdma_receiver_done(&link->rx);
    if (link->fd >= 0) {
        apn_tcp_reset(link->fd);
        close(link->fd);
    }
    if (link->wake_fd >= 0) {
        close(link->wake_fd);
    }
    free(link);
}
