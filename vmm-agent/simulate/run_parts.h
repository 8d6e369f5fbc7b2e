/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_parts.h - the parts of a run (private to simulate/)
 * Owner: the run.   Thread: one.   Time: slots.   Units: as run.h. */
#ifndef AGENT_SIMULATE_RUN_PARTS_H
#define AGENT_SIMULATE_RUN_PARTS_H

#include "simulate/run.h"

/** agent_sim_check() - limits of the request and whether @data span its days. Return: 0, -EINVAL.
 */
int agent_sim_check(const struct agent_sim_request *request, const struct agent_sim_data *data,
                    struct agent_error *error);

/** agent_sim_formulas() - fill use, price, peaks and the traces of what was measured
 * Return: 0, -ENODATA naming what is not known. */
int agent_sim_formulas(const struct agent_sim_request *request, const struct agent_sim_data *data,
                       struct agent_sim_result *result, struct agent_error *error);

#endif
