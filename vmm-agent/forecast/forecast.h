/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forecast.h - the 48 half hours of a day from what was known before it
 * Owner: the caller owns all arrays.   Thread: any, no shared state.
 * Time:  slots, passed in.             Units:  MW (own load: kW), the same for all of one case.
 *
 * A method sees the past only through agent_fc_known(), which answers NAN for everything at or
 * after the instant of asking: no method can look ahead by accident. */
#ifndef AGENT_FORECAST_FORECAST_H
#define AGENT_FORECAST_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forecast/solar.h"
#include "support/error.h"
#include "support/slot.h"

#define AGENT_FC_SLOTS            AGENT_SLOTS_PER_DAY
#define AGENT_FC_METHODS_MAX      12
#define AGENT_FC_HISTORY_DAYS_MAX 800 /* a method never looks further back */

enum agent_fc_kind {
    AGENT_FC_PV,
    AGENT_FC_WIND,
    AGENT_FC_CURTAILMENT,
    AGENT_FC_LOAD,
    AGENT_FC_KINDS
};

/** struct agent_fc_track - one quantity, half hour by half hour
 * @value: @count values, borrowed; NAN = not known
 * @first_slot: slot of value[0] */
struct agent_fc_track {
    const double *value;
    int64_t first_slot;
    size_t count;
};

/** struct agent_fc_case - one question: a quantity on the day that begins at @day_slot
 * @actual:      measured values; may run past @known_until (back-tests), methods cannot see that
 * @outlook:     the operator's own day-ahead forecast by target slot; count 0 = there is none
 * @guide:       a published forecast that moves with the quantity without being it (demand less
 *               wind and sun, for curtailment); only likeness of days is taken from it; or count 0
 * @known_until: first slot whose measurement was not yet published when asked, <= @day_slot
 * @place:       for the sun; only PV uses it */
struct agent_fc_case {
    enum agent_fc_kind kind;
    struct agent_fc_track actual;
    struct agent_fc_track outlook;
    struct agent_fc_track guide;
    int64_t day_slot;
    int64_t known_until;
    struct agent_place_on_earth place;
};

/** struct agent_fc_method - one way to forecast
 * @name:         as given on the command line and stored with every forecast
 * @summary:      one line for people
 * @kinds:        bit (1 << kind) per quantity it can do
 * @history_days: least days of measurements before the day
 * @predict:      48 values into @out; Return: 0, -ENODATA (too little known). May be negative or
 *                NAN in single slots: agent_fc_predict() repairs. No allocation. Pure. */
struct agent_fc_method {
    const char *name;
    const char *summary;
    unsigned kinds;
    unsigned history_days;
    int (*predict)(const struct agent_fc_case *ask, double *out);
};

extern const struct agent_fc_method agent_fc_persistence; /* naive.c */
extern const struct agent_fc_method agent_fc_week;        /* naive.c */
extern const struct agent_fc_method agent_fc_similar;     /* similar.c */
extern const struct agent_fc_method agent_fc_clear_sky;   /* clearsky.c */
extern const struct agent_fc_method agent_fc_decay;       /* decay.c */
extern const struct agent_fc_method agent_fc_holt;        /* holt_winters.c */
extern const struct agent_fc_method agent_fc_operator;    /* operator.c */

/** agent_fc_methods() - all methods, persistence first. @count: out. Return: static array. */
const struct agent_fc_method *const *agent_fc_methods(size_t *count);

/** agent_fc_find() - by name. Return: the method, NULL = nobody has that name. */
const struct agent_fc_method *agent_fc_find(const char *name);

/** agent_fc_kind_name() - "pv", "wind", "curtailment" or "load" */
const char *agent_fc_kind_name(enum agent_fc_kind kind);

/** agent_fc_kind_parse() - the reverse. Return: 0, or -EINVAL. */
int agent_fc_kind_parse(const char *name, enum agent_fc_kind *kind);

/** agent_fc_known() - measurement of @slot as far as it was known; else NAN */
double agent_fc_known(const struct agent_fc_case *ask, int64_t slot);

/** agent_fc_outlook() - the operator's forecast for @slot, NAN = none */
double agent_fc_outlook(const struct agent_fc_case *ask, int64_t slot);

/** agent_fc_guide() - what likeness of days is judged by: the guide, else the outlook, else NAN */
double agent_fc_guide(const struct agent_fc_case *ask, int64_t slot);

/** agent_fc_dark() - is this a PV case, and the sun down for all of @slot? */
bool agent_fc_dark(const struct agent_fc_case *ask, int64_t slot);

/** agent_fc_predict() - run @method and check what it gave: finite, not negative, PV 0 at night;
 * single slots it could not fill are interpolated from their neighbours
 * @out: 48 values, written only on success
 * Return: 0, -ENODATA (too little history, no outlook), -EINVAL (wrong kind or case). */
int agent_fc_predict(const struct agent_fc_method *method, const struct agent_fc_case *ask,
                     double *out, struct agent_error *error);

#endif
