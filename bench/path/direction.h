/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direction.h - one direction of the path: from one TUN device to the other, late
 * Owner: struct path_carrier, two of them.  Thread: take, deliver, next_due on the carrier's; the rest on any.
 * Time:  CLOCK_MONOTONIC, as an argument.   Units:  ns, bytes.
 *
 * Lock order: the one lock here is a leaf; it guards shape, store, counters and cut. It is not held
 * during a system call.
 */
#ifndef APN_BENCH_PATH_DIRECTION_H
#define APN_BENCH_PATH_DIRECTION_H

#include "histogram.h"
#include "shape.h"
#include "store.h"

#include <pthread.h>

struct path_counters {
    uint64_t frames_in, bytes_in; /* wire bytes */
    uint64_t frames[PATH_VERDICTS];
    uint64_t bytes[PATH_VERDICTS];
    uint64_t queue_peak_bytes;
    uint64_t queue_now_bytes;   /* filled by path_direction_read() */
    struct path_histogram late; /* after the due time */
};

struct path_direction {
    int from_fd, to_fd; /* borrowed, non-blocking */
    pthread_mutex_t lock;
    struct path_cut cut;
    struct path_shape shape;
    struct path_store store;
    struct path_frame next; /* slots offered to the next read */
    struct path_counters counters;
};

/** path_direction_init() - an empty direction
 * @from_fd, @to_fd: TUN devices, stay open until path_direction_done()
 * Return: 0 or -ENOMEM. */
int path_direction_init(struct path_direction *direction, int from_fd, int to_fd,
                        const struct path_limits *limits, uint64_t seed);

/** path_direction_done() - free; takes a zeroed object */
void path_direction_done(struct path_direction *direction);

/** path_direction_take() - read what the kernel has, up to a batch, and queue or drop it
 * Return: frames read; 0 when there is none; -errno when the device is gone. */
int path_direction_take(struct path_direction *direction);

/** path_direction_deliver() - write what is due, up to a batch
 * Return: frames that left the queue. */
int path_direction_deliver(struct path_direction *direction);

/** path_direction_next_due() - when the oldest frame is due, INT64_MAX when there is none */
int64_t path_direction_next_due(struct path_direction *direction);

/** path_direction_set_cut() - while it lasts nothing gets through, nor what is due meanwhile
 * @cut: CLOCK_MONOTONIC */
void path_direction_set_cut(struct path_direction *direction, const struct path_cut *cut);

/** path_direction_set_loss() - @loss: probability for one frame, 0..1 */
void path_direction_set_loss(struct path_direction *direction, double loss);

/** path_direction_read() - a consistent copy of the counters; @reset: and start counting anew */
void path_direction_read(struct path_direction *direction, bool reset, struct path_counters *counters);

#endif
