/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/data.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "grid/adapter.h"
#include "support/slot.h"

static const char *const signal_names[SIM_SIGNALS] = {
    "pv",
    "wind",
    "curtailed",
    "demand",
    "carbon",
    "price",
    "outlook_demand",
    "outlook_wind_pv",
    "outlook_curtailed",
};

const char *agent_sim_signal_name(enum agent_sim_signal signal)
{
    return signal < SIM_SIGNALS ? signal_names[signal] : "unknown";
}

double agent_sim_carbon(const double *mw)
{
    static const struct {
        enum agent_quantity quantity;
        double g_per_kwh;
    } mix[] = {
        {AGENT_THERMAL_COAL, 760},
        {AGENT_THERMAL_LNG, 370},
        {AGENT_THERMAL_OIL, 406},
        {AGENT_THERMAL_OTHER, 575},
        {AGENT_NUCLEAR, 0},
        {AGENT_HYDRO, 0},
        {AGENT_GEOTHERMAL, 0},
        {AGENT_BIOMASS, 0},
        {AGENT_PV, 0},
        {AGENT_WIND, 0},
        {AGENT_OTHER, 575},
    };
    double grams = 0.0;
    double power = 0.0;

    for (size_t i = 0; i < sizeof(mix) / sizeof(mix[0]); i++) {
        double here = mw[mix[i].quantity];
        if (isfinite(here) && here > 0.0) {
            grams += here * mix[i].g_per_kwh;
            power += here;
        }
    }
    return power > 0.0 ? grams / power : 0.0;
}

bool agent_sim_quality_usable(uint32_t quality)
{
    return agent_quality_usable(quality & ~(uint32_t)AGENT_QUALITY_INCOMPLETE);
}

double agent_sim_data_at(const struct agent_sim_data *data, enum agent_area area,
                         enum agent_sim_signal signal, int64_t slot)
{
    int64_t at = slot - data->first_slot;

    if (data->value[area][signal] == NULL || at < 0 || at >= (int64_t)data->slots) {
        return NAN;
    }
    return data->value[area][signal][at];
}

/* The array of a signal, made of NANs when first asked for. Return: NULL = out of memory. */
static double *array(struct agent_sim_data *data, enum agent_area area,
                     enum agent_sim_signal signal)
{
    double **value = &data->value[area][signal];

    if (*value == NULL) {
        *value = malloc(data->slots * sizeof(**value));
        for (size_t i = 0; *value != NULL && i < data->slots; i++) {
            (*value)[i] = NAN;
        }
    }
    return *value;
}

void agent_sim_data_empty(struct agent_sim_data *data, int64_t first_slot, size_t slots)
{
    memset(data, 0, sizeof(*data));
    data->first_slot = first_slot;
    data->slots = slots;
}

void agent_sim_data_done(struct agent_sim_data *data)
{
    for (int area = 0; area < AGENT_AREA_COUNT; area++) {
        for (int signal = 0; signal < SIM_SIGNALS; signal++) {
            free(data->value[area][signal]);
            data->value[area][signal] = NULL;
        }
    }
}

static void note(struct agent_sim_data *data, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct agent_sim_data *data, const char *format, ...)
{
    va_list args;

    if (data->note_count < AGENT_SIM_NOTES_MAX) {
        va_start(args, format);
        vsnprintf(data->notes[data->note_count], sizeof(data->notes[0]), format, args);
        va_end(args);
    }
    data->note_count++;
}

/* From files --------------------------------------------------------------------------------- */

/* Usable value of @series at @slot, NAN otherwise. */
static double usable(const struct agent_series *series, int64_t slot)
{
    const struct agent_point *point =
        series != NULL ? agent_series_find(series, agent_slot_start(slot)) : NULL;

    return point != NULL && agent_sim_quality_usable(point->quality) ? point->value : (double)NAN;
}

static void keep(double *value, double fresh)
{
    *value = isfinite(fresh) ? fresh : *value;
}

/* Sum in which a missing curtailment column means none, but a missing measurement means unknown. */
static double potential(double measured, double curtailed)
{
    return isfinite(curtailed) ? fmax(measured, 0.0) + curtailed : fmax(measured, 0.0);
}

static int take_actuals(struct agent_sim_data *data, const struct agent_batch *batch,
                        enum agent_area area)
{
    const struct agent_series *column[AGENT_TOTAL + 1];
    double *value[SIM_PRICE];

