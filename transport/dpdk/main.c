/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - apn-dpdk: an adapter for QEMU's lanes, in a process of its own, so that QEMU holds nothing of DPDK
 * Owner: itself.   Thread: main becomes control.   Time: none.   Exit: 0, 1 = could not start, 2 = usage. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dpdk/helper.h"

#define LINK_LOCAL_PREFIX 64u

static struct apn_helper helper; /* large, and one per process */

/* RFC 4291 appendix A */
static struct apn_ip link_local(const uint8_t mac[6])
{
    struct apn_ip ip = {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, (uint8_t)(mac[0] ^ 2), mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}, 6};

    return ip;
}

static void start_host(struct apn_helper *h)
{
    const struct apn_options *o = &h->options;
    const struct apn_ip own = link_local(h->nic.mac);
    bool six = false;

    apn_host_init(&h->host, h->nic.mac, h->nic.mtu, &apn_worker_host_ops, h);
    for (unsigned i = 0; i < o->n_addresses; i++) {
        apn_host_add(&h->host, &o->addresses[i].ip, o->addresses[i].prefix);
        six = six || o->addresses[i].ip.family == 6;
    }
    if (six) {
        apn_host_add(&h->host, &own, LINK_LOCAL_PREFIX);
    }
    memcpy(h->host.gateway, o->gateway, sizeof(o->gateway));
    h->host_worker = &h->workers[0];
    h->workers[0].helper = h;
    h->workers[0].now_ns = apn_helper_now();
    apn_host_start(&h->host, h->workers[0].now_ns);
    apn_worker_flush(&h->workers[0]); /* before its thread is there */
}

/* the port is open: from here on no right of root's is needed */
static int drop_rights(const struct apn_options *o)
{
    const struct passwd *user = o->user ? getpwnam(o->user) : NULL;

    if (user && (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid))) {
        fprintf(stderr, "apn-dpdk: --user=%s: %s\n", o->user, strerror(errno));
        return -errno;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static int stop_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL)) {
        return -errno;
    }
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void init_locks(struct apn_helper *h)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    /* workers take it for reading all the time; control must not wait for a pause */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&h->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&h->host_lock, NULL);
    apn_steer_init(&h->steer);
    h->next_port = (uint16_t)(49152u + apn_helper_now() % 8192u);
    h->listen_fd = h->poll_fd = -1;
}

static void tell_ready(const struct apn_helper *h)
{
    const struct apn_nic *nic = &h->nic;

    if (h->options.quiet) {
        return;
    }
    printf("apn-dpdk: %s at %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, %u queue%s, serving %s\n", nic->driver, nic->mac[0], nic->mac[1],
           nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5], nic->mtu, nic->queues, nic->queues == 1 ? "" : "s", h->options.socket);
    if (nic->wait == APN_NIC_WAIT_TIMER) {
        printf("apn-dpdk: this driver cannot wait for frames: they are looked for every millisecond while idle\n");
    }
    fflush(stdout);
}

static int serve(struct apn_helper *h)
{
    int ret = apn_guest_guard();

    ret = ret ? ret : apn_control_open(h);
    ret = ret ? ret : drop_rights(&h->options);
    if (!ret) {
        start_host(h);
        ret = apn_workers_start(h);
    }
    if (!ret) {
        tell_ready(h);
        apn_control_run(h);
    }
    apn_control_close(h);
    apn_workers_stop(h);
    apn_host_done(&h->host);
    return ret;
}

int main(int argc, char **argv)
{
    struct apn_helper *h = &helper;
    int ret = apn_options_parse(&h->options, argc, argv);

    if (ret) {
        return ret > 0 ? 0 : 2;
    }
    if (h->options.show) {
        return apn_stats_show(h->options.show);
    }
    init_locks(h);
    h->stop_fd = stop_signals();
    if (h->stop_fd < 0) {
        fprintf(stderr, "apn-dpdk: signals: %s\n", strerror(errno));
        return 1;
    }
    if (apn_nic_start(&h->nic, &h->options)) {
        return 1;
    }
    ret = serve(h);
    apn_nic_stop(&h->nic);
    return ret ? 1 : 0;
}
