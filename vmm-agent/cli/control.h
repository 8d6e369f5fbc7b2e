/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.h - talking to the running agent over its unix socket
 * Owner: none.   Thread: main; blocks for at most CONTROL_LIMIT_S.
 * Time:  real.   Units: none. */
#ifndef AGENT_CLI_CONTROL_H
#define AGENT_CLI_CONTROL_H

#include <jansson.h>

#include "cli/command.h"

#define CONTROL_ANSWER_MAX (64u << 20)

/** control_option - "--socket FILE", for the options table of every command that uses it */
#define CONTROL_OPTION                                                                             \
    {                                                                                              \
        "socket", "FILE", "@file", "the agent's control socket instead of the configured one"      \
    }

/** control_get() - GET @path, such as "/v1/state"
 * Return: AGENT_EXIT_OK with a new reference in @out, or the exit code after the message. */
int control_get(struct agent_context *context, const struct agent_command *command,
                const char *path, json_t **out);

/** control_command() - do @verb with @args (stolen, may be NULL); @out may be NULL
 * Return: AGENT_EXIT_OK; AGENT_EXIT_NO (it cannot be done now), AGENT_EXIT_USAGE (no such thing),
 * others, after the message. */
int control_command(struct agent_context *context, const struct agent_command *command,
                    const char *verb, json_t *args, json_t **out);

/** control_watch() - every event as a line of JSON text to @line until it returns non-zero, the
 * agent ends, or SIGINT. Return: as above. */
int control_watch(struct agent_context *context, const struct agent_command *command,
                  int (*line)(void *opaque, const json_t *event), void *opaque);

#endif
