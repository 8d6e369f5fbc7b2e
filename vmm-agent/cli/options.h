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

/** agent_option_value() - what was given for @name of the command whose table @options is, or NULL */
const char *agent_option_value(const struct agent_context *context,
                               const struct agent_option *options, const char *name);

/** struct agent_number_rule - an option that is a number within @min..@max
 * @out: left as it is when the option was not given */
struct agent_number_rule {
    const char *name;
    double min;
    double max;
    bool whole;
    double *out;
};

/** agent_option_numbers() - @count options by their rules
 * Return: 0, or -EINVAL naming the first bad one, what was expected and what was found. */
int agent_option_numbers(const struct agent_context *context, const struct agent_option *options,
                         const struct agent_number_rule *rules, size_t count,
                         struct agent_error *error);

/** agent_options_parse() - options and operands of one leaf command; @argv is reordered in place
 * Return: 0, or -EINVAL with the reason. */
int agent_options_parse(const struct agent_command *command, int argc, char **argv,
                        struct agent_parsed *parsed, struct agent_error *error);

#endif
