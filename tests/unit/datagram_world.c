/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* datagram_world.c - see datagram_world.h */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datagram_world.h"

#define STAGING (1u << 20)

uint32_t world_random(struct world *w, uint32_t below)
{
    w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((w->random >> 33) % (below ? below : 1));
}

static bool chance(struct world *w, double p)
{
    return p > 0 && world_random(w, 1u << 30) < p * (1u << 30);
}

/* ---- the path ----------------------------------------------------------------- */

static void push(struct world_end *to, struct world_packet packet)
{
    unsigned i = to->packets++;

    if (to->packets > to->room) {
        to->room = to->room ? 2 * to->room : 256;
        to->heap = realloc(to->heap, to->room * sizeof(*to->heap));
        assert_non_null(to->heap);
    }
    for (; i && to->heap[(i - 1) / 2].arrives_ns > packet.arrives_ns; i = (i - 1) / 2) {
        to->heap[i] = to->heap[(i - 1) / 2];
    }
    to->heap[i] = packet;
}

static struct world_packet pop(struct world_end *to)
{
    struct world_packet top = to->heap[0], last = to->heap[--to->packets];
    unsigned i = 0;

    for (;;) {
        unsigned child = 2 * i + 1;

        if (child >= to->packets) {
            break;
        }
        child += child + 1 < to->packets && to->heap[child + 1].arrives_ns < to->heap[child].arrives_ns;
        if (to->heap[child].arrives_ns >= last.arrives_ns) {
            break;
        }
        to->heap[i] = to->heap[child];
        i = child;
    }
    to->heap[i] = last;
    return top;
}

static void carry(struct world_end *from, const struct apn_port_datagram *d, uint64_t leaves_ns, uint8_t ecn)
{
    struct world *w = from->world;
    struct world_packet p = {.length = d->head_bytes + d->payload_bytes, .ecn = ecn, .bytes = malloc(d->head_bytes + d->payload_bytes)};

    assert_non_null(p.bytes);
    memcpy(p.bytes, d->head, d->head_bytes);
    if (d->payload_bytes) {
        memcpy(p.bytes + d->head_bytes, d->payload, d->payload_bytes);
    }
    p.arrives_ns = leaves_ns + w->path.delay_ns;
    if (chance(w, w->path.disorder)) {
        p.arrives_ns += world_random(w, (uint32_t)w->path.jitter_ns);
    }
    push(from->peer, p);
}

static void transmit(struct world_end *from, const struct apn_port_datagram *d)
{
    struct world *w = from->world;
    const uint32_t bytes = d->head_bytes + d->payload_bytes;
    uint64_t start_ns = from->line_free_ns > w->now_ns ? from->line_free_ns : w->now_ns;
    const uint64_t queue = w->path.rate ? (start_ns - w->now_ns) * (w->path.rate / 1000) / 1000000 : 0;
    const uint8_t ecn = w->path.mark_bytes && queue > w->path.mark_bytes ? 3 : 0;

    assert_true(bytes <= from->port.datagram_max);
    from->sent++;
    from->sent_bytes += bytes;
    if (w->path.queue_bytes && queue + bytes > w->path.queue_bytes) {
        from->overflowed++;
        return;
    }
    from->queue_max_bytes = queue > from->queue_max_bytes ? queue : from->queue_max_bytes;
    from->line_free_ns = w->path.rate ? start_ns + bytes * 1000000000ull / w->path.rate : start_ns;
    if (w->cut || chance(w, w->path.loss)) {
        from->lost++;
        return;
    }
    carry(from, d, from->line_free_ns, ecn);
    if (chance(w, w->path.copies)) {
        carry(from, d, from->line_free_ns, ecn);
    }
}

/* ---- the carrier ----------------------------------------------------------------- */

static int world_send(struct apn_port *port, const struct apn_endpoint *endpoint, const struct apn_port_datagram *burst, unsigned n)
{
    struct world_end *end = (struct world_end *)port;

    assert_null(endpoint);
    for (unsigned i = 0; i < n; i++) {
        if (world_random(end->world, 1000) == 0) {
            return (int)i; /* no room just now */
        }
        transmit(end, &burst[i]);
    }
    return (int)n;
}

