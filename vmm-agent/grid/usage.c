/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage.c - でんき予報: today's demand, forecast and supply capacity, by hour and by 5 minutes
 * Owner: none.   Thread: the caller's.
 * Time:  from the file (JST, start of the interval).   Units: file 万kW and %, series MW and ratio.
 *
 * One file holds several tables, parted by blank rows; each is found by its header. Tables whose
 * header is not one of ours (peak of the day, tomorrow, ...) are skipped as a whole. Series carry
 * the place "hourly" or "5min", so that they never mix with half-hour slots. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "grid/reader.h"
#include "support/text.h"

#define MW_PER_10MW    10.0
#define RATIO_SLACK    0.03 /* the operators round the ratio to whole percents, some of peaks */
#define HOUR_S         3600
#define FIVE_MINUTES_S 300

enum column { DATE, TIME, ACTUAL, FORECAST, RATIO, CAPACITY, PV, COLUMN_COUNT };
enum table_kind { NONE, HOURLY, FIVE_MINUTES };

static const struct {
    const char *key;
    enum column column;
    enum table_kind kind;
} names[] = {
    {"DATE", DATE, NONE},
    {"TIME", TIME, NONE},
    {"当日実績(万kW)", ACTUAL, HOURLY},
    {"実績(万kW)", ACTUAL, HOURLY},
    {"予測値(万kW)", FORECAST, HOURLY},
    {"需要電力予測値(万kW)", FORECAST, HOURLY},
    {"使用率(%)", RATIO, HOURLY},
    {"供給力(万kW)", CAPACITY, HOURLY},
    {"供給力予測値(万kW)", CAPACITY, HOURLY},
    {"供給力想定値(万kW)", CAPACITY, HOURLY},
    {"当日実績(5分間隔値)(万kW)", ACTUAL, FIVE_MINUTES},
    {"太陽光発電実績(5分間隔値)(万kW)", PV, FIVE_MINUTES},
};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

struct usage {
    struct grid_reader *reader;
    struct grid_table hourly;
    struct grid_table five;
    enum table_kind kind; /* of the table being read */
    int at[COLUMN_COUNT];
    bool reordered;
    size_t width;
    int64_t issued_s;
    bool has_day;
    struct agent_date day;
};

static bool match(const struct grid_reader *reader)
{
    return strstr(reader->head, "DATE,TIME,当日実績") != NULL ||
           strstr(reader->head, "\"DATE\",\"TIME\",\"当日実績") != NULL ||
           (strstr(reader->head, "ピーク時供給力") != NULL &&
            strstr(reader->head, "UPDATE") != NULL);
}

/* Names we skip knowingly inside our tables. */
static bool ignored(const char *key)
{
    return strncmp(key, "予備率", strlen("予備率")) == 0 ||
           strncmp(key, "太陽光発電量", strlen("太陽光発電量")) == 0 || key[0] == '\0';
}

static int find_name(const char *key)
{
    for (size_t index = 0; index < NAME_COUNT; index++) {
        if (strcmp(names[index].key, key) == 0) {
            return (int)index;
        }
    }
    return -ENOENT;
}

