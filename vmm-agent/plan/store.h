/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.h - decisions of a site that are not VMs: its battery and the peak it pays for
 * Owner: struct plan_model.   Thread: one.   Time: planned slots.   Units: kWh, kW, yen. */
#ifndef AGENT_PLAN_STORE_H
#define AGENT_PLAN_STORE_H

#include "plan/model.h"

/** plan_store_begin() - a first feasible charge path that moves as little as possible
 * Return: 0, or -EDOM naming the slot, the level that cannot be reached and by how much. */
int plan_store_begin(struct plan_model *model, int site, struct agent_error *error);

/** plan_store_improve() - up to @steps exchanges of energy between two slots, best first, on the
 * smoothed charges; loads and prices follow
 * Return: exchanges made. */
int plan_store_improve(struct plan_model *model, int site, int steps);

/** plan_peak_improve() - the paid peak that is cheapest on the smoothed charges */
void plan_peak_improve(struct plan_model *model, int site);

/** plan_peak_set() - set the paid peak; prices follow */
void plan_peak_set(struct plan_model *model, int site, double kw);

#endif
