/* SPDX-License-Identifier: GPL-2.0-or-later */
/* imbalance.c - settlement prices of imbalance: H (head), T (titles) and D (data) records
 * Owner: none.   Thread: the caller's.
 * Time:  from the file (JST).   Units: JPY/kWh.
 *
 * A D record is "D", day, slot, from, to, then pairs of price and correction mark: nine areas for
 * surplus, nine for shortage. T records name the areas, and above or within the names whether 余剰
 * (surplus) or 不足 (shortage) is meant. Where no T record names an area, the publisher's fixed
 * order (北海道 to 九州) is taken, and only for records of exactly its width. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "grid/reader.h"
#include "support/text.h"

#define AREAS       9
#define FIRST_PRICE 5
#define FIXED_WIDTH (FIRST_PRICE + 2 * 2 * AREAS)
#define PRICES      (2 * AREAS)

enum field { RECORD, DAY, SLOT, FROM, TO };

struct imbalance {
    struct grid_reader *reader;
    struct grid_table table;
    int at[PRICES];                  /* field of surplus 0..8, shortage 9..17; -1 = not named */
    int group[AGENT_CSV_FIELDS_MAX]; /* 0 none, 1 surplus, 2 shortage */
    bool named;
    bool resolved;
    size_t width;
};

static bool match(const struct grid_reader *reader)
{
    const char *text = reader->text;

    return (strncmp(text, "\"H\",", 4) == 0 && strstr(text, "\"D\",") != NULL) ||
           (strncmp(text, "H,", 2) == 0 && strstr(text, "\nD,") != NULL);
}

static int area_index(const char *key)
{
    for (int area = AGENT_AREA_HOKKAIDO; area < AGENT_AREA_OKINAWA; area++) {
        if (strstr(key, agent_area_japanese((enum agent_area)area)) != NULL) {
            return area - AGENT_AREA_HOKKAIDO;
        }
    }
    return -1;
}

/* One T record: cells say which group begins, which area a column is, or nothing. */
static int read_titles(struct imbalance *imbalance)
{
    struct grid_reader *reader = imbalance->reader;
    int group = 0;

    for (size_t index = FIRST_PRICE; index < reader->row.count; index++) {
        char key[GRID_KEY_MAX];
        if (agent_text_key(reader->row.fields[index], key, sizeof(key)) < 0) {
            return grid_fail(reader, index, "expected a column title");
        }
        if (strstr(key, "余剰") != NULL) {
            group = 1;
        } else if (strstr(key, "不足") != NULL) {
            group = 2;
        }
        imbalance->group[index] = group != 0 ? group : imbalance->group[index];
        int area = area_index(key);
        bool mark = strstr(key, "補正") != NULL || strstr(key, "フラグ") != NULL;
        if (area < 0 || mark) {
            continue;
        }
        if (imbalance->group[index] == 0) {
            return grid_fail(reader, index,
                             "'%.60s': neither 余剰 nor 不足 is said for this "
                             "column",
                             key);
        }
        int slot = area + (imbalance->group[index] - 1) * AREAS;
        if (imbalance->at[slot] >= 0) {
            return grid_fail(reader, index, "'%.60s': the same price stands in field %d", key,
                             imbalance->at[slot] + 1);
        }
        imbalance->at[slot] = (int)index;
        imbalance->named = true;
    }
    return 0;
}

/* Prices stand at equal distances; otherwise a title has moved to a neighbour of its column. */
static int check_spacing(struct imbalance *imbalance)
{
    int step = imbalance->at[1] - imbalance->at[0];

    for (int price = 1; price < PRICES; price++) {
        int gap = imbalance->at[price] - imbalance->at[price - 1];
        if (gap != step || step <= 0) {
            return grid_fail(imbalance->reader, (size_t)imbalance->at[price],
                             "the areas stand in another order or at other distances than known");
        }
    }
    return 0;
}

static int resolve(struct imbalance *imbalance)
{
    struct grid_reader *reader = imbalance->reader;

    imbalance->resolved = true;
    imbalance->width = reader->row.count;
    if (!imbalance->named && reader->row.count != FIXED_WIDTH) {
        return grid_fail(reader, reader->row.count - 1,
                         "no T record names the areas: expected %d "
                         "fields in the known order, found %zu",
                         FIXED_WIDTH, reader->row.count);
    }
    for (int price = 0; price < PRICES; price++) {
        if (!imbalance->named) {
            imbalance->at[price] = FIRST_PRICE + 2 * price;
        } else if (imbalance->at[price] < 0) {
            return grid_fail(reader, 0, "expected a T record naming %s of %s, found none",
                             price < AREAS ? "余剰" : "不足",
                             agent_area_japanese((enum agent_area)(price % AREAS + 1)));
        }
    }
    return check_spacing(imbalance);
}

