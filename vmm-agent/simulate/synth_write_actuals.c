/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_write_actuals.c - eria_jukyu_YYYYMM_NN.csv of ten operators, each with its habits */
#include <errno.h>
#include <string.h>

#include "simulate/synth_file.h"

enum banner { BANNER_FULL, BANNER_FOUR, BANNER_ONE };
enum date_style { DATE_PLAIN, DATE_PADDED, DATE_PACKED };
enum time_style { TIME_PLAIN, TIME_PADDED, TIME_SECONDS };

/** struct habits - how one operator prints its file
 * @end_label:   intervals are named by their end, "24:00" included
 * @wide:        full-width brackets and letters in the header
 * @empty_zero:  nothing curtailed is an empty cell, not 0
 * @comma_rows:  so many rows of commas at the end
 * @sign:        of the interconnection as printed; 1 = import positive */
struct habits {
    enum banner banner;
    enum date_style date;
    enum time_style time;
    int sign;
    int comma_rows;
    bool utf8, quoted, crlf, end_label, wide, empty_zero;
};

static const struct habits habits_of[AGENT_AREA_COUNT] = {
    [AGENT_AREA_HOKKAIDO] = {.date = DATE_PADDED, .time = TIME_PADDED, .sign = 1},
    [AGENT_AREA_TOHOKU] = {.date = DATE_PADDED, .sign = 1, .crlf = true},
    [AGENT_AREA_TOKYO] = {.sign = 1, .utf8 = true},
    [AGENT_AREA_CHUBU] = {.time = TIME_PADDED, .sign = 1, .crlf = true},
    [AGENT_AREA_HOKURIKU] = {.sign = 1, .crlf = true, .quoted = true},
    [AGENT_AREA_KANSAI] = {.banner = BANNER_ONE, .sign = 1, .wide = true},
    [AGENT_AREA_CHUGOKU] = {.sign = 1, .crlf = true, .comma_rows = 3},
    [AGENT_AREA_SHIKOKU] = {.sign = 1, .crlf = true, .empty_zero = true},
    [AGENT_AREA_KYUSHU] = {.banner = BANNER_FOUR,
                           .date = DATE_PACKED,
                           .sign = -1,
                           .quoted = true,
                           .end_label = true,
                           .wide = true},
    [AGENT_AREA_OKINAWA] = {.time = TIME_PLAIN, .sign = 1, .crlf = true},
};

struct column {
    const char *name;
    const char *wide; /* NULL = the same */
    enum agent_quantity quantity;
    bool extra; /* only in files of 22 columns */
    bool cut;   /* an amount curtailed */
};

static const struct column columns[] = {
    {"エリア需要", NULL, AGENT_DEMAND, false, false},
    {"原子力", NULL, AGENT_NUCLEAR, false, false},
    {"火力(LNG)", "火力（ＬＮＧ）", AGENT_THERMAL_LNG, false, false},
    {"火力(石炭)", "火力（石炭）", AGENT_THERMAL_COAL, false, false},
    {"火力(石油)", "火力（石油）", AGENT_THERMAL_OIL, false, false},
    {"火力(その他)", "火力（その他）", AGENT_THERMAL_OTHER, false, false},
    {"火力出力制御量", NULL, AGENT_THERMAL_CURTAILED, true, true},
    {"水力", NULL, AGENT_HYDRO, false, false},
    {"地熱", NULL, AGENT_GEOTHERMAL, false, false},
    {"バイオマス", NULL, AGENT_BIOMASS, false, false},
    {"バイオマス出力制御量", NULL, AGENT_BIOMASS_CURTAILED, true, true},
    {"太陽光発電実績", NULL, AGENT_PV, false, false},
    {"太陽光出力制御量", NULL, AGENT_PV_CURTAILED, false, true},
    {"風力発電実績", NULL, AGENT_WIND, false, false},
    {"風力出力制御量", NULL, AGENT_WIND_CURTAILED, false, true},
    {"揚水", NULL, AGENT_PUMPED, false, false},
    {"蓄電池", NULL, AGENT_GRID_BATTERY, false, false},
    {"連系線", NULL, AGENT_INTERCONNECTION, false, false},
    {"その他", NULL, AGENT_OTHER, false, false},
    {"合計", NULL, AGENT_TOTAL, false, false},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

struct table {
    struct agent_synth_file file;
    const struct agent_synth *synth;
    const struct habits *habits;
    enum agent_area area;
    bool twenty_two;
    bool first_cell;
};

static void cell(struct table *table, const char *text)
{
    const char *quote = table->habits->quoted ? "\"" : "";

    fprintf(table->file.out, "%s%s%s%s", table->first_cell ? "" : ",", quote, text, quote);
    table->first_cell = false;
}

static void end_row(struct table *table)
{
    fputc('\n', table->file.out);
    table->first_cell = true;
}

static size_t width(const struct table *table)
{
    return table->twenty_two ? COLUMNS + 2 : COLUMNS;
}

static void head(struct table *table)
{
    static const char *const banner[4] = {"単位[MW平均]", "", "", "供給力"};
    size_t cells = table->habits->banner == BANNER_ONE    ? 1
                   : table->habits->banner == BANNER_FOUR ? 4
                                                          : width(table);

    for (size_t i = 0; i < cells; i++) {
        cell(table, i < 4 ? banner[i] : "");
    }
    end_row(table);
    cell(table, "DATE");
    cell(table, "TIME");
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!columns[i].extra || table->twenty_two) {
            bool wide = table->habits->wide && columns[i].wide != NULL;
            cell(table, wide ? columns[i].wide : columns[i].name);
        }
    }
    end_row(table);
}

