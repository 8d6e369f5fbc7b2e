/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* client.c - talking to apn-dpdk; see client.h */
#include "backend/dpdk/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 5000u
#define REGION_MS 60000u /* an adapter pins what it is given: seconds per terabyte */

static void close_fds(int fds[APN_HELPER_FDS])
{
    for (unsigned i = 0; i < APN_HELPER_FDS; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
            fds[i] = -1;
        }
    }
}

int apn_dpdk_client_init(struct apn_dpdk_client *c, const char *path)
{
    memset(c, 0, sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
    c->fd = -1;
    snprintf(c->path, sizeof(c->path), "%s", path);
    c->regions = calloc(APN_REGIONS_MAX, sizeof(*c->regions));
    for (unsigned i = 0; c->regions && i < APN_REGIONS_MAX; i++) {
        c->regions[i].fd = -1;
        c->regions[i].number = APN_RING_NO_REGION;
    }
    return c->regions ? 0 : -ENOMEM;
}

/* under the lock */
static void disconnect(struct apn_dpdk_client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    for (unsigned i = 0; i < c->n_regions; i++) {
        atomic_store(&c->regions[i].number, APN_RING_NO_REGION);
    }
    c->n_shared = 0;
}

void apn_dpdk_client_done(struct apn_dpdk_client *c)
{
    disconnect(c);
    for (unsigned i = 0; c->regions && i < APN_REGIONS_MAX; i++) {
        if (c->regions[i].fd >= 0) {
            close(c->regions[i].fd);
        }
    }
    free(c->regions);
    pthread_mutex_destroy(&c->lock);
}

/* one request, its answer in @msg. Under the lock. Return: 0; -errno: the connection is over; the answer's own code is in @msg. */
static int ask(struct apn_dpdk_client *c, struct apn_helper_msg *msg, int fd, int fds[APN_HELPER_FDS], unsigned wait_ms)
{
    const uint32_t type = msg->type;
    int ret = apn_helper_send(c->fd, msg, &fd, fd >= 0 ? 1 : 0);

    if (!ret || ret == -EPIPE || ret == -ECONNRESET) { /* who turns us away says why before hanging up */
        do {
            ret = apn_helper_receive(c->fd, msg, fds, wait_ms);
        } while (ret == -EAGAIN);
    }
    if (!ret && msg->type != type && !msg->code) {
        close_fds(fds);
        ret = -EPROTO;
    }
    if (ret) {
        disconnect(c);
    }
    return ret;
}

/* codes that would say something about the peer are not used: the engine gives up on a peer that refuses, and opens a lane
 * again whose helper is missing */
static int local_code(int code)
{
    return code == -ENOENT || code == -ECONNREFUSED ? -ENODEV : code == -EACCES ? -EPERM : code == -EBUSY ? -EUSERS : code;
}

static int explain(const struct apn_dpdk_client *c, int code, struct apn_error *err)
{
    code = local_code(code);
    if (code == -ENODEV) {
        return apn_error_set(err, code, APN_SCOPE_SESSION,
                             "dpdk: no helper at %s: start \"apn-dpdk --port=PORT --ip=ADDRESS/PREFIX\", or set its socket "
                             "(dpdk:socket=PATH, APN_DPDK_SOCKET)",
                             c->path);
    }
    if (code == -EPERM) {
        return apn_error_set(err, code, APN_SCOPE_SESSION, "dpdk: %s: permission denied: apn-dpdk needs --group=GROUP of ours and --allow-uid=%u",
                             c->path, (unsigned)geteuid());
    }
    if (code == -ETIMEDOUT) {
        return apn_error_set(err, code, APN_SCOPE_SESSION, "dpdk: the helper at %s does not answer for %u s: is it stopped?", c->path, ANSWER_MS / 1000);
    }
    if (code == -EPROTO) {
        return apn_error_set(err, code, APN_SCOPE_SESSION, "dpdk: what serves %s is no apn-dpdk of this version", c->path);
    }
    return apn_error_set(err, code, APN_SCOPE_SESSION, "dpdk: helper at %s: %s", c->path, code == -EPIPE ? "it has ended" : strerror(-code));
}

static int open_socket(struct apn_dpdk_client *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int ret = 0;

    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return -errno;
    }
    memcpy(address.sun_path, c->path, strlen(c->path));
    if (connect(c->fd, (struct sockaddr *)&address, sizeof(address))) {
        ret = -errno;
        disconnect(c);
    }
    return ret;
}

static int greet(struct apn_dpdk_client *c, struct apn_error *err)
{
    struct apn_helper_msg msg = {.type = APN_HELPER_HELLO};
    int fds[APN_HELPER_FDS];
    int ret = ask(c, &msg, -1, fds, ANSWER_MS);

    if (ret) {
        return explain(c, ret, err);
    }
    close_fds(fds);
    if (msg.code) {
        disconnect(c);
        return apn_error_set(err, msg.code < 0 ? local_code(msg.code) : -EPROTO, APN_SCOPE_SESSION, "dpdk: %s: %s", c->path, msg.text);
    }
    c->flags = msg.flags;
    c->n_addresses = msg.n_addresses;
    memcpy(c->addresses, msg.addresses, sizeof(c->addresses));
    return 0;
}

