/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* worker.c - a queue's thread: polls while there is something to do, sleeps when there is not; see helper.h */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_thread.h>

#include "dpdk/helper.h"

#define STUCK_NS      100000000ull /* a port that takes nothing for so long loses what waits */
#define TIMER_WAIT_NS 1000000ull   /* ports that cannot be waited for */
#define STUCK_WAIT_NS 1000000ull
#define IDLE_WAIT_NS  10000000000ull
#define EVENTS        32

/* epoll's data below this is a channel's number */
enum { EVENT_WAKE = APN_CHANNELS_MAX, EVENT_PORT };

uint64_t apn_helper_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint32_t apn_helper_datagram_max(const struct apn_helper *h, unsigned family)
{
    const uint32_t most = h->nic.mtu - (family == 6 ? APN_IP6_BYTES : APN_IP4_BYTES) - APN_UDP_BYTES;

    return most;
}

void apn_worker_wake(struct apn_worker *w)
{
    const uint64_t one = 1;

    if (atomic_exchange(&w->asleep, false) && write(w->wake_fd, &one, sizeof(one)) < 0) {
        return; /* full: it is being woken already */
    }
}

/* ---- sending --------------------------------------------------------------- */

static void give_up_stuck(struct apn_worker *w, unsigned sent)
{
    if (sent || !w->n_out) {
        w->stuck_ns = 0;
    } else if (!w->stuck_ns) {
        w->stuck_ns = w->now_ns;
    } else if (w->now_ns - w->stuck_ns > STUCK_NS) {
        rte_pktmbuf_free_bulk(w->out, w->n_out);
        apn_count(&w->counters.send_failed, w->n_out);
        w->n_out = 0;
        w->stuck_ns = 0;
    }
}

void apn_worker_flush(struct apn_worker *w)
{
    const struct apn_nic *nic = &w->helper->nic;
    unsigned n = w->n_out, sent;

    if (!n) {
        return;
    }
    if (nic->sums_udp) {
        n = rte_eth_tx_prepare(nic->id, (uint16_t)w->queue, w->out, (uint16_t)n);
        if (!n) { /* the first one is nothing for this driver */
            rte_pktmbuf_free(w->out[0]);
            apn_count(&w->counters.send_failed, 1);
            w->n_out--;
            memmove(w->out, w->out + 1, w->n_out * sizeof(w->out[0]));
            return;
        }
    }
    sent = rte_eth_tx_burst(nic->id, (uint16_t)w->queue, w->out, (uint16_t)n);
    apn_count(&w->counters.sent, sent);
    w->n_out -= sent;
    memmove(w->out, w->out + sent, w->n_out * sizeof(w->out[0]));
    give_up_stuck(w, sent);
}

void apn_worker_queue(struct apn_worker *w, struct rte_mbuf *m)
{
    if (w->n_out == APN_BURST * 2) {
        apn_worker_flush(w);
    }
    if (w->n_out == APN_BURST * 2) {
        rte_pktmbuf_free(m);
        apn_count(&w->counters.send_failed, 1);
        return;
    }
    w->out[w->n_out++] = m;
}

/* ---- what the host asks for -------------------------------------------------- */

static void emit(void *opaque, const uint8_t *frame, uint32_t bytes)
{
    struct apn_helper *h = opaque;
    struct rte_mbuf *m = rte_pktmbuf_alloc(h->nic.send_pool);
    uint8_t *at = m ? (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(bytes < APN_ETHER_MIN ? APN_ETHER_MIN : bytes)) : NULL;

    if (!at) {
        rte_pktmbuf_free(m);
        apn_count(&h->host_worker->counters.no_buffer, 1);
        return;
    }
    memcpy(at, frame, bytes);
    if (bytes < APN_ETHER_MIN) {
        memset(at + bytes, 0, APN_ETHER_MIN - bytes);
    }
    apn_worker_queue(h->host_worker, m);
}

static void deliver(void *opaque, void *waiter, const uint8_t mac[6])
{
    struct apn_helper *h = opaque;

    memcpy(rte_pktmbuf_mtod((struct rte_mbuf *)waiter, uint8_t *), mac, 6);
    apn_worker_queue(h->host_worker, waiter);
}

static void give_up(void *opaque, void *waiter)
{
    struct apn_helper *h = opaque;

    rte_pktmbuf_free(waiter);
    if (h->host_worker) {
        apn_count(&h->host_worker->counters.send_failed, 1);
    }
}

/* only what names a flow of ours, both ends, is believed; the channel's own worker acts on it */
static void trouble(void *opaque, enum apn_trouble what, const struct apn_packet *sent, uint32_t mtu)
{
    struct apn_helper *h = opaque;
    const struct apn_steer_key key = {sent->source, sent->dest, sent->source_port, sent->dest_port};
    const uint16_t number = apn_steer_find(&h->steer, &key);
    struct apn_channel *c = number == APN_STEER_NONE ? NULL : &h->channels[number];

    if (!c || !c->key.remote.family) {
        return;
    }
    if (what == APN_TROUBLE_REFUSED) {
        atomic_store(&c->told_refused, 1);
    } else {
        atomic_store(&c->told_mtu, mtu);
    }
    apn_worker_wake(c->worker);
}

