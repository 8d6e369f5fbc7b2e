/* SPDX-License-Identifier: GPL-2.0-or-later */
/* path.c - bring a path up and down; see path.h
 *
 * A path's process holds an flock on PATH_RUN_DIR/NAME.lock as long as it lives, however it ends.
 * So whoever gets that lock knows that the owner is gone, and may remove what it left.
 */
#include "path.h"

#include "netns.h"
#include "tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const end_v4[PATH_ENDS] = {"10.86.0.1", "10.86.0.2"};
static const char *const end_v6[PATH_ENDS] = {"fd86::1", "fd86::2"};

int64_t path_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void path_file(const char *name, const char *suffix, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s/%s.%s", PATH_RUN_DIR, name, suffix);
}

static void netns_name(const char *name, int end, char out[PATH_NAME_MAX + 3])
{
    snprintf(out, PATH_NAME_MAX + 3, "%s-%c", name, 'a' + end);
}

/* Return: descriptor that holds the lock, -EBUSY when another process does, or -errno */
static int take_lock(const char *name)
{
    char file[128];
    struct stat by_fd, by_name;

    path_file(name, "lock", file, sizeof(file));
    if (mkdir(PATH_RUN_DIR, 0755) < 0 && errno != EEXIST) {
        return -errno;
    }
    for (int attempt = 0; attempt < 10; attempt++) {
        int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        int error;

        if (fd < 0) {
            return -errno;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            error = errno == EWOULDBLOCK ? EBUSY : errno;
            close(fd);
            return -error;
        }
        /* the former owner may have removed the file between our open and our lock */
        if (fstat(fd, &by_fd) == 0 && stat(file, &by_name) == 0 && by_fd.st_ino == by_name.st_ino) {
            return fd;
        }
        close(fd);
    }
    return -EBUSY;
}

long path_owner(const char *name)
{
    char file[128], pid[24] = "";
    ssize_t n;
    int fd;

    path_file(name, "lock", file, sizeof(file));
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        close(fd);
        return 0;
    }
    n = read(fd, pid, sizeof(pid) - 1);
    close(fd);
    return n > 0 ? strtol(pid, NULL, 10) : -EIO;
}

/* lock held; Return: 1 when there was something, 0, or -errno */
static int remove_leftovers(const char *name)
{
    char file[128], netns[PATH_NAME_MAX + 3];
    int found = 0, result;

    for (int end = 0; end < PATH_ENDS; end++) {
        netns_name(name, end, netns);
        snprintf(file, sizeof(file), "%s/%s", PATH_NETNS_DIR, netns);
        found |= access(file, F_OK) == 0;
        result = path_netns_remove(netns);
        if (result < 0) {
            return result;
        }
    }
    path_file(name, "sock", file, sizeof(file));
    found |= unlink(file) == 0;
    snprintf(file, sizeof(file), PATH_DPDK_RUN_DIR, name);
    rmdir(file);
    return found;
}

int path_remove_stale(const char *name)
{
    char file[128];
    int fd, result;

    path_file(name, "lock", file, sizeof(file));
    fd = take_lock(name);
    if (fd < 0) {
        return fd;
    }
    result = remove_leftovers(name);
    unlink(file);
    close(fd);
    return result;
}

static int set_sysctl(const char *file, const char *value)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    int result = 0;

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, value, strlen(value)) < 0) {
        result = -errno;
    }
    close(fd);
    return result;
}

/* in the namespace: both ends get the same, generous TCP settings */
static int tune(const struct path_options *options)
{
    char value[64];
    int result;

    snprintf(value, sizeof(value), "4096 262144 %llu", (unsigned long long)options->tcp_buffer_bytes);
    result = set_sysctl("/proc/sys/net/ipv4/tcp_rmem", value);
    if (result == 0) {
        result = set_sysctl("/proc/sys/net/ipv4/tcp_wmem", value);
    }
    if (result == 0 && options->congestion[0]) {
        result = set_sysctl("/proc/sys/net/ipv4/tcp_congestion_control", options->congestion);
    }
    return result;
}

