/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netns.c - see netns.h */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void name_path(const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", PATH_NETNS_DIR, name);
}

/* Names are bind mounts. The directory must be a shared mount, or removing a name here would leave it
 * alive in every mount namespace made since. Same steps as iproute2, so both can be mixed. */
static int prepare_directory(void)
{
    if (mkdir(PATH_NETNS_DIR, 0755) < 0 && errno != EEXIST) {
        return -errno;
    }
    if (mount("", PATH_NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return -errno;
    }
    if (mount(PATH_NETNS_DIR, PATH_NETNS_DIR, "none", MS_BIND | MS_REC, NULL) < 0 ||
        mount("", PATH_NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) < 0) {
        return -errno;
    }
    return 0;
}

int path_netns_self(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int path_netns_open(const char *name)
{
    char path[PATH_MAX];
    int fd;

    name_path(name, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int path_netns_enter(int fd)
{
    return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* in the new namespace on entry: bind it to its name */
static int bind_name(const char *path)
{
    if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) < 0) {
        return -errno;
    }
    return path_netns_self();
}

int path_netns_create(const char *name)
{
    char path[PATH_MAX];
    int home, file, result, back;

    result = prepare_directory();
    if (result < 0) {
        return result;
    }
    home = path_netns_self();
    if (home < 0) {
        return home;
    }
    name_path(name, path);
    file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (file < 0) {
        result = -errno;
        goto out;
    }
    close(file);
    result = unshare(CLONE_NEWNET) < 0 ? -errno : bind_name(path);
    back = path_netns_enter(home);
    if (result >= 0 && back < 0) {
        close(result);
        result = back;
    }
    if (result < 0) {
        path_netns_remove(name);
    }
out:
    close(home);
    return result;
}

int path_netns_remove(const char *name)
{
    char path[PATH_MAX];

    name_path(name, path);
    if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT) {
        return -errno;
    }
    if (unlink(path) < 0 && errno != ENOENT) {
        return -errno;
    }
    return 0;
}
