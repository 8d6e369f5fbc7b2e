/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* port.c - one channel's rings as a port of the datagram lanes; see client.h and backend/datagram/port.h */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/dpdk/client.h"

#define NS_PER_S 1000000000ull

struct port {
    struct apn_port base;
    struct apn_dpdk_carrier *carrier;
    struct apn_rings rings;   /* memory NULL: the helper has ended */
    uint32_t channel;
    unsigned generation;
    int bell, wake_fd;
    bool listening;
    bool narrower;            /* datagram_max has shrunk: send() says so once */
    uint32_t shown;           /* slots that the last receive() showed: released by the next one */
    uint32_t shown_from;      /* index of the first of them */
    union apn_address local, remote;
    uint64_t told_overruns, told_zerocopy;
    uint8_t heads[APN_PORT_BURST_MAX][APN_PORT_HEAD_MAX]; /* copies that the helper cannot change any more */
};

static struct port *port_of(struct apn_port *base)
{
    return (struct port *)base;
}

/* ---- addresses ------------------------------------------------------------------------ */

static void to_ring(struct apn_ring_address *out, const union apn_address *a)
{
    memset(out, 0, sizeof(*out));
    if (a && a->family == AF_INET) {
        out->family = 4;
        out->port = ntohs(a->in.sin_port);
        memcpy(out->ip, &a->in.sin_addr, 4);
    } else if (a && a->family == AF_INET6) {
        out->family = 6;
        out->port = ntohs(a->in6.sin6_port);
        memcpy(out->ip, &a->in6.sin6_addr, 16);
    }
}

static void from_ring(union apn_address *out, const struct apn_ring_address *a)
{
    memset(out, 0, sizeof(*out));
    if (a->family == 6) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons(a->port);
        memcpy(&out->in6.sin6_addr, a->ip, 16);
    } else {
        out->in.sin_family = AF_INET;
        out->in.sin_port = htons(a->port);
        memcpy(&out->in.sin_addr, a->ip, 4);
    }
}

/* ---- open and close --------------------------------------------------------------------- */

/* what the helper says is checked against what it gave. Return: 0 or -errno */
static int map_rings(struct port *p, const struct apn_helper_msg *answer, int memory_fd)
{
    struct stat file;
    struct apn_rings r;
    const size_t bytes = apn_rings_plan(&r, NULL, answer->send_slots, answer->come_slots, answer->slot_bytes);
    void *memory;

    if (memory_fd < 0 || !bytes || bytes != answer->length || fstat(memory_fd, &file) || (uint64_t)file.st_size < bytes ||
        answer->datagram_max4 < APN_PORT_DATAGRAM_MIN || answer->datagram_max4 > answer->slot_bytes) {
        return -EPROTO;
    }
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    apn_rings_plan(&p->rings, memory, answer->send_slots, answer->come_slots, answer->slot_bytes);
    return 0;
}

static void tell_figures(struct port *p)
{
    const uint64_t overruns = atomic_load_explicit(&p->rings.page->overruns, memory_order_relaxed);
    const uint64_t zerocopy = atomic_load_explicit(&p->rings.page->zerocopy_bytes, memory_order_relaxed);

    if (overruns != p->told_overruns || zerocopy != p->told_zerocopy) {
        atomic_fetch_add(&p->carrier->overruns, overruns - p->told_overruns);
        atomic_fetch_add(&p->carrier->zerocopy_bytes, zerocopy - p->told_zerocopy);
        p->told_overruns = overruns;
        p->told_zerocopy = zerocopy;
    }
}

static void unmap(struct port *p)
{
    if (p->rings.memory) {
        tell_figures(p);
        munmap(p->rings.memory, p->rings.bytes);
        memset(&p->rings, 0, sizeof(p->rings));
    }
    if (p->bell >= 0) {
        close(p->bell);
        p->bell = -1;
    }
}

