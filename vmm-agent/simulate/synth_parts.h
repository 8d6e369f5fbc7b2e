/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_parts.h - what the parts of the synthetic year share
 * Owner: struct agent_synth_weather, made and freed by synth.c.   Thread: one.
 * Time:  slots.   Units: MW, ratios. */
#ifndef AGENT_SIMULATE_SYNTH_PARTS_H
#define AGENT_SIMULATE_SYNTH_PARTS_H

#include "simulate/random.h"
#include "simulate/synth.h"

/* Streams of random numbers; a new purpose goes to the end, so that old years stay the same. */
enum agent_synth_purpose {
    SYNTH_CLOUD_NATION = 1,
    SYNTH_CLOUD_AREA,
    SYNTH_CLOUD_SLOT,
    SYNTH_WIND,
    SYNTH_HEAT,
    SYNTH_OUTLOOK,
    SYNTH_BALANCE,
    SYNTH_EXCHANGE,
    SYNTH_PRICE
};

/** struct agent_synth_area - what an area is made of; MW. Sizes are those of published statistics
 * for 2025, rounded. @export_mw: mean net export. @lng, @coal, @oil, @other_thermal: shares of the
 * thermal rest; @thermal_min: least thermal output that keeps the frequency. @twenty_two: its
 * actuals have the two more columns (thermal and biomass output control). */
struct agent_synth_area {
    double demand, summer, winter;
    double pv, wind, sunny_winter;
    double nuclear, hydro, geothermal, biomass, other;
    double thermal_min, pump, export_mw;
    double lng, coal, oil;
    bool twenty_two;
};

extern const struct agent_synth_area agent_synth_areas[AGENT_AREA_COUNT];

/** struct agent_synth_weather - per area and slot: solar and wind power before curtailment, what
 * the operator's forecast of their sum says, and how far the day's heat or cold is off the season
 */
struct agent_synth_weather {
    float *pv[AGENT_AREA_COUNT];
    float *wind[AGENT_AREA_COUNT];
    float *outlook[AGENT_AREA_COUNT];
    float *heat[AGENT_AREA_COUNT]; /* by day */
};

/** agent_synth_weather_make() - fill arrays that the caller allocated. */
void agent_synth_weather_make(const struct agent_synth *synth, struct agent_synth_weather *weather);

/** agent_synth_demand() - demand of one area over the year, MW; needs weather->heat */
void agent_synth_demand(const struct agent_synth *synth, const struct agent_synth_weather *weather,
                        enum agent_area area, float *demand);

/** agent_synth_exchange() - net imports per area: within line limits, summing to 0 (without
 * Okinawa), and the flows over the four lines */
void agent_synth_exchange(struct agent_synth *synth, const struct agent_synth_weather *weather,
                          float *const demand[AGENT_AREA_COUNT],
                          float *const import[AGENT_AREA_COUNT]);

/** agent_synth_balance() - all supply columns of one area, curtailment and pumping included */
void agent_synth_balance(struct agent_synth *synth, const struct agent_synth_weather *weather,
                         enum agent_area area, const float *demand, const float *import);

/** agent_synth_prices() - area, system and imbalance prices; needs the balance
 * Return: 0, -ENOMEM. */
int agent_synth_prices(struct agent_synth *synth);

#endif
