/* SPDX-License-Identifier: GPL-2.0-or-later */
/* help.h - usage and help texts made from the command tables
 * Owner: none.   Thread: main.   Time: none.   Units: none. */
#ifndef AGENT_CLI_HELP_H
#define AGENT_CLI_HELP_H

#include "cli/command.h"

/** agent_help_top() - no subcommand: --help, --version or a usage error. Return: exit code. */
int agent_help_top(struct agent_context *context, int argc, char **argv);

/** agent_help_command() - help of the last command of @path (@depth commands from the top) */
void agent_help_command(FILE *out, const struct agent_command *const *path, int depth);

#endif
