/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* channel.c - a client's ports: made, given to a worker, taken back; see helper.h. Thread: control, unless said. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_flow.h>

#include "dpdk/helper.h"

#define FIRST_PORT  49152u /* of those that are chosen: RFC 6335 */
#define DRAIN_NS    1000000000ull
#define DRAIN_NAP_US 100u

static int refuse(struct apn_helper_msg *answer, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int refuse(struct apn_helper_msg *answer, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(answer->text, sizeof(answer->text), format, args);
    va_end(args);
    return code;
}

static bool take_address(const struct apn_ring_address *a, struct apn_ip *ip)
{
    memset(ip, 0, sizeof(*ip));
    if (a->family != 0 && a->family != 4 && a->family != 6) {
        return false;
    }
    ip->family = a->family;
    memcpy(ip->bytes, a->ip, a->family == 6 ? 16 : a->family);
    if (ip->family && apn_ip_is_zero(ip)) {
        ip->family = 0; /* "any" */
    }
    return true;
}

/* under the write lock no worker is in the port: its queue may be used, and the first question asked at once */
static int check_route(struct apn_helper *h, struct apn_worker *w, const struct apn_ip *dest)
{
    struct apn_path path;
    int ret;

    pthread_mutex_lock(&h->host_lock);
    h->host_worker = w;
    ret = apn_host_route(&h->host, dest, NULL, apn_helper_now(), &path);
    pthread_mutex_unlock(&h->host_lock);
    apn_worker_flush(w);
    return ret == -ENETUNREACH ? ret : 0;
}

static int take_key(struct apn_helper *h, const struct apn_helper_msg *request, struct apn_steer_key *key, struct apn_helper_msg *answer)
{
    char text[APN_IP_TEXT];
    const struct apn_ip *source;

    memset(key, 0, sizeof(*key));
    if (!take_address(&request->local, &key->local) || !take_address(&request->remote, &key->remote)) {
        return refuse(answer, -EINVAL, "an address is neither IPv4 nor IPv6");
    }
    key->local_port = request->local.port;
    key->remote_port = key->remote.family ? request->remote.port : 0;
    if (key->local.family && !apn_host_is_ours(&h->host, &key->local)) {
        return refuse(answer, -EADDRNOTAVAIL, "%s is not an address of this port (apn-dpdk --ip)", apn_ip_text(&key->local, text));
    }
    if (!key->remote.family) {
        return 0;
    }
    if (!key->remote_port) {
        return refuse(answer, -EINVAL, "port 0 of %s cannot be reached", apn_ip_text(&key->remote, text));
    }
    if (!key->local.family) {
        source = apn_host_source(&h->host, &key->remote);
        if (!source) {
            return refuse(answer, -ENETUNREACH, "%s: this port has no IPv%u address", apn_ip_text(&key->remote, text),
                          key->remote.family);
        }
        key->local = *source;
    }
    return key->local.family == key->remote.family ? 0 : refuse(answer, -EINVAL, "both ends must be of the same family");
}

static int steer(struct apn_helper *h, struct apn_channel *c, struct apn_helper_msg *answer)
{
    int ret = -EADDRINUSE;

    if (c->key.local_port) {
        ret = apn_steer_add(&h->steer, &c->key, c->number);
    }
    for (unsigned tries = 0; !c->key.local_port && tries < 65536 - FIRST_PORT; tries++) {
        struct apn_steer_key key = c->key;

        key.local_port = h->next_port;
        h->next_port = (uint16_t)(h->next_port == UINT16_MAX ? FIRST_PORT : h->next_port + 1u);
        ret = apn_steer_add(&h->steer, &key, c->number);
        if (ret != -EADDRINUSE) {
            c->key = ret ? c->key : key;
            break;
        }
    }
    return ret ? refuse(answer, ret, "UDP port %u: %s", c->key.local_port, ret == -ENOSPC ? "too many channels" : "in use") : 0;
}

/* ---- the adapter's own steering ------------------------------------------------------ */

static void to_rule(const struct apn_steer_key *key, struct rte_flow_item_ipv4 *ip4, struct rte_flow_item_ipv6 *ip6,
                    struct rte_flow_item_udp *udp)
{
    memset(ip4, 0, sizeof(*ip4));
    memset(ip6, 0, sizeof(*ip6));
    memset(udp, 0, sizeof(*udp));
    memcpy(&ip4->hdr.src_addr, key->remote.bytes, 4);
    memcpy(&ip4->hdr.dst_addr, key->local.bytes, 4);
    memcpy(ip6->hdr.src_addr, key->remote.bytes, 16);
    memcpy(ip6->hdr.dst_addr, key->local.bytes, 16);
    udp->hdr.src_port = rte_cpu_to_be_16(key->remote_port);
    udp->hdr.dst_port = rte_cpu_to_be_16(key->local_port);
}

/* a flow's datagrams come to its worker's queue; where the port cannot do that, workers hand them over */
static void make_rule(struct apn_helper *h, struct apn_channel *c)
{
    struct rte_flow_item_ipv4 ip4, ip4_mask = {0};
    struct rte_flow_item_ipv6 ip6, ip6_mask = {0};
    struct rte_flow_item_udp udp, udp_mask = {0};
    const bool six = c->key.remote.family == 6;
    const struct rte_flow_attr attr = {.ingress = 1};
    const struct rte_flow_action_queue queue = {.index = (uint16_t)c->worker->queue};
    struct rte_flow_error error;

    if (!h->options.steer || h->nic.queues < 2 || !c->key.remote.family) {
        return;
    }
    to_rule(&c->key, &ip4, &ip6, &udp);
    memset(&ip4_mask.hdr.src_addr, 0xff, 4);
    memset(&ip4_mask.hdr.dst_addr, 0xff, 4);
    memset(ip6_mask.hdr.src_addr, 0xff, 16);
    memset(ip6_mask.hdr.dst_addr, 0xff, 16);
    udp_mask.hdr.src_port = udp_mask.hdr.dst_port = UINT16_MAX;
    const struct rte_flow_item pattern[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = six ? RTE_FLOW_ITEM_TYPE_IPV6 : RTE_FLOW_ITEM_TYPE_IPV4,
         .spec = six ? (const void *)&ip6 : &ip4,
         .mask = six ? (const void *)&ip6_mask : &ip4_mask},
        {.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &udp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    const struct rte_flow_action actions[] = {
        {.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue},
        {.type = RTE_FLOW_ACTION_TYPE_END},
    };
    if (!rte_flow_validate(h->nic.id, &attr, pattern, actions, &error)) {
        c->rule = rte_flow_create(h->nic.id, &attr, pattern, actions, &error);
        h->rules += c->rule ? 1 : 0;
    }
}

static void drop_rule(struct apn_helper *h, struct apn_channel *c)
{
    struct rte_flow_error error;

    if (c->rule) {
        rte_flow_destroy(h->nic.id, c->rule, &error);
        c->rule = NULL;
        h->rules--;
    }
}

/* ---- memory and bell ------------------------------------------------------------------ */

static int make_memory(struct apn_channel *c, int *out)
{
    const uint32_t most = apn_helper_datagram_max(c->client->helper, 4);
    const uint32_t slot = most < APN_RING_SLOT_MIN ? APN_RING_SLOT_MIN : most;
    const uint32_t slots = apn_rings_slots(slot);
    const size_t bytes = apn_rings_plan(&c->rings, NULL, slots, slots, slot);
    void *memory;
    int fd = memfd_create("apn-dpdk channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        return -errno;
    }
    if (!bytes || ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        close(fd);
        return -ENOMEM;
    }
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        close(fd);
        return -ENOMEM;
    }
    apn_rings_plan(&c->rings, memory, slots, slots, slot);
    *out = fd;
    return 0;
}

static int make_bell(struct apn_channel *c, int *out)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
        return -errno;
    }
    c->bell = pair[0];
    *out = pair[1];
    return 0;
}

