/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watch.h - what a path does, once a second, for people
 * Owner: none.  Thread: main of its own process.
 * Time:  CLOCK_MONOTONIC.  Units:  Gb/s, frames, us. */
#ifndef APN_BENCH_PATH_WATCH_H
#define APN_BENCH_PATH_WATCH_H

#define PATH_WATCH_COUNT_MAX 1000000

/** path_watch() - print a picture of both directions every second; on a terminal each replaces the one before
 * @count: pictures, 0: until the path ends
 * Return: 0, also when the path ends; -ENOENT when there is none; or -errno. */
int path_watch(const char *name, unsigned count);

#endif
