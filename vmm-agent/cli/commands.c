/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands.c - the list of subcommands, in the order of --help */
#include "cli/commands.h"

#include <stddef.h>

const struct agent_command *const agent_commands[] = {
    &agent_cmd_signals, &agent_cmd_store,    &agent_cmd_forecast,   &agent_cmd_plan,
    &agent_cmd_explain, &agent_cmd_simulate, &agent_cmd_completion, NULL,
};