static void free_memory(struct apn_channel *c)
{
    if (c->rings.memory) {
        munmap(c->rings.memory, c->rings.bytes);
        c->rings.memory = NULL;
    }
    if (c->bell >= 0) {
        close(c->bell);
        c->bell = -1;
    }
}

/* ---- open and close --------------------------------------------------------------------- */

static struct apn_channel *find_free(struct apn_helper *h)
{
    for (unsigned i = 0; i < APN_CHANNELS_MAX; i++) {
        if (!h->channels[i].open && !h->channels[i].leaked) {
            return &h->channels[i];
        }
    }
    return NULL;
}

static struct apn_worker *least_busy(struct apn_helper *h)
{
    unsigned load[APN_WORKERS_MAX] = {0}, best = 0;

    for (unsigned i = 0; i < h->channels_end; i++) {
        if (h->channels[i].open) {
            load[h->channels[i].worker->queue]++;
        }
    }
    for (unsigned i = 1; i < h->nic.queues; i++) {
        best = load[i] < load[best] ? i : best;
    }
    return &h->workers[best];
}

static void fill_answer(const struct apn_channel *c, struct apn_helper_msg *answer)
{
    answer->channel = c->number;
    answer->send_slots = c->rings.send_slots;
    answer->come_slots = c->rings.come_slots;
    answer->slot_bytes = c->rings.slot_bytes;
    answer->length = c->rings.bytes;
    answer->datagram_max4 = c->datagram_max;
    answer->local.family = c->key.local.family;
    answer->local.port = c->key.local_port;
    memcpy(answer->local.ip, c->key.local.bytes, sizeof(answer->local.ip));
}

