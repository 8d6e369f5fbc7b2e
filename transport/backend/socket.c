/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* socket.c - see socket.h */
#include "backend/socket.h"

#include "backend/congestion.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int check_port(const char *port, struct apn_error *err)
{
    char *end = NULL;
    unsigned long value;

    if (!port || !*port || strspn(port, "0123456789") != strlen(port) || strlen(port) > 5) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "port \"%s\": must be a number 0..65535", port ? port : "");
    }
    value = strtoul(port, &end, 10);
    if (value > 65535) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "port %lu: must be 65535 at most",
                             value);
    }
    return 0;
}

int apn_tcp_resolve(const char *host, const char *port, bool passive, struct addrinfo **out,
                      struct apn_error *err)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int ret = check_port(port, err);

    if (ret) {
        return ret;
    }
    if (host && !*host) {
        host = NULL;
    }
    if (!host && !passive) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "host: empty, must be a name or an address");
    }
    hints.ai_flags |= passive ? AI_PASSIVE : 0;
    ret = getaddrinfo(host, port, &hints, out);
    if (ret == 0) {
        return 0;
    }
    return apn_error_set(err,
                         ret == EAI_MEMORY   ? -ENOMEM
                         : ret == EAI_AGAIN  ? -EAGAIN
                         : ret == EAI_SYSTEM ? -errno
                                             : -ENOENT,
                         APN_SCOPE_SESSION, "host \"%s\": %s", host ? host : "(any)",
                         gai_strerror(ret));
}

void apn_tcp_address_text(const struct sockaddr *address, socklen_t bytes,
                            char text[APN_TCP_ADDRESS_TEXT])
{
    char host[64], port[8];

    if (getnameinfo(address, bytes, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV)) {
        snprintf(text, APN_TCP_ADDRESS_TEXT, "(unknown address)");
        return;
    }
    snprintf(text, APN_TCP_ADDRESS_TEXT, "%s port %s", host, port);
}

static uint64_t read_sysctl(const char *path, unsigned field)
{
    FILE *file = fopen(path, "re");
    uint64_t value[3] = {0};
    int n;

    if (!file) {
        return 0;
    }
    n = fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &value[0], &value[1], &value[2]);
    fclose(file);
    return n > (int)field ? value[field] : 0;
}

/* One direction. The kernel doubles what is asked for (bookkeeping), so bytes in flight are about
 * half of what it says. Without the right to exceed the ceiling, leave the kernel's own tuning on
 * when that goes higher. */
static uint64_t set_buffer(int fd, int option, uint64_t bytes)
{
    const bool send = option == SO_SNDBUF;
    int wish = (int)bytes, granted = 0;
    socklen_t length = sizeof(granted);
    uint64_t automatic;

    if (setsockopt(fd, SOL_SOCKET, send ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, &wish, sizeof(wish)) ==
        0) {
        return bytes;
    }
    automatic =
        read_sysctl(send ? "/proc/sys/net/ipv4/tcp_wmem" : "/proc/sys/net/ipv4/tcp_rmem", 2) / 2;
    if (automatic >= bytes ||
        automatic >=
            read_sysctl(send ? "/proc/sys/net/core/wmem_max" : "/proc/sys/net/core/rmem_max", 0)) {
        return automatic;
    }
    setsockopt(fd, SOL_SOCKET, option, &wish, sizeof(wish));
    if (getsockopt(fd, SOL_SOCKET, option, &granted, &length)) {
        return automatic;
    }
    return (uint64_t)granted / 2;
}

uint64_t apn_tcp_buffers(int fd, uint64_t window_bytes, char *note, size_t note_bytes)
{
    uint64_t want = window_bytes ? window_bytes : APN_TCP_WINDOW_DEFAULT;
    uint64_t send, receive, least;

    want = want < APN_TCP_WINDOW_MAX ? want : APN_TCP_WINDOW_MAX;
    want = want > (1u << 20) ? want : 1u << 20;
    send = set_buffer(fd, SO_SNDBUF, want);
    receive = set_buffer(fd, SO_RCVBUF, want);
    least = send < receive ? send : receive;
    if (least < want) {
        snprintf(note, note_bytes,
                 "socket buffers: wished %" PRIu64 " KiB, granted %" PRIu64 " send and %" PRIu64
                 " receive; sysctl net.core.wmem_max and rmem_max=%" PRIu64 " would allow it",
                 want >> 10, send >> 10, receive >> 10, want);
    }
    return least < want ? least : want;
}

void apn_tcp_tune(int fd, uint32_t silence_ms)
{
    const int on = 1, idle_s = 5, interval_s = 1, probes = 5;
    const unsigned int silence = silence_ms;

    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, APN_TCP_CONGESTION,
               sizeof(APN_TCP_CONGESTION) - 1); /* else the system's choice stays */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    if (silence) {
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence));
    }
}

void apn_tcp_reset(int fd)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr unspec = {.sa_family = AF_UNSPEC};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    connect(fd, &unspec,
            sizeof(unspec)); /* TCP: abort now, even though requests in the ring hold the file */
}
