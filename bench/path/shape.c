/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shape.c - virtual finish times; see shape.h for the model */
#include "shape.h"

#include <assert.h>

#define BITS_NS_PER_BYTE_S UINT64_C(8000000000) /* bits per byte x ns per second */

void path_shape_init(struct path_shape *shape, const struct path_limits *limits, uint64_t seed)
{
    shape->limits = *limits;
    shape->line_free_ns = 0;
    shape->random = seed * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0xD1B54A32D192ED03);
    if (shape->random == 0) {
        shape->random = 1;
    }
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016) */
static double draw(struct path_shape *shape)
{
    uint64_t x = shape->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    shape->random = x;
    return (double)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 11) * 0x1.0p-53;
}

static int64_t line_time_ns(const struct path_shape *shape, uint32_t wire_bytes)
{
    if (shape->limits.rate_bits_s == 0) {
        return 0;
    }
    return (int64_t)((uint64_t)wire_bytes * BITS_NS_PER_BYTE_S / shape->limits.rate_bits_s);
}

uint64_t path_shape_queued(const struct path_shape *shape, int64_t now_ns)
{
    double ahead_ns;

    if (shape->limits.rate_bits_s == 0 || shape->line_free_ns <= now_ns) {
        return 0;
    }
    ahead_ns = (double)(shape->line_free_ns - now_ns);
    return (uint64_t)(ahead_ns * (double)shape->limits.rate_bits_s / (double)BITS_NS_PER_BYTE_S);
}

enum path_verdict path_shape_admit(struct path_shape *shape, int64_t now_ns, uint32_t wire_bytes,
                                   int64_t *due_ns)
{
    int64_t start_ns;

    assert(wire_bytes > 0);
    /* The queue is judged first: a frame lost on the line has used the line. */
    if (shape->limits.rate_bits_s != 0 &&
        path_shape_queued(shape, now_ns) + wire_bytes > shape->limits.queue_bytes) {
        return PATH_DROP_QUEUE;
    }
    start_ns = shape->line_free_ns > now_ns ? shape->line_free_ns : now_ns;
    shape->line_free_ns = start_ns + line_time_ns(shape, wire_bytes);
    if (shape->limits.loss > 0 && draw(shape) < shape->limits.loss) {
        return PATH_DROP_LOSS;
    }
    *due_ns = shape->line_free_ns + shape->limits.delay_ns;
    return PATH_PASS;
}

uint32_t path_shape_wire_bytes(uint32_t ip_bytes, uint32_t gso_bytes, uint32_t header_bytes)
{
    uint32_t payload, packets;

    if (gso_bytes == 0 || header_bytes == 0 || ip_bytes <= header_bytes) {
        return ip_bytes;
    }
    payload = ip_bytes - header_bytes;
    packets = (payload + gso_bytes - 1) / gso_bytes;
    return payload + packets * header_bytes;
}
