/* SPDX-License-Identifier: GPL-2.0-or-later */
/* path.h - one path: two namespaces, an engine between them, a name that others can find
 * Owner: main.  Thread: main; the engine may have its own.
 * Time:  none.  Units:  as in shape.h. */
#ifndef APN_BENCH_PATH_PATH_H
#define APN_BENCH_PATH_PATH_H

#include "carrier.h"
#include "options.h"

#include <stddef.h>

#define PATH_RUN_DIR      "/run/apn-path"
#define PATH_DPDK_RUN_DIR "/var/run/dpdk/apn-path-%s" /* DPDK makes it, keeps nothing in it, and leaves it */

struct path;
struct path_dpdk;

/* how frames get from one namespace to the other; main thread only */
struct path_engine_ops {
    const char *name;
    /** open() - make the devices and carry frames; the namespaces exist, the addresses are set later
     * @text: may receive a message on failure, else the caller makes one
     * Return: 0; -EOPNOTSUPP when the kernel lacks it; or another -errno. On failure nothing remains. */
    int (*open)(struct path *path, char *text, size_t text_bytes);
    /** close() - stop and remove the devices; not called after a failed open() */
    void (*close)(struct path *path);
    /** set() - let @path->state of this direction take effect
     * Return: 0, -EOPNOTSUPP when the engine cannot do that, or another -errno. */
    int (*set)(struct path *path, enum path_way way);
    /** read() - counters since the last reset
     * @wavelength: 0..options.wavelengths - 1 */
    void (*read)(struct path *path, enum path_way way, unsigned wavelength, bool reset,
                 struct path_counters *counters);
};

extern const struct path_engine_ops path_engine_tun;
extern const struct path_engine_ops path_engine_netem;
/* NULL in the program without DPDK; that program runs the other one instead, see main.c */
extern const struct path_engine_ops *const path_engine_dpdk;

struct path_state {
    double loss;
    struct path_cut cut; /* CLOCK_MONOTONIC; until_ns 0: none */
};

struct path {
    struct path_options options;
    const struct path_engine_ops *engine;
    struct path_state state[PATH_WAYS];
    int lock_fd;
    int netns_fd[PATH_ENDS];
    char netns_name[PATH_ENDS][PATH_NAME_MAX + 3];
    /* the tun engine's own */
    int tun_fd[PATH_ENDS];
    struct path_carrier carrier;
    /* the netem engine's own: what was counted at the last reset */
    uint64_t netem_base[PATH_WAYS][3];
    /* the dpdk engine's own */
    struct path_dpdk *dpdk;
    /* room for control to read into */
    struct path_counters each[PATH_WAVELENGTHS_MAX];
};

/** path_up() - everything that `apn-path up` promises, including the removal of what a killed
 *              predecessor of the same name left behind
 * @path: @path->options is set, the rest zero
 * @text: receives a message on failure
 * Return: 0 or -errno; after a failure nothing remains. */
int path_up(struct path *path, char *text, size_t text_bytes);

/** path_down() - undo path_up() */
void path_down(struct path *path);

/** path_remove_stale() - remove namespaces and files of a path whose process is gone
 * Return: 1 when something was removed, 0 when there was nothing, -EBUSY while its process lives,
 * or another -errno. */
int path_remove_stale(const char *name);

/** path_now() - CLOCK_MONOTONIC in ns */
int64_t path_now(void);

/** path_owner() - process that holds the path
 * Return: pid; 0 when none; -errno. */
long path_owner(const char *name);

/** path_file() - name of a run-time file of a path
 * @suffix: "lock" or "sock" */
void path_file(const char *name, const char *suffix, char *out, size_t out_bytes);

#endif
