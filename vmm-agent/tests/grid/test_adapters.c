/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_adapters.c - every format, every area: what is in the file comes out, and nothing else */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grid/adapter.h"
#include "grid/source.h"
#include "support/slot.h"
#include "tests/grid/fixture.h"

static struct agent_batch batch;

static void parse(const struct fixture_file *file, const char *text, size_t size)
{
    struct agent_input input = {text, size, file->name, NULL, AGENT_AREA_NONE, FIXTURE_NOW_S};
    struct agent_error error = {0};

    if (agent_grid_parse(&input, &batch, &error) < 0) {
        char message[1024];
        fail_msg("%s", agent_error_format(&error, message, sizeof(message)));
    }
    assert_string_equal(batch.format, file->format);
}

/* Parses text in place of @file's own and expects a refusal that holds @expected. */
static void refuse(const struct fixture_file *file, const char *text, const char *expected)
{
    struct agent_input input = {text,         strlen(text),    file->name,
                                file->format, AGENT_AREA_NONE, FIXTURE_NOW_S};
    struct agent_error error = {0};
    char message[1024];

    assert_true(agent_grid_parse(&input, &batch, &error) < 0);
    agent_error_format(&error, message, sizeof(message));
    if (strstr(message, expected) == NULL) {
        fail_msg("expected '%s' in: %s", expected, message);
    }
}

static double value_at(enum agent_area area, enum agent_quantity quantity, enum agent_stage stage,
                       const char *place, int64_t time_s)
{
    const struct agent_series *series = agent_batch_find(&batch, area, quantity, stage, place);

    assert_non_null(series);
    const struct agent_point *point = agent_series_find(series, time_s);
    assert_non_null(point);
    assert_true(agent_quality_usable(point->quality));
    return point->value;
}

static int64_t slot_start(int slot)
{
    return agent_slot_start(agent_slot_at((struct agent_date){2026, 4, 1}, slot));
}

static void test_actuals_of_ten_areas(void **state)
{
    (void)state;
    for (int index = 0; index < 10; index++) {
        struct fixture_file file;
        enum agent_area area = (enum agent_area)(index + 1);
        fixture_make(index, &file);
        parse(&file, file.bytes, file.size);
        for (size_t at = 0; at < batch.count; at++) {
            const struct agent_series *series = &batch.series[at];
            assert_int_equal(series->area, area);
            assert_int_equal(series->count, FIXTURE_SLOTS);
            for (int slot = 0; slot < FIXTURE_SLOTS; slot++) {
                double value = value_at(area, series->quantity, AGENT_ACTUAL, "", slot_start(slot));
                assert_true(fabs(value - fixture_mw(area, series->quantity, slot)) < 1e-9);
            }
        }
        assert_int_equal(batch.count,
                         area == AGENT_AREA_SHIKOKU
                             ? 17
                             : (size_t)(area == AGENT_AREA_TOKYO || area == AGENT_AREA_KANSAI ||
                                                area == AGENT_AREA_KYUSHU
                                            ? 18
                                            : 20));
        agent_batch_done(&batch);
        fixture_done(&file);
    }
}

static void test_slot_files_become_mw(void **state)
{
    static const struct {
        int index;
        enum agent_area area;
        enum agent_stage stage;
        int size;
        int64_t issued_s;
    } files[] = {
        {10, AGENT_AREA_HOKKAIDO, AGENT_FORECAST, 3500, 22 * 3600 + 41 * 60 + 31},
        {11, AGENT_AREA_TOKYO, AGENT_FORECAST, 30000, 20 * 3600 + 22},
        {12, AGENT_AREA_HOKURIKU, AGENT_FORECAST, 3300, 22 * 3600 + 50 * 60},
        {13, AGENT_AREA_KANSAI, AGENT_PLAN, 14000, -1},
    };

    (void)state;
    for (size_t at = 0; at < 4; at++) {
        struct fixture_file file;
        fixture_make(files[at].index, &file);
        parse(&file, file.bytes, file.size);
        for (int slot = 0; slot < 48; slot++) {
            double mw =
                value_at(files[at].area, AGENT_DEMAND, files[at].stage, "", slot_start(48 + slot));
            assert_true(fabs(mw - (files[at].size * 500 + slot * 100) * 0.002) < 1e-9);
        }
        int64_t issued_s = files[at].issued_s < 0 ? 0 : slot_start(48) + files[at].issued_s;
        assert_int_equal(batch.series[0].issued_s, issued_s);
        agent_batch_done(&batch);
        fixture_done(&file);
    }
}

