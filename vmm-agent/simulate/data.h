/* SPDX-License-Identifier: GPL-2.0-or-later */
/* data.h - what a simulation knows about the world, slot by slot, from files or made up
 * Owner: struct agent_sim_data, _make…/_done.   Thread: one at a time.
 * Time:  slots; now_s only to judge files.      Units: MW, JPY/kWh, g/kWh; NAN = not known. */
#ifndef AGENT_SIMULATE_DATA_H
#define AGENT_SIMULATE_DATA_H

#include "grid/series.h"
#include "simulate/synth.h"
#include "store/store.h"

enum agent_sim_signal {
    SIM_PV,        /* before curtailment */
    SIM_WIND,      /* before curtailment */
    SIM_CURTAILED, /* wind and solar together */
    SIM_DEMAND,
    SIM_CARBON,
    SIM_PRICE,
    SIM_OUTLOOK_DEMAND,
    SIM_OUTLOOK_WIND_PV,
    SIM_OUTLOOK_CURTAILED, /* largest of the day, the same in all its slots; 0 = none expected */
    SIM_SIGNALS
};

#define AGENT_SIM_FILES_MAX 20000
#define AGENT_SIM_NOTES_MAX 32

/** struct agent_sim_data - values over [first_slot, first_slot + slots)
 * @value:  NULL = no source gave this signal for this area
 * @notes:  files that could not be used and values that were doubted, in words */
struct agent_sim_data {
    int64_t first_slot;
    size_t slots;
    double *value[AGENT_AREA_COUNT][SIM_SIGNALS];
    size_t files;
    size_t note_count; /* may exceed AGENT_SIM_NOTES_MAX: the rest is only counted */
    char notes[AGENT_SIM_NOTES_MAX][512];
};

/** agent_sim_signal_name() - "pv", "wind", "curtailed", "demand", "carbon", "price" … */
const char *agent_sim_signal_name(enum agent_sim_signal signal);

/** agent_sim_data_files() - read every file of @directory that grid/ understands
 * Values whose quality is doubtful become NAN and a note. Return: 0 (caller: _done), -ENOENT (no
 * file could be read), -errno of the directory, -ENOMEM. */
int agent_sim_data_files(const char *directory, int64_t first_slot, size_t slots, int64_t now_s,
                         struct agent_sim_data *data, struct agent_error *error);

/** agent_sim_data_synth() - the same from the synthetic years of @seed that the slots touch
 * Return: 0 (caller: _done), -EINVAL (outside the years that can be made), -ENOMEM. */
int agent_sim_data_synth(uint64_t seed, int64_t first_slot, size_t slots,
                         struct agent_sim_data *data, struct agent_error *error);

/** agent_sim_synth_seed() - seed of one fiscal year's weather: every year has its own */
uint64_t agent_sim_synth_seed(uint64_t seed, int fiscal_year);

/** agent_sim_data_store() - what @store knows of @area, into @data made by agent_sim_data_empty()
 * Only the newest version of each value counts. Return: series found, -errno of the store. */
int agent_sim_data_store(struct agent_store *store, enum agent_area area,
                         struct agent_sim_data *data, struct agent_error *error);

/** agent_sim_data_empty() - nothing is known of [@first_slot, @first_slot + @slots) yet */
void agent_sim_data_empty(struct agent_sim_data *data, int64_t first_slot, size_t slots);

/** agent_sim_data_take() - what a batch says of the span of @data. Return: 0, -ENOMEM. */
int agent_sim_data_take(struct agent_sim_data *data, const struct agent_batch *batch);

/** agent_sim_data_host() - put the own load of host @place (kW, from meters in @directory) where
 * the demand of @area was; the area's other signals are dropped
 * Return: 0, -ENOENT (no such host in any file), -errno of the directory, -ENOMEM. */
int agent_sim_data_host(const char *directory, const char *place, int64_t now_s,
                        enum agent_area area, struct agent_sim_data *data,
                        struct agent_error *error);

/** agent_sim_quality_usable() - as agent_quality_usable(), but a value is not dropped because
 * other slots of its day are missing: the running day is like that, and the gate counts holes */
bool agent_sim_quality_usable(uint32_t quality);

/** agent_sim_data_at() - NAN when not known */
double agent_sim_data_at(const struct agent_sim_data *data, enum agent_area area,
                         enum agent_sim_signal signal, int64_t slot);

void agent_sim_data_done(struct agent_sim_data *data);

/** agent_sim_carbon() - direct emissions of the generation mix, g/kWh; 0 when nothing generates
 * @mw: by enum agent_quantity; NAN counts as 0. Factors: coal 760, LNG 370, oil 406, other 575. */
double agent_sim_carbon(const double *mw);

#endif
