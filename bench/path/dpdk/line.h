/* SPDX-License-Identifier: GPL-2.0-or-later */
/* line.h - one wavelength in one direction: its shape, and what it counted
 * Owner: struct path_dpdk.  Thread: any, under the lock.
 * Time:  CLOCK_MONOTONIC, as an argument.  Units:  ns, bytes.
 *
 * Several workers may send into the same wavelength (its flows are spread over the queues of a port),
 * so rate and queue are kept here once, and only the frames themselves are each worker's own.
 * Lock order: the lock is a leaf, not held during a system call or a call into a driver. It inherits
 * priority, because real-time workers share it with the control thread.
 */
#ifndef APN_BENCH_PATH_DPDK_LINE_H
#define APN_BENCH_PATH_DPDK_LINE_H

#include "../direction.h"

#include <pthread.h>

struct path_line {
    pthread_mutex_t lock;
    struct path_shape shape;
    struct path_cut cut;
    struct path_counters counters;
} __attribute__((aligned(128)));

/** path_line_init() - an empty line, whose trace begins at @now_ns */
void path_line_init(struct path_line *line, const struct path_limits *limits, uint64_t seed, int64_t now_ns);

/** path_line_admit() - decide about and count one frame that arrives now; lock held
 * @due_ns: set when it passes
 * Return: PATH_PASS (path_line_count() says later how it ended) or why not. */
enum path_verdict path_line_admit(struct path_line *line, int64_t now_ns, uint32_t wire_bytes, int64_t *due_ns);

/** path_line_count() - count how a frame ended; lock held */
void path_line_count(struct path_line *line, enum path_verdict verdict, uint32_t wire_bytes);

/** path_line_set() - loss and cut from now on; takes the lock */
void path_line_set(struct path_line *line, double loss, const struct path_cut *cut);

/** path_line_read() - a consistent copy of the counters; @reset: and count anew; takes the lock */
void path_line_read(struct path_line *line, bool reset, struct path_counters *counters);

#endif
