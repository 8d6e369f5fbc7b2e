/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grid/reader.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "support/text.h"

int grid_next_row(struct grid_reader *reader)
{
    int status = agent_csv_next(&reader->csv, &reader->row, reader->error);

    while (status > 0 && agent_csv_blank(&reader->row)) {
        status = agent_csv_next(&reader->csv, &reader->row, reader->error);
    }
    return status;
}

int grid_fail(struct grid_reader *reader, size_t index, const char *format, ...)
{
    char text[AGENT_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return agent_error_at(reader->error, EBADMSG,
                          agent_csv_place(&reader->csv, &reader->row, index), "%s", text);
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash != NULL ? slash + 1 : name;
}

static bool contains(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

static enum agent_area area_by_number(const char *base)
{
    static const char *const before[] = {"tso", "juyo_", "juyo-"};

    for (size_t index = 0; index < sizeof(before) / sizeof(before[0]); index++) {
        const char *at = strcasestr(base, before[index]);
        if (at == NULL) {
            continue;
        }
        at += strlen(before[index]);
        int number = atoi(at);
        size_t digits = strspn(at, "0123456789");
        if (digits >= 1 && digits <= 2 && number >= 1 && number < AGENT_AREA_COUNT) {
            return (enum agent_area)number;
        }
    }
    /* eria_jukyu_YYYYMM_NN.csv and realtime_jukyu_YYYYMMDD_NN.csv */
    const char *jukyu = strcasestr(base, "jukyu_");
    const char *bar = jukyu != NULL ? strchr(jukyu + 6, '_') : NULL;
    if (bar != NULL && strspn(bar + 1, "0123456789") == 2) {
        int number = atoi(bar + 1);
        return number >= 1 && number < AGENT_AREA_COUNT ? (enum agent_area)number : AGENT_AREA_NONE;
    }
    return AGENT_AREA_NONE;
}

enum agent_area grid_area_from_name(const char *name)
{
    static const struct {
        const char *word;
        enum agent_area area;
    } words[] = {
        {"hokkaido", AGENT_AREA_HOKKAIDO}, {"hepco", AGENT_AREA_HOKKAIDO},
        {"tohoku", AGENT_AREA_TOHOKU},     {"tokyo", AGENT_AREA_TOKYO},
        {"tepco", AGENT_AREA_TOKYO},       {"juyo-j", AGENT_AREA_TOKYO},
        {"juyo-d1-j", AGENT_AREA_TOKYO},   {"juyo-s1-j", AGENT_AREA_TOKYO},
        {"chubu", AGENT_AREA_CHUBU},       {"cepco", AGENT_AREA_CHUBU},
        {"hokuriku", AGENT_AREA_HOKURIKU}, {"rikuden", AGENT_AREA_HOKURIKU},
        {"kansai", AGENT_AREA_KANSAI},     {"chugoku", AGENT_AREA_CHUGOKU},
        {"energia", AGENT_AREA_CHUGOKU},   {"shikoku", AGENT_AREA_SHIKOKU},
        {"yonden", AGENT_AREA_SHIKOKU},    {"kyushu", AGENT_AREA_KYUSHU},
        {"kyuden", AGENT_AREA_KYUSHU},     {"juyo-hourly", AGENT_AREA_KYUSHU},
        {"okinawa", AGENT_AREA_OKINAWA},   {"okiden", AGENT_AREA_OKINAWA},
    };
    const char *base = last_part(name);
    enum agent_area found = area_by_number(base);

    for (size_t index = 0; index < sizeof(words) / sizeof(words[0]); index++) {
        if (!contains(base, words[index].word)) {
            continue;
        }
        if (found != AGENT_AREA_NONE && found != words[index].area) {
            return AGENT_AREA_NONE; /* the name tells two areas: better ask than guess */
        }
        found = words[index].area;
    }
    return found;
}

bool grid_name_date(const char *name, size_t digits, struct agent_date *date)
{
    const char *at = last_part(name);

    while (*at != '\0') {
        size_t run = strspn(at, "0123456789");
        if (run == digits) {
            int number = atoi(at);
            struct agent_date found = {digits == 8 ? number / 10000 : number / 100,
                                       digits == 8 ? number / 100 % 100 : number % 100,
                                       digits == 8 ? number % 100 : 1};
            if (agent_date_valid(found)) {
                *date = found;
                return true;
            }
        }
        at += run > 0 ? run : 1;
    }
    return false;
}

int grid_need_area(struct grid_reader *reader)
{
    if (reader->area == AGENT_AREA_NONE) {
        reader->area = grid_area_from_name(reader->input->name);
    }
    if (reader->area != AGENT_AREA_NONE) {
        return 0;
    }
    return agent_error_at(reader->error, EINVAL, (struct agent_place){reader->input->name, 0, 0},
                          "neither the content nor the file name tells the area; name it "
                          "(area: kyushu, or --area kyushu)");
}

int grid_minutes(const char *text)
{
    size_t length = strlen(text);
    int hour = 0;
    int minute = 0;

    if (length < 4 || length > 8 || strspn(text, "0123456789:") != length) {
        return -EINVAL;
    }
    if (strchr(text, ':') == NULL) {
        if (length != 4) {
            return -EINVAL;
        }
        hour = (text[0] - '0') * 10 + text[1] - '0';
        minute = (text[2] - '0') * 10 + text[3] - '0';
    } else {
        size_t colon = strcspn(text, ":");
        const char *rest = text + colon + 1;
        bool seconds = length > colon + 3;
        if (colon < 1 || colon > 2 || strspn(rest, "0123456789") != 2 ||
            (seconds && strcmp(rest + 2, ":00") != 0)) {
            return -EINVAL;
        }
        hour = atoi(text);
        minute = atoi(rest);
    }
    int total = hour * 60 + minute;
    return minute > 59 || total > 1440 ? -EINVAL : total;
}

int grid_number(struct grid_reader *reader, size_t index, const char *what, double *value)
{
    const char *cell = index < reader->row.count ? reader->row.fields[index] : "";

    if (cell[0] == '\0') {
        *value = NAN;
        return 1;
    }
    if (agent_text_number(cell, value) < 0) {
        return grid_fail(reader, index, "%s: expected a number, found '%.40s'", what, cell);
    }
    return 0;
}

int grid_date(struct grid_reader *reader, size_t index, struct agent_date *date)
{
    const char *cell = index < reader->row.count ? reader->row.fields[index] : "";

    if (agent_date_parse(cell, date, NULL) < 0) {
        return grid_fail(reader, index, "expected a date like 2026/4/1, found '%.40s'", cell);
    }
    return 0;
}

int grid_row_width(struct grid_reader *reader, size_t expected)
{
    if (reader->row.count < expected) {
        return grid_fail(reader, reader->row.count,
                         "expected %zu fields as in the header, found "
                         "%zu",
                         expected, reader->row.count);
    }
    for (size_t index = expected; index < reader->row.count; index++) {
        if (reader->row.fields[index][0] != '\0') {
            return grid_fail(reader, index,
                             "expected %zu fields as in the header, found '%.40s' "
                             "beyond them",
                             expected, reader->row.fields[index]);
        }
    }
    return 0;
}

/* The row's names without empty ones at the end, normalised. Return: their number or -errno. */
static int header_keys(struct grid_reader *reader, char keys[][GRID_KEY_MAX])
{
    int width = 0;

    for (size_t index = 0; index < reader->row.count; index++) {
        if (agent_text_key(reader->row.fields[index], keys[index], GRID_KEY_MAX) < 0) {
            return grid_fail(reader, index, "expected a column name, found %zu bytes of text",
                             strlen(reader->row.fields[index]));
        }
        if (keys[index][0] != '\0') {
            width = (int)index + 1;
        }
    }
    return width;
}

static int claim(struct grid_reader *reader, struct grid_column *columns, size_t count,
                 const char *key, size_t index, bool unknown_ok)
{
    for (size_t column = 0; column < count; column++) {
        if (strcmp(columns[column].key, key) != 0) {
            continue;
        }
        if (columns[column].at >= 0) {
            return grid_fail(reader, index, "column '%s' is there twice: fields %d and %zu", key,
                             columns[column].at + 1, index + 1);
        }
        columns[column].at = (int)index;
        return 0;
    }
    if (unknown_ok) {
        return 0;
    }
    return grid_fail(reader, index, "unknown column '%.60s'", key[0] != '\0' ? key : "(no name)");
}

static int require(struct grid_reader *reader, const struct grid_column *columns, size_t count,
                   const char *seen)
{
    for (size_t column = 0; column < count; column++) {
        if (columns[column].required && columns[column].at < 0) {
            return grid_fail(reader, 0, "expected a column '%s', found only: %.200s",
                             columns[column].key, seen);
        }
    }
    return 0;
}

int grid_columns(struct grid_reader *reader, struct grid_column *columns, size_t count,
                 bool unknown_ok, bool *reordered)
{
    char keys[AGENT_CSV_FIELDS_MAX][GRID_KEY_MAX];
    char seen[256] = "";
    int width = header_keys(reader, keys);
    int last = -1;

    for (size_t column = 0; column < count; column++) {
        columns[column].at = -1;
    }
    for (int index = 0; index < width; index++) {
        size_t used = strlen(seen);
        snprintf(seen + used, sizeof(seen) - used, "%s%.60s", index > 0 ? "," : "", keys[index]);
        int status = claim(reader, columns, count, keys[index], (size_t)index, unknown_ok);
        if (status < 0) {
            return status;
        }
    }
    if (width < 0 || require(reader, columns, count, seen) < 0) {
        return -EBADMSG;
    }
    for (size_t column = 0; reordered != NULL && column < count; column++) {
        if (columns[column].at >= 0) {
            *reordered = *reordered || columns[column].at < last;
            last = columns[column].at;
        }
    }
    return width;
}