static void test_unfinished_slots_give_no_points(void **state)
{
    struct fixture_file file;
    const struct agent_series *series = NULL;

    (void)state;
    fixture_make(14, &file);
    parse(&file, file.bytes, file.size);
    series = agent_batch_find(&batch, AGENT_AREA_KYUSHU, AGENT_DEMAND, AGENT_ACTUAL, "");
    assert_non_null(series);
    assert_int_equal(series->count, 36);
    assert_int_equal(series->points[0].quality, AGENT_QUALITY_INCOMPLETE); /* four days later */
    agent_batch_done(&batch);
    fixture_done(&file);
}

static void test_usage_sections(void **state)
{
    (void)state;
    for (int index = 15; index < 17; index++) {
        struct fixture_file file;
        int size = index == 15 ? 900 : 3000;
        enum agent_area area = index == 15 ? AGENT_AREA_TOHOKU : AGENT_AREA_TOKYO;
        fixture_make(index, &file);
        parse(&file, file.bytes, file.size);
        double forecast =
            value_at(area, AGENT_DEMAND, AGENT_FORECAST, "hourly", slot_start(48) + 23 * 3600);
        assert_true(fabs(forecast - (size + 23 * size / 100 + 3) * 10) < 1e-9);
        const struct agent_series *five =
            agent_batch_find(&batch, area, AGENT_DEMAND, AGENT_ACTUAL, "5min");
        assert_non_null(five);
        assert_int_equal(five->count, 165);
        assert_int_equal(five->points[0].length_s, 300);
        assert_true(fabs(five->points[164].value - (size + 164) * 10) < 1e-9);
        const struct agent_series *hourly =
            agent_batch_find(&batch, area, AGENT_USAGE_RATIO, AGENT_ACTUAL, "hourly");
        assert_int_equal(hourly->count, 13);
        assert_true(fabs(hourly->points[0].value - 0.8) < 1e-9);
        assert_int_equal(hourly->issued_s, slot_start(48) + 13 * 3600 + 47 * 60);
        agent_batch_done(&batch);
        fixture_done(&file);
    }
}

static void test_markets(void **state)
{
    (void)state;
    for (int index = 17; index < 20; index++) {
        struct fixture_file file;
        fixture_make(index, &file);
        parse(&file, file.bytes, file.size);
        for (int slot = 0; slot < FIXTURE_SLOTS; slot++) {
            for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
                double price = fixture_price((enum agent_area)area, slot) / 100.0;
                enum agent_quantity quantity =
                    index < 19 ? AGENT_PRICE_SPOT : AGENT_PRICE_IMBALANCE_SURPLUS;
                double got =
                    value_at((enum agent_area)area, quantity, AGENT_ACTUAL, "", slot_start(slot));
                assert_true(fabs(got - price) < 1e-12);
                if (index == 19) {
                    got = value_at((enum agent_area)area, AGENT_PRICE_IMBALANCE_SHORTAGE,
                                   AGENT_ACTUAL, "", slot_start(slot));
                    assert_true(fabs(got - price - 0.05) < 1e-9);
                }
            }
        }
        if (index < 19) {
            double mw =
                value_at(AGENT_AREA_NONE, AGENT_VOLUME_SPOT, AGENT_ACTUAL, "", slot_start(3));
            assert_true(fabs(mw - 11414253 * 0.002) < 1e-6);
        }
        agent_batch_done(&batch);
        fixture_done(&file);
    }
}

