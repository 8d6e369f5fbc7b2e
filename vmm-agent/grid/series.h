/* SPDX-License-Identifier: GPL-2.0-or-later */
/* series.h - the one typed series every adapter produces and every reader consumes
 * Owner: struct agent_batch owns its series; _init/_done.   Thread: one at a time, no locks.
 * Time:  UTC seconds; a value covers [start_s, start_s + length_s).
 * Units: canonical per quantity (agent_quantity_unit): power in MW (host: W), prices in JPY/kWh,
 *        ratios 0..1. Adapters convert; no reader ever sees kWh per half hour or 万kW. */
#ifndef AGENT_GRID_SERIES_H
#define AGENT_GRID_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_PLACE_MAX         32    /* bytes with the terminator */
#define AGENT_SERIES_MAX        64    /* series in one batch */
#define AGENT_SERIES_POINTS_MAX 40000 /* points in one series: two years of slots and a bit */

/* Numbers are those of the operators' file names eria_jukyu_YYYYMM_NN.csv. */
enum agent_area {
    AGENT_AREA_NONE = 0, /* a host, a battery, or the whole country */
    AGENT_AREA_HOKKAIDO = 1,
    AGENT_AREA_TOHOKU,
    AGENT_AREA_TOKYO,
    AGENT_AREA_CHUBU,
    AGENT_AREA_HOKURIKU,
    AGENT_AREA_KANSAI,
    AGENT_AREA_CHUGOKU,
    AGENT_AREA_SHIKOKU,
    AGENT_AREA_KYUSHU,
    AGENT_AREA_OKINAWA,
    AGENT_AREA_COUNT
};

enum agent_quantity {
    AGENT_QUANTITY_INVALID = 0,
    /* area balance, MW average over the slot */
    AGENT_DEMAND,
    AGENT_NUCLEAR,
    AGENT_THERMAL_LNG,
    AGENT_THERMAL_COAL,
    AGENT_THERMAL_OIL,
    AGENT_THERMAL_OTHER,
    AGENT_THERMAL_CURTAILED,
    AGENT_HYDRO,
    AGENT_GEOTHERMAL,
    AGENT_BIOMASS,
    AGENT_BIOMASS_CURTAILED,
    AGENT_PV, /* after curtailment: potential = PV + PV_CURTAILED */
    AGENT_PV_CURTAILED,
    AGENT_WIND,
    AGENT_WIND_CURTAILED,
    AGENT_PUMPED,          /* negative while pumping */
    AGENT_GRID_BATTERY,    /* negative while charging */
    AGENT_INTERCONNECTION, /* positive = import into the area, in every area */
    AGENT_OTHER,
    AGENT_TOTAL,
    /* area forecast / plan / actual files, MW average over the slot */
    AGENT_GENERATION, /* エリア総発電量 */
    AGENT_WIND_PV,    /* エリア風力・太陽光発電量 */
    /* usage forecast */
    AGENT_USAGE_RATIO, /* demand / supply capacity, 0..1.5 */
    AGENT_SUPPLY_CAPACITY,
    /* markets, JPY/kWh */
    AGENT_PRICE_SPOT,
    AGENT_PRICE_SYSTEM, /* area none */
    AGENT_PRICE_IMBALANCE_SURPLUS,
    AGENT_PRICE_IMBALANCE_SHORTAGE,
    AGENT_VOLUME_SPOT, /* MW average over the slot, area none */
    /* curtailment outlook: MW that will be curtailed in [start, start + length), 0 = none */
    AGENT_CURTAILMENT_OUTLOOK,
    /* lines between areas: place names the line, MW, positive in the line's named direction */
    AGENT_LINE_FLOW,
    AGENT_LINE_CAPACITY_FORWARD,
    AGENT_LINE_CAPACITY_REVERSE,
    /* our own sites: place names the host, the site or the battery */
    AGENT_HOST_POWER,     /* W */
    AGENT_BATTERY_CHARGE, /* state of charge 0..1 */
    AGENT_BATTERY_POWER,  /* W, negative while charging */
    AGENT_CARBON,         /* gCO2/kWh */
    AGENT_QUANTITY_COUNT
};

enum agent_stage { AGENT_ACTUAL, AGENT_FORECAST, AGENT_PLAN, AGENT_STAGE_COUNT };

enum agent_unit {
    AGENT_UNIT_NONE,
    AGENT_UNIT_MW,
    AGENT_UNIT_W,
    AGENT_UNIT_JPY_PER_KWH,
    AGENT_UNIT_RATIO,
    AGENT_UNIT_G_PER_KWH,
    AGENT_UNIT_COUNT
};

