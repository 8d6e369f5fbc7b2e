/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - command line of `apn-path up`, checked
 * Owner: main.  Thread: main.  Time: none.  Units: as in shape.h; the command line has ms, Gb/s, bytes. */
#ifndef APN_BENCH_PATH_OPTIONS_H
#define APN_BENCH_PATH_OPTIONS_H

#include "shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_NAME_MAX 24

enum path_engine { PATH_ENGINE_AUTO, PATH_ENGINE_TUN, PATH_ENGINE_NETEM };
enum path_way { PATH_WAY_AB, PATH_WAY_BA, PATH_WAYS };

struct path_options {
    char name[PATH_NAME_MAX + 1];
    struct path_limits limits[PATH_WAYS];
    uint64_t seed;
    uint64_t tcp_buffer_bytes;
    unsigned mtu;
    enum path_engine engine;
    bool realtime;
    int ready_fd; /* -1: only a line on standard output */
    char congestion[16];
};

/** path_name_valid() - 1..PATH_NAME_MAX of a-z, 0-9 and '-', beginning with a letter */
bool path_name_valid(const char *name);

/** path_options_parse() - read what follows `apn-path up`
 * @text: receives a message that names the option, the value and the limit
 * Return: 0, or -EINVAL with @text set. */
int path_options_parse(struct path_options *options, int argc, char **argv, char *text,
                       size_t text_bytes);

/** path_parse_probability() - 0..1, or a percentage such as 0.1%
 * Return: 0 or -EINVAL. */
int path_parse_probability(const char *word, double *probability);

/** path_options_usage() - the help text */
const char *path_options_usage(void);

#endif
