/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* connect.c - from an address to a queue pair: TCP, the handshake, the offers; never blocks except on resolving a name
 * and on registering guest memory for the first lane */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/rdma/link.h"
#include "support/clock.h"

#define RTT_FLOOR_NS (50 * APN_NS_PER_MS / 1000)

static void address_text(const struct apn_rdma_link *link, char text[APN_TCP_ADDRESS_TEXT])
{
    apn_tcp_address_text(link->address->ai_addr, link->address->ai_addrlen, text);
}

/* an attempt's time is shared by the addresses that are left */
static uint64_t share_of_time(const struct apn_rdma_link *link, uint64_t now_ns)
{
    uint64_t left_ns = link->deadline_ns > now_ns ? link->deadline_ns - now_ns : 0;
    unsigned addresses = 0;

    for (const struct addrinfo *a = link->address; a; a = a->ai_next) {
        addresses++;
    }
    return now_ns + left_ns / (addresses ? addresses : 1);
}

static int open_socket(struct apn_rdma_link *link)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    char note[APN_ERROR_TEXT_MAX] = "";

    link->fd = socket(link->address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        return -errno;
    }
    if (be->tcp.backend) { /* it may have to carry the pages */
        apn_tcp_buffers(link->fd, be->config.window_hint_bytes, note, sizeof(note));
    }
    apn_tcp_tune(link->fd, link->hello.timeout_ms);
    return connect(link->fd, link->address->ai_addr, link->address->ai_addrlen) && errno != EINPROGRESS ? -errno : 0;
}

static void next_address(struct apn_rdma_link *link, int code, uint64_t now_ns)
{
    char text[APN_TCP_ADDRESS_TEXT];
    int ret = code;

    while (ret) {
        address_text(link, text);
        if (link->fd >= 0) {
            close(link->fd);
            link->fd = -1;
        }
        link->address = link->address->ai_next;
        if (!link->address || now_ns >= link->deadline_ns) {
            apn_rdma_link_fail(link, ret, "connect to %s: %s", text, strerror(-ret));
            return;
        }
        link->address_deadline_ns = share_of_time(link, now_ns);
        ret = open_socket(link);
    }
}

static void begin(struct apn_rdma_link *link, uint64_t now_ns)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    struct apn_error err = {0};
    int ret = apn_rdma_backend_addresses(be, &link->address, &err);

    if (ret) {
        apn_rdma_link_fail(link, ret, "%s", err.text);
        return;
    }
    link->deadline_ns = now_ns + be->config.handshake_timeout_ms * APN_NS_PER_MS;
    link->address_deadline_ns = share_of_time(link, now_ns);
    ret = open_socket(link);
    if (ret) {
        next_address(link, ret, now_ns);
    }
}

/* is there a device for this path? Without one the lane asks for TCP, where that is allowed. */
static int ask_for_rdma(struct apn_rdma_link *link)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    struct apn_error err = {0};
    int ret = apn_rdma_backend_device(be, link->fd, &err);

    if (!ret) {
        link->hello.features |= APN_FEATURE_RDMA;
    } else if (be->tcp.backend) {
        apn_rdma_backend_note(be, err.text);
    } else {
        apn_rdma_link_fail(link, ret, "%s", err.text);
    }
    return link->error.code;
}

static void connected(struct apn_rdma_link *link)
{
    const struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    uint8_t nonce[32];

    if (ask_for_rdma(link)) {
        return;
    }
    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce)) {
        apn_rdma_link_fail(link, -EIO, "getrandom: no random numbers");
        return;
    }
    apn_handshake_client_init(&link->hs, &link->hello, be->config.secret, be->config.secret_bytes, nonce);
    link->stage = APN_RDMA_SHAKING;
}

static short await_connection(struct apn_rdma_link *link, uint64_t now_ns)
{
    struct pollfd fd = {.fd = link->fd, .events = POLLOUT};
    socklen_t length = sizeof(int);
    int code = 0;

    if (poll(&fd, 1, 0) == 0) {
        if (now_ns >= link->address_deadline_ns) {
            next_address(link, -ETIMEDOUT, now_ns);
            return 0;
        }
        return POLLOUT;
    }
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &length)) {
        code = errno;
    }
    if (code) {
        next_address(link, -code, now_ns);
    } else {
        connected(link);
    }
    return 0;
}

/* ---- after the handshake ---------------------------------------------------------- */

/* the peer speaks TCP only: is that enough? */
static void without_rdma(struct apn_rdma_link *link)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    struct apn_error err = {0};

    if (!be->tcp.backend) {
        apn_rdma_link_fail(link, -EPROTONOSUPPORT,
                           "the peer has no RDMA: it listens with backend uring; choose uring, or auto, here");
        return;
    }
    link->instead = be->tcp.adopt(be->tcp.backend, &link->hello, link->fd, &err);
    if (!link->instead) {
        apn_rdma_link_fail(link, err.code, "%s", err.text);
        return;
    }
    link->fd = -1;
    link->stage = APN_RDMA_UP;
    link->up_due = true;
    apn_rdma_backend_note(be, "rdma: the peer has no RDMA, so pages go over TCP (uring)");
}