    for (int q = 0; q <= AGENT_TOTAL; q++) {
        column[q] = agent_batch_find(batch, area, (enum agent_quantity)q, AGENT_ACTUAL, NULL);
    }
    if (column[AGENT_PV] == NULL) {
        return 0;
    }
    for (int signal = SIM_PV; signal < SIM_PRICE; signal++) {
        value[signal] = array(data, area, (enum agent_sim_signal)signal);
        if (value[signal] == NULL) {
            return -ENOMEM;
        }
    }
    for (size_t i = 0; i < data->slots; i++) {
        double mw[AGENT_TOTAL + 1];
        for (int q = 0; q <= AGENT_TOTAL; q++) {
            mw[q] = usable(column[q], data->first_slot + (int64_t)i);
        }
        if (!isfinite(mw[AGENT_DEMAND])) {
            continue;
        }
        double cut = fmax(mw[AGENT_PV_CURTAILED], 0.0) + fmax(mw[AGENT_WIND_CURTAILED], 0.0);
        if (isfinite(mw[AGENT_PV])) { /* fmax(NAN, 0) is 0: an unknown measurement stays unknown */
            keep(&value[SIM_PV][i], potential(mw[AGENT_PV], mw[AGENT_PV_CURTAILED]));
        }
        if (isfinite(mw[AGENT_WIND])) {
            keep(&value[SIM_WIND][i], potential(mw[AGENT_WIND], mw[AGENT_WIND_CURTAILED]));
        }
        keep(&value[SIM_CURTAILED][i], cut);
        keep(&value[SIM_DEMAND][i], mw[AGENT_DEMAND]);
        keep(&value[SIM_CARBON][i], agent_sim_carbon(mw));
    }
    return 0;
}

static int take_one(struct agent_sim_data *data, const struct agent_series *series,
                    enum agent_sim_signal signal)
{
    double *value = array(data, series->area, signal);

    if (value == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < data->slots; i++) {
        int64_t slot = data->first_slot + (int64_t)i;
        bool late = signal == SIM_OUTLOOK_CURTAILED && /* issued when its day had begun */
                    series->issued_s > agent_slot_start(slot - agent_slot_in_day(slot));
        keep(&value[i], late ? (double)NAN : usable(series, slot));
    }
    return 0;
}

static void note_doubts(struct agent_sim_data *data, const struct agent_series *series,
                        const char *source)
{
    size_t doubtful = 0;
    uint32_t why = 0;
    char words[128];

    for (size_t i = 0; i < series->count; i++) {
        int64_t at = agent_slot_of(series->points[i].start_s) - data->first_slot;
        bool missing = (series->points[i].quality & AGENT_QUALITY_MISSING) != 0;
        if (at >= 0 && at < (int64_t)data->slots && !missing &&
            !agent_sim_quality_usable(series->points[i].quality)) {
            doubtful++;
            why |= series->points[i].quality;
        }
    }
    if (doubtful > 0) {
        note(data, "%s: %s %s: %zu half hours are not used (%s)", source,
             agent_area_name(series->area), agent_quantity_name(series->quantity), doubtful,
             agent_quality_format(why, words, sizeof(words)));
    }
}

int agent_sim_data_take(struct agent_sim_data *data, const struct agent_batch *batch)
{
    int result = 0;

    for (int area = 1; area < AGENT_AREA_COUNT && result == 0; area++) {
        result = take_actuals(data, batch, (enum agent_area)area);
    }
    for (size_t i = 0; i < batch->count && result == 0; i++) {
        const struct agent_series *series = &batch->series[i];
        bool forecast = series->stage == AGENT_FORECAST;
        if (series->area == AGENT_AREA_NONE) {
            continue;
        }
        if (series->quantity == AGENT_PRICE_SPOT) {
            result = take_one(data, series, SIM_PRICE);
        } else if (series->quantity == AGENT_WIND_PV && forecast) {
            result = take_one(data, series, SIM_OUTLOOK_WIND_PV);
        } else if (series->quantity == AGENT_DEMAND && forecast) {
            result = take_one(data, series, SIM_OUTLOOK_DEMAND);
        } else if (series->quantity == AGENT_CURTAILMENT_OUTLOOK && series->place[0] == '\0') {
            result = take_one(data, series, SIM_OUTLOOK_CURTAILED);
        }
        if (series->quantity == AGENT_PV || series->quantity == AGENT_PRICE_SPOT) {
            note_doubts(data, series, batch->source);
        }
    }
    return result;
}

