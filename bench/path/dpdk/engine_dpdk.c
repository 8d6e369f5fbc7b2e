/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_dpdk.c - the path between two DPDK ports: network cards, or devices in two namespaces
 * Owner: struct path.  Thread: main; see worker.h for the others.
 * Time:  CLOCK_MONOTONIC.  Units:  as in shape.h.
 *
 * Each namespace has one end of a veth pair. The other ends are in a third namespace without a name,
 * attached by net_af_packet; it lives as long as the packet sockets of this process, so however that
 * ends, nothing is left of the devices.
 */
#include "../path.h"

#include "../netns.h"
#include "../tun.h"
#include "eal.h"
#include "veth.h"
#include "worker.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_CACHE          256
#define POOL_ALIGN          64
#define PAGE_BYTES          4096u
#define MBUF_BYTES          384u /* in front of the bytes of a frame: list header, mbuf, tag, headroom */
#define LARGE_SPARE         1024u /* per queue: in the ports' rings and in our hands */
#define DESCRIPTORS_SPARE   4096u /* per queue of a network card */
#define SMALL_SPARE         8192u
#define SMALL_SHARE_BYTES   4096u /* one small mbuf for so many bytes that the path may hold */

struct path_dpdk {
    struct path_line line[PATH_WAYS][PATH_WAVELENGTHS_MAX];
    struct path_port port[PATH_ENDS];
    uint64_t lost_at_reset[PATH_ENDS];
    struct rte_mempool *large, *small;
    uint32_t large_count, small_count;
    struct path_worker worker[PATH_QUEUES_MAX];
    bool eal;
};

static bool has_card(const struct path_options *options)
{
    return path_eal_is_pci(options->port[0]) || path_eal_is_pci(options->port[1]);
}

/* how many mbufs the path needs to hold what its delays, rates and queues ask for */
static void size_pools(const struct path_options *options, struct path_dpdk *dpdk)
{
    uint32_t frame_bytes = path_port_frame_bytes(options->mtu);
    uint64_t held = 0;

    for (int way = 0; way < PATH_WAYS; way++) {
        held += path_limits_held_bytes(&options->limits[way]) * options->wavelengths;
    }
    dpdk->large_count = (uint32_t)(held / (options->mtu < PATH_SMALL_BYTES ? 512 : options->mtu) * 5 / 4) +
                        options->queues * (LARGE_SPARE + (has_card(options) ? DESCRIPTORS_SPARE : 0));
    dpdk->small_count = frame_bytes <= PATH_SMALL_BYTES ? 0 : (uint32_t)(held / SMALL_SHARE_BYTES) + SMALL_SPARE;
}

