/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reader.h - what all adapters share: one input on its way to a batch (private to grid/)
 * Owner: on the stack of agent_grid_parse().   Thread: the caller's.
 * Time:  input->now_s.                         Units: see series.h. */
#ifndef AGENT_GRID_READER_H
#define AGENT_GRID_READER_H

#include "grid/adapter.h"
#include "support/csv.h"
#include "support/slot.h"

#define GRID_KEY_MAX    160 /* longest normalised header cell accepted, with terminator */
#define GRID_HEAD_MAX   4096
#define GRID_BANNER_MAX 8 /* rows before the header */

/** struct grid_reader - one parse
 * @text: decoded UTF-8, changed while reading. @head: normalised beginning, for recognition */
struct grid_reader {
    const struct agent_input *input;
    enum agent_area area;
    char *text;
    size_t size;
    char *head;
    struct agent_csv csv;
    struct agent_csv_row row;
    struct agent_batch *batch;
    struct agent_error *error;
};

/** struct grid_adapter - one format; both hooks run on the caller's thread and never block
 * @match: does the beginning look like this format? Reads head and input->name only.
 * @parse: fills reader->batch. Return: 0 or -errno with a place in the file. */
struct grid_adapter {
    const char *name;
    bool (*match)(const struct grid_reader *reader);
    int (*parse)(struct grid_reader *reader);
};

extern const struct grid_adapter grid_area_actual;
extern const struct grid_adapter grid_area_forecast;
extern const struct grid_adapter grid_area_plan;
extern const struct grid_adapter grid_area_result;
extern const struct grid_adapter grid_usage;
extern const struct grid_adapter grid_spot;
extern const struct grid_adapter grid_imbalance;
extern const struct grid_adapter grid_outlook;
extern const struct grid_adapter grid_lines;
extern const struct grid_adapter grid_json_lines;

/** grid_next_row() - the next row that is not blank. Return: 1, 0 at the end, -errno. */
int grid_next_row(struct grid_reader *reader);

/** grid_fail() - -EBADMSG at field @index (0..) of the current row */
int grid_fail(struct grid_reader *reader, size_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** grid_need_area() - the caller's area, else the one the file name tells
 * Return: 0 with reader->area, or -EINVAL. */
int grid_need_area(struct grid_reader *reader);

/** grid_area_from_name() - area told by a file name or URL, AGENT_AREA_NONE when none or several */
enum agent_area grid_area_from_name(const char *name);

/** grid_name_date() - the first run of exactly @digits digits (6: YYYYMM, 8: YYYYMMDD) in the
 * last path part that forms a date; day is 1 for months. Return: true when there is one. */
bool grid_name_date(const char *name, size_t digits, struct agent_date *date);

/** grid_minutes() - "0:30", "00:30", "0:30:00" or "0030" as minutes of a day, 0..1440
 * Return: minutes or -EINVAL. */
int grid_minutes(const char *text);

/** grid_number() - field @index as a number. Return: 0, 1 when the cell is empty, -EBADMSG. */
int grid_number(struct grid_reader *reader, size_t index, const char *what, double *value);

/** grid_date() - field @index as a date. Return: 0 or -EBADMSG. */
int grid_date(struct grid_reader *reader, size_t index, struct agent_date *date);

/** grid_row_width() - the row must have @expected fields; more are fine only if they are empty
 * Return: 0 or -EBADMSG. */
int grid_row_width(struct grid_reader *reader, size_t expected);

/* Columns by name ------------------------------------------------------------------------- */

/** struct grid_column - one name looked for
 * @key: normalised (agent_text_key). @required: absence is an error.
 * @at: out: field index, -1 when absent */
struct grid_column {
    const char *key;
    bool required;
    int at;
};

/** grid_columns() - find the columns of the current row by name
 * @unknown_ok: other names are skipped; otherwise they are an error
 * @reordered: out, may be NULL: known columns stand in another order than in @columns
 * Return: number of fields of the header without empty ones at its end, or -EBADMSG. */
int grid_columns(struct grid_reader *reader, struct grid_column *columns, size_t count,
                 bool unknown_ok, bool *reordered);

/* Rows of a table ------------------------------------------------------------------------- */

#define GRID_WIDTH_MAX 64

/** struct grid_record - one row: a value per column, NaN = empty cell */
struct grid_record {
    int64_t start_s;
    int32_t length_s;
    uint32_t quality;    /* holds for every value of the row */
    int doubtful_column; /* a value cut off by the end of the file, -1 = none */
    unsigned line;
    double *values;
};

/** struct grid_table - rows in any order, sorted and freed of repetitions by grid_table_sort() */
struct grid_table {
    size_t width;
    size_t count;
    size_t capacity;
    struct grid_record *records;
};

/** grid_table_init() / grid_table_done() - @width 1..GRID_WIDTH_MAX */
void grid_table_init(struct grid_table *table, size_t width);
void grid_table_done(struct grid_table *table);

/** grid_table_add() - a new record with all values NaN; borrowed until the next add
 * Return: NULL when out of memory or over AGENT_SERIES_POINTS_MAX. */
struct grid_record *grid_table_add(struct grid_table *table, int64_t start_s, int32_t length_s,
                                   unsigned line);

/** grid_table_sort() - ascending; a repeated slot is dropped, and when it says something else the
 * kept one is flagged DUPLICATE; rows without any value at the end are dropped
 * Return: 0, or -EBADMSG when slots overlap. */
int grid_table_sort(struct grid_table *table, struct grid_reader *reader);

/** grid_table_emit() - column @column, times @factor, to @series; empty cells after the last value
 * are not finished yet and give no points, so an all-empty column gives none
 * @series: may be NULL (batch is full). Return: 0 or -errno. */
int grid_table_emit(const struct grid_table *table, size_t column, double factor,
                    struct agent_series *series);

/* Self-checks ----------------------------------------------------------------------------- */

/** grid_limits() - what @quantity of @area can plausibly be; max NaN = no limit known */
struct grid_limits {
    double min;
    double max;
};
struct grid_limits grid_limits(enum agent_area area, enum agent_quantity quantity);

/** grid_check_series() - set RANGE, FUTURE, INCOMPLETE and JUMP on the points of one series */
void grid_check_series(struct agent_series *series, int64_t now_s);

#endif