static int open_channel(struct port *p, struct apn_error *err)
{
    struct apn_helper_msg msg = {.type = APN_HELPER_OPEN, .flags = p->carrier->ecn ? APN_HELPER_ECN : 0};
    int fds[APN_HELPER_FDS] = {-1, -1};
    int ret;

    to_ring(&msg.local, &p->local);
    if (!p->listening) {
        to_ring(&msg.remote, &p->remote);
    }
    ret = apn_dpdk_client_open(&p->carrier->client, &msg, fds, &p->generation, err);
    if (ret) {
        return ret;
    }
    p->channel = msg.channel;
    ret = fds[1] < 0 ? -EPROTO : map_rings(p, &msg, fds[0]);
    if (fds[0] >= 0) {
        close(fds[0]);
    }
    p->bell = fds[1];
    if (ret) {
        unmap(p);
        apn_dpdk_client_close(&p->carrier->client, p->channel, p->generation);
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "dpdk: the helper's rings (%u and %u slots of %u bytes): %s", msg.send_slots,
                             msg.come_slots, msg.slot_bytes, strerror(-ret));
    }
    p->base.datagram_max = msg.datagram_max4 < APN_PORT_DATAGRAM_MAX ? msg.datagram_max4 : APN_PORT_DATAGRAM_MAX;
    p->shown = 0;
    p->told_overruns = p->told_zerocopy = 0;
    if (p->local.family == AF_INET6) { /* kept for the day the channel has to be opened again */
        p->local.in6.sin6_port = htons(msg.local.port);
    } else {
        p->local.in.sin_port = htons(msg.local.port);
        p->local.in.sin_family = AF_INET;
    }
    return 0;
}

int apn_dpdk_port_new(struct apn_dpdk_carrier *carrier, const union apn_address *local, const union apn_address *remote,
                      struct apn_port **out, struct apn_error *err)
{
    struct port *p = calloc(1, sizeof(*p));
    int ret;

    if (!p) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "dpdk: out of memory");
    }
    p->base.carrier = &carrier->base;
    p->carrier = carrier;
    p->bell = -1;
    p->listening = !remote;
    p->local = *local;
    if (remote) {
        p->remote = *remote;
    }
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ret = p->wake_fd < 0 ? apn_error_set(err, -errno, APN_SCOPE_SESSION, "dpdk: eventfd: %s", strerror(errno)) : open_channel(p, err);
    if (ret) {
        if (p->wake_fd >= 0) {
            close(p->wake_fd);
        }
        free(p);
        return ret;
    }
    *out = &p->base;
    return 0;
}

uint16_t apn_dpdk_port_number(const struct apn_port *base)
{
    const struct port *p = (const struct port *)base;

    return ntohs(p->local.family == AF_INET6 ? p->local.in6.sin6_port : p->local.in.sin_port);
}

/* the helper has hung up, or wrote what no helper writes */
static int lose(struct port *p, int code)
{
    unmap(p);
    apn_dpdk_client_lost(&p->carrier->client, p->generation);
    return code;
}

/* a listener outlives its helper: lanes that come back need somebody to come back to */
static int revive(struct port *p)
{
    struct apn_error err = {0};

    return p->listening ? open_channel(p, &err) : -ENOLINK;
}

void apn_dpdk_port_close(struct apn_port *base)
{
    struct port *p = port_of(base);

    if (p->rings.memory) {
        apn_dpdk_client_close(&p->carrier->client, p->channel, p->generation);
    }
    unmap(p);
    close(p->wake_fd);
    free(p);
}

/* ---- sending ------------------------------------------------------------------------------ */

/* the helper's number of the region, when the payload is what lies at its place there, and not a copy that was made elsewhere */
static uint32_t shared_region(const struct port *p, const struct apn_port_datagram *d)
{
    const struct apn_dpdk_region *r;
    uint32_t number;

    if (d->region >= APN_REGIONS_MAX || !d->payload_bytes) {
        return APN_RING_NO_REGION;
    }
    r = &p->carrier->client.regions[d->region];
    number = atomic_load_explicit(&r->number, memory_order_acquire);
    if (number == APN_RING_NO_REGION || (const uint8_t *)r->host + d->offset != d->payload) {
        return APN_RING_NO_REGION;
    }
    return number;
}

