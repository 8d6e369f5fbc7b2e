/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spot.c - day-ahead prices of the power exchange: spot_YYYY.csv and spot_summary_YYYY.csv
 * Owner: none.   Thread: the caller's.
 * Time:  from the file (JST, slots 1..48).   Units: JPY/kWh; volume kWh per slot to MW.
 *
 * One file holds a fiscal year, April to March. The first column is called 年月日 or 受渡日 and
 * what follows the nine area prices varies by year, so columns are found by name. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "grid/reader.h"
#include "support/text.h"

#define AREAS           9 /* Okinawa has no market */
#define MW_PER_KWH_SLOT 0.002

enum column {
    DAY,
    DAY_OTHER,
    SLOT,
    SELL_BIDS, /* known only to notice when columns were exchanged */
    BUY_BIDS,
    VOLUME,
    SYSTEM,
    FIRST_AREA,
    COLUMN_COUNT = FIRST_AREA + AREAS
};

struct spot {
    struct grid_reader *reader;
    struct grid_column columns[COLUMN_COUNT];
    struct grid_table table;
    size_t width;
    size_t day_at;
    bool reordered;
    int fiscal_year; /* of the file name, 0 = not told */
};

static const char *const keys[COLUMN_COUNT] = {
    "受渡日", "年月日", "時刻コード", "売り入札量", "買い入札量", "約定総量", "システムプライス",
    "北海道", "東北",   "東京",       "中部",       "北陸",       "関西",     "中国",
    "四国",   "九州"};

static bool match(const struct grid_reader *reader)
{
    return strstr(reader->head, "時刻コード") != NULL &&
           strstr(reader->head, "システムプライス") != NULL;
}

/* "エリアプライス東京(円/kWh)" to "東京": prefix and unit off, both checked. */
static void shorten(char *cell)
{
    static const char *const units[] = {"(円/kWh)", "(kWh)"};
    static const char prefix[] = "エリアプライス";
    char key[GRID_KEY_MAX];

    if (agent_text_key(cell, key, sizeof(key)) < 0) {
        return;
    }
    for (size_t index = 0; index < 2; index++) {
        size_t length = strlen(key);
        size_t unit = strlen(units[index]);
        bool volume = strstr(key, "総量") != NULL || strstr(key, "入札量") != NULL;
        if (length > unit && strcmp(key + length - unit, units[index]) == 0 &&
            volume == (index == 1)) {
            key[length - unit] = '\0';
        }
    }
    bool area = strncmp(key, prefix, strlen(prefix)) == 0;
    const char *name = area ? key + strlen(prefix) : key;
    if (strlen(name) <= strlen(cell)) {
        memcpy(cell, name, strlen(name) + 1);
    }
}

static int read_header(struct spot *spot)
{
    struct grid_reader *reader = spot->reader;
    int status = grid_next_row(reader);

    if (status <= 0) {
        return status < 0 ? status
                          : grid_fail(reader, 0, "expected the column names, found the end");
    }
    for (size_t index = 0; index < reader->row.count; index++) {
        shorten(reader->row.fields[index]);
    }
    for (int index = 0; index < COLUMN_COUNT; index++) {
        bool optional = index < SYSTEM && index != SLOT;
        spot->columns[index] = (struct grid_column){keys[index], !optional, -1};
    }
    int width = grid_columns(reader, spot->columns, COLUMN_COUNT, true, &spot->reordered);
    if (width < 0) {
        return width;
    }
    bool one = spot->columns[DAY].at >= 0;
    if (one == (spot->columns[DAY_OTHER].at >= 0)) {
        return grid_fail(reader, 0, "expected one column 受渡日 or 年月日, found %s",
                         one ? "both" : "neither");
    }
    spot->day_at = (size_t)spot->columns[one ? DAY : DAY_OTHER].at;
    for (int index = SYSTEM; index < COLUMN_COUNT; index++) { /* the ten prices stand together */
        spot->reordered =
            spot->reordered || spot->columns[index].at != spot->columns[SYSTEM].at + index - SYSTEM;
    }
    spot->width = (size_t)width;
    return 0;
}

