/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* transmit.c - what clients want to send, as frames; see helper.h
 *
 * Theory of operation
 *   An entry is copied out of shared memory once and checked; then nothing of it is read there again. The payload is copied
 *   into the frame, or the frame is given a view of guest RAM. A guest writes to its memory meanwhile: a checksum that was made
 *   here and a copy that is made later by a driver could differ, the peer would drop the datagram, and a page that is written
 *   all the time would never arrive. So views are for adapters that sum what they read; else the sum is made over the copy. */
#include <errno.h>
#include <string.h>

#include "dpdk/helper.h"
#include "dpdk/host/checksum.h"

static bool from_ring_address(const struct apn_ring_address *a, struct apn_ip *ip, uint16_t *port)
{
    if (a->family != 4 && a->family != 6) {
        return false;
    }
    memset(ip, 0, sizeof(*ip));
    ip->family = a->family;
    memcpy(ip->bytes, a->ip, a->family == 6 ? 16 : 4);
    *port = a->port;
    return true;
}

/* ---- where to ------------------------------------------------------------------ */

static int route(struct apn_worker *w, struct apn_path *path, void *waiter)
{
    struct apn_helper *h = w->helper;
    int ret;

    pthread_mutex_lock(&h->host_lock);
    h->host_worker = w;
    ret = apn_host_route(&h->host, &path->dest, waiter, w->now_ns, path);
    pthread_mutex_unlock(&h->host_lock);
    return ret;
}

/* a flow's route is remembered for a second, or until some neighbour has moved */
static bool remembered(struct apn_worker *w, const struct apn_channel *c)
{
    return c->path_known && w->now_ns < c->path_until_ns &&
           c->path_changes == atomic_load_explicit(&w->helper->host.neighbours.changes, memory_order_relaxed);
}

static bool start_path(struct apn_worker *w, const struct apn_channel *c, const struct apn_send_entry *e, struct apn_path *path)
{
    const struct apn_ip *source;
    struct apn_ip local;
    uint16_t port;

    memset(path, 0, sizeof(*path));
    path->source_port = c->key.local_port;
    path->tos = c->tos;
    if (c->key.remote.family) {
        path->dest = c->key.remote;
        path->dest_port = c->key.remote_port;
        path->source = c->key.local;
        return true;
    }
    if (!from_ring_address(&e->remote, &path->dest, &path->dest_port) || !path->dest_port) {
        return false;
    }
    if (c->key.local.family) {
        path->source = c->key.local;
    } else if (from_ring_address(&e->local, &local, &port) && apn_host_is_ours(&w->helper->host, &local)) {
        path->source = local;
    } else {
        source = apn_host_source(&w->helper->host, &path->dest);
        path->source = source ? *source : (struct apn_ip){.family = 0};
    }
    return path->source.family == path->dest.family;
}

/* ---- frames --------------------------------------------------------------------- */

static bool entry_is_sane(const struct apn_channel *c, const struct apn_send_entry *e)
{
    const struct apn_guest_region *r;

    if (!e->head_bytes || e->head_bytes > APN_RING_HEAD_MAX || e->head_bytes > c->rings.slot_bytes ||
        e->payload_bytes > c->rings.slot_bytes - e->head_bytes || e->head_bytes + e->payload_bytes > c->datagram_max) {
        return false;
    }
    if (e->region == APN_RING_NO_REGION || !e->payload_bytes) {
        return true;
    }
    if (e->region >= APN_GUEST_REGIONS) {
        return false;
    }
    r = &c->client->regions[e->region];
    return r->base && e->offset <= r->length && e->payload_bytes <= r->length - e->offset;
}

static void end_of_view(void *addr, void *opaque)
{
    (void)addr;
    (void)opaque; /* the channel's own count is never given back before it closes */
}

/* Return: a buffer without memory that shows @bytes at @at; NULL: none is left */
static struct rte_mbuf *view(struct apn_worker *w, struct apn_channel *c, const uint8_t *at, uint32_t bytes)
{
    struct rte_mbuf *m;

    if (rte_mbuf_ext_refcnt_read(&c->views) > UINT16_MAX - 64) {
        return NULL;
    }
    m = rte_pktmbuf_alloc(w->helper->nic.view_pool);
    if (m) {
        rte_mbuf_ext_refcnt_update(&c->views, 1);
        c->views.free_cb = end_of_view;
        rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)at, (rte_iova_t)(uintptr_t)at, (uint16_t)bytes, &c->views);
        m->data_off = 0;
        m->data_len = (uint16_t)bytes;
        m->pkt_len = bytes;
    }
    return m;
}

