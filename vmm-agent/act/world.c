/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world.c - processes of this machine: started in sessions of their own, found by their marks
 * Owner, thread, time, units: world.h.
 *
 * What is started outlives the agent. Whoever starts a machine therefore leaves two marks in its
 * environment, which /proc shows to the same user and which no restart of the agent loses. */
#include "act/world.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/file.h"

#define ENVIRON_MAX  (256u << 10)
#define CHILDREN_MAX 4096

extern char **environ;

/* A child that is waited for, so that it leaves no zombie; chained for agent_world_forget(). */
struct child {
    struct agent_watch *watch;
    struct child *next;
    pid_t pid;
    int pidfd;
    void (*ended)(void *owner, int status);
    void *owner;
};

static struct child *children; /* the process has one table of children, so has the kernel */

void agent_world_forget(void *owner)
{
    for (struct child *child = children; child != NULL; child = child->next) {
        if (child->owner == owner) {
            child->ended = NULL;
        }
    }
}

static void on_exit_of(void *opaque, uint32_t events)
{
    struct child *child = opaque;
    int status = 0;

    (void)events;
    if (waitpid(child->pid, &status, WNOHANG) == 0) {
        return;
    }
    agent_loop_unwatch(child->watch);
    close(child->pidfd);
    for (struct child **at = &children; *at != NULL; at = &(*at)->next) {
        if (*at == child) {
            *at = child->next;
            break;
        }
    }
    if (child->ended != NULL) {
        child->ended(child->owner, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    }
    free(child);
}

struct marks {
    char vm[32 + AGENT_INVENTORY_NAME_MAX];
    char epoch[48];
    char directory[32 + AGENT_SOCKET_PATH_MAX];
};

/* The agent's environment with the marks; NULL-ended; the array and @marks are the caller's. */
static char **make_environment(const struct agent_mark *mark, struct marks *marks)
{
    size_t count = 0;
    size_t used = 0;

    while (environ[count] != NULL) {
        count++;
    }
    char **out = calloc(count + 4, sizeof(*out));
    for (size_t at = 0; out != NULL && at < count; at++) {
        if (strncmp(environ[at], "VMM_AGENT_", 10) != 0) {
            out[used++] = environ[at];
        }
    }
    if (out != NULL && mark->epoch > 0) {
        snprintf(marks->vm, sizeof(marks->vm), "VMM_AGENT_VM=%s", mark->vm);
        snprintf(marks->epoch, sizeof(marks->epoch), "VMM_AGENT_EPOCH=%lld", mark->epoch);
        snprintf(marks->directory, sizeof(marks->directory), "VMM_AGENT_DIRECTORY=%s",
                 mark->directory);
        out[used++] = marks->vm;
        out[used++] = marks->epoch;
        out[used++] = marks->directory;
    }
    return out;
}

static int spawn_it(const struct agent_spawn *spawn, char **environment, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, spawn->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int code = posix_spawnp(pid, spawn->words->words[0], &actions, &attributes,
                            (char *const *)spawn->words->words, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -code;
}

static int watch_child(struct agent_loop *loop, struct child *child)
{
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    if (child->pidfd < 0) {
        return -errno;
    }
    int status = agent_loop_watch(loop, child->pidfd, EPOLLIN, on_exit_of, child, &child->watch);
    if (status < 0) {
        close(child->pidfd);
        return status;
    }
    child->next = children;
    children = child;
    return 0;
}

static int start(void *opaque, struct agent_loop *loop, const struct agent_spawn *spawn,
                 void (*ended)(void *owner, int status), void *owner, struct agent_error *error)
{
    struct marks marks;
    struct child *child = calloc(1, sizeof(*child));
    char **environment = make_environment(&spawn->mark, &marks);
    int status = child == NULL || environment == NULL ? -ENOMEM : 0;

    (void)opaque;
    if (status == 0) {
        *child = (struct child){.ended = ended, .owner = owner};
        status = spawn_it(spawn, environment, &child->pid);
    }
    free(environment);
    if (status < 0) {
        free(child);
        return agent_error_set(error, status, "cannot start %s (log %s): %s",
                               spawn->words->words[0], spawn->log, strerror(-status));
    }
    pid_t pid = child->pid;
    if (watch_child(loop, child) < 0) {
        free(child); /* it runs; nobody hears of its end, which its socket or a time limit shows */
    }
    return pid;
}

/* Value of NAME= in a block of NUL-ended words, or NULL. */
static const char *value_in(const char *block, size_t size, const char *name)
{
    size_t length = strlen(name);

    for (size_t at = 0; at + length < size; at += strlen(block + at) + 1) {
        if (strncmp(block + at, name, length) == 0) {
            return block + at + length;
        }
    }
    return NULL;
}

/* Reads the marks of @pid into @mark, whose texts are in *@block (caller: free). Return: has it
 * any? Zombies have none. */
static bool marked(const char *pid, struct agent_mark *mark, char **block)
{
    char path[64];
    size_t size = 0;

    snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
    if (agent_file_read(path, ENVIRON_MAX, block, &size, NULL) < 0) {
        *block = NULL;
        return false;
    }
    const char *epoch = value_in(*block, size, "VMM_AGENT_EPOCH=");
    mark->vm = value_in(*block, size, "VMM_AGENT_VM=");
    mark->directory = value_in(*block, size, "VMM_AGENT_DIRECTORY=");
    mark->epoch = epoch != NULL ? strtoll(epoch, NULL, 10) : 0;
    return mark->vm != NULL && mark->directory != NULL && mark->epoch > 0;
}

static int scan(void *opaque, void (*fn)(void *owner, const struct agent_mark *mark, pid_t pid),
                void *owner)
{
    struct agent_mark mark;
    char *block = NULL;
    DIR *proc = opendir("/proc");

    (void)opaque;
    if (proc == NULL) {
        return -errno;
    }
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        if (isdigit((unsigned char)entry->d_name[0])) {
            if (marked(entry->d_name, &mark, &block)) {
                fn(owner, &mark, (pid_t)strtol(entry->d_name, NULL, 10));
            }
            free(block);
            block = NULL;
        }
    }
    closedir(proc);
    return 0;
}

struct finding {
    const struct agent_mark *wanted;
    pid_t *pids;
    int found;
};

static void found_one(void *owner, const struct agent_mark *mark, pid_t pid)
{
    struct finding *finding = owner;
    const struct agent_mark *wanted = finding->wanted;

    if (mark->epoch == wanted->epoch && strcmp(mark->vm, wanted->vm) == 0 &&
        strcmp(mark->directory, wanted->directory) == 0 && finding->found < AGENT_FOUND_MAX) {
        finding->pids[finding->found++] = pid;
    }
}

static int find(void *opaque, const struct agent_mark *mark, pid_t *pids)
{
    struct finding finding = {mark, pids, 0};
    int status = scan(opaque, found_one, &finding);

    return status < 0 ? status : finding.found;
}

static int kill_it(void *opaque, pid_t pid)
{
    (void)opaque;
    if (pid <= 1 || pid == getpid()) {
        return -EPERM;
    }
    return kill(pid, SIGKILL) < 0 ? -errno : 0;
}

/* State letter and the words after the name in /proc/PID/stat. Return: 0 or -errno. */
static int read_stat(pid_t pid, char *state, unsigned long long *ticks)
{
    char path[64];
    char *text = NULL;
    size_t size = 0;
    unsigned long long user = 0;
    unsigned long long system = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int status = agent_file_read(path, 4096, &text, &size, NULL);
    if (status < 0) {
        return status;
    }
    const char *rest = strrchr(text, ')');
    int got = rest == NULL
                  ? 0
                  : sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", state,
                           &user, &system);
    free(text);
    *ticks = user + system;
    return got == 3 ? 0 : -EBADMSG;
}