static int no_dots(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int read_one(struct agent_sim_data *data, const char *directory, const char *name,
                    int64_t now_s)
{
    struct agent_batch *batch = malloc(sizeof(*batch));
    struct agent_error error = {0};
    char path[4096];
    char words[900];
    int result = -ENOMEM;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (batch != NULL) {
        result = agent_grid_load(path, NULL, AGENT_AREA_NONE, now_s, batch, &error);
    }
    if (result == 0) {
        result = agent_sim_data_take(data, batch);
        data->files++;
        agent_batch_done(batch);
    } else if (result != -ENOMEM) {
        note(data, "not used: %.480s", agent_error_format(&error, words, sizeof(words)));
        result = 0;
    }
    free(batch);
    return result;
}

int agent_sim_data_files(const char *directory, int64_t first_slot, size_t slots, int64_t now_s,
                         struct agent_sim_data *data, struct agent_error *error)
{
    struct dirent **list = NULL;
    int result = 0;

    agent_sim_data_empty(data, first_slot, slots);
    int count = scandir(directory, &list, no_dots, alphasort);
    if (count < 0) {
        return agent_error_set(error, errno, "data directory %.300s: %s", directory,
                               strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        if (result == 0 && i < AGENT_SIM_FILES_MAX && list[i]->d_type != DT_DIR) {
            result = read_one(data, directory, list[i]->d_name, now_s);
        }
        free(list[i]);
    }
    free(list);
    if (result != 0) {
        agent_error_set(error, result, "data directory %.300s: out of memory", directory);
    } else if (data->files == 0) {
        result = agent_error_set(error, ENOENT,
                                 "data directory %.200s: none of %d files could be "
                                 "read%s%.200s",
                                 directory, count, data->note_count > 0 ? "; first: " : "",
                                 data->note_count > 0 ? data->notes[0] : "");
    }
    if (result != 0) {
        agent_sim_data_done(data);
    }
    return result;
}

/* From a synthetic year ---------------------------------------------------------------------- */

/* Half hours of @area that both have, from @synth to @data. */
static int copy_area(const struct agent_synth *synth, enum agent_area area,
                     struct agent_sim_data *data)
{
    int64_t first = synth->first_slot > data->first_slot ? synth->first_slot : data->first_slot;
    int64_t synth_end = synth->first_slot + (int64_t)synth->slots;
    int64_t data_end = data->first_slot + (int64_t)data->slots;
    int64_t end = synth_end < data_end ? synth_end : data_end;
    double *value[SIM_SIGNALS];

    for (int signal = 0; signal < SIM_SIGNALS; signal++) {
        bool none = (signal == SIM_PRICE && synth->price[area] == NULL) ||
                    (signal == SIM_OUTLOOK_CURTAILED && area != AGENT_AREA_KYUSHU);
        value[signal] = none ? NULL : array(data, area, (enum agent_sim_signal)signal);
        if (!none && value[signal] == NULL) {
            return -ENOMEM;
        }
    }
    for (int64_t slot = first; slot < end; slot++) {
        size_t from = (size_t)(slot - synth->first_slot);
        size_t to = (size_t)(slot - data->first_slot);
        double mw[AGENT_TOTAL + 1] = {0};
        for (int q = AGENT_DEMAND; q <= AGENT_TOTAL; q++) {
            mw[q] = synth->mw[area][q][from];
        }
        value[SIM_PV][to] = fmax(mw[AGENT_PV], 0.0) + mw[AGENT_PV_CURTAILED];
        value[SIM_WIND][to] = mw[AGENT_WIND] + mw[AGENT_WIND_CURTAILED];
        value[SIM_CURTAILED][to] = mw[AGENT_PV_CURTAILED] + mw[AGENT_WIND_CURTAILED];
        value[SIM_DEMAND][to] = mw[AGENT_DEMAND];
        value[SIM_CARBON][to] = agent_sim_carbon(mw);
        value[SIM_OUTLOOK_DEMAND][to] = synth->outlook_demand[area][from];
        value[SIM_OUTLOOK_WIND_PV][to] = synth->outlook_wind_pv[area][from];
        if (value[SIM_PRICE] != NULL) {
            value[SIM_PRICE][to] = synth->price[area][from];
        }
        if (value[SIM_OUTLOOK_CURTAILED] != NULL) { /* printed in 万kW */
            int day = (int)(from / AGENT_SLOTS_PER_DAY);
            value[SIM_OUTLOOK_CURTAILED][to] =
                10.0 * (double)lrint(agent_synth_outlook_mw(synth, day, 0) / 10.0);
        }
    }
    return 0;
}

static int copy_year(int fiscal_year, uint64_t seed, struct agent_sim_data *data,
                     struct agent_error *error)
{
    struct agent_synth synth;
    int result = agent_synth_make(fiscal_year, seed, &synth, error);

    for (int area = 1; area < AGENT_AREA_COUNT && result == 0; area++) {
        result = copy_area(&synth, (enum agent_area)area, data);
    }
    agent_synth_done(&synth);
    return result;
}

uint64_t agent_sim_synth_seed(uint64_t seed, int fiscal_year)
{
    return seed + 1000003u * (uint64_t)(fiscal_year - 2000);
}

int agent_sim_data_synth(uint64_t seed, int64_t first_slot, size_t slots,
                         struct agent_sim_data *data, struct agent_error *error)
{
    int first = agent_fiscal_year(agent_date_of(agent_slot_start(first_slot)));
    int last = agent_fiscal_year(agent_date_of(agent_slot_start(first_slot + (int64_t)slots - 1)));
    int result = 0;

    agent_sim_data_empty(data, first_slot, slots);
    for (int year = first; year <= last && result == 0; year++) {
        result = copy_year(year, agent_sim_synth_seed(seed, year), data, error);
    }
    if (result != 0) {
        agent_sim_data_done(data);
        agent_error_set(error, result, "simulation: out of memory");
    }
    return result;
}
