/* SPDX-License-Identifier: GPL-2.0-or-later */
/* area_slots.c - an area's forecast, plan or result per slot (yosoku, bgkeikaku, jiseki)
 * Owner: none.   Thread: the caller's.
 * Time:  from the file (JST).   Units: file kWh per 30 minutes, series MW (× 2 / 1000).
 *
 * The three kinds share one layout; the file name or the format chosen tells which one it is.
 * Before the header stand banners that differ by operator: names and values of the update time, a
 * single "... UPDATE" line, a title; after it one operator adds a row of units. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "grid/reader.h"
#include "support/text.h"

#define MW_PER_KWH_SLOT 0.002

enum column { DATE, SLOT, FROM, TO, DEMAND, GENERATION, WIND_PV, COLUMN_COUNT };

static const char *const keys[COLUMN_COUNT] = {"日付",
                                               "時間コマ",
                                               "時間帯_自",
                                               "時間帯_至",
                                               "エリア総需要量",
                                               "エリア総発電量",
                                               "エリア風力・太陽光発電量"};
static const enum agent_quantity quantities[COLUMN_COUNT] = {
    [DEMAND] = AGENT_DEMAND, [GENERATION] = AGENT_GENERATION, [WIND_PV] = AGENT_WIND_PV};

struct slots {
    struct grid_reader *reader;
    struct grid_column columns[COLUMN_COUNT];
    struct grid_table table;
    size_t width;
    bool reordered;
    bool has_day;
    struct agent_date day; /* 対象年月日 of the banner or the date of the file name */
    int64_t issued_s;
};

static bool looks_alike(const struct grid_reader *reader)
{
    return strstr(reader->head, "時間コマ") != NULL &&
           strstr(reader->head, "エリア総需要量") != NULL;
}

