/* SPDX-License-Identifier: GPL-2.0-or-later */
/* update.h - a day's forecast, corrected by what the day has measured so far
 * Owner: the caller owns all arrays.   Thread: any, no shared state.
 * Time:  ask->known_until is now.      Units:  as the forecast. */
#ifndef AGENT_FORECAST_UPDATE_H
#define AGENT_FORECAST_UPDATE_H

#include "forecast/forecast.h"

#define AGENT_FC_MEMORY 0.93 /* share of a departure that is left after one more half hour */

/** agent_fc_update() - move what is left of the day by the ratio of measured to expected
 * The ratio is that of the last four half hours that were worth measuring; it is believed less and
 * less the further ahead, and the band is narrower for as long as it is believed.
 * @ask:  actual, day_slot, and known_until: from which slot on nothing is measured, within the day
 * @band: P10, P50, P90 of 48 slots each, changed in place from known_until on; NAN = left alone
 * Return: the ratio, 1 = nothing was changed (too little measured, or dark until now). */
double agent_fc_update(const struct agent_fc_case *ask, double *const band[3]);

#endif
