/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rolling_question.h - the typed question as an instance in JSON (private to rolling)
 * Owner: caller.   Thread: any.   Time: slots.   Units: as rolling.h. */
#ifndef AGENT_PLAN_ROLLING_QUESTION_H
#define AGENT_PLAN_ROLLING_QUESTION_H

#include "plan/rolling.h"

/** roll_question() - new reference, or NULL without memory
 * What an operator would write: the same reader checks it. */
json_t *roll_question(const struct agent_roll *roll);

#endif