/* Return: 0, also when the helper would rather not; -errno: the connection is over. Under the lock. */
static int hand_over(struct apn_dpdk_client *c, unsigned region)
{
    struct apn_dpdk_region *r = &c->regions[region];
    struct apn_helper_msg msg = {.type = APN_HELPER_REGION, .region = c->n_shared, .offset = r->offset, .length = r->length};
    int fds[APN_HELPER_FDS], ret;

    if (c->n_shared == APN_HELPER_REGIONS) {
        return 0;
    }
    msg.flags = r->pinned || !(c->flags & APN_HELPER_DEVICE) ? APN_HELPER_ZEROCOPY : 0;
    ret = ask(c, &msg, r->fd, fds, REGION_MS);
    if (ret) {
        return ret;
    }
    close_fds(fds);
    if (!msg.code) {
        atomic_store(&r->number, c->n_shared++);
    }
    if (msg.text[0] && !c->note[0]) {
        snprintf(c->note, sizeof(c->note), "dpdk: %.190s", msg.text);
    }
    return 0;
}

static int connect_locked(struct apn_dpdk_client *c, struct apn_error *err)
{
    int ret;

    if (c->fd >= 0) {
        return 0;
    }
    ret = open_socket(c);
    if (ret) {
        return explain(c, ret, err);
    }
    c->generation++;
    ret = greet(c, err);
    for (unsigned i = 0; !ret && i < c->n_regions; i++) {
        if (c->regions[i].fd >= 0) {
            ret = hand_over(c, i);
            ret = ret ? explain(c, ret, err) : 0;
        }
    }
    if (!ret && c->generation > 1) {
        snprintf(c->note, sizeof(c->note), "apn-dpdk at %s had ended, and was found again", c->path);
    }
    return ret;
}

int apn_dpdk_client_connect(struct apn_dpdk_client *c, struct apn_error *err)
{
    int ret;

    pthread_mutex_lock(&c->lock);
    ret = connect_locked(c, err);
    pthread_mutex_unlock(&c->lock);
    return ret;
}

void apn_dpdk_client_lost(struct apn_dpdk_client *c, unsigned generation)
{
    pthread_mutex_lock(&c->lock);
    if (c->generation == generation && c->fd >= 0) {
        disconnect(c);
        snprintf(c->note, sizeof(c->note), "apn-dpdk at %s has ended: its lanes are down", c->path);
    }
    pthread_mutex_unlock(&c->lock);
}

int apn_dpdk_client_region(struct apn_dpdk_client *c, unsigned region, const struct apn_region *r, struct apn_error *err)
{
    struct apn_dpdk_region *own;
    int ret = 0;

    if (region >= APN_REGIONS_MAX || !r->host) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "dpdk: region %u: the limit is %u, with memory", region, APN_REGIONS_MAX - 1);
    }
    pthread_mutex_lock(&c->lock);
    own = &c->regions[region];
    if (own->fd >= 0) {
        close(own->fd);
    }
    own->host = r->host;
    own->length = r->length;
    own->pinned = r->flags & APN_REGION_FIXED;
    own->fd = apn_dpdk_find_file(r->host, r->length, &own->offset);
    c->n_regions = region >= c->n_regions ? region + 1 : c->n_regions;
    if (own->fd < 0) {
        own->fd = -1;
        c->copied_bytes += r->length;
        if (!c->note[0] && r->length >= APN_GRANULE_SIZE) {
            snprintf(c->note, sizeof(c->note), "dpdk: %.60s is private memory and copied once more: share it (memory-backend-memfd,share=on)",
                     r->name);
        }
    } else if (c->fd >= 0) {
        ret = hand_over(c, region);
        ret = ret ? explain(c, ret, err) : 0;
    }
    pthread_mutex_unlock(&c->lock);
    return ret;
}

int apn_dpdk_client_open(struct apn_dpdk_client *c, struct apn_helper_msg *msg, int fds[APN_HELPER_FDS], unsigned *generation,
                         struct apn_error *err)
{
    const struct apn_helper_msg request = *msg;
    int ret = 0;

    pthread_mutex_lock(&c->lock);
    for (unsigned tries = 0; tries < 2; tries++) { /* the helper may have been started again since we last looked */
        const bool fresh = c->fd < 0;

        ret = connect_locked(c, err);
        if (ret) {
            break;
        }
        *msg = request;
        ret = ask(c, msg, -1, fds, ANSWER_MS);
        if (!ret || fresh || ret != -EPIPE) {
            ret = ret ? explain(c, ret, err) : 0;
            break;
        }
    }
    *generation = c->generation;
    pthread_mutex_unlock(&c->lock);
    if (!ret && msg->code) {
        close_fds(fds);
        return apn_error_set(err, msg->code < 0 ? local_code(msg->code) : -EPROTO, APN_SCOPE_SESSION, "dpdk: %s", msg->text);
    }
    return ret;
}

void apn_dpdk_client_close(struct apn_dpdk_client *c, uint32_t channel, unsigned generation)
{
    struct apn_helper_msg msg = {.type = APN_HELPER_CLOSE, .channel = channel};
    int fds[APN_HELPER_FDS];

    pthread_mutex_lock(&c->lock);
    if (c->generation == generation && c->fd >= 0 && !ask(c, &msg, -1, fds, ANSWER_MS)) {
        close_fds(fds);
    }
    pthread_mutex_unlock(&c->lock);
}
