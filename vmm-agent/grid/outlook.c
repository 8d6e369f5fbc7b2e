/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outlook.c - the page with the outlook on curtailment in Kyushu (再生可能エネルギー出力制御見通し)
 * Owner: none.   Thread: the caller's.
 * Time:  issue time and three days from the page (JST); the page names no year, so it is the one
 *        nearest to the date in the file name (YYYYMMDD), else to now_s.
 * Units: page 万kW, series MW over the whole day, 0 = no curtailment expected.
 *
 * Published at 17:00 of the day before and revised in the morning. A cell is "―" (none) or an
 * amount in 万kW; a cell that says "あり" without an amount gives a MISSING value, because how much
 * is not known. Anything else is an error: a page that changed must not read as "none". */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grid/reader.h"
#include "support/text.h"

#define CELL_MAX    128
#define CELLS_MAX   8
#define ROWS_MAX    64
#define DAYS        3
#define PLACES      4
#define MW_PER_10MW 10.0

static const struct {
    const char *name;
    const char *place;
} places[PLACES] = {{"九州本土", ""}, {"対馬", "tsushima"}, {"壱岐", "iki"}, {"五島", "goto"}};

struct page {
    struct grid_reader *reader;
    const char *at;  /* in the normalised HTML */
    int64_t about_s; /* the year is the one nearest to this */
    int64_t issued_s;
    int64_t day_s[DAYS];
    int days;
    bool seen[PLACES];
    size_t cell_count;
    char cells[CELLS_MAX][CELL_MAX];
};

static bool match(const struct grid_reader *reader)
{
    return reader->head[0] == '<' && strstr(reader->text, "出力制御見通し") != NULL;
}

static int fail(struct page *page, const char *expected, const char *found)
{
    struct agent_place place = {page->reader->input->name, 0, 0};

    return agent_error_at(page->reader->error, EBADMSG, place, "expected %s, found '%.60s'",
                          expected, found);
}

/* Midnight JST of month/day in the year that brings it nearest to @about_s. */
static bool nearest(int month, int day, int64_t about_s, int64_t *midnight_s)
{
    int year = agent_date_of(about_s).year;
    bool found = false;

    for (int shift = -1; shift <= 1; shift++) {
        struct agent_date date = {year + shift, month, day};
        if (!agent_date_valid(date)) {
            continue;
        }
        int64_t start_s = agent_date_start(date);
        if (!found || llabs(start_s - about_s) < llabs(*midnight_s - about_s)) {
            *midnight_s = start_s;
            found = true;
        }
    }
    return found;
}

static int read_issued(struct page *page)
{
    int month = 0;
    int day = 0;
    int hour = -1;
    int minute = -1;
    int end = 0;
    const char *at = page->at;

    while ((at = strchr(at, '(')) != NULL) {
        if (sscanf(at, "(%2d月%2d日%2d時%2d分発表)%n", &month, &day, &hour, &minute, &end) == 4 &&
            end > 0) {
            break;
        }
        at++;
    }
    if (at == NULL || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        !nearest(month, day, page->about_s, &page->issued_s)) {
        return fail(page, "the issue time '(M月D日 H時M分発表)'", at != NULL ? at : "no such text");
    }
    page->issued_s += hour * 3600 + minute * 60;
    return 0;
}

/* The text of one cell without tags. Return: behind it, NULL = no end. */
static const char *read_cell(const char *at, char *cell)
{
    size_t used = 0;

    at = strchr(at, '>');
    while (at != NULL && *at != '\0') {
        at += *at == '>' ? 1 : 0;
        size_t run = strcspn(at, "<");
        for (size_t index = 0; index < run && used + 1 < CELL_MAX; index++) {
            cell[used++] = at[index];
        }
        at += run;
        if (strncmp(at, "</td", 4) == 0 || strncmp(at, "</th", 4) == 0 ||
            strncmp(at, "<td", 3) == 0 || strncmp(at, "<th", 3) == 0 ||
            strncmp(at, "<tr", 3) == 0 || strncmp(at, "</tr", 4) == 0) {
            break;
        }
        at = strchr(at, '>');
    }
    cell[used] = '\0';
    return at;
}

/* The next table row to page->cells. Return: false at the end of the table or page. */
static bool next_row(struct page *page)
{
    const char *start = strstr(page->at, "<tr");
    const char *table_end = strstr(page->at, "</table");

    page->cell_count = 0;
    if (start == NULL || (table_end != NULL && table_end < start)) {
        return false;
    }
    const char *at = strchr(start, '>');
    while (at != NULL && *at != '\0') {
        at = strchr(at, '<');
        if (at == NULL || strncmp(at, "</tr", 4) == 0 || strncmp(at, "<tr", 3) == 0) {
            break;
        }
        bool cell = (strncmp(at, "<td", 3) == 0 || strncmp(at, "<th", 3) == 0) && at[3] != 'e';
        if (cell && page->cell_count < CELLS_MAX) {
            at = read_cell(at, page->cells[page->cell_count++]);
        } else {
            at++;
        }
    }
    page->at = at != NULL ? at : page->at + strlen(page->at);
    return true;
}

