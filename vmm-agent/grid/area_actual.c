/* SPDX-License-Identifier: GPL-2.0-or-later */
/* area_actual.c - エリア需給実績 of the ten areas: eria_jukyu_YYYYMM_NN.csv and the daily file
 * Owner: none.   Thread: the caller's.
 * Time:  from the file (JST).   Units: file and series MW average over 30 minutes.
 *
 * Line 1 states the unit, line 2 names the columns, then one row per slot. Two things differ by
 * area and cannot be seen in the header: Kyushu labels a slot by its end (0:30...24:00) and counts
 * export positive in 連系線; the others label the start and count import positive. The balance of
 * each row, sources + import = 合計, tells whether a row was read as meant. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "grid/reader.h"
#include "support/text.h"

#define BALANCE_MW     2.0 /* rounding of twenty columns */
#define DEMAND_MW      30.0
#define DEMAND_SHARE   0.01
#define DATE_COLUMN    0
#define TIME_COLUMN    1
#define FIRST_QUANTITY 2

enum role { LABEL, SOURCE, CURTAILED, IMPORT, TOTAL, DEMAND };

/* In the order every operator uses; some leave members out. */
static const struct {
    const char *key;
    bool required;
    enum role role;
    enum agent_quantity quantity;
} layout[] = {
    {"DATE", true, LABEL, AGENT_QUANTITY_INVALID},
    {"TIME", true, LABEL, AGENT_QUANTITY_INVALID},
    {"エリア需要", true, DEMAND, AGENT_DEMAND},
    {"原子力", true, SOURCE, AGENT_NUCLEAR},
    {"火力(LNG)", true, SOURCE, AGENT_THERMAL_LNG},
    {"火力(石炭)", true, SOURCE, AGENT_THERMAL_COAL},
    {"火力(石油)", true, SOURCE, AGENT_THERMAL_OIL},
    {"火力(その他)", true, SOURCE, AGENT_THERMAL_OTHER},
    {"火力出力制御量", false, CURTAILED, AGENT_THERMAL_CURTAILED},
    {"水力", true, SOURCE, AGENT_HYDRO},
    {"地熱", true, SOURCE, AGENT_GEOTHERMAL},
    {"バイオマス", true, SOURCE, AGENT_BIOMASS},
    {"バイオマス出力制御量", false, CURTAILED, AGENT_BIOMASS_CURTAILED},
    {"太陽光発電実績", true, SOURCE, AGENT_PV},
    {"太陽光出力制御量", true, CURTAILED, AGENT_PV_CURTAILED},
    {"風力発電実績", true, SOURCE, AGENT_WIND},
    {"風力出力制御量", true, CURTAILED, AGENT_WIND_CURTAILED},
    {"揚水", true, SOURCE, AGENT_PUMPED},
    {"蓄電池", true, SOURCE, AGENT_GRID_BATTERY},
    {"連系線", true, IMPORT, AGENT_INTERCONNECTION},
    {"その他", true, SOURCE, AGENT_OTHER},
    {"合計", true, TOTAL, AGENT_TOTAL},
};
#define LAYOUT_COUNT (sizeof(layout) / sizeof(layout[0]))

struct actual {
    struct grid_reader *reader;
    struct grid_column columns[LAYOUT_COUNT];
    struct grid_table table;
    size_t width;
    bool reordered;
    bool end_labels;
    bool has_month;
    struct agent_date month;
};

static bool match(const struct grid_reader *reader)
{
    return strstr(reader->head, "エリア需要") != NULL && strstr(reader->head, "連系線") != NULL &&
           strstr(reader->head, "合計") != NULL;
}

static int read_banner(struct grid_reader *reader)
{
    char key[GRID_KEY_MAX] = "";
    int status = grid_next_row(reader);

    if (status < 0) {
        return status;
    }
    if (status > 0 && agent_text_key(reader->row.fields[0], key, sizeof(key)) == 0 &&
        strcmp(key, "単位[MW平均]") == 0) {
        return 0;
    }
    return grid_fail(reader, 0, "expected the unit '単位[MW平均]', found '%.60s'", key);
}

static int read_header(struct actual *actual)
{
    struct grid_reader *reader = actual->reader;
    int status = grid_next_row(reader);

    if (status <= 0) {
        return status < 0 ? status
                          : grid_fail(reader, 0, "expected the column names, found the end");
    }
    for (size_t index = 0; index < LAYOUT_COUNT; index++) {
        actual->columns[index] =
            (struct grid_column){layout[index].key, layout[index].required, -1};
    }
    int width = grid_columns(reader, actual->columns, LAYOUT_COUNT, false, &actual->reordered);
    if (width < 0) {
        return width;
    }
    actual->width = (size_t)width;
    return 0;
}