/* A row beginning with DATE,TIME: decides which table begins. */
static int read_header(struct usage *usage)
{
    struct grid_reader *reader = usage->reader;
    char keys[AGENT_CSV_FIELDS_MAX][GRID_KEY_MAX];
    bool ours = false;

    usage->kind = NONE;
    usage->width = 0;
    for (int column = 0; column < COLUMN_COUNT; column++) {
        usage->at[column] = -1;
    }
    for (size_t index = 0; index < reader->row.count; index++) {
        if (agent_text_key(reader->row.fields[index], keys[index], GRID_KEY_MAX) < 0) {
            return grid_fail(reader, index, "expected a column name");
        }
        ours = ours || strstr(keys[index], "実績(") != NULL;
        usage->width = keys[index][0] != '\0' ? index + 1 : usage->width;
    }
    for (size_t index = 0; ours && index < usage->width; index++) {
        int name = find_name(keys[index]);
        if (name < 0 && ignored(keys[index])) {
            continue;
        }
        if (name < 0 || usage->at[names[name].column] >= 0 ||
            (names[name].kind != NONE && usage->kind != NONE && names[name].kind != usage->kind)) {
            return grid_fail(reader, index, "unknown, repeated or misplaced column '%.60s'",
                             keys[index]);
        }
        usage->at[names[name].column] = (int)index;
        usage->kind = names[name].kind != NONE ? names[name].kind : usage->kind;
    }
    bool whole = usage->at[ACTUAL] >= 0 && usage->at[DATE] >= 0 && usage->at[TIME] >= 0 &&
                 (usage->kind != HOURLY ||
                  (usage->at[FORECAST] >= 0 && usage->at[CAPACITY] >= 0 && usage->at[RATIO] >= 0));
    if (ours && !whole) {
        return grid_fail(
            reader, 0,
            "expected the columns DATE, TIME, 当日実績(万kW), 予測値(万kW), 使用率(%%), "
            "供給力(万kW); some are missing");
    }
    /* All operators begin with these; ratio and capacity come in two orders, but check each other
     */
    usage->reordered =
        ours && (usage->at[DATE] != 0 || usage->at[TIME] != 1 || usage->at[ACTUAL] != 2 ||
                 (usage->at[FORECAST] >= 0 && usage->at[FORECAST] != 3) ||
                 (usage->at[PV] >= 0 && usage->at[PV] != 3));
    return 0;
}

/* demand / capacity must be the stated ratio, or the columns are not what we think. */
static void check_ratio(struct grid_record *record)
{
    double capacity = record->values[CAPACITY];
    double ratio = record->values[RATIO] / 100;
    double actual = record->values[ACTUAL] / capacity;
    double forecast = record->values[FORECAST] / capacity;
    bool near = fabs(actual - ratio) <= RATIO_SLACK || fabs(forecast - ratio) <= RATIO_SLACK;

    if (!isnan(ratio) && (isnan(capacity) || !near)) {
        record->quality |= AGENT_QUALITY_IMBALANCED;
    }
}

static int read_row(struct usage *usage)
{
    struct grid_reader *reader = usage->reader;
    bool hourly = usage->kind == HOURLY;
    struct agent_date date;
    int status = grid_row_width(reader, usage->width);

    status = status < 0 ? status : grid_date(reader, (size_t)usage->at[DATE], &date);
    if (status < 0) {
        return status;
    }
    if (usage->has_day && agent_date_start(date) != agent_date_start(usage->day)) {
        return grid_fail(reader, (size_t)usage->at[DATE],
                         "expected the same day in the whole "
                         "file, found '%.20s'",
                         reader->row.fields[usage->at[DATE]]);
    }
    usage->has_day = true;
    usage->day = date;
    int minutes = grid_minutes(reader->row.fields[usage->at[TIME]]);
    int step = hourly ? 60 : 5;
    if (minutes < 0 || minutes >= 1440 || minutes % step != 0) {
        return grid_fail(reader, (size_t)usage->at[TIME],
                         "expected the start of %d minutes, "
                         "found '%.20s'",
                         step, reader->row.fields[usage->at[TIME]]);
    }
    struct grid_record *record = grid_table_add(hourly ? &usage->hourly : &usage->five,
                                                agent_date_start(date) + minutes * 60,
                                                hourly ? HOUR_S : FIVE_MINUTES_S, reader->row.line);
    if (record == NULL) {
        return -ENOMEM;
    }
    for (int column = ACTUAL; column < COLUMN_COUNT && status >= 0; column++) {
        int at = usage->at[column];
        status = at < 0 ? 0 : grid_number(reader, (size_t)at, "value", &record->values[column]);
        if (at >= 0 && !reader->row.complete && (size_t)at + 1 == reader->row.count) {
            record->doubtful_column = column;
        }
    }
    bool unmeasured = !(fabs(record->values[ACTUAL]) > 0); /* 0 or empty: not there yet */
    for (int column = ACTUAL; unmeasured && column < COLUMN_COUNT; column++) {
        if (column != FORECAST && column != CAPACITY) {
            record->values[column] = NAN;
        }
    }
    record->quality |= usage->reordered ? AGENT_QUALITY_LAYOUT : 0;
    if (hourly) {
        check_ratio(record);
    }
    return status < 0 ? status : 0;
}