static void fill(struct port *p, uint32_t index, const struct apn_endpoint *endpoint, const struct apn_port_datagram *d)
{
    struct apn_send_entry *e = &p->rings.send[index & (p->rings.send_slots - 1)];
    uint8_t *buffer = apn_rings_send_buffer(&p->rings, index);
    const uint32_t region = shared_region(p, d);

    memcpy(buffer, d->head, d->head_bytes);
    if (d->payload_bytes && region == APN_RING_NO_REGION) {
        memcpy(buffer + d->head_bytes, d->payload, d->payload_bytes);
    }
    e->head_bytes = d->head_bytes;
    e->payload_bytes = d->payload_bytes;
    e->region = region;
    e->reserved = 0;
    e->offset = d->offset;
    to_ring(&e->remote, endpoint ? &endpoint->remote : NULL);
    to_ring(&e->local, endpoint ? &endpoint->local : NULL);
}

int apn_dpdk_port_send(struct apn_port *base, const struct apn_endpoint *endpoint, const struct apn_port_datagram *burst, unsigned n)
{
    struct port *p = port_of(base);
    int room = p->rings.memory ? apn_rings_send_room(&p->rings) : -ENOLINK;
    unsigned i;

    if (room < 0) {
        return p->rings.memory ? lose(p, -EPROTO) : -ENOLINK;
    }
    if (p->narrower) {
        p->narrower = false;
        return -EMSGSIZE;
    }
    for (i = 0; i < n && i < (unsigned)room; i++) {
        if (burst[i].head_bytes + burst[i].payload_bytes > p->base.datagram_max) {
            break;
        }
        fill(p, p->rings.made + i, endpoint, &burst[i]);
    }
    if (!i && n && room) {
        return -EMSGSIZE;
    }
    if (i) {
        atomic_fetch_add_explicit(&p->carrier->sent, i, memory_order_relaxed);
        if (apn_rings_send_publish(&p->rings, i)) {
            atomic_fetch_add_explicit(&p->carrier->send_calls, 1, memory_order_relaxed);
            apn_doorbell_ring(p->bell);
        }
    }
    return (int)i;
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* Return: 0 and *a; -errno: what the entry says instead of a datagram; 1: nothing of use */
static int take_entry(struct port *p, uint32_t index, unsigned at, struct apn_port_arrival *a)
{
    struct apn_arrival_entry e;

    memcpy(&e, &p->rings.come[index & (p->rings.come_slots - 1)], sizeof(e));
    atomic_signal_fence(memory_order_seq_cst); /* what was checked is what is used */
    if (e.kind == APN_ARRIVAL_REFUSED) {
        return -ECONNREFUSED;
    }
    if (e.kind == APN_ARRIVAL_TOO_BIG) {
        if (e.bytes >= APN_PORT_DATAGRAM_MIN && e.bytes < p->base.datagram_max) {
            p->base.datagram_max = e.bytes;
            p->narrower = true;
        }
        return 1;
    }
    if (e.kind != APN_ARRIVAL_DATAGRAM || e.bytes > p->rings.slot_bytes) {
        return -EPROTO;
    }
    if (!e.bytes) {
        return 1;
    }
    a->head_bytes = e.bytes < APN_PORT_HEAD_MAX ? e.bytes : APN_PORT_HEAD_MAX;
    memcpy(p->heads[at], apn_rings_come_buffer(&p->rings, index), a->head_bytes);
    a->head = p->heads[at];
    a->total_bytes = e.bytes;
    a->ecn = e.tos & 3;
    a->cookie = (void *)(uintptr_t)index;
    if (p->listening) {
        from_ring(&a->from.remote, &e.remote);
        from_ring(&a->from.local, &e.local);
    }
    return 0;
}

/* by now the protocol has done with what it was shown */
static void release_shown(struct port *p)
{
    if (p->shown) {
        apn_rings_come_release(&p->rings, p->shown);
        p->shown = 0;
    }
}

static bool hung_up(const struct port *p)
{
    struct pollfd bell = {p->bell, POLLRDHUP, 0};

    return poll(&bell, 1, 0) > 0 && bell.revents & (POLLHUP | POLLRDHUP | POLLERR);
}

int apn_dpdk_port_receive(struct apn_port *base, struct apn_port_arrival *out, unsigned max)
{
    struct port *p = port_of(base);
    int pending, ret = 0;
    unsigned n = 0;

    if (!p->rings.memory && revive(p)) {
        return -ENOLINK;
    }
    release_shown(p);
    pending = apn_rings_come_pending(&p->rings);
    if (pending < 0) {
        return lose(p, -EPROTO);
    }
    if (!pending) {
        return hung_up(p) ? lose(p, -ENOLINK) : 0;
    }
    max = max < APN_PORT_BURST_MAX ? max : APN_PORT_BURST_MAX;
    while (n < max && p->shown < (uint32_t)pending) {
        ret = take_entry(p, p->rings.taken + p->shown, n, &out[n]);
        if (ret < 0 && n) {
            break; /* first what came before it */
        }
        p->shown++;
        if (ret < 0) {
            return ret == -EPROTO ? lose(p, ret) : ret;
        }
        n += !ret;
    }
    tell_figures(p);
    atomic_fetch_add_explicit(&p->carrier->received, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->carrier->receive_calls, 1, memory_order_relaxed);
    return (int)n;
}

int apn_dpdk_port_read(struct apn_port *base, const struct apn_port_arrival *arrival, const struct iovec *iov, unsigned n)
{
    struct port *p = port_of(base);
    const uint8_t *from;
    uint32_t left = arrival->total_bytes - arrival->head_bytes;

    if (!p->rings.memory) {
        return -ENOLINK;
    }
    from = apn_rings_come_buffer(&p->rings, (uint32_t)(uintptr_t)arrival->cookie) + arrival->head_bytes;
    for (unsigned i = 0; i < n; i++) {
        const uint32_t bytes = iov[i].iov_len < left ? (uint32_t)iov[i].iov_len : left;

        memcpy(iov[i].iov_base, from, bytes);
        from += bytes;
        left -= bytes;
    }
    return 0;
}

/* ---- waiting ---------------------------------------------------------------------------------- */

static bool is_there(const struct port *p, unsigned what)
{
    const int come = apn_rings_come_pending(&p->rings);

    return (what & APN_PORT_WAIT_RECEIVE && (come < 0 || (uint32_t)come > p->shown)) ||
           (what & APN_PORT_WAIT_SEND && apn_rings_send_room(&p->rings));
}

void apn_dpdk_port_wait(struct apn_port *base, unsigned what, uint64_t timeout_ns)
{
    struct port *p = port_of(base);
    const struct timespec t = {(time_t)(timeout_ns / NS_PER_S), (long)(timeout_ns % NS_PER_S)};
    struct pollfd fds[2] = {{p->wake_fd, POLLIN, 0}, {p->bell, POLLIN, 0}};
    const bool alive = p->rings.memory && what;
    uint64_t count;

    if (alive) {
        apn_rings_client_sleeps(&p->rings, (what & APN_PORT_WAIT_RECEIVE ? APN_RING_ARRIVAL : 0) |
                                               (what & APN_PORT_WAIT_SEND ? APN_RING_ROOM : 0));
    }
    if (!alive || !is_there(p, what)) {
        ppoll(fds, alive ? 2 : 1, &t, NULL);
    }
    if (fds[0].revents && read(p->wake_fd, &count, sizeof(count)) < 0) {
        fds[0].revents = 0; /* somebody read it meanwhile: there is one reader, so never */
    }
    if (alive) {
        apn_rings_client_sleeps(&p->rings, 0);
        apn_doorbell_drain(p->bell); /* a hang-up is found by the next receive() */
    }
}

void apn_dpdk_port_wake(struct apn_port *base)
{
    struct port *p = port_of(base);
    const uint64_t one = 1;

    if (write(p->wake_fd, &one, sizeof(one)) < 0) {
        return; /* full: it is awake */
    }
}
