/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive.c - frames to channels, to other workers, or to the host; see helper.h */
#include <string.h>

#include "dpdk/helper.h"

static void to_ring_address(struct apn_ring_address *out, const struct apn_ip *ip, uint16_t port)
{
    memcpy(out->ip, ip->bytes, sizeof(out->ip));
    out->family = ip->family;
    out->port = port;
    out->reserved = 0;
}

/* Return: a slot to fill, NULL when the client does not keep up or makes no sense */
static struct apn_arrival_entry *slot(struct apn_channel *c, uint8_t **buffer)
{
    int room = c->broken ? 0 : apn_rings_come_room(&c->rings);

    if (room < 0) {
        apn_channel_break(c);
    }
    if (room <= 0) {
        return NULL;
    }
    *buffer = apn_rings_come_buffer(&c->rings, c->rings.made);
    return &c->rings.come[c->rings.made & (c->rings.come_slots - 1)];
}

void apn_deliver_word(struct apn_channel *c, enum apn_arrival_kind kind, uint32_t bytes)
{
    uint8_t *buffer;
    struct apn_arrival_entry *entry = slot(c, &buffer);

    if (entry) {
        *entry = (struct apn_arrival_entry){.kind = (uint8_t)kind, .bytes = bytes};
        apn_rings_come_publish(&c->rings, 1);
        c->came |= APN_RING_ARRIVAL;
    }
}

static enum apn_drop deliver(struct apn_channel *c, const uint8_t *frame, const struct apn_packet *p)
{
    uint8_t *buffer;
    struct apn_arrival_entry *entry;

    if (p->message_bytes > c->rings.slot_bytes) {
        return APN_DROP_MALFORMED;
    }
    entry = slot(c, &buffer);
    if (!entry) {
        atomic_fetch_add_explicit(&c->rings.page->overruns, 1, memory_order_relaxed);
        return APN_DROP_RING_FULL;
    }
    memcpy(buffer, frame + p->message_at, p->message_bytes);
    entry->bytes = p->message_bytes;
    entry->kind = APN_ARRIVAL_DATAGRAM;
    entry->tos = p->tos;
    entry->reserved = 0;
    to_ring_address(&entry->remote, &p->source, p->source_port);
    to_ring_address(&entry->local, &p->dest, p->dest_port);
    apn_rings_come_publish(&c->rings, 1);
    c->came |= APN_RING_ARRIVAL;
    apn_count(&c->received, 1);
    apn_count(&c->received_bytes, p->message_bytes);
    return APN_DROP_NONE;
}

static void to_host(struct apn_worker *w, const uint8_t *frame, const struct apn_packet *p, enum apn_drop *drop)
{
    struct apn_helper *h = w->helper;

    pthread_mutex_lock(&h->host_lock);
    h->host_worker = w;
    if (p->kind == APN_PACKET_UDP) {
        apn_host_no_port(&h->host, frame, p, w->now_ns);
    } else {
        *drop = apn_host_input(&h->host, frame, p, w->now_ns);
    }
    pthread_mutex_unlock(&h->host_lock);
}

/* Return: was @m handed on? Else it is still the caller's. */
static bool udp(struct apn_worker *w, struct rte_mbuf *m, const uint8_t *frame, const struct apn_packet *p, enum apn_drop *drop)
{
    struct apn_helper *h = w->helper;
    const struct apn_steer_key key = {p->dest, p->source, p->dest_port, p->source_port};
    struct apn_channel *c;
    uint16_t number;

    if (!apn_host_is_ours(&h->host, &p->dest)) {
        *drop = APN_DROP_NOT_OURS;
        return false;
    }
    number = apn_steer_find(&h->steer, &key);
    if (number == APN_STEER_NONE) {
        *drop = APN_DROP_NO_PORT;
        to_host(w, frame, p, drop);
        return false;
    }
    c = &h->channels[number];
    if (c->worker != w) {
        if (rte_ring_enqueue(c->worker->inbox, m)) {
            *drop = APN_DROP_RING_FULL;
            return false;
        }
        apn_count(&w->counters.handed_over, 1);
        apn_worker_wake(c->worker);
        return true;
    }
    *drop = deliver(c, frame, p);
    return false;
}

static unsigned what_is_known(const struct rte_mbuf *m, bool *bad)
{
    const uint64_t ip = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK, l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    *bad = ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD;
    return (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD ? APN_KNOWN_IP_GOOD : 0u) | (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD ? APN_KNOWN_L4_GOOD : 0u);
}

static void take(struct apn_worker *w, struct rte_mbuf *m)
{
    const unsigned checked_before = m->hash.usr == APN_KNOWN_L4_GOOD ? APN_KNOWN_IP_GOOD | APN_KNOWN_L4_GOOD : 0;
    enum apn_drop drop;
    struct apn_packet p;
    bool bad, passed = false;
    const unsigned known = (w->helper->nic.checks ? what_is_known(m, &bad) : (bad = false, 0u)) | checked_before;
    const uint8_t *frame;

    if (m->nb_segs > 1 && rte_pktmbuf_linearize(m)) {
        drop = APN_DROP_MALFORMED;
    } else {
        frame = rte_pktmbuf_mtod(m, const uint8_t *);
        drop = apn_packet_parse(frame, m->pkt_len, known, &p);
        if (drop == APN_DROP_NONE && bad) {
            drop = APN_DROP_CHECKSUM;
        } else if (drop == APN_DROP_NONE && p.kind == APN_PACKET_UDP) {
            m->hash.usr = APN_KNOWN_L4_GOOD; /* another worker need not sum it again */
            passed = udp(w, m, frame, &p, &drop);
        } else if (drop == APN_DROP_NONE) {
            to_host(w, frame, &p, &drop);
        }
    }
    if (drop) {
        apn_count(&w->counters.drops[drop], 1);
    }
    if (!passed) {
        rte_pktmbuf_free(m);
    }
}

unsigned apn_receive(struct apn_worker *w)
{
    struct rte_mbuf *burst[APN_BURST];
    unsigned handed = rte_ring_dequeue_burst(w->inbox, (void **)burst, APN_BURST, NULL);
    unsigned n;

    for (unsigned i = 0; i < handed; i++) {
        take(w, burst[i]);
    }
    n = rte_eth_rx_burst(w->helper->nic.id, (uint16_t)w->queue, burst, APN_BURST);
    apn_count(&w->counters.received, n);
    for (unsigned i = 0; i < n; i++) {
        burst[i]->hash.usr = 0;
        take(w, burst[i]);
    }
    return handed + n;
}
