/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands.h - every subcommand's table entry; each lives in cli/cmd_<name>.c
 * Owner: static.   Thread: main.   Time: none.   Units: none. */
#ifndef AGENT_CLI_COMMANDS_H
#define AGENT_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct agent_command agent_cmd_run;
extern const struct agent_command agent_cmd_status;
extern const struct agent_command agent_cmd_migrate;
extern const struct agent_command agent_cmd_cancel;
extern const struct agent_command agent_cmd_drain;
extern const struct agent_command agent_cmd_undrain;
extern const struct agent_command agent_cmd_pause;
extern const struct agent_command agent_cmd_resume;
extern const struct agent_command agent_cmd_boot;
extern const struct agent_command agent_cmd_resolve;
extern const struct agent_command agent_cmd_replan;
extern const struct agent_command agent_cmd_signals;
extern const struct agent_command agent_cmd_store;
extern const struct agent_command agent_cmd_forecast;
extern const struct agent_command agent_cmd_plan;
extern const struct agent_command agent_cmd_explain;
extern const struct agent_command agent_cmd_simulate;
extern const struct agent_command agent_cmd_dr;
extern const struct agent_command agent_cmd_completion;

#endif
