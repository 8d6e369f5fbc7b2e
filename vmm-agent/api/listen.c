/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/private.h"

#define BACKLOG    64
#define SYSTEM_RUN "/run/vmm-agent"

int listen_tcp(const struct agent_api_config *config, unsigned *port, struct agent_error *error)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof(bound);
    int on = 1;
    int fd = socket(config->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return agent_error_set(error, errno, "api: no socket: %s", strerror(errno));
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (config->address.ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, (const struct sockaddr *)&config->address, config->address_size) < 0 ||
        listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&bound, &size) < 0) {
        int code = errno;
        close(fd);
        return agent_error_set(
            error, code, "api: cannot listen on %s: %s%s", config->listen, strerror(code),
            code == EADDRINUSE ? " (another agent? 'api: listen:' chooses)" : "");
    }
    *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    return fd;
}

/* Two agents must not fight for one path: whoever holds the lock beside it owns it. */
static int lock_path(const char *path, struct agent_error *error)
{
    char name[AGENT_API_PATH_MAX + 8];

    snprintf(name, sizeof(name), "%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return agent_error_set(error, errno, "api: %s cannot be made: %s", name, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int code = errno;
        close(fd);
        return code == EWOULDBLOCK ? agent_error_set(error, EADDRINUSE,
                                                     "api: another agent is listening on %s", path)
                                   : agent_error_set(error, code, "api: %s cannot be locked: %s",
                                                     name, strerror(code));
    }
    return fd;
}

/* Bind with a mode that is right from the first moment: umask, not a later chmod. */
static int bind_private(const char *path, struct agent_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return agent_error_set(error, errno, "api: no socket: %s", strerror(errno));
    }
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    mode_t before = umask(0177);
    int status = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(before);
    if (status == 0 && listen(fd, BACKLOG) < 0) {
        status = -errno;
    }
    if (status < 0) {
        close(fd);
        return agent_error_set(error, status, "api: cannot listen on %s: %s", path,
                               strerror(-status));
    }
    return fd;
}

/* The system's directory is ours to make, if we may; a configured one is its owner's. */
static void make_place(const char *path)
{
    if (strncmp(path, SYSTEM_RUN "/", strlen(SYSTEM_RUN "/")) == 0) {
        mkdir(SYSTEM_RUN, 0700);
    }
}

int listen_control(const char *path, int *lock_fd, struct agent_error *error)
{
    struct stat found;

    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        return agent_error_set(error, ENAMETOOLONG, "api: socket %s is longer than %zu bytes", path,
                               sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    }
    make_place(path);
    int lock = lock_path(path, error);
    if (lock < 0) {
        return lock;
    }
    if (lstat(path, &found) == 0) { /* left by an agent that was killed: we hold the lock */
        if (!S_ISSOCK(found.st_mode)) {
            close(lock);
            return agent_error_set(error, EEXIST, "api: socket %s is there and is no socket", path);
        }
        unlink(path);
    }
    int fd = bind_private(path, error);
    if (fd < 0) {
        close(lock);
        return fd;
    }
    *lock_fd = lock;
    return fd;
}