/* A namespace may only default to a congestion control that the host allows to everybody. Allowing it
 * is left as it is afterwards: others may have come to use it. In the host's namespace on entry. */
static int allow_congestion(const char *name)
{
    static const char *const file = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
    char allowed[512], wanted[sizeof(allowed) + 32], needle[32];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) {
        return -errno;
    }
    n = read(fd, allowed, sizeof(allowed) - 1);
    close(fd);
    if (n < 0) {
        return -EIO;
    }
    allowed[n] = '\0';
    allowed[strcspn(allowed, "\n")] = '\0';
    snprintf(wanted, sizeof(wanted), " %s ", allowed);
    snprintf(needle, sizeof(needle), " %s ", name);
    if (strstr(wanted, needle)) {
        return 0;
    }
    snprintf(wanted, sizeof(wanted), "%s %s", allowed, name);
    return set_sysctl(file, wanted);
}

static int configure_end(struct path *path, int end)
{
    struct path_address address = {.v4_prefix = 24, .v6_prefix = 64};
    int home, result, back;

    inet_pton(AF_INET, end_v4[end], &address.v4);
    inet_pton(AF_INET6, end_v6[end], &address.v6);
    home = path_netns_self();
    if (home < 0) {
        return home;
    }
    result = path->options.congestion[0] ? allow_congestion(path->options.congestion) : 0;
    if (result == 0) {
        result = path_netns_enter(path->netns_fd[end]);
    }
    if (result == 0) {
        result = path_device_up(&address, path->options.mtu);
        if (result == 0) {
            result = tune(&path->options);
        }
        back = path_netns_enter(home);
        result = result < 0 ? result : back;
    }
    close(home);
    return result;
}

static int try_engine(struct path *path, const struct path_engine_ops *engine, char *text, size_t text_bytes)
{
    int result = engine->open(path, text, text_bytes);

    path->engine = result < 0 ? NULL : engine;
    return result;
}

static int open_engine(struct path *path, char *text, size_t text_bytes)
{
    enum path_engine wanted = path->options.engine;
    int result = -EOPNOTSUPP;

    text[0] = '\0';
    if (wanted == PATH_ENGINE_DPDK && path_engine_dpdk) {
        result = try_engine(path, path_engine_dpdk, text, text_bytes);
    } else if (wanted == PATH_ENGINE_AUTO || wanted == PATH_ENGINE_NETEM) {
        result = try_engine(path, &path_engine_netem, text, text_bytes);
    }
    if (wanted == PATH_ENGINE_TUN || (wanted == PATH_ENGINE_AUTO && result == -EOPNOTSUPP)) {
        result = try_engine(path, &path_engine_tun, text, text_bytes);
    }
    if (result < 0 && !text[0]) {
        snprintf(text, text_bytes, "path %s: cannot make the devices: %s", path->options.name,
                 result == -EOPNOTSUPP && wanted == PATH_ENGINE_NETEM ? "this kernel has no netem"
                                                                      : strerror(-result));
    }
    return result;
}

static int claim(struct path *path, char *text, size_t text_bytes)
{
    const char *name = path->options.name;
    char pid[24];
    int result;

    path->lock_fd = take_lock(name);
    if (path->lock_fd == -EBUSY) {
        snprintf(text, text_bytes, "path %s is already up (process %ld)", name, path_owner(name));
        return -EBUSY;
    }
    if (path->lock_fd < 0) {
        snprintf(text, text_bytes, "path %s: cannot lock %s/%s.lock: %s", name, PATH_RUN_DIR, name,
                 strerror(-path->lock_fd));
        return path->lock_fd;
    }
    result = remove_leftovers(name);
    if (result > 0) {
        fprintf(stderr, "apn-path: removed what an earlier path %s left behind\n", name);
    }
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(path->lock_fd, 0) < 0 || pwrite(path->lock_fd, pid, strlen(pid), 0) < 0) {
        result = -errno;
    }
    if (result < 0) {
        snprintf(text, text_bytes, "path %s: cannot prepare: %s", name, strerror(-result));
    }
    return result < 0 ? result : 0;
}