static void shaken(struct apn_rdma_link *link)
{
    if (link->hs.step == APN_HS_STEP_FAILED) {
        apn_rdma_link_fail(link, link->hs.error.code, "%s", link->hs.error.text);
    } else if (link->hs.step == APN_HS_STEP_DONE) {
        link->stage = APN_RDMA_OFFERING;
        if (!(link->hs.welcome.features & APN_FEATURE_RDMA)) {
            without_rdma(link);
        }
    }
}

/* Return: bytes moved, 0: wait, and -1 when the link has failed */
static ssize_t moved(struct apn_rdma_link *link, ssize_t n, const char *what)
{
    if (n > 0) {
        return n;
    }
    if (n == 0) {
        apn_rdma_link_fail(link, -ECONNRESET, "the peer closed the connection during the %s", what);
        return -1;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }
    apn_rdma_link_fail(link, -errno, "%s: %s", what, strerror(errno));
    return -1;
}

static short shake(struct apn_rdma_link *link)
{
    uint8_t input[APN_WIRE_HS_MAX];
    const uint8_t *output;
    size_t bytes = apn_handshake_output(&link->hs, &output);
    ssize_t n;

    if (bytes) {
        n = moved(link, send(link->fd, output, bytes, MSG_DONTWAIT | MSG_NOSIGNAL), "handshake");
        if (n > 0) {
            apn_handshake_sent(&link->hs, (size_t)n);
        }
    } else {
        n = moved(link, recv(link->fd, input, apn_handshake_wants(&link->hs), MSG_DONTWAIT), "handshake");
        if (n > 0) {
            apn_handshake_input(&link->hs, input, (size_t)n);
            shaken(link);
        }
    }
    return n == 0 ? (bytes ? POLLOUT : POLLIN) : 0;
}

short apn_rdma_connect_step(struct apn_rdma_link *link, uint64_t now_ns)
{
    if (!link->address) {
        begin(link, now_ns);
        return 0;
    }
    if (link->stage == APN_RDMA_CONNECTING) {
        return await_connection(link, now_ns);
    }
    if (now_ns >= link->deadline_ns) {
        char text[APN_TCP_ADDRESS_TEXT];

        address_text(link, text);
        apn_rdma_link_fail(link, -ETIMEDOUT, "handshake with %s: no answer within %u ms", text,
                           apn_rdma_link_backend(link)->config.handshake_timeout_ms);
        return 0;
    }
    return shake(link);
}

/* ---- offers ---------------------------------------------------------------------------- */

static uint64_t measured_rtt(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) {
        return 0;
    }
    /* the smallest is the path, the others are this host's business too; UINT32_MAX: none yet */
    return info.tcpi_min_rtt && info.tcpi_min_rtt != UINT32_MAX ? info.tcpi_min_rtt * 1000ull : info.tcpi_rtt * 1000ull;
}

static int make_plan(struct apn_rdma_link *link, struct apn_error *err)
{
    const struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    const struct ibv_device_attr *attr = &be->device.attr;
    struct apn_rdma_path path = {.lanes = 1,
                                 .mtu_bytes = 128u << be->device.port_attr.active_mtu,
                                 .max_qp_wr = (uint32_t)attr->max_qp_wr,
                                 .max_cqe = (uint32_t)attr->max_cqe,
                                 .timeout_ms = link->hello.timeout_ms};

    link->rtt_ns = measured_rtt(link->fd);
    path.rtt_ns = link->rtt_ns > RTT_FLOOR_NS ? link->rtt_ns : RTT_FLOOR_NS;
    /* the engine says how much may be in flight; as a rate over this path's round trip. That is the whole session's: lanes share it */
    path.rate_bytes_per_s = (uint64_t)((double)be->config.window_hint_bytes / 1.25 / (link->hello.lanes ? link->hello.lanes : 1) *
                                       1e9 / (double)path.rtt_ns);
    path.rate_bytes_per_s = path.rate_bytes_per_s > 250000000000ull ? 250000000000ull : path.rate_bytes_per_s;
    path.rtt_ns = path.rtt_ns > 2000000000ull ? 2000000000ull : path.rtt_ns;
    return apn_rdma_plan(&path, &link->plan, err);
}

static void enlist(struct apn_rdma_link *link)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);

    pthread_mutex_lock(&be->lock);
    link->sibling = be->links;
    be->links = link;
    pthread_mutex_unlock(&be->lock);
}

/* the destination is written to; in postcopy it is not, but reads from the source */
static int access_of_peer(const struct apn_rdma_link *link)
{
    return link->accepted ? IBV_ACCESS_REMOTE_WRITE : link->hello.features & APN_FEATURE_POSTCOPY ? IBV_ACCESS_REMOTE_READ : 0;
}