static void read_update(struct usage *usage, const char *cell)
{
    char date_text[16] = "";
    int hour = 0;
    int minute = 0;
    struct agent_date date;

    if (sscanf(cell, "%15s %2d:%2d UPDATE", date_text, &hour, &minute) == 3 && hour >= 0 &&
        hour < 24 && minute >= 0 && minute < 60 && agent_date_parse(date_text, &date, NULL) == 0) {
        usage->issued_s = agent_date_start(date) + hour * 3600 + minute * 60;
    }
}

static int read_any(struct usage *usage)
{
    struct grid_reader *reader = usage->reader;
    char key[GRID_KEY_MAX] = "";

    if (agent_csv_blank(&reader->row)) {
        usage->kind = NONE;
        return 0;
    }
    const char *first = reader->row.fields[0];
    if (strstr(first, "UPDATE") != NULL) {
        read_update(usage, first);
        return 0;
    }
    if (agent_text_key(first, key, sizeof(key)) == 0 && strcmp(key, "DATE") == 0) {
        return read_header(usage);
    }
    return usage->kind != NONE ? read_row(usage) : 0;
}

static int emit_one(struct usage *usage, const struct grid_table *table, enum column column,
                    enum agent_quantity quantity, enum agent_stage stage)
{
    struct agent_series *series =
        agent_batch_series(usage->reader->batch, usage->reader->area, quantity, stage,
                           table == &usage->hourly ? "hourly" : "5min");
    int status = grid_table_emit(table, column, column == RATIO ? 0.01 : MW_PER_10MW, series);

    if (status == 0) {
        series->issued_s = usage->issued_s;
    }
    return status;
}

static int emit(struct usage *usage)
{
    struct grid_reader *reader = usage->reader;
    int status = grid_table_sort(&usage->hourly, reader);

    status = status < 0 ? status : grid_table_sort(&usage->five, reader);
    status =
        status < 0 ? status : emit_one(usage, &usage->hourly, ACTUAL, AGENT_DEMAND, AGENT_ACTUAL);
    status = status < 0 ? status
                        : emit_one(usage, &usage->hourly, FORECAST, AGENT_DEMAND, AGENT_FORECAST);
    status = status < 0 ? status
                        : emit_one(usage, &usage->hourly, RATIO, AGENT_USAGE_RATIO, AGENT_ACTUAL);
    status = status < 0
                 ? status
                 : emit_one(usage, &usage->hourly, CAPACITY, AGENT_SUPPLY_CAPACITY, AGENT_FORECAST);
    status =
        status < 0 ? status : emit_one(usage, &usage->five, ACTUAL, AGENT_DEMAND, AGENT_ACTUAL);
    return status < 0 ? status : emit_one(usage, &usage->five, PV, AGENT_PV, AGENT_ACTUAL);
}

static int parse(struct grid_reader *reader)
{
    struct usage usage = {.reader = reader};
    int status = grid_need_area(reader);

    grid_table_init(&usage.hourly, COLUMN_COUNT);
    grid_table_init(&usage.five, COLUMN_COUNT);
    while (status >= 0) {
        status = agent_csv_next(&reader->csv, &reader->row, reader->error);
        if (status <= 0) {
            break;
        }
        status = read_any(&usage);
    }
    status = status < 0 ? status : emit(&usage);
    grid_table_done(&usage.hourly);
    grid_table_done(&usage.five);
    return status;
}

const struct grid_adapter grid_usage = {"usage", match, parse};