static bool name_has(const struct grid_reader *reader, const char *const *words)
{
    const char *slash = strrchr(reader->input->name, '/');
    const char *base = slash != NULL ? slash + 1 : reader->input->name;

    for (size_t index = 0; words[index] != NULL; index++) {
        if (strcasestr(base, words[index]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool match_plan(const struct grid_reader *reader)
{
    static const char *const words[] = {"keikaku", "計画", NULL};
    return looks_alike(reader) && name_has(reader, words);
}

static bool match_result(const struct grid_reader *reader)
{
    static const char *const words[] = {"jiseki", "jisseki", "実績", NULL};
    return looks_alike(reader) && name_has(reader, words);
}

/* 21110_TSO9_... is how one operator names its forecast. */
static bool match_forecast(const struct grid_reader *reader)
{
    static const char *const words[] = {"yosoku", "予測", "21110_", NULL};
    return looks_alike(reader) && name_has(reader, words);
}

/* "20250415" + "22:41:31", or "2025/4/15 22:41 UPDATE" in one cell. */
static int read_issued(struct slots *slots, const char *date_text, const char *time_text)
{
    struct grid_reader *reader = slots->reader;
    struct agent_date date;
    int hour = 0;
    int minute = 0;
    int second = 0;

    if (agent_date_parse(date_text, &date, NULL) < 0) {
        return grid_fail(reader, 0, "expected the date of the update, found '%.30s'", date_text);
    }
    if (sscanf(time_text, "%2d:%2d:%2d", &hour, &minute, &second) < 2 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 59) {
        return grid_fail(reader, 1, "expected the time of the update, found '%.30s'", time_text);
    }
    slots->issued_s = agent_date_start(date) + hour * 3600 + minute * 60 + second;
    return 0;
}

static int read_update_line(struct slots *slots, const char *cell)
{
    char date[16] = "";
    char clock[16] = "";

    if (sscanf(cell, "%15s %15s UPDATE", date, clock) != 2) {
        return grid_fail(slots->reader, 0, "expected 'DATE TIME UPDATE', found '%.40s'", cell);
    }
    return read_issued(slots, date, clock);
}

/* The row under ファイル更新日,ファイル更新時間,対象年月日. */
static int read_update_values(struct slots *slots)
{
    struct grid_reader *reader = slots->reader;
    int status = grid_next_row(reader);

    if (status <= 0 || reader->row.count < 3) {
        return status < 0 ? status
                          : grid_fail(reader, 0,
                                      "expected the update time and the day below "
                                      "ファイル更新日, found %zu fields",
                                      reader->row.count);
    }
    for (size_t index = 3; index < reader->row.count; index++) {
        char key[GRID_KEY_MAX];
        bool good = agent_text_key(reader->row.fields[index], key, sizeof(key)) == 0 &&
                    (key[0] == '\0' || strcasecmp(key, "[kWh]") == 0);
        if (!good) {
            return grid_fail(reader, index, "expected the unit [kWh], found '%.40s'",
                             reader->row.fields[index]);
        }
    }
    struct agent_date day;
    status = grid_date(reader, 2, &day);
    if (status == 0) {
        slots->has_day = true;
        slots->day = day;
        status = read_issued(slots, reader->row.fields[0], reader->row.fields[1]);
    }
    return status;
}

/* Removes "(kWh)" from a header cell; any other unit stays and makes the name unknown. */
static void strip_unit(char *cell)
{
    char key[GRID_KEY_MAX];
    size_t length = 0;

    if (agent_text_key(cell, key, sizeof(key)) == 0) {
        length = strlen(key);
        if (length > 5 && strcasecmp(key + length - 5, "(kWh)") == 0 &&
            length - 5 <= strlen(cell)) {
            memcpy(cell, key, length - 5); /* a key is never longer than its cell by "(kWh)" */
            cell[length - 5] = '\0';
        }
    }
}

static int read_columns(struct slots *slots)
{
    struct grid_reader *reader = slots->reader;

    for (size_t index = 0; index < reader->row.count; index++) {
        strip_unit(reader->row.fields[index]);
    }
    for (int index = 0; index < COLUMN_COUNT; index++) {
        slots->columns[index] = (struct grid_column){keys[index], true, -1};
    }
    int width = grid_columns(reader, slots->columns, COLUMN_COUNT, false, &slots->reordered);
    slots->width = width > 0 ? (size_t)width : 0;
    return width < 0 ? width : 0;
}

static int read_head(struct slots *slots)
{
    struct grid_reader *reader = slots->reader;

    for (int banner = 0; banner < GRID_BANNER_MAX; banner++) {
        char key[GRID_KEY_MAX];
        int status = grid_next_row(reader);
        if (status <= 0) {
            return status < 0 ? status
                              : grid_fail(reader, 0, "expected the column names, found the end");
        }
        char *first = reader->row.fields[0];
        size_t length = strlen(first);
        if (agent_text_key(first, key, sizeof(key)) < 0) {
            continue; /* a title longer than any name */
        }
        if (strcmp(key, keys[DATE]) == 0) {
            return read_columns(slots);
        }
        if (strcmp(key, "ファイル更新日") == 0) {
            status = read_update_values(slots);
        } else if (length > 6 && strcmp(first + length - 6, "UPDATE") == 0) {
            status = read_update_line(slots, first);
        }
        if (status < 0) {
            return status;
        }
    }
    return grid_fail(reader, 0,
                     "expected the column '日付' within the first %d rows, found "
                     "'%.40s'",
                     GRID_BANNER_MAX, reader->row.fields[0]);
}

/* The row -,-,-,-,ｋＷｈ,... : any other unit would make every number wrong by a factor. */
static int check_units(struct slots *slots)
{
    struct grid_reader *reader = slots->reader;

    for (int index = DEMAND; index < COLUMN_COUNT; index++) {
        char key[GRID_KEY_MAX] = "";
        size_t at = (size_t)slots->columns[index].at;
        if (at >= reader->row.count ||
            agent_text_key(reader->row.fields[at], key, sizeof(key)) < 0 ||
            strcasecmp(key, "kWh") != 0) {
            return grid_fail(reader, at, "expected the unit kWh, found '%.40s'", key);
        }
    }
    return 0;
}

/* Slot number, from and to must agree. */
static int read_start(struct slots *slots, int64_t *start_s)
{
    struct grid_reader *reader = slots->reader;
    char *const *fields = reader->row.fields;
    size_t slot_at = (size_t)slots->columns[SLOT].at;
    int from = grid_minutes(fields[slots->columns[FROM].at]);
    int to = grid_minutes(fields[slots->columns[TO].at]);
    struct agent_date date;
    double slot = 0;
    int status = grid_date(reader, (size_t)slots->columns[DATE].at, &date);

    if (status < 0) {
        return status;
    }
    if (slots->has_day && agent_date_start(date) != agent_date_start(slots->day)) {
        return grid_fail(reader, (size_t)slots->columns[DATE].at,
                         "expected the day %04d-%02d-%02d "
                         "as stated above the table, found '%.20s'",
                         slots->day.year, slots->day.month, slots->day.day,
                         fields[slots->columns[DATE].at]);
    }
    status = grid_number(reader, slot_at, keys[SLOT], &slot);
    if (status != 0 || slot < 1 || slot > AGENT_SLOTS_PER_DAY || slot > floor(slot)) {
        return grid_fail(reader, slot_at, "expected a slot 1 to 48, found '%.20s'",
                         fields[slot_at]);
    }
    if (to == 0 && (int)slot == AGENT_SLOTS_PER_DAY) {
        to = 1440; /* "0000" at the end of the day */
    }
    if (from != ((int)slot - 1) * 30 || to != (int)slot * 30) {
        return grid_fail(reader, (size_t)slots->columns[FROM].at,
                         "slot %d: expected %d:%02d to "
                         "%d:%02d, found '%.20s' to '%.20s'",
                         (int)slot, ((int)slot - 1) / 2, ((int)slot - 1) % 2 * 30, (int)slot / 2,
                         (int)slot % 2 * 30, fields[slots->columns[FROM].at],
                         fields[slots->columns[TO].at]);
    }
    *start_s = agent_slot_start(agent_slot_at(date, (int)slot - 1));
    return 0;
}

static int read_row(struct slots *slots)
{
    struct grid_reader *reader = slots->reader;
    int64_t start_s = 0;
    bool zero = true;
    int status = grid_row_width(reader, slots->width);

    status = status < 0 ? status : read_start(slots, &start_s);
    if (status < 0) {
        return status;
    }
    struct grid_record *record =
        grid_table_add(&slots->table, start_s, AGENT_SLOT_SECONDS, reader->row.line);
    if (record == NULL) {
        return -ENOMEM;
    }
    for (int index = DEMAND; index < COLUMN_COUNT; index++) {
        size_t at = (size_t)slots->columns[index].at;
        status = grid_number(reader, at, keys[index], &record->values[index]);
        if (status < 0) {
            return status;
        }
        zero = zero && !(fabs(record->values[index]) > 0);
        if (!reader->row.complete && at + 1 == reader->row.count) {
            record->doubtful_column = index;
        }
    }
    for (int index = DEMAND; zero && index < COLUMN_COUNT; index++) {
        record->values[index] = NAN; /* 0,0,0: not finished yet */
    }
    record->quality |= slots->reordered ? AGENT_QUALITY_LAYOUT : 0;
    return 0;
}

static int read_rows(struct slots *slots)
{
    struct grid_reader *reader = slots->reader;
    bool first = true;
    int status = grid_next_row(reader);

    while (status > 0) {
        bool units = first && strcmp(reader->row.fields[slots->columns[DATE].at], "-") == 0;
        status = units ? check_units(slots) : read_row(slots);
        first = false;
        status = status < 0 ? status : grid_next_row(reader);
    }
    return status;
}

static int parse_stage(struct grid_reader *reader, enum agent_stage stage)
{
    struct slots slots = {.reader = reader};
    int status = grid_need_area(reader);

    grid_table_init(&slots.table, COLUMN_COUNT);
    slots.has_day = grid_name_date(reader->input->name, 8, &slots.day);
    status = status < 0 ? status : read_head(&slots);
    status = status < 0 ? status : read_rows(&slots);
    status = status < 0 ? status : grid_table_sort(&slots.table, reader);
    for (int index = DEMAND; index < COLUMN_COUNT && status == 0; index++) {
        struct agent_series *series =
            agent_batch_series(reader->batch, reader->area, quantities[index], stage, NULL);
        status = grid_table_emit(&slots.table, (size_t)index, MW_PER_KWH_SLOT, series);
        if (status == 0) {
            series->issued_s = slots.issued_s;
        }
    }
    grid_table_done(&slots.table);
    return status;
}

static int parse_forecast(struct grid_reader *reader)
{
    return parse_stage(reader, AGENT_FORECAST);
}

static int parse_plan(struct grid_reader *reader)
{
    return parse_stage(reader, AGENT_PLAN);
}

static int parse_result(struct grid_reader *reader)
{
    return parse_stage(reader, AGENT_ACTUAL);
}

const struct grid_adapter grid_area_forecast = {"area-forecast", match_forecast, parse_forecast};
const struct grid_adapter grid_area_plan = {"area-plan", match_plan, parse_plan};
const struct grid_adapter grid_area_result = {"area-result", match_result, parse_result};
