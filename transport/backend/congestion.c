/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* congestion.c - see congestion.h */
#include "backend/congestion.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool held_back_by_loss(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_total_retrans && info.tcpi_notsent_bytes;
}

bool apn_tcp_congestion_sent(struct apn_tcp_congestion *c, int fd, uint64_t bytes, char *note, size_t note_bytes)
{
    static const char wanted[] = APN_TCP_CONGESTION_LOSSY, otherwise[] = APN_TCP_CONGESTION_LOSSY_ELSE;

    c->unlooked_bytes += bytes;
    if (c->settled || c->unlooked_bytes < APN_TCP_LOOK_BYTES) {
        return false;
    }
    c->unlooked_bytes = 0;
    if (!held_back_by_loss(fd)) {
        return false;
    }
    c->settled = true;
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, wanted, sizeof(wanted) - 1) == 0) {
        snprintf(note, note_bytes, "the path loses segments, so TCP's congestion control was changed to %s", wanted);
    } else {
        const char *hint = errno == ENOENT ? " (modprobe tcp_bbr)" : " (sysctl net.ipv4.tcp_allowed_congestion_control)";
        int why = errno;

        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, otherwise, sizeof(otherwise) - 1); /* else what it has stays */
        snprintf(note, note_bytes,
                 "the path loses segments, and TCP's congestion control %s, which would carry more, is not to be had: %s%s", wanted,
                 strerror(why), hint);
    }
    return true;
}
