/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth.h - a made-up year of the Japanese grid that has the statistics of a real one
 * Owner: struct agent_synth, _make/_done.   Thread: one at a time, no shared state.
 * Time:  none read; slots of one fiscal year.   Units: MW (average over the slot), JPY/kWh.
 *
 * Theory of operation. Weather (synth_weather.c) drives solar, wind and demand of all ten areas,
 * correlated between neighbours; the balance (synth_balance.c) dispatches what remains, fills
 * pumped storage, and curtails what nobody can take; prices (synth_price.c) follow tightness and
 * are then calibrated: means, floor shares, equal shares and block means are those of fiscal year
 * 2025, for any seed. Writers (synth_write*.c) print the operators' own file formats, quirks
 * included. Everything is a function of (fiscal year, seed). */
#ifndef AGENT_SIMULATE_SYNTH_H
#define AGENT_SIMULATE_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grid/series.h"
#include "support/error.h"
#include "support/slot.h"

#define AGENT_SYNTH_COLUMNS (AGENT_TOTAL + 1) /* indexed by enum agent_quantity, 0 unused */
#define AGENT_SYNTH_SLOTS   (366 * AGENT_SLOTS_PER_DAY)
#define AGENT_SYNTH_LINES   4

/** struct agent_synth - one year, all areas
 * @mw:        integers as the files print them; [AGENT_INTERCONNECTION] positive = import
 * @potential: wind + solar before curtailment
 * @outlook_demand, @outlook_wind_pv: the operators' day-ahead forecasts
 * @price:     area prices; none for Okinawa (no spot market there)
 * @imbalance: one price for shortage and surplus, per area
 * @line:      flow over Hokkaido-Tohoku, Tohoku-Tokyo, Chugoku-Kansai, Kanmon; eastward positive
 *             for the last two, southward for the first two */
struct agent_synth {
    int fiscal_year;
    uint64_t seed;
    int64_t first_slot;
    size_t slots;
    int32_t *mw[AGENT_AREA_COUNT][AGENT_SYNTH_COLUMNS];
    float *potential[AGENT_AREA_COUNT];
    float *outlook_demand[AGENT_AREA_COUNT];
    float *outlook_wind_pv[AGENT_AREA_COUNT];
    double *price[AGENT_AREA_COUNT];
    double *imbalance[AGENT_AREA_COUNT];
    double *system_price;
    int32_t *line[AGENT_SYNTH_LINES];
};

/** agent_synth_make() - @fiscal_year 2000..2098 (April to March)
 * Return: 0 (caller: agent_synth_done), -EINVAL, -ENOMEM. */
int agent_synth_make(int fiscal_year, uint64_t seed, struct agent_synth *synth,
                     struct agent_error *error);

/** agent_synth_done() - free; a zeroed struct is fine */
void agent_synth_done(struct agent_synth *synth);

/** agent_synth_outlook_mw() - what the operator of Kyushu announces to curtail at most on day @day of
 * the year, @ahead days before: the truth with an error that grows; small amounts are none */
double agent_synth_outlook_mw(const struct agent_synth *synth, int day, int ahead);

/** agent_synth_write() - the year as files in @directory, which must exist: area actuals of all
 * ten areas (a file a month), spot prices, imbalance prices, curtailment outlooks and, for the
 * days @outlook_from..+@outlook_days, area forecasts and usage forecasts
 * Return: files written, or -errno naming the file. */
struct agent_synth_request {
    const char *directory;
    int first_day; /* 0..365: first day written; months are written whole */
    int days;      /* 1..366 */
};
int agent_synth_write(const struct agent_synth *synth, const struct agent_synth_request *request,
                      struct agent_error *error);

#endif