static int read_days(struct page *page)
{
    for (size_t index = 0; index < page->cell_count; index++) {
        int month = 0;
        int day = 0;
        if (sscanf(page->cells[index], "%2d月%2d日", &month, &day) != 2) {
            continue;
        }
        if (page->days == DAYS || !nearest(month, day, page->about_s, &page->day_s[page->days])) {
            return fail(page, "three days", page->cells[index]);
        }
        page->days++;
    }
    int64_t first_s = page->day_s[0];
    int64_t issue_day_s = agent_date_start(agent_date_of(page->issued_s));
    for (int day = 1; day < page->days; day++) {
        if (page->day_s[day] != first_s + day * AGENT_DAY_SECONDS) {
            return fail(page, "days in a row", page->cells[page->cell_count - 1]);
        }
    }
    if (page->days > 0 && (first_s < issue_day_s || first_s > issue_day_s + AGENT_DAY_SECONDS)) {
        return fail(page, "the first day to be the day of issue or the next",
                    page->cells[page->cell_count > 1 ? 1 : 0]);
    }
    return 0;
}

static bool none(const char *cell)
{
    static const char *const words[] = {"―", "-", "—", "–", "ー", "−", "なし", NULL};

    for (size_t index = 0; words[index] != NULL; index++) {
        if (strcmp(cell, words[index]) == 0) {
            return true;
        }
    }
    return false;
}

/* "120万kW", "最大120万kW", "80~120万kW" (the upper end). Return: 0, 1 amount not told, -errno. */
static int read_amount(struct page *page, const char *cell, double *mw)
{
    char text[CELL_MAX];
    const char *at = strncmp(cell, "最大", strlen("最大")) == 0 ? cell + strlen("最大") : cell;
    const char *wave = strstr(at, "~"); /* U+FF5E; U+301C has no compatibility form */
    const char *other_wave = strstr(at, "〜");
    const char *upper = wave != NULL         ? wave + 1
                        : other_wave != NULL ? other_wave + strlen("〜")
                                             : at;

    if (none(cell)) {
        *mw = 0;
        return 0;
    }
    if (strcmp(cell, "あり") == 0 || strcmp(cell, "実施") == 0) {
        *mw = NAN;
        return 1;
    }
    snprintf(text, sizeof(text), "%s", upper);
    char *unit = strstr(text, "万kW");
    if (unit != NULL && strcmp(unit, "万kW") == 0) {
        *unit = '\0';
        if (agent_text_number(text, mw) == 0 && *mw >= 0) {
            *mw *= MW_PER_10MW;
            return 0;
        }
    }
    return fail(page, "an amount in 万kW or ― for none", cell);
}

static int keep_row(struct page *page, int place)
{
    struct agent_series *series =
        agent_batch_series(page->reader->batch, AGENT_AREA_KYUSHU, AGENT_CURTAILMENT_OUTLOOK,
                           AGENT_FORECAST, places[place].place);

    if (page->seen[place] || page->days != DAYS || page->cell_count != DAYS + 1) {
        return fail(page, "each place once, with three days above it", page->cells[0]);
    }
    page->seen[place] = true;
    series->issued_s = page->issued_s;
    for (int day = 0; day < DAYS; day++) {
        struct agent_point point = {page->day_s[day], AGENT_DAY_SECONDS, 0, 0};
        int status = read_amount(page, page->cells[day + 1], &point.value);
        if (status < 0) {
            return status;
        }
        point.quality = status > 0 ? AGENT_QUALITY_MISSING : 0;
        status = agent_series_append(series, point);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

static int read_table(struct page *page)
{
    for (int row = 0; row < ROWS_MAX && next_row(page); row++) {
        int place = PLACES;
        for (int index = 0; page->cell_count > 0 && index < PLACES; index++) {
            place = strcmp(page->cells[0], places[index].name) == 0 ? index : place;
        }
        int status = place < PLACES    ? keep_row(page, place)
                     : page->days == 0 ? read_days(page)
                     : page->cell_count > 0
                         ? fail(page, "九州本土, 対馬, 壱岐 or 五島", page->cells[0])
                         : 0;
        if (status < 0) {
            return status;
        }
    }
    for (int place = 0; place < PLACES; place++) {
        if (!page->seen[place]) {
            return fail(page, "a row for each of 九州本土, 対馬, 壱岐 and 五島",
                        places[place].name);
        }
    }
    return 0;
}

/* Removes what a page uses for a blank. */
static void drop_blanks(char *html)
{
    char *to = html;

    for (const char *from = html; *from != '\0';) {
        if (strncmp(from, "&nbsp;", 6) == 0) {
            from += 6;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

static int parse(struct grid_reader *reader)
{
    struct page page = {.reader = reader, .about_s = reader->input->now_s};
    struct agent_date date;
    size_t room = reader->size * 2 + 64;
    char *html = malloc(room);
    int status = 0;

    if (html == NULL) {
        return -ENOMEM;
    }
    if (grid_name_date(reader->input->name, 8, &date)) {
        page.about_s = agent_date_start(date);
    }
    if (agent_text_key(reader->text, html, room) < 0) {
        status = fail(&page, "a page of text", "something else");
    } else {
        drop_blanks(html);
        page.at = strstr(html, "再生可能エネルギー出力制御見通し");
        status = page.at != NULL
                     ? read_issued(&page)
                     : fail(&page, "the heading 再生可能エネルギー出力制御見通し", "none");
    }
    status = status < 0 ? status : read_table(&page);
    free(html);
    return status;
}

const struct grid_adapter grid_outlook = {"outlook", match, parse};
