/* SPDX-License-Identifier: GPL-2.0-or-later */
/* probe.h - measure a path's one-way delays from outside, with datagrams and one clock
 * Owner: none.  Thread: calls from main; one receiver thread inside.
 * Time:  CLOCK_MONOTONIC, the same at both ends.  Units: us in the output. */
#ifndef APN_BENCH_PATH_PROBE_H
#define APN_BENCH_PATH_PROBE_H

#define PATH_PROBE_COUNT_MAX 100000

/** path_probe() - send @count small datagrams each way, 5 ms apart, and print one line of JSON
 * Return: 0; -ENOENT when there is no such path; -EIO when nothing arrived; or -errno. */
int path_probe(const char *name, unsigned count);

#endif