/* Start of the row's slot; a label that the area's convention does not have is an error. */
static int read_start(struct actual *actual, int64_t *start_s)
{
    struct grid_reader *reader = actual->reader;
    size_t date_at = (size_t)actual->columns[DATE_COLUMN].at;
    size_t time_at = (size_t)actual->columns[TIME_COLUMN].at;
    const char *label = reader->row.fields[time_at];
    struct agent_date date;
    int status = grid_date(reader, date_at, &date);
    int minutes = grid_minutes(label);

    if (status < 0) {
        return status;
    }
    if (actual->has_month &&
        (date.year != actual->month.year || date.month != actual->month.month)) {
        return grid_fail(reader, date_at,
                         "expected a day of %04d-%02d as in the file name, found "
                         "'%.20s'",
                         actual->month.year, actual->month.month, reader->row.fields[date_at]);
    }
    int first = actual->end_labels ? 30 : 0;
    if (minutes < first || minutes > first + 1410 || minutes % 30 != 0) {
        return grid_fail(reader, time_at, "expected the %s of a slot, %s, found '%.20s'",
                         actual->end_labels ? "end" : "start",
                         actual->end_labels ? "0:30 to 24:00" : "0:00 to 23:30", label);
    }
    *start_s = agent_date_start(date) + (minutes - first) * 60;
    return 0;
}

/* Shikoku leaves the cell of a 制御量 empty while nothing is curtailed; elsewhere an empty cell in
 * a measured row is a value that is missing. */
static void fill_uncurtailed(const struct actual *actual, struct grid_record *record)
{
    for (size_t index = FIRST_QUANTITY; index < LAYOUT_COUNT; index++) {
        if (actual->reader->area == AGENT_AREA_SHIKOKU && layout[index].role == CURTAILED &&
            actual->columns[index].at >= 0 && isnan(record->values[index])) {
            record->values[index] = 0;
        }
    }
}

/* Sets the row's quality from its balance; empty cells count as none of that source. */
static void check_balance(const struct actual *actual, struct grid_record *record)
{
    double sum = 0;
    double total = NAN;
    double demand = NAN;

    for (size_t index = FIRST_QUANTITY; index < LAYOUT_COUNT; index++) {
        double value = record->values[index];
        if (layout[index].role == TOTAL) {
            total = value;
        } else if (layout[index].role == DEMAND) {
            demand = value;
        } else if (layout[index].role != CURTAILED && !isnan(value)) {
            sum += value;
        }
    }
    bool balanced = fabs(sum - total) <= BALANCE_MW; /* false when the total is empty */
    bool meets = fabs(demand - total) <= fmax(DEMAND_MW, DEMAND_SHARE * total);
    if (!balanced || !meets) {
        record->quality |= AGENT_QUALITY_IMBALANCED;
    }
    if (actual->reordered) {
        record->quality |= AGENT_QUALITY_LAYOUT;
    }
}

static int read_row(struct actual *actual)
{
    struct grid_reader *reader = actual->reader;
    int64_t start_s = 0;
    bool any = false;
    int status = grid_row_width(reader, actual->width);

    if (status == 0) {
        status = read_start(actual, &start_s);
    }
    if (status < 0) {
        return status;
    }
    struct grid_record *record =
        grid_table_add(&actual->table, start_s, AGENT_SLOT_SECONDS, reader->row.line);
    if (record == NULL) {
        return -ENOMEM;
    }
    for (size_t index = FIRST_QUANTITY; index < LAYOUT_COUNT && status >= 0; index++) {
        if (actual->columns[index].at < 0) {
            continue;
        }
        status = grid_number(reader, (size_t)actual->columns[index].at, layout[index].key,
                             &record->values[index]);
        any = any || status == 0;
        if (layout[index].role == IMPORT && reader->area == AGENT_AREA_KYUSHU) {
            record->values[index] = -record->values[index];
        }
    }
    if (status < 0) {
        return status;
    }
    if (any) {
        fill_uncurtailed(actual, record);
        check_balance(actual, record);
    }
    return 0;
}

static int emit(struct actual *actual)
{
    struct grid_reader *reader = actual->reader;
    int status = grid_table_sort(&actual->table, reader);

    for (size_t index = FIRST_QUANTITY; index < LAYOUT_COUNT && status == 0; index++) {
        struct agent_series *series = agent_batch_series(
            reader->batch, reader->area, layout[index].quantity, AGENT_ACTUAL, NULL);
        status = grid_table_emit(&actual->table, index, 1, series);
    }
    return status;
}

static int parse(struct grid_reader *reader)
{
    struct actual actual = {.reader = reader};
    int status = grid_need_area(reader);

    actual.end_labels = reader->area == AGENT_AREA_KYUSHU;
    actual.has_month = strcasestr(reader->input->name, "jukyu_") != NULL &&
                       (grid_name_date(reader->input->name, 6, &actual.month) ||
                        grid_name_date(reader->input->name, 8, &actual.month));
    grid_table_init(&actual.table, LAYOUT_COUNT);
    status = status < 0 ? status : read_banner(reader);
    status = status < 0 ? status : read_header(&actual);
    while (status >= 0) {
        status = grid_next_row(reader);
        if (status <= 0) {
            break;
        }
        status = read_row(&actual);
    }
    if (status == 0) {
        status = emit(&actual);
    }
    grid_table_done(&actual.table);
    return status;
}

const struct grid_adapter grid_area_actual = {"area-actual", match, parse};