/* a pool of DPDK's lets no mbuf cross a page that it need not cross */
static uint64_t pool_bytes(uint32_t count, uint32_t frame_bytes)
{
    uint64_t each = (MBUF_BYTES + frame_bytes + POOL_ALIGN) / POOL_ALIGN * POOL_ALIGN;
    uint64_t per_page = PAGE_BYTES / each;

    return per_page > 0 ? count / per_page * PAGE_BYTES : count * ((each + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
}

static struct rte_mempool *make_pool(const char *name, uint32_t count, uint32_t frame_bytes)
{
    /* a stack, not DPDK's usual ring: memory that was just used is in the cache, and that which the path does
     * not need is never touched */
    return rte_pktmbuf_pool_create_by_ops(name, count, POOL_CACHE, sizeof(struct path_tag),
                                          (uint16_t)(RTE_PKTMBUF_HEADROOM + frame_bytes), SOCKET_ID_ANY, "stack");
}

static int make_pools(const struct path_options *options, struct path_dpdk *dpdk, char *text, size_t text_bytes)
{
    uint32_t frame_bytes = path_port_frame_bytes(options->mtu);

    dpdk->large = make_pool("frames", dpdk->large_count, frame_bytes);
    if (dpdk->small_count > 0) {
        dpdk->small = make_pool("small", dpdk->small_count, PATH_SMALL_BYTES);
    }
    if (!dpdk->large || (dpdk->small_count > 0 && !dpdk->small)) {
        int result = rte_errno > 0 ? -rte_errno : -ENOMEM;

        snprintf(text, text_bytes, "no memory for %u frames of %u bytes: %s; a shorter --queue or less --delay needs "
                 "less", dpdk->large_count, frame_bytes, strerror(-result));
        return result;
    }
    return 0;
}

/* enter the end's namespace and back, around @what */
static int inside(const struct path *path, int end, int (*what)(void))
{
    int home = path_netns_self();
    int result, back;

    if (home < 0) {
        return home;
    }
    result = path_netns_enter(path->netns_fd[end]);
    if (result == 0) {
        result = what();
        back = path_netns_enter(home);
        result = result < 0 ? result : back;
    }
    close(home);
    return result;
}

/* in the nameless namespace */
static int open_own_end(struct path *path, int end, char *text, size_t text_bytes)
{
    char interface[] = {'p', 'o', 'r', 't', (char)('a' + end), '\0'};
    char device[PATH_DEVICE_MAX];
    int result = path_veth_make(interface, path->netns_name[end], path->options.mtu);

    if (result == 0) {
        result = inside(path, end, path_veth_tame);
    }
    if (result < 0) {
        snprintf(text, text_bytes, "port %c: cannot make a pair of veth devices: %s", 'A' + end,
                 result == -ENOENT ? "there is no ip (Debian: iproute2)" : strerror(-result));
        return result;
    }
    path_port_packet_device(&path->options, end, interface, device);
    return path_port_open(&path->dpdk->port[end], &path->options, device, path->dpdk->large, text, text_bytes);
}

static int open_port(struct path *path, int end, char *text, size_t text_bytes)
{
    const char *spec = path->options.port[end];
    char device[PATH_DEVICE_MAX];
    int result;

    if (!spec[0]) {
        return open_own_end(path, end, text, text_bytes);
    }
    result = path_port_device(&path->options, end, spec, device, text, text_bytes);
    if (result == 0) {
        result = path_port_open(&path->dpdk->port[end], &path->options, device, path->dpdk->large, text, text_bytes);
    }
    return result;
}

/* Own devices first and in a namespace of their own, then the user's ports at home. */
static int open_ports(struct path *path, char *text, size_t text_bytes)
{
    int home = path_netns_self(), nameless = -1, result = 0, back;

    if (home < 0) {
        return home;
    }
    if (!path->options.port[0][0] || !path->options.port[1][0]) {
        result = unshare(CLONE_NEWNET) < 0 ? -errno : 0;
        nameless = result < 0 ? result : path_netns_self();
        result = nameless < 0 ? nameless : 0;
    }
    for (int end = 0; result == 0 && end < PATH_ENDS; end++) {
        path->dpdk->port[end].end = (char)('A' + end);
        result = path_netns_enter(path->options.port[end][0] ? home : nameless);
        if (result == 0) {
            result = open_port(path, end, text, text_bytes);
        }
    }
    back = path_netns_enter(home);
    close(home);
    if (nameless >= 0) {
        close(nameless);
    }
    return result < 0 ? result : back;
}

static int start_workers(struct path *path)
{
    struct path_dpdk *dpdk = path->dpdk;
    const struct path_options *options = &path->options;
    uint32_t spare = options->queues * (LARGE_SPARE + (has_card(options) ? DESCRIPTORS_SPARE : 0));
    int result = 0;

    for (unsigned q = 0; result == 0 && q < options->queues; q++) {
        struct path_worker *worker = &dpdk->worker[q];

        worker->port = dpdk->port;
        worker->line = dpdk->line;
        worker->small = dpdk->small;
        worker->queue = q;
        worker->wavelengths = options->wavelengths;
        worker->mtu = options->mtu;
        worker->large_max = (dpdk->large_count - spare / 2) / options->queues;
        worker->realtime = options->realtime;
        result = path_worker_start(worker, q + 1, dpdk->large_count + dpdk->small_count);
    }
    return result;
}

static void dpdk_close(struct path *path)
{
    struct path_dpdk *dpdk = path->dpdk;

    if (!dpdk) {
        return;
    }
    for (unsigned q = 0; q < path->options.queues; q++) {
        path_worker_stop(&dpdk->worker[q], q + 1);
    }
    for (int end = 0; end < PATH_ENDS; end++) {
        path_port_close(&dpdk->port[end]);
    }
    rte_mempool_free(dpdk->large);
    rte_mempool_free(dpdk->small);
    if (dpdk->eal) {
        path_eal_stop();
    }
    free(dpdk);
    path->dpdk = NULL;
}

static int start_eal(struct path *path, char *text, size_t text_bytes)
{
    char device[PATH_ENDS][PATH_DEVICE_MAX];
    struct path_dpdk *dpdk = path->dpdk;
    const struct path_options *options = &path->options;
    struct path_eal_want want = {.name = options->name, .workers = options->queues,
                                 .hugepages = options->hugepages, .verbose = options->verbose};
    int result = 0;

    for (int end = 0; result == 0 && end < PATH_ENDS; end++) {
        path_port_packet_device(options, end, PATH_DEVICE_NAME, device[end]);
        if (options->port[end][0]) {
            result = path_port_device(options, end, options->port[end], device[end], text, text_bytes);
        }
        want.device[end] = device[end];
    }
    size_pools(options, dpdk);
    want.memory_bytes = pool_bytes(dpdk->large_count, path_port_frame_bytes(options->mtu)) +
                        pool_bytes(dpdk->small_count, PATH_SMALL_BYTES);
    want.memory_bytes += want.memory_bytes / 16;
    if (result == 0) {
        result = path_eal_start(&want, text, text_bytes);
        dpdk->eal = result == 0;
    }
    return result;
}

static int dpdk_open(struct path *path, char *text, size_t text_bytes)
{
    const struct path_options *options = &path->options;
    int64_t now = path_now();
    int result;

    if (options->mtu > PATH_DPDK_MTU_MAX) {
        snprintf(text, text_bytes, "engine dpdk: --mtu %u is more than %d: a frame has to fit one mbuf", options->mtu,
                 PATH_DPDK_MTU_MAX);
        return -EINVAL;
    }
    path->dpdk = aligned_alloc(128, sizeof(*path->dpdk));
    if (!path->dpdk) {
        return -ENOMEM;
    }
    memset(path->dpdk, 0, sizeof(*path->dpdk));
    for (int way = 0; way < PATH_WAYS; way++) {
        for (unsigned w = 0; w < PATH_WAVELENGTHS_MAX; w++) {
            path_line_init(&path->dpdk->line[way][w], &options->limits[way], options->seed + (uint64_t)way + 2 * w,
                           now);
        }
    }
    result = start_eal(path, text, text_bytes);
    if (result == 0) {
        result = make_pools(options, path->dpdk, text, text_bytes);
    }
    if (result == 0) {
        result = open_ports(path, text, text_bytes);
    }
    if (result == 0) {
        result = start_workers(path);
    }
    if (result < 0) {
        dpdk_close(path);
    }
    return result;
}

static int dpdk_set(struct path *path, enum path_way way)
{
    for (unsigned w = 0; w < path->options.wavelengths; w++) {
        path_line_set(&path->dpdk->line[way][w], path->state[way].loss, &path->state[way].cut);
    }
    return 0;
}

/* what a port lost is nobody's wavelength in particular: it shows at the first */
static void dpdk_read(struct path *path, enum path_way way, unsigned wavelength, bool reset,
                      struct path_counters *counters)
{
    struct path_dpdk *dpdk = path->dpdk;
    int from = way == PATH_WAY_AB ? 0 : 1;
    uint64_t lost;

    path_line_read(&dpdk->line[way][wavelength], reset, counters);
    if (wavelength == 0) {
        lost = path_port_lost(&dpdk->port[from]);
        counters->frames[PATH_DROP_PORT] = lost - dpdk->lost_at_reset[from];
        counters->frames_in += counters->frames[PATH_DROP_PORT];
        dpdk->lost_at_reset[from] = reset ? lost : dpdk->lost_at_reset[from];
    }
}

static const struct path_engine_ops engine = {
    .name = "dpdk", .open = dpdk_open, .close = dpdk_close, .set = dpdk_set, .read = dpdk_read};

const struct path_engine_ops *const path_engine_dpdk = &engine;
