/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_netem.c - the path as a pair of veth devices with netem, where the kernel has it
 * Owner: struct path.  Thread: main, runs `ip` and `tc` and waits for them.
 * Time:  none.         Units:  as in shape.h.
 *
 * Whether the kernel has netem is found out by asking for it. Limits of this engine: netem counts its
 * queue in frames, so the limit is converted with the MTU; it does not tell lost frames from frames
 * that did not fit (both show as queue); it has no histogram of its own lateness.
 */
#include "path.h"

#include "command.h"
#include "tun.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX PATH_COMMAND_OUTPUT_MAX

static int set_qdisc(struct path *path, enum path_way way, const char *verb)
{
    const struct path_limits *limits = &path->options.limits[way];
    double on_way = (double)limits->rate_bits_s / 8e9 * (double)limits->delay_ns;
    uint64_t frames = (uint64_t)((on_way + (double)limits->queue_bytes) / path->options.mtu) + 64;
    double loss = path->state[way].cut.until_ns > 0 ? 1.0 : path->state[way].loss;
    char command[512], output[OUTPUT_MAX], rate[48] = "";

    if (limits->rate_bits_s) {
        snprintf(rate, sizeof(rate), " rate %llubit", (unsigned long long)limits->rate_bits_s);
    }
    snprintf(command, sizeof(command),
             "tc -n %s qdisc %s dev %s root netem limit %llu delay %.3fus loss %.7f%%%s",
             path->netns_name[way], verb, PATH_DEVICE_NAME, (unsigned long long)frames,
             (double)limits->delay_ns / 1e3, loss * 100, rate);
    return path_command_run(command, output) == 0 ? 0 : -EOPNOTSUPP;
}

static void netem_close(struct path *path)
{
    char command[512], output[OUTPUT_MAX];

    snprintf(command, sizeof(command), "ip -n %s link del %s", path->netns_name[0], PATH_DEVICE_NAME);
    path_command_run(command, output);
}

static int netem_open(struct path *path, char *text, size_t text_bytes)
{
    char command[512], output[OUTPUT_MAX];
    int result = 0;

    (void)text, (void)text_bytes;
    snprintf(command, sizeof(command), "ip -n %s link add %s type veth peer name %s netns %s",
             path->netns_name[0], PATH_DEVICE_NAME, PATH_DEVICE_NAME, path->netns_name[1]);
    if (path_command_run(command, output) != 0) {
        return -EOPNOTSUPP;
    }
    for (int way = 0; result == 0 && way < PATH_WAYS; way++) {
        result = set_qdisc(path, (enum path_way)way, "add");
    }
    if (result < 0) {
        netem_close(path);
    }
    return result;
}

static int netem_set(struct path *path, enum path_way way)
{
    const struct path_cut *cut = &path->state[way].cut;

    /* a cut that ends by itself would need somebody who waits for its end */
    if (cut->until_ns != 0 && cut->until_ns != INT64_MAX) {
        return -EOPNOTSUPP;
    }
    return set_qdisc(path, way, "change") < 0 ? -EIO : 0;
}

/* number after "key": in tc's JSON, 0 when absent */
static uint64_t json_number(const char *json, const char *key)
{
    char quoted[32];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    at = strstr(json, quoted);
    return at ? strtoull(at + strlen(quoted), NULL, 10) : 0;
}

static void netem_read(struct path *path, enum path_way way, unsigned wavelength, bool reset,
                       struct path_counters *counters)
{
    char command[512], output[OUTPUT_MAX];
    uint64_t now[3] = {0, 0, 0};
    uint64_t *base = path->netem_base[way];

    (void)wavelength;
    snprintf(command, sizeof(command), "tc -n %s -s -j qdisc show dev %s root", path->netns_name[way],
             PATH_DEVICE_NAME);
    if (path_command_run(command, output) == 0) {
        now[0] = json_number(output, "packets");
        now[1] = json_number(output, "bytes");
        now[2] = json_number(output, "drops");
    }
    memset(counters, 0, sizeof(*counters));
    counters->frames[PATH_PASS] = now[0] - base[0];
    counters->bytes[PATH_PASS] = now[1] - base[1];
    counters->frames[PATH_DROP_QUEUE] = now[2] - base[2];
    counters->frames_in = counters->frames[PATH_PASS] + counters->frames[PATH_DROP_QUEUE];
    counters->bytes_in = counters->bytes[PATH_PASS];
    counters->queue_now_bytes = json_number(output, "backlog");
    if (reset) {
        memcpy(base, now, sizeof(now));
    }
}

const struct path_engine_ops path_engine_netem = {
    .name = "netem", .open = netem_open, .close = netem_close, .set = netem_set, .read = netem_read};
