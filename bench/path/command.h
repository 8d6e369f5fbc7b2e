/* SPDX-License-Identifier: GPL-2.0-or-later */
/* command.h - run ip or tc and wait for it
 * Owner: none.  Thread: main.  Time: none.  Units: bytes. */
#ifndef APN_BENCH_PATH_COMMAND_H
#define APN_BENCH_PATH_COMMAND_H

#define PATH_COMMAND_OUTPUT_MAX 8192

/** path_command_run() - in the caller's network namespace
 * @command: program and arguments, separated by spaces, up to 511 characters and 40 words
 * @output: receives the first PATH_COMMAND_OUTPUT_MAX - 1 bytes of its standard output
 * Return: exit status, or -errno (-ENOENT when there is no such program). */
int path_command_run(const char *command, char output[PATH_COMMAND_OUTPUT_MAX]);

#endif
