/* SPDX-License-Identifier: GPL-2.0-or-later */
/* meter.c - where the frequency comes from: datagrams on a unix socket, or a file that is rewritten
 * Owner, thread, time, units: frequency.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dr/frequency.h"

#define BURST_MAX 64 /* datagrams taken at once; the newest counts */

/* A socket file that a dead agent left behind is removed; anything else in the way is not. */
static int clear_path(const char *path, struct agent_error *error)
{
    struct stat found;

    if (lstat(path, &found) < 0) {
        return 0;
    }
    if (!S_ISSOCK(found.st_mode)) {
        return agent_error_at(error, EEXIST, (struct agent_place){path, 0, 0},
                              "is there and is no socket");
    }
    return unlink(path) < 0 ? -errno : 0;
}

static int bind_socket(struct agent_dr_meter *meter, struct agent_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct agent_place place = {meter->path, 0, 0};

    if (strlen(meter->path) >= sizeof(address.sun_path)) {
        return agent_error_at(error, ENAMETOOLONG, place, "a socket's path has at most %zu bytes",
                              sizeof(address.sun_path) - 1);
    }
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", meter->path);
    int status = clear_path(meter->path, error);
    if (status < 0) {
        return status;
    }
    meter->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (meter->fd < 0 || bind(meter->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(meter->path, 0660) < 0) {
        status = agent_error_at(error, errno, place, "cannot listen: %s", strerror(errno));
        if (meter->fd >= 0) {
            close(meter->fd);
        }
        meter->fd = -1;
    }
    return status;
}

int agent_dr_meter_open(struct agent_dr_meter *meter, const char *where, struct agent_error *error)
{
    *meter = (struct agent_dr_meter){.path = where, .fd = -1};
    if (strncmp(where, "unix:", 5) == 0) {
        meter->path = where + 5;
        meter->is_socket = true;
        return bind_socket(meter, error);
    }
    return 0;
}

static int read_socket(struct agent_dr_meter *meter, char *text, size_t size)
{
    int found = 0;

    for (int turn = 0; turn < BURST_MAX; turn++) {
        char next[AGENT_DR_METER_TEXT_MAX];
        ssize_t length = recv(meter->fd, next, sizeof(next) - 1, MSG_DONTWAIT);
        if (length < 0) {
            return found > 0 || errno == EAGAIN || errno == EINTR ? found : -errno;
        }
        next[length] = '\0';
        snprintf(text, size, "%s", next);
        found = 1;
    }
    return found;
}

/* The file counts once per time of change; an old one tells nothing about now. */
static int read_file(struct agent_dr_meter *meter, char *text, size_t size)
{
    struct stat found;
    int fd = open(meter->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int status = 0;

    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (fstat(fd, &found) < 0 || !S_ISREG(found.st_mode)) {
        status = -EINVAL;
    } else {
        int64_t stamp_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec;
        ssize_t length = stamp_ns == meter->seen_ns ? 0 : read(fd, text, size - 1);
        status = length < 0 ? -errno : length > 0 ? 1 : 0;
        text[length > 0 ? length : 0] = '\0';
        meter->seen_ns = length > 0 ? stamp_ns : meter->seen_ns;
    }
    close(fd);
    return status;
}

int agent_dr_meter_read(struct agent_dr_meter *meter, double nominal_hz, double *hz,
                        struct agent_error *error)
{
    char text[AGENT_DR_METER_TEXT_MAX] = "";
    int status = meter->is_socket ? read_socket(meter, text, sizeof(text))
                                  : read_file(meter, text, sizeof(text));

    if (status < 0) {
        return agent_error_at(error, -status, (struct agent_place){meter->path, 0, 0},
                              "cannot read the frequency: %s", strerror(-status));
    }
    if (status == 0) {
        return 0;
    }
    status = agent_dr_frequency_parse(text, nominal_hz, hz, error);
    return status < 0 ? status : 1;
}

void agent_dr_meter_close(struct agent_dr_meter *meter)
{
    if (meter->is_socket && meter->fd >= 0) {
        close(meter->fd);
        unlink(meter->path);
    }
    meter->fd = -1;
    meter->is_socket = false;
}
