/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - words of the command line to a filled context
 * Owner: context is the caller's.   Thread: main.
 * Time:  none.                      Units: none. */
#ifndef AGENT_CLI_OPTIONS_H
#define AGENT_CLI_OPTIONS_H

#include "cli/command.h"
#include "support/slot.h"

struct agent_parsed {
    struct agent_context *context;
    bool help; /* --help was given */
};

/** agent_common_options() - options every subcommand has; ended by a NULL name */
const struct agent_option *agent_common_options(void);

/** agent_option_index() - place of the option in the table, or -ENOENT */
int agent_option_index(const struct agent_option *options, const char *name, size_t length);

/** agent_options_parse() - options and operands of one leaf command; @argv is reordered in place
 * Return: 0, or -EINVAL with the reason. */
int agent_options_parse(const struct agent_command *command, int argc, char **argv,
                        struct agent_parsed *parsed, struct agent_error *error);

#endif
