/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replan_signals.h - what the store's signals let a plan know, site by site (private to replan)
 * Owner: struct replan_signals, heap, _new/_free.   Thread: one at a time; the store is its
 * caller's. Time:  now_s from the caller; slots of a window of two days from today 00:00 JST.
 * Units: kW, JPY/kWh, g/kWh; NAN = not known. */
#ifndef AGENT_ACT_REPLAN_SIGNALS_H
#define AGENT_ACT_REPLAN_SIGNALS_H

#include "act/replan.h"
#include "forecast/backtest.h"
#include "forecast/gate.h"

#define REPLAN_SIGNAL_KINDS 3 /* solar power, price, carbon */

/** struct replan_site_signals - @unknown: the first signal that must not be used, or NULL; @reason
 * @method:  of the forecast, NULL = there is none
 * @ratio:   today's measured over expected power, 1 = not corrected
 * @ends_at: why the next day is not planned, or "" */
struct replan_site_signals {
    double price[AGENT_ROLL_SLOTS];
    double carbon[AGENT_ROLL_SLOTS];
    double surplus[PLAN_QUANTILES][AGENT_ROLL_SLOTS];
    const char *unknown;
    char reason[300];
    const struct agent_fc_method *method;
    double ratio;
    char ends_at[300];
    bool battery_known; /* soc_share is of a reading that may be used */
    bool battery_seen;  /* there is a reading at all */
    double soc_share;
    char battery_reason[200];
};

/** struct replan_signals - @first, @end: the slots of the window that can be planned
 * @inputs: batches of the store, an array of {"batch": id} */
struct replan_signals {
    int64_t day_slot;
    int first, end;
    size_t site_count;
    struct replan_site_signals *sites;
    json_t *inputs;
};

/** replan_signals_read() - everything a plan at ask->running->now_s may know
 * A signal that must not be used is an answer, not an error. Return: 0 with *@out to be freed by
 * replan_signals_free(), -errno of the store, -ENOMEM. */
int replan_signals_read(const struct agent_replan_ask *ask, struct replan_signals **out,
                        struct agent_error *error);

void replan_signals_free(struct replan_signals *signals);

/** replan_signals_json() - what each site's signals were found to be, for the document */
json_t *replan_signals_json(const struct agent_replan_ask *ask,
                            const struct replan_signals *signals);

#endif