static int read_start(struct grid_reader *reader, int64_t *start_s)
{
    struct agent_date date;
    double slot = 0;
    int status = grid_date(reader, DAY, &date);

    if (status < 0) {
        return status;
    }
    status = grid_number(reader, SLOT, "slot", &slot);
    int from = grid_minutes(reader->row.fields[FROM]);
    int to = grid_minutes(reader->row.fields[TO]);
    if (status != 0 || slot < 1 || slot > AGENT_SLOTS_PER_DAY || slot > floor(slot)) {
        return grid_fail(reader, SLOT, "expected a slot 1 to 48, found '%.20s'",
                         reader->row.fields[SLOT]);
    }
    to = to == 0 ? 1440 : to;
    if (from != ((int)slot - 1) * 30 || to != (int)slot * 30) {
        return grid_fail(reader, FROM, "slot %d: expected its own times, found '%.20s' to '%.20s'",
                         (int)slot, reader->row.fields[FROM], reader->row.fields[TO]);
    }
    *start_s = agent_slot_start(agent_slot_at(date, (int)slot - 1));
    return 0;
}

static int read_prices(struct imbalance *imbalance)
{
    struct grid_reader *reader = imbalance->reader;
    int64_t start_s = 0;
    int status = 0;

    if (!imbalance->resolved) {
        status = resolve(imbalance);
    }
    status = status < 0 ? status : grid_row_width(reader, imbalance->width);
    status = status < 0 ? status : read_start(reader, &start_s);
    if (status < 0) {
        return status;
    }
    struct grid_record *record =
        grid_table_add(&imbalance->table, start_s, AGENT_SLOT_SECONDS, reader->row.line);
    if (record == NULL) {
        return -ENOMEM;
    }
    for (int price = 0; price < PRICES && status >= 0; price++) {
        size_t at = (size_t)imbalance->at[price];
        status = grid_number(reader, at, "price", &record->values[price]);
        if (!reader->row.complete && at + 1 == reader->row.count) {
            record->doubtful_column = price;
        }
    }
    for (int area = 0; area < AREAS; area++) { /* who lacks energy never pays less than who has */
        if (record->values[area] > record->values[AREAS + area]) {
            record->quality |= AGENT_QUALITY_IMBALANCED;
        }
    }
    return status < 0 ? status : 0;
}

static int read_record(struct imbalance *imbalance)
{
    struct grid_reader *reader = imbalance->reader;
    const char *kind = reader->row.fields[RECORD];

    if (strcmp(kind, "H") == 0) {
        return 0;
    }
    if (strcmp(kind, "T") == 0) {
        return imbalance->resolved
                   ? grid_fail(reader, RECORD, "a T record after the first D record")
                   : read_titles(imbalance);
    }
    if (strcmp(kind, "D") == 0) {
        return reader->row.count <= FIRST_PRICE
                   ? grid_fail(reader, reader->row.count,
                               "expected prices, found the end of the row")
                   : read_prices(imbalance);
    }
    return grid_fail(reader, RECORD, "expected H, T or D, found '%.20s'", kind);
}

static int emit(struct imbalance *imbalance)
{
    struct agent_batch *batch = imbalance->reader->batch;
    int status = grid_table_sort(&imbalance->table, imbalance->reader);

    for (int price = 0; price < PRICES && status == 0; price++) {
        enum agent_area area = (enum agent_area)(AGENT_AREA_HOKKAIDO + price % AREAS);
        enum agent_quantity quantity =
            price < AREAS ? AGENT_PRICE_IMBALANCE_SURPLUS : AGENT_PRICE_IMBALANCE_SHORTAGE;
        status = grid_table_emit(&imbalance->table, (size_t)price, 1,
                                 agent_batch_series(batch, area, quantity, AGENT_ACTUAL, NULL));
    }
    return status;
}

static int parse(struct grid_reader *reader)
{
    struct imbalance imbalance = {.reader = reader};
    int status = 0;

    for (int price = 0; price < PRICES; price++) {
        imbalance.at[price] = -1;
    }
    grid_table_init(&imbalance.table, PRICES);
    while (status >= 0) {
        status = grid_next_row(reader);
        if (status <= 0) {
            break;
        }
        status = read_record(&imbalance);
    }
    status = status < 0 ? status : emit(&imbalance);
    grid_table_done(&imbalance.table);
    return status;
}

const struct grid_adapter grid_imbalance = {"imbalance", match, parse};
