/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* datagram_world.h - a carrier whose path is a model in virtual time, and two links on it: losses, copies, disorder, cuts, a queue
 * Owner: the test.   Thread: one.   Time: world->now_ns, moved by the test.   Units: bytes, ns. */
#ifndef DATAGRAM_WORLD_H
#define DATAGRAM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/datagram/link.h"

#define WORLD_MS 1000000ull

/** struct world_path - one for both directions
 * @loss, @copies: probability per datagram;  @jitter_ns: extra delay, 0..this, of @disorder of the datagrams
 * @rate: bytes/s, 0 = no limit;  @queue_bytes: in front of the line, 0 = no limit;  @mark_bytes: a longer queue marks (ECN), 0 = never */
struct world_path {
    uint64_t delay_ns, jitter_ns, rate, queue_bytes, mark_bytes;
    double loss, copies, disorder;
};

struct world_packet {
    uint64_t arrives_ns;
    uint8_t *bytes;
    uint32_t length, shown;
    uint8_t ecn;
};

struct world_end {
    struct apn_port port; /* first */
    struct world *world;
    struct world_end *peer;
    struct world_packet *heap; /* by arrival */
    unsigned packets, room;
    struct world_packet taken[APN_PORT_BURST_MAX]; /* shown by the last receive */
    unsigned taken_count;
    uint64_t line_free_ns;
    uint64_t sent, lost, overflowed, queue_max_bytes, sent_bytes;
};

struct world_carrier {
    struct apn_carrier base;
    struct world *world;
};

struct world {
    struct world_path path;
    struct apn_clock clock;
    uint64_t now_ns, random;
    bool cut;
    bool shows_heads; /* receive() shows the first bytes only: read() is used */
    struct world_carrier carrier[2];
    struct world_end end[2];
    struct apn_backend *backend[2];
    struct apn_dg_link *link[2]; /* [0] sends in most tests */
};

/** world_init() - both links are up. @sink: of end 1 (end 0 takes no pages) */
void world_init(struct world *w, const struct world_path *path, uint64_t seed, uint32_t datagram_max,
                const struct apn_datagram_options *options, const struct apn_sink *sink);
void world_done(struct world *w);
uint32_t world_random(struct world *w, uint32_t below);
int world_poll(struct world *w, unsigned end, struct apn_event *events, unsigned max);

#endif