/* under the write lock */
static int publish(struct apn_helper *h, struct apn_channel *c, struct apn_helper_msg *answer)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = c->number};
    char text[APN_IP_TEXT];
    int ret = c->key.remote.family ? check_route(h, c->worker, &c->key.remote) : 0;

    if (ret) {
        return refuse(answer, ret, "%s: no way there: not on this link, and there is no gateway (apn-dpdk --gateway)",
                      apn_ip_text(&c->key.remote, text));
    }
    ret = steer(h, c, answer);
    if (ret) {
        return ret;
    }
    if (epoll_ctl(c->worker->poll_fd, EPOLL_CTL_ADD, c->bell, &event)) {
        ret = -errno;
        apn_steer_remove(&h->steer, &c->key);
        return ret;
    }
    make_rule(h, c);
    c->open = true;
    h->channels_end = c->number >= h->channels_end ? c->number + 1u : h->channels_end;
    return 0;
}

int apn_channel_open(struct apn_client *client, const struct apn_helper_msg *request, struct apn_helper_msg *answer, int fds[2])
{
    struct apn_helper *h = client->helper;
    struct apn_channel *c = find_free(h);
    struct apn_steer_key key;
    int ret;

    if (!c || client->channels >= APN_CHANNELS_PER_CLIENT) {
        return refuse(answer, -ENOSPC, "too many channels: %u per program, %u in all", APN_CHANNELS_PER_CLIENT, APN_CHANNELS_MAX);
    }
    ret = take_key(h, request, &key, answer);
    if (ret) {
        return ret;
    }
    memset(c, 0, sizeof(*c));
    c->number = (uint16_t)(c - h->channels);
    c->client = client;
    c->key = key;
    c->bell = -1;
    c->tos = request->flags & APN_HELPER_ECN ? 2 : 0; /* ECT(0) */
    c->datagram_max = apn_helper_datagram_max(h, key.remote.family ? key.remote.family : 6); /* listening: what fits either */
    rte_mbuf_ext_refcnt_set(&c->views, 1);
    ret = make_memory(c, &fds[0]);
    ret = ret ? ret : make_bell(c, &fds[1]);
    if (!ret) {
        pthread_rwlock_wrlock(&h->lock);
        c->worker = least_busy(h);
        ret = publish(h, c, answer);
        pthread_rwlock_unlock(&h->lock);
    }
    if (ret) {
        free_memory(c);
        return answer->text[0] ? ret : refuse(answer, ret, "no memory or descriptor for a channel: %s", strerror(-ret));
    }
    client->channels++;
    fill_answer(c, answer);
    apn_worker_wake(c->worker);
    return 0;
}

void apn_channel_break(struct apn_channel *c)
{
    c->broken = true;
    shutdown(c->client->fd, SHUT_RDWR); /* control sees it hang up */
}

/* adapters give frames back late */
static bool drain(struct apn_helper *h, const struct apn_channel *c)
{
    const uint64_t until = apn_helper_now() + DRAIN_NS;

    while (rte_mbuf_ext_refcnt_read(&c->views) > 1) {
        if (c->client->stuck || apn_helper_now() > until) {
            c->client->stuck = true; /* its other channels need not be waited for one by one */
            return false;
        }
        usleep(DRAIN_NAP_US);
        pthread_rwlock_wrlock(&h->lock);
        apn_worker_flush(c->worker);
        rte_eth_tx_done_cleanup(h->nic.id, (uint16_t)c->worker->queue, 0);
        pthread_rwlock_unlock(&h->lock);
    }
    return true;
}

/* what its client wanted to say last; at most a ring of it, as long as the port takes it */
static void send_rest(struct apn_channel *c)
{
    c->worker->now_ns = apn_helper_now();
    while (apn_transmit(c->worker, c)) {
        apn_worker_flush(c->worker);
    }
    apn_worker_flush(c->worker);
}

bool apn_channel_close(struct apn_helper *h, struct apn_channel *c, bool send)
{
    bool drained;

    pthread_rwlock_wrlock(&h->lock);
    if (send) {
        send_rest(c);
    }
    apn_worker_flush(c->worker);
    apn_steer_remove(&h->steer, &c->key);
    drop_rule(h, c);
    epoll_ctl(c->worker->poll_fd, EPOLL_CTL_DEL, c->bell, NULL);
    c->open = false;
    while (h->channels_end && !h->channels[h->channels_end - 1].open) {
        h->channels_end--;
    }
    pthread_rwlock_unlock(&h->lock);
    free_memory(c);
    c->client->channels--;
    drained = drain(h, c);
    c->leaked = !drained;
    return drained;
}
