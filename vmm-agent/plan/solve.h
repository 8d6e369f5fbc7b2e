/* SPDX-License-Identifier: GPL-2.0-or-later */
/* solve.h - what solve.c and refuse.c tell each other
 * Owner: caller.   Thread: one.   Time: planned slots.   Units: as in plan.h. */
#ifndef AGENT_PLAN_SOLVE_H
#define AGENT_PLAN_SOLVE_H

#include "plan/plan.h"
#include "plan/pool.h"

/** plan_refuse() - say why there is no plan: tries to prove that none exists
 * @breaches: of the best attempt, at least one
 * Return: -EDOM, with the text in @error. */
int plan_refuse(const struct agent_plan_instance *instance,
                const struct agent_plan_options *options, const struct plan_breaches *breaches,
                struct agent_error *error);

/** plan_refuse_stuck() - a unit that can neither stay nor go
 * Return: 0, or -EDOM naming group, place and what is missing. */
int plan_refuse_stuck(const struct plan_model *model, struct plan_route_desk *desk,
                      struct agent_error *error);

#endif
