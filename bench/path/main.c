/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - the command apn-path: one long path between two network namespaces of this machine
 * Owner: the process.  Thread: main.
 * Time:  none.         Units:  see options.h. */
#include "control.h"
#include "netns.h"
#include "options.h"
#include "path.h"
#include "probe.h"
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DOWN_WAIT_MS 5000
#define EXIT_USAGE   2
#define DPDK_PROGRAM "apn-path-dpdk"

static int fail(const char *format, const char *a, const char *b)
{
    fprintf(stderr, "apn-path: ");
    fprintf(stderr, format, a, b);
    fprintf(stderr, "\n");
    return EXIT_FAILURE;
}

static int usage_error(const char *text)
{
    fprintf(stderr, "apn-path: %s\napn-path: `apn-path --help` shows the usage\n", text);
    return EXIT_USAGE;
}

/* DPDK is linked into a program of its own, beside this one, which takes the same words and becomes this
 * process; @argv: of `up`, with the name of this program just in front */
static int run_program_with_dpdk(char **argv)
{
    char file[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", file, sizeof(file) - sizeof(DPDK_PROGRAM) - 1);
    char *slash;

    if (n < 0) {
        return fail("cannot find my own file: %s%s", strerror(errno), "");
    }
    file[n] = '\0';
    slash = strrchr(file, '/');
    strcpy(slash ? slash + 1 : file, DPDK_PROGRAM);
    execv(file, argv - 1);
    return errno == ENOENT ? fail("engine dpdk: there is no %s: this tree was built without DPDK (Debian: libdpdk-dev)%s",
                                  file, "")
                           : fail("engine dpdk: cannot run %s: %s", file, strerror(errno));
}

static int command_up(int argc, char **argv)
{
    static struct path path; /* large, and one per process */
    static char stats[PATH_ANSWER_MAX];
    char text[512];
    sigset_t signals;
    int result;

    if (path_options_parse(&path.options, argc, argv, text, sizeof(text)) < 0) {
        return usage_error(text);
    }
    if (path.options.engine == PATH_ENGINE_DPDK && !path_engine_dpdk) {
        return run_program_with_dpdk(argv);
    }
    /* before any thread exists, so that all of them leave these signals to the control loop */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (path_up(&path, text, sizeof(text)) < 0) {
        return fail("%s%s", text, "");
    }
    result = path_control_serve(&path);
    path_control_stats(&path, false, stats, sizeof(stats));
    path_down(&path);
    path_options_done(&path.options);
    puts(stats);
    return result < 0 ? fail("%s: control socket: %s", path.options.name, strerror(-result)) : 0;
}

static int command_down(const char *name)
{
    int result = path_control_request(name, "down", true);

    if (result < 0 && result != -ENOENT) {
        return fail("down %s: %s", name, strerror(-result));
    }
    for (int waited = 0; waited < DOWN_WAIT_MS; waited += 10) {
        struct timespec pause = {.tv_nsec = 10000000};
        int removed = path_remove_stale(name);

        if (removed >= 0) {
            if (result < 0 && removed == 0) {
                fprintf(stderr, "apn-path: path %s was not up\n", name);
            }
            return 0;
        }
        if (removed != -EBUSY) {
            return fail("down %s: %s", name, strerror(-removed));
        }
        if (result == -ENOENT) {
            result = path_control_request(name, "down", true); /* it was only coming up */
        }
        nanosleep(&pause, NULL);
    }
    return fail("down %s: its process still runs after %s s", name, "5");
}

static int command_exec(int argc, char **argv)
{
    const char *name;
    int first = 2, fd;

    if (argc < 3) {
        return usage_error("exec: need NAME-a or NAME-b and a command");
    }
    name = argv[1];
    if (strcmp(argv[2], "--") == 0) {
        first = 3;
    }
    if (first >= argc) {
        return usage_error("exec: need a command after --");
    }
    if (strchr(name, '/') || strlen(name) > PATH_NAME_MAX + 2) {
        return usage_error("exec: the first word must be NAME-a or NAME-b");
    }
    fd = path_netns_open(name);
    if (fd < 0) {
        return fail("exec: namespace %s: %s", name, strerror(-fd));
    }
    if (path_netns_enter(fd) < 0) {
        return fail("exec: cannot enter namespace %s: %s", name, strerror(errno));
    }
    execvp(argv[first], argv + first);
    fail("exec: %s: %s", argv[first], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}

static int command_ctl(int argc, char **argv)
{
    char request[120] = "";
    size_t used = 0;
    int result;

    if (argc < 3) {
        return usage_error("ctl: need NAME and a request: stats, reset, histogram, cut, restore, set-loss, down");
    }
    for (int i = 2; i < argc; i++) {
        if (used + strlen(argv[i]) + 2 > sizeof(request)) {
            return usage_error("ctl: the request is longer than 118 characters");
        }
        used += (size_t)snprintf(request + used, sizeof(request) - used, "%s%s", i > 2 ? " " : "",
                                 argv[i]);
    }
    result = path_control_request(argv[1], request, false);
    if (result == -EINVAL) {
        return EXIT_FAILURE; /* the refusal is on standard error already */
    }
    return result < 0 ? fail("ctl %s: %s", argv[1],
                             result == -ENOENT ? "no such path is up" : strerror(-result))
                      : 0;
}

static int command_probe(int argc, char **argv)
{
    unsigned long count = 200;
    char *end = NULL;
    int result;

    if (argc > 2) {
        count = strtoul(argv[2], &end, 10);
    }
    if ((end && *end) || count == 0 || count > PATH_PROBE_COUNT_MAX || argc > 3) {
        return usage_error("probe: COUNT must be 1..100000");
    }
    result = path_probe(argv[1], (unsigned)count);
    return result < 0 ? fail("probe %s: %s", argv[1],
                             result == -ENOENT ? "no such path is up"
                             : result == -EIO  ? "nothing arrived"
                                               : strerror(-result))
                      : 0;
}

static int command_watch(int argc, char **argv)
{
    unsigned long count = 0;
    char *end = NULL;
    int result;

    if (argc > 2) {
        count = strtoul(argv[2], &end, 10);
    }
    if ((end && (*end || count == 0)) || count > PATH_WATCH_COUNT_MAX || argc > 3) {
        return usage_error("watch: COUNT must be 1..1000000");
    }
    result = path_watch(argv[1], (unsigned)count);
    return result < 0 ? fail("watch %s: %s", argv[1], result == -ENOENT ? "no such path is up" : strerror(-result))
                      : 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0) {
        fputs(path_options_usage(), stdout);
        return 0;
    }
    if (strcmp(verb, "--version") == 0) {
        puts("apn-path " APN_VERSION);
        return 0;
    }
    if (strcmp(verb, "up") == 0) {
        return command_up(argc - 1, argv + 1);
    }
    if (strcmp(verb, "exec") == 0) {
        return command_exec(argc - 1, argv + 1);
    }
    if (strcmp(verb, "down") != 0 && strcmp(verb, "ctl") != 0 && strcmp(verb, "probe") != 0 &&
        strcmp(verb, "watch") != 0) {
        return usage_error(argc > 1 ? "unknown command" : "no command given");
    }
    if (argc < 3 || !path_name_valid(argv[2])) {
        return usage_error("NAME must be 1..24 of a-z, 0-9 and '-', beginning with a letter");
    }
    if (strcmp(verb, "down") == 0) {
        return argc == 3 ? command_down(argv[2]) : usage_error("down: one NAME only");
    }
    if (strcmp(verb, "watch") == 0) {
        return command_watch(argc - 1, argv + 1);
    }
    return strcmp(verb, "ctl") == 0 ? command_ctl(argc - 1, argv + 1) : command_probe(argc - 1, argv + 1);
}
