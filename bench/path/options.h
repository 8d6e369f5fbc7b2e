/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - command line of `apn-path up`, checked
 * Owner: main.  Thread: main.  Time: none.  Units: as in shape.h; the command line has ms, Gb/s, bytes. */
#ifndef APN_BENCH_PATH_OPTIONS_H
#define APN_BENCH_PATH_OPTIONS_H

#include "shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_NAME_MAX        24
#define PATH_ENDS            2
#define PATH_WAVELENGTHS_MAX 16
#define PATH_QUEUES_MAX      16
#define PATH_PORT_MAX        200
#define PATH_CUT_MS_MAX      3600000.0
#define PATH_ENGINE_VARIABLE "APN_PATH_ENGINE" /* so that programs which start paths need not know of engines */

enum path_engine { PATH_ENGINE_AUTO, PATH_ENGINE_TUN, PATH_ENGINE_NETEM, PATH_ENGINE_DPDK };
enum path_way { PATH_WAY_AB, PATH_WAY_BA, PATH_WAYS };

struct path_options {
    char name[PATH_NAME_MAX + 1];
    struct path_limits limits[PATH_WAYS]; /* of each wavelength */
    struct path_trace *trace[PATH_WAYS];  /* owned; or NULL */
    struct path_cut cut;                  /* relative to when the path is up; until_ns 0: none */
    unsigned wavelengths;
    uint64_t seed;
    uint64_t tcp_buffer_bytes;
    unsigned mtu;
    enum path_engine engine;
    bool realtime;
    /* the dpdk engine's own */
    unsigned queues;
    char port[PATH_ENDS][PATH_PORT_MAX + 1]; /* empty: a namespace with a device of our own */
    bool hugepages, verbose;
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

/** path_options_done() - free what path_options_parse() loaded */
void path_options_done(struct path_options *options);

/** path_parse_cut() - "MS", or "MS@MS": how long, and how much later it begins
 * @cut: set on success, relative to now
 * Return: 0 or -EINVAL. */
int path_parse_cut(const char *word, struct path_cut *cut);

/** path_parse_probability() - 0..1, or a percentage such as 0.1%
 * Return: 0 or -EINVAL. */
int path_parse_probability(const char *word, double *probability);

/** path_options_usage() - the help text */
const char *path_options_usage(void);

#endif
