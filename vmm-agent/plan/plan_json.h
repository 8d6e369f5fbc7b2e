/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan_json.h - what the files that write and read plans share
 * Owner: none.   Thread: any.   Time: none.   Units: none. */
#ifndef AGENT_PLAN_PLAN_JSON_H
#define AGENT_PLAN_PLAN_JSON_H

#include "plan/plan.h"

/* Names of shadow prices in documents. */
extern const char *const plan_price_names[PLAN_PRICE_KINDS];

/** plan_kept_json() - the instance's unknown signals, where, why and what they keep in place */
json_t *plan_kept_json(const struct agent_plan_instance *instance);

/** plan_way_json() - [[slot, site], ...]: where a leg is from which slot on */
json_t *plan_way_json(const struct agent_plan *plan, const struct plan_leg *leg);

/** plan_series_json() - an array of @count numbers; what is not finite becomes null */
json_t *plan_series_json(const double *values, int count);

#endif