static bool alive(void *opaque, pid_t pid)
{
    unsigned long long ticks;
    char state = 'X';

    (void)opaque;
    if (pid <= 0) {
        return false;
    }
    if (kill(pid, 0) < 0 && errno == ESRCH) {
        return false;
    }
    return read_stat(pid, &state, &ticks) < 0 || (state != 'Z' && state != 'X');
}

static double cpu_s(void *opaque, pid_t pid)
{
    unsigned long long ticks = 0;
    char state;

    (void)opaque;
    return read_stat(pid, &state, &ticks) < 0 ? -1.0 : (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double memory_mib(void *opaque)
{
    char *text = NULL;
    size_t size = 0;
    double kib = -1;

    (void)opaque;
    if (agent_file_read("/proc/meminfo", 65536, &text, &size, NULL) < 0) {
        return -1;
    }
    const char *line = strstr(text, "MemAvailable:");
    if (line == NULL || sscanf(line, "MemAvailable: %lf", &kib) != 1) {
        kib = -1;
    }
    free(text);
    return kib < 0 ? -1 : kib / 1024;
}

const struct agent_world agent_world_real = {
    .start = start,
    .find = find,
    .scan = scan,
    .kill = kill_it,
    .alive = alive,
    .cpu_s = cpu_s,
    .memory_mib = memory_mib,
};
