/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* transfer.c - datagrams through the sockets; see carrier.h */
#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/uio.h>

#include "backend/udp/carrier.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define IOV_MAX_SEND (2 * APN_PORT_BURST_MAX)

/* ---- sending ------------------------------------------------------------------------- */

/** struct outgoing - a burst as messages for sendmmsg(): each one or more datagrams of one size, the last may be shorter */
struct outgoing {
    struct mmsghdr message[APN_PORT_BURST_MAX];
    struct iovec iov[IOV_MAX_SEND];
    uint8_t control[APN_PORT_BURST_MAX][CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
    unsigned datagrams[APN_PORT_BURST_MAX]; /* per message */
    unsigned messages;
};

static uint32_t total(const struct apn_port_datagram *d)
{
    return d->head_bytes + d->payload_bytes;
}

/* how many datagrams from @d on may leave as one */
static unsigned together(const struct apn_udp_port *port, const struct apn_port_datagram *d, unsigned n)
{
    const uint32_t size = total(d);
    uint32_t sum = size;
    unsigned count = 1;

    if (port->listening || atomic_load_explicit(&apn_udp_carrier_of(port)->no_gso, memory_order_relaxed)) {
        return 1;
    }
    while (count < n && count < APN_UDP_GSO_MAX && total(&d[count - 1]) == size && total(&d[count]) <= size &&
           sum + total(&d[count]) <= APN_UDP_GSO_BYTES) {
        sum += total(&d[count++]);
    }
    return count;
}

static struct cmsghdr *add_control(struct msghdr *m, int level, int type, const void *value, size_t bytes)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)m->msg_control + m->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(c), value, bytes);
    m->msg_controllen += CMSG_SPACE(bytes);
    return c;
}

/* an answer leaves from the address that was asked */
static void add_source(struct msghdr *m, const union apn_address *local)
{
    if (local->family == AF_INET) {
        struct in_pktinfo from = {.ipi_spec_dst = local->in.sin_addr};

        add_control(m, IPPROTO_IP, IP_PKTINFO, &from, sizeof(from));
    } else if (local->family == AF_INET6) {
        struct in6_pktinfo from = {.ipi6_addr = local->in6.sin6_addr};

        add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &from, sizeof(from));
    }
}

static void gather(const struct apn_udp_port *port, const struct apn_endpoint *to, const struct apn_port_datagram *burst, unsigned n,
                   struct outgoing *out)
{
    unsigned at = 0, iov = 0;

