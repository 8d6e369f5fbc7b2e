/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.c - rows of a file in any order to ascending series
 * Owner: grid_table owns its records.   Thread: the caller's.
 * Time:  none.                          Units: as the adapter put them in. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid/reader.h"

void grid_table_init(struct grid_table *table, size_t width)
{
    memset(table, 0, sizeof(*table));
    table->width = width;
}

void grid_table_done(struct grid_table *table)
{
    for (size_t index = 0; index < table->count; index++) {
        free(table->records[index].values);
    }
    free(table->records);
    memset(table, 0, sizeof(*table));
}

struct grid_record *grid_table_add(struct grid_table *table, int64_t start_s, int32_t length_s,
                                   unsigned line)
{
    if (table->count == AGENT_SERIES_POINTS_MAX) {
        return NULL;
    }
    if (table->count == table->capacity) {
        size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        struct grid_record *records = realloc(table->records, capacity * sizeof(*records));
        if (records == NULL) {
            return NULL;
        }
        table->records = records;
        table->capacity = capacity;
    }
    double *values = malloc(table->width * sizeof(*values));
    if (values == NULL) {
        return NULL;
    }
    for (size_t column = 0; column < table->width; column++) {
        values[column] = NAN;
    }
    struct grid_record *record = &table->records[table->count++];
    *record = (struct grid_record){start_s, length_s, 0, -1, line, values};
    return record;
}

/* By time, then by line, so that the order of equal slots does not depend on the sort. */
static int earlier(const void *left, const void *right)
{
    const struct grid_record *a = left;
    const struct grid_record *b = right;

    if (a->start_s != b->start_s) {
        return a->start_s < b->start_s ? -1 : 1;
    }
    return a->line < b->line ? -1 : a->line > b->line ? 1 : 0;
}

static bool empty(const struct grid_table *table, const struct grid_record *record)
{
    for (size_t column = 0; column < table->width; column++) {
        if (!isnan(record->values[column])) {
            return false;
        }
    }
    return true;
}

static bool same(const struct grid_table *table, const struct grid_record *left,
                 const struct grid_record *right)
{
    for (size_t column = 0; column < table->width; column++) {
        double a = left->values[column];
        double b = right->values[column];
        if (isnan(a) != isnan(b) || (!isnan(a) && fabs(a - b) > 0)) {
            return false;
        }
    }
    return left->length_s == right->length_s;
}

int grid_table_sort(struct grid_table *table, struct grid_reader *reader)
{
    size_t kept = 0;

    if (table->count == 0) {
        return 0;
    }
    qsort(table->records, table->count, sizeof(*table->records), earlier);
    for (size_t index = 1; index < table->count; index++) {
        struct grid_record *last = &table->records[kept];
        struct grid_record *next = &table->records[index];
        if (next->start_s == last->start_s) {
            last->quality |= same(table, last, next) ? 0 : AGENT_QUALITY_DUPLICATE;
            free(next->values);
            next->values = NULL;
            continue;
        }
        if (next->start_s < last->start_s + last->length_s) {
            struct agent_place place = {reader->input->name, next->line, 0};
            int status = agent_error_at(reader->error, EBADMSG, place,
                                        "this slot overlaps the one of line %u", last->line);
            /* keep what _done() must free in one piece */
            for (; index < table->count; index++) {
                table->records[++kept] = table->records[index];
            }
            table->count = kept + 1;
            return status;
        }
        table->records[++kept] = *next;
    }
    table->count = kept + 1;
    while (table->count > 0 && empty(table, &table->records[table->count - 1])) {
        free(table->records[--table->count].values);
    }
    return 0;
}

int grid_table_emit(const struct grid_table *table, size_t column, double factor,
                    struct agent_series *series)
{
    size_t count = table->count;

    if (series == NULL) {
        return -E2BIG;
    }
    while (count > 0 && isnan(table->records[count - 1].values[column])) {
        count--;
    }
    for (size_t index = 0; index < count; index++) {
        const struct grid_record *record = &table->records[index];
        double value = record->values[column];
        struct agent_point point = {record->start_s, record->length_s, record->quality,
                                    isnan(value) ? NAN : value * factor};
        point.quality |= isnan(value) ? AGENT_QUALITY_MISSING : 0;
        point.quality |= record->doubtful_column == (int)column ? AGENT_QUALITY_INCOMPLETE : 0;
        if (fabs(point.value) <= 0) {
            point.value = 0; /* no negative zero: it would print as -0 */
        }
        int status = agent_series_append(series, point);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}
