/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fixture.h - a small planning instance that tests bend
 * Owner: the caller drops what it gets.   Thread: one.
 * Time:  12 slots.                        Units:  as in plan/instance.h. */
#ifndef AGENT_TESTS_PLAN_FIXTURE_H
#define AGENT_TESTS_PLAN_FIXTURE_H

#include "plan/plan.h"

/** fixture_json() - east (dear) and west (cheap from slot 4 to 9), three groups, all running in
 * the east, a battery in the east; every plan of it is worth moving for */
json_t *fixture_json(void);

/** fixture_set() - put @text (JSON) at a path such as "sites.0.cpu", "groups.1"; fails the test
 * when the path does not exist but for its last key */
void fixture_set(json_t *root, const char *path, const char *text);

/** fixture_instance() - parse; fails the test with the reader's message */
struct agent_plan_instance *fixture_instance(const json_t *root);

/** fixture_plan() - solve; fails the test with the planner's message */
struct agent_plan *fixture_plan(const struct agent_plan_instance *instance);

/** fixture_refusal() - the message of reading or solving; fails the test when there is a plan
 * @text: at least AGENT_ERROR_TEXT_MAX bytes. Return: the negative errno. */
int fixture_refusal(const json_t *root, char *text);

#endif