    for (out->messages = 0; at < n; out->messages++) {
        const unsigned count = together(port, burst + at, n - at);
        struct msghdr *m = &out->message[out->messages].msg_hdr;
        const uint16_t size = (uint16_t)total(&burst[at]);

        *m = (struct msghdr){.msg_iov = &out->iov[iov], .msg_control = out->control[out->messages]};
        memset(out->control[out->messages], 0, sizeof(out->control[out->messages]));
        out->datagrams[out->messages] = count;
        for (unsigned i = 0; i < count; i++, at++) {
            out->iov[iov++] = (struct iovec){(void *)(uintptr_t)burst[at].head, burst[at].head_bytes};
            if (burst[at].payload_bytes) {
                out->iov[iov++] = (struct iovec){(void *)(uintptr_t)burst[at].payload, burst[at].payload_bytes};
            }
        }
        m->msg_iovlen = (size_t)(&out->iov[iov] - m->msg_iov);
        if (count > 1) {
            add_control(m, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
        }
        if (to) {
            m->msg_name = (void *)(uintptr_t)&to->remote;
            m->msg_namelen = apn_udp_address_bytes(&to->remote);
            add_source(m, &to->local);
        }
        if (!m->msg_controllen) {
            m->msg_control = NULL;
        }
    }
}

static int socket_for(const struct apn_udp_port *port, const struct apn_endpoint *to)
{
    int fd = port->socket[0].fd;

    for (unsigned i = 0; to && i < port->sockets; i++) {
        const union apn_address *a = &port->socket[i].local;

        if (a->family != to->remote.family) {
            continue;
        }
        fd = port->socket[i].fd;
        if (a->family == AF_INET ? a->in.sin_addr.s_addr == to->local.in.sin_addr.s_addr
                                 : !memcmp(&a->in6.sin6_addr, &to->local.in6.sin6_addr, sizeof(a->in6.sin6_addr))) {
            break;
        }
    }
    return fd;
}

/* what is between here and the peer may be gone for a while: then the datagram is lost, which is the protocol's daily business */
static bool is_weather(int code)
{
    return code == ENETUNREACH || code == EHOSTUNREACH || code == ENETDOWN || code == EHOSTDOWN || code == EPERM || code == EACCES;
}

/* Return: datagrams that count as sent, 0 = no room, -errno */
static int send_failed(struct apn_udp_port *port, const struct outgoing *out, int code)
{
    struct apn_udp_carrier *c = apn_udp_carrier_of(port);

    if (code == EAGAIN || code == ENOBUFS || code == EINTR || code == ENOMEM) {
        return 0;
    }
    if (out->datagrams[0] > 1 && (code == EIO || code == EINVAL || code == EOPNOTSUPP)) {
        atomic_store(&c->no_gso, true); /* no checksum offload on that device: one by one from now on */
        return 0;
    }
    if (code == EMSGSIZE) {
        apn_udp_path_size(port);
        return -EMSGSIZE;
    }
    return is_weather(code) ? (int)out->datagrams[0] : -code;
}

int apn_udp_send(struct apn_port *base, const struct apn_endpoint *endpoint, const struct apn_port_datagram *burst, unsigned n)
{
    struct apn_udp_port *port = (struct apn_udp_port *)base;
    struct apn_udp_carrier *c = apn_udp_carrier_of(port);
    struct outgoing out;
    int done = 0, ret;

    n = n < APN_PORT_BURST_MAX ? n : APN_PORT_BURST_MAX;
    gather(port, endpoint, burst, n, &out);
    ret = sendmmsg(socket_for(port, endpoint), out.message, out.messages, MSG_DONTWAIT | MSG_NOSIGNAL);
    atomic_fetch_add_explicit(&c->send_calls, 1, memory_order_relaxed);
    if (ret < 0) {
        return send_failed(port, &out, errno);
    }
    for (int i = 0; i < ret; i++) {
        done += (int)out.datagrams[i];
    }
    atomic_fetch_add_explicit(&c->sent, (uint64_t)done, memory_order_relaxed);
    return done;
}

/* ---- receiving --------------------------------------------------------------------------- */

/** struct told - what the kernel said beside a datagram */
struct told {
    uint32_t segment; /* bytes of each of those that came together, 0 = one */
    uint8_t ecn;
    union apn_address local;
};

static void read_control(struct msghdr *m, struct told *told)
{
    int value;

    memset(told, 0, sizeof(*told));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&value, CMSG_DATA(c), sizeof(value));
            told->segment = value > 0 ? (uint32_t)value : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            told->ecn = *CMSG_DATA(c) & 3;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            memcpy(&value, CMSG_DATA(c), sizeof(value));
            told->ecn = (uint8_t)(value & 3);
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo to;

            memcpy(&to, CMSG_DATA(c), sizeof(to));
            told->local.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = to.ipi_addr};
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo to;

            memcpy(&to, CMSG_DATA(c), sizeof(to));
            told->local.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = to.ipi6_addr};
            if (IN6_IS_ADDR_LINKLOCAL(&to.ipi6_addr)) {
                told->local.in6.sin6_scope_id = to.ipi6_ifindex;
            }
        }
    }
}

static void prepare(struct apn_udp_port *port, unsigned i, void *to, size_t bytes)
{
    port->iov[i] = (struct iovec){to, bytes};
    port->message[i].msg_hdr = (struct msghdr){.msg_iov = &port->iov[i],
                                               .msg_iovlen = 1,
                                               .msg_control = port->control[i],
                                               .msg_controllen = sizeof(port->control[i]),
                                               .msg_name = port->listening ? &port->name[i] : NULL,
                                               .msg_namelen = port->listening ? sizeof(port->name[i]) : 0};
}

/* Return: 0 = nothing there; -errno */
static int receive_failed(struct apn_udp_port *port, int code)
{
    if (code == EMSGSIZE) {
        apn_udp_path_size(port); /* said by a router; the next send of that size will notice */
        return 0;
    }
    return code == EAGAIN || code == EINTR || code == ENOMEM || is_weather(code) || (port->listening && code == ECONNREFUSED) ? 0 : -code;
}

/* Return: buffers filled, -errno */
static int fill(struct apn_udp_port *port)
{
    int n = 0;

    port->filled = port->given = 0;
    port->given_bytes = 0;
    for (unsigned tries = 0; tries < port->sockets; tries++) {
        for (unsigned i = 0; i < APN_UDP_BUFFERS; i++) {
            prepare(port, i, port->buffer[i], APN_UDP_BUFFER_BYTES);
        }
        n = recvmmsg(port->socket[port->turn].fd, port->message, APN_UDP_BUFFERS, MSG_DONTWAIT, NULL);
        atomic_fetch_add_explicit(&apn_udp_carrier_of(port)->receive_calls, 1, memory_order_relaxed);
        port->turn = (port->turn + 1) % port->sockets;
        if (n > 0) {
            break;
        }
        n = receive_failed(port, errno);
    }
    port->filled = n > 0 ? (unsigned)n : 0;
    port->empty = !port->listening && n > 0 && port->filled < APN_UDP_BUFFERS;
    return n;
}

