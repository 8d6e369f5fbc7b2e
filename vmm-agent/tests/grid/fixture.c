/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/grid/fixture.h"

#include <iconv.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct column {
    const char *name;
    const char *wide; /* as Kansai and Kyushu write it, NULL = the same */
    enum agent_quantity quantity;
    bool only_22;
};

static const struct column columns[] = {
    {"エリア需要", NULL, AGENT_DEMAND, false},
    {"原子力", NULL, AGENT_NUCLEAR, false},
    {"火力(LNG)", "火力（ＬＮＧ）", AGENT_THERMAL_LNG, false},
    {"火力(石炭)", "火力（石炭）", AGENT_THERMAL_COAL, false},
    {"火力(石油)", "火力（石油）", AGENT_THERMAL_OIL, false},
    {"火力(その他)", "火力（その他）", AGENT_THERMAL_OTHER, false},
    {"火力出力制御量", NULL, AGENT_THERMAL_CURTAILED, true},
    {"水力", NULL, AGENT_HYDRO, false},
    {"地熱", NULL, AGENT_GEOTHERMAL, false},
    {"バイオマス", NULL, AGENT_BIOMASS, false},
    {"バイオマス出力制御量", NULL, AGENT_BIOMASS_CURTAILED, true},
    {"太陽光発電実績", NULL, AGENT_PV, false},
    {"太陽光出力制御量", NULL, AGENT_PV_CURTAILED, false},
    {"風力発電実績", NULL, AGENT_WIND, false},
    {"風力出力制御量", NULL, AGENT_WIND_CURTAILED, false},
    {"揚水", NULL, AGENT_PUMPED, false},
    {"蓄電池", NULL, AGENT_GRID_BATTERY, false},
    {"連系線", NULL, AGENT_INTERCONNECTION, false},
    {"その他", NULL, AGENT_OTHER, false},
    {"合計", NULL, AGENT_TOTAL, false},
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

/* Rough size of each area in MW. */
static const int size_mw[AGENT_AREA_COUNT] = {0,     3500, 9000, 30000, 14000, 3300,
                                              14000, 6500, 2900, 9000,  900};

static void print(struct fixture_file *file, const char *format, ...)
{
    char line[4096];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    file->text = realloc(file->text, file->text_size + (size_t)length + 1);
    if (file->text == NULL || length >= (int)sizeof(line)) {
        abort();
    }
    memcpy(file->text + file->text_size, line, (size_t)length + 1);
    file->text_size += (size_t)length;
}

char *fixture_encode(const char *text, size_t size, const char *encoding, size_t *out_size)
{
    iconv_t converter = iconv_open(encoding, "UTF-8");
    size_t room = size * 4 + 16;
    char *out = malloc(room);
    char *in = (char *)(uintptr_t)text;
    char *to = out;
    size_t left = room;

    if (converter == (iconv_t)-1 || out == NULL) {
        abort();
    }
    size_t bad = iconv(converter, &in, &size, &to, &left);
    iconv_close(converter);
    if (bad == (size_t)-1) {
        free(out);
        return NULL;
    }
    *out_size = room - left;
    return out;
}

static int sun(int slot) /* 0..1000, dark until 6:00 and from 18:00 */
{
    double hour = (slot % 48) / 2.0;

    return hour < 6 || hour > 18 ? 0 : (int)(1000 * sin((hour - 6) / 12 * 3.14159265358979));
}

static int source_mw(enum agent_area area, enum agent_quantity quantity, int slot)
{
    int size = size_mw[area];
    int wave = (slot * 7919 + (int)quantity * 31 + (int)area) % 17;

    switch (quantity) {
    case AGENT_NUCLEAR:
        return area == AGENT_AREA_OKINAWA ? 0 : size / 8 + wave % 3;
    case AGENT_THERMAL_LNG:
        return size / 4 + wave * size / 400;
    case AGENT_THERMAL_COAL:
        return size / 5 + wave * size / 500;
    case AGENT_THERMAL_OIL:
    case AGENT_THERMAL_OTHER:
        return size / 60 + wave;
    case AGENT_HYDRO:
        return size / 30 + wave % 5;
    case AGENT_GEOTHERMAL:
        return area == AGENT_AREA_KYUSHU ? 160 + wave % 4 : 0;
    case AGENT_BIOMASS:
        return size / 50 + wave % 2;
    case AGENT_PV: /* one operator's night is slightly negative */
        return sun(slot) > 0 ? size / 5 * sun(slot) / 1000 : area == AGENT_AREA_TOHOKU ? -3 : 0;
    case AGENT_PV_CURTAILED:
        return area == AGENT_AREA_KYUSHU && sun(slot) > 900 ? size / 20 : 0;
    case AGENT_WIND:
        return size / 40 + wave;
    case AGENT_PUMPED:
        return sun(slot) > 500 ? -size / 25 : size / 50;
    case AGENT_GRID_BATTERY:
        return wave % 5 - 2;
    case AGENT_INTERCONNECTION:
        return area == AGENT_AREA_OKINAWA ? 0 : wave * size / 300 - size / 50;
    case AGENT_OTHER:
        return size / 90;
    default:
        return 0;
    }
}

int fixture_mw(enum agent_area area, enum agent_quantity quantity, int slot)
{
    int sum = 0;

    if (quantity != AGENT_TOTAL && quantity != AGENT_DEMAND) {
        return source_mw(area, quantity, slot);
    }
    for (size_t index = 0; index < COLUMN_COUNT; index++) {
        enum agent_quantity each = columns[index].quantity;
        if (each != AGENT_PV_CURTAILED && each != AGENT_WIND_CURTAILED) {
            sum += source_mw(area, each, slot);
        }
    }
    return quantity == AGENT_TOTAL ? sum + slot % 3 - 1 : sum; /* rounding of the operators */
}

int fixture_price(enum agent_area area, int slot)
{
    return sun(slot) > 900 ? 1 : 800 + (slot % 48) * 17 + (int)area * 21;
}

struct style {
    bool wide; /* column names */
    bool quoted;
    bool packed; /* 20260402 instead of 2026/4/2 */
    bool padded; /* 04/02, 00:30 */
    bool end_labels;
    bool has_22;
    bool seconds;
    bool blanks; /* empty cells instead of 0 in one column */
    bool tail;   /* rows without values, and all-comma rows, at the end */
    const char *banner;
};

static struct style style_of(enum agent_area area)
{
    bool has_22 = area == AGENT_AREA_HOKKAIDO || area == AGENT_AREA_TOHOKU ||
                  area == AGENT_AREA_CHUBU || area == AGENT_AREA_HOKURIKU ||
                  area == AGENT_AREA_CHUGOKU || area == AGENT_AREA_OKINAWA;
    bool west = area == AGENT_AREA_KANSAI || area == AGENT_AREA_KYUSHU;

    return (struct style){.wide = west,
                          .quoted = area == AGENT_AREA_KYUSHU,
                          .packed = area == AGENT_AREA_KYUSHU,
                          .padded = area == AGENT_AREA_HOKKAIDO,
                          .end_labels = area == AGENT_AREA_KYUSHU,
                          .has_22 = has_22,
                          .seconds = area == AGENT_AREA_OKINAWA,
                          .blanks = area == AGENT_AREA_SHIKOKU,
                          .tail = area == AGENT_AREA_TOHOKU || area == AGENT_AREA_CHUGOKU,
                          .banner = west ? "" : ",,,供給力"};
}

static void label(struct fixture_file *file, const struct style *style, int slot)
{
    const char *quote = style->quoted ? "\"" : "";
    int day = 1 + slot / 48;
    int minutes = (slot % 48) * 30 + (style->end_labels ? 30 : 0);

    if (style->packed) {
        print(file, "%s202604%02d%s,%s%d:%02d%s", quote, day, quote, quote, minutes / 60,
              minutes % 60, quote);
    } else if (style->padded) {
        print(file, "2026/04/%02d,%02d:%02d", day, minutes / 60, minutes % 60);
    } else {
        print(file, "2026/4/%d,%d:%02d%s", day, minutes / 60, minutes % 60,
              style->seconds ? ":00" : "");
    }
}

static void make_actual(struct fixture_file *file, enum agent_area area)
{
    struct style style = style_of(area);
    const char *quote = style.quoted ? "\"" : "";

    snprintf(file->name, sizeof(file->name),
             area == AGENT_AREA_TOHOKU ? "realtime_jukyu_20260401_%02d.csv"
                                       : "eria_jukyu_202604_%02d.csv",
             (int)area);
    snprintf(file->format, sizeof(file->format), "area-actual");
    file->encoding = area == AGENT_AREA_TOKYO ? FIXTURE_UTF8_BOM : FIXTURE_CP932;
    print(file, "%s単位[MW平均]%s%s\n%sDATE%s,%sTIME%s", quote, quote, style.banner, quote, quote,
          quote, quote);
    for (size_t index = 0; index < COLUMN_COUNT; index++) {
        if (style.has_22 || !columns[index].only_22) {
            print(file, ",%s%s%s", quote,
                  style.wide && columns[index].wide != NULL ? columns[index].wide
                                                            : columns[index].name,
                  quote);
        }
    }
    print(file, "\n");
    for (int slot = 0; slot < FIXTURE_SLOTS; slot++) {
        label(file, &style, slot);
        for (size_t index = 0; index < COLUMN_COUNT; index++) {
            enum agent_quantity quantity = columns[index].quantity;
            int value = fixture_mw(area, quantity, slot);
            if (columns[index].only_22 && !style.has_22) {
                continue;
            }
            if (quantity == AGENT_INTERCONNECTION && area == AGENT_AREA_KYUSHU) {
                value = -value;
            }
            bool blank = style.blanks && quantity == AGENT_GEOTHERMAL;
            if (blank) {
                print(file, ",%s%s", quote, quote);
            } else {
                print(file, ",%s%d%s", quote, value, quote);
            }
        }
        print(file, "\n");
    }
    for (int slot = FIXTURE_SLOTS; style.tail && slot < FIXTURE_SLOTS + 4; slot++) {
        label(file, &style, slot);
        print(file, "%.*s\n", style.has_22 ? 20 : 18, ",,,,,,,,,,,,,,,,,,,,");
    }
    if (style.tail) {
        print(file, "%.*s\n", style.has_22 ? 21 : 19, ",,,,,,,,,,,,,,,,,,,,,");
    }
}

static void slot_rows(struct fixture_file *file, const char *date, const char *pattern, int size,
                      int finished)
{
    for (int slot = 0; slot < 48; slot++) {
        int end = (slot + 1) * 30;
        bool done = slot < finished;
        print(file, pattern, date, slot + 1, slot / 2, slot % 2 * 30, end / 60, end % 60,
              done ? size * 500 + slot * 100 : 0, done ? size * 520 + slot * 90 : 0,
              done ? size * sun(slot) / 20 + 100 : 0);
    }
}

#define SLOT_HEADER                                                                                \
    "日付,時間コマ,時間帯_自,時間帯_至,エリア総需要量,エリア総発電量,エリア風力・太陽光発電量\n"

/* 0 Hokkaido, 1 Tokyo, 2 Hokuriku, 3 Kansai plan, 4 Kyushu result. */
static void make_slots(struct fixture_file *file, int kind)
{
    static const char *const names[] = {
        "20260402_hokkaido_yosoku.csv", "tokyo_yosoku_20260402.csv", "hokuriku_yosoku_20260402.csv",
        "kansai_bgkeikaku_20260402.csv", "21120_TSO9_jiseki_20260402.csv"};
    static const char *const formats[] = {"area-forecast", "area-forecast", "area-forecast",
                                          "area-plan", "area-result"};

    snprintf(file->name, sizeof(file->name), "%s", names[kind]);
    snprintf(file->format, sizeof(file->format), "%s", formats[kind]);
    file->encoding = FIXTURE_CP932;
    if (kind == 0) {
        print(file, "ファイル更新日,ファイル更新時間,対象年月日\n20260402,22:41:31,20260402\n");
        print(file, "日付,時間コマ,時間帯_自,時間帯_至,エリア総需要量(kWh),エリア総発電量(kWh),"
                    "エリア風力・太陽光発電量(kWh)\n");
        slot_rows(file, "20260402", "%s,%d,%d:%02d,%d:%02d,%d,%d,%d\n", 3500, 48);
    } else if (kind == 1) {
        print(file, "ファイル更新日,ファイル更新時間,対象年月日\n2026/04/02,20:00:22,2026/04/"
                    "02,,,,[kWh]\n" SLOT_HEADER);
        slot_rows(file, "2026/04/02", "%s,%d,%02d%02d,%02d%02d,%d,%d,%d\n", 30000, 48);
    } else if (kind == 2) {
        print(file, "2026/4/2 22:50 UPDATE\n" SLOT_HEADER);
        slot_rows(file, "2026/4/2", "%s,%d,%d:%02d,%d:%02d,%d,%d,%d\n", 3300, 48);
    } else if (kind == 3) {
        print(file, "エリア計画値（関西）\n日付,時間コマ,時間帯＿自,時間帯＿至,エリア総需要量,"
                    "エリア総発電量,"
                    "エリア風力・太陽光発電量\n");
        slot_rows(file, "2026/4/2", "%s,%d,%d:%02d,%d:%02d,%d,%d,%d\n", 14000, 48);
    } else {
        print(file,
              "ファイル更新日,ファイル更新時間,対象年月日\n20260402,18:00:00,20260402\n" SLOT_HEADER
              "-,-,-,-,ｋＷｈ,ｋＷｈ,ｋＷｈ\n");
        slot_rows(file, "20260402", "%s,%d,%d:%02d,%d:%02d,%d,%d,%d\n", 9000, 36);
    }
}

/* 0 the common layout (Tohoku), 1 Tokyo's. */
static void make_usage(struct fixture_file *file, int kind)
{
    int size = kind == 0 ? 900 : 3000;

    snprintf(file->name, sizeof(file->name), kind == 0 ? "juyo_02_20260402.csv" : "juyo-s1-j.csv");
    snprintf(file->format, sizeof(file->format), "usage");
    file->encoding = FIXTURE_CP932;
    print(file,
          "2026/4/2 13:47 UPDATE\nピーク時供給力(万kW),時間帯,供給力情報更新日,供給力情報更新時刻,"
          "ピーク時予備率(%%),ピーク時使用率(%%)\n1172,14:00～15:00,4/2,13:42,26,79\n\n");
    print(file,
          kind == 0
              ? "DATE,TIME,当日実績(万kW),予測値(万kW),使用率(%%),供給力(万kW)\n"
              : "DATE,TIME,当日実績(万kW),需要電力予測値(万kW),供給力予測値(万kW),使用率(%%)\n");
    for (int hour = 0; hour < 24; hour++) {
        int demand = size + hour * size / 100;
        int supply = demand * 5 / 4;
        int actual = hour < 13 ? demand : 0;
        if (kind == 0) {
            print(file, "2026/4/2,%d:00,%d,%d,%d,%d\n", hour, actual, demand + 3,
                  actual > 0 ? 80 : 0, supply);
        } else if (actual > 0) {
            print(file, "2026/4/2,%d:00,%d,%d,%d,80\n", hour, actual, demand + 3, supply);
        } else {
            print(file, "2026/4/2,%d:00,0,%d,%d,\n", hour, demand + 3, supply);
        }
    }
    print(file, "\n最大使用率(%%),時間帯\n88,4:00～5:00\n\nDATE,TIME,当日実績(５分間隔値)(万kW),"
                "太陽光発電実績(５分間隔値)(万kW),太陽光発電量(電力使用量に対する割合)(%%)\n");
    for (int step = 0; step < 288; step++) {
        bool done = step < 165;
        print(file, done ? "2026/4/2,%d:%02d,%d,%d,%d\n" : "2026/4/2,%d:%02d,,,\n", step / 12,
              step % 12 * 5, size + step, size * sun(step / 6) / 5000, sun(step / 6) / 50);
    }
}

/* 0 the yearly file, 1 the summary in UTF-8 with another first column. */
static void make_spot(struct fixture_file *file, int kind)
{
    static const enum agent_area order[] = {
        AGENT_AREA_HOKKAIDO, AGENT_AREA_TOHOKU,   AGENT_AREA_TOKYO,
        AGENT_AREA_CHUBU,    AGENT_AREA_HOKURIKU, AGENT_AREA_KANSAI,
        AGENT_AREA_CHUGOKU,  AGENT_AREA_SHIKOKU,  AGENT_AREA_KYUSHU};

    snprintf(file->name, sizeof(file->name), kind == 0 ? "spot_2026.csv" : "spot_summary_2026.csv");
    snprintf(file->format, sizeof(file->format), "spot");
    file->encoding = kind == 0 ? FIXTURE_CP932 : FIXTURE_UTF8;
    print(file,
          "%s,時刻コード,売り入札量(kWh),買い入札量(kWh),約定総量(kWh),システムプライス(円/kWh)",
          kind == 0 ? "年月日" : "受渡日");
    for (int index = 0; index < 9; index++) {
        print(file, ",エリアプライス%s(円/kWh)", agent_area_japanese(order[index]));
    }
    print(file, kind == 0 ? ",スポット・時間前平均価格(円/kWh)\n" : "\n");
    for (int slot = 0; slot < FIXTURE_SLOTS; slot++) {
        print(file, "2026/%s%d,%d,15558150,15358850,%d,%d.%02d", kind == 0 ? "04/0" : "4/",
              1 + slot / 48, slot % 48 + 1, 11414250 + slot,
              fixture_price(AGENT_AREA_NONE, slot) / 100,
              fixture_price(AGENT_AREA_NONE, slot) % 100);
        for (int index = 0; index < 9; index++) {
            int price = fixture_price(order[index], slot);
            print(file, ",%d.%02d", price / 100, price % 100);
        }
        print(file, kind == 0 ? ",12.34\n" : "\n");
    }
}

static void make_imbalance(struct fixture_file *file)
{
    snprintf(file->name, sizeof(file->name), "202604_imbalance-price_01.csv");
    snprintf(file->format, sizeof(file->format), "imbalance");
    file->encoding = FIXTURE_CP932;
    print(file, "\"H\",\"インバランス料金単価\",\"202604\"\n\"T\",\"\",\"\",\"\",\"\"");
    for (int cell = 0; cell < 36; cell++) {
        print(file, ",\"%s\"",
              cell == 0    ? "余剰インバランス料金単価"
              : cell == 18 ? "不足インバランス料金単価"
                           : "");
    }
    print(file, "\n\"T\",\"対象年月日\",\"時刻コード\",\"開始時刻\",\"終了時刻\"");
    for (int cell = 0; cell < 18; cell++) {
        print(file, ",\"%s\",\"補正\"", agent_area_japanese((enum agent_area)(cell % 9 + 1)));
    }
    print(file, "\n");
    for (int slot = 0; slot < FIXTURE_SLOTS; slot++) {
        int in_day = slot % 48;
        print(file, "\"D\",\"202604%02d\",\"%d\",\"%02d:%02d\",\"%02d:%02d\"", 1 + slot / 48,
              in_day + 1, in_day / 2, in_day % 2 * 30, (in_day + 1) / 2, (in_day + 1) % 2 * 30);
        for (int cell = 0; cell < 18; cell++) {
            int price = fixture_price((enum agent_area)(cell % 9 + 1), slot) + (cell >= 9 ? 5 : 0);
            print(file, ",\"%d.%02d\",\"0\"", price / 100, price % 100);
        }
        print(file, "\n");
    }
}

static void make_outlook(struct fixture_file *file)
{
    static const char *const rows[] = {"九州本土", "対馬", "壱岐", "五島"};

    snprintf(file->name, sizeof(file->name), "td_power_usages_pc.html");
    snprintf(file->format, sizeof(file->format), "outlook");
    file->encoding = FIXTURE_UTF8;
    print(file,
          "<!DOCTYPE html>\n<html><head><title>でんき予報</title></head><body>\n"
          "<h2>再生可能エネルギー出力制御見通し</h2>\n<p>（4月5日&nbsp;17時00分発表）</p>\n"
          "<table>\n<tr><th></th><th>4月6日(月)</th><th>4月7日(火)</th><th>4月8日(水)</th></tr>\n");
    for (int row = 0; row < 4; row++) {
        print(file, "<tr><th>%s</th><td>%s</td><td class=\"a\">―</td><td><b>―</b></td></tr>\n",
              rows[row], row == 0 ? "最大１２０万ｋＷ" : "―");
    }
    print(file, "</table>\n</body></html>\n");
}

static void make_lines(struct fixture_file *file, bool five)
{
    static const char *const names[] = {"関門連系線", "西播東岡山線・山崎智頭線", "相馬双葉幹線"};
    int step = five ? 5 : 30;

    snprintf(file->name, sizeof(file->name), five ? "renkeisen_5min.csv" : "renkeisen_30min.csv");
    snprintf(file->format, sizeof(file->format), "lines");
    file->encoding = FIXTURE_UTF8_BOM;
    print(file, "\"連系線\",\"対象日付\",\"対象時刻\",\"運用容量(順方向)\",\"運用容量(逆方向)\","
                "\"マージン(順方向)\","
                "\"空容量(順方向)\",\"計画潮流(順方向)\",\"潮流実績\"\n");
    for (int line = 0; line < 3; line++) {
        for (int minutes = step; minutes <= 1440; minutes += step) {
            print(file,
                  "\"%s\",\"2026/04/02\",\"%02d:%02d\",\"2470\",\"-2470\",\"0\",\"12.5\","
                  "\"-1500\",\"%d.5\"\n",
                  names[line], minutes / 60, minutes % 60, line * 100 - 1000 + minutes % 200);
        }
    }
}

static void make_json(struct fixture_file *file)
{
    snprintf(file->name, sizeof(file->name), "meters.jsonl");
    snprintf(file->format, sizeof(file->format), "json-lines");
    for (int slot = 0; slot < 48; slot++) {
        print(file,
              "{\"quantity\":\"host_power\",\"place\":\"node1\",\"time\":\"2026-04-02T%02d:%02d"
              ":00+09:00\",\"seconds\":1800,\"value\":%d.5,\"unit\":\"W\"}\n",
              slot / 2, slot % 2 * 30, 180 + slot);
        print(file,
              "{\"area\":\"kyushu\",\"quantity\":\"carbon\",\"stage\":\"forecast\",\"time\":"
              "\"2026-04-02T%02d:%02d+09:00\",\"seconds\":1800,\"value\":%d,\"unit\":"
              "\"gCO2/kWh\",\"issued_at\":\"2026-04-01T17:00+09:00\"}\n",
              slot / 2, slot % 2 * 30, 200 + slot);
    }
}

void fixture_make(int index, struct fixture_file *file)
{
    memset(file, 0, sizeof(*file));
    if (index < 10) {
        make_actual(file, (enum agent_area)(index + 1));
    } else if (index < 15) {
        make_slots(file, index - 10);
    } else if (index < 17) {
        make_usage(file, index - 15);
    } else if (index < 19) {
        make_spot(file, index - 17);
    } else if (index == 19) {
        make_imbalance(file);
    } else if (index == 20) {
        make_outlook(file);
    } else if (index < 23) {
        make_lines(file, index == 21);
    } else {
        make_json(file);
    }
    const char *bom = file->encoding == FIXTURE_UTF8_BOM ? "\xef\xbb\xbf" : "";
    char *body = fixture_encode(file->text, file->text_size,
                                file->encoding == FIXTURE_CP932 ? "CP932" : "UTF-8", &file->size);
    if (body == NULL) {
        abort();
    }
    file->bytes = malloc(file->size + 4);
    if (file->bytes == NULL) {
        abort();
    }
    memcpy(file->bytes, bom, strlen(bom));
    memcpy(file->bytes + strlen(bom), body, file->size);
    file->size += strlen(bom);
    free(body);
}

void fixture_done(struct fixture_file *file)
{
    free(file->text);
    free(file->bytes);
    memset(file, 0, sizeof(*file));
}
