/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spread.h - a day's announced curtailment over its half hours
 * Owner: the caller owns all arrays.   Thread: any, no state.
 * Time:  48 slots of one day.          Units:  MW. */
#ifndef AGENT_FORECAST_SPREAD_H
#define AGENT_FORECAST_SPREAD_H

/** agent_fc_spread() - operators announce one amount, the largest of the day
 * Curtailed is what is left over when the expected residual demand (demand less wind and sun) is
 * under what plants, pumps and lines can go down to. That level is not published, but the announced
 * amount tells it: it is the amount above the day's least residual demand.
 * @residual: 48 values, NAN = not known; @amount: MW, 0 = none announced, NAN = nothing published
 * @out: 48 values; NAN where the amount, or (with an amount) the residual demand, is not known */
void agent_fc_spread(const double *residual, double amount, double *out);

#endif