const struct apn_host_ops apn_worker_host_ops = {emit, deliver, give_up, trouble};

/* ---- rounds ------------------------------------------------------------------ */

static void act_on_words(struct apn_channel *c)
{
    uint32_t mtu;

    if (atomic_load_explicit(&c->told_refused, memory_order_relaxed) && atomic_exchange(&c->told_refused, 0)) {
        apn_deliver_word(c, APN_ARRIVAL_REFUSED, 0);
    }
    if (atomic_load_explicit(&c->told_mtu, memory_order_relaxed)) {
        mtu = atomic_exchange(&c->told_mtu, 0);
        mtu -= (c->key.remote.family == 6 ? APN_IP6_BYTES : APN_IP4_BYTES) + APN_UDP_BYTES;
        if (mtu < c->datagram_max) {
            c->datagram_max = mtu;
            apn_deliver_word(c, APN_ARRIVAL_TOO_BIG, mtu);
        }
    }
}

static void wake_clients(struct apn_worker *w)
{
    struct apn_helper *h = w->helper;

    for (unsigned i = 0; i < h->channels_end; i++) {
        struct apn_channel *c = &h->channels[i];

        if (c->open && c->worker == w && c->came) {
            if (apn_rings_client_wants_waking(&c->rings, c->came)) {
                apn_doorbell_ring(c->bell);
            }
            c->came = 0;
        }
    }
}

/* Return: how much there was to do */
static unsigned round_once(struct apn_worker *w)
{
    struct apn_helper *h = w->helper;
    unsigned work;

    pthread_rwlock_rdlock(&h->lock);
    w->now_ns = apn_helper_now();
    work = apn_receive(w);
    wake_clients(w); /* before sending: an arrival may be what they wait for */
    for (unsigned i = 0; i < h->channels_end; i++) {
        struct apn_channel *c = &h->channels[i];

        if (c->open && c->worker == w) {
            act_on_words(c);
            /* a port that is full is looked at again before more is taken: what waits stays with the client */
            work += w->n_out < APN_BURST ? apn_transmit(w, c) : 0;
        }
    }
    apn_worker_flush(w);
    wake_clients(w);
    pthread_rwlock_unlock(&h->lock);
    return work;
}

/* Return: has every channel nothing to send? Then all know that we sleep. */
static bool may_sleep(struct apn_worker *w, bool asleep)
{
    struct apn_helper *h = w->helper;
    bool idle = true;

    pthread_rwlock_rdlock(&h->lock);
    for (unsigned i = 0; i < h->channels_end; i++) {
        struct apn_channel *c = &h->channels[i];

        if (c->open && c->worker == w && !c->broken) {
            apn_rings_helper_sleeps(&c->rings, asleep);
            idle = idle && apn_rings_send_pending(&c->rings) <= 0;
            idle = idle && !atomic_load_explicit(&c->told_refused, memory_order_relaxed);
        }
    }
    pthread_rwlock_unlock(&h->lock);
    return idle;
}

static uint64_t tick(struct apn_worker *w)
{
    struct apn_helper *h = w->helper;
    uint64_t now_ns = apn_helper_now(), next;

    if (w->queue) { /* the host's clock is worker 0's */
        return now_ns + IDLE_WAIT_NS;
    }
    pthread_rwlock_rdlock(&h->lock);
    pthread_mutex_lock(&h->host_lock);
    h->host_worker = w;
    next = apn_host_tick(&h->host, now_ns);
    pthread_mutex_unlock(&h->host_lock);
    apn_worker_flush(w);
    pthread_rwlock_unlock(&h->lock);
    return next < now_ns + IDLE_WAIT_NS ? next : now_ns + IDLE_WAIT_NS;
}

static void drain(struct apn_worker *w, const struct epoll_event *events, int n)
{
    struct apn_helper *h = w->helper;
    uint64_t count;

    for (int i = 0; i < n; i++) {
        const uint32_t from = events[i].data.u32;

        if (from == EVENT_WAKE) {
            if (read(w->wake_fd, &count, sizeof(count)) < 0) {
                continue; /* somebody else's round has emptied it */
            }
        } else if (from == EVENT_PORT && events[i].events & EPOLLERR) {
            int error;
            socklen_t bytes = sizeof(error);

            getsockopt(h->nic.wait_fd[w->queue], SOL_SOCKET, SO_ERROR, &error, &bytes); /* the interface went down; else we spin */
        } else if (from < APN_CHANNELS_MAX) {
            pthread_rwlock_rdlock(&h->lock);
            if (h->channels[from].open && apn_doorbell_drain(h->channels[from].bell)) {
                /* hung up: control is told by the client's own socket, and the bell must not wake us until then */
                epoll_ctl(w->poll_fd, EPOLL_CTL_DEL, h->channels[from].bell, NULL);
            }
            pthread_rwlock_unlock(&h->lock);
        }
    }
}

static int wait_ms(uint64_t until_ns)
{
    uint64_t now_ns = apn_helper_now();

    return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns + 999999) / 1000000);
}