static uint8_t reads_answered(const struct apn_rdma_link *link)
{
    const int can = apn_rdma_link_backend(link)->device.attr.max_qp_rd_atom;

    return !apn_rdma_link_is_read(link) || can < 1 ? 0 : can < (int)APN_RDMA_READS_MAX ? (uint8_t)can : (uint8_t)APN_RDMA_READS_MAX;
}

static int make_pair(struct apn_rdma_link *link, struct apn_error *err)
{
    struct apn_rdma_backend *be = apn_rdma_link_backend(link);
    int ret = make_plan(link, err);

    if (ret) {
        return ret;
    }
    apn_rdma_backend_register(be, access_of_peer(link));
    enlist(link);
    ret = apn_rdma_qp_open(&link->qp, &be->device, &link->plan, link, err);
    if (!ret && (apn_rdma_sender_init(&link->tx, &link->qp, &be->memory, &be->totals, &link->plan) ||
                 apn_rdma_receiver_init(&link->rx, &link->qp, &be->config.sink, &be->memory))) {
        ret = apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "rdma: out of memory");
    }
    link->qp.answers = reads_answered(link);
    link->rx.refuses_keys = link->accepted && !apn_rdma_link_is_urgent(link);
    return ret;
}

/* ours: a queue pair, or why there is none. Either way the peer is told. */
static void make_offer(struct apn_rdma_link *link)
{
    struct apn_rdma_offer offer = {0};
    struct apn_error err = {0};
    int ret = make_pair(link, &err);

    if (ret) {
        offer.code = ret;
        memcpy(offer.text, err.text, strnlen(err.text, sizeof(offer.text) - 1));
        apn_error_set(&link->error, ret, APN_SCOPE_LANE, "rdma: lane %u: %s", link->hello.lane, err.text);
    } else {
        apn_rdma_qp_offer(&link->qp, &offer);
    }
    apn_rdma_offer_encode(&offer, &link->offer_out);
    link->answered = true;
}

static void take_offer(struct apn_rdma_link *link)
{
    struct apn_rdma_offer peer;
    struct apn_error err = {0};
    int ret = apn_rdma_offer_decode(&link->offer_in, &peer, &err);

    if (!ret && peer.code) {
        ret = apn_error_set(&err, peer.code, APN_SCOPE_LANE, "the peer cannot: %s", peer.text);
    }
    if (!ret && !link->error.code) {
        ret = apn_rdma_qp_connect(&link->qp, &peer, &link->plan, &err);
    }
    if (ret) {
        apn_rdma_link_fail(link, ret, "%s", err.text);
        return;
    }
    if (link->error.code) {
        link->stage = APN_RDMA_FAILED;
        return;
    }
    if (link->accepted && link->qp.reads && apn_rdma_link_is_urgent(link) &&
        apn_rdma_fetcher_open(&link->reads, &link->tx, &apn_rdma_link_backend(link)->device, &err)) {
        apn_rdma_backend_note(apn_rdma_link_backend(link), err.text);
    }
    link->stage = APN_RDMA_GREETING;
}

/* Making a queue pair, and registering memory for the first one, takes what it takes: the handshake's limit is for strangers,
 * this peer is known. */
static uint64_t opening_ns(const struct apn_rdma_link *link)
{
    const uint64_t own_ms = apn_rdma_link_backend(link)->config.handshake_timeout_ms, half_ms = link->hello.timeout_ms / 2;

    return (own_ms > half_ms ? own_ms : half_ms) * APN_NS_PER_MS;
}

/* both ends send theirs at once and go on when both have crossed */
short apn_rdma_offer_step(struct apn_rdma_link *link, uint64_t now_ns)
{
    ssize_t n;

    if (!link->answered) {
        make_offer(link);
        now_ns = apn_rdma_link_now(link);
        link->deadline_ns = now_ns + opening_ns(link);
    }
    if (link->offer_sent < sizeof(link->offer_out)) {
        n = moved(link, send(link->fd, (uint8_t *)&link->offer_out + link->offer_sent, sizeof(link->offer_out) - link->offer_sent,
                             MSG_DONTWAIT | MSG_NOSIGNAL), "offer");
        link->offer_sent += n > 0 ? (size_t)n : 0;
        return n == 0 ? POLLOUT : 0;
    }
    if (now_ns >= link->deadline_ns) {
        apn_rdma_link_fail(link, -ETIMEDOUT, "no offer from the peer within %llu ms",
                           (unsigned long long)(opening_ns(link) / APN_NS_PER_MS));
        return 0;
    }
    n = moved(link, recv(link->fd, (uint8_t *)&link->offer_in + link->offer_got, sizeof(link->offer_in) - link->offer_got,
                         MSG_DONTWAIT), "offer");
    link->offer_got += n > 0 ? (size_t)n : 0;
    if (link->offer_got == sizeof(link->offer_in)) {
        take_offer(link);
        return 0;
    }
    return n == 0 ? POLLIN : 0;
}
