/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* port.c - sockets: made, bound, waited for, closed; see carrier.h */
#include <errno.h>
#include <netdb.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "backend/datagram/memory.h"
#include "backend/socket.h"
#include "backend/udp/carrier.h"
#include "support/clock.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define PICKS_MAX  8u
#define SEND_BYTES (4u << 20)

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

static uint16_t port_of(const union apn_address *a)
{
    return ntohs(a->family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

static void set_port(union apn_address *a, uint16_t port)
{
    *(a->family == AF_INET ? &a->in.sin_port : &a->in6.sin6_port) = htons(port);
}

/* the kernel counts more than bytes, and doubles what it is asked for: ask for what shall fit */
static void set_queues(struct apn_udp_carrier *c, int fd)
{
    const int wish = c->queue_bytes > INT32_MAX / 2 ? INT32_MAX / 2 : (int)c->queue_bytes;
    char note[APN_ERROR_TEXT_MAX];
    int granted = 0;
    socklen_t bytes = sizeof(granted);

    if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BYTES)) {
        set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BYTES);
    }
    if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, wish) == 0) {
        return;
    }
    set(fd, SOL_SOCKET, SO_RCVBUF, wish);
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &bytes) == 0 && granted / 2 < wish) {
        snprintf(note, sizeof(note),
                 "udp: receive queue: wished %d KiB, granted %d: datagrams are lost when this host is late; sysctl "
                 "net.core.rmem_max=%d would allow it",
                 wish >> 10, granted / 2 >> 10, wish);
        apn_udp_note(c, note);
    }
}

/* Return: fd or -errno */
static int make_socket(struct apn_udp_carrier *c, int family)
{
    const int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const bool v6 = family == AF_INET6;

    if (fd < 0) {
        return -errno;
    }
    if (v6) {
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1); /* IPv4 has a socket of its own */
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
        set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    } else {
        set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
        set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    }
    if (c->ecn) {
        set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, 2);
    }
    set_queues(c, fd);
    return fd;
}

static struct apn_udp_port *port_new(struct apn_udp_carrier *c, struct apn_error *err)
{
    struct apn_udp_port *port = calloc(1, sizeof(*port));

    if (!port) {
        apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "udp: out of memory");
        return NULL;
    }
    port->base.carrier = &c->base;
    port->base.datagram_max = APN_PORT_DATAGRAM_MAX;
    port->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    port->buffer = apn_dg_memory_new(APN_UDP_BUFFERS * sizeof(*port->buffer));
    if (port->wake_fd < 0 || !port->buffer) {
        apn_error_set(err, port->buffer ? -errno : -ENOMEM, APN_SCOPE_LANE, "udp: eventfd: %s", strerror(errno));
        apn_udp_close(&port->base);
        return NULL;
    }
    return port;
}

void apn_udp_close(struct apn_port *base)
{
    struct apn_udp_port *port = (struct apn_udp_port *)base;

    for (unsigned i = 0; i < port->sockets; i++) {
        close(port->socket[i].fd);
    }
    if (port->wake_fd >= 0) {
        close(port->wake_fd);
    }
    apn_dg_memory_free(port->buffer, APN_UDP_BUFFERS * sizeof(*port->buffer));
    free(port);
}

/* ---- listening ------------------------------------------------------------------------ */

static int listen_on(struct apn_udp_carrier *c, const union apn_address *address, union apn_address *bound)
{
    const int fd = make_socket(c, address->family);
    socklen_t bytes = sizeof(*bound);
    int ret;

    if (fd < 0) {
        return fd;
    }
    if (address->family == AF_INET6) {
        set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    } else {
        set(fd, IPPROTO_IP, IP_PKTINFO, 1);
    }
    /* bound alone, so that a port in use is noticed; shared afterwards, with the flows of this user */
    if (bind(fd, &address->any, apn_udp_address_bytes(address)) || set(fd, SOL_SOCKET, SO_REUSEPORT, 1) ||
        getsockname(fd, &bound->any, &bytes)) {
        ret = -errno;
        close(fd);
        return ret;
    }
    return fd;
}

static bool listed_before(const struct apn_udp_port *port, const union apn_address *a)
{
    for (unsigned i = 0; i < port->sockets; i++) {
        if (!memcmp(&port->socket[i].local, a, sizeof(*a))) {
            return true; /* a hosts file may name an address twice */
        }
    }
    return false;
}

/* every address that works; all share the port that the first was given. Return: 0, or why one that should work does not */
static int listen_on_all(struct apn_udp_carrier *c, struct apn_udp_port *port, const struct addrinfo *list, uint16_t *number)
{
    int failed = 0;

    for (const struct addrinfo *a = list; a && port->sockets < APN_PORT_ADDRESSES_MAX; a = a->ai_next) {
        union apn_address address = {0}, bound = {0};
        int ret;

        if (a->ai_addrlen > sizeof(address)) {
            continue;
        }
        memcpy(&address, a->ai_addr, a->ai_addrlen);
        if (*number) {
            set_port(&address, *number);
        }
        if (listed_before(port, &address)) {
            continue;
        }
        ret = listen_on(c, &address, &bound);
        if (ret >= 0) {
            *number = port_of(&bound);
            set_port(&address, *number);
            port->socket[port->sockets++] = (struct apn_udp_socket){ret, address};
        } else if (ret != -EAFNOSUPPORT && (ret != -EADDRNOTAVAIL || !port->sockets)) {
            failed = ret;
        }
    }
    return !port->sockets || failed == -EADDRINUSE ? (failed ? failed : -EAFNOSUPPORT) : 0;
}

