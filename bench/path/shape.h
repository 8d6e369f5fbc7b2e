/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shape.h - when a frame leaves the far end of the path, or why it does not
 * Owner: embedded in struct path_direction.  Thread: the direction's reader; no locks inside.
 * Time:  now_ns from the caller, monotonic.  Units:  ns, wire bytes, bits/s, probability 0..1.
 *
 * One direction is a queue of limited size, a line of fixed rate and a delay:
 *
 *     start  = max(now, end of the previous frame on the line)
 *     finish = start + wire_bytes / rate
 *     due    = max(finish + delay(now) + jitter, due of the previous frame)
 *
 * so frames leave in the order in which they came (unless reordering is allowed), and the queue in
 * front of the line is (end of the previous frame - now) x rate bytes long. A frame that does not fit
 * is dropped at the tail, as in a router.
 *
 * Losses are independent, or come in bursts: Gilbert's two states, good (nothing is lost) and bad
 * (everything is), with the asked share of lost frames and mean length of a burst.
 */
#ifndef APN_BENCH_PATH_SHAPE_H
#define APN_BENCH_PATH_SHAPE_H

#include "trace.h"

#include <stdbool.h>
#include <stdint.h>

enum path_verdict {
    PATH_PASS = 0,
    PATH_DROP_QUEUE,
    PATH_DROP_LOSS,
    PATH_DROP_CUT,
    PATH_DROP_ERROR, /* the kernel would not take the frame at the far end */
    PATH_DROP_PORT,  /* lost in front of the path: its port's ring was full */
    PATH_VERDICTS
};

/* what the user asked for, one direction */
struct path_limits {
    int64_t delay_ns;     /* 0..PATH_DELAY_MAX_NS */
    uint64_t rate_bits_s; /* 0 = no limit */
    uint64_t queue_bytes; /* room in front of the line; without a rate there is no queue */
    double loss;          /* share of frames lost, 0..1 */
    double burst_frames;  /* mean length of a burst of losses, 1..10^6; 0 or 1: losses are independent */
    int64_t jitter_ns;    /* each frame's delay varies evenly by up to this much both ways, 0..delay_ns */
    bool reorder;         /* a frame may overtake another */
    const struct path_trace *trace; /* delay over time instead of delay_ns, or NULL; not owned */
};

/* nothing passes while @from_ns <= now < @until_ns */
struct path_cut {
    int64_t from_ns, until_ns;
};

#define PATH_CUT_FOREVER ((struct path_cut){0, INT64_MAX})

static inline bool path_cut_active(const struct path_cut *cut, int64_t now_ns)
{
    return now_ns >= cut->from_ns && now_ns < cut->until_ns;
}

#define PATH_DELAY_MAX_NS INT64_C(1000000000)

struct path_shape {
    struct path_limits limits;
    int64_t line_free_ns; /* when the line has sent everything that was admitted */
    int64_t last_due_ns;
    int64_t epoch_ns;     /* where the trace begins; 0 unless the owner sets it */
    bool in_burst;
    uint64_t random;        /* of the losses: xorshift64* state, never 0 */
    uint64_t random_jitter; /* its own, so that jitter does not change which frames are lost */
};

/** path_shape_init() - an empty, idle line
 * @seed: any value; the same seed and frames give the same losses */
void path_shape_init(struct path_shape *shape, const struct path_limits *limits, uint64_t seed);

/** path_shape_admit() - decide about one frame that arrives now
 * @now_ns:     monotonic, never smaller than in the call before
 * @wire_bytes: what the frame occupies on the line, 1..2^24
 * @due_ns:     set only when the frame passes: when it leaves the far end
 * Return: PATH_PASS, PATH_DROP_QUEUE or PATH_DROP_LOSS. */
enum path_verdict path_shape_admit(struct path_shape *shape, int64_t now_ns, uint32_t wire_bytes,
                                   int64_t *due_ns);

/** path_limits_held_bytes() - how much one line can hold on the way and in its queue, for reserving memory */
uint64_t path_limits_held_bytes(const struct path_limits *limits);

/** path_shape_queued() - wire bytes waiting for or on the line at @now_ns */
uint64_t path_shape_queued(const struct path_shape *shape, int64_t now_ns);

/** path_shape_wire_bytes() - what a frame from a TUN device with offloads occupies on the line
 * @ip_bytes:  length of the IP packet as read, possibly a large segment to be cut by hardware
 * @gso_bytes: payload per packet after cutting, 0 = not to be cut
 * @header_bytes: length of IP and transport headers, repeated in front of each packet
 * Return: bytes of all the packets together. */
uint32_t path_shape_wire_bytes(uint32_t ip_bytes, uint32_t gso_bytes, uint32_t header_bytes);

#endif
