/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signals.h - what a day's decision may rely on: spoiled on request, then judged by the gate
 * Owner: struct agent_sim_signals on the caller's heap.   Thread: one.
 * Time:  the decision is at 17:00 or whenever lead_slots says.   Units: as data.h. */
#ifndef AGENT_SIMULATE_SIGNALS_H
#define AGENT_SIMULATE_SIGNALS_H

#include "simulate/run.h"

/** struct agent_sim_signals - the verdicts of one day; @reason is what the planner is told */
struct agent_sim_signals {
    bool refused[AGENT_SIM_SITES_MAX];
    enum agent_sim_signal signal[AGENT_SIM_SITES_MAX]; /* the first that was refused */
    char reason[AGENT_SIM_SITES_MAX][256];
};

/** struct agent_sim_question - may a decision about the day @today rely on a signal of an area?
 * @today: slot 00:00 of the day; asked @lead_slots before it
 * @faults: what to spoil first, may be none; @day is the day of the run they refer to */
struct agent_sim_question {
    enum agent_area area;
    enum agent_sim_signal signal;
    int64_t today;
    int64_t lead_slots;
    size_t fault_count;
    const struct agent_sim_fault *faults;
    int day;
};

/** agent_sim_signal_check() - Return: 0 it may, 1 refused (@verdict says why), -ENOMEM. */
int agent_sim_signal_check(const struct agent_sim_data *data,
                           const struct agent_sim_question *question,
                           struct agent_gate_verdict *verdict);

/** agent_sim_signals_judge() - judge solar measurements and next-day prices of every site on day
 * @day of the run, and note refusals in @result (NULL = nowhere). Return: 0, -ENOMEM. */
int agent_sim_signals_judge(const struct agent_sim_request *request,
                            const struct agent_sim_data *data, size_t day, bool priced,
                            struct agent_sim_signals *signals, struct agent_sim_result *result);

#endif