static int make_end(struct path *path, int end, char *text, size_t text_bytes)
{
    netns_name(path->options.name, end, path->netns_name[end]);
    path->netns_fd[end] = path_netns_create(path->netns_name[end]);
    if (path->netns_fd[end] < 0) {
        int result = path->netns_fd[end];

        snprintf(text, text_bytes, "namespace %s: %s%s", path->netns_name[end], strerror(-result),
                 result == -EPERM ? " (needs CAP_SYS_ADMIN, usually root)" : "");
        return result;
    }
    return 0;
}

static int make_ends(struct path *path, char *text, size_t text_bytes)
{
    int result = 0;

    for (int end = 0; result == 0 && end < PATH_ENDS; end++) {
        result = path->options.port[end][0] ? 0 : make_end(path, end, text, text_bytes);
    }
    return result;
}

static int configure_ends(struct path *path, char *text, size_t text_bytes)
{
    int result = 0;

    for (int end = 0; result == 0 && end < PATH_ENDS; end++) {
        if (path->options.port[end][0]) {
            continue;
        }
        result = configure_end(path, end);
        if (result < 0) {
            snprintf(text, text_bytes, "namespace %s: cannot configure %s or TCP%s%s: %s",
                     path->netns_name[end], PATH_DEVICE_NAME,
                     path->options.congestion[0] ? " with congestion control " : "",
                     path->options.congestion, strerror(-result));
        }
    }
    return result;
}

/* what the options say about cuts and losses; the time of a cut counts from here */
static int set_state(struct path *path, char *text, size_t text_bytes)
{
    int64_t now = path_now();
    int result = 0;

    for (int way = 0; result == 0 && path->options.cut.until_ns && way < PATH_WAYS; way++) {
        path->state[way].cut = (struct path_cut){now + path->options.cut.from_ns, now + path->options.cut.until_ns};
        result = path->engine->set(path, (enum path_way)way);
        if (result < 0) {
            snprintf(text, text_bytes, "path %s: cannot plan the cut: %s", path->options.name, strerror(-result));
        }
    }
    return result;
}

int path_up(struct path *path, char *text, size_t text_bytes)
{
    int result;

    path->lock_fd = -1;
    path->netns_fd[0] = path->netns_fd[1] = path->tun_fd[0] = path->tun_fd[1] = -1;
    for (int way = 0; way < PATH_WAYS; way++) {
        path->state[way].loss = path->options.limits[way].loss;
    }
    result = claim(path, text, text_bytes);
    if (result == 0) {
        result = make_ends(path, text, text_bytes);
    }
    if (result == 0) {
        result = open_engine(path, text, text_bytes);
    }
    if (result == 0) {
        result = configure_ends(path, text, text_bytes);
    }
    if (result == 0) {
        result = set_state(path, text, text_bytes);
    }
    if (result < 0) {
        path_down(path);
    }
    return result;
}

void path_down(struct path *path)
{
    char file[128];

    if (path->engine) {
        path->engine->close(path);
        path->engine = NULL;
    }
    for (int end = 0; end < PATH_ENDS; end++) {
        if (path->netns_fd[end] >= 0) {
            close(path->netns_fd[end]);
            path->netns_fd[end] = -1;
        }
    }
    if (path->lock_fd >= 0) {
        remove_leftovers(path->options.name);
        path_file(path->options.name, "lock", file, sizeof(file));
        unlink(file);
        close(path->lock_fd);
        path->lock_fd = -1;
    }
}