static void sleep_until_needed(struct apn_worker *w)
{
    struct apn_nic *nic = &w->helper->nic;
    struct epoll_event events[EVENTS];
    uint64_t until = tick(w);
    int n;

    if (w->n_out && until > w->now_ns + STUCK_WAIT_NS) {
        until = w->now_ns + STUCK_WAIT_NS;
    }
    if (nic->wait == APN_NIC_WAIT_TIMER && until > w->now_ns + TIMER_WAIT_NS) {
        until = w->now_ns + TIMER_WAIT_NS;
    }
    apn_nic_kick(nic, w->queue);
    atomic_store(&w->asleep, true);
    apn_nic_arm(nic, w->queue);
    if ((may_sleep(w, true) || w->stuck_ns) && rte_ring_empty(w->inbox) && !atomic_load(&w->helper->stopping) &&
        (nic->wait != APN_NIC_WAIT_INTERRUPT || rte_eth_rx_queue_count(nic->id, (uint16_t)w->queue) <= 0)) {
        apn_count(&w->counters.sleeps, 1);
        n = epoll_wait(w->poll_fd, events, EVENTS, wait_ms(until));
        drain(w, events, n);
    }
    apn_nic_disarm(nic, w->queue);
    atomic_store(&w->asleep, false);
    may_sleep(w, false);
}

static void pin(const struct apn_worker *w)
{
    const struct apn_options *o = &w->helper->options;
    cpu_set_t set;

    if (o->n_cpus) {
        CPU_ZERO(&set);
        CPU_SET(o->cpus[w->queue], &set);
        if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set)) {
            fprintf(stderr, "apn-dpdk: --cpus: this process may not use CPU %u: not pinned\n", o->cpus[w->queue]);
        }
    }
}

static void *run(void *opaque)
{
    struct apn_worker *w = opaque;
    const uint64_t spin_ns = w->helper->options.spin_us * 1000ull;
    uint64_t last_ns = 0;

    if (rte_thread_register()) {
        fprintf(stderr, "apn-dpdk: queue %u: no caches: %s\n", w->queue, strerror(rte_errno));
    }
    pin(w);
    while (!atomic_load_explicit(&w->helper->stopping, memory_order_relaxed)) {
        if (round_once(w)) {
            last_ns = w->now_ns;
        } else if (w->now_ns - last_ns >= spin_ns) {
            sleep_until_needed(w);
        } else {
            rte_pause();
        }
    }
    rte_thread_unregister();
    return NULL;
}

/* ---- start and end ------------------------------------------------------------ */

static int watch(int poll_fd, int fd, uint32_t who)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = who};

    return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int start_one(struct apn_helper *h, unsigned queue)
{
    struct apn_worker *w = &h->workers[queue];
    char name[16];

    w->helper = h;
    w->queue = queue;
    w->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(name, sizeof(name), "inbox%u", queue);
    w->inbox = rte_ring_create(name, APN_INBOX_SLOTS, SOCKET_ID_ANY, RING_F_SC_DEQ);
    if (w->poll_fd < 0 || w->wake_fd < 0 || !w->inbox || watch(w->poll_fd, w->wake_fd, EVENT_WAKE)) {
        return -ENOMEM;
    }
    if (h->nic.wait != APN_NIC_WAIT_TIMER && watch(w->poll_fd, h->nic.wait_fd[queue], EVENT_PORT)) {
        h->nic.wait = APN_NIC_WAIT_TIMER;
    }
    return 0;
}

int apn_workers_start(struct apn_helper *h)
{
    int ret = 0;

    for (unsigned i = 0; i < h->nic.queues && !ret; i++) {
        ret = start_one(h, i);
    }
    for (unsigned i = 0; i < h->nic.queues && !ret; i++) { /* all inboxes exist before the first one hands over */
        ret = -pthread_create(&h->workers[i].thread, NULL, run, &h->workers[i]);
        h->workers[i].started = !ret;
    }
    if (ret) {
        fprintf(stderr, "apn-dpdk: %u queues: no thread or descriptor for them: %s\n", h->nic.queues, strerror(-ret));
    }
    return ret;
}

void apn_workers_stop(struct apn_helper *h)
{
    atomic_store(&h->stopping, true);
    for (unsigned i = 0; i < h->nic.queues; i++) {
        struct apn_worker *w = &h->workers[i];
        const uint64_t one = 1;

        if (w->started) {
            if (write(w->wake_fd, &one, sizeof(one)) < 0) {
                continue; /* full: it will wake */
            }
        }
    }
    for (unsigned i = 0; i < h->nic.queues; i++) {
        struct apn_worker *w = &h->workers[i];
        struct rte_mbuf *m;

        if (w->started) {
            pthread_join(w->thread, NULL);
        }
        rte_pktmbuf_free_bulk(w->out, w->n_out);
        w->n_out = 0;
        while (w->inbox && !rte_ring_dequeue(w->inbox, (void **)&m)) {
            rte_pktmbuf_free(m);
        }
        if (w->poll_fd > 0) {
            close(w->poll_fd);
        }
        if (w->wake_fd > 0) {
            close(w->wake_fd);
        }
    }
}