static void when(struct table *table, int64_t slot)
{
    static const char *const date_format[] = {"%d/%d/%d", "%d/%02d/%02d", "%d%02d%02d"};
    static const char *const time_format[] = {"%d:%02d", "%02d:%02d", "%d:%02d:00"};
    struct agent_date date = agent_date_of(agent_slot_start(slot));
    struct agent_date changed = {2025, 1, 29};
    int half = agent_slot_in_day(slot) + (table->habits->end_label ? 1 : 0);
    enum time_style style = table->habits->time;
    char text[64];

    if (table->area == AGENT_AREA_OKINAWA && agent_date_start(date) < agent_date_start(changed)) {
        style = TIME_SECONDS;
    }
    snprintf(text, sizeof(text), date_format[table->habits->date], date.year, date.month, date.day);
    cell(table, text);
    snprintf(text, sizeof(text), time_format[style], half / 2, half % 2 * 30);
    cell(table, text);
}

static void row(struct table *table, int64_t slot)
{
    size_t at = (size_t)(slot - table->synth->first_slot);
    char text[32];

    when(table, slot);
    for (size_t i = 0; i < COLUMNS; i++) {
        if (columns[i].extra && !table->twenty_two) {
            continue;
        }
        int32_t mw = table->synth->mw[table->area][columns[i].quantity][at];
        mw *= columns[i].quantity == AGENT_INTERCONNECTION ? table->habits->sign : 1;
        snprintf(text, sizeof(text), "%d", mw);
        cell(table, columns[i].cut && mw == 0 && table->habits->empty_zero ? "" : text);
    }
    end_row(table);
}

static void comma_rows(struct table *table, int rows)
{
    for (int k = 0; k < rows; k++) {
        for (size_t i = 0; i < width(table) - 1; i++) {
            fputc(',', table->file.out);
        }
        end_row(table);
    }
}

static void start(struct table *table, const struct agent_synth *synth, enum agent_area area,
                  struct agent_date month)
{
    bool chubu_new = month.year > 2026 || (month.year == 2026 && month.month >= 4);

    table->synth = synth;
    table->habits = &habits_of[area];
    table->area = area;
    table->first_cell = true;
    table->twenty_two = area == AGENT_AREA_HOKKAIDO || area == AGENT_AREA_TOHOKU ||
                        area == AGENT_AREA_HOKURIKU || area == AGENT_AREA_CHUGOKU ||
                        area == AGENT_AREA_OKINAWA || (area == AGENT_AREA_CHUBU && chubu_new);
    table->file.crlf = table->habits->crlf;
    table->file.encoding = SYNTH_CP932;
    if (table->habits->utf8) {
        table->file.encoding = month.month % 2 == 0 ? SYNTH_UTF8_BOM : SYNTH_UTF8;
    }
}

static int month_file(const struct agent_synth *synth, const char *directory, enum agent_area area,
                      struct agent_date month, struct agent_error *error)
{
    struct table table;
    char name[64];

    snprintf(name, sizeof(name), "eria_jukyu_%04d%02d_%02d.csv", month.year, month.month,
             (int)area);
    int result = agent_synth_file_open(&table.file, directory, name);
    if (result != 0) {
        return agent_error_set(error, result, "synthetic file %s: cannot be started", name);
    }
    start(&table, synth, area, month);
    head(&table);
    for (int64_t slot = agent_slot_at(month, 0);; slot++) {
        if (agent_date_of(agent_slot_start(slot)).month != month.month) {
            break;
        }
        row(&table, slot);
    }
    comma_rows(&table, table.habits->comma_rows);
    return agent_synth_file_close(&table.file, error);
}

/* Tohoku's file of the running day: what is still to come are rows of commas. */
static int running_day(const struct agent_synth *synth, const char *directory, int64_t day,
                       struct agent_error *error)
{
    struct agent_date date = agent_date_of(agent_slot_start(day));
    struct table table;
    char name[64];

    snprintf(name, sizeof(name), "realtime_jukyu_%04d%02d%02d_02.csv", date.year, date.month,
             date.day);
    int result = agent_synth_file_open(&table.file, directory, name);
    if (result != 0) {
        return agent_error_set(error, result, "synthetic file %s: cannot be started", name);
    }
    start(&table, synth, AGENT_AREA_TOHOKU, date);
    head(&table);
    for (int k = 0; k < 30; k++) {
        row(&table, day + k);
    }
    comma_rows(&table, AGENT_SLOTS_PER_DAY - 30);
    return agent_synth_file_close(&table.file, error);
}

int agent_synth_write_actuals(const struct agent_synth *synth,
                              const struct agent_synth_request *request, struct agent_error *error)
{
    int64_t first = synth->first_slot + (int64_t)request->first_day * AGENT_SLOTS_PER_DAY;
    int64_t last = first + (int64_t)(request->days - 1) * AGENT_SLOTS_PER_DAY;
    struct agent_date month = agent_date_of(agent_slot_start(first));
    int files = 0;

    month.day = 1;
    for (int guard = 0; guard < 12 && agent_slot_at(month, 0) <= last; guard++) {
        for (int area = 1; area < AGENT_AREA_COUNT; area++) {
            int result = month_file(synth, request->directory, (enum agent_area)area, month, error);
            if (result != 0) {
                return result;
            }
            files++;
        }
        month.year += month.month == 12 ? 1 : 0;
        month.month = month.month % 12 + 1;
    }
    int result = running_day(synth, request->directory, last, error);
    return result != 0 ? result : files + 1;
}
