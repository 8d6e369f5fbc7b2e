/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan.h - what the subcommands about plans share
 * Owner: caller.   Thread: main.   Time: none.   Units: as in plan/plan.h. */
#ifndef AGENT_CLI_PLAN_H
#define AGENT_CLI_PLAN_H

#include "cli/command.h"
#include "plan/plan.h"

/** plan_solve() - solve, or print why there is no plan. Return: enum agent_exit. */
int plan_solve(struct agent_context *context, const struct agent_plan_instance *instance,
               const struct agent_plan_options *options, struct agent_plan **out);

/** plan_load() - read a plan file made for @instance, or print what is wrong with it
 * Return: enum agent_exit. */
int plan_load(struct agent_context *context, const struct agent_plan_instance *instance,
              const char *path, bool prices_only, struct agent_plan **out);

/** plan_print_json() - print a document and drop it; NULL means out of memory
 * Return: enum agent_exit. */
int plan_print_json(struct agent_context *context, json_t *root);

#endif