static void test_outlook(void **state)
{
    struct fixture_file file;
    int64_t first_s = slot_start(5 * 48); /* 6 April */

    (void)state;
    fixture_make(20, &file);
    parse(&file, file.bytes, file.size);
    assert_int_equal(batch.count, 4);
    assert_true(fabs(value_at(AGENT_AREA_KYUSHU, AGENT_CURTAILMENT_OUTLOOK, AGENT_FORECAST, "",
                              first_s + 3600) -
                     1200) < 1e-9);
    assert_true(fabs(value_at(AGENT_AREA_KYUSHU, AGENT_CURTAILMENT_OUTLOOK, AGENT_FORECAST, "goto",
                              first_s + 2 * AGENT_DAY_SECONDS)) < 1e-9);
    assert_int_equal(batch.series[0].issued_s, slot_start(4 * 48) + 17 * 3600);
    agent_batch_done(&batch);
    fixture_done(&file);
}

static void test_lines_label_the_end(void **state)
{
    (void)state;
    for (int index = 21; index < 23; index++) {
        struct fixture_file file;
        int step = index == 21 ? 5 : 30;
        fixture_make(index, &file);
        parse(&file, file.bytes, file.size);
        const struct agent_series *flow = agent_batch_find(&batch, AGENT_AREA_NONE, AGENT_LINE_FLOW,
                                                           AGENT_ACTUAL, "chugoku-kyushu");
        assert_non_null(flow);
        assert_int_equal(flow->count, 1440 / step);
        assert_int_equal(flow->points[0].start_s, slot_start(48));
        assert_int_equal(flow->points[0].length_s, step * 60);
        double first = step == 5 ? -995.5 : -970.5; /* printed as -995.5 and -970.5 */
        assert_true(fabs(flow->points[0].value - first) < 1e-9);
        assert_true(fabs(value_at(AGENT_AREA_NONE, AGENT_LINE_CAPACITY_REVERSE, AGENT_ACTUAL,
                                  "chugoku-kyushu", slot_start(60)) +
                         2470) < 1e-9);
        agent_batch_done(&batch);
        fixture_done(&file);
    }
}

static void test_json_lines(void **state)
{
    struct fixture_file file;

    (void)state;
    fixture_make(23, &file);
    parse(&file, file.bytes, file.size);
    assert_true(fabs(value_at(AGENT_AREA_NONE, AGENT_HOST_POWER, AGENT_ACTUAL, "node1",
                              slot_start(48 + 7)) -
                     187.5) < 1e-9);
    assert_true(
        fabs(value_at(AGENT_AREA_KYUSHU, AGENT_CARBON, AGENT_FORECAST, "", slot_start(48 + 9)) -
             209) < 1e-9);
    refuse(&file,
           "{\"quantity\":\"pv\",\"area\":\"kyushu\",\"time\":\"2026-04-02T00:00Z\","
           "\"seconds\":1800,\"value\":1,\"unit\":\"kW\"}",
           ":1: pv is kept in 'MW'");
    refuse(&file, "\n{\"quantity\":\"pv\",\"aera\":\"kyushu\"}",
           ":2: record: unknown key 'aera'; did "
           "you mean 'area'?");
    agent_batch_done(&batch);
    fixture_done(&file);
}

/* @from in the text of fixture @index becomes @to; Return: the new text, caller frees. */
static char *edit(const struct fixture_file *file, const char *from, const char *to)
{
    const char *at = strstr(file->text, from);
    assert_non_null(at);
    size_t before = (size_t)(at - file->text);
    char *text = malloc(file->text_size + strlen(to) + 1);

    assert_non_null(text);
    memcpy(text, file->text, before);
    strcpy(text + before, to);
    strcat(text, at + strlen(from));
    return text;
}

