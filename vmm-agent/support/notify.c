/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define US_MAX (INT64_C(24) * 3600 * 1000000)

int agent_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (path == NULL || (path[0] != '/' && path[0] != '@')) {
        return 0;
    }
    size_t length = strlen(path);
    if (length >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* an abstract name */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    int status = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0
                     ? -errno
                     : 1;
    close(fd);
    return status;
}

int64_t agent_notify_watchdog_ns(void)
{
    const char *wanted = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");

    if (wanted == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())) {
        return 0;
    }
    long long us = strtoll(wanted, NULL, 10);
    return us > 0 && us < US_MAX ? (int64_t)us * 1000 : 0;
}