static void forget_taken(struct world_end *end)
{
    while (end->taken_count) {
        free(end->taken[--end->taken_count].bytes);
    }
}

static int world_receive(struct apn_port *port, struct apn_port_arrival *out, unsigned max)
{
    struct world_end *end = (struct world_end *)port;
    const bool heads = end->world->shows_heads;
    int n = 0;

    forget_taken(end);
    for (max = heads ? 1 : max; (unsigned)n < max && end->packets && end->heap[0].arrives_ns <= end->world->now_ns; n++) {
        struct world_packet *p = &end->taken[end->taken_count++];

        *p = pop(end);
        p->shown = heads && p->length > APN_PORT_HEAD_MAX ? APN_PORT_HEAD_MAX : p->length;
        out[n] = (struct apn_port_arrival){.head = p->bytes, .head_bytes = p->shown, .total_bytes = p->length, .ecn = p->ecn, .cookie = p};
    }
    return n;
}

static int world_read(struct apn_port *port, const struct apn_port_arrival *arrival, const struct iovec *iov, unsigned n)
{
    const struct world_packet *p = arrival->cookie;
    uint32_t at = p->shown;

    (void)port;
    for (unsigned i = 0; i < n; i++) {
        memcpy(iov[i].iov_base, p->bytes + at, iov[i].iov_len);
        at += (uint32_t)iov[i].iov_len;
    }
    assert_int_equal(at, p->length);
    return 0;
}

static void world_port_close(struct apn_port *port)
{
    struct world_end *end = (struct world_end *)port;

    forget_taken(end);
    while (end->packets) {
        free(end->heap[--end->packets].bytes);
    }
    free(end->heap);
    end->heap = NULL;
    end->room = 0;
}

static void no_counters(struct apn_carrier *carrier, struct apn_carrier_counters *out)
{
    (void)carrier;
    memset(out, 0, sizeof(*out));
}

static void no_free(struct apn_carrier *carrier)
{
    (void)carrier;
}

static const struct apn_carrier_ops world_ops = {
    .name = "world",
    .counters = no_counters,
    .free = no_free,
    .send = world_send,
    .receive = world_receive,
    .read = world_read,
    .close = world_port_close,
};

/* ---- the world --------------------------------------------------------------------- */

static uint64_t world_now(void *opaque)
{
    return ((struct world *)opaque)->now_ns;
}

void world_init(struct world *w, const struct world_path *path, uint64_t seed, uint32_t datagram_max,
                const struct apn_datagram_options *options, const struct apn_sink *sink)
{
    const struct apn_hello hello = {.lanes = 1, .generation = 1};

    memset(w, 0, sizeof(*w));
    w->path = *path;
    w->random = seed * 2654435761u + 1;
    w->now_ns = 5000000000ull;
    w->clock = (struct apn_clock){world_now, w};
    for (unsigned i = 0; i < 2; i++) {
        struct apn_backend_config config = {.clock = &w->clock, .sink = i ? *sink : (struct apn_sink){0}};
        struct apn_error err = {0};

        w->carrier[i] = (struct world_carrier){{&world_ops}, w};
        w->end[i] = (struct world_end){.port = {&w->carrier[i].base, datagram_max}, .world = w, .peer = &w->end[1 - i]};
        assert_int_equal(apn_datagram_backend_new(&w->backend[i], "world", &w->carrier[i].base, options, &config, &err), 0);
        w->link[i] = apn_dg_link_new((struct apn_dg_backend *)w->backend[i], &hello, &w->end[i].port, &err);
        assert_non_null(w->link[i]);
        assert_int_equal(apn_dg_link_ready(w->link[i], 100 + i, 101 - i, datagram_max, STAGING, 2 * path->delay_ns), 0);
    }
}

void world_done(struct world *w)
{
    for (unsigned i = 0; i < 2; i++) { /* the first one's farewell lands in the second one's heap */
        apn_dg_link_close(&w->link[i]->base);
        w->end[i].peer = &w->end[i];
    }
    for (unsigned i = 0; i < 2; i++) {
        world_port_close(&w->end[i].port);
        w->backend[i]->ops->free(w->backend[i]);
    }
}

int world_poll(struct world *w, unsigned end, struct apn_event *events, unsigned max)
{
    return apn_dg_link_poll(&w->link[end]->base, events, max, -1);
}
