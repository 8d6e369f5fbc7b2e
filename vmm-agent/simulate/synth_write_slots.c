/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_write_slots.c - the operators' day-ahead area forecasts (yosoku), kWh per half hour */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "simulate/synth_file.h"

#define KWH_PER_MW_SLOT 500.0

enum banner { BANNER_UPDATE, BANNER_UPDATE_UNIT, BANNER_TITLE, BANNER_LINE };

/** struct habits - how one operator prints its forecast
 * @name:  file name with %s for YYYYMMDD
 * @wide:  full-width underscore in the header
 * @unit:  appended to the names of the columns
 * @plain: times without colon, "0030" */
struct habits {
    const char *name;
    enum banner banner;
    const char *unit;
    bool wide, unit_row, plain, slashes, padded, crlf;
};

static const struct habits habits_of[AGENT_AREA_COUNT] = {
    [AGENT_AREA_HOKKAIDO] = {.name = "%s_hokkaido_yosoku.csv", .unit = "(kWh)"},
    [AGENT_AREA_TOHOKU] = {.name = "yosoku_tohoku_%s.csv", .unit = "", .crlf = true},
    [AGENT_AREA_TOKYO] = {.name = "tepco_yosoku_%s.csv", .unit = "", .plain = true},
    [AGENT_AREA_CHUBU] = {.name = "keito_yosoku_cepco003_%s.csv",
                          .banner = BANNER_UPDATE_UNIT,
                          .unit = "",
                          .slashes = true,
                          .padded = true},
    [AGENT_AREA_HOKURIKU] = {.name = "hokuriku_yosoku_%s.csv",
                             .banner = BANNER_LINE,
                             .unit = "",
                             .slashes = true,
                             .crlf = true},
    [AGENT_AREA_KANSAI] = {.name = "kansai_yosoku_%s.csv",
                           .banner = BANNER_TITLE,
                           .unit = "",
                           .wide = true},
    [AGENT_AREA_CHUGOKU] = {.name = "chugoku_yosoku_%s.csv", .unit = "(kWh)", .crlf = true},
    [AGENT_AREA_SHIKOKU] = {.name = "shikoku_yosoku_%s.csv", .unit = "", .slashes = true},
    [AGENT_AREA_KYUSHU] = {.name = "21110_TSO9_0_%s.csv",
                           .unit = "",
                           .wide = true,
                           .unit_row = true},
    [AGENT_AREA_OKINAWA] = {.name = "okinawa_yosoku_%s.csv", .unit = "(kWh)", .padded = true},
};

static void date_text(const struct habits *habits, struct agent_date date, char *out, size_t size)
{
    snprintf(out, size, habits->slashes ? "%04d/%02d/%02d" : "%04d%02d%02d", date.year, date.month,
             date.day);
}

static void head(FILE *out, const struct habits *habits, struct agent_date day)
{
    struct agent_date before = agent_date_of(agent_date_start(day) - AGENT_DAY_SECONDS);
    const char *mark = habits->wide ? "＿" : "_";
    char target[32];
    char issued[32];

    date_text(habits, day, target, sizeof(target));
    date_text(habits, before, issued, sizeof(issued));
    if (habits->banner == BANNER_LINE) {
        fprintf(out, "%d/%d/%d 16:50 UPDATE\n", before.year, before.month, before.day);
    } else {
        if (habits->banner == BANNER_TITLE) {
            fprintf(out, "エリア需要等の予測値\n");
        }
        fprintf(out, "ファイル更新日,ファイル更新時間,対象年月日\n%s,16:50:00,%s%s\n", issued,
                target, habits->banner == BANNER_UPDATE_UNIT ? ",,,,[kWh]" : "");
    }
    fprintf(out, "日付,時間コマ,時間帯%s自,時間帯%s至,エリア総需要量%s,エリア総発電量%s,", mark,
            mark, habits->unit, habits->unit);
    fprintf(out, "エリア風力・太陽光発電量%s\n", habits->unit);
    if (habits->unit_row) {
        fprintf(out, "-,-,-,-,ｋＷｈ,ｋＷｈ,ｋＷｈ\n");
    }
}

static void clock_text(const struct habits *habits, int half, char *out, size_t size)
{
    const char *format = habits->plain ? "%02d%02d" : habits->padded ? "%02d:%02d" : "%d:%02d";

    snprintf(out, size, format, half / 2, half % 2 * 30);
}

static long kwh(double mw)
{
    return lrint(fmax(mw, 0.0) * KWH_PER_MW_SLOT);
}

static void rows(FILE *out, const struct agent_synth *synth, enum agent_area area,
                 struct agent_date day, size_t first)
{
    const struct habits *habits = &habits_of[area];
    char date[32];
    char from[16];
    char to[16];

    date_text(habits, day, date, sizeof(date));
    for (int k = 0; k < AGENT_SLOTS_PER_DAY; k++) {
        size_t i = first + (size_t)k;
        double demand = synth->outlook_demand[area][i];
        double generation = demand - synth->mw[area][AGENT_INTERCONNECTION][i];
        clock_text(habits, k, from, sizeof(from));
        clock_text(habits, k + 1, to, sizeof(to));
        fprintf(out, "%s,%d,%s,%s,%ld,%ld,%ld\n", date, k + 1, from, to, kwh(demand),
                kwh(generation), kwh(synth->outlook_wind_pv[area][i]));
    }
}

static int one(const struct agent_synth *synth, const char *directory, enum agent_area area,
               int day_index, struct agent_error *error)
{
    const struct habits *habits = &habits_of[area];
    size_t first = (size_t)day_index * AGENT_SLOTS_PER_DAY;
    struct agent_date day = agent_date_of(agent_slot_start(synth->first_slot + (int64_t)first));
    const char *mark = strchr(habits->name, '%');
    struct agent_synth_file file;
    char name[96];

    snprintf(name, sizeof(name), "%.*s%04d%02d%02d%s", (int)(mark - habits->name), habits->name,
             day.year, day.month, day.day, mark + 2);
    int result = agent_synth_file_open(&file, directory, name);
    if (result != 0) {
        return agent_error_set(error, result, "synthetic file %s: cannot be started", name);
    }
    file.crlf = habits->crlf;
    head(file.out, habits, day);
    rows(file.out, synth, area, day, first);
    return agent_synth_file_close(&file, error);
}

int agent_synth_write_slots(const struct agent_synth *synth,
                            const struct agent_synth_request *request, struct agent_error *error)
{
    int files = 0;

    for (int day = request->first_day; day < request->first_day + request->days; day++) {
        for (int area = 1; area < AGENT_AREA_COUNT; area++) {
            int result = one(synth, request->directory, (enum agent_area)area, day, error);
            if (result != 0) {
                return result;
            }
            files++;
        }
    }
    return files;
}
