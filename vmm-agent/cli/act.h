/* SPDX-License-Identifier: GPL-2.0-or-later */
/* act.h - printing what the running agent says
 * Owner: none.   Thread: main.   Time: none.   Units: as in docs/agent-state.md. */
#ifndef AGENT_CLI_ACT_H
#define AGENT_CLI_ACT_H

#include "cli/command.h"

/** act_explain_vm() - "explain VM". Return: exit code. */
int act_explain_vm(struct agent_context *context, const struct agent_command *command,
                   const char *vm);

#endif
