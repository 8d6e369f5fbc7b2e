/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shape.c - virtual finish times; see shape.h for the model */
#include "shape.h"

#include <assert.h>

#define BITS_NS_PER_BYTE_S UINT64_C(8000000000) /* bits per byte x ns per second */
#define UNLIMITED_BITS_S   UINT64_C(40000000000) /* memory for a path without a rate */
#define SLACK_NS           5000000

void path_shape_init(struct path_shape *shape, const struct path_limits *limits, uint64_t seed)
{
    shape->limits = *limits;
    shape->line_free_ns = 0;
    shape->last_due_ns = 0;
    shape->epoch_ns = 0;
    shape->in_burst = false;
    shape->random = seed * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0xD1B54A32D192ED03);
    if (shape->random == 0) {
        shape->random = 1;
    }
    shape->random_jitter = ~shape->random ? ~shape->random : 1;
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016) */
static double draw(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (double)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 11) * 0x1.0p-53;
}

uint64_t path_limits_held_bytes(const struct path_limits *limits)
{
    uint64_t rate = limits->rate_bits_s ? limits->rate_bits_s : UNLIMITED_BITS_S;
    int64_t delay_ns = limits->trace ? limits->trace->delay_max_ns : limits->delay_ns;

    return (uint64_t)((double)rate / 8e9 * (double)(delay_ns + limits->jitter_ns + SLACK_NS)) + limits->queue_bytes;
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

/* Gilbert, "Capacity of a burst-noise channel" (1960): leaving the bad state with probability 1 / burst
 * and entering it so that the share of frames in it is the asked loss */
static bool lost(struct path_shape *shape)
{
    double loss = shape->limits.loss;
    double burst = shape->limits.burst_frames;

    if (loss <= 0) {
        shape->in_burst = false;
        return false;
    }
    if (burst <= 1 || loss >= 1) {
        return draw(&shape->random) < loss;
    }
    if (shape->in_burst) {
        shape->in_burst = draw(&shape->random) >= 1 / burst;
    } else {
        shape->in_burst = draw(&shape->random) < loss / (burst * (1 - loss));
    }
    return shape->in_burst;
}

static int64_t due_time_ns(struct path_shape *shape, int64_t now_ns)
{
    const struct path_limits *limits = &shape->limits;
    int64_t due_ns = shape->line_free_ns + limits->delay_ns;

    if (limits->trace) {
        due_ns = shape->line_free_ns + path_trace_delay(limits->trace, now_ns - shape->epoch_ns);
    }
    if (limits->jitter_ns > 0) {
        due_ns += (int64_t)((2 * draw(&shape->random_jitter) - 1) * (double)limits->jitter_ns);
        due_ns = due_ns < now_ns ? now_ns : due_ns;
    }
    if (!limits->reorder && due_ns < shape->last_due_ns) {
        due_ns = shape->last_due_ns;
    }
    shape->last_due_ns = due_ns;
    return due_ns;
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
    if (lost(shape)) {
        return PATH_DROP_LOSS;
    }
    *due_ns = due_time_ns(shape, now_ns);
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
