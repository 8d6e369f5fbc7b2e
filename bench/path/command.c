/* SPDX-License-Identifier: GPL-2.0-or-later */
/* command.c - see command.h */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 40

extern char **environ;

int path_command_run(const char *command, char output[PATH_COMMAND_OUTPUT_MAX])
{
    char words[512], *argv[ARGS_MAX + 1], *save = NULL;
    posix_spawn_file_actions_t actions;
    int ends[2], status, n = 0, result;
    size_t used = 0;
    ssize_t got;
    pid_t pid;

    output[0] = '\0';
    snprintf(words, sizeof(words), "%s", command);
    for (char *word = strtok_r(words, " ", &save); word && n < ARGS_MAX;
         word = strtok_r(NULL, " ", &save)) {
        argv[n++] = word;
    }
    argv[n] = NULL;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    result = -posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    while (result == 0 && used < PATH_COMMAND_OUTPUT_MAX - 1 &&
           (got = read(ends[0], output + used, PATH_COMMAND_OUTPUT_MAX - 1 - used)) > 0) {
        used += (size_t)got;
    }
    output[used] = '\0';
    close(ends[0]);
    if (result < 0) {
        return result;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}
