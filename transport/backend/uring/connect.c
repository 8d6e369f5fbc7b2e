/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* connect.c - opening a lane: address by address, then the handshake; never blocks except on
 * resolving a name */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/uring/link.h"
#include "support/clock.h"

static void address_text(const struct apn_uring_link *link, char text[APN_TCP_ADDRESS_TEXT])
{
    apn_tcp_address_text(link->address->ai_addr, link->address->ai_addrlen, text);
}

/* An attempt's time is shared by the addresses that are left, so that a silent first one does not
 * use it up. */
static uint64_t share_of_time(const struct apn_uring_link *link, uint64_t now_ns)
{
    uint64_t left_ns = link->deadline_ns > now_ns ? link->deadline_ns - now_ns : 0;
    unsigned addresses = 0;

    for (const struct addrinfo *a = link->address; a; a = a->ai_next) {
        addresses++;
    }
    return now_ns + left_ns / (addresses ? addresses : 1);
}

static int open_socket(struct apn_uring_link *link)
{
    struct apn_uring_backend *be = apn_uring_link_backend(link);
    char note[APN_ERROR_TEXT_MAX] = "";

    link->sockets++;
    link->fd = socket(link->address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        return -errno;
    }
    apn_tcp_buffers(link->fd, be->config.window_hint_bytes, note, sizeof(note));
    apn_uring_backend_note(be, note);
    apn_tcp_tune(link->fd, link->hello.timeout_ms);
    if (connect(link->fd, link->address->ai_addr, link->address->ai_addrlen) &&
        errno != EINPROGRESS) {
        return -errno;
    }
    return 0;
}

/* this address failed with @code: go to the next one, or give up with the last reason */
static void next_address(struct apn_uring_link *link, int code, uint64_t now_ns)
{
    char text[APN_TCP_ADDRESS_TEXT];
    int ret = code;

    for (;;) {
        address_text(link, text);
        if (link->fd >= 0) {
            shutdown(link->fd, SHUT_RDWR); /* ends a watch, which holds the socket */
            close(link->fd);
            link->fd = -1;
        }
        link->address = link->address->ai_next;
        if (!link->address || now_ns >= link->deadline_ns) {
            apn_uring_link_fail(link, ret, "connect to %s: %s", text, strerror(-ret));
            return;
        }
        link->address_deadline_ns = share_of_time(link, now_ns);
        ret = open_socket(link);
        if (ret == 0) {
            apn_uring_ring_watch(link, POLLOUT);
            return;
        }
    }
}

static void begin(struct apn_uring_link *link, uint64_t now_ns)
{
    struct apn_uring_backend *be = apn_uring_link_backend(link);
    struct apn_error err = {0};
    int ret = apn_uring_backend_addresses(be, &link->address, &err);

    if (ret) {
        apn_uring_link_fail(link, ret, "%s", err.text);
        return;
    }
    link->deadline_ns = now_ns + be->config.handshake_timeout_ms * APN_NS_PER_MS;
    link->address_deadline_ns = share_of_time(link, now_ns);
    ret = open_socket(link);
    if (ret) {
        next_address(link, ret, now_ns);
        return;
    }
    apn_uring_ring_watch(link, POLLOUT);
}

static void connected(struct apn_uring_link *link)
{
    const struct apn_backend_config *config = &apn_uring_link_backend(link)->config;
    uint8_t nonce[32];

    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce)) {
        apn_uring_link_fail(link, -EIO, "getrandom: no random numbers");
        return;
    }
    apn_handshake_client_init(&link->hs, &link->hello, config->secret, config->secret_bytes, nonce);
    apn_handshake_client_hurry(&link->hs);
    link->stage = APN_URING_SHAKING;
}

static void connect_result(struct apn_uring_link *link, uint64_t now_ns)
{
    int code = 0;
    socklen_t length = sizeof(code);

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &length)) {
        code = errno;
    }
    if (code) {
        next_address(link, -code, now_ns);
        return;
    }
    connected(link);
}

/* Return: true when something moved */
static bool shake(struct apn_uring_link *link)
{
    uint8_t input[APN_WIRE_HS_MAX];
    const uint8_t *output;
    size_t bytes = apn_handshake_output(&link->hs, &output);
    ssize_t n;

    if (bytes) {
        n = send(link->fd, output, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            apn_handshake_sent(&link->hs, (size_t)n);
            return true;
        }
    } else {
        n = recv(link->fd, input, apn_handshake_wants(&link->hs), MSG_DONTWAIT);
        if (n > 0) {
            apn_handshake_input(&link->hs, input, (size_t)n);
            return true;
        }
        if (n == 0) {
            apn_uring_link_fail(link, -ECONNRESET,
                                "the peer closed the connection during the handshake");
            return false;
        }
    }
    if (errno == EAGAIN || errno == EINTR) {
        apn_uring_ring_watch(link, bytes ? POLLOUT : POLLIN);
    } else {
        apn_uring_link_fail(link, -errno, "handshake: %s", strerror(errno));
    }
    return false;
}

static void shake_on(struct apn_uring_link *link)
{
    while (link->stage == APN_URING_SHAKING && shake(link)) {
        if (link->hs.step == APN_HS_STEP_FAILED) {
            apn_uring_link_fail(link, link->hs.error.code, "%s", link->hs.error.text);
        } else if (link->hs.step == APN_HS_STEP_DONE) {
            link->stage = APN_URING_UP;
            link->up_due = true;
        }
    }
}

static void time_is_up(struct apn_uring_link *link, uint64_t now_ns)
{
    const unsigned limit_ms = apn_uring_link_backend(link)->config.handshake_timeout_ms;
    char text[APN_TCP_ADDRESS_TEXT];

    address_text(link, text);
    if (link->stage == APN_URING_CONNECTING) {
        next_address(link, -ETIMEDOUT, now_ns);
        return;
    }
    apn_uring_link_fail(link, -ETIMEDOUT, "handshake with %s: no answer within %u ms", text,
                        limit_ms);
}

void apn_uring_connect_step(struct apn_uring_link *link, uint64_t now_ns)
{
    if (!link->address) {
        begin(link, now_ns);
        return;
    }
    if (link->ready) {
        link->ready = false;
        if (link->stage == APN_URING_CONNECTING) {
            connect_result(link, now_ns);
        }
        shake_on(link);
        return;
    }
    if (now_ns >=
        (link->stage == APN_URING_CONNECTING ? link->address_deadline_ns : link->deadline_ns)) {
        time_is_up(link, now_ns);
    }
}
