/* SPDX-License-Identifier: GPL-2.0-or-later */
/* worker.h - the thread that carries the frames of one pair of queues in both directions
 * Owner: struct path_dpdk.  Thread: a DPDK lcore each; start and stop from main.
 * Time:  CLOCK_MONOTONIC.   Units:  ns, bytes.
 *
 * Theory of operation, as in carrier.h: take what has come, deliver what is due, and when neither gave
 * work sleep in ppoll() until a frame arrives or one is due. Nothing polls: an idle path takes no CPU.
 * Only a port that cannot wake anybody is looked at in steps that grow from 20 us to 1 ms while nothing comes.
 *
 * Worker n has queue n of both ports, so workers share nothing but the lines.
 */
#ifndef APN_BENCH_PATH_DPDK_WORKER_H
#define APN_BENCH_PATH_DPDK_WORKER_H

#include "hold.h"
#include "line.h"
#include "ports.h"

#include <stdatomic.h>

#define PATH_SMALL_BYTES 1600 /* longer frames keep the large mbuf they came in; two of these fill a page */

struct path_worker {
    /* set by the owner */
    struct path_port *port;                               /* of both ends */
    struct path_line (*line)[PATH_WAVELENGTHS_MAX];       /* by direction */
    struct rte_mempool *small;                            /* or NULL when all frames are */
    unsigned queue, wavelengths, mtu;
    uint32_t large_max;                                   /* large mbufs that it may hold */
    bool realtime;
    /* its own */
    struct path_hold hold[PATH_WAYS][PATH_WAVELENGTHS_MAX];
    uint32_t large_held;
    int64_t last_work_ns;
    int64_t expect_until_ns; /* an interrupt came, its frame not yet */
    int stop_fd;
    atomic_bool stop; /* beside stop_fd, for a worker that never sleeps */
    bool running;
};

/** path_worker_start() - carry frames on lcore @lcore
 * @frames_max: upper limit of frames that can exist, for reordering; 0: none
 * Return: 0 or -errno, then nothing is held. */
int path_worker_start(struct path_worker *worker, unsigned lcore, uint32_t frames_max);

/** path_worker_stop() - wait for its end and free the frames; takes a zeroed one */
void path_worker_stop(struct path_worker *worker, unsigned lcore);

#endif
