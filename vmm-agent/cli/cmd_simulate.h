/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_simulate.h - what the command line of `simulate` asks for
 * Owner: on main's stack; texts are borrowed from argv.   Thread: main.
 * Time:  slots.   Units: as simulate/run.h. */
#ifndef AGENT_CLI_CMD_SIMULATE_H
#define AGENT_CLI_CMD_SIMULATE_H

#include "cli/command.h"
#include "simulate/run.h"

/** struct agent_simulate_job - @data_dir NULL = synthetic; the others NULL = not wanted */
struct agent_simulate_job {
    struct agent_sim_request request;
    const char *data_dir;
    const char *write_dir;
    const char *html;
    const char *plots;
};

extern const struct agent_option agent_simulate_options[];

/** agent_simulate_parse() - check every option. Return: 0, or -EINVAL naming option and value. */
int agent_simulate_parse(const struct agent_context *context, struct agent_simulate_job *job,
                         struct agent_error *error);

#endif
