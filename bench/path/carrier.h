/* SPDX-License-Identifier: GPL-2.0-or-later */
/* carrier.h - the thread that carries frames in both directions
 * Owner: struct path.  Thread: one of its own; the calls from main.
 * Time:  CLOCK_MONOTONIC.  Units:  ns.
 *
 * Theory of operation. One thread serves both directions: it takes what the kernel has, delivers what
 * is due, and when neither gave work sleeps in ppoll() until a frame arrives or the next one is due,
 * an absolute time, so errors do not add up. No tick and no polling: an idle path takes no CPU.
 *
 * Why not a reader and a writer per direction: delivering a segment makes the receiving TCP answer
 * within our write, and delivering the answer makes the sender send within the next one. One thread
 * finds these frames at once; four threads wake each other for every one of them, which cost
 * three times the CPU at 2.5 Gb/s.
 */
#ifndef APN_BENCH_PATH_CARRIER_H
#define APN_BENCH_PATH_CARRIER_H

#include "direction.h"
#include "options.h"

struct path_carrier {
    struct path_direction direction[PATH_WAYS];
    int stop_fd;
    bool realtime, running;
    pthread_t thread;
};

/** path_carrier_start() - begin to carry
 * @carrier: zeroed
 * @tun_fd: by end; stay open until path_carrier_stop()
 * Return: 0, or -errno and nothing is held. */
int path_carrier_start(struct path_carrier *carrier, const int tun_fd[2],
                       const struct path_options *options);

/** path_carrier_stop() - end the thread and free; takes a zeroed object */
void path_carrier_stop(struct path_carrier *carrier);

#endif