static void finish_udp(struct rte_mbuf *m, bool offload, const struct apn_path *path, uint32_t at, uint32_t in_first)
{
    uint8_t *udp = rte_pktmbuf_mtod_offset(m, uint8_t *, at);
    const uint32_t bytes = m->pkt_len - at;
    uint64_t sum = apn_pseudo_sum(&path->source, &path->dest, APN_PROTO_UDP, bytes);
    uint16_t folded;

    if (offload) {
        folded = apn_sum_fold(sum);
        memcpy(udp + 6, &folded, 2);
        m->l2_len = APN_ETHER_BYTES;
        m->l3_len = at - APN_ETHER_BYTES;
        m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | (path->dest.family == 6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
        return;
    }
    if (m->next) {
        sum = apn_sum(sum, rte_pktmbuf_mtod(m->next, uint8_t *), m->next->data_len);
    }
    apn_packet_finish(udp, in_first, udp + 6, sum);
}

/* @may_view: it goes out now; what waits for a neighbour holds no view of guest RAM */
static struct rte_mbuf *make_frame(struct apn_worker *w, struct apn_channel *c, const struct apn_send_entry *e,
                                   const struct apn_path *path, bool may_view)
{
    const struct apn_nic *nic = &w->helper->nic;
    const uint8_t *buffer = apn_rings_send_buffer(&c->rings, c->rings.taken);
    struct apn_guest_region *r = e->region == APN_RING_NO_REGION ? NULL : &c->client->regions[e->region];
    /* sums need an even start */
    const bool by_view = may_view && r && e->payload_bytes && nic->zerocopy && r->zerocopy && (nic->sums_udp || !(e->head_bytes & 1));
    struct rte_mbuf *m = rte_pktmbuf_alloc(nic->send_pool), *tail = NULL;
    uint32_t at, copied = e->head_bytes + (by_view ? 0 : e->payload_bytes);
    uint8_t *frame;

    if (by_view) {
        tail = view(w, c, r->base + e->offset, e->payload_bytes);
    }
    if (!m || (by_view && !tail)) {
        rte_pktmbuf_free(m);
        rte_pktmbuf_free(tail);
        apn_count(&w->counters.no_buffer, 1);
        return NULL;
    }
    frame = rte_pktmbuf_mtod(m, uint8_t *);
    at = apn_packet_udp(frame, path, e->head_bytes + e->payload_bytes);
    rte_pktmbuf_append(m, (uint16_t)(at + copied)); /* fits: datagram_max is below the MTU, which has room */
    memcpy(frame + at, buffer, r ? e->head_bytes : copied);
    if (tail) {
        m->next = tail;
        m->nb_segs = 2;
        m->pkt_len += e->payload_bytes;
        apn_count(&w->counters.zerocopy_bytes, e->payload_bytes);
        if (nic->is_device) {
            atomic_fetch_add_explicit(&c->rings.page->zerocopy_bytes, e->payload_bytes, memory_order_relaxed);
        }
    } else {
        if (r) {
            memcpy(frame + at + e->head_bytes, r->base + e->offset, e->payload_bytes);
        }
        apn_count(&w->counters.copied_bytes, e->payload_bytes);
    }
    finish_udp(m, nic->sums_udp, path, at - APN_UDP_BYTES, APN_UDP_BYTES + copied);
    return m;
}

/* Return: false when there is no buffer now: the entry stays where it is */
static bool send_entry(struct apn_worker *w, struct apn_channel *c, const struct apn_send_entry *e)
{
    struct apn_path path = {.hops = 0};
    struct rte_mbuf *m;
    const bool known = c->key.remote.family && remembered(w, c);
    int ret = 0;

    if (!entry_is_sane(c, e) || (!known && !start_path(w, c, e, &path))) {
        atomic_fetch_add_explicit(&c->rings.page->refused_entries, 1, memory_order_relaxed);
        return true;
    }
    m = make_frame(w, c, e, known ? &c->path : &path, known);
    if (!m) {
        return false;
    }
    if (!known) {
        memcpy(path.source_mac, w->helper->host.mac, 6);
        memcpy(rte_pktmbuf_mtod(m, uint8_t *) + 6, path.source_mac, 6);
        ret = route(w, &path, m);
        if (!ret) {
            memcpy(rte_pktmbuf_mtod(m, uint8_t *), path.dest_mac, 6);
        }
        if (!ret && c->key.remote.family) {
            c->path = path;
            c->path_known = true;
            c->path_until_ns = w->now_ns + APN_ROUTE_NS;
            c->path_changes = w->helper->host.neighbours.changes;
        }
    }
    if (!ret) {
        apn_worker_queue(w, m);
        apn_count(&c->sent, 1);
        apn_count(&c->sent_bytes, e->head_bytes + e->payload_bytes);
    } else if (ret != -EAGAIN) { /* with -EAGAIN it waits for the neighbour's answer */
        rte_pktmbuf_free(m);
        apn_count(&c->unreachable, 1);
    }
    return true;
}

/* memory that was taken away reads as zeroes; whoever did that is not served any more */
static void check_regions(struct apn_channel *c, uint64_t used)
{
    for (unsigned i = 0; used; i++, used >>= 1) {
        if (used & 1 && atomic_load_explicit(&c->client->regions[i].broken, memory_order_relaxed)) {
            apn_channel_break(c);
            return;
        }
    }
}

unsigned apn_transmit(struct apn_worker *w, struct apn_channel *c)
{
    int n = c->broken ? 0 : apn_rings_send_pending(&c->rings);
    unsigned taken = 0;
    uint64_t used = 0;

    if (n < 0) {
        apn_channel_break(c);
        return 0;
    }
    n = n < (int)APN_BURST ? n : (int)APN_BURST;
    while (taken < (unsigned)n && w->n_out < APN_BURST * 2) {
        struct apn_send_entry e;

        memcpy(&e, &c->rings.send[c->rings.taken & (c->rings.send_slots - 1)], sizeof(e));
        atomic_signal_fence(memory_order_seq_cst); /* what was checked is what is used */
        if (!send_entry(w, c, &e)) {
            break;
        }
        apn_rings_send_release(&c->rings, 1);
        used |= e.region < APN_GUEST_REGIONS ? 1ull << e.region : 0;
        taken++;
    }
    if (taken) {
        c->came |= APN_RING_ROOM;
        apn_worker_flush(w);
        check_regions(c, used);
    }
    return taken;
}
