/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_write_markets.c - spot prices (one file a fiscal year) and imbalance prices (a month) */
#include <errno.h>
#include <math.h>

#include "simulate/synth_file.h"

#define KWH_PER_MW_SLOT 500.0
#define MARKET_SHARE    0.36 /* of demand goes through the exchange */
#define MARKET_AREAS    9

static struct agent_date date_at(const struct agent_synth *synth, size_t i)
{
    return agent_date_of(agent_slot_start(synth->first_slot + (int64_t)i));
}

static void spot_row(FILE *out, const struct agent_synth *synth, size_t i)
{
    struct agent_date date = date_at(synth, i);
    double traded = 0.0;

    for (int area = 1; area <= MARKET_AREAS; area++) {
        traded += MARKET_SHARE * synth->mw[area][AGENT_DEMAND][i] * KWH_PER_MW_SLOT;
    }
    long volume = lrint(traded / 50.0) * 50;
    fprintf(out, "%04d/%02d/%02d,%d,%ld,%ld,%ld,%.2f", date.year, date.month, date.day,
            (int)(i % AGENT_SLOTS_PER_DAY) + 1, volume * 13 / 10, volume * 12 / 10, volume,
            synth->system_price[i]);
    for (int area = 1; area <= MARKET_AREAS; area++) {
        fprintf(out, ",%.2f", synth->price[area][i]);
    }
    fprintf(out, ",%.2f\n", synth->system_price[i]);
}

static int spot(const struct agent_synth *synth, const struct agent_synth_request *request,
                struct agent_error *error)
{
    struct agent_synth_file file;
    char name[64];

    snprintf(name, sizeof(name), "spot_summary_%04d.csv", synth->fiscal_year);
    int result = agent_synth_file_open(&file, request->directory, name);
    if (result != 0) {
        return agent_error_set(error, result, "synthetic file %s: cannot be started", name);
    }
    file.crlf = true;
    fprintf(file.out, "受渡日,時刻コード,売り入札量(kWh),買い入札量(kWh),約定総量(kWh),"
                      "システムプライス(円/kWh)");
    for (int area = 1; area <= MARKET_AREAS; area++) {
        fprintf(file.out, ",エリアプライス%s(円/kWh)", agent_area_japanese((enum agent_area)area));
    }
    fprintf(file.out, ",スポット・時間前平均価格(円/kWh)\n");
    size_t first = (size_t)request->first_day * AGENT_SLOTS_PER_DAY;
    for (size_t i = 0; i < (size_t)request->days * AGENT_SLOTS_PER_DAY; i++) {
        spot_row(file.out, synth, first + i);
    }
    return agent_synth_file_close(&file, error);
}

/* Titles over the price columns: the group once, then every area; marks between. */
static void imbalance_titles(FILE *out)
{
    static const char *const groups[2] = {"余剰インバランス料金単価", "不足インバランス料金単価"};

    for (int line = 0; line < 2; line++) {
        fprintf(out, line == 0 ? "\"T\",\"\",\"\",\"\",\"\""
                               : "\"T\",\"対象年月日\",\"時刻コード\",\"開始\",\"終了\"");
        for (int group = 0; group < 2; group++) {
            for (int area = 1; area <= MARKET_AREAS; area++) {
                const char *text = agent_area_japanese((enum agent_area)area);
                if (line == 0) {
                    text = area == 1 ? groups[group] : "";
                }
                fprintf(out, ",\"%s\",\"%s\"", text, line == 0 ? "" : "補正");
            }
        }
        fputc('\n', out);
    }
}

static void imbalance_row(FILE *out, const struct agent_synth *synth, size_t i)
{
    struct agent_date date = date_at(synth, i);
    int half = (int)(i % AGENT_SLOTS_PER_DAY);

    fprintf(out, "\"D\",\"%04d%02d%02d\",\"%d\",\"%02d:%02d\",\"%02d:%02d\"", date.year, date.month,
            date.day, half + 1, half / 2, half % 2 * 30, (half + 1) / 2, (half + 1) % 2 * 30);
    for (int group = 0; group < 2; group++) {
        for (int area = 1; area <= MARKET_AREAS; area++) {
            fprintf(out, ",\"%.2f\",\"0\"", synth->imbalance[area][i]);
        }
    }
    fputc('\n', out);
}

/* One file per month that the days touch, holding only those days. Return: 0 or -errno. */
static int imbalance(const struct agent_synth *synth, const struct agent_synth_request *request,
                     size_t first, size_t *next, struct agent_error *error)
{
    size_t end = (size_t)(request->first_day + request->days) * AGENT_SLOTS_PER_DAY;
    struct agent_date month = date_at(synth, first);
    struct agent_synth_file file;
    char name[64];

    snprintf(name, sizeof(name), "imbalance_%04d%02d.csv", month.year, month.month);
    int result = agent_synth_file_open(&file, request->directory, name);
    if (result != 0) {
        return agent_error_set(error, result, "synthetic file %s: cannot be started", name);
    }
    fprintf(file.out, "\"H\",\"インバランス料金単価\",\"%04d%02d\"\n", month.year, month.month);
    imbalance_titles(file.out);
    *next = first;
    while (*next < end && date_at(synth, *next).month == month.month) {
        imbalance_row(file.out, synth, *next);
        (*next)++;
    }
    return agent_synth_file_close(&file, error);
}

int agent_synth_write_markets(const struct agent_synth *synth,
                              const struct agent_synth_request *request, struct agent_error *error)
{
    size_t at = (size_t)request->first_day * AGENT_SLOTS_PER_DAY;
    size_t end = at + (size_t)request->days * AGENT_SLOTS_PER_DAY;
    int files = 1;
    int result = spot(synth, request, error);

    while (result == 0 && at < end) {
        result = imbalance(synth, request, at, &at, error);
        files++;
    }
    return result != 0 ? result : files;
}
