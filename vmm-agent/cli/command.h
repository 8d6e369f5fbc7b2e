/* SPDX-License-Identifier: GPL-2.0-or-later */
/* command.h - the table of subcommands and what each may expect
 * Owner: static tables.   Thread: main.
 * Time:  context.now_s, read once at start (or --now for repeatable runs).   Units: seconds.
 *
 * A subcommand is a file cli/cmd_<name>.c with one `const struct agent_command agent_cmd_<name>`,
 * listed in cli/commands.c. --help, bash completion and unknown-option messages come from the
 * tables, so an option exists in one place only. */
#ifndef AGENT_CLI_COMMAND_H
#define AGENT_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "support/error.h"

/* Exit codes of vmm-agent. */
enum agent_exit {
    AGENT_EXIT_OK = 0,
    AGENT_EXIT_NO = 1,    /* it worked and the answer is no: flagged data, infeasible instance */
    AGENT_EXIT_USAGE = 2, /* command line or configuration */
    AGENT_EXIT_INPUT = 3, /* an input file or source cannot be read or is not what it should be */
    AGENT_EXIT_SYSTEM = 4 /* store, disk, memory */
};

#define AGENT_OPTIONS_MAX 24

/** struct agent_option - one "--name[=VALUE]" of a subcommand
 * @argument: what the value is called in help ("FILE"), NULL for a flag
 * @choices:  NULL, or values separated by spaces, for completion and checking ("json csv");
 *            "@file" and "@dir" complete paths and are not checked */
struct agent_option {
    const char *name;
    const char *argument;
    const char *choices;
    const char *help;
};

struct agent_yaml; /* support/yaml.h */

/** struct agent_context - what main() gives a subcommand
 * @config_path: --config FILE or NULL; load it with agent_config_load() (cli/config.h)
 * @json:        --json was given: exactly one JSON document on @out, progress never there
 * @quiet:       --quiet: no progress on @err
 * @now_s:       the clock
 * @values:      per option of the command, in table order: NULL = not given, "" = flag given
 * @operands:    what is left; borrowed from argv */
struct agent_context {
    const char *config_path;
    bool json;
    bool quiet;
    int64_t now_s;
    FILE *out;
    FILE *err;
    const char *values[AGENT_OPTIONS_MAX];
    int operand_count;
    char **operands;
};

/** struct agent_command - one subcommand, or one below it ("signals parse")
 * @operands: shown in usage, such as "FILE..."
 * @detail:   paragraphs for --help, may be NULL
 * @options:  ended by a member whose name is NULL; may be NULL
 * @children: NULL-ended list of commands below, then @run is NULL
 * @run:      does it. Return: enum agent_exit. On failure it has printed one message with
 *            agent_context_fail(). */
struct agent_command {
    const char *name;
    const char *summary;
    const char *operands;
    int operands_min;
    int operands_max; /* -1 = any number */
    const char *detail;
    const struct agent_option *options;
    const struct agent_command *const *children;
    int (*run)(struct agent_context *context);
};

/** agent_commands - every subcommand, NULL-ended (cli/commands.c) */
extern const struct agent_command *const agent_commands[];

/** agent_context_fail() - print "vmm-agent: <error>" on context->err (with --json also
 * {"error":{...}} on out) and pick the exit code for the errno
 * Return: @exit_code. */
int agent_context_fail(struct agent_context *context, int exit_code,
                       const struct agent_error *error);

/** agent_context_value() - value of option @name of @command, NULL when not given */
const char *agent_context_value(const struct agent_context *context,
                                const struct agent_command *command, const char *name);

/** agent_progress() - "verb: done/total" on err, at most four times a second, only on a terminal
 * and without --quiet; @total 0 = unknown */
void agent_progress(struct agent_context *context, const char *verb, uint64_t done, uint64_t total);

#endif