static int read_start(struct spot *spot, int64_t *start_s)
{
    struct grid_reader *reader = spot->reader;
    size_t slot_at = (size_t)spot->columns[SLOT].at;
    struct agent_date date;
    double slot = 0;
    int status = grid_date(reader, spot->day_at, &date);

    if (status < 0) {
        return status;
    }
    if (spot->fiscal_year != 0 && agent_fiscal_year(date) != spot->fiscal_year) {
        return grid_fail(reader, spot->day_at,
                         "expected a day of fiscal year %d as in the file "
                         "name, found '%.20s'",
                         spot->fiscal_year, reader->row.fields[spot->day_at]);
    }
    status = grid_number(reader, slot_at, keys[SLOT], &slot);
    if (status != 0 || slot < 1 || slot > AGENT_SLOTS_PER_DAY || slot > floor(slot)) {
        return grid_fail(reader, slot_at, "expected a slot 1 to 48, found '%.20s'",
                         reader->row.fields[slot_at]);
    }
    *start_s = agent_slot_start(agent_slot_at(date, (int)slot - 1));
    return 0;
}

static int read_row(struct spot *spot)
{
    struct grid_reader *reader = spot->reader;
    int64_t start_s = 0;
    int status = grid_row_width(reader, spot->width);

    status = status < 0 ? status : read_start(spot, &start_s);
    if (status < 0) {
        return status;
    }
    struct grid_record *record =
        grid_table_add(&spot->table, start_s, AGENT_SLOT_SECONDS, reader->row.line);
    if (record == NULL) {
        return -ENOMEM;
    }
    for (int index = VOLUME; index < COLUMN_COUNT && status >= 0; index++) {
        int at = spot->columns[index].at;
        status = at < 0 ? 0 : grid_number(reader, (size_t)at, keys[index], &record->values[index]);
        if (at >= 0 && !reader->row.complete && (size_t)at + 1 == reader->row.count) {
            record->doubtful_column = index;
        }
    }
    record->quality |= spot->reordered ? AGENT_QUALITY_LAYOUT : 0;
    return status < 0 ? status : 0;
}

static int emit(struct spot *spot)
{
    struct agent_batch *batch = spot->reader->batch;
    int status = grid_table_sort(&spot->table, spot->reader);

    for (int index = VOLUME; index < COLUMN_COUNT && status == 0; index++) {
        enum agent_area area = index < FIRST_AREA
                                   ? AGENT_AREA_NONE
                                   : (enum agent_area)(AGENT_AREA_HOKKAIDO + index - FIRST_AREA);
        enum agent_quantity quantity = index == VOLUME   ? AGENT_VOLUME_SPOT
                                       : index == SYSTEM ? AGENT_PRICE_SYSTEM
                                                         : AGENT_PRICE_SPOT;
        status = grid_table_emit(&spot->table, (size_t)index, index == VOLUME ? MW_PER_KWH_SLOT : 1,
                                 agent_batch_series(batch, area, quantity, AGENT_ACTUAL, NULL));
    }
    return status;
}

static int file_year(const char *name)
{
    const char *at = strcasestr(name, "spot_");
    int year = 0;

    while (at != NULL && *at != '\0' && (*at < '0' || *at > '9')) {
        at++;
    }
    if (at == NULL || strspn(at, "0123456789") != 4 || sscanf(at, "%4d", &year) != 1) {
        return 0;
    }
    return year;
}

static int parse(struct grid_reader *reader)
{
    struct spot spot = {.reader = reader, .fiscal_year = file_year(reader->input->name)};
    int status = 0;

    grid_table_init(&spot.table, COLUMN_COUNT);
    status = read_header(&spot);
    while (status >= 0) {
        status = grid_next_row(reader);
        if (status <= 0) {
            break;
        }
        status = read_row(&spot);
    }
    status = status < 0 ? status : emit(&spot);
    grid_table_done(&spot.table);
    return status;
}

const struct grid_adapter grid_spot = {"spot", match, parse};