int apn_udp_listen(struct apn_carrier *base, struct apn_port **out, uint16_t *port_number, struct apn_error *err)
{
    struct apn_udp_carrier *c = (struct apn_udp_carrier *)base;
    struct apn_udp_port *port = port_new(c, err);
    const bool any_port = !strcmp(c->port, "0");
    struct addrinfo *list;
    int ret = -EADDRINUSE;

    if (!port) {
        return -ENOMEM;
    }
    port->listening = true;
    /* a port that is free in one family may be taken in the other: then the kernel picks again */
    for (unsigned tries = 0; ret == -EADDRINUSE && tries < (any_port ? PICKS_MAX : 1); tries++) {
        while (port->sockets) {
            close(port->socket[--port->sockets].fd);
        }
        *port_number = 0;
        ret = apn_tcp_resolve(c->host, c->port, true, &list, err);
        if (ret) {
            break;
        }
        ret = listen_on_all(c, port, list, port_number);
        freeaddrinfo(list);
    }
    if (ret) {
        apn_udp_close(&port->base);
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "udp: listen on %s port %s: %s", *c->host ? c->host : "any address", c->port,
                             strerror(-ret));
    }
    *out = &port->base;
    return 0;
}

/* ---- flows ------------------------------------------------------------------------------- */

void apn_udp_path_size(struct apn_udp_port *port)
{
    const bool v6 = port->socket[0].local.family == AF_INET6;
    int mtu = 0;
    socklen_t bytes = sizeof(mtu);

    if (port->listening || getsockopt(port->socket[0].fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &bytes)) {
        return;
    }
    mtu -= v6 ? 48 : 28;
    if (mtu >= (int)APN_PORT_DATAGRAM_MIN && (uint32_t)mtu < port->base.datagram_max) {
        port->base.datagram_max = (uint32_t)mtu;
    }
}

/* the accepting side's end: same address, same port, one peer */
static int bind_beside(struct apn_udp_port *port, int fd, const struct apn_udp_port *listener, const struct apn_endpoint *endpoint)
{
    union apn_address local = endpoint->local;

    if (local.family != endpoint->remote.family) {
        return -EAFNOSUPPORT;
    }
    set_port(&local, port_of(&listener->socket[0].local));
    port->socket[0].local = local;
    return set(fd, SOL_SOCKET, SO_REUSEPORT, 1) || bind(fd, &local.any, apn_udp_address_bytes(&local)) ? -errno : 0;
}

int apn_udp_flow(struct apn_carrier *base, struct apn_port *listener, const struct apn_endpoint *endpoint, struct apn_port **out,
                 struct apn_error *err)
{
    struct apn_udp_carrier *c = (struct apn_udp_carrier *)base;
    struct apn_udp_port *port = port_new(c, err);
    const char *what = "socket";
    int fd, ret;

    if (!port) {
        return -ENOMEM;
    }
    fd = make_socket(c, endpoint->remote.family);
    ret = fd < 0 ? fd : 0;
    if (!ret) {
        port->socket[0] = (struct apn_udp_socket){fd, {.family = endpoint->remote.family}};
        port->sockets = 1;
        what = "bind";
        ret = listener ? bind_beside(port, fd, (struct apn_udp_port *)listener, endpoint) : 0;
    }
    if (!ret) {
        what = "connect";
        ret = connect(fd, &endpoint->remote.any, apn_udp_address_bytes(&endpoint->remote)) ? -errno : 0;
    }
    if (ret) {
        apn_udp_close(&port->base);
        return apn_error_set(err, ret, APN_SCOPE_LANE, "udp: %s: %s", what, strerror(-ret));
    }
    set(fd, IPPROTO_UDP, UDP_GRO, 1); /* older kernels: one by one */
    apn_udp_path_size(port);
    port->peeks = port->base.datagram_max >= APN_UDP_PEEK_FROM;
    *out = &port->base;
    return 0;
}

/* ---- waiting -------------------------------------------------------------------------------- */

void apn_udp_wait(struct apn_port *base, unsigned what, uint64_t timeout_ns)
{
    struct apn_udp_port *port = (struct apn_udp_port *)base;
    const struct timespec timeout = {(time_t)(timeout_ns / APN_NS_PER_S), (long)(timeout_ns % APN_NS_PER_S)};
    const short events = (short)((what & APN_PORT_WAIT_RECEIVE ? POLLIN : 0) | (what & APN_PORT_WAIT_SEND ? POLLOUT : 0));
    struct pollfd fds[1 + APN_PORT_ADDRESSES_MAX] = {{.fd = port->wake_fd, .events = POLLIN}};
    uint64_t count;
    int ready;

    for (unsigned i = 0; i < port->sockets; i++) {
        fds[1 + i] = (struct pollfd){.fd = events ? port->socket[i].fd : -1, .events = events};
    }
    ready = ppoll(fds, 1 + port->sockets, &timeout, NULL);

    port->empty = events & POLLIN && !port->listening && ready >= 0 && !(fds[1].revents & ~POLLOUT);
    if (ready > 0 && fds[0].revents) {
        if (read(port->wake_fd, &count, sizeof(count)) < 0) {
            /* taken already */
        }
        atomic_store(&port->wake_pending, false);
    }
}

void apn_udp_wake(struct apn_port *base)
{
    struct apn_udp_port *port = (struct apn_udp_port *)base;
    const uint64_t one = 1;

    if (!atomic_exchange(&port->wake_pending, true) && write(port->wake_fd, &one, sizeof(one)) < 0) {
        /* full means that a wake is pending already */
    }
}