static void test_errors_name_the_place(void **state)
{
    static const struct {
        int index;
        const char *from;
        const char *to;
        const char *expected;
    } cases[] = {
        {2, "単位[MW平均]", "単位[万kW平均]",
         "_03.csv:1:1: expected the unit '単位[MW平均]', found"},
        {2, "原子力,", "原子カ,", "_03.csv:2:4: unknown column '原子カ'"},
        {2, ",合計", "", "expected a column '合計'"},
        {2, "原子力,", "地熱,", "column '地熱' is there twice"},
        {2, "2026/4/1,0:30", "2026/4/1,24:00", "_03.csv:4:2: expected the start of a slot"},
        {2, "2026/4/1,0:30", "2026/5/1,0:30", "expected a day of 2026-04"},
        {2, "2026/4/1,0:30,", "2026/4/1,0:30,x", "_03.csv:4:3: エリア需要: expected a number"},
        {2, "2026/4/1,0:30,", "2026/4/1,0:30,1,", "expected 20 fields"},
        {2, "2026/4/1,0:30,", "2026/4/1,", "_03.csv:4:"},
        {8, "\"0:30\"", "\"0:00\"", "_09.csv:3:2: expected the end of a slot, 0:30 to 24:00"},
        {8, "\"0:30\"", "\"0:30\"x", "_09.csv:3:2: expected a comma after the closing quote"},
        {10, "(kWh)", "(MWh)", ":3:5: unknown column 'エリア総需要量(MWh)'"},
        {10, ",7,3:00", ",8,3:00", "slot 8: expected 3:30 to 4:00, found '3:00' to '3:30'"},
        {10, "20260402,7,", "20260403,7,", "expected the day 2026-04-02"},
        {11, "[kWh]", "[MWh]", "expected the unit [kWh], found '[MWh]'"},
        {14, "ｋＷｈ", "ｋＷ", ":4:5: expected the unit kWh, found 'kW'"},
        {15, "予測値(万kW)", "予測値(MW)", "misplaced column '予測値(MW)'"},
        {17, "エリアプライス東京(円/kWh)", "エリアプライス東京(円/MWh)",
         "expected a column '東京'"},
        {17, "2026/04/01,3,", "2026/04/01,49,", ":4:2: expected a slot 1 to 48, found '49'"},
        {17, "2026/04/01,3,", "2025/03/31,3,", "expected a day of fiscal year 2026"},
        {19, "\"関西\"", "\"閑西\"", "expected a T record naming 余剰 of 関西"},
        {20, "4月7日(火)", "4月8日(火)", "expected days in a row"},
        {20, "五島", "六島", "found '六島'"},
        {20, "最大１２０万ｋＷ", "少し", "expected an amount in 万kW or ― for none, found '少し'"},
        {21, "相馬双葉幹線", "相馬", "unknown line '相馬'"},
    };

    (void)state;
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        struct fixture_file file;
        fixture_make(cases[at].index, &file);
        char *text = edit(&file, cases[at].from, cases[at].to);
        refuse(&file, text, cases[at].expected);
        free(text);
        fixture_done(&file);
    }
}

/* Flags of the point of @quantity that starts at @time_s after an edit of fixture @index. */
static uint32_t flags_after(int index, const char *from, const char *to, enum agent_area area,
                            enum agent_quantity quantity, int slot)
{
    struct fixture_file file;

    fixture_make(index, &file);
    char *text = edit(&file, from, to);
    parse(&file, text, strlen(text));
    const struct agent_series *series =
        agent_batch_find(&batch, area, quantity,
                         quantity == AGENT_CURTAILMENT_OUTLOOK ? AGENT_FORECAST : AGENT_ACTUAL, "");
    assert_non_null(series);
    const struct agent_point *point = agent_series_find(series, slot_start(slot));
    assert_non_null(point);
    uint32_t flags = point->quality;
    agent_batch_done(&batch);
    free(text);
    fixture_done(&file);
    return flags;
}

