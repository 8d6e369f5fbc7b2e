/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands.c - the list of subcommands, in the order of --help */
#include "cli/commands.h"

#include <stddef.h>

const struct agent_command *const agent_commands[] = {
    &agent_cmd_run,     &agent_cmd_status,   &agent_cmd_migrate,    &agent_cmd_cancel,
    &agent_cmd_drain,   &agent_cmd_undrain,  &agent_cmd_pause,      &agent_cmd_resume,
    &agent_cmd_boot,    &agent_cmd_resolve,  &agent_cmd_replan,     &agent_cmd_dr,
    &agent_cmd_signals, &agent_cmd_store,    &agent_cmd_forecast,   &agent_cmd_plan,
    &agent_cmd_explain, &agent_cmd_simulate, &agent_cmd_completion, NULL,
};
