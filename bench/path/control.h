/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.h - talk to a path that is up: one line of request, one line of answer, over a unix socket
 * Owner: main.  Thread: main.  Time: none.  Units: as in options.h. */
#ifndef APN_BENCH_PATH_CONTROL_H
#define APN_BENCH_PATH_CONTROL_H

#include "path.h"

#include <stdio.h>

#define PATH_ANSWER_MAX 65536

/** path_control_serve() - answer requests until one says `down` or SIGTERM, SIGINT or SIGHUP comes
 * The signals must be blocked. Return: 0 or -errno. */
int path_control_serve(struct path *path);

/** path_control_request() - client side: send a request, print the answer
 * @request: words separated by spaces
 * @quiet: do not print a good answer
 * Return: 0; -ENOENT when the path is not up; -EINVAL when it refused (the reason is printed); -errno. */
int path_control_request(const char *name, const char *request, bool quiet);

/** path_control_ask() - as path_control_request(), but gives the answer back
 * @answer: receives one line of JSON without its newline
 * Return: 0; -ENOENT when the path is not up; or another -errno. */
int path_control_ask(const char *name, const char *request, char *answer, size_t answer_bytes);

/** path_control_answer() - carry out one request
 * @answer: receives one line of JSON
 * Return: true when the path should end. */
bool path_control_answer(struct path *path, const char *request, char *answer, size_t answer_bytes);

/** path_control_stats() - one line of JSON about both directions; @reset: start counting anew */
void path_control_stats(struct path *path, bool reset, char *out, size_t out_bytes);

#endif
