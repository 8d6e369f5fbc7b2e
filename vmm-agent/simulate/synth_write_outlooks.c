/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_write_outlooks.c - Kyushu's page with the curtailment outlook, and the flows on four lines
 */
#include <errno.h>
#include <math.h>

#include "simulate/random.h"
#include "simulate/synth_file.h"
#include "simulate/synth_parts.h"

#define OUTLOOK_DAYS 3

double agent_synth_outlook_mw(const struct agent_synth *synth, int day, int ahead)
{
    struct agent_random random =
        agent_random_start(synth->seed, SYNTH_OUTLOOK, 5000u + (uint32_t)(day * 4 + ahead));
    const int32_t *cut = synth->mw[AGENT_AREA_KYUSHU][AGENT_PV_CURTAILED];
    double largest = 0.0;

    for (int k = 0; k < AGENT_SLOTS_PER_DAY; k++) {
        largest = fmax(largest, cut[(size_t)day * AGENT_SLOTS_PER_DAY + (size_t)k]);
    }
    double error = (250.0 + 200.0 * ahead) * agent_random_normal(&random);
    double mw = largest > 0.0 ? largest + error : error - 500.0;
    return mw < 100.0 ? 0.0 : mw;
}

static void outlook_row(FILE *out, const char *place, const double *mw)
{
    fprintf(out, "<tr><th>%s</th>", place);
    for (int ahead = 0; ahead < OUTLOOK_DAYS; ahead++) {
        if (mw[ahead] > 0.0) {
            fprintf(out, "<td>%ld万kW</td>", lrint(mw[ahead] / 10.0));
        } else {
            fprintf(out, "<td>―</td>");
        }
    }
    fprintf(out, "</tr>\n");
}

/* The page as published at 17:00 for the day @day and the two after it. */
static int outlook(const struct agent_synth *synth, const char *directory, int day,
                   struct agent_error *error)
{
    static const char *const islands[] = {"対馬", "壱岐", "五島"};
    static const double none[OUTLOOK_DAYS] = {0, 0, 0};
    int last = (int)(synth->slots / AGENT_SLOTS_PER_DAY) - 1;
    int64_t first = synth->first_slot + (int64_t)day * AGENT_SLOTS_PER_DAY;
    struct agent_date before = agent_date_of(agent_slot_start(first - 1));
    struct agent_date date = agent_date_of(agent_slot_start(first));
    struct agent_synth_file file;
    double mw[OUTLOOK_DAYS];
    char name[64];

    snprintf(name, sizeof(name), "kyushu_outlook_%04d%02d%02d.html", date.year, date.month,
             date.day);
    int result = agent_synth_file_open(&file, directory, name);
    if (result != 0) {
        return agent_error_set(error, result, "synthetic file %s: cannot be started", name);
    }
    file.encoding = SYNTH_UTF8;
    fprintf(
        file.out,
        "<!DOCTYPE html>\n<html lang=\"ja\"><head><meta charset=\"utf-8\">"
        "<title>出力制御見通し</title></head><body>\n<h2>再生可能エネルギー出力制御見通し</h2>\n"
        "<p>(%d月%d日 17時00分発表)</p>\n<table>\n<tr><th></th>",
        before.month, before.day);
    for (int ahead = 0; ahead < OUTLOOK_DAYS; ahead++) {
        date = agent_date_of(agent_slot_start(first + ahead * AGENT_SLOTS_PER_DAY));
        fprintf(file.out, "<th>%d月%d日</th>", date.month, date.day);
        mw[ahead] = day + ahead <= last ? agent_synth_outlook_mw(synth, day + ahead, ahead) : 0.0;
    }
    fprintf(file.out, "</tr>\n");
    outlook_row(file.out, "九州本土", mw);
    for (size_t k = 0; k < sizeof(islands) / sizeof(islands[0]); k++) {
        outlook_row(file.out, islands[k], none);
    }
    fprintf(file.out, "</table></body></html>\n");
    return agent_synth_file_close(&file, error);
}

/* @sign: +1 when our direction (south, east) is the line's forward one. */
static const struct {
    const char *name;
    int capacity_mw;
    int sign;
} lines[AGENT_SYNTH_LINES] = {
    {"北海道・本州間電力連系設備", 900, 1},
    {"相馬双葉幹線", 5150, 1},
    {"西播東岡山線・山崎智頭線", 4140, -1},
    {"関門連系線", 2470, -1},
};

static int line_flows(const struct agent_synth *synth, const struct agent_synth_request *request,
                      struct agent_error *error)
{
    size_t first = (size_t)request->first_day * AGENT_SLOTS_PER_DAY;
    size_t count = (size_t)request->days * AGENT_SLOTS_PER_DAY;
    struct agent_synth_file file;

    int result = agent_synth_file_open(&file, request->directory, "interconnection_flows.csv");
    if (result != 0) {
        return agent_error_set(error, result, "synthetic file of flows: cannot be started");
    }
    file.encoding = SYNTH_UTF8_BOM;
    file.crlf = true;
    fprintf(file.out, "\"連系線\",\"対象日付\",\"対象時刻\",\"運用容量(順方向)\","
                      "\"運用容量(逆方向)\",\"潮流実績\"\n");
    for (int line = 0; line < AGENT_SYNTH_LINES; line++) {
        for (size_t i = first; i < first + count; i++) {
            struct agent_date date =
                agent_date_of(agent_slot_start(synth->first_slot + (int64_t)i));
            int half = (int)(i % AGENT_SLOTS_PER_DAY) + 1;
            fprintf(file.out, "\"%s\",\"%04d/%02d/%02d\",\"%02d:%02d\",\"%d\",\"%d\",\"%d\"\n",
                    lines[line].name, date.year, date.month, date.day, half / 2, half % 2 * 30,
                    lines[line].capacity_mw, -lines[line].capacity_mw,
                    lines[line].sign * synth->line[line][i]);
        }
    }
    return agent_synth_file_close(&file, error);
}

int agent_synth_write_outlooks(const struct agent_synth *synth,
                               const struct agent_synth_request *request, struct agent_error *error)
{
    for (int day = request->first_day; day < request->first_day + request->days; day++) {
        int result = outlook(synth, request->directory, day, error);
        if (result != 0) {
            return result;
        }
    }
    int result = line_flows(synth, request, error);
    return result != 0 ? result : request->days + 1;
}
