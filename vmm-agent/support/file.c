/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP 65536

static int fail(struct agent_error *error, int code, const char *path, const char *doing)
{
    return agent_error_at(error, code, (struct agent_place){path, 0, 0}, "cannot %s: %s", doing,
                          strerror(code));
}

static int read_all(int fd, const char *path, size_t max_bytes, char **out, size_t *size,
                    struct agent_error *error)
{
    char *bytes = NULL;
    size_t used = 0;
    size_t room = 0;

    while (true) {
        if (room - used < 2) {
            room += room < READ_STEP ? READ_STEP : room;
            char *grown = realloc(bytes, room);
            if (grown == NULL) {
                free(bytes);
                return fail(error, ENOMEM, path, "read");
            }
            bytes = grown;
        }
        ssize_t got = read(fd, bytes + used, room - used - 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || used + (size_t)(got > 0 ? got : 0) > max_bytes) {
            int code = got < 0 ? errno : EFBIG;
            free(bytes);
            return got < 0 ? fail(error, code, path, "read")
                           : agent_error_at(error, code, (struct agent_place){path, 0, 0},
                                            "larger than the limit of %zu bytes", max_bytes);
        }
        used += (size_t)got;
        if (got == 0) {
            break;
        }
    }
    bytes[used] = '\0';
    *out = bytes;
    *size = used;
    return 0;
}

int agent_file_read(const char *path, size_t max_bytes, char **out, size_t *size,
                    struct agent_error *error)
{
    if (strcmp(path, "-") == 0) {
        return read_all(STDIN_FILENO, "standard input", max_bytes, out, size, error);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (fd < 0) {
        return fail(error, errno, path, "open");
    }
    int result = fstat(fd, &status) < 0    ? fail(error, errno, path, "look at")
                 : S_ISDIR(status.st_mode) ? fail(error, EISDIR, path, "read")
                                           : 0;
    if (result == 0) {
        result = read_all(fd, path, max_bytes, out, size, error);
    }
    close(fd);
    return result;
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno != EINTR) {
            return -errno;
        }
        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        }
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static void sync_directory(const char *path)
{
    char copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* best effort: some file systems cannot */
        close(fd);
    }
}

int agent_file_write(const char *path, const char *bytes, size_t size, struct agent_error *error)
{
    char beside[PATH_MAX];

    if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside)) {
        return fail(error, ENAMETOOLONG, path, "write");
    }
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) {
        return fail(error, errno, path, "write");
    }
    int result = write_all(fd, bytes, size);
    if (result == 0 && fchmod(fd, 0644) < 0) {
        result = -errno;
    }
    close(fd);
    if (result == 0 && rename(beside, path) < 0) {
        result = -errno;
    }
    if (result < 0) {
        unlink(beside);
        return fail(error, -result, path, "write");
    }
    sync_directory(path);
    return 0;
}

uint64_t agent_file_digest(const char *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t at = 0; at < size; at++) {
        hash = (hash ^ (unsigned char)bytes[at]) * UINT64_C(0x100000001b3);
    }
    return hash;
}