static void test_doubts(void **state)
{
    char row[512];
    char changed[520];

    (void)state;
    /* a source that breaks the balance, in one row only */
    snprintf(row, sizeof(row), "2026/4/1,0:30,%d,", fixture_mw(AGENT_AREA_TOKYO, AGENT_DEMAND, 1));
    snprintf(changed, sizeof(changed), "%s9", row);
    assert_int_equal(flags_after(2, row, changed, AGENT_AREA_TOKYO, AGENT_NUCLEAR, 1) &
                         AGENT_QUALITY_IMBALANCED,
                     AGENT_QUALITY_IMBALANCED);
    assert_int_equal(flags_after(2, row, changed, AGENT_AREA_TOKYO, AGENT_NUCLEAR, 2), 0);
    /* the header alone exchanged: same sum, other meaning */
    assert_int_equal(flags_after(2, "水力,地熱", "地熱,水力", AGENT_AREA_TOKYO, AGENT_HYDRO, 5),
                     AGENT_QUALITY_LAYOUT);
    /* a price that no market allows */
    assert_int_equal(flags_after(17, "2026/04/01,1,15558150,15358850,11414250,8.00",
                                 "2026/04/01,1,15558150,15358850,11414250,800.00", AGENT_AREA_NONE,
                                 AGENT_PRICE_SYSTEM, 0),
                     AGENT_QUALITY_RANGE);
    /* a slot given twice with different values, and the hole it leaves */
    assert_int_equal(
        flags_after(17, "2026/04/01,3,", "2026/04/01,2,", AGENT_AREA_KYUSHU, AGENT_PRICE_SPOT, 1),
        AGENT_QUALITY_DUPLICATE | AGENT_QUALITY_INCOMPLETE);
    /* more curtailment than there is wind and sun */
    assert_int_equal(flags_after(20, "最大１２０万ｋＷ", "12000万kW", AGENT_AREA_KYUSHU,
                                 AGENT_CURTAILMENT_OUTLOOK, 5 * 48),
                     AGENT_QUALITY_RANGE);
}

static void test_future_and_stale(void **state)
{
    struct fixture_file file;
    struct agent_error error = {0};

    (void)state;
    fixture_make(2, &file);
    struct agent_input input = {file.bytes, file.size,       file.name,
                                NULL,       AGENT_AREA_NONE, slot_start(10)};
    assert_int_equal(agent_grid_parse(&input, &batch, &error), 0);
    assert_int_equal(batch.series[0].points[9].quality, 0);
    assert_int_equal(batch.series[0].points[20].quality, AGENT_QUALITY_FUTURE);
    int64_t end_s = slot_start(FIXTURE_SLOTS);
    assert_false(agent_series_mark_stale(&batch.series[0], end_s + 3600, 7200));
    assert_true(agent_series_mark_stale(&batch.series[0], end_s + 7201, 7200));
    assert_false(agent_quality_usable(batch.series[0].points[0].quality));
    agent_batch_done(&batch);
    fixture_done(&file);
}

static void test_encodings_and_line_ends(void **state)
{
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    static const char *const encodings[] = {"UTF-8", "CP932"};

    (void)state;
    for (int index = 0; index < 20; index++) {
        struct fixture_file file;
        fixture_make(index, &file);
        for (int end = 0; end < 3; end++) {
            char *text = malloc(file.text_size * 2 + 1);
            size_t size = 0;
            for (size_t at = 0; at < file.text_size; at++) {
                const char *piece = ends[end];
                if (file.text[at] != '\n') {
                    text[size++] = file.text[at];
                } else {
                    memcpy(text + size, piece, strlen(piece));
                    size += strlen(piece);
                }
            }
            for (int encoding = 0; encoding < 2; encoding++) {
                size_t bytes_size = 0;
                char *bytes = fixture_encode(text, size, encodings[encoding], &bytes_size);
                assert_non_null(bytes);
                parse(&file, bytes, bytes_size);
                agent_batch_done(&batch);
                free(bytes);
            }
            free(text);
        }
        fixture_done(&file);
    }
}

static void test_not_told(void **state)
{
    struct fixture_file file;

    (void)state;
    fixture_make(0, &file);
    snprintf(file.name, sizeof(file.name), "some.csv");
    refuse(&file, file.text, "neither the content nor the file name tells the area");
    file.format[0] = '\0';
    refuse(&file, file.text, "unknown format ''");
    fixture_done(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actuals_of_ten_areas),
        cmocka_unit_test(test_slot_files_become_mw),
        cmocka_unit_test(test_unfinished_slots_give_no_points),
        cmocka_unit_test(test_usage_sections),
        cmocka_unit_test(test_markets),
        cmocka_unit_test(test_outlook),
        cmocka_unit_test(test_lines_label_the_end),
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_doubts),
        cmocka_unit_test(test_future_and_stale),
        cmocka_unit_test(test_encodings_and_line_ends),
        cmocka_unit_test(test_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