static void show(const struct apn_udp_port *port, unsigned i, const struct told *told, struct apn_port_arrival *out)
{
    memset(out, 0, sizeof(*out));
    out->ecn = told->ecn;
    if (port->listening) {
        out->from.remote = port->name[i];
        out->from.local = told->local;
    }
}

/* the datagrams in the buffers, from where the last call ended */
static unsigned give(struct apn_udp_port *port, struct apn_port_arrival *out, unsigned max)
{
    unsigned n = 0;

    for (; port->given < port->filled; port->given++, port->given_bytes = 0) {
        const struct mmsghdr *m = &port->message[port->given];
        struct told told;

        read_control((struct msghdr *)(uintptr_t)&m->msg_hdr, &told);
        if (m->msg_hdr.msg_flags & MSG_TRUNC) {
            continue;
        }
        while (port->given_bytes < m->msg_len) {
            uint32_t left = m->msg_len - port->given_bytes;

            if (n == max) {
                return n;
            }
            left = told.segment && told.segment < left ? told.segment : left;
            show(port, port->given, &told, &out[n]);
            out[n].head = port->buffer[port->given] + port->given_bytes;
            out[n].head_bytes = out[n].total_bytes = left;
            port->given_bytes += left;
            n++;
        }
    }
    return n;
}

/* Large datagrams: the first bytes now, the rest by read(). When several came as one, the head's segment says so: then it is taken
 * whole. Return: datagrams shown, 0 = none, -errno */
static int peek(struct apn_udp_port *port, struct apn_port_arrival *out, unsigned max)
{
    struct msghdr *m = &port->message[0].msg_hdr;
    struct told told;
    ssize_t bytes;

    prepare(port, 0, port->buffer[0], APN_PORT_HEAD_MAX);
    bytes = recvmsg(port->socket[0].fd, m, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC);
    atomic_fetch_add_explicit(&apn_udp_carrier_of(port)->receive_calls, 1, memory_order_relaxed);
    if (bytes < 0) {
        return receive_failed(port, errno);
    }
    read_control(m, &told);
    if ((size_t)bytes <= APN_PORT_HEAD_MAX || (told.segment && told.segment < (size_t)bytes)) {
        int n = fill(port);

        return n < 0 ? n : (int)give(port, out, max);
    }
    show(port, 0, &told, out);
    out->head = port->buffer[0];
    out->head_bytes = APN_PORT_HEAD_MAX;
    out->total_bytes = (uint32_t)bytes;
    port->peeked = true;
    return 1;
}

int apn_udp_receive(struct apn_port *base, struct apn_port_arrival *out, unsigned max)
{
    struct apn_udp_port *port = (struct apn_udp_port *)base;
    int n;

    if (port->peeked) { /* shown, and nobody wanted the rest */
        if (recv(port->socket[0].fd, port->buffer[0], 1, MSG_DONTWAIT) < 0 && (n = receive_failed(port, errno)) < 0) {
            return n; /* the error came first, the datagram is still there */
        }
        port->peeked = false;
    }
    n = port->given < port->filled ? (int)give(port, out, max) : 0;
    if (!n && port->empty) {
        port->empty = false;
    } else if (!n && port->peeks) {
        n = peek(port, out, max);
    } else if (!n) {
        n = fill(port);
        n = n < 0 ? n : (int)give(port, out, max);
    }
    if (n > 0) {
        atomic_fetch_add_explicit(&apn_udp_carrier_of(port)->received, (uint64_t)n, memory_order_relaxed);
    }
    return n;
}

int apn_udp_read(struct apn_port *base, const struct apn_port_arrival *arrival, const struct iovec *iov, unsigned n)
{
    struct apn_udp_port *port = (struct apn_udp_port *)base;
    struct iovec all[1 + 8] = {{port->buffer[1], arrival->head_bytes}};
    struct msghdr m = {.msg_iov = all, .msg_iovlen = 1 + n};

    if (!port->peeked || n > 8) {
        return -EINVAL;
    }
    memcpy(all + 1, iov, n * sizeof(*iov));
    port->peeked = false; /* an error takes the datagram's place: then it is shown again */
    return recvmsg(port->socket[0].fd, &m, MSG_DONTWAIT) == (ssize_t)arrival->total_bytes ? 0 : -EIO;
}
