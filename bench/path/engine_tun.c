/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_tun.c - the path as a program of its own between two TUN devices, for kernels without netem
 * Owner: struct path.  Thread: main; see carrier.h for the other.
 * Time:  none.         Units:  none. */
#include "path.h"

#include "netns.h"
#include "tun.h"

#include <unistd.h>

static int open_end(struct path *path, int end)
{
    int home = path_netns_self();
    int result, back;

    if (home < 0) {
        return home;
    }
    result = path_netns_enter(path->netns_fd[end]);
    if (result == 0) {
        result = path_tun_open();
        path->tun_fd[end] = result;
        back = path_netns_enter(home);
        result = result < 0 ? result : back;
    }
    close(home);
    return result < 0 ? result : 0;
}

static void tun_close(struct path *path)
{
    path_carrier_stop(&path->carrier);
    for (int end = 0; end < PATH_ENDS; end++) {
        if (path->tun_fd[end] >= 0) {
            close(path->tun_fd[end]);
            path->tun_fd[end] = -1;
        }
    }
}

static int tun_open(struct path *path, char *text, size_t text_bytes)
{
    int result = 0;

    (void)text, (void)text_bytes;
    for (int end = 0; result == 0 && end < PATH_ENDS; end++) {
        result = open_end(path, end);
    }
    if (result == 0) {
        result = path_carrier_start(&path->carrier, path->tun_fd, &path->options);
    }
    if (result < 0) {
        tun_close(path);
    }
    return result;
}

static int tun_set(struct path *path, enum path_way way)
{
    path_direction_set_cut(&path->carrier.direction[way], &path->state[way].cut);
    path_direction_set_loss(&path->carrier.direction[way], path->state[way].loss);
    return 0;
}

static void tun_read(struct path *path, enum path_way way, unsigned wavelength, bool reset,
                     struct path_counters *counters)
{
    (void)wavelength;
    path_direction_read(&path->carrier.direction[way], reset, counters);
}

const struct path_engine_ops path_engine_tun = {
    .name = "tun", .open = tun_open, .close = tun_close, .set = tun_set, .read = tun_read};