/* Why a value must be distrusted; 0 = passed every check that applies to it. */
enum agent_quality {
    AGENT_QUALITY_OK = 0,
    AGENT_QUALITY_MISSING = 1 << 0,    /* cell empty or unfinished; value is NaN */
    AGENT_QUALITY_IMBALANCED = 1 << 1, /* balance identity of its row is off by more than 2 MW */
    AGENT_QUALITY_RANGE = 1 << 2,      /* outside what the area or market can plausibly show */
    AGENT_QUALITY_INCOMPLETE = 1 << 3, /* its day has holes among the 48 slots */
    AGENT_QUALITY_FUTURE = 1 << 4,     /* an actual dated after the moment it was read */
    AGENT_QUALITY_STALE = 1 << 5,      /* older than its source is allowed to be */
    AGENT_QUALITY_REVISED = 1 << 6,    /* replaced an earlier, different value (a note, usable) */
    AGENT_QUALITY_MODELLED = 1 << 7,   /* computed by a model, not metered (a note, usable) */
    AGENT_QUALITY_DUPLICATE = 1 << 8,  /* the file gives this slot twice with different values */
    AGENT_QUALITY_JUMP = 1 << 9,       /* unlike its neighbours beyond what is physical */
    AGENT_QUALITY_LAYOUT = 1 << 10     /* columns in an order that no publisher uses */
};
#define AGENT_QUALITY_NOTES ((unsigned)(AGENT_QUALITY_REVISED | AGENT_QUALITY_MODELLED))

struct agent_point {
    int64_t start_s;  /* UTC; for slot values a multiple of 1,800 */
    int32_t length_s; /* > 0; 1,800 for slot values */
    uint32_t quality; /* enum agent_quality bits */
    double value;     /* in the unit of the series; NaN if and only if MISSING */
};

/** struct agent_series - values of one quantity at one place, ascending by start_s, no overlap */
struct agent_series {
    enum agent_area area;
    enum agent_quantity quantity;
    enum agent_stage stage;
    char place[AGENT_PLACE_MAX]; /* line, host or battery; "" for a whole area */
    int64_t issued_s;            /* when the publisher said so; 0 = the file does not tell */
    size_t count;
    size_t capacity;
    struct agent_point *points;
};

#define AGENT_SOURCE_MAX 256
#define AGENT_FORMAT_MAX 24

/** struct agent_batch - what one file (or one reading) gave: kept or dropped as a whole
 * @source:   file path, URL or device, as configured
 * @format:   adapter name, such as "area-actual"
 * @digest:   64-bit FNV-1a of the bytes read, to recognise the same file again
 * @fetched_s: when it was read, from the caller's clock */
struct agent_batch {
    char source[AGENT_SOURCE_MAX];
    char format[AGENT_FORMAT_MAX];
    uint64_t digest;
    int64_t fetched_s;
    size_t count;
    struct agent_series series[AGENT_SERIES_MAX];
};

/** agent_series_init() - an empty series with no memory yet */
void agent_series_init(struct agent_series *series, enum agent_area area,
                       enum agent_quantity quantity, enum agent_stage stage);

/** agent_series_done() - free the points; NULL and never-filled series are fine */
void agent_series_done(struct agent_series *series);

/** agent_series_append() - add a point after the last one
 * Return: 0, -EINVAL (length <= 0, or not after the last point), -ENOMEM, -E2BIG (limit). */
int agent_series_append(struct agent_series *series, struct agent_point point);

/** agent_series_find() - the point that covers @time_s, or NULL; borrowed until the next append */
const struct agent_point *agent_series_find(const struct agent_series *series, int64_t time_s);

/** agent_batch_init() / agent_batch_done() - the batch owns its series and their points */
void agent_batch_init(struct agent_batch *batch, const char *source, const char *format);
void agent_batch_done(struct agent_batch *batch);

/** agent_batch_series() - find or add the series of this key; NULL when AGENT_SERIES_MAX is
 * reached. Borrowed from @batch. @place may be NULL for "". */
struct agent_series *agent_batch_series(struct agent_batch *batch, enum agent_area area,
                                        enum agent_quantity quantity, enum agent_stage stage,
                                        const char *place);

/** agent_batch_find() - the same, but never adds: NULL when there is none */
const struct agent_series *agent_batch_find(const struct agent_batch *batch, enum agent_area area,
                                            enum agent_quantity quantity, enum agent_stage stage,
                                            const char *place);

/** agent_quality_usable() - may a plan rely on the value? Notes do not matter, doubts do. */
bool agent_quality_usable(uint32_t quality);

/** Names used in files, JSON and messages: "kyushu", "pv_curtailed", "forecast", "JPY/kWh".
 * The _of functions return the invalid member (area, quantity) or the _COUNT (stage) when the
 * text is none of the names. agent_area_of() takes also "09", "9" and 九州. */
const char *agent_area_name(enum agent_area area);
enum agent_area agent_area_of(const char *text);
const char *agent_area_japanese(enum agent_area area); /* 九州, UTF-8 */
const char *agent_quantity_name(enum agent_quantity quantity);
enum agent_quantity agent_quantity_of(const char *text);
const char *agent_stage_name(enum agent_stage stage);
enum agent_stage agent_stage_of(const char *text);
enum agent_unit agent_quantity_unit(enum agent_quantity quantity);
const char *agent_unit_name(enum agent_unit unit);

/** agent_quality_format() - "ok" or "range,stale"; @out at least 128 bytes. Return: @out. */
const char *agent_quality_format(uint32_t quality, char *out, size_t size);

/** agent_quality_parse() - the reverse. Return: 0 or -EINVAL. */
int agent_quality_parse(const char *text, uint32_t *quality);

#endif
